/* The DLL's functions themselves, with handles and addresses that are nobody's. */
#include "probe.h"

#define CSP(name, ...) typedef BOOL (WINAPI *name##_t)(__VA_ARGS__); static name##_t name
CSP(CPAcquireContext, HCRYPTPROV *, LPSTR, DWORD, void *);
CSP(CPReleaseContext, HCRYPTPROV, DWORD);
CSP(CPGetProvParam, HCRYPTPROV, DWORD, BYTE *, DWORD *, DWORD);
CSP(CPSetProvParam, HCRYPTPROV, DWORD, BYTE *, DWORD);
CSP(CPGetUserKey, HCRYPTPROV, DWORD, HCRYPTKEY *);
CSP(CPDestroyKey, HCRYPTPROV, HCRYPTKEY);
CSP(CPDuplicateKey, HCRYPTPROV, HCRYPTKEY, DWORD *, DWORD, HCRYPTKEY *);
CSP(CPExportKey, HCRYPTPROV, HCRYPTKEY, HCRYPTKEY, DWORD, DWORD, BYTE *, DWORD *);
CSP(CPImportKey, HCRYPTPROV, const BYTE *, DWORD, HCRYPTKEY, DWORD, HCRYPTKEY *);
CSP(CPGetKeyParam, HCRYPTPROV, HCRYPTKEY, DWORD, BYTE *, DWORD *, DWORD);
CSP(CPCreateHash, HCRYPTPROV, ALG_ID, HCRYPTKEY, DWORD, HCRYPTHASH *);
CSP(CPDestroyHash, HCRYPTPROV, HCRYPTHASH);
CSP(CPDuplicateHash, HCRYPTPROV, HCRYPTHASH, DWORD *, DWORD, HCRYPTHASH *);
CSP(CPHashData, HCRYPTPROV, HCRYPTHASH, const BYTE *, DWORD, DWORD);
CSP(CPGetHashParam, HCRYPTPROV, HCRYPTHASH, DWORD, BYTE *, DWORD *, DWORD);
CSP(CPSetHashParam, HCRYPTPROV, HCRYPTHASH, DWORD, const BYTE *, DWORD);
CSP(CPSignHash, HCRYPTPROV, HCRYPTHASH, DWORD, LPCWSTR, DWORD, BYTE *, DWORD *);
CSP(CPVerifySignature, HCRYPTPROV, HCRYPTHASH, const BYTE *, DWORD, HCRYPTKEY, LPCWSTR, DWORD);
CSP(CPGenRandom, HCRYPTPROV, DWORD, BYTE *);
CSP(CPGenKey, HCRYPTPROV, ALG_ID, DWORD, HCRYPTKEY *);

static void load(const char *dll)
{
	HMODULE m = LoadLibraryA(dll);
	NEEDS(m);
#define GET(name) NEEDS((name = (name##_t)(void *)GetProcAddress(m, #name)) != NULL)
	GET(CPAcquireContext); GET(CPReleaseContext); GET(CPGetProvParam); GET(CPSetProvParam); GET(CPGetUserKey); GET(CPDestroyKey); GET(CPDuplicateKey);
	GET(CPExportKey); GET(CPImportKey); GET(CPGetKeyParam); GET(CPCreateHash); GET(CPDestroyHash); GET(CPDuplicateHash); GET(CPHashData);
	GET(CPGetHashParam); GET(CPSetHashParam); GET(CPSignHash); GET(CPVerifySignature); GET(CPGenRandom); GET(CPGenKey);
}

/* handles of every kind but the right one */
static void wildHandles(HCRYPTPROV p, HCRYPTPROV other, HCRYPTKEY k, HCRYPTHASH h)
{
	HCRYPTPROV q, gone;
	HCRYPTKEY freed;
	HCRYPTHASH spent, made;
	BYTE b[1024] = {0};
	DWORD n = sizeof b;
	NEEDS(CPAcquireContext(&gone, NULL, CRYPT_VERIFYCONTEXT, NULL));
	NEEDS(CPCreateHash(gone, CALG_SHA1, 0, 0, &q));
	WORKS(CPReleaseContext(gone, 0));
	FAILS(NTE_BAD_UID, CPHashData(gone, q, b, 1, 0));   /* ended with its context */
	FAILS(NTE_BAD_HASH, CPHashData(p, q, b, 1, 0));
	NEEDS(CPGetUserKey(p, AT_SIGNATURE, &freed) && CPDestroyKey(p, freed));
	NEEDS(CPCreateHash(p, CALG_SHA1, 0, 0, &spent) && CPDestroyHash(p, spent));
	const uintptr_t contexts[] = {0, 1, (uintptr_t)-1, gone, k, h, (uintptr_t)b, p + 1};
	for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++) {
		HCRYPTPROV c = contexts[i];
		n = sizeof b;
		FAILS(NTE_BAD_UID, CPReleaseContext(c, 0));
		FAILS(NTE_BAD_UID, CPGetProvParam(c, PP_NAME, b, &n, 0));
		FAILS(NTE_BAD_UID, CPSetProvParam(c, PP_SIGNATURE_PIN, b, 0));
		FAILS(NTE_BAD_UID, CPGetUserKey(c, AT_SIGNATURE, &made));
		FAILS(NTE_BAD_UID, CPDestroyKey(c, k));
		FAILS(NTE_BAD_UID, CPDuplicateKey(c, k, NULL, 0, &made));
		FAILS(NTE_BAD_UID, CPExportKey(c, k, 0, PUBLICKEYBLOB, 0, b, &n));
		FAILS(NTE_BAD_UID, CPImportKey(c, b, 20, 0, 0, &made));
		FAILS(NTE_BAD_UID, CPGetKeyParam(c, k, KP_ALGID, b, &n, 0));
		FAILS(NTE_BAD_UID, CPCreateHash(c, CALG_SHA1, 0, 0, &made));
		FAILS(NTE_BAD_UID, CPDestroyHash(c, h));
		FAILS(NTE_BAD_UID, CPDuplicateHash(c, h, NULL, 0, &made));
		FAILS(NTE_BAD_UID, CPHashData(c, h, b, 1, 0));
		FAILS(NTE_BAD_UID, CPGetHashParam(c, h, HP_ALGID, b, &n, 0));
		FAILS(NTE_BAD_UID, CPSetHashParam(c, h, HP_HASHVAL, b, 0));
		FAILS(NTE_BAD_UID, CPSignHash(c, h, AT_SIGNATURE, NULL, 0, b, &n));
		FAILS(NTE_BAD_UID, CPVerifySignature(c, h, b, 256, k, NULL, 0));
		FAILS(NTE_BAD_UID, CPGenRandom(c, 1, b));
		FAILS(NTE_BAD_UID, CPGenKey(c, AT_SIGNATURE, 0, &made));
	}
	const uintptr_t keys[] = {0, 1, (uintptr_t)-1, freed, h, p, (uintptr_t)b};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		HCRYPTKEY x = keys[i];
		FAILS(NTE_BAD_KEY, CPDestroyKey(p, x));
		FAILS(NTE_BAD_KEY, CPDuplicateKey(p, x, NULL, 0, &made));
		FAILS(NTE_BAD_KEY, CPExportKey(p, x, 0, PUBLICKEYBLOB, 0, b, &n));
		FAILS(NTE_BAD_KEY, CPGetKeyParam(p, x, KP_ALGID, b, &n, 0));
		FAILS(NTE_BAD_KEY, CPVerifySignature(p, h, b, 256, x, NULL, 0));
	}
	FAILS(NTE_BAD_KEY, CPExportKey(other, k, 0, PUBLICKEYBLOB, 0, b, &n)); /* another context's */
	const uintptr_t hashes[] = {0, 1, (uintptr_t)-1, spent, k, p, (uintptr_t)b};
	for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
		HCRYPTHASH x = hashes[i];
		FAILS(NTE_BAD_HASH, CPDestroyHash(p, x));
		FAILS(NTE_BAD_HASH, CPDuplicateHash(p, x, NULL, 0, &made));
		FAILS(NTE_BAD_HASH, CPHashData(p, x, b, 1, 0));
		FAILS(NTE_BAD_HASH, CPGetHashParam(p, x, HP_ALGID, b, &n, 0));
		FAILS(NTE_BAD_HASH, CPSetHashParam(p, x, HP_HASHVAL, b, 0));
		FAILS(NTE_BAD_HASH, CPSignHash(p, x, AT_SIGNATURE, NULL, 0, b, &n));
		FAILS(NTE_BAD_HASH, CPVerifySignature(p, x, b, 256, k, NULL, 0));
	}
	FAILS(NTE_BAD_HASH, CPHashData(other, h, b, 1, 0));
	FAILS(NTE_BAD_FLAGS, CPReleaseContext(other, 1)); /* and it is released */
	FAILS(NTE_BAD_UID, CPReleaseContext(other, 0));
}

/* addresses where nothing may be read or written */
static void wildAddresses(HCRYPTPROV p, HCRYPTKEY k, HCRYPTHASH h, char *container)
{
	BYTE *page = VirtualAlloc(NULL, 65536, MEM_RESERVE, PAGE_NOACCESS), good[1024];
	BYTE *guard = VirtualAlloc(NULL, 65536, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE | PAGE_GUARD);
	BYTE *edge = VirtualAlloc(NULL, 8192, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	DWORD old, n = sizeof good;
	HCRYPTHASH made;
	NEEDS(page && guard && edge && VirtualProtect(edge + 4096, 4096, PAGE_NOACCESS, &old));
	BYTE *const nowhere[] = {NULL, (BYTE *)1, (BYTE *)0x1000, page, guard, (BYTE *)~(uintptr_t)0xFFF, (BYTE *)(~(uintptr_t)0)};
	for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
		BYTE *x = nowhere[i];
		n = sizeof good;
		FAILS(ERROR_INVALID_PARAMETER, CPAcquireContext((HCRYPTPROV *)x, container, 0, NULL));
		if (x) FAILS(ERROR_INVALID_PARAMETER, CPAcquireContext(&made, (LPSTR)x, 0, NULL));
		FAILS(ERROR_INVALID_PARAMETER, CPGetUserKey(p, AT_SIGNATURE, (HCRYPTKEY *)x));
		FAILS(ERROR_INVALID_PARAMETER, CPDuplicateKey(p, k, NULL, 0, (HCRYPTKEY *)x));
		FAILS(ERROR_INVALID_PARAMETER, CPCreateHash(p, CALG_SHA_256, 0, 0, (HCRYPTHASH *)x));
		FAILS(ERROR_INVALID_PARAMETER, CPDuplicateHash(p, h, NULL, 0, (HCRYPTHASH *)x));
		FAILS(ERROR_INVALID_PARAMETER, CPHashData(p, h, x, 100, 0));
		FAILS(ERROR_INVALID_PARAMETER, CPHashData(p, h, x, 0x10000000, 0));
		FAILS(ERROR_INVALID_PARAMETER, CPSetHashParam(p, h, HP_HASHVAL, x, 0));
		FAILS(ERROR_INVALID_PARAMETER, CPImportKey(p, x, 276, 0, 0, &made));
		FAILS(ERROR_INVALID_PARAMETER, CPImportKey(p, x, 0xFFFFFFFF, 0, 0, &made));
		FAILS(ERROR_INVALID_PARAMETER, CPVerifySignature(p, h, x, 256, k, NULL, 0));
		FAILS(ERROR_INVALID_PARAMETER, CPGenRandom(p, 100, x));
		FAILS(ERROR_INVALID_PARAMETER, CPGetProvParam(p, PP_NAME, good, (DWORD *)x, 0));
		FAILS(ERROR_INVALID_PARAMETER, CPGetProvParam(p, PP_ENUMCONTAINERS, good, (DWORD *)x, CRYPT_FIRST));
		FAILS(ERROR_INVALID_PARAMETER, CPGetKeyParam(p, k, KP_ALGID, NULL, (DWORD *)x, 0));
		FAILS(ERROR_INVALID_PARAMETER, CPExportKey(p, k, 0, PUBLICKEYBLOB, 0, good, (DWORD *)x));
		FAILS(ERROR_INVALID_PARAMETER, CPSignHash(p, h, AT_SIGNATURE, NULL, 0, good, (DWORD *)x));
		if (x) {
			FAILS(ERROR_INVALID_PARAMETER, CPGetProvParam(p, PP_NAME, x, &n, 0));
			n = sizeof good;
			FAILS(ERROR_INVALID_PARAMETER, CPExportKey(p, k, 0, PUBLICKEYBLOB, 0, x, &n));
			n = sizeof good;
			FAILS(ERROR_INVALID_PARAMETER, CPSignHash(p, h, AT_SIGNATURE, (LPCWSTR)x, 0, good, &n));
		}
	}
	/* a text without an end, data that goes on behind the last page, room that is not there */
	memset(edge, 'x', 4096);
	FAILS(ERROR_INVALID_PARAMETER, CPAcquireContext(&made, (LPSTR)edge, 0, NULL));
	FAILS(ERROR_INVALID_PARAMETER, CPHashData(p, h, edge, 4097, 0));
	WORKS(CPHashData(p, h, edge, 4096, 0));
	n = sizeof good;
	FAILS(ERROR_INVALID_PARAMETER, CPExportKey(p, k, 0, PUBLICKEYBLOB, 0, edge + 4090, &n));
	FAILS(ERROR_INVALID_PARAMETER, CPGenRandom(p, 8192, edge));
	WORKS(CPGenRandom(p, 4096, edge));
	VirtualFree(page, 0, MEM_RELEASE);
	VirtualFree(guard, 0, MEM_RELEASE);
	VirtualFree(edge, 0, MEM_RELEASE);
}

/* hostile DLL CONTAINER */
int hostile(int argc, char **argv)
{
	HCRYPTPROV p = 0, other = 0;
	HCRYPTKEY k = 0;
	HCRYPTHASH h = 0, again;
	DWORD n, three = 3;
	BYTE out[1024], b[4096];
	(void)argc;
	load(argv[0]);
	FAILS(NTE_BAD_UID, CPReleaseContext(1, 0));
	NEEDS(CPAcquireContext(&p, argv[1], 0, NULL) && CPAcquireContext(&other, argv[1], 0, NULL));
	NEEDS(CPGetUserKey(p, AT_SIGNATURE, &k) && CPCreateHash(p, CALG_SHA_256, 0, 0, &h));
	wildHandles(p, other, k, h);
	wildAddresses(p, k, h, argv[1]);
	/* and everything still works */
	n = sizeof out;
	WORKS(CPSignHash(p, h, AT_SIGNATURE, NULL, 0, out, &n));
	WORKS(CPVerifySignature(p, h, out, n, k, NULL, 0));
	FAILS(ERROR_INVALID_PARAMETER, CPDuplicateHash(p, h, &three, 0, &again));
	FAILS(NTE_BAD_FLAGS, CPDuplicateHash(p, h, NULL, 1, &again));
	/* buffers of chance */
	srand(1);
	for (int i = 0; i < 20000; i++) {
		HCRYPTKEY made;
		DWORD length = rand() % 300;
		for (DWORD j = 0; j < length; j++) b[j] = (BYTE)rand();
		b[0] = PUBLICKEYBLOB; b[1] = 2;
		if (i & 1) { *(DWORD *)(b + 4) = CALG_RSA_SIGN; memcpy(b + 8, "RSA1", 4); *(DWORD *)(b + 12) = 2048; *(DWORD *)(b + 16) = 65537; }
		if (CPImportKey(p, b, length, 0, 0, &made)) {
			CPVerifySignature(p, h, out, n, made, NULL, 0);
			WORKS(CPDestroyKey(p, made));
		}
	}
	WORKS(CPDestroyHash(p, h));
	WORKS(CPDestroyKey(p, k));
	WORKS(CPReleaseContext(p, 0));
	return 0;
}

typedef HRESULT (WINAPI *registers)(void);

/* registration DLL: what regsvr32 does; the registry is looked at by the test */
int registration(int argc, char **argv)
{
	HMODULE m = LoadLibraryA(argv[0]);
	const char *name = argc > 1 ? "DllUnregisterServer" : "DllRegisterServer";
	registers f;
	NEEDS(m);
	f = (registers)(void *)GetProcAddress(m, name);
	NEEDS(f);
	CHECK(f() == S_OK);
	CHECK(f() == S_OK); /* twice does no harm */
	return 0;
}
