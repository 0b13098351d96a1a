/* See digest.h. */
#include "digest.h"
#include <string.h>

static const DigestAlgorithm algorithms[] = {
    {"1.3.14.3.2.26", "1.2.840.10045.4.1", L"SHA1", CALG_SHA1, 20},
    {"2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2", L"SHA256", CALG_SHA_256, 32},
    {"2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.3", L"SHA384", CALG_SHA_384, 48},
    {"2.16.840.1.101.3.4.2.3", "1.2.840.10045.4.3.4", L"SHA512", CALG_SHA_512, 64},
};

const DigestAlgorithm *digestByOID(const char *oid)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (oid && !strcmp(oid, algorithms[i].oid)) return &algorithms[i];
    return NULL;
}

BOOL digestBegin(Digest *d, const DigestAlgorithm *algorithm)
{
    memset(d, 0, sizeof *d);
    d->algorithm = algorithm;
    if (BCryptOpenAlgorithmProvider(&d->provider, algorithm->name, NULL, 0)) return FALSE;
    return !BCryptCreateHash(d->provider, &d->hash, NULL, 0, NULL, 0, 0);
}

void digestAdd(Digest *d, const void *data, SIZE_T size)
{
    const BYTE *p = data;
    while (size) {
        ULONG part = size > 0x1000000 ? 0x1000000 : (ULONG)size;
        BCryptHashData(d->hash, (PUCHAR)p, part, 0);
        p += part;
        size -= part;
    }
}

void digestEnd(Digest *d, BYTE out[64])
{
    BCryptFinishHash(d->hash, out, d->algorithm->size, 0);
    BCryptDestroyHash(d->hash);
    BCryptCloseAlgorithmProvider(d->provider, 0);
}

void digestOf(const DigestAlgorithm *algorithm, const void *data, SIZE_T size, BYTE out[64])
{
    Digest d;
    if (!digestBegin(&d, algorithm)) return;
    digestAdd(&d, data, size);
    digestEnd(&d, out);
}
