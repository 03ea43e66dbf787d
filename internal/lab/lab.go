// Package lab answers questions about decisions with the very gates that decide: would this request pass, and why was that
// one refused? Simulate takes a request the way people have it (a curl command, a raw message, an .http file, a HAR
// file), Explain takes a record of one that was made.
//
// Both run the compiled chain of a snapshot in gate.Exhaust, so that every gate answers, not only the first that refuses,
// and with a dry Env, so that nothing is spent, written or sent. A gate whose input is missing is unknown and says which
// input; it never guesses, and neither does the lab.
package lab
