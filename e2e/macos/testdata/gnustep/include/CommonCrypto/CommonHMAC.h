// CCHmac as on macOS, made of OpenSSL's.
#pragma once
#include <stddef.h>
enum { kCCHmacAlgSHA256 = 2 };
void CCHmac(int algorithm, const void *key, size_t keyLength, const void *data, size_t dataLength, void *out);
