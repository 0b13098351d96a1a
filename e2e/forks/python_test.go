package forks

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// accepts lets Go's crypto judge a signature as PKCS #11 gives it: PKCS #1 v1.5, or r‖s.
func accepts(t *testing.T, s *rig.Service, key string, text, signature []byte) bool {
	t.Helper()
	block, _ := pem.Decode(rig.Must(os.ReadFile(s.File("certificates", key+".pem"))))
	digest := rig.SHA256Of(text)
	switch k := rig.Must(x509.ParseCertificate(block.Bytes)).PublicKey.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, signature) == nil
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		return ecdsa.Verify(k, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	}
	return false
}

// TestPython: multiprocessing with PyKCS11 and python-pkcs11; workers end after a few
// jobs and others are forked in their place.
func TestPython(t *testing.T) {
	s := rig.TheService(t)
	jobs := 30
	if rig.All {
		jobs = 60
	}
	for _, y := range systems(t) {
		for script, where := range map[string]string{"pykcs11_pool.py": "here debian11 debian13", "python_pkcs11_pool.py": "debian13"} {
			if !strings.Contains(where, y.Name) {
				continue
			}
			for _, key := range rig.Keys() {
				t.Run(strings.Join([]string{script, y.Name, key}, "/"), func(t *testing.T) {
					t.Parallel()
					w := newSite(t, s, y)
					w.wait = 60
					w.settings(t, s.Env["SIGNPATH_API_TOKEN"])
					program := w.file(t, script, rig.Must(os.ReadFile(filepath.Join("testdata", script))))
					r := y.Run(t, w.env(), "/usr/bin/python3", program, w.module, rig.Project+"/"+key, strconv.Itoa(jobs)).OK(t)
					lines := strings.Fields(r.Output)
					if len(lines) != jobs+1 {
						t.Fatalf("%d signatures, not %d:\n%s", len(lines), jobs+1, r.Output)
					}
					for i, line := range lines {
						text := fmt.Appendf(nil, "job %d", i-1)
						if i == 0 {
							text = []byte("after")
						}
						signature := rig.Must(hex.DecodeString(line))
						if !accepts(t, s, key, text, signature) || accepts(t, s, key, append(text, '!'), signature) {
							t.Errorf("the signature over %q: not accepted, or accepted for another text", text)
						}
					}
					s.Audited(t, rig.SHA256Of([]byte("job 7")), key)
					if p, _ := w.signers(); len(p) < 4 { // the parent, and workers after workers
						t.Errorf("%d processes signed", len(p))
					}
					w.settings(t, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
					y.Run(t, w.env(), "/usr/bin/python3", program, w.module, rig.Project+"/"+key, "1").Fails(t)
					if !strings.Contains(w.log(), "CKR_ARGUMENTS_BAD") {
						t.Error("the log does not tell of the wrong token")
					}
				})
			}
		}
	}
}

// TestGunicorn: an application that is loaded before the fork (--preload), with workers
// that are renewed after some requests, one of which is killed.
func TestGunicorn(t *testing.T) {
	s := rig.TheService(t)
	w := newSite(t, s, rig.Here)
	w.wait = 60
	w.settings(t, s.Env["SIGNPATH_API_TOKEN"])
	w.file(t, "wsgi_app.py", rig.Must(os.ReadFile("testdata/wsgi_app.py")))
	b := rig.Here.Start(t, w.env("KEY_ID="+rig.Project+"/p256"), "/usr/bin/python3", "-m", "gunicorn", "--chdir", w.dir, "--bind", "127.0.0.1:"+w.port, "--workers", "3", "--preload",
		"--max-requests", "15", "--pid", filepath.Join(w.dir, "pid"), "wsgi_app")
	master := w.master(t)
	ask := func(text string) (pid string, err error) {
		a, err := http.Get("http://127.0.0.1:" + w.port + "/" + text)
		if err != nil {
			return "", err
		}
		defer func() { _ = a.Body.Close() }()
		body := bytes.Fields(rig.Must(io.ReadAll(a.Body)))
		if a.StatusCode != http.StatusOK || len(body) != 2 || !accepts(t, s, "p256", []byte(text), rig.Must(hex.DecodeString(string(body[1])))) {
			return "", fmt.Errorf("%s: %q", a.Status, body)
		}
		return string(body[0]), nil
	}
	eventually(t, "gunicorn listens", func() bool { _, err := ask("first"); return err == nil })
	var pids sync.Map
	work := func(n int, round string) {
		t.Helper()
		var wg sync.WaitGroup
		for c := range 6 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range n {
					text := fmt.Sprintf("%s-%d-%d", round, c, i)
					pid, err := ask(text)
					for try := 0; err != nil && try < 5; try++ { // a worker that was just renewed may close a connection
						time.Sleep(100 * time.Millisecond)
						pid, err = ask(text)
					}
					if err != nil {
						t.Errorf("%s: %v", text, err)
					}
					pids.Store(pid, true)
				}
			}()
		}
		wg.Wait()
	}
	work(10, "one")
	killed := children(master)
	if len(killed) == 0 {
		t.Fatalf("no workers:\n%s", b.Output())
	}
	b.Signal(killed[0], syscall.SIGKILL)
	work(10, "two")
	n := 0
	pids.Range(func(any, any) bool { n++; return true })
	if n < 4 {
		t.Errorf("%d workers answered", n)
	}
	s.Audited(t, rig.SHA256Of([]byte("two-0-0")), "p256")
}
