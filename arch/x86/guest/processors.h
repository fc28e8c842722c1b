/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's view of its processors: a table by APIC ID, and what an interrupt command of one does to
 * the others (docs/several-cpus.md, C3). Nothing here touches hardware.
 *
 *   sender:  processors_command()  --->  requests of each target, one word  --->  kick (the caller's)
 *   target:  processors_take()     <---  by an exchange, before it enters the guest
 *
 * A word holds what is still to happen, in an order that loses nothing: an INIT wipes what came before it, of two
 * start-up messages behind it the first one counts, NMIs merge. So it makes no difference when a target looks.
 */
#ifndef ARCH_X86_GUEST_PROCESSORS_H
#define ARCH_X86_GUEST_PROCESSORS_H

#include "lib/types.h"

/* As many as arch/x86/percpu.h has. */
#define PROCESSORS_MAX 256

/* Interrupt command register: SDM vol. 3 section 10.6.1, APM vol. 2 section 16.5. */
#define ICR_VECTOR(icr) ((u8)(icr))
#define ICR_MODE(icr) ((icr) >> 8 & 7)
#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15) /* trigger mode */
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3)
#define ICR_XAPIC_DESTINATION_SHIFT 56
#define ICR_X2APIC_DESTINATION_SHIFT 32
enum icr_mode {
	ICR_FIXED,
	ICR_LOWEST,
	ICR_SMI,
	ICR_RESERVED, /* AMD: remote read */
	ICR_NMI,
	ICR_INIT,
	ICR_STARTUP,
	ICR_EXTERNAL, /* reserved too */
};
enum icr_shorthand { ICR_DESTINATION, ICR_SELF, ICR_ALL, ICR_OTHERS };

enum processor_state {
	PROCESSOR_OFF,   /* the firmware has it, as far as the guest can tell: an INIT makes it wait */
	PROCESSOR_WAITS, /* for a start-up message */
	PROCESSOR_RUNS,  /* or has halted */
};

enum processor_apic { PROCESSOR_NO_APIC, PROCESSOR_XAPIC, PROCESSOR_X2APIC };

/* How others address it. ldr: bits 31:24 in use, dfr: bits 31:28; neither matters in x2APIC mode. */
struct processor_address {
	u32 apic_id, ldr, dfr;
	u32 apic; /* enum processor_apic: what the guest has made of it */
};

/* A cache line each: senders write to the first word. */
struct processor {
	u32 requests;
	struct processor_address address; /* written by this processor, read by senders: each word by itself */
	u32 state;                        /* enum processor_state */
	bool boot;                        /* IA32_APIC_BASE.BSP: an INIT does not make it wait */
	bool nmi_waits;                   /* for the end of PROCESSOR_WAITS */
	bool will_look; /* written by this processor: it comes by processors_take() before it runs or waits */
} ALIGNED(64);

struct processors {
	u32 count;
	bool start_protected; /* for tests: a start-up message begins in protected mode */
	u32 told;             /* what was logged already */
	struct processor cpu[PROCESSORS_MAX];
};

struct processor_set {
	u64 word[PROCESSORS_MAX / 64];
};

static inline bool processor_set_has(const struct processor_set *set, u32 index)
{
	return set->word[index / 64] >> index % 64 & 1;
}

enum command_verdict {
	COMMAND_PASS,    /* fixed or lowest priority: the hardware's register is given it as it is */
	COMMAND_SENT,    /* requests were made: kick the targets, of which there may be none */
	COMMAND_IGNORED, /* has no effect on hardware, or none that a manual names */
	COMMAND_REFUSED, /* SMI and reserved modes */
	COMMAND_FAULT,   /* #GP: reserved bits in x2APIC mode */
};

/* An empty table; start_protected: a start-up message begins in protected mode. */
void processors_init(struct processors *t, bool start_protected);

/*
 * One more, before the guest runs: its index, or -ENOSPC. The boot processor runs, others are off. In xAPIC mode until
 * processors_set_address() says otherwise, with the logical address of a reset.
 */
MUST_CHECK int processors_add(struct processors *t, u32 apic_id, bool boot);

/* A processor has written to its own APIC's ID, LDR, DFR or mode. */
void processors_set_address(struct processors *t, u32 index, const struct processor_address *address);

/* For that processor itself, or with it stopped. */
static inline enum processor_state processors_state(const struct processors *t, u32 index)
{
	return (enum processor_state)t->cpu[index].state;
}

/*
 * What the processor `sender` has written to its command register: the destination in bits 63:56 or, in x2APIC mode, 63:32. With
 * COMMAND_SENT every target has its request, with a full barrier behind it (C1). targets is empty otherwise.
 */
enum command_verdict processors_command(struct processors *t, u32 sender, u64 icr, struct processor_set *targets);

/* An INIT that no command sent. */
void processors_post_init(struct processors *t, u32 index);

/*
 * By the processor itself, in the hypervisor: until its next processors_take() it needs no kick. Who sends has made its request
 * before it asks whether a kick is needed, and the flag goes before the requests are looked at, with full barriers between:
 * so either the request is found or the kick is sent.
 */
static inline void processors_announce_look(struct processors *t, u32 index)
{
	__atomic_store_n(&t->cpu[index].will_look, true, __ATOMIC_RELAXED);
}

/* Behind a COMMAND_SENT, for one of its targets. */
static inline bool processors_need_kick(const struct processors *t, u32 index)
{
	return !__atomic_load_n(&t->cpu[index].will_look, __ATOMIC_SEQ_CST);
}

/* What becomes of a processor, in the order in which it is done. */
struct processor_event {
	bool reset; /* registers and APIC as after an INIT; the boot processor begins at the reset vector */
	bool start; /* at the page with the vector's number */
	u8 vector;  /* of start */
	bool nmi;   /* is pending */
};

/* Takes the requests of a processor, on it: false, and an empty event, if nothing changes. */
bool processors_take(struct processors *t, u32 index, struct processor_event *event);

#endif
