/* testsip.dll: subject interface packages, the parts of Windows that know where in a kind of file a signature belongs, and
 * which digest it covers. Wine has the registration and no digests. One file each: sip_pe.c (programs and libraries),
 * sip_msi.c (installer packages), sip_cab.c (cabinets), sip_script.c (PowerShell). encoders.c has the structures of
 * Authenticode and of old time stamps that Wine cannot encode.
 * How far it goes: one signature per file; scripts in UTF-8 and UTF-16LE; no MsiDigitalSignatureEx; files of some MB.
 * Everything that it makes is judged by osslsigncode, which shares nothing with it. */
#include "sip.h"
#include <stdlib.h>
#include <string.h>

static const Package *packages[] = {&pePackage, &msiPackage, &cabPackage, &scriptPackage};
#define PACKAGES (sizeof packages / sizeof *packages)

static const Package *packageOf(const SIP_SUBJECTINFO *s)
{
    for (size_t i = 0; i < PACKAGES; i++)
        if (s->pgSubjectType && !memcmp(&packages[i]->type, s->pgSubjectType, sizeof(GUID))) return packages[i];
    SetLastError((DWORD)TRUST_E_SUBJECT_FORM_UNKNOWN);
    return NULL;
}

void obsoleteLink(Der *out)
{
    static const BYTE text[] = {0, '<', 0, '<', 0, '<', 0, 'O', 0, 'b', 0, 's', 0, 'o', 0, 'l', 0, 'e', 0, 't', 0, 'e', 0, '>', 0, '>', 0, '>'};
    Der string = {0};
    derTLV(&string, 0x80, text, sizeof text);
    derMove(out, DER_2, &string);
}

void sipInfo(Der *out, DWORD version, const BYTE id[16])
{
    Der body = {0};
    derSmall(&body, version);
    derTLV(&body, DER_OCTETS, id, 16);
    for (int i = 0; i < 5; i++) derSmall(&body, 0);
    derMove(out, DER_SEQUENCE, &body);
}

/* ---- files: the handle that the caller has open, else the name ---- */
static HANDLE fileOf(const SIP_SUBJECTINFO *s, BOOL write, BOOL *ours)
{
    *ours = !s->hFile || s->hFile == INVALID_HANDLE_VALUE;
    if (!*ours) return s->hFile;
    return CreateFileW(s->pwsFileName, GENERIC_READ | (write ? GENERIC_WRITE : 0), FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
}

static BYTE *contentOf(const SIP_SUBJECTINFO *s, DWORD *size)
{
    BOOL ours;
    DWORD n;
    HANDLE f = fileOf(s, FALSE, &ours);
    if (f == INVALID_HANDLE_VALUE) return NULL;
    *size = GetFileSize(f, NULL);
    BYTE *b = calloc(1, *size + 16);
    SetFilePointer(f, 0, NULL, FILE_BEGIN);
    if (!ReadFile(f, b, *size, &n, NULL) || n != *size) {
        free(b);
        b = NULL;
    }
    if (ours) CloseHandle(f);
    return b;
}

static BOOL replaceContent(const SIP_SUBJECTINFO *s, const Der *with)
{
    BOOL ours;
    DWORD n;
    HANDLE f = fileOf(s, TRUE, &ours);
    if (f == INVALID_HANDLE_VALUE) return FALSE;
    SetFilePointer(f, 0, NULL, FILE_BEGIN);
    BOOL ok = WriteFile(f, with->data, with->size, &n, NULL) && n == with->size && SetEndOfFile(f);
    if (ours) CloseHandle(f);
    return ok;
}

/* ---- the five functions of a package, named in the registry ---- */
BOOL WINAPI SIPGet(SIP_SUBJECTINFO *s, DWORD *enc, DWORD index, DWORD *size, BYTE *out)
{
    const Package *p = packageOf(s);
    DWORD n, room = *size;
    BYTE *file;
    Der signature = {0};
    if (!p || !(file = contentOf(s, &n))) return FALSE;
    BOOL ok = !index && p->get(file, n, &signature) ? TRUE : failed((DWORD)TRUST_E_NOSIGNATURE);
    if (ok) {
        *enc = X509_ASN_ENCODING | PKCS_7_ASN_ENCODING;
        *size = signature.size;
        if (out && room < signature.size) ok = failed(ERROR_INSUFFICIENT_BUFFER);
        else if (out) memcpy(out, signature.data, signature.size);
    }
    derFree(&signature);
    free(file);
    return ok;
}

static BOOL change(SIP_SUBJECTINFO *s, const BYTE *signature, DWORD size)
{
    const Package *p = packageOf(s);
    DWORD n;
    BYTE *file;
    Der out = {0};
    if (!p || !(file = contentOf(s, &n))) return FALSE;
    BOOL ok = p->put(file, n, signature, size, &out) && replaceContent(s, &out);
    derFree(&out);
    free(file);
    return ok;
}

BOOL WINAPI SIPPut(SIP_SUBJECTINFO *s, DWORD enc, DWORD *index, DWORD size, BYTE *signature)
{
    *index = 0;
    return change(s, signature, size);
}

BOOL WINAPI SIPRemove(SIP_SUBJECTINFO *s, DWORD index) { return change(s, NULL, 0); }

BOOL WINAPI SIPCreate(SIP_SUBJECTINFO *s, DWORD *size, SIP_INDIRECT_DATA *out)
{
    const Package *p = packageOf(s);
    const DigestAlgorithm *algorithm = digestByOID(s->DigestAlgorithm.pszObjId);
    const char *type;
    BYTE digest[64], *file;
    DWORD n, room = *size;
    Der value = {0};
    if (!p) return FALSE;
    if (!algorithm) return failed((DWORD)NTE_BAD_ALGID);
    if (!(file = contentOf(s, &n))) return FALSE;
    BOOL ok = p->data(s, file, n, algorithm, &type, &value, digest);
    if (ok) {
        DWORD typeSize = (DWORD)strlen(type) + 1, oidSize = (DWORD)strlen(algorithm->oid) + 1;
        *size = sizeof *out + value.size + algorithm->size + typeSize + oidSize;
        if (out && room < *size) ok = failed(ERROR_INSUFFICIENT_BUFFER);
        else if (out) { /* the strings and blobs follow the structure in the caller's buffer */
            BYTE *next = (BYTE *)(out + 1);
            memset(out, 0, sizeof *out);
            out->Data.Value.cbData = value.size;
            out->Data.Value.pbData = memcpy(next, value.data, value.size);
            out->Digest.cbData = algorithm->size;
            out->Digest.pbData = memcpy(next += value.size, digest, algorithm->size);
            out->Data.pszObjId = memcpy(next += algorithm->size, type, typeSize);
            out->DigestAlgorithm.pszObjId = memcpy(next + typeSize, algorithm->oid, oidSize);
        }
    }
    derFree(&value);
    free(file);
    return ok;
}

BOOL WINAPI SIPVerify(SIP_SUBJECTINFO *s, SIP_INDIRECT_DATA *claimed)
{
    const Package *p = packageOf(s);
    const DigestAlgorithm *algorithm = claimed ? digestByOID(claimed->DigestAlgorithm.pszObjId) : NULL;
    const char *type;
    BYTE digest[64], *file;
    DWORD n;
    Der value = {0};
    if (!p) return FALSE;
    if (!algorithm) return failed((DWORD)NTE_BAD_ALGID);
    if (!(file = contentOf(s, &n))) return FALSE;
    BOOL ok = p->data(s, file, n, algorithm, &type, &value, digest);
    if (ok && (claimed->Digest.cbData != algorithm->size || memcmp(claimed->Digest.pbData, digest, algorithm->size))) ok = failed((DWORD)TRUST_E_BAD_DIGEST);
    derFree(&value);
    free(file);
    return ok;
}

/* ---- the proxy for crypt32.dll asks for the kind of a file ---- */
BOOL WINAPI SIPIsMyFile(LPCWSTR name, GUID *type)
{
    SIP_SUBJECTINFO s = {.pwsFileName = name};
    DWORD n;
    HANDLE f = CreateFileW(name, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);
    s.hFile = f;
    BYTE *file = f == INVALID_HANDLE_VALUE ? NULL : contentOf(&s, &n);
    if (f != INVALID_HANDLE_VALUE) CloseHandle(f);
    if (!file) return FALSE;
    BOOL found = FALSE;
    for (size_t i = 0; i < PACKAGES && !found; i++)
        if (packages[i]->mine(name, file, n)) {
            *type = packages[i]->type;
            found = TRUE;
        }
    free(file);
    return found;
}
