// Package crs runs the regression tests of the OWASP Core Rule Set against the real binary: every request goes over a socket
// through the gateway to an origin, in detect mode at paranoia 4, and the rules that matched are read from its call record, as
// an operator reads them.
//
// A gateway is stricter about messages than the server the tests were written for. Where a test sends what RFC 9112 does not
// allow, the request is refused before any rule sees it; such tests are counted apart. Every test that is not judged is named
// in excluded.go with the reason.
package crs
