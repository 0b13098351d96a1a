//go:build unix

package doctor

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const onWindows = false

func lookAtFile(path string) *File {
	f := &File{Path: path}
	info, err := os.Stat(path)
	if err != nil {
		f.Err = err
		return f
	}
	f.Mode, f.Owner = info.Mode().Perm(), stranger(info)
	return f
}

// stranger names the owner of a file when that is neither this user nor root.
func stranger(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return ""
	}
	id := strconv.FormatUint(uint64(st.Uid), 10)
	if u, err := user.LookupId(id); err == nil && u.Username != "" {
		return u.Username
	}
	return "user " + id
}

// lookAtFolder asks the kernel whether a log could be written, without writing one.
func lookAtFolder(path string) *Folder {
	f := &Folder{Path: path}
	info, err := os.Lstat(path)
	for parent := path; errors.Is(err, fs.ErrNotExist); { // it will be made, and its parents
		f.Missing = true
		next := filepath.Dir(parent)
		if next == parent {
			break
		}
		parent = next
		if info, err = os.Stat(parent); err == nil {
			path = parent
		}
	}
	if err != nil {
		f.Problem = plainPathError(err)
		return f
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if owner := stranger(info); owner != "" {
			f.Problem = "it is a symbolic link of " + owner
			return f
		}
		if info, err = os.Stat(path); err != nil {
			f.Problem = plainPathError(err)
			return f
		}
	}
	if !info.IsDir() {
		f.Problem = path + " is not a folder"
		return f
	}
	if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
		f.Problem = err.Error()
		if path != f.Path {
			f.Problem = path + ": " + f.Problem
		}
		return f
	}
	var space unix.Statfs_t
	if unix.Statfs(path, &space) == nil && space.Blocks > 0 && space.Bavail == 0 {
		f.Problem = "the device is full"
		return f
	}
	if f.Missing {
		return f
	}
	f.Owner = stranger(info)
	f.OpenToAll = info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0
	entries, _ := os.ReadDir(path) // without the right to list, nothing is known of its files
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "SignPath.CryptoProviders.") && strings.HasSuffix(e.Name(), ".txt") && !strings.Contains(e.Name(), ".uid") {
			if info, err := e.Info(); err == nil && (stranger(info) != "" || os.Geteuid() != 0 && ownedByRoot(info)) {
				f.OtherFile = true
			}
		}
	}
	return f
}

func ownedByRoot(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0
}
