package e2e

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// jdk is a Java Development Kit of a system.
type jdk struct {
	system
	version string
	home    string
}

// jdks are OpenJDK 17 of this Debian 12 and OpenJDK 25 of Debian 13.
func jdks(t *testing.T) []jdk {
	t.Helper()
	var found []jdk
	for _, y := range systems() {
		version := map[string]string{"here": "17", "debian13": "25"}[y.name]
		found = append(found, jdk{y, version, y.glob(t, "/usr/lib/jvm/java-"+version+"-openjdk-*")})
	}
	return found
}

// java runs a program of the JDK.
func (j jdk) java(t *testing.T, tl *tool, program string, args ...string) *result {
	t.Helper()
	var env []string
	if tl != nil {
		env = tl.env
	}
	return j.run(t, env, filepath.Join(j.home, "bin", program), args...)
}

// sunPKCS11 writes the documented pkcs11.config; slot is "slot=1" or "slotListIndex=0".
func (j jdk) sunPKCS11(t *testing.T, slot string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "pkcs11.config"), fmt.Appendf(nil, "name=SignPath.Cryptoki\nlibrary=%s\n%s\n", j.module(t), slot))
}

// store are the options that name the PKCS #11 store, in the documented form and
// in that of newer JDKs.
func store(config string, documented bool) []string {
	provider := []string{"-providerClass", "sun.security.pkcs11.SunPKCS11"}
	if !documented {
		provider = []string{"-addprovider", "SunPKCS11"}
	}
	return append([]string{"-keystore", "NONE", "-storetype", "PKCS11"}, append(provider, "-providerArg", config)...)
}

const storePassword = "changeit"

var trustStores sync.Map // of PEM file to a function

// trustStore makes a Java trust store of a PEM certificate, once.
func trustStore(t *testing.T, pemFile string) string {
	t.Helper()
	once, _ := trustStores.LoadOrStore(pemFile, sync.OnceValues(func() (string, error) {
		out := pemFile + ".p12"
		keytool := filepath.Join(here.glob(t, "/usr/lib/jvm/java-17-openjdk-*"), "bin", "keytool")
		r := run(t, nil, keytool, "-importcert", "-noprompt", "-alias", "root", "-file", pemFile, "-keystore", out, "-storetype", "PKCS12", "-storepass", storePassword)
		if r.code != 0 {
			return "", fmt.Errorf("%s: %s", r.line, r.output)
		}
		return out, nil
	}))
	out, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// jarsigner runs the documented call.
func (s *service) jarsigner(t *testing.T, j jdk, tl *tool, options []string, algorithm, password, jar, key string) *result {
	t.Helper()
	return j.java(t, tl, "jarsigner", append(append([]string{}, options...), "-sigalg", algorithm, "-storepass", password, jar, project+"/"+key)...)
}

// jarVerifies lets a JDK judge a jar by the root certificate alone, in a fresh
// process without the module.
func (s *service) jarVerifies(t *testing.T, j jdk, jar string, more ...string) *result {
	t.Helper()
	args := append([]string{"-verify", "-strict", "-certs", "-keystore", trustStore(t, s.file("ca.pem")), "-storepass", storePassword}, more...)
	return j.java(t, nil, "jarsigner", append(args, jar)...)
}

// block finds the signature block and what it signs in a jar.
func block(t *testing.T, jar string) (der, signatureFile []byte) {
	t.Helper()
	for _, f := range unzip(t, jar) {
		switch ext := filepath.Ext(f.name); {
		case filepath.Dir(f.name) != "META-INF":
		case ext == ".RSA" || ext == ".EC" || ext == ".DSA":
			der = f.content
		case ext == ".SF":
			signatureFile = f.content
		}
	}
	if der == nil || signatureFile == nil {
		t.Fatal("the jar is not signed")
	}
	return der, signatureFile
}

func jarAlgorithms(key string) []string {
	kind := "ECDSA"
	if isRSA(key) {
		kind = "RSA"
	}
	return []string{"SHA256with" + kind, "SHA384with" + kind, "SHA512with" + kind}
}

func TestJavaJarsigner(t *testing.T) {
	s := theService(t)
	for _, j := range jdks(t) {
		for _, key := range keys() {
			for i, algorithm := range jarAlgorithms(key) {
				for n, slot := range []string{"slot=1", "slotListIndex=0"} {
					if !all && n != i%2 {
						continue // both with each kind of key, but not with each hash
					}
					t.Run(strings.Join([]string{"OpenJDK " + j.version, key, algorithm, slot}, "/"), func(t *testing.T) {
						t.Parallel()
						jar := sample(t, "hello.jar")
						s.jarsigner(t, j, s.tool(t), store(j.sunPKCS11(t, slot), i != 1), algorithm, "CONFIG", jar, key).ok(t).says(t, "jar signed.")
						s.jarVerifies(t, j, jar).ok(t).says(t, "jar verified.")
						s.jarVerifies(t, j, tamper(t, jar)).fails(t)
						der, sf := block(t, jar)
						sd := parseCMS(t, der)
						if n := len(sd.certificates(t)); n < 3 {
							t.Errorf("the chain has %d certificates, not 3", n)
						}
						s.opensslAccepts(t, der, sf)
						s.audited(t, sd.digest(t, sf), key)
					})
				}
			}
		}
	}
}

// TestJavaJarsignerPSS is the JDK's own default for large RSA keys in newer versions.
func TestJavaJarsignerPSS(t *testing.T) {
	s := theService(t)
	for _, j := range jdks(t) {
		t.Run("OpenJDK "+j.version, func(t *testing.T) {
			t.Parallel()
			jar := sample(t, "hello.jar")
			s.jarsigner(t, j, s.tool(t), store(j.sunPKCS11(t, "slot=1"), true), "RSASSA-PSS", "CONFIG", jar, keys()[0]).ok(t)
			s.jarVerifies(t, j, jar).ok(t).says(t, "jar verified.")
			s.jarVerifies(t, j, tamper(t, jar)).fails(t)
		})
	}
}

// TestJavaJarsignerTimestamp shows the option that makes a signature outlive its certificate.
func TestJavaJarsignerTimestamp(t *testing.T) {
	s := theService(t)
	url, _ := timestamps(t)
	for _, j := range jdks(t) {
		t.Run("OpenJDK "+j.version, func(t *testing.T) {
			jar := sample(t, "hello.jar")
			options := append(store(j.sunPKCS11(t, "slot=1"), true), "-tsa", url)
			s.jarsigner(t, j, s.tool(t), options, jarAlgorithms("p256")[0], "CONFIG", jar, "p256").ok(t)
			r := s.jarVerifies(t, j, jar, "-verbose")
			r.says(t, "jar verified").says(t, "Timestamped by \"CN=Time stamps for a test\"")
		})
	}
}

func TestJavaKeytool(t *testing.T) {
	s := theService(t)
	for _, j := range jdks(t) {
		t.Run("OpenJDK "+j.version+"/list", func(t *testing.T) {
			t.Parallel()
			for _, documented := range []bool{true, false} {
				r := j.java(t, s.tool(t), "keytool", append([]string{"-list", "-storepass", "CONFIG"}, store(j.sunPKCS11(t, "slot=1"), documented)...)...).ok(t)
				for _, k := range append(keys(), "mail-rsa2048") {
					r.says(t, project+"/"+k+", PrivateKeyEntry,")
				}
				if strings.Contains(r.output, "gpg-") {
					t.Errorf("a key without certificate is listed:\n%s", r.output)
				}
			}
		})
		for _, key := range keys() {
			t.Run("OpenJDK "+j.version+"/"+key, func(t *testing.T) {
				t.Parallel()
				tl, config, dir := s.tool(t), j.sunPKCS11(t, "slotListIndex=0"), t.TempDir()
				keytool := func(command, file string) {
					j.java(t, tl, "keytool", append([]string{command, "-alias", project + "/" + key, "-file", file, "-storepass", "CONFIG"}, store(config, true)...)...).ok(t)
				}
				cert := filepath.Join(dir, "cert.der")
				keytool("-exportcert", cert)
				want, _ := pem.Decode(must(os.ReadFile(s.file("certificates", key+".pem"))))
				if !bytes.Equal(must(os.ReadFile(cert)), want.Bytes) {
					t.Error("another certificate than the service's")
				}
				// a request for a new certificate is a signature, too
				csr := filepath.Join(dir, "request.pem")
				keytool("-certreq", csr)
				run(t, nil, "openssl", "req", "-verify", "-noout", "-in", csr).ok(t).says(t, "OK")
			})
		}
	}
}

func TestJavaJarsignerRefusals(t *testing.T) {
	s := theService(t)
	j := jdks(t)[0]
	refused := func(t *testing.T, tl *tool, key string) *result {
		t.Helper()
		jar := sample(t, "hello.jar")
		r := s.jarsigner(t, j, tl, store(j.sunPKCS11(t, "slot=1"), true), "SHA256withECDSA", "CONFIG", jar, key).fails(t)
		s.jarVerifies(t, j, jar).says(t, "jar is unsigned")
		return r
	}
	t.Run("wrong token", func(t *testing.T) {
		t.Parallel()
		tl := s.tool(t, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		refused(t, tl, "p256")
		tl.inLog(t, "C_Login", "CKR_ARGUMENTS_BAD")
		tl.inLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		t.Parallel()
		tl := s.tool(t, "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(must(os.ReadFile(s.file("other-token"))))))
		refused(t, tl, "p256").says(t, project+"/p256")
		tl.inLog(t, "Submitter")
	})
	t.Run("unknown policy", func(t *testing.T) {
		t.Parallel()
		refused(t, s.tool(t), "no-such-policy").says(t, "no-such-policy")
	})
	t.Run("stopped service", func(t *testing.T) {
		t.Parallel()
		own := ownService(t)
		own.stop()
		tl := own.tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		if r := refused(t, tl, "p256"); r.took > 20*time.Second {
			t.Errorf("took %v with a total of 2 s", r.took)
		}
		tl.inLog(t, "CKR_FUNCTION_FAILED")
	})
	t.Run("service stops between login and signature", func(t *testing.T) {
		t.Parallel()
		api, ca, signatures := failing(t, s)
		tl := s.tool(t, "SIGNPATH_API_URL="+api, "SIGNPATH_TRUSTED_CA_FILE="+ca, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		refused(t, tl, "p256").says(t, "CKR_FUNCTION_FAILED")
		tl.inLog(t, "503")
		if signatures.Load() == 0 {
			t.Error("no signature was asked for")
		}
	})
	t.Run("no secret in logs and audit", func(t *testing.T) {
		t.Parallel()
		token := s.env["SIGNPATH_API_TOKEN"]
		tl := s.tool(t, "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
		jar := sample(t, "hello.jar")
		r := s.jarsigner(t, j, tl, store(j.sunPKCS11(t, "slot=1"), true), "SHA256withECDSA", s.env["SIGNPATH_ORGANIZATION_ID"]+":"+token, jar, "p256").ok(t)
		s.jarVerifies(t, j, jar).ok(t)
		s.nowhere(t, token, tl, r)
	})
}

// TestJavaDemandsTrustedChain shows that the verifier above does judge the chain.
func TestJavaDemandsTrustedChain(t *testing.T) {
	s := theService(t)
	j := jdks(t)[0]
	jar := sample(t, "hello.jar")
	s.jarsigner(t, j, s.tool(t), store(j.sunPKCS11(t, "slot=1"), true), "SHA256withECDSA", "CONFIG", jar, "p256").ok(t)
	r := j.java(t, nil, "jarsigner", "-verify", "-strict", jar).fails(t)
	if !regexp.MustCompile(`certificate chain is invalid`).MatchString(r.output) {
		t.Errorf("not refused for its chain:\n%s", r.output)
	}
}
