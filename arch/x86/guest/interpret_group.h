/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter's instructions, in groups. Each function returns 0; -EFAULT, an exception or a soft event is queued and nothing
 * was changed; -ENOSYS, not an instruction of this group.
 */
#ifndef ARCH_X86_GUEST_INTERPRET_GROUP_H
#define ARCH_X86_GUEST_INTERPRET_GROUP_H

#include "arch/x86/guest/emulate_operand.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/segment_load.h"

MUST_CHECK int interpret_integer(struct emu *e);  /* registers and flags of the one-byte map */
MUST_CHECK int interpret_wide(struct emu *e);     /* the same of the map behind 0F */
MUST_CHECK int interpret_multiply(struct emu *e); /* MUL, DIV, IMUL, decimal numbers */
MUST_CHECK int interpret_branch(struct emu *e);   /* near branches; INT n and its like */
MUST_CHECK int interpret_far(struct emu *e);      /* far JMP, CALL, RET */
MUST_CHECK int interpret_iret(struct emu *e);     /* in any mode */
MUST_CHECK int interpret_stack(struct emu *e);    /* PUSHA, ENTER, POPF, segment registers and the stack */
MUST_CHECK int interpret_segment(struct emu *e);  /* MOV to a segment register, LDS and its like, LAR, LSL, ARPL */
MUST_CHECK int interpret_table(struct emu *e);    /* groups 6 and 7: LGDT, LTR, VERR, LMSW... */
MUST_CHECK int interpret_system(struct emu *e); /* what the handlers of exits do; INS, OUTS; MOV CR and DR; HLT, CLI, STI */
MUST_CHECK int interpret_soft_interrupt(struct emu *e); /* INT n */
MUST_CHECK int interpret_port(struct emu *e);           /* IN, OUT */
MUST_CHECK int interpret_x87(struct emu *e);            /* x87 without a memory operand, and WAIT */
MUST_CHECK int interpret_state(struct emu *e);          /* FXSAVE, FXRSTOR */

static inline int interpret_undefined(struct emu *e)
{
	inject_ud(e->vcpu);
	return -EFAULT;
}

/* #GP(selector) and its like. */
static inline int interpret_fault(struct emu *e, u8 vector, u32 error)
{
	inject_exception(e->vcpu, vector, error);
	return -EFAULT;
}

/* Neither selectors nor descriptors: the segment registers' bases follow from what is loaded. */
static inline bool interpret_is_real(const struct emu *e)
{
	return !(e->vcpu->cr0 & CR0_PE);
}

/* Does IOPL let the guest use ports and IF? */
static inline bool interpret_has_iopl(const struct emu *e)
{
	return e->vcpu->cpl <= (e->vcpu->rflags >> RFLAGS_IOPL_SHIFT & 3);
}

/* Of these flags those that POPF and IRET may load at this privilege. */
static inline u64 interpret_loaded_flags(const struct emu *e, u64 flags)
{
	if (e->vcpu->cpl)
		flags &= ~RFLAGS_IOPL;
	return interpret_has_iopl(e) ? flags : flags & ~RFLAGS_IF;
}

/* RFLAGS behind the instruction, whose own single step the flags before it decide. */
static inline void interpret_set_flags(struct emu *e, u64 flags)
{
	e->new_flags = true;
	e->flags = (flags & RFLAGS_DEFINED) | RFLAGS_FIXED;
}

/* --- interpret_far.c --- */
/* As an exit for a task switch has it, whose handler goes on in the new task; true: it runs. */
bool interpret_switch_task(struct vcpu *vcpu, enum task_source source, u16 selector, u8 insn_len);

/* --- interpret_segment.c --- */
/* The far pointer that the memory operand is: an offset of the operand's size, a selector behind it. 0 or -EFAULT. */
MUST_CHECK int interpret_read_pointer(struct emu *e, u16 *selector, u64 *offset);
/* A data segment register, or SS, by an instruction. 0 or -EFAULT. */
MUST_CHECK int interpret_load_segment(struct emu *e, enum segment_name which, u16 selector);

/* --- interpret_system.c --- */
/*
 * The handler of an exit that vcpu->exit describes, but for its kind and the instruction's length; it goes past the instruction.
 * Nothing is known for certain behind it.
 */
MUST_CHECK int interpret_exit(struct emu *e, enum exit_kind kind);
/* An instruction for privilege 0: -EFAULT with #GP queued elsewhere. */
MUST_CHECK int interpret_check_privilege(struct emu *e);
MUST_CHECK int interpret_time_stamp(struct emu *e, bool with_number);

/* --- interpret_vector.c --- */
/* An event in real mode: pushes flags and CS:rip and goes to the vector's handler. 0 or -EFAULT. */
MUST_CHECK int interpret_deliver_real(struct emu *e, u8 vector, u64 rip);
/* INT n and its like: delivered at once, or an event, whose delivery adds the length to RIP, which stays. */
MUST_CHECK int interpret_soft_event(struct emu *e, enum event_type type, u8 vector);
/* The last step of any event's delivery, once CS is loaded: RIP, and these flags off, beside TF and RF. */
void interpret_enter_handler(struct vcpu *vcpu, u64 rip, u64 cleared);

/* --- interpret_x87.c --- */
/* The instruction's opcode and ModRM, executed by the CPU: it has no operand but AX, x87 state, and EDX:EAX. */
MUST_CHECK int interpret_on_cpu(struct emu *e);

/* --- interpret_group.c --- */
/* What is known to the hardware alone ends the guest: names the instruction. */
NORETURN void interpret_stop(struct emu *e, const char *why);

#endif
