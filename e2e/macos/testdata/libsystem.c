/* What the macOS half of the PKCS #11 module's shim (cmd/cryptoki/shim/host_darwin.h) takes from libSystem, on Linux: so
 * the same file that goes into the .dylib runs in every test of the Linux module. For tests only. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))
extern char __start_sp_init[] HIDDEN, __stop_sp_init[] HIDDEN; /* the linker's, for the renamed section */

HIDDEN uint8_t *getsectiondata(const void *header, const char *segment, const char *section, unsigned long *size) {
	if (!header || strcmp(segment, "__DATA") || strcmp(section, "__sp_init")) return 0;
	*size = (unsigned long)(__stop_sp_init - __start_sp_init);
	return (uint8_t *)__start_sp_init;
}

HIDDEN char ***_NSGetEnviron(void) { return &environ; }

/* ulock.h of xnu: compare and wait (1) without errno (0x01000000); a time of 0 has no end */
HIDDEN int __ulock_wait(uint32_t operation, void *address, uint64_t value, uint32_t microseconds) {
	struct timespec t = { microseconds / 1000000, (long)(microseconds % 1000000) * 1000 };
	if (operation != 0x01000001) return -EINVAL;
	return (int)syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, (uint32_t)value, microseconds ? &t : 0, 0, 0);
}
HIDDEN int __ulock_wake(uint32_t operation, void *address, uint64_t value) {
	if (operation != 0x01000001 || value) return -EINVAL;
	return (int)syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}
