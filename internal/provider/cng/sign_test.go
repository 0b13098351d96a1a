package cng

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/winkeys"
	"signpath/internal/testkit/testkeys"
)

var hashes = map[string]crypto.Hash{"MD5": crypto.MD5, "SHA1": crypto.SHA1, "SHA256": crypto.SHA256, "SHA384": crypto.SHA384, "SHA512": crypto.SHA512}

// sign calls SignHash for the size, with a short buffer, and for the signature.
func (h *host) sign(key, info uintptr, digest []byte, flags uintptr) []byte {
	h.t.Helper()
	at := h.put(digest)
	return h.output("SignHash", func(b, n, r uintptr) []uintptr {
		return []uintptr{0, key, info, at, uintptr(len(digest)), b, n, r, flags}
	})
}

func (h *host) verify(key, info uintptr, digest, signature []byte, flags uintptr) Status {
	return h.do("VerifySignature", 0, key, info, h.put(digest), uintptr(len(digest)), h.put(signature), uintptr(len(signature)), flags)
}

// Every key with every hash and padding: Go's own verification accepts, so does
// VerifySignature, and it refuses a changed bit; one request for each signature.
func TestSignHash(t *testing.T) {
	for _, size := range []int{4, 8} {
		h := newHost(t, size)
		p := h.open()
		for _, bits := range []int{2048, 3072, 4096} {
			private := testkeys.RSA(t, bits)
			k := h.key(p, "app/rsa"+big.NewInt(int64(bits)).String())
			for name, hash := range hashes {
				digest := make([]byte, hash.Size())
				_, _ = rand.Read(digest)
				h.service.Counts()
				sig := h.sign(k, h.pkcs1(strings.ToLower(name)), digest, 2|0x40)
				h.counts("size, short buffer, signature", 0, 1)
				if err := rsa.VerifyPKCS1v15(&private.PublicKey, hash, digest, sig); err != nil {
					t.Errorf("PKCS #1 %s: %v", name, err)
				}
				h.bothWays(k, h.pkcs1(name), digest, sig, 2)
				sig = h.sign(k, h.pss(name, uint32(hash.Size())), digest, 8)
				if err := rsa.VerifyPSS(&private.PublicKey, hash, digest, sig, &rsa.PSSOptions{SaltLength: hash.Size()}); err != nil {
					t.Errorf("PSS %s: %v", name, err)
				}
				h.bothWays(k, h.pss(name, uint32(hash.Size())), digest, sig, 8)
			}
		}
		for _, bits := range []int{256, 384, 521} {
			private := testkeys.ECDSA(t, bits)
			k := h.key(p, "app/p"+big.NewInt(int64(bits)).String())
			for _, n := range []int{20, 32, 48, 64} {
				digest := make([]byte, n)
				_, _ = rand.Read(digest)
				sig := h.sign(k, 0, digest, 0)
				half := (bits + 7) / 8
				if len(sig) != 2*half || !ecdsa.Verify(&private.PublicKey, digest, new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])) {
					t.Errorf("P-%d: a wrong signature", bits)
				}
				h.bothWays(k, 0, digest, sig, 0)
				h.bothWays(k, h.pkcs1("SHA256"), digest, sig, 2) // as signtool /ds does
			}
		}
	}
}

// bothWays verifies a signature, and variants of it that are none.
func (h *host) bothWays(k, info uintptr, digest, sig []byte, flags uintptr) {
	h.t.Helper()
	change := func(b []byte, i int) []byte { c := append([]byte{}, b...); c[i] ^= 1; return c }
	if st := h.verify(k, info, digest, sig, flags); st != winkeys.OK {
		h.t.Errorf("VerifySignature: %v", st)
	}
	for what, st := range map[string]Status{
		"another signature": h.verify(k, info, digest, change(sig, len(sig)-1), flags),
		"another digest":    h.verify(k, info, change(digest, 0), sig, flags),
		"a short signature": h.verify(k, info, digest, sig[1:], flags),
		"a long signature":  h.verify(k, info, digest, append([]byte{0}, sig...), flags),
	} {
		if st != winkeys.NTE_BAD_SIGNATURE {
			h.t.Errorf("VerifySignature of %s: %v", what, st)
		}
	}
}

// What is refused costs no request and leaves the buffer alone.
func TestSignHashRefuses(t *testing.T) {
	h := newHost(t, 8)
	p := h.open()
	k, ec := h.key(p, "app/rsa2048"), h.key(p, "app/p256")
	h.service.Counts()
	null := h.put(make([]byte, 16)) // {NULL, 0}
	for what, c := range map[string]struct {
		key, info uintptr
		digest    int
		flags     uintptr
		want      Status
	}{
		"no padding info":               {k, 0, 32, 2, winkeys.NTE_INVALID_PARAMETER},
		"no PSS info":                   {k, 0, 32, 8, winkeys.NTE_INVALID_PARAMETER},
		"no padding at all":             {k, 0, 32, 0, winkeys.NTE_BAD_FLAGS},
		"no hash algorithm":             {k, null, 32, 2, winkeys.NTE_NOT_SUPPORTED},
		"TLS of old":                    {k, null, 36, 2, winkeys.NTE_NOT_SUPPORTED},
		"PSS without algorithm":         {k, null, 32, 8, winkeys.NTE_INVALID_PARAMETER},
		"an unknown hash":               {k, h.pkcs1("SHA3-256"), 32, 2, winkeys.NTE_NOT_SUPPORTED},
		"an empty hash name":            {k, h.pkcs1(""), 32, 2, winkeys.NTE_NOT_SUPPORTED},
		"a wild info":                   {k, nowhere, 32, 2, winkeys.NTE_INVALID_PARAMETER},
		"a wild hash name":              {k, h.put(h.pointerBytes(nowhere)), 32, 2, winkeys.NTE_INVALID_PARAMETER},
		"both paddings":                 {k, h.pss("SHA256", 32), 32, 10, winkeys.NTE_BAD_FLAGS},
		"OAEP":                          {k, h.pkcs1("SHA256"), 32, 4, winkeys.NTE_BAD_FLAGS},
		"no padding by flag":            {k, h.pkcs1("SHA256"), 32, 1, winkeys.NTE_BAD_FLAGS},
		"a salt of another length":      {k, h.pss("SHA256", 20), 32, 8, winkeys.NTE_INVALID_PARAMETER},
		"no salt":                       {k, h.pss("SHA256", 0), 32, 8, winkeys.NTE_INVALID_PARAMETER},
		"a salt of 4 GiB":               {k, h.pss("SHA256", 0xFFFFFFFF), 32, 8, winkeys.NTE_INVALID_PARAMETER},
		"a hash of another length":      {k, h.pkcs1("SHA256"), 20, 2, winkeys.NTE_INVALID_PARAMETER},
		"an empty hash":                 {k, h.pkcs1("SHA256"), 0, 2, winkeys.NTE_INVALID_PARAMETER},
		"an endless hash":               {k, h.pkcs1("SHA256"), 1 << 30, 2, winkeys.NTE_INVALID_PARAMETER},
		"an EC digest of 33 bytes":      {ec, 0, 33, 0, winkeys.NTE_INVALID_PARAMETER},
		"an EC digest of a single byte": {ec, 0, 1, 0, winkeys.NTE_INVALID_PARAMETER},
	} {
		buffer := h.put([]byte{0xAA})
		st := h.do("SignHash", p, c.key, c.info, h.room(64), uintptr(c.digest), buffer, 4096, h.room(4), c.flags)
		if st != c.want || h.get(buffer, 1)[0] != 0xAA {
			t.Errorf("%s: %v, want %v", what, st, c.want)
		}
	}
	h.counts("refused signatures", 0, 0)
	// A structure without a flag is a PKCS #1 one.
	h.ok("SignHash", p, k, h.pkcs1("SHA256"), h.room(32), 32, h.room(256), 256, h.room(4), 0)
	h.is(winkeys.NTE_INVALID_PARAMETER, "SignHash", p, k, h.pkcs1("SHA256"), h.put([]byte{9}), 32, nowhere, 256, h.room(4), 2)
	h.is(winkeys.NTE_INVALID_PARAMETER, "VerifySignature", p, k, h.pkcs1("SHA256"), h.room(20), 20, h.room(256), 256, 2)
	if log := h.service.Log(t, "KSP"); !strings.Contains(log, "salt as long as the hash") || !strings.Contains(log, "old versions of TLS") {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

// A PKCS #1 signature without DigestInfo cannot be made, but be verified.
func TestVerifyBare(t *testing.T) {
	h := newHost(t, 8)
	k := h.key(h.open(), "app/rsa2048")
	digest := make([]byte, 36)
	_, _ = rand.Read(digest)
	sig, err := rsa.SignPKCS1v15(rand.Reader, testkeys.RSA(t, 2048), crypto.Hash(0), digest)
	if err != nil {
		t.Fatal(err)
	}
	h.bothWays(k, h.put(make([]byte, 8)), digest, sig, 2)
}

// The host may free its key while the service signs.
func TestFreeInMidSignature(t *testing.T) {
	h := newHost(t, 8)
	p := h.open()
	k := h.key(p, "app/rsa2048")
	h.service.Counts()
	release := h.service.Hold()
	info, digest, buffer, result := h.pkcs1("SHA256"), h.room(32), h.room(256), h.room(4)
	done := make(chan Status)
	go func() { done <- h.do("SignHash", p, k, info, digest, 32, buffer, 256, result, 2) }()
	for h.service.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	h.ok("FreeKey", p, k)
	h.ok("FreeProvider", p)
	release()
	if st := <-done; st != winkeys.OK {
		t.Error(st)
	}
	if err := rsa.VerifyPKCS1v15(&testkeys.RSA(t, 2048).PublicKey, crypto.SHA256, make([]byte, 32), h.get(buffer, 256)); err != nil {
		t.Error(err)
	}
}
