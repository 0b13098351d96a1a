/* What the probes of SignPathCSP share. Every check prints a line when it fails; the
 * program ends with the number of them. */
#ifndef PROBE_H
#define PROBE_H
#include <windows.h>
#include <wincrypt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROVIDER "SignPathCSP"
#define TYPE 24

extern int failures;

static inline void failed(const char *file, int line, const char *what, DWORD got)
{
	printf("%s:%d: %s: 0x%lX\n", file, line, what, (unsigned long)got);
	failures++;
}

/* CHECK: this must hold */
#define CHECK(what) do { if (!(what)) failed(__FILE__, __LINE__, #what, GetLastError()); } while (0)
/* WORKS: this call must succeed, and leave the last error as it is */
#define WORKS(call) \
	do { SetLastError(0x1234567); if (!(call)) failed(__FILE__, __LINE__, #call, GetLastError()); \
	else if (GetLastError() != 0x1234567) failed(__FILE__, __LINE__, #call " changed the last error", GetLastError()); } while (0)
/* FAILS: this call must fail with a code */
#define FAILS(code, call) \
	do { SetLastError(0); if (call) failed(__FILE__, __LINE__, #call " succeeded", 0); \
	else if (GetLastError() != (DWORD)(code)) failed(__FILE__, __LINE__, #call " is not " #code, GetLastError()); } while (0)
/* NEEDS: as CHECK, but nothing can go on without it */
#define NEEDS(what) do { if (!(what)) { failed(__FILE__, __LINE__, #what, GetLastError()); exit(failures); } } while (0)

BYTE *contents(const char *file, DWORD *length);
void save(const char *file, const BYTE *data, DWORD length);
WCHAR *wide(const char *text);

typedef int probe(int argc, char **argv);
probe sign, params, acquire, refused, hostile, message, store, csplist, dotnet, signtool, threads, unload, many, registration, trysign;
#endif
