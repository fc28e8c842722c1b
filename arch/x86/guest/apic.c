/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC page. Accesses go to the hardware's registers as they are, those too whose size or
 * place the manual leaves undefined (section 10.4.1); the interrupt command register is checked first.
 * Section and table numbers are of SDM vol. 3, chapter 10.
 *
 * The mode: an APIC that the firmware left in xAPIC mode stays on in the hardware, and IA32_APIC_BASE
 * is the guest's view alone. One that it left in x2APIC mode is switched by the guest in the
 * hardware, off and on as xAPIC too: there is no other way to its page.
 */
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/state.h"
#include "lib/log.h"

/* Registers, table 10-1 */
enum {
	APIC_NONE = 0x00, /* reserved */
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_EOI = 0xb0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100, /* the first of eight */
	APIC_IRR = 0x200, /* likewise */
	APIC_LVT_CMCI = 0x2f0,
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

#define ICR_PENDING BIT(12)
#define LVT_MASKED BIT(16)
#define LVT_EXTINT (7u << 8)
#define LVT_NMI (4u << 8)
#define VERSION_LVT_SHIFT 16 /* entries less one, 8 bits */
#define VERSION_LVT_CMCI 6
#define SVR_RESET 0xffu
#define SVR_ENABLE BIT(8)

#define XAPIC_FLAT 0xf /* DFR, bits 31:28 */

#define APIC_PAGE_RESET 0xfee00000ull
#define APIC_BASE_RESERVED (BITS(7, 0) | BIT(9))

#define BASE_MODE (APIC_BASE_ENABLE | APIC_BASE_X2APIC)

bool apic_is_x2apic(const struct vcpu *vcpu)
{
	return (vcpu->apic_base & BASE_MODE) == BASE_MODE;
}

/* Of several processors one that is off for the guest is not so in the hardware: it would get no kick. */
static bool hardware_is_x2apic(const struct vcpu *vcpu)
{
	u64 base;

	return guest_of(vcpu)->x2apic_offered && !hw_msr_read(MSR_APIC_BASE, &base) && base & APIC_BASE_X2APIC;
}

/* A register that may be absent in x2APIC mode: then it reads 0, and a write does nothing. */
static u32 read_register(struct vcpu *vcpu, u32 offset)
{
	u64 value;

	if (!hardware_is_x2apic(vcpu))
		return hw_apic_read(hpa(apic_page(vcpu)), offset);
	return hw_msr_read(MSR_X2APIC_BASE + offset / 16, &value) ? 0 : (u32)value;
}

static void write_register(struct vcpu *vcpu, u32 offset, u32 value)
{
	if (!hardware_is_x2apic(vcpu))
		hw_apic_write(hpa(apic_page(vcpu)), offset, value);
	else if (hw_msr_write(MSR_X2APIC_BASE + offset / 16, value))
		return;
}

/* How the others' messages find this processor. */
static void tell_address(struct vcpu *vcpu)
{
	bool x2apic = hardware_is_x2apic(vcpu);
	struct processor_address address = {
		.apic_id = read_register(vcpu, APIC_ID) >> (x2apic ? 0 : 24),
		.ldr = read_register(vcpu, APIC_LDR),
		.dfr = x2apic ? ~0u : read_register(vcpu, APIC_DFR),
		.apic = apic_is_x2apic(vcpu)               ? PROCESSOR_X2APIC :
			vcpu->apic_base & APIC_BASE_ENABLE ? PROCESSOR_XAPIC :
							     PROCESSOR_NO_APIC,
	};

	processors_set_address(&guest_of(vcpu)->shared->processors, vcpu->id, &address);
}

void apic_init(struct vcpu *vcpu)
{
	struct guest *g = guest_of(vcpu);

	if (hw_msr_read(MSR_APIC_BASE, &vcpu->apic_base))
		vcpu->apic_base = APIC_PAGE_RESET | APIC_BASE_ENABLE | APIC_BASE_BSP;
	g->x2apic_offered = vcpu->apic_base & APIC_BASE_X2APIC;
	g->icr = 0;
	if (vcpu->several)
		tell_address(vcpu);
}

/* The guest's APIC answers in its page only in xAPIC mode. */
static bool page_is_live(const struct vcpu *vcpu)
{
	return vcpu->apic_base & APIC_BASE_ENABLE && !(vcpu->apic_base & APIC_BASE_X2APIC);
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
	if (ICR_SHORTHAND(icr) != ICR_DESTINATION)
		return ICR_SHORTHAND(icr) == ICR_SELF;
	return apic_is_x2apic(vcpu) ? x2apic_destination_is_self(icr) : xapic_destination_is_self(vcpu, icr);
}

/*
 * Only one processor runs the guest: nothing may be started, reset or stopped by a message. In x2APIC mode
 * icr has the destination in its upper half.
 */
static bool icr_is_allowed(struct vcpu *vcpu, u64 icr)
{
	switch (ICR_MODE(icr)) {
	case ICR_FIXED:
	case ICR_LOWEST: return true;
	case ICR_NMI:
		if (reaches_self_alone(vcpu, icr))
			return true;
		break;
	}
	if (guest_once(guest_of(vcpu), ONCE_APIC_ICR))
		log_warn("guest: APIC command %x (INIT, SIPI, SMI or NMI to others) refused: one processor only\n",
			 (u32)icr);
	return false;
}

/*
 * The guest may give its APIC the logical address of a processor that the firmware has parked. So an NMI to a logical
 * address goes to the own APIC ID, and reads back as it was written.
 */
static bool is_logical_nmi(u64 icr)
{
	return ICR_MODE(icr) == ICR_NMI && ICR_SHORTHAND(icr) == ICR_DESTINATION && icr & ICR_LOGICAL;
}

static bool is_whole_register(u32 offset, u32 size)
{
	return !(offset & 0xf) && size == 4;
}

u64 apic_read(struct vcpu *vcpu, u32 offset, u32 size)
{
	hpa_t page = hpa(apic_page(vcpu));
	u64 value;

	if (!page_is_live(vcpu))
		return ~0ull;
	if (!is_whole_register(offset, size))
		return hw_mmio_read(hpa(page.v + offset), size);
	value = hw_apic_read(page, offset);
	if (offset == APIC_ICR_LOW && vcpu->several)
		return ((u32)guest_of(vcpu)->icr & ~ICR_PENDING) | (value & ICR_PENDING);
	return offset == APIC_ICR_LOW && guest_of(vcpu)->icr_logical ? value | ICR_LOGICAL : value;
}

/* Of a guest with several processors: what does not go to the hardware is done by the table. */
static enum command_verdict command(struct vcpu *vcpu, u64 icr)
{
	struct guest *g = guest_of(vcpu);
	struct processors *all = &g->shared->processors;
	struct processor_set targets;
	enum command_verdict verdict = processors_command(all, vcpu->id, icr, &targets);

	if (verdict != COMMAND_FAULT)
		g->icr = icr;
	for (u32 i = 0; i < all->count; i++) /* its own are taken behind the exit */
		if (processor_set_has(&targets, i) && i != vcpu->id && processors_need_kick(all, i))
			hw_kick(g->shared->vcpu[i]->cpu);
	return verdict;
}

static void write_command(struct vcpu *vcpu, u32 icr)
{
	hpa_t page = hpa(apic_page(vcpu));
	u32 high;

	if (vcpu->several) {
		if (command(vcpu, (u64)hw_apic_read(page, APIC_ICR_HIGH) << 32 | icr) == COMMAND_PASS)
			hw_apic_write(page, APIC_ICR_LOW, icr);
		return;
	}
	if (!icr_is_allowed(vcpu, icr))
		return;
	guest_of(vcpu)->icr_logical = is_logical_nmi(icr);
	if (!is_logical_nmi(icr)) {
		hw_apic_write(page, APIC_ICR_LOW, icr);
		return;
	}
	high = hw_apic_read(page, APIC_ICR_HIGH);
	hw_apic_write(page, APIC_ICR_HIGH, hw_apic_read(page, APIC_ID));
	hw_apic_write(page, APIC_ICR_LOW, icr & ~(u32)ICR_LOGICAL);
	hw_apic_write(page, APIC_ICR_HIGH, high);
}

static bool overlaps(u32 offset, u32 size, u32 reg)
{
	return offset + size > reg && offset < reg + 0x10;
}

/*
 * At 0 is no register, and QEMU takes a store to it for a message of a device, to the processor with the APIC ID 0. The ID
 * is writable on AMD's processors (APM vol. 2 section 16.3.3) and in QEMU: messages by ID must reach whom they mean.
 */
static bool is_dropped(u32 offset, u32 size)
{
	return overlaps(offset, size, APIC_NONE) || overlaps(offset, size, APIC_ID);
}

/*
 * What the hardware makes of it is its own affair, unless a part may end up in the command register: then
 * each part must be a command that goes anywhere, and a part of one that does not know its mode is none.
 */
static bool odd_write_is_harmless(u32 offset, u32 size, u64 value)
{
	if (!overlaps(offset, size, APIC_ICR_LOW))
		return true;
	if (size < 4 || offset & 3)
		return false;
	for (u32 done = 0; done < size; done += 4)
		if (ICR_MODE(value >> 8 * done) > ICR_LOWEST)
			return false;
	return true;
}

void apic_write(struct vcpu *vcpu, u32 offset, u32 size, u64 value)
{
	if (!page_is_live(vcpu) || is_dropped(offset, size))
		return;
	if (is_whole_register(offset, size)) {
		if (offset == APIC_ICR_LOW)
			write_command(vcpu, (u32)value);
		else
			hw_apic_write(hpa(apic_page(vcpu)), offset, value);
	} else if (odd_write_is_harmless(offset, size, value)) {
		hw_mmio_write(hpa(apic_page(vcpu) + offset), size, value);
	} else if (guest_once(guest_of(vcpu), ONCE_APIC_SHAPE)) {
		log_warn("guest: write of %u bytes at APIC offset %x ignored\n", size, offset);
	}
	if (unlikely(vcpu->several) && (overlaps(offset, size, APIC_LDR) || overlaps(offset, size, APIC_DFR)))
		tell_address(vcpu);
}

bool apic_is_quick(const struct vcpu *vcpu, u32 offset, bool write, u32 value)
{
	if (!page_is_live(vcpu) || !is_whole_register(offset, 4))
		return false;
	if (!write)
		return true;
	switch (offset) {
	case APIC_NONE:
	case APIC_ID:
	case APIC_LDR:
	case APIC_DFR: return false;
	case APIC_ICR_LOW: return ICR_MODE(value) <= ICR_LOWEST;
	default: return true;
	}
}

/*
 * The state of a disabled APIC, section 10.4.3: no interrupts of its own, the
 * two pins lead straight to the CPU. Without pins, the state after a reset, section 10.4.7.1.
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
	bool x2apic = hardware_is_x2apic(vcpu);

	if ((read_register(vcpu, APIC_VERSION) >> VERSION_LVT_SHIFT & 0xff) >= VERSION_LVT_CMCI)
		write_register(vcpu, APIC_LVT_CMCI, LVT_MASKED);
	for (u32 i = 0; i < ARRAY_SIZE(reset); i++)
		if (!x2apic || (reset[i].offset != APIC_LDR && reset[i].offset != APIC_DFR))
			write_register(vcpu, reset[i].offset, reset[i].value);
}

/* What is in service would hold back lesser interrupts for ever. */
static void end_interrupts(struct vcpu *vcpu)
{
	for (u32 i = 0; i < 8; i++)
		for (u32 bits = read_register(vcpu, APIC_ISR + 16 * i); bits; bits &= bits - 1)
			write_register(vcpu, APIC_EOI, 0);
}

#define TPR_EXCEPTIONS \
	0x10u /* holds back vectors below 32: their class is not above it (SDM vol. 3 section 10.8.3) */

/*
 * An INIT clears IRR, for which there is no register: what waits there is taken by us. QEMU holds it back from an APIC that is off.
 * Vectors 16 to 31 are exceptions' in our table, and a guest may send them: they are held back, and wait on.
 */
static void drop_requests(struct vcpu *vcpu)
{
	u32 svr = read_register(vcpu, APIC_SVR), waiting = 0;

	for (u32 i = 0; i < 8; i++)
		waiting |= read_register(vcpu, APIC_IRR + 16 * i);
	if (!waiting)
		return;
	write_register(vcpu, APIC_SVR, svr | SVR_ENABLE);
	write_register(vcpu, APIC_TPR, TPR_EXCEPTIONS);
	hw_drop_interrupts(vcpu->vendor);
	write_register(vcpu, APIC_TPR, 0);
	write_register(vcpu, APIC_SVR, svr);
}

void apic_reset(struct vcpu *vcpu)
{
	bool enabled = vcpu->apic_base & APIC_BASE_ENABLE;

	guest_of(vcpu)->icr_logical = false;
	guest_of(vcpu)->icr = 0;
	if (!enabled && guest_of(vcpu)->x2apic_offered && !vcpu->several) /* off in the hardware too */
		return;
	end_interrupts(vcpu);
	quiesce(vcpu, !enabled);
	if (vcpu->several) {
		drop_requests(vcpu);
		tell_address(vcpu);
	}
}

/* Transitions of table 10-5 that the hardware allows. */
static bool base_is_legal(const struct vcpu *vcpu, u64 value)
{
	const struct guest *g = guest_of(vcpu);
	u64 beyond = g->phys_bits < 64 ? ~0ull << g->phys_bits : 0, changed = value ^ vcpu->apic_base;

	if (value & (APIC_BASE_RESERVED | beyond))
		return false;
	if (value & APIC_BASE_X2APIC && (!g->x2apic_offered || !(value & APIC_BASE_ENABLE)))
		return false;
	if (!(changed & APIC_BASE_X2APIC))
		return true;
	/* Into x2APIC mode only from xAPIC mode, out of it only by switching off. */
	return value & APIC_BASE_X2APIC ? vcpu->apic_base & APIC_BASE_ENABLE : !(value & APIC_BASE_ENABLE);
}

static u64 with_own_address(struct vcpu *vcpu, u64 value)
{
	const u64 kept = APIC_BASE_ADDRESS | APIC_BASE_BSP;

	if ((value ^ vcpu->apic_base) & APIC_BASE_ADDRESS && guest_once(guest_of(vcpu), ONCE_APIC_MOVE))
		log_warn("guest: move of the local APIC to %llx refused\n",
			 (unsigned long long)(value & APIC_BASE_ADDRESS));
	return (value & ~kept) | (vcpu->apic_base & kept);
}

/* Out of x2APIC mode only by off: hw_kick_again() is due. */
static int switch_hardware(u64 from, u64 to)
{
	if (from & APIC_BASE_X2APIC && !(to & APIC_BASE_X2APIC) && hw_msr_write(MSR_APIC_BASE, from & ~BASE_MODE))
		return -EFAULT;
	if (!(from & to & APIC_BASE_X2APIC) && hw_msr_write(MSR_APIC_BASE, (to & ~BASE_MODE) | APIC_BASE_ENABLE))
		return -EFAULT;
	return to & APIC_BASE_X2APIC ? hw_msr_write(MSR_APIC_BASE, to) : 0;
}

/* One of several that is off for the guest stays on as it was, but has lost its state. */
static int switch_one_of_several(u64 value)
{
	u64 now;

	if (hw_msr_read(MSR_APIC_BASE, &now))
		return -EFAULT;
	if (value & APIC_BASE_ENABLE)
		return switch_hardware(now, value);
	if (switch_hardware(now, now & ~APIC_BASE_X2APIC)) /* where the hardware refuses to leave x2APIC mode */
		return -EFAULT;
	return switch_hardware(now & ~APIC_BASE_X2APIC, now);
}

/* With LEGACY_XAPIC_DISABLED (IA32_XAPIC_DISABLE_STATUS) the hardware refuses to leave x2APIC mode, and so do we. */
int apic_write_base(struct vcpu *vcpu, u64 value)
{
	struct guest *g = guest_of(vcpu);
	u64 changed;

	if (!base_is_legal(vcpu, value))
		return -EFAULT;
	value = with_own_address(vcpu, value);
	changed = value ^ vcpu->apic_base;
	if (changed && g->x2apic_offered) {
		int err = vcpu->several ? switch_one_of_several(value) : hw_msr_write(MSR_APIC_BASE, value);

		if (vcpu->several)
			hw_kick_again();
		if (err)
			return -EFAULT;
		g->icr_logical = false;
	}
	vcpu->apic_base = value;
	if (changed & APIC_BASE_ENABLE && (!g->x2apic_offered || vcpu->several))
		quiesce(vcpu, !(value & APIC_BASE_ENABLE));
	if (changed && vcpu->several)
		tell_address(vcpu);
	return 0;
}

int apic_write_x2apic_icr(struct vcpu *vcpu, u64 value)
{
	struct guest *g = guest_of(vcpu);
	u64 own;

	if (vcpu->several) {
		switch (command(vcpu, value)) {
		case COMMAND_PASS: return hw_msr_write(MSR_X2APIC_ICR, value);
		case COMMAND_FAULT: return -EFAULT;
		default: return 0;
		}
	}
	if (!icr_is_allowed(vcpu, value))
		return 0;
	g->icr_logical = is_logical_nmi(value);
	if (!g->icr_logical)
		return hw_msr_write(MSR_X2APIC_ICR, value);
	if (hw_msr_read(MSR_X2APIC_ID, &own))
		return -EFAULT;
	g->icr_destination = value & BITS(63, 32);
	return hw_msr_write(MSR_X2APIC_ICR, own << 32 | (u32)(value & ~ICR_LOGICAL));
}

int apic_read_x2apic_icr(struct vcpu *vcpu, u64 *value)
{
	const struct guest *g = guest_of(vcpu);

	if (vcpu->several) {
		*value = g->icr;
		return 0;
	}
	if (hw_msr_read(MSR_X2APIC_ICR, value))
		return -EFAULT;
	if (g->icr_logical)
		*value = g->icr_destination | (u32)*value | ICR_LOGICAL;
	return 0;
}
