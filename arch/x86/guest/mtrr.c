/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory-type range registers, SDM vol. 3 section 11.11. Writes are validated
 * as the hardware does; a change drops every shadow page.
 */
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/mtrr.h"
#include "arch/x86/guest/state.h"
#include "lib/log.h"
#include "mm/shadow.h"

#define MTRRCAP_VARIABLE BITS(7, 0)
#define MTRRCAP_SHOWN (MTRRCAP_VARIABLE | BIT(8) | BIT(10)) /* fixed ones, WC; neither SMRR nor PRMRR nor SEAMRR */
#define DEF_TYPE_DEFINED (BITS(7, 0) | BITS(11, 10))
#define PHYSBASE_RESERVED BITS(11, 8)
#define PHYSMASK_RESERVED BITS(10, 0)

/* Bits above the guest's address width. */
static u64 beyond(const struct guest *g)
{
	return g->phys_bits < 64 ? ~0ull << g->phys_bits : 0;
}

static bool is_type(u64 type)
{
	return type == MT_UC || type == MT_WC || type == MT_WT || type == MT_WP || type == MT_WB;
}

static const u32 fixed_msrs[MTRR_FIXED_COUNT] = {
	MSR_MTRR_FIX64K_00000,
	MSR_MTRR_FIX16K_80000,
	MSR_MTRR_FIX16K_A0000,
	0x268,
	0x269,
	0x26a,
	0x26b,
	0x26c,
	0x26d,
	0x26e,
	0x26f,
};

/* Where the guest's copy is, or NULL. */
static u64 *slot_of(struct guest_mtrr *m, u32 msr)
{
	u32 pair = (msr - MSR_MTRR_PHYSBASE0) / 2;

	if (msr == MSR_MTRRCAP)
		return &m->cap;
	if (msr == MSR_MTRR_DEF_TYPE)
		return &m->def_type;
	if (msr >= MSR_MTRR_PHYSBASE0 && pair < m->variable)
		return msr & 1 ? &m->mask[pair] : &m->base[pair];
	for (u32 i = 0; i < MTRR_FIXED_COUNT; i++)
		if (fixed_msrs[i] == msr)
			return &m->fixed[i];
	return NULL;
}

static void load(struct guest_mtrr *m, u32 msr)
{
	u64 *slot = slot_of(m, msr);

	if (slot && hw_msr_read(msr, slot))
		*slot = 0;
}

/* Address bits that the guest does not have may be set where the firmware counted key bits in. */
static void load_pair(struct guest *g, u32 pair)
{
	load(&g->mtrr, MSR_MTRR_PHYSBASE0 + 2 * pair);
	load(&g->mtrr, MSR_MTRR_PHYSMASK0 + 2 * pair);
	g->mtrr.base[pair] &= ~beyond(g);
	g->mtrr.mask[pair] &= ~beyond(g);
}

void mtrr_init(struct vcpu *vcpu)
{
	struct guest_mtrr *m = &guest_of(vcpu)->mtrr;

	load(m, MSR_MTRRCAP);
	m->cap &= MTRRCAP_SHOWN;
	m->variable = MIN(m->cap & MTRRCAP_VARIABLE, MTRR_VARIABLE_MAX);
	load(m, MSR_MTRR_DEF_TYPE);
	for (u32 i = 0; i < m->variable; i++)
		load_pair(guest_of(vcpu), i);
	for (u32 i = 0; i < MTRR_FIXED_COUNT; i++)
		load(m, fixed_msrs[i]);
}

bool mtrr_owns(const struct vcpu *vcpu, u32 msr)
{
	return slot_of(&guest_of(vcpu)->mtrr, msr) != NULL;
}

int mtrr_read(const struct vcpu *vcpu, u32 msr, u64 *value)
{
	*value = *slot_of(&guest_of(vcpu)->mtrr, msr);
	return 0;
}

static bool is_legal(const struct guest *g, u32 msr, u64 value)
{
	if (msr == MSR_MTRRCAP)
		return false;
	if (msr == MSR_MTRR_DEF_TYPE)
		return !(value & ~DEF_TYPE_DEFINED) && is_type(value & 0xff);
	if (msr < MSR_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE_MAX) {
		if (msr & 1)
			return !(value & (PHYSMASK_RESERVED | beyond(g)));
		return !(value & (PHYSBASE_RESERVED | beyond(g))) && is_type(value & 0xff);
	}
	for (u32 i = 0; i < 64; i += 8)
		if (!is_type(value >> i & 0xff))
			return false;
	return true;
}

int mtrr_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	struct guest *g = guest_of(vcpu);
	u64 *slot = slot_of(&g->mtrr, msr);

	if (!is_legal(g, msr, value))
		return -EFAULT;
	if (*slot == value)
		return 0;
	if (guest_once(g, ONCE_MTRR))
		log_info("guest: MTRR %x changed from %llx to %llx; kept as the guest's view only\n", msr,
			 (unsigned long long)*slot, (unsigned long long)value);
	*slot = value;
	g->mtrr.changes++;
	shadow_drop_all(g->shadow);
	return 0;
}
