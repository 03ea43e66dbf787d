package http1

import (
	"bytes"

	"postern/internal/header"
)

// Request is one request as received. Reuse one value for all requests of a connection: its header list is kept. All
// strings are views (see the package comment), except Method when it is one of the registered ones.
type Request struct {
	Method string
	Target string     // the request-target, untouched
	Form   TargetForm // which of the four forms it has

	Scheme string // "http" or "https" in absolute-form (as sent, any case), else ""
	Host   string // the effective authority, "host" or "host:port" as sent: from the target if it has one, else from Host; "" only in HTTP/1.0
	Path   string // still percent-encoded; "/" when an absolute-form target has none ("*" with OPTIONS); "*" in asterisk-form; "" in authority-form
	Query  string // without "?"

	Minor  int         // 0 or 1: HTTP/1.0 or HTTP/1.1
	Header header.List // all fields in the order received, Host and framing fields included

	Kind          BodyKind
	ContentLength int64 // of FixedLength bodies; 0 without a body, -1 if chunked

	Close     bool   // the connection must be closed after the response
	Expect100 bool   // the client waits for 100 (Continue) before it sends the body; false when there is none. Reading the body without having sent it may block
	Upgrade   string // first Upgrade line if Connection asks for it (RFC 9110 section 7.8), else ""; never set in HTTP/1.0

	HeadBytes int   // size of the head on the wire
	Body      *Body // never nil; belongs to the Reader
}

// TargetForm is the form of a request-target (RFC 9112 section 3.2).
type TargetForm uint8

// The four forms.
const (
	OriginForm    TargetForm = iota // /path?query
	AbsoluteForm                    // http://host/path?query
	AuthorityForm                   // host:port, with CONNECT only
	AsteriskForm                    // *, with OPTIONS only
)

// ReadRequest reads a request head into req and leaves req.Body ready to be read.
//
// Errors: io.EOF when the connection ended before a request began; *[ParseError] for a malformed one, whose Status is to be
// answered before closing; [ErrHTTP2Preface]; [ErrBodyUnread]; anything else comes from the connection. io errors before the
// first byte leave the Reader usable, all others are final.
func (r *Reader) ReadRequest(req *Request) error {
	if err := r.Wait(); err != nil {
		return err
	}
	r.response = false
	if c := r.buf[r.r]; c == '\r' || c == '\n' {
		if err := r.skipEmptyLine(); err != nil {
			return err
		}
	}
	if c := r.buf[r.r]; class[c]&tokenByte == 0 {
		if c == 0x16 {
			return r.fail(BadRequestLine, 400, "the first byte is 0x16: TLS spoken to a port that expects plain HTTP")
		}
		return r.fail(BadMethod, 400, "the request line starts with byte 0x%02x, which no method contains", c)
	}
	r.fresh = false
	line, err := r.line(r.limits.LineBytes, requestLineTooLong)
	if err != nil {
		return err
	}
	size := len(line) + 2
	req.Header = req.Header[:0]
	req.Scheme, req.Host, req.Upgrade = "", "", ""
	if err := r.requestLine(req, line); err != nil {
		return err
	}
	var f framing
	n, err := r.fields(&req.Header, &f)
	if err != nil {
		return err
	}
	req.HeadBytes = size + n
	return r.finishRequest(req, &f)
}

// skipEmptyLine drops one CRLF before a request line, as RFC 9112 section 2.2 asks for, and waits for what follows. A
// connection that ends there ended cleanly.
func (r *Reader) skipEmptyLine() error {
	if r.buf[r.r] == '\n' {
		return r.fail(BadLineEnding, 400, "the request starts with a bare line feed")
	}
	for r.w-r.r < 2 {
		if err := r.more(); err != nil {
			return r.broke(err)
		}
	}
	if r.buf[r.r+1] != '\n' {
		return r.fail(BadLineEnding, 400, "the request starts with a bare carriage return")
	}
	if r.r += 2; r.r == r.w {
		return r.more()
	}
	return nil
}

func requestLineTooLong(r *Reader) error {
	return r.fail(LineTooLong, 414, "the request line is longer than %d bytes", r.limits.LineBytes)
}

// requestLine takes "method SP request-target SP HTTP-version" apart (RFC 9112 section 3).
func (r *Reader) requestLine(req *Request, line []byte) error {
	i := 0
	for i < len(line) && class[line[i]]&tokenByte != 0 {
		i++
	}
	if i == len(line) {
		return r.fail(BadRequestLine, 400, "the request line has neither target nor version")
	}
	if line[i] != ' ' {
		return r.fail(BadMethod, 400, "the method contains byte 0x%02x, which is no token character", line[i])
	}
	req.Method = method(line[:i])
	rest := line[i+1:]
	j := bytes.IndexByte(rest, ' ')
	if j < 0 {
		return r.fail(BadVersion, 400, "the request line has no version: HTTP/0.9 is not supported")
	}
	if j == 0 {
		return r.fail(BadRequestLine, 400, "there is more than one space after the method")
	}
	req.Target = view(rest[:j])
	switch version := rest[j+1:]; string(version) {
	case "HTTP/1.1":
		req.Minor = 1
	case "HTTP/1.0":
		req.Minor = 0
	default:
		if req.Method == "PRI" && req.Target == "*" && string(version) == "HTTP/2.0" {
			r.r, r.fresh = r.r-len(line)-len("\r\n"), true // unread
			return ErrHTTP2Preface
		}
		return r.badVersion(version)
	}
	return r.target(req)
}

func (r *Reader) badVersion(v []byte) error {
	switch {
	case len(v) == 0:
		return r.fail(BadVersion, 400, "the request line ends with a space where the version belongs")
	case bytes.IndexByte(v, ' ') >= 0:
		return r.fail(BadRequestLine, 400, "the request line has more than two spaces")
	case len(v) == 8 && string(v[:5]) == "HTTP/" && v[6] == '.' && class[v[5]]&class[v[7]]&digitByte != 0 && v[5] != '0':
		return r.fail(BadVersion, 505, "version %s is not supported here, HTTP/1.1 and HTTP/1.0 are", v)
	}
	return r.fail(BadVersion, 400, "the version is %s, expected HTTP/1.1", quote(view(v)))
}

// method returns the constant for a common method, so that it may be kept, and a view for others.
func method(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "PATCH":
		return "PATCH"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	case "CONNECT":
		return "CONNECT"
	case "TRACE":
		return "TRACE"
	}
	return view(b)
}

// finishRequest applies the rules that need the whole head: Host, framing, connection.
func (r *Reader) finishRequest(req *Request, f *framing) error {
	if err := r.host(req, f); err != nil {
		return err
	}
	req.Close = f.close || req.Minor == 0 && !f.keepAlive
	if f.upgrade && req.Minor == 1 {
		req.Upgrade = f.protocols
	}
	if err := r.framed(f, req.Minor); err != nil {
		return err
	}
	if req.Method == "CONNECT" && (f.codings > 0 || f.lengths > 0) {
		return r.fail(FramingConflict, 400, "a CONNECT request announces a body")
	}
	switch {
	case f.codings > 0:
		req.Kind, req.ContentLength = Chunked, -1
	case f.lengths > 0:
		req.Kind, req.ContentLength = FixedLength, f.length
	default:
		req.Kind, req.ContentLength = NoBody, 0
	}
	req.Expect100 = false
	if f.expects > 0 && req.Minor == 1 { // RFC 9110 section 10.1.1: ignored in HTTP/1.0
		if f.expects > 1 || !header.EqualFold(f.expect, "100-continue") {
			return r.fail(BadExpectation, 417, "the expectation %s cannot be met, only 100-continue is known", quote(f.expect))
		}
		req.Expect100 = req.Kind == Chunked || req.ContentLength > 0
	}
	r.lo = r.r
	req.Body = r.body.start(req.Kind, req.ContentLength)
	return nil
}
