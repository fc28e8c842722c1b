/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What INIT, a start-up message and an NMI leave in a virtual CPU and its APIC: SDM vol. 3 table 9-1, sections 8.4.4.1, 10.4.7.3
 * and 10.12.5.1, register by register, over a fake processor that notes every access.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/reset.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "arch/x86/vendor.h"

#define APIC 0xfee00000ull
#define SIGNATURE 0x00a20f12u
#define ICR_TO_1(low) (1ull << 56 | (low))

static struct vcpu vcpu;
static struct guest guest;
static struct guest_shared shared;
static struct processors table;

/* --- the fake processor ------------------------------------------------------------------ */

static struct segment segments[SEG_COUNT];
static u64 dr[4], dr6, dr7;
static u32 apic[0x40];      /* registers, by offset / 16 */
static bool x2apic;         /* they are MSRs */
static u32 in_service;      /* interrupts, ended one by one */
static struct vcpu applied; /* as it was when the shadow was told */
static u32 applies, flushes;
static u32 kicks; /* to itself */

static void set_segment(struct vcpu *v, enum segment_name which, const struct segment *in)
{
	segments[which] = *in;
}
static void set_dr6(struct vcpu *v, u64 value)
{
	dr6 = value;
}
static void set_dr7(struct vcpu *v, u64 value)
{
	dr7 = value;
}

static u32 wakes;
static void wake(struct vcpu *v)
{
	wakes++;
}

static const struct vendor vendor = {
	.name = "fake",
	.wake = wake,
	.set_segment = set_segment,
	.set_dr6 = set_dr6,
	.set_dr7 = set_dr7,
};

/* The real one's own tests are test_guest's. */
void cr_apply(struct vcpu *v, bool flush)
{
	applied = *v;
	applies++;
	flushes += flush;
}

struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	return (struct cpuid_regs){.eax = leaf == 1 ? SIGNATURE : 0};
}

u64 hw_read_dr(u32 n)
{
	return dr[n];
}

void hw_write_dr(u32 n, u64 value)
{
	assert_in_range(n, 0, 3);
	dr[n] = value;
}

static u32 apic_get(u32 offset)
{
	assert_true(offset < 0x400 && !(offset & 15));
	if (offset >= 0x100 && offset < 0x180)
		return offset == 0x130 ? in_service : 0;
	return apic[offset / 16];
}

static void apic_set(u32 offset, u32 value)
{
	assert_true(offset < 0x400 && !(offset & 15));
	assert_true(offset != 0x300 && offset != 0x310 && offset != 0x20 && offset != 0x30);
	if (offset == 0xb0)
		in_service &= in_service - 1;
	else
		apic[offset / 16] = value;
}

u32 hw_apic_read(hpa_t page, u32 offset)
{
	assert_true(page.v == APIC && !x2apic);
	return apic_get(offset);
}
void hw_apic_write(hpa_t page, u32 offset, u32 value)
{
	assert_true(page.v == APIC && !x2apic);
	apic_set(offset, value);
}
int hw_msr_read(u32 msr, u64 *value)
{
	if (msr == MSR_APIC_BASE) {
		*value = APIC | APIC_BASE_ENABLE | (x2apic ? APIC_BASE_X2APIC : 0);
		return 0;
	}
	assert_true(x2apic && msr >= MSR_X2APIC_BASE && msr < MSR_X2APIC_BASE + 0x40);
	*value = apic_get((msr - MSR_X2APIC_BASE) * 16);
	return 0;
}
int hw_msr_write(u32 msr, u64 value)
{
	assert_true(x2apic && msr >= MSR_X2APIC_BASE && msr < MSR_X2APIC_BASE + 0x40);
	assert_true(msr != MSR_X2APIC_LDR && msr != 0x80e); /* read only; not there */
	if (msr == 0x833)                                   /* LVT of the thermal sensor: not there, say */
		return -EFAULT;
	apic_set((msr - MSR_X2APIC_BASE) * 16, (u32)value);
	return 0;
}
void hw_kick_again(void) {}
void hw_drop_interrupts(const struct vendor *v) {}

void hw_kick(u32 cpu)
{
	assert_int_equal(cpu, vcpu.cpu);
	kicks++;
}

/* What no INIT needs. */
u64 hw_mmio_read(hpa_t at, u32 size)
{
	return 0;
}
void hw_mmio_write(hpa_t at, u32 size, u64 value) {}

static NORETURN void not_needed(const char *what)
{
	panic("%s", what);
}
NORETURN void guest_stop(struct vcpu *v, const char *format, ...)
{
	not_needed(format);
}
NORETURN void guest_shutdown(struct vcpu *v)
{
	not_needed("shutdown");
}

/* --- the state before -------------------------------------------------------------------- */

static void begin(bool boot, bool start_protected)
{
	memset(&vcpu, 0x5a, sizeof(vcpu));
	memset(&guest, 0, sizeof(guest));
	memset(&shared, 0, sizeof(shared));
	guest.shared = &shared;
	memset(segments, 0x5a, sizeof(segments));
	memset(dr, 0x5a, sizeof(dr));
	memset(apic, 0x5a, sizeof(apic));
	apic[3] = 0x00060015; /* seven entries of the LVT */
	in_service = 0x00800408;
	dr6 = dr7 = 0x5a5a;
	x2apic = false;
	applies = flushes = kicks = wakes = 0;
	vcpu.vendor = &vendor;
	vcpu.guest = &guest;
	vcpu.mmu = NULL;
	vcpu.id = 1;
	vcpu.cpu = 3;
	vcpu.several = false;
	vcpu.cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_ET;
	vcpu.efer = EFER_LME | EFER_LMA | EFER_NXE;
	vcpu.pat = 0x0007010600070106;
	vcpu.apic_base = APIC | APIC_BASE_ENABLE;
	vcpu.inject = (struct vcpu_event){.type = EVENT_EXCEPTION, .vector = VEC_GP};
	vcpu.exit.interrupted = (struct vcpu_event){.type = EVENT_NMI, .vector = VEC_NMI};
	vcpu.interrupt_shadow = vcpu.nmi_blocked = true;
	processors_init(&table, start_protected);
	assert_int_equal(processors_add(&table, 0, !boot), 0);
	assert_int_equal(processors_add(&table, 1, boot), 1);
	if (!boot)
		table.cpu[1].state = PROCESSOR_RUNS;
}

static void send(u64 icr)
{
	struct processor_set targets;

	assert_int_equal(processors_command(&table, 0, icr, &targets), COMMAND_SENT);
	assert_int_equal(targets.word[0], 2);
}

/* --- what table 9-1 says ------------------------------------------------------------------ */

static void assert_segment(enum segment_name which, u16 selector, u64 base, u32 attributes)
{
	const struct segment *s = &segments[which];

	assert_int_equal(s->selector, selector);
	assert_int_equal(s->base, base);
	assert_int_equal(s->limit, 0xffff);
	assert_int_equal(s->attributes, attributes);
}

static void assert_registers(u64 cr0)
{
	for (u32 i = 0; i < GPR_COUNT; i++)
		assert_int_equal(vcpu.gpr[i], i == GPR_RDX ? SIGNATURE : 0);
	assert_int_equal(vcpu.rflags, 2);
	assert_int_equal(vcpu.cr0, cr0);
	assert_true(!vcpu.cr2 && !vcpu.cr3 && !vcpu.cr4 && !vcpu.efer && !vcpu.cpl);
	for (u32 i = 0; i < 4; i++)
		assert_int_equal(dr[i], 0);
	assert_int_equal(dr6, 0xffff0ff0);
	assert_int_equal(dr7, 0x400);
	for (u32 i = SEG_ES; i <= SEG_GS; i++)
		if (i != SEG_CS)
			assert_segment((enum segment_name)i, 0, 0, 0x93); /* present, writable, accessed */
	assert_segment(SEG_LDTR, 0, 0, 0x82);
	assert_segment(SEG_TR, 0, 0, 0x8b);
	assert_segment(SEG_GDTR, 0, 0, 0);
	assert_segment(SEG_IDTR, 0, 0, 0);
	/* not touched */
	assert_int_equal(vcpu.pat, 0x0007010600070106);
	/* the shadow and the hardware know */
	assert_true(applies == 1 && flushes == 1);
	assert_true(applied.cr0 == cr0 && !applied.cr3 && !applied.cr4 && !applied.efer);
	/* the interrupted program's events are gone */
	assert_int_equal(vcpu.exit.interrupted.type, EVENT_NONE);
	assert_false(vcpu.interrupt_shadow || vcpu.nmi_blocked || vcpu.nmi_waits || vcpu.mmio.state || vcpu.dr6_set);
}

/* Section 10.4.7.1; in x2APIC mode there is neither LDR nor DFR to write. */
static void assert_apic(bool pins)
{
	static const u32 masked[] = {0x2f0, 0x320, 0x340, 0x370};

	for (u32 i = 0; i < ARRAY_SIZE(masked); i++)
		assert_int_equal(apic[masked[i] / 16], 0x10000);
	assert_int_equal(apic[0x33], x2apic ? 0x5a5a5a5a : 0x10000);
	assert_int_equal(apic[0x35], pins ? 0x700 : 0x10000);
	assert_int_equal(apic[0x36], pins ? 0x400 : 0x10000);
	assert_int_equal(apic[0x38], 0);
	assert_int_equal(apic[0x3e], 0);
	assert_int_equal(apic[0x08], 0);
	assert_int_equal(apic[0x0f], pins ? 0x1ff : 0xff);
	assert_int_equal(apic[0x0d], x2apic ? 0x5a5a5a5a : 0);
	assert_int_equal(apic[0x0e], x2apic ? 0x5a5a5a5a : 0xffffffff);
	assert_int_equal(apic[0x02], 0x5a5a5a5a); /* ID */
	assert_int_equal(in_service, 0);
}

/* adversarial: 29 */
static void an_init_leaves_what_the_manual_says_and_waits(void **state)
{
	begin(false, false);
	send(ICR_TO_1(0x500));
	assert_false(reset_take(&vcpu, &table));
	assert_registers(0x10);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
	assert_int_equal(vcpu.rip, 0xfff0);
	assert_segment(SEG_CS, 0xf000, 0xffff0000, 0x9b);
	assert_apic(false);
	assert_int_equal(vcpu.apic_base, APIC | APIC_BASE_ENABLE);
	assert_false(reset_take(&vcpu, &table));
	assert_int_equal(wakes, 1);
	assert_int_equal(applies, 1);
}

static void caching_bits_of_cr0_outlive_an_init(void **state)
{
	static const u64 bits[] = {CR0_CD, CR0_CD | CR0_NW};

	for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
		begin(false, false);
		vcpu.cr0 |= bits[i];
		send(ICR_TO_1(0x500));
		assert_false(reset_take(&vcpu, &table));
		assert_registers(0x10 | bits[i]);
	}
}

static void a_startup_message_begins_at_its_page(void **state)
{
	for (u32 vector = 0; vector < 256; vector++)
		for (u32 together = 0; together < 2; together++) {
			begin(false, false);
			send(ICR_TO_1(0x500));
			if (!together)
				assert_false(reset_take(&vcpu, &table));
			send(ICR_TO_1(0x600 | vector));
			assert_true(reset_take(&vcpu, &table));
			assert_registers(0x10);
			assert_int_equal(vcpu.rip, 0);
			assert_segment(SEG_CS, (u16)(vector << 8), vector << 12, 0x9b);
			assert_int_equal(vcpu.inject.type, EVENT_NONE);
			assert_int_equal(applies, 1);
		}
}

static void a_startup_message_to_one_that_runs_changes_nothing(void **state)
{
	struct vcpu before;

	begin(false, false);
	before = vcpu;
	send(ICR_TO_1(0x699));
	assert_true(reset_take(&vcpu, &table));
	assert_memory_equal(&before, &vcpu, sizeof(vcpu));
	assert_int_equal(applies, 0);
}

static void the_boot_processor_begins_at_the_reset_vector(void **state)
{
	begin(true, false);
	send(ICR_TO_1(0x500));
	assert_true(reset_take(&vcpu, &table));
	assert_registers(0x10);
	assert_int_equal(vcpu.rip, 0xfff0);
	assert_segment(SEG_CS, 0xf000, 0xffff0000, 0x9b);
	assert_apic(false);
}

/* For tests (sipi=protected): 32-bit and flat, paging off. */
static void a_start_may_be_in_protected_mode(void **state)
{
	begin(false, true);
	send(ICR_TO_1(0x500));
	send(ICR_TO_1(0x610));
	assert_true(reset_take(&vcpu, &table));
	assert_int_equal(vcpu.rip, 0x10000);
	assert_int_equal(vcpu.cr0 & (CR0_PE | CR0_PG), CR0_PE);
	assert_int_equal(segments[SEG_CS].attributes, SEG_FLAT_CODE32);
	assert_int_equal(segments[SEG_DS].attributes, SEG_FLAT_DATA);
}

/* The backend's entry gives it its turn. A kick of a processor to itself, where NMIs are not held back, would find it here again. */
static void an_nmi_waits_for_the_entry_and_needs_no_kick(void **state)
{
	begin(false, false);
	vcpu.nmi_waits = false;
	send(ICR_TO_1(0x400));
	assert_true(reset_take(&vcpu, &table));
	assert_int_equal(vcpu.inject.type, EVENT_EXCEPTION);
	assert_true(vcpu.nmi_waits);
	vcpu.nmi_waits = false;
	assert_true(reset_take(&vcpu, &table));
	assert_false(vcpu.nmi_waits);
	assert_int_equal(table.cpu[1].requests, 0);
	assert_int_equal(kicks, 0);
}

static void an_init_drops_an_nmi_that_waits_and_not_one_behind_it(void **state)
{
	for (u32 behind = 0; behind < 2; behind++) {
		begin(false, false);
		vcpu.nmi_waits = true;
		send(ICR_TO_1(0x400));
		send(ICR_TO_1(0x500));
		send(ICR_TO_1(0x610));
		if (behind)
			send(ICR_TO_1(0x400));
		assert_true(reset_take(&vcpu, &table));
		assert_int_equal(vcpu.inject.type, EVENT_NONE);
		assert_int_equal(vcpu.nmi_waits, behind);
	}
}

static void an_nmi_to_one_that_waits_comes_when_it_starts(void **state)
{
	begin(false, false);
	send(ICR_TO_1(0x500));
	send(ICR_TO_1(0x400));
	assert_false(reset_take(&vcpu, &table));
	assert_false(vcpu.nmi_waits);
	send(ICR_TO_1(0x610));
	assert_true(reset_take(&vcpu, &table));
	assert_true(vcpu.nmi_waits);
}

static void an_init_resets_the_apic_in_the_mode_it_has(void **state)
{
	u32 before[0x40];

	begin(false, false);
	x2apic = guest.x2apic_offered = true;
	vcpu.apic_base |= APIC_BASE_X2APIC;
	apic_reset(&vcpu);
	assert_apic(false);

	begin(false, false); /* off for the guest, on in the hardware: the pins lead to the processor */
	vcpu.apic_base = APIC;
	apic_reset(&vcpu);
	assert_apic(true);

	begin(false, false); /* off in the hardware */
	guest.x2apic_offered = true;
	vcpu.apic_base = APIC;
	memcpy(before, apic, sizeof(apic));
	apic_reset(&vcpu);
	assert_memory_equal(before, apic, sizeof(apic));

	begin(false, false); /* without an entry for corrected machine checks */
	apic[3] = 0x00050015;
	apic_reset(&vcpu);
	assert_int_equal(apic[0x2f], 0x5a5a5a5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_init_leaves_what_the_manual_says_and_waits),
		cmocka_unit_test(caching_bits_of_cr0_outlive_an_init),
		cmocka_unit_test(a_startup_message_begins_at_its_page),
		cmocka_unit_test(a_startup_message_to_one_that_runs_changes_nothing),
		cmocka_unit_test(the_boot_processor_begins_at_the_reset_vector),
		cmocka_unit_test(a_start_may_be_in_protected_mode),
		cmocka_unit_test(an_nmi_waits_for_the_entry_and_needs_no_kick),
		cmocka_unit_test(an_init_drops_an_nmi_that_waits_and_not_one_behind_it),
		cmocka_unit_test(an_nmi_to_one_that_waits_comes_when_it_starts),
		cmocka_unit_test(an_init_resets_the_apic_in_the_mode_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
