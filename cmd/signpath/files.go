package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"signpath/internal/rights"
)

// Modes of what is written.
const (
	secretFile fs.FileMode = 0o600
	publicFile fs.FileMode = 0o644
	secretDir  fs.FileMode = 0o700
	publicDir  fs.FileMode = 0o755
)

// writeFile replaces a file in one step: a reader sees the old text or the new
// one, never half of it.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := createFile(path, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.abandon()
		return fmt.Errorf("writing %s: %w", path, reason(err))
	}
	return f.commit()
}

// reason is an error without the name of the temporary file.
func reason(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// newFile is a file that takes its name when it is finished.
type newFile struct {
	*os.File
	path string
}

// createFile begins a file beside its later place.
func createFile(path string, mode fs.FileMode) (*newFile, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("creating %s: %w", path, reason(err))
	}
	n := &newFile{f, path}
	if err := f.Chmod(mode); err != nil && runtime.GOOS != "windows" {
		n.abandon()
		return nil, fmt.Errorf("creating %s: %w", path, reason(err))
	}
	if mode.Perm()&0o077 == 0 { // before anything is in it
		if err := rights.Keep(f.Name()); err != nil {
			n.abandon()
			return nil, err
		}
	}
	return n, nil
}

// commit makes the file durable and gives it its name.
func (f *newFile) commit() error {
	err := f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", f.path, reason(err))
	}
	return nil
}

// abandon forgets the file.
func (f *newFile) abandon() {
	_ = f.Close()
	_ = os.Remove(f.Name())
}

// output writes a command's result to a file, or to stdout when path is empty or "-".
func (t *terminal) output(path string, write func(io.Writer) error) error {
	if path == "" || path == "-" {
		return write(t.out)
	}
	f, err := createFile(path, publicFile)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.abandon()
		return err
	}
	return f.commit()
}

// makeFolder creates a folder when it is missing and tells whether it did. An
// existing one is left as it is.
func makeFolder(path string, mode fs.FileMode) (created bool, err error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return false, badInput(fmt.Errorf("%s is not a folder", path), "")
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, badInput(err, "")
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return false, badInput(fmt.Errorf("creating the folder %s: %w", path, errors.Unwrap(err)), "")
	}
	if mode.Perm()&0o077 == 0 {
		if err := rights.Keep(path); err != nil {
			return true, badInput(err, "")
		}
	}
	return true, nil
}

// readSecretFile reads a one-line secret, e.g. a connection string with password.
func readSecretFile(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", badInput(err, "")
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return "", badInput(fmt.Errorf("%s must hold exactly one line", path), "")
	}
	return text, nil
}
