package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Apksigner runs a signature; provider says how Java finds the module.
func (s *Service) Apksigner(t *testing.T, provider, key, in, out string, settings ...string) (*Tool, *Result) {
	t.Helper()
	j := JDKs(t)[0]
	config := j.SunPKCS11(t, "slot=1")
	args := []string{"sign", "--ks", "NONE", "--ks-type", "PKCS11", "--ks-pass", "pass:CONFIG", "--ks-key-alias", Project + "/" + key, "--in", in, "--out", out}
	var options string
	if provider == "java.security" {
		security := Write(t, filepath.Join(t.TempDir(), "pkcs11.security"), fmt.Appendf(nil, "security.provider.13=SunPKCS11 %s\n", config))
		options = "-Djava.security.properties=" + security
	} else {
		options = "--add-exports=jdk.crypto.cryptoki/sun.security.pkcs11=ALL-UNNAMED"
		args = append(args, "--provider-class", "sun.security.pkcs11.SunPKCS11", "--provider-arg", config)
	}
	path := "PATH=" + filepath.Join(j.home, "bin") + ":" + os.Getenv("PATH")
	tl := s.Tool(t, append([]string{"JDK_JAVA_OPTIONS=" + options, path}, settings...)...)
	return tl, tl.Run(t, "apksigner", args...)
}

// JDK is a Java Development Kit of a system.
type JDK struct {
	System
	Version string
	home    string
}

// JDKs are OpenJDK 17 of this Debian 12 and OpenJDK 25 of Debian 13.
func JDKs(t *testing.T) []JDK {
	t.Helper()
	var found []JDK
	for _, y := range Systems() {
		version := map[string]string{"here": "17", "debian13": "25"}[y.Name]
		found = append(found, JDK{y, version, y.Glob(t, "/usr/lib/jvm/java-"+version+"-openjdk-*")})
	}
	return found
}

// Java runs a program of the JDK.
func (j JDK) Java(t *testing.T, tl *Tool, program string, args ...string) *Result {
	t.Helper()
	var env []string
	if tl != nil {
		env = tl.Env
	}
	return j.Run(t, env, filepath.Join(j.home, "bin", program), args...)
}

// SunPKCS11 writes the documented pkcs11.config; slot is "slot=1" or "slotListIndex=0".
func (j JDK) SunPKCS11(t *testing.T, slot string) string {
	t.Helper()
	return Write(t, filepath.Join(t.TempDir(), "pkcs11.config"), fmt.Appendf(nil, "name=SignPath.Cryptoki\nlibrary=%s\n%s\n", j.Module(t), slot))
}

// Store are the options that name the PKCS #11 store, in the documented form and
// in that of newer JDKs.
func Store(config string, documented bool) []string {
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
		keytool := filepath.Join(Here.Glob(t, "/usr/lib/jvm/java-17-openjdk-*"), "bin", "keytool")
		r := Run(t, nil, keytool, "-importcert", "-noprompt", "-alias", "root", "-file", pemFile, "-keystore", out, "-storetype", "PKCS12", "-storepass", storePassword)
		if r.Code != 0 {
			return "", fmt.Errorf("%s: %s", r.line, r.Output)
		}
		return out, nil
	}))
	out, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Jarsigner runs the documented call.
func (s *Service) Jarsigner(t *testing.T, j JDK, tl *Tool, options []string, algorithm, password, jar, key string) *Result {
	t.Helper()
	return j.Java(t, tl, "jarsigner", append(append([]string{}, options...), "-sigalg", algorithm, "-storepass", password, jar, Project+"/"+key)...)
}

// JarVerifies lets a JDK judge a jar by the root certificate alone, in a fresh
// process without the module.
func (s *Service) JarVerifies(t *testing.T, j JDK, jar string, more ...string) *Result {
	t.Helper()
	args := append([]string{"-verify", "-strict", "-certs", "-keystore", trustStore(t, s.File("ca.pem")), "-storepass", storePassword}, more...)
	return j.Java(t, nil, "jarsigner", append(args, jar)...)
}

// JsignVersion is what the jar says of itself.
func JsignVersion(t *testing.T) string {
	t.Helper()
	return VersionIn(Run(t, nil, "java", "-jar", JsignJar(t), "--version").Output)
}

// JsignJar is Jsign, which scripts/test fetches from Maven Central.
func JsignJar(t *testing.T) string {
	t.Helper()
	jar := os.Getenv("E2E_JSIGN")
	if jar == "" {
		t.Fatal("E2E_JSIGN does not name Jsign's jar (run scripts/test, which fetches it)")
	}
	return jar
}

// Jsign runs Jsign's command line on a PKCS #11 key.
func (s *Service) Jsign(t *testing.T, j JDK, tl *Tool, key, file string, more ...string) *Result {
	t.Helper()
	jar := JsignJar(t)
	if j.Root != "" {
		jar = Write(t, filepath.Join(t.TempDir(), "jsign.jar"), Must(os.ReadFile(jar)))
	}
	args := append([]string{"-jar", jar, "--storetype", "PKCS11", "--keystore", j.SunPKCS11(t, "slot=1"), "--storepass", "CONFIG", "--alias", Project + "/" + key}, more...)
	return j.Java(t, tl, "java", append(args, file)...)
}

// Trusting are the options that make a JVM trust one root for TLS.
func Trusting(t *testing.T, pemFile string) []string {
	t.Helper()
	return []string{"-Djavax.net.ssl.trustStore=" + trustStore(t, pemFile), "-Djavax.net.ssl.trustStorePassword=" + storePassword}
}
