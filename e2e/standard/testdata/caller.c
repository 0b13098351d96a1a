/* Calls any function of a PKCS #11 module with any arguments, as the tests beside it say on standard input: one command
 * a line, one answer a line. It knows nothing of the standard: what is passed, and what must come back, stands in Go.
 *
 *   load PATH            opens a module                         "ok", or "error TEXT"
 *   sym NAME             the address of an exported function    "0" when there is none
 *   mem N                N bytes of memory that end at a page that nobody may touch: the module's first byte too far ends
 *                        this process                           the address
 *   write ADDRESS HEX    read ADDRESS N                         "ok"; the bytes
 *   call ADDRESS A0…     calls a function, up to nine numbers   its return value
 *   fork                 (not on Windows) the child goes on reading commands     "child"
 *   exit                 ends the child; the parent goes on     "parent STATUS", by the parent
 * Numbers are hexadecimal. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uintptr_t W; /* an argument */
typedef unsigned long RV;

#ifdef _WIN32
#include <windows.h>
#include <fcntl.h>
#include <io.h>
#define read(f, b, n) _read(f, b, n)
#define dlopen(path, how) ((void *)LoadLibraryA(path))
#define dlsym(module, name) ((void *)GetProcAddress(module, name))
static const char *dlerror(void) { static char text[32]; snprintf(text, sizeof text, "error %lu", GetLastError()); return text; }

static void *guarded(size_t n) {
	size_t page = 4096, all = (n + page - 1) / page * page;
	char *p = VirtualAlloc(0, all + page, MEM_RESERVE, PAGE_NOACCESS);
	if (!p || (all && !VirtualAlloc(p, all, MEM_COMMIT, PAGE_READWRITE))) { puts("error no memory"); exit(2); }
	memset(p, 0xA5, all);
	return p + all - n;
}
static void begin(void) { _setmode(0, _O_BINARY); _setmode(1, _O_BINARY); setvbuf(stdout, 0, _IONBF, 0); }
#else
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void *guarded(size_t n) {
	size_t page = (size_t)sysconf(_SC_PAGESIZE), all = (n + page - 1) / page * page;
	char *p = mmap(0, all + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect(p + all, page, PROT_NONE)) { puts("error no memory"); exit(2); }
	memset(p, 0xA5, all);
	return p + all - n;
}
static void begin(void) { setvbuf(stdout, 0, _IOLBF, 0); }
#endif

int main(void) {
	static char line[1 << 20];
	void *module = 0;
	begin();
	/* Not stdio for reading: a child must find what its parent has not read yet. */
	for (;;) {
		size_t n = 0;
		while (n < sizeof line - 1 && read(0, line + n, 1) == 1 && line[n] != '\n') n++;
		if (!n) return 0;
		line[n] = 0;
		char *word = strtok(line, " "), *arg = strtok(0, " ");
		if (!strcmp(word, "load")) {
			module = dlopen(arg, RTLD_NOW | RTLD_LOCAL);
			if (module) puts("ok"); else printf("error %s\n", dlerror());
		} else if (!strcmp(word, "sym")) printf("%llx\n", (unsigned long long)(W)dlsym(module, arg));
		else if (!strcmp(word, "mem")) printf("%llx\n", (unsigned long long)(W)guarded((W)strtoull(arg, 0, 16)));
		else if (!strcmp(word, "write")) {
			unsigned char *to = (void *)(W)strtoull(arg, 0, 16);
			for (char *hex = strtok(0, " "); hex && hex[0] && hex[1]; hex += 2) { char two[3] = { hex[0], hex[1], 0 }; *to++ = (unsigned char)strtoull(two, 0, 16); }
			puts("ok");
		} else if (!strcmp(word, "read")) {
			const unsigned char *from = (void *)(W)strtoull(arg, 0, 16);
			for (W len = (W)strtoull(strtok(0, " "), 0, 16); len; len--) printf("%02x", *from++);
			putchar('\n');
		} else if (!strcmp(word, "call")) {
			W a[9] = { 0 };
			RV (*f)(W, W, W, W, W, W, W, W, W) = (void *)(W)strtoull(arg, 0, 16);
			for (int i = 0; i < 9 && (arg = strtok(0, " ")); i++) a[i] = (W)strtoull(arg, 0, 16);
			printf("%lx\n", f(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]));
#ifndef _WIN32
		} else if (!strcmp(word, "fork")) {
			int status = 0;
			pid_t p = fork();
			if (p == 0) { puts("child"); continue; }
			waitpid(p, &status, 0);
			printf("parent %x\n", status);
		} else if (!strcmp(word, "exit")) { fflush(stdout); _exit(0);
#endif
		} else { printf("error no such command: %s\n", word); return 2; }
	}
}
