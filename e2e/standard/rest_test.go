package standard

import (
	"os"
	"strings"
)

// unsupported are the functions that sign and verify nothing (section 5.1: a library
// has to have them, and may answer CKR_FUNCTION_NOT_SUPPORTED).
var unsupported = strings.Fields(`C_InitToken C_InitPIN C_SetPIN C_GetOperationState C_SetOperationState
	C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal
	C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignRecoverInit C_SignRecover C_VerifyRecoverInit C_VerifyRecover
	C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
	C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey`)

var rest = []kase{
	{section: "5.16", name: "C_GetFunctionStatus and C_CancelFunction", do: func(r *run) {
		s := r.session()
		r.want(CKR_FUNCTION_NOT_PARALLEL, "C_GetFunctionStatus", s)
		r.want(CKR_FUNCTION_NOT_PARALLEL, "C_CancelFunction", s)
	}},
	{section: "5.15", name: "C_GenerateRandom and C_SeedRandom of a token without a generator", fits: ours, do: func(r *run) {
		s := r.session()
		r.want(CKR_RANDOM_NO_RNG, "C_GenerateRandom", s, r.mem(8), 8)
		r.want(CKR_RANDOM_NO_RNG, "C_SeedRandom", s, r.mem(8), 8)
	}},
	{section: "5.1", name: "what is not supported says so, with any arguments", fits: ours, do: func(r *run) {
		s := r.ready()
		for _, f := range functions {
			for _, name := range unsupported {
				if f.name != name {
					continue
				}
				args := make([]uint64, f.args)
				for range 2 { // NULL everywhere, then memory everywhere
					args[0] = s
					r.want(CKR_FUNCTION_NOT_SUPPORTED, name, args...)
					for i := range args {
						args[i] = r.mem(64)
					}
				}
			}
		}
		// and leaves what is active alone
		r.ok("C_SignInit", s, r.mechanism(ckmSHA256RSAPKCS, nil), r.rsa(s))
		r.want(CKR_FUNCTION_NOT_SUPPORTED, "C_DigestUpdate", s, r.mem(1), 1)
		r.signed(s, message)
	}},
	{section: "5.11", name: "what is not supported by the mechanism list is not by C_GenerateKeyPair", fits: ours, do: func(r *run) {
		r.initialize()
		info := r.mem(int(in.mechanism))
		r.want(CKR_MECHANISM_INVALID, "C_GetMechanismInfo", r.slot(), 0, info) // CKM_RSA_PKCS_KEY_PAIR_GEN
	}},
}

// forks are cases in which the process forks after C_Initialize (section 5.4 and the
// user guide: the child's library is not initialised; it calls C_Initialize first).
var forks = []kase{
	{section: "6.6", name: "a forked child is not initialised", fits: forking, do: func(r *run) {
		s := r.ready()
		r.equal("fork", r.ask("fork"), "child")
		r.want(CKR_CRYPTOKI_NOT_INITIALIZED, "C_GetSessionInfo", s, r.mem(int(in.session)))
		r.want(CKR_CRYPTOKI_NOT_INITIALIZED, "C_GetInfo", r.mem(int(in.info)))
		r.equal("the parent", r.ask("exit"), "parent 0")
		r.equal("the state in the parent", r.state(s), 1)
	}},
	{section: "6.6", name: "a forked child initialises and signs, and the parent goes on", fits: forking, do: func(r *run) {
		s := begun(r)
		r.equal("fork", r.ask("fork"), "child")
		if os.Getenv("E2E_FORK") == "refused" { // the shim's macOS half: an error, at once, instead of a core
			r.want(CKR_GENERAL_ERROR, "C_Initialize", 0)
			r.equal("the parent", r.ask("exit"), "parent 0")
			ways[1].check(r, s, r.signed(s, message))
			return
		}
		r.ok("C_Initialize", 0)
		mine := r.open()
		r.login(mine)
		r.want(CKR_SESSION_HANDLE_INVALID, "C_GetSessionInfo", s, r.mem(int(in.session)))
		ways[4].check(r, mine, r.sign(mine, r.mechanism(ckmECDSA, nil), r.ec(mine), digest(message)))
		r.ok("C_Finalize", 0)
		r.equal("the parent", r.ask("exit"), "parent 0")
		ways[1].check(r, s, r.signed(s, message))
	}},
}

// choices are where the standard leaves one, or the module differs from it on purpose
// (docs/providers.md, "The standard"); the rest of that table stands in other cases.
var choices = []kase{
	{section: "5.5", name: "the bare digests are known and not offered", fits: ours, do: func(r *run) {
		r.initialize()
		info := r.mem(int(in.mechanism))
		for _, m := range []uint64{0x220, 0x250, 0x260, 0x270} {
			r.ok("C_GetMechanismInfo", r.slot(), m, info)
			r.equal("the flags", r.long(info+2*in.long), 0)
		}
		n, list := r.longs(100), r.mem(int(100*in.long))
		r.ok("C_GetMechanismList", r.slot(), list, n)
		for i := range r.long(n) {
			m := r.long(list + in.long*i)
			if m >= 0x220 && m <= 0x270 {
				r.fail("0x%x is in the list", m)
			}
			r.ok("C_GetMechanismInfo", r.slot(), m, info)
			r.equal("CKF_HW", r.long(info+2*in.long)&1, 1)
		}
	}},
	{section: "5.4", name: "CKF_LIBRARY_CANT_CREATE_OS_THREADS is accepted", fits: ours, do: func(r *run) {
		r.load()
		r.ok("C_Initialize", r.arguments(0, 0, 0, 0, 1|ckfOSLockingOK, 0))
	}},
	{section: "5.6", name: "there is no security officer", fits: ours, do: func(r *run) {
		s := r.session()
		r.want(CKR_USER_TYPE_INVALID, "C_Login", s, ckuSO, r.bytes([]byte("x")), 1)
	}},
	{section: "5.11", name: "mechanisms that do not hash sign in parts", fits: ours, do: func(r *run) {
		s := r.ready()
		for _, w := range ways {
			r.ok("C_SignInit", s, r.mechanism(w.kind, w.parameter), w.key(r, s))
			r.ok("C_SignUpdate", s, r.bytes(w.data[:7]), 7)
			r.ok("C_SignUpdate", s, r.bytes(w.data[7:]), uint64(len(w.data)-7))
			sig, n := r.mem(384), r.longs(384)
			r.ok("C_SignFinal", s, sig, n)
			w.check(r, s, r.read(sig, int(r.long(n))))
		}
	}},
	{section: "5.7", name: "the size of an object is not known", fits: ours, do: func(r *run) {
		s := r.ready()
		n := r.longs(0)
		r.ok("C_GetObjectSize", s, r.rsa(s), n)
		r.equal("the size", r.long(n), unavailable)
	}},
}
