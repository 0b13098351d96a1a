package cryptoki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"math/big"

	"signpath/internal/wire"
)

// VerifyInit answers C_VerifyInit (PKCS #11 v2.40 section 5.12). Verification is
// done here with the public key; the service is not asked.
func (m *Module) VerifyInit(handle uint64, mech Mechanism, key uint64) RV {
	return m.initOperation("C_VerifyInit", verifying, handle, mech, key)
}

// VerifyCancel answers C_VerifyInit without a mechanism, which ends an active
// operation (PKCS #11 v3.0 section 5.15).
func (m *Module) VerifyCancel(handle uint64) RV {
	return m.cancelOperation("C_VerifyInit", verifying, handle)
}

// VerifyUpdate answers C_VerifyUpdate (PKCS #11 v2.40 section 5.12).
func (m *Module) VerifyUpdate(handle uint64, part []byte) RV {
	return m.updateOperation("C_VerifyUpdate", verifying, handle, part)
}

// Verify answers C_Verify (PKCS #11 v2.40 section 5.12).
func (m *Module) Verify(handle uint64, data, sig []byte) (rv RV) {
	app, leave, rv := m.enterLong()
	if rv != CKR_OK {
		return rv
	}
	defer leave()
	defer app.trace("C_Verify", &rv, "session", handle, "dataLen", len(data), "signatureLen", len(sig))
	return app.verify(handle, true, data, sig)
}

// VerifyFinal answers C_VerifyFinal (PKCS #11 v2.40 section 5.12).
func (m *Module) VerifyFinal(handle uint64, sig []byte) (rv RV) {
	app, leave, rv := m.enterLong()
	if rv != CKR_OK {
		return rv
	}
	defer leave()
	defer app.trace("C_VerifyFinal", &rv, "session", handle, "signatureLen", len(sig))
	return app.verify(handle, false, nil, sig)
}

// verify claims the operation and ends it: both functions always do.
func (a *application) verify(handle uint64, single bool, data, sig []byte) RV {
	s, rv := a.session(handle)
	if rv != CKR_OK {
		return rv
	}
	op, rv := s.claim(verifying)
	if rv != CKR_OK {
		return rv
	}
	defer s.release(verifying, op, false)
	if single && op.multi {
		return CKR_OPERATION_NOT_INITIALIZED // as for C_Sign
	}
	op.final = !single
	if single {
		return op.verify(op.whole(data), sig)
	}
	return op.verify(op.parts, sig)
}

func (op *operation) verify(data, sig []byte) RV {
	if len(sig) != op.object.signatureSize() {
		return CKR_SIGNATURE_LEN_RANGE
	}
	scheme, digest, rv, _ := op.finish(data)
	if rv != CKR_OK {
		return rv
	}
	if !validSignature(op.object, scheme, digest, sig) {
		return CKR_SIGNATURE_INVALID
	}
	return CKR_OK
}

// validSignature checks a signature of the right length.
func validSignature(o *object, scheme wire.Scheme, digest, sig []byte) bool {
	hash := scheme.Hash.Crypto()
	switch scheme.Algorithm {
	case wire.RSAPKCS1:
		return rsa.VerifyPKCS1v15(o.rsa(), hash, digest, sig) == nil
	case wire.RSAPSS:
		return rsa.VerifyPSS(o.rsa(), hash, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}) == nil
	case wire.EdDSA:
		return ed25519.Verify(o.public.(ed25519.PublicKey), digest, sig)
	}
	half := len(sig) / 2
	return ecdsa.Verify(o.ec(), digest, new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:]))
}
