/* crypt32.dll: a proxy before Wine's own crypt32, which it knows as wcrypt32.dll (crypt32.def forwards what is not here).
 * It stands in for what Windows' crypt32 does with keys of key storage providers, and Wine's does not:
 *   - here: certificate properties 78 and 79 (a handle of a key), CryptAcquireCertificatePrivateKey that answers with an
 *     NCRYPT key, CryptExportPublicKeyInfo[Ex] of one, CryptSIPRetrieveSubjectGuid for files other than PE and CAB;
 *   - message.c: signed messages (CMS) by RSA and ECDSA keys, and changing one that was read;
 *   - timestamp.c: CryptRetrieveTimeStamp.
 * How far it goes: what signtool.exe, mssign32.dll and the tests' programs call. It checks no arguments that they get right,
 * and serves one thread at a time. */
#include "proxy.h"
#include <mssip.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#define PROP_NCRYPT_KEY 78 /* CERT_NCRYPT_KEY_HANDLE_PROP_ID */
#define PROP_ANY_KEY 79    /* CERT_HCRYPTPROV_OR_NCRYPT_KEY_HANDLE_PROP_ID */
#define ALLOW_NCRYPT 0x70000 /* CRYPT_ACQUIRE_{ALLOW,PREFER,ONLY}_NCRYPT_KEY_FLAG */

FARPROC wineFunction(const char *name)
{
    static HMODULE module;
    if (!module) module = LoadLibraryA("wcrypt32.dll");
    return GetProcAddress(module, name);
}

FARPROC ncryptFunction(const char *name)
{
    static HMODULE module;
    if (!module) module = LoadLibraryA("ncrypt.dll");
    return GetProcAddress(module, name);
}

BOOL isNcryptKey(HCRYPTPROV_OR_NCRYPT_KEY_HANDLE h) { return h && NCRYPT(NCryptIsKeyHandle)(h); }

BOOL deliver(const void *data, DWORD length, void *out, DWORD *size)
{
    DWORD room = *size;
    *size = length;
    if (!out) return TRUE;
    if (room < length) return fails(ERROR_MORE_DATA);
    memcpy(out, data, length);
    return TRUE;
}

/* ---- key handles of certificates: a table by SHA-1, since Wine's contexts have no such property ---- */
static struct {
    BYTE sha1[20];
    ULONG_PTR key;
    BOOL used;
} keys[64];
#define KEYS (int)(sizeof keys / sizeof *keys)

static int entryOf(PCCERT_CONTEXT cert, BOOL add)
{
    BYTE sha1[20];
    DWORD size = sizeof sha1;
    int unused = -1;
    if (!WINE(CertGetCertificateContextProperty)(cert, CERT_HASH_PROP_ID, sha1, &size)) return -1;
    for (int i = 0; i < KEYS; i++) {
        if (keys[i].used && !memcmp(keys[i].sha1, sha1, sizeof sha1)) return i;
        if (!keys[i].used && unused < 0) unused = i;
    }
    if (!add || unused < 0) return -1;
    memcpy(keys[unused].sha1, sha1, sizeof sha1);
    keys[unused].used = TRUE;
    return unused;
}

BOOL WINAPI CertSetCertificateContextProperty(PCCERT_CONTEXT cert, DWORD id, DWORD flags, const void *data)
{
    if (id != PROP_NCRYPT_KEY && id != PROP_ANY_KEY) return WINE(CertSetCertificateContextProperty)(cert, id, flags, data);
    int i = entryOf(cert, TRUE);
    if (i < 0) return fails(ERROR_OUTOFMEMORY);
    keys[i].key = (ULONG_PTR)data;
    return TRUE;
}

BOOL WINAPI CertGetCertificateContextProperty(PCCERT_CONTEXT cert, DWORD id, void *data, DWORD *size)
{
    if (id != PROP_NCRYPT_KEY && id != PROP_ANY_KEY) return WINE(CertGetCertificateContextProperty)(cert, id, data, size);
    int i = entryOf(cert, FALSE);
    if (i < 0 || !keys[i].key || (id == PROP_NCRYPT_KEY && !isNcryptKey(keys[i].key))) return fails(CRYPT_E_NOT_FOUND);
    if (data) *(ULONG_PTR *)data = keys[i].key;
    *size = sizeof(ULONG_PTR);
    return TRUE;
}

/* acquireLinked opens the key that a store's link names: a container of a key storage provider (its type is 0). */
static BOOL acquireLinked(const CRYPT_KEY_PROV_INFO *info, DWORD flags, ULONG_PTR *key)
{
    NCRYPT_PROV_HANDLE provider;
    if (!(flags & ALLOW_NCRYPT)) return fails((DWORD)NTE_BAD_PROV_TYPE);
    SECURITY_STATUS s = NCRYPT(NCryptOpenStorageProvider)(&provider, info->pwszProvName, 0);
    if (!s) {
        s = NCRYPT(NCryptOpenKey)(provider, key, info->pwszContainerName, info->dwKeySpec, info->dwFlags & (CRYPT_MACHINE_KEYSET | CRYPT_SILENT));
        NCRYPT(NCryptFreeObject)(provider); /* before the key, as Windows does */
    }
    return s ? fails((DWORD)s) : TRUE;
}

BOOL WINAPI CryptAcquireCertificatePrivateKey(PCCERT_CONTEXT cert, DWORD flags, void *reserved,
                                              HCRYPTPROV_OR_NCRYPT_KEY_HANDLE *key, DWORD *spec, BOOL *callerFrees)
{
    DWORD size = 0;
    CRYPT_KEY_PROV_INFO *info = NULL;
    if (WINE(CertGetCertificateContextProperty)(cert, CERT_KEY_PROV_INFO_PROP_ID, NULL, &size)) {
        info = malloc(size);
        if (!WINE(CertGetCertificateContextProperty)(cert, CERT_KEY_PROV_INFO_PROP_ID, info, &size)) {
            free(info);
            info = NULL;
        }
    }
    BOOL ok;
    int i = entryOf(cert, FALSE);
    if (i >= 0 && keys[i].key) { /* a handle was attached to the certificate */
        BOOL cng = isNcryptKey(keys[i].key);
        ok = !cng || (flags & ALLOW_NCRYPT) || fails((DWORD)NTE_BAD_PROV_TYPE);
        if (ok) {
            *key = keys[i].key;
            if (spec) *spec = cng ? CERT_NCRYPT_KEY_SPEC : info && info->dwKeySpec ? info->dwKeySpec : AT_SIGNATURE;
            if (callerFrees) *callerFrees = FALSE;
        }
    } else if (info && info->dwProvType == 0) {
        ok = acquireLinked(info, flags, key);
        if (ok && spec) *spec = CERT_NCRYPT_KEY_SPEC;
        if (ok && callerFrees) *callerFrees = TRUE;
    } else {
        ok = WINE(CryptAcquireCertificatePrivateKey)(cert, flags, reserved, key, spec, callerFrees);
    }
    free(info);
    return ok;
}

/* ---- public keys: PKIX (RFC 3279) from CNG's blobs ---- */
#include "der.h"

static const struct {
    ULONG magic;
    const char *oid;
} curves[] = {{BCRYPT_ECDSA_PUBLIC_P256_MAGIC, "1.2.840.10045.3.1.7"}, {BCRYPT_ECDSA_PUBLIC_P384_MAGIC, "1.3.132.0.34"}, {BCRYPT_ECDSA_PUBLIC_P521_MAGIC, "1.3.132.0.35"}};

/* publicKey fills the algorithm's parameters and the bits of a key; the caller frees both. */
static const char *publicKey(NCRYPT_KEY_HANDLE key, Der *parameters, Der *bits)
{
    WCHAR group[32] = L"";
    BYTE blob[2048];
    DWORD n;
    SECURITY_STATUS s = NCRYPT(NCryptGetProperty)(key, L"Algorithm Group", (PBYTE)group, sizeof group, &n, 0);
    if (!s) s = NCRYPT(NCryptExportKey)(key, 0, wcscmp(group, L"RSA") ? L"ECCPUBLICBLOB" : L"RSAPUBLICBLOB", NULL, blob, sizeof blob, &n, 0);
    if (s) {
        SetLastError((DWORD)s);
        return NULL;
    }
    if (!wcscmp(group, L"RSA")) {
        const BCRYPT_RSAKEY_BLOB *rsa = (void *)blob;
        const BYTE *exponent = (BYTE *)(rsa + 1);
        Der numbers = {0};
        derUnsigned(&numbers, exponent + rsa->cbPublicExp, rsa->cbModulus);
        derUnsigned(&numbers, exponent, rsa->cbPublicExp);
        derMove(bits, DER_SEQUENCE, &numbers);
        derTLV(parameters, DER_NULL, NULL, 0);
        return OID_RSA;
    }
    const BCRYPT_ECCKEY_BLOB *ec = (void *)blob;
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (curves[i].magic == ec->dwMagic) {
            derAdd(bits, "\x04", 1); /* uncompressed */
            derAdd(bits, ec + 1, ec->cbKey * 2);
            derOID(parameters, curves[i].oid);
            return OID_EC;
        }
    SetLastError((DWORD)NTE_BAD_KEY);
    return NULL;
}

BOOL WINAPI CryptExportPublicKeyInfoEx(HCRYPTPROV_OR_NCRYPT_KEY_HANDLE key, DWORD spec, DWORD enc, LPSTR oid, DWORD flags,
                                       void *aux, PCERT_PUBLIC_KEY_INFO out, DWORD *size)
{
    if (!isNcryptKey(key)) {
        if (spec == 3) spec = AT_KEYEXCHANGE; /* Wine gives imported PFX keys spec 3 */
        return WINE(CryptExportPublicKeyInfoEx)(key, spec, enc, oid, flags, aux, out, size);
    }
    Der parameters = {0}, bits = {0};
    const char *algorithm = publicKey(key, &parameters, &bits);
    BOOL ok = algorithm != NULL;
    if (ok) {
        DWORD room = *size, name = (DWORD)strlen(algorithm) + 1;
        *size = sizeof *out + name + parameters.size + bits.size;
        if (out && room < *size) ok = fails(ERROR_MORE_DATA);
        else if (out) {
            BYTE *next = (BYTE *)(out + 1);
            memset(out, 0, sizeof *out);
            out->PublicKey.cbData = bits.size;
            out->PublicKey.pbData = memcpy(next, bits.data, bits.size);
            out->Algorithm.Parameters.cbData = parameters.size;
            out->Algorithm.Parameters.pbData = memcpy(next + bits.size, parameters.data, parameters.size);
            out->Algorithm.pszObjId = memcpy(next + bits.size + parameters.size, algorithm, name);
        }
    }
    derFree(&parameters);
    derFree(&bits);
    return ok;
}

BOOL WINAPI CryptExportPublicKeyInfo(HCRYPTPROV_OR_NCRYPT_KEY_HANDLE key, DWORD spec, DWORD enc, PCERT_PUBLIC_KEY_INFO out, DWORD *size)
{
    return CryptExportPublicKeyInfoEx(key, spec, enc, NULL, 0, NULL, out, size);
}

/* ---- which subject interface package a file belongs to ---- */
BOOL WINAPI CryptSIPRetrieveSubjectGuid(LPCWSTR name, HANDLE file, GUID *out)
{
    if (WINE(CryptSIPRetrieveSubjectGuid)(name, file, out)) return TRUE;
    BOOL(WINAPI * isMine)(LPCWSTR, GUID *) = (void *)GetProcAddress(LoadLibraryA("testsip.dll"), "SIPIsMyFile");
    return (isMine && name && isMine(name, out)) || fails((DWORD)TRUST_E_SUBJECT_FORM_UNKNOWN);
}
