/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers by the table of msr_table.c. The accesses to the
 * hardware survive a fault, so what it refuses the guest is refused as well.
 */
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/msr_table.h"
#include "arch/x86/guest/mtrr.h"
#include "arch/x86/guest/state.h"
#include "lib/log.h"
#include "mm/shadow.h"

/* SDM vol. 4, APM vol. 2 appendix A */
/* clang-format off */
enum {
	MSR_UCODE_INTEL = 0x79, MSR_UCODE_REVISION = 0x8b, MSR_X2APIC_LAST = 0x8ff,
	MSR_XSS = 0xda0, MSR_UCODE_AMD = 0xc0010020, MSR_SVM_KEY = 0xc0010118,
};
/* clang-format on */

#define DEBUGCTL_ALLOWED BITS(1, 0) /* LBR, BTF */

/* Does the guest's CPUID say that the registers of a row exist? */
static bool row_is_there(struct vcpu *vcpu, const struct msr_row *row)
{
	if (row->class == MSR_ABSENT)
		return false;
	for (u32 i = 0; i < MSR_ANNOUNCED_MAX && row->announced[i].leaf; i++)
		if (cpuid_shows(vcpu, &row->announced[i]))
			return true;
	return !row->announced[0].leaf;
}

/* No exit for what is passed, where CPUID shows it; for everything else there is one. */
void msr_init(struct vcpu *vcpu)
{
	struct guest *g = guest_of(vcpu);

	mtrr_init(vcpu);
	for (u32 i = 0; i < msr_rows; i++) {
		const struct msr_row *row = &msr_table[i];

		g->msr_there[i] = row_is_there(vcpu, row);
		if (row->class == MSR_PASSED && g->msr_there[i])
			for (u32 msr = row->first; msr <= row->last; msr++)
				vcpu->vendor->set_msr_intercept(vcpu, msr, false, false);
	}
}

static const struct msr_row no_row = {.class = MSR_IGNORED, .name = "unknown", .why = "not in the table"};

/* The row of a register, or NULL where the guest has none. */
static const struct msr_row *find_row(struct vcpu *vcpu, u32 msr)
{
	const struct msr_row *row = msr_row_of(msr);

	if (msr >= MSR_X2APIC_BASE && msr <= MSR_X2APIC_LAST && !apic_is_x2apic(vcpu))
		return NULL;
	if (!row)
		return &no_row;
	return guest_of(vcpu)->msr_there[row - msr_table] ? row : NULL;
}

static u64 shown_value(const struct msr_row *row, u64 value)
{
	return (value & ~row->zero) | row->one;
}

/* True the first time for each register, as long as there is room to remember. */
static bool is_news(struct guest *g, u32 msr)
{
	u32 *logged = g->shared->msr_logged;

	for (u32 i = 0; i < MSR_LOGGED_MAX; i++) {
		u32 old = 0;

		if (__atomic_compare_exchange_n(&logged[i], &old, msr, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
		if (old == msr)
			return false;
	}
	return false;
}

static void note_ignored(struct vcpu *vcpu, const struct msr_row *row, u32 msr, u64 value, const char *how_much)
{
	__atomic_fetch_add(&guest_of(vcpu)->shared->msr_ignored, 1, __ATOMIC_RELAXED);
	if (is_news(guest_of(vcpu), msr))
		log_info("guest: write of %llx to MSR %x (%s) ignored%s: %s\n", (unsigned long long)value, msr,
			 row->name, how_much, row->why);
}

static int read_feature_control(struct vcpu *vcpu, u64 *value)
{
	*value = FEATURE_CONTROL_LOCK;
	return guest_of(vcpu)->cpuid.amd ? -EFAULT : 0;
}

static int read_vm_cr(struct vcpu *vcpu, u64 *value)
{
	*value = VM_CR_LOCK | VM_CR_SVMDIS;
	return guest_of(vcpu)->cpuid.amd ? 0 : -EFAULT;
}

/* A register that backend or hardware has. */
static int read_hardware(struct vcpu *vcpu, const struct msr_row *row, u32 msr, u64 *value)
{
	if (vcpu->vendor->get_msr(vcpu, msr, value))
		return 0;
	if (hw_msr_read(msr, value))
		return -EFAULT;
	*value = shown_value(row, *value);
	return 0;
}

static int read_emulated(struct vcpu *vcpu, const struct msr_row *row, u32 msr, u64 *value)
{
	switch (msr) {
	case MSR_EFER: *value = vcpu->efer; return 0;
	case MSR_PAT: *value = vcpu->pat; return 0;
	case MSR_APIC_BASE: *value = vcpu->apic_base; return 0;
	case MSR_X2APIC_ICR: return apic_read_x2apic_icr(vcpu, value);
	case MSR_FEATURE_CONTROL: return read_feature_control(vcpu, value);
	case MSR_VM_CR: return read_vm_cr(vcpu, value);
	case MSR_SVM_KEY: *value = 0; return guest_of(vcpu)->cpuid.amd ? 0 : -EFAULT;
	case MSR_DEBUGCTL:
	case MSR_XSS:
	case MSR_UCODE_INTEL:
	case MSR_UCODE_AMD:
	case MSR_UCODE_REVISION: return read_hardware(vcpu, row, msr, value);
	default: return mtrr_owns(vcpu, msr) ? mtrr_read(vcpu, msr, value) : -EFAULT;
	}
}

int msr_guest_read(struct vcpu *vcpu, u32 msr, u64 *value)
{
	const struct msr_row *row = find_row(vcpu, msr);

	if (!row)
		return -EFAULT;
	return row->class == MSR_EMULATED ? read_emulated(vcpu, row, msr, value) :
					    read_hardware(vcpu, row, msr, value);
}

static int write_pat(struct vcpu *vcpu, u64 value)
{
	for (u32 i = 0; i < 64; i += 8) {
		u8 type = value >> i;

		if (type > MT_UC_MINUS || type == 2 || type == 3)
			return -EFAULT;
	}
	if (value == vcpu->pat)
		return 0;
	vcpu->pat = value;
	shadow_drop_all(guest_of(vcpu)->shadow);
	cr_apply(vcpu, true);
	return 0;
}

/* Writes only the row's bits; the others keep the hardware's value. */
static int write_masked(struct vcpu *vcpu, const struct msr_row *row, u32 msr, u64 value)
{
	u64 old;

	if (row->write == ~0ull)
		return hw_msr_write(msr, value);
	if (hw_msr_read(msr, &old))
		return -EFAULT;
	if ((value ^ shown_value(row, old)) & ~row->write)
		note_ignored(vcpu, row, msr, value, " in part");
	return hw_msr_write(msr, (old & ~row->write) | (value & row->write));
}

/* What the backend holds goes past the processor's own check, and is refused at the next VM entry (SDM vol. 3 section 26.3.1.1). */
static bool is_refused_address(const struct vcpu *vcpu, u32 msr, u64 value)
{
	switch (msr) {
	case MSR_SYSENTER_ESP:
	case MSR_SYSENTER_EIP:
	case MSR_FS_BASE:
	case MSR_GS_BASE: return !address_is_canonical(value, vcpu->cr4 & CR4_LA57);
	default: return false;
	}
}

static int write_passed(struct vcpu *vcpu, u32 msr, u64 value)
{
	if (is_refused_address(vcpu, msr, value) && !(guest_of(vcpu)->cpuid.amd && msr < MSR_EFER))
		return -EFAULT;
	return vcpu->vendor->set_msr(vcpu, msr, value) ? 0 : hw_msr_write(msr, value);
}

/* Dropped; an error where the register is not there at all. */
static int write_ignored(struct vcpu *vcpu, const struct msr_row *row, u32 msr, u64 value)
{
	u64 old;

	if (hw_msr_read(msr, &old))
		return -EFAULT;
	if (value != shown_value(row, old))
		note_ignored(vcpu, row, msr, value, "");
	return 0;
}

/* Registers that on many processors can only be written: no read to ask whether they are there. */
static int write_trigger(struct vcpu *vcpu, const struct msr_row *row, u32 msr, u64 value)
{
	note_ignored(vcpu, row, msr, value, "");
	return 0;
}

static int write_debugctl(struct vcpu *vcpu, u64 value)
{
	if (value & ~DEBUGCTL_ALLOWED && guest_once(guest_of(vcpu), ONCE_DEBUGCTL))
		log_info("guest: DEBUGCTL %llx: only LBR and BTF are passed on\n", (unsigned long long)value);
	return write_passed(vcpu, MSR_DEBUGCTL, value & DEBUGCTL_ALLOWED);
}

static int write_xss(struct vcpu *vcpu, u64 value)
{
	return value & ~guest_of(vcpu)->cpuid.xss_valid ? -EFAULT : hw_msr_write(MSR_XSS, value);
}

static int write_emulated(struct vcpu *vcpu, const struct msr_row *row, u32 msr, u64 value)
{
	switch (msr) {
	case MSR_EFER: return cr_write_efer(vcpu, value) ? -EFAULT : 0;
	case MSR_PAT: return write_pat(vcpu, value);
	case MSR_APIC_BASE: return apic_write_base(vcpu, value);
	case MSR_X2APIC_ICR: return apic_write_x2apic_icr(vcpu, value);
	case MSR_FEATURE_CONTROL: return -EFAULT;
	case MSR_VM_CR:
	case MSR_SVM_KEY: return guest_of(vcpu)->cpuid.amd ? write_trigger(vcpu, row, msr, value) : -EFAULT;
	case MSR_DEBUGCTL: return write_debugctl(vcpu, value);
	case MSR_XSS: return write_xss(vcpu, value);
	case MSR_UCODE_REVISION: return 0;
	case MSR_UCODE_INTEL:
	case MSR_UCODE_AMD: return write_trigger(vcpu, row, msr, value);
	default: return mtrr_owns(vcpu, msr) ? mtrr_write(vcpu, msr, value) : -EFAULT;
	}
}

int msr_guest_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	const struct msr_row *row = find_row(vcpu, msr);

	if (!row)
		return -EFAULT;
	switch ((enum msr_class)row->class) {
	case MSR_PASSED: return write_passed(vcpu, msr, value);
	case MSR_MASKED: return write_masked(vcpu, row, msr, value);
	case MSR_EMULATED: return write_emulated(vcpu, row, msr, value);
	case MSR_IGNORED: return write_ignored(vcpu, row, msr, value);
	case MSR_READ_ONLY:
	case MSR_ABSENT:
	case MSR_CLASSES: break;
	}
	return -EFAULT;
}
