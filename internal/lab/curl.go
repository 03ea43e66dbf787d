package lab

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"postern/internal/header"
	"postern/internal/policy"
)

// parseCurl reads one or more curl commands, in the quoting of a POSIX shell, of bash ($'...') or of the Windows prompt,
// with the options that shape a request. Options about the transfer (-k, -s, --max-time) are accepted and noted where
// they matter; one that is not known is an error, because it might change what is sent.
func parseCurl(text string, o options) ([]Request, error) {
	commands, err := words(text)
	if err != nil {
		return nil, err
	}
	var out []Request
	for i, args := range commands {
		requests, err := parseCurlArgs(args, o)
		if err != nil {
			if len(commands) > 1 {
				return nil, fmt.Errorf("command %d: %w", i+1, err)
			}
			return nil, err
		}
		if out = append(out, requests...); len(out) > maxRequests {
			return nil, fmt.Errorf("more than %d requests", maxRequests)
		}
	}
	if len(out) > 1 {
		for i := range out {
			out[i].Name = fmt.Sprintf("request %d", i+1)
		}
	}
	return out, nil
}

// curlOption is how an option is read: its long name, and whether a value follows.
type curlOption struct {
	short byte
	long  string
	value bool
}

// The options of curl that a pasted command has. Those that do not shape the request are listed as well: an option that
// is not here is refused, since nobody knows whether a value follows it.
var curlOptions = func() (list []curlOption) {
	add := func(value bool, names string) {
		for _, n := range strings.Fields(names) {
			o := curlOption{long: n, value: value}
			if short, long, ok := strings.Cut(n, "/"); ok {
				o.short, o.long = short[0], long
			}
			list = append(list, o)
		}
	}
	add(true, `X/request H/header d/data data-raw data-binary data-ascii data-urlencode json u/user b/cookie F/form
		form-string url url-query A/user-agent e/referer T/upload-file oauth2-bearer request-target r/range z/time-cond
		m/max-time connect-timeout o/output x/proxy U/proxy-user cacert capath E/cert key key-type cert-type pass resolve
		connect-to retry retry-delay retry-max-time w/write-out c/cookie-jar interface limit-rate max-redirs dns-servers
		D/dump-header K/config ciphers tls-max tls13-ciphers Y/speed-limit y/speed-time C/continue-at trace trace-ascii
		noproxy proto proto-redir stderr unix-socket output-dir local-port keepalive-time expect100-timeout aws-sigv4
		max-filesize rate netrc-file proxy-header preproxy socks5 socks5-hostname happy-eyeballs-timeout-ms`)
	add(false, `G/get I/head k/insecure L/location compressed s/silent S/show-error v/verbose i/include f/fail
		fail-with-body fail-early N/no-buffer g/globoff path-as-is http1.0 http1.1 http2 http2-prior-knowledge http3
		http3-only 0/http1.0 4/ipv4 6/ipv6 #/progress-bar no-progress-meter O/remote-name J/remote-header-name R/remote-time
		location-trusted post301 post302 post303 tcp-nodelay no-keepalive keepalive tlsv1 tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3
		1/tlsv1 ssl-reqd anyauth basic digest ntlm negotiate n/netrc netrc-optional q/disable create-dirs remove-on-error
		retry-connrefused retry-all-errors raw tr-encoding styled-output no-styled-output Z/parallel a/append j/junk-session-cookies
		ssl-no-revoke tcp-fastopen p/proxytunnel disallow-username-in-url no-alpn no-sessionid trace-time false-start`)
	return list
}()

// curlState is what the options of one command say, up to --next.
type curlState struct {
	o       options
	urls    []string
	method  string
	header  header.List
	removed []string
	data    []string
	unknown bool // part of the data is not here
	hasData bool
	json    bool
	form    []string
	get     bool
	head    bool
	upload  bool
	glob    bool // --globoff
	asIs    bool // --path-as-is
	user    string
	hasUser bool
	bearer  string
	cookies []string
	agent   string
	referer string
	coded   bool // --compressed
	query   []string
	target  string
	spans   string
	notes   []string
}

func parseCurlArgs(args []string, o options) ([]Request, error) {
	var out []Request
	st := &curlState{o: o, agent: "curl"}
	done := func() error {
		r, err := st.requests()
		out = append(out, r...)
		return err
	}
	for i := 1; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--next" || a == "-:":
			if err := done(); err != nil {
				return nil, err
			}
			st = &curlState{o: o, agent: "curl"}
		case a == "--":
			st.urls = append(st.urls, args[i+1:]...)
			i = len(args)
		case strings.HasPrefix(a, "--"):
			opt, err := longOption(a[2:])
			if err != nil {
				return nil, err
			}
			value := ""
			if opt.value {
				if i++; i >= len(args) {
					return nil, fmt.Errorf("curl: the option --%s needs a value", opt.long)
				}
				value = args[i]
			}
			if err := st.apply(opt.long, value); err != nil {
				return nil, err
			}
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				k := slices.IndexFunc(curlOptions, func(o curlOption) bool { return o.short == a[j] })
				if k < 0 {
					return nil, fmt.Errorf("curl: the option -%s is not known here; remove it if it does not shape the request", clip(a[j:j+1]))
				}
				value := ""
				if curlOptions[k].value {
					if value = a[j+1:]; value == "" {
						if i++; i >= len(args) {
							return nil, fmt.Errorf("curl: the option -%c needs a value", curlOptions[k].short)
						}
						value = args[i]
					}
					j = len(a)
				}
				if err := st.apply(curlOptions[k].long, value); err != nil {
					return nil, err
				}
			}
		default:
			st.urls = append(st.urls, a)
		}
	}
	return out, errors.Join(done())
}

func longOption(name string) (curlOption, error) {
	if name, ok := strings.CutPrefix(name, "no-"); ok { // --no-compressed and the like take back a default
		if i := slices.IndexFunc(curlOptions, func(o curlOption) bool { return o.long == name && !o.value }); i >= 0 {
			return curlOption{long: "no-" + name}, nil
		}
	}
	var names []string
	for _, o := range curlOptions {
		if o.long == name {
			return o, nil
		}
		names = append(names, o.long)
	}
	remedy := "remove it if it does not shape the request"
	if near := policy.Suggest(name, names); near != "" {
		remedy = "did you mean --" + near + "?"
	}
	return curlOption{}, fmt.Errorf("curl: the option --%s is not known here; %s", clip(name), remedy)
}

func (st *curlState) apply(option, value string) error {
	switch option {
	case "request":
		st.method = value
	case "header":
		return st.addHeader(value)
	case "data", "data-ascii", "data-binary", "json":
		st.json = st.json || option == "json"
		st.addData(value, option)
	case "data-raw":
		st.hasData, st.data = true, append(st.data, value)
	case "data-urlencode":
		st.addEncoded(value)
	case "form", "form-string":
		st.form = append(st.form, value)
		if _, v, _ := strings.Cut(value, "="); option == "form" && (strings.HasPrefix(v, "@") || strings.HasPrefix(v, "<")) {
			st.lacks("a part of the form is in a file")
		}
	case "get":
		st.get = true
	case "head":
		st.head = true
	case "user":
		st.user, st.hasUser = value, true
	case "oauth2-bearer":
		st.bearer = value
	case "cookie":
		if !strings.Contains(value, "=") {
			st.note("the cookies are in a file, which was not read")
			return nil
		}
		st.cookies = append(st.cookies, value)
	case "user-agent":
		st.agent = value
	case "referer":
		st.referer = strings.TrimSuffix(value, ";auto")
	case "url":
		st.urls = append(st.urls, value)
	case "url-query":
		st.query = append(st.query, value)
	case "upload-file":
		st.upload = true
		st.lacks("the body is a file to upload")
	case "request-target":
		st.target = value
	case "range":
		st.spans = value
	case "compressed":
		st.coded = true
	case "globoff":
		st.glob = true
	case "path-as-is":
		st.asIs = true
	case "config":
		return errors.New("curl: options in a file (-K) are not read; write them in the command")
	case "location", "location-trusted":
		st.note("redirects (-L) are not followed: the first request is the one that is judged")
	case "aws-sigv4", "digest", "ntlm", "negotiate", "anyauth", "netrc", "cert":
		st.note("what --" + option + " adds to the request is not known here")
	}
	return nil
}

func (st *curlState) note(s string) { st.notes = append(st.notes, s) }

func (st *curlState) lacks(what string) {
	st.unknown = true
	st.note(what + ", which was not read; what depends on the body is unknown")
}

// addHeader reads -H: "Name: value", "Name;" for an empty value, "Name:" to leave out a field that curl adds.
func (st *curlState) addHeader(s string) error {
	if strings.HasPrefix(s, "@") {
		return errors.New("curl: header fields in a file (-H @file) are not read; write them in the command")
	}
	name, value, colon := strings.Cut(s, ":")
	name, value = strings.TrimRight(name, " \t"), strings.Trim(value, " \t\r\n")
	switch {
	case colon && value != "":
		st.header = append(st.header, header.Field{Name: name, Value: value})
	case colon:
		st.removed = append(st.removed, name)
	case strings.HasSuffix(s, ";"):
		st.header = append(st.header, header.Field{Name: strings.TrimSuffix(s, ";")})
	default:
		return fmt.Errorf("curl: %q is no header field; write Name: value", clip(s))
	}
	return nil
}

func (st *curlState) addData(value, option string) {
	st.hasData = true
	file, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		st.data = append(st.data, value)
		return
	}
	if st.o.readFile != nil && file != "-" {
		if b, err := st.o.readFile(file); err == nil {
			text := string(b)
			if option == "data" || option == "data-ascii" { // curl drops line ends of files for these two
				text = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text)
			}
			st.data = append(st.data, text)
			return
		}
	}
	st.lacks(fmt.Sprintf("the body is in the file %q", clip(file)))
}

func (st *curlState) addEncoded(value string) {
	st.hasData = true
	i := strings.IndexAny(value, "=@")
	switch {
	case i < 0:
		st.data = append(st.data, url.QueryEscape(value))
	case value[i] == '@':
		st.lacks("a part of the body is in a file")
	case i == 0:
		st.data = append(st.data, url.QueryEscape(value[1:]))
	default:
		st.data = append(st.data, value[:i+1]+url.QueryEscape(value[i+1:]))
	}
}

// requests builds what the options say, one request for each address.
func (st *curlState) requests() ([]Request, error) {
	if len(st.urls) == 0 {
		return nil, errors.New("curl: the command names no address")
	}
	var out []Request
	for _, u := range st.urls {
		r, err := st.request(u)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (st *curlState) request(address string) (Request, error) {
	r := Request{Notes: slices.Clone(st.notes)}
	l, err := st.locate(address, &r)
	if err != nil {
		return r, err
	}
	body, contentType := st.body(&r)
	if st.get && (st.hasData || len(st.data) > 0) {
		l.query = joinQuery(l.query, strings.Join(st.data, "&"))
		body, contentType, r.BodyUnknown = "", "", false
	}
	r.URL = l.String()
	switch {
	case st.method != "":
		r.Method = st.method
	case st.head:
		r.Method = "HEAD"
	case st.upload:
		r.Method = "PUT"
	case (st.hasData || len(st.form) > 0) && !st.get:
		r.Method = "POST"
	default:
		r.Method = "GET"
	}
	accept, encoding := "*/*", ""
	if st.json {
		accept = "application/json"
	}
	if st.coded {
		encoding = "deflate, gzip, br, zstd"
	}
	own := []header.Field{
		{Name: "Host", Value: l.authority}, {Name: "Authorization", Value: st.authorization()}, {Name: "User-Agent", Value: st.agent},
		{Name: "Accept", Value: accept}, {Name: "Accept-Encoding", Value: encoding}, {Name: "Referer", Value: st.referer},
		{Name: "Range", Value: prefixed("bytes=", st.spans)}, {Name: "Cookie", Value: strings.Join(st.cookies, "; ")}, {Name: "Content-Type", Value: contentType},
	}
	if body != "" || contentType != "" && !r.BodyUnknown {
		own = append(own, header.Field{Name: "Content-Length", Value: fmt.Sprint(len(body))})
	}
	for _, f := range own {
		gone := slices.ContainsFunc(st.removed, func(n string) bool { return header.EqualFold(n, f.Name) })
		if f.Value != "" && !gone && !st.header.Has(f.Name) {
			r.Header = append(r.Header, f)
		}
	}
	r.Header = append(r.Header, st.header...)
	if body != "" {
		r.Body = []byte(body)
	}
	return r, nil
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func (st *curlState) authorization() string {
	switch {
	case st.bearer != "":
		return "Bearer " + st.bearer
	case st.hasUser:
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(st.user))
	}
	return ""
}

// body joins the data options, or builds the form.
func (st *curlState) body(r *Request) (body, contentType string) {
	switch {
	case len(st.form) > 0:
		const boundary = "------------------------postern-simulate"
		contentType = "multipart/form-data; boundary=" + boundary
		if st.unknown {
			r.BodyUnknown = true
			return "", contentType
		}
		var b strings.Builder
		for _, part := range st.form {
			name, value, _ := strings.Cut(part, "=")
			fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", boundary, name, value)
		}
		return b.String() + "--" + boundary + "--\r\n", contentType
	case st.hasData:
		contentType = "application/x-www-form-urlencoded"
		separator := "&"
		if st.json {
			contentType, separator = "application/json", ""
		}
		if st.unknown {
			r.BodyUnknown = true
			return "", contentType
		}
		return strings.Join(st.data, separator), contentType
	}
	r.BodyUnknown = st.unknown
	return "", ""
}

// locate does to an address what curl does before it sends.
func (st *curlState) locate(address string, r *Request) (location, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	if !st.glob && strings.ContainsAny(address, "{}[]") && !strings.Contains(address, "://[") {
		return location{}, fmt.Errorf("curl: the address %q has braces or brackets, which curl expands to several addresses; write them out, or add --globoff", clip(address))
	}
	l, err := splitURL(address)
	if err != nil {
		return l, fmt.Errorf("curl: %w", err)
	}
	if user, host, ok := cutLast(l.authority, "@"); ok {
		l.authority = host
		if plain, err := url.PathUnescape(user); err == nil && !st.hasUser {
			st.user, st.hasUser = plain, true
		}
	}
	if !st.asIs {
		if p := withoutDots(l.path); p != l.path {
			r.Notes = append(r.Notes, fmt.Sprintf("curl sends the path %q for %q; --path-as-is keeps dots", clip(p), clip(l.path)))
			l.path = p
		}
	}
	for _, q := range st.query {
		name, value, ok := strings.Cut(q, "=")
		if ok {
			q = name + "=" + url.QueryEscape(value)
		}
		l.query = joinQuery(l.query, strings.TrimPrefix(q, "="))
	}
	if st.target != "" {
		p, q, _ := strings.Cut(st.target, "?")
		l.path, l.query = p, q
	}
	return l, nil
}

func joinQuery(query, more string) string {
	if query == "" || more == "" {
		return query + more
	}
	return query + "&" + more
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// withoutDots removes dot segments (RFC 3986 section 5.2.4), as curl does.
func withoutDots(p string) string {
	if !strings.Contains(p, "/.") {
		return p
	}
	var out []string
	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, s)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}
