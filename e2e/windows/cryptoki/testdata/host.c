/* A host of SignPath.Cryptoki.dll. Usage: host DLL COMMAND…; each command does one thing and says what it saw:
 *   probe                    loads, asks for lists and interfaces, unloads: no threads, nothing stays
 *   walk PIN                 lists slot, token, mechanisms and objects
 *   sign PIN ID MECHANISM IN OUT   signs a file and verifies with the module; MECHANISM: rsa, pss, pss-raw, ecdsa, ecdsa-raw
 *   stay PIN                 FreeLibrary between calls
 *   error PIN ID             the last error of the thread through all calls
 *   wild PIN ID              pointers that lead nowhere
 *   late NAME VALUE PIN      sets a variable after loading, then logs in
 *   closed PIN               without standard streams
 *   threads N M PIN ID       N threads sign M times each
 *   during PIN ID            C_Finalize by another thread while C_Sign runs
 *   keep PIN                 logs in, and ends without C_Finalize
 *   tidy PIN                 a library of the host (tidy.c, beside it) calls C_Finalize in its DllMain while the process ends
 *   early                    a library of the host (early.dll) calls C_Initialize in its DllMain
 * Any other answer than the expected one ends the program with code 1. */
#include "pkcs11.h"
#include <tlhelp32.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static HMODULE module;
static LIST_T *p11;

#define CHECK(x) do { if (!(x)) { printf("line %d: not so: %s\n", __LINE__, #x); fflush(stdout); exit(1); } } while (0)
static UL expect(int line, const char *what, UL want, UL got) {
	if (want != got) { printf("line %d: %s answers 0x%lx, not 0x%lx\n", line, what, got, want); fflush(stdout); exit(1); }
	return got;
}
#define WANT(rv, function, ...) expect(__LINE__, #function, rv, p11->f[function](__VA_ARGS__))
#define OK(function, ...) WANT(CKR_OK, function, __VA_ARGS__)

static void load(const char *path) {
	module = LoadLibraryA(path);
	if (!module) { printf("LoadLibrary fails with %lu\n", GetLastError()); exit(1); }
	FN get = (FN)(void *)GetProcAddress(module, "C_GetFunctionList");
	CHECK(get && get(&p11) == CKR_OK && p11->version.major == 2 && p11->version.minor == 40);
}

static int threads_of_process(void) {
	THREADENTRY32 e = { .dwSize = sizeof e };
	HANDLE s = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
	int n = 0;
	for (BOOL more = Thread32First(s, &e); more; more = Thread32Next(s, &e)) n += e.th32OwnerProcessID == GetCurrentProcessId();
	CloseHandle(s);
	return n;
}

static UL login(const char *pin) {
	UL slot[4], n = 4, session = 0;
	OK(Initialize, 0);
	OK(GetSlotList, 1, slot, &n);
	CHECK(n == 1);
	OK(OpenSession, slot[0], CKF_SERIAL, 0, 0, &session);
	OK(Login, session, CKU_USER, pin, (UL)strlen(pin));
	return session;
}

static UL find(UL session, UL class, const char *id) {
	ATTR t[] = { { CKA_CLASS, &class, sizeof class }, { CKA_ID, (void *)id, (UL)strlen(id) } };
	UL found[2], n = 0;
	OK(FindObjectsInit, session, t, 2);
	OK(FindObjects, session, found, 2, &n);
	OK(FindObjectsFinal, session);
	if (n != 1) { printf("%lu objects of class %lu with the id %s\n", n, class, id); exit(1); }
	return found[0];
}

static void *whole(const char *path, UL *n) {
	FILE *f = fopen(path, "rb");
	void *b = malloc(1 << 20);
	CHECK(f && b);
	*n = (UL)fread(b, 1, 1 << 20, f);
	fclose(f);
	return b;
}

static void probe(const char *path) {
	int before = threads_of_process();
	INTERFACE_T list[8], *one;
	UL n = 8;
	load(path);
	CHECK(p11->f[GetInfo](list) == CKR_CRYPTOKI_NOT_INITIALIZED && p11->f[Finalize](0) == CKR_CRYPTOKI_NOT_INITIALIZED);
	FN list_interfaces = (FN)(void *)GetProcAddress(module, "C_GetInterfaceList"), get_interface = (FN)(void *)GetProcAddress(module, "C_GetInterface");
	CHECK(list_interfaces(0, &n) == CKR_OK && n == 3 && list_interfaces(list, &n) == CKR_OK);
	for (UL i = 0; i < n; i++) {
		LIST_T *l = list[i].list;
		INTERFACE_T *again;
		printf("%s %d.%d flags %lu\n", list[i].name, l->version.major, l->version.minor, list[i].flags);
		CHECK(get_interface(list[i].name, &l->version, &again, 0) == CKR_OK && again->list == l);
		for (int k = 0; k < (l->version.major == 2 ? 68 : 92); k++) CHECK(l->f[k]);
	}
	CHECK(get_interface(0, 0, &one, 0) == CKR_OK && ((LIST_T *)one->list)->version.major == 3);
	CHECK(get_interface("PKCS 11", 0, &one, 1) == CKR_ARGUMENTS_BAD && get_interface("PKCS 1", 0, &one, 0) == CKR_ARGUMENTS_BAD);
	printf("%d threads more\n", threads_of_process() - before);
	FreeLibrary(module);
	printf("%s\n", GetModuleHandleA("SignPath.Cryptoki.dll") ? "stays" : "is gone");
}

static void walk(const char *pin) {
	INFO_T info;
	SLOT_T slot;
	TOKEN_T token;
	SESSION_T state;
	UL n = 0, list[64], found[64];
	UL s = login(pin);
	memset(&info, 0xA5, sizeof info);
	OK(GetInfo, &info);
	CHECK(info.cryptoki.major == 2 && info.cryptoki.minor == 40 && info.flags == 0);
	printf("module '%.32s' '%.32s' %d.%d\n", info.manufacturer, info.description, info.library.major, info.library.minor);
	memset(&slot, 0xA5, sizeof slot);
	OK(GetSlotInfo, 1, &slot);
	printf("slot '%.64s' flags %lu\n", slot.description, slot.flags);
	memset(&token, 0xA5, sizeof token);
	OK(GetTokenInfo, 1, &token);
	printf("token '%.32s' serial '%.16s' flags 0x%lx pin %lu..%lu sessions %lu\n", token.label, token.serial, token.flags, token.min_pin, token.max_pin, token.sessions);
	OK(GetSessionInfo, s, &state);
	CHECK(state.slot == 1 && state.state == 1 && state.flags == CKF_SERIAL);
#ifdef _WIN64 /* the upper half of a register that holds a CK_ULONG says nothing */
	CHECK(((UL(*)(UINT64, UINT64, UINT64, UINT64, void *))p11->f[OpenSession])(0xDEAD00000001, 0xBEEF00000004, 0, 0, &list[1]) == CKR_OK);
	CHECK(((UL(*)(UINT64, void *))p11->f[GetSessionInfo])(0xFFFFFFFF00000000 | s, &state) == CKR_OK && state.slot == 1);
#endif
	OK(GetMechanismList, 1, 0, &n);
	CHECK(n > 5 && n <= 64);
	OK(GetMechanismList, 1, list, &n);
	for (UL i = 0; i < n; i++) {
		MECHINFO_T m;
		OK(GetMechanismInfo, 1, list[i], &m);
		printf("mechanism 0x%lx %lu..%lu 0x%lx\n", list[i], m.min, m.max, m.flags);
	}
	OK(FindObjectsInit, s, 0, 0);
	OK(FindObjects, s, found, 64, &n);
	OK(FindObjectsFinal, s);
	for (UL i = 0; i < n; i++) {
		char label[256];
		UL class = 0, bits = 0;
		ATTR t[] = { { CKA_CLASS, &class, sizeof class }, { CKA_LABEL, label, sizeof label } }, b = { CKA_MODULUS_BITS, &bits, sizeof bits };
		ATTR length = { CKA_LABEL, 0, 0 }, none = { CKA_MODULUS, label, 2 };
		OK(GetAttributeValue, s, found[i], t, 2);
		CHECK(t[0].length == 4);
		OK(GetAttributeValue, s, found[i], &length, 1);
		CHECK(length.length == t[1].length);
		CHECK(p11->f[GetAttributeValue](s, found[i], &none, 1) != CKR_OK && none.length == ~0ul); /* CK_UNAVAILABLE_INFORMATION */
		if (p11->f[GetAttributeValue](s, found[i], &b, 1)) bits = 0;
		printf("object %lu %.*s %lu\n", class, (int)t[1].length, label, bits);
	}
	OK(CloseAllSessions, 1);
	OK(Finalize, 0);
}

static const struct way { const char *name; UL type; int pss, raw; } ways[] = {
	{ "rsa", CKM_SHA256_RSA_PKCS, 0, 0 }, { "pss", CKM_SHA256_RSA_PSS, 1, 0 }, { "pss-raw", CKM_RSA_PSS, 1, 1 },
	{ "digestinfo", CKM_RSA_PKCS, 0, 1 }, { "ecdsa", CKM_ECDSA_SHA256, 0, 0 }, { "ecdsa-raw", CKM_ECDSA, 0, 1 }, { "eddsa", CKM_EDDSA, 0, 1 },
};

static void sign(const char *pin, const char *id, const char *mechanism, const char *in, const char *out) {
	PSS_T pss = { CKM_SHA256, 2, 32 };
	const struct way *w = ways;
	while (strcmp(w->name, mechanism)) w++;
	MECH m = { w->type, w->pss ? &pss : 0, w->pss ? sizeof pss : 0 };
	UL n, size = 0, s = login(pin), key = find(s, CKO_PRIVATE, id);
	BYTE_T *data = whole(in, &n), sig[1024];
	OK(SignInit, s, &m, key);
	OK(Sign, s, data, n, 0, &size);
	UL room = size - 1;
	WANT(CKR_BUFFER_TOO_SMALL, Sign, s, data, n, sig, &room);
	CHECK(room == size);
	OK(Sign, s, data, n, sig, &room);
	CHECK(room == size);
	FILE *f = fopen(out, "wb");
	CHECK(f && fwrite(sig, 1, room, f) == room && !fclose(f));
	key = find(s, CKO_PUBLIC, id);
	OK(VerifyInit, s, &m, key);
	OK(Verify, s, data, n, sig, room);
	sig[room / 2] ^= 1;
	OK(VerifyInit, s, &m, key);
	CHECK(p11->f[Verify](s, data, n, sig, room) == 0xC0);
	if (!w->raw) { /* in parts */
		OK(SignInit, s, &m, find(s, CKO_PRIVATE, id));
		for (UL i = 0; i < n; i++) OK(SignUpdate, s, data + i, 1);
		OK(SignFinal, s, sig, &room);
		OK(VerifyInit, s, &m, key);
		OK(VerifyUpdate, s, data, n);
		OK(VerifyFinal, s, sig, room);
	}
	OK(Logout, s);
	OK(CloseSession, s);
	OK(Finalize, 0);
	printf("signed %lu bytes\n", room);
}

static void stay(const char *path, const char *pin) {
	UL s = login(pin);
	SESSION_T state;
	FreeLibrary(module);
	CHECK(GetModuleHandleA("SignPath.Cryptoki.dll") == module);
	OK(GetSessionInfo, s, &state);
	load(path);
	OK(GetSessionInfo, s, &state);
	OK(Finalize, 0);
	FreeLibrary(module);
	FreeLibrary(module);
	FreeLibrary(module);
	CHECK(GetModuleHandleA("SignPath.Cryptoki.dll") == module);
	load(path);
	login(pin);
	OK(Finalize, 0);
	puts("stays");
}

static void error(const char *pin, const char *id) {
	MECH m = { CKM_SHA256_RSA_PKCS, 0, 0 };
	BYTE_T sig[1024];
	UL n = sizeof sig, s;
	SetLastError(0xC0FFEE);
	s = login(pin);
	OK(SignInit, s, &m, find(s, CKO_PRIVATE, id));
	OK(Sign, s, "data", 4, sig, &n);
	CHECK(p11->f[Login](s, CKU_USER, "x", 1) != CKR_OK);
	CHECK(p11->f[InitToken](1, 0, 0, 0) != CKR_OK);
	OK(Finalize, 0);
	CHECK(p11->f[GetInfo](sig) == CKR_CRYPTOKI_NOT_INITIALIZED);
	CHECK(GetLastError() == 0xC0FFEE);
	puts("kept");
}

static void wild(const char *pin, const char *id) {
	BYTE_T *no = VirtualAlloc(0, 65536, MEM_RESERVE, PAGE_NOACCESS), *ro = VirtualAlloc(0, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_READONLY), *last = (void *)(~(UINT_PTR)0 - 15);
	INTERFACE_T *one;
	MECH m = { CKM_SHA256_RSA_PKCS, 0, 0 };
	FN list = p11->f[GetFunctionList], list_interfaces = (FN)(void *)GetProcAddress(module, "C_GetInterfaceList"), get_interface = (FN)(void *)GetProcAddress(module, "C_GetInterface");
	BYTE_T *bad[] = { no, ro, last, (void *)1 };
	for (int i = 0; i < 4; i++) {
		CHECK(list(bad[i]) == CKR_ARGUMENTS_BAD && list_interfaces(0, bad[i]) == CKR_ARGUMENTS_BAD && get_interface(0, 0, bad[i], 0) == CKR_ARGUMENTS_BAD);
		if (bad[i] != ro) CHECK(get_interface(bad[i], 0, &one, 0) == CKR_ARGUMENTS_BAD && p11->f[Initialize](bad[i]) == CKR_ARGUMENTS_BAD);
	}
	UL s = login(pin), n = 8, handle;
	for (int i = 0; i < 4; i++) {
		BYTE_T *b = bad[i];
		ATTR t = { CKA_ID, b, 64 }, u = { CKA_CLASS, b, 4 };
		MECH pss = { CKM_RSA_PSS, b, sizeof(PSS_T) };
		CHECK(p11->f[GetInfo](b) == CKR_ARGUMENTS_BAD);
		CHECK(p11->f[GetSlotList](1, b, &n) != CKR_OK || b == 0);
		n = 8;
		CHECK(p11->f[GetSlotList](1, 0, b) != CKR_OK);
		CHECK(p11->f[GetTokenInfo](1, b) != CKR_OK);
		CHECK(p11->f[OpenSession](1, CKF_SERIAL, 0, 0, b) != CKR_OK);
		CHECK(p11->f[GetSessionInfo](s, b) != CKR_OK);
		UL class = CKO_PRIVATE;
		ATTR byclass = { CKA_CLASS, &class, sizeof class };
		OK(FindObjectsInit, s, &byclass, 1);
		CHECK(p11->f[FindObjects](s, b, 4, &n) != CKR_OK);
		p11->f[FindObjectsFinal](s);
		handle = find(s, CKO_PRIVATE, id);
		CHECK(p11->f[GetAttributeValue](s, handle, &t, 1) != CKR_OK);
		if (b != ro) {
			CHECK(p11->f[FindObjectsInit](s, &u, 1) != CKR_OK);
			CHECK(p11->f[SignInit](s, &pss, handle) != CKR_OK);
			CHECK(p11->f[SignInit](s, b, handle) != CKR_OK);
			OK(SignInit, s, &m, handle);
			CHECK(p11->f[SignUpdate](s, b, 64) != CKR_OK);
			n = 0;
			p11->f[SignFinal](s, 0, &n);
			p11->f[FindObjectsFinal](s);
		}
		UL again;
		OK(OpenSession, 1, CKF_SERIAL, 0, 0, &again);
		OK(CloseSession, s);
		s = again;
		/* where the signature goes */
		n = 1024;
		OK(SignInit, s, &m, handle);
		CHECK(p11->f[Sign](s, "data", 4, b, &n) != CKR_OK);
	}
	OK(GetSessionInfo, s, &(SESSION_T){ 0 });
	/* lengths that cannot be meant */
	CHECK(p11->f[FindObjectsInit](s, bad, ~0ul) == CKR_ARGUMENTS_BAD && p11->f[GetAttributeValue](s, handle, bad, ~0ul) == CKR_ARGUMENTS_BAD);
	OK(Finalize, 0);
	puts("answered");
}

static void late(const char *name, const char *value, const char *pin) {
	SetEnvironmentVariableA(name, value);
	login(pin);
	OK(Finalize, 0);
	puts("logged in");
}

static void closed(const char *pin) {
	CloseHandle(GetStdHandle(STD_INPUT_HANDLE));
	CloseHandle(GetStdHandle(STD_OUTPUT_HANDLE));
	CloseHandle(GetStdHandle(STD_ERROR_HANDLE));
	login(pin);
	OK(Finalize, 0);
	exit(42);
}

static const char *thread_id;
static UL thread_key, thread_times;
static DWORD WINAPI signer(void *unused) {
	MECH m = { CKM_SHA256_RSA_PKCS, 0, 0 };
	UL s, n;
	BYTE_T sig[1024];
	(void)unused;
	for (UL i = 0; i < thread_times; i++) {
		OK(OpenSession, 1, CKF_SERIAL, 0, 0, &s);
		OK(SignInit, s, &m, thread_key);
		n = sizeof sig;
		OK(Sign, s, "data", 4, sig, &n);
		OK(CloseSession, s);
	}
	return 0;
}
static void many(int count, UL times, const char *pin, const char *id) {
	HANDLE t[64];
	UL s = login(pin);
	CHECK(count <= 64);
	thread_id = id; thread_key = find(s, CKO_PRIVATE, id); thread_times = times;
	for (int i = 0; i < count; i++) CHECK((t[i] = CreateThread(0, 65536, signer, 0, STACK_SIZE_PARAM_IS_A_RESERVATION, 0))); /* small stacks */
	for (int i = 0; i < count; i++) CHECK(WaitForSingleObject(t[i], 120000) == WAIT_OBJECT_0);
	OK(Finalize, 0);
	printf("%lu signatures\n", (UL)count * times);
}

static HANDLE signing;
static DWORD WINAPI endless(void *unused) {
	MECH m = { CKM_SHA256_RSA_PKCS, 0, 0 };
	UL s, n, rv = 0;
	BYTE_T sig[1024];
	(void)unused;
	OK(OpenSession, 1, CKF_SERIAL, 0, 0, &s);
	for (UL i = 0; !rv; i++) {
		n = sizeof sig;
		rv = p11->f[SignInit](s, &m, thread_key);
		SetEvent(signing);
		if (!rv) rv = p11->f[Sign](s, &i, sizeof i, sig, &n);
	}
	return rv;
}
static void during(const char *path, const char *pin, const char *id) {
	DWORD rv;
	UL s = login(pin);
	signing = CreateEventW(0, TRUE, FALSE, 0);
	thread_key = find(s, CKO_PRIVATE, id);
	HANDLE t = CreateThread(0, 0, endless, 0, 0, 0);
	WaitForSingleObject(signing, INFINITE);
	FreeLibrary(module);
	OK(Finalize, 0);
	CHECK(WaitForSingleObject(t, 30000) == WAIT_OBJECT_0 && GetExitCodeThread(t, &rv));
	CHECK(rv == CKR_CRYPTOKI_NOT_INITIALIZED || rv == CKR_FUNCTION_CANCELED || rv == CKR_SESSION_HANDLE_INVALID);
	load(path);
	login(pin);
	OK(Finalize, 0);
	puts("ended");
}

/* The library is beside this program; it gets the module's function list. */
static void tidy(const char *pin) {
	HMODULE library = LoadLibraryA("tidy.dll");
	void (*take)(LIST_T *) = library ? (void (*)(LIST_T *))(void *)GetProcAddress(library, "take") : 0;
	CHECK(take);
	login(pin);
	take(p11);
	puts("ends");
}

static void early(const char *path) {
	SetEnvironmentVariableA("EARLY_MODULE", path);
	CHECK(LoadLibraryA("early.dll"));
	CHECK(p11->f[Initialize](0) == CKR_OK); /* later, it works */
	OK(Finalize, 0);
	puts("works later");
}

int main(int argc, char **argv) {
	const char *what = argc > 2 ? argv[2] : "";
	setvbuf(stdout, 0, _IONBF, 0);
	SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
	if (!strcmp(what, "probe")) { probe(argv[1]); return 0; }
	if (argc < 3) return 2;
	load(argv[1]);
	if (!strcmp(what, "walk")) walk(argv[3]);
	else if (!strcmp(what, "sign")) sign(argv[3], argv[4], argv[5], argv[6], argv[7]);
	else if (!strcmp(what, "stay")) stay(argv[1], argv[3]);
	else if (!strcmp(what, "error")) error(argv[3], argv[4]);
	else if (!strcmp(what, "wild")) wild(argv[3], argv[4]);
	else if (!strcmp(what, "late")) late(argv[3], argv[4], argv[5]);
	else if (!strcmp(what, "closed")) closed(argv[3]);
	else if (!strcmp(what, "threads")) many(atoi(argv[3]), (UL)atoi(argv[4]), argv[5], argv[6]);
	else if (!strcmp(what, "during")) during(argv[1], argv[3], argv[4]);
	else if (!strcmp(what, "keep")) login(argv[3]);
	else if (!strcmp(what, "tidy")) tidy(argv[3]);
	else if (!strcmp(what, "early")) early(argv[1]);
	else return 2;
	return 0;
}
