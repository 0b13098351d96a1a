/* bcrypt.dll: stands in for the functions of Windows' own that keep CNG's configuration, which are stubs in Wine. They write
 * the registry as Windows does, and note each call in the file that RECORD names. Functions with which somebody could harm
 * other providers do nothing but note that they were called. */
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <bcrypt.h>

#define CONTROL L"SYSTEM\\CurrentControlSet\\Control\\Cryptography"
#define NOT_FOUND ((NTSTATUS)0xC0000225)
#define DENIED ((NTSTATUS)0xC0000022)

typedef struct { ULONG dwInterface, dwFlags, cFunctions; PWSTR *rgpszFunctions; } InterfaceReg;
typedef struct { PWSTR pszImage; ULONG cInterfaces; InterfaceReg **rgpInterfaces; } ImageReg;
typedef struct { ULONG cAliases; PWSTR *rgpszAliases; ImageReg *pUM, *pKM; } ProviderReg;

static void note(const char *function, const wchar_t *text, ULONG number)
{
    FILE *f = _wfopen(_wgetenv(L"RECORD"), L"a");
    if (!f) return;
    fprintf(f, "%s %ls %lx\n", function, text, number);
    fclose(f);
}

static HKEY open_key(int create, const wchar_t *format, const wchar_t *a, const wchar_t *b, ULONG n)
{
    wchar_t path[512];
    HKEY k = NULL;
    swprintf(path, 512, format, a, n, b);
    if (create)
        RegCreateKeyExW(HKEY_LOCAL_MACHINE, path, 0, NULL, 0, KEY_ALL_ACCESS, NULL, &k, NULL);
    else
        RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_ALL_ACCESS, &k);
    return k;
}

NTSTATUS WINAPI RegisterProvider(LPCWSTR name, ULONG flags, ProviderReg *reg)
{
    note("BCryptRegisterProvider", name, flags);
    if (_wgetenv(L"REFUSE")) return DENIED;
    HKEY k = open_key(1, CONTROL L"\\Providers\\%ls\\UM", name, NULL, 0);
    RegSetValueExW(k, L"Image", 0, REG_SZ, (BYTE *)reg->pUM->pszImage, (DWORD)(wcslen(reg->pUM->pszImage) + 1) * 2);
    RegCloseKey(k);
    for (ULONG i = 0; i < reg->pUM->cInterfaces; i++) {
        InterfaceReg *r = reg->pUM->rgpInterfaces[i];
        wchar_t functions[256] = {0}, *end = functions;
        for (ULONG j = 0; j < r->cFunctions; j++) end = wcscpy(end, r->rgpszFunctions[j]) + wcslen(r->rgpszFunctions[j]) + 1;
        k = open_key(1, CONTROL L"\\Providers\\%ls\\UM\\%08lx", name, NULL, r->dwInterface);
        RegSetValueExW(k, L"Flags", 0, REG_DWORD, (BYTE *)&r->dwFlags, 4);
        RegSetValueExW(k, L"Functions", 0, REG_MULTI_SZ, (BYTE *)functions, (DWORD)(end - functions + 1) * 2);
        RegCloseKey(k);
    }
    return 0;
}

NTSTATUS WINAPI UnregisterProvider(LPCWSTR name)
{
    note("BCryptUnregisterProvider", name, 0);
    HKEY k = open_key(0, CONTROL L"\\Providers", NULL, NULL, 0);
    LONG e = k ? RegDeleteTreeW(k, name) : ERROR_FILE_NOT_FOUND;
    RegCloseKey(k);
    return e ? NOT_FOUND : 0;
}

/* change rewrites the list of providers without the name, and with it at the end if add is set; whether it was there. */
static int change(LPCWSTR context, ULONG kind, LPCWSTR function, LPCWSTR name, int add)
{
    wchar_t old[4096] = {0}, list[4096] = {0}, *end = list;
    DWORD size = sizeof old - 4;
    int found = 0;
    HKEY k = open_key(1, CONTROL L"\\Configuration\\Local\\%ls\\%08lx\\%ls", context, function, kind);
    if (RegQueryValueExW(k, L"Providers", NULL, NULL, (BYTE *)old, &size)) *old = 0;
    for (wchar_t *s = old; *s; s += wcslen(s) + 1) {
        if (!wcscmp(s, name))
            found = 1;
        else
            end = wcscpy(end, s) + wcslen(s) + 1;
    }
    if (add) end = wcscpy(end, name) + wcslen(name) + 1;
    RegSetValueExW(k, L"Providers", 0, REG_MULTI_SZ, (BYTE *)list, (DWORD)(end - list + 1) * 2);
    RegCloseKey(k);
    return found;
}

NTSTATUS WINAPI AddContextFunctionProvider(ULONG t, LPCWSTR context, ULONG kind, LPCWSTR function, LPCWSTR name, ULONG position)
{
    note("BCryptAddContextFunctionProvider", name, position);
    if (t != 1 || position != 0xFFFFFFFF) return (NTSTATUS)0xC000000D;
    change(context, kind, function, name, 1);
    return 0;
}

NTSTATUS WINAPI RemoveContextFunctionProvider(ULONG t, LPCWSTR context, ULONG kind, LPCWSTR function, LPCWSTR name)
{
    note("BCryptRemoveContextFunctionProvider", name, t);
    return change(context, kind, function, name, 0) ? 0 : NOT_FOUND;
}

#define HARMFUL(name)                \
    NTSTATUS WINAPI name(void)       \
    {                                \
        note("harmful", L"" #name, 0); \
        return DENIED;               \
    }
HARMFUL(RemoveContextFunction)
HARMFUL(DeleteContext)
HARMFUL(ConfigureContextFunction)

/* Other DLLs of the process want random bytes from here. */
BOOLEAN WINAPI SystemFunction036(PVOID, ULONG);
NTSTATUS WINAPI GenRandom(void *algorithm, PUCHAR b, ULONG n, ULONG flags)
{
    (void)algorithm, (void)flags;
    return SystemFunction036(b, n) ? 0 : DENIED;
}
