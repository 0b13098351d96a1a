package main

import (
	"errors"
	"io/fs"
	"syscall"

	"signpath/internal/service/admin"
	"signpath/internal/service/keys"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// The exit codes; scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInput       = 3
	exitRefused     = 4
	exitUnavailable = 5
	exitStopped     = 130 // as shells count a SIGINT
)

// exitCodeHelp is the table as `signpath --help` shows it.
const exitCodeHelp = `  0  done
  1  failed, or a verification found something wrong
  2  the command line was not understood
  3  a configuration value or an input file cannot be used
  4  refused: a value is not allowed, or something does not exist
  5  the service, its database, folder or port is not available
  130  stopped by Ctrl-C or SIGTERM before it was done`

// failure is an error with the exit code and the hint that go with it.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usage refuses a combination of flags that the parser cannot judge.
func usage(err error, hint string) error { return &failure{exitUsage, err, hint} }

// badInput refuses a configuration value or a file.
func badInput(err error, hint string) error { return &failure{exitInput, err, hint} }

// unavailable says that something is not there now.
func unavailable(err error, hint string) error { return &failure{exitUnavailable, err, hint} }

// classes maps what the packages answer to exit codes; the first that fits counts.
var classes = []struct {
	target error
	code   int
	hint   string
}{
	{store.ErrInUse, exitUnavailable, "another signpath process works on this folder; stop it, or use the one that runs"},
	{store.ErrTooNew, exitInput, "run the newer signpath, or restore a backup that this version wrote"},
	{store.ErrFull, exitUnavailable, "make room on the device and try again"},
	{store.ErrDamaged, exitInput, "restore a backup of the database; what cannot be read may be kept as a copy"},
	{admin.ErrUnavailable, exitUnavailable, "try again; \"signpath server\" tells in its log what is wrong with the token"},
	{keys.ErrWrongKEK, exitInput, "the original key is in the backup that was made with the data, or in the secret store of the installation"},
	{keys.ErrNoKEK, exitInput, "give it with --key-encryption-key-file, as systemd credential signpath-kek, or in SIGNPATH_SERVER_KEY_ENCRYPTION_KEY"},
	{admin.ErrNoKEK, exitInput, "give it with --key-encryption-key-file, as systemd credential signpath-kek, or in SIGNPATH_SERVER_KEY_ENCRYPTION_KEY"},
	{admin.ErrNotFound, exitRefused, ""},
	{admin.ErrConflict, exitRefused, ""},
	{admin.ErrQuota, exitRefused, ""},
	{admin.ErrInvitation, exitRefused, ""},
	{store.ErrDuplicate, exitRefused, ""},
	{syscall.EADDRINUSE, exitUnavailable, "another program listens there; stop it, or choose another address with --listen"},
	{syscall.EADDRNOTAVAIL, exitInput, "this machine does not have that address; see --listen"},
	{syscall.ECONNREFUSED, exitUnavailable, "nothing answers there; is the service running?"},
	{fs.ErrPermission, exitInput, "run as the user that the files belong to"},
	{fs.ErrNotExist, exitInput, ""},
}

// classify gives the exit code and the hint of an error.
func classify(err error) (code int, hint string) {
	var f *failure
	if errors.As(err, &f) {
		return f.code, f.hint
	}
	var fields wire.FieldErrors
	if errors.As(err, &fields) {
		return exitRefused, ""
	}
	for _, c := range classes {
		if errors.Is(err, c.target) {
			return c.code, c.hint
		}
	}
	return exitFailed, ""
}
