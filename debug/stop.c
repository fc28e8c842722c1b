/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See stop.h. Each processor has a slot with its reason to stop and whether it is parked. Who has a reason and finds no owner becomes the
 * owner, kicks the others and waits until each is parked for this round; then it calls the session. To go on it begins
 * a new round, and gives up being the owner when nobody is parked for the old one any more: so a processor
 * that is about to leave is never taken for one that is parked.
 */
#include "debug/stop.h"

#include "arch/x86/clock.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/kick.h"
#include "debug/step.h"

/* An exit is never as long; an emulator under load has to be given time. */
#define ANSWER_US 30000000u
#define ROUND_NONE 0u
/* Units of struct vcpu's interpreted: more than pass between two looks at messages. */
#define LOOK_SOONER 0x1000u

struct slot {
	u32 reason; /* enum stop_reason: its own, written by its processor */
	u32 parked; /* the round that it is parked for */
	u8 vector;
	bool silent; /* it did not answer: not waited for again */
	void (*call)(struct vcpu *vcpu, void *arg);
	void *arg;
} ALIGNED(64);

static struct {
	stop_session_fn *session;
	stop_filter_fn *filter;
	stop_poll_fn *poll;
	u32 wanted;            /* processors park, or become the owner */
	u32 round;             /* from 1 on */
	struct vcpu *owner;    /* NULL: none */
	struct vcpu *stepping; /* runs alone; nobody is the owner */
	const char *text;
	struct guest_shared *guest;
	struct slot slot[PROCESSORS_MAX];
} stop = {.round = 1};

static struct slot *slot_of(const struct vcpu *vcpu)
{
	return &stop.slot[vcpu->id];
}

#define LOAD(word) __atomic_load_n(&(word), __ATOMIC_SEQ_CST)
#define STORE(word, value) __atomic_store_n(&(word), (value), __ATOMIC_SEQ_CST)

void stop_init(stop_session_fn *session)
{
	stop.session = session;
}

void stop_set_filter(stop_filter_fn *filter)
{
	stop.filter = filter;
}

void stop_set_poll(stop_poll_fn *poll)
{
	stop.poll = poll;
}

bool stop_is_on(void)
{
	return LOAD(stop.wanted);
}

bool stop_holds(const struct vcpu *vcpu)
{
	return LOAD(stop.owner) == vcpu || LOAD(stop.slot[vcpu->id].parked) != ROUND_NONE;
}

void stop_request(struct vcpu *vcpu, enum stop_reason reason)
{
	struct slot *slot = slot_of(vcpu);

	if (LOAD(slot->reason) == STOP_NONE)
		STORE(slot->reason, reason);
	this_cpu()->looks = true;         /* guest_messages() comes by before the entry, */
	vcpu->interpreted += LOOK_SOONER; /* and before long where there is none: execution_run() */
}

/* --- the others ---------------------------------------------------------------------- */

struct vcpu *stop_cpu(u32 id)
{
	return stop.guest && id < stop.guest->processors.count ? stop.guest->vcpu[id] : NULL;
}

/* The hypervisor has entered the guest there, or is about to: it looks before it does. */
static bool runs(const struct vcpu *vcpu)
{
	return percpu_runs_guest(percpu_of(vcpu->cpu));
}

static bool is_parked(const struct vcpu *vcpu)
{
	return LOAD(slot_of(vcpu)->parked) == stop.round;
}

bool stop_is_running(const struct vcpu *vcpu)
{
	return vcpu->mmu && (vcpu == stop.owner || is_parked(vcpu)) &&
	       processors_state(&stop.guest->processors, vcpu->id) == PROCESSOR_RUNS;
}

/* A panic elsewhere does not wait for us. */
static void relax(void)
{
	if (hw_stop_asked())
		hw_stop();
	cpu_relax();
}

static void wait_for(struct vcpu *vcpu)
{
	u64 end = clock_after(ANSWER_US);

	while (runs(vcpu) && !is_parked(vcpu) && !clock_passed(end))
		relax();
	if (!runs(vcpu) || is_parked(vcpu))
		return;
	slot_of(vcpu)->silent = true;
	log_error("monitor: CPU %u does not stop\n", vcpu->id);
}

static void gather(const struct vcpu *owner)
{
	struct vcpu *vcpu;

	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		if (vcpu != owner && runs(vcpu) && !is_parked(vcpu))
			kick_send(percpu_of(vcpu->cpu), KICK_DEBUG);
	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		if (vcpu != owner && !slot_of(vcpu)->silent)
			wait_for(vcpu);
}

static bool is_anybody_parked_for(u32 round)
{
	const struct vcpu *vcpu;

	for (u32 i = 0; (vcpu = stop_cpu(i)); i++)
		if (LOAD(slot_of(vcpu)->parked) == round)
			return true;
	return false;
}

static void answer_call(struct vcpu *vcpu, struct slot *slot)
{
	void (*call)(struct vcpu * vcpu, void *arg) = __atomic_load_n(&slot->call, __ATOMIC_ACQUIRE);

	if (!call)
		return;
	call(vcpu, slot->arg);
	__atomic_store_n(&slot->call, NULL, __ATOMIC_RELEASE);
}

bool stop_on(struct vcpu *vcpu, void (*fn)(struct vcpu *vcpu, void *arg), void *arg)
{
	struct slot *slot = slot_of(vcpu);

	if (!stop_is_running(vcpu))
		return false;
	if (vcpu == stop.owner) {
		fn(vcpu, arg);
		return true;
	}
	slot->arg = arg;
	__atomic_store_n(&slot->call, fn, __ATOMIC_RELEASE);
	while (__atomic_load_n(&slot->call, __ATOMIC_ACQUIRE))
		relax();
	return true;
}

/* --- parking --------------------------------------------------------------------------- */

/* Whoever steps may not come back by itself: one of those that wait listens for it. */
static void listen_for_stepping(struct vcpu *vcpu)
{
	struct vcpu *stepping = LOAD(stop.stepping);

	if (!stepping || vcpu->id != (stepping->id ? 0u : 1u) || !stop.poll || !stop.poll())
		return;
	if (!__atomic_compare_exchange_n(&stop.stepping, &stepping, NULL, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	stop_request(vcpu, STOP_BREAK);
	kick_send(percpu_of(stepping->cpu), KICK_DEBUG);
}

static void park(struct vcpu *vcpu)
{
	struct slot *slot = slot_of(vcpu);
	u32 round = LOAD(stop.round);

	if (vcpu->stepped)
		step_cancel(vcpu);
	STORE(slot->parked, round);
	while (LOAD(stop.round) == round && LOAD(stop.stepping) != vcpu) {
		if (LOAD(slot->reason) && !LOAD(stop.owner) && !LOAD(stop.stepping))
			break;
		answer_call(vcpu, slot);
		listen_for_stepping(vcpu);
		relax();
	}
	slot->silent = false;
	hw_nmis(vcpu->vendor); /* those that waited: stop_holds() is still true */
	STORE(slot->parked, ROUND_NONE);
}

/* --- the owner ------------------------------------------------------------------------- */

static bool become_owner(struct vcpu *vcpu)
{
	struct vcpu *none = NULL, *stepping = LOAD(stop.stepping);

	if (!LOAD(slot_of(vcpu)->reason) || (stepping && stepping != vcpu))
		return false;
	if (!__atomic_compare_exchange_n(&stop.owner, &none, vcpu, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return false;
	STORE(stop.stepping, NULL);
	STORE(stop.wanted, true);
	return true;
}

static void begin_step(struct vcpu *vcpu, void *arg)
{
	step_begin(vcpu);
}

/* True: one processor alone goes on. */
static bool step(struct vcpu *target)
{
	if (!stop_on(target, begin_step, NULL))
		return false;
	STORE(stop.stepping, target);
	STORE(stop.owner, NULL);
	return true;
}

static void release(void)
{
	u32 old = stop.round;

	STORE(stop.wanted, false);
	STORE(stop.round, old + 1 == ROUND_NONE ? 1 : old + 1);
	while (is_anybody_parked_for(old))
		relax();
	hw_nmis(stop.owner->vendor);
	STORE(stop.owner, NULL);
}

static void run_session(struct vcpu *vcpu)
{
	struct slot *slot = slot_of(vcpu);
	struct stop_event event = {.vcpu = vcpu, .text = stop.text};
	struct vcpu *target;

	if (vcpu->stepped)
		step_cancel(vcpu);
	gather(vcpu);
	event.reason = (enum stop_reason)slot->reason;
	event.vector = slot->vector;
	STORE(slot->reason, STOP_NONE);
	for (;;) {
		target = vcpu;
		if (stop.session(&event, &target) == STOP_CONTINUE)
			break;
		if (event.reason < STOP_DIED && step(target))
			return;
		event.reason = STOP_BREAK; /* it cannot be stepped */
	}
	if (event.reason < STOP_DIED) /* else they stay */
		release();
}

void stop_look(struct vcpu *vcpu)
{
	struct slot *slot = slot_of(vcpu);

	stop.guest = guest_of(vcpu)->shared;
	if (vcpu->stepped && step_is_delivered(vcpu))
		stop_request(vcpu, STOP_STEPPED);
	while (LOAD(stop.wanted) || LOAD(slot->reason)) {
		if (LOAD(stop.stepping) == vcpu && !LOAD(slot->reason))
			return;
		if (become_owner(vcpu)) {
			run_session(vcpu);
			if (LOAD(stop.owner) == vcpu) /* of a death */
				return;
		} else {
			park(vcpu);
		}
	}
}

void stop_for_death(struct vcpu *vcpu, enum stop_reason reason, const char *text)
{
	if (!stop.session)
		return;
	stop.text = text;
	STORE(slot_of(vcpu)->reason, reason);
	stop_look(vcpu);
}

/* --- exits -------------------------------------------------------------------------------- */

void stop_intercept(struct vcpu *vcpu, u32 mask, bool on)
{
	step_intercept(vcpu, mask, on);
}

u64 stop_emulated(struct vcpu *vcpu, u64 dr6)
{
	if (step_emulated(vcpu, &dr6))
		stop_request(vcpu, STOP_STEPPED);
	return dr6;
}

bool stop_exception(struct vcpu *vcpu)
{
	u8 vector = vcpu->exit.vector;

	if (vector == VEC_DB && vcpu->stepped) {
		if (!step_exception(vcpu))
			return false;
		stop_request(vcpu, STOP_STEPPED);
		return true;
	}
	slot_of(vcpu)->vector = vector;
	return (vector == VEC_DB || vector == VEC_BP) && stop.filter && stop.filter(vcpu, vector);
}
