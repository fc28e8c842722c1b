/* SPDX-License-Identifier: BSD-2-Clause */
/* See points.h. */
#include "debug/points.h"

#define WATCH_MAX 32u
#define PIECE_MAX 8u

static bool is_software(const struct point *point)
{
	return point->type == GDB_SOFTWARE;
}

/* Registers that hardware breakpoints and watchpoints need. */
static u32 registers_needed(const struct points *p)
{
	u32 n = 0;

	for (u32 i = 0; i < p->count; i++)
		n += p->point[i].used && !is_software(&p->point[i]);
	return n;
}

static bool is_there(const struct points *p, enum gdb_point type, u64 address, u32 length)
{
	for (u32 i = 0; i < p->count; i++) {
		const struct point *point = &p->point[i];

		if (point->used && point->type == type && point->whole == address && point->whole_length == length)
			return true;
	}
	return false;
}

static struct point *take_free(struct points *p)
{
	for (u32 i = 0; i < p->count; i++)
		if (!p->point[i].used)
			return &p->point[i];
	return p->count < POINTS_MAX ? &p->point[p->count++] : NULL;
}

/* The largest piece that begins at address, is aligned and does not go beyond length. */
static u32 piece_at(u64 address, u32 length)
{
	u32 piece = PIECE_MAX;

	while (address % piece || piece > length)
		piece /= 2;
	return piece;
}

static u32 count_pieces(u64 address, u32 length)
{
	u32 n = 0;

	for (u32 piece; length; address += piece, length -= piece, n++)
		piece = piece_at(address, length);
	return n;
}

static u32 count_free(const struct points *p)
{
	u32 n = POINTS_MAX - p->count;

	for (u32 i = 0; i < p->count; i++)
		n += !p->point[i].used;
	return n;
}

int points_insert(struct points *p, enum gdb_point type, u64 address, u32 length, u32 registers)
{
	bool watches = type == GDB_WRITE || type == GDB_ACCESS;
	u32 left = watches ? length : 1, pieces;
	u64 at = address;

	if (!watches && type != GDB_SOFTWARE && type != GDB_HARDWARE)
		return -ENOSYS;
	if (!left || left > WATCH_MAX)
		return -EINVAL;
	if (is_there(p, type, address, length))
		return 0;
	pieces = count_pieces(at, left);
	if (count_free(p) < pieces || (type != GDB_SOFTWARE && registers_needed(p) + pieces > registers))
		return -ENOSPC;
	while (left) {
		struct point *point = take_free(p);
		u32 piece = piece_at(at, left);

		*point = (struct point){.used = true, .type = (u8)type, .length = (u8)piece, .address = at};
		point->whole = address;
		point->whole_length = length;
		at += piece;
		left -= piece;
	}
	return 0;
}

void points_remove(struct points *p, enum gdb_point type, u64 address, u32 length)
{
	for (u32 i = 0; i < p->count; i++) {
		struct point *point = &p->point[i];

		if (point->type == type && point->whole == address && point->whole_length == length)
			point->used = false;
	}
	while (p->count && !p->point[p->count - 1].used)
		p->count--;
}

static struct debug_point in_register(const struct point *point)
{
	u8 type = point->type == GDB_WRITE  ? DEBUG_WRITE :
		  point->type == GDB_ACCESS ? DEBUG_ACCESS :
					      DEBUG_EXECUTE;

	return (struct debug_point){point->address, type, point->length};
}

u32 points_place(struct points *p, u32 registers, struct debug_point out[DEBUG_POINTS_MAX],
		 u8 which[DEBUG_POINTS_MAX])
{
	u32 n = 0;

	registers = MIN(registers, DEBUG_POINTS_MAX);
	for (u32 software = 0; software < 2; software++) {
		for (u32 i = 0; i < p->count; i++) {
			struct point *point = &p->point[i];

			if (!point->used || is_software(point) != software)
				continue;
			point->place = n < registers ? POINT_REGISTER : software ? POINT_MEMORY : POINT_NOWHERE;
			if (point->place != POINT_REGISTER)
				continue;
			out[n] = in_register(point);
			which[n++] = (u8)i;
		}
	}
	return n;
}

/* Two points may lie in one byte, by two addresses: the second finds the INT3 of the first, and is lifted before it. */
u32 points_patch(struct points *p, const struct points_memory *memory)
{
	u32 failed = 0;

	for (u32 i = 0; i < p->count; i++) {
		struct point *point = &p->point[i];

		if (!point->used || point->place != POINT_MEMORY || point->patched)
			continue;
		if (memory->translate(memory->context, point->address, &point->physical) ||
		    memory->read(memory->context, point->physical, &point->original) ||
		    memory->write(memory->context, point->physical, INT3))
			failed++;
		else
			point->patched = true;
	}
	return failed;
}

void points_lift(struct points *p, const struct points_memory *memory)
{
	for (u32 i = p->count; i-- > 0;) {
		struct point *point = &p->point[i];
		u8 byte;

		if (!point->patched)
			continue;
		point->patched = false;
		if (memory->read(memory->context, point->physical, &byte) || byte != INT3)
			continue; /* the guest has put other code there, or taken the memory away */
		if (memory->write(memory->context, point->physical, point->original))
			continue;
	}
}

const struct point *points_find_int3(const struct points *p, u64 linear, u64 physical)
{
	const struct point *found = NULL;

	for (u32 i = 0; i < p->count; i++) {
		const struct point *point = &p->point[i];

		if (!point->patched)
			continue;
		if (point->address == linear)
			return point;
		if (point->physical == physical)
			found = point;
	}
	return found;
}
