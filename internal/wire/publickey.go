package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// curves is the one table of EC curves: object identifier (RFC 5480 section
// 2.1.1.1), size in bits, length of an uncompressed point in bytes.
var curves = []struct {
	oid   string
	bits  int
	point int
	curve elliptic.Curve
}{
	{"1.2.840.10045.3.1.7", 256, 65, elliptic.P256()},
	{"1.3.132.0.34", 384, 97, elliptic.P384()},
	{"1.3.132.0.35", 521, 133, elliptic.P521()},
}

// CurveOID is the dotted object identifier of the curve with that many bits.
func CurveOID(bits int) (oid string, known bool) {
	for _, c := range curves {
		if c.bits == bits {
			return c.oid, true
		}
	}
	return "", false
}

// errUnknownCurve is an EC key of a curve that this version does not know;
// such keys are skipped like keys of unknown types.
var errUnknownCurve = errors.New("the curve is not P-256, P-384 or P-521")

// Bounds of RSA keys in bits: beyond them one verification takes the time of a
// denial of service, or none is possible.
const (
	minRSABits = 1024
	maxRSABits = 16384
)

// ed25519Bits is what a certificate with such a key has as its size (RFC 8032 section 5.1).
const ed25519Bits = 256

// PublicKey is the policy's key, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. It comes
// from rsaParameters or ecParameters, publicKeyBytes, certificateBytes, the
// first that is present; all that are present must agree with each other, with
// keyType and with keySizeInBits.
func (p *SigningPolicy) PublicKey() (crypto.PublicKey, error) {
	if p.public != nil {
		return p.public, nil
	}
	keyType, known := knownKeyType(p.KeyType)
	if !known {
		return nil, fmt.Errorf("the keyType %q is unknown", clip(string(p.KeyType)))
	}
	sources := []struct {
		member  string
		present bool
		read    func() (crypto.PublicKey, error)
	}{
		{"rsaParameters", keyType == KeyRSA && p.RSAParameters != nil, func() (crypto.PublicKey, error) { return p.RSAParameters.publicKey() }},
		{"ecParameters", keyType == KeyECDSA && p.ECParameters != nil, func() (crypto.PublicKey, error) { return p.ECParameters.publicKey() }},
		{"publicKeyBytes", len(p.PublicKeyBytes) > 0, func() (crypto.PublicKey, error) { return keyFromBytes(p.PublicKeyBytes, keyType) }},
		{"certificateBytes", len(p.CertificateBytes) > 0, func() (crypto.PublicKey, error) { return keyFromCertificate(p.CertificateBytes) }},
	}
	var key crypto.PublicKey
	var from string
	for _, s := range sources {
		if !s.present {
			continue
		}
		next, err := s.read()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.member, err)
		}
		if err := checkKey(next, keyType, p.KeySizeInBits); err != nil {
			return nil, fmt.Errorf("%s: %w", s.member, err)
		}
		if key == nil {
			key, from = next, s.member
		} else if !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(next) {
			return nil, fmt.Errorf("%s and %s hold different keys", from, s.member)
		}
	}
	if key == nil {
		return nil, errors.New("no member tells the public key")
	}
	return key, nil
}

// knownKeyType finds a key type of this version, without regard to case.
func knownKeyType(t KeyType) (KeyType, bool) {
	for _, known := range []KeyType{KeyRSA, KeyECDSA, KeyEd25519} {
		if strings.EqualFold(string(t), string(known)) {
			return known, true
		}
	}
	return "", false
}

// Known tells whether this version knows keys of the type.
func (t KeyType) Known() bool { _, ok := knownKeyType(t); return ok }

func (r *RSAParameters) publicKey() (crypto.PublicKey, error) {
	n, e := new(big.Int).SetBytes(r.Modulus), new(big.Int).SetBytes(r.PublicExponent)
	if e.BitLen() > 31 {
		return nil, errors.New("the public exponent has more than 31 bits")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (e *ECParameters) publicKey() (crypto.PublicKey, error) {
	for _, c := range curves {
		if c.oid == e.CurveOID {
			return pointKey(c.curve, e.Point)
		}
	}
	return nil, errUnknownCurve
}

func pointKey(curve elliptic.Curve, point []byte) (crypto.PublicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("the bytes are not an uncompressed point of the curve")
	}
	return key, nil
}

// keyFromBytes reads publicKeyBytes. Documented is the content of the bit
// string in a SubjectPublicKeyInfo; a whole SubjectPublicKeyInfo is taken too,
// because for EC keys no public source tells what other services send.
func keyFromBytes(b []byte, keyType KeyType) (crypto.PublicKey, error) {
	if keyType == KeyEd25519 && len(b) == ed25519.PublicKeySize {
		return ed25519.PublicKey(b), nil
	}
	if keyType == KeyRSA {
		if key, err := x509.ParsePKCS1PublicKey(b); err == nil {
			return key, nil
		}
	} else if keyType == KeyECDSA && b[0] == 4 {
		for _, c := range curves {
			if c.point == len(b) {
				return pointKey(c.curve, b)
			}
		}
		return nil, errUnknownCurve
	}
	key, err := x509.ParsePKIXPublicKey(b)
	if err != nil {
		switch keyType {
		case KeyRSA:
			return nil, errors.New("the bytes are not the DER of a PKCS #1 RSAPublicKey")
		case KeyEd25519:
			return nil, errors.New("the bytes are not the 32 of an Ed25519 key")
		}
		return nil, errors.New("the bytes are not an uncompressed point")
	}
	return key, nil
}

func keyFromCertificate(der []byte) (crypto.PublicKey, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("not an X.509 certificate: %w", err)
	}
	return c.PublicKey, nil
}

// checkKey tells whether key is of the right type, sound, and of the size (0: any).
func checkKey(key crypto.PublicKey, keyType KeyType, size int) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		switch {
		case keyType != KeyRSA:
			return errors.New("the key is an RSA key, keyType says otherwise")
		case bits < minRSABits || bits > maxRSABits:
			return fmt.Errorf("the RSA modulus has %d bits; between %d and %d are possible", bits, minRSABits, maxRSABits)
		case key.N.Bit(0) == 0 || key.E < 3 || key.E&1 == 0:
			return errors.New("the RSA modulus and the public exponent must be odd and the exponent at least 3")
		case size != 0 && size != bits && size != key.Size()*8:
			return fmt.Errorf("the RSA modulus has %d bits, keySizeInBits says %d", bits, size)
		}
		return nil
	case *ecdsa.PublicKey:
		if keyType != KeyECDSA {
			return errors.New("the key is an EC key, keyType says otherwise")
		}
		for _, c := range curves {
			if c.curve != key.Curve {
				continue
			}
			if size != 0 && size != c.bits {
				return fmt.Errorf("the curve has %d bits, keySizeInBits says %d", c.bits, size)
			}
			return nil
		}
		return errUnknownCurve
	case ed25519.PublicKey:
		switch {
		case keyType != KeyEd25519:
			return errors.New("the key is an Ed25519 key, keyType says otherwise")
		case size != 0 && size != ed25519Bits:
			return fmt.Errorf("an Ed25519 key has %d bits, keySizeInBits says %d", ed25519Bits, size)
		}
		return nil
	}
	return fmt.Errorf("keys of type %T are unknown", key)
}
