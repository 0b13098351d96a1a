package cryptoki

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"strings"
	"testing"

	"signpath/internal/wire"
)

// FuzzDigestInfo: what is accepted is a DigestInfo for encoding/asn1 as well,
// with the hash and digest that were found, and its only encodings.
func FuzzDigestInfo(f *testing.F) {
	for _, h := range wire.Hashes() {
		f.Add(append(digestInfoPrefix(h, true), make([]byte, h.Size())...))
		f.Add(append(digestInfoPrefix(h, false), make([]byte, h.Size())...))
	}
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		hash, digest, ok := parseDigestInfo(data)
		if !ok {
			return
		}
		var info struct {
			Algorithm struct {
				OID  asn1.ObjectIdentifier
				Null asn1.RawValue `asn1:"optional"`
			}
			Digest []byte
		}
		rest, err := asn1.Unmarshal(data, &info)
		if err != nil || len(rest) > 0 || info.Algorithm.OID.String() != hash.OID() || !bytes.Equal(info.Digest, digest) || len(digest) != hash.Size() {
			t.Errorf("%x: %v %x, %v", data, hash, digest, err)
		}
	})
}

func FuzzPIN(f *testing.F) {
	for _, pin := range []string{"CONFIG", "", ":", testPIN, testPIN[:32], testPIN[:36], "config", testOrganization + ":registry:x", "CONFIG\n", testPIN + "\r\n"} {
		f.Add([]byte(pin))
	}
	f.Fuzz(func(t *testing.T, pin []byte) {
		who, err := parsePIN(pin)
		switch {
		case err != nil:
			if len(pin) > 12 && strings.Contains(err.Error(), string(pin)) {
				t.Errorf("the error holds the PIN: %v", err)
			}
		case who.token.IsEmpty():
			if strings.TrimSuffix(strings.TrimSuffix(string(pin), "\n"), "\r") != "CONFIG" {
				t.Errorf("%q stands for the configuration", pin)
			}
		default:
			if !strings.EqualFold(who.organization, string(pin[:36])) || pin[36] != ':' || strings.TrimSpace(string(pin[37:])) != who.token.Reveal() {
				t.Errorf("%q", pin)
			}
		}
	})
}

// FuzzTemplate: any template is answered, and everything that it finds has the
// attributes it asked for.
func FuzzTemplate(f *testing.F) {
	set := newObjectSet(&Listing{Keys: standardKeys(f)}, true)
	f.Add(uint64(CKA_CLASS), encoding(8).ulong(3), uint64(CKA_ID), []byte("hash-signing/rsa"), true)
	f.Add(uint64(CKA_LABEL), []byte("hash-signing/p256"), uint64(CKA_VALUE), []byte{}, false)
	f.Add(uint64(0), []byte{1}, uint64(0), []byte(nil), true)
	f.Fuzz(func(t *testing.T, t1 uint64, v1 []byte, t2 uint64, v2 []byte, loggedIn bool) {
		template := []Attribute{{Type: t1, Value: v1}, {Type: t2, Value: v2, Null: len(v2) == 0}}
		for _, e := range []encoding{4, 8} {
			q := newQuery(template, e)
			_ = q.String()
			found := q.find(set, loggedIn)
			for _, o := range found {
				if o.private() && !loggedIn {
					t.Error("a private object without login")
				}
				if !o.private() && !q.public() {
					t.Error("the query said that it finds no public object")
				}
			}
			n := 0
			for _, o := range set.all { // the indexes lose nothing
				if q.matches(o) && (loggedIn || !o.private()) {
					n++
				}
			}
			if n != len(found) {
				t.Errorf("%v: %d by index, %d by scan", q, len(found), n)
			}
		}
	})
}

func FuzzMechanism(f *testing.F) {
	f.Add(uint64(CKM_RSA_PKCS_PSS), pss(CKM_SHA256, 2, 32), []byte("data"), uint64(1024), false)
	f.Add(uint64(CKM_ECDSA), []byte(nil), make([]byte, 32), uint64(0), true)
	f.Add(uint64(CKM_RSA_PKCS), []byte(nil), digestInfo(wire.SHA1, nil), uint64(256), false)
	module := newFixture(f).start()
	s := module.loggedIn()
	rsaKey, ecKey := module.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa"), module.key(s, CKO_PRIVATE_KEY, "hash-signing/p256")
	f.Fuzz(func(t *testing.T, mech uint64, param, data []byte, size uint64, null bool) {
		for _, key := range []uint64{rsaKey, ecKey, size} {
			rv := module.SignInit(s, Mechanism{Type: mech, Parameter: param, ParameterNull: null}, key)
			if rv == CKR_OPERATION_ACTIVE {
				t.Fatal(rv)
			}
			sig, need, got := module.Sign(s, data, Output{Null: null, Len: size})
			if rv != CKR_OK && got != CKR_OPERATION_NOT_INITIALIZED {
				t.Errorf("C_SignInit %v, C_Sign %v", rv, got)
			}
			if got == CKR_GENERAL_ERROR || got == CKR_OK && !null && uint64(len(sig)) != need {
				t.Errorf("%v, %d bytes of %d", got, len(sig), need)
			}
			module.Sign(s, data, big1K) // ends what is active
		}
		module.log.Reset()
	})
}

// FuzzCertificate: what crypto/x509 reads, this package reads in the same way.
func FuzzCertificate(f *testing.F) {
	for _, k := range standardKeys(f) {
		f.Add(k.Certificate)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		mine, err := parseCertificate(der)
		strict, strictErr := x509.ParseCertificate(der)
		if strictErr != nil {
			return
		}
		if err != nil {
			t.Fatalf("x509 reads it, this package does not: %v", err)
		}
		serial, _ := asn1.Marshal(strict.SerialNumber)
		if !bytes.Equal(mine.subject, strict.RawSubject) || !bytes.Equal(mine.issuer, strict.RawIssuer) || !bytes.Equal(mine.publicKeyInfo, strict.RawSubjectPublicKeyInfo) ||
			!bytes.Equal(mine.serial, serial) || !mine.notAfter.Equal(strict.NotAfter) {
			t.Errorf("%x", der)
		}
	})
}
