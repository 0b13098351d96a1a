package cryptoki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"

	"signpath/internal/wire"
)

// AttributeValue is one answer of C_GetAttributeValue. RV is CKR_OK,
// CKR_ATTRIBUTE_TYPE_INVALID or CKR_ATTRIBUTE_SENSITIVE. Value is encoded as the
// host reads it: CK_ULONG little-endian in Options.ULongSize bytes, CK_BBOOL one
// byte, big integers big-endian, texts in UTF-8 without a final NUL.
type AttributeValue struct {
	Value []byte
	RV    RV
}

// attribute computes one value of an object. ok false means that this object
// does not have it although its class may.
type attribute struct {
	value     func(*object, encoding) []byte
	sensitive bool
}

func constant(v bool) attribute {
	b := boolean(v)
	return attribute{value: func(*object, encoding) []byte { return b }}
}
func number(v uint64) attribute {
	return attribute{value: func(_ *object, e encoding) []byte { return e.ulong(v) }}
}
func computed(f func(*object, encoding) []byte) attribute { return attribute{value: f} }
func empty() attribute                                    { return computed(func(*object, encoding) []byte { return []byte{} }) }
func secretValue() attribute                              { return attribute{sensitive: true} }

// The tables of attributes. Every object has the common ones (PKCS #11 v2.40
// sections 4.4 and 4.5; CKA_UNIQUE_ID is of v3.0), those of its class, and keys those of their type.
var (
	commonAttributes = map[uint64]attribute{
		CKA_CLASS:       computed(func(o *object, e encoding) []byte { return e.ulong(o.class) }),
		CKA_TOKEN:       constant(true),
		CKA_PRIVATE:     computed(func(o *object, _ encoding) []byte { return boolean(o.private()) }),
		CKA_LABEL:       computed(func(o *object, _ encoding) []byte { return o.label }),
		CKA_UNIQUE_ID:   computed(func(o *object, _ encoding) []byte { return o.uniqueID() }),
		CKA_ID:          computed(func(o *object, _ encoding) []byte { return o.id }),
		CKA_MODIFIABLE:  constant(false),
		CKA_COPYABLE:    constant(false),
		CKA_DESTROYABLE: constant(false),
	}

	// Section 4.6.3.
	certificateAttributes = map[uint64]attribute{
		CKA_CERTIFICATE_TYPE:           number(CKC_X_509),
		CKA_TRUSTED:                    constant(false),
		CKA_CERTIFICATE_CATEGORY:       computed(func(o *object, e encoding) []byte { return e.ulong(o.category) }),
		CKA_JAVA_MIDP_SECURITY_DOMAIN:  number(categoryUnspecified),
		CKA_CHECK_VALUE:                computed(func(o *object, _ encoding) []byte { return o.certificate.checkValue() }),
		CKA_START_DATE:                 computed(func(o *object, _ encoding) []byte { return date(o.certificate.notBefore) }),
		CKA_END_DATE:                   computed(func(o *object, _ encoding) []byte { return date(o.certificate.notAfter) }),
		CKA_PUBLIC_KEY_INFO:            computed(func(o *object, _ encoding) []byte { return o.certificate.publicKeyInfo }),
		CKA_SUBJECT:                    computed(func(o *object, _ encoding) []byte { return o.certificate.subject }),
		CKA_ISSUER:                     computed(func(o *object, _ encoding) []byte { return o.certificate.issuer }),
		CKA_SERIAL_NUMBER:              computed(func(o *object, _ encoding) []byte { return o.certificate.serial }),
		CKA_VALUE:                      computed(func(o *object, _ encoding) []byte { return o.certificate.raw }),
		CKA_URL:                        empty(),
		CKA_HASH_OF_SUBJECT_PUBLIC_KEY: computed(func(o *object, _ encoding) []byte { return o.certificate.keyID() }),
		CKA_HASH_OF_ISSUER_PUBLIC_KEY: computed(func(o *object, _ encoding) []byte {
			if o.issuer == nil {
				return []byte{}
			}
			return o.issuer.keyID()
		}),
		CKA_NAME_HASH_ALGORITHM: number(CKM_SHA_1),
	}

	// Section 4.7. Where the key was made is not known here, so CKA_LOCAL is
	// false, and CKA_KEY_GEN_MECHANISM then has to be unavailable.
	keyAttributes = map[uint64]attribute{
		CKA_KEY_TYPE:          computed(func(o *object, e encoding) []byte { return e.ulong(o.keyType()) }),
		CKA_START_DATE:        empty(),
		CKA_END_DATE:          empty(),
		CKA_DERIVE:            constant(false),
		CKA_LOCAL:             constant(false),
		CKA_KEY_GEN_MECHANISM: number(Unavailable),
		CKA_ALLOWED_MECHANISMS: computed(func(o *object, e encoding) []byte {
			return e.ulongs(mechanismIDs(o.wireKeyType()))
		}),
		CKA_SUBJECT: computed(func(o *object, _ encoding) []byte {
			if o.certificate == nil {
				return []byte{}
			}
			return o.certificate.subject
		}),
		CKA_PUBLIC_KEY_INFO: computed(func(o *object, _ encoding) []byte {
			der, err := x509.MarshalPKIXPublicKey(o.public)
			if err != nil {
				return []byte{} // not reached: newObjects checked the key
			}
			return der
		}),
	}

	// Section 4.8.
	publicKeyAttributes = map[uint64]attribute{
		CKA_ENCRYPT:        constant(false),
		CKA_VERIFY:         constant(true),
		CKA_VERIFY_RECOVER: constant(false),
		CKA_WRAP:           constant(false),
		CKA_TRUSTED:        constant(false),
	}

	// Section 4.9.
	privateKeyAttributes = map[uint64]attribute{
		CKA_SENSITIVE:           constant(true),
		CKA_ALWAYS_SENSITIVE:    constant(true),
		CKA_EXTRACTABLE:         constant(false),
		CKA_NEVER_EXTRACTABLE:   constant(true),
		CKA_SIGN:                constant(true),
		CKA_SIGN_RECOVER:        constant(false),
		CKA_DECRYPT:             constant(false),
		CKA_UNWRAP:              constant(false),
		CKA_WRAP_WITH_TRUSTED:   constant(false),
		CKA_ALWAYS_AUTHENTICATE: constant(false),
	}

	// Current Mechanisms section 2.1.2. The private key shows the public part as
	// well: it saves hosts a second search.
	rsaAttributes = map[uint64]attribute{
		CKA_MODULUS:         computed(func(o *object, _ encoding) []byte { return o.rsa().N.Bytes() }),
		CKA_MODULUS_BITS:    computed(func(o *object, e encoding) []byte { return e.ulong(uint64(o.rsa().N.BitLen())) }),
		CKA_PUBLIC_EXPONENT: computed(func(o *object, _ encoding) []byte { return big.NewInt(int64(o.rsa().E)).Bytes() }),
	}
	// Section 2.1.3.
	rsaPrivateAttributes = map[uint64]attribute{
		CKA_PRIVATE_EXPONENT: secretValue(),
		CKA_PRIME_1:          secretValue(),
		CKA_PRIME_2:          secretValue(),
		CKA_EXPONENT_1:       secretValue(),
		CKA_EXPONENT_2:       secretValue(),
		CKA_COEFFICIENT:      secretValue(),
	}
	// Section 2.3.3: the curve's object identifier in DER, the uncompressed point
	// 04‖X‖Y in a DER OCTET STRING.
	ecAttributes = map[uint64]attribute{
		CKA_EC_PARAMS: computed(func(o *object, _ encoding) []byte { return curveParams(o.ec().Curve) }),
		CKA_EC_POINT: computed(func(o *object, _ encoding) []byte {
			point, err := o.ec().Bytes()
			if err != nil {
				return []byte{} // not reached: newObjects checked the key
			}
			der, _ := asn1.Marshal(point)
			return der
		}),
	}
	// PKCS #11 v3.0 mechanisms, sections 2.3.5 and 2.3.6: the object identifier of
	// Ed25519 in DER (RFC 8410 section 3), the 32 bytes of the key in a DER OCTET STRING.
	edwardsAttributes = map[uint64]attribute{
		CKA_EC_PARAMS: computed(func(*object, encoding) []byte { return []byte{0x06, 0x03, 0x2b, 0x65, 0x70} }),
		CKA_EC_POINT: computed(func(o *object, _ encoding) []byte {
			der, _ := asn1.Marshal([]byte(o.public.(ed25519.PublicKey)))
			return der
		}),
	}
	// Section 2.3.4.
	ecPrivateAttributes = map[uint64]attribute{CKA_VALUE: secretValue()}
)

// attributeTables gives the tables of a class and a key type, in the order in
// which they are asked.
func attributeTables(class uint64, t wire.KeyType) []map[uint64]attribute {
	curve := ecAttributes
	if t == wire.KeyEd25519 {
		curve = edwardsAttributes
	}
	switch {
	case class == CKO_CERTIFICATE:
		return []map[uint64]attribute{commonAttributes, certificateAttributes}
	case class == CKO_PUBLIC_KEY && t == wire.KeyRSA:
		return []map[uint64]attribute{commonAttributes, keyAttributes, publicKeyAttributes, rsaAttributes}
	case class == CKO_PUBLIC_KEY:
		return []map[uint64]attribute{commonAttributes, keyAttributes, publicKeyAttributes, curve}
	case t == wire.KeyRSA:
		return []map[uint64]attribute{commonAttributes, keyAttributes, privateKeyAttributes, rsaAttributes, rsaPrivateAttributes}
	default:
		return []map[uint64]attribute{commonAttributes, keyAttributes, privateKeyAttributes, curve, ecPrivateAttributes}
	}
}

// attribute answers for one type (PKCS #11 v2.40 section 5.7, C_GetAttributeValue).
func (o *object) attribute(t uint64, e encoding) AttributeValue {
	for _, table := range attributeTables(o.class, o.wireKeyType()) {
		a, ok := table[t]
		switch {
		case !ok:
			continue
		case a.sensitive:
			return AttributeValue{RV: CKR_ATTRIBUTE_SENSITIVE}
		}
		return AttributeValue{Value: a.value(o, e), RV: CKR_OK}
	}
	return AttributeValue{RV: CKR_ATTRIBUTE_TYPE_INVALID}
}

func (o *object) private() bool        { return o.class == CKO_PRIVATE_KEY }
func (o *object) rsa() *rsa.PublicKey  { return o.public.(*rsa.PublicKey) }
func (o *object) ec() *ecdsa.PublicKey { return o.public.(*ecdsa.PublicKey) }
func (o *object) keyType() uint64 {
	switch o.wireKeyType() {
	case wire.KeyECDSA:
		return CKK_EC
	case wire.KeyEd25519:
		return CKK_EC_EDWARDS
	}
	return CKK_RSA
}

func (o *object) wireKeyType() wire.KeyType {
	switch o.public.(type) {
	case *ecdsa.PublicKey:
		return wire.KeyECDSA
	case ed25519.PublicKey:
		return wire.KeyEd25519
	}
	return wire.KeyRSA
}

// curves are the named curves that CKA_EC_PARAMS can name.
var curves = []struct {
	curve elliptic.Curve
	oid   asn1.ObjectIdentifier
}{
	{elliptic.P224(), asn1.ObjectIdentifier{1, 3, 132, 0, 33}},
	{elliptic.P256(), asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}},
	{elliptic.P384(), asn1.ObjectIdentifier{1, 3, 132, 0, 34}},
	{elliptic.P521(), asn1.ObjectIdentifier{1, 3, 132, 0, 35}},
}

// curveParams is the DER of the curve's object identifier, nil for others.
func curveParams(c elliptic.Curve) []byte {
	for _, row := range curves {
		if row.curve == c {
			der, _ := asn1.Marshal(row.oid)
			return der
		}
	}
	return nil
}
