package winkeys

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/testkit/fakeservice"
	"signpath/internal/wire"
)

// host is a process with an environment that a test may change.
type host struct {
	mu      sync.Mutex
	environ []string
}

func (h *host) set(environ []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.environ = environ
}

func (h *host) get() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.environ
}

func newApplication(environ []string) (*Application, *host) {
	h := &host{environ: environ}
	return New(Options{Interface: "KSP", Version: "1.2.3", Environ: h.get}), h
}

func counts(t *testing.T, s *fakeservice.Service, what string, lists, signs int) {
	t.Helper()
	if l, n := s.Counts(); l != lists || n != signs {
		t.Errorf("%s: %d lists and %d signatures were asked for, want %d and %d", what, l, n, lists, signs)
	}
}

var (
	rsaScheme = wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA256}
	digest    = sha256.Sum256([]byte("abc"))
)

// Nothing is asked before a key is; each key costs one small list, once.
func TestFind(t *testing.T) {
	s := fakeservice.New(t)
	s.Add(t, "app/rsa", "rsa2048")
	s.Add(t, "app/ec", "p256")
	a, _ := newApplication(s.Environ())
	session := a.Session()
	if a.Session() != session {
		t.Error("the same configuration is another session")
	}
	counts(t, s, "before a key is asked for", 0, 0)
	for range 4 { // as signtool does
		k, st := session.Find("OpenKey", "app/rsa")
		if st != OK || k.Name() != "app/rsa" {
			t.Fatal(st)
		}
	}
	counts(t, s, "one key, four times", 1, 0)
	if q := s.Queries()[0]; !strings.Contains(q, "app") || !strings.Contains(q, "rsa") {
		t.Errorf("the list request is not narrowed: %q", q)
	}
	k, _ := session.Find("OpenKey", "app/ec")
	signature, st := k.Sign("SignHash", wire.Scheme{Algorithm: wire.ECDSA}, digest[:])
	if st != OK || keyring.Verify(k.Public(), wire.Scheme{Algorithm: wire.ECDSA}, digest[:], signature) != nil {
		t.Errorf("the signature: %v", st)
	}
	counts(t, s, "another key and a signature", 1, 1)
	if m := s.Metadata(); len(m) != 1 || !strings.Contains(m[0], "CreatingProcess") {
		t.Errorf("metadata %q", m)
	}
	all, st := session.List("EnumKeys")
	if st != OK || len(all) != 2 || all[0].Name() != "app/ec" {
		t.Errorf("%d keys, %v", len(all), st)
	}
	counts(t, s, "all keys", 1, 0)
	s.Add(t, "app/new", "p384")
	if _, st := session.Find("OpenKey", "app/rsa"); st != OK {
		t.Error(st)
	}
	counts(t, s, "a key of the list of all", 0, 0)
}

// What is no key's name costs nothing; a missing key costs one request.
func TestMissing(t *testing.T) {
	s := fakeservice.New(t)
	s.Add(t, "app/rsa", "rsa2048")
	a, h := newApplication(s.Environ())
	for _, name := range []string{"", "app", "/", "app/", "/rsa", "app/rsa/more", strings.Repeat("x", 1000), "\\\\.\\reader\\app"} {
		if k, st := a.Session().Find("OpenKey", name); st != NTE_BAD_KEYSET || k != nil {
			t.Errorf("%q: %v", name, st)
		}
	}
	counts(t, s, "names of no key", 0, 0)
	for range 4 {
		if _, st := a.Session().Find("OpenKey", "app/foreign"); st != NTE_BAD_KEYSET {
			t.Error(st)
		}
	}
	counts(t, s, "a missing key, four times", 1, 0)
	if log := s.Log(t, "KSP"); strings.Count(log, "ERROR") != 9 || !strings.Contains(log, "Submitter") || strings.Contains(log, strings.Repeat("x", 200)) {
		t.Errorf("the log does not tell once what is missing:\n%s", log)
	}
	for i := range 2 * maxNamed { // very many names: one list of all
		a.Session().Find("OpenKey", fmt.Sprint("app/", i))
	}
	counts(t, s, "many missing keys", maxNamed, 0) // one of them has its source, the last request is for all
	h.set(s.Environ("SIGNPATH_PROJECT_SLUG=other"))
	if _, st := a.Session().Find("OpenKey", "app/rsa"); st != NTE_BAD_KEYSET || !strings.Contains(s.Log(t, "KSP"), "ProjectSlug (other) hides it") {
		t.Errorf("a hidden key: %v", st)
	}
	h.set(s.Environ("SIGNPATH_SIGNING_POLICY_SLUG=other"))
	if _, st := a.Session().Find("OpenKey", "app/rsa"); st != NTE_BAD_KEYSET || !strings.Contains(s.Log(t, "KSP"), "SigningPolicySlug (other) hides it") {
		t.Errorf("a hidden key: %v", st)
	}
	h.set(s.Environ("SIGNPATH_PROJECT_SLUG=app"))
	if _, st := a.Session().Find("OpenKey", "app/rsa"); st != OK {
		t.Errorf("a key in sight: %v", st)
	}
}

// A failed look-up answers the next ones; a corrected variable or file counts at once.
func TestFailuresAreKept(t *testing.T) {
	s := fakeservice.New(t)
	s.Add(t, "app/rsa", "rsa2048")
	a, h := newApplication(s.Environ("SIGNPATH_API_TOKEN=wrong-token-wrong-token-wrong-token-wrong-to"))
	for range 4 {
		if _, st := a.Session().Find("OpenKey", "app/rsa"); st != 0x80040191 {
			t.Fatal(st)
		}
	}
	counts(t, s, "a wrong token", 1, 0)
	if log := s.Log(t, "KSP"); strings.Count(log, "ERROR") != 1 || !strings.Contains(log, "401") || !strings.Contains(log, "ApiToken") || strings.Contains(log, "wrong-token") {
		t.Errorf("the log:\n%s", log)
	}
	old := a.Session()
	h.set(s.Environ("UNRELATED=1"))
	k, st := a.Session().Find("OpenKey", "app/rsa")
	if st != OK || a.Session() == old {
		t.Fatalf("the corrected token: %v", st)
	}
	counts(t, s, "the corrected token", 1, 0)
	h.set(s.Environ("UNRELATED=2"))
	if a.Session() != k.session {
		t.Error("a variable of somebody else is a new session")
	}
	// Stopped service: each call waits out its retries once.
	s.Refuse(503)
	h.set(s.Environ("SIGNPATH_PROJECT_SLUG=app"))
	for range 3 {
		if _, st := a.Session().Find("OpenKey", "app/rsa"); st != 0x800401F7 {
			t.Error(st)
		}
	}
	counts(t, s, "503", 2, 0)
	src := a.Session().named["app/rsa"]
	src.mu.Lock()
	src.at = src.at.Add(-failureMemory)
	src.mu.Unlock()
	s.Refuse(0)
	if _, st := a.Session().Find("OpenKey", "app/rsa"); st != OK {
		t.Errorf("later: %v", st)
	}
	// A key that is held goes on with its own session.
	if _, st := k.Sign("SignHash", rsaScheme, digest[:]); st != OK {
		t.Errorf("an older key: %v", st)
	}
}

func TestFileIsReadAgain(t *testing.T) {
	s := fakeservice.New(t)
	s.Add(t, "app/rsa", "rsa2048")
	file := filepath.Join(t.TempDir(), "config.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{")
	a, _ := newApplication([]string{"SIGNPATH_CONFIG_FILE=" + file, "SIGNPATH_LOG_FILE_DIRECTORY=" + s.Logs})
	if _, st := a.Session().Find("OpenKey", "app/rsa"); st != NTE_FAIL {
		t.Error(st)
	}
	if _, st := a.Session().List("EnumKeys"); st != NTE_FAIL {
		t.Error(st)
	}
	if log := s.Log(t, "KSP"); !strings.Contains(log, "config.json") || !strings.Contains(log, "line 1") {
		t.Errorf("the log does not name the mistake:\n%s", log)
	}
	write(fmt.Sprintf(`{"ApiUrl":%q,"OrganizationId":%q,"ApiToken":%q,"Log":{"File":{"Directory":%q}}}`, s.URL, fakeservice.Organization, fakeservice.Token, s.Logs))
	if _, st := a.Session().Find("OpenKey", "app/rsa"); st != OK {
		t.Errorf("the corrected file: %v\n%s", st, s.Log(t, "KSP"))
	}
	if !strings.Contains(s.Log(t, "KSP"), "the configuration has changed") {
		t.Error("the log does not say that the file was read again")
	}
}

// Without organization and token there are no keys, and the log says which is missing.
func TestNoConfiguration(t *testing.T) {
	logs := t.TempDir()
	a, _ := newApplication([]string{"SIGNPATH_LOG_FILE_DIRECTORY=" + logs})
	for range 4 { // as signtool does
		if _, st := a.Session().Find("OpenKey", "app/rsa"); st != NTE_FAIL {
			t.Error(st)
		}
	}
	text, err := os.ReadFile(filepath.Join(logs, "SignPath.CryptoProviders.KSP.txt"))
	if err != nil || !strings.Contains(string(text), "SIGNPATH_API_TOKEN") || !strings.Contains(string(text), "SIGNPATH_ORGANIZATION_ID") {
		t.Errorf("%v\n%s", err, text)
	}
	if n := strings.Count(string(text), "ERROR"); n != 2 { // at the start, and for the call
		t.Errorf("%d errors in the log:\n%s", n, text)
	}
}

func TestSignFails(t *testing.T) {
	s := fakeservice.New(t)
	s.Add(t, "app/rsa", "rsa2048")
	a, _ := newApplication(s.Environ())
	k, _ := a.Session().Find("OpenKey", "app/rsa")
	for _, c := range []struct {
		status int
		want   Status
	}{{400, 0x80040190}, {403, 0x80040193}, {500, 0x800401F4}, {502, 0x800401F6}, {429, 0x800401AD}} {
		s.Refuse(c.status)
		d := sha256.Sum256([]byte(fmt.Sprint(c.status)))
		if _, st := k.Sign("SignHash", rsaScheme, d[:]); st != c.want {
			t.Errorf("%d: %v, want %v", c.status, st, c.want)
		}
	}
	s.Refuse(0)
	s.Spoil(func(b []byte) []byte { b[5] ^= 1; return b })
	if _, st := k.Sign("SignHash", rsaScheme, digest[:]); st != 0x800401F4 {
		t.Errorf("a wrong signature: %v", st)
	}
	if _, st := k.Sign("SignHash", rsaScheme, digest[1:]); st != NTE_INVALID_PARAMETER {
		t.Errorf("a short digest: %v", st)
	}
	if _, st := k.Sign("SignHash", wire.Scheme{Algorithm: wire.ECDSA}, digest[:]); st != NTE_NOT_SUPPORTED {
		t.Errorf("another algorithm: %v", st)
	}
}

func TestStatusOf(t *testing.T) {
	remoteError := func(c remote.Class, status int) error { return &remote.Error{Class: c, Status: status} }
	for _, c := range []struct {
		err  error
		want Status
	}{
		{nil, OK},
		{remoteError(remote.Transient, 0), NTE_DEVICE_NOT_READY},
		{remoteError(remote.Transient, 503), 0x800401F7},
		{remoteError(remote.Service, 500), 0x800401F4},
		{remoteError(remote.Service, 200), 0x800401F4},
		{remoteError(remote.Service, 302), 0x800401F4},
		{remoteError(remote.User, 400), 0x80040190},
		{remoteError(remote.User, 0), 0x80040190},
		{remoteError(remote.Other, 401), NTE_FAIL},
		{remoteError(remote.Canceled, 0), NTE_USER_CANCELLED},
		{remoteError(0, 0), NTE_FAIL},
		{&settings.Error{}, NTE_FAIL},
		{fmt.Errorf("x: %w", keyring.ErrKeyTooShort), NTE_BAD_LEN},
		{repeated{remoteError(remote.User, 401)}, 0x80040191},
	} {
		if got := StatusOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	for st, want := range map[Status]string{0x80040191: "0x80040191 (HTTP status 401)", NTE_BAD_KEYSET: "NTE_BAD_KEYSET (0x80090016)", 5: "0x00000005", OK: "ERROR_SUCCESS (0x00000000)"} {
		if st.String() != want {
			t.Errorf("%q, want %q", st.String(), want)
		}
	}
}

// A panic of ours ends as a status and a line, never in the host.
func TestTrace(t *testing.T) {
	s := fakeservice.New(t)
	a, _ := newApplication(s.Environ())
	call := func() (st Status) {
		size := uint32(7)
		defer a.Trace("SignHash", &st, "size", &size)
		size++
		panic("broken")
	}
	if st := call(); st != NTE_FAIL {
		t.Error(st)
	}
	for _, part := range []string{"please report it", "broken", "TestTrace", "[SignHash@", "size=8", "returns NTE_FAIL"} {
		if log := s.Log(t, "KSP"); !strings.Contains(log, part) {
			t.Errorf("no %q in the log:\n%s", part, log)
		}
	}
}

// Many threads, one key: one list.
func TestThreads(t *testing.T) {
	s := fakeservice.New(t)
	s.Add(t, "app/rsa", "rsa2048")
	a, _ := newApplication(s.Environ())
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, st := a.Session().Find("OpenKey", "app/rsa"); st != OK {
				t.Error(st)
			}
		})
	}
	all.Wait()
	counts(t, s, "16 threads", 1, 0)
}
