package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/secret"
)

// Before C_Initialize every function says so (PKCS #11 v2.40 section 5.4).
func TestNotInitialized(t *testing.T) {
	f := newFixture(t)
	ignore := func(_ any, rv RV) RV { return rv }
	third := func(_ []byte, _ uint64, rv RV) RV { return rv }
	calls := map[string]func() RV{
		"C_Finalize":          f.Finalize,
		"C_GetSlotInfo":       func() RV { return ignore(f.SlotInfo(1)) },
		"C_GetTokenInfo":      func() RV { return ignore(f.TokenInfo(1)) },
		"C_GetMechanismList":  func() RV { return ignore(f.MechanismList(1)) },
		"C_GetMechanismInfo":  func() RV { return ignore(f.MechanismInfo(1, CKM_ECDSA)) },
		"C_OpenSession":       func() RV { return ignore(f.OpenSession(1, CKF_SERIAL_SESSION)) },
		"C_CloseSession":      func() RV { return f.CloseSession(1) },
		"C_CloseAllSessions":  func() RV { return f.CloseAllSessions(1) },
		"C_GetSessionInfo":    func() RV { return ignore(f.SessionInfo(1)) },
		"C_Login":             func() RV { return f.Login(1, CKU_USER, nil, true) },
		"C_Logout":            func() RV { return f.Logout(1) },
		"C_GetAttributeValue": func() RV { return ignore(f.AttributeValues(1, 1, nil)) },
		"C_GetObjectSize":     func() RV { return ignore(f.ObjectSize(1, 1)) },
		"C_FindObjectsInit":   func() RV { return f.FindObjectsInit(1, nil) },
		"C_FindObjects":       func() RV { return ignore(f.FindObjects(1, 1)) },
		"C_FindObjectsFinal":  func() RV { return f.FindObjectsFinal(1) },
		"C_SignInit":          func() RV { return f.SignInit(1, Mechanism{}, 1) },
		"C_Sign":              func() RV { return third(f.Sign(1, nil, big1K)) },
		"C_SignUpdate":        func() RV { return f.SignUpdate(1, nil) },
		"C_SignFinal":         func() RV { return third(f.SignFinal(1, big1K)) },
		"C_VerifyInit":        func() RV { return f.VerifyInit(1, Mechanism{}, 1) },
		"C_Verify":            func() RV { return f.Verify(1, nil, nil) },
		"C_VerifyUpdate":      func() RV { return f.VerifyUpdate(1, nil) },
		"C_VerifyFinal":       func() RV { return f.VerifyFinal(1, nil) },
		"C_CreateObject":      func() RV { return f.WriteRefused("C_CreateObject", 1) },
		"C_GenerateRandom":    func() RV { return f.RandomRefused("C_GenerateRandom", 1) },
	}
	for name, call := range calls {
		f.want(name, call(), CKR_CRYPTOKI_NOT_INITIALIZED)
	}
	f.start()
	f.want("second C_Initialize", f.Initialize(nil), CKR_CRYPTOKI_ALREADY_INITIALIZED)
	// A session handle that does not exist is what every function with one
	// complains about first (section 5.1.2).
	for name, call := range calls {
		if slices.Contains([]string{"C_Finalize", "C_GetSlotInfo", "C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo", "C_OpenSession", "C_CloseAllSessions"}, name) {
			continue
		}
		f.want(name, call(), CKR_SESSION_HANDLE_INVALID)
	}
	f.want("C_Finalize", f.Finalize(), CKR_OK)
	f.want("C_Finalize again", f.Finalize(), CKR_CRYPTOKI_NOT_INITIALIZED)
	f.start()
}

// Section 5.5.
func TestSlotAndToken(t *testing.T) {
	f := newFixture(t).start()
	if got := f.SlotList(true); !slices.Equal(got, []uint64{1}) {
		t.Errorf("slots %v", got)
	}
	for _, slot := range []uint64{0, 2, Unavailable} {
		_, rv := f.SlotInfo(slot)
		f.want("C_GetSlotInfo", rv, CKR_SLOT_ID_INVALID)
		_, rv = f.TokenInfo(slot)
		f.want("C_GetTokenInfo", rv, CKR_SLOT_ID_INVALID)
		_, rv = f.MechanismList(slot)
		f.want("C_GetMechanismList", rv, CKR_SLOT_ID_INVALID)
		_, rv = f.OpenSession(slot, CKF_SERIAL_SESSION)
		f.want("C_OpenSession", rv, CKR_SLOT_ID_INVALID)
		f.want("C_CloseAllSessions", f.CloseAllSessions(slot), CKR_SLOT_ID_INVALID)
	}
	info, rv := f.TokenInfo(1)
	f.want("C_GetTokenInfo", rv, CKR_OK)
	if string(info.Label[:]) != "SignPath"+strings.Repeat(" ", 24) {
		t.Errorf("label %q", info.Label)
	}
	// The first 16 hexadecimal digits of SHA-256("https://app.signpath.io/Api" + organization).
	if string(info.SerialNumber[:]) != "394b40a358e95894" {
		t.Errorf("serial number %q", info.SerialNumber)
	}
	if info.Flags != CKF_LOGIN_REQUIRED|CKF_USER_PIN_INITIALIZED|CKF_TOKEN_INITIALIZED|CKF_WRITE_PROTECTED {
		t.Errorf("flags %#x", info.Flags)
	}
	if info.MaxPinLen != 512 || info.MinPinLen != 6 {
		t.Errorf("PIN lengths %d %d", info.MinPinLen, info.MaxPinLen)
	}
	if f.ring.count() != 0 {
		t.Error("C_GetTokenInfo used the network")
	}
}

// Section 5.6, C_OpenSession.
func TestReadWriteSessions(t *testing.T) {
	f := newFixture(t).start()
	_, rv := f.OpenSession(1, 0)
	f.want("parallel", rv, CKR_SESSION_PARALLEL_NOT_SUPPORTED)
	for range 2 {
		_, rv = f.OpenSession(1, CKF_SERIAL_SESSION|CKF_RW_SESSION)
		f.want("read/write", rv, CKR_TOKEN_WRITE_PROTECTED)
	}
	if n := f.log.Count("WARNING", "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS"); n != 1 {
		t.Errorf("%d warnings that name the setting", n)
	}
	s := f.open()
	f.want("write", f.WriteRefused("C_CopyObject", s), CKR_SESSION_READ_ONLY)
	f.want("random", f.RandomRefused("C_SeedRandom", s), CKR_RANDOM_NO_RNG)

	f = newFixture(t)
	f.settings.DoNotFailOnReadWriteSessions = true
	f.start()
	s, rv = f.OpenSession(1, CKF_SERIAL_SESSION|CKF_RW_SESSION)
	f.want("read/write with the setting", rv, CKR_OK)
	f.want("write", f.WriteRefused("C_CopyObject", s), CKR_TOKEN_WRITE_PROTECTED)
	info, _ := f.SessionInfo(s)
	if info != (SessionInfo{SlotID: 1, State: CKS_RW_PUBLIC_SESSION, Flags: 6}) {
		t.Errorf("%+v", info)
	}
	f.want("C_Login", f.Login(s, CKU_USER, []byte("CONFIG"), false), CKR_OK)
	if info, _ = f.SessionInfo(s); info.State != CKS_RW_USER_FUNCTIONS {
		t.Errorf("%+v", info)
	}
}

// The login belongs to the application; the last session takes it along
// (section 5.6, C_Login, C_CloseSession).
func TestLoginIsPerApplication(t *testing.T) {
	f := newFixture(t).start()
	first, second := f.open(), f.loggedIn()
	if first == second {
		t.Error("one handle for two sessions")
	}
	info, _ := f.SessionInfo(first)
	if info.State != CKS_RO_USER_FUNCTIONS {
		t.Errorf("state %d of the other session", info.State)
	}
	f.want("C_Login again", f.Login(first, CKU_USER, []byte("nonsense"), false), CKR_USER_ALREADY_LOGGED_IN)
	key := f.key(first, CKO_PRIVATE_KEY, "hash-signing/rsa")
	f.want("C_CloseSession", f.CloseSession(first), CKR_OK)
	f.want("C_CloseSession again", f.CloseSession(first), CKR_SESSION_HANDLE_INVALID)
	f.want("C_CloseSession of the last", f.CloseSession(second), CKR_OK)
	third := f.open()
	if info, _ = f.SessionInfo(third); info.State != CKS_RO_PUBLIC_SESSION {
		t.Errorf("state %d after the last session was closed", info.State)
	}
	f.want("C_Logout", f.Logout(third), CKR_USER_NOT_LOGGED_IN)
	f.want("C_SignInit after logout", f.SignInit(third, Mechanism{Type: CKM_RSA_PKCS}, key), CKR_USER_NOT_LOGGED_IN)
	f.want("C_Login", f.Login(third, CKU_USER, []byte("CONFIG"), false), CKR_OK)
	// "handles to private objects become invalid even if a user is later logged back" (C_Logout)
	f.want("C_SignInit with a handle from before", f.SignInit(third, Mechanism{Type: CKM_RSA_PKCS}, key), CKR_KEY_HANDLE_INVALID)
	if again := f.key(third, CKO_PRIVATE_KEY, "hash-signing/rsa"); again == key {
		t.Error("a handle was given a second time")
	}
	f.want("C_CloseAllSessions", f.CloseAllSessions(1), CKR_OK)
	_, rv := f.SessionInfo(third)
	f.want("C_GetSessionInfo", rv, CKR_SESSION_HANDLE_INVALID)
}

func TestLoginAnswers(t *testing.T) {
	failure := func(c remote.Class) error { return &remote.Error{Class: c, Op: "list signing policies"} }
	unconfigured := func(f *fixture) { f.settings.OrganizationID, f.settings.APIToken = "", secret.Secret{} }
	broken := func(f *fixture) { f.loadErr = errors.New("config.json, line 3: no such level") }
	ringErr := func(err error) func(*fixture) { return func(f *fixture) { f.ring.err = err } }
	cases := []struct {
		name     string
		userType uint64
		pin      string
		null     bool
		prepare  func(*fixture)
		want     RV
		log      string
	}{
		{"CONFIG", CKU_USER, "CONFIG", false, nil, CKR_OK, ""},
		{"organization and token", CKU_USER, testPIN, false, nil, CKR_OK, ""},
		{"organization and token without configuration", CKU_USER, testPIN, false, unconfigured, CKR_OK, ""},
		{"CONFIG and a line end", CKU_USER, "CONFIG\n", false, nil, CKR_OK, ""},
		{"CONFIG and a Windows line end", CKU_USER, "CONFIG\r\n", false, nil, CKR_OK, ""},
		{"organization, token and a line end", CKU_USER, testPIN + "\n", false, nil, CKR_OK, ""},
		{"the longest PIN and a line end", CKU_USER, testPIN + strings.Repeat("x", MaxPINLength-len(testPIN)) + "\n", false, nil, CKR_OK, ""},
		{"two line ends", CKU_USER, "CONFIG\n\n", false, nil, CKR_PIN_INCORRECT, "no colon"},
		{"a line end only", CKU_USER, "\n", false, nil, CKR_PIN_INCORRECT, "empty"},
		{"a space", CKU_USER, "CONFIG ", false, nil, CKR_PIN_INCORRECT, "no colon"},
		{"NULL PIN with configuration", CKU_USER, "", true, nil, CKR_OK, ""},
		{"NULL PIN without", CKU_USER, "", true, unconfigured, CKR_ARGUMENTS_BAD, "no PIN"},
		{"empty PIN", CKU_USER, "", false, nil, CKR_PIN_INCORRECT, "empty"},
		{"config", CKU_USER, "config", false, nil, CKR_PIN_INCORRECT, "upper case"},
		{"word", CKU_USER, "1234", false, nil, CKR_PIN_INCORRECT, "no colon"},
		{"no UUID", CKU_USER, "org:token", false, nil, CKR_PIN_INCORRECT, "organization id"},
		{"cut", CKU_USER, testPIN[:32], false, nil, CKR_PIN_INCORRECT, "cut it"},
		{"cut to 31 bytes", CKU_USER, testPIN[:31], false, nil, CKR_PIN_INCORRECT, "31 bytes"}, // pkcs11-provider 1.0, pin-source=
		{"no token", CKU_USER, testOrganization + ":", false, nil, CKR_PIN_INCORRECT, "no API token"},
		{"encrypted", CKU_USER, testOrganization + ":encrypted:AAAA", false, nil, CKR_PIN_INCORRECT, "encrypted"},
		{"registry", CKU_USER, testOrganization + `:registry:HKEY_CURRENT_USER\X`, false, nil, CKR_PIN_INCORRECT, "registry"},
		{"CONFIG without configuration", CKU_USER, "CONFIG", false, unconfigured, CKR_GENERAL_ERROR, "SIGNPATH_ORGANIZATION_ID"},
		{"broken configuration", CKU_USER, "CONFIG", false, broken, CKR_GENERAL_ERROR, "line 3"},
		{"broken configuration, own PIN", CKU_USER, testPIN, false, broken, CKR_GENERAL_ERROR, "line 3"},
		{"broken configuration, NULL PIN", CKU_USER, "", true, broken, CKR_GENERAL_ERROR, "line 3"},
		{"security officer", CKU_SO, "CONFIG", false, nil, CKR_USER_TYPE_INVALID, ""},
		{"context specific", CKU_CONTEXT_SPECIFIC, "CONFIG", false, nil, CKR_OPERATION_NOT_INITIALIZED, ""},
		{"user type 7", 7, "CONFIG", false, nil, CKR_USER_TYPE_INVALID, ""},
		{"time-out", CKU_USER, "CONFIG", false, ringErr(failure(remote.Transient)), CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED"},
		{"500", CKU_USER, "CONFIG", false, ringErr(failure(remote.Service)), CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR"},
		{"401", CKU_USER, "CONFIG", false, ringErr(&remote.Error{Class: remote.User, Op: "list", Status: 401, Hint: "Check the token."}), CKR_ARGUMENTS_BAD, "Check the token"},
		{"untrusted certificate", CKU_USER, testPIN, false, ringErr(failure(remote.Other)), CKR_GENERAL_ERROR, ""},
		{"unknown error", CKU_USER, "CONFIG", false, ringErr(errors.New("?")), CKR_GENERAL_ERROR, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			if c.prepare != nil {
				c.prepare(f)
			}
			f.start()
			s := f.open()
			f.want("C_Login", f.Login(s, c.userType, []byte(c.pin), c.null), c.want)
			if c.log != "" && f.log.Count("ERROR", c.log) == 0 {
				t.Errorf("no error line with %q:\n%s", c.log, f.log.Text())
			}
			if all := f.log.Text(); strings.Contains(all, testToken) || len(c.pin) > 36 && strings.Contains(all, c.pin) {
				t.Errorf("the log holds the PIN:\n%s", all)
			}
			info, _ := f.SessionInfo(s)
			if loggedIn := info.State == CKS_RO_USER_FUNCTIONS; loggedIn != (c.want == CKR_OK) {
				t.Errorf("state %d", info.State)
			}
		})
	}
}

// A PIN with organization and token replaces those two and nothing else.
func TestPINOverridesConfiguration(t *testing.T) {
	f := newFixture(t)
	f.settings.ProjectSlug = "p"
	f.start()
	s := f.open()
	before, _ := f.TokenInfo(1)
	pin := "AAAAAAAA-1111-2222-3333-444444444444:a:b=="
	f.want("C_Login", f.Login(s, CKU_USER, []byte(pin), false), CKR_OK)
	if len(f.opened) != 1 {
		t.Fatalf("%d rings", len(f.opened))
	}
	got := f.opened[0]
	if got.OrganizationID != "aaaaaaaa-1111-2222-3333-444444444444" || got.APIToken.Reveal() != "a:b==" || got.ProjectSlug != "p" {
		t.Errorf("organization %q, project %q", got.OrganizationID, got.ProjectSlug)
	}
	// The serial number is part of key references: it stays.
	after, _ := f.TokenInfo(1)
	if before.SerialNumber != after.SerialNumber {
		t.Error("the token's serial number changed at login")
	}
}

// A login that another thread ends (section 5.6, C_CloseSession; section 5.4, C_Finalize).
func TestCanceledLogin(t *testing.T) {
	for name, end := range map[string]func(*fixture, uint64) RV{
		"C_CloseSession":     func(f *fixture, s uint64) RV { return f.CloseSession(s) },
		"C_CloseAllSessions": func(f *fixture, _ uint64) RV { return f.CloseAllSessions(1) },
		"C_Finalize":         func(f *fixture, _ uint64) RV { return f.Finalize() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.ring.block = make(chan struct{})
			f.start()
			s := f.open()
			other := f.open()
			answers := make(chan RV, 2)
			for range 2 { // the second one waits for its turn
				go func() { answers <- f.Login(s, CKU_USER, []byte("CONFIG"), false) }()
			}
			for f.ring.count() == 0 {
				time.Sleep(time.Millisecond)
			}
			// Nobody else has to wait meanwhile.
			if _, rv := f.SessionInfo(other); rv != CKR_OK {
				t.Error(rv)
			}
			f.want("C_Logout", f.Logout(other), CKR_USER_NOT_LOGGED_IN)
			f.want(name, end(f, s), CKR_OK)
			canceled := 0
			for range 2 {
				select {
				case rv := <-answers:
					switch rv {
					case CKR_FUNCTION_CANCELED:
						canceled++
					case CKR_SESSION_HANDLE_INVALID, CKR_CRYPTOKI_NOT_INITIALIZED: // the second one came too late
					default:
						t.Errorf("C_Login: %v", rv)
					}
				case <-time.After(2 * time.Second):
					t.Fatal("C_Login goes on")
				}
			}
			if canceled == 0 {
				t.Error("no C_Login was cancelled")
			}
		})
	}
}

// A list that arrives after the session was closed logs nobody in.
func TestLateLogin(t *testing.T) {
	f := newFixture(t)
	f.ring.block, f.ring.deaf = make(chan struct{}), true
	f.start()
	s, other := f.open(), f.open()
	answer := make(chan RV, 1)
	go func() { answer <- f.Login(s, CKU_USER, []byte("CONFIG"), false) }()
	for f.ring.count() == 0 {
		time.Sleep(time.Millisecond)
	}
	f.want("C_CloseSession", f.CloseSession(s), CKR_OK)
	close(f.ring.block)
	f.want("C_Login", <-answer, CKR_FUNCTION_CANCELED)
	if info, _ := f.SessionInfo(other); info.State != CKS_RO_PUBLIC_SESSION {
		t.Errorf("state %d", info.State)
	}
}

func TestFinalizeClosesRings(t *testing.T) {
	f := newFixture(t)
	own := &testRing{listing: f.ring.listing}
	f.rings = func(s settings.Settings) Ring {
		if s.APIToken.Reveal() == "other" {
			return own
		}
		return f.ring
	}
	f.start()
	s := f.open()
	f.find(s) // makes the ring of the configuration
	f.want("C_Login", f.Login(s, CKU_USER, []byte(testOrganization+":other"), false), CKR_OK)
	if f.ring.closed.Load() != 1 {
		t.Error("the configuration's ring is still open although another user logged in")
	}
	f.want("C_Finalize", f.Finalize(), CKR_OK)
	if own.closed.Load() != 1 {
		t.Errorf("closed %d times", own.closed.Load())
	}
	f.start()
	f.want("C_SessionInfo", func() RV { _, rv := f.SessionInfo(s); return rv }(), CKR_SESSION_HANDLE_INVALID)
}

// The first line says which service is in use.
func TestFirstLine(t *testing.T) {
	f := newFixture(t)
	f.settings.Warnings = []string{"SIGNPATH_X is unknown"}
	f.start()
	first, _, _ := strings.Cut(f.log.Text(), "\n")
	if !strings.HasPrefix(first, "INFO") || !strings.Contains(first, "https://app.signpath.io/Api") || !strings.Contains(first, "1.2.3") {
		t.Errorf("%q", first)
	}
	if f.log.Count("WARNING", "SIGNPATH_X") != 1 {
		t.Error("a warning of the configuration is lost")
	}
	if f.ring.count() != 0 || len(f.opened) != 0 {
		t.Error("C_Initialize used the network")
	}
}

// A configuration that cannot be used is explained once, however often a tool
// tries, and the address that is shown is none that is not asked.
func TestBrokenConfigurationIsToldOnce(t *testing.T) {
	address := func(f *fixture) string {
		first, _, _ := strings.Cut(f.log.Text(), "\n")
		return first
	}
	for name, tt := range map[string]struct {
		environ []string
		shown   bool // the default address
	}{
		"ApiUrl":              {[]string{"SIGNPATH_API_URL=http://sign.example.com/Api"}, false},
		"misspelt ApiUrl":     {[]string{"SIGNPATH_API_URI=https://sign.example.com/Api"}, false},
		"file":                {[]string{"SIGNPATH_CONFIG_FILE=/nowhere/c.json"}, false},
		"file, other address": {[]string{"SIGNPATH_CONFIG_FILE=/nowhere/c.json", "SIGNPATH_API_URL=" + settings.DefaultAPIURL}, true},
		"something else":      {[]string{"SIGNPATH_TIMEOUTS_RETRY_COUNT=x"}, true},
	} {
		f := newFixture(t)
		f.settings, f.loadErr = settings.Load(tt.environ, settings.Explicit{})
		if f.loadErr == nil {
			t.Fatal(name)
		}
		f.start()
		if got := strings.Contains(address(f), settings.DefaultAPIURL); got != tt.shown {
			t.Errorf("%s: %s", name, address(f))
		}
		s := f.open()
		for _, pin := range []string{"CONFIG", testPIN, "CONFIG"} {
			f.want("C_Login", f.Login(s, CKU_USER, []byte(pin), false), CKR_GENERAL_ERROR)
		}
		if n := f.log.Count("ERROR", f.loadErr.Error()); n != 1 {
			t.Errorf("%s: the cause stands in %d lines:\n%s", name, n, f.log.Text())
		}
		if n := f.log.Count("ERROR", "C_Login failed"); n != 3 {
			t.Errorf("%s: %d failures:\n%s", name, n, f.log.Text())
		}
	}
}

// The login's line names the first keys: tools that filter for themselves never
// tell which name they look for.
func TestLoginLineNamesKeys(t *testing.T) {
	one := testKey(t, "p/1", "p256")
	for n, want := range map[int]string{0: "logged in keys 0\n", 1: "logged in keys 1 names p/1\n", 5: "keys 5 names p/1, p/2, p/3, p/4, p/5\n", 7: "keys 7 names p/1, p/2, p/3, p/4, p/5 and 2 more\n"} {
		keys := make([]Key, n)
		for i := range keys {
			keys[n-1-i] = one
			keys[n-1-i].Name = fmt.Sprintf("p/%d", i+1)
		}
		f := newFixture(t, keys...)
		f.ring.listing.Keys = keys
		f.start().loggedIn()
		if f.log.Count("INFO", strings.TrimSuffix(want, "\n")) != 1 || !strings.Contains(f.log.Text(), want) {
			t.Errorf("no %q in:\n%s", want, f.log.Text())
		}
	}
}

// A process that logs in and out for years must not grow.
func TestLogoutsAreForgotten(t *testing.T) {
	f := newFixture(t).start()
	s := f.open()
	var last uint64
	for range 50 {
		f.want("C_Login", f.Login(s, CKU_USER, []byte("CONFIG"), false), CKR_OK)
		last = f.key(s, CKO_PRIVATE_KEY, "hash-signing/rsa")
		f.want("C_Logout", f.Logout(s), CKR_OK)
	}
	if n := len(f.app.handles.retired); n > len(standardKeys(t)) {
		t.Errorf("%d handles of former logins are kept", n)
	}
	f.want("C_SignInit after logout", f.SignInit(s, Mechanism{Type: CKM_RSA_PKCS}, last), CKR_USER_NOT_LOGGED_IN)
}

// A panic of ours is an answer, not the end of the host.
func TestPanic(t *testing.T) {
	key := testKey(t, "p/s", "rsa2048")
	key.Sign = nil
	f := newFixture(t, key).start()
	s := f.loggedIn()
	f.want("C_SignInit", f.SignInit(s, Mechanism{Type: CKM_SHA256_RSA_PKCS}, f.key(s, CKO_PRIVATE_KEY, "p/s")), CKR_OK)
	_, _, rv := f.Sign(s, []byte("x"), big1K)
	f.want("C_Sign", rv, CKR_GENERAL_ERROR)
	_, _, rv = f.Sign(s, []byte("x"), big1K)
	f.want("C_Sign again", rv, CKR_OPERATION_NOT_INITIALIZED)
}

func TestReturnValueOfCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if rv := returnValue(ctx, &remote.Error{Class: remote.Canceled}); rv != CKR_FUNCTION_CANCELED {
		t.Error(rv)
	}
	cancel()
	if rv := returnValue(ctx, &remote.Error{Class: remote.Transient}); rv != CKR_FUNCTION_CANCELED {
		t.Error(rv)
	}
}

// A setuid host must not write its log where the caller says.
func TestPrivilegedLog(t *testing.T) {
	for _, privileged := range []bool{false, true} {
		f := newFixture(t)
		f.settings.Log.FileDirectory = "/somewhere"
		f.opts.Privileged = privileged
		directory := ""
		f.opts.OpenLog = func(s settings.Settings) (Logger, func()) { directory = s.Log.FileDirectory; return f.log, func() {} }
		f.start()
		if (directory == settings.SharedLogDirectory) != privileged {
			t.Errorf("privileged %v: the log goes to %s", privileged, directory)
		}
	}
}
