package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math/big"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"signpath/internal/testkit/testkeys"
)

// policyFor makes a policy with every member that tells the key.
func policyFor(t testing.TB, keyName string) SigningPolicy {
	t.Helper()
	signer := testkeys.Signer(t, keyName)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(4e9, 0)}
	der, err := x509.CreateCertificate(rand.NewChaCha8([32]byte{}), template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	p := SigningPolicy{SigningPolicyID: "4f1db5e5-1861-4ef2-ad43-05d4899e7b21", ProjectSlug: "p", SigningPolicySlug: keyName, CertificateType: CertificateX509, CertificateBytes: der, CertificateChain: [][]byte{der}}
	switch pub := signer.Public().(type) {
	case *rsa.PublicKey:
		p.KeyType, p.KeySizeInBits = KeyRSA, pub.N.BitLen()
		p.RSAParameters = &RSAParameters{PublicExponent: []byte{1, 0, 1}, Modulus: pub.N.Bytes()}
		p.PublicKeyBytes = x509.MarshalPKCS1PublicKey(pub)
	case *ecdsa.PublicKey:
		p.KeyType, p.KeySizeInBits = KeyECDSA, pub.Curve.Params().BitSize
		if p.PublicKeyBytes, err = pub.Bytes(); err != nil {
			t.Fatal(err)
		}
		oid := map[int]string{256: "1.2.840.10045.3.1.7", 384: "1.3.132.0.34", 521: "1.3.132.0.35"}[p.KeySizeInBits]
		p.ECParameters = &ECParameters{CurveOID: oid, Point: p.PublicKeyBytes}
	}
	return p
}

func listOf(t testing.TB, policies ...SigningPolicy) []byte {
	t.Helper()
	data, err := json.Marshal(SigningPolicies{SigningPolicies: policies})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPublicKeySources(t *testing.T) {
	for _, name := range []string{"rsa2048", "p256", "p384", "p521"} {
		want := testkeys.Signer(t, name).Public().(interface{ Equal(crypto.PublicKey) bool })
		spki, err := x509.MarshalPKIXPublicKey(want)
		if err != nil {
			t.Fatal(err)
		}
		for source, strip := range map[string]func(*SigningPolicy){
			"all": func(*SigningPolicy) {},
			"parameters": func(p *SigningPolicy) {
				p.PublicKeyBytes, p.CertificateBytes = nil, nil
			},
			"publicKeyBytes": func(p *SigningPolicy) {
				p.RSAParameters, p.ECParameters, p.CertificateBytes = nil, nil, nil
			},
			"publicKeyBytes, SPKI": func(p *SigningPolicy) {
				p.RSAParameters, p.ECParameters, p.CertificateBytes, p.PublicKeyBytes = nil, nil, nil, spki
			},
			"certificate": func(p *SigningPolicy) {
				p.RSAParameters, p.ECParameters, p.PublicKeyBytes = nil, nil, nil
			},
			"no size": func(p *SigningPolicy) { p.KeySizeInBits = 0 },
			"case":    func(p *SigningPolicy) { p.KeyType = KeyType(strings.ToUpper(string(p.KeyType))) },
			"leading zero": func(p *SigningPolicy) {
				if p.RSAParameters != nil {
					p.RSAParameters = &RSAParameters{PublicExponent: []byte{0, 1, 0, 1}, Modulus: append([]byte{0}, p.RSAParameters.Modulus...)}
				}
			},
		} {
			p := policyFor(t, name)
			strip(&p)
			got, err := p.PublicKey()
			if err != nil || !want.Equal(got) {
				t.Errorf("%s from %s: %v", name, source, err)
			}
			list, err := ParseSigningPolicies(listOf(t, p))
			if err != nil || len(list) != 1 {
				t.Errorf("%s from %s: %v", name, source, err)
			}
		}
	}
}

func TestPublicKeyRefusals(t *testing.T) {
	otherRSA, otherEC := policyFor(t, "rsa3072"), policyFor(t, "p384")
	for _, c := range []struct {
		name, key string
		spoil     func(*SigningPolicy)
		says      string
	}{
		{"nothing", "rsa2048", func(p *SigningPolicy) { p.RSAParameters, p.PublicKeyBytes, p.CertificateBytes = nil, nil, nil }, "no member tells"},
		{"another certificate", "rsa2048", func(p *SigningPolicy) {
			p.KeySizeInBits, p.CertificateBytes = 0, otherRSA.CertificateBytes
		}, "rsaParameters and certificateBytes hold different keys"},
		{"another publicKeyBytes", "rsa2048", func(p *SigningPolicy) { p.KeySizeInBits, p.PublicKeyBytes = 0, otherRSA.PublicKeyBytes }, "rsaParameters and publicKeyBytes"},
		{"another exponent", "rsa2048", func(p *SigningPolicy) { p.RSAParameters.PublicExponent = []byte{3} }, "different keys"},
		{"an EC certificate for an RSA key", "rsa2048", func(p *SigningPolicy) { p.CertificateBytes = otherEC.CertificateBytes }, "keyType says otherwise"},
		{"an RSA certificate for an EC key", "p256", func(p *SigningPolicy) { p.CertificateBytes = otherRSA.CertificateBytes }, "keyType says otherwise"},
		{"another point", "p256", func(p *SigningPolicy) { p.KeySizeInBits, p.PublicKeyBytes = 0, otherEC.PublicKeyBytes }, "different keys"},
		{"another size", "rsa2048", func(p *SigningPolicy) { p.KeySizeInBits = 4096 }, "keySizeInBits says 4096"},
		{"another curve size", "p256", func(p *SigningPolicy) { p.KeySizeInBits = 384 }, "keySizeInBits says 384"},
		{"a point beside the curve", "p256", func(p *SigningPolicy) {
			p.ECParameters = &ECParameters{CurveOID: p.ECParameters.CurveOID, Point: append([]byte{4}, make([]byte, 64)...)}
		}, "not an uncompressed point"},
		{"a compressed point", "p256", func(p *SigningPolicy) {
			p.ECParameters, p.CertificateBytes, p.PublicKeyBytes = nil, nil, append([]byte{2}, p.PublicKeyBytes[1:33]...)
		}, "not an uncompressed point"},
		{"no DER", "rsa2048", func(p *SigningPolicy) { p.PublicKeyBytes = []byte{0x30, 0} }, "PKCS #1"},
		{"no certificate", "rsa2048", func(p *SigningPolicy) { p.CertificateBytes = []byte("x") }, "not an X.509 certificate"},
		{"a short modulus", "rsa2048", func(p *SigningPolicy) { p.RSAParameters.Modulus = p.RSAParameters.Modulus[:64] }, "512 bits"},
		{"no modulus", "rsa2048", func(p *SigningPolicy) { p.RSAParameters.Modulus = nil }, "0 bits"},
		{"a huge modulus", "rsa2048", func(p *SigningPolicy) { p.RSAParameters.Modulus = make([]byte, 1<<16); p.RSAParameters.Modulus[0] = 1 }, "bits; between"},
		{"an even modulus", "rsa2048", func(p *SigningPolicy) {
			p.RSAParameters.Modulus = append(p.RSAParameters.Modulus[:255:255], 0)
		}, "odd"},
		{"exponent 1", "rsa2048", func(p *SigningPolicy) { p.RSAParameters.PublicExponent = []byte{1} }, "exponent at least 3"},
		{"a huge exponent", "rsa2048", func(p *SigningPolicy) {
			p.RSAParameters.PublicExponent = make([]byte, 9)
			p.RSAParameters.PublicExponent[0] = 1
		}, "31 bits"},
	} {
		p := policyFor(t, c.key)
		c.spoil(&p)
		if _, err := p.PublicKey(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		_, err := ParseSigningPolicies(listOf(t, p))
		var malformed *MalformedPoliciesError
		if !errors.As(err, &malformed) || malformed.Entries[0].Name != p.Name() {
			t.Errorf("%s: the list says %v", c.name, err)
		}
	}
}

// The form of SignPath's recorded answers, with a key of ours.
func TestParseRecordedPolicies(t *testing.T) {
	data, err := os.ReadFile("testdata/policies.json")
	if err != nil {
		t.Fatal(err)
	}
	list, err := ParseSigningPolicies(data)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d policies, %v", len(list), err)
	}
	if list[0].Name() != "hash-signing/rsa" || list[0].KeyType != KeyRSA || list[0].CertificateType != CertificateX509 || list[1].CertificateType != "" {
		t.Errorf("%+v", list)
	}
	key, err := list[0].PublicKey()
	if err != nil || !testkeys.RSA(t, 2048).PublicKey.Equal(key) {
		t.Errorf("%v", err)
	}
}

func TestParseSigningPolicies(t *testing.T) {
	good, err := json.Marshal(policyFor(t, "p256"))
	if err != nil {
		t.Fatal(err)
	}
	alter := func(old, new string) string {
		s := strings.Replace(string(good), old, new, 1)
		if s == string(good) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return s
	}
	for _, c := range []struct {
		name, entry string
		good        int
		malformed   string // part of the complaint, "": none
	}{
		{"good", string(good), 1, ""},
		{"Pascal case, unknown members", alter(`"projectSlug"`, `"New":{"a":1,"A":2},"ProjectSlug"`), 1, ""},
		{"unknown type", `{"projectSlug":"a","signingPolicySlug":"b","keyType":"Mldsa","keySizeInBits":"x","publicKeyBytes":7}`, 0, ""},
		{"unknown curve by OID", alter("1.2.840.10045.3.1.7", "1.3.132.0.10"), 0, ""},
		{"unknown curve by length", `{"projectSlug":"a","signingPolicySlug":"b","keyType":"Ecdsa","publicKeyBytes":"BAAA"}`, 0, ""},
		{"members that are null", alter(`"certificateType":"X509"`, `"rsaParameters":null,"certificateType":null`), 1, ""},
		{"no type", `{"projectSlug":"a","signingPolicySlug":"b"}`, 0, "a/b: keyType is missing"},
		{"no slug", alter(`"projectSlug":"p"`, `"projectSlug":""`), 0, "#1: projectSlug or"},
		{"base64 with line breaks", alter(`"publicKeyBytes":"B`, `"publicKeyBytes":"\r\nB`), 0, "line breaks"},
		{"base64 without padding", alter(`=","certificateBytes"`, `","certificateBytes"`), 0, "publicKeyBytes is not standard base64"},
		{"a chain that is none", alter(`"certificateChain":["`, `"certificateChain":["AAAA","`), 0, "certificateChain[0]"},
		{"a size that is no number", alter(`"keySizeInBits":256`, `"keySizeInBits":"256"`), 0, "keySizeInBits must not be a JSON string"},
		{"no object", `7`, 0, "#1"},
		{"a null", `null`, 0, "#1: keyType is missing"},
	} {
		for _, both := range []bool{false, true} {
			doc, want := `{"signingPolicies":[`+c.entry+`]}`, c.good
			if both {
				doc, want = `{"signingPolicies":[`+c.entry+`,`+string(good)+`],"more":[]}`, c.good+1
			}
			list, err := ParseSigningPolicies([]byte(doc))
			var malformed *MalformedPoliciesError
			if len(list) != want || (c.malformed == "") != (err == nil) || err != nil && (!errors.As(err, &malformed) || !strings.Contains(err.Error(), c.malformed)) {
				t.Errorf("%s: %d policies, %v", c.name, len(list), err)
			}
		}
	}
	for _, doc := range []string{"", "[]", "{}", `{"signingPolicies":null}`, `{"signingPolicies":{}}`, `{"signingPolicies":[]`, `{"signingPolicies":[],"SigningPolicies":[]}`, "<html>"} {
		list, err := ParseSigningPolicies([]byte(doc))
		var malformed *MalformedPoliciesError
		if err == nil || errors.As(err, &malformed) || list != nil {
			t.Errorf("%s: %v, %v", doc, list, err)
		}
	}
	if list, err := ParseSigningPolicies([]byte(`{"signingPolicies":[]}`)); err != nil || list == nil || len(list) != 0 {
		t.Errorf("empty: %v, %v", list, err)
	}
}

func FuzzParseSigningPolicies(f *testing.F) {
	f.Add(listOf(f, policyFor(f, "rsa2048"), policyFor(f, "p256")))
	f.Add([]byte(`{"signingPolicies":[{"projectSlug":"a","signingPolicySlug":"b","keyType":"Ecdsa","publicKeyBytes":"BAAA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _ := ParseSigningPolicies(data)
		for _, p := range list {
			key, err := p.PublicKey()
			if err != nil {
				t.Fatalf("a key that cannot be used came through: %v", err)
			}
			if k, ok := key.(*ecdsa.PublicKey); ok && k.Curve == elliptic.P224() {
				t.Fatal("P-224 came through")
			}
		}
	})
}
