/* The calls of well-known programs, in their order. */
#include "probe.h"

/* csplist: certutil -csplist opens every provider without a container and asks what it is */
int csplist(int argc, char **argv)
{
	char name[300];
	DWORD type, n;
	(void)argc; (void)argv;
	for (DWORD i = 0; n = sizeof name, CryptEnumProvidersA(i, NULL, 0, &type, name, &n); i++) {
		HCRYPTPROV p = 0;
		PROV_ENUMALGS_EX alg;
		DWORD v = 0;
		if (strcmp(name, PROVIDER)) continue;
		printf("Provider Name: %s\nProvider Type: %lu\n", name, (unsigned long)type);
		NEEDS(CryptAcquireContextA(&p, NULL, name, type, CRYPT_VERIFYCONTEXT | CRYPT_SILENT));
		n = sizeof v; WORKS(CryptGetProvParam(p, PP_IMPTYPE, (BYTE *)&v, &n, 0));
		n = sizeof v; WORKS(CryptGetProvParam(p, PP_VERSION, (BYTE *)&v, &n, 0));
		n = sizeof v; WORKS(CryptGetProvParam(p, PP_KEYSPEC, (BYTE *)&v, &n, 0));
		n = 0; WORKS(CryptGetProvParam(p, PP_ENUMEX_SIGNING_PROT, NULL, &n, 0));
		for (DWORD flag = CRYPT_FIRST; n = sizeof alg, CryptGetProvParam(p, PP_ENUMALGS_EX, (BYTE *)&alg, &n, flag); flag = 0)
			printf("  %s, %s\n", alg.szName, alg.szLongName);
		CHECK(GetLastError() == ERROR_NO_MORE_ITEMS);
		WORKS(CryptReleaseContext(p, 0));
	}
	CHECK(GetLastError() == ERROR_NO_MORE_ITEMS);
	return 0;
}

/* dotnet CONTAINER SPEC: RSACryptoServiceProvider with CspParameters, UseExistingKey and NoPrompt */
int dotnet(int argc, char **argv)
{
	static const struct { ALG_ID alg; DWORD size; } hashes[] = {{CALG_SHA1, 20}, {CALG_SHA_256, 32}, {CALG_SHA_384, 48}, {CALG_SHA_512, 64}};
	HCRYPTPROV p = 0, q = 0;
	HCRYPTKEY k = 0, pub = 0;
	DWORD spec = strtoul(argv[1], NULL, 0), v, n;
	BYTE blob[4096], signature[1024], value[64];
	char name[300];
	(void)argc;
	memset(value, 7, sizeof value);

	/* the constructor */
	NEEDS(CryptAcquireContextW(&p, wide(argv[0]), L"SignPathCSP", TYPE, CRYPT_SILENT));
	WORKS(CryptSetProvParam(p, PP_CLIENT_HWND, NULL, 0));
	WORKS(CryptGetUserKey(p, spec, &k));
	n = sizeof v; WORKS(CryptGetKeyParam(k, KP_ALGID, (BYTE *)&v, &n, 0));
	CHECK(v == CALG_RSA_SIGN || v == CALG_RSA_KEYX);
	/* KeySize, ExportParameters(false) */
	n = sizeof v; WORKS(CryptGetKeyParam(k, KP_KEYLEN, (BYTE *)&v, &n, 0)); CHECK(v >= 2048);
	n = 0; WORKS(CryptExportKey(k, 0, PUBLICKEYBLOB, 0, NULL, &n));
	NEEDS(n <= sizeof blob);
	WORKS(CryptExportKey(k, 0, PUBLICKEYBLOB, 0, blob, &n));
	FAILS(NTE_BAD_KEY_STATE, CryptExportKey(k, 0, PRIVATEKEYBLOB, 0, NULL, &v)); /* ExportParameters(true) */
	/* CspKeyContainerInfo: Exportable, KeyContainerName, UniqueKeyContainerName, ProviderName, HardwareDevice */
	v = 0; n = sizeof v; WORKS(CryptGetKeyParam(k, KP_PERMISSIONS, (BYTE *)&v, &n, 0)); CHECK(!(v & CRYPT_EXPORT));
	n = sizeof name; WORKS(CryptGetProvParam(p, PP_CONTAINER, (BYTE *)name, &n, 0)); CHECK(!strcmp(name, argv[0]));
	n = sizeof name; WORKS(CryptGetProvParam(p, PP_UNIQUE_CONTAINER, (BYTE *)name, &n, 0)); CHECK(!strcmp(name, argv[0]));
	n = sizeof name; WORKS(CryptGetProvParam(p, PP_NAME, (BYTE *)name, &n, 0)); CHECK(!strcmp(name, PROVIDER));
	n = sizeof v; WORKS(CryptGetProvParam(p, PP_PROVTYPE, (BYTE *)&v, &n, 0)); CHECK(v == TYPE);
	NEEDS(CryptAcquireContextW(&q, NULL, L"SignPathCSP", TYPE, CRYPT_VERIFYCONTEXT));
	n = sizeof v; WORKS(CryptGetProvParam(q, PP_IMPTYPE, (BYTE *)&v, &n, 0)); CHECK(v & CRYPT_IMPL_HARDWARE);
	/* VerifyHash of a public key elsewhere needs ImportCspBlob */
	n = sizeof blob; WORKS(CryptExportKey(k, 0, PUBLICKEYBLOB, 0, blob, &n));
	WORKS(CryptImportKey(q, blob, n, 0, 0, &pub));
	for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
		HCRYPTHASH h, h2;
		/* SignHash */
		WORKS(CryptCreateHash(p, hashes[i].alg, 0, 0, &h));
		n = sizeof v; WORKS(CryptGetHashParam(h, HP_HASHSIZE, (BYTE *)&v, &n, 0)); CHECK(v == hashes[i].size);
		WORKS(CryptSetHashParam(h, HP_HASHVAL, value, 0));
		n = 0; WORKS(CryptSignHashW(h, spec, NULL, 0, NULL, &n));
		NEEDS(n <= sizeof signature);
		WORKS(CryptSignHashW(h, spec, NULL, 0, signature, &n));
		WORKS(CryptDestroyHash(h));
		/* VerifyHash */
		WORKS(CryptCreateHash(q, hashes[i].alg, 0, 0, &h2));
		WORKS(CryptSetHashParam(h2, HP_HASHVAL, value, 0));
		WORKS(CryptVerifySignatureW(h2, signature, n, pub, NULL, 0));
		WORKS(CryptDestroyHash(h2));
	}
	/* Dispose */
	WORKS(CryptDestroyKey(pub));
	WORKS(CryptReleaseContext(q, 0));
	WORKS(CryptDestroyKey(k));
	WORKS(CryptReleaseContext(p, 0));
	/* a constructor without UseExistingKey tries to create what is not there */
	FAILS(NTE_BAD_KEYSET, CryptAcquireContextW(&p, L"no/such", L"SignPathCSP", TYPE, CRYPT_SILENT));
	FAILS(NTE_PERM, CryptAcquireContextW(&p, L"no/such", L"SignPathCSP", TYPE, CRYPT_SILENT | CRYPT_NEWKEYSET));
	return 0;
}

/* signtool CONTAINER CERTIFICATE: signtool sign /csp SignPathCSP /kc CONTAINER, as it was seen: the key is compared
 * with the certificate's, the provider may go before the key, and only one signature is made */
int signtool(int argc, char **argv)
{
	HCRYPTPROV p = 0;
	HCRYPTKEY k = 0;
	HCRYPTHASH h = 0;
	DWORD certLength, n, v;
	BYTE *der = contents(argv[1], &certLength), info[4096], out[1024], value[64];
	PCCERT_CONTEXT cert = CertCreateCertificateContext(X509_ASN_ENCODING, der, certLength);
	(void)argc;
	NEEDS(cert);
	NEEDS(CryptAcquireContextW(&p, wide(argv[0]), L"SignPathCSP", TYPE, 0));
	WORKS(CryptGetUserKey(p, AT_SIGNATURE, &k));
	WORKS(CryptDestroyKey(k));
	n = 0; CHECK(CryptExportPublicKeyInfo(p, AT_SIGNATURE, X509_ASN_ENCODING, NULL, &n));
	NEEDS(n <= sizeof info);
	CHECK(CryptExportPublicKeyInfo(p, AT_SIGNATURE, X509_ASN_ENCODING, (CERT_PUBLIC_KEY_INFO *)info, &n));
	CHECK(CertComparePublicKeyInfo(X509_ASN_ENCODING, (CERT_PUBLIC_KEY_INFO *)info, &cert->pCertInfo->SubjectPublicKeyInfo));
	for (int i = 0; i < 2; i++) WORKS(CryptCreateHash(p, CALG_SHA_256, 0, 0, &h));
	WORKS(CryptHashData(h, der, certLength, 0));
	n = sizeof v; WORKS(CryptGetHashParam(h, HP_HASHSIZE, (BYTE *)&v, &n, 0));
	n = sizeof value; WORKS(CryptGetHashParam(h, HP_HASHVAL, value, &n, 0)); CHECK(n == v);
	n = 0; WORKS(CryptSignHashW(h, AT_SIGNATURE, NULL, 0, NULL, &n));
	WORKS(CryptSignHashW(h, AT_SIGNATURE, NULL, 0, out, &n));
	WORKS(CryptReleaseContext(p, 0)); /* with two hashes open */
	CertFreeCertificateContext(cert);
	return 0;
}
