/* Parameters, enumerations, and what the provider refuses. */
#include "probe.h"

static DWORD number(HCRYPTPROV p, DWORD param)
{
	DWORD v = 0xDEAD, n = sizeof v;
	WORKS(CryptGetProvParam(p, param, (BYTE *)&v, &n, 0));
	CHECK(n == sizeof v);
	return v;
}

static int is(HCRYPTPROV p, DWORD param, const char *want)
{
	char text[300];
	DWORD n = 0;
	WORKS(CryptGetProvParam(p, param, NULL, &n, 0));
	CHECK(n == strlen(want) + 1);
	n--;
	FAILS(ERROR_MORE_DATA, CryptGetProvParam(p, param, (BYTE *)text, &n, 0));
	CHECK(n == strlen(want) + 1);
	n = sizeof text;
	WORKS(CryptGetProvParam(p, param, (BYTE *)text, &n, 0));
	CHECK(n == strlen(want) + 1);
	if (strcmp(text, want)) printf("parameter %lu is \"%s\"\n", (unsigned long)param, text);
	return !strcmp(text, want);
}

/* params CONTAINER BITS CERTIFICATE CONTAINER...: everything that can be asked, and all containers in order */
int params(int argc, char **argv)
{
	HCRYPTPROV p = 0, none = 0;
	HCRYPTKEY sig, kx, copy;
	HCRYPTHASH h, h2;
	DWORD n, v, bits = strtoul(argv[1], NULL, 0), certLength;
	BYTE blob[4096], *cert = contents(argv[2], &certLength), der[8192], value[64], value2[64], zeros[16] = {0}, random[16] = {0};
	char name[300];
	PROV_ENUMALGS alg;
	PROV_ENUMALGS_EX ex;
	int count = 0;

	NEEDS(CryptAcquireContextA(&p, argv[0], PROVIDER, TYPE, 0));
	CHECK(is(p, PP_NAME, PROVIDER));
	CHECK(is(p, PP_CONTAINER, argv[0]));
	CHECK(is(p, PP_UNIQUE_CONTAINER, argv[0]));
	CHECK(number(p, PP_PROVTYPE) == TYPE);
	CHECK(number(p, PP_IMPTYPE) == CRYPT_IMPL_HARDWARE);
	CHECK(number(p, PP_KEYSPEC) == (AT_SIGNATURE | AT_KEYEXCHANGE));
	CHECK(number(p, PP_KEYSET_TYPE) == 0);
	CHECK(number(p, PP_VERSION) != 0xDEAD);
	n = 0;
	FAILS(NTE_BAD_TYPE, CryptGetProvParam(p, PP_SESSION_KEYSIZE, NULL, &n, 0));
	FAILS(NTE_BAD_TYPE, CryptGetProvParam(p, 4711, NULL, &n, 0));
	FAILS(NTE_BAD_FLAGS, CryptGetProvParam(p, PP_NAME, NULL, &n, 8));

	/* algorithms, both forms */
	for (DWORD flag = CRYPT_FIRST; n = sizeof alg, CryptGetProvParam(p, PP_ENUMALGS, (BYTE *)&alg, &n, flag); flag = CRYPT_NEXT) {
		CHECK(n == sizeof alg && alg.dwNameLen == strlen(alg.szName) + 1);
		n = sizeof ex;
		WORKS(CryptGetProvParam(p, PP_ENUMALGS_EX, (BYTE *)&ex, &n, flag));
		CHECK(n == sizeof ex && ex.aiAlgid == alg.aiAlgid && ex.dwDefaultLen == alg.dwBitLen && !strcmp(ex.szName, alg.szName));
		CHECK(ex.dwLongNameLen == strlen(ex.szLongName) + 1 && ex.dwMinLen <= ex.dwDefaultLen && ex.dwDefaultLen <= ex.dwMaxLen);
		count++;
	}
	CHECK(GetLastError() == ERROR_NO_MORE_ITEMS && count == 6);

	/* containers: a question for the length moves nothing, and the end stays the end */
	n = 0;
	WORKS(CryptGetProvParam(p, PP_ENUMCONTAINERS, NULL, &n, CRYPT_FIRST));
	CHECK(n > strlen(argv[0]));
	for (int i = 3; i < argc; i++) {
		v = 0;
		WORKS(CryptGetProvParam(p, PP_ENUMCONTAINERS, NULL, &v, i == 3 ? CRYPT_FIRST : CRYPT_NEXT));
		v = 3;
		FAILS(ERROR_MORE_DATA, CryptGetProvParam(p, PP_ENUMCONTAINERS, (BYTE *)name, &v, i == 3 ? CRYPT_FIRST : CRYPT_NEXT));
		CHECK(v == strlen(argv[i]) + 1);
		v = sizeof name;
		WORKS(CryptGetProvParam(p, PP_ENUMCONTAINERS, (BYTE *)name, &v, i == 3 ? CRYPT_FIRST : i == 4 ? 0 : CRYPT_NEXT));
		if (strcmp(name, argv[i])) { printf("container %s, not %s\n", name, argv[i]); failures++; }
	}
	v = sizeof name;
	FAILS(ERROR_NO_MORE_ITEMS, CryptGetProvParam(p, PP_ENUMCONTAINERS, (BYTE *)name, &v, CRYPT_NEXT));
	FAILS(ERROR_NO_MORE_ITEMS, CryptGetProvParam(p, PP_ENUMCONTAINERS, (BYTE *)name, &v, CRYPT_NEXT));

	/* both keys are the policy's */
	WORKS(CryptGetUserKey(p, AT_SIGNATURE, &sig));
	WORKS(CryptGetUserKey(p, AT_KEYEXCHANGE, &kx));
	FAILS(NTE_BAD_KEY, CryptGetUserKey(p, 3, &copy));
	n = sizeof v; WORKS(CryptGetKeyParam(sig, KP_ALGID, (BYTE *)&v, &n, 0)); CHECK(v == CALG_RSA_SIGN);
	n = sizeof v; WORKS(CryptGetKeyParam(kx, KP_ALGID, (BYTE *)&v, &n, 0)); CHECK(v == CALG_RSA_KEYX);
	n = sizeof v; WORKS(CryptGetKeyParam(sig, KP_KEYLEN, (BYTE *)&v, &n, 0)); CHECK(v == bits);
	n = sizeof v; WORKS(CryptGetKeyParam(sig, KP_PERMISSIONS, (BYTE *)&v, &n, 0)); CHECK(!(v & CRYPT_EXPORT));
	n = sizeof der; WORKS(CryptGetKeyParam(sig, KP_CERTIFICATE, der, &n, 0)); CHECK(n == certLength && !memcmp(der, cert, n));
	FAILS(NTE_BAD_TYPE, CryptGetKeyParam(sig, KP_IV, der, &n, 0));
	n = 0; WORKS(CryptExportKey(sig, 0, PUBLICKEYBLOB, 0, NULL, &n)); CHECK(n == 20 + bits / 8);
	n--; FAILS(ERROR_MORE_DATA, CryptExportKey(sig, 0, PUBLICKEYBLOB, 0, blob, &n)); CHECK(n == 20 + bits / 8);
	WORKS(CryptExportKey(sig, 0, PUBLICKEYBLOB, 0, blob, &n));
	CHECK(blob[0] == PUBLICKEYBLOB && blob[1] == 2 && *(DWORD *)(blob + 4) == CALG_RSA_SIGN && !memcmp(blob + 8, "RSA1", 4) && *(DWORD *)(blob + 12) == bits && *(DWORD *)(blob + 16) == 65537);
	FAILS(NTE_BAD_KEY_STATE, CryptExportKey(sig, 0, PRIVATEKEYBLOB, 0, NULL, &n));
	FAILS(NTE_BAD_TYPE, CryptExportKey(sig, 0, SIMPLEBLOB, 0, NULL, &n));
	n = 10; FAILS(NTE_BAD_DATA, CryptImportKey(p, blob, n, 0, 0, &copy));
	blob[0] = PRIVATEKEYBLOB; FAILS(NTE_BAD_TYPE, CryptImportKey(p, blob, 20 + bits / 8, 0, 0, &copy));

	/* hashes: a copy goes on by itself, and a value that was read ends the hash */
	FAILS(NTE_BAD_ALGID, CryptCreateHash(p, CALG_MD4, 0, 0, &h));
	FAILS(NTE_BAD_ALGID, CryptCreateHash(p, CALG_SSL3_SHAMD5, 0, 0, &h));
	WORKS(CryptCreateHash(p, CALG_SHA1, 0, 0, &h));
	n = sizeof v; WORKS(CryptGetHashParam(h, HP_ALGID, (BYTE *)&v, &n, 0)); CHECK(v == CALG_SHA1);
	n = sizeof v; WORKS(CryptGetHashParam(h, HP_HASHSIZE, (BYTE *)&v, &n, 0)); CHECK(v == 20);
	WORKS(CryptHashData(h, (const BYTE *)"ab", 2, 0));
	WORKS(CryptDuplicateHash(h, NULL, 0, &h2));
	WORKS(CryptHashData(h, (const BYTE *)"c", 1, 0));
	n = 0; WORKS(CryptGetHashParam(h, HP_HASHVAL, NULL, &n, 0)); CHECK(n == 20);
	WORKS(CryptHashData(h, (const BYTE *)"", 0, 0));
	n = sizeof value; WORKS(CryptGetHashParam(h, HP_HASHVAL, value, &n, 0)); CHECK(n == 20 && value[0] == 0xa9 && value[19] == 0x9d);
	FAILS(NTE_BAD_HASH_STATE, CryptHashData(h, (const BYTE *)"d", 1, 0));
	WORKS(CryptHashData(h2, (const BYTE *)"c", 1, 0));
	n = sizeof value2; WORKS(CryptGetHashParam(h2, HP_HASHVAL, value2, &n, 0)); CHECK(!memcmp(value, value2, 20));
	FAILS(NTE_BAD_TYPE, CryptGetHashParam(h, 99, value, &n, 0));
	FAILS(NTE_NO_KEY, CryptSignHashA(h, 3, NULL, 0, NULL, &n));
	FAILS(NTE_NOT_SUPPORTED, CryptSignHashA(h, AT_SIGNATURE, NULL, CRYPT_NOHASHOID, NULL, &n));
	FAILS(NTE_BAD_FLAGS, CryptSignHashA(h, AT_SIGNATURE, NULL, CRYPT_X931_FORMAT, NULL, &n));
	FAILS(ERROR_INVALID_PARAMETER, CryptSignHashA(h, AT_SIGNATURE, "a description", 0, NULL, &n));

	WORKS(CryptGenRandom(p, sizeof random, random));
	CHECK(memcmp(random, zeros, sizeof zeros));
	WORKS(CryptSetProvParam(p, PP_SIGNATURE_PIN, (BYTE *)"1234", 0));
	FAILS(NTE_BAD_TYPE, CryptSetProvParam(p, PP_KEYSET_SEC_DESCR, zeros, 0));
	WORKS(CryptContextAddRef(p, NULL, 0));
	WORKS(CryptReleaseContext(p, 0));
	CHECK(is(p, PP_NAME, PROVIDER));
	WORKS(CryptDestroyHash(h)); WORKS(CryptDestroyHash(h2)); WORKS(CryptDestroyKey(sig)); WORKS(CryptDestroyKey(kx));

	/* without a container */
	NEEDS(CryptAcquireContextA(&none, NULL, PROVIDER, TYPE, CRYPT_VERIFYCONTEXT));
	CHECK(is(none, PP_CONTAINER, ""));
	FAILS(NTE_NO_KEY, CryptGetUserKey(none, AT_SIGNATURE, &sig));
	WORKS(CryptReleaseContext(none, 0));
	NEEDS(CryptAcquireContextA(&none, argv[0], PROVIDER, TYPE, CRYPT_MACHINE_KEYSET));
	CHECK(number(none, PP_KEYSET_TYPE) == CRYPT_MACHINE_KEYSET);
	WORKS(CryptReleaseContext(none, 0));
	WORKS(CryptReleaseContext(p, 0));
	return 0;
}

/* refused CONTAINER: what a signing key cannot do */
int refused(int argc, char **argv)
{
	HCRYPTPROV p = 0;
	HCRYPTKEY k, made;
	HCRYPTHASH h;
	BYTE data[256] = {0};
	DWORD n = 16, on = 1;
	(void)argc;
	NEEDS(CryptAcquireContextA(&p, argv[0], PROVIDER, TYPE, 0));
	WORKS(CryptGetUserKey(p, AT_KEYEXCHANGE, &k));
	WORKS(CryptCreateHash(p, CALG_SHA_256, 0, 0, &h));
	FAILS(E_NOTIMPL, CryptGenKey(p, AT_SIGNATURE, 0, &made));
	FAILS(E_NOTIMPL, CryptEncrypt(k, 0, TRUE, 0, data, &n, sizeof data));
	FAILS(E_NOTIMPL, CryptDecrypt(k, 0, TRUE, 0, data, &n));
	FAILS(E_NOTIMPL, CryptDeriveKey(p, CALG_AES_128, h, 0, &made));
	FAILS(E_NOTIMPL, CryptHashSessionKey(h, k, 0));
	FAILS(E_NOTIMPL, CryptSetKeyParam(k, KP_PERMISSIONS, (BYTE *)&on, 0));
	WORKS(CryptDestroyHash(h));
	WORKS(CryptDestroyKey(k));
	WORKS(CryptReleaseContext(p, 0));
	return 0;
}
