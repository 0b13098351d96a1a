//go:build cgo && unix

package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/miekg/pkcs11"

	"signpath/internal/service/keys/hsm/hsmwire"
)

// ckaPublicKeyInfo is CKA_PUBLIC_KEY_INFO (PKCS #11 v2.40 section 4.9), which the library does not know.
const ckaPublicKeyInfo = 0x129

// curve is a line of the table of curves; the OIDs are those of RFC 5480 section 2.1.1.1.
type curve struct {
	bits  int
	oid   asn1.ObjectIdentifier
	curve elliptic.Curve
}

var curves = []curve{
	{256, asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, elliptic.P256()},
	{384, asn1.ObjectIdentifier{1, 3, 132, 0, 34}, elliptic.P384()},
	{521, asn1.ObjectIdentifier{1, 3, 132, 0, 35}, elliptic.P521()},
}

func noKey(format string, args ...any) error {
	return &hsmwire.Error{Class: hsmwire.ClassKey, Before: true, Text: fmt.Sprintf(format, args...)}
}

// search gives the objects that match a template, at most limit.
func (t *token) search(h pkcs11.SessionHandle, limit int, template ...*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	if err := call("C_FindObjectsInit", t.p11.FindObjectsInit(h, template)); err != nil {
		return nil, err
	}
	var found []pkcs11.ObjectHandle
	var err error
	for len(found) < limit {
		var some []pkcs11.ObjectHandle
		some, _, err = t.p11.FindObjects(h, min(limit-len(found), 500))
		if err != nil || len(some) == 0 {
			break
		}
		found = append(found, some...)
	}
	if e := call("C_FindObjects", err); e != nil {
		_ = t.p11.FindObjectsFinal(h)
		return nil, e
	}
	return found, call("C_FindObjectsFinal", t.p11.FindObjectsFinal(h))
}

func class(c uint) *pkcs11.Attribute { return pkcs11.NewAttribute(pkcs11.CKA_CLASS, c) }

// template describes the objects of a key.
func template(objectClass uint, k hsmwire.KeyRef, withLabel bool) []*pkcs11.Attribute {
	out := []*pkcs11.Attribute{class(objectClass), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true)}
	if len(k.ID) > 0 {
		out = append(out, pkcs11.NewAttribute(pkcs11.CKA_ID, k.ID))
	}
	if withLabel && k.Label != "" {
		out = append(out, pkcs11.NewAttribute(pkcs11.CKA_LABEL, k.Label))
	}
	return out
}

// private finds the one private key that is meant.
func (t *token) private(h pkcs11.SessionHandle, k hsmwire.KeyRef) (pkcs11.ObjectHandle, error) {
	if len(k.ID) == 0 && k.Label == "" {
		return 0, noKey("the key is not named")
	}
	found, err := t.search(h, 3, template(pkcs11.CKO_PRIVATE_KEY, k, len(k.ID) == 0)...)
	if err == nil && len(found) > 1 && len(k.ID) > 0 && k.Label != "" {
		found, err = t.search(h, 3, template(pkcs11.CKO_PRIVATE_KEY, k, true)...)
	}
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, noKey("the token %q has no private key %s", t.info.Label, refName(k))
	case len(found) > 1:
		return 0, noKey("the token %q has several private keys %s", t.info.Label, refName(k))
	}
	return found[0], nil
}

func refName(k hsmwire.KeyRef) string {
	switch {
	case len(k.ID) == 0:
		return fmt.Sprintf("labelled %q", k.Label)
	case k.Label == "":
		return fmt.Sprintf("with the CKA_ID %x", k.ID)
	}
	return fmt.Sprintf("with the CKA_ID %x (%q)", k.ID, k.Label)
}

// cached is private with memory. forget makes it look again.
func (t *token) cached(h pkcs11.SessionHandle, k hsmwire.KeyRef) (pkcs11.ObjectHandle, error) {
	name := string(k.ID) + "\x00" + k.Label
	t.mu.Lock()
	o, ok := t.handles[name]
	t.mu.Unlock()
	if ok {
		return o, nil
	}
	o, err := t.private(h, k)
	if err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handles[name] = o
	return o, nil
}

func (t *token) forget(k hsmwire.KeyRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.handles, string(k.ID)+"\x00"+k.Label)
}

// attribute reads one attribute; one that the token does not have is nil.
func (t *token) attribute(h pkcs11.SessionHandle, o pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	a, err := t.p11.GetAttributeValue(h, o, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	err = call("C_GetAttributeValue", err)
	if hasCode(err, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, pkcs11.CKR_ATTRIBUTE_SENSITIVE) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return a[0].Value, nil
}

// properties reads what the token claims about a private key.
func (t *token) properties(h pkcs11.SessionHandle, o pkcs11.ObjectHandle) (*hsmwire.Key, error) {
	var k hsmwire.Key
	var err error
	if k.ID, err = t.attribute(h, o, pkcs11.CKA_ID); err != nil {
		return nil, err
	}
	label, err := t.attribute(h, o, pkcs11.CKA_LABEL)
	if err != nil {
		return nil, err
	}
	k.Label = trim(string(label))
	for _, flag := range []struct {
		kind uint
		to   *bool
	}{
		{pkcs11.CKA_SIGN, &k.CanSign},
		{pkcs11.CKA_SENSITIVE, &k.Sensitive},
		{pkcs11.CKA_EXTRACTABLE, &k.Extractable},
		{pkcs11.CKA_ALWAYS_SENSITIVE, &k.AlwaysSensitive},
		{pkcs11.CKA_NEVER_EXTRACTABLE, &k.NeverExtractable},
		{pkcs11.CKA_LOCAL, &k.Local},
		{pkcs11.CKA_ALWAYS_AUTHENTICATE, &k.AlwaysAuthenticate},
	} {
		v, err := t.attribute(h, o, flag.kind)
		if err != nil {
			return nil, err
		}
		*flag.to = len(v) == 1 && v[0] != 0
	}
	return &k, nil
}

// public reads the public key that belongs to a private key: from the private
// key itself, from the public key object, or from a certificate.
func (t *token) public(h pkcs11.SessionHandle, o pkcs11.ObjectHandle, k hsmwire.KeyRef) ([]byte, error) {
	pub, err := t.publicFrom(h, o)
	if pub != nil || err != nil {
		return pub, err
	}
	// By identifier and by label, because keys that other tools made may share only one.
	for _, ref := range []hsmwire.KeyRef{{ID: k.ID}, {Label: k.Label}} {
		if len(ref.ID) == 0 && ref.Label == "" {
			continue
		}
		for _, c := range []uint{pkcs11.CKO_PUBLIC_KEY, pkcs11.CKO_CERTIFICATE} {
			found, err := t.search(h, 20, template(c, ref, true)...)
			if err != nil {
				return nil, err
			}
			for _, other := range found {
				if pub, err := t.publicFrom(h, other); pub != nil || err != nil {
					return pub, err
				}
			}
		}
	}
	return nil, nil
}

// publicFrom reads a public key from one object, nil when it has none.
func (t *token) publicFrom(h pkcs11.SessionHandle, o pkcs11.ObjectHandle) ([]byte, error) {
	get := func(kind uint) (v []byte, err error) { return t.attribute(h, o, kind) }
	if v, err := get(pkcs11.CKA_VALUE); err != nil { // of certificates; private keys refuse it
		return nil, err
	} else if c, err := x509.ParseCertificate(v); err == nil {
		return c.RawSubjectPublicKeyInfo, nil
	}
	modulus, err := get(pkcs11.CKA_MODULUS)
	if err != nil {
		return nil, err
	}
	exponent, err := get(pkcs11.CKA_PUBLIC_EXPONENT)
	if err != nil {
		return nil, err
	}
	if e := new(big.Int).SetBytes(exponent); len(modulus) > 0 && e.IsInt64() && e.Int64() > 1 && e.Int64() < 1<<31 {
		return x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(e.Int64())})
	}
	params, err := get(pkcs11.CKA_EC_PARAMS)
	if err != nil {
		return nil, err
	}
	point, err := get(pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	if pub := ecPublic(params, point); pub != nil {
		return x509.MarshalPKIXPublicKey(pub)
	}
	spki, err := get(ckaPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	if _, err := x509.ParsePKIXPublicKey(spki); err == nil {
		return spki, nil
	}
	return nil, nil
}

// ecPublic decodes CKA_EC_PARAMS (a named curve) and CKA_EC_POINT, which is a
// DER OCTET STRING by the standard and the bare point on some tokens.
func ecPublic(params, point []byte) crypto.PublicKey {
	if isEdwards25519(params) {
		var inner []byte
		if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 && len(inner) == ed25519.PublicKeySize {
			return ed25519.PublicKey(inner)
		}
		if len(point) == ed25519.PublicKeySize {
			return ed25519.PublicKey(point)
		}
		return nil
	}
	var oid asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(params, &oid); err != nil || len(rest) > 0 {
		return nil
	}
	for _, c := range curves {
		if !c.oid.Equal(oid) {
			continue
		}
		var inner []byte
		if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
			if pub, err := ecdsa.ParseUncompressedPublicKey(c.curve, inner); err == nil {
				return pub
			}
		}
		if pub, err := ecdsa.ParseUncompressedPublicKey(c.curve, point); err == nil {
			return pub
		}
	}
	return nil
}

// isEdwards25519 knows the curve by its name (PKCS #11 v3.0) and by the object
// identifiers of RFC 8410 and of those who came before it.
func isEdwards25519(params []byte) bool {
	var name string
	if rest, err := asn1.Unmarshal(params, &name); err == nil && len(rest) == 0 {
		return name == "edwards25519"
	}
	var oid asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(params, &oid); err != nil || len(rest) > 0 {
		return false
	}
	return oid.Equal(asn1.ObjectIdentifier{1, 3, 101, 112}) || oid.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 15, 1})
}

// find describes one key with its public key.
func (t *token) find(k hsmwire.KeyRef) (key *hsmwire.Key, err error) {
	err = t.use(func(h pkcs11.SessionHandle) error {
		o, err := t.private(h, k)
		if err != nil {
			return err
		}
		key, err = t.describe(h, o)
		return err
	})
	return key, err
}

func (t *token) describe(h pkcs11.SessionHandle, o pkcs11.ObjectHandle) (*hsmwire.Key, error) {
	key, err := t.properties(h, o)
	if err != nil {
		return nil, err
	}
	if key.Public, err = t.public(h, o, key.KeyRef); err != nil {
		return nil, err
	}
	if key.Public == nil {
		return nil, noKey("the token %q shows no public key of %s: write its public key or certificate to the token, with the same CKA_ID", t.info.Label, refName(key.KeyRef))
	}
	return key, nil
}

// list describes all private keys.
func (t *token) list() (keys []hsmwire.Key, more bool, err error) {
	err = t.use(func(h pkcs11.SessionHandle) error {
		keys, more = nil, false
		found, err := t.search(h, hsmwire.MaxKeys+1, class(pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true))
		if err != nil {
			return err
		}
		if more = len(found) > hsmwire.MaxKeys; more {
			found = found[:hsmwire.MaxKeys]
		}
		for _, o := range found {
			key, err := t.properties(h, o)
			if err != nil {
				return err
			}
			if key.Public, err = t.public(h, o, key.KeyRef); err != nil {
				return err
			}
			keys = append(keys, *key)
		}
		return nil
	})
	return keys, more, err
}

// attestation collects what the token says about a key.
func (t *token) attestation(k hsmwire.KeyRef) (a *hsmwire.Attestation, err error) {
	err = t.use(func(h pkcs11.SessionHandle) error {
		a = &hsmwire.Attestation{Token: t.info}
		o, err := t.private(h, k)
		if err != nil {
			return err
		}
		key, err := t.describe(h, o)
		if err != nil {
			return err
		}
		a.Key = *key
		for _, kind := range t.attributes {
			v, err := t.attribute(h, o, uint(kind))
			if err != nil {
				return err
			}
			if v != nil {
				if a.Attributes == nil {
					a.Attributes = map[string][]byte{}
				}
				a.Attributes[fmt.Sprintf("0x%08x", kind)] = v
			}
		}
		a.Certificates, err = t.attestationCertificates(h, key)
		return err
	})
	return a, err
}

// attestationCertificates are the certificates that tokens put beside a key to
// attest it: their label says so, and they belong to the key by identifier,
// by label ("attestation KEY") or because they hold its public key.
func (t *token) attestationCertificates(h pkcs11.SessionHandle, k *hsmwire.Key) ([][]byte, error) {
	found, err := t.search(h, 1000, class(pkcs11.CKO_CERTIFICATE), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true))
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, o := range found {
		label, err := t.attribute(h, o, pkcs11.CKA_LABEL)
		if err != nil {
			return nil, err
		}
		text := strings.ToLower(trim(string(label)))
		if !strings.Contains(text, "attestation") {
			continue
		}
		id, err := t.attribute(h, o, pkcs11.CKA_ID)
		if err != nil {
			return nil, err
		}
		value, err := t.attribute(h, o, pkcs11.CKA_VALUE)
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(value)
		if err != nil {
			continue
		}
		if len(id) > 0 && bytes.Equal(id, k.ID) || k.Label != "" && strings.Contains(text, strings.ToLower(k.Label)) || bytes.Equal(cert.RawSubjectPublicKeyInfo, k.Public) {
			out = append(out, value)
		}
	}
	return out, nil
}

// destroy deletes the objects of a key pair. It needs the CKA_ID: a label is no proof of anything.
func (t *token) destroy(k hsmwire.KeyRef) error {
	if len(k.ID) == 0 {
		return noKey("a key without CKA_ID is not deleted")
	}
	defer t.forget(k)
	return t.useRW(func(h pkcs11.SessionHandle) error {
		o, err := t.private(h, k)
		if err != nil {
			return err
		}
		if err := call("C_DestroyObject", t.p11.DestroyObject(h, o)); err != nil {
			return err
		}
		public, err := t.search(h, 3, template(pkcs11.CKO_PUBLIC_KEY, k, true)...)
		for _, o := range public {
			err = errors.Join(err, call("C_DestroyObject", t.p11.DestroyObject(h, o)))
		}
		return err
	})
}

// useRW runs f in a session of its own that may change the token.
func (t *token) useRW(f func(pkcs11.SessionHandle) error) error {
	h, err := t.p11.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err := call("C_OpenSession", err); err != nil {
		return err
	}
	defer func() { _ = t.p11.CloseSession(h) }()
	return f(h)
}
