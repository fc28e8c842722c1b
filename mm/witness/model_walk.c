/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The naive page walk. Every table of the manual is written out as it stands
 * there, one entry kind at a time, without sharing between the paging modes.
 */
#include "mm/witness/model_walk.h"

static u64 bits(u32 high, u32 low)
{
	u64 mask = 0;

	for (u32 i = low; i <= high && i < 64; i++)
		mask |= 1ull << i;
	return mask;
}

static bool bit(u64 value, u32 n)
{
	return (value >> n) & 1;
}

static u32 index_shift(const struct model_state *s, u32 level)
{
	if (s->mode == MODEL_32)
		return level == 2 ? 22 : 12;
	return 12 + 9 * (level - 1);
}

u64 model_page_bytes(const struct model_state *s, u32 level)
{
	return 1ull << index_shift(s, level);
}

bool model_is_leaf(const struct model_state *s, u32 level, u64 entry)
{
	if (level == 1)
		return true;
	if (s->mode == MODEL_32)
		return level == 2 && s->pse && bit(entry, 7);
	if (s->mode == MODEL_PAE)
		return level == 2 && bit(entry, 7);
	return (level == 2 || level == 3) && bit(entry, 7);
}

/* SDM vol. 3 tables 4-4, 4-5, 4-6. PSE-36 gives 4 MiB pages up to 40 address bits. */
static bool reserved_32(const struct model_state *s, u32 level, u64 entry)
{
	u32 width = s->maxphyaddr < 40 ? s->maxphyaddr : 40;

	if (!model_is_leaf(s, level, entry) || level == 1)
		return false;
	return entry & bits(21, width - 19);
}

/* SDM vol. 3 tables 4-9, 4-10, 4-11 */
static bool reserved_pae(const struct model_state *s, u32 level, u64 entry)
{
	u64 mask = bits(62, s->maxphyaddr);

	if (!s->nxe)
		mask |= 1ull << 63;
	if (level == 2 && bit(entry, 7))
		mask |= bits(20, 13);
	return entry & mask;
}

/* SDM vol. 3 tables 4-14 to 4-20 */
static bool reserved_long(const struct model_state *s, u32 level, u64 entry)
{
	u64 mask = s->maxphyaddr < 52 ? bits(51, s->maxphyaddr) : 0;

	if (!s->nxe)
		mask |= 1ull << 63;
	if (level >= 4)
		mask |= 1ull << 7;
	if (level == 3 && bit(entry, 7))
		mask |= s->pages_1g ? bits(29, 13) : 1ull << 7;
	if (level == 2 && bit(entry, 7))
		mask |= bits(20, 13);
	return entry & mask;
}

bool model_reserved(const struct model_state *s, u32 level, u64 entry)
{
	if (!bit(entry, 0))
		return false;
	if (s->mode == MODEL_32)
		return reserved_32(s, level, entry);
	if (s->mode == MODEL_PAE)
		return reserved_pae(s, level, entry);
	return reserved_long(s, level, entry);
}

u64 model_entry_address(const struct model_state *s, u32 level, u64 entry)
{
	if (s->mode == MODEL_32) {
		if (level == 2 && model_is_leaf(s, level, entry))
			return (entry & bits(31, 22)) | (entry & bits(20, 13)) << 19;
		return entry & bits(31, 12);
	}
	if (model_is_leaf(s, level, entry))
		return entry & bits(51, index_shift(s, level));
	return entry & bits(51, 12);
}

static u32 pat_index(u32 level, u64 entry)
{
	return bit(entry, 3) | bit(entry, 4) << 1 | bit(entry, level == 1 ? 7 : 12) << 2;
}

bool model_allowed(const struct model_state *s, bool w, bool u, bool x, struct model_access a)
{
	bool nx_on = s->nxe && s->mode != MODEL_32;

	if (a.user) {
		if (!u)
			return false;
		if (a.fetch)
			return !nx_on || x;
		return !a.write || w;
	}
	if (a.fetch) {
		if (u && s->smep)
			return false;
		return !nx_on || x;
	}
	if (u && s->smap && (!a.ac || a.implicit))
		return false;
	return !a.write || w || !s->wp;
}

bool model_key_forbids(const struct model_state *s, bool u, u32 key, struct model_access a)
{
	u32 rights = u ? s->pkru : s->pkrs;
	bool ad = bit(rights, 2 * key);
	bool wd = bit(rights, 2 * key + 1);

	if (s->mode != MODEL_4L && s->mode != MODEL_5L)
		return false;
	if (u ? !s->pke : !s->pks)
		return false;
	if (a.fetch)
		return false;
	if (ad)
		return true;
	if (!wd || !a.write)
		return false;
	return a.user || s->wp;
}

static u32 error_code(const struct model_state *s, struct model_access a, bool present, bool reserved)
{
	bool pae = s->mode != MODEL_32;

	return (present ? 1 : 0) | (a.write ? 2 : 0) | (a.user ? 4 : 0) | (reserved ? 8 : 0) |
	       (a.fetch && (s->smep || (pae && s->nxe)) ? 16 : 0);
}

static void give_fault(const struct model_state *s, struct model_access a, bool present, bool reserved,
		       struct model_result *r)
{
	r->fault = true;
	r->error = error_code(s, a, present, reserved);
}

static void finish(const struct model_state *s, u64 gva, struct model_access a, u32 level, u64 entry,
		   struct model_result *r)
{
	bool key_forbids;

	r->key = entry >> 59 & 15;
	key_forbids = model_key_forbids(s, r->u, r->key, a);
	if (key_forbids || !model_allowed(s, r->w, r->u, r->x, a)) {
		give_fault(s, a, true, false, r);
		if (key_forbids) /* whether or not something else forbids it too */
			r->error |= 32;
		return;
	}
	r->level = level;
	r->pat_index = pat_index(level, entry);
	r->physical = model_entry_address(s, level, entry) | (gva & (model_page_bytes(s, level) - 1));
	for (u32 i = 0; i < r->count; i++)
		r->entries[i].after |= 1ull << 5;
	if (a.write)
		r->entries[r->count - 1].after |= 1ull << 6;
}

static void walk_tables(const struct model_state *s, const struct model_memory *m, u64 gva, struct model_access a,
			u64 table, u32 level, struct model_result *r)
{
	for (;; level--) {
		u64 index = (gva >> index_shift(s, level)) & (s->mode == MODEL_32 ? 1023 : 511);
		struct model_entry *e = &r->entries[r->count++];

		e->level = level;
		e->address = table + index * r->size;
		e->value = m->read(m->ctx, e->address, r->size);
		e->after = e->value;
		if (!bit(e->value, 0)) {
			give_fault(s, a, false, false, r);
			return;
		}
		if (model_reserved(s, level, e->value)) {
			give_fault(s, a, true, true, r);
			return;
		}
		r->w = r->w && bit(e->value, 1);
		r->u = r->u && bit(e->value, 2);
		if (s->mode != MODEL_32 && s->nxe && bit(e->value, 63))
			r->x = false;
		if (model_is_leaf(s, level, e->value)) {
			finish(s, gva, a, level, e->value, r);
			return;
		}
		table = model_entry_address(s, level, e->value);
	}
}

void model_walk(const struct model_state *s, const struct model_memory *m, u64 gva, struct model_access a,
		struct model_result *r)
{
	*r = (struct model_result){.w = true, .u = true, .x = true, .size = 8};
	switch (s->mode) {
	case MODEL_OFF: r->physical = gva & 0xffffffff; return;
	case MODEL_32:
		r->size = 4;
		walk_tables(s, m, gva & 0xffffffff, a, s->cr3 & bits(31, 12), 2, r);
		return;
	case MODEL_PAE:
		if (!bit(s->pdpte[(gva >> 30) & 3], 0)) {
			give_fault(s, a, false, false, r);
			return;
		}
		walk_tables(s, m, gva & 0xffffffff, a, s->pdpte[(gva >> 30) & 3] & bits(51, 12), 2, r);
		return;
	case MODEL_4L: walk_tables(s, m, gva, a, s->cr3 & bits(51, 12), 4, r); return;
	case MODEL_5L: walk_tables(s, m, gva, a, s->cr3 & bits(51, 12), 5, r); return;
	}
}
