package logfile

import (
	"errors"
	"os"
	"path/filepath"
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
func (f *folder) path(name string) string { return filepath.Join(f.name, name) }

// open opens a file for appending. It is shared for everything, deletion too:
// else no process could rename it while another has it open. Links, devices and
// folders are refused.
func (f *folder) open(name string) (*os.File, error) {
	path, err := windows.UTF16PtrFromString(f.path(name))
	if err != nil {
		return nil, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(path, windows.FILE_APPEND_DATA|windows.FILE_READ_ATTRIBUTES|windows.SYNCHRONIZE, share, nil,
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
	return windows.MoveFileEx(a, b, windows.MOVEFILE_REPLACE_EXISTING)
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

// ownSuffix is added to the file's name when the plain name cannot be opened.
func ownSuffix() string { return ".own" }
