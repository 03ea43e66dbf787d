package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	driver "modernc.org/sqlite"

	"postern/internal/store"
)

// Names of the files in a data folder. SQLite adds -wal and -shm files beside the databases: they belong to them, and a
// backup by copying files needs a stopped Postern, or all of them at one instant.
const (
	MainFile    = "postern.db"
	RecordsFile = "records.db"
	LockFile    = "postern.lock"
)

// Options are the settings of Open. The zero value is right for production.
type Options struct {
	// ReadOnly opens a folder for inspection: nothing is created, upgraded or written, and no lock is taken, so that it works
	// beside a running Postern.
	ReadOnly bool
	// KeepChanges is how many directory changes are remembered for those who follow by polling; default 100,000. A follower
	// further behind loads everything again.
	KeepChanges int64
	// Now is the clock for audit entries without a time and for the age of saved answers; default time.Now.
	Now func() time.Time
	// Logger hears about repairs and checks at opening; default: none.
	Logger *slog.Logger
}

// ErrReadOnly is returned by every write to a folder that was opened ReadOnly.
var ErrReadOnly = errors.New("the data folder was opened for reading only")

// DB is an open data folder. It implements store.Store; Records and Counters give the other two parts. All methods are
// safe for concurrent use.
type DB struct {
	reader
	write   *sql.DB // one connection: SQLite has one writer, and waiting in Go is fairer than its busy loop
	read    *sql.DB
	records *Records
	lock    *folderLock
	dir     string
	opts    Options

	mu      sync.Mutex
	changed chan struct{}
	closed  bool
}

var _ store.Store = (*DB)(nil)

// Open opens the data folder dir, creating it (0700) and its files (0600) where they are missing, and brings their schema up
// to date. Errors say which file is meant and what to do; nothing is ever deleted or replaced.
func Open(ctx context.Context, dir string, opts Options) (_ *DB, err error) {
	if opts.KeepChanges <= 0 {
		opts.KeepChanges = 100_000
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	d := &DB{dir: dir, opts: opts, changed: make(chan struct{})}
	defer func() {
		if err != nil {
			d.release(false)
		}
	}()
	if err := checkFolder(dir, opts.ReadOnly); err != nil {
		return nil, err
	}
	crashed := false
	if !opts.ReadOnly {
		if d.lock, crashed, err = lockFolder(dir); err != nil {
			return nil, err
		}
	}
	main, rec := filepath.Join(dir, MainFile), filepath.Join(dir, RecordsFile)
	for _, file := range []string{main, rec} {
		if err := checkFile(file, opts.ReadOnly); err != nil {
			return nil, err
		}
	}
	if d.write, err = connect(main, "FULL", 1, opts.ReadOnly); err != nil {
		return nil, explain(main, "open", err)
	}
	if err := migrate(ctx, d.write, main, "migrations/postern", opts.ReadOnly); err != nil {
		return nil, err
	}
	if crashed {
		opts.Logger.Info("the last run did not end cleanly: checking the database", "file", main)
		if err := quickCheck(ctx, d.write, main); err != nil {
			return nil, err
		}
	}
	if d.read, err = connect(main, "FULL", 4, true); err != nil {
		return nil, explain(main, "open", err)
	}
	d.reader = reader{q: d.read, file: main,
		vault: &vault{file: filepath.Join(dir, sealFile), readOnly: opts.ReadOnly, log: opts.Logger}}
	if d.records, err = openRecords(ctx, rec, opts); err != nil {
		return nil, err
	}
	return d, nil
}

// Close waits for running writes, folds the write-ahead logs into the databases and gives up the folder.
func (d *DB) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	return d.release(true)
}

func (d *DB) release(clean bool) error {
	var errs []error
	if d.records != nil {
		errs = append(errs, d.records.close())
	}
	// The writer goes last: the last connection to close folds the log in, which a reader may not.
	for _, db := range []*sql.DB{d.read, d.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	err := errors.Join(errs...)
	if d.lock != nil {
		d.lock.release(clean && err == nil)
	}
	return err
}

// Folder returns the absolute path of the data folder.
func (d *DB) Folder() string { return d.dir }

// Records returns the call records.
func (d *DB) Records() *Records { return d.records }

// Changed returns a channel that is closed when the next Update of this process commits. Take it before polling Changes:
// then nothing can fall between. Writes of other processes do not close it.
func (d *DB) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

func (d *DB) announce() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.changed = make(chan struct{})
}

// connect makes a pool for a file. Readers cannot write whatever statement they are given; writers take the write lock when
// a transaction begins, so that it cannot fail halfway because somebody else wrote.
func connect(file, synchronous string, conns int, readOnly bool) (*sql.DB, error) {
	q := url.Values{
		"_busy_timeout": {"5000"},
		"_foreign_keys": {"1"},
		// Pages of 8 KiB hold several records each, which makes appending them a fifth cheaper. It counts for new files only.
		"_pragma": {"page_size(8192)", "trusted_schema(0)", "cache_size(-2000)", "journal_size_limit(" + strconv.Itoa(64<<20) + ")"},
	}
	if readOnly {
		q.Set("mode", "ro")
		q.Set("_query_only", "1")
	} else {
		q.Set("mode", "rw")           // checkFile has made the file, with its permissions
		q.Set("_journal_mode", "WAL") // the driver does this after page_size, which WAL would fix
		q.Set("_synchronous", synchronous)
		q.Set("_txlock", "immediate")
	}
	path := filepath.ToSlash(file)
	if path[0] != '/' {
		path = "/" + path // a drive letter
	}
	c, err := driver.NewConnector((&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if conns > 1 {
		db.SetConnMaxIdleTime(time.Minute) // page caches of a quiet gateway are given back
	}
	return db, nil
}

// quickCheck reads the whole file. It is done after a crash, not at every start: it takes a second for a million keys.
func quickCheck(ctx context.Context, db *sql.DB, file string) error {
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return explain(file, "check", err)
	}
	if answer != "ok" {
		return &CorruptError{File: file, Finding: answer}
	}
	return nil
}

// createFile makes an empty file that only its owner can read. SQLite gives its -wal and -shm files the same permissions.
func createFile(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}
