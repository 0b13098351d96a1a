/* The PKCS #11 module that a host loads on Linux and macOS: 92 exports from one table (functions.h), no Go in the host's
 * threads.
 *
 * The core (Go) is carried in this file and started at the first C_Initialize of a process; host_linux.h and host_darwin.h
 * say how, and what happens in a forked child; port.h, how calls reach it. What is answered here: argument checks, "not
 * initialised", "not supported", C_GetFunctionList, C_GetInterface, C_GetInfo. Everything else is decided in the core. From
 * its first C_Initialize on, the module stays loaded: a Go runtime cannot be unloaded.
 *
 * Limits that remain (a Go runtime shares the process): a host's SIGPROF handler keeps SA_ONSTACK, so one that needs
 * more stack than the alternate stack has dies; a SIGURG handler that the host set before loading is not called. */
#define _GNU_SOURCE
#include "functions.h"
#include "port.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef SP_SPIN
#define SP_SPIN 2000 /* looks at the answer before sleeping; saves a wake-up of about 8 us per call */
#endif
#ifndef SP_LOAD_LIMIT
#define SP_LOAD_LIMIT 30 /* seconds for opening the core: a busy machine with many workers takes long, a lock taken at fork never comes free */
#endif
#ifndef SP_VERSION_MAJOR
#define SP_VERSION_MAJOR 0
#define SP_VERSION_MINOR 1
#endif

typedef unsigned long W; /* CK_ULONG, CK_RV, handles and pointers on LP64; Windows (LLP64) has real types in its own shim */
enum {
	CKR_OK = 0, CKR_HOST_MEMORY = 2, CKR_GENERAL_ERROR = 5, CKR_ARGUMENTS_BAD = 7, CKR_NO_EVENT = 8, CKR_CANT_LOCK = 0xA,
	CKR_DEVICE_REMOVED = 0x32, CKR_FUNCTION_NOT_PARALLEL = 0x51, CKR_FUNCTION_NOT_SUPPORTED = 0x54, CKR_BUFFER_TOO_SMALL = 0x150,
	CKR_CRYPTOKI_NOT_INITIALIZED = 0x190, CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191
};
enum { CKF_OS_LOCKING_OK = 2, CKF_DONT_BLOCK = 1 };
_Static_assert(FN_GetInterfaceList == 68, "PKCS #11 2.40 has 68 functions");
_Static_assert(FN_COUNT == 92, "PKCS #11 3.0 has 24 more");
_Static_assert(sizeof(W) == sizeof(void *), "one register each");

/* ---- state of this process --------------------------------------------------------------------------------------
 * In a forked child this is zero, so a child starts as if nothing had been loaded: no lock held, no core, not
 * initialised. The pid is compared too, where nothing could be zeroed. */
struct state {
	uint32_t lock; /* pid of the holder */
	int pid;
	int ready;
	struct sp_port *port;
};
static struct state *st;
static int initialized;      /* survives fork on purpose: a child knows that its parent was initialised */
static char reason[512];     /* why there is no core */

static struct state *live(void) {
	return st && __atomic_load_n(&st->ready, __ATOMIC_ACQUIRE) && st->pid == getpid() ? st : 0;
}

/* The lock word is the owner's pid: one that is not ours was inherited from a parent that held it at fork. */
static void lock(void) {
	uint32_t me = (uint32_t)getpid(), v = 0;
	for (;;) {
		if (v == me) { sp_sleep_for(&st->lock, me, 50); v = __atomic_load_n(&st->lock, __ATOMIC_RELAXED); continue; }
		if (__atomic_compare_exchange_n(&st->lock, &v, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
	}
}
static void unlock(void) { __atomic_store_n(&st->lock, 0, __ATOMIC_RELEASE); sp_wake(&st->lock); }

/* All signals but those that a fault of this thread raises. */
static void block_signals(sigset_t *old) {
	sigset_t s;
	sigfillset(&s);
	sigdelset(&s, SIGSEGV); sigdelset(&s, SIGBUS); sigdelset(&s, SIGFPE);
	sigdelset(&s, SIGILL); sigdelset(&s, SIGTRAP); sigdelset(&s, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &s, old);
}

/* ---- starting the core ------------------------------------------------------------------------------------------ */
#ifdef SP_CORE_LINKED /* the core is in this very program: for tests that want both halves under one detector */
int sp_core_start(struct sp_port *);
static struct state linked_state, *st = &linked_state;
static struct sp_port *open_core(void) {
	struct sp_port *port = calloc(1, sizeof *port);
	return port && sp_core_start(port) == SP_VERSION ? port : 0;
}
static void say(const char *text) { fputs(text, stderr); }
static const char advice[] = "";
#else
/* Signals whose handlers stay as Go left them. Faults become Go panics. URG, PROF and STKFLT are open in Go's threads
 * whatever mask these were made with, so a host's handler for them must keep SA_ONSTACK: without it, it would run on a
 * goroutine's stack of a few KiB. */
static int stays_with_go(int sig) {
#ifdef SIGSTKFLT
	if (sig == SIGSTKFLT) return 1;
#endif
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGURG || sig == SIGPROF;
}

enum { SIGNALS = NSIG < 65 ? NSIG : 65 };
static void note_handlers(struct sigaction had[]) {
	for (int i = 1; i < SIGNALS; i++) if (sigaction(i, 0, &had[i])) had[i].sa_handler = SIG_ERR;
}

/* Go sets SA_ONSTACK on every handler of the host: give them back as they were. entry is a function of the core. */
static void give_back_handlers(const struct sigaction had[], void *entry) {
	struct sigaction now;
	Dl_info core, owner;
	if (!dladdr(entry, &core)) core.dli_fbase = 0;
	for (int i = 1; i < SIGNALS; i++) {
		if (stays_with_go(i) || had[i].sa_handler == SIG_ERR || sigaction(i, 0, &now)) continue;
		int mine = dladdr((void *)now.sa_handler, &owner) && owner.dli_fbase == core.dli_fbase;
		int only_stack = now.sa_handler == had[i].sa_handler && now.sa_flags != had[i].sa_flags && now.sa_flags == (had[i].sa_flags | SA_ONSTACK);
		if (mine || only_stack) sigaction(i, &had[i], 0);
	}
}

/* A host that has closed its standard streams gets /dev/null there, as from glibc in setuid programs: else the poller
 * or a connection of the core would take these numbers, and the host would print into it or close it. */
static void fill_standard_streams(void) {
	int fd;
	do fd = open("/dev/null", O_RDWR); while (fd >= 0 && fd <= 2);
	if (fd > 2) close(fd);
}

#if defined __APPLE__ || defined SP_DARWIN
#include "host_darwin.h"
#else
#include "host_linux.h"
#endif
#endif

/* The log lives in the core, which is missing here: the console is all there is, if the user wants one. */
static void complain(void) {
	const char *level = getenv("SIGNPATH_LOG_CONSOLE_LEVEL");
	char text[sizeof reason + 256];
	if (!level || !*level || !strcmp(level, "none")) return;
	snprintf(text, sizeof text, "SignPath Cryptoki: the core of the module cannot be started: %s.%s\n", reason, advice);
	say(text);
}

#ifndef SP_ENVIRON
#define SP_ENVIRON environ
#endif

/* ---- handing a call to the core --------------------------------------------------------------------------------- */
#ifdef __x86_64__
#define relax() __builtin_ia32_pause()
#else
#define relax() __asm__ volatile("yield")
#endif

static W forward(struct state *s, unsigned fn, const W *a, int n, int waits, int outarg) {
	struct sp_call local, *c = &local;
	sigset_t old;
	uint32_t v;
	W rv;
	if (waits) { /* a handler may leave the wait by siglongjmp: then this leaks, and nothing breaks */
		c = malloc(sizeof *c);
		if (!c) return CKR_HOST_MEMORY;
	}
	memset(c, 0, sizeof *c);
	c->fn = fn;
	memcpy(c->args, a, (size_t)n * sizeof *a);
	block_signals(&old);
	sp_push(s->port, c);
	for (int i = 0; i < SP_SPIN && !__atomic_load_n(&c->state, __ATOMIC_ACQUIRE); i++) relax();
	while ((v = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE)) == SP_QUEUED) sp_sleep(&c->state, SP_QUEUED);
	pthread_sigmask(SIG_SETMASK, &old, 0);
	while (v == SP_ACCEPTED) { /* the host's own mask: Ctrl-C works. Once a second: did a handler fork, and are we the child? */
		sp_sleep_for(&c->state, SP_ACCEPTED, 1000);
		v = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);
		if (v == SP_ACCEPTED && s->pid != getpid()) return CKR_DEVICE_REMOVED;
	}
	rv = c->rv;
	if (outarg >= 0 && (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL)) {
		if (rv == CKR_OK && c->out && a[outarg]) memcpy((void *)a[outarg], c->out, c->outlen);
		*(W *)a[outarg + 1] = c->outlen;
	}
	free(c->out);
	if (waits) free(c);
	return rv;
}

/* What is answered here is told to the core, for its log and because an error ends an operation. */
static W answered(unsigned fn, W first, W rv) {
	struct state *s = live();
	const W a[] = { fn, first, rv };
	return s ? forward(s, FN_ANSWERED, a, 3, 0, -1) : CKR_CRYPTOKI_NOT_INITIALIZED;
}

static W call(unsigned fn, const W *a, int n, unsigned nonnull, int waits) {
	struct state *s = live();
	if (!s) return CKR_CRYPTOKI_NOT_INITIALIZED;
	for (int i = 0; i < n; i++) if (nonnull >> i & 1 && !a[i]) return answered(fn, a[0], CKR_ARGUMENTS_BAD);
	return forward(s, fn, a, n, waits, fn == FN_Sign ? 3 : fn == FN_SignFinal ? 1 : -1);
}

/* ---- the exports ------------------------------------------------------------------------------------------------ */
#define EXPORT __attribute__((visibility("default")))
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
#define GEN_OWN(n, c, m) EXPORT W C_##n(P##c);
#define GEN_FAST(n, c, m) EXPORT W C_##n(P##c) { const W a[] = { A##c }; return call(FN_##n, a, c, m, 0); }
#define GEN_WAIT(n, c, m) EXPORT W C_##n(P##c) { const W a[] = { A##c }; return call(FN_##n, a, c, m, 1); }
#define GEN_NONE(n, c, m) EXPORT W C_##n(P##c) { const W a[] = { A##c }; (void)a; return answered(FN_##n, a0, CKR_FUNCTION_NOT_SUPPORTED); }
#define GEN_PARALLEL(n, c, m) EXPORT W C_##n(P##c) { return answered(FN_##n, a0, CKR_FUNCTION_NOT_PARALLEL); }
#define GEN(n, c, k, m) GEN_##k(n, c, m)
SP_FUNCTIONS(GEN)
SP_FUNCTIONS_3(GEN)

static W info(W out, unsigned char major, unsigned char minor);
static W info_3_0(W out) { return info(out, 3, 0); }
static W info_3_1(W out) { return info(out, 3, 1); }
W C_GetInfo(W out) { return info(out, 2, 40); }

/* The interfaces (3.0 and 3.1, section 3.6). 3.1 added no function. Each list has the C_GetInfo that tells its version,
 * so that what a host reads there is true of the list it holds. No flag CKF_INTERFACE_FORK_SAFE: a forked child starts
 * anew with C_Initialize, sessions and login do not survive. */
#define ADDRESS(n, c, k, m) (void *)C_##n,
#define LIST(name, major, minor, more) \
	static const struct { unsigned char version[2]; void *function[FN_COUNT]; } name = { { major, minor }, { SP_FUNCTIONS(ADDRESS) more } }
LIST(list_2_40, 2, 40, );
#define C_GetInfo info_3_0
LIST(list_3_0, 3, 0, SP_FUNCTIONS_3(ADDRESS));
#undef C_GetInfo
#define C_GetInfo info_3_1
LIST(list_3_1, 3, 1, SP_FUNCTIONS_3(ADDRESS));
#undef C_GetInfo
#define INTERFACE_TABLE { { "PKCS 11", &list_3_0, 0 }, { "PKCS 11", &list_3_1, 0 }, { "PKCS 11", &list_2_40, 0 } } /* the default first */
static const struct interface { const char *name; const void *list; W flags; } interfaces[] = INTERFACE_TABLE;
enum { INTERFACES = sizeof interfaces / sizeof *interfaces };
/* What C_GetInterface gives away. OpenSC's pkcs11-spy puts its own list in there, so it is writable, and right again at
 * the next call. */
static struct interface given[] = INTERFACE_TABLE;

/* These three are allowed before C_Initialize (section 5.4). */
W C_GetFunctionList(W out) {
	if (!out) return CKR_ARGUMENTS_BAD;
	*(const void **)out = &list_2_40;
	return CKR_OK;
}

W C_GetInterfaceList(W out, W count) {
	W *n = (W *)count, room;
	if (!n) return CKR_ARGUMENTS_BAD;
	room = *n;
	*n = INTERFACES;
	if (!out) return CKR_OK;
	if (room < INTERFACES) return CKR_BUFFER_TOO_SMALL;
	memcpy((void *)out, interfaces, sizeof interfaces);
	return CKR_OK;
}

/* NULL for name or version means any; every flag that is asked for must be there. */
W C_GetInterface(W name, W version, W out, W flags) {
	if (!out) return CKR_ARGUMENTS_BAD;
	for (int i = 0; i < INTERFACES; i++) {
		const struct interface *f = interfaces + i;
		if (name && strcmp((const char *)name, f->name)) continue;
		if (version && memcmp((const void *)version, f->list, 2)) continue;
		if ((f->flags & flags) != flags) continue;
		__atomic_store_n(&given[i].list, f->list, __ATOMIC_RELAXED);
		*(struct interface **)out = given + i;
		return CKR_OK;
	}
	return CKR_ARGUMENTS_BAD; /* as OpenSC, NSS and p11-kit */
}

static void pad(char *to, const char *text, size_t n) { memset(to, ' ', n); memcpy(to, text, strlen(text)); }

static W info(W out, unsigned char major, unsigned char minor) {
	struct { unsigned char version[2]; char manufacturer[32]; W flags; char description[32]; unsigned char library[2]; } *i = (void *)out;
	if (!live()) return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!i) return answered(FN_GetInfo, out, CKR_ARGUMENTS_BAD);
	memset(i, 0, sizeof *i);
	i->version[0] = major; i->version[1] = minor;
	i->library[0] = SP_VERSION_MAJOR; i->library[1] = SP_VERSION_MINOR;
	pad(i->manufacturer, "SignPath", sizeof i->manufacturer);
	pad(i->description, "SignPath Cryptoki", sizeof i->description);
	return answered(FN_GetInfo, out, CKR_OK);
}

/* Slots never come or go. Blocking for ever would hang NSS. */
W C_WaitForSlotEvent(W flags, W slot, W reserved) {
	if (!live()) return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!slot || reserved) return answered(FN_WaitForSlotEvent, flags, CKR_ARGUMENTS_BAD);
	return answered(FN_WaitForSlotEvent, flags, flags & CKF_DONT_BLOCK ? CKR_NO_EVENT : CKR_FUNCTION_NOT_SUPPORTED);
}

/* Section 5.4. CKF_LIBRARY_CANT_CREATE_OS_THREADS is ignored: NSS and GnuTLS set it, and no thread of ours ever runs
 * the host's code. Mutex callbacks without CKF_OS_LOCKING_OK cannot be served. */
W C_Initialize(W in) {
	struct { void *mutex[4]; W flags; void *reserved; } *a = (void *)in;
	W rv;
	if (!st) return CKR_HOST_MEMORY;
	if (a) {
		int n = !!a->mutex[0] + !!a->mutex[1] + !!a->mutex[2] + !!a->mutex[3];
		if (a->reserved || (n && n != 4)) return CKR_ARGUMENTS_BAD;
		if (n && !(a->flags & CKF_OS_LOCKING_OK)) return CKR_CANT_LOCK;
	}
	lock();
	if (st->pid != getpid()) { st->ready = 0; st->port = 0; st->pid = getpid(); }
	if (st->ready) { unlock(); return CKR_CRYPTOKI_ALREADY_INITIALIZED; }
	if (!st->port) st->port = open_core();
	if (!st->port) { complain(); unlock(); return CKR_GENERAL_ERROR; }
	const W args[] = { (W)SP_ENVIRON }; /* Go's own copy of the environment dates from exec */
	rv = forward(st, FN_Initialize, args, 1, 0, -1);
	if (rv == CKR_OK) { __atomic_store_n(&st->ready, 1, __ATOMIC_RELEASE); initialized = 1; }
	unlock();
	return rv;
}

W C_Finalize(W reserved) {
	W rv = CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!live()) { /* a forked child may first tidy up its parent's C_Initialize, as python-pkcs11's reinitialize() does */
		if (reserved || !st || st->pid == getpid() || !initialized) return rv;
		initialized = 0;
		return CKR_OK;
	}
	if (reserved) return CKR_ARGUMENTS_BAD;
	lock();
	if (live()) {
		const W args[] = { 0 };
		initialized = 0;
		__atomic_store_n(&st->ready, 0, __ATOMIC_RELEASE);
		rv = forward(st, FN_Finalize, args, 1, 1, -1);
	}
	unlock();
	return rv;
}
