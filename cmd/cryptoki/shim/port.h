/* The line between the shim (C, what the host loads) and the core (Go).
 *
 * Host threads never enter Go. They put a call into a queue and sleep on a futex; one goroutine of the core sits in
 * sp_next() and takes the calls out. So Go never touches a host thread's signal mask, alternate stack or thread-local
 * storage, and a signal can never find a host thread inside Go.
 *
 * A call goes through at most three states:
 *   SP_QUEUED    the core may read and write the host's buffers (args); the host thread sleeps with signals blocked
 *   SP_ACCEPTED  the core has copied what it needs and must not touch args again; the host thread sleeps under its own mask
 *   SP_DONE      rv is the answer; out/outlen (malloc'ed by the core) is what the shim copies into the host's buffer
 */
#ifndef SP_PORT_H
#define SP_PORT_H
#include <stdint.h>
#include <stdlib.h>
#ifdef _WIN32
#include "port_windows.h"
#elif defined __APPLE__ || defined SP_DARWIN
#include "port_darwin.h"
#else
#include "port_linux.h"
#endif

#define SP_VERSION 2 /* of this file; sp_core_start answers it */

enum { SP_QUEUED, SP_ACCEPTED, SP_DONE };

struct sp_call {
	uint32_t state;        /* futex word */
	uint32_t fn;           /* FN_… */
	uintptr_t args[8];     /* CK_ULONG and pointers: one register each. On Windows, the upper half of a CK_ULONG is undefined */
	unsigned long rv;      /* CK_RV */
	void *out;             /* SP_DONE: bytes for the host's buffer, NULL for none */
	unsigned long outlen;  /* SP_DONE: their number, or the number that the host's buffer must hold */
	struct sp_call *next;
};

struct sp_port {
	uint32_t seq;          /* futex word of the core's sleeper, counts pushes */
	struct sp_call *head;  /* pushed by any host thread, taken whole by the core */
	struct sp_call *ready; /* core only: taken, oldest first */
};

/* shim: hand a call over */
static inline void sp_push(struct sp_port *p, struct sp_call *c) {
	c->next = __atomic_load_n(&p->head, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&p->head, &c->next, c, 1, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {}
	__atomic_add_fetch(&p->seq, 1, __ATOMIC_SEQ_CST);
	sp_wake(&p->seq);
}

/* core: the next call; sleeps until there is one */
static inline struct sp_call *sp_next(struct sp_port *p) {
	for (;;) {
		struct sp_call *c = p->ready;
		if (c) { p->ready = c->next; return c; }
		uint32_t seq = __atomic_load_n(&p->seq, __ATOMIC_SEQ_CST);
		struct sp_call *taken = __atomic_exchange_n(&p->head, 0, __ATOMIC_ACQUIRE);
		if (!taken) { sp_sleep(&p->seq, seq); continue; }
		while (taken) { struct sp_call *n = taken->next; taken->next = p->ready; p->ready = taken; taken = n; }
	}
}

/* core: step a call on; after SP_DONE the call belongs to the host thread again and may be gone */
static inline void sp_step(struct sp_call *c, uint32_t state) {
	__atomic_store_n(&c->state, state, __ATOMIC_RELEASE);
	sp_wake(&c->state);
}
#endif
