package native

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// tlsService is a service with keys for TLS.
func tlsService(t *testing.T) *rig.Service {
	t.Helper()
	s := rig.Must(rig.Start(t.TempDir(), "tls-rsa2048,tls-p256"))
	t.Cleanup(s.Stop)
	return s
}

// greeter is a server of Go's own TLS that wants a client certificate and greets its owner.
func greeter(t *testing.T, s *rig.Service) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "hello %s with %s\n", r.TLS.PeerCertificates[0].Subject.CommonName, tls.VersionName(r.TLS.Version))
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: s.Roots(t), MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// TestCurl: a client certificate whose key is in the service.
func TestCurl(t *testing.T) {
	s := tlsService(t)
	server := greeter(t, s)
	address := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	ways := []struct {
		name string
		y    rig.System
		env  []string
		args []string
		pin  string
	}{{"engine", rig.Here, nil, []string{"--engine", "pkcs11", "--key-type", "ENG"}, ";pin-value=CONFIG"}}
	for _, y := range newer {
		ways = append(ways, struct {
			name string
			y    rig.System
			env  []string
			args []string
			pin  string
		}{"provider", y, []string{"PKCS11_PROVIDER_MODULE=" + y.Module(t)}, []string{"--engine", "pkcs11", "--key-type", "PROV"}, "?pin-value=CONFIG"})
	}
	for _, way := range ways {
		for _, key := range []string{"tls-rsa2048", "tls-p256"} {
			for _, version := range []string{"1.2", "1.3"} {
				if version == "1.2" && way.name == "provider" && !rig.All {
					continue
				}
				t.Run(strings.Join([]string{way.name, key, version}, "/"), func(t *testing.T) {
					get := func(j *job, key string) *rig.Result {
						args := append([]string{"-sS", "--insecure", "--tlsv" + version, "--tls-max", version, "--cert", s.File("certificates", key+".chain.pem")}, way.args...)
						return j.with(t, way.env, "curl", append(args, "--key", "pkcs11:id="+rig.Project+"/"+key+";type=private"+way.pin, address)...)
					}
					j := newJob(t, s, way.y, key)
					get(j, key).OK(t).Says(t, key+" with TLS "+version)
					rig.Row(t, "curl (TLS client key)", rig.Version(t, way.y, "curl"), key, way.y, "Go's crypto/tls")
					j.tl.InLog(t, "signed", "key="+rig.Project+"/"+key)
					wrong := newJob(t, s, way.y, key, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
					get(wrong, key).Fails(t)
					wrong.tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
				})
			}
		}
	}
	export := rig.Run(t, nil, rig.Binary, "audit", "export", "--data", s.File("data")).OK(t)
	if !strings.Contains(export.Output, "curl -sS --insecure") {
		t.Error("no audit entry of curl")
	}
}

// TestStunnel: a TLS server whose key is in the service, in threads of one process.
func TestStunnel(t *testing.T) {
	s := tlsService(t)
	plain := rig.Must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = plain.Close() })
	go func() {
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello from behind\n")
			_ = c.Close()
		}
	}()
	for _, key := range []string{"tls-rsa2048", "tls-p256"} {
		t.Run(key, func(t *testing.T) {
			j := newJob(t, s, rig.Here, key)
			port := rig.FreePort(t)
			conf := func(j *job) string {
				return rig.Write(t, filepath.Join(j.dir, "stunnel.conf"), fmt.Appendf(nil, `foreground = yes
pid =
engine = pkcs11
engineCtrl = MODULE_PATH:%s
engineCtrl = PIN:CONFIG
[hello]
accept = 127.0.0.1:%s
connect = %s
cert = %s
engineId = pkcs11
key = %s
`, rig.Module, port, plain.Addr(), j.chain, j.uri()))
			}
			out := rig.Here.Start(t, j.tl.Env, "stunnel", conf(j))
			for i := range 8 {
				version := uint16(tls.VersionTLS12 + i%2)
				var c *x509.Certificate
				var text string
				var err error
				for range 300 { // until it listens
					if c, text, err = s.Handshake(t, port, version, nil, ""); err == nil || i > 0 {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, out.Output())
				}
				if !strings.Contains(c.Subject.CommonName, key) || text != "hello from behind\n" {
					t.Errorf("%v said %q", c.Subject, text)
				}
			}
			j.tl.InLog(t, "signed", "key="+rig.Project+"/"+key)
			j.audited(t, nil)
			wrong := newJob(t, s, rig.Here, key, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
			port = rig.FreePort(t)
			wrong.run(t, "stunnel", conf(wrong)).Fails(t)
			wrong.tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
		})
	}
}
