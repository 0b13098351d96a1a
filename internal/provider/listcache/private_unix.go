//go:build unix

package listcache

import (
	"io/fs"
	"os"
	"syscall"
)

// noFollow keeps links away, and named pipes from waiting for a writer.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// private tells whether a folder or file is the user's own, and nobody else can
// write to it or, as a hard link, have put it there.
func private(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0 && (info.IsDir() || st.Nlink <= 1) // 0: replaced a moment ago
}
