package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"postern/internal/store"
)

// CorruptError says that a database file is damaged or is no database.
type CorruptError struct {
	File    string
	Finding string
}

// Error says what to do; Postern itself never moves or deletes the file.
func (e *CorruptError) Error() string {
	advice := "stop Postern, move the file (with its -wal and -shm files) out of the data folder and put a backup in its place, or recover what is readable with `sqlite3 FILE .recover`"
	if filepath.Base(e.File) == RecordsFile {
		advice += "; it holds call records only, so Postern also starts without it, with an empty one"
	}
	return fmt.Sprintf("%s is damaged: %s; %s", e.File, e.Finding, advice)
}

// fault turns what SQLite says into the store's errors. A broken constraint becomes the error given for it, so that every
// statement says in its own words what was violated.
func (r *reader) fault(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", what, store.ErrNotFound)
	}
	var e *driver.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY:
			return fmt.Errorf("%s: %w", what, store.ErrConflict)
		case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
			return fmt.Errorf("%s: %w", what, store.ErrReference)
		}
	}
	return explain(r.file, what, err)
}

// explain says where a fault happened and what to do about it.
func explain(file, what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", what, err)
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s in %s: %w", what, file, err)
	}
	advice := ""
	switch e.Code() & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fmt.Errorf("%s: %w", what, &CorruptError{File: file, Finding: e.Error()})
	case lib.SQLITE_FULL:
		advice = "; the disk is full: make room on it. Nothing of this write was kept, and nothing written earlier is lost"
	case lib.SQLITE_IOERR:
		advice = "; the disk failed to read or write: check it and its file system. Nothing of this write was kept"
	case lib.SQLITE_READONLY:
		advice = "; the file or its file system cannot be written: check its permissions and whether the disk was mounted read-only"
	case lib.SQLITE_CANTOPEN:
		advice = "; check that the file and its folder exist and belong to the user that runs Postern"
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		advice = "; another program holds the file (a backup, an sqlite3 shell?): end it and try again"
	case lib.SQLITE_INTERRUPT:
		return fmt.Errorf("%s: %w", what, context.Canceled)
	}
	return fmt.Errorf("%s in %s: %w%s", what, file, err, advice)
}
