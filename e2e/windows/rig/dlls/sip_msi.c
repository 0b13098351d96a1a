/* sip_msi.c: installer packages, which are compound files ("Compound File Binary File Format"). The signature is the stream
 * "\5DigitalSignature"; the digest covers the content of all other streams, sorted by name, and the class of each storage. */
#define COBJMACROS
#define CINTERFACE
#include "sip.h"
#include <objbase.h>
#include <objidl.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static const WCHAR signatureName[] = L"\5DigitalSignature", extendedName[] = L"\5MsiDigitalSignatureEx";
#define READ (STGM_READ | STGM_SHARE_EXCLUSIVE)
#define WRITE (STGM_READWRITE | STGM_SHARE_EXCLUSIVE)

static BOOL mine(LPCWSTR name, const BYTE *file, DWORD size)
{
    static const BYTE magic[8] = {0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1};
    LPCWSTR dot = wcsrchr(name, '.');
    return size > 512 && !memcmp(file, magic, sizeof magic) && dot && (!_wcsicmp(dot, L".msi") || !_wcsicmp(dot, L".msp"));
}

/* openStorage opens the bytes as a compound file; bytes is released with it. */
static IStorage *openStorage(const BYTE *file, DWORD size, ILockBytes **bytes)
{
    IStorage *storage = NULL;
    ULONG n;
    if (CreateILockBytesOnHGlobal(NULL, TRUE, bytes)) return NULL;
    ULARGE_INTEGER at = {.QuadPart = 0};
    if (ILockBytes_WriteAt(*bytes, at, file, size, &n) || StgOpenStorageOnILockBytes(*bytes, NULL, WRITE, NULL, 0, &storage)) {
        ILockBytes_Release(*bytes);
        SetLastError(ERROR_INVALID_DATA);
        return NULL;
    }
    return storage;
}

static BOOL readStream(IStorage *storage, LPCWSTR name, Der *out)
{
    IStream *stream;
    BYTE part[16384];
    ULONG n = 0;
    if (IStorage_OpenStream(storage, name, NULL, READ, 0, &stream)) return FALSE;
    while (IStream_Read(stream, part, sizeof part, &n) >= 0 && n) derAdd(out, part, n);
    IStream_Release(stream);
    return TRUE;
}

/* by the bytes of the names with their NUL; where one is a beginning of the other, the longer comes first */
static int byName(const void *a, const void *b)
{
    const STATSTG *x = a, *y = b;
    size_t n = (wcslen(x->pwcsName) + 1) * 2, m = (wcslen(y->pwcsName) + 1) * 2;
    int c = memcmp(x->pwcsName, y->pwcsName, min(n, m));
    return c ? c : n > m ? -1 : 1;
}

static BOOL hashStorage(IStorage *storage, Digest *d, BOOL root)
{
    IEnumSTATSTG *list;
    STATSTG *entries = NULL, one, self;
    size_t count = 0;
    if (IStorage_EnumElements(storage, 0, NULL, 0, &list)) return FALSE;
    while (IEnumSTATSTG_Next(list, 1, &one, NULL) == S_OK) {
        entries = realloc(entries, (count + 1) * sizeof *entries);
        entries[count++] = one;
    }
    IEnumSTATSTG_Release(list);
    if (count) qsort(entries, count, sizeof *entries, byName);
    BOOL ok = TRUE;
    for (size_t i = 0; i < count; i++) {
        LPWSTR name = entries[i].pwcsName;
        if (root && (!wcscmp(name, signatureName) || !wcscmp(name, extendedName))) continue;
        if (entries[i].type == STGTY_STREAM) {
            Der content = {0};
            ok &= readStream(storage, name, &content);
            digestAdd(d, content.data, content.size);
            derFree(&content);
        } else if (entries[i].type == STGTY_STORAGE) {
            IStorage *child;
            if (IStorage_OpenStorage(storage, name, NULL, READ, NULL, 0, &child)) {
                ok = FALSE;
                continue;
            }
            ok &= hashStorage(child, d, FALSE);
            IStorage_Release(child);
        }
    }
    for (size_t i = 0; i < count; i++) CoTaskMemFree(entries[i].pwcsName);
    free(entries);
    if (IStorage_Stat(storage, &self, STATFLAG_NONAME)) return FALSE;
    digestAdd(d, &self.clsid, sizeof self.clsid);
    return ok;
}

static BOOL data(const SIP_SUBJECTINFO *s, const BYTE *file, DWORD size, const DigestAlgorithm *algorithm, const char **type, Der *value, BYTE digest[64])
{
    static const BYTE id[16] = {0xf1, 0x10, 0x0c, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46};
    ILockBytes *bytes;
    Digest d;
    IStorage *storage = openStorage(file, size, &bytes);
    if (!storage) return FALSE;
    digestBegin(&d, algorithm);
    BOOL ok = hashStorage(storage, &d, TRUE);
    digestEnd(&d, digest);
    IStorage_Release(storage);
    ILockBytes_Release(bytes);
    *type = OID_SIP_INFO;
    sipInfo(value, 1, id);
    return ok || failed(ERROR_INVALID_DATA);
}

static BOOL get(const BYTE *file, DWORD size, Der *signature)
{
    ILockBytes *bytes;
    IStorage *storage = openStorage(file, size, &bytes);
    if (!storage) return FALSE;
    BOOL ok = readStream(storage, signatureName, signature);
    IStorage_Release(storage);
    ILockBytes_Release(bytes);
    return ok;
}

static BOOL put(const BYTE *file, DWORD size, const BYTE *signature, DWORD signatureSize, Der *out)
{
    ILockBytes *bytes;
    IStream *stream;
    IStorage *storage = openStorage(file, size, &bytes);
    if (!storage) return FALSE;
    BOOL ok = TRUE;
    if (signature) {
        ok = !IStorage_CreateStream(storage, signatureName, WRITE | STGM_CREATE, 0, 0, &stream);
        if (ok) {
            ULONG n;
            ok = !IStream_Write(stream, signature, signatureSize, &n) && n == signatureSize;
            IStream_Release(stream);
        }
    } else {
        IStorage_DestroyElement(storage, signatureName);
    }
    ok = ok && !IStorage_Commit(storage, STGC_DEFAULT);
    IStorage_Release(storage);
    STATSTG all;
    ok = ok && !ILockBytes_Stat(bytes, &all, STATFLAG_NONAME);
    for (DWORD at = 0; ok && at < all.cbSize.LowPart;) {
        BYTE part[65536];
        ULONG n = 0;
        ULARGE_INTEGER where = {.QuadPart = at};
        ILockBytes_ReadAt(bytes, where, part, sizeof part, &n); /* the last part is short, which Wine calls a fault */
        ok = n != 0;
        derAdd(out, part, n);
        at += n;
    }
    ILockBytes_Release(bytes);
    return ok || failed(ERROR_WRITE_FAULT);
}

const Package msiPackage = {{0x000C10F1, 0, 0, {0xC0, 0, 0, 0, 0, 0, 0, 0x46}}, mine, data, get, put};
