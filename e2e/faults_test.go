package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"signpath/internal/testkit/faultproxy"
)

// family is a tool that signs once with the P-256 key.
type family struct {
	name string
	sign func(t *testing.T, s *service, tl *tool) *result
	more bool // slow to start: the short list of faults unless everything is asked for
}

func families() []family {
	digest := func(t *testing.T) (file string) {
		_, _, content := artifact(t)
		return write(t, filepath.Join(t.TempDir(), "artifact.hash"), sha256Of(content))
	}
	return []family{
		{name: "pkcs11-tool", sign: func(t *testing.T, _ *service, tl *tool) *result {
			return tl.run(t, "pkcs11-tool", pkcs11tool("--sign", "--mechanism", "ECDSA", "--id", idHex("p256"), "--input-file", digest(t), "--output-file", os.DevNull)...)
		}},
		{name: "openssl", sign: func(t *testing.T, _ *service, tl *tool) *result {
			file, _, _ := artifact(t)
			return tl.run(t, "openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sign", "pkcs11:id="+project+"/p256;type=private;pin-value=CONFIG", "-sha256", "-out", os.DevNull, file)
		}},
		{name: "osslsigncode", more: true, sign: func(t *testing.T, s *service, tl *tool) *result {
			return s.signcode(t, here, tl, "p256", sample(t, "sample.exe"), filepath.Join(t.TempDir(), "signed.exe"))
		}},
		{name: "jarsigner", more: true, sign: func(t *testing.T, s *service, tl *tool) *result {
			j := jdks(t)[0]
			jar := filepath.Join(t.TempDir(), "a.jar")
			write(t, jar, must(os.ReadFile(sample(t, "sample.jar"))))
			return s.jarsigner(t, j, tl, store(j.sunPKCS11(t, "slot=1"), true), "SHA256withECDSA", "CONFIG", jar, "p256")
		}},
	}
}

// faults are what goes wrong on the way, and what a tool must be told (the
// documented table of return values). once: the request must not be repeated.
var faults = []struct {
	name  string
	fault faultproxy.Fault
	code  string
	once  bool
	short bool // in the short list
}{
	{"connection reset", faultproxy.Fault{Kind: faultproxy.Reset}, "CKR_FUNCTION_FAILED", false, true},
	{"half an answer", faultproxy.Fault{Kind: faultproxy.Close, After: 20}, "CKR_FUNCTION_FAILED", false, false},
	{"no answer", faultproxy.Fault{Kind: faultproxy.Stall}, "CKR_FUNCTION_FAILED", false, true},
	{"slow answer", faultproxy.Fault{Kind: faultproxy.Slow, Chunk: 1, Pause: 50 * time.Millisecond}, "CKR_FUNCTION_FAILED", false, false},
	{"not HTTP", faultproxy.Fault{Kind: faultproxy.Garbage}, "CKR_DEVICE_ERROR", true, false},
	{"500", status(500), "CKR_DEVICE_ERROR", false, true},
	{"502", status(502), "CKR_FUNCTION_FAILED", false, false},
	{"503", status(503), "CKR_FUNCTION_FAILED", false, false},
	{"504", status(504), "CKR_FUNCTION_FAILED", false, false},
	{"429", status(429), "CKR_FUNCTION_FAILED", false, false},
	{"400", status(400), "CKR_ARGUMENTS_BAD", true, true},
	{"401", status(401), "CKR_ARGUMENTS_BAD", true, false},
	{"403", status(403), "CKR_ARGUMENTS_BAD", true, false},
	{"404", status(404), "CKR_ARGUMENTS_BAD", true, false},
	{"409", status(409), "CKR_ARGUMENTS_BAD", true, false},
	{"413", status(413), "CKR_ARGUMENTS_BAD", true, false},
	{"415", status(415), "CKR_ARGUMENTS_BAD", true, false},
	{"redirect", faultproxy.Fault{Kind: faultproxy.Status, Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}}, "CKR_DEVICE_ERROR", true, false},
	{"not JSON", faultproxy.Fault{Kind: faultproxy.Status, Status: 200, Body: `{"Signature":`}, "CKR_DEVICE_ERROR", true, false},
	{"wrong signature", faultproxy.Fault{Kind: faultproxy.Status, Status: 200, Body: fmt.Sprintf(`{"Signature":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 64)))}, "CKR_DEVICE_ERROR", true, true},
}

func status(code int) faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.Status, Status: code, Body: http.StatusText(code)}
}

// faulty puts a fault proxy in front of the service.
func faulty(t *testing.T, s *service, more ...string) (*faultproxy.Proxy, *tool) {
	t.Helper()
	target := must(url.Parse(s.env["SIGNPATH_API_URL"]))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(s.env["SIGNPATH_TRUSTED_CA_FILE"])))
	p, err := faultproxy.HTTP(target, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	ca := write(t, filepath.Join(t.TempDir(), "proxy-ca.pem"), p.CA())
	return p, s.tool(t, append([]string{"SIGNPATH_API_URL=" + p.URL(target.Path).String(), "SIGNPATH_TRUSTED_CA_FILE=" + ca,
		"SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS=1", "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2"}, more...)...)
}

// TestFaults lets everything go wrong between module and service, once while the
// tool logs in and once while it signs.
func TestFaults(t *testing.T) {
	s := theService(t)
	for _, fam := range families() {
		for _, f := range faults {
			if fam.more && !f.short && !all {
				continue
			}
			for _, phase := range []string{"C_Login", "C_Sign"} {
				if f.name == "wrong signature" && phase == "C_Login" || phase == "C_Login" && fam.more && !all {
					continue
				}
				t.Run(fam.name+"/"+phase+"/"+f.name, func(t *testing.T) {
					t.Parallel()
					p, tl := faulty(t, s)
					if phase == "C_Sign" {
						p.Next(1, faultproxy.Fault{}) // the list arrives
					}
					if err := p.Set(f.fault); err != nil {
						t.Fatal(err)
					}
					r := fam.sign(t, s, tl).fails(t)
					tl.inLog(t, phase, f.code)
					want := map[string]int{"C_Login": 1, "C_Sign": 2}[phase]
					if n := p.Requests(); f.once && n != want {
						t.Errorf("%d requests, though nothing gets better by repeating:\n%s", n, tl.log())
					}
					// The documented waiting time, once: also for tools that repeat a failed C_Sign.
					if limit := 4*time.Second + startUp(fam); r.took > limit {
						t.Errorf("took %v, with a total of 2 s:\n%s", r.took, tl.log())
					}
					s.nowhere(t, s.env["SIGNPATH_API_TOKEN"], tl, r)
				})
			}
		}
	}
}

// startUp is what a tool takes for itself on a busy machine.
func startUp(f family) time.Duration {
	if f.more {
		return 6 * time.Second
	}
	return 2 * time.Second
}

// TestFaultsOfCertificates shows services whose certificate must not be trusted.
func TestFaultsOfCertificates(t *testing.T) {
	s := theService(t)
	for _, c := range []struct {
		name  string
		host  string
		until time.Duration
		other bool
		says  string
	}{
		{"untrusted", "127.0.0.1", time.Hour, true, "SIGNPATH_TRUSTED_CA_FILE"},
		{"expired", "127.0.0.1", -time.Hour, false, "validity"},
		{"for another host", "signing.example", time.Hour, false, "another host"},
	} {
		cert, ca := selfSigned(t, c.host, c.until)
		if c.other {
			_, ca = selfSigned(t, c.host, c.until)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t.Errorf("the token was sent to %s", c.name)
			_, _ = io.Copy(w, r.Body)
		}))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		file := write(t, filepath.Join(t.TempDir(), "ca.pem"), ca)
		for _, fam := range families() {
			if fam.more && !all {
				continue
			}
			t.Run(fam.name+"/"+c.name, func(t *testing.T) {
				tl := s.tool(t, "SIGNPATH_API_URL="+server.URL+"/Api", "SIGNPATH_TRUSTED_CA_FILE="+file)
				r := fam.sign(t, s, tl).fails(t)
				tl.inLog(t, "C_Login", "CKR_GENERAL_ERROR")
				tl.inLog(t, c.says)
				if r.took > 5*time.Second+startUp(fam) {
					t.Errorf("took %v: an untrusted certificate does not get better by waiting", r.took)
				}
			})
		}
	}
}

// TestFaultsOfTheMachine: a signature must not fail for a log, a home folder or a temporary folder.
func TestFaultsOfTheMachine(t *testing.T) {
	s := theService(t)
	full := filepath.Join(t.TempDir(), "full")
	foreign := filepath.Join(t.TempDir(), "foreign")
	for _, d := range []string{full, foreign} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(foreign, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Chmod(foreign, 0); err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(t.TempDir(), "a-file"), nil)
	for _, fam := range families() {
		if fam.more && !all {
			continue
		}
		for name, more := range map[string][]string{
			"log folder of somebody else": {"SIGNPATH_LOG_FILE_DIRECTORY=" + foreign},
			"log folder is a file":        {"SIGNPATH_LOG_FILE_DIRECTORY=" + file},
			"log folder cannot be made":   {"SIGNPATH_LOG_FILE_DIRECTORY=/proc/nothing/here"},
			"log device is full":          {"SIGNPATH_LOG_FILE_DIRECTORY=/dev/full"},
			"HOME unset":                  {"HOME="},
			"TMPDIR does not exist":       {"TMPDIR=/nonexistent"},
		} {
			t.Run(fam.name+"/"+name, func(t *testing.T) { fam.sign(t, s, s.tool(t, more...)).ok(t) })
		}
	}
}

func selfSigned(t *testing.T, host string, until time.Duration) (tls.Certificate, []byte) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(until),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der := must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
