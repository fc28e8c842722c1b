/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MSR and I/O permission maps (APM vol. 2 sections 15.10 and 15.11), and the
 * MSRs that live in the VMCB because VMLOAD and VMSAVE swap them.
 */
#include "svm/svm.h"

/* Each range has 0x2000 MSRs, two bits each: read, write. 0x800 bytes a range. */
#define RANGE_MSRS 0x2000u
#define RANGE_BYTES 0x800u
static const u32 msr_ranges[] = {0x00000000u, 0xc0000000u, 0xc0010000u};

/* The byte offset in the map, or -1: an MSR outside the ranges exits always. */
static s32 msr_offset(u32 msr)
{
	for (u32 i = 0; i < ARRAY_SIZE(msr_ranges); i++) {
		u32 n = msr - msr_ranges[i];

		if (n < RANGE_MSRS)
			return (s32)(i * RANGE_BYTES + n / 4);
	}
	return -1;
}

void svm_set_msr_intercept(struct vcpu *vcpu, u32 msr, bool read, bool write)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	s32 offset = msr_offset(msr);
	u32 shift = msr % 4 * 2;

	if (offset < 0)
		return;
	svm->msrpm[offset] =
		(u8)((svm->msrpm[offset] & ~(3u << shift)) | (u32)read << shift | (u32)write << (shift + 1));
	svm_dirty(svm->vmcb, CLEAN_PERM_MAPS);
}

void svm_set_io_intercept(struct vcpu *vcpu, u16 port, bool on)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	u8 bit = (u8)(1u << port % 8), *byte = &svm->iopm[port / 8];

	*byte = on ? *byte | bit : *byte & (u8)~bit;
	svm_dirty(svm->vmcb, CLEAN_PERM_MAPS);
}

static u64 *msr_field(struct vmcb *vmcb, u32 msr)
{
	switch (msr) {
	case MSR_STAR: return &vmcb->star;
	case MSR_LSTAR: return &vmcb->lstar;
	case MSR_CSTAR: return &vmcb->cstar;
	case MSR_SFMASK: return &vmcb->sfmask;
	case MSR_FS_BASE: return &vmcb->fs.base;
	case MSR_GS_BASE: return &vmcb->gs.base;
	case MSR_KERNEL_GS_BASE: return &vmcb->kernel_gs_base;
	case MSR_SYSENTER_CS: return &vmcb->sysenter_cs;
	case MSR_SYSENTER_ESP: return &vmcb->sysenter_esp;
	case MSR_SYSENTER_EIP: return &vmcb->sysenter_eip;
	default: return NULL;
	}
}

bool svm_get_msr(const struct vcpu *vcpu, u32 msr, u64 *value)
{
	const u64 *field = msr_field(vmcb_of(vcpu), msr);

	if (field)
		*value = *field;
	return field;
}

/* No clean bit: VMLOAD reads these fields every time. */
bool svm_set_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	u64 *field = msr_field(vmcb_of(vcpu), msr);

	if (field)
		*field = value;
	return field;
}
