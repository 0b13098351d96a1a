package pki

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

var codeSigning = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}

// openssl runs the independent verifier.
func openssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
	return string(out), err
}

func file(t *testing.T, data []byte) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestSelfSigned(t *testing.T) {
	hashes := map[string]string{
		"rsa2048": "sha256WithRSAEncryption", "rsa3072": "sha256WithRSAEncryption", "rsa4096": "sha256WithRSAEncryption",
		"p256": "ecdsa-with-SHA256", "p384": "ecdsa-with-SHA384", "p521": "ecdsa-with-SHA512",
	}
	for _, name := range testkeys.Names() {
		signer := keystest.Signer(t, name)
		notAfter := time.Now().Add(24 * time.Hour)
		der, err := SelfSigned(t.Context(), signer, Template{CommonName: "Demo " + name, Organization: "Müller & Söhne", EKU: codeSigning, NotAfter: notAfter})
		if err != nil {
			t.Fatal(err)
		}
		cert := parse(t, der)
		if !BelongsTo(cert, signer.Public()) {
			t.Errorf("%s: the certificate is not the key's", name)
		}
		if got := cert.SerialNumber; got.Sign() <= 0 || got.BitLen() != 128 {
			t.Errorf("%s: serial number %v", name, got)
		}
		if !cert.NotAfter.Equal(notAfter.Truncate(time.Second)) {
			t.Errorf("%s: NotAfter = %v, want %v", name, cert.NotAfter, notAfter)
		}
		if back := time.Since(cert.NotBefore); back < Backdate || back > Backdate+time.Minute {
			t.Errorf("%s: NotBefore lies %v back", name, back)
		}
		path := file(t, EncodePEM(der))
		text, err := openssl(t, "x509", "-in", path, "-noout", "-text")
		if err != nil {
			t.Fatal(err, text)
		}
		for _, want := range []string{
			"Version: 3", "Signature Algorithm: " + hashes[name], "X509v3 Key Usage: critical\n                Digital Signature\n",
			"X509v3 Extended Key Usage: \n                Code Signing\n", "X509v3 Basic Constraints: critical\n                CA:FALSE",
			"X509v3 Subject Key Identifier",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: openssl does not show %q:\n%s", name, want, text)
			}
		}
		if out, err := openssl(t, "verify", "-x509_strict", "-check_ss_sig", "-CAfile", path, path); err != nil {
			t.Errorf("%s: openssl verify: %s", name, out)
		}
	}
}

func TestTemplateRules(t *testing.T) {
	day := time.Now().Add(24 * time.Hour)
	for _, c := range []struct {
		name string
		tmpl Template
		want string // part of the error; "" for success
	}{
		{"least", Template{CommonName: "a", NotAfter: day}, ""},
		{"longest names", Template{CommonName: strings.Repeat("ä", 64), Organization: strings.Repeat("x", 64), NotAfter: day}, ""},
		{"last second", Template{CommonName: "a", NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 999, time.UTC)}, ""},
		{"an hour back", Template{CommonName: "a", NotBefore: time.Now().Add(-Backdate + time.Minute), NotAfter: day}, ""},
		{"begins later", Template{CommonName: "a", NotBefore: day, NotAfter: day.Add(time.Hour)}, ""},
		{"already over", Template{CommonName: "a", NotAfter: time.Now().Add(-time.Minute)}, ""},
		{"no name", Template{NotAfter: day}, "common name"},
		{"long name", Template{CommonName: strings.Repeat("x", 65), NotAfter: day}, "65 characters"},
		{"long organization", Template{CommonName: "a", Organization: strings.Repeat("x", 65), NotAfter: day}, "65 characters"},
		{"no end", Template{CommonName: "a"}, "end of its validity"},
		{"backdated", Template{CommonName: "a", NotBefore: time.Now().Add(-Backdate - time.Minute), NotAfter: day}, "one hour"},
		{"ends before it begins", Template{CommonName: "a", NotBefore: day, NotAfter: time.Now()}, "before it begins"},
		{"year 10000", Template{CommonName: "a", NotAfter: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, "9999"},
		{"path length of a leaf", Template{CommonName: "a", PathLen: 1, NotAfter: day}, "path length"},
		{"negative path length", Template{CommonName: "a", CA: true, PathLen: -2, NotAfter: day}, "path length"},
	} {
		_, err := selfSigned(c.tmpl, testkeys.ECDSA(t, 256))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Dates up to 2049 are UTCTime, later ones GeneralizedTime (RFC 5280 section
// 4.1.2.5); fractions of a second are cut, in every time zone.
func TestValidityEncoding(t *testing.T) {
	zone := time.FixedZone("", 5*3600)
	for _, c := range []struct {
		notAfter time.Time
		tag      int
		want     string
	}{
		{time.Date(2049, 12, 31, 23, 59, 59, 999999999, time.UTC), asn1.TagUTCTime, "491231235959Z"},
		{time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), asn1.TagGeneralizedTime, "20500101000000Z"},
		{time.Date(2050, 1, 1, 4, 59, 59, 1, zone), asn1.TagUTCTime, "491231235959Z"},
		{time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC), asn1.TagGeneralizedTime, "21060207062816Z"},
	} {
		der, err := selfSigned(Template{CommonName: "a", NotAfter: c.notAfter}, testkeys.ECDSA(t, 256))
		if err != nil {
			t.Fatal(err)
		}
		var tbs struct {
			Version  int `asn1:"explicit,tag:0"`
			Serial   asn1.RawValue
			Alg      asn1.RawValue
			Issuer   asn1.RawValue
			Validity struct{ NotBefore, NotAfter asn1.RawValue }
		}
		if _, err := asn1.Unmarshal(parse(t, der).RawTBSCertificate, &tbs); err != nil {
			t.Fatal(err)
		}
		if got := tbs.Validity.NotAfter; got.Tag != c.tag || string(got.Bytes) != c.want {
			t.Errorf("%v: tag %d, %s, want tag %d, %s", c.notAfter, got.Tag, got.Bytes, c.tag, c.want)
		}
	}
}

func TestSerialNumbersDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		n, err := newSerial()
		if err != nil {
			t.Fatal(err)
		}
		if n.Sign() <= 0 || n.BitLen() != 128 || seen[n.String()] {
			t.Fatalf("serial number %v", n)
		}
		seen[n.String()] = true
	}
}

func TestIssueRules(t *testing.T) {
	day := time.Now().Add(24 * time.Hour)
	caKey, leafKey := testkeys.ECDSA(t, 384), testkeys.ECDSA(t, 256)
	authority := func(pathLen int) *x509.Certificate {
		der, err := selfSigned(Template{CommonName: "ca", CA: true, PathLen: pathLen, NotAfter: day}, caKey)
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, der)
	}
	der, err := selfSigned(Template{CommonName: "leaf", NotAfter: day}, caKey)
	if err != nil {
		t.Fatal(err)
	}
	leafOfCAKey := parse(t, der)
	for _, c := range []struct {
		name   string
		issuer *x509.Certificate
		key    crypto.Signer
		tmpl   Template
		want   string
	}{
		{"leaf", authority(0), caKey, Template{CommonName: "a", NotAfter: day}, ""},
		{"shorter than the issuer", authority(0), caKey, Template{CommonName: "a", NotAfter: day.Add(-time.Hour)}, ""},
		{"authority below a limit", authority(1), caKey, Template{CommonName: "a", CA: true, NotAfter: day}, ""},
		{"authority without limit", authority(-1), caKey, Template{CommonName: "a", CA: true, PathLen: -1, NotAfter: day}, ""},
		{"longer than the issuer", authority(0), caKey, Template{CommonName: "a", NotAfter: day.Add(time.Second)}, "after its issuer"},
		{"issuer is a leaf", leafOfCAKey, caKey, Template{CommonName: "a", NotAfter: day}, "no authority"},
		{"another key", authority(0), leafKey, Template{CommonName: "a", NotAfter: day}, "does not belong"},
		{"authority below path length 0", authority(0), caKey, Template{CommonName: "a", CA: true, NotAfter: day}, "path length"},
		{"as many below as above", authority(1), caKey, Template{CommonName: "a", CA: true, PathLen: 1, NotAfter: day}, "path length"},
		{"no limit below a limit", authority(1), caKey, Template{CommonName: "a", CA: true, PathLen: -1, NotAfter: day}, "path length"},
	} {
		der, err := Issue(t.Context(), c.tmpl, leafKey.Public(), c.issuer, c.key)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		cert := parse(t, der)
		if err := cert.CheckSignatureFrom(c.issuer); err != nil || string(cert.AuthorityKeyId) != string(c.issuer.SubjectKeyId) {
			t.Errorf("%s: %v, authority key %x", c.name, err, cert.AuthorityKeyId)
		}
		if cert.SignatureAlgorithm != x509.ECDSAWithSHA384 {
			t.Errorf("%s: signed with %v by a P-384 key", c.name, cert.SignatureAlgorithm)
		}
		if cert.NotBefore.Before(c.issuer.NotBefore) {
			t.Errorf("%s: begins before its issuer", c.name)
		}
	}
}

// Every development key's certificate is one that openssl accepts for its purpose.
func TestDevCA(t *testing.T) {
	made, err := NewDevCA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := made.Files()
	if err != nil {
		t.Fatal(err)
	}
	ca, err := LoadDevCA(files) // what a later start does
	if err != nil {
		t.Fatal(err)
	}
	root, inter := file(t, EncodePEM(ca.Root())), file(t, EncodePEM(ca.Chain()[0]))
	specs, err := ParseKeyNames(DefaultKeyNames + ",tls-p521,mail-p384")
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range specs {
		tmpl, err := LeafTemplateFor(spec.Name)
		if spec.Purpose == PurposeGPG {
			if err == nil {
				t.Errorf("%s got a certificate", spec.Name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, base, _ := strings.Cut(spec.Name, "-")
		if base == "" {
			base = spec.Name
		}
		signer := keystest.Signer(t, base)
		der, err := ca.Leaf(t.Context(), tmpl, signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		leaf := file(t, EncodePEM(der))
		text, _ := openssl(t, "x509", "-in", leaf, "-noout", "-text")
		args := []string{"verify", "-x509_strict", "-CAfile", root, "-untrusted", inter}
		var want []string
		switch spec.Purpose {
		case PurposeCode:
			want = []string{"\n                Code Signing\n"}
		case PurposeTLS:
			want = []string{"\n                TLS Web Server Authentication, TLS Web Client Authentication\n", "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"}
			args = append(args, "-purpose", "sslserver", "-verify_hostname", "localhost")
		case PurposeMail:
			want = []string{"\n                E-mail Protection\n", "email:" + spec.Name + "@example.com"}
			args = append(args, "-purpose", "smimesign", "-verify_email", spec.Name+"@example.com")
		}
		for _, w := range append(want, "X509v3 Basic Constraints: critical\n                CA:FALSE", "X509v3 Key Usage: critical\n                Digital Signature\n") {
			if !strings.Contains(text, w) {
				t.Errorf("%s: openssl does not show %q:\n%s", spec.Name, w, text)
			}
		}
		if out, err := openssl(t, append(args, leaf)...); err != nil {
			t.Errorf("%s: %s", spec.Name, out)
		}
		if out, err := openssl(t, "verify", "-CAfile", root, leaf); err == nil {
			t.Errorf("%s: verified without the intermediate: %s", spec.Name, out)
		}
	}
	rootText, _ := openssl(t, "x509", "-in", root, "-noout", "-text")
	interText, _ := openssl(t, "x509", "-in", inter, "-noout", "-text")
	if !strings.Contains(rootText, "CA:TRUE, pathlen:1") || !strings.Contains(interText, "CA:TRUE, pathlen:0") ||
		!strings.Contains(interText, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n") {
		t.Errorf("the authorities are wrong:\n%s%s", rootText, interText)
	}
}

func TestLoadDevCARefused(t *testing.T) {
	files := func() DevCAFiles {
		ca, err := NewDevCA(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, err := ca.Files()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	other := files()
	for name, change := range map[string]func(*DevCAFiles){
		"no root":               func(f *DevCAFiles) { f.Root = nil },
		"no intermediate":       func(f *DevCAFiles) { f.Intermediate = nil },
		"no key":                func(f *DevCAFiles) { f.RootKey = DevCAFiles{}.RootKey },
		"other root key":        func(f *DevCAFiles) { f.RootKey = other.RootKey },
		"other key":             func(f *DevCAFiles) { f.IntermediateKey = other.IntermediateKey },
		"other root":            func(f *DevCAFiles) { f.Root, f.RootKey = other.Root, other.RootKey },
		"root and key swapped":  func(f *DevCAFiles) { f.Root = f.Intermediate },
		"all of another except": func(f *DevCAFiles) { f.Intermediate = other.Intermediate },
	} {
		f := files()
		if _, err := LoadDevCA(f); err != nil {
			t.Fatal(err)
		}
		change(&f)
		if _, err := LoadDevCA(f); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A signer that answers rubbish must not leave a certificate behind.
func TestWrongSignatureIsNotPublished(t *testing.T) {
	for _, name := range []string{"rsa2048", "p256"} {
		bad := liar{Signer: keystest.Signer(t, name)}
		if _, err := SelfSigned(t.Context(), bad, Template{CommonName: "a", NotAfter: time.Now().Add(time.Hour)}); err == nil {
			t.Errorf("%s: a certificate with a wrong signature was made", name)
		}
	}
	bad := liar{Signer: keystest.Signer(t, "rsa2048")}
	if _, _, err := NewOpenPGP(t.Context(), bad, UserID{Name: "a"}, time.Now(), time.Time{}); err == nil {
		t.Error("an OpenPGP key with a wrong signature was made")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SelfSigned(ctx, keystest.Signer(t, "p256"), Template{CommonName: "a", NotAfter: time.Now().Add(time.Hour)}); err == nil {
		t.Error("signed with a canceled context")
	}
}

// newTLS is an authority with a certificate that ends when it ends.
func newTLS(hosts []string, notAfter time.Time) (ca, leaf, key []byte, err error) {
	ca, caKey, err := NewTLSAuthority(notAfter)
	if err != nil {
		return nil, nil, nil, err
	}
	leaf, leafKey, err := IssueTLS(ca, caKey, hosts, notAfter)
	return ca, leaf, []byte(leafKey.Reveal()), err
}

// Certificates that follow each other chain to the same authority, and to no other.
func TestIssueTLSAgain(t *testing.T) {
	end := time.Now().Add(48 * time.Hour)
	ca, caKey, err := NewTLSAuthority(end)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		leaf, key, err := IssueTLS(ca, caKey, []string{"localhost", "127.0.0.1"}, end.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		serve(t, ca, leaf, []byte(key.Reveal()))
	}
	if _, _, err := IssueTLS(ca, caKey, []string{"localhost"}, end.Add(time.Hour)); err == nil {
		t.Error("a certificate that outlives its authority")
	}
	if _, otherKey, err := NewTLSAuthority(end); err != nil {
		t.Error(err)
	} else if _, _, err := IssueTLS(ca, otherKey, []string{"localhost"}, end); err == nil {
		t.Error("the key of another authority")
	}
	for _, bad := range [][]byte{nil, []byte("x"), []byte(caKey.Reveal()), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")} {
		if _, _, err := IssueTLS(bad, caKey, []string{"localhost"}, end); err == nil {
			t.Errorf("%q is an authority", bad)
		}
	}
}

func TestNewTLS(t *testing.T) {
	notAfter := time.Now().Add(30 * 24 * time.Hour)
	ca, leaf, key, err := newTLS([]string{"localhost", "127.0.0.1", "[::1]", "Sign.Example.com", "localhost"}, notAfter)
	if err != nil {
		t.Fatal(err)
	}
	caFile, leafFile := file(t, ca), file(t, leaf)
	for _, args := range [][]string{{"-verify_hostname", "localhost"}, {"-verify_hostname", "sign.example.com"}, {"-verify_ip", "127.0.0.1"}, {"-verify_ip", "::1"}} {
		if out, err := openssl(t, append(append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", caFile}, args...), leafFile)...); err != nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out, err := openssl(t, "verify", "-verify_hostname", "evil.example.com", "-CAfile", caFile, leafFile); err == nil {
		t.Errorf("another host was accepted: %s", out)
	}
	if out, err := openssl(t, "pkey", "-in", file(t, key), "-noout", "-text"); err != nil || !strings.Contains(out, "P-256") {
		t.Errorf("key: %s", out)
	}
	serve(t, ca, leaf, key)
}

func TestNewTLSRefused(t *testing.T) {
	day := time.Now().Add(24 * time.Hour)
	for _, hosts := range [][]string{nil, {""}, {"a b"}, {"https://x"}, {"x:443"}, {"-x"}, {"x..y"}, {"*"}, {"a.*"}, {"bücher.example"}, {strings.Repeat("a", 64)}, {"ok", "\x00"}} {
		if _, _, _, err := newTLS(hosts, day); err == nil {
			t.Errorf("%q was accepted", hosts)
		}
	}
	for _, hosts := range [][]string{{"*.example.com"}, {"a_b"}, {"::1"}, {strings.Repeat("a23456789.", 20) + "example"}} {
		if _, _, _, err := newTLS(hosts, day); err != nil {
			t.Errorf("%q: %v", hosts, err)
		}
	}
	if _, _, _, err := newTLS([]string{"x"}, time.Time{}); err == nil {
		t.Error("no end was accepted")
	}
}

// liar flips a bit of every signature.
type liar struct{ keys.Signer }

func (l liar) Sign(ctx context.Context, scheme wire.Scheme, digest []byte) ([]byte, error) {
	sig, err := l.Signer.Sign(ctx, scheme, digest)
	if err == nil {
		sig[len(sig)-1] ^= 1
	}
	return sig, err
}

// serve does a handshake with the made certificate.
func serve(t *testing.T, ca, leaf, key []byte) {
	t.Helper()
	pair, err := tls.X509KeyPair(leaf, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("the authority is no PEM certificate")
	}
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() { _ = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake() }()
	if err := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}).HandshakeContext(t.Context()); err != nil {
		t.Errorf("handshake: %v", err)
	}
}

func TestMain(m *testing.M) {
	// gpg and openssl must not read the user's configuration.
	dir, err := os.MkdirTemp("", "pki")
	if err != nil {
		panic(err)
	}
	os.Setenv("HOME", dir)
	os.Setenv("GNUPGHOME", filepath.Join(dir, "none"))
	os.Setenv("LC_ALL", "C")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}
