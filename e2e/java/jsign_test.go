package java

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signpath/e2e/rig"
)

var compile sync.Once

// classPath holds Jsign and the programs of java/, compiled once.
func classPath(t *testing.T, j rig.JDK) string {
	t.Helper()
	dir := rig.TheService(t).File("classes")
	compile.Do(func() {
		j.Java(t, nil, "javac", "-Xlint:all", "-Werror", "-d", dir, "-cp", rig.JsignJar(t), filepath.Join(rig.Root, "e2e/java/AuthenticodeDigest.java"), filepath.Join(rig.Root, "e2e/java/net/jsign/jca/SignPathStore.java")).OK(t)
	})
	return dir + ":" + rig.JsignJar(t)
}

// authenticodeTwice asserts what authenticode does, for several files, and that
// Jsign's reading of the formats finds the signed digests too.
func authenticodeTwice(s *rig.Service, t *testing.T, signed map[string]string) {
	t.Helper()
	j := rig.JDKs(t)[0]
	want := map[string]string{} // by file
	args := []string{"-cp", classPath(t, j), "AuthenticodeDigest", "SHA-256"}
	for file, key := range signed {
		y := judge(t, file)
		s.Authenticode(t, y, file, key)
		_, digest := rig.ParseCMS(t, rig.PKCS7(t, y, file)).SPCDigest(t)
		want[file] = hex.EncodeToString(digest)
		args = append(args, file)
	}
	r := j.Java(t, nil, "java", args...).OK(t)
	for file, digest := range want {
		r.Says(t, digest+" "+file)
	}
}

// judge is a system whose osslsigncode knows the kind of file.
func judge(t *testing.T, file string) rig.System {
	t.Helper()
	for _, y := range rig.Systems() {
		if filepath.Ext(file) != ".ps1" || y.SignScripts(t) {
			return y
		}
	}
	t.Fatal("no osslsigncode 2.8 or newer here, and E2E_DEBIAN13 does not name a root that has one")
	return rig.Here
}

var jsignFiles = []string{"hello.exe", "answer.dll", "hello.msi", "hello.cab", "hello.ps1"}

func TestJavaJsign(t *testing.T) {
	s := rig.TheService(t)
	for _, j := range rig.JDKs(t) {
		for _, key := range rig.Keys() {
			for _, algorithm := range []string{"SHA-256", "SHA-384", "SHA-512"} {
				if !rig.All && algorithm != "SHA-256" {
					continue
				}
				t.Run(strings.Join([]string{"OpenJDK " + j.Version, key, algorithm}, "/"), func(t *testing.T) {
					t.Parallel()
					signed := map[string]string{}
					for _, name := range jsignFiles {
						if j.Root != "" && name != "hello.exe" && !rig.All {
							continue
						}
						file := rig.Sample(t, name)
						s.Jsign(t, j, s.Tool(t), key, file, "--alg", algorithm).OK(t)
						signed[file] = key
					}
					rig.Row(t, "Jsign", rig.JsignVersion(t), key, j.System, "osslsigncode verify")
					if algorithm == "SHA-256" {
						authenticodeTwice(s, t, signed)
						return
					}
					for file := range signed {
						s.Authenticode(t, judge(t, file), file, key)
					}
				})
			}
		}
	}
}

// TestJavaReadsOsslsigncode lets Jsign judge what osslsigncode signed.
func TestJavaReadsOsslsigncode(t *testing.T) {
	s := rig.TheService(t)
	signed := map[string]string{}
	for i, name := range jsignFiles {
		in, key := rig.Sample(t, name), rig.Keys()[i%len(rig.Keys())]
		out := filepath.Join(t.TempDir(), name)
		s.Signcode(t, judge(t, in), s.Tool(t), key, in, out, "-h", "sha256").OK(t)
		signed[out] = key
	}
	authenticodeTwice(s, t, signed)
}

// TestJavaJsignTimestamp shows the option that makes a signature outlive its certificate.
func TestJavaJsignTimestamp(t *testing.T) {
	s := rig.TheService(t)
	address, tsa := rig.Timestamps(t)
	file := rig.Sample(t, "hello.exe")
	s.Jsign(t, rig.JDKs(t)[0], s.Tool(t), "p256", file, "--tsaurl", address, "--tsmode", "RFC3161").OK(t)
	rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-TSA-CAfile", tsa, "-in", file).OK(t).Says(t, "Timestamp Server Signature verification: ok")
}

// signPathStore signs with Jsign's SIGNPATH store, straight against the service's REST API.
func signPathStore(s *rig.Service, t *testing.T, key, token string, files ...string) *rig.Result {
	t.Helper()
	j := rig.JDKs(t)[0]
	args := append(rig.Trusting(t, s.Env["SIGNPATH_TRUSTED_CA_FILE"]), "-cp", classPath(t, j), "net.jsign.jca.SignPathStore",
		s.Env["SIGNPATH_API_URL"]+"/v1", s.Env["SIGNPATH_ORGANIZATION_ID"], token, rig.Project+"/"+key, s.File("certificates", key+".chain.pem"), "SHA-256")
	return j.Java(t, nil, "java", append(args, files...)...)
}

func TestJavaJsignRESTStore(t *testing.T) {
	s := rig.TheService(t)
	token := s.Env["SIGNPATH_API_TOKEN"]
	for _, key := range rig.Keys() {
		if !rig.IsRSA(key) {
			continue
		}
		t.Run(key, func(t *testing.T) {
			signed := map[string]string{}
			var files []string
			for _, name := range jsignFiles {
				file := rig.Sample(t, name)
				files, signed[file] = append(files, file), key
			}
			signPathStore(s, t, key, token, files...).OK(t)
			authenticodeTwice(s, t, signed)
			rig.Row(t, "Jsign, SIGNPATH store", rig.JsignVersion(t), key, rig.Here, "osslsigncode verify")
		})
	}
	t.Run("EC, which this store does not know", func(t *testing.T) {
		file := rig.Sample(t, "hello.exe")
		signPathStore(s, t, "p256", token, file).Fails(t).Says(t, "HTTP Error 400")
		// Jsign keeps the service's reason to itself; the audit log has it
		rig.Run(t, nil, rig.Binary, "audit", "export", "--data", s.File("data")).OK(t).Says(t, "The signature algorithm 'RsaPkcs1' does not fit the key of the signing policy 'p256'")
		rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-in", file).Fails(t)
	})
	t.Run("wrong token", func(t *testing.T) {
		signPathStore(s, t, rig.Keys()[0], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", rig.Sample(t, "hello.exe")).Fails(t).Says(t, "HTTP Error 401")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
		signPathStore(s, t, rig.Keys()[0], other, rig.Sample(t, "hello.exe")).Fails(t).Says(t, "Unable to retrieve SignPath signing policy")
	})
}

// appSignPath is an HTTP proxy that answers for https://app.signpath.io in front
// of the service, so that Jsign's own command line can be used as it is.
func appSignPath(t *testing.T, s *rig.Service) (proxy, ca string) {
	t.Helper()
	key := rig.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := rig.Must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app.signpath.io of a test"}, DNSNames: []string{"app.signpath.io"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "app.signpath.io of a test"}}, key.Public(), key))
	ca = rig.Write(t, filepath.Join(t.TempDir(), "app.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}

	target := rig.Must(url.Parse(s.Env["SIGNPATH_API_URL"]))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(rig.Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	tunnels := make(chan net.Conn)
	behind := &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		},
		ReadHeaderTimeout: time.Minute,
	}
	listener := rig.Must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = listener.Close(); _ = behind.Close() })
	go func() { _ = behind.Serve(&tunnelListener{tunnels: tunnels, Listener: listener}) }()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				close(tunnels)
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil || r.Method != http.MethodConnect || r.Host != "app.signpath.io:443" {
				_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\n\r\n")
				_ = c.Close()
				continue
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
			tunnels <- tls.Server(c, config)
		}
	}()
	return fmt.Sprintf("http://%s", listener.Addr()), ca
}

// tunnelListener hands out the tunnels of a proxy as connections of a server.
type tunnelListener struct {
	net.Listener
	tunnels chan net.Conn
}

func (l *tunnelListener) Accept() (net.Conn, error) {
	c, open := <-l.tunnels
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

// TestJavaJsignCommandForSignPath is Jsign's own command line for SignPath, unchanged.
func TestJavaJsignCommandForSignPath(t *testing.T) {
	s := rig.TheService(t)
	j := rig.JDKs(t)[0]
	proxy, ca := appSignPath(t, s)
	file, key := rig.Sample(t, "hello.exe"), rig.Keys()[0]
	args := append(rig.Trusting(t, ca), "-jar", rig.JsignJar(t), "--storetype", "SIGNPATH", "--keystore", s.Env["SIGNPATH_ORGANIZATION_ID"],
		"--storepass", s.Env["SIGNPATH_API_TOKEN"], "--alias", rig.Project+"/"+key, "--proxyUrl", proxy, file)
	j.Java(t, nil, "java", args...).OK(t)
	// this command knows the leaf only
	roots := rig.Write(t, filepath.Join(t.TempDir(), "roots.pem"), append(rig.Must(os.ReadFile(s.File("certificates", key+".chain.pem"))), rig.Must(os.ReadFile(s.File("ca.pem")))...))
	rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", roots, "-in", file).OK(t).Says(t, "Signature verification: ok")
	rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", roots, "-in", rig.Tamper(t, file)).Fails(t)
	s.Audited(t, rig.ParseCMS(t, rig.PKCS7(t, rig.Here, file)).Digest(t, nil), key)
}

func TestJavaJsignRefusals(t *testing.T) {
	s := rig.TheService(t)
	j := rig.JDKs(t)[0]
	refused := func(t *testing.T, tl *rig.Tool, key string) *rig.Result {
		t.Helper()
		file := rig.Sample(t, "hello.exe")
		r := s.Jsign(t, j, tl, key, file).Fails(t)
		rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-in", file).Fails(t)
		return r
	}
	t.Run("wrong token", func(t *testing.T) {
		t.Parallel()
		tl := s.Tool(t, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		refused(t, tl, "p256")
		tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		t.Parallel()
		tl := s.Tool(t, "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token"))))))
		refused(t, tl, "p256")
		tl.InLog(t, "Submitter")
	})
	t.Run("unknown policy", func(t *testing.T) {
		t.Parallel()
		refused(t, s.Tool(t), "no-such-policy").Says(t, "no-such-policy")
	})
	t.Run("failing service", func(t *testing.T) {
		t.Parallel()
		api, ca, _ := rig.Failing(t, s)
		tl := s.Tool(t, "SIGNPATH_API_URL="+api, "SIGNPATH_TRUSTED_CA_FILE="+ca, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		refused(t, tl, "p256").Says(t, "CKR_FUNCTION_FAILED")
		tl.InLog(t, "503")
	})
}
