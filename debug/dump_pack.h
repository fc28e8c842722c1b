/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a dump of the guest's memory is made of on the line (docs/debugging.md, "Dumps"): pages, packed, and frames with checksums. Pure
 * functions over memory. tools/umbra-dump is the other end.
 */
#ifndef DEBUG_DUMP_PACK_H
#define DEBUG_DUMP_PACK_H

#include "lib/types.h"

/* CRC-32 of ISO 3309 (zlib's), over the bytes behind those that gave crc; 0 to begin with. */
u32 dump_crc(u32 crc, const void *bytes, u32 count);

#define DUMP_PACKED_MAX ((u32)PAGE_SIZE)

/* All of it is 0. */
bool dump_is_zero(const u8 page[PAGE_SIZE]);

/*
 * Packs a page into at most DUMP_PACKED_MAX bytes; returns how many. PAGE_SIZE: they are the page as it is. Else tokens: n below 128, n + 1
 * bytes follow as they are; 128 + n, and a distance d of two bytes, the lower one first: n + DUMP_MATCH_MIN bytes as they stand d before, one by
 * one, so that they may overlap. One caller at a time.
 */
#define DUMP_MATCH_MIN 4u
#define DUMP_MATCH_MAX (DUMP_MATCH_MIN + 127u)
#define DUMP_LITERALS_MAX 128u
u32 dump_pack(const u8 page[PAGE_SIZE], u8 out[DUMP_PACKED_MAX]);

/* Numbers are little-endian. Behind it length bytes, and dump_crc() of header and these. */
struct dump_header {
	u8 sync[2]; /* DUMP_SYNC_0, DUMP_SYNC_1 */
	u8 type;    /* enum dump_type */
	u8 zero;
	u32 number; /* from 0 on */
	u16 length;
	u16 check; /* the lower half of dump_crc() of what is before */
} PACKED;
_Static_assert(sizeof(struct dump_header) == 12, "tools/umbra-dump");

#define DUMP_SYNC_0 0xd5u
#define DUMP_SYNC_1 0x4du

enum dump_type {
	DUMP_BEGIN = 'B',  /* struct begin of commands_dump.c */
	DUMP_CPU = 'C',    /* struct cpu, there */
	DUMP_RAM = 'R',    /* u64 address, u64 bytes: there is memory; a page of it that does not come is 0 */
	DUMP_PAGES = 'P',  /* one behind the other: u64 address, u16 length, dump_pack()'s bytes */
	DUMP_FAILED = 'F', /* u64 address: this page could not be read */
	DUMP_END = 'E',    /* u64: pages that were sent */
};

/* What the other end says: one of these, the lowest byte of the frame's number, and that byte's complement. */
enum dump_answer { DUMP_GOOD = 'A', DUMP_AGAIN = 'N', DUMP_STOP = 'S' };

struct dump_header dump_make_header(enum dump_type type, u32 number, u16 length);

/* Takes one byte of an answer after the other; the whole one, or 0: it is not there yet. window is the caller's, 0 first. */
u8 dump_take_answer(u32 *window, u8 byte, u32 number);

#endif
