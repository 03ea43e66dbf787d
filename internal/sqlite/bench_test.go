package sqlite

import (
	"context"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/record"
)

func open(t testing.TB, dir string, o Options) *DB {
	t.Helper()
	d, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func BenchmarkAppendRecords(b *testing.B) {
	d := open(b, b.TempDir(), Options{})
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	batch := make([]record.Record, 1000)
	for b.Loop() {
		for i := range batch {
			at = at.Add(time.Millisecond)
			batch[i] = record.Record{ID: decision.NewTraceID(at), Time: at, Generation: 7, Method: "POST", Scheme: "https", Host: "api.example.com",
				Path: "/orders/v1/orders", Proto: "HTTP/1.1", Client: "192.0.2.17", Peer: "192.0.2.17:51233", Agent: "shop/1.4 (linux)", BytesIn: 512, BytesOut: 256,
				Tenant: "acme", API: "orders", Version: "v1", Operation: "create-order", Application: "shop-web", Key: "k_1a2b3c4d5e", Proven: true, CallerTenant: "acme",
				Outcome: "passed", Origin: "upstream", Status: 200, Upstream: "orders", Target: "http://127.0.0.1:9001", ReceivedStatus: 200,
				Decided: 12000, FirstByte: 900000, Took: 1000000}
		}
		if err := d.Records().AppendRecords(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	rows := float64(b.N) * 1000
	b.ReportMetric(b.Elapsed().Seconds()*1e6/rows, "µs/row")
}
