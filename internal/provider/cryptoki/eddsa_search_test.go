package cryptoki

import "testing"

// A search for all keys of a class is libp11's, which finds none beside an Ed25519
// key: that one is given to those who name it, or when it is alone.
func TestSearchBesideEd25519(t *testing.T) {
	ed := withCertificate(t, testKey(t, "hash-signing/ed25519", "ed25519"))
	class := func(c uint64) Attribute { return ulongAttribute(CKA_CLASS, c) }
	mixed := newFixture(t, append(standardKeys(t), ed)...).start()
	s := mixed.loggedIn()
	for _, c := range []struct {
		name     string
		template []Attribute
		found    int
	}{
		{"private keys", []Attribute{class(CKO_PRIVATE_KEY)}, 4},
		{"public keys", []Attribute{class(CKO_PUBLIC_KEY)}, 4},
		{"private keys of a type", []Attribute{class(CKO_PRIVATE_KEY), ulongAttribute(CKA_KEY_TYPE, CKK_EC_EDWARDS)}, 1},
		{"by ID", []Attribute{class(CKO_PRIVATE_KEY), {Type: CKA_ID, Value: []byte("hash-signing/ed25519")}}, 1},
		{"by label alone", []Attribute{{Type: CKA_LABEL, Value: []byte("hash-signing/ed25519")}}, 3},
		{"private keys that sign", []Attribute{class(CKO_PRIVATE_KEY), {Type: CKA_SIGN, Value: []byte{1}}}, 5},
	} {
		if found := mixed.find(s, c.template...); len(found) != c.found {
			t.Errorf("%s: %d found, want %d", c.name, len(found), c.found)
		}
	}
	if n := len(mixed.find(s)); n < 14 {
		t.Errorf("everything: %d objects", n)
	}
	if n := mixed.log.Count("WARNING", "Ed25519 keys are left out"); n != 1 {
		t.Errorf("told %d times: %s", n, mixed.log.Text())
	}
	alone := newFixture(t, ed).start()
	if found := alone.find(alone.loggedIn(), class(CKO_PRIVATE_KEY)); len(found) != 1 {
		t.Errorf("alone: %d found", len(found))
	}
}
