package capi

import "signpath/internal/provider/winkeys"

// Status is what GetLastError gives after a call; 0 is success.
type Status = winkeys.Status

// Handle is an HCRYPTPROV, HCRYPTKEY or HCRYPTHASH as a host holds it: a number
// without a meaning, never an address. 0 is none.
type Handle = uintptr

// The statuses that the shim knows.
const (
	OK                      = winkeys.OK
	ERROR_INVALID_PARAMETER = winkeys.ERROR_INVALID_PARAMETER
	ERROR_MORE_DATA         = winkeys.ERROR_MORE_DATA
)

// The provider's names and type (wincrypt.h).
const (
	ProviderName = "SignPathCSP"
	ProviderType = 24 // PROV_RSA_AES: the type that has SHA-2
)

// Flags of CPAcquireContext (CryptAcquireContext).
const (
	CRYPT_NEWKEYSET                  uint32 = 0x00000008
	CRYPT_DELETEKEYSET               uint32 = 0x00000010
	CRYPT_MACHINE_KEYSET             uint32 = 0x00000020
	CRYPT_SILENT                     uint32 = 0x00000040
	CRYPT_DEFAULT_CONTAINER_OPTIONAL uint32 = 0x00000080
	CRYPT_VERIFYCONTEXT              uint32 = 0xF0000000
)

// Algorithms (ALG_ID).
const (
	CALG_MD5      uint32 = 0x8003
	CALG_SHA1     uint32 = 0x8004
	CALG_SHA_256  uint32 = 0x800C
	CALG_SHA_384  uint32 = 0x800D
	CALG_SHA_512  uint32 = 0x800E
	CALG_RSA_SIGN uint32 = 0x2400
	CALG_RSA_KEYX uint32 = 0xA400
)

// The two key pairs of a container; here both are the signing policy's key.
const (
	AT_KEYEXCHANGE uint32 = 1
	AT_SIGNATURE   uint32 = 2
)

// Parameters of a hash.
const (
	HP_ALGID    uint32 = 1
	HP_HASHVAL  uint32 = 2
	HP_HASHSIZE uint32 = 4
)

// Parameters of a key.
const (
	KP_PERMISSIONS uint32 = 6
	KP_ALGID       uint32 = 7
	KP_BLOCKLEN    uint32 = 8
	KP_KEYLEN      uint32 = 9
	KP_CERTIFICATE uint32 = 26
)

// Parameters of the provider that can be asked for.
const (
	PP_ENUMALGS            uint32 = 1
	PP_ENUMCONTAINERS      uint32 = 2
	PP_IMPTYPE             uint32 = 3
	PP_NAME                uint32 = 4
	PP_VERSION             uint32 = 5
	PP_CONTAINER           uint32 = 6
	PP_PROVTYPE            uint32 = 16
	PP_ENUMALGS_EX         uint32 = 22
	PP_KEYSET_TYPE         uint32 = 27
	PP_SIG_KEYSIZE_INC     uint32 = 34
	PP_KEYX_KEYSIZE_INC    uint32 = 35
	PP_UNIQUE_CONTAINER    uint32 = 36
	PP_KEYSPEC             uint32 = 39
	PP_ENUMEX_SIGNING_PROT uint32 = 40
	PP_CRYPT_COUNT_KEY_USE uint32 = 41
)

// Parameters of the provider that can be set.
const (
	PP_CLIENT_HWND            uint32 = 1
	PP_CONTEXT_INFO           uint32 = 11
	PP_UI_PROMPT              uint32 = 21
	PP_KEYEXCHANGE_PIN        uint32 = 32
	PP_SIGNATURE_PIN          uint32 = 33
	PP_USE_HARDWARE_RNG       uint32 = 38
	PP_PIN_PROMPT_STRING      uint32 = 44
	PP_SECURE_KEYEXCHANGE_PIN uint32 = 47
	PP_SECURE_SIGNATURE_PIN   uint32 = 48
)

// Flags and values of parameters.
const (
	CRYPT_FIRST         uint32 = 1
	CRYPT_NEXT          uint32 = 2
	CRYPT_IMPL_HARDWARE uint32 = 1 // the key is not in this machine's memory
	CRYPT_EXPORT        uint32 = 0x0004
	CRYPT_READ          uint32 = 0x0008
	CRYPT_FLAG_SIGNING  uint32 = 0x0020
)

// Flags of signatures and hashes.
const (
	CRYPT_NOHASHOID    uint32 = 0x00000001
	CRYPT_USERDATA     uint32 = 0x00000001 // CPHashData: ask the user for the data
	CRYPT_SECRETDIGEST uint32 = 0x00000001 // CPCreateHash: of no effect
)

// Kinds of key blobs, and flags of CPImportKey.
const (
	PUBLICKEYBLOB    uint32 = 6
	PRIVATEKEYBLOB   uint32 = 7
	CRYPT_EXPORTABLE uint32 = 0x00000001
	CRYPT_NO_SALT    uint32 = 0x00000010
	CRYPT_OAEP       uint32 = 0x00000040
)
