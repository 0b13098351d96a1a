package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"signpath/internal/service/store"
)

var errLocked = errors.New("locked")

// lock takes the data folder for this process until release is called or the
// process ends, however it ends. The lock file holds the owner's process ID
// for the error text of the next one; its presence alone means nothing.
func lock(dir string) (release func() error, err error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		owner := ""
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			owner = fmt.Sprintf(" (pid %d)", pid)
		}
		return nil, fmt.Errorf("%s %w%s; stop that one first, or use another folder", dir, store.ErrInUse, owner)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
