package waf

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"postern/internal/policy"
)

// directive is one directive of own rules, on one line, and where it was written.
type directive struct {
	pointer string // of the text
	line    int    // in the text, from 1
	text    string
}

// ownRules are the own rules that apply to an operation: those of its version, then its own.
type ownRules []directive

// Bounds of own rules. The first is below the longest line that Coraza reads without cutting it off.
const (
	maxDirective = 32 << 10
	maxOwn       = 512 << 10
)

// permitted are the directives that own rules may use, and whether they change rules that are there already. All others
// would set up the engine, write files, or inspect answers.
var permitted = map[string]bool{
	"secrule": false, "secaction": false, "secmarker": false, "secdataset": false,
	"secruleremovebyid": true, "secruleremovebytag": true, "secruleremovebymsg": true,
	"secruleupdatetargetbyid": true, "secruleupdatetargetbytag": true, "secruleupdatetargetbymsg": true, "secruleupdateactionbyid": true,
}

var (
	// reaching are operators and actions that would leave the inspection: run a program, ask the network, answer by themselves.
	reachingOperator = regexp.MustCompile(`(?i)(?:^|[\s"!])@(rbl|inspectFile|geoLookup|validateSchema|posternOverdue)\b`)
	reachingAction   = regexp.MustCompile(`(?i)[\s",](exec|proxy|redirect|initcol|setsid|setuid|setrsc|setenv)\s*:`)
	laterPhase       = regexp.MustCompile(`(?i)[\s",]phase\s*:\s*'?(3|4|5|response|logging)\b`)
	reservedID       = regexp.MustCompile(`(?i)[\s",]id\s*:\s*'?(\d{8,})\b`)
	verb             = regexp.MustCompile(`^[A-Za-z]+`)
)

// parseRules reads own rules into directives, and says what cannot be used.
func parseRules(pointer, text string) (own ownRules, problems policy.Problems) {
	fault := func(line int, remedy, format string, args ...any) {
		problems = append(problems, policy.Problem{Pointer: pointer, Remedy: remedy,
			Message: fmt.Sprintf("line %d of the rules: ", line) + fmt.Sprintf(format, args...)})
	}
	if len(text) > maxOwn {
		fault(1, "keep what this operation needs", "the rules have %d bytes, and at most %d are read", len(text), maxOwn)
		return nil, problems
	}
	var b strings.Builder
	start, n, dataset := 0, 0, false
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if b.Len() == 0 {
			start = n
		}
		if dataset || strings.HasSuffix(line, "`") { // SecDataset name `, one entry a line, then `
			dataset = line != "`"
			b.WriteString(line)
			if dataset {
				b.WriteByte('\n')
				continue
			}
		} else if more, ok := strings.CutSuffix(line, `\`); ok {
			b.WriteString(more)
			continue
		} else {
			b.WriteString(line)
		}
		d := directive{pointer, start, b.String()}
		b.Reset()
		if remedy, message := d.fault(); message != "" {
			fault(d.line, remedy, "%s", message)
			continue
		}
		own = append(own, d)
	}
	if b.Len() > 0 {
		fault(start, "write the rest of it, or remove the backslash or backquote at its end", "the directive does not end")
	}
	return own, problems
}

// fault says why a directive cannot be used, and what to do.
func (d directive) fault() (remedy, message string) {
	name := verb.FindString(d.text)
	if _, ok := permitted[strings.ToLower(name)]; !ok {
		return "use SecRule, SecAction, SecMarker, SecDataset, SecRuleRemoveBy… or SecRuleUpdate…",
			fmt.Sprintf("the directive %q cannot be used here", bounded(name, 40))
	}
	text := d.text + "\n"
	switch {
	case len(d.text) > maxDirective:
		return "split it", fmt.Sprintf("the directive has %d bytes, and at most %d are read", len(d.text), maxDirective)
	case strings.ContainsRune(d.text, 0):
		return "remove it", "the directive contains a zero byte"
	}
	if m := reachingOperator.FindStringSubmatch(text); m != nil {
		return "remove the rule", fmt.Sprintf("the operator @%s would read files or ask the network", m[1])
	}
	if m := reachingAction.FindStringSubmatch(text); m != nil {
		return "use deny, or pass with a score", fmt.Sprintf("the action %s is not possible: the gateway only inspects by rules", m[1])
	}
	if m := laterPhase.FindStringSubmatch(text); m != nil {
		return "use phase:1 (header) or phase:2 (body)", fmt.Sprintf("phase %s is never run: answers are not inspected", m[1])
	}
	if m := reservedID.FindStringSubmatch(text); m != nil {
		return "use an id below 10000000, such as 10001", fmt.Sprintf("the id %s is reserved", m[1])
	}
	return "", ""
}

// changing reports whether the directive changes rules that are there already.
func (d directive) changing() bool { return permitted[strings.ToLower(verb.FindString(d.text))] }

func (o ownRules) rules() string {
	return o.join(func(d directive) bool { return !d.changing() })
}

func (o ownRules) changes() string { return o.join(directive.changing) }

func (o ownRules) join(pick func(directive) bool) string {
	var b strings.Builder
	for _, d := range o {
		if pick(d) {
			b.WriteString(d.text)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// hash names the rules by their text alone.
func (o ownRules) hash() [32]byte { return sha256.Sum256([]byte(o.rules() + "\x00" + o.changes())) }

// problem finds the directive that Coraza does not take: the last of the shortest beginning that it does not compile. The
// directives are taken in the order in which they are compiled. Rules that Coraza takes alone and not together (two with
// one id) are found like that too.
func (o ownRules) problem(err error) policy.Problem {
	broken := policy.Problem{Message: "the firewall cannot be compiled: " + err.Error(),
		Remedy: "see that the folder for temporary files (TMPDIR) can be written"}
	if _, err := load(nil); err != nil { // it is not for the own rules
		return broken
	}
	ordered := slices.Concat(
		slices.DeleteFunc(slices.Clone(o), directive.changing),
		slices.DeleteFunc(slices.Clone(o), func(d directive) bool { return !d.changing() }))
	last := err
	n := sort.Search(len(ordered), func(n int) bool {
		_, err := compile(ordered[:n+1])
		if err != nil {
			last = err
		}
		return err != nil
	})
	if n == len(ordered) {
		return broken
	}
	return policy.Problem{Pointer: ordered[n].pointer, Remedy: "correct the rule (SecLang as Coraza 3 reads it), or remove it",
		Message: fmt.Sprintf("line %d of the rules: %s", ordered[n].line, bounded(last.Error(), 300))}
}
