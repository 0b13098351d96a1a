package winkeys

import (
	"errors"
	"fmt"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/remote"
)

// Status is what a Windows host sees: a SECURITY_STATUS (HRESULT) of CNG, or what
// GetLastError gives after a call of CAPI. 0 is success.
type Status uint32

// The statuses of both interfaces. The names are those of winerror.h, so that a
// search for one finds its page and this code.
const (
	OK                      Status = 0
	ERROR_INVALID_PARAMETER Status = 87
	ERROR_MORE_DATA         Status = 234
	ERROR_NO_MORE_ITEMS     Status = 259
	E_NOTIMPL               Status = 0x80004001

	NTE_BAD_UID           Status = 0x80090001
	NTE_BAD_HASH          Status = 0x80090002
	NTE_BAD_KEY           Status = 0x80090003
	NTE_BAD_LEN           Status = 0x80090004
	NTE_BAD_DATA          Status = 0x80090005
	NTE_BAD_SIGNATURE     Status = 0x80090006
	NTE_BAD_VER           Status = 0x80090007
	NTE_BAD_ALGID         Status = 0x80090008
	NTE_BAD_FLAGS         Status = 0x80090009
	NTE_BAD_TYPE          Status = 0x8009000A
	NTE_BAD_KEY_STATE     Status = 0x8009000B
	NTE_BAD_HASH_STATE    Status = 0x8009000C
	NTE_NO_KEY            Status = 0x8009000D
	NTE_NO_MEMORY         Status = 0x8009000E
	NTE_EXISTS            Status = 0x8009000F
	NTE_PERM              Status = 0x80090010
	NTE_NOT_FOUND         Status = 0x80090011
	NTE_BAD_PROV_TYPE     Status = 0x80090014
	NTE_BAD_KEYSET        Status = 0x80090016
	NTE_KEYSET_NOT_DEF    Status = 0x80090019
	NTE_FAIL              Status = 0x80090020
	NTE_INVALID_HANDLE    Status = 0x80090026
	NTE_INVALID_PARAMETER Status = 0x80090027
	NTE_BUFFER_TOO_SMALL  Status = 0x80090028
	NTE_NOT_SUPPORTED     Status = 0x80090029
	NTE_NO_MORE_ITEMS     Status = 0x8009002A
	NTE_DEVICE_NOT_READY  Status = 0x80090030
	NTE_USER_CANCELLED    Status = 0x80090036

	// statusHTTP plus the HTTP status of the service's answer: 0x80040191 for 401.
	statusHTTP Status = 0x80040000
)

var statusNames = map[Status]string{
	OK:                      "ERROR_SUCCESS",
	ERROR_INVALID_PARAMETER: "ERROR_INVALID_PARAMETER",
	ERROR_MORE_DATA:         "ERROR_MORE_DATA",
	ERROR_NO_MORE_ITEMS:     "ERROR_NO_MORE_ITEMS",
	E_NOTIMPL:               "E_NOTIMPL",
	NTE_BAD_UID:             "NTE_BAD_UID",
	NTE_BAD_HASH:            "NTE_BAD_HASH",
	NTE_BAD_KEY:             "NTE_BAD_KEY",
	NTE_BAD_LEN:             "NTE_BAD_LEN",
	NTE_BAD_DATA:            "NTE_BAD_DATA",
	NTE_BAD_SIGNATURE:       "NTE_BAD_SIGNATURE",
	NTE_BAD_VER:             "NTE_BAD_VER",
	NTE_BAD_ALGID:           "NTE_BAD_ALGID",
	NTE_BAD_FLAGS:           "NTE_BAD_FLAGS",
	NTE_BAD_TYPE:            "NTE_BAD_TYPE",
	NTE_BAD_KEY_STATE:       "NTE_BAD_KEY_STATE",
	NTE_BAD_HASH_STATE:      "NTE_BAD_HASH_STATE",
	NTE_NO_KEY:              "NTE_NO_KEY",
	NTE_NO_MEMORY:           "NTE_NO_MEMORY",
	NTE_EXISTS:              "NTE_EXISTS",
	NTE_PERM:                "NTE_PERM",
	NTE_NOT_FOUND:           "NTE_NOT_FOUND",
	NTE_BAD_PROV_TYPE:       "NTE_BAD_PROV_TYPE",
	NTE_BAD_KEYSET:          "NTE_BAD_KEYSET",
	NTE_KEYSET_NOT_DEF:      "NTE_KEYSET_NOT_DEF",
	NTE_FAIL:                "NTE_FAIL",
	NTE_INVALID_HANDLE:      "NTE_INVALID_HANDLE",
	NTE_INVALID_PARAMETER:   "NTE_INVALID_PARAMETER",
	NTE_BUFFER_TOO_SMALL:    "NTE_BUFFER_TOO_SMALL",
	NTE_NOT_SUPPORTED:       "NTE_NOT_SUPPORTED",
	NTE_NO_MORE_ITEMS:       "NTE_NO_MORE_ITEMS",
	NTE_DEVICE_NOT_READY:    "NTE_DEVICE_NOT_READY",
	NTE_USER_CANCELLED:      "NTE_USER_CANCELLED",
}

// String is the name and the number, as both are searched for.
func (s Status) String() string {
	number := fmt.Sprintf("0x%08X", uint32(s))
	if name, ok := statusNames[s]; ok {
		return name + " (" + number + ")"
	}
	if s > statusHTTP && s < statusHTTP+600 {
		return fmt.Sprintf("%s (HTTP status %d)", number, s-statusHTTP)
	}
	return number
}

// failures maps the class of a failed call to what the host is told (SignPath
// crypto providers, "Error handling" of the KSP): none is for calls without an
// HTTP status that says what failed; with one, it is 0x80040000 + status unless
// the class has one answer only.
var failures = map[remote.Class]struct {
	none   Status
	always bool
}{
	remote.Transient: {none: NTE_DEVICE_NOT_READY},
	remote.Service:   {none: statusHTTP + 500},
	remote.User:      {none: statusHTTP + 400},
	remote.Other:     {none: NTE_FAIL, always: true},
	remote.Canceled:  {none: NTE_USER_CANCELLED, always: true},
}

// local maps what is refused without asking the service.
var local = []struct {
	err    error
	status Status
}{
	{keyring.ErrDigestLength, NTE_INVALID_PARAMETER},
	{keyring.ErrScheme, NTE_NOT_SUPPORTED},
	{keyring.ErrKeyTooShort, NTE_BAD_LEN},
}

// StatusOf is the status for an error of a look-up, a signature or the
// configuration; OK for nil.
func StatusOf(err error) Status {
	if err == nil {
		return OK
	}
	for _, l := range local {
		if errors.Is(err, l.err) {
			return l.status
		}
	}
	var e *remote.Error
	if !errors.As(err, &e) {
		return NTE_FAIL
	}
	f, known := failures[e.Class]
	switch {
	case !known:
		return NTE_FAIL
	case !f.always && e.Status >= 400 && e.Status < 600: // 200 with an unreadable answer says nothing
		return statusHTTP + Status(e.Status) //nolint:gosec // at most 599
	}
	return f.none
}
