//go:build unix

package logfile

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"signpath/internal/provider/settings"
)

// errOthersFolder refuses a folder whose owner could put another file there later.
var errOthersFolder = errors.New("the log folder belongs to another user")

// Prepare makes files in a log folder for other programs of this user, which open
// them by their paths and append: it creates folder and files like those of the
// module, and refuses what this user does not own, links, and a folder of another
// user than root.
func Prepare(dir string, names ...string) error {
	return prepareShared(dir, filepath.Clean(dir) == settings.SharedLogDirectory, names...)
}

func prepareShared(dir string, shared bool, names ...string) error {
	f, err := openFolderShared(dir, shared)
	if err != nil {
		return err
	}
	defer f.close()
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return errOthersFolder
	}
	for _, name := range names {
		file, err := f.open(name)
		if err != nil {
			return err
		}
		_ = file.Close()
	}
	return nil
}
