package origin

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"postern/internal/policy"
)

// maxPattern bounds a regular expression in the document. RE2 matches in time linear to the origin, which is bounded too.
const maxPattern = 1000

// list is origins that are accepted. Its zero value accepts none.
type list struct {
	any, null bool
	exact     map[string]struct{}
	below     []below
	patterns  []*regexp.Regexp
	text      string // as configured, for the operator
}

// below is every name under a domain.
type below struct {
	scheme, suffix, port string // suffix with its dot in front, where a host has none
	anyPort              bool
}

// match reports whether an origin is accepted. It allocates nothing. What is not written as browsers write origins never
// matches, and null only where it is listed.
func (l *list) match(origin string) bool {
	if origin == "null" {
		return l.null
	}
	t, ok := split(origin)
	if !ok {
		return false
	}
	if l.any {
		return true
	}
	if _, ok := l.exact[origin]; ok {
		return true
	}
	for i := range l.below {
		b := &l.below[i]
		if t.scheme == b.scheme && (b.anyPort || t.port == b.port) && strings.HasSuffix(t.host, b.suffix) {
			return true
		}
	}
	for _, re := range l.patterns {
		if re.MatchString(origin) {
			return true
		}
	}
	return false
}

// compiler compiles lists and collects what is wrong with them.
type compiler struct {
	problems policy.Problems
	// narrow says why the list must not accept origins of just anybody; empty: it may.
	narrow string
}

func (c *compiler) problem(pointer, remedy, message string, args ...any) {
	c.problems = append(c.problems, policy.Problem{Pointer: pointer, Message: fmt.Sprintf(message, args...), Remedy: remedy})
}

// list compiles origins and patterns. patterns may be empty.
func (c *compiler) list(at string, origins []string, patternsAt string, patterns []string) (l list) {
	l.exact = make(map[string]struct{}, len(origins))
	for i, s := range origins {
		c.origin(&l, at+"/"+strconv.Itoa(i), s)
	}
	for i, s := range patterns {
		c.pattern(&l, patternsAt+"/"+strconv.Itoa(i), s)
	}
	all := append(append([]string{}, origins...), patterns...)
	l.text = strings.Join(all, ", ")
	return l
}

func (c *compiler) origin(l *list, at, s string) {
	const example = "write one such as https://app.example.com"
	switch s {
	case "*":
		if c.narrow != "" {
			c.problem(at, "list the origins that are yours", "* is every page on the web, and %s", c.narrow)
		}
		l.any = true
		return
	case "null":
		if c.narrow != "" {
			c.problem(at, "give those pages an address", "any page can make its origin null (a sandboxed frame), and %s", c.narrow)
		}
		l.null = true
		return
	}
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			remedy := "write the name in its xn-- form"
			if ascii, err := idna.Lookup.ToASCII(strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")); err == nil {
				remedy += ", " + ascii
			}
			c.problem(at, remedy, "browsers send international names in ASCII, so %q would never match", s)
			return
		}
	}
	text := strings.ToLower(s)
	wild := strings.Contains(text, "*")
	if wild && !strings.Contains(text, "://") {
		text = "https://" + text
	}
	scheme, host, ok := strings.Cut(text, "://")
	switch {
	case !ok:
		c.problem(at, example, "%q has no scheme, and http and https are two origins", s)
		return
	case strings.ContainsAny(host, "/?#"):
		c.problem(at, "write "+strings.TrimRight(scheme+"://"+host[:strings.IndexAny(host, "/?#")], "/"), "%q has a path, and an origin has none", s)
		return
	case strings.ContainsRune(host, '@'):
		c.problem(at, example, "an origin has no user name or password")
		return
	}
	if wild {
		c.below(l, at, s, scheme, host)
		return
	}
	text = strings.TrimSuffix(text, ":"+defaultPort(scheme))
	if _, ok := split(text); !ok {
		c.problem(at, example, "%q is no origin", s)
		return
	}
	l.exact[text] = struct{}{}
}

func (c *compiler) below(l *list, at, s, scheme, host string) {
	b := below{scheme: scheme}
	name, port, _ := strings.Cut(host, ":")
	if b.anyPort = port == "*"; !b.anyPort && port != defaultPort(scheme) {
		b.port = port
	}
	name, ok := strings.CutPrefix(name, "*.")
	if _, sound := split(tuple{scheme, name, b.port}.String()); !ok || !sound || strings.Contains(name, "*") {
		c.problem(at, "write *.example.com, or a regular expression under origin_patterns", "%q is no origin, and no domain with *. in front", s)
		return
	}
	if c.narrow != "" && !ownable(name) {
		c.problem(at, "write a domain that is yours, such as *.example.com", "anybody can get a name below %s, and %s", name, c.narrow)
	}
	b.suffix = "." + name
	l.below = append(l.below, b)
}

// ownable reports whether all names below a domain belong to one owner: it is no public suffix (https://publicsuffix.org)
// such as com, co.uk or github.io.
func ownable(domain string) bool {
	_, err := publicsuffix.EffectiveTLDPlusOne(domain)
	return err == nil
}

func (c *compiler) pattern(l *list, at, s string) {
	switch {
	case s == "":
		c.problem(at, "remove it", "the expression is empty")
		return
	case len(s) > maxPattern:
		c.problem(at, "write several shorter ones", "the expression is longer than %d characters", maxPattern)
		return
	}
	re, err := regexp.Compile(`\A(?:` + s + `)\z`)
	if err != nil {
		c.problem(at, "write an RE2 expression, such as https://pr-[0-9]+\\.example\\.com", "%v", err)
		return
	}
	if c.narrow != "" {
		if loose := looseEnd(s); loose != "" {
			c.problem(at, `let it end in a domain that is yours after a dot, such as https://[a-z0-9-]+\.example\.com`,
				"the expression also accepts origins of others (%s), and %s", loose, c.narrow)
		}
	}
	l.patterns = append(l.patterns, re)
}
