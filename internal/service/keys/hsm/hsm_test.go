//go:build unix

package hsm

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/hsm/hsmwire"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/service/model"
	"signpath/internal/testkit/softhsm"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

const testPIN = "pin-5729183"

// workerPath is the real worker, built once.
var workerPath = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "signpath-hsm-")
	if err != nil {
		return "", err
	}
	workerDir = dir
	path := filepath.Join(dir, "signpath-hsm")
	c := exec.Command("go", "build", "-o", path, "signpath/cmd/signpath-hsm")
	c.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

var workerDir string // once it was built

func TestMain(m *testing.M) {
	code := m.Run()
	softhsm.Cleanup()
	if workerDir != "" {
		_ = os.RemoveAll(workerDir)
	}
	os.Exit(code)
}

// logText collects a log.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// bench is a SoftHSM home with a shim and what a token needs.
type bench struct {
	*testing.T
	home *softhsm.Home
	shim *softhsm.Shim
	kek  *keys.KEK
	log  *logText
}

func newBench(t *testing.T, labels ...string) *bench {
	t.Helper()
	b := &bench{T: t, home: softhsm.New(t), kek: keystest.KEK(t), log: &logText{}}
	for _, l := range labels {
		b.home.Init(t, l, testPIN)
	}
	b.shim = b.home.NewShim(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.log.String())
		}
		if strings.Contains(b.log.String(), testPIN) {
			t.Error("the PIN stands in the log")
		}
	})
	return b
}

func (b *bench) config(label string) Config {
	return Config{
		Name: label, Module: b.shim.Module, TokenLabel: label, PINFile: b.home.PINFile(b.T, label+".pin", testPIN),
		Environment: b.shim.Environment, OperationTimeoutSeconds: 20, Sessions: 4,
	}
}

func (b *bench) token(c Config) *Token {
	b.Helper()
	path, err := workerPath()
	if err != nil {
		b.Fatal(err)
	}
	t := New(c, Options{Worker: path, KEK: b.kek, Logger: slog.New(slog.NewTextHandler(b.log, nil)), Environment: append(os.Environ(), "SIGNPATH_SERVER_KEY_ENCRYPTION_KEY=never")})
	b.Cleanup(t.Close)
	return t
}

// key is a fresh P-256 key, ready for use.
func (b *bench) key(t *Token) (model.Key, []byte, keys.Signer) {
	b.Helper()
	key, sealed, err := t.Generate(b.Context(), wire.KeyECDSA, 256)
	if err != nil {
		b.Fatal(err)
	}
	s, err := t.Open(b.Context(), key, sealed)
	if err != nil {
		b.Fatal(err)
	}
	return key, sealed, s
}

var (
	ecdsaScheme = wire.Scheme{Algorithm: wire.ECDSA}
	someDigest  = []byte("0123456789abcdef0123456789abcdef")
)

func (b *bench) sign(s keys.Signer) error {
	sig, err := s.Sign(b.Context(), ecdsaScheme, someDigest)
	if err == nil {
		err = keystest.Verify(s.Public(), ecdsaScheme, someDigest, sig)
	}
	return err
}

// mustSign waits through a restart.
func (b *bench) mustSign(s keys.Signer) {
	b.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = b.sign(s); err == nil {
			return
		}
		if !errors.Is(err, keys.ErrUnavailable) {
			break
		}
	}
	b.Fatalf("no signature: %v", err)
}

func (b *bench) unavailable(err error, words ...string) *keys.UnavailableError {
	b.Helper()
	var u *keys.UnavailableError
	if !errors.As(err, &u) || !errors.Is(err, keys.ErrUnavailable) {
		b.Fatalf("%v, want *keys.UnavailableError", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.Errorf("the error does not say %q: %v", w, err)
		}
	}
	if u.RetryAfter <= 0 || strings.Contains(err.Error(), testPIN) {
		b.Errorf("%+v", u)
	}
	return u
}

func (t *Token) pid() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.worker == nil {
		return 0
	}
	return t.worker.process.pid()
}

func TestConformance(t *testing.T) {
	b := newBench(t, "main")
	n := 0
	keystest.Run(t, func(t *testing.T) keys.Backend {
		c := b.config("main")
		c.Name = fmt.Sprintf("main-%d", n)
		n++
		return b.token(c)
	}, keystest.NoMD5PSS)
}

// What the token keeps is what was promised, and other people's tools agree.
func TestKeysStayOnTheToken(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	key, sealed, _ := b.key(tok)
	list, more, err := tok.List(t.Context())
	if err != nil || more || len(list) != 1 {
		t.Fatalf("%+v %v %v", list, more, err)
	}
	k := list[0]
	if !k.CanSign || !k.Sensitive || k.Extractable || !k.AlwaysSensitive || !k.NeverExtractable || !k.Local || k.AlwaysAuthenticate || len(k.ID) != 16 || !strings.HasPrefix(k.Label, labelPrefix) || !slices.Equal(k.Public, key.Public) {
		t.Errorf("%+v", k)
	}
	var a hsmwire.Attestation
	doc, err := tok.Attestation(t.Context(), key, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, &a); err != nil || a.Token.Label != "main" || a.Token.Serial == "" || !slices.Equal(a.Key.Public, key.Public) || !a.Key.NeverExtractable {
		t.Errorf("%s %v", doc, err)
	}
	if err := tok.Destroy(t.Context(), key, sealed); err != nil {
		t.Fatal(err)
	}
	if list, _, err = tok.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after Destroy: %+v %v", list, err)
	}
}

// pemKey writes a private key that softhsm2-util can import.
func (b *bench) pemKey(name string) string {
	der, err := x509.MarshalPKCS8PrivateKey(testkeys.Signer(b, name))
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), name+".pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func TestAdopt(t *testing.T) {
	b := newBench(t, "main")
	for name, id := range map[string]string{"rsa2048": "0a0b", "p384": "0c0d"} {
		b.home.Run(t, "softhsm2-util", "--import", b.pemKey(name), "--token", "main", "--label", "old "+name, "--id", id, "--pin", testPIN)
	}
	b.home.Run(t, "softhsm2-util", "--import", b.pemKey("p256"), "--token", "main", "--label", "twice", "--id", "01", "--pin", testPIN)
	b.home.Run(t, "softhsm2-util", "--import", b.pemKey("p521"), "--token", "main", "--label", "twice", "--id", "02", "--pin", testPIN)
	tok := b.token(b.config("main"))
	for ref, name := range map[string]string{"old rsa2048": "rsa2048", "id:0c0d": "p384", "old p384": "p384", "id:02": "p521"} {
		key, sealed, err := tok.Adopt(t.Context(), ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		s, err := tok.Open(t.Context(), key, sealed)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(testkeys.Signer(t, name).Public()) {
			t.Errorf("%s: another key", ref)
		}
		scheme := ecdsaScheme
		if key.Type == wire.KeyRSA {
			scheme = wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256}
		}
		sig, err := s.Sign(t.Context(), scheme, someDigest)
		if err != nil {
			t.Fatal(err)
		}
		if err := keystest.Verify(testkeys.Signer(t, name).Public(), scheme, someDigest, sig); err != nil {
			t.Error(err)
		}
		// An adopted key is not ours to delete.
		if err := tok.Destroy(t.Context(), key, sealed); err != nil {
			t.Error(err)
		}
		if _, err := s.Sign(t.Context(), scheme, someDigest); err != nil {
			t.Errorf("after Destroy of an adopted key: %v", err)
		}
	}
	for ref, word := range map[string]string{"nobody": "no private key", "twice": "several", "id:zz": "hexadecimal", "id:": "hexadecimal", "id:99": "no private key"} {
		if _, _, err := tok.Adopt(t.Context(), ref); err == nil || !strings.Contains(err.Error(), word) || errors.Is(err, keys.ErrUnavailable) {
			t.Errorf("%s: %v, want an error with %q", ref, err, word)
		}
	}
}

// A certificate beside the key whose label says so is its attestation.
func TestAttestationCertificate(t *testing.T) {
	b := newBench(t, "main")
	b.home.Run(t, "softhsm2-util", "--import", b.pemKey("p256"), "--token", "main", "--label", "release", "--id", "0a", "--pin", testPIN)
	private := testkeys.Signer(t, "rsa2048")
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "attestation of release"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, testkeys.Signer(t, "p256").Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cert.der")
	if err := os.WriteFile(file, der, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"Attestation", "something else"} {
		b.home.Run(t, "pkcs11-tool", "--module", softhsm.Module(t), "--token-label", "main", "--login", "--pin", testPIN, "--write-object", file, "--type", "cert", "--id", "0a", "--label", label)
	}
	config := b.config("main")
	config.AttestationAttributes = []string{"0x101", "0x8000abcd"} // CKA_SUBJECT stands for a vendor's; the other is unknown
	tok := b.token(config)
	key, sealed, err := tok.Adopt(t.Context(), "release")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := tok.Attestation(t.Context(), key, sealed)
	var a hsmwire.Attestation
	if err == nil {
		err = json.Unmarshal(doc, &a)
	}
	if err != nil || len(a.Certificates) != 1 || !slices.Equal(a.Certificates[0], der) || a.Key.Local {
		t.Errorf("%s %v", doc, err)
	}
	if _, ok := a.Attributes["0x00000101"]; !ok || len(a.Attributes) != 1 {
		t.Errorf("attributes %v", a.Attributes)
	}
}

// One token that does not work holds up neither another one nor the start.
func TestTwoTokens(t *testing.T) {
	b := newBench(t, "one", "two")
	missing := b.config("one")
	missing.Name, missing.TokenLabel = "missing", "not there"
	noModule := b.config("one")
	noModule.Name, noModule.Module = "nomodule", "/nonexistent/module.so"
	noPKCS11 := b.config("one")
	noPKCS11.Name, noPKCS11.Module = "nopkcs11", "/lib/x86_64-linux-gnu/libm.so.6"
	if _, err := os.Stat(noPKCS11.Module); err != nil {
		noPKCS11.Module = "/lib/aarch64-linux-gnu/libm.so.6"
	}
	one, two := b.token(b.config("one")), b.token(b.config("two"))
	bad := map[*Token]string{b.token(missing): "is not there", b.token(noModule): "cannot be loaded", b.token(noPKCS11): "C_GetFunctionList"}
	begin := time.Now()
	for tok := range bad {
		tok.Start()
	}
	_, _, first := b.key(one)
	_, _, second := b.key(two)
	if err := errors.Join(b.sign(first), b.sign(second)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	for tok, word := range bad {
		_, _, err := tok.Generate(t.Context(), wire.KeyECDSA, 256)
		b.unavailable(err, word)
		b.unavailable(tok.Health(), word)
	}
	if err := errors.Join(one.Health(), two.Health()); err != nil {
		t.Error(err)
	}
	if one.pid() == two.pid() {
		t.Error("two tokens share a process")
	}
	_, two.config.TokenLabel = "", "two"
	if info, err := two.Describe(t.Context()); err != nil || info.Label != "two" || info.Sessions != 4 {
		t.Errorf("%+v %v", info, err)
	}
}

// A wrong PIN is tried once; only a PIN file that was written again is tried again.
func TestWrongPIN(t *testing.T) {
	b := newBench(t, "main")
	c := b.config("main")
	b.home.PINFile(t, "main.pin", "wrong-"+testPIN)
	tok := b.token(c)
	u := b.unavailable(tok.Ready(t.Context()), "PIN", "main.pin")
	if u.RetryAfter < 30*time.Second || !u.Operator {
		t.Errorf("RetryAfter %s: nothing changes before a person acts", u.RetryAfter)
	}
	for range 5 {
		_, _, err := tok.Generate(t.Context(), wire.KeyECDSA, 256)
		b.unavailable(err, "PIN")
	}
	time.Sleep(2*pinCheck + pinCheck/2)
	if n := b.shim.Calls(t, "C_Login"); n != 1 {
		t.Fatalf("the wrong PIN was tried %d times", n)
	}
	b.home.PINFile(t, "main.pin", testPIN)
	for end := time.Now().Add(15 * time.Second); tok.Health() != nil && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	_, _, s := b.key(tok)
	b.mustSign(s)
	if n := b.shim.Calls(t, "C_Login"); n != 2 {
		t.Errorf("%d log-ins, want 2", n)
	}
}

func TestPINFileOfOthers(t *testing.T) {
	b := newBench(t, "main")
	c := b.config("main")
	if err := os.Chmod(c.PINFile, 0o644); err != nil {
		t.Fatal(err)
	}
	tok := b.token(c)
	b.unavailable(tok.Ready(t.Context()), "chmod 600")
	if b.shim.Calls(t, "C_Login") != 0 {
		t.Error("a PIN that others can read was used")
	}
}

func TestTokenRemovedAndReturned(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	_, _, s := b.key(tok)
	b.mustSign(s)
	b.home.Remove(t)
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = b.sign(s); err != nil && strings.Contains(err.Error(), "is not there") {
			break
		}
	}
	b.unavailable(err, "is not there")
	b.home.Return(t)
	b.mustSign(s)
	if tok.Health() != nil {
		t.Error(tok.Health())
	}
}

func TestKilledInMidSignature(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	_, _, s := b.key(tok)
	b.shim.Demand(t, "C_Sign", "sleep", "700")
	failed := make(chan error, 1)
	calls := b.shim.Calls(t, "C_Sign")
	go func() { failed <- b.sign(s) }()
	for b.shim.Calls(t, "C_Sign") == calls {
		time.Sleep(5 * time.Millisecond)
	}
	old := tok.pid()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	u := b.unavailable(<-failed, "killed", "no result was given out")
	if u.RetryAfter > 5*time.Second {
		t.Errorf("RetryAfter %s", u.RetryAfter)
	}
	b.shim.Forgive(t, "C_Sign", "sleep")
	b.mustSign(s)
	if tok.pid() == old || tok.pid() == 0 {
		t.Error("no new process")
	}
	// Killed while idle: nobody notices.
	if err := syscall.Kill(tok.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if err := b.sign(s); err != nil {
		t.Errorf("after the worker was killed while idle: %v", err)
	}
}

func TestHang(t *testing.T) {
	b := newBench(t, "main")
	c := b.config("main")
	c.OperationTimeoutSeconds = 1
	tok := b.token(c)
	_, _, s := b.key(tok)
	b.mustSign(s)
	b.shim.Demand(t, "C_Sign", "hang", "")
	old, begin := tok.pid(), time.Now()
	b.unavailable(b.sign(s), "within 1s", "killed")
	if took := time.Since(begin); took < 900*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	b.shim.Forgive(t, "C_Sign", "hang")
	b.mustSign(s)
	for end := time.Now().Add(5 * time.Second); syscall.Kill(old, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the hung process still runs")
		}
	}
}

// stopped tells whether every thread of a process is stopped (proc(5), state T).
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		t.Fatalf("process %d cannot be looked at", pid)
	}
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if _, rest, ok := strings.Cut(string(b), ") "); err == nil && ok && !strings.HasPrefix(rest, "T") {
			return false
		}
	}
	return true
}

// A process that does not even notice that its socket ended is killed, too.
func TestStopped(t *testing.T) {
	b := newBench(t, "main")
	c := b.config("main")
	c.OperationTimeoutSeconds = 1
	tok := b.token(c)
	_, _, s := b.key(tok)
	old := tok.pid()
	if err := syscall.Kill(old, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); !stopped(t, old); time.Sleep(time.Millisecond) { // kill does not wait for it
		if time.Now().After(end) {
			t.Fatal("the process does not stop")
		}
	}
	b.unavailable(b.sign(s), "within 1s")
	b.mustSign(s)
	for end := time.Now().Add(5 * time.Second); syscall.Kill(old, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			_ = syscall.Kill(old, syscall.SIGKILL)
			t.Fatal("the stopped process is still there")
		}
	}
}

// A module that crashes at each signature gets longer and longer pauses.
func TestCrashLoopBacksOff(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	_, _, s := b.key(tok)
	b.shim.Demand(t, "C_Sign", "abort", "")
	calls := b.shim.Calls(t, "C_Sign")
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b.unavailable(b.sign(s))
	}
	if n := b.shim.Calls(t, "C_Sign") - calls; n < 2 || n > 9 {
		t.Errorf("%d crashes in 4 s", n)
	}
	b.shim.Forgive(t, "C_Sign", "abort")
	b.mustSign(s)
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 0, 1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond, 9: 25600 * time.Millisecond, 10: maxBackoff, 1000: maxBackoff} {
		if got := backoff(failures); got != want {
			t.Errorf("backoff(%d) = %s, want %s", failures, got, want)
		}
	}
}

// What the service answers to each failure, and how often the key was asked.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, function, code string
		want                 string // "": the caller notices nothing
		signs                int    // calls of C_Sign that reach the module
		sameProcess          bool
	}{
		{"session lost before", "C_SignInit", "0xB3", "", 1, true},
		{"session lost, by definition before", "C_Sign", "0xB3", "", 2, true},
		{"session closed meanwhile", "C_Sign", "0xB0", "CKR_SESSION_CLOSED", 1, true},
		{"operation of another call left active", "C_SignInit", "0x90", "", 1, true},
		{"key handle went stale", "C_SignInit", "0x60", "", 1, true},
		{"logged out", "C_SignInit", "0x101", "", 1, false},
		{"token not present", "C_SignInit", "0xE0", "", 1, false},
		{"token removed meanwhile", "C_Sign", "0x32", "CKR_DEVICE_REMOVED", 1, false},
		{"device error", "C_Sign", "0x30", "CKR_DEVICE_ERROR", 1, true},
		{"general error", "C_Sign", "0x5", "CKR_GENERAL_ERROR", 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "main")
			tok := b.token(b.config("main"))
			_, _, s := b.key(tok)
			b.mustSign(s)
			old, calls := tok.pid(), b.shim.Calls(t, "C_Sign")
			b.shim.Demand(t, c.function, "once", c.code)
			err := b.sign(s)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%v", err)
			case c.want != "":
				b.unavailable(err, c.want)
			}
			if n := b.shim.Calls(t, "C_Sign") - calls; n != c.signs {
				t.Errorf("C_Sign was called %d times, want %d", n, c.signs)
			}
			b.mustSign(s)
			if (tok.pid() == old) != c.sameProcess {
				t.Errorf("process %d, before %d; same: want %v", tok.pid(), old, c.sameProcess)
			}
		})
	}
}

// Modules show what they saw when they were loaded: a key that is missing is
// looked for by a new process, once in a while.
func TestMissingKey(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	key, sealed, s := b.key(tok)
	_, _, other := b.key(tok)
	b.mustSign(s)
	if err := tok.Destroy(t.Context(), key, sealed); err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{tok.pid(): true}
	for range 5 {
		if err := b.sign(s); err == nil || errors.Is(err, keys.ErrUnavailable) || !strings.Contains(err.Error(), "no private key") {
			t.Errorf("%v", err)
		}
		b.mustSign(other)
		pids[tok.pid()] = true
	}
	if len(pids) != 2 {
		t.Errorf("%d processes looked for one missing key, want 2", len(pids))
	}
}

// A mechanism that the token does not have is no reason to try again.
func TestRefusedMechanism(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	_, _, s := b.key(tok)
	b.shim.Demand(t, "C_SignInit", "fail", "0x70")
	if err := b.sign(s); err == nil || errors.Is(err, keys.ErrUnavailable) || !strings.Contains(err.Error(), "CKR_MECHANISM_INVALID") {
		t.Errorf("%v", err)
	}
}

// Three failures in a row although the device answers: only a new process may help.
func TestRepeatedFailuresReplaceTheProcess(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	_, _, s := b.key(tok)
	b.mustSign(s)
	old := tok.pid()
	b.shim.Demand(t, "C_Sign", "fail", "0x5")
	for range maxTries {
		b.unavailable(b.sign(s), "CKR_GENERAL_ERROR")
	}
	b.shim.Forgive(t, "C_Sign", "fail")
	b.mustSign(s)
	if tok.pid() == old {
		t.Error("the same process works on")
	}
}

func TestQueueIsBounded(t *testing.T) {
	b := newBench(t, "main")
	c := b.config("main")
	c.Sessions, c.Queue = 1, 2
	tok := b.token(c)
	_, _, s := b.key(tok)
	b.shim.Demand(t, "C_Sign", "sleep", "400")
	results := make(chan error, 6)
	for range 6 {
		go func() { results <- b.sign(s) }()
	}
	ok, full := 0, 0
	for range 6 {
		if err := <-results; err == nil {
			ok++
		} else {
			b.unavailable(err, "waiting")
			full++
		}
	}
	if ok != 3 || full != 3 {
		t.Errorf("%d signed, %d refused; want one at work, two waiting, three refused", ok, full)
	}
}

// Sessions are what limits a slow token, and other tokens do not feel it.
func TestSessionsWorkAtOnce(t *testing.T) {
	b := newBench(t, "slow", "quick")
	slow := b.token(b.config("slow"))
	quickConfig := b.config("quick")
	quickConfig.Module = softhsm.Module(t) // without the shim's sleep
	quick := b.token(quickConfig)
	_, _, s := b.key(slow)
	_, _, q := b.key(quick)
	b.shim.Demand(t, "C_Sign", "sleep", "100")
	begin := time.Now()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := b.sign(s); err != nil {
				t.Error(err)
			}
		})
	}
	if err := b.sign(q); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 300*time.Millisecond {
		t.Errorf("another token waited %s", took)
	}
	wg.Wait()
	if took := time.Since(begin); took < 400*time.Millisecond || took > 1200*time.Millisecond {
		t.Errorf("16 signatures of 100 ms over 4 sessions took %s, want about 400 ms", took)
	}
}

// A caller who hangs up gets away at once; the session comes back when the token is done.
func TestCallerLeaves(t *testing.T) {
	b := newBench(t, "main")
	c := b.config("main")
	c.Sessions = 1
	tok := b.token(c)
	_, _, s := b.key(tok)
	b.shim.Demand(t, "C_Sign", "sleep", "500")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := s.Sign(ctx, ecdsaScheme, someDigest); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 300*time.Millisecond {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
	b.shim.Forgive(t, "C_Sign", "sleep")
	b.mustSign(s)
}

func TestPingNotices(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	b.mustSign(func() keys.Signer { _, _, s := b.key(tok); return s }())
	old := tok.pid()
	tok.mu.Lock()
	w := tok.worker
	tok.mu.Unlock()
	w.ping(10*time.Millisecond, time.Second)
	time.Sleep(100 * time.Millisecond)
	if tok.pid() != old {
		t.Fatal("a healthy worker was replaced")
	}
	b.shim.Demand(t, "C_GetTokenInfo", "once", "0xE0")
	for end := time.Now().Add(5 * time.Second); tok.pid() == old || tok.pid() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a ping that failed changed nothing")
		}
	}
}

// Neither the PIN nor the service's variables are where others could see them.
func TestWorkerHoldsNothingInTheOpen(t *testing.T) {
	b := newBench(t, "main")
	t.Setenv("SIGNPATH_HSM_TEST", "never")
	tok := b.token(b.config("main"))
	if err := tok.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cmdline", "environ"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", tok.pid(), name))
		if errors.Is(err, os.ErrPermission) {
			continue // the worker is not dumpable: its files belong to root
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), testPIN) || strings.Contains(string(data), "SIGNPATH_") {
			t.Errorf("/proc/…/%s: %q", name, data)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", tok.pid()))
	if err == nil && !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
		t.Errorf("core dumps: %s", limits)
	}
}

// The worker ends with the service, even when the module hangs.
func TestWorkerEndsWithItsService(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	_, _, s := b.key(tok)
	b.shim.Demand(t, "C_Sign", "hang", "")
	calls := b.shim.Calls(t, "C_Sign")
	go func() { _ = b.sign(s) }()
	for b.shim.Calls(t, "C_Sign") == calls {
		time.Sleep(5 * time.Millisecond)
	}
	tok.mu.Lock()
	w := tok.worker
	tok.mu.Unlock()
	_ = w.conn.Close() // as the kernel does for a service that was killed
	select {
	case <-w.process.exited:
	case <-time.After(5 * time.Second):
		t.Error("the worker lives on")
	}
	if code := w.process.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0: it ended by itself", code)
	}
}

func TestClosed(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	_, _, s := b.key(tok)
	pid := tok.pid()
	tok.Close()
	if err := b.sign(s); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if syscall.Kill(pid, 0) == nil {
		time.Sleep(time.Second)
		if syscall.Kill(pid, 0) == nil {
			t.Error("the worker lives on")
		}
	}
	never := b.token(b.config("main"))
	never.Close()
	if _, _, err := never.Generate(t.Context(), wire.KeyECDSA, 256); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// Whoever could exchange what the database keeps would still not get another key used.
func TestReferenceIsAuthentic(t *testing.T) {
	b := newBench(t, "main")
	tok := b.token(b.config("main"))
	first, _, _ := b.key(tok)
	second, sealed, _ := b.key(tok)
	plain, err := b.kek.OpenKey(second, sealed)
	if err != nil {
		t.Fatal(err)
	}
	swapped, err := b.kek.SealKey(first, plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Open(t.Context(), first, swapped); !errors.Is(err, keys.ErrKeyMismatch) {
		t.Errorf("%v, want ErrKeyMismatch", err)
	}
}

func TestDigestInfo(t *testing.T) {
	key := testkeys.RSA(t, 2048)
	for _, h := range wire.Hashes() {
		digest := make([]byte, h.Size())
		info, err := digestInfo(h, digest)
		if err != nil {
			t.Fatal(err)
		}
		// With no hash named, crypto/rsa signs the DigestInfo as it is.
		sig, err := rsa.SignPKCS1v15(nil, key, 0, info)
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, h.Crypto(), digest, sig); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
}
