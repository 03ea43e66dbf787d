package reqtext

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"postern/internal/header"
	"postern/internal/http1"
)

// Request is a request to ask about, as it would arrive.
type Request struct {
	Name   string      `json:"name,omitempty"` // where it came from in a file with several: a title, or "entry 3"
	Method string      `json:"method"`
	URL    string      `json:"url"` // absolute, path and query as they would be sent
	Header header.List `json:"-"`   // has credentials: never shown
	Body   []byte      `json:"-"`
	// BodyUnknown says that there is a body, but not here (a file that was not read, a record): a gate that needs it is unknown.
	BodyUnknown bool `json:"body_unknown,omitempty"`
	// Client is the address that connects; the zero value is unknown.
	Client netip.Addr `json:"client,omitzero"`
	// Answer is what was answered, when the source says so (HAR, an example of a collection).
	Answer *Answer `json:"-"`
	// Follows says that the client would follow redirects (curl -L).
	Follows bool `json:"-"`
	// Insecure says that the client takes any certificate (curl -k).
	Insecure bool `json:"-"`
	// Proxy is the proxy that the request names (curl -x), without its password.
	Proxy string `json:"-"`
	// Notes say what was assumed or left out on the way from the text to the request.
	Notes []string `json:"notes,omitempty"`
}

// Bounds of what is read.
const (
	MaxSource   = 32 << 20 // bytes of one source
	maxRequests = 10_000   // requests in one source
)

// Hints for Parse.
const (
	HintCurl = "curl"
	HintRaw  = "raw"
	HintHTTP = "http" // an .http or .rest file
	HintHAR  = "har"
)

// Option changes how a source is read.
type Option func(*options)

type options struct{ readFile func(string) ([]byte, error) }

// WithFiles lets curl's @file and an .http file's "< file" be read. Without it such a body is unknown.
func WithFiles(read func(name string) ([]byte, error)) Option {
	return func(o *options) { o.readFile = read }
}

// ErrForm is wrapped by errors about text that is no request in any known form.
var ErrForm = errors.New("this is no request: give a curl command, a raw HTTP message, an .http file, a HAR file or a Postman or Insomnia export")

// Parse reads the requests of a source: at least one, or an error that says where and what. The hint is a Hint, or
// a file name whose extension tells, or "" to look at the text.
func Parse(src []byte, hint string, opts ...Option) ([]Request, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if len(src) > MaxSource {
		return nil, fmt.Errorf("the source is larger than %d MiB", MaxSource>>20)
	}
	text := strings.TrimPrefix(string(src), "\ufeff")
	if !utf8.ValidString(text) && form(text, hint) != HintRaw {
		return nil, errors.New("the source is not UTF-8 text; save it as UTF-8")
	}
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("the source is empty: %w", ErrForm)
	}
	var requests []Request
	var err error
	switch form(text, hint) {
	case HintCurl:
		requests, err = parseCurl(text, o)
	case HintRaw:
		requests, err = parseRaw(text)
	case HintHTTP:
		requests, err = parseHTTPFile(text, o)
	case HintHAR:
		if requests, err = parseCollection([]byte(text)); requests == nil && err == nil {
			requests, err = parseHAR([]byte(text))
		}
	default:
		err = ErrForm
	}
	if err != nil {
		return nil, err
	}
	for i := range requests {
		if err := requests[i].check(); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

var (
	curlStart = regexp.MustCompile(`^(?:\s*#[^\n]*\n)*\s*(?:[$>%#]\s+)?(?:\S*/)?curl(?:\.exe)?(?:\s|$)`)
	rawStart  = regexp.MustCompile(`^\s*[!#$%&'*+.^_|~0-9A-Za-z-]+ \S+ HTTP/[0-9.]+[ \t]*\r?(?:\n|$)`)
	httpStart = regexp.MustCompile(`(?m)^(?:###|@[A-Za-z_]|(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT)[ \t]+\S|https?://)`)
)

// form tells what a source is: by the hint, else by how it begins.
func form(text, hint string) string {
	switch hint {
	case HintCurl, HintRaw, HintHTTP, HintHAR:
		return hint
	}
	switch strings.ToLower(path.Ext(hint)) {
	case ".har":
		return HintHAR
	case ".http", ".rest":
		return HintHTTP
	}
	switch trimmed := strings.TrimLeft(text, " \t\r\n"); {
	case strings.HasPrefix(trimmed, "{"):
		return HintHAR
	case curlStart.MatchString(text):
		return HintCurl
	case rawStart.MatchString(text) && !strings.Contains(text, "\n###") && !strings.Contains(text, "{{"):
		return HintRaw
	case httpStart.MatchString(trimmed):
		return HintHTTP
	}
	return ""
}

// check refuses what no client could send, so that a slip in a pasted text is not mistaken for a decision.
func (r *Request) check() error {
	where := ""
	if r.Name != "" {
		where = r.Name + ": "
	}
	if !http1.ValidFieldName(r.Method) { // a method is a token as well
		return fmt.Errorf("%s%q is no method", where, clip(r.Method))
	}
	if _, err := SplitURL(r.URL); err != nil {
		return fmt.Errorf("%s%w", where, err)
	}
	for _, f := range r.Header {
		if !http1.ValidFieldName(f.Name) {
			return fmt.Errorf("%s%q is no header field name", where, clip(f.Name))
		}
		if !http1.ValidFieldValue(f.Value) {
			return fmt.Errorf("%sthe value of the header field %s has control characters", where, f.Name)
		}
	}
	return nil
}

// clip bounds a piece of a source in an error.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// Location is the parts of a URL, none of them decoded or changed: what a client puts on the wire is what gates see.
type Location struct{ Scheme, Authority, Path, Query string }

// SplitURL takes an absolute http, https, ws or wss address apart. Path is never empty; Authority may have a user in front.
func SplitURL(u string) (Location, error) {
	scheme, rest, ok := strings.Cut(u, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" && scheme != "ws" && scheme != "wss" {
		return Location{}, fmt.Errorf("%q is no http or https address", clip(u))
	}
	scheme = strings.Replace(scheme, "ws", "http", 1)
	for i := range len(u) {
		if u[i] <= ' ' || u[i] == 0x7f {
			return Location{}, fmt.Errorf("the address %q has a space or control character; write it as %%20", clip(u))
		}
	}
	rest, _, _ = strings.Cut(rest, "#")
	l := Location{Scheme: scheme, Path: "/"}
	if i := strings.IndexAny(rest, "/?"); i < 0 {
		l.Authority = rest
	} else {
		l.Authority = rest[:i]
		p, q, _ := strings.Cut(rest[i:], "?")
		l.Query = q
		if p != "" {
			l.Path = p
		}
	}
	if l.Authority == "" {
		return Location{}, fmt.Errorf("the address %q names no host", clip(u))
	}
	return l, nil
}

// String puts the address together again.
func (l Location) String() string {
	u := l.Scheme + "://" + l.Authority + l.Path
	if l.Query != "" {
		u += "?" + l.Query
	}
	return u
}

// field reads "Name: value" of a pasted text.
func field(line string) (header.Field, bool) {
	name, value, ok := strings.Cut(line, ":")
	return header.Field{Name: strings.TrimRight(name, " \t"), Value: strings.Trim(value, " \t\r")}, ok && name != ""
}

func trimBlankLines(s string) string {
	b := []byte(s)
	for {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok || len(bytes.TrimSpace(line)) > 0 {
			return string(b)
		}
		b = rest
	}
}
