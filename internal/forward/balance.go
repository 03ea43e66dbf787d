package forward

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"postern/internal/gate"
	"postern/internal/policy"
)

// balancer chooses a target for one attempt: one that is usable at that moment (Unix nanoseconds) and was not tried yet, or nil.
type balancer interface {
	pick(x *gate.Exchange, now int64, tried []*target) *target
}

func fit(t *target, now int64, tried []*target) bool {
	return t.usable(now) && !slices.Contains(tried, t)
}

// newBalancer makes the balancer of an upstream. With one target there is nothing to choose.
func newBalancer(u policy.Upstream, targets []*target) balancer {
	switch {
	case len(targets) == 1:
		return single{targets[0]}
	case u.Balance == "least_request":
		return leastRequest(targets)
	case u.Balance == "consistent_hash":
		return newRing(u.HashOn, targets)
	}
	return &roundRobin{targets: targets}
}

type single struct{ t *target }

func (s single) pick(_ *gate.Exchange, now int64, tried []*target) *target {
	if fit(s.t, now, tried) {
		return s.t
	}
	return nil
}

// roundRobin is smooth weighted round robin: every target gains its weight each turn, the richest is chosen and pays the
// sum of all. Weights 5, 1, 1 give a a b a c a a and not a a a a a b c.
type roundRobin struct {
	mu      sync.Mutex
	targets []*target
}

func (r *roundRobin) pick(_ *gate.Exchange, now int64, tried []*target) *target {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *target
	sum := 0
	for _, t := range r.targets {
		if !fit(t, now, tried) {
			continue
		}
		t.share += t.weight
		sum += t.weight
		if best == nil || t.share > best.share {
			best = t
		}
	}
	if best != nil {
		best.share -= sum
	}
	return best
}

// leastRequest draws two usable targets and takes the one with fewer calls in flight for its weight. Two draws avoid the
// herd that always choosing the least loaded one causes, and need no lock.
type leastRequest []*target

func (l leastRequest) pick(_ *gate.Exchange, now int64, tried []*target) *target {
	n := 0
	for _, t := range l {
		if fit(t, now, tried) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	i := rand.IntN(n)
	a := l.nth(i, now, tried)
	if n == 1 {
		return a
	}
	j := rand.IntN(n - 1)
	if j >= i {
		j++
	}
	b := l.nth(j, now, tried)
	if a == nil || b == nil { // one went down between counting and drawing
		if a == nil {
			a = b
		}
		return a
	}
	la, lb := (a.inflight.Load()+1)*int64(b.weight), (b.inflight.Load()+1)*int64(a.weight)
	if lb < la || lb == la && b.weight > a.weight {
		return b
	}
	return a
}

func (l leastRequest) nth(n int, now int64, tried []*target) *target {
	for _, t := range l {
		if fit(t, now, tried) {
			if n == 0 {
				return t
			}
			n--
		}
	}
	return nil
}

// ring is consistent hashing in the manner of ketama: every target has points on a circle, in number by its weight, and a
// key belongs to the next point. A target that is out leaves its keys to others and takes none of theirs; positions follow
// from names only, so that all nodes agree.
type ring struct {
	on     string // address, application, path, header or cookie
	name   string // of the header or cookie
	points []ringPoint
}

type ringPoint struct {
	at uint64
	t  *target
}

const pointsPerWeight = 160

func newRing(hashOn string, targets []*target) *ring {
	r := &ring{on: hashOn}
	r.on, r.name, _ = strings.Cut(hashOn, ":")
	if r.on == "" {
		r.on = "address"
	}
	heaviest := 1
	for _, t := range targets {
		heaviest = max(heaviest, t.weight)
	}
	scale := 1.0
	if most := 100; heaviest > most { // weights in the thousands say no more, they only make the ring large
		scale = float64(most) / float64(heaviest)
	}
	for _, t := range targets {
		for i := range max(int(float64(t.weight)*scale), 1) * pointsPerWeight {
			h := fnv.New64a()
			h.Write([]byte(t.name + t.prefix + "#" + strconv.Itoa(i))) //nolint:errcheck // never fails
			r.points = append(r.points, ringPoint{mix(h.Sum64()), t})
		}
	}
	sort.Slice(r.points, func(i, j int) bool {
		a, b := r.points[i], r.points[j]
		return a.at < b.at || a.at == b.at && a.t.name < b.t.name
	})
	return r
}

func (r *ring) pick(x *gate.Exchange, now int64, tried []*target) *target {
	at := r.hash(x)
	i, _ := slices.BinarySearchFunc(r.points, at, func(p ringPoint, at uint64) int {
		switch {
		case p.at < at:
			return -1
		case p.at > at:
			return 1
		}
		return 0
	})
	for n := range r.points {
		if t := r.points[(i+n)%len(r.points)].t; fit(t, now, tried) {
			return t
		}
	}
	return nil
}

// hash is the key's place on the circle. A request without the application, field or cookie is placed by its client's address.
func (r *ring) hash(x *gate.Exchange) uint64 {
	key := ""
	switch r.on {
	case "application":
		key = x.Principal.Application.ID
	case "path":
		key = x.Path
	case "header":
		key = x.Header.Get(r.name)
	case "cookie":
		key = cookie(x, r.name)
	}
	if key != "" {
		return hashString(key)
	}
	b := x.Client.As16()
	return mix(binary.BigEndian.Uint64(b[:8])*0x9e3779b97f4a7c15 ^ binary.BigEndian.Uint64(b[8:]))
}

// cookie returns the value of the first cookie of that name (RFC 6265 section 4.2), or "".
func cookie(x *gate.Exchange, name string) string {
	for i := range x.Header {
		if n := x.Header[i].Name; len(n) != 6 || !strings.EqualFold(n, "Cookie") {
			continue
		}
		for rest := x.Header[i].Value; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			if k, v, ok := strings.Cut(strings.Trim(pair, " \t"), "="); ok && strings.TrimRight(k, " \t") == name {
				return v
			}
		}
	}
	return ""
}

// hashString is FNV-1a with a finaliser: FNV alone leaves similar strings close together.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of MurmurHash3.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
