package capi

import (
	"encoding/binary"
	"testing"

	"signpath/internal/provider/winkeys"
	"signpath/internal/testkit/testkeys"
)

// FuzzBlob: any bytes as a public key. What is accepted comes back as it was.
func FuzzBlob(f *testing.F) {
	good := encodeBlob(&testkeys.RSA(f, 2048).PublicKey, CALG_RSA_SIGN)
	f.Add(good)
	f.Add(good[:20])
	f.Add([]byte{7, 2, 0, 0, 0, 0x24, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		public, alg, st := parseBlob(b)
		if (public == nil) != (st != winkeys.OK) {
			t.Fatal("a key and a failure")
		}
		if st != winkeys.OK {
			return
		}
		out := encodeBlob(public, alg)
		again, _, st := parseBlob(out)
		if st != winkeys.OK || !again.Equal(public) || len(out) > len(b) {
			t.Fatalf("%x became %x", b, out)
		}
	})
}

// FuzzCalls: any calls in any order with any numbers, handles from before among them.
// Nothing panics (a panic would be logged as a fault), and nothing is left behind.
func FuzzCalls(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0})
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 5, 0, 1, 6, 3, 7, 0, 1, 0, 0, 8, 0, 1, 2, 2})
	h := newHost(f)
	names := []string{"app/rsa", "app/ec", "app/long", "", "\xff/\x00", "app/rsa/"}
	f.Fuzz(func(t *testing.T, program []byte) {
		handles := []Handle{0}
		for len(program) >= 5 {
			op := program[:5]
			program = program[5:]
			at := func(i int) Handle { return handles[int(op[i])%len(handles)] }
			flags := binary.LittleEndian.Uint32([]byte{op[3] & 7, 0, 0, op[3] & 0xf0})
			out := &Output{LengthOnly: op[4]&1 != 0, Room: uint32(op[4]) << 4}
			if op[4] == 0xff {
				out = nil
			}
			var made Handle
			var st Status
			switch op[0] % 20 {
			case 0:
				made, st = h.AcquireContext(&names[int(op[1])%len(names)], flags, Registered{})
			case 1:
				made, st = h.GetUserKey(at(1), uint32(op[2]))
			case 2:
				st = h.ReleaseContext(at(1), flags&1)
			case 3:
				st = h.GetProvParam(at(1), uint32(op[2]), out, flags)
			case 4:
				made, st = h.CreateHash(at(1), 0x8000+uint32(op[2])%16, 0, 0)
			case 5:
				made, st = h.CreateHash(at(1), CALG_SHA_256, at(2), flags)
			case 6:
				st = h.HashData(at(1), at(2), program, flags)
			case 7:
				st = h.SignHash(at(1), at(2), uint32(op[3]), op[3]&8 != 0, flags&7, out)
			case 8:
				st = h.GetHashParam(at(1), at(2), uint32(op[3]), out, flags)
			case 9:
				st = h.SetHashParam(at(1), at(2), HP_HASHVAL, func(n int) ([]byte, bool) { return make([]byte, n), op[4]&1 != 0 }, 0)
			case 10:
				made, st = h.DuplicateHash(at(1), at(2), op[4]&1 != 0, 0)
			case 11:
				st = h.DestroyHash(at(1), at(2))
			case 12:
				st = h.DestroyKey(at(1), at(2))
			case 13:
				made, st = h.DuplicateKey(at(1), at(2), false, 0)
			case 14:
				st = h.ExportKey(at(1), at(2), 0, uint32(op[3]), 0, out)
			case 15:
				made, st = h.ImportKey(at(1), program, at(2), flags)
			case 16:
				st = h.VerifySignature(at(1), at(2), program, at(3), false, uint32(op[4]))
			case 17:
				st = h.GetKeyParam(at(1), at(2), uint32(op[3]), out, 0)
			case 18:
				st = h.SetProvParam(at(1), uint32(op[2]))
			case 19:
				st = h.Refuse(CPGenKey, at(1))
			}
			if st == winkeys.NTE_FAIL || (made != 0) != (st == winkeys.OK) && made != 0 {
				t.Fatalf("call %d: %v, handle %d", op[0]%20, st, made)
			}
			if out != nil && st == winkeys.OK && out.Data != nil && len(out.Data) > int(out.Room) {
				t.Fatalf("call %d: %d bytes in %d", op[0]%20, len(out.Data), out.Room)
			}
			if made != 0 {
				handles = append(handles, made)
			}
		}
		for _, c := range handles {
			h.ReleaseContext(c, 0)
		}
		if n := h.objects.count(); n != 0 {
			t.Fatalf("%d objects are left", n)
		}
	})
}
