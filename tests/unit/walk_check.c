/* SPDX-License-Identifier: BSD-2-Clause */
/* The comparison of walker and model; see tests/unit/walk_check.h. */
#include "tests/unit/host.h"

#include <stdio.h>
#include <string.h>

#include "lib/x86.h"
#include "mm/phys.h"
#include "tests/unit/walk_check.h"

#define HPA_SHIFT 0x1000000ull /* host addresses differ from the guest's */

u8 *walk_ram;
u64 walk_count;
struct region_map walk_regions;

static u64 read_memory(void *ctx, u64 address, u32 size)
{
	u64 value = ~0ull;

	if (address - WALK_RAM_BASE < WALK_RAM_PAGES * PAGE_SIZE)
		memcpy(&value, walk_ram + (address - WALK_RAM_BASE), size);
	return size == 4 ? (u32)value : value;
}

const struct model_memory walk_memory = {.read = read_memory};

int walk_check_setup(void **state)
{
	host_arena_create_at(WALK_RAM_BASE + HPA_SHIFT, WALK_RAM_PAGES * PAGE_SIZE);
	walk_ram = phys_to_virt(hpa(WALK_RAM_BASE + HPA_SHIFT));
	region_init(&walk_regions);
	assert_int_equal(region_add(&walk_regions, WALK_RAM_BASE >> 12, WALK_RAM_PAGES,
				    (WALK_RAM_BASE + HPA_SHIFT) >> 12, REGION_RAM),
			 0);
	assert_int_equal(
		region_add(&walk_regions, (WALK_RAM_BASE >> 12) + WALK_RAM_PAGES, 16, 0x3000, REGION_HIDDEN), 0);
	region_seal(&walk_regions);
	return 0;
}

int walk_check_teardown(void **state)
{
	printf("%llu walks compared\n", (unsigned long long)walk_count);
	host_arena_destroy();
	return 0;
}

struct gpt_context walk_context(const struct model_state *s)
{
	static const u32 modes[] = {
		[MODEL_OFF] = GPT_NONE, [MODEL_32] = GPT_32, [MODEL_PAE] = GPT_PAE,
		[MODEL_4L] = GPT_4L,    [MODEL_5L] = GPT_5L,
	};
	struct gpt_context c = {
		.regions = &walk_regions,
		.mode = modes[s->mode],
		.phys_bits = s->maxphyaddr,
		.cr3 = s->cr3,
		.wp = s->wp,
		.smep = s->smep,
		.smap = s->smap,
		.nx = s->nxe,
		.pse = s->pse,
		.pages_1g = s->pages_1g,
		.pke = s->pke,
		.pks = s->pks,
		.pkru = s->pkru,
		.pkrs = s->pkrs,
	};

	memcpy(c.pdpte, s->pdpte, sizeof(c.pdpte));
	return c;
}

static void *entry_memory(const struct model_entry *e)
{
	return e->address - WALK_RAM_BASE < WALK_RAM_PAGES * PAGE_SIZE ? walk_ram + (e->address - WALK_RAM_BASE) :
									 NULL;
}

#define EXPECT(what, have, want) \
	do { \
		if ((u64)(have) != (u64)(want)) { \
			printf("%s: walker %#llx, model %#llx\n", what, (unsigned long long)(have), \
			       (unsigned long long)(want)); \
			return false; \
		} \
	} while (0)

static bool compare_entries(const struct gpt_walk *w, const struct model_result *r, bool set_ad)
{
	for (u32 i = 0; i < r->count; i++) {
		const struct model_entry *e = &r->entries[i];

		EXPECT("table", gpt_walk_table(w, e->level) >> 12, e->address >> 12);
		EXPECT("slot",
		       !w->step[e->level].slot || (((u64)w->step[e->level].slot ^ e->address) & 0xfff) == 0, true);
		EXPECT("entry", w->step[e->level].entry, set_ad ? e->after : e->value);
	}
	if (r->count) {
		EXPECT("last level", w->last_level, r->entries[r->count - 1].level);
		if (w->top_level != 3 || r->entries[0].level != 2) /* PAE may count its PDPTE */
			EXPECT("top level", w->top_level, r->entries[0].level);
	}
	return true;
}

static bool compare_role(const struct gpt_walk *w, const struct model_result *r, bool nx)
{
	u32 access = ACC_ALL;

	for (u32 i = 0; i < r->count; i++) {
		u64 e = r->entries[i].value;

		EXPECT("rights above", gpt_access_above(w, r->entries[i].level), access);
		if (!(e & PTE_W))
			access &= ~(u32)ACC_W;
		if (!(e & PTE_U))
			access &= ~(u32)ACC_U;
		if (nx && (e & PTE_NX))
			access &= ~(u32)ACC_X;
	}
	return true;
}

static bool compare_result(const struct model_state *s, const struct gpt_walk *w, enum gpt_status status,
			   const struct model_result *r, bool set_ad)
{
	EXPECT("status", status, r->fault ? GPT_FAULT : GPT_OK);
	if (!compare_entries(w, r, set_ad && !r->fault))
		return false;
	if (!compare_role(w, r, s->nxe && s->mode != MODEL_32))
		return false;
	if (r->fault) {
		EXPECT("error code", w->error, r->error);
		return true;
	}
	EXPECT("gfn", w->gfn, r->physical >> 12);
	EXPECT("leaf level", w->leaf_level, r->level);
	EXPECT("rights", w->access, (r->w ? ACC_W : 0) | (r->u ? ACC_U : 0) | (r->x ? ACC_X : 0));
	if (r->count)
		EXPECT("dirty", w->dirty,
		       ((set_ad ? r->entries[r->count - 1].after : r->entries[r->count - 1].value) & PTE_D) != 0);
	return true;
}

/* Entries of the walk, as the guest's memory must hold them afterwards. */
static bool compare_memory(const struct model_result *r, bool marked)
{
	for (u32 i = 0; i < r->count; i++) {
		const struct model_entry *e = &r->entries[i];
		u64 want = 0;

		/* a table may be read at two levels: both marks go to one entry then */
		for (u32 k = 0; k < r->count; k++)
			if (r->entries[k].address == e->address)
				want |= marked ? r->entries[k].after : r->entries[k].value;
		if (entry_memory(e))
			EXPECT("memory", read_memory(NULL, e->address, r->size), want);
	}
	return true;
}

static void restore_memory(const struct model_result *r)
{
	for (u32 i = 0; i < r->count; i++)
		if (entry_memory(&r->entries[i]))
			memcpy(entry_memory(&r->entries[i]), &r->entries[i].value, r->size);
}

/* In a walk that reads one entry twice, what it finds the second time is not defined to a bit. */
static bool reads_entry_twice(const struct model_result *r)
{
	for (u32 i = 0; i < r->count; i++)
		for (u32 k = 0; k < i; k++)
			if (r->entries[i].address == r->entries[k].address)
				return true;
	return false;
}

/*
 * The walker takes a table outside of RAM for one of reserved bits. The model's
 * all-ones entry is that by itself, except at the lowest level of a CPU with 52
 * address bits.
 */
static void refuse_tables_outside_of_ram(struct model_result *r, const struct model_state *s, struct model_access a)
{
	if (!r->count || entry_memory(&r->entries[r->count - 1]))
		return;
	r->fault = true;
	r->error = PF_P | PF_RSVD | (a.write ? PF_W : 0) | (a.user ? PF_U : 0) |
		   (a.fetch && (s->smep || (s->nxe && s->mode != MODEL_32)) ? PF_ID : 0);
	for (u32 i = 0; i < r->count; i++)
		r->entries[i].after = r->entries[i].value;
}

/* Whatever becomes of a walk: the levels that it names, and the table that it began in, are what was read. The trace shows them. */
static bool is_told(const struct gpt_walk *w, enum gpt_status status)
{
	const u64 unset = 0x5a5a5a5a5a5a5a5a;

	if (status != GPT_OK && status != GPT_FAULT)
		return true;
	for (u32 level = w->top_level; level && level >= w->last_level; level--)
		if (w->step[level].entry == unset)
			return false;
	return !w->top_level || w->first_table != unset;
}

bool walk_agrees(const struct model_state *s, u64 gva, struct model_access a, enum gpt_effects effects)
{
	struct gpt_context c = walk_context(s);
	struct gpt_access access = {
		.write = a.write, .fetch = a.fetch, .user = a.user, .implicit = a.implicit, .ac = a.ac};
	struct gpt_walk w;
	struct model_result r;
	enum gpt_status status;
	bool good;

	walk_count++;
	model_walk(s, &walk_memory, gva, a, &r);
	refuse_tables_outside_of_ram(&r, s, a);
	memset(&w, 0x5a, sizeof(w));
	status = gpt_walk(&c, gva, access, effects, &w);
	if (!is_told(&w, status)) {
		good = false;
	} else if (reads_entry_twice(&r)) {
		good = (status == GPT_FAULT) == r.fault;
	} else {
		good = compare_result(s, &w, status, &r, effects == GPT_SET_AD);
		good = good && compare_memory(&r, effects == GPT_SET_AD && !r.fault);
	}
	restore_memory(&r);
	return good;
}

void walk_check(const struct model_state *s, u64 gva, struct model_access a, bool peek_too)
{
	struct model_result r;

	if (walk_agrees(s, gva, a, GPT_SET_AD) && (!peek_too || walk_agrees(s, gva, a, GPT_PEEK)))
		return;
	model_walk(s, &walk_memory, gva, a, &r);
	printf("mode %u gva %#llx cr3 %#llx maxphyaddr %u wp %u smep %u smap %u nxe %u pse %u 1g %u pke %u pks %u pkru %#x pkrs %#x\n"
	       "write %u fetch %u user %u implicit %u ac %u: model fault %u error %#x\n",
	       s->mode, (unsigned long long)gva, (unsigned long long)s->cr3, s->maxphyaddr, s->wp, s->smep,
	       s->smap, s->nxe, s->pse, s->pages_1g, s->pke, s->pks, s->pkru, s->pkrs, a.write, a.fetch, a.user,
	       a.implicit, a.ac, r.fault, r.error);
	for (u32 i = 0; i < r.count; i++)
		printf("  level %u at %#llx: %#llx\n", r.entries[i].level,
		       (unsigned long long)r.entries[i].address, (unsigned long long)r.entries[i].value);
	fail_msg("the walker and the model differ");
}
