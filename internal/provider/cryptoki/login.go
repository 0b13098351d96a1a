package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
)

// userTypes says what C_Login answers for each CK_USER_TYPE before it looks at
// the PIN (PKCS #11 v2.40 section 5.6): there is no security officer, and no
// operation ever waits for a PIN of its own (CKA_ALWAYS_AUTHENTICATE is false).
var userTypes = map[uint64]RV{
	CKU_SO:               CKR_USER_TYPE_INVALID,
	CKU_USER:             CKR_OK,
	CKU_CONTEXT_SPECIFIC: CKR_OPERATION_NOT_INITIALIZED,
}

// Login answers C_Login (PKCS #11 v2.40 section 5.6). It logs the whole
// application in, by fetching the list of keys: a wrong token shows here. A NULL
// PIN works when the configuration has organization and token.
func (m *Module) Login(handle, userType uint64, pin []byte, pinIsNull bool) (rv RV) {
	app, leave, rv := m.enterLong()
	if rv != CKR_OK {
		return rv
	}
	defer leave()
	defer app.trace("C_Login", &rv, "session", handle, "userType", userType)
	return app.loginTo(handle, userType, pin, pinIsNull)
}

// LoginUser answers C_LoginUser (PKCS #11 v3.0 section 5.6): C_Login for hosts
// that know a user name. The name is the organization id, the PIN then the bare
// API token. CONFIG or a NULL PIN beside a name has to mean that organization's
// configuration. Without a name it is C_Login.
func (m *Module) LoginUser(handle, userType uint64, pin []byte, pinIsNull bool, name []byte) (rv RV) {
	app, leave, rv := m.enterLong()
	if rv != CKR_OK {
		return rv
	}
	defer leave()
	defer app.trace("C_LoginUser", &rv, "session", handle, "userType", userType, "nameLen", len(name))
	switch {
	case len(name) == 0:
	case !pinIsNull && string(pin) != configPIN:
		pin = slices.Concat(name, []byte(":"), pin)
	case !strings.EqualFold(string(name), app.settings.OrganizationID):
		pin, pinIsNull = name, false // wrong in the same way as a PIN without a token
	}
	return app.loginTo(handle, userType, pin, pinIsNull)
}

// loginTo is what C_Login and C_LoginUser share.
func (a *application) loginTo(handle, userType uint64, pin []byte, pinIsNull bool) RV {
	s, rv := a.session(handle)
	if rv != CKR_OK {
		return rv
	}
	rv, known := userTypes[userType]
	if !known {
		return CKR_USER_TYPE_INVALID
	}
	if rv != CKR_OK {
		return rv
	}
	select { // one login at a time: a second one then finds the user logged in
	case a.loginTurn <- struct{}{}:
		defer func() { <-a.loginTurn }()
	case <-s.ctx.Done():
		return CKR_FUNCTION_CANCELED
	}
	return a.login(s, pin, pinIsNull)
}

func (a *application) login(s *session, pin []byte, pinIsNull bool) RV {
	if a.isLoggedIn() {
		return CKR_USER_ALREADY_LOGGED_IN
	}
	if pinIsNull {
		if a.configErr == nil && !a.configured() {
			a.log.Error("C_Login failed: the tool gave no PIN, and the configuration has no organization id and API token", "cure", pinForms, "rv", CKR_ARGUMENTS_BAD.String())
			return CKR_ARGUMENTS_BAD
		}
		pin = []byte(configPIN)
	}
	who, err := parsePIN(pin)
	if err != nil {
		a.log.Error("C_Login failed: the PIN has the wrong form", "cause", err.Error(), "rv", CKR_PIN_INCORRECT.String())
		return CKR_PIN_INCORRECT
	}
	with, err := a.settingsFor(who)
	if err != nil {
		cause := err.Error()
		if a.configErr != nil && cause == a.configErr.Error() {
			cause = "it stands in the line that this process wrote when it started"
		}
		a.log.Error("C_Login failed, because the configuration cannot be used", "cause", cause, "rv", CKR_GENERAL_ERROR.String())
		return CKR_GENERAL_ERROR
	}
	ring, own, err := a.ringFor(with)
	if err == nil {
		var listing *Listing
		if listing, err = ring.Keys(s.ctx, a.patience.lookup()); err == nil {
			return a.admit(s, ring, own, listing)
		}
	}
	if own {
		closeRings(ring)
	}
	rv := returnValue(s.ctx, err)
	a.logFailure("C_Login failed", err, rv)
	return rv
}

// admit makes the user logged in, unless the session ended meanwhile.
func (a *application) admit(s *session, ring Ring, own bool, listing *Listing) RV {
	set := a.setFor(listing)
	a.mu.Lock()
	if a.sessions[s.handle] != s {
		a.mu.Unlock()
		if own {
			closeRings(ring)
		}
		return CKR_FUNCTION_CANCELED
	}
	a.ring, a.loggedIn = ring, true
	var old Ring
	if own { // objects of the configured user are no longer shown
		old, a.config = a.config, nil
	}
	a.install(set)
	a.mu.Unlock()
	closeRings(old)
	keys := set.byClass[CKO_PRIVATE_KEY]
	if len(keys) > 0 {
		a.log.Info("logged in", "keys", len(keys), "names", firstNames(keys))
	} else {
		a.log.Info("logged in", "keys", 0)
		a.log.Warning("the user of the API token is Submitter in no signing policy that is in sight, so there is no key to sign with. Ask an administrator to add the user as a Submitter; if slugs are configured, check them",
			"projectSlug", a.settings.ProjectSlug, "signingPolicySlug", a.settings.SigningPolicySlug)
	}
	return CKR_OK
}

// maxNames is how many names of keys stand in one line of the log.
const maxNames = 5

// firstNames lists the names of the first keys, for users whose tool finds none
// of the name that they gave: some tools read all and choose for themselves, so
// that this module never hears the name.
func firstNames(keys []*object) string {
	var names []string
	for _, o := range keys[:min(len(keys), maxNames)] {
		names = append(names, o.key.Name)
	}
	text := strings.Join(names, ", ")
	if more := len(keys) - maxNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Logout answers C_Logout (PKCS #11 v2.40 section 5.6). Handles of private keys
// become invalid for good, active operations end.
func (m *Module) Logout(handle uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace("C_Logout", &rv, "session", handle)
	app.mu.Lock()
	defer app.mu.Unlock()
	if _, ok := app.sessions[handle]; !ok {
		return CKR_SESSION_HANDLE_INVALID
	}
	if !app.loggedIn {
		return CKR_USER_NOT_LOGGED_IN
	}
	app.logout()
	return CKR_OK
}

// logout runs with the lock held. The ring goes with the login, so that the next
// login asks the service again.
func (a *application) logout() {
	if !a.loggedIn {
		return
	}
	if a.config == a.ring {
		a.config = nil
	}
	closeRings(a.ring)
	a.ring, a.loggedIn, a.set = nil, false, nil
	a.handles.retirePrivate()
	for _, s := range a.sessions {
		s.dropOperations()
	}
}

func (a *application) isLoggedIn() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.loggedIn
}

// configured tells whether the configuration alone names a user.
func (a *application) configured() bool {
	return a.configErr == nil && a.settings.Complete() == nil
}

// settingsFor gives the settings that a PIN leads to. A PIN with organization
// and token replaces those two and nothing else; it helps also when nothing but
// those two is wrong in the configuration.
func (a *application) settingsFor(who credentials) (settings.Settings, error) {
	s, err := a.settings, a.configErr
	if who.token.IsEmpty() {
		if err == nil {
			err = s.Complete()
		}
		return s, err
	}
	a.log.AddSecret(who.token)
	if err != nil {
		s, err = a.module.opts.Load(a.environ, settings.Explicit{OrganizationID: who.organization, APIToken: who.token})
		s.ListCacheFolder = a.settings.ListCacheFolder // none in a privileged host
		return s, err
	}
	s.OrganizationID, s.APIToken = who.organization, who.token
	return s, nil
}

// ringFor gives the ring of a user. own tells that it was made for the caller,
// who has to install or to close it; otherwise it is the one of the
// configuration, whose list may have been fetched by a search already.
func (a *application) ringFor(with settings.Settings) (ring Ring, own bool, err error) {
	if a.configured() && with.OrganizationID == a.settings.OrganizationID && with.APIToken.Equal(a.settings.APIToken) {
		ring, err = a.configRing()
		return ring, false, err
	}
	ring, err = a.module.opts.OpenRing(with, a.log)
	return ring, err == nil, err
}

// configRing gives the ring of the configured user and makes it when it is
// needed first. Making one does not use the network.
func (a *application) configRing() (Ring, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.config != nil {
		return a.config, nil
	}
	if a.ctx.Err() != nil {
		return nil, &remote.Error{Class: remote.Canceled, Op: "list signing policies", Err: context.Cause(a.ctx)}
	}
	ring, err := a.module.opts.OpenRing(a.settings, a.log)
	if err != nil {
		return nil, err
	}
	a.config = ring
	return ring, nil
}

// logFailure writes the line that a user searches for: what failed, why, what to
// do, and the code that the tool shows. A call that the host ended is no failure.
func (a *application) logFailure(what string, err error, rv RV, args ...any) {
	args = append(args, "cause", err.Error(), "rv", rv.String())
	var failure *remote.Error
	if errors.As(err, &failure) && failure.TraceID != "" {
		args = append(args, "trace", failure.TraceID)
	}
	if rv == CKR_FUNCTION_CANCELED {
		a.log.Info(what+": the program ended the call", args...)
		return
	}
	a.patience.failed(err)
	a.log.Error(what, args...)
}
