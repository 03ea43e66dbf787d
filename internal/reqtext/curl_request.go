package reqtext

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"postern/internal/header"
)

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
	r := Request{Notes: slices.Clone(st.notes), Follows: st.follows, Insecure: st.insecure, Proxy: st.proxy}
	l, err := st.locate(address, &r)
	if err != nil {
		return r, err
	}
	body, contentType := st.body(&r)
	if st.get && (st.hasData || len(st.data) > 0) {
		l.Query = joinQuery(l.Query, strings.Join(st.data, "&"))
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
		{Name: "Host", Value: l.Authority}, {Name: "Authorization", Value: st.authorization()}, {Name: "User-Agent", Value: st.agent},
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
		const boundary = "------------------------postern-request"
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
func (st *curlState) locate(address string, r *Request) (Location, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	if !st.glob && strings.ContainsAny(address, "{}[]") && !strings.Contains(address, "://[") {
		return Location{}, fmt.Errorf("curl: the address %q has braces or brackets, which curl expands to several addresses; write them out, or add --globoff", clip(address))
	}
	l, err := SplitURL(address)
	if err != nil {
		return l, fmt.Errorf("curl: %w", err)
	}
	if user, host, ok := cutLast(l.Authority, "@"); ok {
		l.Authority = host
		if plain, err := url.PathUnescape(user); err == nil && !st.hasUser {
			st.user, st.hasUser = plain, true
		}
	}
	if !st.asIs {
		if p := withoutDots(l.Path); p != l.Path {
			r.Notes = append(r.Notes, fmt.Sprintf("curl sends the path %q for %q; --path-as-is keeps dots", clip(p), clip(l.Path)))
			l.Path = p
		}
	}
	for _, q := range st.query {
		name, value, ok := strings.Cut(q, "=")
		if ok {
			q = name + "=" + url.QueryEscape(value)
		}
		l.Query = joinQuery(l.Query, strings.TrimPrefix(q, "="))
	}
	if st.target != "" {
		p, q, _ := strings.Cut(st.target, "?")
		l.Path, l.Query = p, q
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
