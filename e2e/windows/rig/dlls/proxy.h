/* proxy.h: what the parts of the stand-in for crypt32.dll share. */
#ifndef PROXY_H
#define PROXY_H
#include <windows.h>
#include <wincrypt.h>
#include <bcrypt.h>
#include <ncrypt.h>

/* A function of Wine's own crypt32.dll. */
FARPROC wineFunction(const char *name);
#define WINE(name) ((typeof(&name))(void *)wineFunction(#name))

/* A function of ncrypt.dll, which is loaded when it is first needed. */
FARPROC ncryptFunction(const char *name);
#define NCRYPT(name) ((typeof(&name))(void *)ncryptFunction(#name))

BOOL isNcryptKey(HCRYPTPROV_OR_NCRYPT_KEY_HANDLE h);

/* fails sets the last error and answers FALSE. */
static inline BOOL fails(DWORD code)
{
    SetLastError(code);
    return FALSE;
}

/* deliver copies an answer into the caller's buffer by the rule of crypt32: the size without a buffer, and
 * ERROR_MORE_DATA with the size when it is too short. */
BOOL deliver(const void *data, DWORD length, void *out, DWORD *size);

#define OID_RSA "1.2.840.113549.1.1.1"
#define OID_EC "1.2.840.10045.2.1"
#endif
