package gate

import "context"

// Introspector asks authorization servers about tokens (RFC 7662). It does not remember answers: whoever asks does.
type Introspector interface {
	// Introspect returns the answer, a JSON object with "active", of at most 64 KiB. An error means that there is none, which
	// is never a denial. It waits a bounded time.
	Introspect(ctx context.Context, src *IntrospectionSource, token string) ([]byte, error)
}

// IntrospectionSource is an introspection endpoint and how the gateway proves itself there.
type IntrospectionSource struct {
	ID           string // equal for equal sources, over reloads too
	URL          string
	ClientID     string
	ClientSecret string
	CAFile       string
}
