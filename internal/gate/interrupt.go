package gate

// Interrupter is a Body whose Read may wait for the caller. Interrupt makes a Read that waits in another goroutine, and every
// later one, return an error at once; the caller's connection is not used for another request afterwards. forward uses it
// to get its copying goroutine back when the upstream answers before it has taken the whole body: nobody may touch a body
// once Forward has returned, because exchanges are reused. It may be called more than once, from any goroutine.
type Interrupter interface{ Interrupt() }
