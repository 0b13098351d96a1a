/* probe.exe DLL STEP...: loads a key storage provider and takes steps, each an argument of fields with | between them. Each
 * writes a line "STEP: status and what came out". Handles have names: p0 … p9 providers, k0 … k9 keys. */
#include "probe.h"

HMODULE dll;
KspTable *table;
FILE *out;
LONG touched;

void fail(const char *what, const wchar_t *detail)
{
    fprintf(out, "probe: %s %ls (error %lu)\n", what, detail ? detail : L"", GetLastError());
    fflush(out);
    ExitProcess(3);
}

DWORD number(const wchar_t *s) { return wcstoul(s, NULL, 0); }

BYTE *read_file(const wchar_t *name, DWORD *size)
{
    FILE *f = _wfopen(name, L"rb");
    if (!f) fail("cannot read", name);
    BYTE *b = calloc(1, 1 << 20);
    *size = (DWORD)fread(b, 1, 1 << 20, f);
    fclose(f);
    return b;
}

void write_file(const wchar_t *name, const BYTE *data, DWORD size)
{
    FILE *f = _wfopen(name, L"wb");
    if (!f || fwrite(data, 1, size, f) != size) fail("cannot write", name);
    fclose(f);
}

int wmain(int argc, wchar_t **argv)
{
    out = stdout;
    if (argc < 2) return 2;
    dll = LoadLibraryW(argv[1]);
    if (!dll) fail("cannot load", argv[1]);
    GetKeyStorageInterfaceFn get = (GetKeyStorageInterfaceFn)(void *)GetProcAddress(dll, "GetKeyStorageInterface");
    if (!get) fail("no GetKeyStorageInterface in", argv[1]);
    SECURITY_STATUS st;
    CALL(st, get(L"SignPathKSP", &table, 0));
    int slots = 0;
    for (void **f = (void **)&table->OpenProvider; st == 0 && slots < KSP_FUNCTIONS && f[slots]; slots++) {}
    fprintf(out, "interface: 0x%08lx version %d.%d, %d functions\n", (unsigned long)st, table->major, table->minor, slots);
    for (int i = 2; i < argc; i++) {
        wchar_t *field[16] = {0}, *copy = _wcsdup(argv[i]);
        int n = 0;
        for (wchar_t *s = copy; s && n < 16; n++) {
            field[n] = s;
            if ((s = wcschr(s, L'|')) != NULL) *s++ = 0;
        }
        if (!step(field, n) && !hostile(field, n) && !stress(field, n)) fail("no such step:", argv[i]);
        fflush(out);
    }
    fprintf(out, touched ? "GetLastError was changed %ld times\n" : "GetLastError was left alone\n", touched);
    fflush(out);
    return 0;
}
