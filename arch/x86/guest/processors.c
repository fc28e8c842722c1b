/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See processors.h. Sections and tables are of SDM vol. 3 chapter 10; the APM (vol. 2 sections 16.5, 16.6 and 16.13) says
 * the same where it says anything.
 *
 * What the manuals leave open, and what is done: a command whose shorthand does not go with its mode (table 10-3: self or all
 * with NMI, INIT or start-up) is ignored, but for an NMI to self, which processors do deliver. In the cluster model only ones in all
 * bits are a broadcast; a model that is neither flat nor cluster has no logical addresses but that one. A sender's
 * mode says what a broadcast is, a target's mode how its logical address is compared. An NMI that reaches a waiting
 * processor is blocked (section 26.7.2) and kept.
 */
#include "arch/x86/guest/processors.h"

#include "lib/log.h"
#include "lib/string.h"

/* The word of requests */
#define REQUEST_VECTOR BITS(7, 0) /* of REQUEST_SIPI */
#define REQUEST_INIT BIT(8)
#define REQUEST_SIPI BIT(9)
#define REQUEST_NMI BIT(10)

/* Bits of struct processors.told */
#define TOLD_SMI BIT(0)
#define TOLD_RESERVED BIT(1)
#define TOLD_SHORTHAND BIT(2)

/* Section 10.12.1.2: a write of these raises #GP. Bit 12, the delivery status of xAPIC mode, is ignored. */
#define X2APIC_RESERVED (BITS(31, 20) | BITS(17, 16) | BIT(13))

#define XAPIC_BROADCAST 0xffu
#define X2APIC_BROADCAST ~0u
#define LDR_SHIFT 24
#define DFR_SHIFT 28
#define DFR_FLAT 0xfu
#define DFR_CLUSTER 0u
#define DFR_RESET ~0u

struct message {
	u32 destination;
	bool logical, broadcast;
};

static u32 get(const u32 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void set(u32 *word, u32 value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static bool first_time(struct processors *t, u32 what)
{
	return !(__atomic_fetch_or(&t->told, what, __ATOMIC_RELAXED) & what);
}

/* --- the table ---------------------------------------------------------------------- */

void processors_init(struct processors *t, bool start_protected)
{
	memset(t, 0, sizeof(*t));
	t->start_protected = start_protected;
}

int processors_add(struct processors *t, u32 apic_id, bool boot)
{
	if (t->count == PROCESSORS_MAX)
		return -ENOSPC;
	t->cpu[t->count] = (struct processor){
		.address = {.apic_id = apic_id, .dfr = DFR_RESET, .apic = PROCESSOR_XAPIC},
		.state = boot ? PROCESSOR_RUNS : PROCESSOR_OFF,
		.boot = boot,
	};
	return (int)t->count++;
}

void processors_set_address(struct processors *t, u32 index, const struct processor_address *address)
{
	struct processor_address *own = &t->cpu[index].address;

	set(&own->apic_id, address->apic_id);
	set(&own->ldr, address->ldr);
	set(&own->dfr, address->dfr);
	set(&own->apic, address->apic);
}

/* --- who is meant ------------------------------------------------------------------- */

/* Section 10.6.2.2: bits of an 8-bit mask, or four of them behind the number of a cluster. */
static bool xapic_logical_match(const struct processor_address *a, u32 destination)
{
	u32 own = get(&a->ldr) >> LDR_SHIFT;

	switch (get(&a->dfr) >> DFR_SHIFT) {
	case DFR_FLAT: return destination & own;
	case DFR_CLUSTER: return destination >> 4 == own >> 4 && destination & own & 0xf;
	default: return false;
	}
}

/* Section 10.12.10.2: the address follows from the ID, 16 processors to a cluster. */
static bool x2apic_logical_match(u32 apic_id, u32 destination)
{
	return destination >> 16 == (apic_id >> 4 & 0xffff) && destination >> (apic_id & 0xf) & 1;
}

/* An APIC that is disabled is not there (section 10.4.3); software-disabled ones do take these messages (10.4.7.2). */
static bool accepts(const struct processor_address *a, const struct message *m)
{
	u32 apic = get(&a->apic), apic_id = get(&a->apic_id);

	if (apic == PROCESSOR_NO_APIC)
		return false;
	if (m->broadcast)
		return true;
	if (!m->logical)
		return m->destination == apic_id;
	if (apic == PROCESSOR_X2APIC)
		return x2apic_logical_match(apic_id, m->destination);
	return m->destination <= XAPIC_BROADCAST && xapic_logical_match(a, m->destination);
}

static struct message destination_of(u64 icr, bool x2apic)
{
	u32 destination = (u32)(icr >> (x2apic ? ICR_X2APIC_DESTINATION_SHIFT : ICR_XAPIC_DESTINATION_SHIFT));

	return (struct message){
		.destination = destination,
		.logical = icr & ICR_LOGICAL,
		.broadcast = destination == (x2apic ? X2APIC_BROADCAST : XAPIC_BROADCAST),
	};
}

static bool is_meant(const struct processors *t, u32 sender, u32 target, u64 icr)
{
	const struct processor_address *a = &t->cpu[target].address;
	struct message m = destination_of(icr, get(&t->cpu[sender].address.apic) == PROCESSOR_X2APIC);

	switch ((enum icr_shorthand)ICR_SHORTHAND(icr)) {
	case ICR_SELF: return target == sender;
	case ICR_ALL: return false; /* of no mode that makes requests */
	case ICR_OTHERS: m.broadcast = true; return target != sender && accepts(a, &m);
	case ICR_DESTINATION: break;
	}
	return accepts(a, &m);
}

/* --- requests ----------------------------------------------------------------------- */

static u32 merge(u32 old, u32 request)
{
	if (request & REQUEST_INIT)
		return request;
	if (request & old & REQUEST_SIPI) /* the second finds it running */
		return old;
	return old | request;
}

/* A full barrier, whether the word changes or not: what the sender reads next is not older (C1). */
static void post(struct processor *p, u32 request)
{
	u32 old = get(&p->requests);

	while (!__atomic_compare_exchange_n(&p->requests, &old, merge(old, request), true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
		;
}

void processors_post_init(struct processors *t, u32 index)
{
	post(&t->cpu[index], REQUEST_INIT);
}

static void send(struct processors *t, u32 sender, u64 icr, u32 request, struct processor_set *targets)
{
	for (u32 i = 0; i < t->count; i++) {
		if (!is_meant(t, sender, i, icr))
			continue;
		post(&t->cpu[i], request);
		targets->word[i / 64] |= 1ull << i % 64;
	}
}

/* --- commands ----------------------------------------------------------------------- */

/* Section 10.6.1: the synchronisation of arbitration IDs, which processors of today do not know. */
static bool is_init_deassert(u64 icr)
{
	return ICR_MODE(icr) == ICR_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT);
}

/* Table 10-3. A trigger mode of level is made edge, and is no reason to ignore a command. */
static bool shorthand_is_valid(u64 icr)
{
	switch ((enum icr_shorthand)ICR_SHORTHAND(icr)) {
	case ICR_SELF: return ICR_MODE(icr) == ICR_NMI;
	case ICR_ALL: return false;
	default: return true;
	}
}

static enum command_verdict refuse(struct processors *t, u32 sender, u64 icr)
{
	bool smi = ICR_MODE(icr) == ICR_SMI;

	if (first_time(t, smi ? TOLD_SMI : TOLD_RESERVED))
		log_warn("guest: CPU %u: APIC command %x (%s) refused\n", sender, (u32)icr,
			 smi ? "SMI" : "a reserved delivery mode");
	return COMMAND_REFUSED;
}

/* A mode that makes a request, as its word; 0: none. */
static u32 request_of(u64 icr)
{
	switch ((enum icr_mode)ICR_MODE(icr)) {
	case ICR_NMI: return REQUEST_NMI;
	case ICR_INIT: return REQUEST_INIT;
	case ICR_STARTUP: return REQUEST_SIPI | ICR_VECTOR(icr);
	default: return 0;
	}
}

enum command_verdict processors_command(struct processors *t, u32 sender, u64 icr, struct processor_set *targets)
{
	u32 apic = get(&t->cpu[sender].address.apic), request = request_of(icr);

	*targets = (struct processor_set){0};
	if (apic == PROCESSOR_NO_APIC)
		return COMMAND_IGNORED;
	if (ICR_MODE(icr) <= ICR_LOWEST)
		return COMMAND_PASS;
	if (apic == PROCESSOR_X2APIC && icr & X2APIC_RESERVED)
		return COMMAND_FAULT;
	if (!request)
		return refuse(t, sender, icr);
	if (is_init_deassert(icr))
		return COMMAND_IGNORED;
	if (!shorthand_is_valid(icr)) {
		if (first_time(t, TOLD_SHORTHAND))
			log_warn("guest: CPU %u: APIC command %x ignored: not a mode for this shorthand\n", sender,
				 (u32)icr);
		return COMMAND_IGNORED;
	}
	send(t, sender, icr, request, targets);
	return COMMAND_SENT;
}

/* --- the target --------------------------------------------------------------------- */

/*
 * SDM vol. 3 section 8.4.2: the boot processor begins at the reset vector, others wait. The logical address goes, the ID
 * and the mode stay (sections 10.4.7.3 and 10.12.5.1).
 */
static void take_init(struct processor *p, struct processor_event *event)
{
	p->nmi_waits = false;
	p->state = p->boot ? PROCESSOR_RUNS : PROCESSOR_WAITS;
	set(&p->address.ldr, 0);
	set(&p->address.dfr, DFR_RESET);
	event->reset = true;
}

/* Section 8.4.4.1; discarded by a processor that does not wait (section 25.2). */
static void take_startup(struct processor *p, u8 vector, struct processor_event *event)
{
	if (p->state != PROCESSOR_WAITS)
		return;
	p->state = PROCESSOR_RUNS;
	event->start = true;
	event->vector = vector;
}

static void take_nmi(struct processor *p, bool came, struct processor_event *event)
{
	switch ((enum processor_state)p->state) {
	case PROCESSOR_OFF: break; /* it is the firmware's */
	case PROCESSOR_WAITS: p->nmi_waits |= came; break;
	case PROCESSOR_RUNS:
		event->nmi = came || p->nmi_waits;
		p->nmi_waits = false;
		break;
	}
}

bool processors_take(struct processors *t, u32 index, struct processor_event *event)
{
	struct processor *p = &t->cpu[index];
	u32 requests;

	*event = (struct processor_event){0};
	if (__atomic_load_n(&p->will_look, __ATOMIC_RELAXED))
		__atomic_store_n(&p->will_look, false, __ATOMIC_SEQ_CST);
	if (likely(!get(&p->requests)))
		return false;
	requests = __atomic_exchange_n(&p->requests, 0, __ATOMIC_SEQ_CST);
	if (requests & REQUEST_INIT)
		take_init(p, event);
	if (requests & REQUEST_SIPI)
		take_startup(p, requests & REQUEST_VECTOR, event);
	take_nmi(p, requests & REQUEST_NMI, event);
	return event->reset || event->start || event->nmi;
}
