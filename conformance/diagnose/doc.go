// Package diagnose measures `postern diagnose` from outside: recorded refusals whose cause is known go in as curl commands,
// answers and log files, and what comes out as JSON is compared with the truth. It also looks for planted secrets in the
// output, and counts at an origin what probing sends.
package diagnose
