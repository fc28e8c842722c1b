/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IDT and the common trap handler. Every exception without a fix-up is a bug of
 * ours and panics; NMIs before the guest runs are counted and dropped (later
 * ones wait for the guest: GIF is 0 on SVM).
 */
#include "arch/x86/idt.h"

#include "arch/x86/cpu.h"
#include "arch/x86/gdt.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "lib/log.h"

#define GATE_INTERRUPT_PRESENT 0x8eu  /* 64-bit interrupt gate, DPL 0, APM vol. 2 section 4.8.4 */

struct idt_gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "APM vol. 2 figure 4-24");

extern const u64 isr_stubs[TRAP_VECTORS];
extern const struct extable_entry core_extable_start[], core_extable_end[];

static struct idt_gate idt[TRAP_VECTORS] ALIGNED(16);

static u8 ist_of(u32 vector)
{
	switch (vector) {
	case VEC_NMI:
		return IST_NMI;
	case VEC_DF:
		return IST_DF;
	case VEC_MC:
		return IST_MC;
	default:
		return IST_NONE;
	}
}

void idt_init(void)
{
	for (u32 vector = 0; vector < TRAP_VECTORS; vector++) {
		u64 stub = isr_stubs[vector];

		idt[vector] = (struct idt_gate){
			.offset_low = (u16)stub,
			.selector = SEL_CODE,
			.ist = ist_of(vector),
			.type = GATE_INTERRUPT_PRESENT,
			.offset_middle = (u16)(stub >> 16),
			.offset_high = (u32)(stub >> 32),
		};
	}
}

void idt_load(void)
{
	struct table_pointer pointer = { sizeof(idt) - 1, (u64)idt };

	lidt(&pointer);
}

static bool apply_fixup(struct trap_frame *frame)
{
	for (const struct extable_entry *e = core_extable_start; e < core_extable_end; e++) {
		if (e->insn == frame->rip) {
			frame->rip = e->resume;
			frame->rflags |= BIT(0); /* CF: it faulted */
			return true;
		}
	}
	return false;
}

void trap_handle(struct trap_frame *frame)
{
	if (frame->vector == VEC_NMI) {
		this_cpu()->nmi_count++;
		return;
	}
	if ((frame->vector == VEC_GP || frame->vector == VEC_UD) && apply_fixup(frame))
		return;
	panic_trap(frame);
}

const char *trap_name(u64 vector)
{
	static const char *const names[TRAP_VECTORS] = {
		[VEC_DE] = "divide error", [VEC_DB] = "debug", [VEC_NMI] = "NMI",
		[VEC_BP] = "breakpoint", [VEC_OF] = "overflow", [VEC_BR] = "bound range",
		[VEC_UD] = "invalid opcode", [VEC_NM] = "device not available",
		[VEC_DF] = "double fault", [VEC_TS] = "invalid TSS", [VEC_NP] = "segment not present",
		[VEC_SS] = "stack fault", [VEC_GP] = "general protection", [VEC_PF] = "page fault",
		[VEC_MF] = "x87 error", [VEC_AC] = "alignment check", [VEC_MC] = "machine check",
		[VEC_XM] = "SIMD error", [VEC_VE] = "virtualization", [VEC_CP] = "control protection",
	};

	return vector < TRAP_VECTORS && names[vector] ? names[vector] : "";
}
