package http1

import (
	"bytes"

	"postern/internal/header"
)

// Response is one response as received. Reuse one value for all responses of a connection. Strings are views.
type Response struct {
	Status int    // 100 to 999
	Reason string // may be empty
	Minor  int    // 0 or 1: HTTP/1.0 or HTTP/1.1
	Header header.List

	Kind          BodyKind
	ContentLength int64 // of FixedLength bodies; 0 without a body, -1 if unknown
	// DeclaredLength is the Content-Length field, -1 without one. It differs from ContentLength for responses to HEAD and
	// for 304, which declare the length of a body that is not sent.
	DeclaredLength int64

	Close   bool   // the connection cannot be used again
	Upgrade string // first Upgrade line if Connection names it, else ""

	HeadBytes int
	Body      *Body // never nil; belongs to the Reader
}

// Interim reports whether another response to the same request follows (1xx other than 101).
func (resp *Response) Interim() bool { return resp.Status < 200 && resp.Status != 101 }

// ReadResponse reads a response head into resp and leaves resp.Body ready to be read. Which body follows depends on the
// method of the request (RFC 9112 section 6.3). Interim responses (1xx) are returned one at a time: call again while
// resp.Interim().
//
// Errors are those of [Reader.ReadRequest]; the Status of a ParseError is always 502. io.EOF means that the upstream
// closed the connection without a single byte: on a reused connection that is the keep-alive race.
func (r *Reader) ReadResponse(resp *Response, requestMethod string) error {
	if err := r.Wait(); err != nil {
		return err
	}
	r.response, r.fresh = true, false
	if r.buf[r.r] != 'H' {
		return r.fail(BadStatusLine, 502, "the response does not start with HTTP/1.1 but with byte 0x%02x", r.buf[r.r])
	}
	line, err := r.line(r.limits.LineBytes, statusLineTooLong)
	if err != nil {
		return err
	}
	size := len(line) + 2
	resp.Header, resp.Upgrade = resp.Header[:0], ""
	if err := r.statusLine(resp, line); err != nil {
		return err
	}
	var f framing
	n, err := r.fields(&resp.Header, &f)
	if err != nil {
		return err
	}
	resp.HeadBytes = size + n
	return r.finishResponse(resp, &f, requestMethod)
}

func statusLineTooLong(r *Reader) error {
	return r.fail(LineTooLong, 502, "the status line is longer than %d bytes", r.limits.LineBytes)
}

// statusLine takes "HTTP-version SP status-code SP [reason]" apart (RFC 9112 section 4). The second space may be missing
// when there is no reason: several servers leave it out, and nothing can be misread.
func (r *Reader) statusLine(resp *Response, line []byte) error {
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' || line[7] != '0' && line[7] != '1' {
		if bytes.HasPrefix(line, []byte("HTTP/")) {
			return r.fail(BadVersion, 502, "the status line does not start with HTTP/1.1 or HTTP/1.0 and a status code")
		}
		return r.fail(BadStatusLine, 502, "the response does not start with a status line")
	}
	resp.Minor = int(line[7] - '0')
	code, rest := line[9:12], line[12:]
	if !all(view(code), digitByte) || code[0] == '0' || len(rest) > 0 && rest[0] != ' ' {
		return r.fail(BadStatusLine, 502, "the status code is not a number of three digits")
	}
	resp.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	resp.Reason = ""
	if len(rest) > 1 {
		if bad := cleanValue(rest); bad >= 0 {
			return r.fail(BadStatusLine, 502, "the reason phrase contains control character 0x%02x", rest[bad])
		}
		resp.Reason = view(rest[1:])
	}
	return nil
}

// finishResponse decides about body and connection (RFC 9112 section 6.3).
func (r *Reader) finishResponse(resp *Response, f *framing, method string) error {
	if err := r.framed(f, resp.Minor); err != nil {
		return err
	}
	resp.DeclaredLength = -1
	if f.lengths > 0 {
		resp.DeclaredLength = f.length
	}
	resp.Close = f.close || resp.Minor == 0 && !f.keepAlive
	if f.upgrade {
		resp.Upgrade = f.protocols
	}
	resp.ContentLength = 0
	switch s := resp.Status; {
	case s < 200:
		if f.codings > 0 || f.length > 0 {
			return r.fail(FramingConflict, 502, "an interim response (%d) announces a body", s)
		}
		resp.Kind = NoBody
		if s == 101 {
			resp.Kind, resp.ContentLength, resp.Close = Tunnel, -1, true
		}
	case method == "CONNECT" && s < 300:
		resp.Kind, resp.ContentLength, resp.Close = Tunnel, -1, true
	case s == 204:
		// A body here is against RFC 9110 section 15.3.5, and servers that announce one may or may not send it: nothing that
		// follows on this connection can be trusted.
		resp.Kind = NoBody
		resp.Close = resp.Close || f.codings > 0 || f.length > 0
	case s == 304 || method == "HEAD":
		resp.Kind = NoBody
	case f.codings > 0:
		resp.Kind, resp.ContentLength = Chunked, -1
	case f.lengths > 0:
		resp.Kind, resp.ContentLength = FixedLength, f.length
	default:
		resp.Kind, resp.ContentLength, resp.Close = UntilClose, -1, true
	}
	r.lo = r.r
	resp.Body = r.body.start(resp.Kind, resp.ContentLength)
	return nil
}
