package lab

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"postern/internal/decision"
)

// Change is one thing that somebody could change so that a request is judged otherwise: a candidate, until a run of the
// gates with it applied to a copy has shown what it does.
type Change struct {
	Kind   string `json:"kind"`             // what is done, such as grant_role; kinds are stable
	Who    string `json:"who"`              // caller, owner or operator
	Target string `json:"target,omitempty"` // what is changed: "application shop-web", "header X-API-Key", a pointer into the document
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Risk   Risk   `json:"risk"`
	// Reach is how many applications gain by it, where that was counted; 0: not counted, or nobody but the caller.
	Reach int    `json:"reach,omitempty"`
	Text  string `json:"text"`

	size   int                 // how much is done: 1 is one value of one row
	reason *decision.Reason    // the refusal it is proposed for: who is not told of that is not told of this
	public decision.Disclosure // how widely Text, Target, From and To may be told
	terse  string              // the text for everybody else; empty: they are not told of the change at all
	apply  func(*world) error  // to a copy
	wait   time.Duration       // two waits are one longer wait
	slot   string              // of two changes in one slot the later takes the place of the earlier
}

// Risk says who gains by a change besides this request.
type Risk uint8

// Risks, from none to the widest.
const (
	RiskNone    Risk = iota // nobody: the caller sends another request, or the same later
	RiskOne                 // one credential, application or address
	RiskSeveral             // everyone who has the role, the plan or an address of the range
	RiskOpen                // anyone: a protection is turned off
)

var risks = [...]string{"none", "one", "several", "open"}

// String returns the word used in the JSON.
func (r Risk) String() string { return risks[min(int(r), len(risks)-1)] }

// MarshalText implements encoding.TextMarshaler.
func (r Risk) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: the command line reads what the API wrote. A word of a later version
// is taken for the widest risk.
func (r *Risk) UnmarshalText(b []byte) error {
	*r = RiskOpen
	if i := slices.Index(risks[:], string(b)); i >= 0 {
		*r = Risk(i)
	}
	return nil
}

// id tells changes apart: two of one id do the same.
func (c *Change) id() string { return c.Kind + "\x00" + c.Target + "\x00" + c.To }

// cost orders sets of changes: first by the widest risk, then by how much is done and how many gain, then by who has to
// act: what callers can do alone needs nobody else. It never falls when a change is added, so that a search by cost meets
// the smallest set first.
type cost struct {
	risk                    Risk
	size, reach, count, who int
}

var parties = map[string]int{decision.ByCaller.String(): 0, decision.ByOwner.String(): 1, decision.ByOperator.String(): 2}

func costOf(set []Change) (c cost) {
	for i := range set {
		c.risk = max(c.risk, set[i].Risk)
		c.size += set[i].size
		c.reach += set[i].Reach
		c.who += parties[set[i].Who]
	}
	c.count = len(set)
	return c
}

func (c cost) compare(d cost) int {
	return cmp.Or(cmp.Compare(c.risk, d.risk), cmp.Compare(c.size, d.size), cmp.Compare(c.reach, d.reach),
		cmp.Compare(c.count, d.count), cmp.Compare(c.who, d.who))
}

// idOf names a set, in whatever order its changes were found.
func idOf(set []Change) string {
	ids := make([]string, len(set))
	for i := range set {
		ids[i] = set[i].id()
	}
	slices.Sort(ids)
	return strings.Join(ids, "\x01")
}
