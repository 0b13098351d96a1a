package cryptoki

import (
	"bytes"
	"crypto/ed25519"
	"hash"

	"signpath/internal/wire"
)

// operationKind is the place of an operation in a session: one of each may be
// active at a time.
type operationKind int

const (
	signing operationKind = iota
	verifying
)

// operation is an active signing or verification.
type operation struct {
	mechanism *mechanism
	object    *object
	// hash is of the mechanism or of its parameter; 0 for CKM_RSA_PKCS, whose
	// DigestInfo names it, and for CKM_ECDSA, which needs none.
	hash   wire.Hash
	digest hash.Hash // hashes the parts; nil when the host brings the digest
	parts  []byte    // what the host brought then
	multi  bool      // C_SignUpdate or C_VerifyUpdate was called
	final  bool      // C_SignFinal or C_VerifyFinal ends it
	busy   bool      // a call is working on it; guarded by the session's lock
}

// maxParts bounds in bytes what multi-part calls may bring to a mechanism that
// does not hash: more than any DigestInfo.
const maxParts = 4096

// newOperation checks mechanism and key (PKCS #11 v2.40 section 5.11, C_SignInit,
// and section 5.12, C_VerifyInit). The sentence says why a parameter is refused.
func (a *application) newOperation(kind operationKind, mech Mechanism, key uint64) (op *operation, rv RV, cause string) {
	m, ok := mechanismByID(mech.Type)
	if !ok || !m.listed {
		return nil, CKR_MECHANISM_INVALID, ""
	}
	o, rv := a.key(kind, key)
	if rv != CKR_OK {
		return nil, rv, ""
	}
	if m.algorithm.KeyType() != o.wireKeyType() {
		return nil, CKR_KEY_TYPE_INCONSISTENT, ""
	}
	op = &operation{mechanism: m, object: o, hash: m.hash}
	if m.algorithm == wire.RSAPSS {
		if op.hash, cause = a.encoding.pssHash(mech, m.hash); cause != "" {
			return nil, CKR_MECHANISM_PARAM_INVALID, cause
		}
	}
	if m.algorithm == wire.EdDSA {
		if cause = pureEdDSA(mech); cause != "" {
			return nil, CKR_MECHANISM_PARAM_INVALID, cause
		}
	}
	if m.hash != 0 {
		op.digest = m.hash.Crypto().New()
	}
	return op, CKR_OK, ""
}

// key finds the key for a kind of operation. A private key for C_SignInit, a
// public one for C_VerifyInit; the other one of the two is a key of the wrong
// type, a certificate is none.
func (a *application) key(kind operationKind, handle uint64) (*object, RV) {
	o, ok := a.object(handle)
	want := uint64(CKO_PRIVATE_KEY)
	if kind == verifying {
		want = CKO_PUBLIC_KEY
	}
	switch {
	case !ok && a.wasPrivate(handle):
		return nil, CKR_USER_NOT_LOGGED_IN
	case !ok || o.class == CKO_CERTIFICATE:
		return nil, CKR_KEY_HANDLE_INVALID
	case o.class != want:
		return nil, CKR_KEY_TYPE_INCONSISTENT
	}
	return o, CKR_OK
}

// wasPrivate tells whether nobody is logged in and the handle was that of a
// private key during an earlier login.
func (a *application) wasPrivate(handle uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.loggedIn && a.handles.retired[handle]
}

// begin makes an operation active unless one is.
func (s *session) begin(kind operationKind, op *operation) RV {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.operations[kind] != nil {
		return CKR_OPERATION_ACTIVE
	}
	s.operations[kind] = op
	return CKR_OK
}

func (s *session) active(kind operationKind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.operations[kind] != nil
}

// cancel ends an active operation without a result. One that another thread is
// working on cannot be cancelled.
func (s *session) cancel(kind operationKind) RV {
	op, rv := s.claim(kind)
	switch {
	case rv == CKR_OK:
		s.release(kind, op, false)
	case s.active(kind):
		return CKR_OPERATION_CANCEL_FAILED
	}
	return rv
}

// claim takes the active operation for one call. An operation that another
// thread is working on is nobody else's to continue.
func (s *session) claim(kind operationKind) (*operation, RV) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := s.operations[kind]
	if op == nil || op.busy {
		return nil, CKR_OPERATION_NOT_INITIALIZED
	}
	op.busy = true
	return op, CKR_OK
}

// release ends the call: the operation stays active or is over.
func (s *session) release(kind operationKind, op *operation, stays bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op.busy = false
	if !stays {
		s.operations[kind] = nil
	}
}

// update adds a part. Mechanisms that do not hash are single-part ones in the
// standard; their parts are collected, because pkcs11-tool repeats a C_Sign that
// failed as C_SignUpdate and C_SignFinal, and would show another error.
func (op *operation) update(part []byte) RV {
	op.multi = true
	if op.digest != nil {
		op.digest.Write(part)
		return CKR_OK
	}
	most := maxParts
	if op.mechanism.algorithm == wire.EdDSA {
		most = wire.MaxMessage
	}
	if len(op.parts)+len(part) > most {
		return CKR_DATA_LEN_RANGE
	}
	op.parts = append(op.parts, part...)
	return CKR_OK
}

// whole takes the data of a single-part call: hashed, or as it is.
func (op *operation) whole(data []byte) []byte {
	if op.digest != nil {
		op.digest.Write(data)
	}
	return data
}

// hints say what a user can do about data that a mechanism does not take.
const (
	hintDigestInfo = "CKM_RSA_PKCS takes a DigestInfo over SHA-1, SHA-256, SHA-384 or SHA-512, not a bare digest and not a file; with openssl pkeyutl give -pkeyopt digest:sha256, with pkcs11-tool use --mechanism SHA256-RSA-PKCS on the file itself"
	hintPSSDigest  = "CKM_RSA_PKCS_PSS takes the bare digest of the hash in its parameter; give the digest as bytes, not as text"
	hintECDigest   = "CKM_ECDSA takes a bare digest of 20, 28, 32, 48 or 64 bytes; give the digest as bytes, or use a mechanism that hashes, e.g. ECDSA-SHA256"
	hintEdDSA      = "CKM_EDDSA signs the message itself, of 1 byte to 1 MiB; sign a digest of a longer file, if the format that you sign for allows it"
)

// finish gives the scheme and the digest to sign; data is what the host brought
// if the mechanism does not hash.
func (op *operation) finish(data []byte) (scheme wire.Scheme, digest []byte, rv RV, hint string) {
	scheme = wire.Scheme{Algorithm: op.mechanism.algorithm, Hash: op.hash}
	switch {
	case op.digest != nil:
		digest = op.digest.Sum(nil)
	case scheme.Algorithm == wire.RSAPKCS1:
		h, d, ok := parseDigestInfo(data)
		switch {
		case !ok && op.final: // CKR_DATA_INVALID is for C_Sign and C_Verify only (sections 5.11 and 5.12)
			return scheme, nil, CKR_DATA_LEN_RANGE, hintDigestInfo
		case !ok:
			return scheme, nil, CKR_DATA_INVALID, hintDigestInfo
		}
		scheme.Hash, digest = h, bytes.Clone(d)
	case scheme.Algorithm == wire.RSAPSS:
		if len(data) != op.hash.Size() {
			return scheme, nil, CKR_DATA_LEN_RANGE, hintPSSDigest
		}
		digest = bytes.Clone(data)
	case scheme.Algorithm == wire.EdDSA:
		if len(data) < 1 || len(data) > wire.MaxMessage {
			return scheme, nil, CKR_DATA_LEN_RANGE, hintEdDSA
		}
		digest = bytes.Clone(data)
	default:
		if !wire.IsECDSADigestLength(len(data)) {
			return scheme, nil, CKR_DATA_LEN_RANGE, hintECDigest
		}
		digest = bytes.Clone(data)
	}
	if scheme.Algorithm == wire.ECDSA {
		scheme.Hash = 0 // the wire names none
	}
	return scheme, digest, CKR_OK, ""
}

// signatureSize is the length of every signature of the key in bytes: the RSA
// modulus, r‖s, or R‖S.
func (o *object) signatureSize() int {
	switch o.wireKeyType() {
	case wire.KeyECDSA:
		return 2 * ((o.ec().Curve.Params().BitSize + 7) / 8)
	case wire.KeyEd25519:
		return ed25519.SignatureSize
	}
	return o.rsa().Size()
}
