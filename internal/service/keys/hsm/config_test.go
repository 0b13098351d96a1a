package hsm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const goodConfig = `[{"name":"main","module":"/lib/x.so","tokenLabel":"prod","pinFile":"/etc/pin"},
{"name":"b-2.c","module":"/lib/y.so","serial":"0a","pinCredential":"pin","sessions":16,"queue":9,"operationTimeoutSeconds":0.5,"environment":{"A":"b=c"},"attestationAttributes":["0x80000001","257"]}]`

func TestParseConfig(t *testing.T) {
	list, err := ParseConfig([]byte(goodConfig), "/run/credentials")
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	if c := list[0]; c.Sessions != 4 || c.Queue != 256 || c.operationTimeout() != 30*time.Second {
		t.Errorf("defaults: %+v", c)
	}
	if c := list[1]; c.operationTimeout() != 500*time.Millisecond || !slices.Equal(c.attributes(), []uint64{0x80000001, 257}) {
		t.Errorf("%+v", c)
	}
	if list, err := ParseConfig([]byte(`[]`), ""); err != nil || len(list) != 0 {
		t.Errorf("no token at all: %v", err)
	}
	with := func(old, new string) string { return strings.Replace(goodConfig, old, new, 1) }
	for text, says := range map[string]string{
		``:                                      "",
		`{}`:                                    "list",
		with(`"name":"main"`, `"name":"Main"`):  "name must",
		with(`"name":"main"`, `"name":"b-2.c"`): "two tokens",
		with(`"name":"main"`, `"name":""`):      "name must",
		with(`"name":"main"`, `"name":"main","nmae":"x"`):                  "nmae",
		with(`"name":"main"`, `"name":"main","name":"x"`):                  "",
		with(`/lib/x.so`, `x.so`):                                          "absolute",
		with(`"tokenLabel":"prod",`, ``):                                   "tokenLabel or serial",
		with(`,"pinFile":"/etc/pin"`, ``):                                  "pinFile or pinCredential",
		with(`"pinFile":"/etc/pin"`, `"pinFile":"/p","pinCredential":"x"`): "not both",
		with(`"pinFile":"/etc/pin"`, `"pinFile":"pin"`):                    "absolute",
		with(`"pinFile":"/etc/pin"`, `"pin":"1234"`):                       "unknown field",
		with(`"pinCredential":"pin"`, `"pinCredential":"../kek"`):          "without a path",
		with(`"sessions":16`, `"sessions":-1`):                             "sessions",
		with(`"sessions":16`, `"sessions":100000`):                         "sessions",
		with(`"queue":9`, `"queue":-9`):                                    "queue",
		with(`0.5`, `-1`):                                                  "operationTimeoutSeconds",
		with(`0.5`, `1e300`):                                               "operationTimeoutSeconds",
		with(`"A":"b=c"`, `"A=B":"c"`):                                     "environment",
		with(`"A":"b=c"`, `"SIGNPATH_SERVER_DATA":"c"`):                    "environment",
		with(`"257"`, `"CKA_X"`):                                           "attestationAttributes",
	} {
		if _, err := ParseConfig([]byte(text), ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(goodConfig))
	f.Add([]byte(`[{"name":"x","module":"/","serial":"1","pinFile":"/p","operationTimeoutSeconds":1e-300}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseConfig(data, "")
		if err != nil {
			return
		}
		for _, c := range list {
			if c.Sessions < 1 || c.Queue < 1 || c.operationTimeout() <= 0 || !filepath.IsAbs(c.Module) {
				t.Errorf("%+v", c)
			}
		}
	})
}

func TestEnvironment(t *testing.T) {
	c := Config{Environment: map[string]string{"SOFTHSM2_CONF": "/own", "X": "y"}}
	got := c.environment([]string{"PATH=/bin", "SOFTHSM2_CONF=/service", "NFAST_HOME=/n", "SIGNPATH_SERVER_KEY_ENCRYPTION_KEY=k", "AWS_SECRET=s", "CREDENTIALS_DIRECTORY=/run", "LD_PRELOAD=/x"})
	slices.Sort(got)
	want := []string{"LC_ALL=C.UTF-8", "NFAST_HOME=/n", "PATH=/bin", "SOFTHSM2_CONF=/own", "X=y"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReadPIN(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, text := range []string{"s3cret", "s3cret\n", "s3cret\r\n"} {
		c := Config{PINFile: write("pin", text, 0o600)}
		if p, err := c.readPIN(); err != nil || p.value.Reveal() != "s3cret" {
			t.Errorf("%q: %v", text, err)
		}
	}
	write("credential", "s3cret\n", 0o440) // systemd shows the rights of an access list there
	c := Config{PINCredential: "credential", credentials: dir}
	if p, err := c.readPIN(); err != nil || p.value.Reveal() != "s3cret" {
		t.Errorf("credential: %v", err)
	}
	for says, c := range map[string]Config{
		"chmod 600":      {PINFile: write("open", "s3cret", 0o640)},
		"one line":       {PINFile: write("lines", "s3cret\ns3cret\n", 0o600)},
		"must hold":      {PINFile: write("empty", "\n", 0o600)},
		"the PIN as one": {PINFile: write("long", strings.Repeat("s3cret", 1000), 0o600)},
		"regular file":   {PINFile: dir},
		"no such file":   {PINFile: filepath.Join(dir, "none")},
		"LoadCredential": {PINCredential: "credential"},
	} {
		if _, err := c.readPIN(); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v, want %q", err, says)
		}
	}
	before, err := c.readPIN()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.readPIN(); err != nil || !again.same(before) {
		t.Error("an untouched file counts as written")
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "credential"), later, later); err != nil {
		t.Fatal(err)
	}
	if again, err := c.readPIN(); err != nil || again.same(before) {
		t.Error("a file that was written again is not noticed")
	}
}
