// Package authzen asks the real Postern the decision sets of the OpenID AuthZEN working group's interop events, over the
// management listener, and compares every answer with the expected one.
package authzen
