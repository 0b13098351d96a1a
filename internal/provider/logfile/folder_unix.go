//go:build unix

package logfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"signpath/internal/provider/settings"
)

var (
	errLink    = errors.New("it is a symbolic link of another user")
	errFolder  = errors.New("it is not a folder")
	errFile    = errors.New("the log file is not a plain file")
	errForeign = errors.New("the log file belongs to another user")
	errLocked  = errors.New("the lock is taken")
)

// folder is an open directory. Files are opened and renamed relative to it, so
// that nobody can change the path in between.
type folder struct {
	fd   int
	name string
}

// openFolder opens the log folder and creates it when it is missing. The shared
// default is created for everybody (mode 1777, as /tmp), other folders with 0755.
// A symbolic link counts only when root or the user made it.
func openFolder(path string) (*folder, error) {
	return openFolderShared(path, filepath.Clean(path) == settings.SharedLogDirectory)
}

func openFolderShared(path string, shared bool) (*folder, error) {
	created := false
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if shared {
			created = os.Mkdir(path, 0o777) == nil
		} else if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, err := openRetry(unix.AT_FDCWD, path, flags|unix.O_NOFOLLOW, 0)
	if err == unix.ELOOP || err == unix.ENOTDIR || err == unix.EMLINK {
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return nil, errFolder
		}
		if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return nil, errLink
		}
		fd, err = openRetry(unix.AT_FDCWD, path, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	if created { // past the umask; by descriptor, so that no link can be slipped in
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && int(st.Uid) == os.Geteuid() {
			_ = unix.Fchmod(fd, 0o1777)
		}
	}
	return &folder{fd: fd, name: path}, nil
}

// openRetry opens and keeps away from descriptors 0 to 2: a host that has closed
// its standard streams must not find its output in our file.
func openRetry(dir int, path string, flags int, mode uint32) (int, error) {
	fd, err := unix.Openat(dir, path, flags, mode)
	for err == unix.EINTR {
		fd, err = unix.Openat(dir, path, flags, mode)
	}
	if err != nil || fd > 2 {
		return fd, err
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	_ = unix.Close(fd)
	return high, err
}

func (f *folder) close()                  { _ = unix.Close(f.fd) }
func (f *folder) path(name string) string { return filepath.Join(f.name, name) }

// open opens a file for appending and creates it for its user alone. Links
// (symbolic or hard), pipes, devices and files of other users are refused.
func (f *folder) open(name string) (*os.File, error) {
	// O_NONBLOCK: a named pipe without a reader is an error and no wait.
	fd, err := openRetry(f.fd, name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1:
		err = errFile
	case int(st.Uid) != os.Geteuid():
		err = errForeign
	default: // a blocking descriptor stays out of Go's poller
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// stat looks at a name without following links.
func (f *folder) stat(name string) (os.FileInfo, error) { return os.Lstat(f.path(name)) }

func (f *folder) rename(from, to string) error { return unix.Renameat(f.fd, from, f.fd, to) }

// lock takes the lock file. Closing it gives the lock back, as does the end of
// the process.
func (f *folder) lock(name string, wait time.Duration) (*os.File, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(wait)
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(end) {
			_ = file.Close()
			return nil, errLocked
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ownSuffix is added to the file's name when the plain name is another user's.
// Not the bare number: a copy of the plain file may have it.
func ownSuffix() string { return ".uid" + strconv.Itoa(os.Geteuid()) }

// writeLine appends a line; the kernel keeps lines of several processes apart.
func writeLine(file *os.File, line []byte) (int, error) { return file.Write(line) }
