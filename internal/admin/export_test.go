package admin

import (
	"maps"
	"slices"
)

// Public reports whether a route is answered without signing in.
func Public(id string) bool { return table[id].reach == anyone }

// TableIDs lists the routes of the permission table.
func TableIDs() []string { return slices.Sorted(maps.Keys(table)) }
