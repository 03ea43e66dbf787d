// Package h2spec runs the public HTTP/2 suite of the same name (github.com/summerwind/h2spec, 2.2.1) against Postern and, in
// the same run and the same way, against Go's own server. Postern must pass every case that Go's server passes.
package h2spec
