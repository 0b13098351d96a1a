package capi

import (
	"crypto/rand"

	"signpath/internal/provider/winkeys"
)

// Function names a CP function that every provider exports and this one refuses.
type Function string

// The functions that answer E_NOTIMPL, the answer that CryptoSPI asks for.
const (
	CPDecrypt        Function = "CPDecrypt"
	CPDeriveKey      Function = "CPDeriveKey"
	CPEncrypt        Function = "CPEncrypt"
	CPGenKey         Function = "CPGenKey"
	CPHashSessionKey Function = "CPHashSessionKey"
	CPSetKeyParam    Function = "CPSetKeyParam"
)

// reasons say why, for the log.
var reasons = map[Function]string{
	CPDecrypt:        "keys of signing policies sign; they do not decrypt",
	CPDeriveKey:      "this provider has no keys for encryption",
	CPEncrypt:        "this provider does not encrypt",
	CPGenKey:         "keys are created at the service, as certificates with a signing policy; name the container of one, PROJECT/POLICY",
	CPHashSessionKey: "this provider has no keys for encryption",
	CPSetKeyParam:    "keys of signing policies are changed at the service",
}

// Refuse is all of these functions.
func (p *Provider) Refuse(f Function, context Handle) (st Status) {
	defer p.app.Trace(string(f), &st, "context", context)
	if _, st := p.context(context); st != winkeys.OK {
		return st
	}
	p.app.Log().Warning(string(f)+" is not supported: "+reasons[f], "status", winkeys.E_NOTIMPL.String())
	return winkeys.E_NOTIMPL
}

// GenRandom is CPGenRandom: it fills the buffer with random bytes of the operating system.
func (p *Provider) GenRandom(context Handle, buffer []byte) (st Status) {
	defer p.app.Trace("CPGenRandom", &st, "context", context, "bytes", len(buffer))
	if _, st := p.context(context); st != winkeys.OK {
		return st
	}
	_, _ = rand.Read(buffer) // never fails
	return winkeys.OK
}
