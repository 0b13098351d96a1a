#include "channel.h"

#include <CommonCrypto/CommonHMAC.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// TKError.h; this file does not know Objective-C.
enum { COMMUNICATION_ERROR = -2, TOKEN_NOT_FOUND = -7, BAD_PARAMETER = -8 };

static const char magic[5] = { 'S', 'P', 'T', 'K', '1' };
static const char hello[4] = { 'S', 'P', 'C', '1' };

int sp_configuration_read(struct sp_configuration *c, const void *data, size_t size) {
	const unsigned char *b = data;
	const size_t head = sizeof magic + 2 + SP_KEY + 1;
	if (!b || size < head || memcmp(b, magic, sizeof magic) != 0 || size != head + b[head - 1]) return 0;
	c->port = (unsigned)b[sizeof magic] << 8 | b[sizeof magic + 1];
	memcpy(c->key, b + sizeof magic + 2, SP_KEY);
	c->count = b[head - 1];
	c->algorithms = b + head;
	return 1;
}

int sp_configuration_allows(const struct sp_configuration *c, unsigned algorithm) {
	for (unsigned i = 0; i < c->count; i++)
		if (c->algorithms[i] == algorithm) return 1;
	return 0;
}

// Everything said on the connection but the MACs, behind room for the MAC's name.
struct talk {
	int fd;
	long long deadline; // milliseconds of the monotonic clock
	const unsigned char *key;
	size_t size;
	unsigned char said[8 + 5 + SP_MAX_ID + SP_NONCE + SP_NONCE + 2 + SP_MAX_DIGEST + 3 + SP_MAX_BODY];
};

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void say(struct talk *t, const void *data, size_t size) {
	if (size > sizeof t->said - t->size) abort(); // no peer can make it happen: all lengths are checked before
	memcpy(t->said + t->size, data, size);
	t->size += size;
}

static void mac(struct talk *t, const char *name, unsigned char out[SP_MAC]) {
	memset(t->said, 0, 8);
	memcpy(t->said, name, strlen(name)); // "app", "request" or "answer"
	CCHmac(kCCHmacAlgSHA256, t->key, SP_KEY, t->said, t->size, out);
}

// In constant time.
static int same(const unsigned char *a, const unsigned char *b) {
	volatile unsigned char difference = 0;
	for (int i = 0; i < SP_MAC; i++) difference |= a[i] ^ b[i];
	return difference == 0;
}

// Waits until the connection can be read or written; 0 when the time is over.
static int ready(struct talk *t, short what) {
	for (;;) {
		long long left = t->deadline - now();
		struct pollfd p = { .fd = t->fd, .events = what };
		if (left <= 0) return 0;
		int n = poll(&p, 1, (int)left);
		if (n > 0) return 1;
		if (n < 0 && errno != EINTR) return 0;
	}
}

#ifndef MSG_NOSIGNAL // macOS has SO_NOSIGPIPE instead
#define MSG_NOSIGNAL 0
#endif

static int send_all(struct talk *t, const void *data, size_t size) {
	const unsigned char *b = data;
	while (size > 0) {
		if (!ready(t, POLLOUT)) return 0;
		ssize_t n = send(t->fd, b, size, MSG_NOSIGNAL);
		if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
		if (n <= 0) return 0;
		b += n, size -= (size_t)n;
	}
	return 1;
}

static int receive_all(struct talk *t, void *data, size_t size) {
	unsigned char *b = data;
	while (size > 0) {
		if (!ready(t, POLLIN)) return 0;
		ssize_t n = recv(t->fd, b, size, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
		if (n <= 0) return 0;
		b += n, size -= (size_t)n;
	}
	return 1;
}

static void refuse(struct sp_answer *a, int code, const char *text) {
	a->code = code;
	a->size = (size_t)snprintf((char *)a->body, sizeof a->body, "%s", text);
}

// 1 when t->fd is connected to the app.
static int open_port(struct talk *t, unsigned port) {
	struct sockaddr_in to;
	memset(&to, 0, sizeof to);
	to.sin_family = AF_INET;
	to.sin_port = htons((unsigned short)port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0) return 0;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#ifdef SO_NOSIGPIPE
	int on = 1;
	(void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
	// On loopback it is answered or refused at once, unless others have filled the app's queue.
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	t->fd = fd;
	int failed = connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ? errno : 0;
	if (failed == EINPROGRESS || failed == EINTR) {
		socklen_t size = sizeof failed;
		if (!ready(t, POLLOUT) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0) failed = ETIMEDOUT;
	}
	if (failed) close(fd);
	return !failed;
}

// Messages 1 and 2; 1 when the other side knows the token's key.
static int shake(struct talk *t, const char *instance, size_t length) {
	unsigned char nonce[SP_NONCE], answer[SP_NONCE + SP_MAC], want[SP_MAC], n = (unsigned char)length;
	arc4random_buf(nonce, sizeof nonce);
	say(t, hello, sizeof hello);
	say(t, &n, 1);
	say(t, instance, length);
	say(t, nonce, sizeof nonce);
	if (!send_all(t, t->said + 8, t->size - 8) || !receive_all(t, answer, sizeof answer)) return 0;
	say(t, answer, SP_NONCE);
	mac(t, "app", want);
	return same(want, answer + SP_NONCE);
}

// Messages 3 and 4.
static int request(struct talk *t, unsigned algorithm, const void *digest, size_t size, struct sp_answer *answer) {
	unsigned char head[3] = { (unsigned char)algorithm, (unsigned char)size }, proof[SP_MAC], want[SP_MAC], message[2 + SP_MAX_DIGEST + SP_MAC];
	say(t, head, 2);
	say(t, digest, size);
	mac(t, "request", proof);
	memcpy(message, head, 2); // in one piece: TCP delays the second of two small ones
	memcpy(message + 2, digest, size);
	memcpy(message + 2 + size, proof, sizeof proof);
	if (!send_all(t, message, 2 + size + sizeof proof) || !receive_all(t, head, 3)) return 0;
	size_t length = (size_t)head[1] << 8 | head[2];
	if (length > SP_MAX_BODY || !receive_all(t, answer->body, length) || !receive_all(t, proof, sizeof proof)) return 0;
	say(t, head, 3);
	say(t, answer->body, length);
	mac(t, "answer", want);
	if (!same(want, proof)) return 0;
	answer->code = (signed char)head[0];
	answer->size = length;
	answer->body[length] = 0;
	return 1;
}

void sp_ask(const struct sp_configuration *c, const char *instance, unsigned algorithm, const void *digest, size_t size, struct sp_answer *answer) {
	size_t length = strlen(instance);
	if (length == 0 || length > SP_MAX_ID || algorithm > 255) {
		refuse(answer, TOKEN_NOT_FOUND, "the token has no usable name");
		return;
	}
	if (size == 0 || size > SP_MAX_DIGEST) {
		refuse(answer, BAD_PARAMETER, "what is to be signed is not a digest of 1 to 64 bytes");
		return;
	}
	struct talk t = { .deadline = now() + SP_WAIT_MS, .key = c->key, .size = 8 };
	if (!open_port(&t, c->port)) {
		refuse(answer, COMMUNICATION_ERROR, "SignPathCryptoTokenKit.app does not answer; start it");
		return;
	}
	if (!shake(&t, instance, length))
		refuse(answer, COMMUNICATION_ERROR, "what listens on the port of SignPathCryptoTokenKit.app does not know this token; start the app again");
	else if (!request(&t, algorithm, digest, size, answer))
		refuse(answer, COMMUNICATION_ERROR, "SignPathCryptoTokenKit.app ended or gave no proper answer in time; look into its log");
	close(t.fd);
}
