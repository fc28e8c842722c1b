/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exit dispatch. Every handler leaves the guest so that it can be entered
 * again: the instruction done and RIP past it, or an exception queued, or the
 * instruction to be run once more. An unknown exit stops the guest.
 */
#include "arch/x86/debug_hooks.h"
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/debug_move.h"
#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/emulate.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/io.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/page_fault.h"
#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "arch/x86/guest/task.h"
#include "arch/x86/vendor.h"
#include "lib/log.h"
#include "mm/shadow.h"

#define OPCODE_INT3 0xcc
#define OPCODE_INT 0xcd

static void handle_page_fault(struct vcpu *vcpu)
{
	if (page_fault_handle(vcpu))
		emulate_access(vcpu);
}

static void handle_cpuid(struct vcpu *vcpu)
{
	insn_fill_exit(vcpu);
	cpuid_execute(vcpu);
	insn_skip(vcpu);
}

static void handle_msr_read(struct vcpu *vcpu)
{
	u64 value;

	insn_fill_exit(vcpu);
	if (msr_guest_read(vcpu, vcpu->gpr[GPR_RCX], &value)) {
		inject_gp(vcpu);
		return;
	}
	vcpu->gpr[GPR_RAX] = (u32)value;
	vcpu->gpr[GPR_RDX] = value >> 32;
	insn_skip(vcpu);
}

static void handle_msr_write(struct vcpu *vcpu)
{
	u64 value = (u32)vcpu->gpr[GPR_RAX] | vcpu->gpr[GPR_RDX] << 32;

	insn_fill_exit(vcpu);
	if (msr_guest_write(vcpu, vcpu->gpr[GPR_RCX], value))
		inject_gp(vcpu);
	else
		insn_skip(vcpu);
}

static void handle_invlpg(struct vcpu *vcpu)
{
	struct insn insn;

	insn_fill_exit(vcpu);
	if (!vcpu->exit.operand_known && insn_exit_operands(vcpu, &insn))
		return;
	vcpu_note_event(vcpu, NOTED_FLUSH_PAGE, vcpu->exit.gva);
	shadow_invlpg(vcpu->mmu, vcpu->exit.gva);
	insn_skip(vcpu);
}

/* The guest must not throw away what the hypervisor has in the caches. */
static void handle_invd(struct vcpu *vcpu)
{
	hw_wbinvd();
	insn_skip(vcpu);
}

/* The instruction has not been executed: its event returns behind it. INT3 has one byte, if the hardware does not say it. */
static void inject_int3(struct vcpu *vcpu)
{
	vcpu->inject = (struct vcpu_event){
		.type = EVENT_SOFT_EXCEPTION,
		.vector = VEC_BP,
		.insn_len = vcpu->exit.insn_len ? vcpu->exit.insn_len : 1,
	};
}

static void tell_causes(struct vcpu *vcpu)
{
	u64 causes = vcpu->dr6_set;

	vcpu->dr6_set = 0;
	debug_registers_tell(vcpu, causes);
}

static void handle_exception(struct vcpu *vcpu)
{
	if (unlikely(debug_hooks) && debug_hooks->exception(vcpu))
		return;
	switch (vcpu->exit.vector) {
	case VEC_BP: inject_int3(vcpu); return;
	case VEC_DB: tell_causes(vcpu); break;
	default: break;
	}
	inject_exception(vcpu, vcpu->exit.vector, vcpu->exit.error);
}

/* INT3 where it exits so, else INT n, which is done by its delivery. */
static void handle_soft_interrupt(struct vcpu *vcpu)
{
	struct insn insn;

	if (insn_fetch(vcpu, &insn))
		return;
	vcpu->exit.insn_len = insn.len;
	if (insn.map == 0 && insn.opcode == OPCODE_INT3) {
		vcpu->exit.vector = VEC_BP;
		handle_exception(vcpu);
	} else if (insn.map == 0 && insn.opcode == OPCODE_INT) {
		vcpu->inject = (struct vcpu_event){
			.type = EVENT_SOFT_INTERRUPT,
			.vector = (u8)insn.imm,
			.insn_len = insn.len,
		};
	} /* else it has been changed since: executed again */
}

/*
 * A device's: those of another processor's command register are not sent by the hardware. Of several processors it resets this one,
 * behind the exit, as one of the table does; on SVM it is still pending, where nothing takes it but a reset.
 */
static void handle_init(struct vcpu *vcpu)
{
	if (hw_stop_asked()) {
		if (vcpu->vendor->cpu_listen) /* SMIs go through again; the INIT is #SX, or taken on QEMU, as it would be anyway */
			vcpu->vendor->cpu_listen();
		hw_stop();
	}
	if (vcpu->several && vcpu->vendor->init_exits_once) {
		processors_post_init(&guest_of(vcpu)->shared->processors, vcpu->id);
		return;
	}
	log_error("guest: INIT received; resetting the machine\n");
	hw_reset();
}

void exit_dispatch(struct vcpu *vcpu)
{
	/* clang-format off */
	switch ((enum exit_kind)vcpu->exit.kind) {
	case EXIT_PAGE_FAULT: handle_page_fault(vcpu); break;
	case EXIT_CR_READ: cr_handle_read(vcpu); break;
	case EXIT_CR_WRITE: cr_handle_write(vcpu); break;
	case EXIT_INVLPG: handle_invlpg(vcpu); break;
	case EXIT_CPUID: handle_cpuid(vcpu); break;
	case EXIT_MSR_READ: handle_msr_read(vcpu); break;
	case EXIT_MSR_WRITE: handle_msr_write(vcpu); break;
	case EXIT_XSETBV: cr_handle_xsetbv(vcpu); break;
	case EXIT_INVD: handle_invd(vcpu); break;
	case EXIT_IO: io_handle(vcpu); break;
	case EXIT_SOFT_INTERRUPT: handle_soft_interrupt(vcpu); break;
	case EXIT_DEBUG_REGISTER: debug_move_handle(vcpu); break;
	case EXIT_EXCEPTION: handle_exception(vcpu); break;
	case EXIT_MACHINE_CHECK: inject_exception(vcpu, VEC_MC, 0); break;
	case EXIT_NMI: inject_nmi(vcpu); break;
	/* CPUID shows none of these. */
	case EXIT_INVPCID: case EXIT_HYPERCALL: case EXIT_VIRT_INSN: inject_ud(vcpu); break;
	/* Nothing to do: the event itself is still pending in the hardware. */
	case EXIT_INTERRUPT: case EXIT_WINDOW: case EXIT_SIPI: case EXIT_HALT: break;
	case EXIT_TIMER: debug_hooks->timer(vcpu); break;
	case EXIT_INIT: handle_init(vcpu); break;
	case EXIT_TRIPLE_FAULT: guest_shutdown(vcpu);
	case EXIT_TASK_SWITCH: task_handle_switch(vcpu); break;
	case EXIT_INVALID_STATE: guest_stop(vcpu, "the CPU refused the guest's state");
	case EXIT_UNKNOWN: case EXIT_KIND_COUNT:
		guest_stop(vcpu, "unknown exit %s (0x%llx)", vcpu->vendor->exit_name(vcpu->exit.raw),
			   (unsigned long long)vcpu->exit.raw);
	}
	/* clang-format on */
	inject_finish(vcpu);
}
