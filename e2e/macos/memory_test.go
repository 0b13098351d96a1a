package macos

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
)

var leaked = regexp.MustCompile(`SUMMARY: AddressSanitizer: (\d+) byte`)

// leaks runs the extension with AddressSanitizer and gives the bytes that it lost.
// GNUstep itself loses a constant number of bytes at its start; without them nobody
// has looked. (With another exit code its end loses what it printed.)
func (m *mac) leaks(t *testing.T, says *regexp.Regexp, args ...string) int {
	t.Helper()
	r := rig.Run(t, append([]string{"ASAN_OPTIONS=detect_leaks=1", "LSAN_OPTIONS=exitcode=0"}, m.Env...), filepath.Join(m.programs, "extension-asan"), args...)
	if strings.Contains(r.Output, "ERROR: AddressSanitizer") {
		t.Fatal(r.Output)
	}
	found := leaked.FindStringSubmatch(r.Output)
	if found == nil || !says.MatchString(r.Output) {
		t.Fatalf("no report of leaks, or no %s in\n%s", says, r.Output)
	}
	return rig.Must(strconv.Atoi(found[1]))
}

// TestMemory: with AddressSanitizer, N signatures lose as much memory as 2 N.
func TestMemory(t *testing.T) {
	t.Parallel()
	m := newMac(t, rig.TheService(t))
	m.start(t, "--foreground").says(t, "ready: ", 1)
	instance := m.token(t, "p256")
	for _, c := range []struct{ name, algorithm, digest, says string }{
		{"signatures", "ECDSASignatureDigestX962SHA256", someDigest, `(?m)^30[0-9a-f]{100,}$`},
		{"refusals", "ECDSASignatureDigestX962SHA256", "0102", `(?m)^error -8: the digest has the wrong length`},
	} {
		says := regexp.MustCompile(c.says)
		n, twice := m.leaks(t, says, "sign", instance, c.algorithm, c.digest, "20"), m.leaks(t, says, "sign", instance, c.algorithm, c.digest, "40")
		if n != twice {
			t.Errorf("%s: 20 lose %d bytes, 40 lose %d", c.name, n, twice)
		}
	}
}

// TestAppMemory: the app itself, Objective-C half and C calls, without a mistake
// that AddressSanitizer finds.
func TestAppMemory(t *testing.T) {
	t.Parallel()
	m := newMac(t, rig.TheService(t), "ASAN_OPTIONS=detect_leaks=0")
	m.variant = "-asan"
	a := m.start(t)
	menu := func() string { b, _ := os.ReadFile(filepath.Join(m.ctk, "menu.txt")); return string(b) }
	until(t, "menu", func() bool { return strings.Contains(menu(), "SignPath \u2713") }, func() string { return menu() + a.output() })
	m.touch(t, "click", "Quit")
	a.ends(t, 0)
	if strings.Contains(a.output(), "AddressSanitizer") {
		t.Error(a.output())
	}
}

// TestStrangers: the extension says no to whatever else listens on the app's port,
// under AddressSanitizer.
func TestStrangers(t *testing.T) {
	t.Parallel()
	m := newMac(t, rig.TheService(t))
	if err := os.Mkdir(filepath.Join(m.ctk, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := rig.Must(net.Listen("tcp4", "127.0.0.1:0"))
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	answers := make(chan string)
	go func() {
		for a := range answers {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 4+1+1+32)) // message 1
			_, _ = io.WriteString(c, a)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	defer close(answers)
	configuration := "5350544b31" + strconv.FormatInt(int64(0x10000+port), 16)[1:] + strings.Repeat("41", 32) + "0109"
	write := func(hex string) {
		rig.Write(t, filepath.Join(m.ctk, "tokens", classID+":x.plist"), []byte("{ configurationData = <"+hex+">; items = (); }"))
	}
	sign := func(says string) {
		t.Helper()
		r := rig.Run(t, append([]string{"ASAN_OPTIONS=detect_leaks=0"}, m.Env...), filepath.Join(m.programs, "extension-asan"), "sign", "x", "ECDSASignatureDigestX962", someDigest).Fails(t)
		if strings.Contains(r.Output, "AddressSanitizer") || !strings.Contains(r.Output, says) {
			t.Errorf("no %q in %s", says, r.Output)
		}
	}
	write(configuration)
	for _, a := range []string{"", "x", strings.Repeat("x", 63), strings.Repeat("x", 64), strings.Repeat("\x00", 70_000), strings.Repeat("\xff", 70_000)} {
		answers <- a
		sign("error -2: what listens on the port")
	}
	for _, bad := range []string{"", "00", configuration[:len(configuration)-2], configuration + "00", "5350544b32" + configuration[10:], strings.Repeat("ff", 500)} {
		write(bad)
		sign("error -8: the token has no configuration of this version")
	}
}

// TestFullQueue: the extension's wait has its end also when other programs have
// filled the queue of the app's port, so that not even a connection comes about.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	m := newMac(t, rig.TheService(t))
	if err := os.Mkdir(filepath.Join(m.ctk, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	fd := rig.Must(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0))
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	port := rig.Must(syscall.Getsockname(fd)).(*syscall.SockaddrInet4).Port
	full := false
	for range 8 { // nobody takes them
		c, err := net.DialTimeout("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), 2*time.Second)
		if full = err != nil; full {
			break
		}
		defer func() { _ = c.Close() }()
	}
	if !full {
		t.Fatal("the queue takes everything")
	}
	configuration := "5350544b31" + strconv.FormatInt(int64(0x10000+port), 16)[1:] + strings.Repeat("41", 32) + "0109"
	rig.Write(t, filepath.Join(m.ctk, "tokens", classID+":x.plist"), []byte("{ configurationData = <"+configuration+">; items = (); }"))
	begin := time.Now()
	m.sign(t, "x", "ECDSASignatureDigestX962").Fails(t).Says(t, "error -2: SignPathCryptoTokenKit.app does not answer; start it")
	if took := time.Since(begin); took > 100*time.Second { // 40 s; a connect that waits by itself takes more than two minutes
		t.Errorf("a tool waits %s", took)
	}
}
