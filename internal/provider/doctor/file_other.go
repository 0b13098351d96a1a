//go:build !unix

package doctor

import (
	"errors"
	"io/fs"
	"os"
)

const windows = true

// lookAtFile cannot tell who may read: rights are access lists here.
func lookAtFile(path string) *File {
	f := &File{Path: path}
	_, f.Err = os.Stat(path)
	return f
}

func lookAtFolder(path string) *Folder {
	f := &Folder{Path: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Missing = true
	case err != nil:
		f.Problem = err.Error()
	case !info.IsDir():
		f.Problem = "it is not a folder"
	}
	return f
}
