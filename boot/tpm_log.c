/* SPDX-License-Identifier: BSD-2-Clause */
/* See tpm_log.h. */
#include "boot/tpm_log.h"
#include "boot/bytes.h"
#include "lib/string.h"

/* TCG_PCR_EVENT: PCR, type, SHA-1, size, event */
#define EVENT_SIZE_AT 28u
#define EVENT_BYTES 32u
/* TCG_EfiSpecIDEventStruct, the first entry's event: behind the number of algorithms pairs of number and size */
#define SPEC_COUNT_AT (EVENT_BYTES + 24)
#define SPEC_ALGORITHMS_AT (EVENT_BYTES + 28)
/* TCG_PCR_EVENT2: PCR, type, number of digests, each an algorithm and its bytes; size, event */
#define EVENT2_COUNT_AT 8u
#define EVENT2_DIGESTS_AT 12u
#define ALGORITHMS_MAX 16u

/* The size of an entry at offset `at`, or 0. */
static uint64_t event_bytes(const uint8_t *log, uint64_t at, uint64_t limit)
{
	uint64_t bytes;

	if (at > limit || limit - at < EVENT_BYTES)
		return 0;
	bytes = EVENT_BYTES + (uint64_t)bytes_get_u32(log + at + EVENT_SIZE_AT);
	return bytes <= limit - at ? bytes : 0;
}

/* What the first entry says of an algorithm: the bytes of its digest, or 0. */
static uint32_t digest_bytes(const uint8_t *log, uint64_t limit, uint32_t algorithm)
{
	uint64_t end = event_bytes(log, 0, limit);
	uint32_t count, i;

	if (end < SPEC_ALGORITHMS_AT || memcmp(log + EVENT_BYTES, "Spec ID Event03", 16) != 0)
		return 0;
	count = bytes_get_u32(log + SPEC_COUNT_AT);
	if (count > ALGORITHMS_MAX || end - SPEC_ALGORITHMS_AT < 4 * count)
		return 0;
	for (i = 0; i < count; i++)
		if (bytes_get(log + SPEC_ALGORITHMS_AT + 4 * i, 2) == algorithm)
			return (uint32_t)bytes_get(log + SPEC_ALGORITHMS_AT + 4 * i + 2, 2);
	return 0;
}

/* The size of an entry of format 2 in `left` bytes, or 0. */
static uint64_t event2_bytes(const uint8_t *log, uint64_t limit, const uint8_t *event, uint64_t left)
{
	uint64_t at = EVENT2_DIGESTS_AT;
	uint32_t count, i;

	if (left < at)
		return 0;
	count = bytes_get_u32(event + EVENT2_COUNT_AT);
	if (count > ALGORITHMS_MAX)
		return 0;
	for (i = 0; i < count; i++) {
		uint32_t digest;

		if (left - at < 2)
			return 0;
		digest = digest_bytes(log, limit, (uint32_t)bytes_get(event + at, 2));
		if (!digest || left - at < 2 + digest)
			return 0;
		at += 2 + digest;
	}
	if (left - at < 4)
		return 0;
	at += 4 + (uint64_t)bytes_get_u32(event + at);
	return at <= left ? at : 0;
}

uint64_t tpm_log_bytes(enum tpm_log_format format, const uint8_t *log, uint64_t last, uint64_t limit)
{
	uint64_t bytes;

	if (last >= limit)
		return 0;
	/* the first entry of format 2 is one of format 1.2 */
	if (format == TPM_LOG_1_2 || last == 0)
		bytes = event_bytes(log, last, limit);
	else
		bytes = event2_bytes(log, limit, log + last, limit - last);
	return bytes ? last + bytes : 0;
}

uint64_t tpm_log_events_bytes(const uint8_t *log, uint64_t limit, const uint8_t *events,
			      uint64_t count)
{
	uint64_t bytes = 0, i;

	for (i = 0; i < count && bytes < limit; i++) {
		uint64_t event = event2_bytes(log, limit, events + bytes, limit - bytes);

		if (!event)
			return 0;
		bytes += event;
	}
	return i == count ? bytes : 0;
}
