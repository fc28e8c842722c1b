/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC page. Aligned 32-bit accesses go to the hardware's register as
 * they are; the interrupt command register is checked first. Chapter and
 * section numbers are of SDM vol. 3, chapter 10.
 */
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/state.h"
#include "lib/log.h"

/* Registers, table 10-1 */
enum {
	APIC_ID = 0x20,
	APIC_TPR = 0x80,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ICR_LOW = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PERF = 0x340,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_DIVIDE = 0x3e0,
};

#define LVT_MASKED BIT(16)
#define LVT_EXTINT (7u << 8)
#define LVT_NMI (4u << 8)
#define SVR_RESET 0xffu
#define SVR_ENABLE BIT(8)

/* Interrupt command register, section 10.6.1 */
#define ICR_MODE(icr) ((icr) >> 8 & 7)
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3)
#define ICR_LOGICAL BIT(11)
#define XAPIC_FLAT 0xf /* DFR, bits 31:28 */
enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_RESERVED, MODE_NMI, MODE_INIT, MODE_STARTUP };
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

#define APIC_PAGE_RESET 0xfee00000ull
#define APIC_BASE_RESERVED (BITS(7, 0) | BIT(9))

void apic_init(struct vcpu *vcpu)
{
	struct guest *g = guest_of(vcpu);

	if (hw_msr_read(MSR_APIC_BASE, &vcpu->apic_base))
		vcpu->apic_base = APIC_PAGE_RESET | APIC_BASE_ENABLE | APIC_BASE_BSP;
	g->hw_x2apic = vcpu->apic_base & APIC_BASE_X2APIC;
}

bool apic_is_x2apic(const struct vcpu *vcpu)
{
	const u64 both = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

	return guest_of(vcpu)->hw_x2apic && (vcpu->apic_base & both) == both;
}

/* The guest's APIC answers in its page only in xAPIC mode. */
static bool page_is_live(const struct vcpu *vcpu)
{
	return vcpu->apic_base & APIC_BASE_ENABLE && !guest_of(vcpu)->hw_x2apic;
}

/* Section 10.6.2: physical, logical flat and cluster. Broadcasts reach others, so they are not meant here. */
static bool xapic_destination_is_self(struct vcpu *vcpu, u64 icr)
{
	hpa_t page = hpa(apic_page(vcpu));
	u32 destination = hw_apic_read(page, APIC_ICR_HIGH) >> 24, own;

	if (!(icr & ICR_LOGICAL))
		return destination == hw_apic_read(page, APIC_ID) >> 24 && destination != 0xff;
	own = hw_apic_read(page, APIC_LDR) >> 24;
	if (hw_apic_read(page, APIC_DFR) >> 28 == XAPIC_FLAT)
		return destination && !(destination & ~own);
	return destination >> 4 == own >> 4 && destination >> 4 != 0xf && destination & 0xf &&
	       !(destination & ~own & 0xf);
}

/* Section 10.12.9; a logical x2APIC address is cluster and bits in it (section 10.12.10.2). */
static bool x2apic_destination_is_self(u64 icr)
{
	u32 destination = icr >> 32;
	u64 own;

	if (hw_msr_read(icr & ICR_LOGICAL ? MSR_X2APIC_LDR : MSR_X2APIC_ID, &own))
		return false;
	if (!(icr & ICR_LOGICAL))
		return destination == (u32)own && destination != ~0u;
	return destination >> 16 == own >> 16 && destination & 0xffff && !(destination & ~own & 0xffff);
}

static bool reaches_self_alone(struct vcpu *vcpu, u64 icr)
{
	if (ICR_SHORTHAND(icr) != TO_DESTINATION)
		return ICR_SHORTHAND(icr) == TO_SELF;
	return guest_of(vcpu)->hw_x2apic ? x2apic_destination_is_self(icr) : xapic_destination_is_self(vcpu, icr);
}

/*
 * Only one processor runs the guest: nothing may be started, reset or stopped by a message. In x2APIC mode
 * icr has the destination in its upper half.
 */
static bool icr_is_allowed(struct vcpu *vcpu, u64 icr)
{
	switch (ICR_MODE(icr)) {
	case MODE_FIXED:
	case MODE_LOWEST: return true;
	case MODE_NMI:
		if (reaches_self_alone(vcpu, icr))
			return true;
		break;
	}
	if (guest_once(guest_of(vcpu), ONCE_APIC_ICR))
		log_warn("guest: APIC command %x (INIT, SIPI, SMI or NMI to others) refused: one processor only\n",
			 (u32)icr);
	return false;
}

u64 apic_read(struct vcpu *vcpu, u32 offset, u32 size)
{
	u64 value;

	if (!page_is_live(vcpu))
		return ~0ull;
	/* Only the first four bytes of every sixteen are a register. */
	value = hw_apic_read(hpa(apic_page(vcpu)), offset & ~0xfu);
	if (offset & 0xf || size != 4)
		value = offset & 0xc ? 0 : value >> 8 * (offset & 3);
	return value;
}

void apic_write(struct vcpu *vcpu, u32 offset, u32 size, u64 value)
{
	if (!page_is_live(vcpu))
		return;
	if (offset & 0xf || size != 4) {
		if (guest_once(guest_of(vcpu), ONCE_APIC_SHAPE))
			log_warn("guest: write of %u bytes at APIC offset %x ignored\n", size, offset);
		return;
	}
	if (offset == APIC_ICR_LOW && !icr_is_allowed(vcpu, (u32)value))
		return;
	hw_apic_write(hpa(apic_page(vcpu)), offset, value);
}

/*
 * The state of a disabled APIC, section 10.4.3: no interrupts of its own, the
 * two pins lead straight to the CPU.
 */
static void quiesce(struct vcpu *vcpu, bool pins)
{
	const struct {
		u16 offset;
		u32 value;
	} reset[] = {
		{APIC_LVT_TIMER, LVT_MASKED},
		{APIC_LVT_THERMAL, LVT_MASKED},
		{APIC_LVT_PERF, LVT_MASKED},
		{APIC_LVT_ERROR, LVT_MASKED},
		{APIC_TIMER_INITIAL, 0},
		{APIC_TIMER_DIVIDE, 0},
		{APIC_TPR, 0},
		{APIC_LDR, 0},
		{APIC_DFR, ~0u},
		{APIC_LVT_LINT0, pins ? LVT_EXTINT : LVT_MASKED},
		{APIC_LVT_LINT1, pins ? LVT_NMI : LVT_MASKED},
		{APIC_SVR, SVR_RESET | (pins ? SVR_ENABLE : 0)},
	};

	for (u32 i = 0; i < ARRAY_SIZE(reset); i++)
		hw_apic_write(hpa(apic_page(vcpu)), reset[i].offset, reset[i].value);
}

/* Transitions of table 10-5 that the hardware allows. */
static bool base_is_legal(const struct vcpu *vcpu, u64 value)
{
	const struct guest *g = guest_of(vcpu);
	u64 beyond = g->phys_bits < 64 ? ~0ull << g->phys_bits : 0, changed = value ^ vcpu->apic_base;

	if (value & (APIC_BASE_RESERVED | beyond))
		return false;
	if (value & APIC_BASE_X2APIC && (!g->hw_x2apic || !(value & APIC_BASE_ENABLE)))
		return false;
	/* Out of x2APIC mode only by switching off. */
	return !(changed & APIC_BASE_X2APIC) || value & APIC_BASE_X2APIC || !(value & APIC_BASE_ENABLE);
}

int apic_write_base(struct vcpu *vcpu, u64 value)
{
	struct guest *g = guest_of(vcpu);
	u64 changed;

	if (!base_is_legal(vcpu, value))
		return -EFAULT;
	changed = value ^ vcpu->apic_base;
	if (changed & APIC_BASE_ADDRESS) {
		if (guest_once(g, ONCE_APIC_MOVE))
			log_warn("guest: move of the local APIC to %llx refused\n",
				 (unsigned long long)(value & APIC_BASE_ADDRESS));
		value = (value & ~APIC_BASE_ADDRESS) | (vcpu->apic_base & APIC_BASE_ADDRESS);
	}
	value = (value & ~APIC_BASE_BSP) | (vcpu->apic_base & APIC_BASE_BSP);
	changed = value ^ vcpu->apic_base;
	vcpu->apic_base = value;
	if (changed & APIC_BASE_ENABLE && !g->hw_x2apic)
		quiesce(vcpu, !(value & APIC_BASE_ENABLE));
	return 0;
}

int apic_write_x2apic_icr(struct vcpu *vcpu, u64 value)
{
	return icr_is_allowed(vcpu, value) ? hw_msr_write(MSR_X2APIC_ICR, value) : 0;
}
