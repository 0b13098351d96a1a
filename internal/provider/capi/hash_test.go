package capi

import (
	"bytes"
	"encoding/hex"
	"testing"

	"signpath/internal/provider/winkeys"
)

// The digests of "abc" (RFC 1321, FIPS 180-4).
func TestHashes(t *testing.T) {
	h := newHost(t)
	c := h.open("", CRYPT_VERIFYCONTEXT)
	for alg, want := range map[uint32]string{
		CALG_MD5:     "900150983cd24fb0d6963f7d28e17f72",
		CALG_SHA1:    "a9993e364706816aba3e25717850c26c9cd0d89d",
		CALG_SHA_256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		CALG_SHA_384: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
		CALG_SHA_512: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	} {
		d := h.hash(c, alg, "ab")
		copied, st := h.DuplicateHash(c, d, false, 0)
		h.want("DuplicateHash", st, ok)
		param := func(d Handle, param uint32) func(*Output) Status {
			return func(o *Output) Status { return h.GetHashParam(c, d, param, o, 0) }
		}
		if got := h.number("HP_ALGID", param(d, HP_ALGID)); got != alg {
			t.Errorf("HP_ALGID %x", got)
		}
		if got := h.number("HP_HASHSIZE", param(d, HP_HASHSIZE)); int(got) != len(want)/2 {
			t.Errorf("HP_HASHSIZE %d", got)
		}
		length := &Output{LengthOnly: true}
		h.want("HP_HASHVAL, length", param(d, HP_HASHVAL)(length), ok)
		h.want("HashData after a question for the length", h.HashData(c, d, []byte("c"), 0), ok)
		for range 2 {
			if got := h.get("HP_HASHVAL", param(d, HP_HASHVAL)); hex.EncodeToString(got) != want {
				t.Errorf("%x: %x", alg, got)
			}
		}
		h.want("HashData of a finished hash", h.HashData(c, d, []byte("d"), 0), winkeys.NTE_BAD_HASH_STATE)
		h.want("HashData of the copy", h.HashData(c, copied, []byte("c"), 0), ok)
		if got := h.get("HP_HASHVAL", param(copied, HP_HASHVAL)); hex.EncodeToString(got) != want {
			t.Errorf("%x, the copy: %x", alg, got)
		}
		finished, st := h.DuplicateHash(c, copied, false, 0)
		h.want("DuplicateHash of a finished one", st, ok)
		h.want("its HashData", h.HashData(c, finished, nil, 0), winkeys.NTE_BAD_HASH_STATE)
	}
}

func TestHashRefuses(t *testing.T) {
	h := newHost(t)
	c := h.open("", CRYPT_VERIFYCONTEXT)
	for _, alg := range []uint32{0, 0x8001, 0x8002, 0x8005, 0x8008, 0x8009, 0x800B, CALG_RSA_SIGN, CALG_RSA_KEYX, 0x6610} {
		_, st := h.CreateHash(c, alg, 0, 0)
		h.want("CreateHash", st, winkeys.NTE_BAD_ALGID)
	}
	_, st := h.CreateHash(c, CALG_SHA1, 1, 0)
	h.want("with a key", st, winkeys.NTE_BAD_KEY)
	_, st = h.CreateHash(c, CALG_SHA1, 0, 2)
	h.want("with flags", st, winkeys.NTE_BAD_FLAGS)
	d := h.hash(c, CALG_SHA1, "")
	h.want("ask the user", h.HashData(c, d, nil, CRYPT_USERDATA), winkeys.NTE_BAD_FLAGS)
	h.want("HP_HMAC_INFO", h.GetHashParam(c, d, 5, &Output{Room: 99}, 0), winkeys.NTE_BAD_TYPE)
	h.want("flags", h.GetHashParam(c, d, HP_ALGID, &Output{Room: 99}, 1), winkeys.NTE_BAD_FLAGS)
	h.want("HP_ALGID cannot be set", h.SetHashParam(c, d, HP_ALGID, value(nil), 0), winkeys.NTE_BAD_TYPE)
	h.want("flags", h.SetHashParam(c, d, HP_HASHVAL, value(nil), 1), winkeys.NTE_BAD_FLAGS)
	h.want("a value that cannot be read", h.SetHashParam(c, d, HP_HASHVAL, value(nil), 0), winkeys.ERROR_INVALID_PARAMETER)
	_, st = h.DuplicateHash(c, d, true, 0)
	h.want("reserved", st, winkeys.ERROR_INVALID_PARAMETER)
	_, st = h.DuplicateHash(c, d, false, 1)
	h.want("flags", st, winkeys.NTE_BAD_FLAGS)
	h.want("still open", h.HashData(c, d, []byte("x"), 0), ok)
	h.want("DestroyHash", h.DestroyHash(c, d), ok)
	h.want("DestroyHash again", h.DestroyHash(c, d), winkeys.NTE_BAD_HASH)
}

func TestGenRandom(t *testing.T) {
	h := newHost(t)
	c := h.open("", CRYPT_VERIFYCONTEXT)
	a := make([]byte, 32)
	h.want("GenRandom", h.GenRandom(c, a), ok)
	if bytes.Equal(a, make([]byte, 32)) {
		t.Error("32 bytes of zero")
	}
	h.want("nothing", h.GenRandom(c, nil), ok)
	h.want("no context", h.GenRandom(0, a), winkeys.NTE_BAD_UID)
}
