package capi

import (
	"bytes"
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"signpath/internal/provider/winkeys"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

func TestProvParams(t *testing.T) {
	h := newHost(t)
	c := h.open("app/long", 0)
	h.service.Counts()
	for param, want := range map[uint32][]byte{
		PP_NAME: []byte("SignPathCSP\x00"), PP_CONTAINER: []byte("app/long\x00"), PP_UNIQUE_CONTAINER: []byte("app/long\x00"),
		PP_IMPTYPE: {1, 0, 0, 0}, PP_VERSION: {1, 6, 0, 0}, PP_PROVTYPE: {24, 0, 0, 0}, PP_KEYSET_TYPE: {0, 0, 0, 0}, PP_KEYSPEC: {3, 0, 0, 0},
		PP_SIG_KEYSIZE_INC: {8, 0, 0, 0}, PP_KEYX_KEYSIZE_INC: {8, 0, 0, 0}, PP_CRYPT_COUNT_KEY_USE: {0, 0, 0, 0}, PP_ENUMEX_SIGNING_PROT: nil,
	} {
		if got := h.get(fmt.Sprint("parameter ", param), h.provParam(c, param)); !bytes.Equal(got, want) {
			t.Errorf("parameter %d: %q, want %q", param, got, want)
		}
		h.want("with machine and silent", h.GetProvParam(c, param, &Output{LengthOnly: true}, CRYPT_MACHINE_KEYSET|CRYPT_SILENT), ok)
		h.want("with other flags", h.GetProvParam(c, param, &Output{LengthOnly: true}, 4), winkeys.NTE_BAD_FLAGS)
	}
	known := map[uint32]bool{PP_ENUMALGS: true, PP_ENUMALGS_EX: true, PP_ENUMCONTAINERS: true}
	for param := range uint32(100) {
		if _, is := provParams[param]; !is && !known[param] {
			h.want(fmt.Sprint("parameter ", param), h.GetProvParam(c, param, &Output{LengthOnly: true}, 0), winkeys.NTE_BAD_TYPE)
		}
		want := winkeys.NTE_BAD_TYPE
		if ignoredParams[param] {
			want = ok
		}
		h.want(fmt.Sprint("set ", param), h.SetProvParam(c, param), want)
	}
	h.want("a window for no context", h.SetProvParam(0, PP_CLIENT_HWND), ok)
	h.want("a PIN for no context", h.SetProvParam(0, PP_SIGNATURE_PIN), winkeys.NTE_BAD_UID)
	h.counts("all parameters", 0, 0)
}

func TestEnumAlgorithms(t *testing.T) {
	h := newHost(t)
	c, other := h.open("", CRYPT_VERIFYCONTEXT), h.open("", CRYPT_VERIFYCONTEXT)
	for _, ex := range []bool{false, true} {
		param, size, name := PP_ENUMALGS, 32, 12
		if ex {
			param, size, name = PP_ENUMALGS_EX, 88, 24
		}
		for range 2 { // CRYPT_FIRST begins anew
			for i, a := range algorithms {
				flags := []uint32{CRYPT_FIRST, CRYPT_NEXT, 0}[min(i, 2)]
				ask := &Output{LengthOnly: true}
				h.want("length", h.GetProvParam(c, param, ask, flags), ok)
				h.want("short", h.GetProvParam(c, param, &Output{Room: uint32(size) - 1}, flags), moreData)
				out := &Output{Room: uint32(size)}
				h.want(a.name, h.GetProvParam(c, param, out, flags), ok)
				if int(ask.Length) != size || len(out.Data) != size || binary.LittleEndian.Uint32(out.Data) != a.id || binary.LittleEndian.Uint32(out.Data[4:]) != a.length {
					t.Fatalf("%s: %x", a.name, out.Data)
				}
				if got, _, _ := strings.Cut(string(out.Data[name:name+20]), "\x00"); got != a.name || int(binary.LittleEndian.Uint32(out.Data[name-4:])) != len(a.name)+1 {
					t.Errorf("%s: name %q", a.name, got)
				}
				if ex {
					least, most, protocols := binary.LittleEndian.Uint32(out.Data[8:]), binary.LittleEndian.Uint32(out.Data[12:]), binary.LittleEndian.Uint32(out.Data[16:])
					if least > a.length || a.length > most || (a.begin == nil) != (least == 1024 && most == 16384) || protocols != 0x20 {
						t.Errorf("%s: %d to %d bits, protocols %x", a.name, least, most, protocols)
					}
					if got, _, _ := strings.Cut(string(out.Data[48:]), "\x00"); got != a.longName || int(binary.LittleEndian.Uint32(out.Data[44:])) != len(a.longName)+1 {
						t.Errorf("%s: long name %q", a.name, got)
					}
				}
				if a.name == "MD5" { // others have a place of their own
					h.want("another context", h.GetProvParam(other, param, &Output{Room: 100}, CRYPT_FIRST), ok)
				}
			}
			for range 2 {
				h.want("the end", h.GetProvParam(c, param, &Output{Room: 100}, CRYPT_NEXT), winkeys.ERROR_NO_MORE_ITEMS)
			}
		}
		h.want("flags", h.GetProvParam(c, param, &Output{Room: 100}, 8), winkeys.NTE_BAD_FLAGS)
		h.want("no length", h.GetProvParam(c, param, nil, CRYPT_FIRST), winkeys.ERROR_INVALID_PARAMETER)
	}
	h.counts("algorithms", 0, 0)
}

func TestEnumContainers(t *testing.T) {
	h := newHost(t)
	c := h.open("", CRYPT_VERIFYCONTEXT)
	next := func(flags uint32) (string, Status) {
		out := &Output{Room: 300}
		st := h.GetProvParam(c, PP_ENUMCONTAINERS, out, flags)
		return string(out.Data), st
	}
	ask := &Output{LengthOnly: true}
	h.want("length", h.GetProvParam(c, PP_ENUMCONTAINERS, ask, CRYPT_FIRST), ok)
	if ask.Length != maxContainer {
		t.Errorf("length %d", ask.Length)
	}
	h.counts("the length", 0, 0)
	for _, flags := range []uint32{CRYPT_FIRST, CRYPT_FIRST | CRYPT_MACHINE_KEYSET} {
		if s, st := next(flags); s != "app/long\x00" || st != ok {
			t.Errorf("first: %q %v", s, st)
		}
		short := &Output{Room: 7}
		h.want("short", h.GetProvParam(c, PP_ENUMCONTAINERS, short, CRYPT_NEXT), moreData)
		if short.Length != 8 {
			t.Errorf("%d bytes are needed", short.Length)
		}
		if s, st := next(CRYPT_NEXT); s != "app/rsa\x00" || st != ok { // app/ec is not for CryptoAPI
			t.Errorf("second: %q %v", s, st)
		}
		for range 2 {
			_, st := next(0)
			h.want("the end", st, winkeys.ERROR_NO_MORE_ITEMS)
		}
	}
	h.counts("twice", 1, 0)
	h.want("flags", h.GetProvParam(c, PP_ENUMCONTAINERS, &Output{Room: 300}, 4), winkeys.NTE_BAD_FLAGS)
	c = h.open("", CRYPT_VERIFYCONTEXT)
	if s, st := next(CRYPT_NEXT); s != "app/long\x00" || st != ok {
		t.Errorf("next without first: %q %v", s, st)
	}
}

func TestKeys(t *testing.T) {
	h := newHost(t)
	s := "rsa2048"
	h.service.Add(t, "app/bare", s, func(p *wire.SigningPolicy) { p.CertificateBytes = nil })
	c := h.open("app/rsa", 0)
	for _, spec := range []uint32{0, 3, 0xFFFFFFFF} {
		_, st := h.GetUserKey(c, spec)
		h.want("GetUserKey", st, winkeys.NTE_BAD_KEY)
	}
	public := &testkeys.RSA(t, 2048).PublicKey
	for spec, alg := range map[uint32]uint32{1: 0xa400, 2: 0x2400} {
		k, st := h.GetUserKey(c, spec)
		h.want("GetUserKey", st, ok)
		param := func(k Handle, param uint32) func(*Output) Status {
			return func(o *Output) Status { return h.GetKeyParam(c, k, param, o, 0) }
		}
		for p, want := range map[uint32]uint32{KP_ALGID: alg, KP_KEYLEN: 2048, KP_BLOCKLEN: 2048, KP_PERMISSIONS: CRYPT_READ} {
			if got := h.number(fmt.Sprint("parameter ", p), param(k, p)); got != want {
				t.Errorf("parameter %d: %x", p, got)
			}
		}
		if len(h.get("KP_CERTIFICATE", param(k, KP_CERTIFICATE))) < 300 {
			t.Error("no certificate")
		}
		h.want("KP_IV", h.GetKeyParam(c, k, 1, &Output{Room: 99}, 0), winkeys.NTE_BAD_TYPE)
		h.want("flags", h.GetKeyParam(c, k, KP_ALGID, &Output{Room: 99}, 1), winkeys.NTE_BAD_FLAGS)

		copied, st := h.DuplicateKey(c, k, false, 0)
		h.want("DuplicateKey", st, ok)
		_, st = h.DuplicateKey(c, k, true, 0)
		h.want("reserved", st, winkeys.ERROR_INVALID_PARAMETER)
		_, st = h.DuplicateKey(c, k, false, 1)
		h.want("flags", st, winkeys.NTE_BAD_FLAGS)
		h.want("DestroyKey", h.DestroyKey(c, k), ok)
		h.want("DestroyKey again", h.DestroyKey(c, k), winkeys.NTE_BAD_KEY)
		export := func(o *Output) Status { return h.ExportKey(c, copied, 0, PUBLICKEYBLOB, 0, o) }
		blob := h.get("ExportKey", export)
		if !bytes.Equal(blob[:20], append(append([]byte{6, 2, 0, 0}, dword(alg)...), 'R', 'S', 'A', '1', 0, 8, 0, 0, 1, 0, 1, 0)) || !bytes.Equal(reversed(blob[20:]), public.N.Bytes()) {
			t.Errorf("the blob is %x", blob)
		}
		h.want("private", h.ExportKey(c, copied, 0, PRIVATEKEYBLOB, 0, &Output{Room: 9999}), winkeys.NTE_BAD_KEY_STATE)
		h.want("a session key", h.ExportKey(c, copied, 0, 1, 0, &Output{Room: 9999}), winkeys.NTE_BAD_TYPE)
		h.want("flags", h.ExportKey(c, copied, 0, PUBLICKEYBLOB, 4, &Output{Room: 9999}), winkeys.NTE_BAD_FLAGS)
		h.want("sealed", h.ExportKey(c, copied, copied, PUBLICKEYBLOB, 0, &Output{Room: 9999}), winkeys.NTE_BAD_KEY)

		other := h.open("", CRYPT_VERIFYCONTEXT)
		_, st = h.GetUserKey(other, spec)
		h.want("no container", st, winkeys.NTE_NO_KEY)
		h.want("another context's", h.DestroyKey(other, copied), winkeys.NTE_BAD_KEY)
		imported, st := h.ImportKey(other, append(blob, 0), 0, CRYPT_EXPORTABLE)
		h.want("ImportKey", st, ok)
		if got := h.get("ExportKey", func(o *Output) Status { return h.ExportKey(other, imported, 0, PUBLICKEYBLOB, 0, o) }); !bytes.Equal(got, blob) {
			t.Error("another blob came back")
		}
		h.want("KP_CERTIFICATE", h.GetKeyParam(other, imported, KP_CERTIFICATE, &Output{Room: 9999}, 0), winkeys.NTE_NOT_FOUND)
		_, st = h.ImportKey(other, blob, imported, 0)
		h.want("sealed", st, winkeys.NTE_BAD_KEY)
		_, st = h.ImportKey(other, blob, 0, 2)
		h.want("flags", st, winkeys.NTE_BAD_FLAGS)
		_, st = h.ImportKey(0, blob, 0, 0)
		h.want("no context", st, winkeys.NTE_BAD_UID)
	}
	c = h.open("app/bare", 0)
	k, st := h.GetUserKey(c, AT_SIGNATURE)
	h.want("GetUserKey", st, ok)
	h.want("KP_CERTIFICATE", h.GetKeyParam(c, k, KP_CERTIFICATE, &Output{LengthOnly: true}, 0), winkeys.NTE_NOT_FOUND)
}

func TestBlobs(t *testing.T) {
	key := &testkeys.RSA(t, 2048).PublicKey
	good := encodeBlob(key, CALG_RSA_SIGN)
	change := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	for what, tc := range map[string]struct {
		blob []byte
		want Status
	}{
		"good":              {good, ok},
		"for exchange":      {encodeBlob(key, CALG_RSA_KEYX), ok},
		"exponent 3":        {change(16, 3, 0, 0), ok},
		"nothing":           {nil, winkeys.NTE_BAD_DATA},
		"seven bytes":       {good[:7], winkeys.NTE_BAD_DATA},
		"a header":          {good[:8], winkeys.NTE_BAD_DATA},
		"no modulus":        {good[:20], winkeys.NTE_BAD_DATA},
		"a byte too few":    {good[:len(good)-1], winkeys.NTE_BAD_DATA},
		"a private key":     {change(0, 7), winkeys.NTE_BAD_TYPE},
		"version 3":         {change(1, 3), winkeys.NTE_BAD_VER},
		"DSS":               {change(4, 0, 0x22), winkeys.NTE_BAD_ALGID},
		"RSA2":              {change(8, 'R', 'S', 'A', '2'), winkeys.NTE_BAD_DATA},
		"512 bits":          {change(12, 0, 2), winkeys.NTE_BAD_LEN},
		"4 billion bits":    {change(12, 0xff, 0xff, 0xff, 0xff), winkeys.NTE_BAD_LEN},
		"fewer bits":        {change(12, 0xff, 7), winkeys.NTE_BAD_DATA},
		"exponent 0":        {change(16, 0, 0, 0), winkeys.NTE_BAD_DATA},
		"exponent 1":        {change(16, 1, 0, 0), winkeys.NTE_BAD_DATA},
		"an even exponent":  {change(16, 2, 0, 1), winkeys.NTE_BAD_DATA},
		"a huge exponent":   {change(16, 1, 0, 1, 0x80), winkeys.NTE_BAD_DATA},
		"an even modulus":   {change(20, good[20]&^1), winkeys.NTE_BAD_DATA},
		"a smaller modulus": {change(len(good)-1, 0), winkeys.NTE_BAD_DATA},
	} {
		if _, _, st := parseBlob(tc.blob); st != tc.want {
			t.Errorf("%s: %v, want %v", what, st, tc.want)
		}
	}
	// 1031 bits do not fill their last byte
	odd := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1030, 1), E: 65537}
	back, alg, st := parseBlob(encodeBlob(odd, CALG_RSA_KEYX))
	if st != ok || alg != CALG_RSA_KEYX || !back.Equal(odd) {
		t.Errorf("a key of 1031 bits: %v", st)
	}
}

func TestRegistration(t *testing.T) {
	values := map[string]RegistryValue{}
	for _, v := range Registration(`C:\Windows\System32\SignPath.Csp.dll`) {
		values[v.Name] = v
	}
	if values["Image Path"].Text != `C:\Windows\System32\SignPath.Csp.dll` || values["Type"].Number != 24 || len(values["Signature"].Binary) == 0 || len(values) != 4 {
		t.Errorf("%+v", values)
	}
	if !strings.HasSuffix(RegistryKey, `\Defaults\Provider\SignPathCSP`) {
		t.Error(RegistryKey)
	}
}
