package ctk

import (
	"context"
	"encoding/hex"
	"fmt"

	"signpath/internal/provider/ctkchannel"
	"signpath/internal/provider/keyring"
)

// Sign is the answer to one request of the extension: the handler of the channel.
// The cause of a refusal stands in the log; the code goes to the tool.
func (a *Agent) Sign(ctx context.Context, instance string, id byte, digest []byte) (signature []byte, refusal *ctkchannel.Refusal) {
	a.running.Add(1)
	defer a.running.Add(-1)
	object := ""
	defer func() {
		if r := recover(); r != nil {
			signature, refusal = nil, &ctkchannel.Refusal{Code: int8(tkCommunicationError), Message: fmt.Sprintf("internal error: %v", r)}
		}
		if refusal != nil {
			a.Log.Error("no signature", "key", object, "instance", instance, "digest", hex.EncodeToString(digest), "code", refusal.Code, "cause", refusal.Message)
		}
	}()
	t := a.token(instance)
	if t == nil {
		return nil, refuse(tkTokenNotFound, "the app has no token "+clip(instance)+" any more; start the signing tool again")
	}
	object = t.Object
	alg, ok := algorithmByID(id)
	if !ok {
		return nil, refuse(tkBadParameter, fmt.Sprintf("algorithm %d is unknown; extension and app are of different versions", id))
	}
	if err := alg.check(t.key, len(digest)); err != nil {
		return nil, refuse(codeOf(err), err.Error())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, signLimit, fmt.Errorf("no answer of the service within %s", signLimit))
	defer cancel()
	raw, err := t.key.Sign(ctx, alg.scheme, digest)
	if err == nil {
		raw, err = signatureForSecurity(alg, raw)
	}
	if err != nil {
		code := codeOf(err)
		if ctx.Err() == context.DeadlineExceeded { // nobody canceled: the service is slow
			code = tkCommunicationError
		}
		return nil, refuse(code, err.Error())
	}
	a.Log.Info("signed", "key", t.Object, "algorithm", alg.name, "digest", hex.EncodeToString(digest))
	return raw, nil
}

func refuse(code tkError, text string) *ctkchannel.Refusal {
	return &ctkchannel.Refusal{Code: int8(code), Message: text}
}

var _ Keys = (*keyring.Ring)(nil)
