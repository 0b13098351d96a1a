package standard

import (
	"testing"

	"signpath/e2e/rig"
)

// readWrite are cases with Cryptoki.DoNotFailOnReadWriteSessions: read/write sessions
// open, and every write is refused.
var readWrite = []kase{
	{section: "5.6", name: "states of read/write sessions", do: func(r *run) {
		r.initialize()
		rw, ro := r.openWith(ckfSerial|ckfRW), r.open()
		r.equal("the states", [2]uint64{r.state(rw), r.state(ro)}, [2]uint64{2, 0})
		r.login(rw)
		r.equal("the states", [2]uint64{r.state(rw), r.state(ro)}, [2]uint64{3, 1})
		at := r.mem(int(in.token))
		r.ok("C_GetTokenInfo", r.slot(), at)
		r.equal("ulSessionCount, ulRwSessionCount", [2]uint64{r.long(at + 96 + 2*in.long), r.long(at + 96 + 4*in.long)}, [2]uint64{2, 1})
		r.ok("C_Logout", ro)
		r.equal("the states", [2]uint64{r.state(rw), r.state(ro)}, [2]uint64{2, 0})
	}},
	{section: "5.7", name: "writes are refused in a read/write session", do: func(r *run) {
		r.initialize()
		s := r.openWith(ckfSerial | ckfRW)
		r.login(s)
		key := r.rsa(s)
		onToken := r.template(attr{ckaToken, []byte{1}}, attr{ckaClass, long(0)})
		r.want(CKR_TOKEN_WRITE_PROTECTED, "C_CreateObject", s, onToken, 2, r.longs(0))
		r.want(CKR_TOKEN_WRITE_PROTECTED, "C_CopyObject", s, key, onToken, 1, r.longs(0))
		r.want(CKR_ACTION_PROHIBITED, "C_CopyObject", s, key, r.template(attr{ckaToken, []byte{0}}), 1, r.longs(0))
		r.want(CKR_TOKEN_WRITE_PROTECTED, "C_DestroyObject", s, key)
		r.want(CKR_TOKEN_WRITE_PROTECTED, "C_SetAttributeValue", s, key, r.template(attr{ckaLabel, []byte("new")}), 1)
		r.sign(s, r.mechanism(ckmSHA256RSAPKCS, nil), key, message)
	}},
}

func TestReadWriteSessions(t *testing.T) {
	t.Parallel()
	tok := ourToken(t, "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true")
	for _, k := range readWrite {
		t.Run(k.section+"/"+k.name, func(t *testing.T) {
			if problem := try(t, tok, k); problem != "" {
				t.Error(problem)
			}
		})
	}
}

// TestLoginUser: the user name of C_LoginUser is the organization, its PIN the token.
func TestLoginUser(t *testing.T) {
	t.Parallel()
	env := rig.TheService(t).Env
	organization, secret := env["SIGNPATH_ORGANIZATION_ID"], env["SIGNPATH_API_TOKEN"]
	tok := ourToken(t, "SIGNPATH_ORGANIZATION_ID=", "SIGNPATH_API_TOKEN=")
	for _, c := range []struct {
		name, user, pin string
		rv              RV
	}{
		{"organization and token", organization, secret, CKR_OK},
		{"token of nobody", organization, "no-such-token", CKR_ARGUMENTS_BAD}, // the service refused: documented
		{"organization twice", organization, organization + ":" + secret, CKR_ARGUMENTS_BAD},
		{"no organization", "build", secret, CKR_PIN_INCORRECT},
		{"configuration of another", organization, "CONFIG", CKR_PIN_INCORRECT},
		{"no token", organization, "", CKR_PIN_INCORRECT},
	} {
		t.Run(c.name, func(t *testing.T) {
			problem := try(t, tok, kase{do: func(r *run) {
				s := r.session()
				r.want(c.rv, "C_LoginUser", s, ckuUser, r.bytes([]byte(c.pin)), uint64(len(c.pin)), r.bytes([]byte(c.user)), uint64(len(c.user)))
				if c.rv == CKR_OK {
					ways[4].check(r, s, r.sign(s, r.mechanism(ckmECDSA, nil), r.ec(s), digest(message)))
				}
			}})
			if problem != "" {
				t.Error(problem)
			}
		})
	}
}
