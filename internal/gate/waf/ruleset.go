package waf

import (
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

// ruleSet is the Core Rule Set, with own rules of an operator or without, compiled by Coraza. It implements engine.
//
// Paranoia, threshold and exclusions are told to it with each request, so that all operations of all generations without own
// rules share one (12 MB and a tenth of a second), and every distinct text of own rules costs one more.
type ruleSet struct {
	waf  coraza.WAF
	ids  map[int]bool
	tags map[string][]int
}

func (s *ruleSet) has(id int) bool         { return s.ids[id] }
func (s *ruleSet) tagged(tag string) []int { return s.tags[tag] }

// compiled are the rule sets in use, by the hash of their own rules. A set that no snapshot holds any more is collected,
// and releases what Coraza cached for it.
var compiled = struct {
	sync.Mutex
	sets map[[32]byte]weak.Pointer[ruleSet]
}{sets: map[[32]byte]weak.Pointer[ruleSet]{}}

// load returns the rule set with those own rules, compiling it if nobody else has it. The error is Coraza's.
func load(own ownRules) (*ruleSet, error) {
	key := own.hash()
	compiled.Lock()
	defer compiled.Unlock()
	if s := compiled.sets[key].Value(); s != nil {
		return s, nil
	}
	s, err := compile(own)
	if err != nil {
		return nil, err
	}
	compiled.sets[key] = weak.Make(s)
	runtime.AddCleanup(s, release, released{key: key, waf: s.waf})
	return s, nil
}

type released struct {
	key [32]byte
	waf coraza.WAF
}

// release runs once a rule set is garbage.
func release(r released) {
	compiled.Lock()
	if compiled.sets[r.key].Value() == nil { // otherwise it was compiled again in the meantime
		delete(compiled.sets, r.key)
	}
	compiled.Unlock()
	if c, ok := r.waf.(io.Closer); ok {
		_ = c.Close() // forgets cached expressions; it has no way to fail
	}
}

// setup is what comes before the rules. The engine is always on: in detect mode the gate reports what the engine would have
// refused. Bodies stay in memory, and are bounded by the gate. Which methods an operation takes is the router's business; the
// list is for operations that take any.
const setup = `
SecRuleEngine On
SecAuditEngine Off
SecRequestBodyAccess On
SecRequestBodyLimit 67108864
SecRequestBodyInMemoryLimit 67108864
SecRequestBodyJsonDepthLimit 512
SecResponseBodyAccess Off
SecArgumentsLimit 1000
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/[a-z0-9.-]+[+]xml" "id:200005,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/[a-z0-9.-]+[+]json" "id:200006,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,deny,status:400,severity:'CRITICAL',msg:'The body is not what its Content-Type says',logdata:'%{reqbody_error_msg}'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,log,deny,status:400,severity:'CRITICAL',msg:'The multipart body is not strictly valid'"
Include @crs-setup.conf.example
SecAction "id:900200,phase:1,pass,t:none,nolog,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS PUT PATCH DELETE'"
`

// initialization is the file of the Core Rule Set that comes before all others.
const initialization = "REQUEST-901-INITIALIZATION.conf"

// compile builds a rule set. Own rules stand behind the initialization of the Core Rule Set, which resets the scores, and in
// front of its detection; directives that remove or change rules come last. Rules over answers are not loaded.
func compile(own ownRules) (*ruleSet, error) {
	s := &ruleSet{ids: map[int]bool{}, tags: map[string][]int{}}
	text := setup + "Include @owasp_crs/" + initialization + "\n" + own.rules() + "\n"
	files, err := fs.Glob(coreruleset.FS, "@owasp_crs/REQUEST-9*.conf")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if !strings.HasSuffix(file, initialization) {
			text += "Include " + file + "\n"
		}
	}
	text += own.changes()
	config := coraza.NewWAFConfig().WithRootFS(&ruleFiles{FS: coreruleset.FS}).WithDirectives(text)
	config = experimental.WAFConfigWithRuleObserver(config, func(r types.RuleMetadata) {
		id := r.ID()
		if id == 0 || id >= firstCheckpoint {
			return
		}
		s.ids[id] = true
		for _, tag := range r.Tags() {
			s.tags[tag] = append(s.tags[tag], id)
		}
	})
	w, err := coraza.NewWAF(config)
	if err != nil {
		return nil, err
	}
	for _, ids := range s.tags {
		slices.Sort(ids)
	}
	s.waf = w
	return s, nil
}

// ruleFiles is the file system of the Core Rule Set, with checkpoints set between its rules as they are read. It has
// nothing else, so that own rules reach no file of the machine.
type ruleFiles struct {
	fs.FS
	set int // checkpoints
}

// ReadFile implements fs.ReadFileFS.
func (f *ruleFiles) ReadFile(name string) ([]byte, error) {
	b, err := fs.ReadFile(f.FS, name)
	if err != nil || !strings.HasSuffix(name, ".conf") {
		return b, err
	}
	return []byte(f.checkpoints(string(b))), nil
}

// firstCheckpoint is the id of the first checkpoint; own rules have smaller ids.
const firstCheckpoint = 90_000_000

// between is how many rules there are between two checkpoints: three, so that overrunning the deadline costs three rules
// at most and asking for it next to nothing.
const between = 3

var chained = regexp.MustCompile(`(?i)[,"\s]chain[,"\s]`)

// checkpoints sets a rule behind every few rules that interrupts the transaction once the deadline has passed, for each of
// the two phases. RATIONALE: Coraza cannot be interrupted from outside, and a goroutine that is left behind would go on using
// the processor and the buffers of the exchange.
func (f *ruleFiles) checkpoints(text string) string {
	var out, directive strings.Builder
	rules := 0
	for line := range strings.Lines(text) {
		out.WriteString(line)
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		part, more := strings.CutSuffix(line, `\`)
		directive.WriteString(part)
		if more {
			continue
		}
		whole := directive.String()
		directive.Reset()
		if chained.MatchString(whole + " ") {
			continue // nothing may stand between the rules of a chain
		}
		if rules++; rules%between == 0 {
			out.WriteString(f.checkpoint(1) + f.checkpoint(2))
		}
	}
	return out.String()
}

func (f *ruleFiles) checkpoint(phase int) string {
	f.set++
	return fmt.Sprintf("SecRule TX:%s \"@%s\" \"id:%d,phase:%d,t:none,nolog,deny,status:503\"\n", deadlineVariable, overdueOperator, firstCheckpoint+f.set, phase)
}
