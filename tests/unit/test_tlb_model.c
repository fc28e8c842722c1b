/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random guests on the simulated machine, whose TLB never forgets by itself,
 * judged by the architectural oracle: see machine.h, oracle.h, random_guest.h.
 * One test for each paging format, some for guests that change it, some with several CPUs, between which it is the
 * random numbers that decide.
 *
 * UMBRA_SEED=n runs one seed alone, with an audit after every exit;
 * UMBRA_SEEDS and UMBRA_STEPS change how many (of 4-level guests; of the others
 * in proportion) and how long. An argument names the tests to run, with * and ?.
 * UMBRA_STRICT=0 leaves out the direct comparison of the TLB with the shadow, so
 * that the oracle alone judges. UMBRA_TRACE=1 prints every operation.
 */
#include "tests/unit/host.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/spinlock.h"
#include "lib/x86.h"
#include "mm/phys.h"
#include "tests/unit/random_guest.h"

#define OTHER_PAT 0x0607050401000406ull
#define READ ((struct model_access){0})

static struct world *current; /* for the message of a panic */
static u64 detaches;          /* times that tables were detached, in all runs */
static u64 kicks;             /* CPUs taken out of the guest by others */
static u64 stale;             /* times that the runtime oracle saw what the guest had not flushed */

static bool checked; /* guests run while forgotten flushes are looked for */
static u64 stale_uses;

static void one_operation(struct world *w);

/* --- several CPUs --------------------------------------------------------------------- */
static void use_cpu(struct world *w, u32 cpu)
{
	machine_use(w->m, cpu);
	w->oracle = &w->oracles[cpu];
}

static void tick(struct world *w)
{
	for (u32 i = 0; i < w->cpus; i++)
		oracle_tick(&w->oracles[i]);
}

/* --- operations --------------------------------------------------------------------- */
static struct model_access any_kind(struct world *w)
{
	struct model_access k = {.user = rng_chance(&w->rng, 45), .ac = rng_chance(&w->rng, 40)};
	u32 dice = rng_below(&w->rng, 100);

	k.write = dice < 40;
	k.fetch = dice >= 85;
	if (!k.user && !k.fetch && rng_chance(&w->rng, 5))
		k.implicit = true;
	return k;
}

/* Another CPU's flush changed the shadow, and this CPU still executes by its TLB: it is shown what the shadow says. */
static bool code_is_newer(struct world *w, u64 gva, const u8 *code)
{
	struct tlb_entry e;

	return w->cpus > 1 && machine_shadow_lookup(w->m, gva, &e) &&
	       code == phys_to_virt(hpa(e.hpa + (gva - e.gva)));
}

/* The bytes that the hypervisor would decode are those that the guest executed, unless others came between: then they are RAM. */
static void check_code(struct world *w, u64 gva, const struct machine_result *r)
{
	u64 between = w->between_count;
	const u8 *code = shadow_peek_code(w->m->mmu, gva);

	if (w->between_count != between) {
		if (code && !machine_ram(w->m, virt_to_phys((void *)(uintptr_t)code).v - w->m->config.shift))
			machine_fail(w->m, "the code at %#llx is no RAM of the guest's", (unsigned long long)gva);
		return;
	}
	if (code && (r->kind != REGION_RAM || code != machine_ram(w->m, r->gpa)) && !code_is_newer(w, gva, code))
		machine_fail(w->m, "the code at %#llx is not what the guest executed", (unsigned long long)gva);
}

static void judged_access(struct world *w, struct machine_access a)
{
	struct model_result before = machine_naive(w->m, a.gva, a.kind);
	u64 between = w->between_count;
	struct machine_result r = machine_access(w->m, a);

	TRACE(w,
	      "access %#llx write %u fetch %u user %u ac %u value %#llx size %u -> %u error %#x gpa %#llx kind %u exits %u",
	      (unsigned long long)a.gva, a.kind.write, a.kind.fetch, a.kind.user, a.kind.ac,
	      (unsigned long long)a.value, a.size, r.outcome, r.error, (unsigned long long)r.gpa, r.kind, r.exits);
	if (a.kind.fetch && r.outcome == MACHINE_OK)
		check_code(w, a.gva, &r);
	/* Of a fault and of an emulation only the state at its own moment could tell, which is gone. */
	if (between != w->between_count && r.outcome != MACHINE_OK)
		return;
	if (!w->dma || r.outcome == MACHINE_FAULT)
		oracle_judge(w->oracle, &a, &before, &r);
}

static void op_access(struct world *w)
{
	static const u32 sizes[] = {8, 8, 8, 8, 4, 4, 1};
	struct place place = any_place(w);
	struct machine_access a = {
		.gva = any_gva(w) + (place.gpa & 0xfff),
		.kind = any_kind(w),
		.size = sizes[rng_below(&w->rng, ARRAY_SIZE(sizes))],
		.value = entry_for(w, place),
		.cpl0 = rng_chance(&w->rng, 50),
	};

	if (a.size == 8)
		a.gva = ALIGN_DOWN(a.gva, 8);
	else
		a.gva += 4 * rng_below(&w->rng, place.size / 4);
	judged_access(w, a);
}

/* The guest writes to an entry through its window. */
static void edit(struct world *w, struct place place, u64 value)
{
	judged_access(w, (struct machine_access){.gva = window(w, (u32)(place.gpa >> 12)) + (place.gpa & 0xfff),
						 .kind = {.write = true, .ac = true},
						 .size = place.size,
						 .value = value});
}

static u64 peek_entry(struct world *w, struct place place)
{
	u64 word = machine_peek(w->m, place.gpa & ~7ull);

	return place.size == 8 ? word : (u32)(word >> (place.gpa & 4 ? 32 : 0));
}

/* Writes that are no whole entry: halves, two at once, bytes. */
static u64 odd_size(struct world *w, struct place *place, u64 value)
{
	u32 half = rng_below(&w->rng, 2);

	if (place->size == 8) {
		place->gpa += 4 * half;
		place->size = 4;
		return value >> 32 * half;
	}
	if (half) {
		place->gpa &= ~7ull;
		place->size = 8;
		return value | any_entry(w, place->mode, place->level) << 32;
	}
	place->size = 1 + rng_below(&w->rng, 2);
	return value;
}

/* The guest's kernel edits a table. */
static void op_edit(struct world *w)
{
	struct place place = any_place(w);
	u64 value = entry_for(w, place);

	if (rng_chance(&w->rng, 15))
		value = odd_size(w, &place, value);
	edit(w, place, value);
	if (rng_chance(&w->rng, 30))
		judged_access(
			w, (struct machine_access){.gva = window(w, (u32)(place.gpa >> 12)) + (place.gpa & 0xff8),
						   .kind = {.ac = true},
						   .size = 8});
}

/* Small changes to what is there: rights, A, D, P; as kernels do, through the window. */
static void op_tweak(struct world *w)
{
	static const u64 bits[] = {
		PTE_A, PTE_D, PTE_W, PTE_W, PTE_U, PTE_P, PTE_A | PTE_D, PTE_NX, PTE_PS, BIT(52), BIT(62), BIT(51),
	};
	struct place place = any_place(w);

	edit(w, place, peek_entry(w, place) ^ bits[rng_below(&w->rng, ARRAY_SIZE(bits))]);
}

/*
 * A device writes to a table. Nobody sees that, so the engine may go on with
 * what it read from a protected table until that table is written or dropped:
 * in runs with DMA only the safety of memory and the engine's survival count.
 */
static void op_dma(struct world *w)
{
	if (!w->dma)
		return;
	for (u32 i = 0; i < 3; i++) {
		struct place place = any_place(w);
		u64 value = entry_for(w, place);

		TRACE(w, "dma %#llx = %#llx", (unsigned long long)place.gpa, (unsigned long long)value);
		memcpy(machine_ram(w->m, place.gpa), &value, place.size);
		w->m->memory_changed(w->m, w->m->ctx, place.gpa, place.size, false);
	}
}

static void op_speculate(struct world *w)
{
	for (u32 i = 0; i < 4; i++)
		machine_speculate(w->m, any_gva(w));
}

static void invlpg(struct world *w, u64 gva)
{
	TRACE(w, "invlpg %#llx", (unsigned long long)gva);
	machine_invlpg(w->m, gva);
	oracle_flushed_page(w->oracle, gva);
}

static void op_invlpg(struct world *w)
{
	u64 gva = rng_chance(&w->rng, 3) ? mode_address(mode_now(w), rng_next(&w->rng)) : any_gva(w);

	invlpg(w, gva);
	judged_access(w, (struct machine_access){.gva = ALIGN_DOWN(gva, 8),
						 .kind = any_kind(w),
						 .size = 8,
						 .value = any_entry(w, mode_now(w), 1)});
}

/* The place of one of a walk's entries; false: it is not in a table that the oracle watches. */
static bool place_at(struct place *place, const struct model_result *n, u32 which)
{
	place->gpa = n->entries[which].address;
	return place->gpa - frame(FIRST) < frame(WATCHED);
}

/*
 * What kernels do all day: change the leaf of a page that the TLB holds, flush
 * just that page, use it.
 */
static void op_hot(struct world *w)
{
	struct machine *m = w->m;
	enum model_mode mode = mode_now(w);
	struct place place = {.mode = mode, .level = 1, .size = mode_entry_bytes(mode)};
	struct machine_access a = {.size = 8};
	struct model_result n;

	if (!m->tlb_count)
		return;
	a.gva = mode_address(mode, m->tlb[rng_below(&w->rng, m->tlb_count)].gva);
	n = machine_naive(m, a.gva, READ);
	if (!n.count)
		return;
	if (!place_at(&place, &n, rng_chance(&w->rng, 80) ? n.count - 1 : rng_below(&w->rng, n.count)))
		return;
	edit(w, place, rng_chance(&w->rng, 60) ? entry_for(w, place) : peek_entry(w, place) ^ PTE_W);
	a.kind = any_kind(w);
	if (rng_chance(&w->rng, 80))
		invlpg(w, a.gva);
	judged_access(w, a);
}

/*
 * A process between two switches: its upper tables stay as they are, so faults and
 * INVLPGs of one lowest table go by the paths that the engine remembers.
 */
static void op_settled(struct world *w)
{
	enum model_mode mode = mode_now(w);
	u64 base;

	if (!mode_is_long(mode) || !w->m->tlb_count)
		return;
	base = mode_address(mode, w->m->tlb[rng_below(&w->rng, w->m->tlb_count)].gva);
	machine_flush(w->m);
	oracle_flushed(w->oracle);
	for (u32 i = 0; i < 12; i++) {
		struct machine_access a = {.gva = sibling(w, base, 1), .kind = any_kind(w), .size = 8};
		struct model_result n = machine_naive(w->m, a.gva, READ);
		struct place place = {.mode = mode, .level = 1, .size = 8};

		judged_access(w, a);
		if (n.count != mode_top(mode))
			continue;
		if (!place_at(&place, &n, n.count - 1))
			continue;
		if (rng_chance(&w->rng, 50))
			edit(w, place, peek_entry(w, place) ^ (rng_chance(&w->rng, 50) ? PTE_W : frame(1)));
		else
			edit(w, place, entry_for(w, place));
		if (rng_chance(&w->rng, 75)) {
			invlpg(w, a.gva);
			a.kind.write = rng_chance(&w->rng, 50) && !a.kind.fetch;
			judged_access(w, a);
		}
	}
}

/* A kernel that maps pages in a range of its own, looks at a few and takes them away, with an INVLPG for each. */
static void op_kernel_window(struct world *w)
{
	enum model_mode mode = mode_now(w);
	u64 base = 0;

	if (!mode_is_long(mode) || !w->m->tlb_count)
		return;
	for (u32 i = 0; i < 8 && !(base >> 63); i++)
		base = mode_address(mode, w->m->tlb[rng_below(&w->rng, w->m->tlb_count)].gva);
	for (u32 i = 0; i < 40 && mode_now(w) == mode; i++) {
		struct machine_access a = {.gva = sibling(w, base, 1), .kind = any_kind(w), .size = 8};
		struct model_result n = machine_naive(w->m, a.gva, READ);
		struct place place = {.mode = mode, .level = 1, .size = 8};

		if (n.count != mode_top(mode) || !place_at(&place, &n, n.count - 1))
			continue;
		edit(w, place, rng_chance(&w->rng, 50) ? 0 : entry_for(w, place));
		if (rng_chance(&w->rng, 90))
			invlpg(w, a.gva);
		if (rng_chance(&w->rng, 20))
			judged_access(w, a);
		if (rng_chance(&w->rng, 5))
			one_operation(w);
	}
}

/*
 * A table is taken out, edited, and linked again (or linked at a second place):
 * what lies under it must be as it reads now.
 */
static void op_link(struct world *w)
{
	enum model_mode mode = mode_now(w);
	u32 top = mode_top(mode), level = 1 + rng_below(&w->rng, top - 1), table = any_table(w, level);
	struct place parent = {.mode = mode, .level = level + 1, .size = mode_entry_bytes(mode)};
	u64 gva = any_gva(w);
	struct model_result n = machine_naive(w->m, gva, READ);

	if (n.count <= top - (level + 1))
		return;
	if (!place_at(&parent, &n, top - (level + 1)))
		return;
	if (rng_chance(&w->rng, 60)) {
		edit(w, parent, link_entry(table));
		for (u32 i = 0; i < 3; i++)
			judged_access(w, (struct machine_access){
						 .gva = sibling(w, gva, level), .kind = any_kind(w), .size = 8});
	}
	edit(w, parent, 0);
	invlpg(w, gva);
	for (u32 i = 0; i < 3; i++) {
		edit(w, place_in(w, table, level), any_entry(w, mode, level));
		tick(w);
	}
	edit(w, parent, link_entry(table));
	tick(w);
	for (u32 i = 0; i < 6; i++)
		judged_access(w, (struct machine_access){.gva = sibling(w, gva, level),
							 .kind = any_kind(w),
							 .size = 8,
							 .value = any_entry(w, mode, 1)});
}

static void reads_after_flush(struct world *w)
{
	for (u32 i = 0; i < 3; i++)
		judged_access(w, (struct machine_access){.gva = any_gva(w), .kind = {.ac = true}, .size = 8});
}

/* A write to a control register, as the guest does it; false: #GP, and nothing happened. */
static bool mov(struct world *w, enum machine_register which, u64 value)
{
	bool flushed, good = machine_mov(w->m, which, value, &flushed);

	TRACE(w, "cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx: register %u = %#llx %s%s",
	      (unsigned long long)w->m->paging.cr0, (unsigned long long)w->m->paging.cr3,
	      (unsigned long long)w->m->paging.cr4, (unsigned long long)w->m->paging.efer, which,
	      (unsigned long long)value, good ? "" : "#GP", flushed ? " flush" : "");
	if (flushed)
		oracle_flushed(w->oracle);
	return good;
}

static void op_cr3(struct world *w)
{
	mov(w, MACHINE_CR3, any_cr3(w));
	reads_after_flush(w);
}

static void op_flush(struct world *w)
{
	TRACE(w, "flush");
	machine_flush(w->m);
	oracle_flushed(w->oracle);
	reads_after_flush(w);
}

static void set_pat(struct world *w, u64 pat)
{
	struct shadow_paging p = w->m->paging;

	p.pat = pat;
	machine_set_paging(w->m, &p, true);
	oracle_flushed(w->oracle);
}

/*
 * A kernel that copies on write: it is refused a write, clears the entry, flushes
 * the page, sets the entry. Meanwhile it may do anything else.
 */
static void op_copy_on_write(struct world *w)
{
	enum model_mode mode = mode_now(w);
	u64 gva;

	if (!w->m->tlb_count)
		return;
	gva = mode_address(mode, w->m->tlb[rng_below(&w->rng, w->m->tlb_count)].gva);
	if (rng_chance(&w->rng, 60))
		op_flush(w);
	for (u32 i = 0; i < 20; i++, gva = rng_chance(&w->rng, 60) ? gva + PAGE_SIZE : sibling(w, gva, 1)) {
		struct machine_access a = {
			.gva = mode_address(mode, gva), .kind = {.write = true, .user = i & 1}, .size = 8};
		struct model_result n = machine_naive(w->m, a.gva, READ);
		struct place place = {.mode = mode, .level = 1, .size = mode_entry_bytes(mode)};
		u64 old;

		if (!n.count)
			continue;
		if (!place_at(&place, &n, n.count - 1))
			continue;
		old = peek_entry(w, place);
		if (!n.fault && (old & PTE_W)) {
			edit(w, place, old & ~PTE_W);
			invlpg(w, a.gva);
		}
		if (rng_chance(&w->rng, 50))
			judged_access(
				w, (struct machine_access){.gva = a.gva, .kind = {.user = a.kind.user}, .size = 8});
		judged_access(w, a);
		if (rng_chance(&w->rng, 25))
			one_operation(w);
		if (mode_now(w) != mode)
			return;
		edit(w, place, 0);
		if (rng_chance(&w->rng, 85))
			invlpg(w, a.gva);
		if (rng_chance(&w->rng, 15))
			one_operation(w);
		if (mode_now(w) != mode)
			return;
		tick(w);
		edit(w, place, (rng_chance(&w->rng, 70) ? old : entry_for(w, place)) | PTE_W | PTE_D | PTE_A);
		judged_access(w, a);
		if (rng_chance(&w->rng, 20))
			invlpg(w, mode_address(mode, sibling(w, a.gva, 1)));
	}
}

/* Control bits; most hold at once and flush nothing. */
static void op_control(struct world *w)
{
	const struct shadow_paging *p = &w->m->paging;

	switch (rng_below(&w->rng, 9)) {
	case 0:
	case 1: mov(w, MACHINE_CR0, p->cr0 ^ CR0_WP); break;
	case 2: mov(w, MACHINE_CR0, p->cr0 ^ CR0_CD); break;
	case 3: mov(w, MACHINE_CR4, p->cr4 ^ CR4_SMAP); break;
	case 4: mov(w, MACHINE_CR4, p->cr4 ^ CR4_SMEP); break;
	case 5: mov(w, MACHINE_CR4, p->cr4 ^ CR4_PGE); break;
	case 6: mov(w, MACHINE_CR4, p->cr4 ^ CR4_PSE); break;
	case 7: set_pat(w, p->pat == PAT_RESET ? OTHER_PAT : PAT_RESET); break;
	default: mov(w, MACHINE_EFER, p->efer ^ EFER_NXE); break;
	}
	reads_after_flush(w);
}

static void build(struct world *w)
{
	u32 own = w->m->cpu;
	bool between = w->between;

	w->between = true;
	build_tables(w);
	machine_drop_all(w->m); /* nobody saw it */
	for (u32 i = 0; i < w->cpus; i++) {
		if (i == own)
			continue;
		use_cpu(w, i);
		machine_leave(w->m);
		oracle_flushed(w->oracle);
	}
	use_cpu(w, own);
	w->between = between;
}

static void paging_on(struct world *w)
{
	if (!mov(w, MACHINE_CR0, w->m->paging.cr0 | CR0_PG)) {
		build(w);
		mov(w, MACHINE_CR3, good_cr3(w, MODEL_PAE));
		mov(w, MACHINE_CR0, w->m->paging.cr0 | CR0_PG);
	}
}

static void paging_off(struct world *w)
{
	mov(w, MACHINE_CR0, w->m->paging.cr0 & ~CR0_PG);
	for (u32 i = 0; i < 6; i++) {
		struct place place = any_place(w);
		struct machine_access a = {
			.gva = place.gpa, .kind = any_kind(w), .size = place.size, .value = entry_for(w, place)};

		if (rng_chance(&w->rng, 30))
			a.gva = (u32)odd_page(w);
		judged_access(w, a);
	}
}

/* Paging off for a while: the identity, then back. */
static void op_paging_off(struct world *w)
{
	paging_off(w);
	paging_on(w);
	reads_after_flush(w);
}

/* Another paging format, by way of paging off; the shadows of the old one live on. */
static void set_mode(struct world *w, enum model_mode mode)
{
	const struct shadow_paging *p = &w->m->paging;
	u64 cr4 = p->cr4 & ~(CR4_PAE | CR4_LA57);

	if (mode != MODEL_32)
		cr4 |= CR4_PAE;
	if (mode == MODEL_5L)
		cr4 |= CR4_LA57;
	mov(w, MACHINE_EFER, (p->efer & ~EFER_LME) | (mode_is_long(mode) ? EFER_LME : 0));
	mov(w, MACHINE_CR4, cr4);
	mov(w, MACHINE_CR3, good_cr3(w, mode));
	paging_on(w);
	if (mode_now(w) != mode)
		machine_fail(w->m, "the guest is in mode %u instead of %u", mode_now(w), mode);
}

static void op_mode(struct world *w)
{
	if (!(w->modes & (w->modes - 1)))
		return;
	paging_off(w);
	set_mode(w, any_mode(w));
	reads_after_flush(w);
}

/* CR4.PAE may change with paging on outside of long mode: one CR3, another format. */
static void op_toggle_pae(struct world *w)
{
	if (~w->modes & (GUEST_32 | GUEST_PAE) || mode_is_long(mode_now(w)))
		return;
	if (rng_chance(&w->rng, 50))
		mov(w, MACHINE_CR3, frame(PDPT));
	if (mov(w, MACHINE_CR4, w->m->paging.cr4 ^ CR4_PAE))
		reads_after_flush(w);
}

/*
 * The four PDPTEs of a PAE guest are in the processor: what the guest writes to
 * them counts from the next load on, by MOV CR3 or by what else loads them.
 */
static void op_pdpt(struct world *w)
{
	struct place place = {.mode = MODEL_PAE, .level = 3, .size = 8};

	if (mode_now(w) != MODEL_PAE)
		return;
	for (u32 i = 0; i < 2; i++) {
		place.gpa = (w->m->paging.cr3 & BITS(31, 5)) + 8 * rng_below(&w->rng, 4);
		if (place.gpa - frame(FIRST) < frame(WATCHED))
			edit(w, place, any_entry(w, MODEL_PAE, 3));
	}
	reads_after_flush(w);
	switch (rng_below(&w->rng, 4)) {
	case 0: mov(w, MACHINE_CR3, w->m->paging.cr3); break;
	case 1: mov(w, MACHINE_CR4, w->m->paging.cr4 ^ CR4_PGE); break;
	case 2: mov(w, MACHINE_CR0, w->m->paging.cr0 ^ CR0_CD); break;
	default: invlpg(w, any_gva(w)); break;
	}
	reads_after_flush(w);
}

/* One instruction with several operands: all must be mapped at one moment. */
static void op_instruction(struct world *w)
{
	struct machine_access list[4];
	u32 count = 2 + rng_below(&w->rng, 3);
	struct machine_result r;

	for (u32 i = 0; i < count; i++) {
		struct place place = any_place(w);

		list[i] = (struct machine_access){
			.gva = any_gva(w) + (place.gpa & 0xff8), .kind = any_kind(w), .size = 8};
		list[i].value = entry_for(w, place);
		list[i].kind.user = list[0].kind.user;
		list[i].kind.ac = list[0].kind.ac;
		list[i].kind.fetch = i == 0;
		list[i].kind.implicit = false;
		if (i == 0)
			list[i].kind.write = false;
		TRACE(w, "operand %#llx write %u user %u value %#llx", (unsigned long long)list[i].gva,
		      list[i].kind.write, list[i].kind.user, (unsigned long long)list[i].value);
	}
	r = machine_instruction(w->m, list, count);
	TRACE(w, "  -> %u error %#x exits %u", r.outcome, r.error, r.exits);
}

/* The hypervisor itself reads and writes guest memory (decoder, descriptor tables). */
static void op_guest_copy(struct world *w)
{
	struct model_access k = any_kind(w);
	struct gpt_access ga = {
		.write = k.write, .fetch = k.fetch, .user = k.user, .implicit = k.implicit, .ac = k.ac};
	u64 gva = any_gva(w) + 8 * rng_below(&w->rng, 6), value = any_entry(w, mode_now(w), 1), got = value,
	    fault_gva = 0, old = 0;
	struct model_result n = machine_naive(w->m, gva, k), after;
	struct region_hit hit = {.kind = REGION_RAM};
	u64 between = w->between_count;
	u32 error = 0;
	int result;

	if (!n.fault) {
		region_lookup(&w->m->regions, n.physical >> 12, &hit);
		old = hit.kind == REGION_HIDDEN ? ~0ull : machine_peek(w->m, n.physical);
	}
	TRACE(w, "copy %#llx write %u value %#llx", (unsigned long long)gva, k.write, (unsigned long long)value);
	machine_leave(w->m);
	if (k.write)
		result = shadow_write_guest(w->m->mmu, gva, &value, 8, ga, &fault_gva, &error);
	else
		result = shadow_read_guest(w->m->mmu, gva, &got, 8, ga, &fault_gva, &error);
	w->m->memory_changed(w->m, w->m->ctx, 0, ~0ull, !k.write);
	if (between != w->between_count)
		return;
	if (n.fault) {
		if (result != -EFAULT || error != n.error || fault_gva != gva)
			machine_fail(w->m, "copy at %#llx: result %d error %#x, naive walk %#x",
				     (unsigned long long)gva, result, error, n.error);
		return;
	}
	if (hit.kind == REGION_TRAPPED) {
		if (result != -EIO)
			machine_fail(w->m, "copy of a trapped page gave %d", result);
		return;
	}
	after = machine_naive(w->m, gva, k);
	/* what is read may be an entry of its own path, with or without the marks of this access */
	if (result ||
	    (!k.write && got != old && (hit.kind == REGION_HIDDEN || got != machine_peek(w->m, n.physical))))
		machine_fail(w->m, "copy at %#llx: result %d, read %#llx of %#llx", (unsigned long long)gva,
			     result, (unsigned long long)got, (unsigned long long)old);
	else if (k.write && hit.kind != REGION_HIDDEN && machine_ram(w->m, n.physical) &&
		 machine_peek(w->m, n.physical) != value)
		machine_fail(w->m, "copy to %#llx did not arrive", (unsigned long long)gva);
	else if (!k.write && !after.fault && after.count && !(after.entries[after.count - 1].value & PTE_A))
		machine_fail(w->m, "copy from %#llx without A", (unsigned long long)gva);
}

static void op_translate(struct world *w)
{
	struct model_access k = any_kind(w);
	struct gpt_access ga = {
		.write = k.write, .fetch = k.fetch, .user = k.user, .implicit = k.implicit, .ac = k.ac};
	u64 gva = any_gva(w);
	struct model_result n = machine_naive(w->m, gva, k);
	u64 between = w->between_count;
	struct gpt_walk walk;
	enum gpt_status status;

	machine_leave(w->m);
	status = shadow_translate(w->m->mmu, gva, ga, &walk);

	w->m->memory_changed(w->m, w->m->ctx, 0, ~0ull, true);
	if (between != w->between_count)
		return;
	if (n.fault ? status != GPT_FAULT || walk.error != n.error : status != GPT_OK || walk.gfn != n.physical >> 12)
		machine_fail(w->m, "translate %#llx: status %d", (unsigned long long)gva, (int)status);
}

static void op_drop_all(struct world *w)
{
	TRACE(w, "drop all");
	machine_drop_all(w->m);
}

static void op_rebuild(struct world *w)
{
	TRACE(w, "rebuild");
	build(w);
	mov(w, MACHINE_CR3, good_cr3(w, mode_now(w)));
	reads_after_flush(w);
}

static const struct {
	u32 weight;
	void (*run)(struct world *w);
} operations[] = {
	{300, op_access},       {180, op_edit},      {60, op_tweak},  {60, op_dma},         {120, op_speculate},
	{70, op_invlpg},        {80, op_hot},        {40, op_link},   {40, op_settled},     {15, op_kernel_window},
	{12, op_copy_on_write}, {50, op_cr3},        {15, op_flush},  {40, op_control},     {4, op_paging_off},
	{6, op_mode},           {10, op_toggle_pae}, {30, op_pdpt},   {30, op_instruction}, {25, op_guest_copy},
	{15, op_translate},     {3, op_drop_all},    {2, op_rebuild},
};

static void one_operation(struct world *w)
{
	u32 total = 0, dice;

	if (w->oracle->crowded || (w->step % 16 == 0 && !window_works(w) && rng_chance(&w->rng, 30))) {
		if (w->oracle->crowded)
			op_flush(w);
		else
			op_rebuild(w);
		return;
	}
	for (u32 i = 0; i < ARRAY_SIZE(operations); i++)
		total += operations[i].weight;
	dice = rng_below(&w->rng, total);
	for (u32 i = 0; i < ARRAY_SIZE(operations); i++) {
		if (dice < operations[i].weight) {
			operations[i].run(w);
			return;
		}
		dice -= operations[i].weight;
	}
}

/* --- what other CPUs do meanwhile ------------------------------------------------------ */
static struct machine_access quick_access(struct world *w)
{
	struct place place = any_place(w);
	struct machine_access a = {.kind = any_kind(w), .size = place.size, .value = entry_for(w, place)};
	struct tlb_entry *held;

	if (rng_chance(&w->rng, 50)) {
		a.gva = window(w, (u32)(place.gpa >> 12)) + (place.gpa & 0xfff);
		a.kind = (struct model_access){.write = true, .ac = true};
		return a;
	}
	a.gva = any_gva(w);
	if (w->m->tlb_count && rng_chance(&w->rng, 60)) {
		held = &w->m->tlb[rng_below(&w->rng, w->m->tlb_count)];
		a.gva = held->gva + (rng_below(&w->rng, 512) * PAGE_SIZE & (held->bytes - 1));
	}
	a.gva += place.gpa & 0xff8;
	return a;
}

/* This CPU, which is inside, has been kicked: it goes on for a little with what its TLB and the shadow have. */
static void on_kick(struct machine *m, void *ctx)
{
	struct world *w = current;
	struct oracle *waiting = w->oracle;
	u32 count = rng_below(&w->rng, 4);

	w->oracle = &w->oracles[m->cpu];
	tick(w);
	for (u32 i = 0; i < count; i++) {
		struct machine_access a = quick_access(w);
		struct model_result before = machine_naive(m, a.gva, a.kind);
		struct machine_result r;

		if (!machine_try(m, &a, &r))
			break;
		w->between_count++;
		TRACE(w, "  CPU %u, kicked: access %#llx write %u value %#llx gpa %#llx", m->cpu,
		      (unsigned long long)a.gva, a.kind.write, (unsigned long long)a.value,
		      (unsigned long long)r.gpa);
		oracle_judge(w->oracle, &a, &before, &r);
	}
	w->oracle = waiting;
}

/* The CPU that acts is about to take a lock; others come before it. */
static void before_lock(void)
{
	struct world *w = current;
	u32 own, count;

	if (!w || w->cpus == 1 || w->between || !rng_chance(&w->rng, 8))
		return;
	own = w->m->cpu;
	w->between = true;
	use_cpu(w, (own + 1 + rng_below(&w->rng, w->cpus - 1)) % w->cpus);
	TRACE(w, "  CPU %u meanwhile", w->m->cpu);
	for (count = 1 + rng_below(&w->rng, 3); count; count--) {
		u32 dice = rng_below(&w->rng, 100);
		struct machine_access a = quick_access(w);

		tick(w);
		w->between_count++;
		if (dice < 75)
			judged_access(w, a);
		else if (dice < 92)
			invlpg(w, a.gva);
		else
			op_flush(w);
	}
	tick(w);
	use_cpu(w, own);
	w->between = false;
}

/* --- runs --------------------------------------------------------------------------- */
static u32 number_from(const char *name, u32 standard)
{
	const char *text = getenv(name);

	return text ? (u32)strtoul(text, NULL, 0) : standard;
}

static struct machine_config config_of(u64 seed)
{
	static const u32 tags[] = {1, 2, 3, 8}, bits[] = {36, 40, 46, 51, 52};
	static const u32 pages[] = {0, 64, 70, 96};
	struct rng r;
	struct machine_config c = {.seed = seed};

	rng_seed(&r, ~seed);
	c.tags = tags[rng_below(&r, 4)];
	c.host_phys_bits = bits[rng_below(&r, 5)];
	c.shadow_limit = pages[rng_below(&r, 4)] * PAGE_SIZE;
	c.shift = rng_chance(&r, 30) ? 0x40000000 : 0;
	c.no_1g = rng_chance(&r, 30);
	c.keeps = rng_chance(&r, 30);
	c.pool_bytes = 0x400000;
	c.far = rng_chance(&r, 30); /* tables and data outside of the main region */
	c.hurry = rng_chance(&r, 35) ? 1 + rng_below(&r, 4) : 0;
	/* Or in memory that the region map does not have, which is never elsewhere for the host. */
	if (!c.shift && rng_chance(&r, 40))
		c.foreign = rng_next(&r) & rng_next(&r) & (BIT(WATCHED) - 1);
	return c;
}

/* What the flush checker tells of must be so: the entry was another one since this CPU flushed. */
static void on_stale(struct machine *m, const struct shadow_stale *stale_use)
{
	const struct oracle *o = &current->oracles[stale_use->used.cpu];

	stale_uses++;
	/* To the oracle MOV CR3 flushes global pages as well, and it does not keep what a device has overwritten. */
	if (!stale_use->global && !current->dma &&
	    !oracle_had_other(o, stale_use->entry.v, stale_use->gva, stale_use->bytes))
		machine_fail(m, "a stale use is told of %#llx, whose entry at %#llx has not changed",
			     (unsigned long long)stale_use->gva, (unsigned long long)stale_use->entry.v);
}

static struct world *world_create(u64 seed, u32 modes, u32 cpus, bool single)
{
	struct machine_config c = config_of(seed);
	struct world *w = calloc(1, sizeof(*w));
	struct shadow_paging p = {
		.cr0 = CR0_PE | CR0_WP, .cr4 = CR4_PGE, .efer = EFER_NXE, .phys_bits = c.host_phys_bits};

	current = w;
	w->seed = seed;
	w->modes = modes;
	w->cpus = c.cpus = cpus;
	rng_seed(&w->rng, seed);
	if (cpus > 2 && rng_chance(&w->rng, 40))
		c.numbers = 2 + rng_below(&w->rng, 3);
	if (cpus > 1)
		c.foreign = 0; /* the windows to it would have to be of each CPU */
	w->trace = number_from("UMBRA_TRACE", 0);
	if (checked)
		c.flush_check = SHADOW_FLUSHES_STRICT;
	w->m = machine_create(&c);
	assert_non_null(w->m);
	w->m->stale_use = on_stale;
	w->m->strict = number_from("UMBRA_STRICT", 1);
	w->dma = cpus == 1 && seed % 5 == 0;
	w->m->trace = w->trace;
	w->m->audit = single && !w->dma && cpus == 1;
	w->m->witness = !w->dma && cpus == 1;
	w->m->kicked = on_kick;
	for (u32 i = cpus; i--;) {
		oracle_init(&w->oracles[i], w->m, frame(FIRST), WATCHED, odd_tables, ODD_TABLES);
		w->oracles[i].next = i + 1 < cpus ? &w->oracles[i + 1] : NULL;
	}
	w->oracle = w->oracles;
	p.pages_1g = !c.no_1g && rng_chance(&w->rng, 80);
	p.pat = rng_chance(&w->rng, 50) ? PAT_RESET : OTHER_PAT;
	if (rng_chance(&w->rng, 75))
		p.cr4 |= CR4_PSE;
	for (u32 i = 0; i < cpus; i++) {
		use_cpu(w, i);
		machine_set_paging(w->m, &p, true);
		build(w);
		set_mode(w, any_mode(w));
		op_rebuild(w); /* the lowest tables in this format */
	}
	return w;
}

static void world_destroy(struct world *w)
{
	for (u32 i = 0; i < w->cpus; i++)
		oracle_free(&w->oracles[i]);
	machine_destroy(w->m);
	free(w);
}

/* Runs one seed; false: it failed, and has said why. */
static bool run_seed(u64 seed, u32 modes, u32 cpus, u32 steps, bool single)
{
	struct world *w = world_create(seed, modes, cpus, single);
	bool good;

	host_before_lock = cpus > 1 ? before_lock : NULL;
	for (w->step = 0; w->step < steps && !w->m->broken; w->step++) {
		tick(w);
		if (cpus > 1 && rng_chance(&w->rng, 60))
			use_cpu(w, rng_below(&w->rng, cpus));
		one_operation(w);
		if (w->step % 64 == 63) {
			if (w->dma)
				op_drop_all(w);
			machine_audit(w->m);
		}
	}
	if (w->m->broken)
		printf("UMBRA_SEED=%llu mode %u step %u: %s\n", (unsigned long long)seed, mode_now(w), w->step - 1,
		       w->m->failure);
	good = !w->m->broken;
	stale += w->m->stale;
	detaches += shadow_stat(w->m->shadow, SHADOW_STAT_detaches);
	kicks += shadow_stat(w->m->shadow, SHADOW_STAT_kicks);
	host_before_lock = NULL;
	current = NULL;
	world_destroy(w);
	return good;
}

static void on_abort(int signal_number)
{
	char text[64];
	int length;

	if (!current)
		return;
	length = snprintf(text, sizeof(text), "UMBRA_SEED=%llu step %u: abort\n",
			  (unsigned long long)current->seed, current->step);
	(void)!write(2, text, (size_t)length);
}

/* percent: of the seeds that 4-level guests have. */
static void run_guests(u32 modes, u32 cpus, u32 percent)
{
	u32 steps = number_from("UMBRA_STEPS", 2000), seeds = number_from("UMBRA_SEEDS", 300), failed = 0;
	const char *one = getenv("UMBRA_SEED");

	signal(SIGABRT, on_abort);
	if (one) {
		assert_true(run_seed(strtoull(one, NULL, 0), modes, cpus, steps, true));
		return;
	}
	for (u32 seed = 1; seed <= (seeds * percent + 99) / 100 && failed < 3; seed++)
		failed += !run_seed(seed, modes, cpus, steps, false);
	assert_int_equal(failed, 0);
}

/* adversarial: 6, 11, 40, 43 */
static void random_4_level_guests(void **state)
{
	run_guests(GUEST_4L, 1, 100);
	assert_true(detaches || getenv("UMBRA_SEED")); /* copy-on-write is part of it */
	assert_true(stale || getenv("UMBRA_SEED"));
}

/* adversarial: 6, 11, 40, 43 */
static void random_5_level_guests(void **state)
{
	run_guests(GUEST_5L, 1, 60);
}
/* adversarial: 6, 11, 40, 43 */
static void random_pae_guests(void **state)
{
	run_guests(GUEST_PAE, 1, 100);
}
/* adversarial: 6, 11, 40, 43 */
static void random_32_bit_guests(void **state)
{
	run_guests(GUEST_32, 1, 100);
}

/* Up to long mode and back, as a boot loader and a kernel do, and any other way. */
/* adversarial: 6, 11, 40, 43 */
static void random_guests_that_change_their_mode(void **state)
{
	run_guests(GUEST_32 | GUEST_PAE | GUEST_4L | GUEST_5L, 1, 100);
}

/* adversarial: 6, 11, 40, 43 */
static void random_guests_between_32_bit_and_pae(void **state)
{
	run_guests(GUEST_32 | GUEST_PAE, 1, 60);
}

/* adversarial: 6, 40, 43 */
static void random_4_level_guests_on_several_cpus(void **state)
{
	run_guests(GUEST_4L, 2, 60);
	run_guests(GUEST_4L, 4, 30);
	assert_true(kicks || getenv("UMBRA_SEED"));
}

/* adversarial: 6, 40, 43 */
static void random_pae_guests_on_several_cpus(void **state)
{
	run_guests(GUEST_PAE, 2, 30);
}

/* adversarial: 6, 40, 43 */
static void random_32_bit_guests_on_several_cpus(void **state)
{
	run_guests(GUEST_32, 3, 30);
}

/* adversarial: 6, 11, 40, 43 */
static void random_guests_whose_flushes_are_checked(void **state)
{
	checked = true;
	run_guests(GUEST_4L, 1, 30);
	run_guests(GUEST_4L, 3, 20);
	run_guests(GUEST_32 | GUEST_PAE | GUEST_4L | GUEST_5L, 1, 30);
	assert_true(stale_uses || getenv("UMBRA_SEED"));
	checked = false;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_4_level_guests),
		cmocka_unit_test(random_5_level_guests),
		cmocka_unit_test(random_pae_guests),
		cmocka_unit_test(random_32_bit_guests),
		cmocka_unit_test(random_guests_that_change_their_mode),
		cmocka_unit_test(random_guests_between_32_bit_and_pae),
		cmocka_unit_test(random_4_level_guests_on_several_cpus),
		cmocka_unit_test(random_pae_guests_on_several_cpus),
		cmocka_unit_test(random_32_bit_guests_on_several_cpus),
		cmocka_unit_test(random_guests_whose_flushes_are_checked),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
