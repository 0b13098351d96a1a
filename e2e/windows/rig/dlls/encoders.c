/* encoders.c: structures that CryptEncodeObject must know and Wine's does not, or gets wrong. They are registered under
 * CryptDllEncodeObject. */
#include "sip.h"
#include <string.h>
#include <wintrust.h>

static BOOL give(Der *der, BYTE *out, DWORD *size)
{
    DWORD room = *size;
    BOOL ok = TRUE;
    *size = der->size;
    if (out && room < der->size) ok = failed(ERROR_MORE_DATA);
    else if (out) memcpy(out, der->data, der->size);
    derFree(der);
    return ok;
}

/* SpcIndirectDataContent ::= SEQUENCE { data SEQUENCE { type, value }, messageDigest SEQUENCE { algorithm, digest } } */
BOOL WINAPI EncodeIndirectData(DWORD enc, LPCSTR type, const void *value, BYTE *out, DWORD *size)
{
    const SIP_INDIRECT_DATA *d = value;
    Der content = {0}, part = {0}, all = {0};
    derOID(&part, d->Data.pszObjId);
    derAdd(&part, d->Data.Value.pbData, d->Data.Value.cbData);
    derMove(&content, DER_SEQUENCE, &part);
    derAlgorithm(&part, d->DigestAlgorithm.pszObjId, TRUE);
    derTLV(&part, DER_OCTETS, d->Digest.pbData, d->Digest.cbData);
    derMove(&content, DER_SEQUENCE, &part);
    derMove(&all, DER_SEQUENCE, &content);
    return give(&all, out, size);
}

/* SpcStatementType ::= SEQUENCE OF OBJECT IDENTIFIER */
BOOL WINAPI EncodeStatementType(DWORD enc, LPCSTR type, const void *value, BYTE *out, DWORD *size)
{
    const struct {
        DWORD count;
        LPSTR *oids;
    } *statement = value;
    Der content = {0}, all = {0};
    for (DWORD i = 0; i < statement->count; i++) derOID(&content, statement->oids[i]);
    derMove(&all, DER_SEQUENCE, &content);
    return give(&all, out, size);
}

/* TimeStampRequest ::= SEQUENCE { countersignatureType, attributes [0] OPTIONAL, content ContentInfo }: what a time stamp
 * of Authenticode's old form (signtool's /t) asks for */
BOOL WINAPI EncodeTimeRequest(DWORD enc, LPCSTR type, const void *value, BYTE *out, DWORD *size)
{
    const CRYPT_TIME_STAMP_REQUEST_INFO *r = value;
    Der content = {0}, info = {0}, octets = {0}, all = {0};
    derOID(&content, r->pszTimeStampAlgorithm);
    derOID(&info, r->pszContentType);
    derTLV(&octets, DER_OCTETS, r->Content.pbData, r->Content.cbData);
    derMove(&info, DER_0, &octets);
    derMove(&content, DER_SEQUENCE, &info);
    derMove(&all, DER_SEQUENCE, &content);
    return give(&all, out, size);
}
