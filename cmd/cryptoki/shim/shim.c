/* The PKCS #11 module that a host loads: 92 exports from one table (functions.h), no Go in the host's threads.
 *
 * The core (Go) is carried in this file and opened at the first C_Initialize of each process; see port.h for how calls
 * reach it. What is answered here: argument checks, "not initialised", "not supported", C_GetFunctionList, C_GetInterface, C_GetInfo.
 * Everything else is decided in the core. Links with -z nodelete: a Go runtime cannot be unloaded.
 *
 * Limits that remain (a Go runtime shares the process): a host's SIGPROF handler keeps SA_ONSTACK, so one that needs
 * more stack than the alternate stack has dies; a SIGURG handler that the host set before loading is not called. */
#define _GNU_SOURCE
#include "functions.h"
#include "port.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

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
 * The page is zeroed by the kernel in a forked child (MADV_WIPEONFORK), so a child starts as if nothing had been
 * loaded: no lock held, no core, not initialised. The pid is compared too, for kernels and emulators without it. */
struct state {
	uint32_t lock; /* pid of the holder */
	int pid;
	int ready;
	struct sp_port *port;
};
static struct state *st;
static unsigned loads;       /* survives fork on purpose: makes the path of each copy of the core unique */
static int opened_file;      /* survives fork on purpose: the file beside the module is in this process tree already */
static int initialized;      /* survives fork on purpose: a child knows that its parent was initialised */
static char reason[512];     /* why the core could not be opened */
static char beside[4096];    /* where the core may be as a file, "" for nowhere */

/* libX.so -> libX.core.so beside it. At load: later, a relative path may mean another folder. */
static void find_beside(void) {
	Dl_info self;
	char path[PATH_MAX];
	if (!dladdr((void *)find_beside, &self) || !realpath(self.dli_fname, path)) return;
	char *end = strrchr(path, '.');
	if (!end || strchr(end, '/') || (size_t)(end - path) + sizeof ".core.so" > sizeof beside) return;
	snprintf(beside, sizeof beside, "%.*s.core.so", (int)(end - path), path);
}

__attribute__((constructor)) static void make_state(void) {
	find_beside();
	void *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) return;
	madvise(p, 4096, 18 /* MADV_WIPEONFORK, Linux 4.14 */);
	st = p;
}

static struct state *live(void) {
	return st && __atomic_load_n(&st->ready, __ATOMIC_ACQUIRE) && st->pid == getpid() ? st : 0;
}

/* The lock word is the owner's pid: one that is not ours was inherited from a parent that held it at fork. */
static void lock(void) {
	uint32_t me = (uint32_t)getpid(), v = 0;
	struct timespec t = { 0, 50000000 };
	for (;;) {
		if (v == me) { sp_futex(&st->lock, FUTEX_WAIT, me, &t); v = __atomic_load_n(&st->lock, __ATOMIC_RELAXED); continue; }
		if (__atomic_compare_exchange_n(&st->lock, &v, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
	}
}
static void unlock(void) { __atomic_store_n(&st->lock, 0, __ATOMIC_RELEASE); sp_futex(&st->lock, FUTEX_WAKE, 1, 0); }

/* All signals but those that a fault of this thread raises. */
static void block_signals(sigset_t *old) {
	sigset_t s;
	sigfillset(&s);
	sigdelset(&s, SIGSEGV); sigdelset(&s, SIGBUS); sigdelset(&s, SIGFPE);
	sigdelset(&s, SIGILL); sigdelset(&s, SIGTRAP); sigdelset(&s, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &s, old);
}

/* ---- opening the core ------------------------------------------------------------------------------------------- */
#ifdef SP_CORE_LINKED /* the core is in this very program: for tests that want both halves under one detector */
int sp_core_start(struct sp_port *);
static struct sp_port *open_core(void) {
	struct sp_port *port = calloc(1, sizeof *port);
	return port && sp_core_start(port) == SP_VERSION ? port : 0;
}
#else
__asm__(".section .rodata\n.balign 4096\nsp_core_begin: .incbin \"" SP_CORE_FILE "\"\nsp_core_end: .byte 0\n.previous\n");
extern const char sp_core_begin[] __attribute__((visibility("hidden"))), sp_core_end[] __attribute__((visibility("hidden")));

/* A new memfd each time: a new inode, and a path that was never used in this process or an ancestor. The loader compares
 * the path first, and a descriptor number comes back as soon as it is closed: "/proc/self/fd/3" twice would silently
 * give the parent's dead core. More slashes make another name for the same file. The descriptor is closed again. */
static void *open_copy(void) {
	char path[2200], *q = path;
	size_t n = (size_t)(sp_core_end - sp_core_begin), done = 0;
	unsigned slashes = ++loads % 2000 + 1;
	int fd = memfd_create("signpath-core", MFD_CLOEXEC | 0x10 /* MFD_EXEC, Linux 6.3 */);
	if (fd < 0 && errno == EINVAL) fd = memfd_create("signpath-core", MFD_CLOEXEC);
	if (fd < 0) { snprintf(reason, sizeof reason, "memfd_create: %s", strerror(errno)); return 0; }
	while (done < n) {
		ssize_t w = write(fd, sp_core_begin + done, n - done);
		if (w < 0 && errno == EINTR) continue;
		if (w <= 0) break;
		done += (size_t)w;
	}
	q += sprintf(q, "/proc");
	while (slashes--) *q++ = '/';
	sprintf(q, "self/fd/%d", fd);
	void *h = done == n ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : 0;
	if (!h) snprintf(reason, sizeof reason, "%s", done < n ? strerror(errno) : dlerror());
	close(fd);
	return h;
}

/* Is the open file the core that this module carries? Its size and its first page, which holds the build ids. */
static int same_build(int fd) {
	char page[4096];
	struct stat s;
	return !fstat(fd, &s) && S_ISREG(s.st_mode) && s.st_size == sp_core_end - sp_core_begin && s.st_size > (off_t)sizeof page &&
		pread(fd, page, sizeof page, 0) == (ssize_t)sizeof page && !memcmp(page, sp_core_begin, sizeof page);
}

/* The file beside the module: 5 ms faster than the copy. Works once per process tree: a child would get its parent's
 * dead core, because the loader knows the file already. */
static void *open_beside(void) {
	if (opened_file || !*beside) return 0;
	int fd = open(beside, O_RDONLY | O_CLOEXEC | O_NONBLOCK /* a named pipe is no core, and no wait */);
	if (fd < 0) return 0;
	int same = same_build(fd);
	close(fd);
	if (!same) return 0;
	void *h = dlopen(beside, RTLD_NOW | RTLD_LOCAL);
	if (h) opened_file = 1;
	return h;
}

/* Signals whose handlers stay as Go left them. Faults become Go panics. URG, PROF and STKFLT are open in Go's threads
 * whatever mask these were made with, so a host's handler for them must keep SA_ONSTACK: without it, it would run on a
 * goroutine's stack of a few KiB. */
static int stays_with_go(int sig) {
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGURG || sig == SIGPROF || sig == SIGSTKFLT;
}

/* A host that has closed its standard streams gets /dev/null there, as from glibc in setuid programs: else the poller
 * or a connection of the core would take these numbers, and the host would print into it or close it. */
static void fill_standard_streams(void) {
	int fd;
	do fd = open("/dev/null", O_RDWR); while (fd >= 0 && fd <= 2);
	if (fd > 2) close(fd);
}

/* Go ends the process when it gets no descriptors for its poller. Better an error: are there as many as it and the
 * loader need (measured: four) and a connection? */
static int descriptors_free(void) {
	int fd[6], n = 0, need = (int)(sizeof fd / sizeof *fd);
	while (n < need && (fd[n] = eventfd(0, EFD_CLOEXEC)) >= 0) n++;
	if (n < need) snprintf(reason, sizeof reason, "no descriptors are free: %s", strerror(errno));
	for (int i = 0; i < n; i++) close(fd[i]);
	return n == need;
}

/* The same for address space, where the host has a limit of it (ulimit -v): Go reserves much more than it uses
 * (measured: 1.8 GiB), and ends the process when a later thread of its own finds no room. */
static int addresses_free(void) {
	struct rlimit limit;
	size_t need = (size_t)2 << 30;
	if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY) return 1;
	void *p = mmap(0, need, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p != MAP_FAILED) return !munmap(p, need);
	snprintf(reason, sizeof reason, "the limit of address space (ulimit -v) leaves less than the 2 GiB that have to be free");
	return 0;
}

/* Runs in a thread of its own with every signal blocked: Go copies this mask to all its threads, and the host's thread
 * never becomes a Go thread. */
static void *load_core(void *unused) {
	(void)unused;
	struct sigaction had[65], now;
	Dl_info core, owner;
	for (int i = 1; i < 65; i++) if (sigaction(i, 0, &had[i])) had[i].sa_handler = SIG_ERR;
	fill_standard_streams();
	if (!descriptors_free() || !addresses_free()) return 0;
	void *h = open_beside();
	if (!h) h = open_copy();
	if (!h) return 0;
	int (*start)(struct sp_port *) = (int (*)(struct sp_port *))dlsym(h, "sp_core_start");
	struct sp_port *port = calloc(1, sizeof *port);
	if (!start || !port) { snprintf(reason, sizeof reason, "the core has no entry"); free(port); return 0; }
	int version = start(port); /* returns when the runtime is up, so its handlers are in place */
	if (!dladdr((void *)start, &core)) core.dli_fbase = 0;
	for (int i = 1; i < 65; i++) { /* Go sets SA_ONSTACK on every handler of the host: give them back as they were */
		if (stays_with_go(i) || had[i].sa_handler == SIG_ERR || sigaction(i, 0, &now)) continue;
		int mine = dladdr((void *)now.sa_handler, &owner) && owner.dli_fbase == core.dli_fbase;
		int only_stack = now.sa_handler == had[i].sa_handler && now.sa_flags != had[i].sa_flags && now.sa_flags == (had[i].sa_flags | SA_ONSTACK);
		if (mine || only_stack) sigaction(i, &had[i], 0);
	}
	if (version != SP_VERSION) { snprintf(reason, sizeof reason, "the core speaks version %d, not %d", version, SP_VERSION); return 0; }
	return port;
}

static struct sp_port *open_core(void) {
	pthread_t t;
	void *port = 0;
	sigset_t old;
	struct timespec end;
	block_signals(&old);
	/* A limit, because glibc does not free the loader's lock in a forked child: if another thread of the parent was
	 * inside dlopen at that moment, dlopen in the child never returns. Better an error than a hang. */
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += SP_LOAD_LIMIT;
	if (pthread_create(&t, 0, load_core, 0)) snprintf(reason, sizeof reason, "no thread could be started");
	else if (pthread_timedjoin_np(t, &port, &end)) {
		snprintf(reason, sizeof reason, "the dynamic loader did not return within %d s", SP_LOAD_LIMIT);
		pthread_detach(t);
		port = 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, 0);
	return port;
}
#endif

/* The log lives in the core, which is missing here: the console is all there is, if the user wants one. A broken pipe
 * there must not end the host: its signal is taken back. */
static void complain(void) {
	const char *level = getenv("SIGNPATH_LOG_CONSOLE_LEVEL");
	sigset_t old, pipe, pending;
	if (!level || !*level || !strcmp(level, "none")) return;
	block_signals(&old);
	sigpending(&pending);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (dprintf(2, "SignPath Cryptoki: the core of the module cannot be opened: %s. Where executable memory files or /proc are"
		" forbidden, put libSignPath.Cryptoki.core.so of the same build beside the module.\n", reason) < 0 && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe, 0, &(struct timespec){ 0, 0 });
	pthread_sigmask(SIG_SETMASK, &old, 0);
}

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
	while ((v = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE)) == SP_QUEUED) sp_futex(&c->state, FUTEX_WAIT, SP_QUEUED, 0);
	pthread_sigmask(SIG_SETMASK, &old, 0);
	while (v == SP_ACCEPTED) { /* the host's own mask: Ctrl-C works. Once a second: did a handler fork, and are we the child? */
		struct timespec t = { 1, 0 };
		sp_futex(&c->state, FUTEX_WAIT, SP_ACCEPTED, &t);
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
	const W args[] = { (W)environ }; /* Go's own copy of the environment dates from exec */
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
