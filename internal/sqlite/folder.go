package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkFolder makes sure that dir is a folder of ours that others cannot look into, creating it when it is missing.
func checkFolder(dir string, readOnly bool) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && readOnly:
		return fmt.Errorf("data folder %s: there is no such folder; name the folder that `postern serve` uses", dir)
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("data folder %s cannot be created: %w; create it yourself (mode 0700, owned by the user that runs Postern) or choose another", dir, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("data folder %s cannot be reached: %w; check that the user that runs Postern may enter every folder above it", dir, err)
	case !info.IsDir():
		return fmt.Errorf("data folder %s is a file; name a folder", dir)
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("data folder %s cannot be read: %w; give it mode 0700 (chmod 700 %s)", dir, err, dir)
	}
	if readOnly || !othersMayEnter(info) {
		return nil
	}
	// RATIONALE: a folder that is empty was made for us (mkdir under the usual umask), so it is closed without ado. One that
	// holds something may serve others too (/tmp, a home folder): changing it could lock them out, so the operator decides.
	// Access for the group is left alone: container platforms grant it to mounted volumes on purpose.
	if names, err := os.ReadDir(dir); err == nil && len(names) == 0 && os.Chmod(dir, 0o700) == nil {
		return nil
	}
	return fmt.Errorf("data folder %s is open to every user of this machine (mode %04o); close it (chmod 700 %s) or choose a folder of its own below it", dir, info.Mode().Perm(), dir)
}

// checkFile makes sure that a database file can be opened and is one, creating it when it is missing.
//
// It must run before SQLite opens the file: closing a second descriptor of a file drops this process's POSIX locks on it.
func checkFile(file string, readOnly bool) error {
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && readOnly:
		return fmt.Errorf("%s does not exist; name the data folder that `postern serve` uses", file)
	case errors.Is(err, fs.ErrNotExist):
		if err := createFile(file); err != nil {
			return fmt.Errorf("%s cannot be created: %w; check that the folder is writable for the user that runs Postern and that the disk has room", file, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("%s cannot be reached: %w", file, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file; move it away, or choose another data folder", file)
	}
	if err := checkOwner(file, info); err != nil {
		return err
	}
	if !readOnly && tooOpen(info) {
		if err := os.Chmod(file, 0o600); err != nil {
			return fmt.Errorf("%s is readable for others and cannot be closed to them: %w; run chmod 600 %s", file, err, file)
		}
	}
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(file, flag, 0)
	if err != nil {
		return fmt.Errorf("%s cannot be opened: %w; give it back to the user that runs Postern, with mode 0600", file, err)
	}
	defer f.Close()
	var head [16]byte
	n, err := io.ReadFull(f, head[:])
	switch {
	case err == io.EOF: // empty: SQLite fills it
		return nil
	case err != nil && err != io.ErrUnexpectedEOF:
		return fmt.Errorf("%s cannot be read: %w; check the disk", file, err)
	}
	if !bytes.Equal(head[:n], []byte("SQLite format 3\x00")) {
		return &CorruptError{File: file, Finding: "it is not an SQLite database"}
	}
	return nil
}

const (
	lockRunning = "running"
	lockStopped = "stopped"
)

// folderLock is the hold of one process on a data folder.
type folderLock struct{ f *os.File }

// lockFolder takes the folder, or says who has it. crashed says that the last holder did not let go of it properly.
func lockFolder(dir string) (_ *folderLock, crashed bool, err error) {
	name := filepath.Join(dir, LockFile)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("%s cannot be opened: %w; check that the folder is writable for the user that runs Postern", name, err)
	}
	if err := tryLock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errLocked) {
			return nil, false, fmt.Errorf("%s cannot be locked: %w; the data folder must be on a file system with locks", name, err)
		}
		return nil, false, fmt.Errorf("data folder %s is in use by another Postern%s; stop that one, give this one another folder, or reach the running one through its management API", dir, holder(f))
	}
	var last [64]byte
	n, _ := f.ReadAt(last[:], 0)
	l := &folderLock{f}
	if err := l.write(fmt.Sprintf("%s %d\n", lockRunning, os.Getpid())); err != nil {
		f.Close()
		return nil, false, fmt.Errorf("%s cannot be written: %w; check that the disk has room", name, err)
	}
	return l, strings.HasPrefix(string(last[:n]), lockRunning), nil
}

func (l *folderLock) write(s string) error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt([]byte(s), 0)
	return err
}

// release lets go of the folder. The file stays: removing it would let two processes lock two different files.
func (l *folderLock) release(clean bool) {
	if clean {
		_ = l.write(lockStopped + "\n") // failing leaves "running", which only costs the next start a check
	}
	l.f.Close()
}

func holder(f *os.File) string {
	var b [64]byte
	n, _ := f.ReadAt(b[:], 0)
	var pid int
	if _, err := fmt.Sscanf(string(b[:n]), lockRunning+" %d", &pid); err != nil || pid <= 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}
