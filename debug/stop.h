/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stopping the guest for somebody who looks at it (docs/debugging.md, D2 to D6). A session runs on one of the guest's processors, in
 * the hypervisor, while all others that run wait there with interrupts off and no lock held. Whoever looks
 * is one function; it is called with every processor stopped and says what comes next.
 */
#ifndef DEBUG_STOP_H
#define DEBUG_STOP_H

#include "arch/x86/guest/vcpu.h"

enum stop_reason {
	STOP_NONE,
	STOP_BREAK,     /* asked for from outside */
	STOP_STEPPED,   /* one instruction was executed, or an event delivered in its place */
	STOP_EXCEPTION, /* #BP or #DB that a stop_filter has taken */
	STOP_DIED,      /* the guest is at its end: it cannot go on */
	STOP_SHUTDOWN,  /* the same by a triple fault */
};

struct stop_event {
	enum stop_reason reason;
	struct vcpu *vcpu; /* the one that it happened to: the session runs on its processor */
	const char *text;  /* STOP_DIED, STOP_SHUTDOWN: why */
	u8 vector;         /* STOP_EXCEPTION */
};

enum stop_action {
	STOP_CONTINUE, /* all go on */
	STOP_STEP, /* *step goes on for one instruction, all others stay: the session is called again behind it */
};

/*
 * A session. Everything in target.h may be called in it. May be called on another processor's stack the next time. With STOP_STEP
 * *step is a processor that stop_is_running(); it is event->vcpu unless set.
 */
typedef enum stop_action stop_session_fn(const struct stop_event *event, struct vcpu **step);

/* Once, before the guest runs. */
void stop_init(stop_session_fn *session);

/*
 * Asks for a session on behalf of vcpu, on its own processor, in the hypervisor (an exit of the slow path, the handler of an NMI): it
 * begins before the guest runs on there. A second reason that comes before is dropped.
 */
void stop_request(struct vcpu *vcpu, enum stop_reason reason);

/* For good: a session that can look and step nowhere. Returns if it says STOP_CONTINUE. */
void stop_for_death(struct vcpu *vcpu, enum stop_reason reason, const char *text);

/* #BP and #DB that exit (vcpu->debug_intercepts): true, it is the debugger's, who asks for the stop. NULL: none is. */
typedef bool stop_filter_fn(struct vcpu *vcpu, u8 vector);
void stop_set_filter(stop_filter_fn *filter);

/* --- in a session -------------------------------------------------------------------- */

/* The guest's processors by their number; NULL behind the last. */
struct vcpu *stop_cpu(u32 id);

/* Has it been started, and did it stop? Only of these are there registers. */
bool stop_is_running(const struct vcpu *vcpu);

/* Calls fn on the processor of vcpu, which is stopped, and waits for it. False: it is not. */
bool stop_on(struct vcpu *vcpu, void (*fn)(struct vcpu *vcpu, void *arg), void *arg);

/* Adds INTERCEPT_DB, INTERCEPT_BP to what exits, or takes them away. On the processor of vcpu: by stop_on(). */
void stop_intercept(struct vcpu *vcpu, u32 mask, bool on);

/* --- for start.c: the hooks ------------------------------------------------------------ */

void stop_look(struct vcpu *vcpu);
bool stop_exception(struct vcpu *vcpu);
u64 stop_emulated(struct vcpu *vcpu, u64 dr6);
/* Is this processor parked, or the one that the session runs on? For the handler of NMIs. */
bool stop_holds(const struct vcpu *vcpu);
bool stop_is_on(void); /* a session, or between two steps of one */
/* While one processor steps: somebody asks for a session. Called on one that waits. */
typedef bool stop_poll_fn(void);
void stop_set_poll(stop_poll_fn *poll);

#endif
