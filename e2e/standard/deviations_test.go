package standard

// softHSMDeviations are the cases that SoftHSM 2.6.1 does not pass, with what it does
// instead. An entry that passes is an error, too.
var softHSMDeviations = map[string]string{
	"5.6/C_Logout": "a second C_Logout answers CKR_OK; the standard has CKR_USER_NOT_LOGGED_IN for it",
	"5.6/C_Logout makes handles of private objects invalid for good":   "C_SignInit answers CKR_OBJECT_HANDLE_INVALID, which is not in its list",
	"5.7/a search goes on while the session signs":                     "a session has one operation of any kind; the standard lets a search be active beside others",
	"5.11/C_SignInit before login":                                     "C_SignInit answers CKR_OBJECT_HANDLE_INVALID, which is not in its list",
	"5.11/C_SignInit with a handle that is no key's":                   "C_SignInit answers CKR_OBJECT_HANDLE_INVALID, which is not in its list",
	"5.11/C_SignInit with a key of another type":                       "CKM_ECDSA is accepted with an RSA key, and C_Sign fails later",
	"5.11/a failing C_Sign ends the operation":                         "too much data for CKM_RSA_PKCS is CKR_GENERAL_ERROR, not CKR_DATA_LEN_RANGE",
	"5.11/nothing can be signed, with and without a pointer":           "no data with NULL_PTR is CKR_ARGUMENTS_BAD, though a message may have no bytes",
	"5.12/C_VerifyInit with wrong arguments":                           "C_VerifyInit answers CKR_OBJECT_HANDLE_INVALID, which is not in its list",
	"6.6/a forked child is not initialised":                            "a child goes on with its parent's sessions (unless library.reset_on_fork is set)",
	"6.6/a forked child initialises and signs, and the parent goes on": "C_Initialize in a child answers CKR_CRYPTOKI_ALREADY_INITIALIZED",
}
