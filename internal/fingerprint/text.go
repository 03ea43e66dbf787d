package fingerprint

import (
	"html"
	"regexp"
	"strings"
)

// Said is a phrase that a text has.
type Said struct {
	*Phrase
	Text string // the words, as they stand there
}

var (
	markup = regexp.MustCompile(`(?s)<(?:script|style)\b.*?</(?:script|style)>|<!--.*?-->|<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

// Words is what a person reads in a body: markup taken out, at most most bytes.
func Words(body []byte, most int) string {
	if len(body) > MaxBody {
		body = body[:MaxBody]
	}
	s := strings.ToValidUTF8(string(body), "�")
	if strings.Contains(s, "<") {
		s = html.UnescapeString(markup.ReplaceAllString(s, " "))
	}
	s = strings.TrimSpace(spaces.ReplaceAllString(s, " "))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Read finds the phrases of a text that a refusal says: its body without markup, or a challenge. The strongest of each
// cause is returned.
func Read(text string) []Said { return read(text, false) }

// ReadLog finds the phrases of a line of a log.
func ReadLog(line string) []Said { return read(line, true) }

func read(text string, log bool) []Said {
	if len(text) > MaxBody {
		text = text[:MaxBody]
	}
	lower := asciiLower(text)
	var out []Said
	best := map[string]int{}
	for _, p := range loaded().phrases {
		if p.Log && !log || !p.needle.mayMatch(lower) {
			continue
		}
		at := p.re.FindStringIndex(text)
		if at == nil || p.not != nil && p.not.MatchString(text) {
			continue
		}
		said := Said{p, clip(text[at[0]:at[1]])}
		if i, ok := best[p.Cause]; !ok {
			best[p.Cause] = len(out)
			out = append(out, said)
		} else if out[i].Weight < p.Weight {
			out[i] = said
		}
	}
	return out
}

// Logged returns the signatures that a line of a log fits, best first in the sense of Identify.
func Logged(line string) []Match {
	text := newSubject(line)
	var out []Match
	for _, s := range loaded().withLog {
		for i := range s.log {
			m := &s.log[i]
			if !m.in(text) {
				continue
			}
			out = append(out, Match{Signature: s, Weight: 1.5 + 2.5*m.strength, Seen: []string{"the log says " + strings.TrimSpace(clip(m.text))}})
			break
		}
	}
	return out
}
