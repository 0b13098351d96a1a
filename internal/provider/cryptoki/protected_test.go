package cryptoki

import "testing"

// TestProtectedAuthenticationPath: the flag is the setting's, nothing else changes, and
// a NULL PIN logs in (PKCS #11 v2.40 sections 3.2 and 5.6).
func TestProtectedAuthenticationPath(t *testing.T) {
	plain, _ := newFixture(t).start().TokenInfo(1)
	f := newFixture(t)
	f.settings.ProtectedAuthenticationPath = true
	f.start()
	info, rv := f.TokenInfo(1)
	f.want("C_GetTokenInfo", rv, CKR_OK)
	if info.Flags != plain.Flags|CKF_PROTECTED_AUTHENTICATION_PATH || plain.Flags&CKF_PROTECTED_AUTHENTICATION_PATH != 0 {
		t.Errorf("flags %#x, without the setting %#x", info.Flags, plain.Flags)
	}
	f.want("C_Login", f.Login(f.open(), CKU_USER, nil, true), CKR_OK)
}
