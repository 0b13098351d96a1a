/* localksp.dll: a key storage provider with one RSA key in a file, which BCrypt signs with at once. It stands in for a
 * provider that costs nothing: what a program takes with it is the program's own time, the measure for the product's provider
 * in scripts/bench. The variable RIG_LOCAL_KEY names the file, a BCRYPT_RSAFULLPRIVATE_BLOB; every key name means that key.
 * How far it goes: PKCS #1 signatures and the public key, what signtool asks for. */
#include "ksp.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define UNUSED_HANDLE 1

typedef struct {
    BCRYPT_KEY_HANDLE handle;
    DWORD size; /* of a signature, in bytes */
} Key;

static SECURITY_STATUS give(const void *data, DWORD length, PBYTE out, DWORD size, DWORD *need)
{
    *need = length;
    if (!out) return 0;
    if (size < length) return NTE_BUFFER_TOO_SMALL;
    memcpy(out, data, length);
    return 0;
}

static SECURITY_STATUS WINAPI openProvider(Handle *out, LPCWSTR name, DWORD flags)
{
    *out = UNUSED_HANDLE;
    return 0;
}

static SECURITY_STATUS WINAPI openKey(Handle provider, Handle *out, LPCWSTR name, DWORD spec, DWORD flags)
{
    WCHAR path[MAX_PATH];
    BYTE blob[8192];
    DWORD n = 0;
    BCRYPT_ALG_HANDLE rsa;
    Key key;
    if (!GetEnvironmentVariableW(L"RIG_LOCAL_KEY", path, MAX_PATH)) return NTE_BAD_KEYSET;
    HANDLE f = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (f == INVALID_HANDLE_VALUE) return NTE_BAD_KEYSET;
    BOOL ok = ReadFile(f, blob, sizeof blob, &n, NULL);
    CloseHandle(f);
    if (!ok || BCryptOpenAlgorithmProvider(&rsa, BCRYPT_RSA_ALGORITHM, NULL, 0)) return NTE_FAIL;
    if (BCryptImportKeyPair(rsa, NULL, BCRYPT_RSAFULLPRIVATE_BLOB, &key.handle, blob, n, 0)) return NTE_BAD_KEY;
    key.size = ((BCRYPT_RSAKEY_BLOB *)blob)->cbModulus;
    *out = (Handle)memcpy(malloc(sizeof key), &key, sizeof key);
    return 0;
}

static SECURITY_STATUS WINAPI getKeyProperty(Handle provider, Handle key, LPCWSTR name, PBYTE out, DWORD size, DWORD *need, DWORD flags)
{
    if (!wcscmp(name, L"Algorithm Group") || !wcscmp(name, L"Algorithm Name")) return give(L"RSA", sizeof L"RSA", out, size, need);
    return NTE_NOT_SUPPORTED;
}

static SECURITY_STATUS WINAPI exportKey(Handle provider, Handle key, Handle exporter, LPCWSTR type, NCryptBufferDesc *params, PBYTE out, DWORD size, DWORD *need, DWORD flags)
{
    BYTE blob[4096];
    ULONG n;
    if (wcscmp(type, BCRYPT_RSAPUBLIC_BLOB)) return NTE_NOT_SUPPORTED;
    if (BCryptExportKey(((Key *)key)->handle, NULL, BCRYPT_RSAPUBLIC_BLOB, blob, sizeof blob, &n, 0)) return NTE_FAIL;
    return give(blob, n, out, size, need);
}

static SECURITY_STATUS WINAPI signHash(Handle provider, Handle key, void *padding, PBYTE hash, DWORD hashSize, PBYTE out, DWORD size, DWORD *need, DWORD flags)
{
    BYTE signature[1024];
    ULONG n;
    if (!out) return give(NULL, ((Key *)key)->size, NULL, 0, need);
    if (BCryptSignHash(((Key *)key)->handle, padding, hash, hashSize, signature, sizeof signature, &n, BCRYPT_PAD_PKCS1)) return NTE_FAIL;
    return give(signature, n, out, size, need);
}

static SECURITY_STATUS WINAPI freeProvider(Handle provider) { return 0; }
static SECURITY_STATUS WINAPI freeKey(Handle provider, Handle key)
{
    BCryptDestroyKey(((Key *)key)->handle);
    free((Key *)key);
    return 0;
}

/* x64 has one calling convention, so one function serves all slots that signtool does not use */
static SECURITY_STATUS WINAPI unsupported(void) { return NTE_NOT_SUPPORTED; }
#define NO (void *)unsupported

static KspTable table = {1, 0, openProvider, openKey, NO, NO, getKeyProperty, NO, NO, NO, NO, freeProvider, freeKey, NO, NO, NO, NO, NO, NO, NO, exportKey, signHash, NO, NO, NO, NO, NO, NO};

__declspec(dllexport) SECURITY_STATUS WINAPI GetKeyStorageInterface(LPCWSTR name, KspTable **out, DWORD flags)
{
    *out = &table;
    return 0;
}
