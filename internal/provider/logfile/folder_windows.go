package logfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"
)

var (
	errFile   = errors.New("the log file is not a plain file")
	errLocked = errors.New("the lock is taken")
)

// folder is the path of the log folder; it lies in the user's own %TEMP%.
type folder struct{ name string }

func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	return &folder{name: path}, nil
}

func (f *folder) close()                  {}
func (f *folder) path(name string) string { return longPath(filepath.Join(f.name, name)) }

// open opens a file for appending. It is shared for everything, deletion too:
// else no process could rename it while another has it open. Reading is for the lock. Links, devices and
// folders are refused.
func (f *folder) open(name string) (*os.File, error) {
	path, err := windows.UTF16PtrFromString(f.path(name))
	if err != nil {
		return nil, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(path, windows.FILE_APPEND_DATA|windows.FILE_READ_DATA|windows.FILE_READ_ATTRIBUTES|windows.SYNCHRONIZE, share, nil,
		windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, err
	}
	var info windows.ByHandleFileInformation
	kind, err := windows.GetFileType(h)
	if err == nil {
		err = windows.GetFileInformationByHandle(h, &info)
	}
	if err == nil && (kind != windows.FILE_TYPE_DISK || info.NumberOfLinks > 1 || info.FileAttributes&(windows.FILE_ATTRIBUTE_REPARSE_POINT|windows.FILE_ATTRIBUTE_DIRECTORY) != 0) {
		err = errFile
	}
	if err != nil {
		_ = windows.CloseHandle(h)
		return nil, err
	}
	return os.NewFile(uintptr(h), f.path(name)), nil
}

func (f *folder) stat(name string) (os.FileInfo, error) { return os.Lstat(f.path(name)) }

func (f *folder) rename(from, to string) error {
	a, err := windows.UTF16PtrFromString(f.path(from))
	if err != nil {
		return err
	}
	b, err := windows.UTF16PtrFromString(f.path(to))
	if err != nil {
		return err
	}
	err = windows.MoveFileEx(a, b, windows.MOVEFILE_REPLACE_EXISTING)
	if err == windows.ERROR_ACCESS_DENIED || err == windows.ERROR_SHARING_VIOLATION {
		// A file that somebody has open cannot be replaced, but renamed, and removed
		// under the new name: all open it shared for that.
		aside, nameErr := windows.UTF16PtrFromString(f.path(fmt.Sprintf("%s.%x.old", to, time.Now().UnixNano())))
		if nameErr == nil && windows.MoveFileEx(b, aside, windows.MOVEFILE_REPLACE_EXISTING) == nil {
			_ = windows.DeleteFile(aside)
			err = windows.MoveFileEx(a, b, windows.MOVEFILE_REPLACE_EXISTING)
		}
	}
	return err
}

// writeLine appends a line under a lock. Windows keeps appended lines of several
// processes apart on its own disks, but not on every server's, nor does Wine. When the
// lock cannot be had, the line is written without.
func writeLine(file *os.File, line []byte) (int, error) {
	// One byte behind everything that will ever be there: locks keep others from
	// writing what they cover.
	place := func() *windows.Overlapped { return &windows.Overlapped{Offset: 0xFFFFFFFE, OffsetHigh: 0x7FFFFFFF} }
	h := windows.Handle(file.Fd())
	for end := time.Now().Add(lockWait); ; time.Sleep(time.Millisecond) {
		err := windows.LockFileEx(h, windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, place())
		if err == nil {
			defer func() { _ = windows.UnlockFileEx(h, 0, 1, 0, place()) }()
			break
		}
		if err != windows.ERROR_LOCK_VIOLATION && err != windows.ERROR_IO_PENDING || time.Now().After(end) {
			break
		}
	}
	return file.Write(line)
}

// lock takes the lock file. Closing it gives the lock back, as does the end of
// the process.
func (f *folder) lock(name string, wait time.Duration) (*os.File, error) {
	path, err := windows.UTF16PtrFromString(f.path(name))
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(wait)
	for {
		// Opened without sharing, the file is its own lock.
		h, err := windows.CreateFile(path, windows.GENERIC_WRITE, 0, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
		if err == nil {
			return os.NewFile(uintptr(h), f.path(name)), nil
		}
		if err != windows.ERROR_SHARING_VIOLATION || time.Now().After(end) {
			return nil, errLocked
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ownSuffix is added to the file's name when the plain name cannot be opened: the
// user's security identifier, so that two users do not meet again.
func ownSuffix() string {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return ".own"
	}
	return "." + u.User.Sid.String()
}

// maxPlainPath is from where on a path needs the form that lifts the old limit of
// 260 characters ("Maximum Path Length Limitation").
const maxPlainPath = 200

// longPath gives an absolute path in that form when it is long.
func longPath(path string) string {
	switch {
	case len(path) < maxPlainPath || strings.HasPrefix(path, `\\?\`) || !filepath.IsAbs(path):
		return path
	case strings.HasPrefix(path, `\\`):
		return `\\?\UNC` + path[1:]
	}
	return `\\?\` + path
}
