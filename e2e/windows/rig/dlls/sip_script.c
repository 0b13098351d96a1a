/* sip_script.c: PowerShell files (.ps1, .psm1, .psd1). The signature stands in comments at the end, in base64 with 64
 * characters a line; the digest is over the text before it as UTF-16LE, whatever the file's own encoding is. */
#include "sip.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static const char begin[] = "\r\n# SIG # Begin signature block\r\n", end[] = "# SIG # End signature block\r\n";

static BOOL mine(LPCWSTR name, const BYTE *file, DWORD size)
{
    static const LPCWSTR endings[] = {L".ps1", L".psm1", L".psd1"};
    LPCWSTR dot = wcsrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!_wcsicmp(dot, endings[i])) return TRUE;
    return FALSE;
}

static BOOL isUTF16(const BYTE *file, DWORD size) { return size >= 2 && file[0] == 0xff && file[1] == 0xfe; }

/* wide writes ASCII text in the file's encoding. */
static void text(Der *out, const char *ascii, DWORD n, BOOL utf16)
{
    for (DWORD i = 0; i < n; i++) {
        derAdd(out, ascii + i, 1);
        if (utf16) derAdd(out, "", 1);
    }
}

/* plain is the file without its signature: how many bytes. */
static DWORD plain(const BYTE *file, DWORD size)
{
    Der mark = {0};
    text(&mark, begin, sizeof begin - 1, isUTF16(file, size));
    DWORD at = size;
    for (DWORD i = 0; i + mark.size <= size; i++)
        if (!memcmp(file + i, mark.data, mark.size)) {
            at = i;
            break;
        }
    derFree(&mark);
    return at;
}

static BOOL data(const SIP_SUBJECTINFO *s, const BYTE *file, DWORD size, const DigestAlgorithm *algorithm, const char **type, Der *value, BYTE digest[64])
{
    static const BYTE id[16] = {0x1f, 0xcc, 0x3b, 0x60, 0x59, 0x4b, 0x08, 0x4e, 0xb7, 0x24, 0xd2, 0xc6, 0x29, 0x7e, 0xf3, 0x51};
    DWORD n = plain(file, size);
    if (isUTF16(file, size)) {
        digestOf(algorithm, file, n, digest);
    } else {
        WCHAR *wide = malloc((n + 1) * sizeof *wide);
        int units = n ? MultiByteToWideChar(CP_UTF8, 0, (const char *)file, (int)n, wide, (int)n) : 0;
        digestOf(algorithm, wide, (SIZE_T)units * sizeof *wide, digest);
        free(wide);
    }
    *type = OID_SIP_INFO;
    sipInfo(value, 0x10000, id);
    return TRUE;
}

static BOOL get(const BYTE *file, DWORD size, Der *signature)
{
    DWORD step = isUTF16(file, size) ? 2 : 1, at = plain(file, size), n = 0;
    char *base64 = malloc(size + 1);
    if (at == size) {
        free(base64);
        return FALSE;
    }
    for (DWORD i = at + step * (sizeof begin - 1); i < size; i += step) {
        if (i + step * 3 < size && file[i] == '#' && file[i + step * 2] == 'S' && file[i + step * 3] == 'I') break; /* the end's mark */
        if (!strchr("# \r\n", file[i])) base64[n++] = (char)file[i];
    }
    BYTE *der = malloc(n + 1);
    DWORD length = n;
    BOOL ok = CryptStringToBinaryA(base64, n, CRYPT_STRING_BASE64, der, &length, NULL, NULL);
    if (ok) derAdd(signature, der, length);
    free(der);
    free(base64);
    return ok;
}

static BOOL put(const BYTE *file, DWORD size, const BYTE *signature, DWORD signatureSize, Der *out)
{
    BOOL utf16 = isUTF16(file, size);
    derAdd(out, file, plain(file, size));
    if (!signature) return TRUE;
    DWORD n = 0;
    CryptBinaryToStringA(signature, signatureSize, CRYPT_STRING_BASE64 | CRYPT_STRING_NOCRLF, NULL, &n);
    char *base64 = malloc(n + 1);
    CryptBinaryToStringA(signature, signatureSize, CRYPT_STRING_BASE64 | CRYPT_STRING_NOCRLF, base64, &n);
    n = (DWORD)strlen(base64);
    text(out, begin, sizeof begin - 1, utf16);
    for (DWORD i = 0; i < n; i += 64) {
        text(out, "# ", 2, utf16);
        text(out, base64 + i, min(64, n - i), utf16);
        text(out, "\r\n", 2, utf16);
    }
    text(out, end, sizeof end - 1, utf16);
    free(base64);
    return TRUE;
}

const Package scriptPackage = {{0x603BCC1F, 0x4B59, 0x4E08, {0xB7, 0x24, 0xD2, 0xC6, 0x29, 0x7E, 0xF3, 0x51}}, mine, data, get, put};
