// library: /System/Library/Frameworks/Security.framework/Versions/A/Security 1
// What cmd/ctk uses of Security and, through it, of CoreFoundation's types.
#pragma once
#include <stdint.h>

// source: CFBase.h, CFString.h, CFData.h, CFDictionary.h (types only)
typedef const void *CFTypeRef;
typedef const struct __CFString *CFStringRef;
typedef const struct __CFData *CFDataRef;
typedef const struct __CFDictionary *CFDictionaryRef;
typedef const struct __CFAllocator *CFAllocatorRef;

// source: SecBase.h
typedef struct __SecCertificate *SecCertificateRef;
typedef int32_t OSStatus;
enum { errSecSuccess = 0, errSecItemNotFound = -25300 };

// source: SecCertificate.h
extern SecCertificateRef SecCertificateCreateWithData(CFAllocatorRef allocator, CFDataRef der);

// source: SecItem.h
extern OSStatus SecItemCopyMatching(CFDictionaryRef query, CFTypeRef *result);
extern const CFStringRef kSecClass;
extern const CFStringRef kSecClassIdentity;
extern const CFStringRef kSecReturnRef;
extern const CFStringRef kSecAttrTokenID;
extern const CFStringRef kSecAttrAccessGroup;
extern const CFStringRef kSecAttrAccessGroupToken;

// source: SecKey.h
typedef CFStringRef SecKeyAlgorithm;
extern const SecKeyAlgorithm kSecKeyAlgorithmRSASignatureDigestPKCS1v15SHA1;
extern const SecKeyAlgorithm kSecKeyAlgorithmRSASignatureDigestPKCS1v15SHA256;
extern const SecKeyAlgorithm kSecKeyAlgorithmRSASignatureDigestPKCS1v15SHA384;
extern const SecKeyAlgorithm kSecKeyAlgorithmRSASignatureDigestPKCS1v15SHA512;
extern const SecKeyAlgorithm kSecKeyAlgorithmRSASignatureDigestPSSSHA1;
extern const SecKeyAlgorithm kSecKeyAlgorithmRSASignatureDigestPSSSHA256;
extern const SecKeyAlgorithm kSecKeyAlgorithmRSASignatureDigestPSSSHA384;
extern const SecKeyAlgorithm kSecKeyAlgorithmRSASignatureDigestPSSSHA512;
extern const SecKeyAlgorithm kSecKeyAlgorithmECDSASignatureDigestX962;
extern const SecKeyAlgorithm kSecKeyAlgorithmECDSASignatureDigestX962SHA1;
extern const SecKeyAlgorithm kSecKeyAlgorithmECDSASignatureDigestX962SHA224;
extern const SecKeyAlgorithm kSecKeyAlgorithmECDSASignatureDigestX962SHA256;
extern const SecKeyAlgorithm kSecKeyAlgorithmECDSASignatureDigestX962SHA384;
extern const SecKeyAlgorithm kSecKeyAlgorithmECDSASignatureDigestX962SHA512;
