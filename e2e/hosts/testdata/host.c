/* Hosts that are hard on a PKCS #11 module, one mode each. Every signature is checked: its length here, its bytes by
 * the test with somebody else's verifier (the last one goes to stdout where a mode says so).
 *
 *   host MODULE KEYID MODE [N]
 *     sign             one signature over SHA-256("abc"), raw to stdout
 *     threads N        16 threads in sessions of their own, then 16 in one session
 *     forks N          a chain of N forks; every level initialises anew and signs from 8 threads
 *     forkstorm N      N forks while 6 threads sign; every child signs
 *     signals N        N signatures under SIGUSR1 and SIGALRM at 1 kHz, handlers with 64 KiB of stack, alternate stack
 *     altstack N       N signatures on each of 16 threads with stacks of 64 KiB, each with handlers on an alternate stack
 *                      of 8 KiB, under SIGUSR1 to every thread and SIGALRM
 *     reload N         dlopen, C_Initialize, sign, C_Finalize, dlclose, N times: no descriptor and no thread may be left
 *     setenv           the credentials are set by setenv before C_Initialize, changed, and read again by the next one
 *     interrupt        Ctrl-C without handler during a retry ends the process at once
 *     handler          Ctrl-C with handler during a retry runs the handler at once
 *     finalize         C_Finalize by another thread ends a running C_Sign with CKR_FUNCTION_CANCELED
 *     finalizers N     N times: 8 threads sign while another calls C_Finalize; codes may be odd, memory may not
 *     pipe             SIGPIPE stays default while the service hangs up
 *     abuse            lengths and counts that no memory has, pointers that lead nowhere: codes, and the host lives on
 *     streams          standard streams are closed: the module's own descriptors stay away from their numbers
 *     descriptors      with too few descriptors C_Initialize is refused or all works; it never ends the process
 *     addresses        the same with too little address space (ulimit -v); with enough, all works
 *     rate T N         N signatures on each of T threads; prints signatures per second (scripts/bench)
 *     memory           prints the KiB added to the process, resident and private dirty, after loading the module, after
 *                      C_Initialize and after one signature, one line each (scripts/bench)
 * HOST_PIN replaces the PIN CONFIG: with it, the first slot with a token is used, for comparisons with other modules.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long ulong_t;
typedef ulong_t rv_t;
typedef struct { ulong_t type; void *value; ulong_t len; } attribute;
typedef struct { ulong_t type; void *parameter; ulong_t len; } mechanism;
typedef struct { void *mutex[4]; ulong_t flags; void *reserved; } init_args;

static struct {
	rv_t (*Initialize)(void *), (*Finalize)(void *), (*OpenSession)(ulong_t, ulong_t, void *, void *, ulong_t *), (*CloseSession)(ulong_t);
	rv_t (*Login)(ulong_t, ulong_t, const char *, ulong_t), (*FindObjectsInit)(ulong_t, attribute *, ulong_t), (*FindObjects)(ulong_t, ulong_t *, ulong_t, ulong_t *);
	rv_t (*FindObjectsFinal)(ulong_t), (*GetAttributeValue)(ulong_t, ulong_t, attribute *, ulong_t), (*SignInit)(ulong_t, mechanism *, ulong_t);
	rv_t (*Sign)(ulong_t, const void *, ulong_t, void *, ulong_t *), (*GetInfo)(void *), (*GetSlotList)(unsigned char, ulong_t *, ulong_t *);
	rv_t (*SignUpdate)(ulong_t, const void *, ulong_t), (*SignFinal)(ulong_t, void *, ulong_t *);
} C;
static const char *module_path, *key_id;
static void *handle;

#define FAIL(...) do { fprintf(stderr, __VA_ARGS__); fputc('\n', stderr); _exit(1); } while (0)
#define OK(call) do { rv_t rv_ = (call); if (rv_) FAIL("%s:%d: " #call " = 0x%lx", __FILE__, __LINE__, rv_); } while (0)

static void load(void) {
	handle = dlopen(module_path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) FAIL("dlopen: %s", dlerror());
#define F(n) *(void **)&C.n = dlsym(handle, "C_" #n); if (!C.n) FAIL("no C_" #n);
	F(Initialize) F(Finalize) F(OpenSession) F(CloseSession) F(Login) F(FindObjectsInit) F(FindObjects) F(FindObjectsFinal) F(GetAttributeValue) F(SignInit) F(Sign) F(GetInfo) F(GetSlotList) F(SignUpdate) F(SignFinal)
}

static const unsigned char abc[32] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
	0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
static unsigned char digest_info[51] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };
static int rsa;

static void initialize(void) { init_args a = { .flags = 2 }; OK(C.Initialize(&a)); }
static ulong_t session(void) {
	ulong_t s, slot = 1, slots[16], n = 16;
	if (getenv("HOST_PIN")) { OK(C.GetSlotList(1, slots, &n)); slot = slots[0]; }
	OK(C.OpenSession(slot, 4, 0, 0, &s));
	return s;
}
static void login(ulong_t s) {
	const char *pin = getenv("HOST_PIN") ? getenv("HOST_PIN") : "CONFIG";
	rv_t rv = C.Login(s, 1, pin, strlen(pin));
	if (rv && rv != 0x100) FAIL("C_Login = 0x%lx", rv);
}
static ulong_t find(ulong_t s) {
	ulong_t class = 3, key = 0, n = 0, type = 0;
	attribute t[] = { { 0, &class, sizeof class }, { 0x102, (void *)key_id, strlen(key_id) } }, kt = { 0x100, &type, sizeof type };
	OK(C.FindObjectsInit(s, t, 2)); OK(C.FindObjects(s, &key, 1, &n)); OK(C.FindObjectsFinal(s));
	if (n != 1) FAIL("key %s not found", key_id);
	OK(C.GetAttributeValue(s, key, &kt, 1));
	rsa = type == 0;
	return key;
}
static rv_t sign(ulong_t s, ulong_t key, unsigned char *out, ulong_t *len) {
	mechanism m = { rsa ? 1 : 0x1041, 0, 0 };
	rv_t rv = C.SignInit(s, &m, key);
	return rv ? rv : rsa ? C.Sign(s, digest_info, sizeof digest_info, out, len) : C.Sign(s, abc, sizeof abc, out, len);
}
static void must_sign(ulong_t s, ulong_t key) {
	unsigned char sig[1024]; ulong_t n = sizeof sig;
	OK(sign(s, key, sig, &n));
	if (n < 64) FAIL("signature of %lu bytes", n);
}

struct job { ulong_t session, key; int count; int own; };
static void *work(void *p) {
	struct job j = *(struct job *)p;
	if (j.own) { j.session = session(); }
	for (int i = 0; i < j.count; i++) must_sign(j.session, j.key);
	if (j.own) OK(C.CloseSession(j.session));
	return 0;
}
static void many(ulong_t key, int threads, int count) {
	pthread_t t[64]; struct job j = { 0, key, count, 1 };
	for (int i = 0; i < threads; i++) if (pthread_create(t + i, 0, work, &j)) FAIL("thread");
	for (int i = 0; i < threads; i++) pthread_join(t[i], 0);
}
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static void *share(void *p) { /* one session: SignInit and Sign must be one step, so the host locks, as the standard says */
	struct job j = *(struct job *)p;
	for (int i = 0; i < j.count; i++) { pthread_mutex_lock(&turn); must_sign(j.session, j.key); pthread_mutex_unlock(&turn); }
	return 0;
}
static void *hammer(void *p) { /* one session without any lock: codes may be odd, memory must not */
	struct job j = *(struct job *)p;
	for (int i = 0; i < j.count; i++) { unsigned char sig[1024]; ulong_t n = sizeof sig; sign(j.session, j.key, sig, &n); }
	return 0;
}
static void crowd(void *(*f)(void *), ulong_t s, ulong_t key, int count) {
	pthread_t t[16]; struct job j = { s, key, count, 0 };
	for (int i = 0; i < 16; i++) if (pthread_create(t + i, 0, f, &j)) FAIL("thread");
	for (int i = 0; i < 16; i++) pthread_join(t[i], 0);
}
static int entries(const char *dir) { int n = 0; DIR *d = opendir(dir); if (!d) FAIL("%s", dir); while (readdir(d)) n++; closedir(d); return n - 2; }
static int wait_for(pid_t p) { int st; while (waitpid(p, &st, 0) < 0) if (errno != EINTR) FAIL("waitpid"); return WIFEXITED(st) ? WEXITSTATUS(st) : 256 + WTERMSIG(st); }

static void forks(int levels) {
	initialize(); ulong_t s = session(); login(s); must_sign(s, find(s));
	for (int level = 1; level <= levels; level++) {
		pid_t p = fork();
		if (p) { int st = wait_for(p); if (st) FAIL("level %d ended with %d", level, st); _exit(0); }
		alarm(60);
		if (C.GetInfo(digest_info) != 0x190) FAIL("level %d: C_GetInfo in the child is not CKR_CRYPTOKI_NOT_INITIALIZED", level);
		initialize(); s = session(); login(s);
		ulong_t key = find(s);
		must_sign(s, key);
		many(key, 8, 4);
	}
	_exit(0);
}

static volatile int stop;
static void *sign_on(void *p) { struct job j = *(struct job *)p; j.session = session(); while (!stop) must_sign(j.session, j.key); return 0; }
static void forkstorm(int n) {
	initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
	pthread_t t[6]; struct job j = { 0, key, 0, 1 };
	for (int i = 0; i < 6; i++) pthread_create(t + i, 0, sign_on, &j);
	for (int i = 0; i < n; i++) {
		pid_t p = fork();
		if (!p) {
			alarm(60);
			unsigned char sig[1024]; ulong_t len = sizeof sig;
			if (sign(s, key, sig, &len) != 0x190) FAIL("the parent's session works in the child");
			initialize(); ulong_t cs = session(); login(cs); must_sign(cs, find(cs)); OK(C.Finalize(0)); _exit(0);
		}
		int st = wait_for(p);
		if (st) FAIL("child %d ended with %d", i, st);
	}
	stop = 1;
	for (int i = 0; i < 6; i++) pthread_join(t[i], 0);
	must_sign(s, key);
}

static volatile sig_atomic_t caught;
static int deep(int sig) { volatile char a[60 << 10]; memset((char *)a, sig, sizeof a); return a[4242]; }
static void on_signal(int sig) { caught += deep(sig) != -1; }
static volatile int storming;
static void *storm(void *target) { struct timespec ms = { 0, 1000000 }; while (storming) { pthread_kill((pthread_t)target, SIGUSR1); nanosleep(&ms, 0); } return 0; }
static void signals(int n) {
	static char alternate[8 << 10]; stack_t ss = { .ss_sp = alternate, .ss_size = sizeof alternate }, now;
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, b;
	sigset_t mask, mask2; pthread_t t;
	if (sigaltstack(&ss, 0)) FAIL("sigaltstack");
	sigaction(SIGUSR1, &a, 0); sigaction(SIGALRM, &a, 0); sigaction(SIGTERM, &a, 0);
	sigemptyset(&mask); sigaddset(&mask, SIGWINCH); pthread_sigmask(SIG_SETMASK, &mask, 0);
	struct itimerval ms = { { 0, 1000 }, { 0, 1000 } }; setitimer(ITIMER_REAL, &ms, 0);
	storming = 1; pthread_create(&t, 0, storm, (void *)pthread_self());
	initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
	for (int i = 0; i < n; i++) must_sign(s, key);
	storming = 0; pthread_join(t, 0);
	memset(&ms, 0, sizeof ms); setitimer(ITIMER_REAL, &ms, 0);
	pthread_sigmask(SIG_SETMASK, 0, &mask2);
	if (!sigismember(&mask2, SIGWINCH) || sigismember(&mask2, SIGUSR1)) FAIL("the host's signal mask was changed");
	sigaltstack(0, &now); if (now.ss_sp != alternate || now.ss_flags) FAIL("the host's alternate stack was changed");
	sigaction(SIGUSR1, 0, &b); if (b.sa_handler != on_signal || b.sa_flags & SA_ONSTACK) FAIL("the host's handler was changed");
	if (caught < 10) FAIL("only %d signals arrived", (int)caught);
}

/* each thread has its own alternate stack, and the handlers run there and nowhere else */
enum { SMALL = 8 << 10, CROWD = 16 };
static __thread char *my_stack;
static volatile int astray, on_small;
static void on_small_stack(int sig) {
	volatile char here[1024]; memset((char *)here, sig, sizeof here);
	char *p = (char *)here;
	if (!my_stack) return; /* a thread that is none of the crowd: the storm's own */
	if (p < my_stack || p >= my_stack + SMALL) __atomic_add_fetch(&astray, 1, __ATOMIC_RELAXED);
	else __atomic_add_fetch(&on_small, 1, __ATOMIC_RELAXED);
}
struct small { struct job job; pthread_t thread; int ready, done; };
static void *sign_on_small_stack(void *p) {
	struct small *me = p;
	stack_t ss = { .ss_size = SMALL }, now;
	ss.ss_sp = malloc(SMALL);
	if (!ss.ss_sp || sigaltstack(&ss, 0)) FAIL("sigaltstack");
	my_stack = ss.ss_sp;
	__atomic_store_n(&me->ready, 1, __ATOMIC_RELEASE);
	work(&me->job);
	sigaltstack(0, &now);
	if (now.ss_sp != my_stack || now.ss_size != SMALL || now.ss_flags) FAIL("a thread's alternate stack was changed");
	__atomic_store_n(&me->done, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) usleep(1000); /* the storm may still aim at this thread */
	return 0;
}
static void altstack(int n) {
	static struct small crowd16[CROWD];
	struct sigaction a = { .sa_handler = on_small_stack, .sa_flags = SA_RESTART | SA_ONSTACK }, b;
	struct itimerval ms = { { 0, 1000 }, { 0, 1000 } };
	pthread_attr_t attr;
	sigaction(SIGUSR1, &a, 0); sigaction(SIGALRM, &a, 0);
	initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
	pthread_attr_init(&attr); pthread_attr_setstacksize(&attr, 64 << 10);
	for (int i = 0; i < CROWD; i++) {
		crowd16[i].job = (struct job){ 0, key, n, 1 };
		if (pthread_create(&crowd16[i].thread, &attr, sign_on_small_stack, crowd16 + i)) FAIL("thread");
	}
	setitimer(ITIMER_REAL, &ms, 0);
	for (int left = CROWD; left;) {
		left = 0;
		for (int i = 0; i < CROWD; i++) {
			if (!__atomic_load_n(&crowd16[i].done, __ATOMIC_ACQUIRE)) left++;
			if (__atomic_load_n(&crowd16[i].ready, __ATOMIC_ACQUIRE)) pthread_kill(crowd16[i].thread, SIGUSR1);
		}
		usleep(1000);
	}
	memset(&ms, 0, sizeof ms); setitimer(ITIMER_REAL, &ms, 0);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < CROWD; i++) pthread_join(crowd16[i].thread, 0);
	sigaction(SIGUSR1, 0, &b);
	if (b.sa_handler != on_small_stack || !(b.sa_flags & SA_ONSTACK)) FAIL("the host's handler was changed");
	if (astray) FAIL("%d handlers ran on another stack", astray);
	if (on_small < 10) FAIL("only %d signals arrived", on_small);
	OK(C.Finalize(0));
}

static void reload(int n) {
	int fds = 0, threads = 0;
	for (int i = 0; i < n; i++) {
		load(); initialize(); ulong_t s = session(); login(s); must_sign(s, find(s)); OK(C.Finalize(0)); dlclose(handle);
		if (i == 1) { fds = entries("/proc/self/fd"); threads = entries("/proc/self/task"); }
	}
	usleep(200000);
	if (entries("/proc/self/fd") > fds) FAIL("%d descriptors after 2 rounds, %d after %d", fds, entries("/proc/self/fd"), n);
	if (entries("/proc/self/task") > threads + 3) FAIL("%d threads after 2 rounds, %d after %d", threads, entries("/proc/self/task"), n);
}

static void try_setenv(void) {
	char *token = strdup(getenv("SIGNPATH_API_TOKEN"));
	unsetenv("SIGNPATH_API_TOKEN"); setenv("SIGNPATH_API_TOKEN", "wrong-token", 1);
	initialize(); ulong_t s = session(); rv_t rv = C.Login(s, 1, "CONFIG", 6);
	if (rv != 7) FAIL("C_Login with a wrong token = 0x%lx, not CKR_ARGUMENTS_BAD", rv);
	OK(C.Finalize(0));
	setenv("SIGNPATH_API_TOKEN", token, 1);
	initialize(); s = session(); login(s); must_sign(s, find(s));
}

/* the modes below run against a service that answers 503 to signatures, or hangs up */
static pid_t self;
static void *kill_soon(void *p) { (void)p; usleep(500000); kill(self, SIGINT); return 0; }
static volatile double handled_at;
static double now_s(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static void on_int(int sig) { (void)sig; handled_at = now_s(); }
static void interrupted(int with_handler) {
	pthread_t t; unsigned char sig[1024]; ulong_t n = sizeof sig;
	self = getpid();
	if (with_handler) { struct sigaction a = { .sa_handler = on_int }; sigaction(SIGINT, &a, 0); }
	initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
	double begin = now_s();
	pthread_create(&t, 0, kill_soon, 0);
	rv_t rv = sign(s, key, sig, &n);
	if (!with_handler) FAIL("C_Sign came back (0x%lx) though SIGINT should have ended the process", rv);
	if (!handled_at || handled_at - begin > 1.5) FAIL("the handler ran after %.1f s", handled_at ? handled_at - begin : -1);
	if (rv != 6) FAIL("C_Sign = 0x%lx, not CKR_FUNCTION_FAILED", rv);
}
static void *finalize_soon(void *p) { (void)p; usleep(500000); OK(C.Finalize(0)); return 0; }
static void finalized(void) {
	pthread_t t; unsigned char sig[1024]; ulong_t n = sizeof sig;
	initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
	double begin = now_s();
	pthread_create(&t, 0, finalize_soon, 0);
	rv_t rv = sign(s, key, sig, &n);
	if (rv != 0x50) FAIL("C_Sign = 0x%lx, not CKR_FUNCTION_CANCELED", rv);
	if (now_s() - begin > 2.5) FAIL("C_Sign ended after %.1f s", now_s() - begin);
	pthread_join(t, 0);
}
static volatile ulong_t shared_session, shared_key;
static void *sign_till_end(void *p) {
	(void)p;
	for (int i = 0; i < 50; i++) { unsigned char sig[1024]; ulong_t n = sizeof sig; if (sign(shared_session, shared_key, sig, &n) == 0x190) break; }
	return 0;
}
static void finalizers(int n) {
	for (int i = 0; i < n; i++) {
		pthread_t t[8];
		initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
		shared_session = s; shared_key = key;
		for (int j = 0; j < 8; j++) if (pthread_create(t + j, 0, sign_till_end, 0)) FAIL("thread");
		usleep(2000 + 500 * (i % 7));
		OK(C.Finalize(0));
		for (int j = 0; j < 8; j++) pthread_join(t[j], 0);
	}
}
static void hang_ups(int n) {
	initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
	for (int i = 0; i < n; i++) must_sign(s, key);
	sigset_t pending; sigpending(&pending);
	if (sigismember(&pending, SIGPIPE)) FAIL("a SIGPIPE is pending");
}

#define IS(call, want) do { rv_t rv_ = (call); if (rv_ != (rv_t)(want)) FAIL("%s:%d: " #call " = 0x%lx, not " #want, __FILE__, __LINE__, rv_); } while (0)
enum { ARGUMENTS_BAD = 7, GENERAL_ERROR = 5, PIN_INCORRECT = 0xa0, PARAM_INVALID = 0x71, NOT_ACTIVE = 0x91 };
static void abuse(void) {
	static const ulong_t huge[] = { ~0ul, 1ul << 62, 1ul << 40, 1ul << 32 };
	void *nowhere = (void *)0x7ff000000000;
	ulong_t class = 3, n; unsigned char sig[1024];
	attribute t = { 0, &class, sizeof class };
	initialize(); ulong_t s = session();
	for (int i = 0; i < 4; i++) IS(C.Login(s, 1, "CONFIG", huge[i]), PIN_INCORRECT);
	login(s); ulong_t key = find(s);
	mechanism hashing = { rsa ? 0x40 : 0x1044, 0, 0 }, pss = { 0xd, sig, 0 };
	for (int i = 0; i < 4; i++) {
		IS(C.GetAttributeValue(s, key, &t, huge[i]), ARGUMENTS_BAD);
		IS(C.FindObjectsInit(s, &t, huge[i]), ARGUMENTS_BAD);
		attribute long_one = { 0, &class, huge[i] };
		IS(C.FindObjectsInit(s, &long_one, 1), ARGUMENTS_BAD);
		pss.len = huge[i];
		if (rsa) IS(C.SignInit(s, &pss, key), PARAM_INVALID);
		OK(C.SignInit(s, &hashing, key));
		n = sizeof sig;
		rv_t rv = C.Sign(s, abc, huge[i], sig, &n);
		if (rv != ARGUMENTS_BAD && rv != GENERAL_ERROR) FAIL("C_Sign of %lu bytes = 0x%lx", huge[i], rv);
	}
	IS(C.GetAttributeValue(s, key, nowhere, 1), GENERAL_ERROR);
	IS(C.FindObjectsInit(s, nowhere, 1), GENERAL_ERROR);
	IS(C.SignInit(s, nowhere, key), GENERAL_ERROR);
	/* what fails ends the operation, also for its arguments */
	OK(C.SignInit(s, &hashing, key)); IS(C.Sign(s, abc, 3, sig, 0), ARGUMENTS_BAD); IS(C.SignUpdate(s, abc, 3), NOT_ACTIVE);
	OK(C.SignInit(s, &hashing, key)); IS(C.Sign(s, 0, 3, sig, &n), ARGUMENTS_BAD); IS(C.SignUpdate(s, abc, 3), NOT_ACTIVE);
	OK(C.SignInit(s, &hashing, key)); IS(C.SignUpdate(s, 0, 3), ARGUMENTS_BAD); IS(C.SignUpdate(s, abc, 3), NOT_ACTIVE);
	OK(C.SignInit(s, &hashing, key)); IS(C.SignFinal(s, sig, 0), ARGUMENTS_BAD); IS(C.SignUpdate(s, abc, 3), NOT_ACTIVE);
	must_sign(s, key);
	OK(C.Finalize(0));
}

static void streams(void) {
	int report = fcntl(2, F_DUPFD_CLOEXEC, 50); /* stderr, out of the way */
	char name[64], to[64];
	for (int i = 0; i < 3; i++) close(i);
	initialize(); ulong_t s = session(); login(s); must_sign(s, find(s));
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "/proc/self/fd/%d", i);
		ssize_t n = readlink(name, to, sizeof to - 1);
		to[n < 0 ? 0 : n] = 0;
		if (n >= 0 && strcmp(to, "/dev/null")) { dprintf(report, "descriptor %d is %s\n", i, to); _exit(1); }
	}
	OK(C.Finalize(0));
}

static void descriptors(void) {
	for (rlim_t n = 3; n < 20; n++) {
		pid_t p = fork();
		if (!p) {
			struct rlimit few = { n, n }; init_args a = { .flags = 2 };
			ulong_t s = 0;
			setrlimit(RLIMIT_NOFILE, &few);
			rv_t rv = C.Initialize(&a);
			if (!rv) rv = C.OpenSession(1, 4, 0, 0, &s);
			if (!rv) rv = C.Login(s, 1, "CONFIG", 6);
			_exit(rv == 0 || rv == GENERAL_ERROR || rv == 6 ? 0 : 1);
		}
		int st = wait_for(p);
		if (st) FAIL("with %d descriptors the process ended with %d", (int)n, st);
	}
}

static void addresses(void) {
	static const rlim_t mib[] = { 64, 200, 500, 1000, 1200, 1400, 1600, 1800, 2000, 2500, 4000 };
	for (size_t i = 0; i < sizeof mib / sizeof *mib; i++) {
		pid_t p = fork();
		if (!p) {
			struct rlimit little = { mib[i] << 20, mib[i] << 20 }; init_args a = { .flags = 2 };
			ulong_t s = 0;
			setrlimit(RLIMIT_AS, &little);
			rv_t rv = C.Initialize(&a);
			if (!rv) rv = C.OpenSession(1, 4, 0, 0, &s);
			if (!rv) rv = C.Login(s, 1, "CONFIG", 6);
			_exit(rv == 0 || (rv == GENERAL_ERROR && mib[i] < 2500) ? 0 : 1);
		}
		int st = wait_for(p);
		if (st) FAIL("with %d MiB of address space the process ended with %d", (int)mib[i], st);
	}
}

static void rate(int threads, int count) {
	initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
	must_sign(s, key);
	double begin = now_s();
	many(key, threads, count);
	printf("%.1f\n", threads * count / (now_s() - begin));
}

/* what the process has in memory, in KiB; the buffer is static so that measuring adds nothing */
struct memory { long resident, dirty; };
static struct memory memory_now(void) {
	static char text[4096];
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	size_t len = 0; ssize_t n;
	if (fd < 0) FAIL("/proc/self/smaps_rollup cannot be opened");
	while ((n = read(fd, text + len, sizeof text - 1 - len)) > 0) len += n;
	close(fd);
	text[len] = 0;
	char *resident = strstr(text, "\nRss:"), *dirty = strstr(text, "\nPrivate_Dirty:");
	if (!resident || !dirty) FAIL("/proc/self/smaps_rollup has no Rss or Private_Dirty");
	return (struct memory){ atol(resident + 5), atol(dirty + 15) };
}
static void memory(void) {
	struct memory before, after[3];
	memory_now(); /* the first reading touches pages of its own */
	before = memory_now();
	load(); after[0] = memory_now();
	initialize(); after[1] = memory_now();
	ulong_t s = session(); login(s); must_sign(s, find(s)); after[2] = memory_now();
	OK(C.Finalize(0));
	for (int i = 0; i < 3; i++) printf("%ld %ld\n", after[i].resident - before.resident, after[i].dirty - before.dirty);
}

int main(int argc, char **argv) {
	if (argc < 4) FAIL("usage: host MODULE KEYID MODE [N]");
	module_path = argv[1]; key_id = argv[2];
	const char *mode = argv[3]; int n = argc > 4 ? atoi(argv[4]) : 1;
	memcpy(digest_info + 19, abc, sizeof abc);
	if (!strcmp(mode, "memory")) { memory(); return 0; } /* measures before it loads */
	load();
	if (!strcmp(mode, "sign")) {
		unsigned char sig[1024]; ulong_t len = sizeof sig;
		initialize(); ulong_t s = session(); login(s); OK(sign(s, find(s), sig, &len)); OK(C.Finalize(0));
		if (write(1, sig, len) != (ssize_t)len) FAIL("write");
	} else if (!strcmp(mode, "threads")) {
		initialize(); ulong_t s = session(); login(s); ulong_t key = find(s);
		many(key, 16, n); crowd(share, s, key, n); crowd(hammer, s, key, n); OK(C.Finalize(0));
	} else if (!strcmp(mode, "forks")) forks(n);
	else if (!strcmp(mode, "forkstorm")) forkstorm(n);
	else if (!strcmp(mode, "signals")) signals(n);
	else if (!strcmp(mode, "altstack")) altstack(n);
	else if (!strcmp(mode, "reload")) reload(n);
	else if (!strcmp(mode, "setenv")) try_setenv();
	else if (!strcmp(mode, "interrupt")) interrupted(0);
	else if (!strcmp(mode, "handler")) interrupted(1);
	else if (!strcmp(mode, "finalize")) finalized();
	else if (!strcmp(mode, "finalizers")) finalizers(n);
	else if (!strcmp(mode, "pipe")) hang_ups(n);
	else if (!strcmp(mode, "abuse")) abuse();
	else if (!strcmp(mode, "streams")) streams();
	else if (!strcmp(mode, "descriptors")) descriptors();
	else if (!strcmp(mode, "addresses")) addresses();
	else if (!strcmp(mode, "rate")) rate(n, argc > 5 ? atoi(argv[5]) : 1);
	else FAIL("unknown mode %s", mode);
	return 0;
}
