package standard

import "fmt"

// RV is a CK_RV.
type RV uint64

const (
	CKR_OK                             RV = 0x000
	CKR_SLOT_ID_INVALID                RV = 0x003
	CKR_GENERAL_ERROR                  RV = 0x005
	CKR_FUNCTION_FAILED                RV = 0x006
	CKR_ARGUMENTS_BAD                  RV = 0x007
	CKR_NO_EVENT                       RV = 0x008
	CKR_NEED_TO_CREATE_THREADS         RV = 0x009
	CKR_CANT_LOCK                      RV = 0x00A
	CKR_ATTRIBUTE_READ_ONLY            RV = 0x010
	CKR_ATTRIBUTE_SENSITIVE            RV = 0x011
	CKR_ATTRIBUTE_TYPE_INVALID         RV = 0x012
	CKR_ATTRIBUTE_VALUE_INVALID        RV = 0x013
	CKR_ACTION_PROHIBITED              RV = 0x01B
	CKR_DATA_INVALID                   RV = 0x020
	CKR_DATA_LEN_RANGE                 RV = 0x021
	CKR_FUNCTION_NOT_PARALLEL          RV = 0x051
	CKR_FUNCTION_NOT_SUPPORTED         RV = 0x054
	CKR_KEY_HANDLE_INVALID             RV = 0x060
	CKR_KEY_TYPE_INCONSISTENT          RV = 0x063
	CKR_KEY_FUNCTION_NOT_PERMITTED     RV = 0x068
	CKR_MECHANISM_INVALID              RV = 0x070
	CKR_MECHANISM_PARAM_INVALID        RV = 0x071
	CKR_OBJECT_HANDLE_INVALID          RV = 0x082
	CKR_OPERATION_ACTIVE               RV = 0x090
	CKR_OPERATION_NOT_INITIALIZED      RV = 0x091
	CKR_PIN_INCORRECT                  RV = 0x0A0
	CKR_PIN_LEN_RANGE                  RV = 0x0A2
	CKR_SESSION_HANDLE_INVALID         RV = 0x0B3
	CKR_SESSION_PARALLEL_NOT_SUPPORTED RV = 0x0B4
	CKR_SESSION_READ_ONLY              RV = 0x0B5
	CKR_SESSION_READ_ONLY_EXISTS       RV = 0x0B7
	CKR_SIGNATURE_INVALID              RV = 0x0C0
	CKR_SIGNATURE_LEN_RANGE            RV = 0x0C1
	CKR_TEMPLATE_INCOMPLETE            RV = 0x0D0
	CKR_TEMPLATE_INCONSISTENT          RV = 0x0D1
	CKR_TOKEN_WRITE_PROTECTED          RV = 0x0E2
	CKR_USER_ALREADY_LOGGED_IN         RV = 0x100
	CKR_USER_NOT_LOGGED_IN             RV = 0x101
	CKR_USER_TYPE_INVALID              RV = 0x103
	CKR_RANDOM_SEED_NOT_SUPPORTED      RV = 0x120
	CKR_RANDOM_NO_RNG                  RV = 0x121
	CKR_BUFFER_TOO_SMALL               RV = 0x150
	CKR_SAVED_STATE_INVALID            RV = 0x160
	CKR_STATE_UNSAVEABLE               RV = 0x180
	CKR_CRYPTOKI_NOT_INITIALIZED       RV = 0x190
	CKR_CRYPTOKI_ALREADY_INITIALIZED   RV = 0x191
	CKR_OPERATION_CANCEL_FAILED        RV = 0x202
)

func (rv RV) String() string { return fmt.Sprintf("0x%x", uint64(rv)) }

const (
	nowhere = 0x7eadbeef // a handle that nobody gave

	ckfOSLockingOK = 2
	ckfRW          = 2
	ckfSerial      = 4
	ckfDontBlock   = 1
	ckuSO          = 0
	ckuUser        = 1
	ckuContext     = 2

	ckoCertificate = 1
	ckoPublicKey   = 2
	ckoPrivateKey  = 3

	ckaClass           = 0x000
	ckaToken           = 0x001
	ckaPrivate         = 0x002
	ckaLabel           = 0x003
	ckaUniqueID        = 0x004
	ckaValue           = 0x011
	ckaKeyType         = 0x100
	ckaSubject         = 0x101
	ckaID              = 0x102
	ckaSign            = 0x108
	ckaModulus         = 0x120
	ckaModulusBits     = 0x121
	ckaPublicExponent  = 0x122
	ckaPrivateExponent = 0x123
	ckaECParams        = 0x180
	ckaECPoint         = 0x181
	ckaVendor          = 0x80001234

	ckmRSAPKCS       = 0x0001
	ckmRSAPSS        = 0x000D
	ckmSHA256RSAPKCS = 0x0040
	ckmSHA256RSAPSS  = 0x0043
	ckmSHA256        = 0x0250
	ckmECDSA         = 0x1041
	ckmVendor        = 0x80004321
)

// function is one of the standard's, with the number of its arguments.
type function struct {
	name string
	args int
}

// functions are those of CK_FUNCTION_LIST_3_0 in its order; the first 68 are
// CK_FUNCTION_LIST of v2.40.
var functions = []function{
	{"C_Initialize", 1}, {"C_Finalize", 1}, {"C_GetInfo", 1}, {"C_GetFunctionList", 1},
	{"C_GetSlotList", 3}, {"C_GetSlotInfo", 2}, {"C_GetTokenInfo", 2}, {"C_GetMechanismList", 3}, {"C_GetMechanismInfo", 3},
	{"C_InitToken", 4}, {"C_InitPIN", 3}, {"C_SetPIN", 5},
	{"C_OpenSession", 5}, {"C_CloseSession", 1}, {"C_CloseAllSessions", 1}, {"C_GetSessionInfo", 2},
	{"C_GetOperationState", 3}, {"C_SetOperationState", 5}, {"C_Login", 4}, {"C_Logout", 1},
	{"C_CreateObject", 4}, {"C_CopyObject", 5}, {"C_DestroyObject", 2}, {"C_GetObjectSize", 3},
	{"C_GetAttributeValue", 4}, {"C_SetAttributeValue", 4}, {"C_FindObjectsInit", 3}, {"C_FindObjects", 4}, {"C_FindObjectsFinal", 1},
	{"C_EncryptInit", 3}, {"C_Encrypt", 5}, {"C_EncryptUpdate", 5}, {"C_EncryptFinal", 3},
	{"C_DecryptInit", 3}, {"C_Decrypt", 5}, {"C_DecryptUpdate", 5}, {"C_DecryptFinal", 3},
	{"C_DigestInit", 2}, {"C_Digest", 5}, {"C_DigestUpdate", 3}, {"C_DigestKey", 2}, {"C_DigestFinal", 3},
	{"C_SignInit", 3}, {"C_Sign", 5}, {"C_SignUpdate", 3}, {"C_SignFinal", 3}, {"C_SignRecoverInit", 3}, {"C_SignRecover", 5},
	{"C_VerifyInit", 3}, {"C_Verify", 5}, {"C_VerifyUpdate", 3}, {"C_VerifyFinal", 3}, {"C_VerifyRecoverInit", 3}, {"C_VerifyRecover", 5},
	{"C_DigestEncryptUpdate", 5}, {"C_DecryptDigestUpdate", 5}, {"C_SignEncryptUpdate", 5}, {"C_DecryptVerifyUpdate", 5},
	{"C_GenerateKey", 5}, {"C_GenerateKeyPair", 8}, {"C_WrapKey", 6}, {"C_UnwrapKey", 8}, {"C_DeriveKey", 6},
	{"C_SeedRandom", 3}, {"C_GenerateRandom", 3}, {"C_GetFunctionStatus", 1}, {"C_CancelFunction", 1}, {"C_WaitForSlotEvent", 3},
	{"C_GetInterfaceList", 2}, {"C_GetInterface", 4}, {"C_LoginUser", 6}, {"C_SessionCancel", 2},
	{"C_MessageEncryptInit", 3}, {"C_EncryptMessage", 9}, {"C_EncryptMessageBegin", 5}, {"C_EncryptMessageNext", 8}, {"C_MessageEncryptFinal", 1},
	{"C_MessageDecryptInit", 3}, {"C_DecryptMessage", 9}, {"C_DecryptMessageBegin", 5}, {"C_DecryptMessageNext", 8}, {"C_MessageDecryptFinal", 1},
	{"C_MessageSignInit", 3}, {"C_SignMessage", 7}, {"C_SignMessageBegin", 3}, {"C_SignMessageNext", 7}, {"C_MessageSignFinal", 1},
	{"C_MessageVerifyInit", 3}, {"C_VerifyMessage", 7}, {"C_VerifyMessageBegin", 3}, {"C_VerifyMessageNext", 7}, {"C_MessageVerifyFinal", 1},
}

const functions240 = 68
