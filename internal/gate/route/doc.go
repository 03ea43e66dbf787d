// Package route is the gate that finds the operation a request is for: it normalises host and path, matches them against
// the templates of every published API version, and refuses what matches nothing, takes another method, or is retired.
//
// It comes first because every other gate belongs to an operation. It also decides what the path is, once: the normalised
// path is what is matched and what is forwarded, and a path that two servers could read differently is refused, so that
// the gateway and an upstream never disagree about which resource a request names (docs/paths.md).
package route
