package http1

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Code names a kind of malformed message. The set is small and stable: it appears in records and metrics.
type Code string

// The kinds of malformed messages.
const (
	BadLineEnding       Code = "line_ending"       // bare LF, bare CR
	BadRequestLine      Code = "request_line"      // not "method SP target SP version"
	BadStatusLine       Code = "status_line"       // not "version SP status SP reason"
	BadMethod           Code = "method"            // not a token
	BadTarget           Code = "target"            // request-target of no form, or with forbidden bytes
	BadVersion          Code = "version"           // neither HTTP/1.0 nor HTTP/1.1
	BadHost             Code = "host"              // missing, repeated, malformed or contradicting Host
	BadFieldName        Code = "field_name"        // not a token directly before a colon
	BadFieldValue       Code = "field_value"       // control characters
	ObsFold             Code = "obs_fold"          // a field line that starts with white space
	BadContentLength    Code = "content_length"    // not one plain decimal number
	BadTransferEncoding Code = "transfer_encoding" // not exactly "chunked"
	FramingConflict     Code = "framing_conflict"  // Content-Length beside Transfer-Encoding, or framing where none may be
	BadExpectation      Code = "expectation"       // Expect other than 100-continue
	BadChunk            Code = "chunk"             // chunk size, extension or missing CRLF
	ChunkExtensions     Code = "chunk_extensions"  // too many bytes of chunk extensions
	BadTrailer          Code = "trailer"           // a trailer that would change framing or routing
	LineTooLong         Code = "line_too_long"     // request line or status line over the limit
	FieldsTooLarge      Code = "fields_too_large"  // field line, field section or number of fields over the limit
	Truncated           Code = "truncated"         // the connection ended inside a message
	HTTP2Preface        Code = "http2_preface"     // an HTTP/2 client speaks
)

// ParseError says why a message was refused. Status is the answer to give: 400, 413, 414, 417, 431, 501 or 505 for a request,
// 502 for a response. Detail is one sentence fragment for people: it names the place and the fault, never contains
// control characters and never the value of a field other than Host, Content-Length, Transfer-Encoding or Expect.
type ParseError struct {
	Code   Code
	Status int
	Detail string
}

func (e *ParseError) Error() string { return "malformed HTTP message: " + e.Detail }

// Unwrap makes errors.Is(err, io.ErrUnexpectedEOF) true for a truncated message.
func (e *ParseError) Unwrap() error {
	if e.Code == Truncated {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// ErrHTTP2Preface is returned by ReadRequest when the connection starts with the HTTP/2 preface ("PRI * HTTP/2.0"). No
// byte has been consumed: Read on the Reader returns the preface from its beginning, so the connection can be handed to an
// HTTP/2 server. Whoever does not want that answers with its Status.
var ErrHTTP2Preface = &ParseError{Code: HTTP2Preface, Status: 505, Detail: "the client speaks HTTP/2 (its connection preface was received) where HTTP/1.1 is expected"}

// ErrBodyUnread is returned when the next message is asked for before the body of the last one was read or discarded to
// its end. It is a mistake of the caller, not of the peer.
var ErrBodyUnread = errors.New("http1: the body of the previous message has not been read to its end")

// ErrBodyTooLarge is returned by Discard and AppendAll when the body goes on beyond the bound given.
var ErrBodyTooLarge = errors.New("http1: body exceeds the bound")

var errNotHTTP = errors.New("http1: refusing to write a malformed message")

var errTruncatedBody = &ParseError{Code: Truncated, Status: 400, Detail: "the connection ended inside the body"}
var errTruncatedReply = &ParseError{Code: Truncated, Status: 502, Detail: "the connection ended inside the body"}

// fail poisons the Reader: every later call returns the same error.
func (r *Reader) fail(code Code, status int, format string, args ...any) error {
	if r.response {
		status = 502
	}
	r.bad = &ParseError{Code: code, Status: status, Detail: fmt.Sprintf(format, args...)}
	return r.bad
}

// broke poisons the Reader with an input/output error in the middle of a message; the end of the connection becomes Truncated.
func (r *Reader) broke(err error) error {
	if err == io.EOF {
		return r.fail(Truncated, 400, "the connection ended inside the head or the trailer section of a message")
	}
	r.bad = err
	return err
}

// quote makes received bytes safe to show: ASCII, escaped, at most 40 bytes.
func quote(b string) string {
	const most = 40
	if len(b) > most {
		return strconv.QuoteToASCII(b[:most]) + "…"
	}
	return strconv.QuoteToASCII(b)
}
