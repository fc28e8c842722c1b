/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INIT and start-up of a virtual CPU: SDM vol. 3 table 9-1 (column INIT), APM vol. 2 table 14-1. What they leave alone, so
 * do we: x87, SSE and extended state with XCR0, all MSRs but EFER, the TSC, MTRRs and PAT, caches.
 */
#include "arch/x86/guest/reset.h"

#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/vendor.h"
#include "lib/log.h"
#include "lib/string.h"

#define RESET_RIP 0xfff0u
#define RESET_CS 0xf000u
#define RESET_CS_BASE 0xffff0000u
#define REAL_LIMIT 0xffffu
/* Present, S, DPL 0: data or readable code, accessed. LDTR and TR: present. */
#define REAL_DATA 0x93u
#define REAL_CODE 0x9bu
#define REAL_LDT 0x82u
#define REAL_TSS 0x8bu

static void set_segments(struct vcpu *vcpu)
{
	static const u8 attributes[SEG_COUNT] = {
		[SEG_ES] = REAL_DATA, [SEG_CS] = REAL_CODE, [SEG_SS] = REAL_DATA,  [SEG_DS] = REAL_DATA,
		[SEG_FS] = REAL_DATA, [SEG_GS] = REAL_DATA, [SEG_LDTR] = REAL_LDT, [SEG_TR] = REAL_TSS,
	};

	for (u32 i = 0; i < SEG_COUNT; i++) {
		struct segment s = {.limit = REAL_LIMIT, .attributes = attributes[i]};

		if (i == SEG_CS) {
			s.selector = RESET_CS;
			s.base = RESET_CS_BASE;
		}
		known_set_segment(vcpu, (enum segment_name)i, &s);
	}
}

static void set_debug_registers(struct vcpu *vcpu)
{
	for (u32 n = 0; n < 4; n++)
		debug_register_write(vcpu, n, 0);
	debug_register_write(vcpu, 6, DR6_RESET);
	debug_register_write(vcpu, 7, DR7_RESET);
}

/* An event that was about to be delivered, or whose delivery was cut short, is lost with the program it was for. */
static void drop_events(struct vcpu *vcpu)
{
	vcpu->inject = (struct vcpu_event){0};
	vcpu->exit.interrupted = (struct vcpu_event){0};
	vcpu->exit.nmi_unblocked = false;
	vcpu->interrupt_shadow = false;
	vcpu->halted = false;
	vcpu->nmi_blocked = false;
	vcpu->nmi_waits = false;
	vcpu->mmio.state = MMIO_NONE;
	vcpu->dr6_set = 0;
	vcpu->breakpoints_hit = 0;
	vcpu->vendor->wake(vcpu);
}

static void set_registers(struct vcpu *vcpu)
{
	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	vcpu->gpr[GPR_RDX] = hw_cpuid(1, 0).eax; /* the processor's signature */
	vcpu->rip = RESET_RIP;
	vcpu->rflags = RFLAGS_FIXED;
	vcpu->cr0 = (vcpu->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
	vcpu->cr2 = vcpu->cr3 = vcpu->cr4 = vcpu->efer = 0;
	vcpu->cpl = 0;
	vcpu->code_bits = 0;
}

static void do_init(struct vcpu *vcpu)
{
	drop_events(vcpu);
	set_registers(vcpu);
	set_segments(vcpu);
	set_debug_registers(vcpu);
	cr_apply(vcpu, true);
	apic_reset(vcpu);
}

/* For tests: 32-bit, flat, paging off. */
static void do_start_protected(struct vcpu *vcpu, u8 vector)
{
	struct segment s = {.limit = ~0u, .attributes = SEG_FLAT_DATA};

	for (u32 i = SEG_ES; i <= SEG_GS; i++)
		if (i != SEG_CS)
			known_set_segment(vcpu, (enum segment_name)i, &s);
	s.attributes = SEG_FLAT_CODE32;
	known_set_segment(vcpu, SEG_CS, &s);
	s = (struct segment){.limit = REAL_LIMIT, .attributes = SEG_TSS32_BUSY};
	known_set_segment(vcpu, SEG_TR, &s);
	vcpu->rip = (u64)vector << PAGE_SHIFT;
	vcpu->cr0 |= CR0_PE | CR0_NE;
	cr_apply(vcpu, true);
}

/* Section 8.4.4.1: the code is at the page of that number. The rest is as the INIT left it. */
static void do_start(struct vcpu *vcpu, u8 vector)
{
	struct segment cs = {
		.selector = (u16)(vector << 8),
		.base = (u64)vector << PAGE_SHIFT,
		.limit = REAL_LIMIT,
		.attributes = REAL_CODE,
	};

	known_set_segment(vcpu, SEG_CS, &cs);
	vcpu->rip = 0;
}

void reset_do(struct vcpu *vcpu, struct processors *t, const struct processor_event *event)
{
	if (event->reset)
		do_init(vcpu);
	if (event->start && t->start_protected)
		do_start_protected(vcpu, event->vector);
	else if (event->start)
		do_start(vcpu, event->vector);
	if (event->nmi) /* the entry puts it in, in its turn */
		vcpu->nmi_waits = true;
}

bool reset_take(struct vcpu *vcpu, struct processors *t)
{
	struct processor_event event;

	if (processors_take(t, vcpu->id, &event))
		reset_do(vcpu, t, &event);
	return processors_state(t, vcpu->id) == PROCESSOR_RUNS;
}
