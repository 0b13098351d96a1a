//go:build cgo && unix

package main

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"signpath/internal/service/keys/hsm/hsmwire"
)

// pssHashes are the parameters of CKM_RSA_PKCS_PSS (PKCS #11 v2.40 mechanisms,
// section 2.1.9). There is no MGF1 with MD5.
var pssHashes = map[string]struct{ mechanism, mgf, size uint }{
	"SHA-1":   {pkcs11.CKM_SHA_1, pkcs11.CKG_MGF1_SHA1, 20},
	"SHA-256": {pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32},
	"SHA-384": {pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384, 48},
	"SHA-512": {pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512, 64},
}

// Mechanisms of PKCS #11 v3.0, which the library does not know.
const (
	ckmEdwardsKeyPairGen = 0x1055
	ckmEdDSA             = 0x1057
)

func refused(format string, args ...any) error {
	return &hsmwire.Error{Class: hsmwire.ClassRefused, Before: true, Text: fmt.Sprintf(format, args...)}
}

func mechanism(s *hsmwire.Sign) (*pkcs11.Mechanism, error) {
	switch s.Mechanism {
	case hsmwire.MechanismPKCS1:
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil), nil
	case hsmwire.MechanismECDSA:
		return pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), nil
	case hsmwire.MechanismEdDSA:
		return pkcs11.NewMechanism(ckmEdDSA, nil), nil
	case hsmwire.MechanismPSS:
		h, ok := pssHashes[s.Hash]
		if !ok || uint(len(s.Data)) != h.size {
			return nil, refused("tokens do not sign RSA-PSS with %q and %d bytes", s.Hash, len(s.Data))
		}
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, pkcs11.NewPSSParams(h.mechanism, h.mgf, h.size)), nil
	}
	return nil, refused("the mechanism %q is unknown", s.Mechanism)
}

// sign makes one signature. A key whose handle went stale is looked up again, once.
func (t *token) sign(s *hsmwire.Sign) (signature []byte, err error) {
	m, err := mechanism(s)
	if err != nil {
		return nil, err
	}
	if len(s.Data) == 0 {
		return nil, refused("there is nothing to sign")
	}
	once := func(h pkcs11.SessionHandle) error {
		o, err := t.cached(h, s.Key)
		if err != nil {
			return err
		}
		if err := call("C_SignInit", t.p11.SignInit(h, []*pkcs11.Mechanism{m}, o)); err != nil {
			return err
		}
		signature, err = t.p11.Sign(h, s.Data)
		return call("C_Sign", err)
	}
	err = t.use(once)
	if c, ok := asCall(err); ok && c.rule().remedy == key && c.rule().before {
		t.forget(s.Key)
		err = t.use(once)
	}
	return signature, err
}

func asCall(err error) (*callError, bool) {
	var c *callError
	return c, errors.As(err, &c)
}

// generate makes a key pair that cannot leave the token, and checks that the
// token agreed.
func (t *token) generate(g *hsmwire.Generate) (key *hsmwire.Key, err error) {
	if len(g.ID) == 0 {
		return nil, refused("a new key needs a CKA_ID")
	}
	m, public, private, err := keyTemplates(g)
	if err != nil {
		return nil, err
	}
	err = t.useRW(func(h pkcs11.SessionHandle) error {
		pub, priv, err := t.p11.GenerateKeyPair(h, []*pkcs11.Mechanism{m}, public, private)
		if err := call("C_GenerateKeyPair", err); err != nil {
			return err
		}
		key, err = t.describe(h, priv)
		if err == nil && (!key.Sensitive || key.Extractable || !key.CanSign) {
			err = refused("the token %q made a key that can leave it or cannot sign; the key was deleted", t.info.Label)
		}
		if err != nil { // nobody would find the key again
			err = errors.Join(err, call("C_DestroyObject", t.p11.DestroyObject(h, priv)), call("C_DestroyObject", t.p11.DestroyObject(h, pub)))
			key = nil
		}
		return err
	})
	return key, err
}

func keyTemplates(g *hsmwire.Generate) (m *pkcs11.Mechanism, public, private []*pkcs11.Attribute, err error) {
	a := pkcs11.NewAttribute
	public = []*pkcs11.Attribute{
		a(pkcs11.CKA_TOKEN, true), a(pkcs11.CKA_VERIFY, true),
		a(pkcs11.CKA_ID, g.ID), a(pkcs11.CKA_LABEL, g.Label),
	}
	private = []*pkcs11.Attribute{
		a(pkcs11.CKA_TOKEN, true), a(pkcs11.CKA_PRIVATE, true), a(pkcs11.CKA_SENSITIVE, true), a(pkcs11.CKA_EXTRACTABLE, false), a(pkcs11.CKA_SIGN, true),
		a(pkcs11.CKA_ID, g.ID), a(pkcs11.CKA_LABEL, g.Label),
	}
	switch g.Type {
	case hsmwire.RSA:
		// Signing keys that decrypt could be used to forge signatures.
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil),
			append(public, a(pkcs11.CKA_MODULUS_BITS, g.Bits), a(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}), a(pkcs11.CKA_ENCRYPT, false), a(pkcs11.CKA_WRAP, false)),
			append(private, a(pkcs11.CKA_DECRYPT, false), a(pkcs11.CKA_UNWRAP, false)), nil
	case hsmwire.ECDSA:
		for _, c := range curves {
			if c.bits == g.Bits {
				oid, err := asn1.Marshal(c.oid)
				return pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil), append(public, a(pkcs11.CKA_EC_PARAMS, oid)), append(private, a(pkcs11.CKA_DERIVE, false)), err
			}
		}
	case hsmwire.Ed25519:
		// PKCS #11 v3.0 mechanisms, section 2.3.4: the curve by name; later versions also take its identifier.
		name, err := asn1.MarshalWithParams("edwards25519", "printable")
		return pkcs11.NewMechanism(ckmEdwardsKeyPairGen, nil), append(public, a(pkcs11.CKA_EC_PARAMS, name)), append(private, a(pkcs11.CKA_DERIVE, false)), err
	}
	return nil, nil, nil, refused("there are no keys of type %q with %d bits", g.Type, g.Bits)
}
