package calllog

import (
	"context"
	"slices"
	"sync"
	"time"

	"postern/internal/decision"
	"postern/internal/record"
	"postern/internal/store"
)

// memoryRecords is a store that keeps what it is given, and can fail or be stuck.
type memoryRecords struct {
	mu      sync.Mutex
	all     []record.Record
	batches []int
	fail    error
	gate    chan struct{} // when set, every append waits for a value or the end of its context
	waiting chan struct{} // told when an append begins to wait
	trims   chan [2]int64
}

func (m *memoryRecords) AppendRecords(ctx context.Context, batch []record.Record) error {
	m.mu.Lock()
	wait := m.gate
	m.mu.Unlock()
	if wait != nil {
		select {
		case m.waiting <- struct{}{}:
		default:
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.all = append(m.all, batch...) // keeps the strings: they must never change
	m.batches = append(m.batches, len(batch))
	return nil
}

func (m *memoryRecords) Record(_ context.Context, id decision.TraceID) (record.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(m.all, func(r record.Record) bool { return r.ID == id }); i >= 0 {
		return m.all[i], nil
	}
	return record.Record{}, store.ErrNotFound
}

func (m *memoryRecords) FindRecords(_ context.Context, q record.Query) (out []record.Record, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range slices.Backward(m.all) {
		if q.Match(&r) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (m *memoryRecords) TrimRecords(_ context.Context, olderThan time.Time, most int64) (int64, error) {
	if m.trims != nil {
		m.trims <- [2]int64{olderThan.Unix(), most}
	}
	return 3, nil
}

func (m *memoryRecords) set(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn()
}

func (m *memoryRecords) paths() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.all {
		all = append(all, r.Path)
	}
	return all
}
