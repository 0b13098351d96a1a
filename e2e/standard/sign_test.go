package standard

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
)

// digestInfo is the DER of a DigestInfo with SHA-256.
func digestInfo(data []byte) []byte {
	sum := sha256.Sum256(data)
	return append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, sum[:]...)
}

func digest(data []byte) []byte { sum := sha256.Sum256(data); return sum[:] }

// pss is a CK_RSA_PKCS_PSS_PARAMS with SHA-256 and a salt of so many bytes.
func pss(salt uint64) []byte { return long(ckmSHA256, 2, salt) }

var message = bytes.Repeat([]byte("a message that is longer than one block of any digest "), 20)

// ways are the ways to sign a message with SHA-256: mechanism, what C_Sign gets, and
// the check by a verifier that is not the module's.
type way struct {
	name      string
	kind      uint64
	parameter []byte
	data      []byte
	ec, multi bool
}

var ways = []way{
	{"CKM_RSA_PKCS", ckmRSAPKCS, nil, digestInfo(message), false, false},
	{"CKM_SHA256_RSA_PKCS", ckmSHA256RSAPKCS, nil, message, false, true},
	{"CKM_RSA_PKCS_PSS", ckmRSAPSS, pss(32), digest(message), false, false},
	{"CKM_SHA256_RSA_PKCS_PSS", ckmSHA256RSAPSS, pss(32), message, false, true},
	{"CKM_ECDSA", ckmECDSA, nil, digest(message), true, false},
}

func (w way) key(r *run, s uint64) uint64 {
	if w.ec {
		return r.ec(s)
	}
	return r.rsa(s)
}

func (w way) public(r *run, s uint64) uint64 {
	if w.ec {
		return r.ecPublic(s)
	}
	return r.rsaPublic(s)
}

func (w way) check(r *run, s uint64, sig []byte) {
	if w.ec {
		point := r.value(s, r.ecPublic(s), ckaECPoint)[2:]
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			r.fail("CKA_EC_POINT: %v", err)
		}
		if len(sig) != 64 || !ecdsa.Verify(key, digest(message), new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
			r.fail("%s: the signature is wrong", w.name)
		}
		return
	}
	public := r.rsaPublic(s)
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(r.value(s, public, ckaModulus)), E: int(new(big.Int).SetBytes(r.value(s, public, ckaPublicExponent)).Int64())}
	var err error
	if w.parameter != nil {
		err = rsa.VerifyPSS(key, crypto.SHA256, digest(message), sig, &rsa.PSSOptions{SaltLength: 32})
	} else {
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest(message), sig)
	}
	if err != nil {
		r.fail("%s: %v", w.name, err)
	}
}

// begun is a session with an active C_SignInit for CKM_SHA256_RSA_PKCS.
func begun(r *run) uint64 {
	s := r.ready()
	r.ok("C_SignInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsa(s))
	return s
}

var signing = []kase{
	{section: "5.11", name: "C_Sign signs, and another verifier accepts", do: func(r *run) {
		s := r.ready()
		for _, w := range ways {
			w.check(r, s, r.sign(s, r.mechanism(w.kind, w.parameter), w.key(r, s), w.data))
			r.idle(s)
		}
	}},
	{section: "5.11", name: "C_SignUpdate and C_SignFinal sign, whatever the parts are", do: func(r *run) {
		s := r.ready()
		for _, w := range ways {
			if !w.multi {
				continue
			}
			for _, sizes := range [][]int{{len(w.data)}, {1, 63, 64, 65}, {0, 0, 17}, {}} {
				r.ok("C_SignInit", s, r.mechanism(w.kind, w.parameter), w.key(r, s))
				left := w.data
				for _, n := range append(sizes, len(w.data)) {
					n = min(n, len(left))
					r.ok("C_SignUpdate", s, r.bytes(left[:n]), uint64(n))
					left = left[n:]
				}
				n := r.longs(384)
				sig := r.mem(384)
				r.ok("C_SignFinal", s, sig, n)
				r.equal("the length", r.long(n), 384)
				w.check(r, s, r.read(sig, 384))
				r.idle(s)
			}
		}
	}},
	{section: "5.11", name: "C_SignInit twice", do: func(r *run) {
		s := r.ready()
		key, m := r.rsa(s), r.mechanism(ckmSHA256RSAPKCS, nil)
		r.ok("C_SignInit", s, m, key)
		r.want(CKR_OPERATION_ACTIVE, "C_SignInit", s, m, key)
		r.signed(s, message)
	}},
	{section: "5.11", name: "C_SignInit with a handle that is no key's", do: func(r *run) {
		s := r.ready()
		for _, h := range []uint64{0, nowhere, s} {
			r.want(CKR_KEY_HANDLE_INVALID, "C_SignInit", s, r.mechanism(ckmRSAPKCS, nil), h)
		}
		r.idle(s)
	}},
	{section: "5.11", name: "C_SignInit with a certificate", fits: ours, do: func(r *run) {
		s := r.ready()
		r.want(CKR_KEY_HANDLE_INVALID, "C_SignInit", s, r.mechanism(ckmRSAPKCS, nil), r.key(s, ckoCertificate, r.tok.rsaID))
	}},
	{section: "5.11", name: "C_SignInit with a public key", do: func(r *run) {
		s := r.ready()
		r.any([]RV{CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_HANDLE_INVALID}, "C_SignInit", s, r.mechanism(ckmRSAPKCS, nil), r.rsaPublic(s))
	}},
	{section: "5.11", name: "C_SignInit with a key of another type", do: func(r *run) {
		s := r.ready()
		r.want(CKR_KEY_TYPE_INCONSISTENT, "C_SignInit", s, r.mechanism(ckmECDSA, nil), r.rsa(s))
		r.want(CKR_KEY_TYPE_INCONSISTENT, "C_SignInit", s, r.mechanism(ckmRSAPKCS, nil), r.ec(s))
	}},
	{section: "5.11", name: "C_SignInit with an unknown mechanism", do: func(r *run) {
		s := r.ready()
		r.want(CKR_MECHANISM_INVALID, "C_SignInit", s, r.mechanism(ckmVendor, nil), r.rsa(s))
		r.want(CKR_MECHANISM_INVALID, "C_SignInit", s, r.mechanism(ckmSHA256, nil), r.rsa(s))
	}},
	{section: "5.11", name: "C_SignInit without a mechanism", do: func(r *run) {
		s := r.ready()
		r.want(CKR_ARGUMENTS_BAD, "C_SignInit", s, 0, r.rsa(s))
	}},
	{section: "5.11", name: "C_SignInit before login", do: func(r *run) {
		s := r.session()
		r.any([]RV{CKR_KEY_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN}, "C_SignInit", s, r.mechanism(ckmRSAPKCS, nil), 1)
	}},
	{section: "2.1.10", name: "parameters of PSS that do not fit", do: func(r *run) {
		s := r.ready()
		key := r.rsa(s)
		for _, p := range [][]byte{nil, {}, pss(32)[:3*in.long-1], append(pss(32), 0), long(ckmVendor, 2, 32), long(ckmSHA256, 77, 32), long(0x260, 2, 32)} {
			r.any([]RV{CKR_MECHANISM_PARAM_INVALID, CKR_ARGUMENTS_BAD}, "C_SignInit", s, r.mechanism(ckmSHA256RSAPSS, p), key)
			r.idle(s)
		}
	}},
	{section: "2.1.10", name: "a salt that the service cannot make is refused at once", fits: ours, do: func(r *run) {
		s := r.ready()
		for _, salt := range []uint64{0, 31, 33, 64, 222, unavailable} {
			r.want(CKR_MECHANISM_PARAM_INVALID, "C_SignInit", s, r.mechanism(ckmSHA256RSAPSS, pss(salt)), r.rsa(s))
		}
	}},
	{section: "5.11", name: "C_Sign, C_SignUpdate and C_SignFinal without C_SignInit", do: func(r *run) {
		s := r.ready()
		one, n := r.bytes([]byte("x")), r.longs(384)
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_Sign", s, one, 1, r.mem(384), n)
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_SignUpdate", s, one, 1)
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_SignFinal", s, r.mem(384), n)
	}},
	{section: "5.2", name: "a question for the length keeps the operation", do: func(r *run) {
		s := begun(r)
		in, n := r.bytes(message), r.longs(unavailable)
		for range 3 {
			r.ok("C_Sign", s, in, uint64(len(message)), 0, n)
			r.equal("the length", r.long(n), 384)
		}
		r.signed(s, message)
		r.idle(s)
	}},
	{section: "5.2", name: "a short buffer keeps the operation, tells the length and is left alone", do: func(r *run) {
		s := begun(r)
		in := r.bytes(message)
		for _, size := range []int{0, 1, 383} {
			n, short := r.longs(uint64(size)), r.mem(size)
			r.want(CKR_BUFFER_TOO_SMALL, "C_Sign", s, in, uint64(len(message)), short, n)
			r.equal("the length", r.long(n), 384)
			r.equal("the buffer", r.read(short, size), bytes.Repeat([]byte{0xA5}, size))
		}
		ways[1].check(r, s, r.signed(s, message))
	}},
	{section: "5.2", name: "a long buffer gets the exact length", do: func(r *run) {
		s := begun(r)
		n, sig := r.longs(1000), r.mem(1000)
		r.ok("C_Sign", s, r.bytes(message), uint64(len(message)), sig, n)
		r.equal("the length", r.long(n), 384)
		r.equal("the byte behind it", r.read(sig+384, 1), []byte{0xA5})
	}},
	{section: "5.2", name: "C_SignFinal asks and refuses as C_Sign does", do: func(r *run) {
		s := begun(r)
		r.ok("C_SignUpdate", s, r.bytes(message), uint64(len(message)))
		n := r.longs(0)
		r.ok("C_SignFinal", s, 0, n)
		r.equal("the length", r.long(n), 384)
		r.write(n, long(383))
		r.want(CKR_BUFFER_TOO_SMALL, "C_SignFinal", s, r.mem(383), n)
		r.equal("the length", r.long(n), 384)
		sig := r.mem(384)
		r.ok("C_SignFinal", s, sig, n)
		ways[1].check(r, s, r.read(sig, 384))
		r.idle(s)
	}},
	{section: "5.2", name: "lengths for EC keys", do: func(r *run) {
		s := r.ready()
		r.ok("C_SignInit", s, r.mechanism(ckmECDSA, nil), r.ec(s))
		n, in := r.longs(0), r.bytes(digest(message))
		r.ok("C_Sign", s, in, 32, 0, n)
		r.equal("the length", r.long(n), 64)
		r.write(n, long(63))
		r.want(CKR_BUFFER_TOO_SMALL, "C_Sign", s, in, 32, r.mem(63), n)
	}},
	{section: "5.11", name: "C_Sign does not end what C_SignUpdate began", do: func(r *run) {
		s := begun(r)
		r.ok("C_SignUpdate", s, r.bytes(message), uint64(len(message)))
		r.any([]RV{CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED, CKR_FUNCTION_FAILED}, "C_Sign", s, r.bytes(message), uint64(len(message)), r.mem(384), r.longs(384))
	}},
	{section: "5.11", name: "a failing C_Sign ends the operation", do: func(r *run) {
		s := r.ready()
		r.ok("C_SignInit", s, r.mechanism(ckmRSAPKCS, nil), r.rsa(s))
		r.any([]RV{CKR_DATA_LEN_RANGE, CKR_DATA_INVALID}, "C_Sign", s, r.bytes(make([]byte, 500)), 500, r.mem(384), r.longs(384))
		r.idle(s)
		r.ok("C_SignInit", s, r.mechanism(ckmRSAPSS, pss(32)), r.rsa(s))
		r.want(CKR_DATA_LEN_RANGE, "C_Sign", s, r.bytes(make([]byte, 31)), 31, r.mem(384), r.longs(384))
		r.idle(s)
	}},
	{section: "5.11", name: "data that no DigestInfo is", fits: ours, do: func(r *run) {
		s := r.ready()
		good := digestInfo(message)
		for _, bad := range [][]byte{{}, digest(message), good[:50], append(bytes.Clone(good), 0), append([]byte{0x31}, good[1:]...), bytes.Repeat([]byte{0xFF}, 384)} {
			r.ok("C_SignInit", s, r.mechanism(ckmRSAPKCS, nil), r.rsa(s))
			r.want(CKR_DATA_INVALID, "C_Sign", s, r.bytes(bad), uint64(len(bad)), r.mem(384), r.longs(384))
			r.idle(s)
			r.ok("C_SignInit", s, r.mechanism(ckmRSAPKCS, nil), r.rsa(s))
			r.ok("C_SignUpdate", s, r.bytes(bad), uint64(len(bad)))
			r.want(CKR_DATA_LEN_RANGE, "C_SignFinal", s, r.mem(384), r.longs(384)) // may not say CKR_DATA_INVALID
			r.idle(s)
		}
	}},
	{section: "2.3.6", name: "digests that CKM_ECDSA does not take", fits: ours, do: func(r *run) {
		s := r.ready()
		for _, size := range []int{0, 1, 31, 33, 65} {
			r.ok("C_SignInit", s, r.mechanism(ckmECDSA, nil), r.ec(s))
			r.want(CKR_DATA_LEN_RANGE, "C_Sign", s, r.bytes(make([]byte, size)), uint64(size), r.mem(64), r.longs(64))
			r.idle(s)
		}
	}},
	{section: "5.11", name: "wrong arguments are refused and end the operation", fits: ours, do: func(r *run) {
		s := r.ready()
		key, m := r.rsa(s), r.mechanism(ckmSHA256RSAPKCS, nil)
		in, sig, n := r.bytes(message), r.mem(384), r.longs(384)
		for _, c := range []struct {
			name string
			args []uint64
		}{
			{"C_Sign", []uint64{in, 10, sig, 0}},
			{"C_Sign", []uint64{0, 10, sig, n}},
			{"C_SignUpdate", []uint64{0, 10}},
			{"C_SignFinal", []uint64{sig, 0}},
		} {
			r.ok("C_SignInit", s, m, key)
			r.want(CKR_ARGUMENTS_BAD, c.name, append([]uint64{s}, c.args...)...)
			r.idle(s)
		}
	}},
	{section: "5.11", name: "an argument that leads nowhere ends the operation", fits: ours, do: func(r *run) {
		s := r.ready()
		key, public, m := r.rsa(s), r.rsaPublic(s), r.mechanism(ckmSHA256RSAPKCS, nil)
		n, sig := r.longs(384), r.mem(384)
		in, beyond := r.mem(100), n+in.long // the page behind cannot be read
		for _, c := range []struct {
			name string
			args []uint64
		}{
			{"C_Sign", []uint64{in, 200, sig, n}},
			{"C_Sign", []uint64{in, 100, sig, beyond}},
			{"C_SignUpdate", []uint64{in, 200}},
			{"C_SignUpdate", []uint64{in, 200000}},
			{"C_SignFinal", []uint64{sig, beyond}},
		} {
			r.ok("C_SignInit", s, m, key)
			r.want(CKR_GENERAL_ERROR, c.name, append([]uint64{s}, c.args...)...)
			r.idle(s)
		}
		for _, c := range []struct {
			name string
			args []uint64
		}{
			{"C_Verify", []uint64{in, 200, sig, 384}},
			{"C_Verify", []uint64{in, 100, in, 384}},
			{"C_VerifyUpdate", []uint64{in, 200}},
			{"C_VerifyFinal", []uint64{in, 384}},
		} {
			r.ok("C_VerifyInit", s, m, public)
			r.want(CKR_GENERAL_ERROR, c.name, append([]uint64{s}, c.args...)...)
			r.want(CKR_OPERATION_NOT_INITIALIZED, "C_VerifyUpdate", s, in, 1)
		}
		r.ok("C_SignInit", s, m, key)
		ways[1].check(r, s, r.signed(s, message)) // and the next one is whole
	}},
	{section: "5.11", name: "nothing can be signed, with and without a pointer", do: func(r *run) {
		s := r.ready()
		for _, in := range []uint64{0, r.mem(0)} {
			r.ok("C_SignInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsa(s))
			r.ok("C_Sign", s, in, 0, r.mem(384), r.longs(384))
		}
		r.ok("C_SignInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsa(s))
		r.ok("C_SignFinal", s, r.mem(384), r.longs(384))
	}},
	{section: "5.6", name: "operations of two sessions do not meet", do: func(r *run) {
		s := r.ready()
		other := r.open()
		rsa, ec := r.rsa(s), r.ec(s)
		r.ok("C_SignInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), rsa)
		r.idle(other)
		r.ok("C_SignInit", other, r.mechanism(ckmECDSA, nil), ec)
		r.ok("C_SignUpdate", s, r.bytes(message), uint64(len(message)))
		ways[4].check(r, other, r.signed(other, digest(message)))
		n, sig := r.longs(384), r.mem(384)
		r.ok("C_CloseSession", other)
		r.ok("C_SignFinal", s, sig, n)
		ways[1].check(r, s, r.read(sig, 384))
	}},
	{section: "5.11", name: "an operation ends with its session", do: func(r *run) {
		s := begun(r)
		r.open()
		r.ok("C_CloseSession", s)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_Sign", s, r.bytes(message), 10, r.mem(384), r.longs(384))
	}},
}

var verifying = []kase{
	{section: "5.12", name: "C_Verify accepts what was signed and refuses what was changed", do: func(r *run) {
		s := r.ready()
		for _, w := range ways {
			m, public := r.mechanism(w.kind, w.parameter), w.public(r, s)
			sig := r.sign(s, m, w.key(r, s), w.data)
			verify := func(want RV, data, sig []byte) {
				r.ok("C_VerifyInit", s, m, public)
				r.want(want, "C_Verify", s, r.bytes(data), uint64(len(data)), r.bytes(sig), uint64(len(sig)))
				r.want(CKR_OPERATION_NOT_INITIALIZED, "C_Verify", s, r.bytes(data), uint64(len(data)), r.bytes(sig), uint64(len(sig)))
			}
			verify(CKR_OK, w.data, sig)
			other := bytes.Clone(w.data)
			other[len(other)-1] ^= 1
			verify(CKR_SIGNATURE_INVALID, other, sig)
			broken := bytes.Clone(sig)
			broken[len(sig)/2] ^= 1
			verify(CKR_SIGNATURE_INVALID, w.data, broken)
			verify(CKR_SIGNATURE_LEN_RANGE, w.data, sig[:len(sig)-1])
			verify(CKR_SIGNATURE_LEN_RANGE, w.data, append(bytes.Clone(sig), 0))
		}
	}},
	{section: "5.12", name: "C_VerifyUpdate and C_VerifyFinal", do: func(r *run) {
		s := r.ready()
		for _, w := range ways {
			if !w.multi {
				continue
			}
			m := r.mechanism(w.kind, w.parameter)
			sig := r.sign(s, m, w.key(r, s), w.data)
			for want, last := range map[RV]byte{CKR_OK: 0, CKR_SIGNATURE_INVALID: 1} {
				r.ok("C_VerifyInit", s, m, w.public(r, s))
				for _, part := range [][]byte{w.data[:1], {}, w.data[1:]} {
					r.ok("C_VerifyUpdate", s, r.bytes(part), uint64(len(part)))
				}
				changed := bytes.Clone(sig)
				changed[len(sig)-1] ^= last
				r.want(want, "C_VerifyFinal", s, r.bytes(changed), uint64(len(sig)))
				r.want(CKR_OPERATION_NOT_INITIALIZED, "C_VerifyFinal", s, r.bytes(sig), uint64(len(sig)))
			}
		}
	}},
	{section: "5.12", name: "C_VerifyInit with wrong arguments", do: func(r *run) {
		s := r.ready()
		public := r.rsaPublic(s)
		m := r.mechanism(ckmSHA256RSAPKCS, nil)
		r.want(CKR_KEY_HANDLE_INVALID, "C_VerifyInit", s, m, nowhere)
		r.want(CKR_MECHANISM_INVALID, "C_VerifyInit", s, r.mechanism(ckmVendor, nil), public)
		r.want(CKR_KEY_TYPE_INCONSISTENT, "C_VerifyInit", s, r.mechanism(ckmECDSA, nil), public)
		r.want(CKR_ARGUMENTS_BAD, "C_VerifyInit", s, 0, public)
		r.ok("C_VerifyInit", s, m, public)
		r.want(CKR_OPERATION_ACTIVE, "C_VerifyInit", s, m, public)
	}},
	{section: "5.12", name: "C_Verify, C_VerifyUpdate and C_VerifyFinal without C_VerifyInit", do: func(r *run) {
		s := r.ready()
		one := r.bytes([]byte("x"))
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_Verify", s, one, 1, one, 1)
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_VerifyUpdate", s, one, 1)
		r.want(CKR_OPERATION_NOT_INITIALIZED, "C_VerifyFinal", s, one, 1)
	}},
	{section: "5.12", name: "C_Verify does not end what C_VerifyUpdate began", do: func(r *run) {
		s := r.ready()
		r.ok("C_VerifyInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsaPublic(s))
		r.ok("C_VerifyUpdate", s, r.bytes(message), uint64(len(message)))
		sig := r.mem(384)
		r.any([]RV{CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED, CKR_FUNCTION_FAILED}, "C_Verify", s, r.bytes(message), uint64(len(message)), sig, 384)
	}},
	{section: "5.12", name: "verification needs no login", do: func(r *run) {
		s := r.ready()
		sig := r.sign(s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsa(s), message)
		r.ok("C_Logout", s)
		r.ok("C_VerifyInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsaPublic(s))
		r.ok("C_Verify", s, r.bytes(message), uint64(len(message)), r.bytes(sig), uint64(len(sig)))
	}},
	{section: "5.12", name: "wrong arguments are refused and end the operation", fits: ours, do: func(r *run) {
		s := r.ready()
		one := r.bytes([]byte("x"))
		for _, c := range []struct {
			name string
			args []uint64
		}{
			{"C_Verify", []uint64{0, 1, one, 1}}, {"C_Verify", []uint64{one, 1, 0, 1}}, {"C_VerifyUpdate", []uint64{0, 1}}, {"C_VerifyFinal", []uint64{0, 1}},
		} {
			r.ok("C_VerifyInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsaPublic(s))
			r.want(CKR_ARGUMENTS_BAD, c.name, append([]uint64{s}, c.args...)...)
			r.want(CKR_OPERATION_NOT_INITIALIZED, "C_VerifyUpdate", s, one, 1)
		}
	}},
	{section: "5.14", name: "a session signs and verifies at the same time", do: func(r *run) {
		s := r.ready()
		m := r.mechanism(ckmSHA256RSAPKCS, nil)
		sig := r.sign(s, m, r.rsa(s), message)
		in := r.bytes(message)
		r.ok("C_VerifyInit", s, m, r.rsaPublic(s))
		r.ok("C_SignInit", s, m, r.rsa(s))
		r.ok("C_SignUpdate", s, in, uint64(len(message)))
		r.ok("C_VerifyUpdate", s, in, uint64(len(message)))
		again, n := r.mem(384), r.longs(384)
		r.ok("C_SignFinal", s, again, n)
		r.equal("the signature", r.read(again, 384), sig)
		r.ok("C_VerifyFinal", s, again, 384)
	}, fits: ours},
}
