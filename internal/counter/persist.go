package counter

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postern/internal/gate"
	"postern/internal/store"
)

const (
	// stretch is how many counters are looked at under one lock, so that saving holds up no request for long.
	stretch = 512
	// batch is how many rows are handed to the store at once.
	batch = 4096
)

// Save writes the counters that changed since they were last saved, and drops those that say nothing any more. It is
// called every few seconds and once at the end; what is taken between the last save and a crash is forgotten. When the
// store fails, its error is returned, and what was not stored is written with the next save. Only one Save may run at a time.
func (c *Counters) Save(ctx context.Context, now time.Time, to store.CounterState) error {
	var rows []store.CounterRow
	var from []*entry
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := to.SaveCounters(ctx, rows)
		if err != nil {
			c.mark(from)
			err = fmt.Errorf("saving %d limit counters: %w", len(rows), err)
		}
		rows, from = rows[:0], from[:0]
		return err
	}
	for i := range c.shards {
		s := &c.shards[i]
		for _, t := range [...]*table{&s.named, &s.addresses} {
			// Downwards, since dropping an entry puts the last one, which was seen, in its place.
			for at, begun := 0, false; !begun || at > 0; begun = true {
				s.mu.Lock()
				if !begun {
					at = len(t.ring)
				}
				at = min(at, len(t.ring))
				for low := max(at-stretch, 0); at > low; at-- {
					e := t.ring[at-1]
					switch {
					case e.idle(now.UnixNano(), quotaGrace):
						t.drop(e)
					case e.dirty:
						e.dirty = false
						rows = append(rows, rowOf(e))
						from = append(from, e)
					}
				}
				s.mu.Unlock()
				if len(rows) >= batch {
					if err := flush(); err != nil {
						return err
					}
				}
			}
		}
	}
	return flush()
}

// mark makes entries be saved again. One that was dropped meanwhile does no harm.
func (c *Counters) mark(entries []*entry) {
	for _, e := range entries {
		s := c.shardOf(e.hash)
		s.mu.Lock()
		e.dirty = true
		s.mu.Unlock()
	}
}

// Restore reads the counters that were saved, at a start. Rows that have expired are left out, and so are rows that cannot
// be read and rows beyond the bounds, whose number is returned as lost. Where something was counted already, what allows
// less wins.
func (c *Counters) Restore(ctx context.Context, now time.Time, from store.CounterState) (restored, lost int, err error) {
	err = from.EachCounter(ctx, func(r store.CounterRow) error {
		k, ok := keyOfRow(&r)
		st := state{a: r.A, b: max(r.B, 0)}
		if k.kind == gate.LimitQuota {
			st.end = r.Expires.UnixNano()
			ok = ok && st.a < st.end
		}
		if !ok {
			lost++
			return nil
		}
		if st.whole(k.kind, now.UnixNano()) {
			return nil
		}
		h := c.hash(&k)
		s := c.shardOf(h)
		s.mu.Lock()
		defer s.mu.Unlock()
		t := s.tableOf(&k)
		e := t.find(h, &k)
		if e == nil {
			if e = t.add(h, &k, now); e == nil {
				lost++
				return nil
			}
		}
		if st.a > e.state.a || st.a == e.state.a && st.b > e.state.b {
			e.state = st
		}
		restored++
		return nil
	})
	if err != nil {
		return restored, lost, fmt.Errorf("reading saved limit counters: %w", err)
	}
	return restored, lost, nil
}

// Subjects of rows begin with how the limit counts (r: rate; s, m, h, d, w, o: quota per second, minute, hour, day, week,
// month), followed by '=' and a name, '@' and an address, or '*' for everyone.
const kinds = "smhdwo"

func rowOf(e *entry) store.CounterRow {
	kind := "r"
	r := store.CounterRow{Limit: e.key.limit, A: e.state.a, B: e.state.b, Expires: time.Unix(0, e.state.a+1).UTC()}
	if e.key.kind == gate.LimitQuota {
		u := min(int(e.key.unit), len(kinds)-1)
		kind = kinds[u : u+1]
		r.Expires = time.Unix(0, e.state.end).UTC()
	}
	switch {
	case e.key.addr.IsValid():
		r.Subject = kind + "@" + e.key.addr.String()
	case e.key.name != "":
		r.Subject = kind + "=" + e.key.name
	default:
		r.Subject = kind + "*"
	}
	return r
}

func keyOfRow(r *store.CounterRow) (k key, ok bool) {
	if r.Limit == "" || len(r.Subject) < 2 {
		return k, false
	}
	k.limit = r.Limit
	if r.Subject[0] != 'r' {
		u := strings.IndexByte(kinds, r.Subject[0])
		if u < 0 {
			return k, false
		}
		k.kind, k.unit = gate.LimitQuota, gate.CalendarUnit(u)
	}
	who := r.Subject[2:]
	switch r.Subject[1] {
	case '@':
		addr, err := netip.ParseAddr(who)
		if err != nil {
			return k, false
		}
		k.addr = addr
	case '=':
		k.name = who
		return k, who != ""
	case '*':
		return k, who == ""
	default:
		return k, false
	}
	return k, true
}
