package java

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// block finds the signature block and what it signs in a jar.
func block(t *testing.T, jar string) (der, signatureFile []byte) {
	t.Helper()
	for _, f := range rig.Unzip(t, jar) {
		switch ext := filepath.Ext(f.Name); {
		case filepath.Dir(f.Name) != "META-INF":
		case ext == ".RSA" || ext == ".EC" || ext == ".DSA":
			der = f.Content
		case ext == ".SF":
			signatureFile = f.Content
		}
	}
	if der == nil || signatureFile == nil {
		t.Fatal("the jar is not signed")
	}
	return der, signatureFile
}

func jarAlgorithms(key string) []string {
	kind := "ECDSA"
	if rig.IsRSA(key) {
		kind = "RSA"
	}
	return []string{"SHA256with" + kind, "SHA384with" + kind, "SHA512with" + kind}
}

func TestJavaJarsigner(t *testing.T) {
	s := rig.TheService(t)
	for _, j := range rig.JDKs(t) {
		for _, key := range rig.Keys() {
			for i, algorithm := range jarAlgorithms(key) {
				for n, slot := range []string{"slot=1", "slotListIndex=0"} {
					if !rig.All && n != i%2 {
						continue // both with each kind of key, but not with each hash
					}
					t.Run(strings.Join([]string{"OpenJDK " + j.Version, key, algorithm, slot}, "/"), func(t *testing.T) {
						t.Parallel()
						jar := rig.Sample(t, "hello.jar")
						s.Jarsigner(t, j, s.Tool(t), rig.Store(j.SunPKCS11(t, slot), i != 1), algorithm, "CONFIG", jar, key).OK(t).Says(t, "jar signed.")
						s.JarVerifies(t, j, jar).OK(t).Says(t, "jar verified.")
						s.JarVerifies(t, j, rig.Tamper(t, jar)).Fails(t)
						der, sf := block(t, jar)
						sd := rig.ParseCMS(t, der)
						if n := len(sd.Certificates(t)); n < 3 {
							t.Errorf("the chain has %d certificates, not 3", n)
						}
						s.OpenSSLAccepts(t, der, sf)
						s.Audited(t, sd.Digest(t, sf), key)
						rig.Row(t, "jarsigner", rig.VersionIn(j.Java(t, nil, "java", "-version").Output), key, j.System, "jarsigner -verify, openssl cms -verify")
					})
				}
			}
		}
	}
}

// TestJavaJarsignerPSS is the JDK's own default for large RSA keys in newer versions.
func TestJavaJarsignerPSS(t *testing.T) {
	s := rig.TheService(t)
	for _, j := range rig.JDKs(t) {
		t.Run("OpenJDK "+j.Version, func(t *testing.T) {
			t.Parallel()
			jar := rig.Sample(t, "hello.jar")
			s.Jarsigner(t, j, s.Tool(t), rig.Store(j.SunPKCS11(t, "slot=1"), true), "RSASSA-PSS", "CONFIG", jar, rig.Keys()[0]).OK(t)
			s.JarVerifies(t, j, jar).OK(t).Says(t, "jar verified.")
			s.JarVerifies(t, j, rig.Tamper(t, jar)).Fails(t)
		})
	}
}

// TestJavaJarsignerTimestamp shows the option that makes a signature outlive its certificate.
func TestJavaJarsignerTimestamp(t *testing.T) {
	s := rig.TheService(t)
	url, _ := rig.Timestamps(t)
	for _, j := range rig.JDKs(t) {
		t.Run("OpenJDK "+j.Version, func(t *testing.T) {
			jar := rig.Sample(t, "hello.jar")
			options := append(rig.Store(j.SunPKCS11(t, "slot=1"), true), "-tsa", url)
			s.Jarsigner(t, j, s.Tool(t), options, jarAlgorithms("p256")[0], "CONFIG", jar, "p256").OK(t)
			r := s.JarVerifies(t, j, jar, "-verbose")
			r.Says(t, "jar verified").Says(t, "Timestamped by \"CN=Time stamps for a test\"")
		})
	}
}

func TestJavaKeytool(t *testing.T) {
	s := rig.TheService(t)
	for _, j := range rig.JDKs(t) {
		t.Run("OpenJDK "+j.Version+"/list", func(t *testing.T) {
			t.Parallel()
			for _, documented := range []bool{true, false} {
				r := j.Java(t, s.Tool(t), "keytool", append([]string{"-list", "-storepass", "CONFIG"}, rig.Store(j.SunPKCS11(t, "slot=1"), documented)...)...).OK(t)
				for _, k := range append(rig.Keys(), "mail-rsa2048") {
					r.Says(t, rig.Project+"/"+k+", PrivateKeyEntry,")
				}
				if strings.Contains(r.Output, "gpg-") {
					t.Errorf("a key without certificate is listed:\n%s", r.Output)
				}
			}
		})
		for _, key := range rig.Keys() {
			t.Run("OpenJDK "+j.Version+"/"+key, func(t *testing.T) {
				t.Parallel()
				tl, config, dir := s.Tool(t), j.SunPKCS11(t, "slotListIndex=0"), t.TempDir()
				keytool := func(command, file string) {
					j.Java(t, tl, "keytool", append([]string{command, "-alias", rig.Project + "/" + key, "-file", file, "-storepass", "CONFIG"}, rig.Store(config, true)...)...).OK(t)
				}
				cert := filepath.Join(dir, "cert.der")
				keytool("-exportcert", cert)
				want, _ := pem.Decode(rig.Must(os.ReadFile(s.File("certificates", key+".pem"))))
				if !bytes.Equal(rig.Must(os.ReadFile(cert)), want.Bytes) {
					t.Error("another certificate than the service's")
				}
				// a request for a new certificate is a signature, too
				csr := filepath.Join(dir, "request.pem")
				keytool("-certreq", csr)
				rig.Run(t, nil, "openssl", "req", "-verify", "-noout", "-in", csr).OK(t).Says(t, "OK")
				rig.Row(t, "keytool -certreq", rig.VersionIn(j.Java(t, nil, "java", "-version").Output), key, j.System, "openssl req -verify")
			})
		}
	}
}

func TestJavaJarsignerRefusals(t *testing.T) {
	s := rig.TheService(t)
	j := rig.JDKs(t)[0]
	refused := func(t *testing.T, tl *rig.Tool, key string) *rig.Result {
		t.Helper()
		jar := rig.Sample(t, "hello.jar")
		r := s.Jarsigner(t, j, tl, rig.Store(j.SunPKCS11(t, "slot=1"), true), "SHA256withECDSA", "CONFIG", jar, key).Fails(t)
		s.JarVerifies(t, j, jar).Says(t, "jar is unsigned")
		return r
	}
	t.Run("wrong token", func(t *testing.T) {
		t.Parallel()
		tl := s.Tool(t, "SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
		refused(t, tl, "p256")
		tl.InLog(t, "C_Login", "CKR_ARGUMENTS_BAD")
		tl.InLog(t, "401", "SIGNPATH_API_TOKEN")
	})
	t.Run("policy of somebody else", func(t *testing.T) {
		t.Parallel()
		tl := s.Tool(t, "SIGNPATH_API_TOKEN="+strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token"))))))
		refused(t, tl, "p256").Says(t, rig.Project+"/p256")
		tl.InLog(t, "Submitter")
	})
	t.Run("unknown policy", func(t *testing.T) {
		t.Parallel()
		refused(t, s.Tool(t), "no-such-policy").Says(t, "no-such-policy")
	})
	t.Run("stopped service", func(t *testing.T) {
		t.Parallel()
		own := rig.OwnService(t)
		own.Stop()
		tl := own.Tool(t, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		if r := refused(t, tl, "p256"); r.Took > 20*time.Second {
			t.Errorf("took %v with a total of 2 s", r.Took)
		}
		tl.InLog(t, "CKR_FUNCTION_FAILED")
	})
	t.Run("service stops between login and signature", func(t *testing.T) {
		t.Parallel()
		api, ca, signatures := rig.Failing(t, s)
		tl := s.Tool(t, "SIGNPATH_API_URL="+api, "SIGNPATH_TRUSTED_CA_FILE="+ca, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2")
		refused(t, tl, "p256").Says(t, "CKR_FUNCTION_FAILED")
		tl.InLog(t, "503")
		if signatures.Load() == 0 {
			t.Error("no signature was asked for")
		}
	})
	t.Run("no secret in logs and audit", func(t *testing.T) {
		t.Parallel()
		token := s.Env["SIGNPATH_API_TOKEN"]
		tl := s.Tool(t, "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=", "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
		jar := rig.Sample(t, "hello.jar")
		r := s.Jarsigner(t, j, tl, rig.Store(j.SunPKCS11(t, "slot=1"), true), "SHA256withECDSA", s.Env["SIGNPATH_ORGANIZATION_ID"]+":"+token, jar, "p256").OK(t)
		s.JarVerifies(t, j, jar).OK(t)
		s.Nowhere(t, token, tl, r)
	})
}

// TestJavaDemandsTrustedChain shows that the verifier above does judge the chain.
func TestJavaDemandsTrustedChain(t *testing.T) {
	s := rig.TheService(t)
	j := rig.JDKs(t)[0]
	jar := rig.Sample(t, "hello.jar")
	s.Jarsigner(t, j, s.Tool(t), rig.Store(j.SunPKCS11(t, "slot=1"), true), "SHA256withECDSA", "CONFIG", jar, "p256").OK(t)
	r := j.Java(t, nil, "jarsigner", "-verify", "-strict", jar).Fails(t)
	if !regexp.MustCompile(`certificate chain is invalid`).MatchString(r.Output) {
		t.Errorf("not refused for its chain:\n%s", r.Output)
	}
}
