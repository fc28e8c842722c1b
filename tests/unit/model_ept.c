/* SPDX-License-Identifier: BSD-2-Clause */
/* The naive EPT walk; every table of the manual is written out, one entry kind at a time. */
#include "tests/unit/model_ept.h"

static bool bit(u64 value, u32 n)
{
	return (value >> n) & 1;
}

/* Some bit from high down to low is set. */
static bool any(u64 value, u32 high, u32 low)
{
	for (u32 i = low; i <= high && i < 64; i++)
		if (bit(value, i))
			return true;
	return false;
}

static u64 field(u64 value, u32 high, u32 low)
{
	u64 out = 0;

	for (u32 i = low; i <= high; i++)
		out |= (value >> i & 1) << i;
	return out;
}

static bool accessed_dirty(const struct model_ept_state *s)
{
	return bit(s->eptp, 6);
}

static bool present(const struct model_ept_state *s, u64 e)
{
	return any(e, 2, 0) || (s->mode_based && bit(e, 10));
}

static bool leaf(u32 level, u64 e)
{
	switch (level) {
	case 1: return true;
	case 2: return bit(e, 7);
	case 3: return bit(e, 7);
	default: return false;
	}
}

static u32 shift_of(u32 level)
{
	switch (level) {
	case 1: return 12;
	case 2: return 21;
	case 3: return 30;
	case 4: return 39;
	default: return 48;
	}
}

/* Bits that must be zero in an entry of this level, by the tables of formats. */
static bool reserved(const struct model_ept_state *s, u32 level, u64 e)
{
	if (any(e, 51, s->maxphyaddr))
		return true;
	switch (level) {
	case 5: /* PML5E and PML4E: 7:3 */
	case 4: return any(e, 7, 3);
	case 3: /* a page of 1 GiB: 29:12; else 7:3 */
		if (!bit(e, 7))
			return any(e, 6, 3);
		return !s->pages_1g || any(e, 29, 12);
	case 2: /* a page of 2 MiB: 20:12; else 7:3 */
		if (!bit(e, 7))
			return any(e, 6, 3);
		return !s->pages_2m || any(e, 20, 12);
	default: return false;
	}
}

static bool reserved_memtype(u32 level, u64 e)
{
	u32 type = e >> 3 & 7;

	return leaf(level, e) && (type == 2 || type == 3 || type == 7);
}

/* Section 28.3.3.1 */
static bool misconfigured(const struct model_ept_state *s, u32 level, u64 e)
{
	if (!bit(e, 0) && bit(e, 1))
		return true;
	if (!bit(e, 0) && !s->execute_only && (bit(e, 2) || (s->mode_based && bit(e, 10))))
		return true;
	return present(s, e) && (reserved(s, level, e) || reserved_memtype(level, e));
}

/* Bits 2:0 of the qualification: the kind of access as the tables see it. */
static void kind_of(const struct model_ept_state *s, struct model_ept_access a, bool *read, bool *write)
{
	*read = a.read || a.paging;
	*write = a.write || (a.paging && accessed_dirty(s));
}

static void violation(const struct model_ept_state *s, struct model_ept_access a, bool not_present,
		      struct model_ept_result *r)
{
	bool read, write;

	kind_of(s, a, &read, &write);
	r->status = MODEL_EPT_VIOLATION;
	if (read)
		r->qualification |= 1;
	if (write)
		r->qualification |= 2;
	if (a.fetch)
		r->qualification |= 4;
	if (!not_present) {
		if (r->r)
			r->qualification |= 8;
		if (r->w)
			r->qualification |= 16;
		if (r->x)
			r->qualification |= 32;
		if (r->xu && s->mode_based)
			r->qualification |= 64;
	}
	if (a.linear) {
		r->qualification |= 128;
		if (!a.paging)
			r->qualification |= 256;
	}
}

/* Section 28.3.3.2 */
static bool forbidden(const struct model_ept_state *s, struct model_ept_access a, const struct model_ept_result *r)
{
	bool read, write;

	kind_of(s, a, &read, &write);
	if (read && !r->r)
		return true;
	if (write && !r->w)
		return true;
	if (!a.fetch)
		return false;
	if (s->mode_based && a.user)
		return !r->xu;
	return !r->x;
}

static void translate(const struct model_ept_state *s, struct model_ept_access a, u64 gpa, u32 level, u64 e,
		      struct model_ept_result *r)
{
	bool read, write;

	kind_of(s, a, &read, &write);
	r->level = level;
	r->memtype = e >> 3 & 7;
	r->ignore_pat = bit(e, 6);
	r->physical = field(e, 51, shift_of(level)) | field(gpa, shift_of(level) - 1, 0);
	if (!accessed_dirty(s))
		return;
	for (u32 i = 0; i < r->count; i++)
		r->entries[i].after |= 1 << 8;
	if (write)
		r->entries[r->count - 1].after |= 1 << 9;
}

void model_ept_walk(const struct model_ept_state *s, const struct model_memory *m, u64 gpa,
		    struct model_ept_access a, struct model_ept_result *r)
{
	u32 level = (s->eptp >> 3 & 7) + 1;
	u64 table = field(s->eptp, 51, 12);

	*r = (struct model_ept_result){.r = true, .w = true, .x = true, .xu = true};
	if (level == 4 && any(gpa, 63, 48)) {
		violation(s, a, true, r);
		return;
	}
	for (;; level--) {
		struct model_entry *e = &r->entries[r->count++];

		e->level = level;
		e->address = table + (gpa >> shift_of(level) & 511) * 8;
		e->value = e->after = m->read(m->ctx, e->address, 8);
		if (misconfigured(s, level, e->value)) {
			r->status = MODEL_EPT_MISCONFIGURATION;
			return;
		}
		if (!present(s, e->value)) {
			violation(s, a, true, r);
			return;
		}
		r->r = r->r && bit(e->value, 0);
		r->w = r->w && bit(e->value, 1);
		r->x = r->x && bit(e->value, 2);
		r->xu = r->xu && bit(e->value, 10);
		if (leaf(level, e->value))
			break;
		table = field(e->value, 51, 12);
	}
	if (forbidden(s, a, r))
		violation(s, a, false, r);
	else
		translate(s, a, gpa, level, r->entries[r->count - 1].value, r);
}
