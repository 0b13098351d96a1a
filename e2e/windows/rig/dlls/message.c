/* message.c: signed messages (CMS SignedData, RFC 5652; PKCS #7, RFC 2315 for contents other than data). Wine writes them
 * with CryptoAPI keys only, calls every signature RSA, and cannot change one that was read, as a time stamp does.
 *
 * A message to encode is written here, whole, at its last CryptMsgUpdate. A message to decode stays Wine's; its bytes are
 * kept, so that attributes and certificates can be added to them. Callers get a handle of Wine's in both cases, so functions
 * that are not here can be given it as well. */
#include "der.h"
#include "digest.h"
#include "proxy.h"
#include <stdlib.h>
#include <string.h>

#define OID_CONTENT_TYPE "1.2.840.113549.1.9.3"
#define OID_MESSAGE_DIGEST "1.2.840.113549.1.9.4"
#define OID_SIGNED_DATA "1.2.840.113549.1.7.2"
#define ENCRYPTED_DIGEST 27 /* CMSG_ENCRYPTED_DIGEST */
#define MAX_SIGNERS 8

typedef struct {
    HCRYPTPROV_OR_NCRYPT_KEY_HANDLE key;
    DWORD spec;
    const DigestAlgorithm *digest;
    BOOL ec;
    Der id;                                 /* IssuerAndSerialNumber */
    Der signedAttrs[16], unsignedAttrs[16]; /* each an Attribute */
    DWORD signedCount, unsignedCount;
} Signer;

typedef struct Message {
    struct Message *next;
    HCRYPTMSG handle; /* what the caller has: a message of Wine's */
    HCRYPTMSG inner;  /* decoding: Wine's message over the bytes as they are now; may be the handle */
    BOOL encoding, detached;
    char *oid; /* of the content */
    Signer signers[MAX_SIGNERS];
    DWORD signerCount;
    Der certificates, crls;
    Der bytes; /* encoding: the content and then the ContentInfo; decoding: the ContentInfo */
    Der signature; /* encoding: of the first signer */
} Message;

static Message *messages;

static Message *find(HCRYPTMSG handle)
{
    Message *m = messages;
    while (m && m->handle != handle) m = m->next;
    return m;
}

static Message *keep(HCRYPTMSG handle, BOOL encoding)
{
    Message *m = calloc(1, sizeof *m);
    m->handle = m->inner = handle;
    m->encoding = encoding;
    m->next = messages;
    return messages = m;
}

static void drop(Message *m)
{
    Message **p = &messages;
    while (*p != m) p = &(*p)->next;
    *p = m->next;
    for (DWORD i = 0; i < m->signerCount; i++) {
        Signer *s = &m->signers[i];
        derFree(&s->id);
        for (DWORD a = 0; a < s->signedCount; a++) derFree(&s->signedAttrs[a]);
        for (DWORD a = 0; a < s->unsignedCount; a++) derFree(&s->unsignedAttrs[a]);
    }
    derFree(&m->certificates);
    derFree(&m->crls);
    derFree(&m->bytes);
    derFree(&m->signature);
    free(m->oid);
    free(m);
}

/* ---- encoding ---- */
static void attribute(Der *out, const char *oid, const CRYPT_ATTR_BLOB *values, DWORD count)
{
    Der body = {0}, set = {0};
    derOID(&body, oid);
    for (DWORD i = 0; i < count; i++) derAdd(&set, values[i].pbData, values[i].cbData);
    derMove(&body, DER_SET, &set);
    derMove(out, DER_SEQUENCE, &body);
}

static BOOL addSigner(Message *m, const CMSG_SIGNER_ENCODE_INFO *given)
{
    CMSG_SIGNER_ENCODE_INFO in = {0};
    memcpy(&in, given, min(given->cbSize, sizeof in)); /* older callers have a shorter structure */
    Signer *s = &m->signers[m->signerCount++];
    Der serial = {0}, id = {0};
    s->key = in.hCryptProv;
    s->spec = in.dwKeySpec ? in.dwKeySpec : AT_SIGNATURE;
    s->digest = digestByOID(in.HashAlgorithm.pszObjId);
    s->ec = !strcmp(in.pCertInfo->SubjectPublicKeyInfo.Algorithm.pszObjId, OID_EC);
    if (!s->digest) return fails((DWORD)CRYPT_E_UNKNOWN_ALGO);
    if (in.cAuthAttr > 14 || in.cUnauthAttr > 16) return fails((DWORD)E_INVALIDARG);
    derAdd(&id, in.pCertInfo->Issuer.pbData, in.pCertInfo->Issuer.cbData);
    for (DWORD i = in.pCertInfo->SerialNumber.cbData; i--;) derAdd(&serial, &in.pCertInfo->SerialNumber.pbData[i], 1); /* little-endian there */
    derMove(&id, DER_INTEGER, &serial);
    derMove(&s->id, DER_SEQUENCE, &id);
    for (DWORD i = 0; i < in.cAuthAttr; i++) attribute(&s->signedAttrs[s->signedCount++], in.rgAuthAttr[i].pszObjId, in.rgAuthAttr[i].rgValue, in.rgAuthAttr[i].cValue);
    for (DWORD i = 0; i < in.cUnauthAttr; i++) attribute(&s->unsignedAttrs[s->unsignedCount++], in.rgUnauthAttr[i].pszObjId, in.rgUnauthAttr[i].rgValue, in.rgUnauthAttr[i].cValue);
    return TRUE;
}

HCRYPTMSG WINAPI CryptMsgOpenToEncode(DWORD enc, DWORD flags, DWORD type, const void *info, LPSTR oid, PCMSG_STREAM_INFO stream)
{
    const CMSG_SIGNED_ENCODE_INFO *in = info;
    if (type != CMSG_SIGNED || stream || in->cSigners > MAX_SIGNERS) return WINE(CryptMsgOpenToEncode)(enc, flags, type, info, oid, stream);
    HCRYPTMSG handle = WINE(CryptMsgOpenToEncode)(enc, 0, CMSG_DATA, NULL, NULL, NULL);
    if (!handle) return NULL;
    Message *m = keep(handle, TRUE);
    m->detached = (flags & CMSG_DETACHED_FLAG) != 0;
    m->oid = strdup(oid ? oid : szOID_RSA_data);
    const BYTE *signer = (const BYTE *)in->rgSigners;
    for (DWORD i = 0; i < in->cSigners; i++, signer += ((const CMSG_SIGNER_ENCODE_INFO *)signer)->cbSize)
        if (!addSigner(m, (const void *)signer)) {
            DWORD e = GetLastError();
            CryptMsgClose(handle);
            SetLastError(e);
            return NULL;
        }
    for (DWORD i = 0; i < in->cCertEncoded; i++) derAdd(&m->certificates, in->rgCertEncoded[i].pbData, in->rgCertEncoded[i].cbData);
    for (DWORD i = 0; i < in->cCrlEncoded; i++) derAdd(&m->crls, in->rgCrlEncoded[i].pbData, in->rgCrlEncoded[i].cbData);
    return handle;
}

static void reverse(BYTE *b, DWORD n)
{
    for (DWORD i = 0; i < n / 2; i++) {
        BYTE x = b[i];
        b[i] = b[n - 1 - i];
        b[n - 1 - i] = x;
    }
}

/* signCNG signs with a key of a key storage provider: the size is asked for first, as Windows does. */
static BOOL signCNG(const Signer *s, BYTE *digest, Der *out)
{
    BCRYPT_PKCS1_PADDING_INFO padding = {s->digest->name};
    void *info = s->ec ? NULL : &padding;
    DWORD flags = s->ec ? 0 : BCRYPT_PAD_PKCS1, n = 0;
    SECURITY_STATUS status = NCRYPT(NCryptSignHash)(s->key, info, digest, s->digest->size, NULL, 0, &n, flags);
    if (status) return fails((DWORD)status);
    BYTE *b = malloc(n);
    status = NCRYPT(NCryptSignHash)(s->key, info, digest, s->digest->size, b, n, &n, flags);
    if (!status && s->ec) { /* r‖s becomes Ecdsa-Sig-Value, RFC 3279 section 2.2.3 */
        Der numbers = {0};
        derUnsigned(&numbers, b, n / 2);
        derUnsigned(&numbers, b + n / 2, n / 2);
        derMove(out, DER_SEQUENCE, &numbers);
    } else if (!status) {
        derAdd(out, b, n);
    }
    free(b);
    return status ? fails((DWORD)status) : TRUE;
}

/* signCAPI signs with a cryptographic service provider, which computes the digest too, as with Windows' crypt32. */
static BOOL signCAPI(const Signer *s, const void *data, DWORD size, Der *out)
{
    HCRYPTHASH hash;
    DWORD n = 0;
    if (!CryptCreateHash(s->key, s->digest->id, 0, 0, &hash)) return FALSE;
    BYTE *b = NULL;
    BOOL ok = CryptHashData(hash, data, size, 0) && CryptSignHashW(hash, s->spec, NULL, 0, NULL, &n) && (b = malloc(n)) && CryptSignHashW(hash, s->spec, NULL, 0, b, &n);
    DWORD e = GetLastError();
    CryptDestroyHash(hash);
    if (ok) {
        reverse(b, n); /* CryptoAPI's signatures are little-endian */
        derAdd(out, b, n);
    }
    free(b);
    SetLastError(e);
    return ok;
}

static BOOL sign(const Signer *s, const void *data, DWORD size, Der *out)
{
    BYTE digest[64];
    if (!isNcryptKey(s->key)) return !s->ec ? signCAPI(s, data, size, out) : fails((DWORD)NTE_BAD_ALGID);
    digestOf(s->digest, data, size, digest);
    return signCNG(s, digest, out);
}

/* signerInfo writes one SignerInfo over the content. */
static BOOL signerInfo(Message *m, Signer *s, Cursor content, BOOL data, Der *out)
{
    Der body = {0}, signature = {0}, set = {0};
    BOOL ok;
    derSmall(&body, 1);
    derAdd(&body, s->id.data, s->id.size);
    derAlgorithm(&body, s->digest->oid, TRUE);
    if (s->signedCount || !data) {
        BYTE digest[64];
        Der value = {0};
        digestOf(s->digest, content.at, DER_SIZE(content), digest);
        derOID(&value, m->oid);
        attribute(&s->signedAttrs[s->signedCount++], OID_CONTENT_TYPE, &(CRYPT_ATTR_BLOB){value.size, value.data}, 1);
        derFree(&value);
        derTLV(&value, DER_OCTETS, digest, s->digest->size);
        attribute(&s->signedAttrs[s->signedCount++], OID_MESSAGE_DIGEST, &(CRYPT_ATTR_BLOB){value.size, value.data}, 1);
        derFree(&value);
        derSetOf(&set, DER_SET, s->signedAttrs, s->signedCount);
        s->signedCount = 0;
        ok = sign(s, set.data, set.size, &signature); /* as SET OF, RFC 5652 section 5.4 */
        set.data[0] = DER_0;
        derAdd(&body, set.data, set.size);
        derFree(&set);
    } else {
        ok = sign(s, content.at, DER_SIZE(content), &signature);
    }
    DWORD e = GetLastError();
    derAlgorithm(&body, s->ec ? s->digest->ecdsa : OID_RSA, !s->ec);
    derTLV(&body, DER_OCTETS, signature.data, signature.size);
    if (s->unsignedCount) {
        derSetOf(&body, DER_1, s->unsignedAttrs, s->unsignedCount);
        s->unsignedCount = 0;
    }
    if (!m->signature.size) derAdd(&m->signature, signature.data, signature.size);
    derFree(&signature);
    derMove(out, DER_SEQUENCE, &body);
    SetLastError(e);
    return ok;
}

/* finish turns the content in bytes into the signed message. */
static BOOL finish(Message *m)
{
    BOOL data = !strcmp(m->oid, szOID_RSA_data), ok = TRUE;
    Der body = {0}, part = {0}, digests[MAX_SIGNERS] = {{0}}, infos[MAX_SIGNERS] = {{0}};
    Cursor content = derCursor(m->bytes.data, m->bytes.size);
    Element whole;
    if (!data) { /* the digest is over the value of the content, RFC 2315 section 9.3 */
        if (!derRead(&content, &whole)) return fails((DWORD)CRYPT_E_ASN1_BADTAG);
        content = whole.content;
    }
    derSmall(&body, 1);
    DWORD kinds = 0;
    for (DWORD i = 0; i < m->signerCount; i++) {
        Der algorithm = {0};
        derAlgorithm(&algorithm, m->signers[i].digest->oid, TRUE);
        BOOL there = FALSE;
        for (DWORD k = 0; k < kinds; k++) there |= digests[k].size == algorithm.size && !memcmp(digests[k].data, algorithm.data, algorithm.size);
        if (there) derFree(&algorithm);
        else digests[kinds++] = algorithm;
        if (ok) ok = signerInfo(m, &m->signers[i], content, data, &infos[i]);
    }
    DWORD e = GetLastError();
    derSetOf(&body, DER_SET, digests, kinds);
    derOID(&part, m->oid);
    if (!m->detached) {
        Der inside = {0};
        if (data) derTLV(&inside, DER_OCTETS, m->bytes.data, m->bytes.size);
        else derAdd(&inside, m->bytes.data, m->bytes.size);
        derMove(&part, DER_0, &inside);
    }
    derMove(&body, DER_SEQUENCE, &part);
    if (m->certificates.size) derTLV(&body, DER_0, m->certificates.data, m->certificates.size);
    if (m->crls.size) derTLV(&body, DER_1, m->crls.data, m->crls.size);
    derSetOf(&body, DER_SET, infos, m->signerCount);
    derMove(&part, DER_SEQUENCE, &body);
    derOID(&body, OID_SIGNED_DATA);
    derMove(&body, DER_0, &part);
    derFree(&m->bytes);
    derMove(&m->bytes, DER_SEQUENCE, &body);
    SetLastError(e);
    return ok;
}

/* ---- decoding ---- */
HCRYPTMSG WINAPI CryptMsgOpenToDecode(DWORD enc, DWORD flags, DWORD type, HCRYPTPROV_LEGACY prov, PCERT_INFO recipient, PCMSG_STREAM_INFO stream)
{
    HCRYPTMSG handle = WINE(CryptMsgOpenToDecode)(enc, flags, type, prov, recipient, stream);
    if (handle && !stream) keep(handle, FALSE);
    return handle;
}

static void retag(Der *out, BYTE tag, Cursor content, const void *more, DWORD moreSize)
{
    Der body = {0};
    derAdd(&body, content.at, DER_SIZE(content));
    derAdd(&body, more, moreSize);
    derMove(out, tag, &body);
}

/* withAttribute writes a SignerInfo with one more unsigned attribute. */
static BOOL withAttribute(const Element *info, const CRYPT_DATA_BLOB *attr, Der *out)
{
    Cursor in = info->content;
    Element e;
    Der body = {0};
    BOOL added = FALSE;
    while (in.at < in.end) {
        if (!derRead(&in, &e)) return FALSE;
        if (e.tag == DER_1) {
            retag(&body, DER_1, e.content, attr->pbData, attr->cbData);
            added = TRUE;
        } else {
            derAdd(&body, e.whole, e.wholeSize);
        }
    }
    if (!added) derTLV(&body, DER_1, attr->pbData, attr->cbData);
    derMove(out, DER_SEQUENCE, &body);
    return TRUE;
}

/* rebuild writes the message with one more certificate, or with one more unsigned attribute of a signer. */
static BOOL rebuild(Message *m, const CRYPT_DATA_BLOB *certificate, const CRYPT_DATA_BLOB *attr, DWORD signer)
{
    Cursor in = derCursor(m->bytes.data, m->bytes.size);
    Element info, type, explicit, data, version, digests, content, certs = {0}, crls = {0}, signers, e;
    if (!derExpect(&in, DER_SEQUENCE, &info) || !derExpect(&info.content, DER_OID, &type) || !derExpect(&info.content, DER_0, &explicit) ||
        !derExpect(&explicit.content, DER_SEQUENCE, &data) || !derExpect(&data.content, DER_INTEGER, &version) ||
        !derExpect(&data.content, DER_SET, &digests) || !derExpect(&data.content, DER_SEQUENCE, &content))
        return fails((DWORD)CRYPT_E_ASN1_BADTAG);
    derOptional(&data.content, DER_0, &certs);
    derOptional(&data.content, DER_1, &crls);
    if (!derExpect(&data.content, DER_SET, &signers)) return fails((DWORD)CRYPT_E_ASN1_BADTAG);

    Der body = {0}, infos = {0}, part = {0};
    derAdd(&body, version.whole, version.wholeSize);
    derAdd(&body, digests.whole, digests.wholeSize);
    derAdd(&body, content.whole, content.wholeSize);
    if (certs.whole || certificate) retag(&body, DER_0, certs.content, certificate ? certificate->pbData : NULL, certificate ? certificate->cbData : 0);
    if (crls.whole) derAdd(&body, crls.whole, crls.wholeSize);
    for (DWORD i = 0; signers.content.at < signers.content.end; i++) {
        if (!derRead(&signers.content, &e)) return fails((DWORD)CRYPT_E_ASN1_BADTAG);
        if (!attr || i != signer) derAdd(&infos, e.whole, e.wholeSize);
        else if (!withAttribute(&e, attr, &infos)) return fails((DWORD)CRYPT_E_ASN1_BADTAG);
    }
    derMove(&body, DER_SET, &infos);
    derMove(&part, DER_SEQUENCE, &body);
    derAdd(&body, type.whole, type.wholeSize);
    derMove(&body, DER_0, &part);
    derFree(&m->bytes);
    derMove(&m->bytes, DER_SEQUENCE, &body);

    HCRYPTMSG fresh = WINE(CryptMsgOpenToDecode)(X509_ASN_ENCODING | PKCS_7_ASN_ENCODING, 0, 0, 0, NULL, NULL);
    if (!WINE(CryptMsgUpdate)(fresh, m->bytes.data, m->bytes.size, TRUE)) return FALSE;
    if (m->inner != m->handle) WINE(CryptMsgClose)(m->inner);
    m->inner = fresh;
    return TRUE;
}

BOOL WINAPI CryptMsgControl(HCRYPTMSG handle, DWORD flags, DWORD type, const void *param)
{
    Message *m = find(handle);
    if (!m || m->encoding) return WINE(CryptMsgControl)(handle, flags, type, param);
    if (type == CMSG_CTRL_ADD_CERT) return rebuild(m, param, NULL, 0);
    if (type == CMSG_CTRL_ADD_SIGNER_UNAUTH_ATTR) {
        const CMSG_CTRL_ADD_SIGNER_UNAUTH_ATTR_PARA *add = param;
        return rebuild(m, NULL, &add->blob, add->dwSignerIndex);
    }
    return WINE(CryptMsgControl)(m->inner, flags, type, param);
}

/* ---- both ---- */
BOOL WINAPI CryptMsgUpdate(HCRYPTMSG handle, const BYTE *data, DWORD size, BOOL final)
{
    Message *m = find(handle);
    if (m) derAdd(&m->bytes, data, size);
    if (m && m->encoding) return !final || finish(m);
    return WINE(CryptMsgUpdate)(handle, data, size, final);
}

/* signatureOf answers with the signature of a signer that Wine decodes. */
static BOOL signatureOf(HCRYPTMSG msg, DWORD index, void *out, DWORD *size)
{
    DWORD length = 0;
    if (!WINE(CryptMsgGetParam)(msg, CMSG_SIGNER_INFO_PARAM, index, NULL, &length)) return FALSE;
    CMSG_SIGNER_INFO *signer = malloc(length);
    BOOL ok = WINE(CryptMsgGetParam)(msg, CMSG_SIGNER_INFO_PARAM, index, signer, &length) && deliver(signer->EncryptedHash.pbData, signer->EncryptedHash.cbData, out, size);
    free(signer);
    return ok;
}

BOOL WINAPI CryptMsgGetParam(HCRYPTMSG handle, DWORD type, DWORD index, void *out, DWORD *size)
{
    Message *m = find(handle);
    if (!m) return WINE(CryptMsgGetParam)(handle, type, index, out, size);
    if (type == CMSG_ENCODED_MESSAGE && m->bytes.size) return deliver(m->bytes.data, m->bytes.size, out, size);
    if (!m->encoding) return type == ENCRYPTED_DIGEST ? signatureOf(m->inner, index, out, size) : WINE(CryptMsgGetParam)(m->inner, type, index, out, size);
    if (type == CMSG_CONTENT_PARAM) return deliver(m->bytes.data, m->bytes.size, out, size);
    if (type == ENCRYPTED_DIGEST && !index) return deliver(m->signature.data, m->signature.size, out, size);
    if (type == CMSG_BARE_CONTENT_PARAM) {
        Cursor in = derCursor(m->bytes.data, m->bytes.size);
        Element info, oid, bare;
        if (derRead(&in, &info) && derRead(&info.content, &oid) && derRead(&info.content, &bare)) return deliver(bare.content.at, DER_SIZE(bare.content), out, size);
    }
    return fails((DWORD)CRYPT_E_INVALID_MSG_TYPE);
}

BOOL WINAPI CryptMsgClose(HCRYPTMSG handle)
{
    Message *m = find(handle);
    if (m) {
        if (m->inner != m->handle) WINE(CryptMsgClose)(m->inner);
        drop(m);
    }
    return WINE(CryptMsgClose)(handle);
}

/* CryptSignMessage in one call: the message above with the key of the certificate. */
BOOL WINAPI CryptSignMessage(PCRYPT_SIGN_MESSAGE_PARA p, BOOL detached, DWORD count, const BYTE *parts[], DWORD sizes[], BYTE *out, DWORD *size)
{
    HCRYPTPROV_OR_NCRYPT_KEY_HANDLE key = 0;
    BOOL frees = FALSE, ok;
    DWORD spec = 0;
    if (p->pSigningCert && !CryptAcquireCertificatePrivateKey(p->pSigningCert, 0x10000 /* CRYPT_ACQUIRE_ALLOW_NCRYPT_KEY_FLAG */, NULL, &key, &spec, &frees)) return FALSE;
    if (!p->pSigningCert || !isNcryptKey(key)) {
        if (frees) CryptReleaseContext(key, 0);
        return WINE(CryptSignMessage)(p, detached, count, parts, sizes, out, size);
    }
    CMSG_SIGNER_ENCODE_INFO signer = {.cbSize = sizeof signer, .pCertInfo = p->pSigningCert->pCertInfo, .hCryptProv = key, .dwKeySpec = spec, .HashAlgorithm = p->HashAlgorithm,
                                      .cAuthAttr = p->cAuthAttr, .rgAuthAttr = p->rgAuthAttr, .cUnauthAttr = p->cUnauthAttr, .rgUnauthAttr = p->rgUnauthAttr};
    CERT_BLOB *certs = calloc(p->cMsgCert + 1, sizeof *certs);
    for (DWORD i = 0; i < p->cMsgCert; i++) certs[i] = (CERT_BLOB){p->rgpMsgCert[i]->cbCertEncoded, p->rgpMsgCert[i]->pbCertEncoded};
    CMSG_SIGNED_ENCODE_INFO info = {.cbSize = sizeof info, .cSigners = 1, .rgSigners = &signer, .cCertEncoded = p->cMsgCert, .rgCertEncoded = certs};
    HCRYPTMSG msg = CryptMsgOpenToEncode(p->dwMsgEncodingType, detached ? CMSG_DETACHED_FLAG : 0, CMSG_SIGNED, &info, NULL, NULL);
    ok = msg != NULL;
    if (ok && !out) { /* a length question must not cost a signature: room for the largest */
        *size = 4096;
        for (DWORD i = 0; i < p->cMsgCert; i++) *size += certs[i].cbData;
        for (DWORD i = 0; i < count && !detached; i++) *size += sizes[i];
    } else {
        for (DWORD i = 0; ok && i < count; i++) ok = CryptMsgUpdate(msg, parts[i], sizes[i], i + 1 == count);
        ok = ok && CryptMsgGetParam(msg, CMSG_CONTENT_PARAM, 0, out, size);
    }
    DWORD e = GetLastError();
    if (msg) CryptMsgClose(msg);
    free(certs);
    if (frees) NCRYPT(NCryptFreeObject)(key);
    SetLastError(e);
    return ok;
}

/* ---- countersignatures, as time stamps of Authenticode's old form are: a SignerInfo over another one's signature ---- */
typedef struct {
    const DigestAlgorithm *digest;
    Element attrs, signature; /* attrs.whole is NULL without signed attributes */
} SignerParts;

static BOOL partsOf(const BYTE *info, DWORD size, SignerParts *out)
{
    Cursor in = derCursor(info, size);
    Element signer, e, algorithm, oid;
    memset(out, 0, sizeof *out);
    if (!derExpect(&in, DER_SEQUENCE, &signer) || !derExpect(&signer.content, DER_INTEGER, &e) || !derRead(&signer.content, &e) || /* who */
        !derExpect(&signer.content, DER_SEQUENCE, &algorithm) || !derExpect(&algorithm.content, DER_OID, &oid))
        return fails((DWORD)CRYPT_E_ASN1_BADTAG);
    derOptional(&signer.content, DER_0, &out->attrs);
    if (!derExpect(&signer.content, DER_SEQUENCE, &e) || !derExpect(&signer.content, DER_OCTETS, &out->signature)) return fails((DWORD)CRYPT_E_ASN1_BADTAG);
    char *text = derText(&oid);
    out->digest = digestByOID(text);
    free(text);
    return out->digest || fails((DWORD)CRYPT_E_UNKNOWN_ALGO);
}

/* digestIn finds the messageDigest attribute. */
static BOOL digestIn(Cursor attrs, Element *digest)
{
    Element attr, oid, values;
    while (derExpect(&attrs, DER_SEQUENCE, &attr))
        if (derExpect(&attr.content, DER_OID, &oid) && derIsOID(&oid, OID_MESSAGE_DIGEST)) return derExpect(&attr.content, DER_SET, &values) && derExpect(&values.content, DER_OCTETS, digest);
    return FALSE;
}

/* rsaVerifies checks an RSA signature by Wine's own provider. */
static BOOL rsaVerifies(CERT_PUBLIC_KEY_INFO *key, const DigestAlgorithm *algorithm, const void *data, DWORD size, Cursor signature)
{
    HCRYPTPROV prov;
    HCRYPTKEY imported = 0;
    HCRYPTHASH hash = 0;
    DWORD n = DER_SIZE(signature);
    BYTE *little = malloc(n);
    for (DWORD i = 0; i < n; i++) little[i] = signature.at[n - 1 - i];
    BOOL ok = CryptAcquireContextW(&prov, NULL, NULL, PROV_RSA_AES, CRYPT_VERIFYCONTEXT);
    if (ok) {
        ok = WINE(CryptImportPublicKeyInfo)(prov, X509_ASN_ENCODING, key, &imported) && CryptCreateHash(prov, algorithm->id, 0, 0, &hash) &&
             CryptHashData(hash, data, size, 0) && CryptVerifySignatureW(hash, little, n, imported, NULL, 0);
        DWORD e = GetLastError();
        if (hash) CryptDestroyHash(hash);
        if (imported) CryptDestroyKey(imported);
        CryptReleaseContext(prov, 0);
        SetLastError(e);
    }
    free(little);
    return ok;
}

BOOL WINAPI CryptMsgVerifyCountersignatureEncoded(HCRYPTPROV_LEGACY prov, DWORD enc, PBYTE signer, DWORD signerSize, PBYTE counter, DWORD counterSize, PCERT_INFO countersigner)
{
    SignerParts signedBy, countered;
    Element digest;
    BYTE sum[64];
    if (!partsOf(signer, signerSize, &signedBy) || !partsOf(counter, counterSize, &countered)) return FALSE;
    Cursor signature = signedBy.signature.content;
    if (!countered.attrs.whole) return rsaVerifies(&countersigner->SubjectPublicKeyInfo, countered.digest, signature.at, DER_SIZE(signature), countered.signature.content);
    digestOf(countered.digest, signature.at, DER_SIZE(signature), sum);
    if (!digestIn(countered.attrs.content, &digest) || DER_SIZE(digest.content) != countered.digest->size || memcmp(digest.content.at, sum, countered.digest->size)) return fails((DWORD)CRYPT_E_HASH_VALUE);
    Der set = {0};
    derTLV(&set, DER_SET, countered.attrs.content.at, DER_SIZE(countered.attrs.content));
    BOOL ok = rsaVerifies(&countersigner->SubjectPublicKeyInfo, countered.digest, set.data, set.size, countered.signature.content);
    derFree(&set);
    return ok;
}
