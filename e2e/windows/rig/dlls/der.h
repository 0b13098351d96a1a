/* der.h: the little DER (ITU-T X.690) that the stand-ins need: a buffer that grows, to write, and a cursor, to read. */
#ifndef DER_H
#define DER_H
#include <windows.h>

/* ---- writing ---- */
typedef struct {
    BYTE *data; /* by malloc; free it with derFree */
    DWORD size, room;
} Der;

enum { /* tags */
    DER_BOOLEAN = 0x01, DER_INTEGER = 0x02, DER_BITS = 0x03, DER_OCTETS = 0x04, DER_NULL = 0x05, DER_OID = 0x06,
    DER_SEQUENCE = 0x30, DER_SET = 0x31, DER_0 = 0xa0, DER_1 = 0xa1, DER_2 = 0xa2,
};

void derFree(Der *out);
void derAdd(Der *out, const void *data, DWORD size);                 /* as it is */
void derTLV(Der *out, BYTE tag, const void *content, DWORD size);
void derMove(Der *out, BYTE tag, Der *content);                      /* derTLV, and frees the content */
void derOID(Der *out, const char *dotted);
void derSmall(Der *out, DWORD number);                               /* an INTEGER below 2^31 */
void derUnsigned(Der *out, const BYTE *bigEndian, DWORD size);       /* an INTEGER that is not negative */
void derAlgorithm(Der *out, const char *dotted, BOOL null);          /* AlgorithmIdentifier, with NULL or without parameters */
void derSetOf(Der *out, BYTE tag, Der *elements, DWORD count);       /* a SET OF in DER's order; frees the elements */

/* ---- reading ---- */
typedef struct {
    const BYTE *at, *end;
} Cursor;

typedef struct {
    BYTE tag;
    const BYTE *whole; /* with tag and length */
    DWORD wholeSize;
    Cursor content;
} Element;

BOOL derRead(Cursor *in, Element *out);             /* the next element; FALSE at the end and when it is broken */
BOOL derExpect(Cursor *in, BYTE tag, Element *out); /* the next element, which must have this tag */
BOOL derOptional(Cursor *in, BYTE tag, Element *out); /* the next element if it has this tag */
BOOL derIsOID(const Element *e, const char *dotted);
char *derText(const Element *e); /* an OID as text, by malloc */
Cursor derCursor(const void *data, DWORD size);
#define DER_SIZE(cursor) ((DWORD)((cursor).end - (cursor).at))

#endif
