/* Steps with threads, with FreeLibrary in mid-call, and with very many signatures. */
#include "probe.h"
#include <psapi.h>

static BCRYPT_PKCS1_PADDING_INFO sha256 = {L"SHA256"};

/* one opens provider and key, signs a digest of its own, verifies, frees; the first status that is not 0. */
static SECURITY_STATUS one(const wchar_t *name, DWORD serial)
{
    Handle p = 0, k = 0;
    SECURITY_STATUS st, freed;
    BYTE hash[32] = {0}, signature[1024];
    DWORD n = 0;
    int rsa = wcsstr(name, L"rsa") != NULL;
    memcpy(hash, &serial, sizeof serial);
    CALL(st, table->OpenProvider(&p, L"SignPathKSP", 0));
    if (st == 0) CALL(st, table->OpenKey(p, &k, name, 0, 0));
    if (st == 0) CALL(st, table->SignHash(p, k, rsa ? &sha256 : NULL, hash, 32, signature, sizeof signature, &n, rsa ? BCRYPT_PAD_PKCS1 : 0));
    if (st == 0) CALL(st, table->VerifySignature(p, k, rsa ? &sha256 : NULL, hash, 32, signature, n, rsa ? BCRYPT_PAD_PKCS1 : 0));
    CALL(freed, table->FreeProvider(p));
    if (st == 0) st = freed;
    if (k) {
        CALL(freed, table->FreeKey(p, k));
        if (st == 0) st = freed;
    }
    return st;
}

/* threads|count|each|name|name…: each thread takes one of the names in turn. */
typedef struct {
    wchar_t **names;
    int count;
    DWORD thread, each;
    LONG good;
    SECURITY_STATUS bad;
} Work;

static DWORD WINAPI work(void *p)
{
    Work *w = p;
    for (DWORD i = 0; i < w->each; i++) {
        SECURITY_STATUS st = one(w->names[(w->thread + i) % w->count], w->thread << 16 | i | 1 << 30);
        if (st)
            w->bad = st;
        else
            w->good++;
    }
    return 0;
}

static void threads(wchar_t **f, int n)
{
    DWORD count = number(f[1]);
    Work *all = calloc(count, sizeof *all);
    HANDLE *h = calloc(count, sizeof *h);
    LONG good = 0;
    for (DWORD i = 0; i < count; i++) {
        all[i] = (Work){f + 3, n - 3, i, number(f[2]), 0, 0};
        h[i] = CreateThread(NULL, 0, work, &all[i], 0, NULL);
    }
    for (DWORD i = 0; i < count; i++) {
        WaitForSingleObject(h[i], INFINITE);
        CloseHandle(h[i]);
        good += all[i].good;
        if (all[i].bad) fprintf(out, "thread %lu: 0x%08lx\n", i, (unsigned long)all[i].bad);
    }
    fprintf(out, "threads: %ld good\n", good);
}

/* unload|name|file|file: FreeLibrary, as often as it takes, while another thread is inside a call. The first file appears
 * once the service has the request; the second tells it to answer. */
typedef struct {
    const wchar_t *name;
    SECURITY_STATUS status;
} One;

static DWORD WINAPI in_call(void *p)
{
    One *o = p;
    o->status = one(o->name, 7);
    return 0;
}

static void unload(wchar_t **f)
{
    One o = {f[1], 1};
    HANDLE h = CreateThread(NULL, 0, in_call, &o, 0, NULL);
    wchar_t path[MAX_PATH];
    GetModuleFileNameW(dll, path, MAX_PATH);
    while (GetFileAttributesW(f[2]) == INVALID_FILE_ATTRIBUTES) Sleep(10);
    for (int i = 0; i < 5; i++) FreeLibrary(dll);
    fprintf(out, "unload: the DLL is %s\n", GetModuleHandleW(path) ? "there" : "gone");
    write_file(f[3], (const BYTE *)"x", 1);
    WaitForSingleObject(h, INFINITE);
    CloseHandle(h);
    fprintf(out, "unload: the call ended with 0x%08lx\n", (unsigned long)o.status);
    HMODULE again = LoadLibraryW(path);
    fprintf(out, "unload: loaded again %s, then 0x%08lx\n", again == dll ? "at the same place" : "elsewhere", (unsigned long)one(f[1], 8));
}

/* loop|name|count|parts: so many signatures; memory and handles after each of the parts. */
static void loop(wchar_t **f)
{
    DWORD count = number(f[2]), parts = number(f[3]), done = 0, good = 0;
    for (DWORD part = 1; part <= parts; part++) {
        for (; done < count * part / parts; done++) good += one(f[1], done | 1u << 31) == 0;
        PROCESS_MEMORY_COUNTERS m = {.cb = sizeof m};
        GetProcessMemoryInfo(GetCurrentProcess(), &m, sizeof m);
        /* Wine does not count handles, but gives the lowest number that is free. */
        HANDLE event = CreateEventW(NULL, FALSE, FALSE, NULL);
        fprintf(out, "loop: %lu signatures, %lu good, %lu KiB, next handle %lu\n", done, good, (unsigned long)(m.WorkingSetSize / 1024), (unsigned long)((ULONG_PTR)event / 4));
        CloseHandle(event);
        fflush(out);
    }
}

int stress(wchar_t **f, int n)
{
    if (!wcscmp(f[0], L"threads") && n > 3)
        threads(f, n);
    else if (!wcscmp(f[0], L"unload") && n == 4)
        unload(f);
    else if (!wcscmp(f[0], L"loop") && n == 4)
        loop(f);
    else
        return 0;
    return 1;
}
