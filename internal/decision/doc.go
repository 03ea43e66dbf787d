package decision

// The pages in docs/reasons are made from the catalogue.
//go:generate go run ./reasonsdoc ../..
