// Package reqtext reads requests the way people have them: a pasted curl command, a raw HTTP message, an .http file, a HAR
// file, an export of Postman or Insomnia; and answers the same way. It exists so that everything that takes such a request (simulate, explain, diagnose) reads it the same way, and
// changes nothing on the way that a client would not change.
package reqtext
