//go:build !race

package http1

// poison is off in ordinary builds; see poison_race.go.
const poison = false
