// Package fingerprint recognises who refused a request, and why, from the answer alone: web servers, proxies, firewalls,
// content networks, gateways, frameworks, identity systems, object stores and model providers each refuse in words of
// their own. `postern diagnose` asks it about any server, and the gateway about the refusals that upstreams send.
//
// What is known is data (signatures/*.json, phrases.json, causes.json), each entry with its confidence and where it was
// learnt. The code only matches: an answer against signatures of systems, any text against phrases that mean the same in
// whoever's mouth, and a line of a log against what servers write when they refuse.
package fingerprint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"postern/internal/header"
)

// MaxBody is how much of a body is looked at, in bytes: what a refusal has to say stands at its beginning.
const MaxBody = 64 << 10

// Answer is an HTTP answer to recognise.
type Answer struct {
	Status int
	Header header.List
	Body   []byte // only the first MaxBody bytes count; decoded, when it had a content coding
}

// Signature is how one system words one kind of refusal.
type Signature struct {
	ID     string `json:"id"`     // such as "kong.key-missing"
	System string `json:"system"` // whose refusal it is
	Layer  string `json:"layer"`
	Cause  string `json:"cause"` // an ID of causes.json, or "unknown": only the system is recognised

	Status  []int         `json:"status"` // none: any
	Headers []HeaderMatch `json:"headers"`
	Page    []string      `json:"page"` // all of them, and shared by several causes: the page of a server
	Body    []string      `json:"body"` // any of them
	Log     []string      `json:"log"`  // any of them

	Remedy     string `json:"remedy"`
	Confidence string `json:"confidence"` // high, medium or low: how sure the knowledge itself is
	Basis      string `json:"basis"`      // captured from a live server, read in a source, or recalled
	Source     string `json:"source"`
	Note       string `json:"note"`

	page, body, log []marker
	headers         []headerMarker
}

// HeaderMatch is a condition on a field of the answer: present, equal to Is, or matching the regular expression Re.
type HeaderMatch struct {
	Name string `json:"name"`
	Is   string `json:"is"`
	Re   string `json:"re"`
	May  bool   `json:"may"` // supports when it is there, and says nothing when it is not
}

// Match is a signature that fits an answer.
type Match struct {
	*Signature
	// Weight is how much the answer speaks for the cause, as a log-likelihood ratio; above about 3 little else compares.
	Weight float64
	// PageOnly says that the answer is a page which the same server sends for several causes: it names the server only.
	PageOnly bool
	Seen     []string // what was recognised, in words for people
}

// Identify returns the signatures that fit an answer, best first. Of answers that are no refusal it knows the soft ones
// only: a challenge or a fault with status 200.
func Identify(a Answer) []Match {
	body := a.Body
	if len(body) > MaxBody {
		body = body[:MaxBody]
	}
	text := newSubject(string(body))
	var out []Match
	for _, s := range signatures() {
		if m, ok := s.match(&a, text); ok {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(x, y Match) int {
		return cmp.Or(cmp.Compare(y.Weight, x.Weight), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// match decides whether the answer fits. A signature with words of its own needs one of them; one with only a page needs
// the whole page; one with neither needs every field it names.
func (s *Signature) match(a *Answer, text *subject) (Match, bool) {
	m := Match{Signature: s}
	right := len(s.Status) == 0 || slices.Contains(s.Status, a.Status)
	if !right && a.Status < 400 || len(s.Status) == 0 && a.Status < 400 && len(s.Headers) == 0 {
		return m, false
	}
	for i := range s.page {
		if !s.page[i].in(text) {
			return m, false
		}
	}
	strength := 0.0
	for i := range s.body {
		if k := s.body[i].in(text); k && s.body[i].strength > strength {
			strength = s.body[i].strength
			m.Seen = append(m.Seen, fmt.Sprintf("the body says %q", clip(s.body[i].text)))
		}
	}
	got, missing, own, telling, contradicted := 0, 0, 0, 0, false
	for i := range s.headers {
		h := &s.headers[i]
		value, ok := h.in(a.Header)
		switch {
		case ok:
			got++
			if (h.Is != "" || h.Re != "") && !h.May && !ordinary(h.Name) {
				telling++
			}
			if !h.May && !header.EqualFold(h.Name, "Server") && !header.EqualFold(h.Name, "Content-Length") {
				own++
			}
			m.Seen = append(m.Seen, fmt.Sprintf("the answer has %s: %s", h.Name, clip(value)))
		case !h.May:
			missing++
			if header.EqualFold(h.Name, "Server") && a.Header.Has("Server") {
				contradicted = true
			}
		}
	}
	switch {
	case strength == 0 && len(s.body) > 0 && len(s.page) == 0 && telling == 0:
		return m, false
	case strength == 0 && missing > 0: // nothing but fields, or a page and the fields of its server
		return m, false
	case strength == 0 && len(s.page) == 0 && (got == 0 || len(s.body)+len(s.log)+len(s.Status) == 0):
		return m, false
	case contradicted && strength < 0.9: // another server signed it; a proxy in front may have
		return m, false
	case missing > 0 && strength < 0.6: // a few words alone are nobody's
		return m, false
	case !right && strength < 0.8:
		return m, false
	}
	m.PageOnly = len(s.page) > 0 && strength == 0
	switch {
	case m.PageOnly:
		m.Weight = 0.5
		if s.Cause == "unknown" { // it claims nothing but the server, which is all that is known
			m.Weight = 0.7
		}
		m.Seen = append(m.Seen, "the page is the one "+s.System+" sends")
	case strength > 0:
		m.Weight = 1.2 + 2.3*strength + 0.4*float64(min(got, 3)) - 0.5*float64(min(missing, 2))
	default: // fields alone: those every answer of a server has say only who answered
		m.Weight = 0.6 + 0.5*float64(min(own, 2)) + 1.2*float64(min(telling, 1))
	}
	if !right {
		m.Weight -= 1.2
	}
	m.Weight *= map[string]float64{"high": 1, "medium": 0.85, "low": 0.5}[s.Confidence]
	return m, m.Weight > 0
}

// ordinary reports whether a field is in answers of all kinds, so that its value tells little about who refused.
func ordinary(name string) bool {
	for _, n := range []string{"Server", "Content-Length", "Content-Type", "Cache-Control", "Connection", "Vary", "X-Frame-Options", "X-Powered-By", "Via", "Referrer-Policy", "Allow"} {
		if header.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// marker is a piece of text to find. White space does not matter to a plain one, since JSON is printed in many ways.
type marker struct {
	text     string
	squeezed string
	re       *regexp.Regexp
	needle   needle
	strength float64 // 0 to 1: how unlikely it is in the mouth of anyone else
}

// newMarker reads a marker of the data: a regular expression behind "re:", or plain text.
func newMarker(s string) (marker, error) {
	if pattern, ok := strings.CutPrefix(s, "re:"); ok {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return marker{}, fmt.Errorf("%q: %w", s, err)
		}
		letters := 0
		for i := range len(pattern) {
			if c := pattern[i] | 0x20; c >= 'a' && c <= 'z' {
				letters++
			}
		}
		// A whole body is more telling than its length: "^Forbidden$" and "^RBAC: access denied$" differ in theirs.
		return marker{text: pattern, re: re, needle: needleOf(pattern), strength: strengthOf(letters)}, nil
	}
	m := marker{text: s, squeezed: squeeze(s), strength: strengthOf(len([]rune(s)))}
	if m.squeezed == "" {
		return m, fmt.Errorf("%q: an empty marker fits everything", s)
	}
	for _, r := range s {
		if r > 0x2e80 { // a sign of the Han script says as much as a word
			m.strength = min(1, m.strength+0.6)
			break
		}
	}
	return m, nil
}

func strengthOf(n int) float64 { return min(1, max(0.15, float64(n-4)/24)) }

func (m *marker) in(s *subject) bool {
	if m.re != nil {
		return m.needle.mayMatch(s.lower) && (m.re.MatchString(s.plain) || s.compact != "" && m.re.MatchString(s.compact))
	}
	return strings.Contains(s.squeezed, m.squeezed)
}

// subject is a text that markers are looked for in.
type subject struct{ plain, lower, compact, squeezed string }

func newSubject(s string) *subject {
	s = strings.TrimSpace(s)
	out := &subject{plain: s, lower: asciiLower(s), squeezed: squeeze(s)}
	if strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
		var b bytes.Buffer
		if json.Compact(&b, []byte(s)) == nil {
			out.compact = b.String()
		}
	}
	return out
}

// squeeze drops white space.
func squeeze(s string) string {
	var b bytes.Buffer
	b.Grow(len(s))
	for i := range len(s) {
		if s[i] > ' ' {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

type headerMarker struct {
	HeaderMatch
	re *regexp.Regexp
}

func (h *headerMarker) in(list header.List) (string, bool) {
	for _, f := range list {
		if !header.EqualFold(f.Name, h.Name) {
			continue
		}
		switch {
		case h.re != nil && h.re.MatchString(f.Value), h.re == nil && h.Is != "" && strings.EqualFold(f.Value, h.Is), h.re == nil && h.Is == "":
			return f.Value, true
		}
	}
	return "", false
}

func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
