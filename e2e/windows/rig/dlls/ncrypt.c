/* ncrypt.dll: a router in place of Wine's, which is a stub. It stands in for Windows' loading of key storage providers: it
 * finds the provider in the registry, loads its DLL, and passes each call on to its table. Handles are wrapped, because a
 * program has one kind of handle for providers and keys, and the table has separate functions for them. A key keeps working
 * after its provider was freed, as on Windows; "Provider Handle" is answered here, as there. The BCrypt functions that
 * ncrypt.dll exports too go on to bcrypt.dll (ncrypt.def).
 * How far it goes: providers of the registry only; no key isolation, no built-in provider, no secret agreement. */
#include "ksp.h"
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#define REGISTRY L"SYSTEM\\CurrentControlSet\\Control\\Cryptography\\Providers"

/* ---- wrapped handles ---- */
#define MAGIC 0x4e435248
enum { PROVIDER = 1, KEY = 2, ANY = PROVIDER | KEY };
typedef struct Object {
    DWORD magic;
    int kind;
    KspTable *table;
    Handle provider, key;  /* the provider's own handles */
    struct Object *parent; /* of a key: what it was opened from */
} Object;

static SRWLOCK lock = SRWLOCK_INIT;
static Object **all; /* every wrapper ever made: a handle is a pointer that stands here */
static size_t count;

static Object *wrap(Object from)
{
    Object *o = malloc(sizeof *o);
    *o = from;
    o->magic = MAGIC;
    AcquireSRWLockExclusive(&lock);
    all = realloc(all, (count + 1) * sizeof *all);
    all[count++] = o;
    ReleaseSRWLockExclusive(&lock);
    return o;
}

static void unwrap(Object *o)
{
    AcquireSRWLockExclusive(&lock);
    for (size_t i = 0; i < count; i++)
        if (all[i] == o) {
            all[i] = all[--count];
            break;
        }
    ReleaseSRWLockExclusive(&lock);
    o->magic = 0; /* not freed: a key may have it as its parent */
}

static Object *object(Handle handle, int kind)
{
    Object *o = NULL;
    AcquireSRWLockShared(&lock);
    for (size_t i = 0; i < count && !o; i++)
        if ((Handle)all[i] == handle && (all[i]->kind & kind)) o = all[i];
    ReleaseSRWLockShared(&lock);
    return o;
}
#define GET(o, handle, kind) \
    Object *o = object(handle, kind); \
    if (!o) return NTE_INVALID_HANDLE

/* ---- providers and keys ---- */
SECURITY_STATUS WINAPI NCryptOpenStorageProvider(NCRYPT_PROV_HANDLE *out, LPCWSTR name, DWORD flags)
{
    WCHAR path[512], image[MAX_PATH];
    DWORD size = sizeof image;
    if (!out) return NTE_INVALID_PARAMETER;
    *out = 0;
    if (!name) return NTE_NOT_SUPPORTED;
    swprintf(path, 512, REGISTRY L"\\%ls\\UM", name);
    if (RegGetValueW(HKEY_LOCAL_MACHINE, path, L"Image", RRF_RT_REG_SZ, NULL, image, &size)) return NTE_KEYSET_NOT_DEF;
    HMODULE dll = LoadLibraryExW(image, NULL, 0);
    if (!dll) return NTE_PROVIDER_DLL_FAIL;
    GetKeyStorageInterfaceFn get = (GetKeyStorageInterfaceFn)(void *)GetProcAddress(dll, "GetKeyStorageInterface");
    if (!get) return NTE_PROVIDER_DLL_FAIL;
    Object o = {.kind = PROVIDER};
    SECURITY_STATUS s = get(name, &o.table, 0);
    if (!s) s = o.table->OpenProvider(&o.provider, name, flags);
    if (!s) *out = (Handle)wrap(o);
    return s;
}

SECURITY_STATUS WINAPI NCryptOpenKey(NCRYPT_PROV_HANDLE h, NCRYPT_KEY_HANDLE *out, LPCWSTR name, DWORD spec, DWORD flags)
{
    GET(o, h, PROVIDER);
    if (!out) return NTE_INVALID_PARAMETER;
    Object k = *o;
    k.kind = KEY;
    k.parent = o;
    SECURITY_STATUS s = o->table->OpenKey(o->provider, &k.key, name, spec, flags);
    *out = s ? 0 : (Handle)wrap(k);
    return s;
}

SECURITY_STATUS WINAPI NCryptCreatePersistedKey(NCRYPT_PROV_HANDLE h, NCRYPT_KEY_HANDLE *out, LPCWSTR alg, LPCWSTR name, DWORD spec, DWORD flags)
{
    GET(o, h, PROVIDER);
    Object k = *o;
    k.kind = KEY;
    k.parent = o;
    SECURITY_STATUS s = o->table->CreatePersistedKey(o->provider, &k.key, alg, name, spec, flags);
    if (!s) *out = (Handle)wrap(k);
    return s;
}

SECURITY_STATUS WINAPI NCryptFreeObject(NCRYPT_HANDLE h)
{
    GET(o, h, ANY);
    SECURITY_STATUS s = o->kind == KEY ? o->table->FreeKey(o->provider, o->key) : o->table->FreeProvider(o->provider);
    unwrap(o);
    return s;
}

BOOL WINAPI NCryptIsKeyHandle(NCRYPT_KEY_HANDLE h) { return object(h, KEY) != NULL; }

/* ---- properties ---- */
SECURITY_STATUS WINAPI NCryptGetProperty(NCRYPT_HANDLE h, LPCWSTR name, PBYTE out, DWORD size, DWORD *need, DWORD flags)
{
    GET(o, h, ANY);
    if (!name || !need) return NTE_INVALID_PARAMETER;
    if (o->kind == PROVIDER) return o->table->GetProviderProperty(o->provider, name, out, size, need, flags);
    if (!wcscmp(name, L"Provider Handle")) {
        *need = sizeof(Handle);
        if (!out) return 0;
        if (size < sizeof(Handle)) return NTE_BUFFER_TOO_SMALL;
        *(Handle *)out = (Handle)o->parent;
        return 0;
    }
    return o->table->GetKeyProperty(o->provider, o->key, name, out, size, need, flags);
}

SECURITY_STATUS WINAPI NCryptSetProperty(NCRYPT_HANDLE h, LPCWSTR name, PBYTE in, DWORD size, DWORD flags)
{
    GET(o, h, ANY);
    if (o->kind == KEY) return o->table->SetKeyProperty(o->provider, o->key, name, in, size, flags);
    return o->table->SetProviderProperty(o->provider, name, in, size, flags);
}

/* ---- use of keys ---- */
SECURITY_STATUS WINAPI NCryptExportKey(NCRYPT_KEY_HANDLE h, NCRYPT_KEY_HANDLE exporter, LPCWSTR type, NCryptBufferDesc *params, PBYTE out, DWORD size, DWORD *need, DWORD flags)
{
    GET(o, h, KEY);
    return o->table->ExportKey(o->provider, o->key, exporter, type, params, out, size, need, flags);
}

SECURITY_STATUS WINAPI NCryptImportKey(NCRYPT_PROV_HANDLE h, NCRYPT_KEY_HANDLE importer, LPCWSTR type, NCryptBufferDesc *params, NCRYPT_KEY_HANDLE *out, PBYTE blob, DWORD size, DWORD flags)
{
    GET(o, h, PROVIDER);
    Object k = *o;
    k.kind = KEY;
    k.parent = o;
    SECURITY_STATUS s = o->table->ImportKey(o->provider, importer, type, params, &k.key, blob, size, flags);
    if (!s) *out = (Handle)wrap(k);
    return s;
}

SECURITY_STATUS WINAPI NCryptSignHash(NCRYPT_KEY_HANDLE h, void *padding, PBYTE hash, DWORD hashSize, PBYTE sig, DWORD size, DWORD *need, DWORD flags)
{
    GET(o, h, KEY);
    return o->table->SignHash(o->provider, o->key, padding, hash, hashSize, sig, size, need, flags);
}

SECURITY_STATUS WINAPI NCryptVerifySignature(NCRYPT_KEY_HANDLE h, void *padding, PBYTE hash, DWORD hashSize, PBYTE sig, DWORD size, DWORD flags)
{
    GET(o, h, KEY);
    return o->table->VerifySignature(o->provider, o->key, padding, hash, hashSize, sig, size, flags);
}

SECURITY_STATUS WINAPI NCryptEncrypt(NCRYPT_KEY_HANDLE h, PBYTE in, DWORD n, void *padding, PBYTE out, DWORD size, DWORD *need, DWORD flags)
{
    GET(o, h, KEY);
    return o->table->Encrypt(o->provider, o->key, in, n, padding, out, size, need, flags);
}

SECURITY_STATUS WINAPI NCryptDecrypt(NCRYPT_KEY_HANDLE h, PBYTE in, DWORD n, void *padding, PBYTE out, DWORD size, DWORD *need, DWORD flags)
{
    GET(o, h, KEY);
    return o->table->Decrypt(o->provider, o->key, in, n, padding, out, size, need, flags);
}

SECURITY_STATUS WINAPI NCryptFinalizeKey(NCRYPT_KEY_HANDLE h, DWORD flags)
{
    GET(o, h, KEY);
    return o->table->FinalizeKey(o->provider, o->key, flags);
}

SECURITY_STATUS WINAPI NCryptDeleteKey(NCRYPT_KEY_HANDLE h, DWORD flags)
{
    GET(o, h, KEY);
    SECURITY_STATUS s = o->table->DeleteKey(o->provider, o->key, flags);
    if (!s) unwrap(o); /* the handle is freed with it */
    return s;
}

/* ---- lists: a buffer goes back to the table that gave it ---- */
typedef struct Owner {
    struct Owner *next;
    void *buffer;
    KspTable *table; /* NULL: ours */
} Owner;
static Owner *owners;

static void own(void *buffer, KspTable *table)
{
    Owner *o = malloc(sizeof *o);
    AcquireSRWLockExclusive(&lock);
    *o = (Owner){owners, buffer, table};
    owners = o;
    ReleaseSRWLockExclusive(&lock);
}

SECURITY_STATUS WINAPI NCryptFreeBuffer(PVOID buffer)
{
    Owner *o = NULL;
    AcquireSRWLockExclusive(&lock);
    for (Owner **p = &owners; *p; p = &(*p)->next)
        if ((*p)->buffer == buffer) {
            o = *p;
            *p = o->next;
            break;
        }
    ReleaseSRWLockExclusive(&lock);
    if (!o) return NTE_INVALID_PARAMETER;
    SECURITY_STATUS s = 0;
    if (o->table) s = o->table->FreeBuffer(buffer);
    else free(buffer);
    free(o);
    return s;
}

SECURITY_STATUS WINAPI NCryptIsAlgSupported(NCRYPT_PROV_HANDLE h, LPCWSTR alg, DWORD flags)
{
    GET(o, h, PROVIDER);
    return o->table->IsAlgSupported(o->provider, alg, flags);
}

SECURITY_STATUS WINAPI NCryptEnumAlgorithms(NCRYPT_PROV_HANDLE h, DWORD operations, DWORD *n, NCryptAlgorithmName **list, DWORD flags)
{
    GET(o, h, PROVIDER);
    SECURITY_STATUS s = o->table->EnumAlgorithms(o->provider, operations, n, list, flags);
    if (!s) own(*list, o->table);
    return s;
}

SECURITY_STATUS WINAPI NCryptEnumKeys(NCRYPT_PROV_HANDLE h, LPCWSTR scope, NCryptKeyName **name, PVOID *state, DWORD flags)
{
    GET(o, h, PROVIDER);
    PVOID before = *state;
    SECURITY_STATUS s = o->table->EnumKeys(o->provider, scope, name, state, flags);
    if (!s) own(*name, o->table);
    if (*state && !before) own(*state, o->table); /* the caller frees the state as well */
    return s;
}

SECURITY_STATUS WINAPI NCryptEnumStorageProviders(DWORD *n, NCryptProviderName **list, DWORD flags)
{
    char *block = calloc(1, 65536);
    WCHAR *text = (WCHAR *)(block + 4096), name[256];
    NCryptProviderName *entry = (void *)block;
    HKEY key;
    *n = 0;
    if (!RegOpenKeyW(HKEY_LOCAL_MACHINE, REGISTRY, &key)) {
        while (*n < 100 && !RegEnumKeyW(key, *n, name, 256)) {
            wcscpy(text, name);
            entry[*n].pszName = text;
            entry[*n].pszComment = text + wcslen(text);
            text += wcslen(text) + 1;
            ++*n;
        }
        RegCloseKey(key);
    }
    own(block, NULL);
    *list = entry;
    return 0;
}
