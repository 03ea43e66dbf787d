package diagnose

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postern/internal/header"
	"postern/internal/reqtext"
)

// Prober asks the server of a request careful questions. The zero value uses the defaults and sends safe methods only.
type Prober struct {
	Budget   int           // requests at most; 0: 12
	Interval time.Duration // between two requests; 0: 250 ms
	Timeout  time.Duration // of one request; 0: 10 s
	// Neutral also lets an unsafe method be sent, with a body that cannot succeed.
	Neutral bool
	// Unsafe also lets the request be sent as it is, once.
	Unsafe bool
	// Insecure takes any certificate of the server, as curl -k does.
	Insecure bool

	transport http.RoundTripper // of tests
	sleep     func(context.Context, time.Duration) error
	random    func() string
}

// Probing is what was asked and answered.
type Probing struct {
	Plan    []Planned `json:"plan"`
	Sent    int       `json:"sent"`
	Unsafe  int       `json:"unsafe"` // requests with a method that may change something
	Results []Result  `json:"results,omitempty"`
}

// Planned is a question that may be asked.
type Planned struct {
	Name   string `json:"name"`
	Method string `json:"method"`
	URL    string `json:"url"`
	Change string `json:"change"` // what differs from the request
	When   string `json:"when,omitempty"`
}

// Result is what a question brought.
type Result struct {
	Name   string `json:"name"`
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
	Shows  string `json:"shows,omitempty"`
}

// question is a planned probe with what it sends.
type question struct {
	Planned
	header header.List
	host   string
	body   string
	needs  bool // only when the plain question is refused, too: else it would show nothing
}

// browserAgent is the User-Agent of an ordinary browser, to see whether the name of the program decides.
const browserAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

// Plan lists what would be asked about a request, in order, without asking it.
func (p *Prober) Plan(r *reqtext.Request) ([]Planned, error) {
	qs, err := p.questions(r)
	m := newMasker(Input{Request: r})
	var out []Planned
	for _, q := range qs {
		q.URL = m.text(q.URL)
		out = append(out, q.Planned)
	}
	return out, err
}

func (p *Prober) questions(r *reqtext.Request) ([]question, error) {
	l, err := reqtext.SplitURL(r.URL)
	if err != nil {
		return nil, err
	}
	if i := strings.LastIndexByte(l.Authority, '@'); i >= 0 {
		l.Authority = l.Authority[i+1:]
	}
	var fields header.List
	host := l.Authority
	for _, f := range r.Header {
		switch strings.ToLower(f.Name) {
		case "host":
			host = f.Value
		case "content-length", "transfer-encoding", "connection", "expect", "upgrade", "accept-encoding", "te", "trailer", "content-type", "content-encoding", "if-match", "if-none-match", "range", "proxy-authorization", "x-http-method-override", "x-http-method", "x-method-override", "idempotency-key":
		default:
			fields = append(fields, f)
		}
	}
	without := func(drop func(string) bool) (out header.List) {
		for _, f := range fields {
			if !drop(strings.ToLower(f.Name)) {
				out = append(out, f)
			}
		}
		return out
	}
	has := func(drop func(string) bool) bool { return len(without(drop)) < len(fields) }
	method := "GET"
	if r.Method == "HEAD" || r.Method == "OPTIONS" {
		method = r.Method
	}
	var qs []question
	add := func(name, change string, needs bool, u, h string, fields header.List) {
		q := question{Planned: Planned{Name: name, Method: method, URL: u, Change: change}, header: fields, host: h, needs: needs}
		if needs {
			q.When = "the plain question is refused"
		}
		qs = append(qs, q)
	}
	self, bare := l.String(), l
	bare.Query = withoutSecrets(l.Query)
	if p.Unsafe && !safe(r.Method) {
		qs = append(qs, question{Planned: Planned{Name: "replay", Method: r.Method, URL: self, Change: "nothing: the request as it is", When: "its answer is not known"}, header: append(fields, contentType(r)...), host: host, body: string(r.Body)})
	}
	plain := "nothing"
	if method != r.Method {
		plain = method + " in place of " + r.Method + ", no body"
	}
	add("plain", plain, false, self, host, fields)
	if !strings.EqualFold(host, l.Authority) {
		add("host", "the Host of the address", true, self, l.Authority, fields)
	}
	for _, d := range []struct {
		name, change string
		drop         func(string) bool
	}{
		{"no-origin", "without Origin", func(n string) bool { return n == "origin" || strings.HasPrefix(n, "sec-fetch") }},
		{"no-referer", "without Referer", func(n string) bool { return n == "referer" }},
		{"no-forwarding", "without forwarding fields", forwarding},
		{"no-credential", "without any credential", credentialField},
	} {
		u := self
		if d.name == "no-credential" {
			u = bare.String()
		}
		if has(d.drop) || u != self {
			add(d.name, d.change, true, u, host, without(d.drop))
		}
	}
	if has(credentialField) {
		add("other-credential", "with an invented credential", true, self, host, p.spoil(fields))
	}
	agent := without(func(n string) bool { return n == "user-agent" })
	agent.Add("User-Agent", browserAgent)
	add("agent", "with the User-Agent of a browser", true, self, host, agent)
	sibling := l
	dir := l.Path[:strings.LastIndexByte(l.Path, '/')+1]
	sibling.Path, sibling.Query = dir+p.name()+ext(l.Path), ""
	add("neighbour", "a name beside it that does not exist", true, sibling.String(), host, fields)
	if l.Path != "/" {
		root := l
		root.Path, root.Query = "/", ""
		add("root", "the root of the host", true, root.String(), host, fields)
	}
	method = "OPTIONS"
	if r.Method != "OPTIONS" {
		preflight := without(credentialField)
		if has(func(n string) bool { return n == "origin" }) {
			preflight.Add("Access-Control-Request-Method", r.Method)
		}
		add("options", "OPTIONS, without credentials, as a browser asks first", false, bare.String(), host, preflight)
	}
	if p.Neutral && !safe(r.Method) {
		method = r.Method
		h := append(append(header.List{}, fields...), contentType(r)...)
		add("neutral", "a body that cannot succeed", false, self, host, h)
		qs[len(qs)-1].body = "{"
	}
	return qs, nil
}

// withoutSecrets drops the parameters of a query that carry credentials.
func withoutSecrets(query string) string {
	var kept []string
	for _, pair := range strings.Split(query, "&") {
		if name, _, _ := strings.Cut(pair, "="); !secretName(name) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

func contentType(r *reqtext.Request) header.List {
	if v := r.Header.Get("Content-Type"); v != "" {
		return header.List{{Name: "Content-Type", Value: v}}
	}
	return nil
}

func ext(path string) string {
	name := path[strings.LastIndexByte(path, '/')+1:]
	if i := strings.LastIndexByte(name, '.'); i >= 0 && len(name)-i < 8 {
		return name[i:]
	}
	return ""
}

func forwarding(n string) bool {
	return strings.HasPrefix(n, "x-forwarded") || strings.HasSuffix(n, "client-ip") || n == "x-real-ip" || n == "forwarded" || n == "cf-connecting-ip" || n == "x-originating-ip"
}

func credentialField(n string) bool {
	return n == "authorization" || n == "cookie" || secretName(n) && !csrfName(n) && !strings.HasPrefix(n, "access-control") && !strings.HasPrefix(n, "sec-")
}

func (p *Prober) name() string {
	if p.random != nil {
		return p.random()
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return "postern-" + hex.EncodeToString(b[:])
}

// spoil replaces credentials by invented ones of the same form.
func (p *Prober) spoil(fields header.List) (out header.List) {
	for _, f := range fields {
		if credentialField(strings.ToLower(f.Name)) {
			switch scheme, _, ok := strings.Cut(f.Value, " "); {
			case header.EqualFold(f.Name, "Cookie"):
				continue
			case ok && strings.EqualFold(scheme, "Basic"):
				f.Value = "Basic cG9zdGVybi1kaWFnbm9zZTppbnZlbnRlZA==" // postern-diagnose:invented
			case ok:
				f.Value = scheme + " postern-diagnose-invented"
			default:
				f.Value = "postern-diagnose-invented"
			}
		}
		out = append(out, f)
	}
	return out
}

// probe asks the questions and puts what they show on the board.
func (c *theCase) probe(ctx context.Context, p *Prober) error {
	r := c.in.Request
	qs, err := p.questions(r)
	if err != nil {
		return fmt.Errorf("nothing can be asked: %w", err)
	}
	out := &Probing{}
	c.report.Probes = out
	for _, q := range qs {
		out.Plan = append(out.Plan, q.Planned)
	}
	l, _ := reqtext.SplitURL(r.URL)
	c.names(ctx, l)
	s := &session{p: p, out: out, askedForCert: new(bool)}
	defer s.close()
	answers := map[string]*reqtext.Answer{}
	for _, q := range qs {
		if q.Name == "replay" && c.in.Answer != nil || q.needs && !s.baseRefused {
			continue
		}
		if out.Sent >= p.budget() {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("the budget of %d requests is used up", p.budget()))
			break
		}
		a, err := s.ask(ctx, r, q)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		res := Result{Name: q.Name}
		if err != nil {
			res.Error = plainError(err)
			c.unreachable(q.Name, err)
		} else {
			res.Status = a.Status
			answers[q.Name] = a
			if q.Name == "plain" {
				s.baseRefused = refusing(a.Status) && a.Status != 404 && a.Status != 405 && a.Status != 500
			}
			c.learn(q.Name, a, answers)
			res.Shows = c.shows(q.Name, a, answers)
		}
		out.Results = append(out.Results, res)
		c.step("probe "+q.Name, Info, strings.TrimSpace(fmt.Sprintf("%s %s: %d %s", q.Method, q.Change, res.Status, res.Error)))
		if err != nil && q.Name == "plain" {
			break
		}
	}
	if *s.askedForCert && l.Scheme == "https" {
		c.board.add("client_cert_missing", "probe tls", 3.4, "tls", Evidence{From: "probe", Text: "the TLS handshake asks for a client certificate, and none was sent"})
	}
	return nil
}

func (p *Prober) budget() int {
	if p.Budget <= 0 {
		return 12
	}
	return p.Budget
}

// session is one round of questions.
type session struct {
	p            *Prober
	out          *Probing
	client       *http.Client
	transport    *http.Transport
	last         bool
	baseRefused  bool
	askedForCert *bool
}

func (s *session) close() {
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
}

// prepare builds the client: no redirect is followed, no cookie kept, no compression asked for.
func (s *session) prepare(r *reqtext.Request) {
	timeout := s.p.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	rt := s.p.transport
	if rt == nil {
		asked := s.askedForCert
		s.transport = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
			DisableCompression:     true,
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: 1 << 20,
			ForceAttemptHTTP2:      true,
			TLSClientConfig: &tls.Config{
				InsecureSkipVerify: s.p.Insecure || r.Insecure, //nolint:gosec // the user said so, as with curl -k
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					*asked = true
					return &tls.Certificate{}, nil
				},
			},
		}
		if r.Proxy != "" {
			via := r.Proxy
			if !strings.Contains(via, "://") {
				via = "http://" + via
			}
			if u, err := url.Parse(via); err == nil {
				s.transport.Proxy = http.ProxyURL(u)
			}
		}
		rt = s.transport
	}
	s.client = &http.Client{Transport: rt, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *session) ask(ctx context.Context, r *reqtext.Request, q question) (*reqtext.Answer, error) {
	if s.client == nil {
		s.prepare(r)
	}
	if s.last {
		interval := s.p.Interval
		if interval <= 0 {
			interval = 250 * time.Millisecond
		}
		sleep := s.p.sleep
		if sleep == nil {
			sleep = pause
		}
		if err := sleep(ctx, interval); err != nil {
			return nil, err
		}
	}
	s.last = true
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.Method, q.URL, body)
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{}
	for _, f := range q.header {
		req.Header[f.Name] = append(req.Header[f.Name], f.Value)
	}
	if !q.header.Has("User-Agent") {
		req.Header["User-Agent"] = nil // none, as in the request
	}
	req.Host = q.host
	s.out.Sent++
	if !safe(q.Method) {
		s.out.Unsafe++
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil && len(b) == 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	a := &reqtext.Answer{Status: resp.StatusCode, Body: b}
	for name, values := range resp.Header {
		for _, v := range values {
			a.Header.Add(name, v)
		}
	}
	return a, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// plainError is a fault of the network without the address, which the report names already.
func plainError(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
