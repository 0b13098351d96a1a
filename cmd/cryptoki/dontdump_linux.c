/* Keeps the memory of the Go core out of core dumps of the host.
 *
 * The core lives in somebody else's process, which may crash and leave a core file behind, in a CI job perhaps as an
 * artifact for everyone. Everything secret in the core (token, PIN, headers, TLS buffers and keys) is in Go's heap and on
 * goroutines' stacks, and each piece of both comes from mmap: the runtime asks runtime/cgo for it, which calls the C
 * library's mmap by name so that sanitizers can listen (runtime/cgo/mmap.go). This definition takes that name inside the
 * core only (hidden: the host's and the C library's own calls do not come here) and marks what it hands out
 * MADV_DONTDUMP before anything is written there. The mark stays with mprotect, splitting and fork (madvise(2)).
 *
 * Not covered: the host's own copies (the PIN that the host passed in, its environment), registers at the moment of the
 * crash, and whoever may read the memory of the running process. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if !defined __x86_64__ && !defined __aarch64__
#error "the runtime does not call mmap by name here, or mmap has another form: look at runtime/cgo/mmap.go"
#endif

__attribute__((visibility("hidden"))) void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset) {
	void *p = (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
	if (p != MAP_FAILED && flags & MAP_ANONYMOUS) {
		int had = errno; /* failing leaves a core file larger than wanted, which is no reason to fail here */
		madvise(p, length, MADV_DONTDUMP);
		errno = had;
	}
	return p;
}
