/* Signatures, as programs make and verify them. */
#include "probe.h"

static HCRYPTPROV open(const char *container)
{
	HCRYPTPROV p = 0;
	NEEDS(CryptAcquireContextA(&p, container, PROVIDER, TYPE, 0));
	return p;
}

/* sign CONTAINER ALG_ID FILE OUT: all ways to one signature give the same one; OUT gets it big-endian */
int sign(int argc, char **argv)
{
	DWORD alg = strtoul(argv[1], NULL, 0), length, n, m;
	BYTE *data = contents(argv[2], &length), value[64], *first, *again, byte;
	HCRYPTPROV p = open(argv[0]), wideProv = 0, verifyOnly = 0;
	HCRYPTHASH h, h2, h3;
	HCRYPTKEY k, k2, imported;
	BYTE blob[4096];
	(void)argc;

	WORKS(CryptCreateHash(p, alg, 0, 0, &h));
	WORKS(CryptHashData(h, data, length / 3, 0));
	WORKS(CryptHashData(h, data, 0, 0));
	WORKS(CryptHashData(h, data + length / 3, length - length / 3, 0));
	n = 0;
	WORKS(CryptSignHashA(h, AT_SIGNATURE, NULL, 0, NULL, &n));
	CHECK(n >= 128);
	first = calloc(1, n + 16);
	again = calloc(1, n + 16);
	m = n - 1;
	FAILS(ERROR_MORE_DATA, CryptSignHashA(h, AT_SIGNATURE, NULL, 0, first, &m));
	CHECK(m == n);
	m = n + 16; /* more room than needed */
	WORKS(CryptSignHashW(h, AT_SIGNATURE, NULL, 0, first, &m));
	CHECK(m == n);
	/* the other of the two keys is the same, and a hash that is signed is not signed again */
	WORKS(CryptSignHashW(h, AT_KEYEXCHANGE, L"", 0, again, &m));
	CHECK(m == n && !memcmp(first, again, n));
	FAILS(NTE_BAD_HASH_STATE, CryptHashData(h, data, 1, 0));

	/* a program that hashes itself, through the other character set */
	m = sizeof value;
	WORKS(CryptGetHashParam(h, HP_HASHVAL, value, &m, 0));
	NEEDS(CryptAcquireContextW(&wideProv, wide(argv[0]), L"SignPathCSP", TYPE, CRYPT_MACHINE_KEYSET | CRYPT_SILENT));
	WORKS(CryptCreateHash(wideProv, alg, 0, 0, &h2));
	WORKS(CryptSetHashParam(h2, HP_HASHVAL, value, 0));
	m = n;
	WORKS(CryptSignHashA(h2, AT_KEYEXCHANGE, NULL, 0, again, &m));
	CHECK(m == n && !memcmp(first, again, n));

	/* verify with the key, a duplicate of it, and one that was exported and imported elsewhere */
	WORKS(CryptGetUserKey(p, AT_SIGNATURE, &k));
	WORKS(CryptVerifySignatureA(h, first, n, k, NULL, 0));
	WORKS(CryptDuplicateKey(k, NULL, 0, &k2));
	WORKS(CryptDestroyKey(k));
	WORKS(CryptVerifySignatureW(h, first, n, k2, NULL, 0));
	m = sizeof blob;
	WORKS(CryptExportKey(k2, 0, PUBLICKEYBLOB, 0, blob, &m));
	NEEDS(CryptAcquireContextA(&verifyOnly, NULL, PROVIDER, TYPE, CRYPT_VERIFYCONTEXT));
	WORKS(CryptImportKey(verifyOnly, blob, m, 0, 0, &imported));
	WORKS(CryptCreateHash(verifyOnly, alg, 0, 0, &h3));
	WORKS(CryptHashData(h3, data, length, 0));
	WORKS(CryptVerifySignatureA(h3, first, n, imported, NULL, 0));
	byte = first[n / 2] ^= 1;
	FAILS(NTE_BAD_SIGNATURE, CryptVerifySignatureA(h3, first, n, imported, NULL, 0));
	first[n / 2] = byte ^ 1;
	FAILS(NTE_BAD_SIGNATURE, CryptVerifySignatureA(h3, first, n - 1, imported, NULL, 0));
	FAILS(NTE_BAD_SIGNATURE, CryptVerifySignatureA(h3, first, n, imported, NULL, CRYPT_NOHASHOID));
	FAILS(NTE_NO_KEY, CryptSignHashA(h3, AT_SIGNATURE, NULL, 0, again, &m));

	/* Windows' own provider agrees */
	{
		HCRYPTPROV other = 0;
		HCRYPTKEY theirs;
		HCRYPTHASH hash;
		NEEDS(CryptAcquireContextA(&other, NULL, MS_ENH_RSA_AES_PROV_A, PROV_RSA_AES, CRYPT_VERIFYCONTEXT));
		m = sizeof blob;
		WORKS(CryptExportKey(k2, 0, PUBLICKEYBLOB, 0, blob, &m));
		CHECK(CryptImportKey(other, blob, m, 0, 0, &theirs));
		CHECK(CryptCreateHash(other, alg, 0, 0, &hash));
		CHECK(CryptHashData(hash, data, length, 0));
		CHECK(CryptVerifySignatureA(hash, first, n, theirs, NULL, 0));
		CHECK(CryptReleaseContext(other, 0));
	}
	WORKS(CryptDestroyKey(k2));
	WORKS(CryptDestroyKey(imported));
	WORKS(CryptDestroyHash(h));
	WORKS(CryptDestroyHash(h2));
	WORKS(CryptDestroyHash(h3));
	WORKS(CryptReleaseContext(verifyOnly, 0));
	WORKS(CryptReleaseContext(wideProv, 0));
	WORKS(CryptReleaseContext(p, 0));

	for (DWORD i = 0; i < n / 2; i++) { byte = first[i]; first[i] = first[n - 1 - i]; first[n - 1 - i] = byte; }
	save(argv[3], first, n);
	return 0;
}

/* trysign CONTAINER [ALG_ID]: prints what CryptSignHash says, twice */
int trysign(int argc, char **argv)
{
	HCRYPTPROV p = open(argv[0]);
	HCRYPTHASH h;
	BYTE out[1024];
	WORKS(CryptCreateHash(p, argc > 1 ? strtoul(argv[1], NULL, 0) : CALG_SHA_256, 0, 0, &h));
	WORKS(CryptHashData(h, (const BYTE *)argv[0], (DWORD)strlen(argv[0]), 0));
	for (int i = 0; i < 2; i++) {
		DWORD n = 0;
		WORKS(CryptSignHashA(h, AT_SIGNATURE, NULL, 0, NULL, &n)); /* the network is not needed for this */
		n = sizeof out;
		SetLastError(0);
		BOOL ok = CryptSignHashA(h, AT_SIGNATURE, NULL, 0, out, &n);
		printf("sign: %s 0x%08lX\n", ok ? "TRUE" : "FALSE", ok ? 0UL : (unsigned long)GetLastError());
	}
	WORKS(CryptDestroyHash(h));
	WORKS(CryptReleaseContext(p, 0));
	return 0;
}

/* acquire CONTAINER FLAGS: prints what CryptAcquireContext says, twice; "-" is NULL */
int acquire(int argc, char **argv)
{
	(void)argc;
	for (int i = 0; i < 2; i++) {
		HCRYPTPROV p = 0;
		BOOL ok = CryptAcquireContextA(&p, strcmp(argv[0], "-") ? argv[0] : NULL, PROVIDER, TYPE, strtoul(argv[1], NULL, 0));
		printf("acquire: %s 0x%08lX\n", ok ? "TRUE" : "FALSE", ok ? 0UL : (unsigned long)GetLastError());
		if (ok) WORKS(CryptReleaseContext(p, 0));
	}
	return 0;
}

/* message CONTAINER CERTIFICATE ISSUER OID FILE OUT: CryptSignMessage, detached, with Windows' own CMS */
int message(int argc, char **argv)
{
	DWORD certLength, issuerLength, length, n = 0;
	BYTE *der = contents(argv[1], &certLength), *issuer = contents(argv[2], &issuerLength), *data = contents(argv[4], &length), *out;
	const BYTE *parts[1] = {data};
	PCCERT_CONTEXT cert = CertCreateCertificateContext(X509_ASN_ENCODING, der, certLength);
	PCCERT_CONTEXT chain[2] = {cert, CertCreateCertificateContext(X509_ASN_ENCODING, issuer, issuerLength)};
	CRYPT_KEY_PROV_INFO info = {wide(argv[0]), L"SignPathCSP", TYPE, 0, 0, NULL, AT_SIGNATURE};
	CRYPT_SIGN_MESSAGE_PARA para;
	(void)argc;
	NEEDS(cert && chain[1]);
	NEEDS(CertSetCertificateContextProperty(cert, CERT_KEY_PROV_INFO_PROP_ID, 0, &info));
	memset(&para, 0, sizeof para);
	para.cbSize = sizeof para;
	para.dwMsgEncodingType = X509_ASN_ENCODING | PKCS_7_ASN_ENCODING;
	para.pSigningCert = cert;
	para.HashAlgorithm.pszObjId = argv[3];
	para.cMsgCert = 2;
	para.rgpMsgCert = chain;
	NEEDS(CryptSignMessage(&para, TRUE, 1, parts, &length, NULL, &n));
	out = malloc(n);
	NEEDS(CryptSignMessage(&para, TRUE, 1, parts, &length, out, &n));
	save(argv[5], out, n);

	/* what Windows says of it */
	{
		CRYPT_VERIFY_MESSAGE_PARA verify;
		memset(&verify, 0, sizeof verify);
		verify.cbSize = sizeof verify;
		verify.dwMsgAndCertEncodingType = X509_ASN_ENCODING | PKCS_7_ASN_ENCODING;
		CHECK(CryptVerifyDetachedMessageSignature(&verify, 0, out, n, 1, parts, &length, NULL));
		data[0] ^= 1;
		CHECK(!CryptVerifyDetachedMessageSignature(&verify, 0, out, n, 1, parts, &length, NULL));
	}
	CertFreeCertificateContext(chain[1]);
	CertFreeCertificateContext(cert);
	return 0;
}

/* store CONTAINER CERTIFICATE FILE OUT: a certificate in CurrentUser\My, found by its thumbprint, leads to the key */
int store(int argc, char **argv)
{
	DWORD certLength, length, n, spec = 0;
	BYTE *der = contents(argv[1], &certLength), *data = contents(argv[2], &length), out[1024], hash[20];
	CRYPT_KEY_PROV_INFO info = {wide(argv[0]), L"SignPathCSP", TYPE, 0, 0, NULL, AT_SIGNATURE};
	PCCERT_CONTEXT cert = CertCreateCertificateContext(X509_ASN_ENCODING, der, certLength), added = NULL;
	HCERTSTORE my = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, CERT_SYSTEM_STORE_CURRENT_USER, L"MY");
	CRYPT_HASH_BLOB thumbprint = {sizeof hash, hash};
	HCRYPTPROV_OR_NCRYPT_KEY_HANDLE p = 0;
	HCRYPTHASH h;
	BOOL ours = FALSE;
	(void)argc;
	NEEDS(cert && my);
	NEEDS(CertSetCertificateContextProperty(cert, CERT_KEY_PROV_INFO_PROP_ID, 0, &info));
	NEEDS(CertAddCertificateContextToStore(my, cert, CERT_STORE_ADD_REPLACE_EXISTING, &added));
	n = sizeof hash;
	NEEDS(CertGetCertificateContextProperty(cert, CERT_SHA1_HASH_PROP_ID, hash, &n));
	CertFreeCertificateContext(added);
	CertFreeCertificateContext(cert);
	CertCloseStore(my, 0);

	my = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, CERT_SYSTEM_STORE_CURRENT_USER, L"MY");
	cert = CertFindCertificateInStore(my, X509_ASN_ENCODING, 0, CERT_FIND_SHA1_HASH, &thumbprint, NULL);
	NEEDS(cert);
	NEEDS(CryptAcquireCertificatePrivateKey(cert, CRYPT_ACQUIRE_ALLOW_NCRYPT_KEY_FLAG | CRYPT_ACQUIRE_COMPARE_KEY_FLAG | CRYPT_ACQUIRE_SILENT_FLAG, NULL, &p, &spec, &ours));
	CHECK(spec == AT_SIGNATURE && ours);
	WORKS(CryptCreateHash(p, CALG_SHA_384, 0, 0, &h));
	WORKS(CryptHashData(h, data, length, 0));
	n = sizeof out;
	WORKS(CryptSignHashA(h, spec, NULL, 0, out, &n));
	WORKS(CryptDestroyHash(h));
	WORKS(CryptReleaseContext(p, 0));
	CHECK(CertDeleteCertificateFromStore(cert));
	CertCloseStore(my, 0);
	for (DWORD i = 0; i < n / 2; i++) { BYTE b = out[i]; out[i] = out[n - 1 - i]; out[n - 1 - i] = b; }
	save(argv[3], out, n);
	return 0;
}
