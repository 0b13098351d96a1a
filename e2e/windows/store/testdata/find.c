/* What programs do that take a certificate from the store: find it by thumbprint or
 * name, open its private key, sign.
 *
 *   find.exe sha1|name VALUE message OUT   CryptSignMessage over "hello": a detached CMS
 *   find.exe sha1|name VALUE digest OUT    NCryptSignHash over 32 bytes 00 01 ... 1f (PKCS #1 or ECDSA)
 */
#include <windows.h>
#include <wincrypt.h>
#include <ncrypt.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what)
{
    printf("%s: 0x%08lx\n", what, GetLastError());
    return 1;
}

static int save(const wchar_t *name, const BYTE *data, DWORD size)
{
    FILE *f = _wfopen(name, L"wb");
    if (!f) return fail("open");
    fwrite(data, 1, size, f);
    fclose(f);
    return 0;
}

static int message(PCCERT_CONTEXT cert, const wchar_t *out)
{
    CRYPT_SIGN_MESSAGE_PARA p;
    memset(&p, 0, sizeof p);
    p.cbSize = sizeof p;
    p.dwMsgEncodingType = X509_ASN_ENCODING | PKCS_7_ASN_ENCODING;
    p.pSigningCert = cert;
    p.HashAlgorithm.pszObjId = "2.16.840.1.101.3.4.2.1";
    p.cMsgCert = 1;
    p.rgpMsgCert = &cert;
    const BYTE *content = (const BYTE *)"hello";
    DWORD length = 5, size = 0;
    if (!CryptSignMessage(&p, TRUE, 1, &content, &length, NULL, &size)) return fail("CryptSignMessage, size");
    BYTE *cms = malloc(size);
    if (!CryptSignMessage(&p, TRUE, 1, &content, &length, cms, &size)) return fail("CryptSignMessage");
    return save(out, cms, size);
}

static int digest(NCRYPT_KEY_HANDLE key, BOOL rsa, const wchar_t *out)
{
    BYTE hash[32], sig[1024];
    DWORD n = 0;
    for (int i = 0; i < 32; i++) hash[i] = i;
    BCRYPT_PKCS1_PADDING_INFO pad = {L"SHA256"};
    SECURITY_STATUS s = NCryptSignHash(key, rsa ? &pad : NULL, hash, sizeof hash, sig, sizeof sig, &n, rsa ? BCRYPT_PAD_PKCS1 : 0);
    if (s) { SetLastError(s); return fail("NCryptSignHash"); }
    return save(out, sig, n);
}

int wmain(int c, wchar_t **v)
{
    if (c != 5) return 2;
    HCERTSTORE my = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, CERT_SYSTEM_STORE_CURRENT_USER, L"My");
    if (!my) return fail("CertOpenStore");
    PCCERT_CONTEXT cert;
    if (!wcscmp(v[1], L"sha1")) {
        BYTE hash[20];
        for (int i = 0; i < 20; i++) {
            unsigned byte;
            if (swscanf(v[2] + 2 * i, L"%2x", &byte) != 1) return 2;
            hash[i] = byte;
        }
        CRYPT_HASH_BLOB blob = {sizeof hash, hash};
        cert = CertFindCertificateInStore(my, X509_ASN_ENCODING, 0, CERT_FIND_SHA1_HASH, &blob, NULL);
    } else {
        cert = CertFindCertificateInStore(my, X509_ASN_ENCODING, 0, CERT_FIND_SUBJECT_STR_W, v[2], NULL);
    }
    if (!cert) return fail("not found");
    HCRYPTPROV_OR_NCRYPT_KEY_HANDLE key;
    DWORD spec = 0;
    BOOL release = FALSE;
    if (!CryptAcquireCertificatePrivateKey(cert, CRYPT_ACQUIRE_ALLOW_NCRYPT_KEY_FLAG | CRYPT_ACQUIRE_SILENT_FLAG, NULL, &key, &spec, &release)) return fail("CryptAcquireCertificatePrivateKey");
    printf("found, key specification %08lx\n", spec);
    BOOL rsa = !strcmp(cert->pCertInfo->SubjectPublicKeyInfo.Algorithm.pszObjId, szOID_RSA_RSA);
    int r = wcscmp(v[3], L"message") ? digest(key, rsa, v[4]) : message(cert, v[4]);
    if (release) {
        if (spec == CERT_NCRYPT_KEY_SPEC) NCryptFreeObject(key);
        else CryptReleaseContext(key, 0);
    }
    CertFreeCertificateContext(cert);
    CertCloseStore(my, 0);
    if (!r) printf("signed\n");
    return r;
}
