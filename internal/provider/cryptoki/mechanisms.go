package cryptoki

import (
	"fmt"
	"slices"
	"strconv"

	"signpath/internal/wire"
)

// mechanism is one row of the table of mechanisms.
type mechanism struct {
	id        uint64
	name      string
	algorithm wire.Algorithm // "" for a mechanism that is known and does nothing
	// hash is what C_Sign hashes with. 0 means the host brings the digest: a
	// DigestInfo for CKM_RSA_PKCS, else the bare digest.
	hash   wire.Hash
	listed bool
}

// mechanisms is the one table (PKCS #11 Current Mechanisms v2.40 sections 2.1
// and 2.3; CKM_EDDSA of v3.0). The bare hashes are not offered (Java would send every SHA through
// this module), but C_GetMechanismInfo knows them: Java's RSASSA-PSS asks for
// them before it signs.
var mechanisms = []mechanism{
	{CKM_RSA_PKCS, "CKM_RSA_PKCS", wire.RSAPKCS1, 0, true},
	{CKM_SHA1_RSA_PKCS, "CKM_SHA1_RSA_PKCS", wire.RSAPKCS1, wire.SHA1, true},
	{CKM_SHA256_RSA_PKCS, "CKM_SHA256_RSA_PKCS", wire.RSAPKCS1, wire.SHA256, true},
	{CKM_SHA384_RSA_PKCS, "CKM_SHA384_RSA_PKCS", wire.RSAPKCS1, wire.SHA384, true},
	{CKM_SHA512_RSA_PKCS, "CKM_SHA512_RSA_PKCS", wire.RSAPKCS1, wire.SHA512, true},
	{CKM_RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS", wire.RSAPSS, 0, true},
	{CKM_SHA1_RSA_PKCS_PSS, "CKM_SHA1_RSA_PKCS_PSS", wire.RSAPSS, wire.SHA1, true},
	{CKM_SHA256_RSA_PKCS_PSS, "CKM_SHA256_RSA_PKCS_PSS", wire.RSAPSS, wire.SHA256, true},
	{CKM_SHA384_RSA_PKCS_PSS, "CKM_SHA384_RSA_PKCS_PSS", wire.RSAPSS, wire.SHA384, true},
	{CKM_SHA512_RSA_PKCS_PSS, "CKM_SHA512_RSA_PKCS_PSS", wire.RSAPSS, wire.SHA512, true},
	{CKM_ECDSA, "CKM_ECDSA", wire.ECDSA, 0, true},
	{CKM_ECDSA_SHA1, "CKM_ECDSA_SHA1", wire.ECDSA, wire.SHA1, true},
	{CKM_ECDSA_SHA256, "CKM_ECDSA_SHA256", wire.ECDSA, wire.SHA256, true},
	{CKM_ECDSA_SHA384, "CKM_ECDSA_SHA384", wire.ECDSA, wire.SHA384, true},
	{CKM_ECDSA_SHA512, "CKM_ECDSA_SHA512", wire.ECDSA, wire.SHA512, true},
	{CKM_EDDSA, "CKM_EDDSA", wire.EdDSA, 0, true},
	{CKM_SHA_1, "CKM_SHA_1", "", wire.SHA1, false},
	{CKM_SHA256, "CKM_SHA256", "", wire.SHA256, false},
	{CKM_SHA384, "CKM_SHA384", "", wire.SHA384, false},
	{CKM_SHA512, "CKM_SHA512", "", wire.SHA512, false},
}

// mechanismInfo holds sizes in bits (PKCS #11 Current Mechanisms v2.40 tables of
// sections 2.1.1 and 2.3.1) and flags by algorithm. CKF_HW is set because
// `pkcs11-tool --test` leaves out the signatures of a token without it.
var mechanismInfo = map[wire.Algorithm]MechanismInfo{
	wire.RSAPKCS1: {1024, 16384, CKF_HW | CKF_SIGN | CKF_VERIFY},
	wire.RSAPSS:   {1024, 16384, CKF_HW | CKF_SIGN | CKF_VERIFY},
	wire.ECDSA:    {224, 521, CKF_HW | CKF_SIGN | CKF_VERIFY | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS},
	// PKCS #11 v3.0 mechanisms, section 2.3.14: the size of the field of Ed25519.
	wire.EdDSA: {255, 255, CKF_HW | CKF_SIGN | CKF_VERIFY | CKF_EC_F_P | CKF_EC_NAMEDCURVE},
	"":         {0, 0, 0},
}

// pssHashes maps hashAlg and mgf of a CK_RSA_PKCS_PSS_PARAMS (PKCS #11 Current
// Mechanisms v2.40 sections 2.1.7 and 2.1.9).
var pssHashes = []struct {
	hashAlg, mgf uint64
	hash         wire.Hash
}{
	{CKM_SHA_1, 1, wire.SHA1},
	{CKM_SHA256, 2, wire.SHA256},
	{CKM_SHA384, 3, wire.SHA384},
	{CKM_SHA512, 4, wire.SHA512},
}

// Mechanism is a CK_MECHANISM. Parameter holds the bytes as they stand in the
// host's memory.
type Mechanism struct {
	Type          uint64
	Parameter     []byte
	ParameterNull bool // pParameter was NULL_PTR
}

// MechanismInfo is a CK_MECHANISM_INFO; sizes are in bits.
type MechanismInfo struct{ MinKeySize, MaxKeySize, Flags uint64 }

func mechanismByID(id uint64) (*mechanism, bool) {
	i := slices.IndexFunc(mechanisms, func(m mechanism) bool { return m.id == id })
	if i < 0 {
		return nil, false
	}
	return &mechanisms[i], true
}

func mechanismName(id uint64) string {
	if m, ok := mechanismByID(id); ok {
		return m.name
	}
	return fmt.Sprintf("CKM_0x%08X", id)
}

// mechanismIDs lists what a key of the type signs with; "" lists all.
func mechanismIDs(t wire.KeyType) []uint64 {
	var ids []uint64
	for _, m := range mechanisms {
		if m.listed && (t == "" || m.algorithm.KeyType() == t) {
			ids = append(ids, m.id)
		}
	}
	return ids
}

// pssHash checks a CK_RSA_PKCS_PSS_PARAMS {hashAlg, mgf, sLen} and gives its
// hash. want is the hash of the mechanism, 0 when the parameter decides. The
// service has no field for a salt length and uses the digest's; the sentence
// says what a user can do.
func (e encoding) pssHash(mech Mechanism, want wire.Hash) (wire.Hash, string) {
	size := int(e)
	if mech.ParameterNull || len(mech.Parameter) != 3*size {
		return 0, fmt.Sprintf("the parameter has %d bytes where a CK_RSA_PKCS_PSS_PARAMS has %d", len(mech.Parameter), 3*size)
	}
	hashAlg, mgf := e.parseULong(mech.Parameter[:size]), e.parseULong(mech.Parameter[size:2*size])
	salt := e.parseULong(mech.Parameter[2*size:])
	for _, row := range pssHashes {
		switch {
		case row.hashAlg != hashAlg:
			continue
		case row.mgf != mgf:
			return 0, fmt.Sprintf("PSS works with MGF1 over the same hash only (hash %s, mgf %d); with openssl pkeyutl give -pkeyopt rsa_mgf1_md with the name of the digest", row.hash, mgf)
		case want != 0 && row.hash != want:
			return 0, fmt.Sprintf("the parameter names %s, the mechanism %s", row.hash, want)
		case salt != uint64(row.hash.Size()):
			return 0, fmt.Sprintf("PSS works with a salt as long as the digest only (%d bytes), not %s; with openssl give -pkeyopt rsa_pss_saltlen:-1 (or -sigopt rsa_pss_saltlen:-1)", row.hash.Size(), e.saltText(salt))
		}
		return row.hash, ""
	}
	return 0, fmt.Sprintf("PSS does not work with hash mechanism 0x%X; use SHA-256, SHA-384 or SHA-512", hashAlg)
}

// pureEdDSA checks the parameter of CKM_EDDSA (PKCS #11 v3.0 mechanisms, section
// 2.3.14): without one it is Ed25519, with a CK_EDDSA_PARAMS Ed25519ctx or
// Ed25519ph, which the service does not have.
func pureEdDSA(mech Mechanism) string {
	if !mech.ParameterNull || len(mech.Parameter) != 0 {
		return "CKM_EDDSA works without a parameter only: Ed25519 as in RFC 8032, neither Ed25519ctx nor Ed25519ph"
	}
	return ""
}

// saltText is a salt's length for people. OpenSSL's names for lengths are
// negative numbers, which some of its engines pass on as they are.
func (e encoding) saltText(salt uint64) string {
	unused := 64 - 8*uint(e)
	switch length := int64(salt<<unused) >> unused; {
	case length == -3 || length == -2: // RSA_PSS_SALTLEN_MAX and its older name
		return "the longest possible salt"
	case length < 0:
		return strconv.FormatInt(length, 10)
	}
	return strconv.FormatUint(salt, 10)
}

// MechanismList answers C_GetMechanismList (PKCS #11 v2.40 section 5.5).
func (m *Module) MechanismList(slot uint64) (list []uint64, rv RV) {
	app, rv := m.enter()
	if rv == CKR_OK {
		defer app.trace("C_GetMechanismList", &rv, "slot", slot)
		rv = checkSlot(slot)
	}
	if rv != CKR_OK {
		return nil, rv
	}
	return mechanismIDs(""), CKR_OK
}

// MechanismInfo answers C_GetMechanismInfo (PKCS #11 v2.40 section 5.5).
func (m *Module) MechanismInfo(slot, mech uint64) (info MechanismInfo, rv RV) {
	app, rv := m.enter()
	if rv == CKR_OK {
		defer app.trace("C_GetMechanismInfo", &rv, "slot", slot, "mechanism", mechanismName(mech))
		rv = checkSlot(slot)
	}
	if rv != CKR_OK {
		return info, rv
	}
	row, ok := mechanismByID(mech)
	if !ok {
		return info, CKR_MECHANISM_INVALID
	}
	return mechanismInfo[row.algorithm], CKR_OK
}
