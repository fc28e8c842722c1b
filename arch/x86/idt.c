/* SPDX-License-Identifier: BSD-2-Clause */
/* The IDT: a gate to each stub of isr.asm. */
#include "arch/x86/idt.h"

#include "arch/x86/cpu.h"
#include "arch/x86/gdt.h"
#include "arch/x86/trap_frame.h"

#define GATE_INTERRUPT_PRESENT 0x8eu /* 64-bit interrupt gate, DPL 0, APM vol. 2 section 4.8.4 */

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

#define VECTORS 256u

extern const u64 isr_stubs[TRAP_VECTORS + 1]; /* the last: of interrupts */

extern const u8 isr_taken[VECTORS][ISR_TAKEN_BYTES];

static struct idt_gate idt[VECTORS] ALIGNED(16), idt_taking[VECTORS] ALIGNED(16);

static u8 ist_of(u32 vector)
{
	switch (vector) {
	case VEC_NMI: return IST_NMI;
	case VEC_DF: return IST_DF;
	case VEC_MC: return IST_MC;
	default: return IST_NONE;
	}
}

static struct idt_gate gate(u64 stub, u8 ist)
{
	return (struct idt_gate){
		.offset_low = (u16)stub,
		.selector = SEL_CODE,
		.ist = ist,
		.type = GATE_INTERRUPT_PRESENT,
		.offset_middle = (u16)(stub >> 16),
		.offset_high = (u32)(stub >> 32),
	};
}

/*
 * An interrupt with the number of the NMI finds the NMI's handler, and the guest gets it as one. So there that has no stack of
 * its own, where another would come over its frame.
 */
void idt_init(void)
{
	for (u32 vector = 0; vector < VECTORS; vector++) {
		u64 stub = isr_stubs[MIN(vector, TRAP_INTERRUPT)];

		idt[vector] = gate(stub, ist_of(vector));
		idt_taking[vector] = gate(vector == VEC_NMI ? stub : (u64)isr_taken[vector], IST_NONE);
	}
}

void idt_load(void)
{
	struct table_pointer pointer = {sizeof(idt) - 1, (u64)idt};

	lidt(&pointer);
}

void idt_load_taking(void)
{
	struct table_pointer pointer = {sizeof(idt_taking) - 1, (u64)idt_taking};

	lidt(&pointer);
}
