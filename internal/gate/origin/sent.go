package origin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"

	"postern/internal/decision"
	"postern/internal/gate"
	"postern/internal/header"
)

// sent returns the token that a request brings: in its header field, or else in its form. ok is false when the verdict
// is all there is.
func (t *token) sent(ctx context.Context, x *gate.Exchange, rule *decision.Rule) (value string, v decision.Verdict, ok bool) {
	value, n := x.Header.Lookup(t.header)
	switch {
	case n > 1:
		return "", t.invalid(rule, "the field "+t.header+" came more than once"), false
	case value != "":
		return value, v, true
	case t.field == "":
		return "", t.missing(rule, "none was sent", false), false
	}
	kind, params, err := mime.ParseMediaType(x.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" && kind != "multipart/form-data" {
		return "", t.missing(rule, "none was sent, and the body is no form", false), false
	}
	if x.Env.Dry && x.Body.Length() == 0 {
		return "", decision.Abstain(decision.CSRFMissing, rule,
			decision.Fact{Name: "body", Want: "the form, which may hold the token", Public: decision.ToAnyone}), false
	}
	if coding := x.Header.Get("Content-Encoding"); coding != "" && !header.EqualFold(coding, "identity") {
		return "", t.missing(rule, "the form is compressed, so it was not looked into", false), false
	}
	body, whole, err := x.Body.Peek(ctx, form)
	if err != nil {
		if fault, ok := errors.AsType[*gate.BodyError](err); ok {
			return "", fault.Verdict(), false
		}
		return "", decision.Refuse(decision.ClientGone, rule), false
	}
	var found int
	if kind == "multipart/form-data" {
		value, found = partOf(body, params["boundary"], t.field)
	} else {
		value, found = formValue(string(body), t.field, whole)
	}
	switch {
	case found > 1:
		return "", t.invalid(rule, "the form field "+t.field+" came more than once"), false
	case value == "" && !whole:
		return "", t.missing(rule, "none stands in the first 64 KiB of the form", false), false
	case value == "":
		return "", t.missing(rule, "none was sent", false), false
	}
	return value, v, true
}

// formValue finds a field of an urlencoded form and says how often it occurs. A last pair that may go on is left out.
func formValue(s, name string, whole bool) (value string, n int) {
	if !whole {
		s = s[:max(strings.LastIndexByte(s, '&'), 0)]
	}
	for pair := range strings.SplitSeq(s, "&") {
		k, v, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(k); err != nil || k != name {
			continue
		}
		n++
		if v, err := url.QueryUnescape(v); err == nil && n == 1 {
			value = v
		}
	}
	return value, n
}

// partOf finds a field of a multipart form as far as its body is at hand, and says how often it occurs. A part that is a
// file, or larger than any token, is none.
func partOf(body []byte, boundary, name string) (value string, n int) {
	if boundary == "" {
		return "", 0
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for range 1000 {
		p, err := r.NextRawPart()
		if err != nil {
			break
		}
		if p.FormName() != name || p.FileName() != "" {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(p, maxToken+1))
		if n++; err == nil && len(b) <= maxToken && n == 1 {
			value = string(b)
		}
	}
	return value, n
}

// cookie returns the first cookie of a name (RFC 6265 section 5.4) and how many there are. Names are compared exactly.
func cookie(l header.List, name string) (value string, n int) {
	for i := range l {
		if len(l[i].Name) != 6 || !header.EqualFold(l[i].Name, "Cookie") {
			continue
		}
		for rest := l[i].Value; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			k, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !ok || strings.TrimRight(k, " \t") != name {
				continue
			}
			if n++; n == 1 {
				value = strings.Trim(v, " \t")
			}
		}
	}
	return value, n
}
