#pragma once
#import <Foundation/Foundation.h>
typedef id CFTypeRef, CFDataRef, CFStringRef, CFDictionaryRef, SecCertificateRef;
typedef void *CFAllocatorRef;
typedef NSString *SecKeyAlgorithm;
typedef int32_t OSStatus;
enum { errSecSuccess = 0, errSecItemNotFound = -25300 };
SecCertificateRef SecCertificateCreateWithData(CFAllocatorRef allocator, CFDataRef der);
OSStatus SecItemCopyMatching(CFDictionaryRef query, CFTypeRef *result);
extern NSString *const kSecClass, *const kSecClassIdentity, *const kSecReturnRef, *const kSecAttrTokenID, *const kSecAttrAccessGroup, *const kSecAttrAccessGroupToken;
#define SP_ALGORITHM(number, name) extern SecKeyAlgorithm const kSecKeyAlgorithm##name;
#include "algorithms.h"
SP_ALGORITHM(0, RSASignatureRaw)
SP_ALGORITHM(0, RSASignatureMessagePKCS1v15SHA256)
SP_ALGORITHM(0, RSAEncryptionPKCS1)
SP_ALGORITHM(0, ECDHKeyExchangeStandard)
#undef SP_ALGORITHM
