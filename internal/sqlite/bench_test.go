package sqlite

import (
	"context"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
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

// BenchmarkMillionKeys reports how fast a million keys are streamed for the serving index, and how long the check after a
// crash takes:
//
//	go test -run - -bench MillionKeys -benchtime 1x ./internal/sqlite
func BenchmarkMillionKeys(b *testing.B) {
	ctx, n := context.Background(), 1_000_000
	d := open(b, b.TempDir(), Options{})
	for _, s := range []string{
		`INSERT INTO tenants VALUES ('acme', 'Acme', 'active', 1)`,
		`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 99999)
			INSERT INTO applications SELECT printf('app-%d', i), 'acme', 'An application', NULL, 'active', '["order-writer"]', 1 FROM n`,
		`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 999999)
			INSERT INTO api_keys SELECT printf('k_%012d', i), printf('app-%d', i/10), 'a key', randomblob(32), '["orders:read","orders:create"]', 1760000000000, 1860000000000, NULL, '' FROM n`,
	} {
		if _, err := d.write.ExecContext(ctx, s); err != nil {
			b.Fatal(err)
		}
	}
	var check time.Duration
	for b.Loop() {
		ix := directory.NewIndex()
		l := ix.Begin()
		if err := d.EachKey(ctx, func(k directory.Key) error { l.PutKey(k); return nil }); err != nil {
			b.Fatal(err)
		}
		l.Commit()
		if c := ix.Count(); c.Keys != n {
			b.Fatalf("%d keys", c.Keys)
		}
		b.StopTimer()
		start := time.Now()
		if err := quickCheck(ctx, d.write, d.file); err != nil {
			b.Fatal(err)
		}
		check = time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "keys/s")
	b.ReportMetric(check.Seconds(), "s-check")
}
