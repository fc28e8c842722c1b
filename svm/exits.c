/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exit decoding. Works with and without NRIP save and decode assists: what the
 * CPU does not tell is left unknown, and neutral code decodes the instruction.
 */
#include "svm/exits.h"

/* The low half decides: QEMU stores VMEXIT_INVALID (-1) as 0x00000000ffffffff. */
static u32 code_of(u64 code)
{
	return (u32)code;
}

static bool is_exception(u32 code)
{
	return code >= SVM_EXIT_EXCP_FIRST && code <= SVM_EXIT_EXCP_LAST;
}

static bool is_cr_read(u32 code)
{
	return code < SVM_EXIT_CR0_WRITE;
}

static bool is_cr_write(u32 code)
{
	return code >= SVM_EXIT_CR0_WRITE && code < SVM_EXIT_DR0_READ;
}

static enum exit_kind exception_kind(u32 code)
{
	switch (code) {
	case SVM_EXIT_EXCP_PF: return EXIT_PAGE_FAULT;
	case SVM_EXIT_EXCP_MC: return EXIT_MACHINE_CHECK;
	default: return EXIT_EXCEPTION;
	}
}

enum exit_kind svm_exit_kind(u64 raw, u64 info1)
{
	u32 code = code_of(raw);

	if (likely(code == SVM_EXIT_CR3_WRITE))
		return EXIT_CR_WRITE;
	if (is_exception(code))
		return exception_kind(code);
	if (is_cr_read(code))
		return EXIT_CR_READ;
	if (is_cr_write(code))
		return EXIT_CR_WRITE;
	if (code >= SVM_EXIT_DR0_READ && code < SVM_EXIT_EXCP_FIRST)
		return EXIT_DEBUG_REGISTER;
	switch (code) {
	case SVM_EXIT_INTR: return EXIT_INTERRUPT;
	case SVM_EXIT_NMI: return EXIT_NMI;
	case SVM_EXIT_INIT: return EXIT_INIT;
	case SVM_EXIT_VINTR:
	case SVM_EXIT_IRET: return EXIT_WINDOW; /* IRET: nmi.c */
	case SVM_EXIT_CR0_SEL_WRITE: return EXIT_CR_WRITE;
	case SVM_EXIT_CPUID: return EXIT_CPUID;
	case SVM_EXIT_HLT: return EXIT_HALT;
	case SVM_EXIT_INVD: return EXIT_INVD;
	case SVM_EXIT_INVLPG: return EXIT_INVLPG;
	case SVM_EXIT_INVPCID: return EXIT_INVPCID;
	case SVM_EXIT_IOIO: return EXIT_IO;
	case SVM_EXIT_MSR: return info1 & 1 ? EXIT_MSR_WRITE : EXIT_MSR_READ;
	case SVM_EXIT_SWINT: return EXIT_SOFT_INTERRUPT;
	case SVM_EXIT_TASK_SWITCH: return EXIT_TASK_SWITCH;
	case SVM_EXIT_SHUTDOWN: return EXIT_TRIPLE_FAULT;
	case SVM_EXIT_VMMCALL: return EXIT_HYPERCALL;
	case SVM_EXIT_VMRUN:
	case SVM_EXIT_VMLOAD:
	case SVM_EXIT_VMSAVE:
	case SVM_EXIT_STGI:
	case SVM_EXIT_CLGI:
	case SVM_EXIT_SKINIT:
	case SVM_EXIT_INVLPGA: return EXIT_VIRT_INSN;
	case SVM_EXIT_XSETBV: return EXIT_XSETBV;
	case SVM_EXIT_INVALID: return EXIT_INVALID_STATE;
	default: return EXIT_UNKNOWN;
	}
}

const char *svm_exit_name(u64 raw)
{
	u32 code = code_of(raw);

	switch (code) {
#define X(name, code) \
	case code: return #name;
		SVM_EXITS(X)
#undef X
	default: break;
	}
	if (is_exception(code))
		return "EXCP";
	if (is_cr_read(code) || is_cr_write(code))
		return is_cr_read(code) ? "CR_READ" : "CR_WRITE";
	return "?";
}

/*
 * QEMU reports an external interrupt whose delivery faulted as an exception with
 * a vector above 31, and re-injecting that is an invalid state; so is an
 * exception with vector 2, which can only be an NMI. INT3 and INTO come as
 * exceptions too, yet it is the instruction that raises them again.
 */
static u8 exception_event_type(u8 vector)
{
	if (vector == VEC_NMI)
		return EVENT_NMI;
	if (vector == VEC_BP || vector == VEC_OF)
		return EVENT_SOFT_EXCEPTION;
	return vector < 32 ? EVENT_EXCEPTION : EVENT_INTERRUPT;
}

struct vcpu_event svm_interrupted_event(u64 info)
{
	struct vcpu_event event = {.type = EVENT_NONE};

	if (!(info & EVENTINJ_VALID))
		return event; /* the other bits may be stale */
	event.vector = (u8)info;
	switch ((info & EVENTINJ_TYPE_MASK) >> EVENTINJ_TYPE_SHIFT) {
	case EVENTINJ_INTR: event.type = EVENT_INTERRUPT; break;
	case EVENTINJ_NMI:
		event.type = EVENT_NMI;
		event.vector = VEC_NMI;
		break;
	case EVENTINJ_SOFT: event.type = EVENT_SOFT_INTERRUPT; break;
	default: event.type = exception_event_type(event.vector); break;
	}
	if (event.type == EVENT_EXCEPTION && (info & EVENTINJ_ERROR_VALID)) {
		event.has_error = true;
		event.error = (u32)(info >> EVENTINJ_ERROR_SHIFT);
	}
	return event;
}

u64 svm_event_inj(const struct vcpu_event *event)
{
	u64 type, inj;

	switch (event->type) {
	case EVENT_NONE: return 0;
	case EVENT_INTERRUPT: type = EVENTINJ_INTR; break;
	case EVENT_NMI: type = EVENTINJ_NMI; break;
	case EVENT_SOFT_INTERRUPT: type = EVENTINJ_SOFT; break;
	default: type = EVENTINJ_EXCEPTION; break;
	}
	inj = EVENTINJ_VALID | type << EVENTINJ_TYPE_SHIFT | event->vector;
	if (event->has_error)
		inj |= EVENTINJ_ERROR_VALID | (u64)event->error << EVENTINJ_ERROR_SHIFT;
	return inj;
}

bool svm_queue_virtual_interrupt(u64 *virtual_interrupt, u8 vector)
{
	u64 queued = V_IRQ | V_IGN_TPR | (u64)vector << V_INTR_VECTOR_SHIFT;

	if (*virtual_interrupt & V_IRQ && (*virtual_interrupt & V_INTR_VECTOR) != (queued & V_INTR_VECTOR))
		return false;
	*virtual_interrupt = (*virtual_interrupt & ~V_INTR_VECTOR) | queued;
	return true;
}

static void decode_cr(u32 code, u64 info1, bool assists, struct vcpu_exit *exit)
{
	exit->cr = code == SVM_EXIT_CR0_SEL_WRITE ? 0 : code & 0xf;
	/* Without the bit it is LMSW, CLTS or SMSW, or the CPU has no assists. */
	if (assists && (info1 & CR_INFO_MOV)) {
		exit->operand_known = true;
		exit->gpr = info1 & CR_INFO_GPR;
	}
}

static void decode_io(u64 info1, struct vcpu_exit *exit)
{
	exit->port = (u16)(info1 >> IO_INFO_PORT_SHIFT);
	exit->io_size = info1 >> IO_INFO_SIZE_SHIFT & IO_INFO_SIZE_MASK;
	exit->io_in = info1 & IO_INFO_IN;
	exit->io_string = info1 & IO_INFO_STRING;
	exit->io_rep = info1 & IO_INFO_REP;
}

/* Neither IRET nor JMP: a gate if an event was being delivered, else CALL. */
static void decode_task_switch(const struct vmcb *vmcb, struct vcpu_exit *exit)
{
	u64 info = vmcb->exit_info2;

	exit->task_selector = (u16)vmcb->exit_info1;
	if (info & (TASK_INFO_IRET | TASK_INFO_JUMP)) {
		exit->task_source = info & TASK_INFO_IRET ? TASK_IRET : TASK_JUMP;
		exit->interrupted.type = EVENT_NONE;
	} else {
		exit->task_source = exit->interrupted.type == EVENT_NONE ? TASK_CALL : TASK_GATE;
	}
	if (exit->task_source == TASK_GATE && exit->interrupted.type == EVENT_EXCEPTION && info & TASK_INFO_ERROR) {
		exit->interrupted.has_error = true;
		exit->interrupted.error = (u32)info;
	}
	exit->task_rf = info & TASK_INFO_RF;
}

static void decode_page_fault(const struct vmcb *vmcb, bool assists, struct vcpu_exit *exit)
{
	exit->vector = VEC_PF;
	exit->error = (u32)vmcb->exit_info1;
	exit->gva = vmcb->exit_info2;
	if (!assists)
		return;
	exit->insn_bytes_len = MIN(vmcb->insn_len, SVM_INSN_LEN_MAX);
	for (u32 i = 0; i < exit->insn_bytes_len; i++)
		exit->insn_bytes[i] = vmcb->insn_bytes[i];
}

/* NRIP save where there is one; the next RIP of an IOIO exit is in EXITINFO2 always. */
static u8 insn_len_of(const struct vmcb *vmcb, enum exit_kind kind, struct svm_assists assists)
{
	u64 len = vmcb->exit_info2 - vmcb->rip;

	if (kind != EXIT_IO)
		return svm_insn_len(vmcb, assists);
	return vmcb->exit_info2 && len <= SVM_INSN_LEN_MAX ? (u8)len : 0;
}

void svm_decode_exit(const struct vmcb *vmcb, struct svm_assists assists, struct vcpu_exit *exit)
{
	u32 code = code_of(vmcb->exit_code);

	/* Field by field: most of the structure matters to few exits. */
	exit->kind = svm_exit_kind(vmcb->exit_code, vmcb->exit_info1);
	exit->raw = vmcb->exit_code;
	exit->info1 = vmcb->exit_info1;
	exit->info2 = vmcb->exit_info2;
	exit->interrupted = svm_interrupted_event(vmcb->exit_int_info);
	exit->insn_len = exit->insn_bytes_len = 0;
	exit->operand_known = exit->clts = exit->lmsw = false;
	switch (exit->kind) {
	case EXIT_PAGE_FAULT: decode_page_fault(vmcb, assists.decode, exit); return;
	case EXIT_EXCEPTION:
		exit->vector = (u8)(code - SVM_EXIT_EXCP_FIRST);
		exit->error = (u32)vmcb->exit_info1;
		return;
	case EXIT_CR_READ:
	case EXIT_CR_WRITE: decode_cr(code, vmcb->exit_info1, assists.decode, exit); break;
	case EXIT_INVLPG:
		exit->operand_known = assists.decode;
		exit->gpr = 0; /* of no matter then */
		exit->gva = assists.decode ? vmcb->exit_info1 : 0;
		break;
	case EXIT_IO: decode_io(vmcb->exit_info1, exit); break;
	case EXIT_TASK_SWITCH: decode_task_switch(vmcb, exit); return; /* next_rip is not defined */
	default: break;
	}
	exit->insn_len = insn_len_of(vmcb, exit->kind, assists);
}
