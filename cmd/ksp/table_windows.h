/*
 * The function table of a CNG key storage provider, version 1.0
 * (NCRYPT_KEY_STORAGE_FUNCTION_TABLE of ncrypt_provider.h, which mingw-w64 does not
 * have). The order of the functions is that of internal/provider/cng's table of slots.
 */
#ifndef SP_KSP_TABLE_H
#define SP_KSP_TABLE_H
#include <windows.h>

typedef LONG STATUS;      /* SECURITY_STATUS */
typedef ULONG_PTR HANDLE_; /* NCRYPT_PROV_HANDLE, NCRYPT_KEY_HANDLE, NCRYPT_SECRET_HANDLE */

typedef struct {
	USHORT major, minor; /* BCRYPT_INTERFACE_VERSION */
	STATUS(WINAPI *OpenProvider)(HANDLE_ *, LPCWSTR name, DWORD flags);
	STATUS(WINAPI *OpenKey)(HANDLE_, HANDLE_ *key, LPCWSTR name, DWORD spec, DWORD flags);
	STATUS(WINAPI *CreatePersistedKey)(HANDLE_, HANDLE_ *key, LPCWSTR algorithm, LPCWSTR name, DWORD spec, DWORD flags);
	STATUS(WINAPI *GetProviderProperty)(HANDLE_, LPCWSTR property, PBYTE out, DWORD size, DWORD *result, DWORD flags);
	STATUS(WINAPI *GetKeyProperty)(HANDLE_, HANDLE_ key, LPCWSTR property, PBYTE out, DWORD size, DWORD *result, DWORD flags);
	STATUS(WINAPI *SetProviderProperty)(HANDLE_, LPCWSTR property, PBYTE in, DWORD size, DWORD flags);
	STATUS(WINAPI *SetKeyProperty)(HANDLE_, HANDLE_ key, LPCWSTR property, PBYTE in, DWORD size, DWORD flags);
	STATUS(WINAPI *FinalizeKey)(HANDLE_, HANDLE_ key, DWORD flags);
	STATUS(WINAPI *DeleteKey)(HANDLE_, HANDLE_ key, DWORD flags);
	STATUS(WINAPI *FreeProvider)(HANDLE_);
	STATUS(WINAPI *FreeKey)(HANDLE_, HANDLE_ key);
	STATUS(WINAPI *FreeBuffer)(PVOID);
	STATUS(WINAPI *Encrypt)(HANDLE_, HANDLE_ key, PBYTE in, DWORD, VOID *padding, PBYTE out, DWORD size, DWORD *result, DWORD flags);
	STATUS(WINAPI *Decrypt)(HANDLE_, HANDLE_ key, PBYTE in, DWORD, VOID *padding, PBYTE out, DWORD size, DWORD *result, DWORD flags);
	STATUS(WINAPI *IsAlgSupported)(HANDLE_, LPCWSTR algorithm, DWORD flags);
	STATUS(WINAPI *EnumAlgorithms)(HANDLE_, DWORD operations, DWORD *count, VOID **list, DWORD flags);
	STATUS(WINAPI *EnumKeys)(HANDLE_, LPCWSTR scope, VOID **key, PVOID *state, DWORD flags);
	STATUS(WINAPI *ImportKey)(HANDLE_, HANDLE_ with, LPCWSTR blob, VOID *parameters, HANDLE_ *key, PBYTE data, DWORD size, DWORD flags);
	STATUS(WINAPI *ExportKey)(HANDLE_, HANDLE_ key, HANDLE_ with, LPCWSTR blob, VOID *parameters, PBYTE out, DWORD size, DWORD *result, DWORD flags);
	STATUS(WINAPI *SignHash)(HANDLE_, HANDLE_ key, VOID *padding, PBYTE hash, DWORD, PBYTE out, DWORD size, DWORD *result, DWORD flags);
	STATUS(WINAPI *VerifySignature)(HANDLE_, HANDLE_ key, VOID *padding, PBYTE hash, DWORD, PBYTE signature, DWORD, DWORD flags);
	STATUS(WINAPI *PromptUser)(HANDLE_, HANDLE_ key, LPCWSTR operation, DWORD flags);
	STATUS(WINAPI *NotifyChangeKey)(HANDLE_, HANDLE *event, DWORD flags);
	STATUS(WINAPI *SecretAgreement)(HANDLE_, HANDLE_ key, HANDLE_ other, HANDLE_ *secret, DWORD flags);
	STATUS(WINAPI *DeriveKey)(HANDLE_, HANDLE_ secret, LPCWSTR kdf, VOID *parameters, PUCHAR out, DWORD size, DWORD *result, ULONG flags);
	STATUS(WINAPI *FreeSecret)(HANDLE_, HANDLE_ secret);
} sp_ksp_table;

#define SP_KSP_SLOTS 26
#endif
