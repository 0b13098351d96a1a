/* See der.h. */
#include "der.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void derFree(Der *out)
{
    free(out->data);
    *out = (Der){0};
}

void derAdd(Der *out, const void *data, DWORD size)
{
    if (out->size + size > out->room) {
        out->room = (out->size + size) * 2 + 64;
        out->data = realloc(out->data, out->room);
        if (!out->data) abort(); /* a test machine without memory */
    }
    if (size) memcpy(out->data + out->size, data, size);
    out->size += size;
}

void derTLV(Der *out, BYTE tag, const void *content, DWORD size)
{
    BYTE head[6] = {tag};
    DWORD n = 1;
    if (size < 0x80) {
        head[n++] = (BYTE)size;
    } else {
        int bytes = size > 0xffffff ? 4 : size > 0xffff ? 3 : size > 0xff ? 2 : 1;
        head[n++] = (BYTE)(0x80 | bytes);
        while (bytes--) head[n++] = (BYTE)(size >> 8 * bytes);
    }
    derAdd(out, head, n);
    derAdd(out, content, size);
}

void derMove(Der *out, BYTE tag, Der *content)
{
    derTLV(out, tag, content->data, content->size);
    derFree(content);
}

void derOID(Der *out, const char *dotted)
{
    BYTE body[128], *p = body;
    char *text = (char *)dotted;
    unsigned long first = strtoul(text, &text, 10), second = strtoul(text + 1, &text, 10);
    *p++ = (BYTE)(first * 40 + second);
    while (*text == '.' && p < body + sizeof body - 6) {
        unsigned long v = strtoul(text + 1, &text, 10);
        BYTE digits[6];
        int n = 0;
        do {
            digits[n++] = v & 0x7f;
            v >>= 7;
        } while (v);
        while (n--) *p++ = digits[n] | (n ? 0x80 : 0);
    }
    derTLV(out, DER_OID, body, (DWORD)(p - body));
}

void derSmall(Der *out, DWORD number)
{
    BYTE b[4] = {number >> 24, number >> 16, number >> 8, number};
    derUnsigned(out, b, 4);
}

void derUnsigned(Der *out, const BYTE *bigEndian, DWORD size)
{
    Der body = {0};
    while (size > 1 && !*bigEndian) bigEndian++, size--;
    if (*bigEndian & 0x80) derAdd(&body, "", 1);
    derAdd(&body, bigEndian, size);
    derMove(out, DER_INTEGER, &body);
}

void derAlgorithm(Der *out, const char *dotted, BOOL null)
{
    Der body = {0};
    derOID(&body, dotted);
    if (null) derTLV(&body, DER_NULL, NULL, 0);
    derMove(out, DER_SEQUENCE, &body);
}

/* X.690 section 11.6: in ascending order of the encodings, the shorter one first where it is a beginning of the other */
static int compare(const void *a, const void *b)
{
    const Der *x = a, *y = b;
    int c = memcmp(x->data, y->data, min(x->size, y->size));
    return c ? c : (x->size > y->size) - (x->size < y->size);
}

void derSetOf(Der *out, BYTE tag, Der *elements, DWORD count)
{
    Der body = {0};
    qsort(elements, count, sizeof *elements, compare);
    for (DWORD i = 0; i < count; i++) {
        derAdd(&body, elements[i].data, elements[i].size);
        derFree(&elements[i]);
    }
    derMove(out, tag, &body);
}

Cursor derCursor(const void *data, DWORD size) { return (Cursor){data, (const BYTE *)data + size}; }

BOOL derRead(Cursor *in, Element *out)
{
    const BYTE *p = in->at;
    if (in->end - p < 2 || (*p & 0x1f) == 0x1f) return FALSE;
    BYTE tag = *p++;
    DWORD size = *p++;
    if (size & 0x80) {
        int bytes = size & 0x7f;
        if (bytes < 1 || bytes > 4 || in->end - p < bytes) return FALSE;
        for (size = 0; bytes--;) size = size << 8 | *p++;
    }
    if ((size_t)(in->end - p) < size) return FALSE;
    *out = (Element){tag, in->at, (DWORD)(p + size - in->at), {p, p + size}};
    in->at = p + size;
    return TRUE;
}

BOOL derExpect(Cursor *in, BYTE tag, Element *out)
{
    Cursor keep = *in;
    if (derRead(in, out) && out->tag == tag) return TRUE;
    *in = keep;
    return FALSE;
}

BOOL derOptional(Cursor *in, BYTE tag, Element *out) { return in->at < in->end && *in->at == tag && derRead(in, out); }

BOOL derIsOID(const Element *e, const char *dotted)
{
    Der want = {0};
    derOID(&want, dotted);
    BOOL same = want.size == e->wholeSize && !memcmp(want.data, e->whole, want.size);
    derFree(&want);
    return same;
}

char *derText(const Element *e)
{
    char *text = malloc(DER_SIZE(e->content) * 12 + 16), *p = text;
    unsigned long v = 0;
    BOOL first = TRUE;
    *p = 0;
    for (const BYTE *b = e->content.at; b < e->content.end; b++) {
        v = v << 7 | (*b & 0x7f);
        if (*b & 0x80) continue;
        if (first) p += sprintf(p, "%lu.%lu", v < 80 ? v / 40 : 2, v < 80 ? v % 40 : v - 80);
        else p += sprintf(p, ".%lu", v);
        first = FALSE;
        v = 0;
    }
    return text;
}
