//go:build unix

package listcache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signpath/internal/secret"
)

var (
	id    = ID{URL: "https://signing.example/Api", Organization: "11111111-2222-3333-4444-555555555555", Token: secret.New("abcd+/=")}
	entry = Entry{Body: []byte(`{"signingPolicies":[]}`), Tag: `W/"1"`, At: time.Unix(1700000000, 5)}
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put makes a store with one entry and gives its file.
func put(t *testing.T) (*Store, string) {
	t.Helper()
	s := At(filepath.Join(t.TempDir(), "deep", "cache"))
	must(t, s.Put(id, entry))
	return s, filepath.Join(s.dir, id.file())
}

func TestPutAndGet(t *testing.T) {
	s, file := put(t)
	got, err := s.Get(id)
	if err != nil || !bytes.Equal(got.Body, entry.Body) || got.Tag != entry.Tag || !got.At.Equal(entry.At) {
		t.Fatalf("%+v, %v", got, err)
	}
	if age := got.Age(entry.At.Add(time.Second)); age != time.Second {
		t.Errorf("age %v", age)
	}
	for path, want := range map[string]fs.FileMode{s.dir: 0o700, file: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	content, err := os.ReadFile(file)
	must(t, err)
	for _, text := range []string{file, string(content)} {
		if strings.Contains(text, id.Token.Reveal()) {
			t.Errorf("the token is in %q", text)
		}
	}
	s.Drop(id)
	if _, err := s.Get(id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Drop: %v", err)
	}
}

// Whatever differs in who asks what where is another entry, also when somebody
// renames the file.
func TestIDs(t *testing.T) {
	s, file := put(t)
	for name, change := range map[string]func(*ID){
		"address": func(i *ID) { i.URL += "/" }, "organization": func(i *ID) { i.Organization = "other" }, "token": func(i *ID) { i.Token = secret.New("abcd+/") },
		"project": func(i *ID) { i.ProjectSlug = "p" }, "policy": func(i *ID) { i.SigningPolicySlug = "p" },
		"shifted": func(i *ID) { i.URL, i.Organization = i.URL+"1", i.Organization[1:] },
	} {
		other := id
		change(&other)
		if _, err := s.Get(other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, os.Link(file, filepath.Join(s.dir, "x")))
		must(t, os.Rename(filepath.Join(s.dir, "x"), filepath.Join(s.dir, other.file())))
		content, err := os.ReadFile(file)
		must(t, err)
		must(t, os.Remove(filepath.Join(s.dir, other.file())))
		must(t, os.WriteFile(filepath.Join(s.dir, other.file()), content, 0o600))
		if _, err := s.Get(other); err == nil || !strings.Contains(err.Error(), "another token") {
			t.Errorf("%s, renamed: %v", name, err)
		}
	}
}

// Any change of a single byte, any cut and anything behind ends an entry.
func TestTampered(t *testing.T) {
	s, file := put(t)
	content, err := os.ReadFile(file)
	must(t, err)
	for i := range content {
		changed := bytes.Clone(content)
		changed[i] ^= 1
		must(t, os.WriteFile(file, changed, 0o600))
		if _, err := s.Get(id); err == nil {
			t.Fatalf("byte %d changed: accepted", i)
		}
		must(t, os.WriteFile(file, content[:i], 0o600))
		if _, err := s.Get(id); err == nil {
			t.Fatalf("cut at %d: accepted", i)
		}
	}
	must(t, os.WriteFile(file, append(content, 0), 0o600))
	if _, err := s.Get(id); err == nil {
		t.Error("one byte more: accepted")
	}
}

// Files and folders that others can write to, or that are no plain files.
func TestForeign(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, s *Store, file string)
		write bool // Put still works
	}{
		"file for the group": {func(t *testing.T, _ *Store, f string) { must(t, os.Chmod(f, 0o660)) }, true},
		"hard link":          {func(t *testing.T, _ *Store, f string) { must(t, os.Link(f, f+".2")) }, true},
		"symbolic link": {func(t *testing.T, _ *Store, f string) {
			must(t, os.Rename(f, f+".2"))
			must(t, os.Symlink(filepath.Base(f)+".2", f))
		}, true},
		"link to the outside": {func(t *testing.T, _ *Store, f string) {
			out := filepath.Join(t.TempDir(), "out")
			must(t, os.Rename(f, out))
			must(t, os.Symlink(out, f))
		}, true},
		"named pipe":           {func(t *testing.T, _ *Store, f string) { must(t, os.Remove(f)); must(t, syscall.Mkfifo(f, 0o600)) }, true},
		"folder in its place":  {func(t *testing.T, _ *Store, f string) { must(t, os.Remove(f)); must(t, os.Mkdir(f, 0o700)) }, false},
		"too long":             {func(t *testing.T, _ *Store, f string) { must(t, os.Truncate(f, maxEntry+1)) }, true},
		"folder for all":       {func(t *testing.T, s *Store, _ string) { must(t, os.Chmod(s.dir, 0o777)) }, false},
		"folder for the group": {func(t *testing.T, s *Store, _ string) { must(t, os.Chmod(s.dir, 0o770)) }, false},
	} {
		s, file := put(t)
		c.spoil(t, s, file)
		if _, err := s.Get(id); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if err := s.Put(id, entry); (err == nil) != c.write {
			t.Errorf("%s: Put says %v", name, err)
		}
		if _, err := s.Get(id); (err == nil) != c.write {
			t.Errorf("%s: after Put: %v", name, err)
		}
	}
}

// As another user everything is foreign. Needs root, as scripts/test has it;
// others cannot give files away.
func TestForeignOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	s, file := put(t)
	must(t, os.Chown(file, 65534, 65534))
	if _, err := s.Get(id); err == nil {
		t.Error("a file of another user: accepted")
	}
	must(t, os.Chown(file, 0, 0))
	must(t, os.Chown(s.dir, 65534, 65534))
	if _, err := s.Get(id); !errors.Is(err, errUnsafe) {
		t.Errorf("a folder of another user: %v", err)
	}
	if err := s.Put(id, entry); !errors.Is(err, errUnsafe) {
		t.Errorf("writing there: %v", err)
	}
}

// Without a place or rights nothing is kept, and what was there stays whole.
func TestNoPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := At(filepath.Join(file, "cache")).Put(id, entry); err == nil {
		t.Error("kept below a file")
	}
	if err := At(filepath.Join(t.TempDir(), "c")).Put(id, Entry{Body: make([]byte, maxEntry)}); err == nil {
		t.Error("kept what is too long")
	}
	for _, full := range []string{"/dev/full"} { // what a full disk answers
		f, err := os.OpenFile(full, os.O_WRONLY, 0)
		must(t, err)
		if _, err = f.Write([]byte("x")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", full, err)
		}
		_ = f.Close()
	}
}

// A disk that is full in the middle of an entry: the old one stays, no part is left.
func TestFullDisk(t *testing.T) {
	s, _ := put(t)
	var limit, none syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	none = limit
	none.Cur = 4 << 20
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &none)) // EFBIG where a disk says ENOSPC; Go ignores SIGXFSZ
	err := s.Put(id, Entry{Body: make([]byte, 8<<20)})
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	if err == nil {
		t.Error("an entry larger than the disk was kept")
	}
	if got, err := s.Get(id); err != nil || !bytes.Equal(got.Body, entry.Body) {
		t.Errorf("the entry before: %v", err)
	}
	files, err := os.ReadDir(s.dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}

// Whoever reads while others write finds one whole entry.
func TestConcurrent(t *testing.T) {
	s, _ := put(t)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 20 {
				e := Entry{Body: bytes.Repeat([]byte{byte('a' + w)}, 10000+n), At: time.Now()}
				if err := s.Put(id, e); err != nil {
					t.Error(err)
				}
				if got, err := s.Get(id); err != nil || len(got.Body) < 10000 || bytes.Trim(got.Body, string(got.Body[0])) != nil {
					t.Errorf("%d bytes, %v", len(got.Body), err)
				}
			}
		})
	}
	wg.Wait()
	if files, err := os.ReadDir(s.dir); err != nil || len(files) != 1 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}

// The folder stays small; what is not the cache's stays.
func TestBounds(t *testing.T) {
	s, file := put(t)
	must(t, os.WriteFile(filepath.Join(s.dir, "note.txt"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(s.dir, "old"+tempMark), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(s.dir, "new"+tempMark), nil, 0o600))
	long := time.Now().Add(-keep - time.Hour)
	must(t, os.Chtimes(file, long, long))
	must(t, os.Chtimes(filepath.Join(s.dir, "old"+tempMark), long, long))
	for n := range 2 * maxFiles {
		other := id
		other.ProjectSlug = fmt.Sprint("p", n)
		must(t, s.Put(other, entry))
	}
	files, err := os.ReadDir(s.dir)
	must(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	if all := strings.Join(names, " "); len(files) != maxFiles+2 || !strings.Contains(all, "note.txt") || !strings.Contains(all, "new"+tempMark) || strings.Contains(all, id.file()) {
		t.Errorf("%d files: %s", len(files), all)
	}
	sparse := filepath.Join(s.dir, strings.Repeat("0", 64)+suffix)
	must(t, os.WriteFile(sparse, nil, 0o600))
	must(t, os.Truncate(sparse, maxTotal))
	must(t, os.Chtimes(sparse, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)))
	must(t, s.Put(id, entry))
	if _, err := os.Stat(sparse); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the largest and oldest stays: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(id, entry))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decode(id, data)
		if err == nil && !bytes.Equal(encode(id, e), data) {
			t.Fatalf("%q", data)
		}
		// Past the MAC nothing panics either.
		if len(data) > len(magic)+32 {
			valid := append([]byte(magic), id.mac(data[len(magic)+32:])...)
			_, _ = decode(id, append(valid, data[len(magic)+32:]...))
		}
	})
}
