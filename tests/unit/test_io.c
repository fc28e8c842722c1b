/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands between the guest and device registers: the sleep registers, in ports
 * and in memory, and the ports that mask A20. The device is an array of bytes that
 * records what reaches it.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/a20.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/io.h"
#include "arch/x86/guest/mmio.h"
#include "arch/x86/guest/sleep.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"

#define PM1_STATUS 0x600u
#define PM1_CONTROL 0x604u
#define MEMORY 0xfed80000ull
#define SLP_EN BIT(13)
#define WAK_STS BIT(15)
#define TYPE(n) ((u64)(n) << 10)
#define SCI_EN 1u
#define S1 4u
#define S3 5u
#define S4 6u
#define S5 7u

/* --- the machine ------------------------------------------------------------------- */

static struct vcpu vcpu;
static struct guest guest;
static struct guest_shared shared;
static u8 port[0x10000], page[PAGE_SIZE], trapped[0x10000];
static bool a20_is_fixed;

static void set_io_intercept(struct vcpu *v, u16 p, bool on)
{
	trapped[p] = on;
}
static bool a20_fixed(void)
{
	return a20_is_fixed;
}
static u64 dr[4], dr7;
static u64 get_dr7(const struct vcpu *v)
{
	return dr7;
}
static void set_dr7(struct vcpu *v, u64 value)
{
	dr7 = value;
}
u64 hw_read_dr(u32 n)
{
	return dr[n];
}
void hw_write_dr(u32 n, u64 value)
{
	dr[n] = value;
}
static bool get_msr(const struct vcpu *v, u32 msr, u64 *value)
{
	return false;
}
static void get_segment(const struct vcpu *v, enum segment_name which, struct segment *out)
{
	*out = (struct segment){.limit = 0xffff, .attributes = 0x93};
}

static const struct vendor vendor = {
	.name = "fake",
	.set_io_intercept = set_io_intercept,
	.a20_fixed = a20_fixed,
	.get_segment = get_segment,
	.get_dr7 = get_dr7,
	.set_dr7 = set_dr7,
	.get_msr = get_msr,
};

u32 hw_in(u16 at, u32 size)
{
	u32 value = 0;

	memcpy(&value, port + at, size);
	return value;
}
void hw_out(u16 at, u32 size, u32 value)
{
	memcpy(port + at, &value, size);
}
u64 hw_mmio_read(hpa_t at, u32 size)
{
	u64 value = 0;

	memcpy(&value, page + (at.v - MEMORY), size);
	return value;
}
void hw_mmio_write(hpa_t at, u32 size, u64 value)
{
	memcpy(page + (at.v - MEMORY), &value, size);
}
u32 hw_apic_read(hpa_t at, u32 offset)
{
	return 0;
}
void hw_apic_write(hpa_t at, u32 offset, u32 value) {}
int hw_msr_read(u32 msr, u64 *value)
{
	return -EFAULT;
}
int hw_msr_write(u32 msr, u64 value)
{
	return -EFAULT;
}

void hw_kick_again(void) {}
void hw_drop_interrupts(const struct vendor *v) {}

void hw_kick(u32 cpu)
{
	panic("CPU %u is kicked", cpu);
}

NORETURN void guest_shutdown(struct vcpu *v)
{
	panic("guest shut down");
}

static int fresh(void **state)
{
	memset(&guest, 0, sizeof(guest));
	memset(&shared, 0, sizeof(shared));
	guest.shared = &shared;
	vcpu = (struct vcpu){.vendor = &vendor, .guest = &guest};
	memset(port, 0, sizeof(port));
	memset(page, 0, sizeof(page));
	memset(trapped, 0, sizeof(trapped));
	dr7 = 0;
	a20_is_fixed = false;
	host_log_quiet = true;
	return 0;
}

static int done(void **state)
{
	host_log_quiet = false;
	return 0;
}

static bool any_trapped(u32 at, u32 size)
{
	for (u32 i = 0; i < size; i++)
		if (trapped[(at + i) & 0xffff])
			return true;
	return false;
}

/* As the processor: an access that touches a trapped port exits. */
static u32 access_port(u32 at, u32 size, bool in, u32 value)
{
	if (!any_trapped(at, size)) {
		if (in)
			return hw_in((u16)at, size);
		hw_out((u16)at, size, value);
		return 0;
	}
	vcpu.exit = (struct vcpu_exit){.port = (u16)at, .io_size = (u8)size, .io_in = in, .insn_len = 1};
	vcpu.gpr[GPR_RAX] = in ? 0 : value;
	io_handle(&vcpu);
	return (u32)vcpu.gpr[GPR_RAX];
}
static u32 in(u32 at, u32 size)
{
	return access_port(at, size, true, 0);
}
static void out(u32 at, u32 size, u32 value)
{
	access_port(at, size, false, value);
}

static u64 load(u32 offset, u32 size)
{
	u64 value = 0;

	mmio_read(&vcpu, gpa(MEMORY + offset), &value, size);
	return value;
}
static void store(u32 offset, u32 size, u64 value)
{
	mmio_write(&vcpu, gpa(MEMORY + offset), &value, size);
}

/* --- sleep --------------------------------------------------------------------------- */

static struct acpi_sleep with_types(void)
{
	struct acpi_sleep acpi = {0};

	for (u32 i = 0; i < 2; i++) {
		u8 *types = i ? acpi.type_b : acpi.type_a;

		types[0] = 1 << 0;
		types[1] = 1 << S1;
		types[3] = 1 << S3;
		types[4] = 1 << S4;
		types[5] = 1 << S5;
	}
	return acpi;
}

static struct acpi_sleep in_ports(void)
{
	struct acpi_sleep acpi = with_types();

	acpi.control[ACPI_PM1A] = acpi.control[ACPI_X_PM1A] = (struct acpi_byte){ACPI_PORT, PM1_CONTROL + 1};
	acpi.status[ACPI_PM1A] = acpi.status[ACPI_X_PM1A] = (struct acpi_byte){ACPI_PORT, PM1_STATUS + 1};
	return acpi;
}

/* adversarial: 39 */
static void s3_is_refused_and_ends_at_once(void **state)
{
	struct acpi_sleep acpi = in_ports();
	u32 lines = host_log_count[LOG_ERROR];

	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	assert_true(trapped[PM1_CONTROL + 1] && trapped[PM1_STATUS + 1] && !trapped[PM1_STATUS] &&
		    !trapped[PM1_CONTROL]);
	out(PM1_CONTROL, 2, SCI_EN | TYPE(S3));
	assert_int_equal(in(PM1_CONTROL, 2), SCI_EN | TYPE(S3));
	assert_int_equal(in(PM1_STATUS, 2), 0);
	out(PM1_CONTROL, 2, SCI_EN | TYPE(S3) | SLP_EN);
	assert_int_equal(hw_in(PM1_CONTROL, 2), SCI_EN | TYPE(S3));
	assert_int_equal(in(PM1_STATUS, 2), WAK_STS);
	out(PM1_STATUS, 2, 0x100); /* something else is cleared */
	assert_int_equal(in(PM1_STATUS, 2), WAK_STS | 0x100);
	out(PM1_STATUS, 2, WAK_STS);
	hw_out(PM1_STATUS, 2, 0x0021);
	assert_int_equal(in(PM1_STATUS, 2), 0x21);
	out(PM1_CONTROL, 2, TYPE(S3) | SLP_EN);
	assert_int_equal(host_log_count[LOG_ERROR], lines + 1);
}

static void other_types_pass_and_unknown_ones_do_not(void **state)
{
	struct acpi_sleep acpi = in_ports();

	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	for (u32 type = 0; type < 8; type++) {
		bool passes = type == 0 || type == S1 || type == S4 || type == S5;

		out(PM1_CONTROL, 2, TYPE(type) | SLP_EN | SCI_EN);
		assert_int_equal(hw_in(PM1_CONTROL, 2), TYPE(type) | (passes ? SLP_EN : 0) | SCI_EN);
	}
	fresh(NULL);
	acpi.type_a[2] = 1 << S5; /* S2 loses the processor's state too, whatever else has its number */
	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	out(PM1_CONTROL, 2, TYPE(S5) | SLP_EN);
	assert_int_equal(hw_in(PM1_CONTROL, 2), TYPE(S5));
}

static void without_types_nothing_but_s3_is_refused(void **state)
{
	struct acpi_sleep acpi = in_ports();

	memset(acpi.type_a, 0, sizeof(acpi.type_a));
	acpi.type_a[3] = 1 << S3;
	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	for (u32 type = 0; type < 8; type++) {
		out(PM1_CONTROL, 2, TYPE(type) | SLP_EN);
		assert_int_equal(hw_in(PM1_CONTROL, 2), TYPE(type) | (type == S3 ? 0 : SLP_EN));
	}
}

/* adversarial: 31, 39 */
static void accesses_of_every_size_and_place_are_filtered(void **state)
{
	struct acpi_sleep acpi = in_ports();

	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	for (u32 size = 1; size <= 4; size *= 2)
		for (u32 at = PM1_CONTROL - 3; at <= PM1_CONTROL + 2; at++) {
			memset(port + PM1_STATUS - 8, 0, 32);
			out(PM1_STATUS + 1, 1, 0x80);
			/* every byte: S3 and SLP_EN, and nothing else */
			out(at, size, 0x01010101u * (S3 << 2 | 0x20));
			for (u32 i = 0; i < size; i++)
				assert_int_equal(port[at + i],
						 at + i == PM1_CONTROL + 1 ? S3 << 2 : (S3 << 2 | 0x20));
			for (u32 read = PM1_STATUS - 3; read <= PM1_STATUS + 2; read++) {
				bool refused = at <= PM1_CONTROL + 1 && at + size > PM1_CONTROL + 1;
				u32 value = in(read, size), plain = hw_in((u16)read, size);

				if (refused && read <= PM1_STATUS + 1 && read + size > PM1_STATUS + 1)
					plain |= 0x80u << 8 * (PM1_STATUS + 1 - read);
				assert_int_equal(value, plain);
			}
		}
}

static void pm1b_has_types_of_its_own(void **state)
{
	struct acpi_sleep acpi = in_ports();

	acpi.control[ACPI_PM1B] = (struct acpi_byte){ACPI_PORT, 0x805};
	acpi.status[ACPI_PM1B] = (struct acpi_byte){ACPI_PORT, 0x801};
	acpi.type_b[3] = 1 << 2;
	acpi.type_b[5] = 1 << S3;
	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	out(0x804, 2, TYPE(S3) | SLP_EN);
	assert_int_equal(hw_in(0x804, 2), TYPE(S3) | SLP_EN);
	out(0x804, 2, TYPE(2) | SLP_EN);
	assert_int_equal(hw_in(0x804, 2), TYPE(2));
	assert_true(in(0x800, 2) == WAK_STS && in(PM1_STATUS, 2) == WAK_STS);
}

/* adversarial: 39 */
static void registers_in_memory_share_their_page(void **state)
{
	struct acpi_sleep acpi = with_types();

	acpi.status[ACPI_X_PM1A] = (struct acpi_byte){ACPI_MEMORY, MEMORY + 0x801};
	acpi.control[ACPI_X_PM1A] = (struct acpi_byte){ACPI_MEMORY, MEMORY + 0x805};
	acpi.control[ACPI_REDUCED] = (struct acpi_byte){ACPI_MEMORY, MEMORY + 0x10};
	acpi.status[ACPI_REDUCED] = (struct acpi_byte){ACPI_PORT, 0xb8};
	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	assert_int_equal(guest.mmio_traps, 1);
	assert_true(mmio_owns(&vcpu, gpa(MEMORY + 0xfff)) && !mmio_owns(&vcpu, gpa(MEMORY + 0x1000)));
	store(0x804, 2, TYPE(S3) | SLP_EN | SCI_EN);
	assert_int_equal(page[0x805] << 8 | page[0x804], TYPE(S3) | SCI_EN);
	assert_int_equal(load(0x800, 2), WAK_STS);
	assert_int_equal(in(0xb8, 1), 0x80);
	store(0x7fe, 8, 0x8000ull << 16 | (u64)(TYPE(S5) | SLP_EN) << 48); /* clears WAK_STS, then S5 */
	assert_int_equal(page[0x805], S5 << 2 | 0x20);
	assert_int_equal(load(0x800, 2), WAK_STS); /* what was written: the device is an array */
	page[0x801] = 0;
	assert_int_equal(load(0x800, 2), 0);
	store(0x10, 1, S3 << 2 | 0x20);
	assert_int_equal(page[0x10], S3 << 2);
	assert_int_equal(in(0xb8, 1), 0x80);
	store(0x806, 2, 0xffff); /* a neighbour */
	assert_int_equal(load(0x804, 4), 0xffff0000 | TYPE(S5) | SLP_EN);
}

static void a_machine_without_tables_has_no_trap(void **state)
{
	struct acpi_sleep acpi = {0};

	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	assert_int_equal(sleep_init(&vcpu, NULL), 0);
	assert_true(guest.io_traps == 0 && guest.mmio_traps == 0);
	for (u32 i = 0; i < ACPI_SLEEP_BLOCKS; i++) { /* as many as there may be */
		acpi.control[i] = (struct acpi_byte){ACPI_PORT, 0x400 + i};
		acpi.status[i] = (struct acpi_byte){ACPI_MEMORY, MEMORY + i * PAGE_SIZE};
	}
	assert_int_equal(sleep_init(&vcpu, &acpi), 0);
	assert_int_equal(a20_init(&vcpu), 0);
}

/* --- A20 ------------------------------------------------------------------------------- */

static void port_92_reads_back_what_was_written(void **state)
{
	port[0x92] = 0x04;
	assert_int_equal(a20_init(&vcpu), 0);
	assert_int_equal(in(0x92, 1), 0x04); /* as QEMU's starts */
	out(0x92, 1, 0x06);
	assert_true(port[0x92] == 0x06 && in(0x92, 1) == 0x06);
	out(0x92, 1, 0x10);
	assert_true(port[0x92] == 0x12 && in(0x92, 1) == 0x10);
	out(0x92, 1, 0x01); /* the fast reset */
	assert_int_equal(port[0x92], 0x03);
	out(0x91, 2, 0x0000);
	assert_int_equal(port[0x92], 0x02);
	assert_int_equal(in(0x90, 4), 0);
}

static void the_output_port_keeps_a20_and_nothing_else(void **state)
{
	assert_int_equal(a20_init(&vcpu), 0);
	out(0x60, 1, 0x00); /* data for nobody */
	assert_int_equal(port[0x60], 0x00);
	out(0x64, 1, 0xd1);
	out(0x60, 1, 0xdd);
	assert_true(port[0x64] == 0xd1 && port[0x60] == 0xdf);
	out(0x60, 1, 0xdd); /* the command is done: this is for the keyboard */
	assert_int_equal(port[0x60], 0xdd);
	out(0x64, 1, 0xd1);
	out(0x64, 1, 0x60); /* another command came between */
	out(0x60, 1, 0x45);
	assert_int_equal(port[0x60], 0x45);
	out(0x64, 1, 0xd1);
	out(0x60, 1, 0xfe); /* reset */
	assert_int_equal(port[0x60], 0xfe);
}

static void the_output_port_reads_back_what_was_written(void **state)
{
	assert_int_equal(a20_init(&vcpu), 0);
	out(0x64, 1, 0xd1);
	out(0x60, 1, 0xdd);
	port[0x64] = 0;
	out(0x64, 1, 0xd0);
	port[0x60] = 0xdf;
	assert_int_equal(in(0x60, 1), 0xdd);
	assert_int_equal(in(0x60, 1), 0xdf); /* no answer any more */
	port[0x64] = 1;                      /* a key waits: it comes before the answer */
	out(0x64, 1, 0xd0);
	port[0x60] = 0x1e | 0x02;
	assert_int_equal(in(0x60, 1), 0x1e);
	port[0x60] = 0xdf;
	assert_int_equal(in(0x60, 1), 0xdd);
	out(0x64, 1, 0xdf);
	port[0x64] = 0;
	out(0x64, 1, 0xd0);
	port[0x60] = 0xdf;
	assert_int_equal(in(0x60, 1), 0xdf);
}

static void commands_that_pulse_lines_leave_a20_alone(void **state)
{
	assert_int_equal(a20_init(&vcpu), 0);
	out(0x64, 1, 0xdd);
	assert_int_equal(port[0x64], 0xdf);
	out(0x64, 1, 0xfe);
	assert_int_equal(port[0x64], 0xfe);
	out(0x64, 1, 0xfc);
	assert_int_equal(port[0x64], 0xfe);
	out(0x64, 1, 0xfd);
	assert_int_equal(port[0x64], 0xff);
	out(0x64, 1, 0xaa);
	assert_int_equal(port[0x64], 0xaa);
}

static void where_a20_is_fixed_nothing_is_trapped(void **state)
{
	a20_is_fixed = true;
	assert_int_equal(a20_init(&vcpu), 0);
	assert_true(!trapped[0x92] && !trapped[0x60] && !trapped[0x64]);
}

/* --- I/O breakpoints and steps (SDM vol. 3 sections 17.2.4 and 17.2.5) ---------------- */

static bool debug_is_due(u64 dr6)
{
	bool due = vcpu.inject.type == EVENT_EXCEPTION && vcpu.inject.vector == VEC_DB && vcpu.dr6_set == dr6;

	vcpu.inject.type = EVENT_NONE;
	vcpu.dr6_set = vcpu.breakpoints_hit = 0;
	return due;
}

static void a_breakpoint_on_a_trapped_port_is_met_if_cr4_de_is_set(void **state)
{
	assert_int_equal(a20_init(&vcpu), 0);
	dr[1] = 0x92;
	dr7 = BIT(2) | 2u << 20; /* L1, I/O, one byte */
	in(0x92, 1);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
	vcpu.cr4 = CR4_DE;
	in(0x92, 1);
	assert_true(debug_is_due(BIT(1)));
	out(0x92, 1, 0x02);
	assert_true(debug_is_due(BIT(1)));
	in(0x90, 4);
	assert_true(debug_is_due(BIT(1)));
	in(0x64, 1);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
	dr7 = BIT(2) | 3u << 20; /* data: ports are no memory */
	in(0x92, 1);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
	vcpu.rflags = RFLAGS_TF;
	in(0x92, 1);
	assert_true(debug_is_due(DR6_BS));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(s3_is_refused_and_ends_at_once),
		TEST(other_types_pass_and_unknown_ones_do_not),
		TEST(without_types_nothing_but_s3_is_refused),
		TEST(accesses_of_every_size_and_place_are_filtered),
		TEST(pm1b_has_types_of_its_own),
		TEST(registers_in_memory_share_their_page),
		TEST(a_machine_without_tables_has_no_trap),
		TEST(port_92_reads_back_what_was_written),
		TEST(the_output_port_keeps_a20_and_nothing_else),
		TEST(the_output_port_reads_back_what_was_written),
		TEST(commands_that_pulse_lines_leave_a20_alone),
		TEST(where_a20_is_fixed_nothing_is_trapped),
		TEST(a_breakpoint_on_a_trapped_port_is_met_if_cr4_de_is_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
