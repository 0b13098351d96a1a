package cryptoki

import (
	"context"
	"slices"
	"time"
)

// search is an active C_FindObjects operation of a session.
type search struct {
	handles []uint64 // what is left to be given
	busy    bool     // C_FindObjectsInit is still at work
}

// earlyLimit is how long a search before login may take: hosts that only probe
// must not wait for a service that is away.
const earlyLimit = 10 * time.Second

// FindObjectsInit answers C_FindObjectsInit (PKCS #11 v2.40 section 5.7). The
// result is fixed here. Before login it shows public objects if the
// configuration names a user; a failing service then means an empty result.
func (m *Module) FindObjectsInit(handle uint64, template []Attribute) (rv RV) {
	app, leave, rv := m.enterLong()
	if rv != CKR_OK {
		return rv
	}
	defer leave()
	q := newQuery(template, app.encoding)
	var found uint64
	defer app.trace("C_FindObjectsInit", &rv, "session", handle, "template", q, "found", &found)
	s, rv := app.session(handle)
	if rv != CKR_OK {
		return rv
	}
	work := &search{busy: true}
	s.mu.Lock()
	if s.find != nil {
		s.mu.Unlock()
		return CKR_OPERATION_ACTIVE
	}
	s.find = work
	s.mu.Unlock()

	handles, rv := app.search(s.ctx, q)
	found = uint64(len(handles))
	s.mu.Lock()
	defer s.mu.Unlock()
	if rv != CKR_OK {
		s.find = nil
		return rv
	}
	work.handles, work.busy = handles, false
	return CKR_OK
}

// FindObjects answers C_FindObjects (PKCS #11 v2.40 section 5.7): at most max
// handles, none when all have been given.
func (m *Module) FindObjects(handle, max uint64) (handles []uint64, rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return nil, rv
	}
	var n uint64
	defer app.trace("C_FindObjects", &rv, "session", handle, "max", max, "given", &n)
	s, rv := app.session(handle)
	if rv != CKR_OK {
		return nil, rv
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find == nil || s.find.busy {
		return nil, CKR_OPERATION_NOT_INITIALIZED
	}
	n = min(max, uint64(len(s.find.handles)))
	handles, s.find.handles = s.find.handles[:n:n], s.find.handles[n:]
	return handles, CKR_OK
}

// FindObjectsFinal answers C_FindObjectsFinal (PKCS #11 v2.40 section 5.7).
func (m *Module) FindObjectsFinal(handle uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace("C_FindObjectsFinal", &rv, "session", handle)
	s, rv := app.session(handle)
	if rv != CKR_OK {
		return rv
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find == nil || s.find.busy {
		return CKR_OPERATION_NOT_INITIALIZED
	}
	s.find = nil
	return CKR_OK
}

// search gives the handles of all visible objects that match.
func (a *application) search(ctx context.Context, q *query) ([]uint64, RV) {
	set, ring, rv := a.visible(ctx, q)
	if rv != CKR_OK || set == nil {
		return nil, rv
	}
	loggedIn := a.isLoggedIn()
	found := q.find(set, loggedIn)
	if len(found) == 0 && loggedIn && !q.impossible && q.names() && !q.knows(set) {
		listing, err := ring.Refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, CKR_FUNCTION_CANCELED
		case err != nil:
			a.log.Warning("no key has the name that was asked for, and the list of keys could not be fetched again", "template", q.String(), "cause", err.Error())
		case listing != set.listing:
			if set = a.use(ring, listing); set == nil {
				return nil, CKR_OK
			}
			found = q.find(set, true)
		}
	}
	if len(found) == 0 && q.names() && !q.knows(set) {
		a.log.Info("no key has the name that was asked for; names are project/policy, upper and lower case count, and the user must be Submitter", "template", q.String())
	}
	if q.leftOut > 0 {
		a.warnOnce("ed25519", "Ed25519 keys are left out of searches for all keys of a class, because libp11 (OpenSSL's engine, osslsigncode) would find no key at all beside them; a tool that searches by name finds them, and ProjectSlug with SigningPolicySlug leaves one alone in sight", "template", q.String(), "left_out", q.leftOut)
	}
	handles := make([]uint64, len(found))
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, o := range found {
		handles[i] = o.handle
		if q.names() && o.key != nil {
			a.named[o.key.Name] = true
		}
	}
	return handles, CKR_OK
}

// visible gives the objects to search in and where they come from; no set and
// CKR_OK mean that there are none.
func (a *application) visible(ctx context.Context, q *query) (*objectSet, Ring, RV) {
	a.mu.Lock()
	loggedIn, ring := a.loggedIn, a.ring
	a.mu.Unlock()
	if loggedIn {
		listing, err := ring.Keys(ctx, Lookup{})
		if err != nil {
			rv := returnValue(ctx, err)
			a.logFailure("C_FindObjectsInit failed", err, rv)
			return nil, nil, rv
		}
		return a.use(ring, listing), ring, CKR_OK
	}
	if !a.configured() || !q.public() {
		return nil, nil, CKR_OK
	}
	ring, err := a.configRing()
	if err == nil {
		var listing *Listing
		if listing, err = ring.Keys(ctx, Lookup{Once: true, Limit: earlyLimit}); err == nil {
			return a.use(ring, listing), ring, CKR_OK
		}
	}
	if ctx.Err() != nil {
		return nil, nil, CKR_FUNCTION_CANCELED
	}
	a.warnOnce("early "+err.Error(), "certificates and public keys are not shown before login, because the list of keys could not be fetched", "cause", err.Error())
	return nil, nil, CKR_OK
}

// use makes the objects of a list the current ones, if the ring still is the one
// in use; else it gives nil: the user logged out meanwhile.
func (a *application) use(ring Ring, listing *Listing) *objectSet {
	set := a.setFor(listing)
	a.mu.Lock()
	defer a.mu.Unlock()
	if ring != a.ring && (a.loggedIn || ring != a.config) {
		return nil
	}
	a.install(set)
	return set
}

// setFor makes the objects of a list, or gives the current ones when they are
// of this list.
func (a *application) setFor(listing *Listing) *objectSet {
	a.mu.Lock()
	current := a.set
	a.mu.Unlock()
	if current != nil && current.listing == listing {
		return current
	}
	return newObjectSet(listing, a.settings.IncludeDummyX509CertificateForGpgKeys)
}

// install runs with the lock held.
func (a *application) install(set *objectSet) {
	if a.set == set {
		return
	}
	a.handles.register(set)
	a.set = set
	for _, sentence := range set.skipped {
		if !a.told[sentence] {
			a.told[sentence] = true
			a.log.Warning(sentence)
		}
	}
}

// object finds a visible object by its handle.
func (a *application) object(handle uint64) (*object, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o, ok := a.handles.objects[handle]
	return o, ok && (a.loggedIn || !o.private())
}

// AttributeValues answers C_GetAttributeValue (PKCS #11 v2.40 section 5.7): one
// value for each type, in order. The RV is about session and object alone; the
// shim combines it with the values' own and with the host's buffers. An unknown
// type does not stop the others.
func (m *Module) AttributeValues(handle, object uint64, types []uint64) (values []AttributeValue, rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return nil, rv
	}
	defer app.trace("C_GetAttributeValue", &rv, "session", handle, "object", object, "types", attributeList(types))
	if _, rv = app.session(handle); rv != CKR_OK {
		return nil, rv
	}
	o, ok := app.object(object)
	if !ok {
		return nil, CKR_OBJECT_HANDLE_INVALID
	}
	if o.key != nil && (slices.Contains(types, CKA_ID) || slices.Contains(types, CKA_LABEL)) {
		app.mu.Lock()
		app.named[o.key.Name] = true
		app.mu.Unlock()
	}
	values = make([]AttributeValue, len(types))
	for i, t := range types {
		values[i] = o.attribute(t, app.encoding)
	}
	return values, CKR_OK
}

// ObjectSize answers C_GetObjectSize (PKCS #11 v2.40 section 5.7) with
// CK_UNAVAILABLE_INFORMATION: how much memory a key takes is the service's.
func (m *Module) ObjectSize(handle, object uint64) (size uint64, rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return 0, rv
	}
	defer app.trace("C_GetObjectSize", &rv, "session", handle, "object", object)
	if _, rv = app.session(handle); rv != CKR_OK {
		return 0, rv
	}
	if _, ok := app.object(object); !ok {
		return 0, CKR_OBJECT_HANDLE_INVALID
	}
	return Unavailable, CKR_OK
}
