/*
 * The functions of CryptoSPI as Windows calls them. Each hands its arguments to the
 * Go function of the same name, addresses as numbers, and turns the status into TRUE or
 * FALSE. GetLastError says the status after a failure, and after a success what it
 * said before: crypt32 sets an error, then calls CryptDestroyKey, and only then looks.
 */
#include <windows.h>
#include <wincrypt.h>
#include <stdint.h>
#include "_cgo_export.h"

/* what Windows calls; wincrypt.h does not declare them */
#define CSP BOOL WINAPI

static HINSTANCE self;

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved)
{
	HMODULE pinned;
	(void)reserved;
	if (reason == DLL_PROCESS_ATTACH) {
		self = module;
		GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (LPCWSTR)(uintptr_t)DllMain, &pinned);
	}
	return TRUE;
}

#define ADDRESS(p) ((uintptr_t)(p))
#define ANSWER(call) \
	do { \
		DWORD before = GetLastError(); \
		DWORD status = (DWORD)(call); \
		SetLastError(status ? status : before); \
		return status == 0; \
	} while (0)

CSP CPAcquireContext(HCRYPTPROV *context, LPSTR container, DWORD flags, void *table)
{ ANSWER(spAcquireContext(ADDRESS(context), ADDRESS(container), flags, ADDRESS(table))); }

CSP CPReleaseContext(HCRYPTPROV context, DWORD flags)
{ ANSWER(spReleaseContext(context, flags)); }

CSP CPGetProvParam(HCRYPTPROV context, DWORD param, BYTE *data, DWORD *length, DWORD flags)
{ ANSWER(spGetProvParam(context, param, ADDRESS(data), ADDRESS(length), flags)); }

CSP CPSetProvParam(HCRYPTPROV context, DWORD param, BYTE *data, DWORD flags)
{ (void)data; (void)flags; ANSWER(spSetProvParam(context, param)); }

CSP CPGetUserKey(HCRYPTPROV context, DWORD spec, HCRYPTKEY *key)
{ ANSWER(spGetUserKey(context, spec, ADDRESS(key))); }

CSP CPDestroyKey(HCRYPTPROV context, HCRYPTKEY key)
{ ANSWER(spDestroyKey(context, key)); }

CSP CPDuplicateKey(HCRYPTPROV context, HCRYPTKEY key, DWORD *reserved, DWORD flags, HCRYPTKEY *copied)
{ ANSWER(spDuplicateKey(context, key, ADDRESS(reserved), flags, ADDRESS(copied))); }

CSP CPExportKey(HCRYPTPROV context, HCRYPTKEY key, HCRYPTKEY with, DWORD kind, DWORD flags, BYTE *data, DWORD *length)
{ ANSWER(spExportKey(context, key, with, kind, flags, ADDRESS(data), ADDRESS(length))); }

CSP CPImportKey(HCRYPTPROV context, const BYTE *data, DWORD length, HCRYPTKEY with, DWORD flags, HCRYPTKEY *key)
{ ANSWER(spImportKey(context, ADDRESS(data), length, with, flags, ADDRESS(key))); }

CSP CPGetKeyParam(HCRYPTPROV context, HCRYPTKEY key, DWORD param, BYTE *data, DWORD *length, DWORD flags)
{ ANSWER(spGetKeyParam(context, key, param, ADDRESS(data), ADDRESS(length), flags)); }

CSP CPCreateHash(HCRYPTPROV context, ALG_ID algorithm, HCRYPTKEY key, DWORD flags, HCRYPTHASH *hash)
{ ANSWER(spCreateHash(context, algorithm, key, flags, ADDRESS(hash))); }

CSP CPDestroyHash(HCRYPTPROV context, HCRYPTHASH hash)
{ ANSWER(spDestroyHash(context, hash)); }

CSP CPDuplicateHash(HCRYPTPROV context, HCRYPTHASH hash, DWORD *reserved, DWORD flags, HCRYPTHASH *copied)
{ ANSWER(spDuplicateHash(context, hash, ADDRESS(reserved), flags, ADDRESS(copied))); }

CSP CPHashData(HCRYPTPROV context, HCRYPTHASH hash, const BYTE *data, DWORD length, DWORD flags)
{ ANSWER(spHashData(context, hash, ADDRESS(data), length, flags)); }

CSP CPGetHashParam(HCRYPTPROV context, HCRYPTHASH hash, DWORD param, BYTE *data, DWORD *length, DWORD flags)
{ ANSWER(spGetHashParam(context, hash, param, ADDRESS(data), ADDRESS(length), flags)); }

CSP CPSetHashParam(HCRYPTPROV context, HCRYPTHASH hash, DWORD param, const BYTE *data, DWORD flags)
{ ANSWER(spSetHashParam(context, hash, param, ADDRESS(data), flags)); }

CSP CPSignHash(HCRYPTPROV context, HCRYPTHASH hash, DWORD spec, LPCWSTR description, DWORD flags, BYTE *data, DWORD *length)
{ ANSWER(spSignHash(context, hash, spec, ADDRESS(description), flags, ADDRESS(data), ADDRESS(length))); }

CSP CPVerifySignature(HCRYPTPROV context, HCRYPTHASH hash, const BYTE *data, DWORD length, HCRYPTKEY key, LPCWSTR description, DWORD flags)
{ ANSWER(spVerifySignature(context, hash, ADDRESS(data), length, key, ADDRESS(description), flags)); }

CSP CPGenRandom(HCRYPTPROV context, DWORD length, BYTE *data)
{ ANSWER(spGenRandom(context, ADDRESS(data), length)); }

/* what this provider refuses */

CSP CPDecrypt(HCRYPTPROV context, HCRYPTKEY key, HCRYPTHASH hash, BOOL final, DWORD flags, BYTE *data, DWORD *length)
{ (void)key; (void)hash; (void)final; (void)flags; (void)data; (void)length; ANSWER(spRefuse((char *)"CPDecrypt", context)); }

CSP CPEncrypt(HCRYPTPROV context, HCRYPTKEY key, HCRYPTHASH hash, BOOL final, DWORD flags, BYTE *data, DWORD *length, DWORD room)
{ (void)key; (void)hash; (void)final; (void)flags; (void)data; (void)length; (void)room; ANSWER(spRefuse((char *)"CPEncrypt", context)); }

CSP CPDeriveKey(HCRYPTPROV context, ALG_ID algorithm, HCRYPTHASH hash, DWORD flags, HCRYPTKEY *key)
{ (void)algorithm; (void)hash; (void)flags; (void)key; ANSWER(spRefuse((char *)"CPDeriveKey", context)); }

CSP CPGenKey(HCRYPTPROV context, ALG_ID algorithm, DWORD flags, HCRYPTKEY *key)
{ (void)algorithm; (void)flags; (void)key; ANSWER(spRefuse((char *)"CPGenKey", context)); }

CSP CPHashSessionKey(HCRYPTPROV context, HCRYPTHASH hash, HCRYPTKEY key, DWORD flags)
{ (void)hash; (void)key; (void)flags; ANSWER(spRefuse((char *)"CPHashSessionKey", context)); }

CSP CPSetKeyParam(HCRYPTPROV context, HCRYPTKEY key, DWORD param, BYTE *data, DWORD flags)
{ (void)key; (void)param; (void)data; (void)flags; ANSWER(spRefuse((char *)"CPSetKeyParam", context)); }

/* what regsvr32 calls, with and without /u */

HRESULT WINAPI DllRegisterServer(void) { return (HRESULT)spRegister(ADDRESS(self)); }
HRESULT WINAPI DllUnregisterServer(void) { return (HRESULT)spUnregister(); }
