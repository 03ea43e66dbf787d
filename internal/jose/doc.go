// Package jose reads and makes signed JSON Web Tokens in the compact form (RFC 7515, RFC 7519), and reads the keys that sign
// them (RFC 7517). It has no network, no clock and no configuration: who may sign what is the caller's to say.
//
// It is small on purpose. The algorithm is never taken from the token: a key knows what it can do, and the caller names what
// it accepts. Keys that a token brings or points at (jwk, jku, x5c, x5u) are not looked at. Encrypted and nested tokens, the
// algorithm "none", unknown critical extensions, sloppy base64, members that occur twice, RSA keys below 2048 bits and keys
// with the ROCA flaw are refused, each with its own fault.
package jose
