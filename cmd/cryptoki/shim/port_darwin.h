/* How the line of port.h waits on macOS (10.12 and later): by the word's address, as on the other systems. These two are in
 * libSystem; LLVM's libc++ waits by them too (libcxx/src/atomic.cpp), the numbers are in xnu's bsd/sys/ulock.h. The public
 * os_sync_wait_on_address does the same, but came with macOS 14.4. */
#ifndef SP_PORT_DARWIN_H
#define SP_PORT_DARWIN_H
int __ulock_wait(uint32_t operation, void *address, uint64_t value, uint32_t microseconds);
int __ulock_wake(uint32_t operation, void *address, uint64_t value);
enum { SP_COMPARE_AND_WAIT = 1, SP_NO_ERRNO = 0x01000000 };

/* while the word has this value, for so long at most (0: no limit); may return early */
static inline void sp_sleep_for(uint32_t *word, uint32_t value, unsigned long milliseconds) {
	__ulock_wait(SP_COMPARE_AND_WAIT | SP_NO_ERRNO, word, value, (uint32_t)(milliseconds * 1000));
}
static inline void sp_sleep(uint32_t *word, uint32_t value) { sp_sleep_for(word, value, 0); }
static inline void sp_wake(uint32_t *word) { __ulock_wake(SP_COMPARE_AND_WAIT | SP_NO_ERRNO, word, 0); }
#endif
