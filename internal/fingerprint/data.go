package fingerprint

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"sync"
)

//go:embed signatures/*.json causes.json phrases.json
var files embed.FS

// Cause is one reason why a request is refused, whoever refuses it.
type Cause struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// Layer usually decides it; who answered may say otherwise.
	Layer string `json:"layer"`
	// Caller and Operator say what each of them can do.
	Caller   string `json:"caller"`
	Operator string `json:"operator"`
	// Part is the wider cause that this one is a case of: a text that names the wider one does not speak against it.
	Part string `json:"part"`
}

// Phrase is a wording that means the same whoever writes it.
type Phrase struct {
	Cause  string  `json:"cause"`
	Layer  string  `json:"layer"` // when the wording tells
	Weight float64 `json:"weight"`
	Re     string  `json:"re"`  // case does not matter
	Not    string  `json:"not"` // and does not match this
	Log    bool    `json:"log"` // only lines of logs speak so
	re     *regexp.Regexp
	not    *regexp.Regexp
	needle needle
}

var loaded = sync.OnceValue(func() *knowledge {
	k, err := load(files)
	if err != nil {
		panic("fingerprint: the embedded data is broken: " + err.Error()) // a test reads all of it
	}
	return k
})

func signatures() []*Signature { return loaded().signatures }

// Causes returns every cause, in the order of the data.
func Causes() []Cause { return loaded().causes }

// CauseOf returns the cause of an ID.
func CauseOf(id string) (Cause, bool) {
	c, ok := loaded().byID[id]
	return c, ok
}

type knowledge struct {
	signatures []*Signature
	withLog    []*Signature
	phrases    []*Phrase
	causes     []Cause
	byID       map[string]Cause
}

func load(from fs.FS) (*knowledge, error) {
	k := &knowledge{byID: map[string]Cause{}}
	if err := readJSON(from, "causes.json", &k.causes); err != nil {
		return nil, err
	}
	for _, c := range k.causes {
		k.byID[c.ID] = c
	}
	if err := readJSON(from, "phrases.json", &k.phrases); err != nil {
		return nil, err
	}
	for _, p := range k.phrases {
		if err := p.compile(k); err != nil {
			return nil, err
		}
	}
	names, err := fs.Glob(from, "signatures/*.json")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range names {
		var list []*Signature
		if err := readJSON(from, name, &list); err != nil {
			return nil, err
		}
		for _, s := range list {
			if seen[s.ID] {
				return nil, fmt.Errorf("%s: the signature %s is there twice", name, s.ID)
			}
			seen[s.ID] = true
			if err := s.compile(k); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, s.ID, err)
			}
			k.signatures = append(k.signatures, s)
			if len(s.log) > 0 {
				k.withLog = append(k.withLog, s)
			}
		}
	}
	return k, nil
}

func readJSON(from fs.FS, name string, to any) error {
	b, err := fs.ReadFile(from, name)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (p *Phrase) compile(k *knowledge) (err error) {
	if _, ok := k.byID[p.Cause]; !ok {
		return fmt.Errorf("phrases.json: %q is no cause", p.Cause)
	}
	if p.re, err = regexp.Compile("(?i)" + p.Re); err != nil {
		return err
	}
	p.needle = needleOf("(?i)" + p.Re)
	if p.Not != "" {
		p.not, err = regexp.Compile("(?i)" + p.Not)
	}
	return err
}

func (s *Signature) compile(k *knowledge) error {
	if _, ok := k.byID[s.Cause]; !ok && s.Cause != "unknown" {
		return fmt.Errorf("%q is no cause", s.Cause)
	}
	for _, list := range []struct {
		from []string
		to   *[]marker
	}{{s.Page, &s.page}, {s.Body, &s.body}, {s.Log, &s.log}} {
		for _, text := range list.from {
			m, err := newMarker(text)
			if err != nil {
				return err
			}
			*list.to = append(*list.to, m)
		}
	}
	for _, h := range s.Headers {
		hm := headerMarker{HeaderMatch: h}
		if h.Re != "" {
			re, err := regexp.Compile(h.Re)
			if err != nil {
				return err
			}
			hm.re = re
		}
		s.headers = append(s.headers, hm)
	}
	return nil
}
