/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exit decoding and event encoding. The hardware gives operands and instruction
 * lengths, so neutral code decodes an instruction only to emulate an access.
 */
#include "vmx/exits.h"

#include "lib/x86.h"

static u32 event_type(u32 intr_info)
{
	return (u32)((intr_info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT);
}

static u8 event_vector(u32 intr_info)
{
	return (u8)(intr_info & INTR_INFO_VECTOR_MASK);
}

static u32 cr_access_type(u64 qualification)
{
	return qualification >> CR_QUAL_TYPE_SHIFT & CR_QUAL_TYPE_MASK;
}

static enum exit_kind exception_kind(u32 intr_info)
{
	if (event_type(intr_info) == INTR_TYPE_NMI)
		return EXIT_NMI;
	switch (event_vector(intr_info)) {
	case VEC_PF: return EXIT_PAGE_FAULT;
	case VEC_MC: return EXIT_MACHINE_CHECK;
	default: return EXIT_EXCEPTION;
	}
}

static enum exit_kind failure_kind(u32 basic)
{
	return basic == REASON_ENTRY_MACHINE_CHECK ? EXIT_MACHINE_CHECK : EXIT_INVALID_STATE;
}

enum exit_kind vmx_exit_kind(const struct vmx_exit_info *info)
{
	u32 basic = info->reason & REASON_BASIC_MASK;

	if (info->reason & REASON_ENTRY_FAILURE)
		return failure_kind(basic);
	switch (basic) {
	case REASON_EXCEPTION_NMI: return exception_kind(info->intr_info);
	case REASON_EXTERNAL_INTERRUPT: return EXIT_INTERRUPT;
	case REASON_TRIPLE_FAULT: return EXIT_TRIPLE_FAULT;
	case REASON_INIT: return EXIT_INIT;
	case REASON_SIPI: return EXIT_SIPI;
	case REASON_INTERRUPT_WINDOW:
	case REASON_NMI_WINDOW: return EXIT_WINDOW;
	case REASON_PREEMPTION_TIMER: return EXIT_TIMER;
	case REASON_TASK_SWITCH: return EXIT_TASK_SWITCH;
	case REASON_CPUID: return EXIT_CPUID;
	case REASON_HLT: return EXIT_HALT;
	case REASON_INVD: return EXIT_INVD;
	case REASON_INVLPG: return EXIT_INVLPG;
	case REASON_INVPCID: return EXIT_INVPCID;
	case REASON_VMCALL: return EXIT_HYPERCALL;
	case REASON_GETSEC:
	case REASON_RSM:
	case REASON_VMCLEAR:
	case REASON_VMLAUNCH:
	case REASON_VMPTRLD:
	case REASON_VMPTRST:
	case REASON_VMREAD:
	case REASON_VMRESUME:
	case REASON_VMWRITE:
	case REASON_VMXOFF:
	case REASON_VMXON:
	case REASON_INVEPT:
	case REASON_INVVPID:
	case REASON_VMFUNC:
	/* What CPUID does not show, and exits all the same on the processors that have it. */
	case REASON_SEAMCALL:
	case REASON_TDCALL:
	case REASON_ENCLS:
	case REASON_ENCLV:
	case REASON_PCONFIG:
	case REASON_LOADIWKEY:
	case REASON_RDMSRLIST:
	case REASON_WRMSRLIST: return EXIT_VIRT_INSN;
	case REASON_CR_ACCESS:
		return cr_access_type(info->qualification) == CR_ACCESS_FROM ? EXIT_CR_READ : EXIT_CR_WRITE;
	case REASON_IO: return EXIT_IO;
	case REASON_MOV_DR: return EXIT_DEBUG_REGISTER;
	case REASON_RDMSR: return EXIT_MSR_READ;
	case REASON_WRMSR: return EXIT_MSR_WRITE;
	case REASON_XSETBV: return EXIT_XSETBV;
	default: return EXIT_UNKNOWN;
	}
}

const char *vmx_exit_name(u64 reason)
{
	switch (reason & REASON_BASIC_MASK) {
#define X(name, value) \
	case value: return #name;
		EXIT_REASONS(X)
#undef X
	default: return "?";
	}
}

const char *vmx_field_name(u32 field)
{
	switch (field) {
#define X(name, encoding) \
	case encoding: return #name;
		VMCS_FIELDS(X)
#undef X
	default: return "?";
	}
}

const char *vmx_error_text(u32 error)
{
	static const char *const text[] = {
		[1] = "VMCALL in VMX root operation",
		[2] = "VMCLEAR with an invalid address",
		[3] = "VMCLEAR with the VMXON pointer",
		[4] = "VMLAUNCH with a VMCS that is not clear",
		[5] = "VMRESUME with a VMCS that is not launched",
		[6] = "VMRESUME after VMXOFF",
		[7] = "VM entry with invalid control fields",
		[8] = "VM entry with invalid host-state fields",
		[9] = "VMPTRLD with an invalid address",
		[10] = "VMPTRLD with the VMXON pointer",
		[11] = "VMPTRLD with a wrong revision",
		[12] = "VMREAD or VMWRITE of an unsupported field",
		[13] = "VMWRITE to a read-only field",
		[15] = "VMXON in VMX root operation",
		[16] = "VM entry with an invalid executive-VMCS pointer",
		[17] = "VM entry with an executive VMCS that is not launched",
		[18] = "VM entry with an executive VMCS that is not the current one",
		[19] = "VMCALL with a VMCS that is not clear",
		[20] = "VMCALL with invalid exit controls",
		[22] = "VMCALL with a wrong MSEG revision",
		[23] = "VMXOFF under dual-monitor treatment",
		[24] = "VMCALL with invalid SMM-monitor features",
		[25] = "VM entry with invalid controls in the executive VMCS",
		[26] = "VM entry with events blocked by MOV SS",
		[28] = "INVEPT or INVVPID with an invalid operand",
	};

	return error < ARRAY_SIZE(text) && text[error] ? text[error] : "?";
}

/* --- events ------------------------------------------------------------------ */

static u8 neutral_type(u32 type)
{
	switch (type) {
	case INTR_TYPE_EXTERNAL: return EVENT_INTERRUPT;
	case INTR_TYPE_NMI: return EVENT_NMI;
	case INTR_TYPE_EXCEPTION: return EVENT_EXCEPTION;
	case INTR_TYPE_SOFT_INTERRUPT: return EVENT_SOFT_INTERRUPT;
	case INTR_TYPE_PRIV_SOFT_EXCEPTION: return EVENT_PRIV_SOFT_EXCEPTION;
	case INTR_TYPE_SOFT_EXCEPTION: return EVENT_SOFT_EXCEPTION;
	default: return EVENT_NONE;
	}
}

struct vcpu_event vmx_interrupted_event(const struct vmx_exit_info *info)
{
	struct vcpu_event event = {.type = EVENT_NONE};

	if (!(info->idt_info & INTR_INFO_VALID))
		return event; /* the other bits are not defined */
	event.type = neutral_type(event_type(info->idt_info));
	event.vector = event_vector(info->idt_info);
	if (event.type >= EVENT_SOFT_INTERRUPT)
		event.insn_len = (u8)info->insn_len;
	if (event.type == EVENT_EXCEPTION && (info->idt_info & INTR_INFO_ERROR)) {
		event.has_error = true;
		event.error = info->idt_error;
	}
	return event;
}

static u32 hardware_type(u8 type)
{
	switch (type) {
	case EVENT_INTERRUPT: return INTR_TYPE_EXTERNAL;
	case EVENT_NMI: return INTR_TYPE_NMI;
	case EVENT_SOFT_INTERRUPT: return INTR_TYPE_SOFT_INTERRUPT;
	case EVENT_SOFT_EXCEPTION: return INTR_TYPE_SOFT_EXCEPTION;
	case EVENT_PRIV_SOFT_EXCEPTION: return INTR_TYPE_PRIV_SOFT_EXCEPTION;
	default: return INTR_TYPE_EXCEPTION;
	}
}

/* The entry accepts 15 bits of error code (section 26.2.1.3). */
#define ENTRY_ERROR_MASK 0x7fffu

struct vmx_entry_event vmx_entry_event(const struct vcpu_event *event)
{
	struct vmx_entry_event entry = {0};

	if (event->type == EVENT_NONE)
		return entry;
	entry.info = (u32)(INTR_INFO_VALID | hardware_type(event->type) << INTR_INFO_TYPE_SHIFT |
			   (event->type == EVENT_NMI ? VEC_NMI : event->vector));
	if (event->type == EVENT_EXCEPTION && event->has_error) {
		entry.info |= INTR_INFO_ERROR;
		entry.error = event->error & ENTRY_ERROR_MASK;
	}
	if (event->type >= EVENT_SOFT_INTERRUPT)
		entry.insn_len = event->insn_len;
	return entry;
}

/* Section 27.2.2: not defined when a delivery was cut short, nor for #DF. */
bool vmx_nmi_unblocked(const struct vmx_exit_info *info)
{
	return (info->reason & ~REASON_ENTRY_FAILURE) == REASON_EXCEPTION_NMI &&
	       (info->intr_info & INTR_INFO_NMI_UNBLOCKED) && !(info->idt_info & INTR_INFO_VALID) &&
	       event_vector(info->intr_info) != VEC_DF;
}

static u32 shadow_bits(u32 old, const struct vcpu *vcpu)
{
	u32 shadow = old & BLOCKING_SHADOW;

	/* An event that is delivered ends the shadow of the instruction before. */
	if (!vcpu->interrupt_shadow || vcpu->inject.type != EVENT_NONE)
		return 0;
	if (!shadow)
		shadow = BLOCKING_MOV_SS;
	if (!(vcpu->rflags & RFLAGS_IF))
		shadow &= ~(u32)BLOCKING_STI;
	return shadow;
}

u32 vmx_interruptibility(u32 old, const struct vcpu *vcpu, bool virtual_nmis)
{
	u32 state = (old & ~(u32)(BLOCKING_SHADOW | BLOCKING_NMI)) | shadow_bits(old, vcpu);

	/* With virtual NMIs the delivery itself blocks, and must not find them blocked. */
	if (vcpu->nmi_blocked && !(virtual_nmis && vcpu->inject.type == EVENT_NMI))
		state |= BLOCKING_NMI;
	return state;
}

/* --- exits ------------------------------------------------------------------- */

bool vmx_exit_is_fast(const struct vmx_exit_info *info, enum exit_kind kind)
{
	if (info->idt_info & INTR_INFO_VALID)
		return false;
	switch (kind) {
	case EXIT_PAGE_FAULT: return !(info->intr_info & INTR_INFO_NMI_UNBLOCKED);
	case EXIT_CPUID:
	case EXIT_INVLPG: return true;
	case EXIT_CR_READ:
	case EXIT_CR_WRITE: return (info->qualification & CR_QUAL_NUMBER) == 3;
	default: return false;
	}
}

static void decode_exception(const struct vmx_exit_info *info, struct vcpu_exit *exit)
{
	exit->vector = event_vector(info->intr_info);
	exit->error = info->intr_info & INTR_INFO_ERROR ? info->intr_error : 0;
	if (exit->kind == EXIT_PAGE_FAULT)
		exit->gva = info->qualification;
}

static void decode_cr(u64 qualification, struct vcpu_exit *exit)
{
	u32 type = cr_access_type(qualification);

	exit->operand_known = true;
	exit->cr = qualification & CR_QUAL_NUMBER;
	exit->clts = type == CR_ACCESS_CLTS;
	exit->lmsw = type == CR_ACCESS_LMSW;
	if (exit->lmsw)
		exit->lmsw_value = (u16)(qualification >> CR_QUAL_LMSW_SHIFT);
	if (type == CR_ACCESS_TO || type == CR_ACCESS_FROM)
		exit->gpr = qualification >> CR_QUAL_GPR_SHIFT & CR_QUAL_GPR_MASK;
}

static void decode_io(u64 qualification, struct vcpu_exit *exit)
{
	exit->port = (u16)(qualification >> IO_QUAL_PORT_SHIFT);
	exit->io_size = (u8)((qualification & IO_QUAL_SIZE) + 1);
	exit->io_in = qualification & IO_QUAL_IN;
	exit->io_string = qualification & IO_QUAL_STRING;
	exit->io_rep = qualification & IO_QUAL_REP;
}

/* The length is defined for CALL, IRET, JMP, and the instructions that raise an event (section 27.2.5). */
static void decode_task_switch(const struct vmx_exit_info *info, struct vcpu_exit *exit)
{
	exit->task_selector = (u16)(info->qualification & TASK_QUAL_SELECTOR);
	exit->task_source = info->qualification >> TASK_QUAL_SOURCE_SHIFT & TASK_QUAL_SOURCE_MASK;
	if (exit->task_source != TASK_GATE || exit->interrupted.type >= EVENT_SOFT_INTERRUPT)
		exit->insn_len = (u8)info->insn_len;
}

/* Exits caused by an instruction, for which its length is defined (section 27.2.5). */
static bool is_instruction(enum exit_kind kind)
{
	switch (kind) {
	case EXIT_CR_READ:
	case EXIT_CR_WRITE:
	case EXIT_INVLPG:
	case EXIT_INVPCID:
	case EXIT_CPUID:
	case EXIT_MSR_READ:
	case EXIT_MSR_WRITE:
	case EXIT_XSETBV:
	case EXIT_INVD:
	case EXIT_HYPERCALL:
	case EXIT_VIRT_INSN:
	case EXIT_IO: return true;
	default: return false;
	}
}

void vmx_decode_exit(const struct vmx_exit_info *info, struct vcpu_exit *exit)
{
	*exit = (struct vcpu_exit){
		.kind = vmx_exit_kind(info),
		.raw = info->reason,
		.info1 = info->qualification,
		.info2 = vmx_exit_info2(info),
		.interrupted = vmx_interrupted_event(info),
	};
	if (is_instruction((enum exit_kind)exit->kind))
		exit->insn_len = (u8)info->insn_len;
	switch ((enum exit_kind)exit->kind) {
	case EXIT_PAGE_FAULT:
	case EXIT_EXCEPTION: decode_exception(info, exit); break;
	case EXIT_CR_READ:
	case EXIT_CR_WRITE: decode_cr(info->qualification, exit); break;
	case EXIT_INVLPG:
		exit->operand_known = true;
		exit->gva = info->qualification;
		break;
	case EXIT_IO: decode_io(info->qualification, exit); break;
	case EXIT_TASK_SWITCH: decode_task_switch(info, exit); break;
	default: break;
	}
}
