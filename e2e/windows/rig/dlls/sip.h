/* sip.h: what the subject interface packages of testsip.dll share. */
#ifndef SIP_H
#define SIP_H
#include <windows.h>
#include <wincrypt.h>
#include <mssip.h>
#include "der.h"
#include "digest.h"

/* A Package knows one kind of file. It works on the file's bytes; sip.c reads and writes the files. A function that fails
 * sets the last error. The signature is the whole DER of the message. */
typedef struct {
    GUID type;
    BOOL (*mine)(LPCWSTR name, const BYTE *file, DWORD size);
    /* data fills the type and value of SpcIndirectDataContent, and the file's digest */
    BOOL (*data)(const SIP_SUBJECTINFO *s, const BYTE *file, DWORD size, const DigestAlgorithm *algorithm, const char **type, Der *value, BYTE digest[64]);
    BOOL (*get)(const BYTE *file, DWORD size, Der *signature);
    /* put makes the file with this signature in place of any other; a NULL signature takes it out */
    BOOL (*put)(const BYTE *file, DWORD size, const BYTE *signature, DWORD signatureSize, Der *out);
} Package;

extern const Package pePackage, msiPackage, cabPackage, scriptPackage;

static inline BOOL failed(DWORD code)
{
    SetLastError(code);
    return FALSE;
}

/* obsoleteLink is what stands for a file's name: SpcLink with the text "<<<Obsolete>>>". */
void obsoleteLink(Der *out);

/* sipInfo is SpcSipInfo: a version and the package's id, as MSI and scripts have it. */
#define OID_SIP_INFO "1.3.6.1.4.1.311.2.1.30"
void sipInfo(Der *out, DWORD version, const BYTE id[16]);

static inline DWORD le32(const BYTE *p) { return p[0] | p[1] << 8 | p[2] << 16 | (DWORD)p[3] << 24; }
static inline WORD le16(const BYTE *p) { return (WORD)(p[0] | p[1] << 8); }
static inline void put32(BYTE *p, DWORD v) { p[0] = (BYTE)v, p[1] = (BYTE)(v >> 8), p[2] = (BYTE)(v >> 16), p[3] = (BYTE)(v >> 24); }
#endif
