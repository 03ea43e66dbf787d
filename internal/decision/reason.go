package decision

import (
	"slices"
	"strings"
)

// Reason is one entry of the published catalogue. Codes are never reused and never change their meaning.
//
// Detail and the advice are templates: {name|otherwise} is replaced by what the fact of that name wants, {name.got|otherwise}
// by what the request brought, and by the words after the bar when there is no such fact or the asker may not see it. In
// {name|otherwise|shape} the value takes the place of the "%" in the shape, so that a sentence reads well either way:
// "{tenant|your tenant|tenant '%'}".
type Reason struct {
	Code   string     // "<gate>.<what>", lower case
	Gate   string     // the layer that refuses, equal to the package's folder
	Status int        // HTTP status; 0 when it is the upstream's own
	Title  string     // a few words, the same for every occurrence (RFC 9457 title)
	Detail string     // one sentence about this occurrence
	Advice []Advice   // at least one
	Public Disclosure // how widely the exact code may be told; others see the coarse stand-in (Reason.Told)
	Means  string     // for the reason's page: what happened and why Postern refuses
}

// Party is who can carry out a remedy.
type Party uint8

const (
	ByCaller   Party = iota // whoever sends the request can change it
	ByOwner                 // the owner of the calling application, in the portal
	ByOperator              // an operator of the tenant or the platform, in the configuration
)

// String returns the word used in pages and APIs.
func (p Party) String() string {
	return [...]string{"caller", "owner", "operator"}[min(p, ByOperator)]
}

// Advice is one remedy of a reason: who does what.
type Advice struct {
	Who  Party
	Text string // template
}

// Said is a reason as one asker is told it.
type Said struct {
	Reason   *Reason // as told: the reason itself or its coarse stand-in
	Detail   string
	Remedies []string
}

// Render words a verdict for an asker. Callers get the remedies they or their application's owner can act on; operators
// get all of them. It never reveals a fact above the asker's standing.
func (v Verdict) Render(asker Disclosure) Said {
	r := v.Reason()
	if r == nil {
		return Said{}
	}
	told := r.Told(asker)
	facts := v.facts
	if told != r {
		facts = nil // what fills a stand-in would tell the reason behind it
	}
	said := Said{Reason: told, Detail: expand(told.Detail, facts, asker)}
	for _, a := range told.Advice {
		if a.Who == ByOperator && asker != ToOperator {
			continue
		}
		said.Remedies = append(said.Remedies, expand(a.Text, facts, asker))
	}
	return said
}

// expand fills a template with the facts the asker may see.
func expand(tmpl string, facts []Fact, asker Disclosure) string {
	if !strings.Contains(tmpl, "{") {
		return tmpl
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(tmpl, '{')
		if i < 0 {
			break
		}
		j := strings.IndexByte(tmpl[i:], '}')
		if j < 0 {
			break
		}
		b.WriteString(tmpl[:i])
		name, rest, _ := strings.Cut(tmpl[i+1:i+j], "|")
		otherwise, shape, shaped := strings.Cut(rest, "|")
		switch v := factValue(name, facts, asker); {
		case v == "":
			b.WriteString(otherwise)
		case shaped:
			before, after, _ := strings.Cut(shape, "%")
			b.WriteString(before + v + after)
		default:
			b.WriteString(v)
		}
		tmpl = tmpl[i+j+1:]
	}
	b.WriteString(tmpl)
	return b.String()
}

// factValue returns what a template shows of the named fact, or "" when there is none that the asker may see.
func factValue(name string, facts []Fact, asker Disclosure) string {
	name, got := strings.CutSuffix(name, ".got")
	i := slices.IndexFunc(facts, func(f Fact) bool { return f.Name == name && f.Public.VisibleTo(asker) && !f.Secret })
	if i < 0 {
		return ""
	}
	if got {
		return printable(facts[i].Got)
	}
	return printable(facts[i].Want)
}

// printable keeps keys and control characters out of answers, terminals and logs, and bounds the length.
func printable(s string) string {
	const most = 300
	s = hideKeys(s)
	clean := true
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r <= 0x9f || r == 0xfffd || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			clean = false
			break
		}
	}
	if clean && len(s) <= most {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if b.Len() > most {
			b.WriteString("…")
			break
		}
		if r < 0x20 || r == 0x7f || r >= 0x80 && r <= 0x9f || r == 0xfffd || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Catalogue returns every reason, in the order of the gates and then of their declaration.
func Catalogue() []*Reason { return slices.Clone(catalogue) }

// ByCode returns the reason with that code, or nil.
func ByCode(code string) *Reason {
	i := slices.IndexFunc(catalogue, func(r *Reason) bool { return r.Code == code })
	if i < 0 {
		return nil
	}
	return catalogue[i]
}
