/* probe.h: a host that loads SignPath.Ksp.dll and calls its function table as Windows' ncrypt.dll does, without ncrypt.dll. */
#ifndef PROBE_H
#define PROBE_H
#include "ksp.h" /* of the rig: the function table */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

extern HMODULE dll;
extern KspTable *table;
extern FILE *out; /* where results are written */

/* CALL makes one call and sees that GetLastError is the same after it. */
#define UNTOUCHED 0x20001234
extern LONG touched;
#define CALL(st, expr)                                           \
    do {                                                         \
        SetLastError(UNTOUCHED);                                 \
        st = (expr);                                             \
        if (GetLastError() != UNTOUCHED) InterlockedIncrement(&touched); \
    } while (0)

void fail(const char *what, const wchar_t *detail);
DWORD number(const wchar_t *s);
BYTE *read_file(const wchar_t *name, DWORD *size);
void write_file(const wchar_t *name, const BYTE *data, DWORD size);

/* padding is what a step says about the form of a signature. */
typedef struct {
    union {
        BCRYPT_PKCS1_PADDING_INFO pkcs1;
        BCRYPT_PSS_PADDING_INFO pss;
    } info;
    void *pointer; /* to info, or NULL */
} Padding;
void padding(Padding *p, const wchar_t *kind, wchar_t *alg, DWORD salt);

/* one step; 0 when there is no such step */
int step(wchar_t **field, int fields);
int hostile(wchar_t **field, int fields);
int stress(wchar_t **field, int fields);
#endif
