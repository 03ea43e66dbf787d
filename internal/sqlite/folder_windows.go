package sqlite

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

var errLocked = errors.New("locked by another process")

// tryLock takes an exclusive lock on a byte far behind the text, so that others can still read who holds the folder.
func tryLock(f *os.File) error {
	at := windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}

// Access lists, not mode bits, protect files on Windows; folders below a user's profile are closed to others by default.

func checkOwner(string, fs.FileInfo) error { return nil }

func othersMayEnter(fs.FileInfo) bool { return false }

func tooOpen(fs.FileInfo) bool { return false }
