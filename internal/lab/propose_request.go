package lab

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/header"
	"postern/internal/policy"
)

// requestProposals are candidates for the form of the request and for where it leads.
var requestProposals = map[string]proposal{
	decision.RouteNotFound.Code:    {find: (*question).routes, whyNot: "no operation is like the one that was asked for"},
	decision.MethodNotAllowed.Code: {find: (*question).methods},
	decision.APIRetired.Code:       {find: (*question).revive},
	decision.RequestMalformed.Code: {find: (*question).wellFormed, whyNot: "what the request was meant to say would be a guess"},
	decision.RequestTooLarge.Code:  {find: (*question).largerBody, whyNot: "what may be left out of the body is known to the caller only"},
	decision.HeaderTooLarge.Code:   {find: (*question).smallerHeader},
	decision.ExpectationFailed.Code: {find: func(*question) []Change {
		return []Change{removeHeader("Expect", "Leave out the field Expect.")}
	}},
}

// usePath proposes another path.
func usePath(from, to string, size int) Change {
	return Change{
		Kind: "use_path", slot: "path", Who: byCaller, Target: "path", From: from, To: to, Risk: RiskNone, size: size, public: decision.ToAnyone,
		Text: "Send it to " + to + ".",
		apply: func(w *world) error {
			return w.setURL(func(p *parts) { p.path = to })
		},
	}
}

// routes proposes the path, host, field or version that the request nearly matches. The hint is the router's, which says as
// much to people.
func (q *question) routes() (out []Change) {
	x := q.a.x
	for _, f := range q.v.Facts() {
		if f.Name != "nearest" {
			continue
		}
		hint := f.Want
		switch {
		case strings.HasPrefix(hint, " Did you mean "):
			template := strings.TrimSuffix(strings.TrimPrefix(hint, " Did you mean "), "?")
			c := usePath(x.Path, fill(template, x.Path), 1)
			c.public = f.Public
			out = append(out, c)
		case strings.HasPrefix(hint, " The host "):
			host, _, _ := strings.Cut(strings.TrimPrefix(hint, " The host "), " ")
			out = append(out, Change{
				Kind: "use_host", Who: byCaller, Target: "host", From: x.Hostname, To: host, Risk: RiskNone, public: f.Public, Text: "Send it to the host " + host + ".",
				apply: func(w *world) error {
					w.dropHeader("Host")
					return w.setURL(func(p *parts) { p.authority = host })
				},
			})
		case strings.HasPrefix(hint, " The field "):
			name, values, _ := strings.Cut(strings.TrimPrefix(hint, " The field "), " selects the version here: ")
			for v := range strings.SplitSeq(strings.TrimSuffix(values, "."), ", ") {
				out = append(out, Change{
					Kind: "set_header", Who: byCaller, Target: "header " + name, To: v, Risk: RiskNone, public: f.Public,
					Text:  "Send the field " + name + ": " + v + ".",
					apply: func(w *world) error { w.setHeader(name, v); return nil },
				})
			}
		}
	}
	return append(out, q.drafts()...)
}

// fill puts the segments of a path that was sent into a template that it nearly matches.
func fill(template, sent string) string {
	segments, given := strings.Split(template, "/"), strings.Split(sent, "/")
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			continue
		}
		if strings.HasSuffix(s, "...}") {
			return strings.Join(append(segments[:i:i], given[min(i, len(given)):]...), "/")
		}
		if i < len(given) && given[i] != "" {
			segments[i] = given[i]
		}
	}
	return strings.Join(segments, "/")
}

// drafts proposes to publish versions that would have the request.
func (q *question) drafts() (out []Change) {
	const most = 2
	doc := q.w.document()
	for i := range doc.APIs {
		for j := range doc.APIs[i].Versions {
			api, v := &doc.APIs[i], &doc.APIs[i].Versions[j]
			if v.State != "draft" || !strings.HasPrefix(q.a.x.Path, v.BasePath) || len(out) == most {
				continue
			}
			at := fmt.Sprintf("/apis/%d/versions/%d", i, j)
			out = append(out, setState(at, "draft", "published", "publish_version",
				fmt.Sprintf("Publish the draft version %s of %s.", v.Version, api.Name)))
		}
	}
	return out
}

func setState(at, from, to, kind, text string) Change {
	c := Change{Kind: kind, Who: byOperator, Target: at + "/state", From: from, To: to, Risk: RiskSeveral, Text: text}
	c.apply = func(w *world) error {
		return edit(w, c.id(), at, func(v *policy.Version) error { v.State = to; return nil })
	}
	return c
}

// methods proposes those that the path takes.
func (q *question) methods() (out []Change) {
	const most = 3
	for m := range strings.SplitSeq(q.a.x.Allow, ", ") {
		if m == "" || m == "HEAD" || m == "OPTIONS" || len(out) == most {
			continue
		}
		out = append(out, Change{
			Kind: "use_method", slot: "method", Who: byCaller, Target: "method", From: q.a.x.Method, To: m, Risk: RiskNone, size: 2, public: decision.ToAnyone,
			Text:  "Send " + m + " in place of " + q.a.x.Method + ", if that is what you mean.",
			apply: func(w *world) error { w.req.Method = m; return nil },
		})
	}
	return out
}

// revive proposes the successor of a retired version, and to serve it on.
func (q *question) revive() (out []Change) {
	p, ok := q.operation()
	if !ok {
		return nil
	}
	doc, at := q.w.document(), p.versionPointer()
	old, ok := valueAt[policy.Version](doc, at)
	if !ok {
		return nil
	}
	for _, v := range doc.APIs[p.api].Versions {
		if v.Version != old.Successor || old.Successor == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(q.a.x.Path, strings.TrimSuffix(old.BasePath, "/")); ok && v.BasePath != old.BasePath {
			c := usePath(q.a.x.Path, strings.TrimSuffix(v.BasePath, "/")+rest, 2)
			c.Text = "Use the version " + v.Version + ": send it to " + c.To + "."
			out = append(out, c)
		}
		if h := v.ByHeader; h != nil {
			out = append(out, Change{
				Kind: "set_header", Who: byCaller, Target: "header " + h.Name, To: h.Value, Risk: RiskNone, size: 2, public: decision.ToAnyone,
				Text:  "Use the version " + v.Version + ": send the field " + h.Name + ": " + h.Value + ".",
				apply: func(w *world) error { w.setHeader(h.Name, h.Value); return nil },
			})
		}
	}
	return append(out, setState(at, "retired", "deprecated", "unretire_version",
		fmt.Sprintf("Set the version %s of %s back to deprecated to serve it on.", old.Version, doc.APIs[p.api].Name)))
}

// wellFormed proposes a path without detours, one of each field that came twice, and to keep encoded slashes.
func (q *question) wellFormed() (out []Change) {
	x := q.a.x
	if clean := path.Clean("/" + x.RawPath); clean != x.RawPath {
		if strings.HasSuffix(x.RawPath, "/") && clean != "/" {
			clean += "/"
		}
		if clean != x.RawPath {
			out = append(out, usePath(x.RawPath, clean, 1))
		}
	}
	if i := strings.IndexByte(x.RawPath, ';'); i >= 0 {
		out = append(out, usePath(x.RawPath, x.RawPath[:i], 1))
	}
	if strings.Contains(strings.ToUpper(x.RawPath), "%2F") {
		out = append(out, q.keepSlashes()...)
	}
	seen := map[string]bool{}
	for _, f := range x.Header {
		name := strings.ToLower(f.Name)
		if seen[name] && len(out) < 4 {
			first := x.Header.Get(f.Name)
			out = append(out, Change{
				Kind: "send_once", Who: byCaller, Target: "header " + f.Name, Risk: RiskNone, public: decision.ToAnyone, Text: "Send the field " + f.Name + " once.",
				apply: func(w *world) error { w.setHeader(f.Name, first); return nil },
			})
		}
		seen[name] = true
	}
	if x.Header.Has("Content-Length") && x.Header.Has("Transfer-Encoding") {
		out = append(out, removeHeader("Transfer-Encoding", "Say the length of the body once: leave out Transfer-Encoding."))
	}
	return out
}

// keepSlashes proposes to accept encoded slashes in versions that the path may lead to.
func (q *question) keepSlashes() (out []Change) {
	const most = 2
	doc := q.w.document()
	for i := range doc.APIs {
		for j, v := range doc.APIs[i].Versions {
			if v.EncodedSlashes == "keep" || !strings.HasPrefix(q.a.x.RawPath, v.BasePath) || len(out) == most {
				continue
			}
			at := fmt.Sprintf("/apis/%d/versions/%d", i, j)
			c := Change{Kind: "keep_encoded_slashes", Who: byOperator, Target: at + "/encoded_slashes", To: "keep", Risk: RiskSeveral,
				Text: fmt.Sprintf("If the backend of %s %s takes %%2F within a segment, set `encoded_slashes: keep` on the version.", doc.APIs[i].Name, v.Version)}
			c.apply = func(w *world) error {
				return edit(w, c.id(), at, func(v *policy.Version) error { v.EncodedSlashes = "keep"; return nil })
			}
			out = append(out, c)
		}
	}
	return out
}

// largerBody proposes to raise the limit of the operation to what the body has.
func (q *question) largerBody() []Change {
	p, ok := q.operation()
	if !ok || p.operation < 0 {
		return nil
	}
	n := int64(len(q.w.req.Body))
	c := Change{Kind: "raise_body_bytes", Who: byOperator, Target: p.pointer + "/body_bytes", From: q.want("limit"), To: fmt.Sprint(n), Risk: RiskSeveral,
		Text: fmt.Sprintf("Raise `body_bytes` of %s to at least %d.", q.a.x.Op.Name, n)}
	c.apply = func(w *world) error {
		return edit(w, c.id(), p.pointer, func(o *policy.Operation) error { o.BodyBytes = n; return nil })
	}
	return []Change{c}
}

// smallerHeader proposes to leave out the largest field, and to accept larger headers.
func (q *question) smallerHeader() (out []Change) {
	fields := slices.Clone(q.w.req.Header)
	slices.SortStableFunc(fields, func(a, b header.Field) int { return len(b.Value) - len(a.Value) })
	if len(fields) > 0 {
		out = append(out, removeHeader(fields[0].Name, fmt.Sprintf("The field %s is the largest, with %d bytes: leave it out or shorten it.", fields[0].Name, len(fields[0].Value))))
	}
	size, count := len(q.w.req.URL)+64, len(fields)+1
	for _, f := range fields {
		size += len(f.Name) + len(f.Value) + 4
	}
	for i, l := range q.w.document().Listeners {
		at := fmt.Sprintf("/listeners/%d/limits", i)
		c := Change{Kind: "raise_header_limits", Who: byOperator, Target: at, To: fmt.Sprintf("header_bytes %d, header_count %d", size, count), Risk: RiskSeveral,
			Text: fmt.Sprintf("Raise `header_bytes` of the listener %s to %d and `header_count` to %d, or more.", l.Name, size, count)}
		c.apply = func(w *world) error {
			return edit(w, c.id(), at, func(m *policy.MessageLimits) error {
				m.HeaderBytes, m.HeaderCount = max(m.HeaderBytes, size), max(m.HeaderCount, count)
				return nil
			})
		}
		out = append(out, c)
	}
	return out
}
