package e2e

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
)

// jsignJar is Jsign, which scripts/test fetches from Maven Central.
func jsignJar(t *testing.T) string {
	t.Helper()
	jar := os.Getenv("E2E_JSIGN")
	if jar == "" {
		t.Fatal("E2E_JSIGN does not name Jsign's jar (run scripts/test, which fetches it)")
	}
	return jar
}

var compile sync.Once

// classPath holds Jsign and the programs of java/, compiled once.
func classPath(t *testing.T, j jdk) string {
	t.Helper()
	dir := theService(t).file("classes")
	compile.Do(func() {
		j.java(t, nil, "javac", "-Xlint:all", "-Werror", "-d", dir, "-cp", jsignJar(t), filepath.Join(root, "e2e/java/AuthenticodeDigest.java"), filepath.Join(root, "e2e/java/net/jsign/jca/SignPathStore.java")).ok(t)
	})
	return dir + ":" + jsignJar(t)
}

// jsign runs Jsign's command line on a PKCS #11 key.
func (s *service) jsign(t *testing.T, j jdk, tl *tool, key, file string, more ...string) *result {
	t.Helper()
	jar := jsignJar(t)
	if j.root != "" {
		jar = write(t, filepath.Join(t.TempDir(), "jsign.jar"), must(os.ReadFile(jar)))
	}
	args := append([]string{"-jar", jar, "--storetype", "PKCS11", "--keystore", j.sunPKCS11(t, "slot=1"), "--storepass", "CONFIG", "--alias", project + "/" + key}, more...)
	return j.java(t, tl, "java", append(args, file)...)
}

// authenticodeTwice asserts what authenticode does, for several files, and that
// Jsign's reading of the formats finds the signed digests too.
func (s *service) authenticodeTwice(t *testing.T, signed map[string]string) {
	t.Helper()
	j := jdks(t)[0]
	want := map[string]string{} // by file
	args := []string{"-cp", classPath(t, j), "AuthenticodeDigest", "SHA-256"}
	for file, key := range signed {
		y := judge(t, file)
		s.authenticode(t, y, file, key)
		_, digest := parseCMS(t, pkcs7(t, y, file)).spcDigest(t)
		want[file] = hex.EncodeToString(digest)
		args = append(args, file)
	}
	r := j.java(t, nil, "java", args...).ok(t)
	for file, digest := range want {
		r.says(t, digest+" "+file)
	}
}

// judge is a system whose osslsigncode knows the kind of file.
func judge(t *testing.T, file string) system {
	t.Helper()
	for _, y := range systems() {
		if filepath.Ext(file) != ".ps1" || y.signScripts(t) {
			return y
		}
	}
	t.Fatal("no osslsigncode 2.8 or newer here, and E2E_DEBIAN13 does not name a root that has one")
	return here
}

var jsignFiles = []string{"hello.exe", "answer.dll", "hello.msi", "hello.cab", "hello.ps1"}

func TestJavaJsign(t *testing.T) {
	s := theService(t)
	for _, j := range jdks(t) {
		for _, key := range keys() {
			for _, algorithm := range []string{"SHA-256", "SHA-384", "SHA-512"} {
				if !all && algorithm != "SHA-256" {
					continue
				}
				t.Run(strings.Join([]string{"OpenJDK " + j.version, key, algorithm}, "/"), func(t *testing.T) {
					t.Parallel()
					signed := map[string]string{}
					for _, name := range jsignFiles {
						if j.root != "" && name != "hello.exe" && !all {
							continue
						}
						file := sample(t, name)
						s.jsign(t, j, s.tool(t), key, file, "--alg", algorithm).ok(t)
						signed[file] = key
					}
					if algorithm == "SHA-256" {
						s.authenticodeTwice(t, signed)
						return
					}
					for file := range signed {
						s.authenticode(t, judge(t, file), file, key)
					}
				})
			}
		}
	}
}

// TestJavaReadsOsslsigncode lets Jsign judge what osslsigncode signed.
func TestJavaReadsOsslsigncode(t *testing.T) {
	s := theService(t)
	signed := map[string]string{}
	for i, name := range jsignFiles {
		in, key := sample(t, name), keys()[i%len(keys())]
		out := filepath.Join(t.TempDir(), name)
		s.signcode(t, judge(t, in), s.tool(t), key, in, out, "-h", "sha256").ok(t)
		signed[out] = key
	}
	s.authenticodeTwice(t, signed)
}

// TestJavaJsignTimestamp shows the option that makes a signature outlive its certificate.
func TestJavaJsignTimestamp(t *testing.T) {
	s := theService(t)
	address, tsa := timestamps(t)
	file := sample(t, "hello.exe")
	s.jsign(t, jdks(t)[0], s.tool(t), "p256", file, "--tsaurl", address, "--tsmode", "RFC3161").ok(t)
	run(t, nil, "osslsigncode", "verify", "-CAfile", s.file("ca.pem"), "-TSA-CAfile", tsa, "-in", file).ok(t).says(t, "Timestamp Server Signature verification: ok")
}

// trusting are the options that make a JVM trust one root for TLS.
func trusting(t *testing.T, pemFile string) []string {
	t.Helper()
	return []string{"-Djavax.net.ssl.trustStore=" + trustStore(t, pemFile), "-Djavax.net.ssl.trustStorePassword=" + storePassword}
}

// signPathStore signs with Jsign's SIGNPATH store, straight against the service's REST API.
func (s *service) signPathStore(t *testing.T, key, token string, files ...string) *result {
	t.Helper()
	j := jdks(t)[0]
	args := append(trusting(t, s.env["SIGNPATH_TRUSTED_CA_FILE"]), "-cp", classPath(t, j), "net.jsign.jca.SignPathStore",
		s.env["SIGNPATH_API_URL"]+"/v1", s.env["SIGNPATH_ORGANIZATION_ID"], token, project+"/"+key, s.file("certificates", key+".chain.pem"), "SHA-256")
	return j.java(t, nil, "java", append(args, files...)...)
}

func TestJavaJsignRESTStore(t *testing.T) {
	s := theService(t)
	token := s.env["SIGNPATH_API_TOKEN"]
	for _, key := range keys() {
		if !isRSA(key) {
			continue
		}
		t.Run(key, func(t *testing.T) {
			signed := map[string]string{}
			var files []string
			for _, name := range jsignFiles {
				file := sample(t, name)
				files, signed[file] = append(files, file), key
			}
			s.signPathStore(t, key, token, files...).ok(t)
			s.authenticodeTwice(t, signed)
		})
	}
	t.Run("EC, which this store does not know", func(t *testing.T) {
		file := sample(t, "hello.exe")
		s.signPathStore(t, "p256", token, file).fails(t).says(t, "HTTP Error 400")
		// Jsign keeps the service's reason to itself; the audit log has it
		run(t, nil, binary, "audit", "export", "--data", s.file("data")).ok(t).says(t, "The signature algorithm 'RsaPkcs1' does not fit the key of the signing policy 'p256'")
		run(t, nil, "osslsigncode", "verify", "-CAfile", s.file("ca.pem"), "-in", file).fails(t)
	})
	t.Run("wrong token", func(t *testing.T) {
		s.signPathStore(t, keys()[0], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", sample(t, "hello.exe")).fails(t).says(t, "HTTP Error 401")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		other := strings.TrimSpace(string(must(os.ReadFile(s.file("other-token")))))
		s.signPathStore(t, keys()[0], other, sample(t, "hello.exe")).fails(t).says(t, "Unable to retrieve SignPath signing policy")
	})
}

// appSignPath is an HTTP proxy that answers for https://app.signpath.io in front
// of the service, so that Jsign's own command line can be used as it is.
func appSignPath(t *testing.T, s *service) (proxy, ca string) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app.signpath.io of a test"}, DNSNames: []string{"app.signpath.io"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "app.signpath.io of a test"}}, key.Public(), key))
	ca = write(t, filepath.Join(t.TempDir(), "app.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}

	target := must(url.Parse(s.env["SIGNPATH_API_URL"]))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(s.env["SIGNPATH_TRUSTED_CA_FILE"])))
	tunnels := make(chan net.Conn)
	behind := &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		},
		ReadHeaderTimeout: time.Minute,
	}
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
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
	s := theService(t)
	j := jdks(t)[0]
	proxy, ca := appSignPath(t, s)
	file, key := sample(t, "hello.exe"), keys()[0]
	args := append(trusting(t, ca), "-jar", jsignJar(t), "--storetype", "SIGNPATH", "--keystore", s.env["SIGNPATH_ORGANIZATION_ID"],
		"--storepass", s.env["SIGNPATH_API_TOKEN"], "--alias", project+"/"+key, "--proxyUrl", proxy, file)
	j.java(t, nil, "java", args...).ok(t)
	// this command knows the leaf only
	roots := write(t, filepath.Join(t.TempDir(), "roots.pem"), append(must(os.ReadFile(s.file("certificates", key+".chain.pem"))), must(os.ReadFile(s.file("ca.pem")))...))
	run(t, nil, "osslsigncode", "verify", "-CAfile", roots, "-in", file).ok(t).says(t, "Signature verification: ok")
	run(t, nil, "osslsigncode", "verify", "-CAfile", roots, "-in", tamper(t, file)).fails(t)
	s.audited(t, parseCMS(t, pkcs7(t, here, file)).digest(t, nil), key)
}

func TestJavaJsignRefusals(t *testing.T) {
	s := theService(t)
	j := jdks(t)[0]
	refused := func(t *testing.T, tl *tool, key string) *result {
		t.Helper()
		file := sample(t, "hello.exe")
		r := s.jsign(t, j, tl, key, file).fails(t)
		run(t, nil, "osslsigncode", "verify", "-CAfile", s.file("ca.pem"), "-in", file).fails(t)
		return r
	}
	t.Run("wrong token", func(t *testing.T) {
		t.Parallel()
		tl := s.tool(t, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		refused(t, tl, "p256")
		tl.inLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		t.Parallel()
		tl := s.tool(t, "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(must(os.ReadFile(s.file("other-token"))))))
		refused(t, tl, "p256")
		tl.inLog(t, "Submitter")
	})
	t.Run("unknown policy", func(t *testing.T) {
		t.Parallel()
		refused(t, s.tool(t), "no-such-policy").says(t, "no-such-policy")
	})
	t.Run("failing service", func(t *testing.T) {
		t.Parallel()
		api, ca, _ := failing(t, s)
		tl := s.tool(t, "SIGNPATH_API_URL="+api, "SIGNPATH_TRUSTED_CA_FILE="+ca, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		refused(t, tl, "p256").says(t, "CKR_FUNCTION_FAILED")
		tl.inLog(t, "503")
	})
}
