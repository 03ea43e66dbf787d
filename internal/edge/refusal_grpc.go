package edge

import (
	"strconv"
	"strings"

	"postern/internal/gate"
	"postern/internal/header"
)

// isGRPC reports whether the caller expects a gRPC status instead of a body. gRPC-Web is not among them: browsers read its
// HTTP status.
func isGRPC(x *gate.Exchange) bool {
	const prefix = "application/grpc"
	v := x.Header.Get("Content-Type")
	if len(v) < len(prefix) || !header.EqualFold(v[:len(prefix)], prefix) {
		return false
	}
	return len(v) == len(prefix) || v[len(prefix)] == '+' || v[len(prefix)] == ';' || v[len(prefix)] == ' '
}

// grpc writes a trailers-only answer (gRPC over HTTP/2, "Responses"): HTTP status 200, the status of the call in fields.
// The reason, the first remedy and the trace are in grpc-message, the only text that clients show.
func (r *refusal) grpc(f header.List, b []byte) (header.List, []byte, int) {
	f = append(f,
		header.Field{Name: "Content-Type", Value: "application/grpc"},
		header.Field{Name: "Grpc-Status", Value: strconv.Itoa(grpcCode(r.said.Reason.Status))},
		header.Field{Name: "Grpc-Message", Value: percentEncode(r.said.Reason.Code + ": " + r.message())},
	)
	return f, b, 200
}

// grpcCode maps an HTTP status to the gRPC code with the same meaning for the caller.
func grpcCode(status int) int {
	switch status {
	case 400, 415, 422:
		return 3 // INVALID_ARGUMENT
	case 401:
		return 16 // UNAUTHENTICATED
	case 402, 413, 429, 431:
		return 8 // RESOURCE_EXHAUSTED
	case 403:
		return 7 // PERMISSION_DENIED
	case 404, 405, 410:
		return 12 // UNIMPLEMENTED
	case 408, 504:
		return 4 // DEADLINE_EXCEEDED
	case 421, 502, 503:
		return 14 // UNAVAILABLE
	}
	return 13 // INTERNAL
}

// percentEncode writes grpc-message: printable ASCII but '%' as it is, the rest as %XX of its UTF-8.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
