package calllog

import (
	"context"
	"testing"
	"time"

	"postern/internal/gate"
	"postern/internal/record"
	"postern/internal/store"
)

func BenchmarkRecordAllowed(b *testing.B) { benchmarkRecord(b, exchange("/orders/v1/orders")) }
func BenchmarkRecordRefused(b *testing.B) { benchmarkRecord(b, refusal("/orders/v1/orders")) }

func benchmarkRecord(b *testing.B, x *gate.Exchange) {
	x.Principal.Key.ID, x.Principal.Application.ID, x.Principal.Tenant.ID = "k_1a2b3c4d5e", "shop-web", "acme"
	x.RawQuery = "page=2&sort=created"
	l := New(Options{Records: discard{}, QueueRecords: 1 << 30, QueueBytes: 1 << 40})
	defer l.Close(context.Background())
	b.ReportAllocs()
	for b.Loop() {
		x.ID[15]++
		l.Record(x, 1)
	}
}

type discard struct{ store.Records }

func (discard) AppendRecords(context.Context, []record.Record) error { return nil }
func (discard) TrimRecords(context.Context, time.Time, int64) (int64, error) {
	return 0, nil
}
