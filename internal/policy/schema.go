package policy

import (
	_ "embed"
	"slices"
)

//go:generate go run ./schemagen . schema.json

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (2020-12) of the document, for editors and tools. It describes form; what only the whole
// document can tell (does a name exist) is not in it.
func Schema() []byte { return slices.Clone(schema) }
