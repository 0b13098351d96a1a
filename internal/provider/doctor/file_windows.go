package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"

	"signpath/internal/rights"
)

const onWindows = true

// lookAtFile asks for the access list: there are no modes.
func lookAtFile(path string) *File {
	f := &File{Path: path}
	if _, f.Err = os.Stat(path); f.Err != nil {
		return f
	}
	others, err := rights.Look(path)
	if err != nil {
		f.Err = err
		return f
	}
	f.Readers, f.Writers, f.Owner = others.Read, others.Write, others.Owner
	return f
}

// lookAtFolder asks Windows whether a log could be written, without writing one.
func lookAtFolder(path string) *Folder {
	f := &Folder{Path: path}
	info, err := os.Stat(path)
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
	switch {
	case err != nil:
		f.Problem = plainPathError(err)
		return f
	case !info.IsDir():
		f.Problem = path + " is not a folder"
		return f
	}
	name, err := windows.UTF16PtrFromString(path)
	if err == nil {
		const addFile, share = 0x2, windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE // FILE_ADD_FILE
		var h windows.Handle
		if h, err = windows.CreateFile(name, addFile, share, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0); err == nil {
			_ = windows.CloseHandle(h)
		}
	}
	if err != nil {
		f.Problem = path + ": " + err.Error()
		return f
	}
	if others, err := rights.Look(path); err == nil && !f.Missing {
		f.Owner = others.Owner
	}
	return f
}
