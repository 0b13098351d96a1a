/* The PKCS #11 module that a host loads on Windows, SignPath.Cryptoki.dll: 92 exports from one table (functions.h), no Go
 * in the host's threads. What the two sides say to each other: port.h.
 *
 * The core (Go) is linked into this DLL, and starts at the first C_Initialize: __main, by which mingw's start code would
 * run it when the DLL is loaded, is empty here. Until then the DLL can be unloaded; from then on it stays, because a Go
 * runtime cannot be unloaded. What is answered here: argument checks, "not initialised", "not supported",
 * C_GetFunctionList, C_GetInterface, C_GetInfo. Everything else is decided in the core.
 *
 * Structures are packed by one byte and a CK_ULONG has 32 bits, as Windows hosts expect (v2.40, section 2.1). In a
 * register the upper half of a CK_ULONG is undefined. */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include "functions.h"
#include "port.h"
#include <stdio.h>
#include <string.h>

#ifndef SP_SPIN
#define SP_SPIN 2000 /* looks at the answer before sleeping */
#endif
#ifndef SP_START_LIMIT
#define SP_START_LIMIT 30000 /* milliseconds for starting the core: a busy machine takes long, a call from a DllMain never gets it */
#endif
#define SP_FINALIZE_LIMIT 10000 /* milliseconds for C_Finalize: the core takes 2 s; inside a DllMain it may get no thread */
#ifndef SP_VERSION_MAJOR
#define SP_VERSION_MAJOR 0
#define SP_VERSION_MINOR 1
#endif

typedef uintptr_t W; /* an argument in its register */
typedef unsigned long N; /* CK_ULONG, CK_RV */
enum {
	CKR_OK = 0, CKR_HOST_MEMORY = 2, CKR_GENERAL_ERROR = 5, CKR_ARGUMENTS_BAD = 7, CKR_NO_EVENT = 8, CKR_CANT_LOCK = 0xA,
	CKR_DEVICE_REMOVED = 0x32, CKR_FUNCTION_NOT_PARALLEL = 0x51, CKR_FUNCTION_NOT_SUPPORTED = 0x54, CKR_BUFFER_TOO_SMALL = 0x150,
	CKR_CRYPTOKI_NOT_INITIALIZED = 0x190, CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191
};
enum { CKF_OS_LOCKING_OK = 2, CKF_DONT_BLOCK = 1 };
_Static_assert(FN_GetInterfaceList == 68, "PKCS #11 2.40 has 68 functions");
_Static_assert(FN_COUNT == 92, "PKCS #11 3.0 has 24 more");
_Static_assert(sizeof(N) == 4 && sizeof(W) == sizeof(void *), "LLP64");

/* ---- state of this process -------------------------------------------------------------------------------------- */
static SRWLOCK state_lock = SRWLOCK_INIT; /* C_Initialize and C_Finalize */
static HANDLE started;                    /* set when the core runs, or cannot; made by the first C_Initialize */
static struct sp_port *port;              /* of the running core */
static LONG ready;                        /* between C_Initialize and C_Finalize */
static BOOLEAN (WINAPI *shutting_down)(void); /* RtlDllShutdownInProgress */

int sp_core_start(struct sp_port *); /* Go */

/* Called by the start code of the C library for constructors, under the loader's lock: Go's is one. Not now. */
void __main(void);
void __main(void) {}

BOOL WINAPI DllMain(HINSTANCE self, DWORD why, void *reserved) {
	(void)reserved;
	if (why == DLL_PROCESS_ATTACH) {
		HMODULE nt = GetModuleHandleW(L"ntdll.dll");
		DisableThreadLibraryCalls(self);
		if (nt) shutting_down = (BOOLEAN (WINAPI *)(void))(void *)GetProcAddress(nt, "RtlDllShutdownInProgress");
	}
	return TRUE;
}

/* While a process ends, Windows ends its other threads first and calls DllMain last: hosts that tidy up there (libraries
 * with atexit functions) would wait for ever for a core without threads. */
static int ending(void) { return shutting_down && shutting_down(); }

static int live(void) { return __atomic_load_n(&ready, __ATOMIC_ACQUIRE) && !ending(); }

/* Can all of it be read, or written? A look, no promise: another thread may change it meanwhile. */
static int accessible(W at, size_t n, int write) {
	const DWORD writable = PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
	const DWORD readable = writable | PAGE_READONLY | PAGE_EXECUTE_READ;
	W end = at + n;
	if (!at || end < at) return 0;
	while (at < end) {
		MEMORY_BASIC_INFORMATION m;
		if (!VirtualQuery((void *)at, &m, sizeof m) || m.State != MEM_COMMIT || m.Protect & PAGE_GUARD || !(m.Protect & (write ? writable : readable))) return 0;
		at = (W)m.BaseAddress + m.RegionSize;
	}
	return 1;
}
#define READABLE(p, n) accessible((W)(p), n, 0)
#define WRITABLE(p, n) accessible((W)(p), n, 1)

/* ---- starting the core ------------------------------------------------------------------------------------------ */
extern void (*__CTOR_LIST__[])(void); /* of the linker: a count or -1, functions, NULL */

/* In a thread of its own: the host's threads never become Go's. */
static DWORD WINAPI start_core(void *unused) {
	struct sp_port *p = calloc(1, sizeof *p);
	size_t n = 0;
	(void)unused;
	while (__CTOR_LIST__[n + 1]) n++;
	for (; n > 0; n--) __CTOR_LIST__[n](); /* Go's makes a thread that starts the runtime */
	if (p && sp_core_start(p) == SP_VERSION) __atomic_store_n(&port, p, __ATOMIC_RELEASE); /* waits for the runtime */
	SetEvent(started);
	return 0;
}

/* The log lives in the core, which is missing here: the console is all there is, if the user wants one. */
static void complain(const char *reason) {
	char level[16], text[512];
	DWORD n = GetEnvironmentVariableA("SIGNPATH_LOG_CONSOLE_LEVEL", level, sizeof level), written;
	if (!n || n >= sizeof level || !lstrcmpiA(level, "none")) return;
	n = (DWORD)snprintf(text, sizeof text, "SignPath Cryptoki: the core of the module does not start: %s.\r\n", reason);
	WriteFile(GetStdHandle(STD_ERROR_HANDLE), text, n, &written, 0);
}

/* The core, or NULL. With state_lock held. */
static struct sp_port *core(void) {
	struct sp_port *p;
	if (!started) {
		HMODULE self;
		HANDLE thread;
		if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (const WCHAR *)(void *)core, &self) ||
			!(started = CreateEventW(0, TRUE, FALSE, 0))) { complain("Windows gives no handles"); return 0; }
		thread = CreateThread(0, 0, start_core, 0, 0, 0);
		if (!thread) { CloseHandle(started); started = 0; complain("no thread could be started"); return 0; }
		CloseHandle(thread);
	}
	WaitForSingleObject(started, SP_START_LIMIT);
	p = __atomic_load_n(&port, __ATOMIC_ACQUIRE);
	if (!p) complain("its threads do not run. C_Initialize must not be called from a DllMain");
	return p;
}

/* ---- handing a call to the core --------------------------------------------------------------------------------- */
/* limit: milliseconds, 0 for none. The host's last error stays as it was. */
static N forward(unsigned fn, const W *a, int n, int outarg, unsigned limit) {
	DWORD last = GetLastError();
	struct sp_call *c = calloc(1, sizeof *c); /* in the heap: a thread may be ended while it waits, and its stack with it */
	ULONGLONG begun = GetTickCount64();
	uint32_t v;
	N rv;
	if (!c) return CKR_HOST_MEMORY;
	c->fn = fn;
	memcpy(c->args, a, (size_t)n * sizeof *a);
	sp_push(port, c);
	for (int i = 0; i < SP_SPIN && __atomic_load_n(&c->state, __ATOMIC_ACQUIRE) != SP_DONE; i++) YieldProcessor();
	while ((v = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE)) != SP_DONE) {
		sp_sleep_for(&c->state, v, 1000);
		if (__atomic_load_n(&c->state, __ATOMIC_ACQUIRE) == SP_DONE) break;
		if (ending() || (limit && GetTickCount64() - begun > limit)) { /* the call stays: the core may still answer it */
			SetLastError(last);
			return limit ? CKR_GENERAL_ERROR : CKR_DEVICE_REMOVED;
		}
	}
	rv = c->rv;
	if (outarg >= 0 && (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL)) {
		if (rv == CKR_OK && c->out && a[outarg]) {
			if (WRITABLE(a[outarg], c->outlen)) memcpy((void *)a[outarg], c->out, c->outlen);
			else rv = CKR_ARGUMENTS_BAD;
		}
		if (!WRITABLE(a[outarg + 1], sizeof(N))) rv = CKR_ARGUMENTS_BAD;
		else memcpy((void *)a[outarg + 1], &c->outlen, sizeof(N));
	}
	free(c->out);
	free(c);
	SetLastError(last);
	return rv;
}

/* What is answered here is told to the core, for its log and because an error ends an operation. */
static N answered(unsigned fn, W first, N rv) {
	const W a[] = { fn, first, rv };
	return live() ? forward(FN_ANSWERED, a, 3, -1, 0) : CKR_CRYPTOKI_NOT_INITIALIZED;
}

static N call(unsigned fn, const W *a, int n, unsigned nonnull) {
	if (!live()) return CKR_CRYPTOKI_NOT_INITIALIZED;
	for (int i = 0; i < n; i++) if (nonnull >> i & 1 && !a[i]) return answered(fn, a[0], CKR_ARGUMENTS_BAD);
	return forward(fn, a, n, fn == FN_Sign ? 3 : fn == FN_SignFinal ? 1 : -1, 0);
}

/* ---- the exports: __cdecl, by their bare names (exports.def) ----------------------------------------------------- */
#define P1 W a0
#define P2 P1, W a1
#define P3 P2, W a2
#define P4 P3, W a3
#define P5 P4, W a4
#define P6 P5, W a5
#define P7 P6, W a6
#define P8 P7, W a7
#define P9 P8, W a8
#define A1 a0
#define A2 A1, a1
#define A3 A2, a2
#define A4 A3, a3
#define A5 A4, a4
#define A6 A5, a5
#define A7 A6, a6
#define A8 A7, a7
#define A9 A8, a8
#define GEN_OWN(n, c, m) N C_##n(P##c);
#define GEN_FAST(n, c, m) N C_##n(P##c); N C_##n(P##c) { const W a[] = { A##c }; return call(FN_##n, a, c, m); }
#define GEN_WAIT GEN_FAST
#define GEN_NONE(n, c, m) N C_##n(P##c); N C_##n(P##c) { const W a[] = { A##c }; (void)a; return answered(FN_##n, a0, CKR_FUNCTION_NOT_SUPPORTED); }
#define GEN_PARALLEL(n, c, m) N C_##n(P##c); N C_##n(P##c) { return answered(FN_##n, a0, CKR_FUNCTION_NOT_PARALLEL); }
#define GEN(n, c, k, m) GEN_##k(n, c, m)
SP_FUNCTIONS(GEN)
SP_FUNCTIONS_3(GEN)

static N info(W out, unsigned char major, unsigned char minor);
static N info_3_0(W out) { return info(out, 3, 0); }
static N info_3_1(W out) { return info(out, 3, 1); }
N C_GetInfo(W out) { return info(out, 2, 40); }

/* The interfaces (3.0 and 3.1, section 3.6). 3.1 added no function. Each list has the C_GetInfo that tells its version,
 * so that what a host reads there is true of the list it holds. */
#pragma pack(push, 1)
struct list { unsigned char version[2]; void *function[FN_COUNT]; };
struct interface { const char *name; const void *list; N flags; };
struct info { unsigned char version[2]; char manufacturer[32]; N flags; char description[32]; unsigned char library[2]; };
struct initialize_args { void *mutex[4]; N flags; void *reserved; };
#pragma pack(pop)
_Static_assert(sizeof(struct list) == 2 + FN_COUNT * sizeof(void *) && sizeof(struct info) == 72, "packed");
#define ADDRESS(n, c, k, m) (void *)C_##n,
#define LIST(name, major, minor, more) \
	static const struct list name __attribute__((aligned(1024))) = { { major, minor }, { SP_FUNCTIONS(ADDRESS) more } }
LIST(list_2_40, 2, 40, );
#define C_GetInfo info_3_0
LIST(list_3_0, 3, 0, SP_FUNCTIONS_3(ADDRESS));
#undef C_GetInfo
#define C_GetInfo info_3_1
LIST(list_3_1, 3, 1, SP_FUNCTIONS_3(ADDRESS));
#undef C_GetInfo
#define INTERFACE_TABLE { { "PKCS 11", &list_3_0, 0 }, { "PKCS 11", &list_3_1, 0 }, { "PKCS 11", &list_2_40, 0 } } /* the default first */
static const struct interface interfaces[] = INTERFACE_TABLE;
enum { INTERFACES = sizeof interfaces / sizeof *interfaces };
/* What C_GetInterface gives away. OpenSC's pkcs11-spy puts its own list in there, so it is writable, and right again at
 * the next call. */
static struct interface given[] = INTERFACE_TABLE;

/* These three are allowed before C_Initialize (section 5.4). */
N C_GetFunctionList(W out) {
	const void *list = &list_2_40;
	if (!WRITABLE(out, sizeof list)) return CKR_ARGUMENTS_BAD;
	memcpy((void *)out, &list, sizeof list);
	return CKR_OK;
}

N C_GetInterfaceList(W out, W count) {
	const N n = INTERFACES;
	N room;
	if (!WRITABLE(count, sizeof room)) return CKR_ARGUMENTS_BAD;
	memcpy(&room, (void *)count, sizeof room);
	if (out && room >= n && !WRITABLE(out, sizeof interfaces)) return CKR_ARGUMENTS_BAD;
	memcpy((void *)count, &n, sizeof n);
	if (!out) return CKR_OK;
	if (room < n) return CKR_BUFFER_TOO_SMALL;
	memcpy((void *)out, interfaces, sizeof interfaces);
	return CKR_OK;
}

/* NULL for name or version means any; every flag that is asked for must be there. */
N C_GetInterface(W name, W version, W out, W flags) {
	if (!WRITABLE(out, sizeof(void *)) || (name && !READABLE(name, 1)) || (version && !READABLE(version, 2))) return CKR_ARGUMENTS_BAD;
	for (int i = 0; i < INTERFACES; i++) {
		const struct interface *f = interfaces + i;
		const struct interface *to = given + i;
		if (name && (!READABLE(name, strlen(f->name) + 1) || strcmp((const char *)name, f->name))) continue;
		if (version && memcmp((const void *)version, f->list, 2)) continue;
		if ((f->flags & (N)flags) != (N)flags) continue;
		memcpy(&given[i].list, &f->list, sizeof f->list);
		memcpy((void *)out, &to, sizeof to);
		return CKR_OK;
	}
	return CKR_ARGUMENTS_BAD; /* as OpenSC, NSS and p11-kit */
}

static void pad(char *to, const char *text, size_t n) { memset(to, ' ', n); memcpy(to, text, strlen(text)); }

static N info(W out, unsigned char major, unsigned char minor) {
	struct info *i = (void *)out;
	if (!live()) return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!WRITABLE(out, sizeof *i)) return answered(FN_GetInfo, out, CKR_ARGUMENTS_BAD);
	memset(i, 0, sizeof *i);
	i->version[0] = major; i->version[1] = minor;
	i->library[0] = SP_VERSION_MAJOR; i->library[1] = SP_VERSION_MINOR;
	pad(i->manufacturer, "SignPath", sizeof i->manufacturer);
	pad(i->description, "SignPath Cryptoki", sizeof i->description);
	return answered(FN_GetInfo, out, CKR_OK);
}

/* Slots never come or go. Blocking for ever would hang NSS. */
N C_WaitForSlotEvent(W flags, W slot, W reserved) {
	if (!live()) return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!slot || reserved) return answered(FN_WaitForSlotEvent, flags, CKR_ARGUMENTS_BAD);
	return answered(FN_WaitForSlotEvent, flags, (N)flags & CKF_DONT_BLOCK ? CKR_NO_EVENT : CKR_FUNCTION_NOT_SUPPORTED);
}

/* Section 5.4. CKF_LIBRARY_CANT_CREATE_OS_THREADS is ignored: NSS and GnuTLS set it, and no thread of ours ever runs
 * the host's code. Mutex callbacks without CKF_OS_LOCKING_OK cannot be served. */
N C_Initialize(W in) {
	DWORD last = GetLastError();
	N rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;
	if (in) {
		struct initialize_args a;
		if (!READABLE(in, sizeof a)) return CKR_ARGUMENTS_BAD;
		memcpy(&a, (void *)in, sizeof a);
		int n = !!a.mutex[0] + !!a.mutex[1] + !!a.mutex[2] + !!a.mutex[3];
		if (a.reserved || (n && n != 4)) return CKR_ARGUMENTS_BAD;
		if (n && !(a.flags & CKF_OS_LOCKING_OK)) return CKR_CANT_LOCK;
	}
	if (ending()) return CKR_GENERAL_ERROR;
	AcquireSRWLockExclusive(&state_lock);
	if (!ready) {
		const W args[] = { 0 };
		rv = core() ? forward(FN_Initialize, args, 1, -1, 0) : CKR_GENERAL_ERROR;
		if (rv == CKR_OK) __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
	}
	ReleaseSRWLockExclusive(&state_lock);
	SetLastError(last);
	return rv;
}

N C_Finalize(W reserved) {
	N rv = CKR_CRYPTOKI_NOT_INITIALIZED;
	if (ending()) return __atomic_load_n(&ready, __ATOMIC_ACQUIRE) ? CKR_OK : rv; /* and no lock: its holder may be gone */
	if (!live()) return rv;
	if (reserved) return CKR_ARGUMENTS_BAD;
	AcquireSRWLockExclusive(&state_lock);
	if (live()) {
		const W args[] = { 0 };
		__atomic_store_n(&ready, 0, __ATOMIC_RELEASE);
		rv = forward(FN_Finalize, args, 1, -1, SP_FINALIZE_LIMIT);
	}
	ReleaseSRWLockExclusive(&state_lock);
	return rv;
}
