// Package forward sends judged requests to upstreams and passes their answers on: connections and their reuse, balancing,
// health, circuit breaking, safe retries, streaming both ways, upgrades, and the metering of model calls.
//
// Two paths lead out. HTTP/1.1, the common case, is a pooled client of our own on internal/http1: one write for head and
// small body, a synchronous read on the caller's goroutine, views instead of copies, and nothing allocated for an ordinary
// call (PERFORMANCE.md says why net/http's transport is not used for it). HTTP/2, h2c and with them gRPC go through a
// net/http Transport for each upstream.
//
// A [Pools] lives as long as the process. It holds one pool for each upstream; a pool whose configuration did not change is
// kept over a reload with its health, circuit and idle connections. A [Forwarder] has no state of its own.
//
// # What may be sent twice
//
// A request is sent again only if that cannot repeat an effect: its method is idempotent (RFC 9110 section 9.2.2), or no
// byte of it can have been handled, because no connection was made or the kernel took nothing. Its body must still be there
// as a whole. Once anything of an answer has been handed to the caller there is no second attempt.
//
// # Choosing a target
//
// A target takes calls unless active checks found it ill, or failures seen in traffic ejected it for a while. At most half
// of the targets are ejected at a time, and the only one never is; active checks may take out all, since they also bring
// them back. The path of a check is below the target's own path prefix. An attempt after a failed one goes to a target
// that was not tried yet, within the retry budget. A circuit breaker, when configured, suspends the upstream as a whole.
//
// # What a target is told, and what it is not
//
// End-to-end fields pass unchanged. Removed are hop-by-hop fields (RFC 9110 section 7.6.1), those that Connection names
// (unless stripping them would change who the request seems to come from), the caller's credential, fields that only
// Postern may set (Postern-*), and forwarding fields from peers that are not trusted. Field names are compared as servers
// with a CGI heritage see them: letters without case, and every other character than a letter or digit equal to "-", so
// that X_Forwarded_For or X.Forwarded.For cannot slip past.
package forward
