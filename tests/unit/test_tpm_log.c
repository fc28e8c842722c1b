/* SPDX-License-Identifier: BSD-2-Clause */
/* The length of a TPM's event log, of both formats; logs that make no sense, cut off at every byte, with ASan behind them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/tpm_log.h"
#include "lib/types.h"

#define SHA1 4u
#define SHA256 11u
#define SPEC_BYTES 45u /* the first entry's event: two algorithms */

static uint8_t log_bytes[1024];
static uint64_t end, last;

static void put(uint64_t value, uint32_t bytes)
{
	for (; bytes--; value >>= 8)
		log_bytes[end++] = (uint8_t)value;
}

static void leave(uint32_t bytes)
{
	end += bytes;
}

/* The first entry of a log of format 2, and an entry of format 1.2 with such an event. */
static void put_first(void)
{
	memset(log_bytes, 0xee, sizeof(log_bytes));
	end = last = 0;
	put(0, 4);
	put(3, 4);
	leave(20);
	put(SPEC_BYTES - 8, 4);
	memcpy(log_bytes + end, "Spec ID Event03", 16);
	leave(16);
	leave(8);
	put(2, 4);
	put(SHA1, 2);
	put(20, 2);
	put(SHA256, 2);
	put(32, 2);
	put(0, 1);
}

static void put_event(uint32_t digests, uint32_t first, uint32_t second, uint32_t event)
{
	last = end;
	put(7, 4);
	put(8, 4);
	put(digests, 4);
	if (digests > 0) {
		put(first, 2);
		leave(first == SHA1 ? 20 : 32);
	}
	if (digests > 1) {
		put(second, 2);
		leave(second == SHA1 ? 20 : 32);
	}
	put(event, 4);
	leave(event);
}

static void log_ends_behind_its_last_entry(void **state)
{
	put_first();
	assert_int_equal(tpm_log_bytes(TPM_LOG_2, log_bytes, 0, sizeof(log_bytes)), end);
	put_event(2, SHA1, SHA256, 17);
	assert_int_equal(tpm_log_bytes(TPM_LOG_2, log_bytes, last, sizeof(log_bytes)), end);
	put_event(1, SHA256, 0, 0);
	assert_int_equal(tpm_log_bytes(TPM_LOG_2, log_bytes, last, sizeof(log_bytes)), end);
	put_event(0, 0, 0, 5);
	assert_int_equal(tpm_log_bytes(TPM_LOG_2, log_bytes, last, sizeof(log_bytes)), end);
	assert_int_equal(tpm_log_bytes(TPM_LOG_2, log_bytes, last, end), end);
	assert_int_equal(tpm_log_bytes(TPM_LOG_2, log_bytes, last, end - 1), 0);
}

static void log_of_the_older_format_has_sha_1_alone(void **state)
{
	put_first();
	last = end;
	leave(28);
	put(9, 4);
	leave(9);
	assert_int_equal(tpm_log_bytes(TPM_LOG_1_2, log_bytes, last, sizeof(log_bytes)), end);
	for (uint64_t limit = 0; limit < end; limit++)
		assert_int_equal(tpm_log_bytes(TPM_LOG_1_2, log_bytes, last, limit), 0);
}

static void entries_of_the_final_table_are_measured_by_the_logs_first(void **state)
{
	uint64_t first;

	put_first();
	first = end;
	put_event(2, SHA256, SHA1, 3);
	put_event(1, SHA1, 0, 100);
	assert_int_equal(tpm_log_events_bytes(log_bytes, sizeof(log_bytes), log_bytes + first, 0), 0);
	assert_int_equal(tpm_log_events_bytes(log_bytes, sizeof(log_bytes), log_bytes + first, 1), last - first);
	assert_int_equal(tpm_log_events_bytes(log_bytes, sizeof(log_bytes), log_bytes + first, 2), end - first);
	assert_int_equal(tpm_log_events_bytes(log_bytes, sizeof(log_bytes), log_bytes + first, 3), 0);
	assert_int_equal(tpm_log_events_bytes(log_bytes, end - first - 1, log_bytes + first, 2), 0);
	assert_int_equal(tpm_log_events_bytes(log_bytes, 16, log_bytes + first, UINT64_MAX), 0);
}

static void check(uint64_t at, uint32_t value, uint32_t bytes, const char *why)
{
	uint8_t saved[4];

	memcpy(saved, log_bytes + at, bytes);
	memcpy(log_bytes + at, &value, bytes);
	if (tpm_log_bytes(TPM_LOG_2, log_bytes, last, sizeof(log_bytes)))
		fail_msg("%s", why);
	memcpy(log_bytes + at, saved, bytes);
}

static void logs_that_make_no_sense_are_refused(void **state)
{
	put_first();
	put_event(2, SHA1, SHA256, 17);
	check(28, 0xffffffff, 4, "the first entry is longer than all");
	check(28, 20, 4, "the first entry is too short");
	check(32, 'X', 1, "the first entry is of another kind");
	check(32 + 24, 3, 4, "more algorithms than the entry holds");
	check(32 + 24, 0xffffffff, 4, "algorithms without end");
	check(32 + 28 + 2, 0, 2, "a digest of no bytes");
	check(32 + 28 + 6, 0xffff, 2, "a digest longer than all");
	check(last + 8, 0xffffffff, 4, "digests without end");
	check(last + 12, 0x1234, 2, "an algorithm that the first entry does not have");
	check(end - 21, 0xffffffff, 4, "an event longer than all");
	assert_int_equal(tpm_log_bytes(TPM_LOG_2, log_bytes, UINT64_MAX, sizeof(log_bytes)), 0);
	assert_int_equal(tpm_log_bytes(TPM_LOG_2, log_bytes, last, sizeof(log_bytes)), end);
	for (uint64_t limit = 0; limit < end; limit++) {
		uint8_t *exact = malloc(limit + 1);

		memcpy(exact, log_bytes, limit);
		assert_int_equal(tpm_log_bytes(TPM_LOG_2, exact, last, limit), 0);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_ends_behind_its_last_entry),
		cmocka_unit_test(log_of_the_older_format_has_sha_1_alone),
		cmocka_unit_test(entries_of_the_final_table_are_measured_by_the_logs_first),
		cmocka_unit_test(logs_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
