/* SPDX-License-Identifier: BSD-2-Clause */
/* See dump_pack.h. */
#include "debug/dump_pack.h"

#include "lib/string.h"

#define HASH_BITS 11u

/* A word at any address, without a call. */
struct unaligned {
	union {
		u64 wide;
		u32 narrow;
	};
} PACKED;

u32 dump_crc(u32 crc, const void *bytes, u32 count)
{
	static const u32 table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const u8 *at = bytes;

	crc = ~crc;
	while (count--) {
		crc ^= *at++;
		crc = table[crc & 15] ^ crc >> 4;
		crc = table[crc & 15] ^ crc >> 4;
	}
	return ~crc;
}

bool dump_is_zero(const u8 page[PAGE_SIZE])
{
	for (u32 i = 0; i < PAGE_SIZE; i += sizeof(u64))
		if (((const struct unaligned *)(page + i))->wide)
			return false;
	return true;
}

/* --- packing ------------------------------------------------------------------------------- */

struct packer {
	const u8 *page;
	u8 *out;
	u32 used, literals; /* bytes of out; where the bytes begin that are not packed yet */
	bool full;          /* it would not become shorter */
};

static u32 hash_of(const u8 *at)
{
	return ((const struct unaligned *)at)->narrow * 0x9e3779b1u >> (32 - HASH_BITS);
}

static void put(struct packer *p, const u8 *bytes, u32 count)
{
	p->full |= p->used + count >= DUMP_PACKED_MAX;
	if (p->full)
		return;
	memcpy(p->out + p->used, bytes, count);
	p->used += count;
}

static void put_literals(struct packer *p, u32 end)
{
	while (p->literals < end) {
		u32 count = MIN(end - p->literals, DUMP_LITERALS_MAX);
		u8 token = (u8)(count - 1);

		put(p, &token, 1);
		put(p, p->page + p->literals, count);
		p->literals += count;
	}
}

static void put_match(struct packer *p, u32 at, u32 from, u32 count)
{
	u32 distance = at - from;
	u8 token[3] = {(u8)(0x80 | (count - DUMP_MATCH_MIN)), (u8)distance, (u8)(distance >> 8)};

	put_literals(p, at);
	put(p, token, sizeof(token));
	p->literals = at + count;
}

static u32 match_length(const u8 *page, u32 at, u32 from)
{
	u32 most = MIN((u32)PAGE_SIZE - at, DUMP_MATCH_MAX), count = 0;

	while (count < most && page[at + count] == page[from + count])
		count++;
	return count;
}

u32 dump_pack(const u8 page[PAGE_SIZE], u8 out[DUMP_PACKED_MAX])
{
	static u16 seen[1u << HASH_BITS]; /* where these four bytes were last, and 1 */
	struct packer p = {.page = page, .out = out};

	memset(seen, 0, sizeof(seen));
	for (u32 at = 0; at + DUMP_MATCH_MIN <= PAGE_SIZE && !p.full;) {
		u32 hash = hash_of(page + at), from = seen[hash], count;

		seen[hash] = (u16)(at + 1);
		count = from ? match_length(page, at, from - 1) : 0;
		if (count < DUMP_MATCH_MIN) {
			at++;
			continue;
		}
		put_match(&p, at, from - 1, count);
		at += count;
	}
	put_literals(&p, PAGE_SIZE);
	if (!p.full)
		return p.used;
	memcpy(out, page, PAGE_SIZE);
	return PAGE_SIZE;
}

/* --- frames --------------------------------------------------------------------------------- */

struct dump_header dump_make_header(enum dump_type type, u32 number, u16 length)
{
	struct dump_header h = {
		.sync = {DUMP_SYNC_0, DUMP_SYNC_1},
		.type = (u8)type,
		.number = number,
		.length = length,
	};

	h.check = (u16)dump_crc(0, &h, offsetof(struct dump_header, check));
	return h;
}

u8 dump_take_answer(u32 *window, u8 byte, u32 number)
{
	u8 low = (u8)number, answer;

	*window = (*window << 8 | byte) & 0xffffff;
	answer = (u8)(*window >> 16);
	if ((answer != DUMP_GOOD && answer != DUMP_AGAIN && answer != DUMP_STOP) ||
	    (*window & 0xffff) != ((u32)low << 8 | (u8)~low))
		return 0;
	*window = 0;
	return answer;
}
