package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// tryLimit is how long loading a module may take.
const tryLimit = 10 * time.Second

// maxTryOutput is how much of what a module prints is looked at, in bytes.
const maxTryOutput = 64 << 10

// loaders are the dynamic loaders of glibc by GOARCH. They list what a library
// needs without running it, as ldd does.
var loaders = map[string]string{"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1", "386": "/lib/ld-linux.so.2", "arm": "/lib/ld-linux-armhf.so.3"}

// withheld are variables that the process which loads a module does not get:
// it needs no token, and is to write no log.
var withheld = []string{"SIGNPATH_API_TOKEN=", "SIGNPATH_LOG_"}

// tryEnvironment is what a module that is tried gets.
func tryEnvironment(environ []string) []string {
	var out []string
next:
	for _, v := range environ {
		for _, w := range withheld {
			if strings.HasPrefix(v, w) {
				continue next
			}
		}
		out = append(out, v)
	}
	return append(out, "SIGNPATH_LOG_CONSOLE_LEVEL=none", "SIGNPATH_LOG_FILE_LEVEL=none")
}

// try lets another process load the module: helper (signpath-hsm; on Windows this
// program), or, where that is not installed, the dynamic loader, which checks less. A module of
// this product is begun and ended, too; nobody is logged in.
func (m *Module) try(ctx context.Context, helper string, environ []string) {
	if m.Problem != "" {
		return
	}
	environ = tryEnvironment(environ)
	if helper != "" && m.tryHelper(ctx, helper, environ) {
		return
	}
	m.tryLoader(ctx, environ)
}

// bounded keeps the beginning of what is written.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxTryOutput - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// output runs a program; err is nil, an *exec.ExitError or why it did not start.
func output(ctx context.Context, environ []string, name string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var out, problems bounded
	c.Env, c.Stdout, c.Stderr, c.WaitDelay = environ, &out, &problems, time.Second
	err = c.Run()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it did not come back within %s", tryLimit)
	}
	return out.String(), problems.String(), err
}

// helperName is the program that loads a module for this one; on Windows, where that
// needs no cgo, it is this program once more.
func helperName() string {
	if runtime.GOOS == "windows" {
		return "another signpath.exe"
	}
	return "signpath-hsm"
}

// tryHelper tells whether the helper could be asked.
func (m *Module) tryHelper(ctx context.Context, helper string, environ []string) bool {
	args := []string{"--try-module", m.Path}
	if m.Carries {
		args = append(args, "--initialize")
	}
	stdout, stderr, err := output(ctx, environ, helper, args...)
	var answer struct{ Step, Error, Library string }
	lines := strings.Split(strings.TrimSpace(stdout), "\n") // a module may print, too
	readable := json.Unmarshal([]byte(lines[len(lines)-1]), &answer) == nil
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return true
	case readable && answer.Error != "":
		m.Refused = answer.Error
		if answer.Step == "initialize" {
			m.Refused = "C_Initialize: " + answer.Error
		}
	case readable && err == nil && answer.Step == "":
		m.Library = answer.Library
	case readable && answer.Step == "begin" && errors.As(err, &exit), errors.As(err, &exit) && exit.ExitCode() < 0:
		first, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
		m.Refused = strings.TrimRight("it ended the process that loaded it ("+exit.String()+"; "+first, "; ") + ")"
	case errors.As(err, &exit), err != nil && os.IsPermission(err), errors.Is(err, fs.ErrNotExist):
		return false // another version of the helper, or none for this machine
	case err != nil:
		m.Refused = err.Error()
	default:
		return false
	}
	m.TriedWith = helperName()
	return true
}

// tryLoader asks the dynamic loader for everything that the module needs.
func (m *Module) tryLoader(ctx context.Context, environ []string) {
	loader := loaders[runtime.GOARCH]
	if _, err := os.Stat(loader); loader == "" || err != nil {
		return
	}
	// LD_TRACE_LOADED_OBJECTS with LD_BIND_NOW and LD_WARN is "ldd -r": symbols
	// that nobody has are told, too.
	environ = append(environ, "LD_TRACE_LOADED_OBJECTS=1", "LD_BIND_NOW=1", "LD_WARN=yes")
	stdout, stderr, err := output(ctx, environ, loader, m.Path)
	if ctx.Err() != nil {
		return
	}
	m.TriedWith = "the dynamic loader"
	var bad []string
	for line := range strings.SplitSeq(stdout+"\n"+stderr, "\n") {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "not found") || strings.Contains(line, "undefined symbol") || strings.Contains(line, "error while loading") {
			bad = append(bad, line)
		}
	}
	switch {
	case len(bad) > 0:
		const most = 5
		m.Refused = strings.Join(bad[:min(len(bad), most)], "; ")
	case err != nil && strings.TrimSpace(stderr) != "":
		m.Refused = strings.TrimSpace(stderr)
	case err != nil:
		m.Refused = err.Error()
	}
}
