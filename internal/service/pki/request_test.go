package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"signpath/internal/service/keys/keystest"
	"signpath/internal/testkit/testkeys"
)

func requestTemplate() Template {
	site, _ := url.Parse("https://example.com/a")
	return Template{
		CommonName: "Example Ä Inc.", Organization: "Example Inc.", OrganizationalUnit: "Releases", Locality: "Wien", State: "Wien", Country: "AT",
		EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, DNSNames: []string{"example.com"}, Emails: []string{"release@example.com"},
		IPs: []net.IP{net.IPv4(192, 0, 2, 1).To4()}, URIs: []*url.URL{site},
	}
}

// What OpenSSL says of our requests, for every kind of key.
func TestRequestWithOpenSSL(t *testing.T) {
	for _, name := range testkeys.Names() {
		der, err := NewRequest(t.Context(), keystest.Signer(t, name), requestTemplate())
		if err != nil {
			t.Fatal(err)
		}
		request := file(t, EncodeRequestPEM(der))
		if out, err := openssl(t, "req", "-verify", "-noout", "-in", request); err != nil || !strings.Contains(out, "verify OK") {
			t.Errorf("%s: %s", name, out)
		}
		text, err := openssl(t, "req", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus", "-in", request)
		if err != nil {
			t.Fatal(text)
		}
		for _, want := range []string{
			"C=AT,ST=Wien,L=Wien,O=Example Inc.,OU=Releases,CN=Example Ä Inc.",
			"X509v3 Key Usage: critical Digital Signature",
			"X509v3 Extended Key Usage: Code Signing",
			"DNS:example.com, email:release@example.com, IP Address:192.0.2.1, URI:https://example.com/a",
		} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, text)
			}
		}
	}
}

func TestRequestRefusals(t *testing.T) {
	for text, edit := range map[string]func(*Template){
		"needs a common name":               func(t *Template) { t.CommonName = "" },
		"organizational unit has 65":        func(t *Template) { t.OrganizationalUnit = strings.Repeat("x", 65) },
		"locality has 129":                  func(t *Template) { t.Locality = strings.Repeat("ä", 129) },
		"state has 129":                     func(t *Template) { t.State = strings.Repeat("x", 129) },
		"not a code of two capital letters": func(t *Template) { t.Country = "at" },
		"cannot ask for the extended":       func(t *Template) { t.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} },
	} {
		template := requestTemplate()
		edit(&template)
		if _, err := NewRequest(t.Context(), keystest.Signer(t, "p256"), template); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestAlternativeNames(t *testing.T) {
	all := []string{"DNS:*.example.com", "IP:2001:db8::1", "email:a@example.com", "URI:urn:example:1"}
	var template Template
	for _, name := range all {
		if err := template.AddAlternativeName(name); err != nil {
			t.Error(err)
		}
	}
	if got := AlternativeNames(template.DNSNames, template.IPs, template.Emails, template.URIs); !slices.Equal(got, all) {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", "example.com", "DNS:", "DNS:a b", "DNS:a..b", "DNS:.a", "URI:x://.00", "dns:ä.example", "IP:1.2.3", "email:x", "email:A <a@example.com>", "email:ä@example.com", "URI:x", "URI:https://ä", "other:x"} {
		before := template
		if err := template.AddAlternativeName(bad); err == nil || !reflect.DeepEqual(before, template) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A chain is completed by what is known already, and never by a stranger.
func TestComplete(t *testing.T) {
	ca, other := devCA(t), devCA(t)
	leafDER, err := ca.Leaf(t.Context(), mustTemplate(t, "p256"), testkeys.Signer(t, "p256").Public())
	if err != nil {
		t.Fatal(err)
	}
	leaf := mustParse(t, leafDER)
	for _, c := range []struct {
		name         string
		chain, known []*x509.Certificate
		want         []*x509.Certificate
		whole        bool
	}{
		{"nothing known", nil, nil, nil, false},
		{"all known", nil, []*x509.Certificate{ca.root, other.root, other.intermediate, ca.intermediate}, []*x509.Certificate{ca.intermediate, ca.root}, true},
		{"root known", []*x509.Certificate{ca.intermediate}, []*x509.Certificate{ca.root}, []*x509.Certificate{ca.intermediate, ca.root}, true},
		{"strangers", nil, []*x509.Certificate{other.root, other.intermediate}, nil, false},
		{"root without the intermediate", nil, []*x509.Certificate{ca.root}, nil, false},
		{"complete already", []*x509.Certificate{ca.intermediate, ca.root}, []*x509.Certificate{ca.root, ca.intermediate}, []*x509.Certificate{ca.intermediate, ca.root}, true},
	} {
		got, whole := Complete(leaf, c.chain, c.known)
		if whole != c.whole || !slices.EqualFunc(got, c.want, (*x509.Certificate).Equal) {
			t.Errorf("%s: %d certificates, whole %v", c.name, len(got), whole)
		}
	}
	if got, whole := Complete(ca.root, nil, nil); !whole || len(got) != 0 {
		t.Error("a root is whole by itself")
	}
}

func devCA(t *testing.T) *DevCA {
	t.Helper()
	ca, err := NewDevCA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func mustTemplate(t *testing.T, name string) Template {
	t.Helper()
	template, err := LeafTemplateFor(name)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func mustParse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func FuzzAlternativeName(f *testing.F) {
	for _, seed := range []string{"DNS:example.com", "IP:::1", "email:a@b", "URI:x:y", "URI:https://[::1%25eth0]/"} {
		f.Add(seed)
	}
	signer := testkeys.ECDSA(f, 256)
	f.Fuzz(func(t *testing.T, name string) {
		template := Template{CommonName: "x", EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
		if template.AddAlternativeName(name) != nil {
			return
		}
		// What is taken can stand in a certificate and comes back.
		der, err := x509.CreateCertificateRequest(bytes.NewReader(make([]byte, 1<<16)), &x509.CertificateRequest{DNSNames: template.DNSNames, IPAddresses: template.IPs, EmailAddresses: template.Emails, URIs: template.URIs}, signer)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if block, _ := pem.Decode(EncodeRequestPEM(der)); !bytes.Equal(block.Bytes, der) {
			t.Error("PEM")
		}
		if _, err := x509.ParseCertificateRequest(der); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	})
}
