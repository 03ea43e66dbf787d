package lab

import "postern/internal/reqtext"

// Request is a request to ask about, as it would arrive.
type Request = reqtext.Request

// ParseRequest reads the requests of a source; see reqtext.Parse.
func ParseRequest(src []byte, hint string, opts ...reqtext.Option) ([]Request, error) {
	return reqtext.Parse(src, hint, opts...)
}
