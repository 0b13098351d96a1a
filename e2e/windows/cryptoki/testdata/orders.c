/* The calls of tools that cannot run here, in their order, as pkcs11-spy saw them on Linux. Usage:
 * orders DLL java|engine PIN ID IN OUT: signs what IN holds, ECDSA as r||s.
 *   java    SunPKCS11 in jarsigner and Jsign: read/write first, all mechanisms' information, certificates by issuer,
 *           SHA256_RSA_PKCS in parts, no C_Finalize
 *   engine  libp11's engine in OpenSSL: finds all private keys before and after C_Login, reads their attributes one by one,
 *           CKM_RSA_PKCS over a DigestInfo (IN is the digest), C_CloseAllSessions and C_Finalize at exit */
#include "pkcs11.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static LIST_T *p11;
static UL expect(int line, const char *what, UL want, UL got) {
	if (want != got) { printf("line %d: %s answers 0x%lx, not 0x%lx\n", line, what, got, want); exit(1); }
	return got;
}
#define WANT(rv, function, ...) expect(__LINE__, #function, rv, p11->f[function](__VA_ARGS__))
#define OK(function, ...) WANT(CKR_OK, function, __VA_ARGS__)
enum { CKA_TOKEN = 1, CKA_TRUSTED = 0x86, CKA_SUBJECT = 0x101, CKA_SENSITIVE = 0x103, CKA_EXTRACTABLE = 0x162, CKA_ALWAYS_AUTHENTICATE = 0x202, CKA_PUBLIC_EXPONENT = 0x122, CKO_SECRET = 4, CKA_ISSUER = 0x81 };

/* One attribute, its length first; 0 when it is not there. */
static UL attribute(UL s, UL object, UL type, BYTE_T *value, UL room) {
	ATTR a = { type, 0, 0 };
	if (p11->f[GetAttributeValue](s, object, &a, 1) || a.length > room) return 0;
	a.value = value;
	OK(GetAttributeValue, s, object, &a, 1);
	return a.length;
}

static UL find(UL s, ATTR *t, UL n, UL *found, UL room) {
	UL all = 0, more;
	OK(FindObjectsInit, s, t, n);
	do { OK(FindObjects, s, found + all, 1, &more); all += more; } while (more && all < room);
	OK(FindObjectsFinal, s);
	return all;
}

static UL by_id(UL s, UL class, const char *id) {
	BYTE_T yes = 1;
	ATTR t[] = { { CKA_TOKEN, &yes, 1 }, { CKA_CLASS, &class, sizeof class }, { CKA_ID, (void *)id, (UL)strlen(id) } };
	UL found[2], n = find(s, t, 3, found, 2);
	if (n != 1) { printf("%lu objects\n", n); exit(1); }
	return found[0];
}

static UL java(const char *pin, const char *id, const BYTE_T *data, UL n, BYTE_T *sig) {
	INIT_T init = { { 0 }, 2, 0 };
	INFO_T info;
	SLOT_T slot;
	TOKEN_T token;
	SESSION_T state;
	UL list[64], found[64], count = 0, s, other, size = 1024;
	BYTE_T value[4096], subject[1024], yes = 1;
	OK(Initialize, &init);
	OK(GetInfo, &info);
	OK(GetSlotList, 1, 0, &count);
	OK(GetSlotList, 1, list, &count);
	OK(GetSlotInfo, list[0], &slot);
	OK(GetTokenInfo, list[0], &token);
	WANT(0xE2, OpenSession, list[0], CKF_SERIAL | 2, 0, 0, &s); /* CKR_TOKEN_WRITE_PROTECTED: it goes on read-only */
	UL where = list[0];
	OK(GetMechanismList, where, 0, &count);
	OK(GetMechanismList, where, list, &count);
	for (UL i = 0; i < count; i++) { MECHINFO_T m; OK(GetMechanismInfo, where, list[i], &m); }
	OK(OpenSession, where, CKF_SERIAL, 0, 0, &s);
	OK(GetSessionInfo, s, &state);
	OK(Login, s, CKU_USER, pin, (UL)strlen(pin));
	for (UL class = CKO_CERTIFICATE; class <= CKO_SECRET; class++) {
		ATTR t[] = { { CKA_TOKEN, &yes, 1 }, { CKA_CLASS, &class, sizeof class } };
		UL all = find(s, t, 2, found, 64);
		if ((class == CKO_SECRET) != (all == 0)) { printf("%lu objects of class %lu\n", all, class); exit(1); }
		for (UL i = 0; i < all; i++) {
			attribute(s, found[i], CKA_ID, value, sizeof value);
			attribute(s, found[i], CKA_LABEL, value, sizeof value);
			if (class == CKO_CERTIFICATE) { attribute(s, found[i], CKA_VALUE, value, sizeof value); attribute(s, found[i], CKA_TRUSTED, value, sizeof value); }
		}
	}
	/* the chain: the issuer's certificate by its subject, until one names itself */
	UL certificate = by_id(s, CKO_CERTIFICATE, id), chain = 1;
	for (;;) {
		UL class = CKO_CERTIFICATE, issuer = attribute(s, certificate, CKA_ISSUER, value, sizeof value), own = attribute(s, certificate, CKA_SUBJECT, subject, sizeof subject);
		if (issuer == own && !memcmp(value, subject, own)) break;
		ATTR t[] = { { CKA_TOKEN, &yes, 1 }, { CKA_CLASS, &class, sizeof class }, { CKA_SUBJECT, value, issuer } };
		if (find(s, t, 3, found, 64) != 1 || ++chain > 9) { puts("no issuer"); exit(1); }
		certificate = found[0];
	}
	printf("%lu certificates\n", chain);
	UL key = by_id(s, CKO_PRIVATE, id);
	for (UL types[] = { CKA_TOKEN, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_KEY_TYPE, CKA_MODULUS }, i = 0; i < 5; i++)
		if (!attribute(s, key, types[i], value, sizeof value)) { printf("no attribute 0x%lx\n", types[i]); exit(1); }
	OK(OpenSession, where, CKF_SERIAL, 0, 0, &other);
	MECH m = { CKM_SHA256_RSA_PKCS, 0, 0 };
	OK(SignInit, other, &m, key);
	for (UL at = 0; at < n; at += 512) OK(SignUpdate, other, data + at, n - at < 512 ? n - at : 512);
	OK(SignFinal, other, sig, &size);
	return size;
}

static UL engine(const char *pin, const char *id, const BYTE_T *data, UL n, BYTE_T *sig) {
	static const BYTE_T sha256[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };
	UL class = CKO_PRIVATE, found[64], all, key = 0, s, count = 4, slots[4], size = 1024;
	ATTR t = { CKA_CLASS, &class, sizeof class };
	BYTE_T value[4096], info[sizeof sha256 + 32];
	SLOT_T slot;
	TOKEN_T token;
	OK(Initialize, 0);
	OK(GetSlotList, 0, slots, &count);
	OK(GetSlotInfo, slots[0], &slot);
	OK(GetTokenInfo, slots[0], &token);
	OK(OpenSession, slots[0], CKF_SERIAL, 0, 0, &s);
	find(s, &t, 1, found, 64);
	OK(Login, s, CKU_USER, pin, (UL)strlen(pin));
	all = find(s, &t, 1, found, 64);
	for (UL i = 0; i < all; i++) {
		attribute(s, found[i], CKA_KEY_TYPE, value, sizeof value);
		attribute(s, found[i], CKA_LABEL, value, sizeof value);
		UL length = attribute(s, found[i], CKA_ID, value, sizeof value);
		if (length == strlen(id) && !memcmp(value, id, length)) key = found[i];
		attribute(s, found[i], CKA_ALWAYS_AUTHENTICATE, value, sizeof value);
		attribute(s, found[i], CKA_MODULUS, value, sizeof value);
		attribute(s, found[i], CKA_PUBLIC_EXPONENT, value, sizeof value);
	}
	if (n != 32 || !key) { puts("no key, or no digest"); exit(1); }
	memcpy(info, sha256, sizeof sha256);
	memcpy(info + sizeof sha256, data, 32);
	MECH m = { CKM_RSA_PKCS, 0, 0 };
	OK(SignInit, s, &m, key);
	OK(Sign, s, info, sizeof info, sig, &size);
	return size;
}
static void at_exit(void) { p11->f[CloseAllSessions](1); p11->f[Finalize](0); }

int main(int argc, char **argv) {
	static BYTE_T data[1 << 16], sig[1024];
	if (argc != 7) return 2;
	HMODULE module = LoadLibraryA(argv[1]);
	FN list = module ? (FN)(void *)GetProcAddress(module, "C_GetFunctionList") : 0;
	FILE *f = fopen(argv[5], "rb");
	if (!list || list(&p11) || !f) return 2;
	UL n = (UL)fread(data, 1, sizeof data, f);
	n = strcmp(argv[2], "java") ? (atexit(at_exit), engine(argv[3], argv[4], data, n, sig)) : java(argv[3], argv[4], data, n, sig);
	f = fopen(argv[6], "wb");
	if (!f || fwrite(sig, 1, n, f) != n || fclose(f)) return 2;
	puts("signed");
	return 0;
}
