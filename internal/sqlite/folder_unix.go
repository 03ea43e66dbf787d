//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

var errLocked = errors.New("locked by another process")

// tryLock takes an exclusive flock(2), which the kernel drops when the process ends, however it ends.
func tryLock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		}
		return err
	}
}

// checkOwner refuses what belongs to somebody else. Started once by root in a folder of the service's user, Postern would
// leave files there that the service can no longer open.
func checkOwner(name string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("%s belongs to user id %d, but Postern runs as user id %d; run it as that user, or give it the data folder (chown -R %d)", name, st.Uid, os.Geteuid(), os.Geteuid())
}

func othersMayEnter(info fs.FileInfo) bool { return info.Mode().Perm()&0o007 != 0 }

func tooOpen(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
