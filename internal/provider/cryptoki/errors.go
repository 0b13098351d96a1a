package cryptoki

import (
	"context"
	"errors"

	"signpath/internal/provider/remote"
)

// returnValues maps how a call to the service failed to what the host is told
// (SignPath crypto providers, Cryptoki, "Error handling"). All of them are in
// the standard's lists for C_Login, C_FindObjectsInit, C_Sign and C_SignFinal.
var returnValues = map[remote.Class]RV{
	remote.Transient: CKR_FUNCTION_FAILED,
	remote.Service:   CKR_DEVICE_ERROR,
	remote.User:      CKR_ARGUMENTS_BAD,
	remote.Other:     CKR_GENERAL_ERROR,
	remote.Canceled:  CKR_FUNCTION_CANCELED,
}

// returnValue is the code for an error of a Ring or Key. ctx is the context of
// the call: if the host ended it, that is the answer, whatever the error says.
func returnValue(ctx context.Context, err error) RV {
	if ctx.Err() != nil {
		return CKR_FUNCTION_CANCELED
	}
	var failure *remote.Error
	if errors.As(err, &failure) {
		if rv, ok := returnValues[failure.Class]; ok {
			return rv
		}
	}
	return CKR_GENERAL_ERROR
}
