package keys_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/internal/secret"
	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
)

// rawKEK is a fixed key for tests of the file forms.
var rawKEK = []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd\xfe\x0a")

func write(t *testing.T, path string, data []byte, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// same tells whether two keys are one: what one seals the other opens.
func same(a, b *keys.KEK) bool {
	sealed, err := a.Seal("test", []byte("x"))
	if err != nil {
		return false
	}
	_, err = b.Open("test", sealed)
	return err == nil
}

func TestLoadKEKForms(t *testing.T) {
	b64, hx := base64.StdEncoding.EncodeToString(rawKEK), hex.EncodeToString(rawKEK)
	want, err := keys.LoadKEK(keys.KEKSource{Value: secret.New(b64)})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"raw": string(rawKEK), "base64": b64, "base64 line": b64 + "\n", "base64 Windows line": b64 + "\r\n",
		"hex": hx, "hex line": hx + "\n", "upper-case hex": strings.ToUpper(hx),
	} {
		path := write(t, filepath.Join(t.TempDir(), "kek"), []byte(content), 0o400)
		kek, err := keys.LoadKEK(keys.KEKSource{File: path})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !same(kek, want) {
			t.Errorf("%s: another key was read", name)
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, keys.CredentialName), []byte(content), 0o440) // as systemd shows it for a unit with User=
		kek, err = keys.LoadKEK(keys.KEKSource{CredentialsDirectory: dir})
		if err != nil {
			t.Errorf("credential, %s: %v", name, err)
		} else if !same(kek, want) {
			t.Errorf("credential, %s: another key was read", name)
		}
	}
	if kek, err := keys.LoadKEK(keys.KEKSource{Value: secret.New(hx)}); err != nil || !same(kek, want) {
		t.Errorf("hex value: %v", err)
	}
}

func TestLoadKEKRefused(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString(rawKEK)
	for name, content := range map[string]string{
		"empty": "", "short": "abc", "31 bytes": string(rawKEK[:31]), "33 bytes": string(rawKEK) + "\x01",
		"two lines": b64 + "\n\n", "white space before": " " + b64, "base64url": strings.ReplaceAll(b64, "/", "_"), "password": "correct horse battery staple 123",
		"16 bytes in hex": hex.EncodeToString(rawKEK[:16]), "one byte repeated": strings.Repeat("\x00", 32),
		"repeated, hex": strings.Repeat("00", 32), "not hex": strings.Repeat("zz", 32), "huge": strings.Repeat("A", 1<<20),
		"base64 of 31 bytes": base64.StdEncoding.EncodeToString(append(rawKEK[:30:30], 0xf0)), "base64 with a line break": b64[:20] + "\n" + b64[20:],
	} {
		path := write(t, filepath.Join(t.TempDir(), "kek"), []byte(content), 0o600)
		if _, err := keys.LoadKEK(keys.KEKSource{File: path}); err == nil {
			t.Errorf("file, %s: accepted", name)
		} else if len(content) > 10 && len(content) < 100 && strings.Contains(err.Error(), content[:10]) {
			t.Errorf("%s: the error repeats the content: %v", name, err)
		}
		if _, err := keys.LoadKEK(keys.KEKSource{Value: secret.New(content)}); err == nil {
			t.Errorf("value, %s: accepted", name)
		}
	}
	if _, err := keys.LoadKEK(keys.KEKSource{Value: secret.New(string(rawKEK))}); err == nil {
		t.Error("raw bytes as value: accepted")
	}
}

func TestLoadKEKSources(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString(rawKEK)
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "file"), []byte(b64), 0o600)
	withCredential := t.TempDir()
	write(t, filepath.Join(withCredential, keys.CredentialName), []byte(b64), 0o400)
	value := secret.New(b64)
	for _, c := range []struct {
		name string
		src  keys.KEKSource
		want string // part of the error; "" for success
	}{
		{"none", keys.KEKSource{}, "no key-encryption key"},
		{"other credentials only", keys.KEKSource{CredentialsDirectory: dir}, "no key-encryption key"},
		{"no such folder", keys.KEKSource{CredentialsDirectory: filepath.Join(dir, "x")}, "no key-encryption key"},
		{"file and other credentials", keys.KEKSource{File: file, CredentialsDirectory: dir}, ""},
		{"file and credential", keys.KEKSource{File: file, CredentialsDirectory: withCredential}, "more than once"},
		{"file and value", keys.KEKSource{File: file, Value: value}, "more than once"},
		{"credential and value", keys.KEKSource{CredentialsDirectory: withCredential, Value: value}, "more than once"},
		{"missing file", keys.KEKSource{File: filepath.Join(dir, "x")}, "no such file"},
		{"folder", keys.KEKSource{File: dir}, "not a regular file"},
	} {
		_, err := keys.LoadKEK(c.src)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := keys.LoadKEK(keys.KEKSource{}); !errors.Is(err, keys.ErrNoKEK) {
		t.Errorf("no source: %v, want ErrNoKEK", err)
	}
}

func TestLoadKEKMode(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString(rawKEK)
	for mode, ok := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o700: true, 0o640: false, 0o604: false, 0o620: false, 0o644: false, 0o601: false} {
		path := write(t, filepath.Join(t.TempDir(), "kek"), []byte(b64), mode)
		_, err := keys.LoadKEK(keys.KEKSource{File: path})
		if (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: the error does not say what to do: %v", mode, err)
		}
	}
}

func TestGenerateKEKFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	made, err := keys.GenerateKEKFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	loaded, err := keys.LoadKEK(keys.KEKSource{File: path})
	if err != nil || !same(made, loaded) {
		t.Errorf("the file does not hold the key: %v", err)
	}
	before, _ := os.ReadFile(path)
	if _, err := keys.GenerateKEKFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second time: %v, want fs.ErrExist", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the existing file was changed")
	}
	other, err := keys.GenerateKEKFile(path + "2")
	if err != nil || same(made, other) {
		t.Error("two keys are equal")
	}
}

func TestSeal(t *testing.T) {
	kek := keystest.KEK(t)
	plain := []byte("the private part")
	for _, purpose := range []string{"key/1/1", "a", strings.Repeat("p", 1000)} {
		sealed, err := kek.Seal(purpose, plain)
		if err != nil {
			t.Fatal(err)
		}
		if sealed[0] != 1 || len(sealed) != 1+12+len(plain)+16 || bytes.Contains(sealed, plain) {
			t.Errorf("sealed form is wrong: %x", sealed)
		}
		if got, err := kek.Open(purpose, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("Open = %q, %v", got, err)
		}
		if _, err := kek.Open(purpose+"1", sealed); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("another purpose: %v", err)
		}
		again, _ := kek.Seal(purpose, plain)
		if bytes.Equal(sealed, again) {
			t.Error("two seals are equal: the nonce is not random")
		}
	}
	if _, err := kek.Seal("", plain); err == nil {
		t.Error("no purpose was accepted")
	}
	if sealed, err := kek.Seal("empty", nil); err != nil {
		t.Error(err)
	} else if got, err := kek.Open("empty", sealed); err != nil || len(got) != 0 {
		t.Errorf("empty value: %q, %v", got, err)
	}
}

func TestKEKNeverPrinted(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString(rawKEK)
	kek, err := keys.LoadKEK(keys.KEKSource{Value: secret.New(b64)})
	if err != nil {
		t.Fatal(err)
	}
	outer := struct {
		K     *keys.KEK
		V     keys.KEK
		inner *keys.KEK
		value keys.KEK
	}{kek, *kek, kek, *kek}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "kek", kek, "value", *kek, "outer", outer)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "kek", kek, "value", *kek, "outer", outer)
	js, err := json.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(js) + fmt.Sprint(kek, *kek, outer, &outer)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		out += fmt.Sprintf(verb, kek) + fmt.Sprintf(verb, *kek) + fmt.Sprintf(verb, outer) + fmt.Sprintf(verb, []keys.KEK{*kek})
	}
	for _, form := range []string{b64, b64[:10], string(rawKEK), hex.EncodeToString(rawKEK)[:16], strings.ToUpper(hex.EncodeToString(rawKEK)[:16]), "[0 1 2 3 4"} {
		if strings.Contains(out, form) {
			t.Errorf("the key was printed as %q", form)
		}
	}
	if !strings.Contains(out, secret.Redacted) {
		t.Error("nothing says that there is a key")
	}
}

// settings is the store's part that CheckKEK uses.
type settings map[string][]byte

func (s settings) get(_ context.Context, name string) ([]byte, error) { return s[name], nil }
func (s settings) put(_ context.Context, name string, value []byte) error {
	s[name] = value
	return nil
}

func TestCheckKEK(t *testing.T) {
	s, kek := settings{}, keystest.KEK(t)
	for range 2 {
		if err := keys.CheckKEK(t.Context(), kek, s.get, s.put); err != nil {
			t.Fatal(err)
		}
	}
	kept := bytes.Clone(s[keys.CheckSetting])
	err := keys.CheckKEK(t.Context(), keystest.KEK(t), s.get, s.put)
	if !errors.Is(err, keys.ErrWrongKEK) || !strings.Contains(err.Error(), "start the service with the key") {
		t.Errorf("another key: %v, want ErrWrongKEK with advice", err)
	}
	if !bytes.Equal(kept, s[keys.CheckSetting]) {
		t.Error("the check value was replaced")
	}
	for name, value := range map[string][]byte{"empty": {}, "garbage": []byte("garbage"), "changed": append([]byte{2}, kept[1:]...)} {
		s[keys.CheckSetting] = value
		if err := keys.CheckKEK(t.Context(), kek, s.get, s.put); !errors.Is(err, keys.ErrWrongKEK) {
			t.Errorf("%s check value: %v, want ErrWrongKEK", name, err)
		}
	}

	broken := errors.New("disk on fire")
	failGet := func(context.Context, string) ([]byte, error) { return nil, broken }
	failPut := func(context.Context, string, []byte) error { return broken }
	if err := keys.CheckKEK(t.Context(), kek, failGet, s.put); !errors.Is(err, broken) || errors.Is(err, keys.ErrWrongKEK) {
		t.Errorf("broken store: %v", err)
	}
	if err := keys.CheckKEK(t.Context(), kek, settings{}.get, failPut); !errors.Is(err, broken) {
		t.Errorf("broken store: %v", err)
	}
}

// Two replicas set up one database with different keys at the same moment: the
// one whose value was overwritten must not go on.
func TestCheckKEKRace(t *testing.T) {
	s, mine, theirs := settings{}, keystest.KEK(t), keystest.KEK(t)
	put := func(ctx context.Context, name string, _ []byte) error {
		value, err := theirs.Seal(name, []byte("signpath key-encryption key"))
		if err != nil {
			return err
		}
		return s.put(ctx, name, value)
	}
	if err := keys.CheckKEK(t.Context(), mine, s.get, put); !errors.Is(err, keys.ErrWrongKEK) {
		t.Errorf("CheckKEK = %v, want ErrWrongKEK", err)
	}
}

func FuzzOpenSealed(f *testing.F) {
	kek := keystest.KEK(f)
	good, err := kek.Seal("p", []byte("plain"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Add([]byte{1})
	f.Add(append([]byte{2}, good[1:]...))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plain, err := kek.Open("p", sealed); err == nil || plain != nil {
			t.Errorf("opened %x as %x", sealed, plain)
		}
	})
}

func FuzzKEKFile(f *testing.F) {
	f.Add(rawKEK)
	f.Add([]byte(base64.StdEncoding.EncodeToString(rawKEK)))
	f.Add([]byte(hex.EncodeToString(rawKEK) + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := write(t, filepath.Join(t.TempDir(), "kek"), data, 0o600)
		kek, err := keys.LoadKEK(keys.KEKSource{File: path})
		if (kek == nil) == (err == nil) {
			t.Errorf("LoadKEK = %v, %v", kek, err)
		}
	})
}

// A key takes over from another one: what that has sealed opens, and is sealed anew.
func TestReseal(t *testing.T) {
	make := func() *keys.KEK {
		k, err := keys.GenerateKEKFile(filepath.Join(t.TempDir(), "kek"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	old, fresh := make(), make()
	both := fresh.After(old)
	sealed, err := old.Seal("purpose", []byte("value"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := both.Open("purpose", sealed); err != nil || string(v) != "value" {
		t.Fatalf("%q %v", v, err)
	}
	out, anew, err := both.Reseal("purpose", sealed)
	if err != nil || !anew {
		t.Fatalf("%v %v", anew, err)
	}
	if v, err := fresh.Open("purpose", out); err != nil || string(v) != "value" {
		t.Errorf("%q %v", v, err)
	}
	if _, err := old.Open("purpose", out); !errors.Is(err, keys.ErrSealed) {
		t.Errorf("the old key opens it still: %v", err)
	}
	if again, anew, err := both.Reseal("purpose", out); err != nil || anew || !bytes.Equal(again, out) {
		t.Errorf("a second time: %v %v", anew, err)
	}
	for what, call := range map[string]func() error{
		"another purpose": func() error { _, _, err := both.Reseal("other", sealed); return err },
		"a third key":     func() error { _, _, err := make().After(fresh).Reseal("purpose", sealed); return err },
		"a changed value": func() error {
			_, _, err := both.Reseal("purpose", append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1))
			return err
		},
	} {
		if err := call(); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if new, err := both.Seal("purpose", nil); err != nil {
		t.Error(err)
	} else if _, err := old.Open("purpose", new); err == nil {
		t.Error("something was sealed with the old key")
	}
}
