/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of what the engine does, and the words that make it tell; see mm/shadow/trace.h. */
#include "mm/shadow/trace.h"

#include "mm/shadow.h"
#include "mm/shadow/rmap.h"

/* What the guest is told of a shadow entry: no address of the hypervisor's, no software bit. */
static u64 as_told(const struct shadow *s, u32 level, u64 spte)
{
	u64 frame = spte & PTE_ADDR_MASK;

	if (!(spte & PTE_P))
		return 0;
	spte &= ~(PTE_ADDR_MASK | SPTE_RMAP);
	if (level > 1 && !(spte & PTE_PS)) {
		u32 child = page_of_link(s, frame);

		return child < s->page_count ? spte | s->pages[child].gfn << PAGE_SHIFT : spte;
	}
	return frame == s->ones_page.v ? spte : spte | frame;
}

/* The part of an address that the top page stands for. False: it is no root in use, so what is below is nowhere. */
static bool top_address(const struct shadow *s, u32 page, gva_t *gva)
{
	u32 level = s->pages[page].role.level;

	if (level >= 4) {
		*gva |= *gva >> (level == 5 ? 56 : 47) ? ~0ull << (level == 5 ? 56 : 47) : 0;
		return true;
	}
	for (u32 i = 0; i < s->mmu_count * 4; i++)
		if (level == 2 && s->mmus[i / 4]->root[i % 4] == page) {
			*gva |= (u64)(i % 4) << 30;
			return true;
		}
	return false;
}

bool trace_address(const struct shadow *s, u32 page, u32 index, gva_t *gva)
{
	*gva = 0;
	for (;;) {
		const struct shadow_page *sp = &s->pages[page];
		u32 level = sp->role.level, id;

		*gva |= (u64)index << (PAGE_SHIFT + INDEX_BITS * (level - 1));
		id = list_first(s, sp->parents);
		if (!id)
			return top_address(s, page, gva);
		page = entry_page(id);
		index = id & (ENTRIES - 1);
	}
}

gpa_t trace_place(const struct shadow_page *sp, u32 index)
{
	if (sp->role.direct)
		return gpa((sp->gfn << PAGE_SHIFT) +
			   ((u64)index << (PAGE_SHIFT + INDEX_BITS * (sp->role.level - 1))));
	if (sp->role.mode == GPT_32)
		return gpa((sp->gfn << PAGE_SHIFT) + (sp->role.quadrant * ENTRIES + index) * 4 % PAGE_SIZE);
	return gpa((sp->gfn << PAGE_SHIFT) + index * 8);
}

static void entry_emit(const struct shadow *s, u32 page, u32 index, u64 old, u64 new)
{
	const struct shadow_page *sp = &s->pages[page];
	struct trace_record r = {
		.kind = TRACE_ENTRY,
		.old = as_told(s, sp->role.level, old),
		.new = as_told(s, sp->role.level, new),
		.where = trace_place(sp, index).v,
		.level = sp->role.level,
		.detail = sp->role.direct ? TRACE_ENTRY_DIRECT : 0,
	};

	if (r.old == r.new)
		return;
	if (trace_address(s, page, index, &r.address))
		r.detail |= TRACE_ENTRY_KNOWN;
	else
		r.address = sp->gfn << PAGE_SHIFT;
	trace_emit(&r);
}

void trace_entry(const struct shadow *s, u32 page, u32 index, u64 old, u64 new)
{
	if (trace_on(TRACE_ENTRY))
		entry_emit(s, page, index, old, new);
}

void trace_entries(const struct shadow *s, u32 page, u32 word, u64 bits)
{
	const u64 *sptes = s->pool + (u64)page * ENTRIES;

	if (!trace_on(TRACE_ENTRY))
		return;
	for (; bits; bits &= bits - 1) {
		u32 index = word * 64 + bit_lowest(bits);

		entry_emit(s, page, index, sptes[index], 0);
	}
}

void trace_table(enum trace_kind kind, const struct shadow_page *sp)
{
	if (trace_on(kind))
		trace_emit(&(struct trace_record){
			.kind = (u8)kind,
			.address = sp->gfn << PAGE_SHIFT,
			.where = sp->gfn << PAGE_SHIFT,
			.level = sp->role.level,
			.detail = sp->role.direct ? TRACE_ENTRY_DIRECT : 0,
		});
}

static void leaf_emit(enum trace_kind kind, const struct shadow *s, gva_t gva, u32 page, u32 index, u64 gpte)
{
	const struct shadow_page *sp = &s->pages[page];

	if (trace_on(kind))
		trace_emit(&(struct trace_record){
			.kind = (u8)kind,
			.address = gva,
			.old = gpte,
			.new = as_told(s, sp->role.level, s->pool[entry_id(page, index)]),
			.where = trace_place(sp, index).v,
			.level = sp->role.level,
			.detail = sp->role.direct ? TRACE_ENTRY_DIRECT : 0,
		});
}

void trace_fill(const struct shadow *s, gva_t gva, u32 page, u32 index, u64 gpte)
{
	leaf_emit(TRACE_FILL, s, gva, page, index, gpte);
}

void trace_prefetch(const struct shadow *s, u32 page, u32 index, u64 gpte)
{
	gva_t gva;

	if (trace_on(TRACE_PREFETCH) && trace_address(s, page, index, &gva))
		leaf_emit(TRACE_PREFETCH, s, gva, page, index, gpte);
}

/* At the guest's entry slot, of a table of that level; result: enum shadow_result. */
static void walk_emit(gva_t gva, u32 error, u64 gpte, u32 level, gpa_t slot, u32 result)
{
	if (trace_on(TRACE_WALK))
		trace_emit(&(struct trace_record){
			.kind = TRACE_WALK,
			.address = gva,
			.old = error,
			.new = gpte,
			.where = slot.v,
			.level = (u8)level,
			.detail = (u8)result,
		});
}

static void mark_emit(enum trace_kind kind, gva_t gva, u64 before, u64 gpte, u32 level, gpa_t slot, u32 count)
{
	if (count && trace_on(kind))
		trace_emit(&(struct trace_record){
			.kind = (u8)kind,
			.address = gva,
			.old = before,
			.new = gpte,
			.where = slot.v,
			.level = (u8)level,
			.detail = (u8)count,
		});
}

/* So many A and D; before: the leaf's entry as it was, 0: nobody knows. */
static void marks_emit(gva_t gva, u64 before, u64 gpte, u32 level, gpa_t slot, u32 a_sets, u32 d_sets)
{
	mark_emit(TRACE_A_SET, gva, before, gpte, level, slot, a_sets);
	mark_emit(TRACE_D_SET, gva, before, gpte, level, slot, d_sets);
}

void trace_slow_walk(const struct gpt_walk *w, gva_t gva, u32 error, enum gpt_status status)
{
	u32 level = w->top_level ? w->last_level : 0;
	u64 gpte = level ? w->step[level].entry : 0;
	gpa_t slot = gpa(level ? gpt_walk_table(w, level) + ((uintptr_t)w->step[level].slot & (PAGE_SIZE - 1)) : 0);

	walk_emit(gva, error, gpte, level, slot,
		  status == GPT_OK    ? SHADOW_FIXED :
		  status == GPT_FAULT ? SHADOW_INJECT :
					SHADOW_RETRY);
	if (status == GPT_OK)
		marks_emit(gva, 0, gpte, level, slot, w->a_sets, w->d_sets);
}

static gpa_t path_entry(const struct cached_path *path, u32 index)
{
	return gpa((path->record->gfn << PAGE_SHIFT) + index * 8);
}

void trace_fast_walk(const struct cached_path *path, gva_t gva, u32 error, u64 gpte, u64 marked)
{
	gpa_t slot = path_entry(path, level_index(1, gva));

	walk_emit(gva, error, marked, 1, slot, SHADOW_FIXED);
	marks_emit(gva, gpte, marked, 1, slot, !!(~gpte & marked & PTE_A), !!(~gpte & marked & PTE_D));
}

void trace_fast_refused(const struct cached_path *path, gva_t gva, u32 error)
{
	u32 index = level_index(1, gva);

	walk_emit(gva, error, __atomic_load_n(&path->table[index], __ATOMIC_RELAXED), 1, path_entry(path, index),
		  SHADOW_INJECT);
}

/* --- on and off -------------------------------------------------------------------- */
static void set_mmu(struct shadow_mmu *mmu, bool on)
{
	__atomic_store_n(&mmu->sync_role, on ? 0 : mmu->copied_role, __ATOMIC_RELAXED);
}

/*
 * Each word is one that a frequent path looks at anyway. Other CPUs may be anywhere meanwhile: what they are in the
 * middle of they finish in the one way or in the other. Where there may be several, one may come while this stores what it
 * has read before: the debt of the first alone is no longer counted in the quick way then (shadow_mmu_create() begins with it).
 */
void shadow_trace(struct shadow *s, bool on)
{
	u32 count = __atomic_load_n(&s->mmu_count, __ATOMIC_ACQUIRE);

	on |= s->check != NULL; /* the checker goes these ways, too */
	__atomic_store_n(&s->traced, on, __ATOMIC_RELAXED);
	__atomic_store_n(&s->faults_locked, on || s->readers, __ATOMIC_RELAXED);
	__atomic_store_n(&s->faults_shared, !on && count > 1, __ATOMIC_RELAXED);
	__atomic_store_n(&s->quick_debt, on || s->readers ? NULL : s->only_debt, __ATOMIC_RELAXED);
	__atomic_store_n(&s->owed_page, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->leaf_looks, on ? ~0ull : PTE_TYPE_4K, __ATOMIC_RELAXED);
	__atomic_store_n(&s->unsync_looks, on ? 0 : s->unsync_max, __ATOMIC_RELAXED);
	for (u32 i = 0; i < count; i++)
		set_mmu(s->mmus[i], on);
}

void shadow_set_ops(struct shadow_mmu *mmu, const struct shadow_ops *ops)
{
	__atomic_store_n(&mmu->ops, ops, __ATOMIC_RELAXED);
}
