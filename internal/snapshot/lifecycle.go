package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/policy"
)

// imfFixdate is the form of dates in HTTP fields (RFC 9110 section 5.6.7).
const imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"

// lifecycle is what callers are told about the age of a version.
type lifecycle struct {
	deprecation string // RFC 9745: a structured date, "@" and seconds
	sunset      string // RFC 8594: an IMF-fixdate
	link        string // rel="successor-version" (RFC 5829)
	retiredOn   string // for the sentence of a refusal, with a space in front
}

func (b *builder) lifecycle(v *version) (l lifecycle) {
	since := b.time(v.pointer+"/since", v.Since)
	sunset := b.time(v.pointer+"/sunset", v.Sunset)
	if !since.IsZero() && !sunset.IsZero() && sunset.Before(since) {
		b.problem(v.pointer+"/sunset", "let it come after since", "the version is retired (%s) before it is deprecated (%s)", v.Sunset, v.Since)
	}
	b.checkSuccessor(v)
	switch v.state {
	case "deprecated", "retired":
		// Without a date nothing is said: a made-up one would be false.
		if !since.IsZero() {
			l.deprecation = fmt.Sprintf("@%d", since.Unix())
		}
		if !sunset.IsZero() {
			l.sunset = sunset.UTC().Format(imfFixdate)
			l.retiredOn = " on " + sunset.UTC().Format("2 January 2006")
		}
		l.link = successorLink(v)
	case "published":
		if !sunset.IsZero() {
			l.sunset = sunset.UTC().Format(imfFixdate)
		}
	}
	return l
}

func (b *builder) checkSuccessor(v *version) {
	if v.Successor == "" {
		return
	}
	var others []string
	for _, o := range v.api.Versions {
		if o.Version != v.Version.Version {
			others = append(others, o.Version)
		}
	}
	if !slices.Contains(others, v.Successor) {
		remedy := "name another version of this API"
		if near := policy.Suggest(v.Successor, others); near != "" {
			remedy = "did you mean " + near + "?"
		}
		b.problem(v.pointer+"/successor", remedy, "the API has no other version %q", v.Successor)
	}
}

// successorLink points to the base path of the successor; at another host, where the successor has hosts of its own.
func successorLink(v *version) string {
	i := slices.IndexFunc(v.api.Versions, func(o policy.Version) bool { return v.Successor != "" && o.Version == v.Successor })
	if i < 0 {
		return ""
	}
	next := &v.api.Versions[i]
	target := next.BasePath
	if target == "" {
		target = "/"
	}
	if len(next.Hosts) > 0 && !strings.HasPrefix(next.Hosts[0], "*") && !slices.Equal(next.Hosts, v.Hosts) {
		target = "//" + next.Hosts[0] + target
	}
	return "<" + target + `>; rel="successor-version"`
}

func (b *builder) time(pointer, s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		b.problem(pointer, "write it as in RFC 3339, such as 2026-12-31T00:00:00Z", "%q is no time", s)
	}
	return t
}
