/* timestamp.c: CryptRetrieveTimeStamp, a time stamp by RFC 3161 over HTTP, which Wine's crypt32 lacks. It asks by WinINet, checks
 * that the answer is granted and stamps the digest that was sent, and finds the signer's certificate in it. The signature of the
 * time stamp is not checked here: the tests' verifier does that. */
#include "der.h"
#include "digest.h"
#include "proxy.h"
#include <stdlib.h>
#include <string.h>
#include <wininet.h>

/* request writes TimeStampReq, RFC 3161 section 2.4.1. */
static void request(Der *out, const DigestAlgorithm *algorithm, const BYTE *digest, const CRYPT_TIMESTAMP_PARA *para)
{
    Der body = {0}, imprint = {0};
    derSmall(&body, 1);
    derAlgorithm(&imprint, algorithm->oid, TRUE);
    derTLV(&imprint, DER_OCTETS, digest, algorithm->size);
    derMove(&body, DER_SEQUENCE, &imprint);
    if (para && para->pszTSAPolicyId) derOID(&body, para->pszTSAPolicyId);
    if (para && para->Nonce.cbData) {
        Der nonce = {0};
        for (DWORD i = para->Nonce.cbData; i--;) derAdd(&nonce, &para->Nonce.pbData[i], 1);
        derUnsigned(&body, nonce.data, nonce.size);
        derFree(&nonce);
    }
    derTLV(&body, DER_BOOLEAN, "\xff", 1); /* with the certificates */
    derMove(out, DER_SEQUENCE, &body);
}

/* post sends a request and reads the answer. */
static BOOL post(LPCWSTR url, DWORD timeout, const Der *query, Der *answer)
{
    static const WCHAR header[] = L"Content-Type: application/timestamp-query\r\nAccept: application/timestamp-reply";
    WCHAR host[256], path[1024];
    URL_COMPONENTSW parts = {.dwStructSize = sizeof parts, .lpszHostName = host, .dwHostNameLength = 256, .lpszUrlPath = path, .dwUrlPathLength = 1024};
    DWORD status = 0, n = sizeof status;
    if (!InternetCrackUrlW(url, 0, 0, &parts)) return FALSE;
    HINTERNET net = InternetOpenW(L"Transport", INTERNET_OPEN_TYPE_DIRECT, NULL, NULL, 0);
    if (timeout) {
        InternetSetOptionW(net, INTERNET_OPTION_CONNECT_TIMEOUT, &timeout, sizeof timeout);
        InternetSetOptionW(net, INTERNET_OPTION_RECEIVE_TIMEOUT, &timeout, sizeof timeout);
    }
    HINTERNET server = InternetConnectW(net, host, parts.nPort, NULL, NULL, INTERNET_SERVICE_HTTP, 0, 0);
    HINTERNET http = HttpOpenRequestW(server, L"POST", *path ? path : L"/", NULL, NULL, NULL, INTERNET_FLAG_NO_UI | INTERNET_FLAG_RELOAD | INTERNET_FLAG_NO_CACHE_WRITE, 0);
    BOOL ok = HttpSendRequestW(http, header, (DWORD)-1, query->data, query->size) && HttpQueryInfoW(http, HTTP_QUERY_STATUS_CODE | HTTP_QUERY_FLAG_NUMBER, &status, &n, NULL);
    if (ok && status != 200) ok = fails(ERROR_INTERNET_OPERATION_CANCELLED);
    while (ok) {
        BYTE part[4096];
        ok = InternetReadFile(http, part, sizeof part, &n);
        if (!n) break;
        derAdd(answer, part, n);
    }
    DWORD e = GetLastError();
    InternetCloseHandle(http);
    InternetCloseHandle(server);
    InternetCloseHandle(net);
    SetLastError(e);
    return ok;
}

/* token is the TimeStampToken in a granted TimeStampResp, RFC 3161 section 2.4.2. */
static BOOL tokenOf(const Der *answer, Element *token)
{
    Cursor in = derCursor(answer->data, answer->size);
    Element response, status, number;
    return derExpect(&in, DER_SEQUENCE, &response) && derExpect(&response.content, DER_SEQUENCE, &status) && derExpect(&status.content, DER_INTEGER, &number) &&
           DER_SIZE(number.content) == 1 && *number.content.at <= 1 && derExpect(&response.content, DER_SEQUENCE, token);
}

/* describe reads TSTInfo, which must have this imprint. */
static BOOL describe(Cursor content, const DigestAlgorithm *algorithm, const BYTE *digest, char **policy, Element *serial, FILETIME *time)
{
    Element info, e, imprint, oid, hash, at;
    if (derOptional(&content, DER_OCTETS, &e)) content = e.content; /* Wine leaves the tag of eContent */
    if (!derExpect(&content, DER_SEQUENCE, &info) || !derExpect(&info.content, DER_INTEGER, &e) || !derExpect(&info.content, DER_OID, &oid) ||
        !derExpect(&info.content, DER_SEQUENCE, &imprint) || !derExpect(&info.content, DER_INTEGER, serial) || !derExpect(&info.content, 0x18, &at) || /* GeneralizedTime */
        !derExpect(&imprint.content, DER_SEQUENCE, &e) || !derExpect(&imprint.content, DER_OCTETS, &hash))
        return FALSE;
    if (DER_SIZE(hash.content) != algorithm->size || memcmp(hash.content.at, digest, algorithm->size)) return FALSE;
    SYSTEMTIME t = {0};
    WORD *fields[] = {&t.wMonth, &t.wDay, &t.wHour, &t.wMinute, &t.wSecond};
    const BYTE *p = at.content.at;
    if (DER_SIZE(at.content) < 15) return FALSE;
    for (int i = 0; i < 4; i++) t.wYear = (WORD)(t.wYear * 10 + *p++ - '0');
    for (int i = 0; i < 5; i++, p += 2) *fields[i] = (WORD)((p[0] - '0') * 10 + p[1] - '0');
    *policy = derText(&oid);
    return SystemTimeToFileTime(&t, time);
}

/* signerOf finds the certificate of the token's signer. */
static PCCERT_CONTEXT signerOf(HCRYPTMSG msg, HCERTSTORE *store)
{
    PCCERT_CONTEXT cert = NULL;
    DWORD n = 0;
    *store = WINE(CertOpenStore)(CERT_STORE_PROV_MSG, X509_ASN_ENCODING | PKCS_7_ASN_ENCODING, 0, 0, msg);
    if (!*store || !CryptMsgGetParam(msg, CMSG_SIGNER_CERT_INFO_PARAM, 0, NULL, &n)) return NULL;
    CERT_INFO *id = malloc(n);
    if (CryptMsgGetParam(msg, CMSG_SIGNER_CERT_INFO_PARAM, 0, id, &n)) cert = WINE(CertGetSubjectCertificateFromStore)(*store, X509_ASN_ENCODING | PKCS_7_ASN_ENCODING, id);
    free(id);
    return cert;
}

BOOL WINAPI CryptRetrieveTimeStamp(LPCWSTR url, DWORD flags, DWORD timeout, LPCSTR hash, const CRYPT_TIMESTAMP_PARA *para, const BYTE *data, DWORD size,
                                   CRYPT_TIMESTAMP_CONTEXT **context, PCCERT_CONTEXT *signer, HCERTSTORE *store)
{
    const DigestAlgorithm *algorithm = digestByOID(hash);
    BYTE digest[64];
    Der query = {0}, answer = {0};
    Element token, serial;
    if (!algorithm) return fails((DWORD)NTE_BAD_ALGID);
    digestOf(algorithm, data, size, digest);
    request(&query, algorithm, digest, para);
    BOOL ok = post(url, timeout, &query, &answer);
    DWORD e = GetLastError();
    derFree(&query);
    if (ok && !tokenOf(&answer, &token)) ok = FALSE, e = (DWORD)TRUST_E_TIME_STAMP;
    HCRYPTMSG msg = ok ? CryptMsgOpenToDecode(X509_ASN_ENCODING | PKCS_7_ASN_ENCODING, 0, 0, 0, NULL, NULL) : NULL;
    DWORD n = 0;
    BYTE *content = NULL;
    char *policy = NULL;
    FILETIME time;
    ok = ok && CryptMsgUpdate(msg, token.whole, token.wholeSize, TRUE) && CryptMsgGetParam(msg, CMSG_CONTENT_PARAM, 0, NULL, &n) && (content = malloc(n)) &&
         CryptMsgGetParam(msg, CMSG_CONTENT_PARAM, 0, content, &n);
    if (ok && !describe(derCursor(content, n), algorithm, digest, &policy, &serial, &time)) ok = FALSE, e = (DWORD)TRUST_E_TIME_STAMP;
    if (ok) { /* one block, which the caller frees by CryptMemFree */
        struct {
            CRYPT_TIMESTAMP_CONTEXT context;
            CRYPT_TIMESTAMP_INFO info;
            BYTE digest[64], serial[64];
            char policy[128], oid[64];
            BYTE token[];
        } *all = WINE(CryptMemAlloc)(sizeof *all + token.wholeSize);
        memset(all, 0, sizeof *all);
        all->context = (CRYPT_TIMESTAMP_CONTEXT){token.wholeSize, memcpy(all->token, token.whole, token.wholeSize), &all->info};
        all->info.dwVersion = 1;
        all->info.pszTSAPolicyId = strncpy(all->policy, policy, sizeof all->policy - 1);
        all->info.HashAlgorithm.pszObjId = strcpy(all->oid, algorithm->oid);
        all->info.HashedMessage = (CRYPT_DER_BLOB){algorithm->size, memcpy(all->digest, digest, sizeof digest)};
        for (const BYTE *p = serial.content.end; p > serial.content.at && all->info.SerialNumber.cbData < sizeof all->serial;) all->serial[all->info.SerialNumber.cbData++] = *--p;
        all->info.SerialNumber.pbData = all->serial;
        all->info.ftTime = time;
        *context = &all->context;
        HCERTSTORE in = NULL;
        PCCERT_CONTEXT cert = signerOf(msg, &in);
        if (signer) *signer = cert;
        else if (cert) WINE(CertFreeCertificateContext)(cert);
        if (store) *store = in;
        else if (in) WINE(CertCloseStore)(in, 0);
    }
    free(policy);
    free(content);
    if (msg) CryptMsgClose(msg);
    derFree(&answer);
    SetLastError(e);
    return ok;
}
