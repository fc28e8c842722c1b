/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common trap handler. Every exception without a fix-up is a bug of
 * ours and panics. NMIs that are no kicks are counted: on the boot CPU before the guest runs they are
 * dropped (later ones wait for the guest: GIF is 0 on SVM), on a CPU that waits always. Interrupts come only where they
 * are let in to be dropped. A fault of an instruction that is executed for the guest is the guest's.
 */
#include "arch/x86/trap.h"

#include "arch/x86/cpu.h"
#include "arch/x86/debug_hooks.h"
#include "arch/x86/execute.h"
#include "arch/x86/kick.h"
#include "arch/x86/lapic.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"

#define SX_INIT 1u /* APM vol. 2 section 15.28: an INIT, redirected by VM_CR.R_INIT */

struct trap_entry trap_entry;

extern const struct extable_entry core_extable_start[], core_extable_end[];

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

/*
 * The hypervisor sets no breakpoints, and an exit turns the guest's off (APM vol. 2 section 15.6, SDM vol. 3 section
 * 27.5.1); but QEMU's TCG does not, so a guest can have one on an address of ours.
 */
static void ignore_breakpoint(struct trap_frame *frame)
{
	write_dr7(DR7_RESET);
	frame->rflags |= RFLAGS_RF;
}

/* Between a look whether there was a kick and what shall not be done behind one: a halt, an entry into the guest. */
static void turn_back(struct trap_frame *frame)
{
	if (frame->rip > (u64)kick_wait_for && frame->rip < (u64)kick_wait_end)
		frame->rip = (u64)kick_wait_for;
	if (frame->rip > (u64)interrupt_wait_for && frame->rip < (u64)interrupt_wait_end) {
		frame->rip = (u64)interrupt_wait_for;
		frame->rflags &= ~RFLAGS_IF;
	}
	if (frame->rip >= trap_entry.begin && frame->rip < trap_entry.end)
		frame->rip = trap_entry.back;
}

static void handle_nmi(struct trap_frame *frame)
{
	struct percpu *cpu = this_cpu();
	u32 reasons = kick_take();
	bool asked;

	if (reasons & KICK_STOP)
		cpu_stop();
	asked = unlikely(debug_hooks) && debug_hooks->nmi(); /* whatever else it is: two may have become one */
	if (reasons)
		cpu->kicks_taken++;
	else if (!asked)
		cpu->nmi_count++;
	reasons |= asked ? KICK_DEBUG : 0;
	if (!reasons || reasons & (KICK_LOOK | KICK_DEBUG)) /* one of a device is the guest's, who may wait */
		cpu->looks = true;
	cpu->kicked = true;
	turn_back(frame);
}

void trap_handle(struct trap_frame *frame)
{
	if (frame->vector == VEC_DB) {
		ignore_breakpoint(frame);
		return;
	}
	if (frame->vector == VEC_NMI) {
		handle_nmi(frame);
		return;
	}
	if (frame->vector == TRAP_INTERRUPT) {
		lapic_end_interrupt();
		return;
	}
	if (frame->vector == VEC_SX && frame->error == SX_INIT) {
		this_cpu()->init_count++;
		return;
	}
	if ((frame->vector == VEC_GP || frame->vector == VEC_UD) && apply_fixup(frame))
		return;
	if (execute_fault((u8)frame->vector, &frame->rip)) {
		frame->rax = frame->vector;
		return;
	}
	panic_trap(frame);
}
