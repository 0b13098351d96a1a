package macos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"signpath/e2e/rig"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const someDigest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

func (m *mac) sign(t *testing.T, instance, algorithm string) *rig.Result {
	t.Helper()
	return m.Run(t, m.program("extension"), "sign", instance, algorithm, someDigest)
}

// TestLife: left-overs go at the start, tokens at the end, whatever ends the app.
func TestLife(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	m := newMac(t, s)
	leftOver := filepath.Join(m.ctk, "tokens", classID+":left-over.plist")
	if err := os.Mkdir(filepath.Dir(leftOver), 0o700); err != nil {
		t.Fatal(err)
	}
	rig.Write(t, leftOver, []byte("{ configurationData = <00>; items = (); }"))
	m.sign(t, "left-over", "ECDSASignatureDigestX962").Fails(t).Says(t, "error -8: the token has no configuration of this version")
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		a := m.start(t, "--foreground").says(t, "ready: ", 1)
		if _, err := os.Stat(leftOver); err == nil {
			t.Error("what an earlier run left is still there")
		}
		m.signal(t, a, end)
		a.ends(t, 0)
		if left := m.tokens(t); len(left) != 0 {
			t.Errorf("after %s there are still %v", end, left)
		}
	}
	// A crash leaves tokens that sign nothing, and the next start replaces them.
	a := m.start(t, "--foreground").says(t, "ready: ", 1)
	instance := m.token(t, "p256")
	_ = a.cmd.Process.Kill()
	a.ends(t, -1)
	m.sign(t, instance, "ECDSASignatureDigestX962").Fails(t).Says(t, "error -2: SignPathCryptoTokenKit.app does not answer; start it")
	log := read(t, filepath.Join(m.home, "Library", "Logs", "ctk", "SignPath.CryptoProviders.CTK.Extension.txt"))
	if !strings.Contains(log, "ERROR ") || !strings.Contains(log, instance) || !strings.Contains(log, "does not answer; start it") {
		t.Errorf("the extension's log: %s", log)
	}
	a = m.start(t, "--foreground").says(t, "ready: ", 1)
	m.sign(t, instance, "ECDSASignatureDigestX962").OK(t)

	// There is one app per user, and it tells scripts what it does.
	m.start(t, "--foreground").says(t, "another SignPathCryptoTokenKit of this user runs", 1).ends(t, 8)
	var status struct {
		PID    int
		State  string
		Tokens []struct{ Key, CommonName string }
	}
	file := filepath.Join(m.home, "Library", "Application Support", "SignPathCryptoTokenKit", "status.json")
	if err := json.Unmarshal([]byte(read(t, file)), &status); err != nil || status.PID != a.cmd.Process.Pid || status.State != "ready" || len(status.Tokens) == 0 {
		t.Errorf("status %+v, %v", status, err)
	}
	if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
}

// TestKilledDaemon: after `killall ctkd` the app starts itself again, in the same
// process, and its tokens sign.
func TestKilledDaemon(t *testing.T) {
	t.Parallel()
	m := newMac(t, rig.TheService(t))
	a := m.start(t, "--foreground").says(t, "ready: ", 1)
	m.touch(t, "ctkd.pid", "4712")
	a.says(t, "restarting: ", 1).says(t, "ready: ", 2)
	m.sign(t, m.token(t, "p256"), "ECDSASignatureDigestX962").OK(t)
	m.InLog(t, "ctkd was started again", "before=4711", "now=4712")
	m.signal(t, a, syscall.SIGTERM)
	a.ends(t, 0)
	if left := m.tokens(t); len(left) != 0 {
		t.Errorf("there are still %v", left)
	}
	// What the app starts when ctkd is killed just before its end: a process that only removes the tokens.
	if err := os.WriteFile(filepath.Join(m.ctk, "tokens", classID+":left.plist"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Env = append(m.Env, "SIGNPATH_AGENT_CLEAR=5")
	m.start(t, "--foreground").ends(t, 5)
	if left := m.tokens(t); len(left) != 0 {
		t.Errorf("there are still %v", left)
	}
}

// TestMenu: the same app for people.
func TestMenu(t *testing.T) {
	t.Parallel()
	m := newMac(t, rig.TheService(t))
	a := m.start(t)
	menu := func() string {
		b, _ := os.ReadFile(filepath.Join(m.ctk, "menu.txt"))
		return string(b)
	}
	shows := func(text string) {
		t.Helper()
		until(t, "menu with "+text, func() bool { return strings.Contains(menu(), text) }, menu)
	}
	shows("SignPath \u2713\n")
	for _, text := range []string{"  SignPath development p256  (hash-signing/p256, until ", "\nReload\n", "\nOpen Log Folder\n", "\nQuit\n"} {
		if !strings.Contains(menu(), text) {
			t.Errorf("no %q in\n%s", text, menu())
		}
	}
	m.touch(t, "click", "Open Log Folder")
	until(t, "log folder", func() bool { _, err := os.Stat(filepath.Join(m.ctk, "opened.txt")); return err == nil }, menu)
	if got := read(t, filepath.Join(m.ctk, "opened.txt")); got != m.home+"/Library/Logs/SignPathCryptoTokenKit" {
		t.Errorf("opened %s", got)
	}
	// A token that went away comes back on Reload.
	instance := m.token(t, "p256")
	m.sign(t, instance, "ECDSASignatureDigestX962").OK(t)
	if err := os.Remove(filepath.Join(m.ctk, "tokens", classID+":"+instance+".plist")); err != nil {
		t.Fatal(err)
	}
	m.touch(t, "click", "Reload")
	until(t, "token again", func() bool { return len(m.tokens(t)) == len(rig.Keys())+1 }, menu)
	shows("SignPath \u2713\n")
	m.sign(t, instance, "ECDSASignatureDigestX962").OK(t)
	m.touch(t, "click", "Quit")
	a.ends(t, 0)
	if left := m.tokens(t); len(left) != 0 {
		t.Errorf("there are still %v", left)
	}
	// An app that cannot start says so on the screen.
	m.start(t, "--config", filepath.Join(m.home, "none.json")).ends(t, 2)
	if text := read(t, filepath.Join(m.ctk, "alert.txt")); !strings.Contains(text, "none.json") {
		t.Errorf("alert %q", text)
	}
}
