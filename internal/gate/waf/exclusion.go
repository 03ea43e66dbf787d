package waf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/types/variables"

	"postern/internal/policy"
)

// parseExclusion reads an exclusion as it is written. The rules it names are found by resolve.
func parseExclusion(pointer string, e policy.WAFExclusion) (x exclusion, problems policy.Problems) {
	fault := func(field, remedy, format string, args ...any) {
		problems = append(problems, policy.Problem{Pointer: pointer + field, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	switch {
	case e.Rule < 0:
		fault("/rule", "write the id of a rule, such as 942100", "%d is no id of a rule", e.Rule)
	case (e.Rule == 0) == (e.Tag == ""):
		fault("", "write {rule: 942100, …} or {tag: attack-sqli, …}", "an exclusion names either a rule or a tag")
	}
	if strings.TrimSpace(e.Reason) == "" {
		fault("/reason", `say why, such as "search terms may be SQL words"`, "the exclusion gives no reason")
	}
	if e.Variable == "" {
		x.whole = true
		return x, problems
	}
	name, key, _ := strings.Cut(e.Variable, ":")
	v, err := variables.Parse(strings.ToUpper(name))
	if err != nil || v == variables.Unknown || v == variables.TX {
		fault("/variable", "write one such as ARGS:q, REQUEST_HEADERS:User-Agent, REQUEST_COOKIES or REQUEST_URI",
			"%q is no part of a request that rules look at", bounded(name, 60))
		return x, problems
	}
	x.variable = v
	if pattern, ok := strings.CutPrefix(key, "/"); ok && len(pattern) > 1 && strings.HasSuffix(pattern, "/") && v != variables.XML {
		// Names are compared in lower case.
		x.pattern, err = regexp.Compile("(?i)" + strings.TrimSuffix(pattern, "/"))
		if err != nil {
			fault("/variable", `correct it, such as ARGS:/^json\.filter\./`, "the pattern does not compile: %v", err)
		}
		return x, problems
	}
	x.key = key
	return x, problems
}

// resolve finds the rules that an exclusion is about.
func (x *exclusion) resolve(pointer string, e policy.WAFExclusion, with engine) (problem policy.Problem, ok bool) {
	if e.Tag != "" {
		if x.rules = with.tagged(e.Tag); len(x.rules) == 0 {
			return policy.Problem{Pointer: pointer + "/tag", Message: fmt.Sprintf("no rule has the tag %q", bounded(e.Tag, 60)),
				Remedy: "write a tag of the Core Rule Set, such as attack-sqli or language-php"}, false
		}
		return problem, true
	}
	if !with.has(e.Rule) {
		return policy.Problem{Pointer: pointer + "/rule", Message: "there is no rule " + strconv.Itoa(e.Rule),
			Remedy: "write the id of a rule, as the trace of a refusal shows it"}, false
	}
	x.rules = []int{e.Rule}
	return problem, true
}
