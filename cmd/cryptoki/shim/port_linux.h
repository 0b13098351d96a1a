/* How the line of port.h waits on Linux. */
#ifndef SP_PORT_LINUX_H
#define SP_PORT_LINUX_H
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline long sp_futex(uint32_t *word, int op, uint32_t value, const struct timespec *limit) {
	return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, limit, 0, 0);
}
/* while the word has this value; may return early */
static inline void sp_sleep(uint32_t *word, uint32_t value) { sp_futex(word, FUTEX_WAIT, value, 0); }
/* the same, for so long at most */
static inline void sp_sleep_for(uint32_t *word, uint32_t value, unsigned long milliseconds) {
	struct timespec t = { (time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000 };
	sp_futex(word, FUTEX_WAIT, value, &t);
}
static inline void sp_wake(uint32_t *word) { sp_futex(word, FUTEX_WAKE, 1, 0); }
#endif
