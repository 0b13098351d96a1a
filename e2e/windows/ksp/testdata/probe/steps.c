/* The steps that make one call each. */
#include "probe.h"

static Handle providers[10], keys[10];

static Handle *named(const wchar_t *name)
{
    if (!name || (name[0] != 'p' && name[0] != 'k') || name[1] < '0' || name[1] > '9' || name[2]) fail("no handle is called", name);
    return name[0] == 'p' ? &providers[name[1] - '0'] : &keys[name[1] - '0'];
}

void padding(Padding *p, const wchar_t *kind, wchar_t *alg, DWORD salt)
{
    memset(p, 0, sizeof *p);
    p->pointer = &p->info;
    if (!wcscmp(kind, L"none"))
        p->pointer = NULL;
    else if (!wcscmp(kind, L"pkcs1"))
        p->info.pkcs1.pszAlgId = alg;
    else if (!wcscmp(kind, L"pss")) {
        p->info.pss.pszAlgId = alg;
        p->info.pss.cbSalt = salt;
    } else if (wcscmp(kind, L"bare"))
        fail("no such padding:", kind);
}

static void print(const wchar_t *what, const wchar_t *which, SECURITY_STATUS st)
{
    fprintf(out, "%ls %ls: 0x%08lx", what, which, (unsigned long)st);
}

static void print_bytes(const BYTE *b, DWORD n)
{
    fputc(' ', out);
    for (DWORD i = 0; i < n; i++) fprintf(out, "%02x", b[i]);
}

/* algs and keys walk through what the provider gives, and give it back. */
static void algs(wchar_t **f)
{
    DWORD count = 77;
    NCryptAlgorithmName *list = NULL;
    SECURITY_STATUS st;
    CALL(st, table->EnumAlgorithms(*named(f[1]), number(f[2]), &count, &list, 0));
    print(L"algs", f[1], st);
    for (DWORD i = 0; st == 0 && i < count; i++) fprintf(out, " %ls/%lu/0x%lx", list[i].pszName, list[i].dwClass, list[i].dwAlgOperations);
    if (list) {
        CALL(st, table->FreeBuffer(list));
        fprintf(out, " freed 0x%08lx", (unsigned long)st);
    }
}

static void enum_keys(wchar_t **f)
{
    void *state = NULL;
    SECURITY_STATUS st, freed = 0;
    for (;;) {
        NCryptKeyName *k = NULL;
        CALL(st, table->EnumKeys(*named(f[1]), NULL, &k, &state, number(f[2])));
        if (st) break;
        fprintf(out, "%ls=%ls/%lu ", k->pszName, k->pszAlgid, k->dwLegacyKeySpec);
        SECURITY_STATUS s;
        CALL(s, table->FreeBuffer(k));
        freed |= s;
    }
    if (state) {
        SECURITY_STATUS s;
        CALL(s, table->FreeBuffer(state));
        freed |= s;
    }
    print(L"keys", f[1], st);
    fprintf(out, " freed 0x%08lx", (unsigned long)freed);
}

static SECURITY_STATUS get_property(Handle h, int is_key, const wchar_t *name, BYTE *buffer, DWORD size, DWORD *result, DWORD flags)
{
    SECURITY_STATUS st;
    if (is_key)
        CALL(st, table->GetKeyProperty(providers[0], h, name, buffer, size, result, flags));
    else
        CALL(st, table->GetProviderProperty(h, name, buffer, size, result, flags));
    return st;
}

/* prop asks for the size, then with the right buffer, as most programs do. */
static void prop(wchar_t **f)
{
    Handle h = *named(f[1]);
    int is_key = f[1][0] == 'k';
    DWORD size = 0, result = 0;
    SECURITY_STATUS st = get_property(h, is_key, f[2], NULL, 0, &size, number(f[3]));
    print(f[0], f[1], st);
    fprintf(out, " %ls", f[2]);
    if (st) return;
    BYTE *b = calloc(1, size + 1);
    st = get_property(h, is_key, f[2], b, size, &result, number(f[3]));
    fprintf(out, " 0x%08lx %lu", (unsigned long)st, result);
    if (result != size) fprintf(out, " (not the size that was told: %lu)", size);
    print_bytes(b, result);
    free(b);
}

static void export(wchar_t **f)
{
    DWORD size = 0, result = 0;
    SECURITY_STATUS st;
    CALL(st, table->ExportKey(providers[0], *named(f[1]), 0, f[2], NULL, NULL, 0, &size, 0));
    if (st == 0) {
        BYTE *b = calloc(1, size + 1);
        CALL(st, table->ExportKey(providers[0], *named(f[1]), 0, f[2], NULL, b, size, &result, 0));
        if (f[3] && *f[3]) write_file(f[3], b, result);
        free(b);
    }
    print(L"export", f[1], st);
    fprintf(out, " %ls %lu", f[2], result);
}

/* size|k|padding|alg|salt|hash length|flags */
static void size_of(wchar_t **f)
{
    Padding p;
    BYTE hash[64] = {0};
    DWORD result = 0;
    SECURITY_STATUS st;
    padding(&p, f[2], f[3], number(f[4]));
    CALL(st, table->SignHash(providers[0], *named(f[1]), p.pointer, hash, number(f[5]), NULL, 0, &result, number(f[6])));
    print(L"size", f[1], st);
    fprintf(out, " %lu", result);
}

/* sign|k|padding|alg|salt|hash file|flags|buffer size|signature file */
static void sign(wchar_t **f)
{
    Padding p;
    DWORD n, result = 0, room = number(f[7]);
    BYTE *hash = read_file(f[5], &n), *buffer = calloc(1, room + 1);
    SECURITY_STATUS st;
    padding(&p, f[2], f[3], number(f[4]));
    CALL(st, table->SignHash(providers[0], *named(f[1]), p.pointer, hash, n, buffer, room, &result, number(f[6])));
    if (st == 0 && f[8] && *f[8]) write_file(f[8], buffer, result);
    print(L"sign", f[1], st);
    fprintf(out, " %lu", result);
    if (buffer[room]) fprintf(out, " (wrote beyond the buffer)");
    free(hash);
    free(buffer);
}

/* verify|k|padding|alg|salt|hash file|flags|signature file */
static void verify(wchar_t **f)
{
    Padding p;
    DWORD n, m;
    BYTE *hash = read_file(f[5], &n), *signature = read_file(f[7], &m);
    SECURITY_STATUS st;
    padding(&p, f[2], f[3], number(f[4]));
    CALL(st, table->VerifySignature(providers[0], *named(f[1]), p.pointer, hash, n, signature, m, number(f[6])));
    print(L"verify", f[1], st);
    signature[m / 2] ^= 1;
    CALL(st, table->VerifySignature(providers[0], *named(f[1]), p.pointer, hash, n, signature, m, number(f[6])));
    fprintf(out, " changed 0x%08lx", (unsigned long)st);
    free(hash);
    free(signature);
}

static void wait_for(const wchar_t *file)
{
    while (GetFileAttributesW(file) == INVALID_FILE_ATTRIBUTES) Sleep(20);
    fprintf(out, "await");
}

int step(wchar_t **f, int n)
{
    SECURITY_STATUS st = 0;
    if (!wcscmp(f[0], L"open")) {
        CALL(st, table->OpenProvider(named(f[1]), L"SignPathKSP", n > 2 ? number(f[2]) : 0));
        print(L"open", f[1], st);
    } else if (!wcscmp(f[0], L"key")) { /* key|k|p|name|spec|flags */
        CALL(st, table->OpenKey(*named(f[2]), named(f[1]), f[3], number(f[4]), number(f[5])));
        print(L"key", f[1], st);
    } else if (!wcscmp(f[0], L"freekey")) {
        CALL(st, table->FreeKey(*named(f[2]), *named(f[1])));
        print(L"freekey", f[1], st);
    } else if (!wcscmp(f[0], L"freeprov")) {
        CALL(st, table->FreeProvider(*named(f[1])));
        print(L"freeprov", f[1], st);
    } else if (!wcscmp(f[0], L"isalg")) {
        CALL(st, table->IsAlgSupported(*named(f[1]), f[2], number(f[3])));
        print(L"isalg", f[2], st);
    } else if (!wcscmp(f[0], L"set")) { /* set|h|name|text|flags */
        DWORD size = (DWORD)(wcslen(f[3]) + 1) * 2;
        if (f[1][0] == 'k')
            CALL(st, table->SetKeyProperty(providers[0], *named(f[1]), f[2], (BYTE *)f[3], size, number(f[4])));
        else
            CALL(st, table->SetProviderProperty(*named(f[1]), f[2], (BYTE *)f[3], size, number(f[4])));
        print(L"set", f[1], st);
    } else if (!wcscmp(f[0], L"setfile")) { /* setfile|k|name|file|flags */
        DWORD size;
        BYTE *value = read_file(f[3], &size);
        CALL(st, table->SetKeyProperty(providers[0], *named(f[1]), f[2], value, size, number(f[4])));
        print(L"setfile", f[1], st);
        free(value);
    } else if (!wcscmp(f[0], L"env")) {
        SetEnvironmentVariableW(f[1], f[2]);
        fprintf(out, "env");
    } else if (!wcscmp(f[0], L"await")) {
        wait_for(f[1]);
    } else if (!wcscmp(f[0], L"touch")) {
        write_file(f[1], (const BYTE *)"x", 1);
        fprintf(out, "touch");
    } else if (!wcscmp(f[0], L"to")) { /* the results go to a file, and the standard handles are closed */
        FILE *file = _wfopen(f[1], L"w");
        if (!file) fail("cannot write", f[1]);
        fflush(out);
        out = file;
        CloseHandle(GetStdHandle(STD_INPUT_HANDLE));
        CloseHandle(GetStdHandle(STD_OUTPUT_HANDLE));
        CloseHandle(GetStdHandle(STD_ERROR_HANDLE));
        fprintf(out, "closed");
    } else {
        static const struct {
            const wchar_t *name;
            void (*run)(wchar_t **);
        } more[] = {{L"algs", algs}, {L"keys", enum_keys}, {L"prop", prop}, {L"export", export}, {L"size", size_of}, {L"sign", sign}, {L"verify", verify}};
        size_t i = 0;
        while (i < sizeof more / sizeof *more && wcscmp(f[0], more[i].name)) i++;
        if (i == sizeof more / sizeof *more) return 0;
        more[i].run(f);
    }
    fputc('\n', out);
    return 1;
}
