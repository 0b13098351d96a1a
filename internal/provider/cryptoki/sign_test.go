package cryptoki

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/remote"
	"signpath/internal/wire"
)

var message = []byte("a real file, signed by a stock tool")

// verify checks a signature with nothing but the standard library.
func verify(t *testing.T, k Key, s wire.Scheme, digest, sig []byte) {
	t.Helper()
	var err error
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		if s.Algorithm == wire.RSAPSS {
			err = rsa.VerifyPSS(p, s.Hash.Crypto(), digest, sig, &rsa.PSSOptions{SaltLength: s.Hash.Size()})
		} else {
			err = rsa.VerifyPKCS1v15(p, s.Hash.Crypto(), digest, sig)
		}
	case *ecdsa.PublicKey:
		if !ecdsa.Verify(p, digest, new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])) {
			err = errors.New("ECDSA")
		}
	}
	if err != nil {
		t.Errorf("the signature is wrong: %v", err)
	}
}

// Every mechanism signs, in one part and in several, and C_Verify agrees and
// refuses changed data (PKCS #11 v2.40 sections 5.11 and 5.12).
func TestEveryMechanism(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	keys := map[string]Key{}
	for _, k := range f.ring.listing.Keys {
		keys[k.Name] = k
	}
	pssParams := map[uint64][]byte{
		CKM_RSA_PKCS_PSS: pss(CKM_SHA256, 2, 32), CKM_SHA1_RSA_PKCS_PSS: pss(CKM_SHA_1, 1, 20), CKM_SHA256_RSA_PKCS_PSS: pss(CKM_SHA256, 2, 32),
		CKM_SHA384_RSA_PKCS_PSS: pss(CKM_SHA384, 3, 48), CKM_SHA512_RSA_PKCS_PSS: pss(CKM_SHA512, 4, 64),
	}
	for _, row := range mechanisms {
		if !row.listed || row.algorithm == wire.EdDSA { // TestEd25519
			continue
		}
		names := []string{"hash-signing/rsa", "hash-signing/gpg"}
		if row.algorithm == wire.ECDSA {
			names = []string{"hash-signing/p256", "hash-signing/p521"}
		}
		for _, name := range names {
			t.Run(row.name+" "+name, func(t *testing.T) {
				private, public := f.key(s, CKO_PRIVATE_KEY, name), f.key(s, CKO_PUBLIC_KEY, name)
				mech := Mechanism{Type: row.id, Parameter: pssParams[row.id], ParameterNull: pssParams[row.id] == nil}
				hash := row.hash
				if hash == 0 {
					hash = wire.SHA256
				}
				input, changed := message, append([]byte("x"), message...)
				switch {
				case row.id == CKM_RSA_PKCS:
					input, changed = digestInfo(hash, message), digestInfo(hash, changed)
				case row.hash == 0:
					input, changed = sum(hash, message), sum(hash, changed)
				}
				scheme := wire.Scheme{Algorithm: row.algorithm, Hash: hash}
				for _, parts := range []int{0, 1, 3} {
					f.want("C_SignInit", f.SignInit(s, mech, private), CKR_OK)
					var sig []byte
					var need uint64
					var rv RV
					if parts == 0 {
						sig, need, rv = f.Sign(s, input, big1K)
					} else {
						for p := range slices.Chunk(input, (len(input)+parts-1)/parts) {
							f.want("C_SignUpdate", f.SignUpdate(s, p), CKR_OK)
						}
						sig, need, rv = f.SignFinal(s, big1K)
					}
					f.want("signature", rv, CKR_OK)
					if int(need) != len(sig) {
						t.Errorf("length %d, reported %d", len(sig), need)
					}
					verify(t, keys[name], scheme, sum(hash, message), sig)
					for _, c := range []struct {
						data []byte
						want RV
					}{{input, CKR_OK}, {changed, CKR_SIGNATURE_INVALID}} {
						f.want("C_VerifyInit", f.VerifyInit(s, mech, public), CKR_OK)
						f.want("C_Verify", f.Verify(s, c.data, sig), c.want)
						f.want("C_VerifyInit", f.VerifyInit(s, mech, public), CKR_OK)
						f.want("C_VerifyUpdate", f.VerifyUpdate(s, c.data[:1]), CKR_OK)
						f.want("C_VerifyUpdate", f.VerifyUpdate(s, c.data[1:]), CKR_OK)
						f.want("C_VerifyFinal", f.VerifyFinal(s, sig), c.want)
					}
					f.want("C_VerifyInit", f.VerifyInit(s, mech, public), CKR_OK)
					f.want("C_Verify of a short signature", f.Verify(s, input, sig[1:]), CKR_SIGNATURE_LEN_RANGE)
					f.want("C_Verify always ends", f.Verify(s, input, sig), CKR_OPERATION_NOT_INITIALIZED)
				}
			})
		}
	}
}

// The life of a signing operation, one step after the other.
func TestSignStates(t *testing.T) {
	rsaMech := Mechanism{Type: CKM_SHA256_RSA_PKCS, ParameterNull: true}
	type step struct {
		call string
		want RV
	}
	cases := []struct {
		section string // PKCS #11 v2.40
		steps   []step
	}{
		{"5.11 C_SignInit: one operation at a time", []step{{"init", CKR_OK}, {"init", CKR_OPERATION_ACTIVE}, {"sign", CKR_OK}, {"init", CKR_OK}}},
		{"5.11 C_Sign ends the operation", []step{{"init", CKR_OK}, {"sign", CKR_OK}, {"sign", CKR_OPERATION_NOT_INITIALIZED}}},
		{"5.2 the length does not end it", []step{{"init", CKR_OK}, {"length", CKR_OK}, {"length", CKR_OK}, {"sign", CKR_OK}}},
		{"5.2 a short buffer does not end it", []step{{"init", CKR_OK}, {"short", CKR_BUFFER_TOO_SMALL}, {"sign", CKR_OK}}},
		{"5.11 C_SignFinal ends it", []step{{"init", CKR_OK}, {"update", CKR_OK}, {"final", CKR_OK}, {"final", CKR_OPERATION_NOT_INITIALIZED}}},
		{"5.2 C_SignFinal: length, short buffer", []step{{"init", CKR_OK}, {"update", CKR_OK}, {"finalLength", CKR_OK}, {"finalShort", CKR_BUFFER_TOO_SMALL}, {"update", CKR_OK}, {"final", CKR_OK}}},
		{"5.11 C_SignFinal without a part", []step{{"init", CKR_OK}, {"final", CKR_OK}}},
		{"5.11 C_Sign cannot end a multi-part operation", []step{{"init", CKR_OK}, {"update", CKR_OK}, {"sign", CKR_OPERATION_NOT_INITIALIZED}, {"final", CKR_OPERATION_NOT_INITIALIZED}}},
		{"5.11 nothing without C_SignInit", []step{{"sign", CKR_OPERATION_NOT_INITIALIZED}, {"length", CKR_OPERATION_NOT_INITIALIZED}, {"update", CKR_OPERATION_NOT_INITIALIZED}, {"final", CKR_OPERATION_NOT_INITIALIZED}}},
		{"5.11 a failed signature ends it", []step{{"fault", CKR_OK}, {"init", CKR_OK}, {"sign", CKR_FUNCTION_FAILED}, {"sign", CKR_OPERATION_NOT_INITIALIZED}}},
		{"5.6 C_Logout ends it", []step{{"init", CKR_OK}, {"logout", CKR_OK}, {"sign", CKR_OPERATION_NOT_INITIALIZED}}},
		{"5.12 verifying is an operation of its own", []step{{"init", CKR_OK}, {"verifyInit", CKR_OK}, {"verifyInit", CKR_OPERATION_ACTIVE}, {"sign", CKR_OK}, {"verify", CKR_SIGNATURE_LEN_RANGE}}},
		{"5.7 searching is one, too", []step{{"init", CKR_OK}, {"find", CKR_OK}, {"find", CKR_OPERATION_ACTIVE}, {"sign", CKR_OK}}},
	}
	for _, c := range cases {
		t.Run(c.section, func(t *testing.T) {
			signatures, fault := 0, false
			key := testKey(t, "p/s", "rsa2048")
			real := key.Sign
			key.Sign = func(ctx context.Context, s wire.Scheme, d []byte) ([]byte, error) {
				if signatures++; fault {
					return nil, &remote.Error{Class: remote.Transient, Op: "sign", Status: 503}
				}
				return real(ctx, s, d)
			}
			f := newFixture(t, key).start()
			s := f.loggedIn()
			private, public := f.key(s, CKO_PRIVATE_KEY, "p/s"), f.key(s, CKO_PUBLIC_KEY, "p/s")
			answer := func(_ []byte, need uint64, rv RV) RV {
				if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL) && need != 256 {
					t.Errorf("length %d", need)
				}
				return rv
			}
			calls := map[string]func() RV{
				"init":        func() RV { return f.SignInit(s, rsaMech, private) },
				"sign":        func() RV { return answer(f.Sign(s, message, Output{Len: 256})) },
				"length":      func() RV { return answer(f.Sign(s, message, Output{Null: true})) },
				"short":       func() RV { return answer(f.Sign(s, message, Output{Len: 255})) },
				"update":      func() RV { return f.SignUpdate(s, message) },
				"final":       func() RV { return answer(f.SignFinal(s, Output{Len: 256})) },
				"finalLength": func() RV { return answer(f.SignFinal(s, Output{Null: true, Len: 999})) },
				"finalShort":  func() RV { return answer(f.SignFinal(s, Output{})) },
				"fault":       func() RV { fault = true; return CKR_OK },
				"logout":      func() RV { return f.Logout(s) },
				"verifyInit":  func() RV { return f.VerifyInit(s, rsaMech, public) },
				"verify":      func() RV { return f.Verify(s, message, nil) },
				"find":        func() RV { return f.FindObjectsInit(s, nil) },
			}
			expected := 0
			for i, step := range c.steps {
				if (step.call == "sign" || step.call == "final") && (step.want == CKR_OK || step.want == CKR_FUNCTION_FAILED) {
					expected++
				}
				f.want(fmt.Sprintf("step %d, %s", i+1, step.call), calls[step.call](), step.want)
			}
			if signatures != expected {
				t.Errorf("%d requests for %d signatures", signatures, expected)
			}
		})
	}
}

// What C_SignInit and C_Sign refuse, and with which code.
func TestSignRefusals(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	rsaKey, ecKey := f.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa"), f.key(s, CKO_PRIVATE_KEY, "hash-signing/p256")
	public, cert := f.key(s, CKO_PUBLIC_KEY, "hash-signing/rsa"), f.key(s, CKO_CERTIFICATE, "hash-signing/rsa")
	sha224 := append([]byte{0x30, 0x2d, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04, 0x05, 0x00, 0x04, 0x1c}, make([]byte, 28)...)
	noNull := append(digestInfoPrefix(wire.SHA256, false), make([]byte, 32)...)
	long := append(digestInfo(wire.SHA256, message), 0)
	cases := []struct {
		name     string
		mech     uint64
		param    []byte
		key      uint64
		data     []byte
		init, rv RV
		log      string
	}{
		{"unknown mechanism", 0x4242, nil, rsaKey, nil, CKR_MECHANISM_INVALID, 0, ""},
		{"CKM_RSA_X_509", 3, nil, rsaKey, nil, CKR_MECHANISM_INVALID, 0, ""},
		{"bare hash", CKM_SHA256, nil, rsaKey, nil, CKR_MECHANISM_INVALID, 0, ""},
		{"no key", CKM_RSA_PKCS, nil, 0, nil, CKR_KEY_HANDLE_INVALID, 0, ""},
		{"session as key", CKM_RSA_PKCS, nil, s, nil, CKR_KEY_HANDLE_INVALID, 0, ""},
		{"certificate as key", CKM_RSA_PKCS, nil, cert, nil, CKR_KEY_HANDLE_INVALID, 0, ""},
		{"public key", CKM_RSA_PKCS, nil, public, nil, CKR_KEY_TYPE_INCONSISTENT, 0, "C_SignInit failed: this is not a private key key hash-signing/rsa keyType RSA 2048 mechanism CKM_RSA_PKCS"},
		{"EC key", CKM_RSA_PKCS, nil, ecKey, nil, CKR_KEY_TYPE_INCONSISTENT, 0, "for keys of this type key hash-signing/p256 keyType EC P-256 mechanism CKM_RSA_PKCS cure use an EC mechanism"},
		{"RSA key", CKM_ECDSA, nil, rsaKey, nil, CKR_KEY_TYPE_INCONSISTENT, 0, "CKM_SHA256_RSA_PKCS; if you mean another key, name it by its id (pkcs11-tool: --id;"},
		{"PSS without parameter", CKM_RSA_PKCS_PSS, nil, rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "CK_RSA_PKCS_PSS_PARAMS"},
		{"PSS with a short parameter", CKM_RSA_PKCS_PSS, make([]byte, 23), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "23 bytes"},
		{"PSS with a 32-bit parameter", CKM_RSA_PKCS_PSS, encoding(4).ulongs([]uint64{CKM_SHA256, 2, 32}), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "12 bytes"},
		{"PSS with the longest salt", CKM_RSA_PKCS_PSS, pss(CKM_SHA256, 2, 222), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "rsa_pss_saltlen:-1"},
		{"PSS with rsa_pss_saltlen:max", CKM_RSA_PKCS_PSS, pss(CKM_SHA256, 2, 1<<64-3), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "(32 bytes), not the longest possible salt;"},
		{"PSS with another negative number", CKM_RSA_PKCS_PSS, pss(CKM_SHA256, 2, 1<<64-4), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "(32 bytes), not -4;"},
		{"PSS without salt", CKM_SHA256_RSA_PKCS_PSS, pss(CKM_SHA256, 2, 0), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "rsa_pss_saltlen:-1"},
		{"PSS with another MGF1 hash", CKM_RSA_PKCS_PSS, pss(CKM_SHA256, 1, 32), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "rsa_mgf1_md"},
		{"PSS with another hash than the mechanism", CKM_SHA256_RSA_PKCS_PSS, pss(CKM_SHA512, 4, 64), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "Sha512"},
		{"PSS with SHA-224", CKM_RSA_PKCS_PSS, pss(0x255, 5, 28), rsaKey, nil, CKR_MECHANISM_PARAM_INVALID, 0, "0x255"},
		{"PSS with a short digest", CKM_RSA_PKCS_PSS, pss(CKM_SHA256, 2, 32), rsaKey, make([]byte, 20), 0, CKR_DATA_LEN_RANGE, "bare digest"},
		{"PSS with a DigestInfo", CKM_RSA_PKCS_PSS, pss(CKM_SHA256, 2, 32), rsaKey, digestInfo(wire.SHA256, message), 0, CKR_DATA_LEN_RANGE, ""},
		{"PKCS with a bare digest", CKM_RSA_PKCS, nil, rsaKey, make([]byte, 32), 0, CKR_DATA_INVALID, "-pkeyopt digest:sha256"},
		{"PKCS with a file", CKM_RSA_PKCS, nil, rsaKey, make([]byte, 5000), 0, CKR_DATA_INVALID, "DigestInfo"},
		{"PKCS with nothing", CKM_RSA_PKCS, nil, rsaKey, nil, 0, CKR_DATA_INVALID, "DigestInfo"},
		{"PKCS with SHA-224", CKM_RSA_PKCS, nil, rsaKey, sha224, 0, CKR_DATA_INVALID, "DigestInfo"},
		{"PKCS with bytes after the DigestInfo", CKM_RSA_PKCS, nil, rsaKey, long, 0, CKR_DATA_INVALID, "DigestInfo"},
		{"PKCS with a DigestInfo without NULL", CKM_RSA_PKCS, nil, rsaKey, noNull, 0, CKR_OK, ""},
		{"PKCS with MD5", CKM_RSA_PKCS, nil, rsaKey, digestInfo(wire.MD5, message), 0, CKR_OK, ""},
		{"PKCS with SHA-1", CKM_RSA_PKCS, nil, rsaKey, digestInfo(wire.SHA1, message), 0, CKR_OK, ""},
		{"ECDSA with 31 bytes", CKM_ECDSA, nil, ecKey, make([]byte, 31), 0, CKR_DATA_LEN_RANGE, "20, 28, 32, 48 or 64"},
		{"ECDSA with nothing", CKM_ECDSA, nil, ecKey, nil, 0, CKR_DATA_LEN_RANGE, ""},
		{"ECDSA with 28 bytes", CKM_ECDSA, nil, ecKey, make([]byte, 28), 0, CKR_OK, ""},
		{"ECDSA with 64 bytes", CKM_ECDSA, nil, ecKey, make([]byte, 64), 0, CKR_OK, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			lines := len(f.log.Text())
			f.want("C_SignInit", f.SignInit(s, Mechanism{Type: c.mech, Parameter: c.param, ParameterNull: c.param == nil}, c.key), c.init)
			if c.init == CKR_OK {
				_, _, rv := f.Sign(s, c.data, big1K)
				f.want("C_Sign", rv, c.rv)
				if c.rv != CKR_OK && len(c.data) <= maxParts { // what pkcs11-tool does next
					final := c.rv
					if final == CKR_DATA_INVALID { // is not for C_SignFinal (section 5.11)
						final = CKR_DATA_LEN_RANGE
					}
					f.want("C_SignInit", f.SignInit(s, Mechanism{Type: c.mech, Parameter: c.param, ParameterNull: c.param == nil}, c.key), CKR_OK)
					f.want("C_SignUpdate", f.SignUpdate(s, c.data), CKR_OK)
					_, _, rv := f.SignFinal(s, big1K)
					f.want("C_SignFinal", rv, final)
				}
			}
			if !bytes.Contains([]byte(f.log.Text()[lines:]), []byte(c.log)) {
				t.Errorf("no %q in:\n%s", c.log, f.log.Text()[lines:])
			}
			_, _, rv := f.Sign(s, nil, big1K)
			f.want("the operation is over", rv, CKR_OPERATION_NOT_INITIALIZED)
		})
	}
}

// Arguments that cannot be used end the operation, as every failing call does;
// what is not supported ends nothing.
func TestAnsweredByTheShim(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	key, public := f.key(s, CKO_PRIVATE_KEY, "hash-signing/p256"), f.key(s, CKO_PUBLIC_KEY, "hash-signing/p256")
	mech := Mechanism{Type: CKM_ECDSA}
	for function, kind := range operationOf {
		f.want("C_SignInit", f.SignInit(s, mech, key), CKR_OK)
		f.want("C_VerifyInit", f.VerifyInit(s, mech, public), CKR_OK)
		f.want(function, f.Answered(function, s, CKR_ARGUMENTS_BAD), CKR_ARGUMENTS_BAD)
		f.want(function, f.Answered(function, s+1, CKR_ARGUMENTS_BAD), CKR_ARGUMENTS_BAD)
		f.want("C_DigestInit", f.Answered("C_DigestInit", s, CKR_FUNCTION_NOT_SUPPORTED), CKR_FUNCTION_NOT_SUPPORTED)
		want := [2]RV{CKR_OK, CKR_OK}
		want[kind] = CKR_OPERATION_NOT_INITIALIZED
		_, _, rv := f.Sign(s, make([]byte, 32), big1K)
		f.want("C_Sign after "+function, rv, want[signing])
		if rv = f.Verify(s, make([]byte, 32), make([]byte, 64)); (rv == CKR_OPERATION_NOT_INITIALIZED) != (kind == verifying) {
			t.Errorf("C_Verify after %s: %s", function, rv)
		}
	}
	f.want("C_DigestInit", f.Answered("C_DigestInit", s, CKR_FUNCTION_NOT_SUPPORTED), CKR_FUNCTION_NOT_SUPPORTED)
	if f.log.Count("DEBUG", "C_DigestInit returns CKR_FUNCTION_NOT_SUPPORTED") == 0 {
		t.Error("the log does not tell of a function that is not supported")
	}
	f.want("C_Finalize", f.Finalize(), CKR_OK)
	f.want("C_DigestInit", f.Answered("C_DigestInit", s, CKR_FUNCTION_NOT_SUPPORTED), CKR_CRYPTOKI_NOT_INITIALIZED)
}

// The host's data is given back before the service is asked: from then on its
// thread may be anywhere.
func TestDataIsTaken(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	message := []byte("a message")
	sum := sha256.Sum256(message)
	digestInfo := append(digestInfoPrefix(wire.SHA256, true), sum[:]...)
	pss := Mechanism{Type: CKM_RSA_PKCS_PSS, Parameter: encoding(8).ulongs([]uint64{CKM_SHA256, 2, 32})}
	for _, c := range []struct {
		mech Mechanism
		key  string
		data []byte
	}{
		{Mechanism{Type: CKM_SHA256_RSA_PKCS}, "rsa", message}, {Mechanism{Type: CKM_RSA_PKCS}, "rsa", digestInfo}, {pss, "rsa", sum[:]},
		{Mechanism{Type: CKM_ECDSA}, "p256", sum[:]}, {Mechanism{Type: CKM_ECDSA_SHA256}, "p256", message},
	} {
		name, data, times := mechanismName(c.mech.Type), bytes.Clone(c.data), 0
		f.want("C_SignInit", f.SignInit(s, c.mech, f.key(s, CKO_PRIVATE_KEY, "hash-signing/"+c.key)), CKR_OK)
		sig, _, rv := f.Module.Sign(s, data, big1K, func() { times++; clear(data) })
		f.want(name, rv, CKR_OK)
		if times != 1 {
			t.Errorf("%s: the data was given back %d times", name, times)
		}
		f.want("C_VerifyInit", f.VerifyInit(s, c.mech, f.key(s, CKO_PUBLIC_KEY, "hash-signing/"+c.key)), CKR_OK)
		f.want(name+": C_Verify", f.Verify(s, c.data, sig), CKR_OK)
	}
}

// A part that does not fit ends the operation (section 5.11, C_SignUpdate).
func TestTooLongParts(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_RSA_PKCS}, f.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa")), CKR_OK)
	f.want("C_SignUpdate", f.SignUpdate(s, make([]byte, maxParts)), CKR_OK)
	f.want("C_SignUpdate", f.SignUpdate(s, []byte{1}), CKR_DATA_LEN_RANGE)
	f.want("C_SignUpdate", f.SignUpdate(s, nil), CKR_OPERATION_NOT_INITIALIZED)
}

// Before login there is no private key to be found, and no handle works.
func TestSignWithoutLogin(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	key := f.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa")
	f.want("C_Logout", f.Logout(s), CKR_OK)
	f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_RSA_PKCS}, key), CKR_USER_NOT_LOGGED_IN)
	f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_RSA_PKCS}, 12345), CKR_KEY_HANDLE_INVALID)
	_, rv := f.AttributeValues(s, key, []uint64{CKA_ID})
	f.want("C_GetAttributeValue", rv, CKR_OBJECT_HANDLE_INVALID)
	_, rv = f.ObjectSize(s, key)
	f.want("C_GetObjectSize", rv, CKR_OBJECT_HANDLE_INVALID)
}

// A list from before login holds private keys as well. Nobody gets at them by
// guessing a handle.
func TestGuessedHandles(t *testing.T) {
	f := newFixture(t).start()
	s := f.open()
	public := f.key(s, CKO_PUBLIC_KEY, "hash-signing/rsa")
	for h := public - 20; h < public+20; h++ {
		if rv := f.SignInit(s, Mechanism{Type: CKM_RSA_PKCS}, h); rv != CKR_KEY_HANDLE_INVALID && rv != CKR_KEY_TYPE_INCONSISTENT {
			t.Errorf("C_SignInit before login: %v", rv)
		}
		if v, rv := f.AttributeValues(s, h, []uint64{CKA_PRIVATE}); rv == CKR_OK && !bytes.Equal(v[0].Value, boolean(false)) {
			t.Error("a private object is readable before login")
		}
	}
}

// The table of failures (SignPath crypto providers, Cryptoki, "Error handling").
func TestSignFailures(t *testing.T) {
	cases := []struct {
		name string
		err  error
		sig  []byte
		want RV
	}{
		{"503 after all retries", &remote.Error{Class: remote.Transient, Op: "sign", Status: 503, TraceID: "trace-7"}, nil, CKR_FUNCTION_FAILED},
		{"500", &remote.Error{Class: remote.Service, Op: "sign", Status: 500, TraceID: "trace-7"}, nil, CKR_DEVICE_ERROR},
		{"403", &remote.Error{Class: remote.User, Op: "sign", Status: 403, TraceID: "trace-7"}, nil, CKR_ARGUMENTS_BAD},
		{"untrusted", fmt.Errorf("wrapped: %w", &remote.Error{Class: remote.Other, Op: "sign", TraceID: "trace-7"}), nil, CKR_GENERAL_ERROR},
		{"short key", fmt.Errorf("%w: trace-7", keyring.ErrKeyTooShort), nil, CKR_DATA_LEN_RANGE},
		{"short signature", nil, []byte{1}, CKR_DEVICE_ERROR},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			key := testKey(t, "p/s", "rsa2048")
			key.Sign = func(context.Context, wire.Scheme, []byte) ([]byte, error) { return c.sig, c.err }
			f := newFixture(t, key).start()
			s := f.loggedIn()
			f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_SHA256_RSA_PKCS}, f.key(s, CKO_PRIVATE_KEY, "p/s")), CKR_OK)
			_, _, rv := f.Sign(s, message, big1K)
			f.want("C_Sign", rv, c.want)
			if f.log.Count("ERROR", c.want.String()) != 1 || c.err != nil && f.log.Count("ERROR", "trace-7") != 1 {
				t.Errorf("log:\n%s", f.log.Text())
			}
		})
	}
}

// A running C_Sign ends soon when another thread closes its session or the
// library, and holds nobody up before (design of the module: no lock during
// requests).
func TestCanceledSign(t *testing.T) {
	for name, end := range map[string]func(*fixture, uint64) RV{
		"C_CloseSession":     func(f *fixture, s uint64) RV { return f.CloseSession(s) },
		"C_CloseAllSessions": func(f *fixture, _ uint64) RV { return f.CloseAllSessions(1) },
		"C_Finalize":         func(f *fixture, _ uint64) RV { return f.Finalize() },
	} {
		t.Run(name, func(t *testing.T) {
			started := make(chan struct{})
			key := testKey(t, "p/s", "p256")
			key.Sign = func(ctx context.Context, _ wire.Scheme, _ []byte) ([]byte, error) {
				close(started)
				<-ctx.Done()
				return nil, &remote.Error{Class: remote.Transient, Op: "sign", Err: ctx.Err()}
			}
			f := newFixture(t, key).start()
			s := f.loggedIn()
			private := f.key(s, CKO_PRIVATE_KEY, "p/s")
			mech := Mechanism{Type: CKM_ECDSA_SHA256}
			f.want("C_SignInit", f.SignInit(s, mech, private), CKR_OK)
			answer := make(chan RV, 1)
			go func() {
				_, _, rv := f.Sign(s, message, big1K)
				answer <- rv
			}()
			<-started
			f.want("C_SignInit meanwhile", f.SignInit(s, mech, private), CKR_OPERATION_ACTIVE)
			_, _, rv := f.Sign(s, message, big1K)
			f.want("C_Sign meanwhile", rv, CKR_OPERATION_NOT_INITIALIZED)
			if len(f.find(s)) != 2 {
				t.Error("no search meanwhile")
			}
			f.want(name, end(f, s), CKR_OK)
			select {
			case rv := <-answer:
				f.want("C_Sign", rv, CKR_FUNCTION_CANCELED)
			case <-time.After(2 * time.Second):
				t.Fatal("C_Sign goes on")
			}
			if f.log.Count("ERROR", "") != 0 {
				t.Errorf("a call that the host ended is logged as an error:\n%s", f.log.Text())
			}
		})
	}
}

// pkcs11-tool up to 0.27 signs with the first key whatever --label says; the log
// has to tell.
func TestWarningAboutUnnamedKey(t *testing.T) {
	sign := func(f *fixture, s, key uint64) {
		f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_SHA256_RSA_PKCS}, key), CKR_OK)
		_, _, rv := f.Sign(s, message, big1K)
		f.want("C_Sign", rv, CKR_OK)
	}
	const line = "without asking for its name"
	f := newFixture(t, testKey(t, "a/a", "rsa2048"), testKey(t, "a/b", "rsa3072")).start()
	s := f.loggedIn()
	all := f.find(s, ulongAttribute(CKA_CLASS, CKO_PRIVATE_KEY))
	sign(f, s, all[0])
	sign(f, s, all[0])
	if n := f.log.Count("WARNING", line); n != 1 {
		t.Errorf("%d warnings", n)
	}
	f.find(s, Attribute{Type: CKA_LABEL, Value: []byte("a/b")})
	sign(f, s, all[1])
	if n := f.log.Count("WARNING", line); n != 1 {
		t.Errorf("%d warnings after a key was named", n)
	}
	f = newFixture(t, testKey(t, "a/a", "p256"), testKey(t, "a/b", "rsa3072")).start()
	s = f.loggedIn()
	all = f.find(s, ulongAttribute(CKA_CLASS, CKO_PRIVATE_KEY))
	f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_SHA256_RSA_PKCS}, all[0]), CKR_KEY_TYPE_INCONSISTENT)
	if n := f.log.Count("WARNING", line); n != 1 {
		t.Errorf("%d warnings when the wrong key has the wrong type as well", n)
	}
	if _, rv := f.AttributeValues(s, all[1], []uint64{CKA_ID}); rv != CKR_OK { // libp11 chooses this way
		t.Fatal(rv)
	}
	sign(f, s, all[1])
	if n := f.log.Count("WARNING", line); n != 1 {
		t.Errorf("%d warnings after the tool read the key's name", n)
	}
	f = newFixture(t, testKey(t, "a/a", "rsa2048")).start()
	s = f.loggedIn()
	sign(f, s, f.find(s, ulongAttribute(CKA_CLASS, CKO_PRIVATE_KEY))[0])
	if f.log.Count("WARNING", line) != 0 {
		t.Error("a warning with one key")
	}
}

// 16 threads in sessions of their own and in one they share.
func TestThreads(t *testing.T) {
	f := newFixture(t).start()
	shared := f.loggedIn()
	key := f.key(shared, CKO_PRIVATE_KEY, "hash-signing/p256")
	var threads sync.WaitGroup
	for i := range 16 {
		threads.Go(func() {
			own, rv := f.OpenSession(1, CKF_SERIAL_SESSION)
			if rv != CKR_OK {
				t.Error(rv)
				return
			}
			for range 10 {
				if rv := f.SignInit(own, Mechanism{Type: CKM_ECDSA_SHA256}, key); rv != CKR_OK {
					t.Error(rv)
				}
				if _, _, rv := f.Sign(own, message, big1K); rv != CKR_OK {
					t.Error(rv)
				}
				// In the shared session anything defined may happen, but nothing else.
				possible := []RV{CKR_OK, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED}
				_, _, signed := f.Sign(shared, message, big1K)
				_, found := f.FindObjects(shared, 2)
				for _, rv := range []RV{
					f.SignInit(shared, Mechanism{Type: CKM_ECDSA_SHA256}, key), signed, f.SignUpdate(shared, message),
					f.FindObjectsInit(shared, nil), found, f.FindObjectsFinal(shared),
					f.VerifyInit(shared, Mechanism{Type: CKM_ECDSA_SHA256}, key+1), f.VerifyUpdate(shared, message),
				} {
					if !slices.Contains(possible, rv) && rv != CKR_KEY_TYPE_INCONSISTENT && rv != CKR_KEY_HANDLE_INVALID {
						t.Error(rv)
					}
				}
			}
			if i%2 == 0 {
				if rv := f.CloseSession(own); rv != CKR_OK {
					t.Error(rv)
				}
			}
		})
	}
	threads.Wait()
	f.want("C_Finalize", f.Finalize(), CKR_OK)
}

// Logins, logouts and searches that cross must neither deadlock nor crash.
func TestCrossingLogins(t *testing.T) {
	f := newFixture(t).start()
	keep := f.open()
	var threads sync.WaitGroup
	for range 8 {
		threads.Go(func() {
			for range 20 {
				s, _ := f.OpenSession(1, CKF_SERIAL_SESSION)
				f.Login(s, CKU_USER, []byte("CONFIG"), false)
				f.FindObjectsInit(s, []Attribute{ulongAttribute(CKA_CLASS, CKO_PRIVATE_KEY)})
				keys, _ := f.FindObjects(s, 1)
				if len(keys) > 0 && f.SignInit(s, Mechanism{Type: CKM_RSA_PKCS}, keys[0]) == CKR_OK {
					f.Logout(s)
				}
				f.CloseSession(s)
			}
		})
	}
	threads.Wait()
	f.Logout(keep)
	f.want("C_Login", f.Login(keep, CKU_USER, []byte("CONFIG"), false), CKR_OK)
}

// A salt's length in a CK_ULONG of 32 bits.
func TestSaltText(t *testing.T) {
	for salt, want := range map[uint64]string{1<<32 - 3: "the longest possible salt", 1<<32 - 2: "the longest possible salt", 1<<32 - 1: "-1", 222: "222", 0: "0"} {
		if got := encoding(4).saltText(salt); got != want {
			t.Errorf("%d is %q, want %q", salt, got, want)
		}
	}
}

// The other half of each pair of keys, for C_VerifyInit.
func TestVerifyWithAPrivateKey(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	f.want("C_VerifyInit", f.VerifyInit(s, Mechanism{Type: CKM_RSA_PKCS}, f.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa")), CKR_KEY_TYPE_INCONSISTENT)
	if f.log.Count("ERROR", "C_VerifyInit failed: this is not a public key") != 1 {
		t.Error(f.log.Text())
	}
}
