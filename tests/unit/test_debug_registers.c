/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's debug registers beside a debugger's points (arch/x86/guest/debug_registers.c, D9 of docs/debugging.md): what the guest
 * reads is what it wrote, what it has enabled stays in its register, and every point has a register while one is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/state.h"
#include "tests/unit/rng.h"

#define DR6_CLEAR 0xffff0ff0ull

static u64 hardware[4], dr6, dr7;
static u32 told;
static struct guest guest;
static struct vcpu vcpu;

u64 hw_read_dr(u32 n)
{
	return n < 4 ? hardware[n] : dr6;
}

void hw_write_dr(u32 n, u64 value)
{
	if (n < 4)
		hardware[n] = value;
}

static u64 get_dr7(const struct vcpu *v)
{
	return dr7;
}

static void set_dr7(struct vcpu *v, u64 value)
{
	dr7 = value;
}

static u64 get_dr6(const struct vcpu *v)
{
	return dr6;
}

static void set_dr6(struct vcpu *v, u64 value)
{
	dr6 = value;
}

static const struct vendor vendor = {.get_dr7 = get_dr7, .set_dr7 = set_dr7, .get_dr6 = get_dr6, .set_dr6 = set_dr6};

static void hit(struct vcpu *v, u32 points)
{
	told |= points;
}

static int begin(void **state)
{
	memset(&guest, 0, sizeof(guest));
	vcpu = (struct vcpu){.guest = &guest, .vendor = &vendor};
	for (u32 n = 0; n < 4; n++)
		hardware[n] = 0x1000 * (n + 1);
	dr6 = DR6_CLEAR;
	dr7 = DR7_RESET;
	told = 0;
	return 0;
}

static bool is_enabled(u64 value, u32 n)
{
	return value >> 2 * n & 3;
}

static u32 field(u64 value, u32 n)
{
	return value >> (16 + 4 * n) & 0xf;
}

static const struct debug_point points[] = {
	{0x5000, DEBUG_EXECUTE, 1}, {0x6000, DEBUG_WRITE, 4}, {0x7000, DEBUG_ACCESS, 8}, {0x8001, DEBUG_WRITE, 1}};

static void without_points_the_registers_are_the_processors(void **state)
{
	debug_register_write(&vcpu, 2, 0xabc);
	debug_register_write(&vcpu, 7, 0xffffffffffffffff);
	assert_int_equal(hardware[2], 0xabc);
	assert_int_equal(dr7, 0xffff27ff);
	assert_int_equal(debug_register_read(&vcpu, 2), 0xabc);
	assert_int_equal(debug_registers_sort(&vcpu, 0xf), 0xf);
	debug_registers_tell(&vcpu, BIT(1));
	assert_int_equal(vcpu.dr6_set, BIT(1));
}

static void points_are_in_the_processor_and_not_in_what_the_guest_reads(void **state)
{
	assert_int_equal(debug_registers_arm(&vcpu, points, 4, hit), 0);
	for (u32 n = 0; n < 4; n++) {
		assert_int_equal(hardware[n], points[n].address);
		assert_true(is_enabled(dr7, n));
		assert_int_equal(debug_register_read(&vcpu, n), 0x1000 * (n + 1));
	}
	assert_int_equal(field(dr7, 0), 0x0);
	assert_int_equal(field(dr7, 1), 0xd);
	assert_int_equal(field(dr7, 2), 0xb);
	assert_int_equal(field(dr7, 3), 0x1);
	assert_int_equal(debug_register_read(&vcpu, 7), DR7_RESET);
	assert_int_equal(debug_registers_sort(&vcpu, BIT(1) | DR6_BS), DR6_BS);
	assert_int_equal(told, BIT(1));
	assert_int_equal(debug_register_read(&vcpu, 6), DR6_CLEAR);
	assert_int_equal(debug_registers_arm(&vcpu, NULL, 0, NULL), 0);
	assert_int_equal(dr7, DR7_RESET);
	assert_int_equal(hardware[3], 0x4000);
}

static void a_breakpoint_of_the_guest_keeps_its_register(void **state)
{
	assert_int_equal(debug_registers_arm(&vcpu, points, 3, hit), 0);
	debug_register_write(&vcpu, 1, 0x9999);
	debug_register_write(&vcpu, 7, DR7_RESET | BIT(2) | 0xdull << 20); /* L1 */
	assert_int_equal(hardware[1], 0x9999);
	assert_int_equal(hardware[0], 0x5000);
	assert_int_equal(hardware[2], 0x6000);
	assert_int_equal(hardware[3], 0x7000);
	assert_int_equal(debug_registers_sort(&vcpu, BIT(1) | BIT(3)), BIT(1));
	assert_int_equal(told, BIT(2));
	debug_registers_tell(&vcpu, BIT(1));
	assert_int_equal(debug_register_read(&vcpu, 6), DR6_CLEAR | BIT(1));
	assert_int_equal(dr6, DR6_CLEAR);
	debug_register_write(&vcpu, 7, DR7_RESET | 0xff);
	assert_int_equal(guest.debug.missed, 7);
	assert_int_equal(dr7, DR7_RESET | 0xff);
	debug_register_write(&vcpu, 7, DR7_RESET);
	assert_int_equal(guest.debug.missed, 0);
	debug_registers_arm(&vcpu, NULL, 0, NULL);
	assert_int_equal(dr6, DR6_CLEAR | BIT(1));
}

static void general_detect_is_not_left_to_the_processor(void **state)
{
	assert_int_equal(debug_registers_arm(&vcpu, points, 1, hit), 0);
	debug_register_write(&vcpu, 7, DR7_RESET | DR7_GD);
	assert_false(dr7 & DR7_GD);
	assert_true(debug_register_read(&vcpu, 7) & DR7_GD);
}

static void causes_that_wait_are_taken_along(void **state)
{
	dr6 = DR6_CLEAR | BIT(0);
	vcpu.dr6_set = BIT(3) | DR6_BS;
	assert_int_equal(debug_registers_arm(&vcpu, points, 1, hit), 0);
	assert_int_equal(debug_register_read(&vcpu, 6), DR6_CLEAR | BIT(3) | DR6_BS);
	assert_int_equal(vcpu.dr6_set, 0);
	dr6 |= BIT(0) | DR6_BS; /* an exit's */
	vcpu.dr6_set = BIT(2);
	assert_int_equal(debug_registers_causes(&vcpu), BIT(0) | BIT(2) | DR6_BS);
	assert_int_equal(dr6, DR6_CLEAR);
	assert_int_equal(vcpu.dr6_set, 0);
}

/* What the guest has, as it would be on the bare machine; and what the processor must hold for it. */
static void check_against(const u64 model[8], u32 count)
{
	u32 placed = 0;

	for (u32 n = 0; n < 4; n++) {
		assert_int_equal(debug_register_read(&vcpu, n), model[n]);
		if (is_enabled(model[7], n)) {
			assert_int_equal(hardware[n], model[n]);
			assert_int_equal(field(dr7, n), field(model[7], n));
			assert_int_equal(dr7 >> 2 * n & 3, model[7] >> 2 * n & 3);
		} else if (is_enabled(dr7, n)) {
			placed++;
		}
	}
	assert_int_equal(debug_register_read(&vcpu, 7), model[7]);
	assert_int_equal(debug_register_read(&vcpu, 6), model[6]);
	assert_int_equal(placed, count - (u32)__builtin_popcount(guest.debug.missed));
	if (placed < count) /* no register is left */
		for (u32 n = 0; n < 4; n++)
			assert_true(is_enabled(dr7, n));
}

static void any_writes_of_the_guest_are_read_back(void **state)
{
	u64 model[8] = {0x1000, 0x2000, 0x3000, 0x4000, 0, 0, DR6_CLEAR, DR7_RESET};
	u32 count = 0, missed;
	struct rng rng;

	rng_seed(&rng, 5);
	for (u32 i = 0; i < 20000; i++) {
		u32 n = rng_below(&rng, 9);
		u64 value = rng_next(&rng);

		if (n == 8) {
			count = rng_below(&rng, 5);
			missed = debug_registers_arm(&vcpu, points, count, hit);
			assert_int_equal(missed, count ? guest.debug.missed : 0);
		} else if (n != 4 && n != 5) {
			if (n == 7)
				value &= 0xffff0300 | (rng_chance(&rng, 50) ? 0xff : rng_next(&rng) & 0x33);
			debug_register_write(&vcpu, n, value);
			model[n] = n < 4  ? value :
				   n == 6 ? (value & 0xe00f) | DR6_CLEAR :
					    (value & 0xffff23ff) | DR7_RESET;
		}
		if (count)
			check_against(model, count);
		else
			assert_int_equal(dr7, model[7]);
	}
}

#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_points_the_registers_are_the_processors),
		TEST(points_are_in_the_processor_and_not_in_what_the_guest_reads),
		TEST(a_breakpoint_of_the_guest_keeps_its_register),
		TEST(general_detect_is_not_left_to_the_processor),
		TEST(causes_that_wait_are_taken_along),
		TEST(any_writes_of_the_guest_are_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
