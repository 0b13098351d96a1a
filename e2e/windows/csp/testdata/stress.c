/* Many threads, many signatures, and a DLL that is to be unloaded while it works. */
#include "probe.h"
#include <psapi.h>

static const char *container;
static long rounds;
static volatile LONG bad;

#define MUST(what) do { if (!(what)) { InterlockedIncrement(&bad); printf("%s:%d: %s: 0x%lX\n", __FILE__, __LINE__, #what, (unsigned long)GetLastError()); return 1; } } while (0)

/* one signature over a value of its own, checked */
static int one(HCRYPTPROV p, DWORD mark)
{
	HCRYPTHASH h, copy;
	HCRYPTKEY k;
	BYTE out[1024];
	DWORD n = sizeof out;
	MUST(CryptCreateHash(p, CALG_SHA_256, 0, 0, &h));
	MUST(CryptHashData(h, (const BYTE *)&mark, sizeof mark, 0));
	MUST(CryptDuplicateHash(h, NULL, 0, &copy));
	MUST(CryptSignHashA(h, AT_SIGNATURE, NULL, 0, out, &n));
	MUST(CryptGetUserKey(p, AT_SIGNATURE, &k));
	MUST(CryptVerifySignatureA(copy, out, n, k, NULL, 0));
	MUST(CryptDestroyKey(k));
	MUST(CryptDestroyHash(copy));
	MUST(CryptDestroyHash(h));
	return 0;
}

static DWORD WINAPI worker(void *shared)
{
	for (long i = 0; i < rounds; i++) {
		HCRYPTPROV p = (HCRYPTPROV)shared;
		if (!shared) MUST(CryptAcquireContextA(&p, container, PROVIDER, TYPE, 0));
		if (one(p, GetCurrentThreadId() << 16 | (DWORD)i)) return 1;
		if (!shared) MUST(CryptReleaseContext(p, 0));
	}
	return 0;
}

/* threads CONTAINER THREADS ROUNDS: half of the threads share a context, half have their own */
int threads(int argc, char **argv)
{
	HANDLE t[64];
	HCRYPTPROV p = 0;
	int n = atoi(argv[1]);
	(void)argc;
	container = argv[0];
	rounds = atol(argv[2]);
	NEEDS(n <= 64 && CryptAcquireContextA(&p, container, PROVIDER, TYPE, 0));
	for (int i = 0; i < n; i++) NEEDS(t[i] = CreateThread(NULL, 0, worker, i & 1 ? (void *)p : NULL, 0, NULL));
	for (int i = 0; i < n; i++) WaitForSingleObject(t[i], INFINITE);
	WORKS(CryptReleaseContext(p, 0));
	CHECK(bad == 0);
	return 0;
}

/* unload CONTAINER DLL: the DLL is released as often as it will go, before, while and after a signature is made */
int unload(int argc, char **argv)
{
	HMODULE m = LoadLibraryA(argv[1]);
	HANDLE t;
	(void)argc;
	NEEDS(m);
	for (int i = 0; i < 10; i++) FreeLibrary(m);
	CHECK(GetModuleHandleA(argv[1]) == m); /* never used, and still there */
	container = argv[0];
	rounds = 3;
	NEEDS(t = CreateThread(NULL, 0, worker, NULL, 0, NULL));
	while (WaitForSingleObject(t, 5) == WAIT_TIMEOUT) FreeLibrary(m);
	CHECK(bad == 0);
	for (int i = 0; i < 100; i++) FreeLibrary(m);
	CHECK(GetModuleHandleA(argv[1]) == m);
	rounds = 1;
	CHECK(worker(NULL) == 0);
	return 0;
}

typedef struct { SIZE_T memory; uintptr_t handle; } usage;

static usage now(void)
{
	PROCESS_MEMORY_COUNTERS_EX m = {.cb = sizeof m};
	HANDLE next = CreateEventW(NULL, FALSE, FALSE, NULL); /* the lowest number that is free */
	usage u = {0, (uintptr_t)next};
	CHECK(next && CloseHandle(next));
	CHECK(GetProcessMemoryInfo(GetCurrentProcess(), (PROCESS_MEMORY_COUNTERS *)&m, sizeof m));
	u.memory = m.PagefileUsage;
	return u;
}

/* many CONTAINER N: memory and handles after N signatures are those after N/2 */
int many(int argc, char **argv)
{
	long n = atol(argv[1]);
	usage early = {0, 0}, late;
	(void)argc;
	container = argv[0];
	for (long i = 0; i < n; i++) {
		HCRYPTPROV p;
		if (!CryptAcquireContextA(&p, container, PROVIDER, TYPE, 0)) { CHECK(!"acquire"); break; }
		if (one(p, (DWORD)i)) break;
		if (i & 1) { /* what a sloppy program leaves to the release */
			HCRYPTHASH h;
			HCRYPTKEY k;
			CHECK(CryptCreateHash(p, CALG_SHA_512, 0, 0, &h) && CryptGetUserKey(p, AT_SIGNATURE, &k));
		}
		if (!CryptReleaseContext(p, 0)) { CHECK(!"release"); break; }
		if (i == n / 2) early = now();
	}
	late = now();
	printf("memory %lu -> %lu KB, next handle %lu -> %lu\n", (unsigned long)(early.memory >> 10), (unsigned long)(late.memory >> 10), (unsigned long)early.handle, (unsigned long)late.handle);
	CHECK(bad == 0);
	/* Go starts a thread more now and then, with some handles; a leak is one for each signature at least */
	CHECK(late.memory < early.memory + (8 << 20));
	CHECK(late.handle <= early.handle + 4 * 100);
	return 0;
}
