package cryptoki

import (
	"context"
	"errors"
	"fmt"

	"signpath/internal/provider/keyring"
	"signpath/internal/wire"
)

// Output is the host's buffer for a signature.
type Output struct {
	Null bool   // pSignature was NULL_PTR: only the length is asked for
	Len  uint64 // *pulSignatureLen, in bytes
}

// SignInit answers C_SignInit (PKCS #11 v2.40 section 5.11). It is never a
// matter of the network.
func (m *Module) SignInit(handle uint64, mech Mechanism, key uint64) RV {
	return m.initOperation("C_SignInit", signing, handle, mech, key)
}

// SignCancel answers C_SignInit without a mechanism, which ends an active
// operation (PKCS #11 v3.0 section 5.13).
func (m *Module) SignCancel(handle uint64) RV {
	return m.cancelOperation("C_SignInit", signing, handle)
}

// cancelOperation ends an operation; when none is active, the missing mechanism is
// what it was in 2.40, a bad argument.
func (m *Module) cancelOperation(function string, kind operationKind, handle uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace(function, &rv, "session", handle, "mechanism", "NULL")
	s, rv := app.session(handle)
	if rv != CKR_OK {
		return rv
	}
	if rv = s.cancel(kind); rv == CKR_OPERATION_NOT_INITIALIZED {
		rv = CKR_ARGUMENTS_BAD
	}
	return rv
}

func (m *Module) initOperation(function string, kind operationKind, handle uint64, mech Mechanism, key uint64) (rv RV) {
	app, rv := m.enter()
	if rv != CKR_OK {
		return rv
	}
	defer app.trace(function, &rv, "session", handle, "mechanism", mechanismName(mech.Type), "key", key)
	s, rv := app.session(handle)
	if rv != CKR_OK {
		return rv
	}
	if s.active(kind) { // comes before whatever is wrong with the arguments
		return CKR_OPERATION_ACTIVE
	}
	if o, ok := app.object(key); ok && kind == signing && o.private() {
		app.warnUnnamed(o.key.Name)
	}
	op, rv, cause := app.newOperation(kind, mech, key)
	switch {
	case rv == CKR_KEY_TYPE_INCONSISTENT:
		app.logKeyType(function, kind, mech, key)
	case cause != "":
		app.log.Error(function+" failed: the mechanism's parameter cannot be used", "mechanism", mechanismName(mech.Type), "cause", cause, "rv", rv.String())
	}
	if rv != CKR_OK {
		return rv
	}
	return s.begin(kind, op)
}

// Sign answers C_Sign (PKCS #11 v2.40 section 5.11). need is the length to
// report when rv is CKR_OK or CKR_BUFFER_TOO_SMALL, sig is nil unless a signature
// was made. taken is called, at most once and before the service is asked, when
// data is not needed any more.
func (m *Module) Sign(handle uint64, data []byte, out Output, taken func()) (sig []byte, need uint64, rv RV) {
	app, leave, rv := m.enterLong()
	if rv != CKR_OK {
		return nil, 0, rv
	}
	defer leave()
	defer app.trace("C_Sign", &rv, "session", handle, "dataLen", len(data), "bufferNull", out.Null, "bufferLen", out.Len, "signatureLen", &need)
	return app.sign("C_Sign", handle, out, &single{data, taken})
}

// SignUpdate answers C_SignUpdate (PKCS #11 v2.40 section 5.11). The data is
// hashed here and now; an error ends the operation.
func (m *Module) SignUpdate(handle uint64, part []byte) RV {
	return m.updateOperation("C_SignUpdate", signing, handle, part)
}

func (m *Module) updateOperation(function string, kind operationKind, handle uint64, part []byte) (rv RV) {
	app, leave, rv := m.enterLong()
	if rv != CKR_OK {
		return rv
	}
	defer leave()
	defer app.trace(function, &rv, "session", handle, "partLen", len(part))
	s, rv := app.session(handle)
	if rv != CKR_OK {
		return rv
	}
	op, rv := s.claim(kind)
	if rv != CKR_OK {
		return rv
	}
	stays := false // nor after a panic: half of a part may be in the digest
	defer func() { s.release(kind, op, stays) }()
	rv = op.update(part)
	stays = rv == CKR_OK
	return rv
}

// SignFinal answers C_SignFinal (PKCS #11 v2.40 section 5.11); results as of Sign.
func (m *Module) SignFinal(handle uint64, out Output) (sig []byte, need uint64, rv RV) {
	app, leave, rv := m.enterLong()
	if rv != CKR_OK {
		return nil, 0, rv
	}
	defer leave()
	defer app.trace("C_SignFinal", &rv, "session", handle, "bufferNull", out.Null, "bufferLen", out.Len, "signatureLen", &need)
	return app.sign("C_SignFinal", handle, out, nil)
}

// single is the data of a single-part call.
type single struct {
	data  []byte
	taken func()
}

// sign is what C_Sign (one is its data) and C_SignFinal (one is nil) share. The rule stands here once: both end
// the operation, whatever they answer, except for a question for the length
// (NULL buffer, CKR_OK) and CKR_BUFFER_TOO_SMALL (PKCS #11 v2.40 sections 5.2 and
// 5.11). Those two are answered from the key's size and never cost a signature.
func (a *application) sign(function string, handle uint64, out Output, one *single) (sig []byte, need uint64, rv RV) {
	s, rv := a.session(handle)
	if rv != CKR_OK {
		return nil, 0, rv
	}
	op, rv := s.claim(signing)
	if rv != CKR_OK {
		return nil, 0, rv
	}
	stays := false
	defer func() { s.release(signing, op, stays) }()
	need = uint64(op.object.signatureSize())
	switch {
	case one != nil && op.multi:
		// "C_Sign cannot be used to terminate a multi-part operation": no
		// single-part operation is active, and C_Sign always ends what is.
		return nil, 0, CKR_OPERATION_NOT_INITIALIZED
	case out.Null:
		stays = true
		return nil, need, CKR_OK
	case out.Len < need:
		stays = true
		return nil, need, CKR_BUFFER_TOO_SMALL
	}
	op.final = one == nil
	data, taken := op.parts, func() {}
	if one != nil {
		data, taken = op.whole(one.data), one.taken
	}
	if sig, rv = a.signature(s.ctx, function, op, data, taken); rv != CKR_OK {
		return nil, 0, rv
	}
	return sig, need, CKR_OK
}

// signature has the service sign.
func (a *application) signature(ctx context.Context, function string, op *operation, data []byte, taken func()) ([]byte, RV) {
	name, mechanism := op.object.key.Name, op.mechanism.name
	scheme, digest, rv, hint := op.finish(data)
	if rv != CKR_OK {
		a.log.Error(function+" failed: the data does not fit the mechanism", "key", name, "mechanism", mechanism, "dataLen", len(data), "cure", hint, "rv", rv.String())
		return nil, rv
	}
	taken()
	sig, err := op.object.key.Sign(ctx, scheme, digest)
	if err != nil {
		rv := returnValue(ctx, err)
		if errors.Is(err, keyring.ErrDigestLength) || errors.Is(err, keyring.ErrKeyTooShort) {
			rv = CKR_DATA_LEN_RANGE
		}
		a.logFailure(function+" failed", err, rv, "key", name, "mechanism", mechanism)
		return nil, rv
	}
	if len(sig) != op.object.signatureSize() {
		a.log.Error(function+" failed: the signature has a wrong length", "key", name, "bytes", len(sig), "rv", CKR_DEVICE_ERROR.String())
		return nil, CKR_DEVICE_ERROR
	}
	a.log.Info("signed", "key", name, "mechanism", mechanism, "hash", scheme.Hash.String())
	return sig, CKR_OK
}

// logKeyType says which key a tool took for a mechanism that it is not for.
// Mostly that is another key than the user named.
func (a *application) logKeyType(function string, kind operationKind, mech Mechanism, key uint64) {
	o, ok := a.object(key)
	if !ok || o.key == nil {
		return // it went away meanwhile
	}
	what, cure := "this mechanism is not for keys of this type", map[wire.KeyType]string{
		wire.KeyRSA:     "use an RSA mechanism, e.g. CKM_SHA256_RSA_PKCS",
		wire.KeyECDSA:   "use an EC mechanism, e.g. CKM_ECDSA_SHA256",
		wire.KeyEd25519: "use CKM_EDDSA",
	}[o.wireKeyType()]+"; if you mean another key, name it by its id (pkcs11-tool: --id; it may ignore --label when it signs)"
	switch {
	case kind == signing && !o.private():
		what, cure = "this is not a private key", "let the tool use the private key of this name (in a PKCS #11 URI: type=private)"
	case kind == verifying && o.private():
		what, cure = "this is not a public key", "let the tool use the public key of this name (in a PKCS #11 URI: type=public)"
	}
	a.log.Error(function+" failed: "+what, "key", o.key.Name, "keyType", o.describeType(), "mechanism", mechanismName(mech.Type),
		"cure", cure, "rv", CKR_KEY_TYPE_INCONSISTENT.String())
}

// describeType is the type of an object's key for people.
func (o *object) describeType() string {
	switch o.wireKeyType() {
	case wire.KeyECDSA:
		return "EC " + o.ec().Curve.Params().Name
	case wire.KeyEd25519:
		return "Ed25519"
	}
	return fmt.Sprintf("RSA %d", o.rsa().N.BitLen())
}

// warnUnnamed warns when a key is to sign whose name the tool neither searched
// for nor read, while others are in sight: pkcs11-tool up to 0.27 takes the first
// key whatever its --label says (OpenSC issue 3635). libp11 reads the names of
// all keys and chooses for itself.
func (a *application) warnUnnamed(name string) {
	a.mu.Lock()
	keys := 0
	if a.set != nil {
		keys = len(a.set.byClass[CKO_PRIVATE_KEY])
	}
	named := a.named[name]
	a.mu.Unlock()
	if keys > 1 && !named {
		a.warnOnce("unnamed "+name, "the tool takes a key without asking for its name, while several are in sight; it may be another one than you mean. Set SIGNPATH_PROJECT_SLUG and SIGNPATH_SIGNING_POLICY_SLUG (or ProjectSlug and SigningPolicySlug in the configuration file) to show one key only; with pkcs11-tool use --id",
			"key", name, "keysInSight", keys)
	}
}
