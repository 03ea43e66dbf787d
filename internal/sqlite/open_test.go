package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/directory"
	"postern/internal/record"
	"postern/internal/store"
)

// fails checks that a folder cannot be opened and that the error says all of this.
func fails(t *testing.T, dir string, o Options, says ...string) {
	t.Helper()
	d, err := Open(t.Context(), dir, o)
	if err == nil {
		d.Close()
		t.Fatal("it was opened")
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("the error does not say %q: %v", s, err)
		}
	}
}

// filled is a closed data folder with a tenant in it.
func filled(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a folder with spaces, 100% ünusual?&#", "data")
	d, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, d, "acme")
	if err := d.Records().AppendRecords(t.Context(), []record.Record{{Path: "/"}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t *testing.T, d *DB, id string) {
	t.Helper()
	if err := d.Update(t.Context(), store.AuditEntry{}, func(tx store.Tx) error { return tx.PutTenant(t.Context(), directory.Tenant{ID: id}) }); err != nil {
		t.Fatal(err)
	}
}

func TestFolderAndFilesAreClosedToOthers(t *testing.T) {
	dir := filled(t)
	d := open(t, dir, Options{})
	put(t, d, "beta") // so that -wal and -shm are there
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 5 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o (%v)", e.Name(), info.Mode().Perm(), err)
		}
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %04o", info.Mode().Perm())
	}
}

func TestModesThatAreTooOpen(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, empty, Options{})
	if info, _ := os.Stat(empty); info.Mode().Perm() != 0o700 {
		t.Errorf("an empty folder was left at mode %04o", info.Mode().Perm())
	}
	dir := filled(t)
	file := filepath.Join(dir, MainFile)
	if err := errors.Join(os.Chmod(file, 0o644), os.Chmod(dir, 0o750)); err != nil { // a group on the folder is the operator's choice
		t.Fatal(err)
	}
	d, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("the database was left at mode %04o", info.Mode().Perm())
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, Options{}, dir, "0755", "chmod 700")
}

func TestFoldersThatAreNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, file, Options{}, file, "is a file")
	fails(t, filepath.Join(file, "below"), Options{}, "cannot be reached")
	fails(t, filepath.Join(t.TempDir(), "missing"), Options{ReadOnly: true}, "no such folder", "postern serve")
	fails(t, t.TempDir()+"\x00", Options{}, "data folder")
	dir := filled(t)
	if err := errors.Join(os.Remove(filepath.Join(dir, RecordsFile)), os.Mkdir(filepath.Join(dir, RecordsFile), 0o700)); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, Options{}, RecordsFile, "not a regular file")
}

func TestAnotherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := filled(t)
	file := filepath.Join(dir, MainFile)
	if err := os.Chown(file, 4242, -1); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, Options{}, file, "user id 4242", "chown")
	if err := errors.Join(os.Chown(file, 0, -1), os.Chown(dir, 4242, -1)); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, Options{}, dir, "user id 4242", "chown")
}

func TestOneProcessAtATime(t *testing.T) {
	dir := filled(t)
	d, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fails(t, dir, Options{}, dir, "in use", fmt.Sprint("process ", os.Getpid()), "management API")
	ro := open(t, dir, Options{ReadOnly: true}) // looking is allowed
	put(t, d, "beta")
	if _, err := ro.Tenant(t.Context(), "beta"); err != nil {
		t.Errorf("a reader does not see what the owner wrote: %v", err)
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
}

func TestReadOnlyWritesNothing(t *testing.T) {
	dir := filled(t)
	d := open(t, dir, Options{ReadOnly: true})
	ctx := t.Context()
	_, trim := d.Records().TrimRecords(ctx, time.Now(), 1)
	for name, err := range map[string]error{
		"Update":        d.Update(ctx, store.AuditEntry{}, func(store.Tx) error { t.Error("called"); return nil }),
		"AppendRecords": d.Records().AppendRecords(ctx, []record.Record{{}}),
		"TrimRecords":   trim,
		"SaveCounters":  d.Counters().SaveCounters(ctx, []store.CounterRow{{Limit: "l"}}),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v, want ErrReadOnly", name, err)
		}
	}
	if _, err := d.Tenant(ctx, "acme"); err != nil {
		t.Error(err)
	}
	if r, err := d.Records().FindRecords(ctx, record.Query{}); len(r) != 1 || err != nil {
		t.Errorf("%d records, %v", len(r), err)
	}
	if _, err := d.write.ExecContext(ctx, "DELETE FROM tenants"); err == nil {
		t.Error("a statement could write")
	}
}

func TestDamagedFilesAreNamedAndLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		file  string
		spoil func([]byte) []byte
		says  string
	}{
		"text in its place":   {MainFile, func([]byte) []byte { return []byte("this is my diary, not a database") }, "not an SQLite database"},
		"a few bytes":         {MainFile, func([]byte) []byte { return []byte("SQL") }, "not an SQLite database"},
		"a broken page":       {MainFile, func(b []byte) []byte { copy(b[100:], strings.Repeat("\xff", 2000)); return b }, "damaged"},
		"records not records": {RecordsFile, func([]byte) []byte { return []byte("this is my diary, not a database") }, "starts without it"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t)
			file := filepath.Join(dir, c.file)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			spoilt := string(c.spoil(b))
			if err := os.WriteFile(file, []byte(spoilt), 0o600); err != nil {
				t.Fatal(err)
			}
			fails(t, dir, Options{}, file, c.says, "backup", ".recover")
			_, err = Open(t.Context(), dir, Options{})
			if e := (&CorruptError{}); !errors.As(err, &e) || e.File != file {
				t.Errorf("%v is no CorruptError of the file", err)
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != spoilt {
				t.Errorf("the damaged file was changed (%v)", err)
			}
		})
	}
}

func TestADatabaseIsCheckedAfterACrash(t *testing.T) {
	dir := filled(t)
	// Damage that opening alone does not notice: a page in the middle.
	file := filepath.Join(dir, MainFile)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[5*8192:], strings.Repeat("\xa5", 4000))
	if err := errors.Join(os.WriteFile(file, b, 0o600), os.WriteFile(filepath.Join(dir, LockFile), []byte("running 1\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, Options{}, file, "damaged")
}

func TestASchemaOfTheFuture(t *testing.T) {
	dir := filled(t)
	d, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Fatal(err)
	}
	d.Close()
	fails(t, dir, Options{}, MainFile, "newer Postern", "version 99")
	fails(t, dir, Options{ReadOnly: true}, MainFile, "newer Postern", "version 99")
}

func TestADiskThatIsFull(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	ctx := t.Context()
	put(t, d, "acme")
	var pages int
	if err := d.write.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	room := func(n int) {
		t.Helper()
		if _, err := d.write.ExecContext(ctx, fmt.Sprint("PRAGMA max_page_count = ", n)); err != nil {
			t.Fatal(err)
		}
	}
	room(pages + 2)
	big := store.Generation{Document: make([]byte, 1<<20), Actor: "a"}
	err := d.Update(ctx, store.AuditEntry{Action: "config.apply"}, func(tx store.Tx) error {
		_, err := tx.AppendGeneration(ctx, 0, big)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "disk is full") || errors.Is(err, store.ErrConflict) {
		t.Errorf("error %v, want that the disk is full", err)
	}
	if _, err := d.Tenant(ctx, "acme"); err != nil {
		t.Errorf("what was written before is lost: %v", err)
	}
	if _, err := d.CurrentGeneration(ctx); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half a generation: %v", err)
	}
	room(1 << 30)
	if err := d.Update(ctx, store.AuditEntry{}, func(tx store.Tx) error { _, err := tx.AppendGeneration(ctx, 0, big); return err }); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestSynchronous(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	for _, c := range []struct {
		db   *sql.DB
		want int
	}{{d.write, 2}, {d.records.write, 1}} { // FULL and NORMAL
		var sync, keys int
		var mode string
		err := errors.Join(c.db.QueryRow("PRAGMA synchronous").Scan(&sync), c.db.QueryRow("PRAGMA journal_mode").Scan(&mode), c.db.QueryRow("PRAGMA foreign_keys").Scan(&keys))
		if err != nil || sync != c.want || mode != "wal" || keys != 1 {
			t.Errorf("synchronous %d, journal mode %s, foreign keys %d (%v); want %d, wal, 1", sync, mode, keys, err, c.want)
		}
	}
	var size int
	if err := d.records.read.QueryRow("PRAGMA page_size").Scan(&size); err != nil || size != 8192 {
		t.Errorf("pages of %d bytes (%v)", size, err)
	}
}

func TestChangesThatWereForgotten(t *testing.T) {
	d := open(t, t.TempDir(), Options{KeepChanges: 3})
	for i := range 10 {
		put(t, d, fmt.Sprint("t", i))
	}
	if _, newest, err := d.Changes(t.Context(), 6, 10); !errors.Is(err, store.ErrHistory) || newest != 10 {
		t.Errorf("newest %d, error %v; want 10 and ErrHistory", newest, err)
	}
	if c, newest, err := d.Changes(t.Context(), 7, 10); len(c) != 3 || newest != 10 || err != nil {
		t.Errorf("%d changes, newest %d, error %v; want 3 up to 10", len(c), newest, err)
	}
}

func TestChangedTellsOfCommitsOnly(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	changed := d.Changed()
	_ = d.Update(t.Context(), store.AuditEntry{}, func(store.Tx) error { return errors.New("no") })
	select {
	case <-changed:
		t.Error("told of a write that failed")
	default:
	}
	put(t, d, "acme")
	select {
	case <-changed:
	default:
		t.Error("not told of a write")
	}
	select {
	case <-d.Changed():
		t.Error("told twice")
	default:
	}
}

func TestSavedAnswersAreForgottenAfterADay(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	d := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	ctx := t.Context()
	do := func(fn func(store.Tx) error) {
		t.Helper()
		if err := d.Update(ctx, store.AuditEntry{}, fn); err != nil {
			t.Fatal(err)
		}
	}
	do(func(tx store.Tx) error {
		return tx.SaveAnswer(ctx, "ada", "k", [32]byte{1}, store.SavedAnswer{Status: 201})
	})
	now = now.Add(24*time.Hour - time.Millisecond)
	do(func(tx store.Tx) error {
		if a, err := tx.Idempotent(ctx, "ada", "k", [32]byte{1}); a == nil || err != nil {
			t.Errorf("within a day: %v, %v", a, err)
		}
		return nil
	})
	now = now.Add(time.Millisecond)
	do(func(tx store.Tx) error {
		if a, err := tx.Idempotent(ctx, "ada", "k", [32]byte{2}); a != nil || err != nil {
			t.Errorf("after a day: %v, %v", a, err)
		}
		return tx.SaveAnswer(ctx, "ada", "k", [32]byte{2}, store.SavedAnswer{Status: 202})
	})
}

func TestUseAfterClose(t *testing.T) {
	d, err := Open(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := d.Update(context.Background(), store.AuditEntry{}, func(store.Tx) error { return nil }); err == nil {
		t.Error("a closed store took a write")
	}
	if _, err := d.Tenant(context.Background(), "x"); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a closed store answered: %v", err)
	}
}
