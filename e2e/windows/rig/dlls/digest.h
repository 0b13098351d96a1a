/* digest.h: the digest algorithms that signatures name, and hashing by BCrypt. */
#ifndef DIGEST_H
#define DIGEST_H
#include <windows.h>
#include <wincrypt.h>
#include <bcrypt.h>

typedef struct {
    const char *oid, *ecdsa; /* of the digest; of ECDSA with it */
    LPCWSTR name;            /* what CNG calls it */
    ALG_ID id;               /* what CryptoAPI calls it */
    DWORD size;              /* bytes */
} DigestAlgorithm;

const DigestAlgorithm *digestByOID(const char *oid); /* NULL if unknown */

/* Digest is a hash that is being computed. */
typedef struct {
    const DigestAlgorithm *algorithm;
    BCRYPT_ALG_HANDLE provider;
    BCRYPT_HASH_HANDLE hash;
} Digest;

BOOL digestBegin(Digest *d, const DigestAlgorithm *algorithm);
void digestAdd(Digest *d, const void *data, SIZE_T size);
void digestEnd(Digest *d, BYTE out[64]); /* algorithm->size bytes of it are set */
void digestOf(const DigestAlgorithm *algorithm, const void *data, SIZE_T size, BYTE out[64]);
#endif
