/* PKCS #11 as a Windows host sees it: structures packed by one byte, CK_ULONG of 32 bits, functions __cdecl (v2.40,
 * section 2.1). Written from the standard's text, not from the module's sources. */
#ifndef PKCS11_H
#define PKCS11_H
#include <windows.h>

#pragma pack(push, 1)
typedef unsigned char BYTE_T;
typedef unsigned long UL;
typedef struct { BYTE_T major, minor; } VERSION_T;
typedef struct { VERSION_T cryptoki; char manufacturer[32]; UL flags; char description[32]; VERSION_T library; } INFO_T;
typedef struct { char description[64], manufacturer[32]; UL flags; VERSION_T hardware, firmware; } SLOT_T;
typedef struct {
	char label[32], manufacturer[32], model[16], serial[16];
	UL flags, max_sessions, sessions, max_rw, rw, max_pin, min_pin, total_public, free_public, total_private, free_private;
	VERSION_T hardware, firmware;
	char utc[16];
} TOKEN_T;
typedef struct { UL slot, state, flags, device_error; } SESSION_T;
typedef struct { UL type; void *value; UL length; } ATTR;
typedef struct { UL type; void *parameter; UL length; } MECH;
typedef struct { UL min, max, flags; } MECHINFO_T;
typedef struct { UL hash, mgf, salt; } PSS_T;
typedef struct { void *mutex[4]; UL flags; void *reserved; } INIT_T;
typedef struct { char *name; void *list; UL flags; } INTERFACE_T;
typedef UL(__cdecl *FN)();
typedef struct { VERSION_T version; FN f[92]; } LIST_T;
#pragma pack(pop)

_Static_assert(sizeof(INFO_T) == 72 && sizeof(TOKEN_T) == 160 && sizeof(ATTR) == 8 + sizeof(void *), "packed");

/* places in a function list (section 3.6) */
enum {
	Initialize, Finalize, GetInfo, GetFunctionList, GetSlotList, GetSlotInfo, GetTokenInfo, GetMechanismList, GetMechanismInfo, InitToken, InitPIN,
	SetPIN, OpenSession, CloseSession, CloseAllSessions, GetSessionInfo, GetOperationState, SetOperationState, Login, Logout, CreateObject,
	CopyObject, DestroyObject, GetObjectSize, GetAttributeValue, SetAttributeValue, FindObjectsInit, FindObjects, FindObjectsFinal,
	SignInit = 42, Sign, SignUpdate, SignFinal, VerifyInit = 48, Verify, VerifyUpdate, VerifyFinal, GetFunctionStatus = 65, WaitForSlotEvent = 67
};
enum { CKR_OK = 0, CKR_GENERAL_ERROR = 5, CKR_ARGUMENTS_BAD = 7, CKR_DEVICE_REMOVED = 0x32, CKR_FUNCTION_CANCELED = 0x50, CKR_SESSION_HANDLE_INVALID = 0xB3, CKR_BUFFER_TOO_SMALL = 0x150, CKR_CRYPTOKI_NOT_INITIALIZED = 0x190 };
enum { CKF_SERIAL = 4, CKU_USER = 1, CKA_CLASS = 0, CKA_LABEL = 3, CKA_VALUE = 0x11, CKA_KEY_TYPE = 0x100, CKA_ID = 0x102, CKA_MODULUS = 0x120, CKA_MODULUS_BITS = 0x121, CKA_EC_POINT = 0x181 };
enum { CKO_CERTIFICATE = 1, CKO_PUBLIC = 2, CKO_PRIVATE = 3 };
enum { CKM_RSA_PKCS = 1, CKM_RSA_PSS = 0xD, CKM_SHA256 = 0x250, CKM_SHA256_RSA_PKCS = 0x40, CKM_SHA256_RSA_PSS = 0x43, CKM_ECDSA = 0x1041, CKM_ECDSA_SHA256 = 0x1044, CKM_EDDSA = 0x1057 };
#endif
