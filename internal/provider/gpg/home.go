package gpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"signpath/internal/provider/settings"
)

// Names in the home folder.
const (
	// PinentryName and DaemonName are links in the home through which gpg-agent starts
	// the pinentry and the smart card daemon; a program that finds one of them as its
	// own name is that.
	PinentryName = "pinentry-signpath"
	DaemonName   = "scdaemon-signpath"

	// SmartCardProgram is what the daemon becomes.
	SmartCardProgram = "gnupg-pkcs11-scd"

	agentFile  = "gpg-agent.conf"
	daemonFile = "gnupg-pkcs11-scd.conf"
	gpgFile    = "gpg.conf"

	// firstLine marks a home as ours.
	firstLine = "# Written by signpath gpg init; what you change here is lost the next time."
)

// maxHome is the longest path of a home in bytes: the sockets below it must fit
// into the 108 bytes of a Unix socket's address.
const maxHome = 70

// ErrForeignHome refuses a folder that signpath gpg init did not make.
var ErrForeignHome = errors.New("the folder holds other files than those of signpath gpg init")

// Home is a GnuPG home folder that signs with one key of the service.
type Home struct {
	Dir       string // all paths are absolute
	Module    string // libSignPath.Cryptoki.so
	Program   string // what is pinentry and daemon when it is started as PinentryName and DaemonName
	AgentLog  string
	DaemonLog string
	Verbose   bool   // both logs tell every command; no secret passes there
	Key       string // fingerprint of the key that signs when the user names none
}

// Check looks at a folder: it may be missing, empty, or made by Write.
func Check(dir string) error {
	if len(dir) > maxHome {
		return fmt.Errorf("the path %s has %d bytes; sockets below it work up to %d", dir, len(dir), maxHome)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return err
	}
	if !Ours(dir) {
		return fmt.Errorf("%s: %w", dir, ErrForeignHome)
	}
	return nil
}

// Ours tells whether Write made the folder.
func Ours(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, agentFile)) //nolint:gosec // the user's own folder
	return err == nil && strings.HasPrefix(string(b), firstLine+"\n")
}

// Write makes the folder (mode 0700) and its files, or writes them anew. The files
// hold paths and options, no secret.
func (h *Home) Write() error {
	for _, path := range []string{h.Dir, h.Module, h.Program, h.AgentLog, h.DaemonLog} {
		if !filepath.IsAbs(path) || strings.ContainsFunc(path, unicode.IsControl) || strings.TrimSpace(path) != path {
			return fmt.Errorf("%q cannot stand in a configuration file of GnuPG: paths must be absolute, without control characters and white space at their ends", path)
		}
	}
	if err := Check(h.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(h.Dir, 0o700); err != nil { //nolint:gosec // a folder
		return err
	}
	for _, name := range []string{PinentryName, DaemonName} {
		link := filepath.Join(h.Dir, name)
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(h.Program, link); err != nil {
			return err
		}
	}
	for _, f := range h.files() {
		if err := os.WriteFile(filepath.Join(h.Dir, f.name), []byte(firstLine+"\n"+strings.Join(f.lines, "\n")+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

type configFile struct {
	name  string
	lines []string
}

// daemonSettings are what the smart card daemon alone is started with, so that no other
// tool behaves differently: it sees a certificate beside each key; it logs in without a
// PIN, which tools may forbid gpg-agent to ask for (--pinentry-mode error); and nothing
// is logged to stdout, where it speaks with gpg-agent.
var daemonSettings = []string{
	"SIGNPATH_INCLUDE_DUMMY_X509CERTIFICATE_FOR_GPG_KEYS=true",
	settings.EnvProtectedAuthentication + "=true",
	"SIGNPATH_LOG_CONSOLE_OUTPUT_STREAM=stderr",
}

// DaemonEnvironment is an environment (NAME=value) with the daemon's settings in it, each
// name once: of two equal ones C programs take the first.
func DaemonEnvironment(environ []string) []string {
	own := slices.Clone(daemonSettings)
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if !slices.ContainsFunc(daemonSettings, func(s string) bool { return strings.HasPrefix(s, name+"=") }) {
			own = append(own, v)
		}
	}
	return own
}

// files is the table of what stands in the home.
func (h *Home) files() []configFile {
	files := []configFile{
		{agentFile, []string{
			"scdaemon-program " + filepath.Join(h.Dir, DaemonName),
			"pinentry-program " + filepath.Join(h.Dir, PinentryName),
			"no-allow-external-cache",
			"log-file " + h.AgentLog,
		}},
		{daemonFile, []string{
			"providers signpath",
			"provider-signpath-library " + h.Module,
			"provider-signpath-allow-protected-auth",
			"log-file " + h.DaemonLog,
		}},
		// Some tools (debsigs) make gpg fall back to SHA-1, which verifiers refuse.
		{gpgFile, []string{
			"default-key " + h.Key,
			"personal-digest-preferences SHA512 SHA384 SHA256",
		}},
	}
	if h.Verbose {
		files[0].lines = append(files[0].lines, "verbose")
		files[1].lines = append(files[1].lines, "verbose")
	}
	return files
}

// StubFile is where gpg-agent keeps its reference to the key.
func (h *Home) StubFile(keygrip string) string {
	return filepath.Join(h.Dir, "private-keys-v1.d", keygrip+".key")
}
