/* sip_pe.c: programs and libraries, by "Windows Authenticode Portable Executable Signature Format". The signature is the
 * certificate table at the file's end; the digest covers all but the checksum, the table's entry in the header, and the table.
 * With SPC_INC_PE_PAGE_HASHES_FLAG, or after SIPSetPageHashes (signtool's /ph), the digests of the pages go into the
 * signature, too. */
#include "sip.h"
#include <string.h>

#define PAGE_HASHES 0x100 /* SPC_INC_PE_PAGE_HASHES_FLAG */

static BOOL pageHashesByDefault;
void WINAPI SIPSetPageHashes(BOOL include) { pageHashesByDefault = include; }

typedef struct {
    const BYTE *checksum, *entry; /* fields in the file */
    DWORD table, tableSize;       /* offset and size of the certificate table; 0 without one */
    DWORD page, headers;          /* SectionAlignment and SizeOfHeaders */
    const IMAGE_SECTION_HEADER *sections;
    WORD sectionCount;
} Layout;

static BOOL layout(const BYTE *file, DWORD size, Layout *l)
{
    if (size < 0x40 || le16(file) != IMAGE_DOS_SIGNATURE) return FALSE;
    DWORD at = le32(file + 0x3c);
    if (at > size || size - at < sizeof(IMAGE_NT_HEADERS64)) return FALSE;
    const IMAGE_NT_HEADERS64 *nt = (const void *)(file + at);
    if (nt->Signature != IMAGE_NT_SIGNATURE) return FALSE;
    const IMAGE_DATA_DIRECTORY *entry = nt->OptionalHeader.Magic == IMAGE_NT_OPTIONAL_HDR64_MAGIC
        ? &nt->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_SECURITY]
        : &((const IMAGE_NT_HEADERS32 *)nt)->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_SECURITY];
    *l = (Layout){(const BYTE *)&nt->OptionalHeader.CheckSum, (const BYTE *)entry, entry->VirtualAddress, entry->Size,
                  nt->OptionalHeader.SectionAlignment, nt->OptionalHeader.SizeOfHeaders,
                  IMAGE_FIRST_SECTION(nt), nt->FileHeader.NumberOfSections};
    return !l->table || (l->table < size && l->tableSize <= size - l->table);
}

static BOOL mine(LPCWSTR name, const BYTE *file, DWORD size)
{
    Layout l;
    return layout(file, size, &l);
}

/* hashed adds the file from its beginning up to end, without checksum and entry. */
static void hashed(Digest *d, const Layout *l, const BYTE *file, DWORD end)
{
    digestAdd(d, file, l->checksum - file);
    digestAdd(d, l->checksum + 4, l->entry - (l->checksum + 4));
    digestAdd(d, l->entry + 8, file + end - (l->entry + 8));
}

static const BYTE zeros[0x10000];

/* pageHashes are pairs of a page's offset in the file and its digest; the last one is the end, with zeros. */
static BOOL pageHashes(const Layout *l, const BYTE *file, DWORD size, const DigestAlgorithm *algorithm, Der *out)
{
    BYTE offset[4], digest[64];
    Digest d;
    DWORD last = 0;
    if (l->page > sizeof zeros || l->headers > l->page) return FALSE;
    digestBegin(&d, algorithm);
    hashed(&d, l, file, l->headers);
    digestAdd(&d, zeros, l->page - l->headers);
    digestEnd(&d, digest);
    derAdd(out, zeros, 4);
    derAdd(out, digest, algorithm->size);
    for (WORD i = 0; i < l->sectionCount; i++) {
        DWORD start = l->sections[i].PointerToRawData, length = l->sections[i].SizeOfRawData;
        if (!length) continue;
        if (start > size || length > size - start) return FALSE;
        for (DWORD at = 0; at < length; at += l->page) {
            DWORD n = min(length - at, l->page);
            digestBegin(&d, algorithm);
            digestAdd(&d, file + start + at, n);
            digestAdd(&d, zeros, l->page - n);
            digestEnd(&d, digest);
            put32(offset, start + at);
            derAdd(out, offset, 4);
            derAdd(out, digest, algorithm->size);
        }
        last = start + length;
    }
    put32(offset, last);
    derAdd(out, offset, 4);
    derAdd(out, zeros, algorithm->size);
    return TRUE;
}

/* pageLink is SpcLink with a serialized object: SET { SEQUENCE { page hashes' OID, SET { OCTET STRING } } } */
static void pageLink(const Der *hashes, const DigestAlgorithm *algorithm, Der *out)
{
    static const BYTE class[16] = {0xa6, 0xb5, 0x86, 0xd5, 0xb4, 0xa1, 0x24, 0x66, 0xae, 0x05, 0xa2, 0x17, 0xda, 0x8e, 0x60, 0xd6};
    Der a = {0}, b = {0};
    derTLV(&a, DER_OCTETS, hashes->data, hashes->size);
    derMove(&b, DER_SET, &a);
    derOID(&a, algorithm->size == 20 ? "1.3.6.1.4.1.311.2.3.1" : "1.3.6.1.4.1.311.2.3.2");
    derAdd(&a, b.data, b.size);
    derFree(&b);
    derMove(&b, DER_SEQUENCE, &a);
    derMove(&a, DER_SET, &b);
    derTLV(&b, DER_OCTETS, class, sizeof class);
    derMove(&b, DER_OCTETS, &a);
    derMove(out, DER_1, &b);
}

static BOOL data(const SIP_SUBJECTINFO *s, const BYTE *file, DWORD size, const DigestAlgorithm *algorithm, const char **type, Der *value, BYTE digest[64])
{
    Layout l;
    Digest d;
    Der link = {0}, body = {0};
    if (!layout(file, size, &l)) return failed(ERROR_BAD_EXE_FORMAT);
    digestBegin(&d, algorithm);
    hashed(&d, &l, file, l.table ? l.table : (size + 7) & ~7u); /* the buffer has zeros behind the file */
    digestEnd(&d, digest);
    *type = "1.3.6.1.4.1.311.2.1.15";
    if (pageHashesByDefault || (s->dwFlags & PAGE_HASHES)) {
        Der hashes = {0};
        if (!pageHashes(&l, file, size, algorithm, &hashes)) return failed(ERROR_BAD_EXE_FORMAT);
        pageLink(&hashes, algorithm, &link);
        derFree(&hashes);
    } else {
        obsoleteLink(&link);
    }
    derTLV(&body, DER_BITS, zeros, 1); /* SpcPeImageFlags: none */
    derMove(&body, DER_0, &link);
    derMove(value, DER_SEQUENCE, &body);
    return TRUE;
}

static BOOL get(const BYTE *file, DWORD size, Der *signature)
{
    Layout l;
    if (!layout(file, size, &l) || !l.table || l.tableSize < 8) return FALSE;
    Cursor in = derCursor(file + l.table + 8, l.tableSize - 8); /* WIN_CERTIFICATE */
    Element e;
    if (!derRead(&in, &e)) return FALSE; /* zeros may follow */
    derAdd(signature, e.whole, e.wholeSize);
    return TRUE;
}

/* checksum is that of the PE header: the sum of all 16-bit words, with the carries, and the length. */
static DWORD checksum(const BYTE *file, DWORD size)
{
    DWORD sum = 0;
    for (DWORD i = 0; i < size; i += 2) {
        sum += file[i] | (i + 1 < size ? file[i + 1] << 8 : 0);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum + size;
}

static BOOL put(const BYTE *file, DWORD size, const BYTE *signature, DWORD signatureSize, Der *out)
{
    Layout l;
    if (!layout(file, size, &l)) return failed(ERROR_BAD_EXE_FORMAT);
    DWORD end = l.table ? l.table : size, start = (end + 7) & ~7u, length = signature ? (8 + signatureSize + 7) & ~7u : 0;
    derAdd(out, file, end);
    if (signature) {
        derAdd(out, zeros, start - end);
        BYTE head[8] = {[4] = 0x00, 0x02 /* WIN_CERT_REVISION_2_0 */, 0x02, 0x00 /* WIN_CERT_TYPE_PKCS_SIGNED_DATA */};
        put32(head, length);
        derAdd(out, head, sizeof head);
        derAdd(out, signature, signatureSize);
        derAdd(out, zeros, length - 8 - signatureSize);
    }
    put32(out->data + (l.entry - file), signature ? start : 0);
    put32(out->data + (l.entry - file) + 4, length);
    put32(out->data + (l.checksum - file), 0);
    put32(out->data + (l.checksum - file), checksum(out->data, out->size));
    return TRUE;
}

const Package pePackage = {{0xC689AAB8, 0x8E78, 0x11D0, {0x8C, 0x47, 0x00, 0xC0, 0x4F, 0xC2, 0x95, 0xEE}}, mine, data, get, put};
