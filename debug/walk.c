/* SPDX-License-Identifier: BSD-2-Clause */
/* See walk.h. The shadow is read with its lock held, from the root that the hardware would take. */
#include "debug/walk.h"

#include "debug/console.h"
#include "debug/format.h"
#include "debug/names.h"
#include "debug/stop.h"
#include "lib/printf.h"
#include "mm/phys.h"
#include "mm/shadow.h"

#define SIDE_TEXT 64u

static u32 shadow_levels(const struct shadow_paging *paging)
{
	if (!(paging->efer & EFER_LMA))
		return 3;
	return paging->cr4 & CR4_LA57 ? 5 : 4;
}

/* Entries of 8 bytes; those of a PAE root have no rights. */
static void note_entry(struct walk_side *side, u32 level, u64 table, u64 entry, bool has_rights)
{
	side->level[level] = (struct walk_level){true, table, entry};
	if (!has_rights)
		return;
	side->writable &= !!(entry & PTE_W);
	side->user &= !!(entry & PTE_U);
	side->executable &= !(entry & PTE_NX);
}

static void walk_shadow(const struct shadow_view *view, gva_t gva, struct walk_side *side)
{
	u32 levels = shadow_levels(view->paging);
	u64 table = view->root.v;

	*side = (struct walk_side){.writable = true, .user = true, .executable = true};
	if (!table)
		return;
	for (u32 level = levels; level; level--) {
		u32 shift = PAGE_SHIFT + 9 * (level - 1);
		u32 index = (u32)(gva >> shift) & (levels == 3 && level == 3 ? 3 : 511);
		u64 entry = ((const u64 *)phys_to_virt(hpa(table)))[index];

		note_entry(side, level, table, entry, !(levels == 3 && level == 3));
		if (!(entry & PTE_P))
			return;
		if (gpt_entry_is_leaf(level, entry)) {
			side->maps = true;
			side->address = (gpt_entry_gfn(level, entry) << PAGE_SHIFT) | (gva & (BIT(shift) - 1));
			return;
		}
		table = entry & PTE_ADDR_MASK;
	}
}

static void walk_guest(struct vcpu *vcpu, gva_t gva, struct walk_side *side)
{
	const struct gpt_access access = {.ac = true};
	enum gpt_status status;
	struct gpt_walk walk;

	*side = (struct walk_side){0};
	status = shadow_translate(vcpu->mmu, gva, access, &walk);
	for (u32 level = walk.top_level; level && level >= walk.last_level; level--)
		side->level[level] = (struct walk_level){true, gpt_walk_table(&walk, level), walk.step[level].entry};
	if (status != GPT_OK)
		return;
	side->maps = true;
	side->address = (walk.gfn << PAGE_SHIFT) | (gva & (PAGE_SIZE - 1));
	side->writable = walk.access & ACC_W;
	side->user = walk.access & ACC_U;
	side->executable = walk.access & ACC_X;
}

struct question {
	gva_t gva;
	struct walk_pair *pair;
};

static void walk_here(struct vcpu *vcpu, void *arg)
{
	struct question *q = arg;
	struct walk_pair *pair = q->pair;
	struct shadow_view view;
	struct region_hit hit;

	if (!(vcpu->efer & EFER_LMA))
		q->gva &= 0xffffffff;
	pair->paging = vcpu->cr0 & CR0_PG;
	walk_guest(vcpu, q->gva, &pair->guest);
	shadow_view_begin(vcpu->mmu, &view);
	walk_shadow(&view, q->gva, &pair->shadow);
	pair->ones = pair->shadow.maps && (pair->shadow.address & PAGE_MASK) == view.ones_page.v;
	region_lookup(view.regions, pair->guest.address >> PAGE_SHIFT, &hit);
	pair->ram = hit.kind == REGION_RAM;
	pair->expected = (hit.pfn << PAGE_SHIFT) | (pair->guest.address & (PAGE_SIZE - 1));
	shadow_view_end(&view);
}

bool walk_both(struct vcpu *vcpu, gva_t gva, struct walk_pair *out)
{
	struct question q = {gva, out};

	return stop_on(vcpu, walk_here, &q);
}

const char *walk_judge(const struct walk_pair *pair)
{
	const struct walk_side *g = &pair->guest, *s = &pair->shadow;

	if (!s->maps)
		return NULL;
	if (!g->maps)
		return "the guest maps nothing";
	if (pair->ones ? pair->ram : s->address != pair->expected)
		return "another frame";
	if (!pair->paging)
		return NULL;
	if (s->executable && !g->executable)
		return "executable, the guest's is not";
	if (s->writable && !g->writable && s->user)
		return "writable, the guest's is not";
	return NULL;
}

/* --- on the console ------------------------------------------------------------------------ */

static const struct bit_name *names_of(u32 level, u64 entry)
{
	if (level == 1)
		return format_leaf;
	return gpt_entry_is_leaf(level, entry) ? format_large : format_link;
}

/* Address bits are shown with the number. */
static void side_text(char *out, u32 size, const struct walk_side *side, u32 level)
{
	const struct walk_level *l = &side->level[level];
	u64 address = PTE_ADDR_MASK;
	char bits[SIDE_TEXT];

	if (!l->there) {
		snprintf(out, size, "%16s %-24s", "-", "");
		return;
	}
	if (level > 1 && gpt_entry_is_leaf(level, l->entry))
		address &= ~(u64)PTE_PAT_LARGE;
	format_bits(bits, sizeof(bits), l->entry & ~address, names_of(level, l->entry));
	snprintf(out, size, "%016llx %-24s", (unsigned long long)l->entry, l->entry & PTE_P ? bits : "not present");
}

static void show_result(const char *who, const struct walk_side *side)
{
	if (side->maps)
		console_printf("%s: %016llx %s%s%s\n", who, (unsigned long long)side->address,
			       side->user ? "U" : "-", side->writable ? "W" : "-", side->executable ? "X" : "-");
	else
		console_printf("%s: nothing\n", who);
}

void walk_show(struct vcpu *vcpu, gva_t gva)
{
	struct walk_pair pair = {.paging = false};
	char guest[2 * SIDE_TEXT], shadow[2 * SIDE_TEXT], name[NAMES_TEXT];
	const char *wrong;

	if (!walk_both(vcpu, gva, &pair)) {
		console_printf("CPU %u has no page tables\n", vcpu->id);
		return;
	}
	console_printf("walk of %016llx on CPU %u%s%s\n", (unsigned long long)gva, vcpu->id,
		       pair.paging ? "" : ", paging is off", names_describe(gva, ": ", name));
	console_printf("level %-41s  %s\n", "guest", "shadow");
	for (u32 level = WALK_LEVELS; level; level--) {
		if (!pair.guest.level[level].there && !pair.shadow.level[level].there)
			continue;
		side_text(guest, sizeof(guest), &pair.guest, level);
		side_text(shadow, sizeof(shadow), &pair.shadow, level);
		console_printf("%u     %s  %s\n", level, guest, shadow);
	}
	show_result("guest ", &pair.guest);
	show_result("shadow", &pair.shadow);
	wrong = walk_judge(&pair);
	if (wrong)
		console_printf(
			"! the shadow disagrees: %s (right where the guest has not flushed since it changed its table)\n",
			wrong);
	else
		console_printf("%s\n", pair.shadow.maps ? "they agree" : "the shadow has not filled it");
}
