package sqlite

import (
	"testing"

	"postern/internal/store"
	"postern/internal/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir(), Options{}) })
}

func TestRecords(t *testing.T) {
	storetest.RunRecords(t, func(t *testing.T) store.Records { return open(t, t.TempDir(), Options{}).Records() })
}

func TestCounters(t *testing.T) {
	storetest.RunCounters(t, func(t *testing.T) store.CounterState { return open(t, t.TempDir(), Options{}).Counters() })
}
