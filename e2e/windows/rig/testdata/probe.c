/* Tells about the Windows it runs in: what its arguments ask for. */
#include <windows.h>
#include <stdio.h>

int wmain(int argc, wchar_t **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!wcscmp(argv[i], L"env")) {
            wchar_t value[1024];
            if (!GetEnvironmentVariableW(argv[++i], value, 1024)) return 3;
            printf("%ls\n", value);
        } else if (!wcscmp(argv[i], L"load")) {
            if (!LoadLibraryW(argv[++i])) {
                printf("%ls: error %lu\n", argv[i], GetLastError());
                return 4;
            }
            printf("loaded %ls\n", argv[i]);
        } else {
            return 2;
        }
    }
    printf("%u bits\n", (unsigned)sizeof(void *) * 8);
    return 0;
}
