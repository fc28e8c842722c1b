/* SPDX-License-Identifier: BSD-2-Clause */
/* The runtime oracle; see mm/witness/witness.h. */
#include "mm/witness/witness.h"

#include "lib/bits.h"
#include "lib/log.h"
#include "lib/x86.h"
#include "mm/phys.h"

struct witness {
	struct witness_report *r;
	struct shadow_view view;
	struct model_state guest, hardware;
	bool device;   /* a guest's table lies in device memory, whose reads are not for us */
	bool no_table; /* the shadow has an entry that leads to no table of that level */
};

/* What the entries looked at so far, from the top, leave of an access. */
struct rights {
	bool w, u, x;
};

/* A leaf of the guest. */
struct target {
	u64 gpa; /* of gva, byte exact */
	u32 memtype, key;
	bool dirty;
};

/* --- memory ------------------------------------------------------------------------ */
static u64 load(hpa_t at, u32 size)
{
	const void *p = phys_to_virt(at);

	return size == 4 ? __atomic_load_n((const u32 *)p, __ATOMIC_RELAXED) :
			   __atomic_load_n((const u64 *)p, __ATOMIC_RELAXED);
}

static u64 read_guest(void *ctx, u64 address, u32 size)
{
	struct witness *w = ctx;
	struct region_hit hit;

	region_lookup(w->view.regions, address >> PAGE_SHIFT, &hit);
	if (hit.kind == REGION_RAM)
		return load(hpa(pfn_to_hpa(hit.pfn).v | (address & (PAGE_SIZE - 1))), size);
	if (hit.kind != REGION_HIDDEN)
		w->device = true;
	return size == 4 ? ~0u : ~0ull;
}

static u64 read_shadow(void *ctx, u64 address, u32 size)
{
	struct witness *w = ctx;
	u32 i = w->r->shadow.count - 1;
	struct shadow_table *table = &w->r->tables[i];

	if (!shadow_view_table(&w->view, hpa(address & PAGE_MASK), table) ||
	    table->level != w->r->shadow.entries[i].level) {
		w->no_table = true;
		return 0;
	}
	return load(hpa(address), size);
}

/* --- the two machines ---------------------------------------------------------------- */
static struct model_state guest_state(const struct shadow_paging *p)
{
	struct model_state s = {
		.maxphyaddr = p->phys_bits,
		.cr3 = p->cr3,
		.wp = p->cr0 & CR0_WP,
		.nxe = p->efer & EFER_NXE,
		.pse = p->cr4 & CR4_PSE,
		.pages_1g = p->pages_1g,
	};

	for (u32 i = 0; i < 4; i++)
		s.pdpte[i] = p->pdpte[i];
	if (!(p->cr0 & CR0_PG))
		s.mode = MODEL_OFF;
	else if (p->efer & EFER_LMA)
		s.mode = p->cr4 & CR4_LA57 ? MODEL_5L : MODEL_4L;
	else
		s.mode = p->cr4 & CR4_PAE ? MODEL_PAE : MODEL_32;
	return s;
}

static bool is_long(const struct model_state *s)
{
	return s->mode == MODEL_4L || s->mode == MODEL_5L;
}

/* The hardware walks tables of 8-byte entries in long mode and outside of it. */
static struct model_state hardware_state(const struct shadow_view *view, const struct model_state *guest)
{
	struct model_state s = {
		.mode = is_long(guest) ? guest->mode : MODEL_PAE,
		.maxphyaddr = view->host_phys_bits,
		.cr3 = view->root.v,
		.wp = true,
		.nxe = true,
		.pages_1g = view->pages_1g,
	};

	for (u32 i = 0; view->root.v && s.mode == MODEL_PAE && i < 4; i++)
		s.pdpte[i] = load(hpa(view->root.v + 8 * i), 8);
	return s;
}

/* --- where the shadow leads, whatever the guest's tables say ------------------------------ */
static bool is_ones_page(const struct witness *w)
{
	return w->r->shadow.physical >> PAGE_SHIFT == hpa_to_pfn(w->view.ones_page);
}

/* Do all frames of the leaf belong to the guest? */
static bool frames_are_the_guests(const struct witness *w, pfn_t first, u64 frames)
{
	const struct region_map *map = w->view.regions;
	struct region_hit hit;

	for (u32 i = 0; i < map->count; i++) {
		const struct region *r = &map->regions[i];

		if (r->kind == REGION_RAM && first - r->pfn < r->pages)
			return frames <= r->pages - (first - r->pfn);
	}
	region_lookup(map, first, &hit);
	return hit.kind == REGION_MMIO && hit.pfn == first && hit.end - first >= frames;
}

static enum witness_verdict judge_memory(const struct witness *w)
{
	const struct model_result *s = &w->r->shadow;
	u64 bytes = model_page_bytes(&w->hardware, s->level);

	if (is_ones_page(w))
		return s->w || s->level > 1 ? WITNESS_HIDDEN : WITNESS_AGREES;
	if (!frames_are_the_guests(w, (s->physical & ~(bytes - 1)) >> PAGE_SHIFT, bytes >> PAGE_SHIFT))
		return WITNESS_HIDDEN;
	return WITNESS_AGREES;
}

/* --- what the guest's tables allow ----------------------------------------------------------- */
/*
 * The hardware's CR0.WP is always 1. With the guest's clear, a page that the supervisor may
 * write to and the user not, or not so, is shown to the supervisor alone: its face.
 */
static bool is_face(const struct witness *w, struct rights guest)
{
	return !w->guest.wp && guest.u && !w->r->shadow.u;
}

/* whole: guest is what all entries leave, none was excused. */
static enum witness_verdict judge_rights(const struct witness *w, struct rights guest, bool whole)
{
	const struct model_result *s = &w->r->shadow;
	bool smep = w->view.paging->cr4 & CR4_SMEP;

	if (s->u && !guest.u)
		return WITNESS_RIGHTS;
	if (s->w && !guest.w && (w->guest.wp || s->u))
		return WITNESS_RIGHTS;
	if (s->x && !guest.x)
		return WITNESS_RIGHTS;
	/* a page of the user's stays closed to the supervisor's fetches */
	if (s->x && s->w && !guest.w && whole && smep && is_face(w, guest))
		return WITNESS_RIGHTS;
	return WITNESS_AGREES;
}

static enum witness_verdict judge_leaf(const struct witness *w, struct rights guest, const struct target *target)
{
	const struct model_result *s = &w->r->shadow;
	struct region_hit hit;

	region_lookup(w->view.regions, target->gpa >> PAGE_SHIFT, &hit);
	if (hit.kind == REGION_TRAPPED)
		return WITNESS_HIDDEN;
	if (hit.kind == REGION_HIDDEN ? !is_ones_page(w) : hit.pfn != s->physical >> PAGE_SHIFT)
		return WITNESS_FRAME;
	if (s->w && !target->dirty)
		return WITNESS_DIRTY;
	if (is_long(&w->guest) && !is_face(w, guest) && s->key != target->key)
		return WITNESS_KEY;
	if (hit.kind != REGION_HIDDEN && (PAT_HOST >> 8 * s->pat_index & 7) != target->memtype)
		return WITNESS_MEMTYPE;
	return WITNESS_AGREES;
}

/* --- down both tables side by side -------------------------------------------------------------- */
struct descent {
	bool strict; /* nothing is excused */
	bool whole;  /* nothing was */
	bool known;  /* the guest's entry above is what the shadow's was made of */
	bool leaf;   /* known: it was a leaf, and target is filled */
	u64 table;   /* known, no leaf: the table it names */
	struct rights rights;
	struct target target;
};

static u64 entry_address(const struct witness *w, u64 table, u32 level)
{
	u64 size = w->guest.mode == MODEL_32 ? 4 : 8, entries = PAGE_SIZE / size;

	return table + w->r->gva / model_page_bytes(&w->guest, level) % entries * size;
}

static void take_leaf(const struct witness *w, struct descent *d, u32 level, u64 e)
{
	u64 bytes = model_page_bytes(&w->guest, level);
	u32 pat = (e >> 3 & 3) | (e >> (level == 1 ? 7 : 12) & 1) << 2;

	d->leaf = true;
	d->target = (struct target){
		.gpa = model_entry_address(&w->guest, level, e) | (w->r->gva & (bytes - 1)),
		.memtype = w->view.paging->pat >> 8 * pat & 7,
		.key = e >> 59 & 15,
		.dirty = e & PTE_D,
	};
}

/* The guest's entry that the shadow's entry must have been made of. */
static enum witness_verdict take_entry(struct witness *w, struct descent *d, const struct shadow_table *table,
				       bool shadow_leaf)
{
	u32 size = w->guest.mode == MODEL_32 ? 4 : 8, level = table->level;
	u64 e = read_guest(w, entry_address(w, table->gfn << PAGE_SHIFT, level), size);

	if (!(e & PTE_P) || !(e & PTE_A) || model_reserved(&w->guest, level, e))
		return WITNESS_UNMAPPED;
	d->known = true;
	d->rights.w = d->rights.w && (e & PTE_W);
	d->rights.u = d->rights.u && (e & PTE_U);
	if (w->guest.nxe && w->guest.mode != MODEL_32 && (e & PTE_NX))
		d->rights.x = false;
	if (model_is_leaf(&w->guest, level, e)) {
		take_leaf(w, d, level, e);
		return WITNESS_AGREES;
	}
	d->table = model_entry_address(&w->guest, level, e);
	return shadow_leaf ? WITNESS_SIZE : WITNESS_AGREES;
}

/* One level: what the shadow's entry i was made of. */
static enum witness_verdict descend(struct witness *w, struct descent *d, u32 i)
{
	const struct shadow_table *table = &w->r->tables[i];

	if (table->direct)
		return d->known && !d->leaf ? WITNESS_SIZE : WITNESS_AGREES;
	if (d->known && (d->leaf || d->table != table->gfn << PAGE_SHIFT))
		return WITNESS_TABLE;
	d->known = d->leaf = false;
	if (!d->strict && table->unsync) {
		d->whole = false;
		return WITNESS_AGREES;
	}
	return take_entry(w, d, table, i + 1 == w->r->shadow.count);
}

static struct descent descent_begin(const struct witness *w, bool strict)
{
	u64 pdpte = w->guest.pdpte[w->r->gva >> 30 & 3];
	struct descent d = {.strict = strict, .whole = true, .known = true, .rights = {true, true, true}};

	switch (w->guest.mode) {
	case MODEL_OFF:
		d.leaf = true;
		d.target = (struct target){.gpa = (u32)w->r->gva, .memtype = MT_WB, .dirty = true};
		break;
	case MODEL_32: d.table = w->guest.cr3 & BITS(31, 12); break;
	case MODEL_PAE: d.table = pdpte & PTE_P ? pdpte & PTE_ADDR_MASK : ~0ull; break;
	default: d.table = w->guest.cr3 & PTE_ADDR_MASK; break;
	}
	return d;
}

static enum witness_verdict judge_path(struct witness *w, bool strict)
{
	struct descent d = descent_begin(w, strict);
	enum witness_verdict verdict;

	for (u32 i = 0; i < w->r->shadow.count; i++) {
		verdict = descend(w, &d, i);
		if (verdict != WITNESS_AGREES)
			return verdict;
	}
	verdict = judge_rights(w, d.rights, d.whole);
	if (verdict == WITNESS_AGREES && d.known)
		verdict = judge_leaf(w, d.rights, &d.target);
	return verdict;
}

/* The walk as a whole has the last word: it knows nothing of shadow tables. */
static enum witness_verdict judge_walk(const struct witness *w)
{
	const struct model_result *g = &w->r->guest;
	struct region_hit hit;

	if (g->fault)
		return WITNESS_UNMAPPED;
	region_lookup(w->view.regions, g->physical >> PAGE_SHIFT, &hit);
	if (hit.kind == REGION_RAM && pfn_to_hpa(hit.pfn).v != (w->r->shadow.physical & PAGE_MASK))
		return WITNESS_FRAME;
	return WITNESS_AGREES;
}

static enum witness_verdict judge(struct witness *w)
{
	static const struct model_access read = {0};
	struct model_memory ours = {read_shadow, w}, theirs = {read_guest, w};
	struct witness_report *r = w->r;
	enum witness_verdict verdict;

	if (!w->view.root.v)
		return WITNESS_ABSENT;
	model_walk(&w->guest, &theirs, r->gva, read, &r->guest);
	model_walk(&w->hardware, &ours, r->gva, read, &r->shadow);
	if (w->no_table)
		return WITNESS_NO_TABLE;
	if (r->shadow.fault)
		return r->shadow.error & PF_RSVD ? WITNESS_RESERVED : WITNESS_ABSENT;
	verdict = judge_memory(w);
	if (verdict != WITNESS_AGREES)
		return verdict;
	verdict = judge_path(w, true);
	if (verdict == WITNESS_AGREES)
		verdict = judge_walk(w);
	if (verdict == WITNESS_AGREES || r->flushed)
		return w->device ? WITNESS_UNKNOWN : verdict;
	verdict = judge_path(w, false);
	if (w->device)
		return WITNESS_UNKNOWN;
	return verdict == WITNESS_AGREES ? WITNESS_STALE : verdict;
}

bool witness_check(struct shadow_mmu *mmu, gva_t gva, bool flushed, struct witness_report *report)
{
	struct witness w = {.r = report};

	shadow_view_begin(mmu, &w.view);
	w.guest = guest_state(w.view.paging);
	w.hardware = hardware_state(&w.view, &w.guest);
	*report = (struct witness_report){
		.gva = is_long(&w.guest) ? gva : (u32)gva,
		.flushed = flushed,
		.guest_state = w.guest,
	};
	report->verdict = judge(&w);
	shadow_view_end(&w.view);
	return report->verdict <= WITNESS_UNKNOWN;
}

/* --- words ------------------------------------------------------------------------------------------ */
#define X(name, text) [WITNESS_##name] = text,
static const char *const texts[WITNESS_VERDICT_COUNT] = {WITNESS_VERDICTS(X)};
#undef X

const char *witness_verdict_text(enum witness_verdict verdict)
{
	return texts[verdict];
}

static void print_walk(const char *whose, const struct model_result *walk, const struct shadow_table *tables)
{
	if (walk->fault)
		log_error("  %s: no translation\n", whose);
	else
		log_error("  %s: %llx, level %u, rights %s%s%s\n", whose, (unsigned long long)walk->physical,
			  walk->level, walk->w ? "w" : "-", walk->u ? "u" : "-", walk->x ? "x" : "-");
	for (u32 i = 0; i < walk->count; i++) {
		const struct model_entry *e = &walk->entries[i];

		log_error("    level %u at %llx: %llx\n", e->level, (unsigned long long)e->address,
			  (unsigned long long)e->value);
		if (tables)
			log_error("      of the guest's %s %llx%s\n",
				  tables[i].direct ? "large page at" : "table at",
				  (unsigned long long)tables[i].gfn << PAGE_SHIFT,
				  tables[i].unsync ? ", which it may have written to" : "");
	}
}

void witness_print(const struct witness_report *r)
{
	static const char *const modes[] = {"no", "32-bit", "PAE", "4-level", "5-level"};

	log_error("oracle: gva %llx%s, %s paging, cr3 %llx, wp %u: %s\n", (unsigned long long)r->gva,
		  r->flushed ? ", just flushed" : "", modes[r->guest_state.mode],
		  (unsigned long long)r->guest_state.cr3, r->guest_state.wp, texts[r->verdict]);
	print_walk("guest ", &r->guest, NULL);
	print_walk("shadow", &r->shadow, r->tables);
}
