/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real mode without unrestricted guest: virtual-8086 mode in its place (SDM vol. 3 section 20.2), with the guest's own state kept beside
 * the VMCS where the two differ. What real mode may do and virtual-8086 mode may not is a #GP there, since IOPL is 0 and the task-state
 * segment has no I/O permission bitmap; every exception exits, every interrupt that the guest could take, and NMIs. So the guest's IDTR,
 * which points to the table of real mode, is never used by the hardware. SYSENTER would use it no more than real mode lets it: its CS is 0.
 *
 *   in the VMCS                       the guest's own
 *   ES to GS: 64 KiB, rights f3       own[]. Base and selector are the same, and read behind an exit when they are needed
 *   LDTR unusable, TR of 16 bits      own[]
 *   RFLAGS.VM, IOPL 0                 own_iopl
 *   SYSENTER_CS 0                     own_sysenter_cs
 *
 * It is so too while the guest is interpreted, whose segments are then at hand without a VMREAD.
 */
#include "lib/x86.h"
#include "vmx/segments.h"
#include "vmx/vmx.h"

#define V8086_RIGHTS 0xf3u
#define V8086_LIMIT 0xffffu
#define TSS16_BUSY 0x83u
#define IN_VMCS ((u32)BITS(SEG_GS, SEG_ES))

static void put_v8086(enum segment_name which, const struct segment *own)
{
	struct segment s = *own;

	s.attributes = V8086_RIGHTS;
	s.limit = V8086_LIMIT;
	vmx_segment_put(which, &s);
}

/* What the guest has loaded since the last entry. */
static void refresh(struct vmx_vcpu *vmx, enum segment_name which)
{
	struct segment s;

	if (!(vmx->own_stale & BIT(which)))
		return;
	vmx->own_stale &= ~(u32)BIT(which);
	vmx_segment_get(which, &s);
	vmx->own[which].selector = s.selector;
	vmx->own[which].base = s.base;
}

static void begin(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	static const struct segment ldtr = {.attributes = SEG_ATTR_UNUSABLE}, tr = {.attributes = TSS16_BUSY};

	for (u32 i = 0; i <= SEG_TR; i++)
		vmx_segment_get((enum segment_name)i, &vmx->own[i]);
	vmx->own_stale = 0;
	vmx->own_changed = IN_VMCS;
	vmx_segment_put(SEG_LDTR, &ldtr);
	vmx_segment_put(SEG_TR, &tr);
	vmx->own_sysenter_cs = vmcs_read32(VMCS_GUEST_SYSENTER_CS);
	vmcs_write32(VMCS_GUEST_SYSENTER_CS, 0);
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	/* A single step in the shadow of MOV SS: by now it has been raised, or its instruction is to be interpreted. */
	vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, 0);
	vmx->v8086 = true;
	vmx_load_control(vcpu);
	vmx_update_intercepts(vcpu);
}

static void end(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	for (u32 i = 0; i <= SEG_TR; i++) {
		refresh(vmx, (enum segment_name)i);
		vmx_segment_put((enum segment_name)i, &vmx->own[i]);
	}
	vmcs_write32(VMCS_GUEST_SYSENTER_CS, vmx->own_sysenter_cs);
	vmx->v8086 = vmx->intr_exits = false;
	vmx_load_control(vcpu);
	vmx_update_intercepts(vcpu);
}

void vmx_v8086_begin(struct vcpu *vcpu)
{
	begin(vcpu, vmx_of(vcpu));
}

/* NMIs and the shadow of an instruction are the neutral half's affair here: the entry is to meet neither. */
static void load_v8086(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	bool intr_exits = vcpu->rflags & RFLAGS_IF;

	for (u32 i = SEG_ES; vmx->own_changed && i <= SEG_GS; i++)
		if (vmx->own_changed & BIT(i))
			put_v8086((enum segment_name)i, &vmx->own[i]);
	vmx->own_changed = 0;
	vmx_set_nmi_window(vcpu, false);
	if (vmx->intr_exits != intr_exits) {
		vmx->intr_exits = intr_exits;
		vmx_update_intercepts(vcpu);
	}
	if (vmx->interruptibility) {
		vmx->interruptibility = 0;
		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, 0);
	}
}

void vmx_v8086_load(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	if (vcpu->execution == EXECUTION_VIRTUAL_8086) {
		if (!vmx->v8086)
			begin(vcpu, vmx);
		load_v8086(vcpu, vmx);
	} else {
		end(vcpu, vmx);
	}
}

u64 vmx_v8086_rflags(struct vcpu *vcpu)
{
	vmx_of(vcpu)->own_iopl = vcpu->rflags & RFLAGS_IOPL;
	return (vcpu->rflags & ~RFLAGS_IOPL) | RFLAGS_VM | RFLAGS_FIXED;
}

/*
 * A #DB that waits for the end of a shadow is the interpreter's, who executes the instruction in it: of the breakpoints that MOV SS met
 * as well. Without a shadow none waits, but Bochs says so of a single step whose instruction exited.
 */
void vmx_v8086_store(struct vcpu *vcpu)
{
	vcpu->rflags = (vcpu->rflags & ~(RFLAGS_VM | RFLAGS_IOPL)) | vmx_of(vcpu)->own_iopl;
	vcpu->cpl = 0;
	vmx_of(vcpu)->own_stale = IN_VMCS;
	vcpu->breakpoints_hit =
		vcpu->interrupt_shadow ? (u32)vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_HITS : 0;
	vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, 0);
}

void vmx_get_segment(const struct vcpu *vcpu, enum segment_name which, struct segment *out)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	if (likely(!vmx->v8086) || which > SEG_TR) {
		vmx_segment_get(which, out);
		return;
	}
	refresh(vmx, which);
	*out = vmx->own[which];
}

void vmx_set_segment(struct vcpu *vcpu, enum segment_name which, const struct segment *in)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	if (which <= SEG_TR)
		vcpu->execution = EXECUTION_UNDECIDED;
	if (likely(!vmx->v8086) || which > SEG_TR) {
		vmx_segment_put(which, in);
		return;
	}
	vmx->own[which] = *in;
	vmx->own_stale &= ~(u32)BIT(which);
	vmx->own_changed |= BIT(which) & IN_VMCS;
}

/* A base that no selector gives is not for virtual-8086 mode, as any other's. */
bool vmx_v8086_get_msr(const struct vcpu *vcpu, u32 msr, u64 *value)
{
	struct segment s;

	switch (msr) {
	case MSR_SYSENTER_CS: *value = vmx_of(vcpu)->own_sysenter_cs; return true;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		vmx_get_segment(vcpu, msr == MSR_FS_BASE ? SEG_FS : SEG_GS, &s);
		*value = s.base;
		return true;
	default: return false;
	}
}

bool vmx_v8086_set_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	enum segment_name which = msr == MSR_FS_BASE ? SEG_FS : SEG_GS;
	struct segment s;

	switch (msr) {
	case MSR_SYSENTER_CS: vmx_of(vcpu)->own_sysenter_cs = (u32)value; return true;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		vmx_get_segment(vcpu, which, &s);
		s.base = value;
		vmx_set_segment(vcpu, which, &s);
		return true;
	default: return false;
	}
}
