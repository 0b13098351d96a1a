// A PKCS #11 module for tests that stands before another one and misbehaves on
// demand. The folder SHIM_DIR holds the demands as files:
//
//	FUNCTION.hang         the function never returns
//	FUNCTION.abort        the function ends the process
//	FUNCTION.sleep        the function takes as many milliseconds longer as the file says
//	FUNCTION.once         the function fails with the number in the file, once
//	FUNCTION.fail         the function fails with the number in the file
//
// Each call is written to SHIM_DIR/log. Length questions of C_Sign do not count.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv;
typedef struct {
	struct { unsigned char major, minor; } version;
	void *f[68];
} list; // CK_FUNCTION_LIST, PKCS #11 v2.40 appendix A: names in this order

enum { GET_FUNCTION_LIST = 3, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, GET_SESSION_INFO = 15, LOGIN = 18, SIGN_INIT = 42, SIGN = 43, GENERATE_KEY_PAIR = 59, GENERATE_RANDOM = 64 };

static list real, ours;
static char dir[4096];

static long demand(const char *function, const char *what, int take) {
	char path[5000], claimed[5100], text[64] = "";
	snprintf(path, sizeof path, "%s/%s.%s", dir, function, what);
	if (take) { // of several threads one gets it
		snprintf(claimed, sizeof claimed, "%s.%d", path, gettid());
		if (rename(path, claimed)) return -1;
		strcpy(path, claimed);
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return -1;
	if (read(fd, text, sizeof text - 1) < 0) text[0] = 0;
	close(fd);
	return strtol(text, 0, 0);
}

static rv before(const char *function) {
	char path[5000], line[200];
	snprintf(path, sizeof path, "%s/log", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int n = snprintf(line, sizeof line, "%s\n", function);
	if (fd >= 0) {
		if (write(fd, line, n) != n) abort();
		close(fd);
	}
	long v;
	if ((v = demand(function, "sleep", 0)) > 0) usleep(1000 * v);
	if (demand(function, "hang", 0) >= 0)
		for (;;) pause();
	if (demand(function, "abort", 0) >= 0) abort();
	if ((v = demand(function, "once", 1)) >= 0) return v;
	if ((v = demand(function, "fail", 0)) >= 0) return v;
	return 0;
}

#define THROUGH(index, name, params, ...)                     \
	static rv name params {                               \
		rv e = before("C_" #name);                    \
		return e ? e : ((rv(*) params)real.f[index])(__VA_ARGS__); \
	}
THROUGH(GET_TOKEN_INFO, GetTokenInfo, (rv slot, void *info), slot, info)
THROUGH(OPEN_SESSION, OpenSession, (rv slot, rv flags, void *app, void *notify, rv *h), slot, flags, app, notify, h)
THROUGH(GET_SESSION_INFO, GetSessionInfo, (rv h, void *info), h, info)
THROUGH(LOGIN, Login, (rv h, rv user, void *pin, rv n), h, user, pin, n)
THROUGH(SIGN_INIT, SignInit, (rv h, void *m, rv key), h, m, key)
THROUGH(GENERATE_KEY_PAIR, GenerateKeyPair, (rv h, void *m, void *a, rv na, void *b, rv nb, rv *pub, rv *priv), h, m, a, na, b, nb, pub, priv)
THROUGH(GENERATE_RANDOM, GenerateRandom, (rv h, void *to, rv n), h, to, n)
static rv Sign(rv h, void *data, rv n, void *sig, rv *len) {
	rv e = sig ? before("C_Sign") : 0;
	return e ? e : ((rv(*)(rv, void *, rv, void *, rv *))real.f[SIGN])(h, data, n, sig, len);
}

static rv GetFunctionList(list **out);
__attribute__((visibility("default"))) rv C_GetFunctionList(list **out) {
	if (!real.f[0]) {
		const char *d = getenv("SHIM_DIR"), *m = getenv("SHIM_MODULE");
		void *lib = d && m ? dlopen(m, RTLD_NOW | RTLD_LOCAL) : 0;
		rv (*get)(list **) = lib ? (rv(*)(list **))dlsym(lib, "C_GetFunctionList") : 0;
		list *l;
		if (!get || get(&l)) return 5;
		snprintf(dir, sizeof dir, "%s", d);
		real = ours = *l;
		ours.f[GET_FUNCTION_LIST] = GetFunctionList;
		ours.f[GET_TOKEN_INFO] = GetTokenInfo;
		ours.f[OPEN_SESSION] = OpenSession;
		ours.f[GET_SESSION_INFO] = GetSessionInfo;
		ours.f[LOGIN] = Login;
		ours.f[SIGN_INIT] = SignInit;
		ours.f[SIGN] = Sign;
		ours.f[GENERATE_KEY_PAIR] = GenerateKeyPair;
		ours.f[GENERATE_RANDOM] = GenerateRandom;
		fprintf(stderr, "shim: loaded\n");
	}
	*out = &ours;
	return 0;
}
static rv GetFunctionList(list **out) { return C_GetFunctionList(out); }
