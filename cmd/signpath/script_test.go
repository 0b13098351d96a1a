//go:build unix

package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver "sqlite", to damage databases

	"signpath/internal/provider/gpg"
	"signpath/internal/testkit/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"signpath": main, gpg.PinentryName: main})
}

// How long a script waits for a service.
const (
	startTime = 60 * time.Second // making keys takes its time on a busy machine
	endTime   = 20 * time.Second
)

// background are the services that a script started, by name.
type background map[string]*exec.Cmd

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			started := background{}
			e.Values["background"] = started
			e.Defer(func() {
				for _, c := range started {
					_ = c.Process.Kill()
					_ = c.Wait()
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":    cmdStart,
			"halt":     cmdHalt,
			"sql":      cmdSQL,
			"mode":     cmdMode,
			"freeport": cmdFreePort,
			"postgres": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Setenv("DATABASE", pgtest.Start(t)) },
			"setenv":   cmdSetenv,
			"replace":  cmdReplace,
			"fake":     cmdFake,
			"quiet":    cmdQuiet,
		},
	})
}

// start NAME REGEXP ARGS… runs signpath in the background until a line of
// NAME.out or NAME.err matches.
func cmdStart(ts *testscript.TestScript, _ bool, args []string) {
	name, ready := args[0], regexp.MustCompile("(?m)"+args[1])
	stdout, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer stdout.Close()
	stderr, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer stderr.Close()
	c := exec.Command("signpath", args[2:]...)
	if path, err := exec.LookPath("signpath"); err == nil {
		c.Path = path
	}
	for _, name := range []string{"PATH", "HOME", "WORK", "TMPDIR", kekVariable} {
		if v := ts.Getenv(name); v != "" {
			c.Env = append(c.Env, name+"="+v)
		}
	}
	c.Dir, c.Stdout, c.Stderr = ts.MkAbs("."), stdout, stderr
	ts.Check(c.Start())
	ts.Value("background").(background)[name] = c
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ready.MatchString(ts.ReadFile(name+".out")) || ready.MatchString(ts.ReadFile(name+".err")) {
			return
		}
		if exited(c) {
			break
		}
	}
	ts.Fatalf("%s did not become ready: %s%s", name, ts.ReadFile(name+".out"), ts.ReadFile(name+".err"))
}

// exited tells whether a process is gone, without taking its exit code away.
func exited(c *exec.Cmd) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
	if err != nil {
		return false // no /proc here: wait until the time is over
	}
	_, rest, _ := bytes.Cut(state, []byte(") "))
	return bytes.HasPrefix(rest, []byte("Z"))
}

// halt NAME [SIGNAL] ends a service and wants exit code 0, with ! another one.
func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	signal := syscall.SIGTERM
	if len(args) > 1 {
		signal = signals[args[1]]
	}
	all := ts.Value("background").(background)
	c := all[args[0]]
	delete(all, args[0])
	ts.Check(c.Process.Signal(signal))
	timer := time.AfterFunc(endTime, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	if err := c.Wait(); (err != nil) != neg {
		ts.Fatalf("%s ended with %v: %s", args[0], err, ts.ReadFile(args[0]+".err"))
	}
}

// sql FILE STATEMENT changes a database behind the program's back.
func cmdSQL(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(args[1])
	ts.Check(err)
}

// mode OCTAL FILE… compares the rights of files.
func cmdMode(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", file, got, args[0])
		}
	}
}

// freeport VARIABLE takes a port until the script ends, so that it is in use.
func cmdFreePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// setenv VARIABLE FILE takes a file's text without its line end.
func cmdSetenv(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// replace FILE OLD NEW changes a text in a file.
func cmdReplace(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o600))
}

// Every command explains itself, with an example.
func TestHelp(t *testing.T) {
	var c commands
	parser, err := kong.New(&c, kong.Name("signpath"), kong.Description(description), kong.Vars{"keys": defaultKeys})
	if err != nil {
		t.Fatal(err)
	}
	var visit func(n *kong.Node, path string)
	count := 0
	visit = func(n *kong.Node, path string) {
		count++
		if n.Help == "" {
			t.Errorf("%s has no help", path)
		}
		detail := n.Detail
		if n.Type == kong.ApplicationNode {
			detail = n.Help
		}
		if !strings.Contains(detail, "Examples:") || !strings.Contains(detail, "  signpath ") {
			t.Errorf("%s has no example", path)
		}
		for _, f := range n.Flags {
			if f.Help == "" {
				t.Errorf("%s --%s has no help", path, f.Name)
			}
		}
		for _, child := range n.Children {
			visit(child, path+" "+child.Name)
		}
	}
	visit(parser.Model.Node, "signpath")
	if count < 30 {
		t.Errorf("only %d commands found", count)
	}
}

// The examples in the help are commands that the parser takes.
func TestHelpExamplesParse(t *testing.T) {
	var c commands
	parser, err := kong.New(&c, kong.Name("signpath"), kong.Description(description), kong.Vars{"keys": defaultKeys})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		texts = append(texts, n.Help, n.Detail)
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(parser.Model.Node)
	quoted := regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)
	count := 0
	for line := range strings.SplitSeq(strings.Join(texts, "\n"), "\n") {
		line, ok := strings.CutPrefix(line, "  signpath ")
		if !ok {
			continue
		}
		line, _, _ = strings.Cut(line, "    ") // an explanation beside it
		line, _, _ = strings.Cut(line, " | ")
		line, _, _ = strings.Cut(line, " > ")
		var args []string
		for _, word := range quoted.FindAllString(line, -1) {
			args = append(args, strings.Trim(word, `'"`))
		}
		var fresh commands
		p, err := kong.New(&fresh, kong.Name("signpath"), kong.Vars{"keys": defaultKeys}, kong.Exit(func(int) {}), kong.Writers(&bytes.Buffer{}, &bytes.Buffer{}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Parse(args); err != nil {
			t.Errorf("signpath %s: %v", line, err)
		}
		count++
	}
	if count < 30 {
		t.Errorf("only %d examples found", count)
	}
}

// quiet [FILE] asserts that the last command, or FILE, said nothing on stderr but
// what it tells when something takes longer than a second (see slow).
func cmdQuiet(ts *testscript.TestScript, _ bool, args []string) {
	name := "stderr"
	if len(args) > 0 {
		name = args[0]
	}
	for line := range strings.Lines(ts.ReadFile(name)) {
		if line = strings.TrimSpace(line); line != "" && !(strings.HasPrefix(line, "signpath: ") && strings.HasSuffix(line, " …")) {
			ts.Fatalf("%s has %q", name, line)
		}
	}
}
