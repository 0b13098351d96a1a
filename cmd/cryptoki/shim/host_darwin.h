/* How the core is started on macOS, and what fork leaves of it. Part of shim.c.
 *
 * The core is linked into this library. Go's runtime would start as soon as the library is loaded, by a function pointer
 * in the section of initializers. The build renames that section (scripts/platforms/macho.py), so that dyld does not see
 * it, and it is called here, at the first C_Initialize, in a thread of its own. No second file, nothing in a temporary
 * folder: a host with library validation (hardened runtime) accepts or refuses one file by its one signature.
 *
 * A forked child gets no core. Apple's fork(2) calls every API in any framework or library unsafe there until exec, and
 * for TLS and names Go needs Security, CoreFoundation and libresolv, of which CoreFoundation and libdispatch stop the
 * process when they notice a fork. Python made "spawn" its default on macOS for the same reason (bpo-33725); golang/go#15538
 * is what becomes of the parent's Go runtime. So where the core was started before the fork, a child hears
 * CKR_CRYPTOKI_NOT_INITIALIZED, and its C_Initialize fails with CKR_GENERAL_ERROR and a sentence that says what to do. A
 * child whose parent only loaded the module, or that calls exec, works as any process. */
#include <limits.h>

extern uint8_t *getsectiondata(const void *header, const char *segment, const char *section, unsigned long *size); /* mach-o/getsect.h */
extern char ***_NSGetEnviron(void); /* crt_externs.h: a library has no environ */
#define SP_ENVIRON (*_NSGetEnviron())
int sp_core_start(struct sp_port *); /* Go */

static const char advice[] = "";
static struct state own_state, *st = &own_state;
static int started_by;        /* pid whose thread starts the core, or has; survives fork on purpose */
static uint32_t running;      /* 1 when the core answers, 2 when it will not */
static struct sp_port *started_port;
typedef void initializer(int argc, char **argv, char **envp, char **apple);
static struct { int argc; char **argv, **envp, **apple; } at_load;
static char own_path[PATH_MAX]; /* taken at load: later, a relative path may mean another file */

/* What dyld hands to initializers: the runtime reads its arguments, and behind them the path of the program. */
__attribute__((constructor)) static void note_load(int argc, char **argv, char **envp, char **apple) {
	Dl_info self;
	if (!dladdr((void *)note_load, &self) || !realpath(self.dli_fname, own_path)) *own_path = 0;
	at_load.argc = argc; at_load.argv = argv; at_load.envp = envp; at_load.apple = apple;
}

/* In a forked child, before fork returns there: no lock is held, nothing is initialised. Stores to own memory only. */
static void in_child(void) { memset(st, 0, sizeof *st); }

/* Go ends the process when it gets no descriptors for its poller. Better an error: are there as many as it needs
 * (measured: four) and a connection? */
static int descriptors_free(void) {
	int fd[6], n = 0, need = (int)(sizeof fd / sizeof *fd);
	while (n < need && (fd[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) n++;
	if (n < need) snprintf(reason, sizeof reason, "no descriptors are free: %s", strerror(errno));
	for (int i = 0; i < n; i++) close(fd[i]);
	return n == need;
}

/* Runs in a thread of its own with every signal blocked: Go copies this mask to all its threads, and the host's thread
 * never becomes a Go thread. */
static void *start_core(void *unused) {
	struct sigaction had[SIGNALS];
	struct sp_port *port = calloc(1, sizeof *port);
	unsigned long size = 0;
	Dl_info self;
	initializer **f = 0;
	uint32_t end = 2;
	(void)unused;
	note_handlers(had);
	if (dladdr((void *)start_core, &self)) f = (initializer **)(void *)getsectiondata(self.dli_fbase, "__DATA", "__sp_init", &size);
	for (unsigned long i = 0; f && i < size / sizeof *f; i++) f[i](at_load.argc, at_load.argv, at_load.envp, at_load.apple);
	if (!f || !size) snprintf(reason, sizeof reason, "it is not in this file");
	else if (port && sp_core_start(port) == SP_VERSION) { /* returns when the runtime is up, so its handlers are in place */
		give_back_handlers(had, (void *)sp_core_start);
		__atomic_store_n(&started_port, port, __ATOMIC_RELEASE);
		end = 1;
	} else snprintf(reason, sizeof reason, "it does not answer as it should");
	__atomic_store_n(&running, end, __ATOMIC_RELEASE);
	sp_wake(&running);
	return 0;
}

/* Never to be unloaded: neither the runtime nor what fork calls. */
static int pin(void) {
	if (*own_path && dlopen(own_path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE)) return 1;
	snprintf(reason, sizeof reason, "the module cannot be kept loaded: %s", *own_path ? dlerror() : "where is its file?");
	return 0;
}

/* The core, or NULL with a reason. With the lock of the state held. */
static struct sp_port *open_core(void) {
	pthread_attr_t attributes;
	pthread_t t;
	sigset_t old;
	int failed;
	if (started_by && started_by != getpid()) {
		snprintf(reason, sizeof reason, "this process was forked from one that uses it, and macOS allows no such thing in a forked process."
			" Let the host start its workers as new programs (for Python's multiprocessing: the method \"spawn\"), or initialise the module after the fork only");
		return 0;
	}
	if (!started_by) {
		fill_standard_streams();
		if (!descriptors_free() || !pin()) return 0;
		if (pthread_atfork(0, 0, in_child)) { snprintf(reason, sizeof reason, "no memory"); return 0; }
		started_by = getpid();
		block_signals(&old);
		pthread_attr_init(&attributes);
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		failed = pthread_create(&t, &attributes, start_core, 0);
		pthread_attr_destroy(&attributes);
		pthread_sigmask(SIG_SETMASK, &old, 0);
		if (failed) { started_by = 0; snprintf(reason, sizeof reason, "no thread could be started"); return 0; }
	}
	for (int i = 0; i < SP_LOAD_LIMIT * 10 && !__atomic_load_n(&running, __ATOMIC_ACQUIRE); i++) sp_sleep_for(&running, 0, 100);
	if (!__atomic_load_n(&running, __ATOMIC_ACQUIRE)) snprintf(reason, sizeof reason, "it did not start within %d s", SP_LOAD_LIMIT);
	return __atomic_load_n(&started_port, __ATOMIC_ACQUIRE);
}

/* A broken pipe must not end the host. Here its signal goes to the process, so blocking it in this thread is no use: the
 * open file is told to raise none, for the moment. What is no pipe and no socket has no such flag. */
static void say(const char *text) {
	int raises = fcntl(2, F_GETNOSIGPIPE) == 0;
	if (raises && fcntl(2, F_SETNOSIGPIPE, 1) < 0) return;
	if (write(2, text, strlen(text)) < 0) {} /* nowhere else to say it */
	if (raises) fcntl(2, F_SETNOSIGPIPE, 0);
}
