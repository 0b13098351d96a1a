package wire

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// slowly reads a list the way that decides, whatever the scan says of it.
func slowly(data []byte) ([]SigningPolicy, error) {
	s, err := decodePolicies(data)
	if err != nil {
		return nil, err
	}
	return s.read()
}

// sameAsSlow fails when the scan accepts what the slow way reads differently.
func sameAsSlow(t *testing.T, data []byte) (scanned bool) {
	t.Helper()
	s, ok := scanPolicies(data)
	if !ok {
		return false
	}
	fast, fastErr := s.read()
	slow, slowErr := slowly(data)
	if !reflect.DeepEqual(fast, slow) || fmt.Sprint(fastErr) != fmt.Sprint(slowErr) {
		t.Fatalf("the scan reads\n%.2000s\nas %+v, %v\nnot as %+v, %v", data, fast, fastErr, slow, slowErr)
	}
	return true
}

// Each document is read by the scan and the slow way alike; some of them the
// scan leaves alone.
func TestScanPolicies(t *testing.T) {
	recorded, err := os.ReadFile("testdata/policies.json")
	if err != nil {
		t.Fatal(err)
	}
	documented := string(listOf(t, policyFor(t, "rsa2048"), policyFor(t, "p256")))
	compact, err := EncodeSigningPolicies([]SigningPolicy{policyFor(t, "rsa2048"), policyFor(t, "p256")}, true)
	if err != nil {
		t.Fatal(err)
	}
	alter := func(old, new string) string {
		s := strings.Replace(documented, old, new, 1)
		if s == documented {
			t.Fatalf("%q is not in %s", old, documented)
		}
		return s
	}
	for _, c := range []struct {
		name, doc string
		scanned   bool
	}{
		{"documented", documented, true},
		{"compact", string(compact), true},
		{"recorded", string(recorded), true},
		{"empty", `{"signingPolicies":[]}`, true},
		{"byte order mark, space", "\ufeff \r\n" + documented + "\t\n", true},
		{"unknown members", alter(`"projectSlug"`, `"new":{"a":[1,-0.5e+7,true,false,null,"\u00e9\n"],"b":{}},"projectSlug"`), true},
		{"unknown member of the document", alter(`{"signingPolicies"`, `{"next":null,"signingPolicies"`), true},
		{"nulls", alter(`"certificateType":"X509"`, `"certificateType":null,"ecParameters":null,"certificateChainRefs":null`), true},
		{"null size", alter(`"keySizeInBits":2048`, `"keySizeInBits":null`), true},
		{"size as text", alter(`"keySizeInBits":2048`, `"keySizeInBits":"2048"`), true},
		{"size with exponent", alter(`"keySizeInBits":2048`, `"keySizeInBits":2.048e3`), true},
		{"escaped plus signs", strings.ReplaceAll(documented, "+", `\u002B`), true},
		{"escaped slashes", strings.ReplaceAll(documented, "/", `\/`), true},
		{"Pascal case", alter(`"projectSlug"`, `"ProjectSlug"`), true},
		{"both cases", alter(`"projectSlug"`, `"ProjectSlug":"x","projectSlug"`), false},
		{"null in both cases", alter(`"projectSlug"`, `"ProjectSlug":null,"projectSlug"`), false},
		{"both cases inside", alter(`"modulus"`, `"Modulus":"AAAA","modulus"`), false},
		{"unknown members in both cases", alter(`"projectSlug"`, `"x":1,"X":1,"projectSlug"`), false},
		{"unknown members in both cases, inside", alter(`"modulus"`, `"x":1,"X":1,"modulus"`), false},
		{"both cases in what is unknown", alter(`"projectSlug"`, `"new":{"x":1,"X":1},"projectSlug"`), true},
		{"entries that are none", alter(`[{`, `[7,null,"x",[],{`), true},
		{"bad base64", alter(`"publicKeyBytes":"M`, `"publicKeyBytes":"*`), true},
		{"bad chain", alter(`"certificateChain":["M`, `"certificateChain":["","M`), true},
		{"chain that is text", alter(`"certificateChain":["M`, `"certificateChain":[7,"M`), true},
		{"unknown type", `{"signingPolicies":[{"projectSlug":"a","signingPolicySlug":"b","keyType":"Mldsa","publicKeyBytes":7}]}`, true},
		{"reference beyond the end", strings.Replace(string(compact), `Refs":[0]`, `Refs":[7]`, 1), true},
		{"negative reference", strings.Replace(string(compact), `Refs":[0]`, `Refs":[-1]`, 1), true},
		{"many references", strings.Replace(string(compact), `Refs":[0]`, `Refs":[0`+strings.Repeat(",0", maxChainRefs)+`]`, 1), true},
		{"references and chain", alter(`"certificateChain":`, `"certificateChainRefs":[5],"certificateChain":`), true},

		{"member twice", alter(`"projectSlug"`, `"projectSlug":"x","projectSlug"`), false},
		{"unknown member twice", alter(`"projectSlug"`, `"x":1,"x":1,"projectSlug"`), false},
		{"list twice", alter(`{"signingPolicies"`, `{"SigningPolicies":[],"signingPolicies"`), false},
		{"name with an escape", alter(`"projectSlug"`, `"project\u0053lug"`), false},
		{"name that is not ASCII", alter(`"projectSlug"`, `"projectſlug"`), false},
		{"half a surrogate pair", alter(`"projectSlug":"p"`, `"projectSlug":"\ud800"`), false},
		{"unknown escape", alter(`"projectSlug":"p"`, `"projectSlug":"\q"`), false},
		{"line break in a text", alter(`"projectSlug":"p"`, "\"projectSlug\":\"p\n\""), false},
		{"line break in a long text", alter(`"publicKeyBytes":"MIIB`, "\"publicKeyBytes\":\"MII\nB"), false},
		{"backslash in a long text", alter(`"publicKeyBytes":"MIIB`, `"publicKeyBytes":"MII\B`), false},
		{"invalid UTF-8", alter(`"projectSlug":"p"`, "\"projectSlug\":\"\xff\""), false},
		{"comma at the end", alter(`]}`, `],}`), false},
		{"no comma", alter(`"projectSlug":"p",`, `"projectSlug":"p"`), false},
		{"leading zero", alter(`"keySizeInBits":2048`, `"keySizeInBits":02048`), false},
		{"number that ends", alter(`"keySizeInBits":2048`, `"keySizeInBits":2.`), false},
		{"more behind", documented + "x", false},
		{"cut", documented[:len(documented)-3], false},
		{"deep", alter(`"projectSlug"`, `"new":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`,"projectSlug"`), false},
		{"too deep", alter(`"projectSlug"`, `"new":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`,"projectSlug"`), false},
		{"no list", `{"signingPolicies":null}`, false},
		{"nothing", ``, false},
	} {
		if got := sameAsSlow(t, []byte(c.doc)); got != c.scanned {
			t.Errorf("%s: scanned %v, want %v", c.name, got, c.scanned)
		}
	}
}

// The documented form is byte for byte that of encoding/json without its escapes for HTML.
func TestEncodeSigningPolicies(t *testing.T) {
	odd := policyFor(t, "p384")
	odd.ProjectSlug, odd.SigningPolicySlug = `a"b\<&>`, "é\u2028\x01"
	odd.CertificateType, odd.CertificateBytes, odd.CertificateChain = "", nil, nil
	bare := SigningPolicy{RSAParameters: &RSAParameters{}, ECParameters: &ECParameters{}, PublicKeyBytes: []byte{}}
	for _, list := range [][]SigningPolicy{{}, {policyFor(t, "rsa2048"), policyFor(t, "p256")}, {odd}, {bare}} {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(SigningPolicies{SigningPolicies: list}); err != nil {
			t.Fatal(err)
		}
		got, err := EncodeSigningPolicies(list, false)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%v\n%s\nnot\n%s", err, got, want.Bytes())
		}
	}
}

// The compact form holds the same keys and certificates, each issuer once.
func TestCompactForm(t *testing.T) {
	gpg := policyFor(t, "rsa2048")
	gpg.SigningPolicySlug, gpg.CertificateType, gpg.CertificateBytes, gpg.CertificateChain = "gpg", CertificateGPG, nil, nil
	list := []SigningPolicy{policyFor(t, "rsa2048"), policyFor(t, "p256"), gpg}
	list[1].CertificateChain = append([][]byte{list[1].CertificateBytes}, list[0].CertificateChain...)
	data, err := EncodeSigningPolicies(list, true)
	if err != nil {
		t.Fatal(err)
	}
	var raw struct {
		SigningPolicies    []map[string]any
		SharedCertificates [][]byte
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	if len(raw.SharedCertificates) != 2 || raw.SigningPolicies[0]["rsaParameters"] != nil || raw.SigningPolicies[0]["publicKeyBytes"] != nil || raw.SigningPolicies[2]["publicKeyBytes"] == nil {
		t.Errorf("%s", data)
	}
	got, err := ParseSigningPolicies(data)
	if err != nil || len(got) != len(list) {
		t.Fatalf("%d policies, %v", len(got), err)
	}
	for i, p := range got {
		want, _ := list[i].PublicKey()
		key, err := p.PublicKey()
		if err != nil || !want.(interface{ Equal(crypto.PublicKey) bool }).Equal(key) || !bytes.Equal(p.CertificateBytes, list[i].CertificateBytes) || !reflect.DeepEqual(p.CertificateChain, list[i].CertificateChain) {
			t.Errorf("policy %d: %+v, %v", i, p, err)
		}
	}
}

// A panic while keys are read in parallel reaches the caller.
func TestInParallel(t *testing.T) {
	var done [1000]bool
	inParallel(len(done), func(i int) { done[i] = true })
	for i, d := range done {
		if !d {
			t.Fatalf("%d was left out", i)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	inParallel(len(done), func(i int) { panic(i) })
}

func FuzzScanPolicies(f *testing.F) {
	recorded, err := os.ReadFile("testdata/policies.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(recorded)
	compact, err := EncodeSigningPolicies([]SigningPolicy{policyFor(f, "p256")}, true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(compact)
	f.Add([]byte(`{"signingPolicies":[{"projectSlug":"a","ProjectSlug":"b","keyType":"Ecdsa","x":{"a":[0.5e1,"\u0041"]},"certificateChainRefs":[0,1]},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) { sameAsSlow(t, data) })
}
