package cryptoki

import (
	"bytes"
	"context"
	"testing"

	"signpath/internal/wire"
)

// operations tells which of signing, verifying and searching are active.
func (f *fixture) operations(s uint64) [3]bool {
	f.tb.Helper()
	session := f.Module.app.sessions[s]
	return [3]bool{session.active(signing), session.active(verifying), session.find != nil}
}

func TestSessionCancel(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	private, public := f.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa"), f.key(s, CKO_PUBLIC_KEY, "hash-signing/rsa")
	for _, c := range []struct {
		name  string
		flags uint64
		left  [3]bool
	}{
		{"no flag", 0, [3]bool{true, true, true}},
		{"what never is active", 0x100 | 0x200 | 0x400, [3]bool{true, true, true}},
		{"CKF_SIGN", CKF_SIGN, [3]bool{false, true, true}},
		{"CKF_VERIFY", CKF_VERIFY, [3]bool{true, false, true}},
		{"CKF_FIND_OBJECTS", CKF_FIND_OBJECTS, [3]bool{true, true, false}},
		{"all", Unavailable, [3]bool{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := Mechanism{Type: CKM_SHA256_RSA_PKCS, ParameterNull: true}
			f.want("C_SignInit", f.SignInit(s, m, private), CKR_OK)
			f.want("C_VerifyInit", f.VerifyInit(s, m, public), CKR_OK)
			f.want("C_FindObjectsInit", f.FindObjectsInit(s, nil), CKR_OK)
			f.want("C_SessionCancel", f.SessionCancel(s, c.flags), CKR_OK)
			if got := f.operations(s); got != c.left {
				t.Errorf("left are %v, not %v", got, c.left)
			}
			f.want("C_SessionCancel", f.SessionCancel(s, Unavailable), CKR_OK)
		})
	}
	f.want("C_SessionCancel of no session", f.SessionCancel(s+1000, 0), CKR_SESSION_HANDLE_INVALID)
}

// TestCancelBusy: an operation that another thread is working on cannot be cancelled,
// and goes on.
func TestCancelBusy(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	key := testKey(t, "hash-signing/rsa", "rsa2048")
	sign := key.Sign
	key.Sign = func(ctx context.Context, s wire.Scheme, digest []byte) ([]byte, error) {
		close(asked)
		<-answer
		return sign(ctx, s, digest)
	}
	f := newFixture(t, key).start()
	s := f.loggedIn()
	f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_SHA256_RSA_PKCS, ParameterNull: true}, f.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa")), CKR_OK)
	done := make(chan RV)
	go func() {
		_, _, rv := f.Sign(s, []byte("abc"), big1K)
		done <- rv
	}()
	<-asked
	f.want("C_SessionCancel", f.SessionCancel(s, CKF_SIGN), CKR_OPERATION_CANCEL_FAILED)
	f.want("C_SignInit without a mechanism", f.SignCancel(s), CKR_OPERATION_CANCEL_FAILED)
	close(answer)
	f.want("C_Sign", <-done, CKR_OK)
	f.want("C_SessionCancel", f.SessionCancel(s, CKF_SIGN), CKR_OK)
}

func TestCancelByInit(t *testing.T) {
	f := newFixture(t).start()
	s := f.loggedIn()
	m := Mechanism{Type: CKM_SHA256_RSA_PKCS, ParameterNull: true}
	f.want("C_SignInit without anything", f.SignCancel(s), CKR_ARGUMENTS_BAD)
	f.want("C_SignInit", f.SignInit(s, m, f.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa")), CKR_OK)
	f.want("C_VerifyInit without anything", f.VerifyCancel(s), CKR_ARGUMENTS_BAD)
	f.want("C_SignInit without a mechanism", f.SignCancel(s), CKR_OK)
	f.want("C_SignUpdate", f.SignUpdate(s, nil), CKR_OPERATION_NOT_INITIALIZED)
	f.want("C_VerifyInit", f.VerifyInit(s, m, f.key(s, CKO_PUBLIC_KEY, "hash-signing/rsa")), CKR_OK)
	f.want("C_VerifyInit without a mechanism", f.VerifyCancel(s), CKR_OK)
	f.want("C_SignInit of no session", f.SignCancel(s+1000), CKR_SESSION_HANDLE_INVALID)
}

func TestLoginUser(t *testing.T) {
	const other = "99999999-1111-2222-3333-444444444444"
	for _, c := range []struct {
		name, user, pin string
		null            bool
		rv              RV
		organization    string // whose ring was opened
	}{
		{"no name", "", "CONFIG", false, CKR_OK, testOrganization},
		{"organization and token", other, "token", false, CKR_OK, other},
		{"token with a colon", other, "to:ken", false, CKR_OK, other},
		{"configuration of the organization", testOrganization, "CONFIG", false, CKR_OK, testOrganization},
		{"NULL PIN, the configuration's organization", testOrganization, "", true, CKR_OK, testOrganization},
		{"NULL PIN, no name", "", "", true, CKR_OK, testOrganization},
		{"configuration of another", other, "CONFIG", false, CKR_PIN_INCORRECT, ""},
		{"NULL PIN, another", other, "", true, CKR_PIN_INCORRECT, ""},
		{"no organization", "build", "token", false, CKR_PIN_INCORRECT, ""},
		{"no token", other, "", false, CKR_PIN_INCORRECT, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t).start()
			s := f.open()
			f.want("C_LoginUser", f.LoginUser(s, CKU_USER, []byte(c.pin), c.null, []byte(c.user)), c.rv)
			if c.rv == CKR_OK && (len(f.opened) != 1 || f.opened[0].OrganizationID != c.organization) {
				t.Errorf("opened for %v", f.opened)
			}
			if info, _ := f.SessionInfo(s); (info.State == CKS_RO_USER_FUNCTIONS) != (c.rv == CKR_OK) {
				t.Errorf("state %d", info.State)
			}
		})
	}
	f := newFixture(t).start()
	f.want("C_LoginUser of no session", f.LoginUser(77, CKU_USER, []byte("CONFIG"), false, nil), CKR_SESSION_HANDLE_INVALID)
	f.want("C_LoginUser as officer", f.LoginUser(f.open(), CKU_SO, []byte("CONFIG"), false, nil), CKR_USER_TYPE_INVALID)
}

func TestCopyRefused(t *testing.T) {
	toSession, toToken := []Attribute{{Type: CKA_TOKEN, Value: []byte{0}}}, []Attribute{{Type: CKA_TOKEN, Value: []byte{1}}}
	for _, writes := range []bool{false, true} {
		f := newFixture(t)
		f.settings.DoNotFailOnReadWriteSessions = true
		f.start()
		flags, refused := uint64(CKF_SERIAL_SESSION), CKR_SESSION_READ_ONLY
		if writes {
			flags, refused = flags|CKF_RW_SESSION, CKR_TOKEN_WRITE_PROTECTED
		}
		s, rv := f.OpenSession(slotID, flags)
		f.want("C_OpenSession", rv, CKR_OK)
		f.want("C_CopyObject", f.CopyRefused(s, nil), refused)
		f.want("C_CopyObject to the token", f.CopyRefused(s, toToken), refused)
		f.want("C_CopyObject to a session object", f.CopyRefused(s, toSession), CKR_ACTION_PROHIBITED)
		f.want("C_CopyObject of no session", f.CopyRefused(s+1000, toSession), CKR_SESSION_HANDLE_INVALID)
	}
}

// TestUniqueID: the same in every process, different for all objects, and another
// one when the certificate is.
func TestUniqueID(t *testing.T) {
	ids := func(keys ...Key) map[string]bool {
		all := map[string]bool{}
		for _, o := range newObjectSet(&Listing{Keys: keys}, true).all {
			id := o.attribute(CKA_UNIQUE_ID, 8)
			if id.RV != CKR_OK || len(id.Value) != 32 || all[string(id.Value)] {
				t.Errorf("%q", id.Value)
			}
			all[string(id.Value)] = true
		}
		return all
	}
	keys := standardKeys(t)
	first, again := ids(keys...), ids(keys...)
	for id := range first {
		if !again[id] {
			t.Errorf("%s is not the same twice", id)
		}
	}
	renewed := keys[1]
	renewed.Certificate = keys[0].Certificate
	before := newObjectSet(&Listing{Keys: keys[1:2]}, true).byID[renewed.Name]
	after := newObjectSet(&Listing{Keys: []Key{renewed}}, true).byID[renewed.Name]
	for i, o := range after {
		if bytes.Equal(o.uniqueID(), before[i].uniqueID()) {
			t.Errorf("class %d: the same although the certificate is another", o.class)
		}
	}
	if len(after) != 3 {
		t.Errorf("%d objects", len(after))
	}
}
