// Package behaviour tests what a gateway does over time rather than in one message: streams in both directions, WebSocket and
// gRPC, callers that leave, reloads, stops, crashes and starts that cannot succeed, and secrets that must appear nowhere.
package behaviour
