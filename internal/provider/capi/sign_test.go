package capi

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"
	"time"

	"signpath/internal/provider/winkeys"
	"signpath/internal/testkit/testkeys"
)

func TestSignAndVerify(t *testing.T) {
	h := newHost(t)
	c := h.open("app/rsa", 0)
	k, st := h.GetUserKey(c, AT_SIGNATURE)
	h.want("GetUserKey", st, ok)
	public := &testkeys.RSA(t, 2048).PublicKey
	h.counts("AcquireContext", 1, 0)
	for _, a := range algorithms {
		if a.begin == nil {
			continue
		}
		d := h.hash(c, a.id, "some data of "+a.name)
		signature := h.sign(c, d)
		h.counts(a.name+", asked six times", 0, 1)
		sum := h.get("HP_HASHVAL", func(o *Output) Status { return h.GetHashParam(c, d, HP_HASHVAL, o, 0) })
		if err := rsa.VerifyPKCS1v15(public, a.hash.Crypto(), sum, reversed(signature)); err != nil {
			t.Errorf("%s: not a little-endian signature: %v", a.name, err)
		}
		h.want("VerifySignature", h.VerifySignature(c, d, signature, k, false, 0), ok)
		// the other key spec, and a host's own digest
		other, st := h.CreateHash(c, a.id, 0, CRYPT_SECRETDIGEST)
		h.want("CreateHash", st, ok)
		h.want("SetHashParam", h.SetHashParam(c, other, HP_HASHVAL, value(sum), 0), ok)
		out := &Output{Room: 256}
		h.want("SignHash", h.SignHash(c, other, AT_KEYEXCHANGE, false, 0, out), ok)
		if !bytes.Equal(out.Data, signature) {
			t.Errorf("%s: two signatures of one digest differ", a.name)
		}
		h.counts("the other hash", 0, 1)
		// the host's buffer is its own
		out.Data[0] ^= 0xff
		h.want("VerifySignature", h.VerifySignature(c, other, h.sign(c, other), k, false, 0), ok)
		for what, bad := range map[string][]byte{
			"changed": append([]byte{signature[0] ^ 1}, signature[1:]...), "short": signature[1:], "long": append(signature[:256:256], 0),
			"empty": nil, "big-endian": reversed(signature), "zero": make([]byte, 256), "ones": bytes.Repeat([]byte{0xff}, 256),
		} {
			h.want(what, h.VerifySignature(c, d, bad, k, false, 0), winkeys.NTE_BAD_SIGNATURE)
		}
		// another value is another signature
		h.want("SetHashParam", h.SetHashParam(c, other, HP_HASHVAL, value(make([]byte, len(sum))), 0), ok)
		h.want("VerifySignature", h.VerifySignature(c, other, h.sign(c, other), k, false, 0), ok)
		h.counts("the other value", 0, 1)
		h.want("verify as NOHASHOID", h.VerifySignature(c, d, signature, k, false, CRYPT_NOHASHOID), winkeys.NTE_BAD_SIGNATURE)
		raw, err := rsa.SignPKCS1v15(rand.Reader, testkeys.RSA(t, 2048), 0, sum)
		if err != nil {
			t.Fatal(err)
		}
		h.want("NOHASHOID", h.VerifySignature(c, d, reversed(raw), k, false, CRYPT_NOHASHOID), ok)
		h.want("a NOHASHOID one without", h.VerifySignature(c, d, reversed(raw), k, false, 0), winkeys.NTE_BAD_SIGNATURE)
	}
	h.counts("verifying", 0, 0)
}

func TestSignRefuses(t *testing.T) {
	h := newHost(t)
	c, verify, none := h.open("app/rsa", 0), h.open("app/rsa", CRYPT_VERIFYCONTEXT), h.open("", CRYPT_VERIFYCONTEXT)
	h.service.Counts()
	for _, tc := range []struct {
		what      string
		context   Handle
		spec      uint32
		described bool
		flags     uint32
		out       *Output
		want      Status
	}{
		{"no such key", c, 3, false, 0, &Output{Room: 999}, winkeys.NTE_NO_KEY},
		{"key 0", c, 0, false, 0, &Output{Room: 999}, winkeys.NTE_NO_KEY},
		{"no container", none, AT_SIGNATURE, false, 0, &Output{Room: 999}, winkeys.NTE_NO_KEY},
		{"a context to verify with", verify, AT_SIGNATURE, false, 0, &Output{Room: 999}, winkeys.NTE_NO_KEY},
		{"no OID", c, AT_SIGNATURE, false, CRYPT_NOHASHOID, &Output{Room: 999}, winkeys.NTE_NOT_SUPPORTED},
		{"X9.31", c, AT_SIGNATURE, false, 4, &Output{Room: 999}, winkeys.NTE_BAD_FLAGS},
		{"a description", c, AT_SIGNATURE, true, 0, &Output{Room: 999}, winkeys.ERROR_INVALID_PARAMETER},
		{"no place for the length", c, AT_SIGNATURE, false, 0, nil, winkeys.ERROR_INVALID_PARAMETER},
		{"a short buffer", c, AT_SIGNATURE, false, 0, &Output{Room: 255}, moreData},
		{"no buffer", c, AT_SIGNATURE, false, 0, &Output{LengthOnly: true}, ok},
	} {
		d := h.hash(tc.context, CALG_SHA_256, "abc")
		h.want(tc.what, h.SignHash(tc.context, d, tc.spec, tc.described, tc.flags, tc.out), tc.want)
		h.want("the hash goes on after "+tc.what, h.HashData(tc.context, d, []byte("d"), 0), ok)
	}
	h.counts("all of these", 0, 0)
	d := h.hash(c, CALG_SHA_256, "abc")
	k, _ := h.GetUserKey(c, AT_SIGNATURE)
	h.want("verify with a description", h.VerifySignature(c, d, nil, k, true, 0), winkeys.ERROR_INVALID_PARAMETER)
	h.want("verify X9.31", h.VerifySignature(c, d, nil, k, false, 4), winkeys.NTE_BAD_FLAGS)
}

// One hash in many threads is one signature; a value that is set meanwhile does not
// get the old one's.
func TestManyThreadsOneHash(t *testing.T) {
	h := newHost(t)
	c := h.open("app/rsa", 0)
	d := h.hash(c, CALG_SHA_256, "abc")
	k, _ := h.GetUserKey(c, AT_SIGNATURE)
	h.service.Counts()
	release := h.service.Hold()
	var all sync.WaitGroup
	answers := make([]*Output, 8)
	for i := range answers {
		answers[i] = &Output{Room: 256}
		all.Go(func() { h.want("SignHash", h.SignHash(c, d, AT_SIGNATURE, false, 0, answers[i]), ok) })
	}
	for h.service.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	copied, st := h.DuplicateHash(c, d, false, 0) // does not wait for the network
	h.want("DuplicateHash", st, ok)
	release()
	all.Wait()
	for _, a := range answers {
		h.want("VerifySignature", h.VerifySignature(c, copied, a.Data, k, false, 0), ok)
	}
	h.counts("eight threads", 0, 1)

	release = h.service.Hold()
	late := h.hash(c, CALG_SHA_256, "late")
	old, st := h.DuplicateHash(c, late, false, 0)
	h.want("DuplicateHash", st, ok)
	out := &Output{Room: 256}
	all.Go(func() { h.want("SignHash", h.SignHash(c, late, AT_SIGNATURE, false, 0, out), ok) })
	for h.service.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	digest := crypto.SHA256.New().Sum(nil)
	h.want("SetHashParam", h.SetHashParam(c, late, HP_HASHVAL, value(digest), 0), ok)
	release()
	all.Wait()
	h.want("the old value's", h.VerifySignature(c, old, out.Data, k, false, 0), ok)
	h.want("the new value's", h.VerifySignature(c, late, h.sign(c, late), k, false, 0), ok)
}

// A context that is released while its hash is signed does not disturb the call.
func TestReleaseInMidSignature(t *testing.T) {
	h := newHost(t)
	c := h.open("app/rsa", 0)
	d := h.hash(c, CALG_SHA_256, "abc")
	h.service.Counts()
	release := h.service.Hold()
	done := make(chan Status)
	out := &Output{Room: 256}
	go func() { done <- h.SignHash(c, d, AT_SIGNATURE, false, 0, out) }()
	for h.service.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	h.want("DestroyHash", h.DestroyHash(c, d), ok)
	h.want("ReleaseContext", h.ReleaseContext(c, 0), ok)
	release()
	h.want("SignHash", <-done, ok)
	if n := h.objects.count(); n != 0 || len(out.Data) != 256 {
		t.Errorf("%d objects are left, %d bytes", n, len(out.Data))
	}
}
