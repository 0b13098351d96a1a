/* How the core is opened on Linux, and what fork leaves of it. Part of shim.c.
 *
 * The core is a library of its own, carried in this file and opened as a copy in memory, or as the file beside the module
 * if that is the same build. A forked child opens a fresh copy. Links with -z nodelete. */
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char advice[] = " Where executable memory files or /proc are forbidden, put libSignPath.Cryptoki.core.so of the same build beside the module.";
static unsigned loads;       /* survives fork on purpose: makes the path of each copy of the core unique */
static int opened_file;      /* survives fork on purpose: the file beside the module is in this process tree already */
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

/* The kernel zeroes the page in a forked child. */
__attribute__((constructor)) static void make_state(void) {
	find_beside();
	void *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) return;
	madvise(p, 4096, 18 /* MADV_WIPEONFORK, Linux 4.14 */);
	st = p;
}

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
	struct sigaction had[SIGNALS];
	note_handlers(had);
	fill_standard_streams();
	if (!descriptors_free() || !addresses_free()) return 0;
	void *h = open_beside();
	if (!h) h = open_copy();
	if (!h) return 0;
	int (*start)(struct sp_port *) = (int (*)(struct sp_port *))dlsym(h, "sp_core_start");
	struct sp_port *port = calloc(1, sizeof *port);
	if (!start || !port) { snprintf(reason, sizeof reason, "the core has no entry"); free(port); return 0; }
	int version = start(port); /* returns when the runtime is up, so its handlers are in place */
	give_back_handlers(had, (void *)start);
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

/* A broken pipe must not end the host: its signal is taken back. */
static void say(const char *text) {
	sigset_t old, pipe, pending;
	block_signals(&old);
	sigpending(&pending);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (write(2, text, strlen(text)) < 0 && !sigismember(&pending, SIGPIPE)) sigtimedwait(&pipe, 0, &(struct timespec){ 0, 0 });
	pthread_sigmask(SIG_SETMASK, &old, 0);
}
