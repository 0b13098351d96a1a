/* sip_cab.c: cabinets ("Microsoft Cabinet Format"). The header gets a reserved area of 20 bytes that says where behind the
 * cabinet the signature stands; the digest covers the cabinet with that area's place, but not what changes with the signature:
 * reserved1, iCabinet, the sizes of the reserved areas, and the area's first 16 bytes. */
#include "sip.h"
#include <string.h>

enum { TOTAL = 8, FILES = 16, FOLDERS = 26, FLAGS = 30, RESERVE = 36, AREA = 40, SIGNATURE_AT = 44, SIGNATURE_SIZE = 48, BEHIND = 60 };
#define HAS_RESERVE 4

static BOOL mine(LPCWSTR name, const BYTE *file, DWORD size) { return size > RESERVE && !memcmp(file, "MSCF", 4); }

static BOOL isSigned(const BYTE *file, DWORD size)
{
    return size > BEHIND && (le16(file + FLAGS) & HAS_RESERVE) && le16(file + RESERVE) == 20 && le32(file + SIGNATURE_AT) < size &&
           le32(file + SIGNATURE_SIZE) <= size - le32(file + SIGNATURE_AT);
}

/* prepared is the cabinet with the area, without a signature. */
static BOOL prepared(const BYTE *file, DWORD size, Der *out)
{
    static const BYTE area[24] = {20, 0, 0, 0, 0, 0, 0x10, 0};
    if (!mine(NULL, file, size)) return failed(ERROR_INVALID_DATA);
    if (isSigned(file, size)) { /* or made with room for a signature */
        derAdd(out, file, le32(file + SIGNATURE_AT) ? le32(file + SIGNATURE_AT) : size);
        put32(out->data + SIGNATURE_AT, 0);
        put32(out->data + SIGNATURE_SIZE, 0);
        return TRUE;
    }
    if (le16(file + FLAGS) & 7) return failed(ERROR_NOT_SUPPORTED); /* a reserved area of another kind, or a part of a set */
    derAdd(out, file, RESERVE);
    derAdd(out, area, sizeof area);
    derAdd(out, file + RESERVE, size - RESERVE);
    BYTE *b = out->data;
    put32(b + TOTAL, le32(b + TOTAL) + sizeof area);
    put32(b + FILES, le32(b + FILES) + sizeof area);
    b[FLAGS] |= HAS_RESERVE;
    BYTE *folder = b + BEHIND;
    for (WORD i = 0; i < le16(b + FOLDERS); i++, folder += 8) put32(folder, le32(folder) + sizeof area);
    return TRUE;
}

static BOOL data(const SIP_SUBJECTINFO *s, const BYTE *file, DWORD size, const DigestAlgorithm *algorithm, const char **type, Der *value, BYTE digest[64])
{
    Digest d;
    Der cab = {0};
    if (!prepared(file, size, &cab)) return FALSE;
    digestBegin(&d, algorithm);
    digestAdd(&d, cab.data, 4);                /* "MSCF" */
    digestAdd(&d, cab.data + TOTAL, 34 - TOTAL); /* up to setID */
    digestAdd(&d, cab.data + AREA + 16, cab.size - (AREA + 16));
    digestEnd(&d, digest);
    derFree(&cab);
    *type = "1.3.6.1.4.1.311.2.1.25";
    obsoleteLink(value);
    return TRUE;
}

static BOOL get(const BYTE *file, DWORD size, Der *signature)
{
    if (!isSigned(file, size) || !le32(file + SIGNATURE_SIZE)) return FALSE;
    Cursor in = derCursor(file + le32(file + SIGNATURE_AT), le32(file + SIGNATURE_SIZE));
    Element e;
    if (!derRead(&in, &e)) return FALSE;
    derAdd(signature, e.whole, e.wholeSize);
    return TRUE;
}

static BOOL put(const BYTE *file, DWORD size, const BYTE *signature, DWORD signatureSize, Der *out)
{
    if (!prepared(file, size, out)) return FALSE;
    if (!signature) return TRUE;
    DWORD padded = (signatureSize + 7) & ~7u;
    put32(out->data + SIGNATURE_AT, out->size);
    put32(out->data + SIGNATURE_SIZE, padded);
    derAdd(out, signature, signatureSize);
    derAdd(out, "\0\0\0\0\0\0\0", padded - signatureSize);
    return TRUE;
}

const Package cabPackage = {{0xC689AABA, 0x8E78, 0x11D0, {0x8C, 0x47, 0x00, 0xC0, 0x4F, 0xC2, 0x95, 0xEE}}, mine, data, get, put};
