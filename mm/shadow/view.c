/* SPDX-License-Identifier: BSD-2-Clause */
/* What mm/witness/ is told about the shadow; see mm/shadow.h. */
#include "mm/shadow.h"

#include "mm/shadow/accessors.h"
#include "mm/shadow/cpus.h"

void shadow_view_begin(struct shadow_mmu *mmu, struct shadow_view *view)
{
	struct shadow *s = mmu->s;

	engine_lock(s);
	cpus_hold(s);
	*view = (struct shadow_view){
		.mmu = mmu,
		.regions = s->regions,
		.paging = &mmu->paging,
		.ones_page = s->ones_page,
		.host_phys_bits = s->host_phys_bits,
		.pages_1g = s->pages_1g,
	};
	if (mmu->root[0])
		view->root = mmu->root_level == 3 ? mmu->low_pdpt : page_hpa(s, mmu->root[0]);
}

void shadow_view_end(const struct shadow_view *view)
{
	engine_unlock(view->mmu->s);
}

bool shadow_view_table(const struct shadow_view *view, hpa_t table, struct shadow_table *out)
{
	const struct shadow *s = view->mmu->s;
	u64 page = (table.v - s->pool_hpa.v) >> PAGE_SHIFT;
	const struct shadow_page *sp = &s->pages[page];

	if (table.v < s->pool_hpa.v || !page || page >= s->page_count || sp->state != PAGE_TABLE)
		return false;
	*out = (struct shadow_table){
		.gfn = sp->gfn,
		.level = sp->role.level,
		.direct = sp->role.direct,
		.unsync = sp->flags & PAGE_UNSYNC,
	};
	return true;
}

static void count_table(const struct shadow_page *sp, struct shadow_census *out)
{
	u32 level = MIN(sp->role.level, (u32)GPT_LEVELS_MAX);

	if (sp->role.direct)
		out->direct[level]++;
	else
		out->tables[level]++;
	out->unsync += !!(sp->flags & PAGE_UNSYNC);
	out->dormant += !!(sp->flags & PAGE_DORMANT);
	out->foreign += !!(sp->flags & PAGE_FOREIGN);
	out->pinned += !!sp->pins;
	out->entries += sp->live;
}

void shadow_count_pages(struct shadow_mmu *mmu, struct shadow_census *out)
{
	struct shadow *s = mmu->s;

	engine_lock(s);
	*out = (struct shadow_census){.pages = s->page_count - 1, .free = s->free_count, .lists = s->node_pages};
	for (u32 page = 1; page < s->page_count; page++)
		if (s->pages[page].state == PAGE_TABLE)
			count_table(&s->pages[page], out);
	engine_unlock(s);
}
