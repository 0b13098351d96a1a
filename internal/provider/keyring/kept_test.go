package keyring

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/secret"
	"signpath/internal/wire"
)

var (
	ecdsaScheme = scheme(wire.ECDSA, 0)
	abc         = sha256.Sum256([]byte("abc"))
)

// keeping is a service whose lists are kept on disk.
func keeping(t *testing.T) *service {
	t.Helper()
	s := newService(t)
	s.add(t, "demo/one", testKeys(t, "p256"))
	s.settings.ListCache, s.settings.ListCacheFolder = time.Minute, filepath.Join(t.TempDir(), "cache")
	return s
}

// counts compares how often the service was asked since the last time.
func (s *service) counts(t *testing.T, what string, lists, signs int) {
	t.Helper()
	s.set(func(s *service) {
		if s.lists != lists || s.signs != signs {
			t.Errorf("%s: %d lists and %d signatures, want %d and %d", what, s.lists, s.signs, lists, signs)
		}
		s.lists, s.signs = 0, 0
	})
}

func signABC(k *Key) error {
	_, err := k.Sign(context.Background(), ecdsaScheme, abc[:])
	return err
}

// The second process signs with one request; without the setting, or after the
// time, or with another token, the service is asked as ever.
func TestKeptList(t *testing.T) {
	s := keeping(t)
	for _, c := range []struct {
		what   string
		change func()
		lists  int
	}{
		{"the first", func() {}, 1},
		{"the second", func() {}, 0},
		{"another token", func() { s.settings.APIToken = secret.New("another") }, 1},
		{"another filter", func() { s.settings.ProjectSlug = "demo" }, 1},
		{"the same again", func() {}, 0},
		{"after its time", func() { s.settings.ListCache = time.Nanosecond }, 1},
		{"switched off", func() { s.settings.ListCache = 0 }, 1},
		{"no folder", func() { s.settings.ListCache, s.settings.ListCacheFolder = time.Minute, "" }, 1},
	} {
		c.change()
		r := s.ring(t)
		k := keysOf(t, r).ByName("demo/one")
		if k == nil {
			t.Fatalf("%s: no key", c.what)
		}
		if err := signABC(k); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		s.counts(t, c.what, c.lists, 1)
	}
}

// Off means that nothing is written.
func TestNothingIsKeptByDefault(t *testing.T) {
	s := keeping(t)
	s.settings.ListCache = 0
	keysOf(t, s.ring(t))
	if _, err := os.Stat(s.settings.ListCacheFolder); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
}

// A key that the kept list does not have is looked for at the service, at once.
func TestKeptListWithoutTheKey(t *testing.T) {
	s := keeping(t)
	keysOf(t, s.ring(t))
	s.add(t, "demo/two", testKeys(t, "p256"))
	s.counts(t, "before", 1, 0)
	r := s.ring(t)
	if keysOf(t, r).ByName("demo/two") != nil {
		t.Error("the kept list has a key that it cannot have")
	}
	snap, err := r.Refresh(context.Background())
	if err != nil || snap.ByName("demo/two") == nil {
		t.Errorf("%v", err)
	}
	s.counts(t, "a miss", 1, 0)
	if keysOf(t, s.ring(t)).ByName("demo/two") == nil {
		t.Error("what was found is not kept")
	}
	s.counts(t, "the next process", 0, 0)
}

// What the service decides differently from the kept list ends its use: this
// process and the next one ask again, and the error is the documented one.
func TestKeptListIsWrong(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*testing.T, *service)
		class  remote.Class
		says   string
		after  int // keys of a fresh list; -1: it is refused
	}{
		"revoked token":  {func(_ *testing.T, s *service) { s.set(func(s *service) { s.status = 401 }) }, remote.User, "401", -1},
		"removed policy": {func(_ *testing.T, s *service) { s.set(func(s *service) { s.policies, s.keys = s.policies[:0], nil }) }, remote.User, "400", 0},
		"renewed with another key": {func(t *testing.T, s *service) {
			s.set(func(s *service) { s.policies = nil })
			s.add(t, "demo/one", testKeys(t, "p384"))
		}, remote.Service, "start the tool again", 1},
		"signature of another key": {func(t *testing.T, s *service) {
			s.set(func(s *service) { s.spoil = func(b []byte) []byte { b[5] ^= 1; return b } })
		}, remote.Service, "does not verify", 1},
	} {
		s := keeping(t)
		keysOf(t, s.ring(t))
		c.change(t, s)
		s.counts(t, "before", 1, 0)
		r := s.ring(t)
		old := keysOf(t, r).ByName("demo/one")
		err := signABC(old)
		if classOf(err) != c.class || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
		s.counts(t, what, 0, 1)
		for _, ring := range []*Ring{r, s.ring(t)} {
			snap, err := ring.Keys(context.Background(), Lookup{})
			if c.after < 0 && classOf(err) != remote.User || c.after >= 0 && (err != nil || snap.Len() != c.after) {
				t.Errorf("%s, afterwards: %v", what, err)
			}
			if c.after == 1 && what == "renewed with another key" {
				if err := signABC(snap.ByName("demo/one")); err != nil {
					t.Errorf("%s: the new key: %v", what, err)
				}
			}
		}
		if what == "removed policy" {
			s.counts(t, what+", afterwards", 2, 0) // an empty list is not kept
		}
	}
}

// A renewed certificate on the same key signs on; the new certificate is seen
// when the time is over or something is looked for.
func TestKeptCertificate(t *testing.T) {
	s := keeping(t)
	keysOf(t, s.ring(t))
	renewed := certificate(t, testKeys(t, "p256"))
	s.set(func(s *service) { s.policies[0].CertificateBytes = renewed })
	r := s.ring(t)
	old := keysOf(t, r).ByName("demo/one")
	if err := signABC(old); err != nil {
		t.Error(err)
	}
	snap, err := r.Refresh(context.Background())
	if err != nil || string(snap.ByName("demo/one").Certificate()) != string(renewed) {
		t.Errorf("the certificate was not renewed: %v", err)
	}
}

// A service that is away says nothing about the list.
func TestKeptListOutlivesTheNetwork(t *testing.T) {
	s := keeping(t)
	keysOf(t, s.ring(t))
	s.set(func(s *service) { s.status = 503 })
	if err := signABC(keysOf(t, s.ring(t)).ByName("demo/one")); classOf(err) != remote.Transient {
		t.Errorf("%v", err)
	}
	s.set(func(s *service) { s.status = 0 })
	s.counts(t, "before", 1, 3)
	keysOf(t, s.ring(t))
	s.counts(t, "after", 0, 0)
}

// Files that are no lists of this token are as if they were not there.
func TestKeptListOnABadDisk(t *testing.T) {
	for what, spoil := range map[string]func(t *testing.T, dir, file string){
		"tampered": func(t *testing.T, _, file string) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			_ = os.WriteFile(file, b, 0o600)
		},
		"cut":          func(_ *testing.T, _, file string) { _ = os.Truncate(file, 100) },
		"empty":        func(_ *testing.T, _, file string) { _ = os.Truncate(file, 0) },
		"shared":       func(_ *testing.T, dir, _ string) { _ = os.Chmod(dir, 0o777) },
		"not writable": func(_ *testing.T, dir, file string) { _ = os.RemoveAll(dir); _ = os.WriteFile(dir, nil, 0o600) },
	} {
		s := keeping(t)
		keysOf(t, s.ring(t))
		files, err := filepath.Glob(s.settings.ListCacheFolder + "/*")
		if err != nil || len(files) != 1 {
			t.Fatalf("%q, %v", files, err)
		}
		spoil(t, s.settings.ListCacheFolder, files[0])
		s.counts(t, "before", 1, 0)
		if err := signABC(keysOf(t, s.ring(t)).ByName("demo/one")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		s.counts(t, what, 1, 1)
		if s.log.Count("", "is not used") != 1 {
			t.Errorf("%s: the log does not tell:\n%s", what, s.log.Text())
		}
	}
}

// A list that is too old, or one in memory, is not fetched again when the service
// says that it is still the same; the same list is the same snapshot.
func TestSameList(t *testing.T) {
	s := keeping(t)
	s.tag = `W/"a"`
	keysOf(t, s.ring(t))
	s.settings.ListCache = time.Nanosecond
	r := s.ring(t)
	first := keysOf(t, r)
	if first.ByName("demo/one") == nil || s.same != 1 {
		t.Errorf("%d lists were the same", s.same)
	}
	r.listed = time.Time{} // the look-up before is long ago
	again, err := r.Refresh(context.Background())
	if err != nil || again != first || s.same != 2 {
		t.Errorf("%v, %d lists were the same", err, s.same)
	}
	s.tag = `W/"b"`
	s.add(t, "demo/two", testKeys(t, "p256"))
	r.listed = time.Time{}
	if again, err = r.Refresh(context.Background()); err != nil || again.ByName("demo/two") == nil {
		t.Errorf("%v", err)
	}
}
