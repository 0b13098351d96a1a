// The extension's end of the local channel to the app; the messages stand in internal/provider/ctkchannel.
#pragma once
#include <stddef.h>

enum { SP_KEY = 32, SP_NONCE = 32, SP_MAC = 32, SP_MAX_ID = 255, SP_MAX_DIGEST = 64, SP_MAX_BODY = 4096 };
enum { SP_WAIT_MS = 40000 }; // for one signature; the app itself gives up after 30 s

// What the token's configurationData says: "SPTK1", port (2 bytes, big-endian), key (32), number of algorithms (1), algorithms.
struct sp_configuration {
	unsigned port;
	unsigned char key[SP_KEY];
	const unsigned char *algorithms; // points into the data
	unsigned count;
};

// 1 when the data is a configuration of this version.
int sp_configuration_read(struct sp_configuration *c, const void *data, size_t size);

// 1 when the token's key can sign with an algorithm.
int sp_configuration_allows(const struct sp_configuration *c, unsigned algorithm);

struct sp_answer {
	int code;                        // 0, or a TKErrorCode
	size_t size;                     // of body
	unsigned char body[SP_MAX_BODY + 1]; // the signature, or a sentence that ends with a zero byte
};

// Asks the app for a signature. Whatever goes wrong is an answer with a code.
void sp_ask(const struct sp_configuration *c, const char *instance, unsigned algorithm, const void *digest, size_t size, struct sp_answer *answer);
