/* ksp.h: the function table of a CNG key storage provider (Windows' ncrypt_provider.h, version 1.0). mingw has no such header. */
#ifndef KSP_H
#define KSP_H
#include <windows.h>
#include <bcrypt.h>
#include <ncrypt.h>

typedef ULONG_PTR Handle; /* NCRYPT_PROV_HANDLE, NCRYPT_KEY_HANDLE … as the provider sees them */

typedef struct {
    USHORT major, minor;
    SECURITY_STATUS(WINAPI *OpenProvider)(Handle *, LPCWSTR, DWORD);
    SECURITY_STATUS(WINAPI *OpenKey)(Handle, Handle *, LPCWSTR, DWORD spec, DWORD flags);
    SECURITY_STATUS(WINAPI *CreatePersistedKey)(Handle, Handle *, LPCWSTR alg, LPCWSTR name, DWORD spec, DWORD flags);
    SECURITY_STATUS(WINAPI *GetProviderProperty)(Handle, LPCWSTR, PBYTE, DWORD, DWORD *, DWORD);
    SECURITY_STATUS(WINAPI *GetKeyProperty)(Handle, Handle, LPCWSTR, PBYTE, DWORD, DWORD *, DWORD);
    SECURITY_STATUS(WINAPI *SetProviderProperty)(Handle, LPCWSTR, PBYTE, DWORD, DWORD);
    SECURITY_STATUS(WINAPI *SetKeyProperty)(Handle, Handle, LPCWSTR, PBYTE, DWORD, DWORD);
    SECURITY_STATUS(WINAPI *FinalizeKey)(Handle, Handle, DWORD);
    SECURITY_STATUS(WINAPI *DeleteKey)(Handle, Handle, DWORD);
    SECURITY_STATUS(WINAPI *FreeProvider)(Handle);
    SECURITY_STATUS(WINAPI *FreeKey)(Handle, Handle);
    SECURITY_STATUS(WINAPI *FreeBuffer)(PVOID);
    SECURITY_STATUS(WINAPI *Encrypt)(Handle, Handle, PBYTE, DWORD, void *, PBYTE, DWORD, DWORD *, DWORD);
    SECURITY_STATUS(WINAPI *Decrypt)(Handle, Handle, PBYTE, DWORD, void *, PBYTE, DWORD, DWORD *, DWORD);
    SECURITY_STATUS(WINAPI *IsAlgSupported)(Handle, LPCWSTR, DWORD);
    SECURITY_STATUS(WINAPI *EnumAlgorithms)(Handle, DWORD operations, DWORD *count, NCryptAlgorithmName **, DWORD);
    SECURITY_STATUS(WINAPI *EnumKeys)(Handle, LPCWSTR scope, NCryptKeyName **, PVOID *state, DWORD);
    SECURITY_STATUS(WINAPI *ImportKey)(Handle, Handle, LPCWSTR, NCryptBufferDesc *, Handle *, PBYTE, DWORD, DWORD);
    SECURITY_STATUS(WINAPI *ExportKey)(Handle, Handle, Handle, LPCWSTR, NCryptBufferDesc *, PBYTE, DWORD, DWORD *, DWORD);
    SECURITY_STATUS(WINAPI *SignHash)(Handle, Handle, void *padding, PBYTE hash, DWORD, PBYTE sig, DWORD, DWORD *, DWORD);
    SECURITY_STATUS(WINAPI *VerifySignature)(Handle, Handle, void *padding, PBYTE hash, DWORD, PBYTE sig, DWORD, DWORD);
    SECURITY_STATUS(WINAPI *PromptUser)(Handle, Handle, LPCWSTR, DWORD);
    SECURITY_STATUS(WINAPI *NotifyChangeKey)(Handle, HANDLE *, DWORD);
    SECURITY_STATUS(WINAPI *SecretAgreement)(Handle, Handle, Handle, Handle *, DWORD);
    SECURITY_STATUS(WINAPI *DeriveKey)(Handle, Handle, LPCWSTR, void *, PBYTE, DWORD, DWORD *, ULONG);
    SECURITY_STATUS(WINAPI *FreeSecret)(Handle, Handle);
} KspTable;
#define KSP_FUNCTIONS 26

typedef SECURITY_STATUS(WINAPI *GetKeyStorageInterfaceFn)(LPCWSTR name, KspTable **, DWORD flags);
#endif
