/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APICs of a guest with several processors (arch/x86/guest/apic.c): who is kicked by a command and who is not, what
 * the command register reads as, how the table of processors follows the APIC's mode and logical address, and what the hardware's
 * mode is meanwhile. The hardware is an APIC that goes by table 10-5 of SDM vol. 3 and loses its state where it is turned off.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"

#define APIC 0xfee00000ull
#define MODE (APIC_BASE_ENABLE | APIC_BASE_X2APIC)
#define CPUS 5u
#define OWN 1u /* the processor that writes */
#define ID 0x20u
#define SVR 0xf0u
#define LDR 0xd0u
#define DFR 0xe0u
#define ICR_LOW 0x300u
#define ICR_HIGH 0x310u
#define TO(id) ((u64)(id) << 56)
#define TO_X2(id) ((u64)(id) << 32)

static const u32 apic_ids[CPUS] = {0, 3, 4, 9, 0x12};

static struct vcpu vcpu[CPUS];
static struct guest guest[CPUS];
static struct guest_shared shared;

/* --- the hardware: the APIC of OWN --------------------------------------------------------- */

static struct {
	u64 base;
	u32 reg[0x40];
	u64 icr; /* x2APIC mode */
	u32 commands;
	u32 turned_off;
	bool stays;   /* LEGACY_XAPIC_DISABLED */
	bool awaited; /* somebody sends a kick as soon as it is off, */
	bool lost;    /* which is lost, and nobody sends another */
} hardware;
static u32 kicked; /* bitmap of CPUs, which are numbered 10 and on */

void hw_kick(u32 cpu)
{
	assert_true(cpu >= 10 && cpu < 10 + CPUS && !(kicked & BIT(cpu - 10)));
	assert_true(hardware.base & APIC_BASE_ENABLE); /* it is sent by this one */
	kicked |= BIT(cpu - 10);
}

void hw_kick_again(void)
{
	assert_true(hardware.base & APIC_BASE_ENABLE);
	hardware.lost = false;
}

/* What waits is taken by an APIC that is on. */
void hw_drop_interrupts(const struct vendor *v)
{
	assert_true(hardware.reg[SVR / 16] & 0x100);
	assert_true(hardware.reg[0x80 / 16] >> 4 == 1); /* else those of exceptions would be taken for such */
	for (u32 i = 1; i < 8; i++)
		hardware.reg[0x200 / 16 + i] = 0;
}

static void lose_state(void)
{
	memset(hardware.reg, 0, sizeof(hardware.reg));
	hardware.reg[ID / 16] = apic_ids[OWN] << 24;
	hardware.reg[0x30 / 16] = 0x00050014;
	hardware.reg[DFR / 16] = ~0u;
	hardware.reg[SVR / 16] = 0xff;
	hardware.icr = 0;
}

u32 hw_apic_read(hpa_t page, u32 offset)
{
	assert_true(page.v == APIC && (hardware.base & MODE) == APIC_BASE_ENABLE);
	return hardware.reg[offset / 16];
}
void hw_apic_write(hpa_t page, u32 offset, u32 value)
{
	assert_true(page.v == APIC && (hardware.base & MODE) == APIC_BASE_ENABLE && offset != ID);
	hardware.reg[offset / 16] = value;
	hardware.commands += offset == ICR_LOW;
}
int hw_msr_read(u32 msr, u64 *value)
{
	u32 id = apic_ids[OWN];

	*value = hardware.base;
	if (msr == MSR_APIC_BASE)
		return 0;
	if ((hardware.base & MODE) != MODE)
		return -EFAULT;
	*value = msr == MSR_X2APIC_ID  ? id :
		 msr == MSR_X2APIC_LDR ? (id & 0xffff0) << 12 | BIT(id & 0xf) :
		 msr == MSR_X2APIC_ICR ? hardware.icr :
					 hardware.reg[msr - MSR_X2APIC_BASE];
	return 0;
}
int hw_msr_write(u32 msr, u64 value)
{
	if (msr != MSR_APIC_BASE) {
		if ((hardware.base & MODE) != MODE)
			return -EFAULT;
		if (msr == MSR_X2APIC_ICR) {
			hardware.icr = value;
			hardware.commands++;
		} else {
			hardware.reg[msr - MSR_X2APIC_BASE] = (u32)value;
		}
		return 0;
	}
	if ((value & MODE) == APIC_BASE_X2APIC || (value & MODE && hardware.base & ~value & APIC_BASE_X2APIC) ||
	    (value & APIC_BASE_X2APIC && !(hardware.base & APIC_BASE_ENABLE)) ||
	    (hardware.stays && hardware.base & ~value & APIC_BASE_X2APIC))
		return -EFAULT;
	hardware.base = value;
	if (!(value & APIC_BASE_ENABLE)) {
		hardware.turned_off++;
		hardware.lost |= hardware.awaited;
		lose_state();
	}
	return 0;
}

/* What is not needed here. */
u64 hw_mmio_read(hpa_t at, u32 size)
{
	return 0;
}
void hw_mmio_write(hpa_t at, u32 size, u64 value) {}
NORETURN void guest_stop(struct vcpu *v, const char *format, ...)
{
	panic("%s", format);
}
NORETURN void guest_shutdown(struct vcpu *v)
{
	panic("shutdown");
}

static void begin(bool x2apic)
{
	memset(vcpu, 0, sizeof(vcpu));
	memset(guest, 0, sizeof(guest));
	memset(&shared, 0, sizeof(shared));
	memset(&hardware, 0, sizeof(hardware));
	hardware.base = APIC | APIC_BASE_ENABLE | (x2apic ? APIC_BASE_X2APIC : 0);
	lose_state();
	kicked = 0;
	processors_init(&shared.processors, false);
	for (u32 i = 0; i < CPUS; i++) {
		struct processor_address address = {
			.apic_id = apic_ids[i], .dfr = ~0u, .apic = x2apic ? PROCESSOR_X2APIC : PROCESSOR_XAPIC};

		assert_int_equal(processors_add(&shared.processors, apic_ids[i], !i), i);
		processors_set_address(&shared.processors, i, &address);
		vcpu[i] = (struct vcpu){.id = i, .cpu = 10 + i, .several = true, .guest = &guest[i]};
		guest[i] = (struct guest){.vcpu = &vcpu[i], .shared = &shared, .phys_bits = 40};
		shared.vcpu[i] = &vcpu[i];
	}
	apic_init(&vcpu[OWN]);
}

static const struct processor_address *address(void)
{
	return &shared.processors.cpu[OWN].address;
}

/* By a store to the page, or by a write of the MSR. */
static void send(bool x2apic, u64 icr)
{
	kicked = 0;
	if (x2apic) {
		assert_int_equal(apic_write_x2apic_icr(&vcpu[OWN], icr), 0);
		return;
	}
	apic_write(&vcpu[OWN], ICR_HIGH, 4, icr >> 32);
	apic_write(&vcpu[OWN], ICR_LOW, 4, (u32)icr);
}

/* --- commands ------------------------------------------------------------------------------- */

/* adversarial: 29 */
static void each_command_kicks_those_it_means_and_no_other(void **state)
{
	static const struct {
		u32 low, xapic, x2apic; /* destinations */
		u32 kicked;             /* of OWN alone: taken behind its exit, without a kick */
		bool passes;
	} cases[] = {
		{0x4500, 4, 4, BIT(2), false},
		{0x500, 9, 9, BIT(3), false},
		{0x607, 0x12, 0x12, BIT(4), false},
		{0x400, 0, 0, BIT(0), false},
		{0x400, 3, 3, 0, false}, /* itself */
		{0x400, 7, 7, 0, false}, /* nobody */
		{0x400, 0xff, ~0u, BIT(0) | BIT(2) | BIT(3) | BIT(4), false},
		{0xc0500, 0, 0, BIT(0) | BIT(2) | BIT(3) | BIT(4), false},
		{0xc0607, 0, 0, BIT(0) | BIT(2) | BIT(3) | BIT(4), false},
		{0x40400, 0, 0, 0, false},            /* self */
		{0xc00, 0x84, 0x0210, BIT(3), false}, /* logical: LDRs below */
		{0x8500, 4, 4, 0, false},             /* INIT, level, de-assert */
		{0x200, 4, 4, 0, false},              /* SMI */
		{0x300, 4, 4, 0, false},              /* reserved */
		{0x80500, 4, 4, 0, false},            /* INIT to all including self */
		{0x30, 4, 4, 0, true},
		{0x30, 3, 3, 0, true},
		{0x131, 0xff, ~0u, 0, true},
		{0xc40fd, 0, 0, 0, true},
		{0x40041, 0, 0, 0, true},
	};

	host_log_quiet = true;
	for (u32 x2apic = 0; x2apic < 2; x2apic++)
		for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
			u64 icr = (x2apic ? TO_X2(cases[i].x2apic) : TO(cases[i].xapic)) | cases[i].low;
			struct processor_event event;

			begin(x2apic);
			shared.processors.cpu[3].address.ldr = 0x80u << 24;
			if (x2apic && cases[i].low == 0xc00) /* ID 9 of cluster 0 */
				icr = TO_X2(0x0200) | 0xc00;
			send(x2apic, icr);
			if (kicked != cases[i].kicked)
				fail_msg("%u: %llx kicks %x", x2apic, (unsigned long long)icr, kicked);
			assert_int_equal(hardware.commands, cases[i].passes);
			for (u32 n = 0; n < CPUS; n++)
				if (processors_take(&shared.processors, n, &event))
					assert_true(n == OWN || kicked & BIT(n));
			/* Two that are about to look need none, once. */
			for (u32 again = 0; again < 2; again++) {
				u32 look = again ? 0 : BIT(0) | BIT(3);

				kicked = 0;
				processors_announce_look(&shared.processors, 0);
				processors_announce_look(&shared.processors, 3);
				if (again) {
					processors_take(&shared.processors, 0, &event);
					processors_take(&shared.processors, 3, &event);
				}
				send(x2apic, icr);
				assert_int_equal(kicked, cases[i].kicked & ~look);
			}
		}
	host_log_quiet = false;
}

static void a_command_that_passes_is_the_hardwares_as_it_is(void **state)
{
	begin(false);
	send(false, TO(9) | 0x8b3);
	assert_true(hardware.reg[ICR_LOW / 16] == 0x8b3 && hardware.reg[ICR_HIGH / 16] == 9u << 24);
	begin(true);
	send(true, TO_X2(0x12) | 0x8b3);
	assert_int_equal(hardware.icr, TO_X2(0x12) | 0x8b3);
}

/* The hypervisor sends its own messages by the same register. */
static void the_command_register_reads_as_it_was_written(void **state)
{
	static const u32 commands[] = {0x4500, 0x607, 0x30, 0x400, 0x200, 0xc00};
	u64 value;

	host_log_quiet = true;
	for (u32 i = 0; i < ARRAY_SIZE(commands); i++) {
		begin(false);
		send(false, TO(4) | commands[i]);
		hardware.reg[ICR_LOW / 16] = 0x4400; /* a kick's */
		assert_int_equal(apic_read(&vcpu[OWN], ICR_LOW, 4), commands[i]);
		assert_int_equal(apic_read(&vcpu[OWN], ICR_HIGH, 4), 4u << 24);
		hardware.reg[ICR_LOW / 16] |= BIT(12); /* on its way */
		assert_int_equal(apic_read(&vcpu[OWN], ICR_LOW, 4), commands[i] | BIT(12));
		begin(true);
		send(true, TO_X2(4) | commands[i]);
		hardware.icr = TO_X2(9) | 0x4400;
		assert_int_equal(apic_read_x2apic_icr(&vcpu[OWN], &value), 0);
		assert_int_equal(value, TO_X2(4) | commands[i]);
	}
	assert_int_equal(apic_write_x2apic_icr(&vcpu[OWN], TO_X2(4) | BIT(20) | 0x400), -EFAULT);
	assert_int_equal(apic_read_x2apic_icr(&vcpu[OWN], &value), 0);
	assert_int_equal(value, TO_X2(4) | commands[ARRAY_SIZE(commands) - 1]);
	host_log_quiet = false;
}

/* --- the address in the table --------------------------------------------------------------- */

static void the_table_follows_the_logical_address(void **state)
{
	begin(false);
	assert_true(address()->apic_id == 3 && address()->apic == PROCESSOR_XAPIC);
	apic_write(&vcpu[OWN], LDR, 4, 0x40u << 24);
	assert_int_equal(address()->ldr, 0x40u << 24);
	apic_write(&vcpu[OWN], DFR, 4, 0x0fffffff);
	assert_int_equal(address()->dfr, 0x0fffffff);
	apic_write(&vcpu[OWN], ID, 4, 0x55u << 24); /* is not written */
	assert_int_equal(address()->apic_id, 3);
	apic_reset(&vcpu[OWN]);
	assert_true(address()->ldr == 0 && address()->dfr == ~0u && address()->apic_id == 3);
	begin(true);
	assert_true(address()->apic_id == 3 && address()->apic == PROCESSOR_X2APIC);
}

/* adversarial: 38 */
static void off_for_the_guest_is_not_off_in_the_hardware(void **state)
{
	const u64 off = APIC, xapic = APIC | APIC_BASE_ENABLE, x2apic = xapic | APIC_BASE_X2APIC;
	const struct {
		u64 value;
		u32 apic;
		u64 hardware;
	} steps[] = {
		{off, PROCESSOR_NO_APIC, x2apic},   {xapic, PROCESSOR_XAPIC, xapic},
		{off, PROCESSOR_NO_APIC, xapic},    {xapic, PROCESSOR_XAPIC, xapic},
		{x2apic, PROCESSOR_X2APIC, x2apic}, {x2apic, PROCESSOR_X2APIC, x2apic},
		{off, PROCESSOR_NO_APIC, x2apic},   {off, PROCESSOR_NO_APIC, x2apic},
	};

	begin(true);
	hardware.awaited = true;
	for (u32 i = 0; i < ARRAY_SIZE(steps); i++) {
		bool out = !(steps[i].value & APIC_BASE_X2APIC) && vcpu[OWN].apic_base & APIC_BASE_X2APIC;
		u32 before = hardware.turned_off;

		assert_int_equal(apic_write_base(&vcpu[OWN], steps[i].value), 0);
		assert_int_equal(hardware.base, steps[i].hardware);
		assert_false(hardware.lost);
		assert_int_equal(vcpu[OWN].apic_base, steps[i].value);
		assert_true(address()->apic == steps[i].apic && address()->apic_id == 3);
		assert_true(!out || hardware.turned_off == before + 1); /* its state is lost */
		assert_true(steps[i].apic != PROCESSOR_XAPIC || address()->ldr == 0);
		if (steps[i].apic == PROCESSOR_NO_APIC) { /* the pins lead to the processor */
			assert_int_equal(hardware.reg[0x350 / 16], 0x700);
			assert_int_equal(hardware.reg[0x360 / 16], 0x400);
		}
		if (steps[i].apic == PROCESSOR_XAPIC)
			apic_write(&vcpu[OWN], LDR, 4, 0x40u << 24);
	}
}

static void what_the_hardware_refuses_is_refused(void **state)
{
	begin(true);
	hardware.stays = true;
	assert_int_equal(apic_write_base(&vcpu[OWN], APIC), -EFAULT);
	assert_int_equal(apic_write_base(&vcpu[OWN], APIC | APIC_BASE_ENABLE), -EFAULT);
	assert_true((hardware.base & MODE) == MODE && (vcpu[OWN].apic_base & MODE) == MODE);
	assert_int_equal(address()->apic, PROCESSOR_X2APIC);
	begin(false); /* not offered */
	assert_int_equal(apic_write_base(&vcpu[OWN], APIC | MODE), -EFAULT);
	assert_int_equal(apic_write_base(&vcpu[OWN], APIC), 0);
	assert_true(address()->apic == PROCESSOR_NO_APIC && hardware.base & APIC_BASE_ENABLE);
	kicked = 0;
	apic_write(&vcpu[OWN], ICR_LOW, 4, 0xc0400); /* there is no APIC */
	assert_true(!kicked && !hardware.commands);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_command_kicks_those_it_means_and_no_other),
		cmocka_unit_test(a_command_that_passes_is_the_hardwares_as_it_is),
		cmocka_unit_test(the_command_register_reads_as_it_was_written),
		cmocka_unit_test(the_table_follows_the_logical_address),
		cmocka_unit_test(off_for_the_guest_is_not_off_in_the_hardware),
		cmocka_unit_test(what_the_hardware_refuses_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
