/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A debugger's breakpoints and watchpoints (debug/points.c): where each is kept, what is in memory while the guest runs and
 * that nothing of it is left when it stops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "debug/points.h"
#include "tests/unit/rng.h"

#define MEMORY 256u
#define ALIAS 0x1000u /* the same memory by another address */

static struct points points;
static u8 memory[MEMORY];
static u8 which[DEBUG_POINTS_MAX];
static struct debug_point out[DEBUG_POINTS_MAX];

static int translate(void *context, u64 linear, u64 *physical)
{
	*physical = linear % ALIAS;
	return *physical < MEMORY && linear < 2 * ALIAS ? 0 : -EFAULT;
}

static int read_byte(void *context, u64 physical, u8 *byte)
{
	assert_true(physical < MEMORY);
	*byte = memory[physical];
	return 0;
}

static int write_byte(void *context, u64 physical, u8 byte)
{
	assert_true(physical < MEMORY);
	memory[physical] = byte;
	return 0;
}

static const struct points_memory guest = {NULL, translate, read_byte, write_byte};

static int begin(void **state)
{
	memset(&points, 0, sizeof(points));
	memset(memory, 0x90, sizeof(memory));
	return 0;
}

static void a_software_breakpoint_is_in_a_register_while_there_is_one(void **state)
{
	for (u32 i = 0; i < 6; i++)
		assert_int_equal(points_insert(&points, GDB_SOFTWARE, 0x10 + i, 1, 4), 0);
	assert_int_equal(points_place(&points, 4, out, which), 4);
	assert_int_equal(out[3].address, 0x13);
	assert_int_equal(out[3].type, DEBUG_EXECUTE);
	assert_int_equal(points_patch(&points, &guest), 0);
	assert_memory_equal(memory + 0x10, "\x90\x90\x90\x90\xcc\xcc\x90", 7);
	points_lift(&points, &guest);
	assert_int_equal(memory[0x14], 0x90);
	points_remove(&points, GDB_SOFTWARE, 0x11, 1);
	assert_int_equal(points_place(&points, 4, out, which), 4);
	assert_int_equal(points_patch(&points, &guest), 0);
	assert_int_equal(memory[0x14], 0x90);
	assert_int_equal(memory[0x15], INT3);
}

static void what_needs_a_register_takes_it_from_software_breakpoints(void **state)
{
	for (u32 i = 0; i < 4; i++)
		assert_int_equal(points_insert(&points, GDB_SOFTWARE, 0x10 + i, 1, 4), 0);
	assert_int_equal(points_insert(&points, GDB_HARDWARE, 0x20, 1, 4), 0);
	assert_int_equal(points_insert(&points, GDB_WRITE, 0x30, 8, 4), 0);
	assert_int_equal(points_insert(&points, GDB_ACCESS, 0x40, 4, 4), 0);
	assert_int_equal(points_place(&points, 4, out, which), 4);
	assert_int_equal(out[0].address, 0x20);
	assert_int_equal(out[1].type, DEBUG_WRITE);
	assert_int_equal(out[1].length, 8);
	assert_int_equal(out[2].type, DEBUG_ACCESS);
	assert_int_equal(out[3].address, 0x10);
	assert_int_equal(points.point[which[3]].address, 0x10);
	assert_int_equal(points_insert(&points, GDB_HARDWARE, 0x21, 1, 4), 0);
	assert_int_equal(points_insert(&points, GDB_HARDWARE, 0x22, 1, 4), -ENOSPC);
	assert_int_equal(points_insert(&points, GDB_HARDWARE, 0x21, 1, 4), 0); /* it is there */
}

static void registers_of_the_guest_are_not_ours(void **state)
{
	assert_int_equal(points_insert(&points, GDB_HARDWARE, 0x20, 1, 1), 0);
	assert_int_equal(points_insert(&points, GDB_WRITE, 0x30, 1, 1), -ENOSPC);
	assert_int_equal(points_insert(&points, GDB_SOFTWARE, 0x10, 1, 1), 0);
	assert_int_equal(points_place(&points, 1, out, which), 1);
	assert_int_equal(points_patch(&points, &guest), 0);
	assert_int_equal(memory[0x10], INT3);
	assert_int_equal(points_place(&points, 0, out, which), 0); /* the guest has taken the last one */
	assert_int_equal(points.point[0].place, POINT_NOWHERE);
}

static void a_watchpoint_is_pieces_that_the_processor_can_watch(void **state)
{
	assert_int_equal(points_insert(&points, GDB_WRITE, 0x33, 8, 4), 0);
	assert_int_equal(points_place(&points, 4, out, which), 4); /* 33, 34 to 37, 38 to 39, 3a */
	for (u32 i = 0, at = 0x33; i < 4; at += out[i++].length) {
		assert_int_equal(out[i].address, at);
		assert_int_equal(out[i].address % out[i].length, 0);
		assert_int_equal(points.point[which[i]].whole, 0x33);
	}
	assert_int_equal(points_insert(&points, GDB_WRITE, 0x50, 1, 4), -ENOSPC);
	points_remove(&points, GDB_WRITE, 0x33, 8);
	assert_int_equal(points.count, 0);
	assert_int_equal(points_insert(&points, GDB_WRITE, 0x40, 32, 4), 0);
	points_remove(&points, GDB_WRITE, 0x40, 32);
	assert_int_equal(points_insert(&points, GDB_WRITE, 0x40, 33, 4), -EINVAL);
	assert_int_equal(points_insert(&points, GDB_WRITE, 0x40, 0, 4), -EINVAL);
	assert_int_equal(points_insert(&points, GDB_READ, 0x40, 4, 4), -ENOSYS);
}

static void an_int3_of_the_guest_is_its_own(void **state)
{
	assert_int_equal(points_insert(&points, GDB_SOFTWARE, 0x10, 1, 0), 0);
	assert_int_equal(points_place(&points, 0, out, which), 0);
	assert_null(points_find_int3(&points, 0x10, 0x10));
	assert_int_equal(points_patch(&points, &guest), 0);
	assert_non_null(points_find_int3(&points, 0x10, 0x10));
	assert_non_null(points_find_int3(&points, ALIAS + 0x10, 0x10)); /* executed by another address */
	assert_null(points_find_int3(&points, 0x20, 0x20));
	memory[0x10] = 0x55; /* the guest has patched its code */
	points_lift(&points, &guest);
	assert_int_equal(memory[0x10], 0x55);
	assert_int_equal(points_insert(&points, GDB_SOFTWARE, 0x900, 1, 0), 0);
	points_place(&points, 0, out, which);
	assert_int_equal(points_patch(&points, &guest), 1); /* nothing is mapped there */
}

static void any_points_leave_memory_as_it_was(void **state)
{
	u8 before[MEMORY];
	struct rng rng;

	rng_seed(&rng, 3);
	for (u32 i = 0; i < MEMORY; i++)
		memory[i] = (u8)rng_next(&rng);
	memcpy(before, memory, MEMORY);
	for (u32 i = 0; i < 20000; i++) {
		enum gdb_point type = (enum gdb_point)rng_below(&rng, GDB_POINTS);
		u64 address = rng_below(&rng, MEMORY) + rng_below(&rng, 2) * ALIAS;
		u32 length = 1 + rng_below(&rng, 9), registers = rng_below(&rng, 5), n;

		if (rng_chance(&rng, 60)) {
			int err = points_insert(&points, type, address, length, registers);

			assert_true(!err || err == -ENOSPC || (err == -ENOSYS && type == GDB_READ));
		} else {
			points_remove(&points, type, address, length);
		}
		n = points_place(&points, registers, out, which);
		assert_true(n <= registers);
		assert_int_equal(points_patch(&points, &guest), 0);
		for (u32 k = 0; k < points.count; k++)
			if (points.point[k].used && points.point[k].place == POINT_MEMORY)
				assert_int_equal(memory[points.point[k].address % ALIAS], INT3);
		points_lift(&points, &guest);
		assert_memory_equal(memory, before, MEMORY);
	}
}

#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_software_breakpoint_is_in_a_register_while_there_is_one),
		TEST(what_needs_a_register_takes_it_from_software_breakpoints),
		TEST(registers_of_the_guest_are_not_ours),
		TEST(a_watchpoint_is_pieces_that_the_processor_can_watch),
		TEST(an_int3_of_the_guest_is_its_own),
		TEST(any_points_leave_memory_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
