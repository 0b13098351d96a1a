/*
 * The function table as Windows calls it. Each function widens its arguments to
 * numbers and hands them to Go with the number of its slot; GetLastError is the same
 * afterwards, as a host may look at an error of its own only after it freed a key.
 */
#include "table_windows.h"
#include <stdint.h>
#include "_cgo_export.h"

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

static STATUS call(unsigned slot, uintptr_t *arguments, unsigned count)
{
	DWORD error = GetLastError();
	STATUS status = (STATUS)spCall(slot, arguments, count);
	SetLastError(error);
	return status;
}

#define N(a) ((uintptr_t)(a))
#define CALL(slot, ...)                                      \
	{                                                    \
		uintptr_t v[] = { __VA_ARGS__ };             \
		return call(slot, v, sizeof v / sizeof *v);  \
	}
#define F static STATUS WINAPI

F OpenProvider(HANDLE_ *p, LPCWSTR n, DWORD f) CALL(0, N(p), N(n), f)
F OpenKey(HANDLE_ p, HANDLE_ *k, LPCWSTR n, DWORD s, DWORD f) CALL(1, p, N(k), N(n), s, f)
F CreatePersistedKey(HANDLE_ p, HANDLE_ *k, LPCWSTR a, LPCWSTR n, DWORD s, DWORD f) CALL(2, p, N(k), N(a), N(n), s, f)
F GetProviderProperty(HANDLE_ p, LPCWSTR n, PBYTE o, DWORD c, DWORD *r, DWORD f) CALL(3, p, N(n), N(o), c, N(r), f)
F GetKeyProperty(HANDLE_ p, HANDLE_ k, LPCWSTR n, PBYTE o, DWORD c, DWORD *r, DWORD f) CALL(4, p, k, N(n), N(o), c, N(r), f)
F SetProviderProperty(HANDLE_ p, LPCWSTR n, PBYTE i, DWORD c, DWORD f) CALL(5, p, N(n), N(i), c, f)
F SetKeyProperty(HANDLE_ p, HANDLE_ k, LPCWSTR n, PBYTE i, DWORD c, DWORD f) CALL(6, p, k, N(n), N(i), c, f)
F FinalizeKey(HANDLE_ p, HANDLE_ k, DWORD f) CALL(7, p, k, f)
F DeleteKey(HANDLE_ p, HANDLE_ k, DWORD f) CALL(8, p, k, f)
F FreeProvider(HANDLE_ p) CALL(9, p)
F FreeKey(HANDLE_ p, HANDLE_ k) CALL(10, p, k)
F FreeBuffer(PVOID b) CALL(11, N(b))
F Encrypt(HANDLE_ p, HANDLE_ k, PBYTE i, DWORD c, VOID *d, PBYTE o, DWORD n, DWORD *r, DWORD f) CALL(12, p, k, N(i), c, N(d), N(o), n, N(r), f)
F Decrypt(HANDLE_ p, HANDLE_ k, PBYTE i, DWORD c, VOID *d, PBYTE o, DWORD n, DWORD *r, DWORD f) CALL(13, p, k, N(i), c, N(d), N(o), n, N(r), f)
F IsAlgSupported(HANDLE_ p, LPCWSTR a, DWORD f) CALL(14, p, N(a), f)
F EnumAlgorithms(HANDLE_ p, DWORD o, DWORD *c, VOID **l, DWORD f) CALL(15, p, o, N(c), N(l), f)
F EnumKeys(HANDLE_ p, LPCWSTR s, VOID **k, PVOID *t, DWORD f) CALL(16, p, N(s), N(k), N(t), f)
F ImportKey(HANDLE_ p, HANDLE_ w, LPCWSTR t, VOID *l, HANDLE_ *k, PBYTE d, DWORD c, DWORD f) CALL(17, p, w, N(t), N(l), N(k), N(d), c, f)
F ExportKey(HANDLE_ p, HANDLE_ k, HANDLE_ w, LPCWSTR t, VOID *l, PBYTE o, DWORD c, DWORD *r, DWORD f) CALL(18, p, k, w, N(t), N(l), N(o), c, N(r), f)
F SignHash(HANDLE_ p, HANDLE_ k, VOID *d, PBYTE h, DWORD n, PBYTE o, DWORD c, DWORD *r, DWORD f) CALL(19, p, k, N(d), N(h), n, N(o), c, N(r), f)
F VerifySignature(HANDLE_ p, HANDLE_ k, VOID *d, PBYTE h, DWORD n, PBYTE s, DWORD c, DWORD f) CALL(20, p, k, N(d), N(h), n, N(s), c, f)
F PromptUser(HANDLE_ p, HANDLE_ k, LPCWSTR o, DWORD f) CALL(21, p, k, N(o), f)
F NotifyChangeKey(HANDLE_ p, HANDLE *e, DWORD f) CALL(22, p, N(e), f)
F SecretAgreement(HANDLE_ p, HANDLE_ k, HANDLE_ o, HANDLE_ *s, DWORD f) CALL(23, p, k, o, N(s), f)
F DeriveKey(HANDLE_ p, HANDLE_ s, LPCWSTR k, VOID *l, PUCHAR o, DWORD c, DWORD *r, ULONG f) CALL(24, p, s, N(k), N(l), N(o), c, N(r), f)
F FreeSecret(HANDLE_ p, HANDLE_ s) CALL(25, p, s)

static sp_ksp_table table = {
	1, 0,
	OpenProvider, OpenKey, CreatePersistedKey, GetProviderProperty, GetKeyProperty, SetProviderProperty, SetKeyProperty,
	FinalizeKey, DeleteKey, FreeProvider, FreeKey, FreeBuffer, Encrypt, Decrypt, IsAlgSupported, EnumAlgorithms, EnumKeys,
	ImportKey, ExportKey, SignHash, VerifySignature, PromptUser, NotifyChangeKey, SecretAgreement, DeriveKey, FreeSecret,
};

_Static_assert(sizeof table == sizeof(void *) * (SP_KSP_SLOTS + 1), "a version and 26 functions");

/* What Windows looks up; the name is that of the provider, whatever it was registered as. */
STATUS WINAPI GetKeyStorageInterface(LPCWSTR name, sp_ksp_table **out, DWORD flags)
{
	uintptr_t v[] = { N(name), N(out), flags, N(&table) };
	return call(SP_KSP_SLOTS, v, 4);
}

STDAPI DllRegisterServer(void)
{
	return (HRESULT)spRegister(N(self));
}

STDAPI DllUnregisterServer(void)
{
	return (HRESULT)spUnregister();
}
