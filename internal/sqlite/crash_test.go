package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/record"
	"postern/internal/store"
)

const crashFolder = "POSTERN_TEST_CRASH_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashFolder); dir != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled is the child of the test below: it says on its output what has been acknowledged, after it was.
func writeUntilKilled(dir string) error {
	ctx := context.Background()
	d, err := Open(ctx, dir, Options{})
	if err != nil {
		return err
	}
	fmt.Println("open")
	run := decision.NewTraceID(time.Now()).String()
	err = d.Update(ctx, store.AuditEntry{}, func(tx store.Tx) error {
		if err := tx.PutTenant(ctx, directory.Tenant{ID: "acme"}); err != nil {
			return err
		}
		return tx.PutApplication(ctx, directory.Application{ID: "shop", Tenant: "acme"})
	})
	for i := 0; err == nil; i++ {
		k := directory.Key{ID: fmt.Sprint(run, "-", i), Application: "shop"}
		copy(k.Hash[:], k.ID)
		if err = d.Update(ctx, store.AuditEntry{Action: "key.create", Target: "key/" + k.ID}, func(tx store.Tx) error { return tx.PutKey(ctx, k) }); err != nil {
			break
		}
		fmt.Println("key", k.ID)
		if i%3 == 0 {
			var base, n uint64
			if g, err := d.CurrentGeneration(ctx); err == nil {
				base = g.Number
			}
			if err = d.Update(ctx, store.AuditEntry{Action: "config.apply", Target: fmt.Sprint("generation/", base+1)}, func(tx store.Tx) error {
				n, err = tx.AppendGeneration(ctx, base, store.Generation{Document: []byte(strings.Repeat("x", 20_000)), Actor: run})
				return err
			}); err != nil {
				break
			}
			fmt.Println("generation", n)
			batch := make([]record.Record, 1+i%40) // rows, blocks and both
			for j := range batch {
				batch[j] = record.Record{ID: decision.NewTraceID(time.Now()), Path: strings.Repeat("p", 500), Outcome: []string{"passed", "passed", "failed"}[j%3]}
			}
			if err = d.Records().AppendRecords(ctx, batch); err != nil {
				break
			}
			for j := range batch {
				fmt.Println("record", batch[j].ID)
			}
		}
	}
	return err
}

// TestAcknowledgedWritesSurviveKill kills a writing process at random moments, its start included, and looks for everything
// that it had been told was written. A power cut is another matter than kill -9: what covers it is synchronous=FULL, which
// TestSynchronous checks, and a disk that keeps its word.
func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills many processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/data"
	ctx := t.Context()
	var acked []string
	const rounds = 32
	withWrites := 0
	for round := range rounds {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), crashFolder+"="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		life, starting := time.Duration(rand.Int64N(int64(80*time.Millisecond))), round%4 == 0
		kill := func() { _ = cmd.Process.Kill() }
		killer := time.AfterFunc(time.Minute, kill)
		if starting {
			killer.Reset(life / 2)
		}
		before := len(acked)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if err != nil { // a line without its end was not said
				break
			}
			if line == "open\n" {
				if !starting {
					killer.Reset(life)
				}
				continue
			}
			acked = append(acked, strings.TrimSuffix(line, "\n"))
		}
		_ = cmd.Wait()
		killer.Stop()
		if stderr.Len() > 0 {
			t.Fatalf("round %d: the writer failed by itself: %s", round, stderr.String())
		}
		if len(acked) > before {
			withWrites++
		}
		d, err := Open(ctx, dir, Options{})
		if err != nil {
			t.Fatalf("round %d: open after the kill: %v", round, err)
		}
		checkAcked(t, d, acked[before:])
		if round == rounds-1 {
			checkAcked(t, d, acked)
			checkWhole(t, d)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if withWrites < rounds/6 {
		t.Errorf("only %d of %d processes lived long enough to write", withWrites, rounds)
	}
	t.Logf("%d processes killed, %d of them while writing, %d acknowledged writes found again", rounds, withWrites, len(acked))
}

func checkAcked(t *testing.T, d *DB, acked []string) {
	t.Helper()
	ctx := t.Context()
	for _, a := range acked {
		kind, id, _ := strings.Cut(a, " ")
		var err error
		target := kind + "/" + id
		switch kind {
		case "key":
			_, err = d.Key(ctx, id)
		case "generation":
			var n uint64
			fmt.Sscan(id, &n)
			_, err = d.Generation(ctx, n)
		case "record":
			var trace decision.TraceID
			if trace, err = decision.ParseTraceID(id); err == nil {
				_, err = d.Records().Record(ctx, trace)
			}
			target = ""
		default:
			err = fmt.Errorf("the writer said %q", a)
		}
		if err != nil {
			t.Errorf("%s was acknowledged and is lost: %v", a, err)
		}
		if target == "" {
			continue
		}
		var n int
		if err := d.read.QueryRowContext(ctx, `SELECT count(*) FROM audit_trail WHERE target = ?`, target).Scan(&n); err != nil || n != 1 {
			t.Errorf("%s has %d audit entries (%v)", a, n, err)
		}
	}
}

func checkWhole(t *testing.T, d *DB) {
	t.Helper()
	for _, db := range []*DB{d, {reader: d.records.reader, read: d.records.read}} {
		var answer string
		if err := db.read.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&answer); err != nil || answer != "ok" {
			t.Errorf("%s: integrity check: %s %v", db.file, answer, err)
		}
	}
	var keys, audited, generations, newest int
	err := d.read.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM api_keys), (SELECT count(*) FROM audit_trail WHERE action = 'key.create'),
		(SELECT count(*) FROM generations), (SELECT coalesce(max(number), 0) FROM generations)`).Scan(&keys, &audited, &generations, &newest)
	if err != nil || keys != audited || generations != newest {
		t.Errorf("%d keys with %d audit entries, %d generations up to %d: something was written by half (%v)", keys, audited, generations, newest, err)
	}
}
