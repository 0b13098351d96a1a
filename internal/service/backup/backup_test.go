package backup_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/backup"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
)

func database(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// testKey does what a key-encryption key does.
type testKey struct{ cipher.AEAD }

func key(t *testing.T) testKey {
	t.Helper()
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	block, err := aes.NewCipher(raw)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{aead}
}

func (k testKey) Seal(purpose string, plain []byte) ([]byte, error) {
	return k.AEAD.Seal(nil, nil, plain, []byte(purpose)), nil
}

func (k testKey) Open(purpose string, sealed []byte) ([]byte, error) {
	return k.AEAD.Open(nil, nil, sealed, []byte(purpose))
}

// sample is a database with something in it, and its backup.
func sample(t *testing.T, k backup.Key) (store.Store, []byte, backup.Summary) {
	t.Helper()
	st := database(t)
	err := st.Write(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.PutOrganization(model.Organization{ID: "o", Name: "Ünï \"<>\u2028", Created: time.UnixMilli(5).UTC()}),
			tx.PutSetting("empty", []byte{}), tx.PutSetting("bytes", []byte{0, 255, '\n'}))
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	s, err := backup.Write(t.Context(), &b, st, k, "1.2.3", []backup.File{{Name: "tls.pem", Content: []byte("secret of TLS")}}, time.UnixMilli(1700000000123))
	if err != nil {
		t.Fatal(err)
	}
	return st, b.Bytes(), s
}

func lines(t *testing.T, zipped []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	k := key(t)
	from, data, made := sample(t, k)
	text := lines(t, data)
	if strings.Contains(text, "secret of TLS") {
		t.Error("a file stands in the backup in the clear")
	}
	if _, again, _ := sample(t, nil); !strings.Contains(lines(t, again), backup.Format) || strings.Contains(lines(t, again), "tls.pem") {
		t.Error("without a key there must be no files")
	}
	to := database(t)
	got, err := backup.Restore(t.Context(), bytes.NewReader(data), to, k, false)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != made.ID || got.Rows != made.Rows || got.SHA256 != made.SHA256 || !got.Made.Equal(time.UnixMilli(1700000000123)) || got.Program != "1.2.3" ||
		len(got.Files) != 1 || got.Files[0].Name != "tls.pem" || string(got.Files[0].Content) != "secret of TLS" {
		t.Errorf("%+v, want %+v", got, made)
	}
	a, _ := from.Config(t.Context())
	b, err := to.Config(t.Context())
	if err != nil || b.Organizations[0].Name != a.Organizations[0].Name || b.Version != a.Version {
		t.Errorf("%v %+v", err, b)
	}
	for name, want := range map[string]string{"empty": "", "bytes": "\x00\xff\n"} {
		if v, err := to.Setting(t.Context(), name); err != nil || v == nil || string(v) != want {
			t.Errorf("%s: %q %v", name, v, err)
		}
	}
	if _, err := backup.Restore(t.Context(), bytes.NewReader(data), to, k, false); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("a second time: %v", err)
	}
}

// Whatever is wrong with a backup, nothing of it reaches the database.
func TestRefused(t *testing.T) {
	k := key(t)
	_, data, made := sample(t, k)
	text := lines(t, data)
	all := strings.SplitAfter(text, "\n")
	last := all[len(all)-2]
	_, unsealed, _ := sample(t, nil)
	name := `"Ünï \"\u003c\u003e\u2028"`
	if !strings.Contains(text, name) {
		t.Fatal(text)
	}
	for what, c := range map[string]struct {
		data   []byte
		key    backup.Key
		anyway bool
		want   error
	}{
		"nothing":                {nil, k, true, backup.ErrFormat},
		"a text":                 {[]byte("hello"), k, true, backup.ErrFormat},
		"another format":         {zipped(strings.Replace(text, "backup/1", "backup/2", 1)), k, true, backup.ErrFormat},
		"a newer schema":         {zipped(strings.Replace(text, `"schema":`, `"schema":9`, 1)), k, true, store.ErrTooNew},
		"cut off in gzip":        {data[:len(data)-9], k, true, backup.ErrDamaged},
		"without its last line":  {zipped(strings.TrimSuffix(text, last)), k, true, backup.ErrDamaged},
		"a changed row":          {zipped(strings.Replace(text, name, `"Mine"`, 1)), k, true, backup.ErrDamaged},
		"a line more":            {zipped(text + "{}\n"), k, true, backup.ErrDamaged},
		"an unknown member":      {zipped(strings.Replace(text, `{"row":`, `{"x":1,"row":`, 1)), k, true, backup.ErrDamaged},
		"an empty line":          {zipped(strings.Replace(text, `{"row":`, "{}\n"+`{"row":`, 1)), k, true, backup.ErrDamaged},
		"a fraction":             {zipped(strings.Replace(text, `{"row":[1,`, `{"row":[1.5,`, 1)), k, true, backup.ErrDamaged},
		"bad base64":             {zipped(strings.Replace(text, `{"base64":"AP8K"}`, `{"base64":"!"}`, 1)), k, true, backup.ErrDamaged},
		"a list":                 {zipped(strings.Replace(text, `{"base64":"AP8K"}`, `[1]`, 1)), k, true, backup.ErrDamaged},
		"another key":            {data, key(t), false, backup.ErrUnsealed},
		"no key":                 {data, nil, false, backup.ErrUnsealed},
		"made without a key":     {unsealed, k, false, backup.ErrUnsealed},
		"the seal of another ID": {zipped(strings.Replace(text, made.ID, "00000000-0000-0000-0000-000000000000", 1)), k, false, backup.ErrDamaged},
	} {
		st := database(t)
		if _, err := backup.Restore(t.Context(), bytes.NewReader(c.data), st, c.key, c.anyway); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if v, err := st.Setting(t.Context(), "bytes"); err != nil || v != nil {
			t.Errorf("%s: something was restored", what)
		}
	}
	for what, c := range map[string]struct {
		data []byte
		key  backup.Key
	}{"made without a key": {unsealed, k}, "no key": {data, nil}} {
		st := database(t)
		s, err := backup.Restore(t.Context(), bytes.NewReader(c.data), st, c.key, true)
		if err != nil || len(s.Files) != 0 {
			t.Errorf("%s, anyway: %v %+v", what, err, s)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"format":"signpath-backup/1","id":"i","made":"2020-01-01T00:00:00Z","schema":1}` + "\n" + `{"table":"settings","columns":["name"]}` + "\n" + `{"row":["x"]}` + "\n" + `{"rows":1,"sha256":""}` + "\n"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = backup.Restore(context.Background(), bytes.NewReader(zipped(string(text))), nowhere{}, nil, true)
	})
}

// nowhere takes rows and forgets them.
type nowhere struct{ store.Store }

func (nowhere) Load(_ context.Context, _ int, next func() (store.Row, error)) error {
	for {
		r, err := next()
		if err != nil {
			return err
		}
		if len(r.Values) != len(r.Columns) {
			panic("a row that does not fit its columns")
		}
	}
}
