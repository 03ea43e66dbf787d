package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postern/internal/directory"
)

// SimulateOption supposes something for a simulation, or asks more of it.
type SimulateOption func(*simulation)

type simulation struct {
	prove *Prover
	ifs   whatIf
	key   *directory.Key
	from  netip.Addr
	at    time.Time
}

// Proven adds to a refused simulation what would let the request pass.
func Proven(p *Prover) SimulateOption { return func(s *simulation) { s.prove = p } }

// AsApplication supposes that the application calls, acting for a user if one is named. No credential is needed: authn is
// taken to have proven it. What a credential is limited to (scopes, an end) is not asked then, and a note says so.
func AsApplication(application, user string) SimulateOption {
	return func(s *simulation) { s.ifs.caller = &caller{application: application, subject: user} }
}

// AsKey supposes that the request carries the key, whose text nobody has: authn judges its row as it is.
func AsKey(k directory.Key) SimulateOption { return func(s *simulation) { s.key = &k } }

// From supposes the address that connects.
func From(a netip.Addr) SimulateOption { return func(s *simulation) { s.from = a } }

// At supposes the time. Counters answer what they would answer then if nobody called in between.
func At(t time.Time) SimulateOption { return func(s *simulation) { s.at = t } }

// Without leaves gates out. It is safe, as nothing is sent.
func Without(gates ...string) SimulateOption {
	return func(s *simulation) { s.ifs.without = append(s.ifs.without, gates...) }
}

// suppose changes a world to what is asked about.
func (s *simulation) suppose(w *world) {
	if s.from.IsValid() {
		w.peer = netip.AddrPortFrom(s.from, 0)
	}
	if !s.at.IsZero() {
		env, at := *w.env, s.at
		env.Now = func() time.Time { return at }
		w.env = &env
	}
}

// notes say what was supposed, so that no answer is taken for more than it is.
func (s *simulation) notes() (out []string) {
	if c := s.ifs.caller; c != nil {
		who := "application " + c.application
		if c.subject != "" {
			who += " for the user " + c.subject
		}
		out = append(out, fmt.Sprintf("supposed: %s calls with a credential that is limited to nothing; a credential that the request carries was not looked at", who))
	}
	if s.key != nil {
		out = append(out, fmt.Sprintf("supposed: the request carries the key %s; its text was not needed", s.key.ID))
	}
	if s.from.IsValid() {
		out = append(out, "supposed: "+s.from.String()+" connects")
	}
	if !s.at.IsZero() {
		out = append(out, "supposed: it is "+s.at.UTC().Format(time.RFC3339)+"; limits answer as if nobody called until then, and the directory as it is now")
	}
	if len(s.ifs.without) > 0 {
		out = append(out, "supposed: without the gate "+strings.Join(s.ifs.without, ", ")+"; live it is there")
	}
	return out
}
