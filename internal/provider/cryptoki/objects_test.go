package cryptoki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/secret"
)

// objects lists class and label in the order of the search.
func (f *fixture) objects(s uint64, template ...Attribute) []string {
	f.tb.Helper()
	var names []string
	for _, o := range f.find(s, template...) {
		class := encoding(8).parseULong(f.value(s, o, CKA_CLASS))
		names = append(names, fmt.Sprintf("%d %s", class, f.value(s, o, CKA_LABEL)))
	}
	return names
}

func text(t uint64, v string) Attribute { return Attribute{Type: t, Value: []byte(v)} }
func flag(t uint64, v bool) Attribute   { return Attribute{Type: t, Value: boolean(v)} }

// What templates find, before login and after it (PKCS #11 v2.40 section 5.7).
// The templates are those that stock tools send.
func TestFind(t *testing.T) {
	class := func(c uint64) Attribute { return ulongAttribute(CKA_CLASS, c) }
	const p = "hash-signing/"
	public := []string{"2 " + p + "gpg", "2 " + p + "p256", "1 " + p + "p256", "2 " + p + "p521", "1 " + p + "p521", "2 " + p + "rsa", "1 " + p + "rsa", "1 Test Root CA", "1 Test Sub CA"}
	all := []string{"3 " + p + "gpg", "2 " + p + "gpg", "3 " + p + "p256", "2 " + p + "p256", "1 " + p + "p256", "3 " + p + "p521", "2 " + p + "p521", "1 " + p + "p521", "3 " + p + "rsa", "2 " + p + "rsa", "1 " + p + "rsa", "1 Test Root CA", "1 Test Sub CA"}
	private := []string{"3 " + p + "gpg", "3 " + p + "p256", "3 " + p + "p521", "3 " + p + "rsa"}
	f := newFixture(t).start()
	var subject []byte
	for _, k := range f.ring.listing.Keys {
		if k.Name == p+"rsa" {
			c, _ := x509.ParseCertificate(k.Chain[0])
			subject = c.RawSubject
		}
	}
	cases := []struct {
		name          string
		template      []Attribute
		before, after []string
	}{
		{"everything", nil, public, all},
		{"libp11: private keys", []Attribute{class(3)}, nil, private},
		{"SunPKCS11: private keys", []Attribute{flag(CKA_TOKEN, true), class(3)}, nil, private},
		{"SunPKCS11: secret keys", []Attribute{flag(CKA_TOKEN, true), class(4)}, nil, nil},
		{"SunPKCS11: issuer", []Attribute{flag(CKA_TOKEN, true), class(1), {Type: CKA_SUBJECT, Value: subject}}, []string{"1 Test Sub CA"}, []string{"1 Test Sub CA"}},
		{"crypto11: public EC key", []Attribute{class(2), ulongAttribute(CKA_KEY_TYPE, CKK_EC), text(CKA_ID, p+"p256"), text(CKA_LABEL, p+"p256")}, []string{"2 " + p + "p256"}, []string{"2 " + p + "p256"}},
		{"crypto11: public RSA key of an EC key's name", []Attribute{class(2), ulongAttribute(CKA_KEY_TYPE, CKK_RSA), text(CKA_ID, p+"p256")}, nil, nil},
		{"OpenSSH, pyHanko: signing key", []Attribute{class(3), flag(CKA_SIGN, true), text(CKA_LABEL, p+"rsa")}, nil, []string{"3 " + p + "rsa"}},
		{"no signing key", []Attribute{class(3), flag(CKA_SIGN, false)}, nil, nil},
		{"GnuTLS: certificate", []Attribute{text(CKA_ID, p+"rsa"), class(1), ulongAttribute(CKA_CERTIFICATE_TYPE, 0)}, []string{"1 " + p + "rsa"}, []string{"1 " + p + "rsa"}},
		{"by label", []Attribute{text(CKA_LABEL, p+"p521")}, []string{"2 " + p + "p521", "1 " + p + "p521"}, []string{"3 " + p + "p521", "2 " + p + "p521", "1 " + p + "p521"}},
		{"label in other case", []Attribute{text(CKA_LABEL, "Hash-Signing/rsa")}, nil, nil},
		{"one attribute twice", []Attribute{class(2), text(CKA_ID, p+"rsa"), class(2), text(CKA_ID, p+"rsa")}, []string{"2 " + p + "rsa"}, []string{"2 " + p + "rsa"}},
		{"two ids", []Attribute{text(CKA_ID, p+"rsa"), text(CKA_ID, p+"p256")}, nil, nil},
		{"GPG key has no certificate", []Attribute{class(1), text(CKA_ID, p+"gpg")}, nil, nil},
		{"private ones", []Attribute{flag(CKA_PRIVATE, true)}, nil, private},
		{"NSS: trust objects", []Attribute{class(0xCE534353)}, nil, nil},
		{"NSS: profiles", []Attribute{flag(CKA_TOKEN, true), class(9)}, nil, nil},
		{"unknown attribute", []Attribute{{Type: 0x99999999, Value: []byte{1}}}, nil, nil},
		{"sensitive attribute", []Attribute{{Type: CKA_PRIVATE_EXPONENT}}, nil, nil},
		{"class of wrong length", []Attribute{{Type: CKA_CLASS, Value: []byte{3, 0, 0, 0}}}, nil, nil},
		{"NULL label", []Attribute{{Type: CKA_LABEL, Null: true}}, nil, nil},
		{"session objects", []Attribute{flag(CKA_TOKEN, false)}, nil, nil},
		{"CAs", []Attribute{ulongAttribute(CKA_CERTIFICATE_CATEGORY, 2)}, []string{"1 Test Root CA", "1 Test Sub CA"}, []string{"1 Test Root CA", "1 Test Sub CA"}},
	}
	s := f.open()
	for _, c := range cases {
		if got := f.objects(s, c.template...); !slices.Equal(got, c.before) {
			t.Errorf("before login, %s: %q, want %q", c.name, got, c.before)
		}
	}
	for _, how := range f.ring.lookups {
		if how != (Lookup{Once: true, Limit: 10 * time.Second}) {
			t.Errorf("a search before login asked with %+v", how)
		}
	}
	f.want("C_Login", f.Login(s, CKU_USER, []byte("CONFIG"), false), CKR_OK)
	if len(f.opened) != 1 {
		t.Error("the list from before login does not serve the same credentials")
	}
	for _, c := range cases {
		if got := f.objects(s, c.template...); !slices.Equal(got, c.after) {
			t.Errorf("after login, %s: %q, want %q", c.name, got, c.after)
		}
	}
}

// C_FindObjects (section 5.7): portions, states.
func TestFindStates(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	_, rv := f.FindObjects(s, 1)
	f.want("C_FindObjects", rv, CKR_OPERATION_NOT_INITIALIZED)
	f.want("C_FindObjectsFinal", f.FindObjectsFinal(s), CKR_OPERATION_NOT_INITIALIZED)
	f.want("C_FindObjectsInit", f.FindObjectsInit(s, nil), CKR_OK)
	f.want("C_FindObjectsInit again", f.FindObjectsInit(s, nil), CKR_OPERATION_ACTIVE)
	var got []uint64
	for _, n := range []uint64{0, 5, Unavailable, 1} {
		some, rv := f.FindObjects(s, n)
		f.want("C_FindObjects", rv, CKR_OK)
		got = append(got, some...)
	}
	if len(got) != 13 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 13 {
		t.Errorf("handles %v", got)
	}
	f.want("C_FindObjectsFinal", f.FindObjectsFinal(s), CKR_OK)
}

// A search before login never fails and never waits (SignPath crypto providers).
func TestSearchBeforeLoginWithoutService(t *testing.T) {
	f := newFixture(t)
	f.ring.err = &remote.Error{Class: remote.Transient, Op: "list", Status: 503}
	f.start()
	s := f.open()
	if got := f.find(s); got != nil {
		t.Errorf("found %v", got)
	}
	f.find(s, ulongAttribute(CKA_CLASS, CKO_CERTIFICATE))
	if n := f.log.Count("WARNING", "before login"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	before := f.ring.count()
	f.find(s, ulongAttribute(CKA_CLASS, CKO_PRIVATE_KEY)) // cannot find anything: no reason to ask
	if f.ring.count() != before {
		t.Error("a search for private keys before login asked the service")
	}

	f = newFixture(t)
	f.settings.APIToken = secret.Secret{}
	f.start()
	if got := f.find(f.open()); got != nil || f.ring.count() != 0 {
		t.Errorf("without configuration: found %v, asked %d times", got, f.ring.count())
	}
}

// A look-up of an unknown name fetches the list again, others do not.
func TestRefresh(t *testing.T) {
	f := newFixture(t, testKey(t, "a/a", "rsa2048"))
	f.start()
	s := f.loggedIn()
	old := f.key(s, CKO_PRIVATE_KEY, "a/a")
	for _, template := range [][]Attribute{
		{ulongAttribute(CKA_CLASS, 9)}, {ulongAttribute(CKA_CLASS, CKO_CERTIFICATE)}, {ulongAttribute(CKA_CLASS, CKO_CERTIFICATE), text(CKA_ID, "a/a")},
		{ulongAttribute(CKA_CLASS, 9), text(CKA_ID, "unknown")},
	} {
		f.find(s, template...)
	}
	if f.ring.refresh != 0 {
		t.Errorf("%d refreshes", f.ring.refresh)
	}
	f.ring.next = &Listing{Keys: []Key{testKey(t, "a/a", "rsa2048"), testKey(t, "a/b", "p256")}}
	f.key(s, CKO_PRIVATE_KEY, "a/b")
	if f.ring.refresh != 1 {
		t.Errorf("%d refreshes", f.ring.refresh)
	}
	if again := f.key(s, CKO_PRIVATE_KEY, "a/a"); again != old {
		t.Error("a key that did not change has a new handle")
	}
	// A policy that got another key is another object; the old handle stays valid.
	f.ring.next = &Listing{Keys: []Key{testKey(t, "a/a", "rsa3072")}}
	f.find(s, text(CKA_ID, "a/c"))
	if changed := f.key(s, CKO_PRIVATE_KEY, "a/a"); changed == old {
		t.Error("another key has the handle of the old one")
	}
	if got := f.value(s, old, CKA_MODULUS_BITS); encoding(8).parseULong(got) != 2048 {
		t.Error("the old handle shows the new key")
	}
}

// The attributes of each kind of object.
func TestAttributes(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	keys := map[string]Key{}
	for _, k := range f.ring.listing.Keys {
		keys[k.Name] = k
	}
	leaf := func(name string) *x509.Certificate {
		c, err := x509.ParseCertificate(keys[name].Certificate)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	rsaName, ecName := "hash-signing/rsa", "hash-signing/p256"
	rsaLeaf, ecLeaf := leaf(rsaName), leaf(ecName)
	ecPoint, _ := keys[ecName].Public.(*ecdsa.PublicKey).Bytes()
	ulong := encoding(8).ulong
	no, yes := []byte{0}, []byte{1}
	der := func(v any) []byte { b, _ := asn1.Marshal(v); return b }
	serial := der(big.NewInt(128)) // 02 02 00 80: DER, not the bare number
	sensitive, missing := []byte("sensitive"), []byte(nil)
	sha := func(b []byte) []byte { x := sha1.Sum(b); return x[:] }
	modulus := rsaLeaf.PublicKey.(interface{ Size() int }).Size()

	common := map[uint64][]byte{CKA_TOKEN: yes, CKA_MODIFIABLE: no, CKA_COPYABLE: no, CKA_DESTROYABLE: no}
	key := map[uint64][]byte{CKA_DERIVE: no, CKA_LOCAL: no, CKA_START_DATE: {}, CKA_END_DATE: {}, CKA_KEY_GEN_MECHANISM: bytes.Repeat([]byte{0xFF}, 8), CKA_CERTIFICATE_TYPE: missing}
	private := map[uint64][]byte{
		CKA_CLASS: ulong(3), CKA_PRIVATE: yes, CKA_SENSITIVE: yes, CKA_ALWAYS_SENSITIVE: yes, CKA_NEVER_EXTRACTABLE: yes, CKA_EXTRACTABLE: no, CKA_SIGN: yes,
		CKA_SIGN_RECOVER: no, CKA_DECRYPT: no, CKA_UNWRAP: no, CKA_ALWAYS_AUTHENTICATE: no, CKA_WRAP_WITH_TRUSTED: no, CKA_ENCRYPT: missing, CKA_VERIFY: missing, CKA_WRAP: missing,
	}
	public := map[uint64][]byte{CKA_CLASS: ulong(2), CKA_PRIVATE: no, CKA_VERIFY: yes, CKA_ENCRYPT: no, CKA_WRAP: no, CKA_VERIFY_RECOVER: no, CKA_TRUSTED: no, CKA_SENSITIVE: missing, CKA_SIGN: missing}
	rsaKey := map[uint64][]byte{
		CKA_ID: []byte(rsaName), CKA_LABEL: []byte(rsaName), CKA_KEY_TYPE: ulong(0), CKA_MODULUS_BITS: ulong(2048), CKA_PUBLIC_EXPONENT: {1, 0, 1}, CKA_EC_POINT: missing, CKA_EC_PARAMS: missing,
		CKA_SUBJECT: rsaLeaf.RawSubject, CKA_PUBLIC_KEY_INFO: rsaLeaf.RawSubjectPublicKeyInfo,
		CKA_ALLOWED_MECHANISMS: encoding(8).ulongs([]uint64{1, 6, 0x40, 0x41, 0x42, 0xD, 0xE, 0x43, 0x44, 0x45}),
	}
	ecKey := map[uint64][]byte{
		CKA_ID: []byte(ecName), CKA_LABEL: []byte(ecName), CKA_KEY_TYPE: ulong(3), CKA_EC_PARAMS: {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}, CKA_EC_POINT: append([]byte{4, 65}, ecPoint...),
		CKA_MODULUS: missing, CKA_SUBJECT: ecLeaf.RawSubject, CKA_PUBLIC_KEY_INFO: ecLeaf.RawSubjectPublicKeyInfo,
		CKA_ALLOWED_MECHANISMS: encoding(8).ulongs([]uint64{0x1041, 0x1042, 0x1044, 0x1045, 0x1046}),
	}
	rsaSecret := map[uint64][]byte{CKA_PRIVATE_EXPONENT: sensitive, CKA_PRIME_1: sensitive, CKA_PRIME_2: sensitive, CKA_EXPONENT_1: sensitive, CKA_EXPONENT_2: sensitive, CKA_COEFFICIENT: sensitive, CKA_VALUE: missing}
	ecSecret := map[uint64][]byte{CKA_VALUE: sensitive, CKA_PRIVATE_EXPONENT: missing}
	certificate := map[uint64][]byte{
		CKA_CLASS: ulong(1), CKA_PRIVATE: no, CKA_CERTIFICATE_TYPE: ulong(0), CKA_TRUSTED: no, CKA_JAVA_MIDP_SECURITY_DOMAIN: ulong(0), CKA_URL: {}, CKA_NAME_HASH_ALGORITHM: ulong(CKM_SHA_1),
		CKA_START_DATE: []byte("20231114"), CKA_END_DATE: []byte("20330518"), CKA_KEY_TYPE: missing, CKA_SIGN: missing, CKA_MODULUS: missing,
	}
	rsaCert := map[uint64][]byte{
		CKA_ID: []byte(rsaName), CKA_LABEL: []byte(rsaName), CKA_VALUE: rsaLeaf.Raw, CKA_SUBJECT: rsaLeaf.RawSubject, CKA_ISSUER: rsaLeaf.RawIssuer, CKA_SERIAL_NUMBER: serial,
		CKA_CERTIFICATE_CATEGORY: ulong(1), CKA_CHECK_VALUE: sha(rsaLeaf.Raw)[:3], CKA_PUBLIC_KEY_INFO: rsaLeaf.RawSubjectPublicKeyInfo,
	}
	root, err := x509.ParseCertificate(keys[rsaName].Chain[1])
	if err != nil {
		t.Fatal(err)
	}
	rootPoint, _ := root.PublicKey.(*ecdsa.PublicKey).Bytes()
	rootCert := map[uint64][]byte{
		CKA_ID: sha(rootPoint), CKA_LABEL: []byte("Test Root CA"), CKA_VALUE: root.Raw, CKA_SUBJECT: root.RawSubject, CKA_ISSUER: root.RawSubject, CKA_CERTIFICATE_CATEGORY: ulong(2),
		CKA_SERIAL_NUMBER: {2, 1, 1}, CKA_HASH_OF_SUBJECT_PUBLIC_KEY: sha(rootPoint), CKA_HASH_OF_ISSUER_PUBLIC_KEY: sha(rootPoint),
	}
	cases := []struct {
		name   string
		handle uint64
		want   []map[uint64][]byte
	}{
		{"RSA private key", f.key(s, 3, rsaName), []map[uint64][]byte{common, key, private, rsaKey, rsaSecret}},
		{"RSA public key", f.key(s, 2, rsaName), []map[uint64][]byte{common, key, public, rsaKey}},
		{"EC private key", f.key(s, 3, ecName), []map[uint64][]byte{common, key, private, ecKey, ecSecret}},
		{"EC public key", f.key(s, 2, ecName), []map[uint64][]byte{common, key, public, ecKey}},
		{"certificate", f.key(s, 1, rsaName), []map[uint64][]byte{common, certificate, rsaCert}},
		{"root", f.find(s, text(CKA_LABEL, "Test Root CA"))[0], []map[uint64][]byte{common, certificate, rootCert}},
	}
	for _, c := range cases {
		for _, table := range c.want {
			for typ, want := range table {
				// An unknown type beside it does not disturb (section 5.7, C_GetAttributeValue).
				values, rv := f.AttributeValues(s, c.handle, []uint64{0x7777, typ})
				f.want("C_GetAttributeValue", rv, CKR_OK)
				got, wantRV := values[1], CKR_OK
				switch {
				case want == nil:
					wantRV = CKR_ATTRIBUTE_TYPE_INVALID
				case bytes.Equal(want, sensitive):
					wantRV, want = CKR_ATTRIBUTE_SENSITIVE, nil
				}
				if values[0].RV != CKR_ATTRIBUTE_TYPE_INVALID || got.RV != wantRV || !bytes.Equal(got.Value, want) {
					t.Errorf("%s, %s: %v %x, want %v %x", c.name, attributeName(typ), got.RV, got.Value, wantRV, want)
				}
			}
		}
		size, rv := f.ObjectSize(s, c.handle)
		if rv != CKR_OK || size != Unavailable {
			t.Errorf("C_GetObjectSize: %v %d", rv, size)
		}
	}
	if n := len(f.value(s, f.key(s, 3, rsaName), CKA_MODULUS)); n != modulus {
		t.Errorf("modulus of %d bytes", n)
	}
	_, rv := f.AttributeValues(s, 1<<40, nil)
	f.want("C_GetAttributeValue", rv, CKR_OBJECT_HANDLE_INVALID)
}

// On Windows a CK_ULONG has four bytes.
func TestULongOfFourBytes(t *testing.T) {
	f := newFixture(t)
	f.Module.opts.ULongSize = 4
	f.start()
	s := f.loggedIn()
	found := f.find(s, Attribute{Type: CKA_CLASS, Value: []byte{3, 0, 0, 0}}, text(CKA_ID, "hash-signing/rsa"))
	if len(found) != 1 {
		t.Fatal(found)
	}
	if got := f.value(s, found[0], CKA_KEY_GEN_MECHANISM); !bytes.Equal(got, []byte{0xFF, 0xFF, 0xFF, 0xFF}) {
		t.Errorf("%x", got)
	}
	if got := f.value(s, found[0], CKA_MODULUS_BITS); !bytes.Equal(got, []byte{0, 8, 0, 0}) {
		t.Errorf("%x", got)
	}
	f.want("PSS", f.SignInit(s, Mechanism{Type: CKM_RSA_PKCS_PSS, Parameter: encoding(4).ulongs([]uint64{CKM_SHA256, 2, 32})}, found[0]), CKR_OK)
}

// The certificate for OpenPGP keys: real public key, same bytes in every run.
func TestDummyCertificate(t *testing.T) {
	f := newFixture(t)
	f.settings.IncludeDummyX509CertificateForGpgKeys = true
	f.start()
	s := f.loggedIn()
	value := f.value(s, f.key(s, CKO_CERTIFICATE, "hash-signing/gpg"), CKA_VALUE)
	c, err := x509.ParseCertificate(value)
	if err != nil {
		t.Fatal(err)
	}
	key := testKey(t, "", "rsa3072")
	if !c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public) {
		t.Error("another public key")
	}
	if c.Subject.String() != "CN=hash-signing/gpg" || c.Issuer.String() != c.Subject.String() || c.SerialNumber.Sign() <= 0 {
		t.Errorf("%s, %s, %v", c.Subject, c.Issuer, c.SerialNumber)
	}
	// Key references of gnupg-pkcs11-scd depend on these bytes: they never change.
	const golden = "16a914d878feaa8f9d38efe611fa5d16a008da31"
	if got := hex.EncodeToString(sha1Sum(value)); got != golden {
		t.Errorf("the bytes of the dummy certificate have changed: SHA-1 %s", got)
	}
	if other := f.find(s, ulongAttribute(CKA_CLASS, CKO_CERTIFICATE), text(CKA_ID, "hash-signing/rsa")); len(other) != 1 {
		t.Error("a real certificate is gone")
	}
}

func sha1Sum(b []byte) []byte { s := sha1.Sum(b); return s[:] }

// Odd lists: two policies on one certificate, the same policy twice, keys and
// certificates that this module does not know.
func TestOddListings(t *testing.T) {
	a := withCertificate(t, testKey(t, "p/a", "rsa2048"))
	b := a
	b.Name = "p/b"
	broken := testKey(t, "p/broken-certificate", "p256")
	broken.Certificate, broken.Chain = []byte{0x30, 0x00}, [][]byte{{1}}
	curve := testKey(t, "p/curve", "p256")
	curve.Public = &ecdsa.PublicKey{Curve: (&elliptic.CurveParams{Name: "x"})}
	unknown := testKey(t, "p/unknown", "p256")
	unknown.Public = "?"
	selfSigned := testKey(t, "p/self", "p384")
	selfSigned.Certificate = a.Chain[1]
	f := newFixture(t, b, a, a, broken, curve, unknown, selfSigned).start()
	s := f.loggedIn()
	want := []string{"3 p/a", "2 p/a", "1 p/a", "3 p/b", "2 p/b", "1 p/b", "3 p/broken-certificate", "2 p/broken-certificate", "3 p/self", "2 p/self", "1 p/self", "1 Test Sub CA"}
	if got := f.objects(s); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if n := f.log.Count("WARNING", "left out"); n != 4 {
		t.Errorf("%d warnings:\n%s", n, f.log.Text())
	}
}

// 10,000 policies: a tool that names its key does not wait.
func TestManyPolicies(t *testing.T) {
	rsaKey := withCertificate(t, testKey(t, "", "rsa2048"))
	keys := make([]Key, 10000)
	for i := range keys {
		keys[i] = rsaKey
		keys[i].Name = fmt.Sprintf("project-%d/policy", i)
	}
	f := newFixture(t, keys...).start()
	s := f.loggedIn()
	for i := range 1000 {
		f.key(s, CKO_PRIVATE_KEY, fmt.Sprintf("project-%d/policy", i*10))
	}
	if n := len(f.find(s, flag(CKA_TOKEN, true), ulongAttribute(CKA_CLASS, CKO_PRIVATE_KEY))); n != 10000 {
		t.Error(n)
	}
}

// Mechanisms as hosts see them (section 5.5).
func TestMechanisms(t *testing.T) {
	f := newFixture(t).start()
	list, rv := f.MechanismList(1)
	f.want("C_GetMechanismList", rv, CKR_OK)
	if len(list) != 16 || slices.Contains(list, 0) {
		t.Errorf("%#x", list)
	}
	for _, c := range []struct {
		id   uint64
		want MechanismInfo
		rv   RV
	}{
		{CKM_RSA_PKCS, MechanismInfo{1024, 16384, 0x2801}, CKR_OK},
		{CKM_SHA512_RSA_PKCS_PSS, MechanismInfo{1024, 16384, 0x2801}, CKR_OK},
		{CKM_ECDSA_SHA384, MechanismInfo{224, 521, 0x2801 | 0x01900000}, CKR_OK},
		{CKM_EDDSA, MechanismInfo{255, 255, 0x2801 | 0x00900000}, CKR_OK},
		{CKM_SHA_1, MechanismInfo{}, CKR_OK},
		{CKM_SHA256, MechanismInfo{}, CKR_OK},
		{CKM_SHA512, MechanismInfo{}, CKR_OK},
		{3, MechanismInfo{}, CKR_MECHANISM_INVALID},
		{0x80000001, MechanismInfo{}, CKR_MECHANISM_INVALID},
	} {
		got, rv := f.MechanismInfo(1, c.id)
		if got != c.want || rv != c.rv {
			t.Errorf("%#x: %+v %v", c.id, got, rv)
		}
	}
}

func TestNames(t *testing.T) {
	for rv, name := range map[RV]string{CKR_OK: "CKR_OK", CKR_TOKEN_WRITE_PROTECTED: "CKR_TOKEN_WRITE_PROTECTED", 0x1FF: "CKR_0x000001FF"} {
		if rv.String() != name {
			t.Errorf("%s", rv)
		}
	}
	if got := newQuery([]Attribute{ulongAttribute(CKA_CLASS, 3), text(CKA_ID, "p/s"), {Type: 0x7777}}, 8).String(); got != `{CKA_CLASS=0300000000000000 CKA_ID="p/s" CKA_0x00007777=}` {
		t.Error(got)
	}
}
