/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest kernel on several virtual CPUs; see tests/unit/smp_guest.h. */
#include "tests/unit/host.h"

#include <string.h>

#include "lib/bits.h"
#include "lib/x86.h"
#include "tests/unit/host_pause.h"
#include "mm/phys.h"
#include "tests/unit/smp_guest.h"

#define KERNEL_WRITE ((struct model_access){.write = true})
#define KERNEL_READ ((struct model_access){0})

/* The kernel's tables: frames. */
enum { LINEAR_L3 = 1, LINEAR_L2, LINEAR_L1, LINEAR_L1_HIGH, LARGE_L3, LARGE_L2, WINDOW_L3, WINDOW_L2, WINDOW_L1 };

static u32 get(const u32 *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}
static void set(u32 *word, u32 value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}
static u64 entry(u32 frame, u64 bits)
{
	return (u64)frame << 12 | bits;
}
static u32 frame_of(u64 e)
{
	return (u32)((e & PTE_ADDR_MASK) >> 12);
}
static u32 frame_reached(const u64 *word)
{
	return (u32)(((uintptr_t)word - (uintptr_t)vm_word(0)) >> 12);
}

/* --- between instructions ------------------------------------------------------------- */
void smp_poll(struct smp *g, struct vcpu *c)
{
	vcpu_poll(c);
	for (u32 from = 0; from < g->cpus; from++) {
		struct message *m = &g->message[c->number][from];
		u32 sent = get(&m->sent);

		if (sent == m->done)
			continue;
		if (m->gva)
			vcpu_invlpg(c, m->gva);
		else if (rng_chance(&c->rng, 50))
			vcpu_load_cr3(c, c->paging.cr3);
		else
			vcpu_flush(c);
		set(&m->done, sent);
	}
}

static void wait_a_little(struct smp *g, struct vcpu *c)
{
	smp_poll(g, c);
	host_pause();
}

static void lock(struct smp *g, struct vcpu *c, u32 *word)
{
	while (__atomic_exchange_n(word, 1, __ATOMIC_SEQ_CST) && !vm_failed(&g->vm))
		wait_a_little(g, c);
}
static bool try_lock(u32 *word)
{
	return !__atomic_exchange_n(word, 1, __ATOMIC_SEQ_CST);
}
static void unlock(u32 *word)
{
	set(word, 0);
}

void smp_meet(struct smp *g, struct vcpu *c, u32 which)
{
	u32 all = (__atomic_fetch_add(&g->arrived[which], 1, __ATOMIC_SEQ_CST) / g->cpus + 1) * g->cpus;

	while (get(&g->arrived[which]) < all && !vm_failed(&g->vm))
		wait_a_little(g, c);
	vcpu_leave(c);
}

static void flush_here(struct vcpu *c, u64 gva)
{
	if (gva)
		vcpu_invlpg(c, gva);
	else if (rng_chance(&c->rng, 70))
		vcpu_load_cr3(c, c->paging.cr3);
	else
		vcpu_flush(c);
}

void smp_shootdown(struct smp *g, struct vcpu *c, u32 targets, u64 gva)
{
	bool first = rng_chance(&c->rng, 50);

	if (first)
		flush_here(c, gva);
	for (u32 to = 0; to < g->cpus; to++) {
		struct message *m = &g->message[to][c->number];

		if (to == c->number || !(targets & BIT(to)))
			continue;
		m->gva = gva;
		set(&m->sent, m->sent + 1);
	}
	if (!first)
		flush_here(c, gva);
	for (u32 to = 0; to < g->cpus; to++) {
		struct message *m = &g->message[to][c->number];

		while (to != c->number && get(&m->done) != m->sent && !vm_failed(&g->vm))
			wait_a_little(g, c);
	}
}

/* --- the kernel's accesses ---------------------------------------------------------------- */
static u64 dummy[VM_CPUS_MAX];

static u64 *kernel_word(struct smp *g, struct vcpu *c, u64 gpa, bool write)
{
	u64 *word, gva = (rng_chance(&c->rng, 75) ? LINEAR : LARGE) + gpa;
	u32 error;

	smp_poll(g, c);
	if (vcpu_reach(c, gva, write ? KERNEL_WRITE : KERNEL_READ, &word, &error)) {
		if (word == vm_word(gpa))
			return word;
		vm_fail(&g->vm, "CPU %u: %#llx in the linear map reached frame %#x", c->number,
			(unsigned long long)gva, frame_reached(word));
	} else {
		vm_fail(&g->vm, "CPU %u: #PF at %#llx in the linear map", c->number, (unsigned long long)gva);
	}
	return &dummy[c->number];
}

static u64 load(struct smp *g, struct vcpu *c, u64 gpa)
{
	return __atomic_load_n(kernel_word(g, c, gpa, false), __ATOMIC_SEQ_CST);
}
/* A plain store or a locked one: the same to others. */
static u64 exchange(struct smp *g, struct vcpu *c, u64 gpa, u64 value)
{
	return __atomic_exchange_n(kernel_word(g, c, gpa, true), value, __ATOMIC_SEQ_CST);
}
/* As the emulator does it, of a store that it has to carry out. */
static void store_emulated(struct smp *g, struct vcpu *c, u64 gpa, u64 value)
{
	gva_t fault;
	u32 error;

	vcpu_leave(c);
	if (shadow_write_guest(c->mmu, LINEAR + gpa, &value, sizeof(value), (struct gpt_access){.write = true},
			       &fault, &error))
		vm_fail(&g->vm, "CPU %u: an emulated store to %#llx fails", c->number, (unsigned long long)gpa);
}
static void exchange_emulated(struct smp *g, struct vcpu *c, u64 gpa, u64 value)
{
	u64 expected = load(g, c, gpa);
	gva_t fault;
	u32 error;

	vcpu_leave(c);
	if (shadow_exchange_guest(c->mmu, LINEAR + gpa, &expected, &value, sizeof(value),
				  (struct gpt_access){.write = true}, &fault, &error))
		vm_fail(&g->vm, "CPU %u: an emulated locked store to %#llx fails", c->number,
			(unsigned long long)gpa);
}
/* Where nobody sets A or D at the same time. */
static void store(struct smp *g, struct vcpu *c, u64 gpa, u64 value)
{
	if (rng_chance(&c->rng, 80))
		exchange(g, c, gpa, value);
	else if (rng_chance(&c->rng, 50))
		store_emulated(g, c, gpa, value);
	else
		exchange_emulated(g, c, gpa, value);
}
static u64 clear_bits(struct smp *g, struct vcpu *c, u64 gpa, u64 bits)
{
	return __atomic_fetch_and(kernel_word(g, c, gpa, true), ~bits, __ATOMIC_SEQ_CST);
}
static u64 set_bits(struct smp *g, struct vcpu *c, u64 gpa, u64 bits)
{
	return __atomic_fetch_or(kernel_word(g, c, gpa, true), bits, __ATOMIC_SEQ_CST);
}

/* --- frames ----------------------------------------------------------------------------------- */
static u32 frame_get(struct smp *g, struct vcpu *c, u32 owner)
{
	u32 f = 0;

	lock(g, c, &g->frames_lock);
	if (g->free_count) {
		u32 i = rng_chance(&c->rng, 50) ? g->free_count - 1 : rng_below(&c->rng, g->free_count);

		f = g->free[i];
		g->free[i] = g->free[--g->free_count];
	}
	unlock(&g->frames_lock);
	if (!f)
		return 0;
	set(&g->frame[f].refs, 1);
	set(&g->frame[f].shared, 0);
	set(&g->frame[f].owner, owner);
	return f;
}

/* No CPU may reach it any more. */
static void frame_put(struct smp *g, struct vcpu *c, u32 f)
{
	if (__atomic_fetch_sub(&g->frame[f].refs, 1, __ATOMIC_SEQ_CST) != 1)
		return;
	set(&g->frame[f].owner, OWNER_FREE);
	lock(g, c, &g->frames_lock);
	g->free[g->free_count++] = f;
	unlock(&g->frames_lock);
}

static u32 table_get(struct smp *g, struct vcpu *c)
{
	u32 f = frame_get(g, c, OWNER_TABLE);

	for (u32 i = 0; f && i < SLOTS; i++)
		store(g, c, entry(f, i * 8), 0);
	return f;
}

static u64 place(const struct process *p, u32 page)
{
	u32 table = p->l1[page / SLOTS];

	return table ? entry(table, page % SLOTS * 8) : 0;
}

/* --- judged accesses ------------------------------------------------------------------------------ */
static void judge(struct smp *g, struct vcpu *c, u64 gva, const u64 *word, u32 owner, bool write)
{
	u32 f = frame_reached(word);
	struct smp_frame *frame = &g->frame[f];

	if (get(&frame->owner) != owner)
		vm_fail(&g->vm, "CPU %u: %#llx reached frame %#x, which is %#x's and not %#x's", c->number,
			(unsigned long long)gva, f, get(&frame->owner), owner);
	if (!write)
		return;
	if (get(&frame->shared))
		vm_fail(&g->vm, "CPU %u: %#llx writes to frame %#x, which is shared", c->number,
			(unsigned long long)gva, f);
	__atomic_fetch_add(&frame->writes, 1, __ATOMIC_SEQ_CST);
}

bool smp_user(struct smp *g, struct vcpu *c, u32 page, bool write)
{
	/* With CR0.WP clear the kernel may write to what is read-only: it takes care not to. */
	struct model_access kind = {.write = write, .user = !(c->paging.cr0 & CR0_WP) || rng_chance(&c->rng, 80)};
	u64 gva = user_gva(page) + 8 * rng_below(&c->rng, 3), *word;
	u32 error;

	smp_poll(g, c);
	if (!vcpu_reach(c, gva, kind, &word, &error))
		return false;
	judge(g, c, gva, word, OWNER_PAGE + page, write);
	if (write)
		__atomic_store_n(word, gva, __ATOMIC_SEQ_CST);
	else
		(void)__atomic_load_n(word, __ATOMIC_SEQ_CST);
	return true;
}

void smp_window(struct smp *g, struct vcpu *c, u32 i, bool write)
{
	u64 gva = WINDOW + ((u64)i << 12), *word;
	u32 error;

	smp_poll(g, c);
	if (!vcpu_reach(c, gva, write ? KERNEL_WRITE : KERNEL_READ, &word, &error))
		return;
	judge(g, c, gva, word, OWNER_WINDOW + i, write);
	if (write)
		__atomic_store_n(word, gva, __ATOMIC_SEQ_CST);
}

/* --- faults ------------------------------------------------------------------------------------------- */
static bool table_make(struct smp *g, struct vcpu *c, struct process *p, u32 which)
{
	u32 f;

	if (p->l1[which])
		return true;
	f = table_get(g, c);
	if (!f)
		return false;
	p->l1[which] = f;
	store(g, c, entry(p->l2, which * 8), entry(f, PTE_P | PTE_W | PTE_U));
	return true;
}

/* The entry is absent, and no CPU has another. */
static bool page_make(struct smp *g, struct vcpu *c, struct process *p, u32 page)
{
	u32 f = frame_get(g, c, OWNER_PAGE + page);

	if (!f)
		return false;
	p->clean[page] = get(&g->frame[f].writes);
	exchange(g, c, entry(f, 8), page);
	store(g, c, place(p, page), entry(f, PTE_P | PTE_W | PTE_U | (rng_chance(&c->rng, 50) ? PTE_A | PTE_D : 0)));
	return true;
}

/* old: the entry that went, or lost D; every CPU has flushed since. writes: how many there were then. */
static void check_clean(struct smp *g, struct vcpu *c, const struct process *p, u32 page, u64 old, u32 writes)
{
	if (!(old & PTE_D) && writes != p->clean[page])
		vm_fail(&g->vm, "CPU %u: page %u of frame %#x was written to %u times without D", c->number, page,
			frame_of(old), writes - p->clean[page]);
}

static void check_clean_gone(struct smp *g, struct vcpu *c, const struct process *p, u32 page, u64 old)
{
	check_clean(g, c, p, page, old, get(&g->frame[frame_of(old)].writes));
}

static bool copy_on_write(struct smp *g, struct vcpu *c, struct process *p, u32 page, u64 old)
{
	u32 f = frame_of(old);

	if (get(&g->frame[f].refs) == 1) {
		set(&g->frame[f].shared, 0);
		set_bits(g, c, place(p, page), PTE_W);
		return true;
	}
	old = exchange(g, c, place(p, page), 0);
	smp_shootdown(g, c, get(&p->cpus), user_gva(page));
	check_clean_gone(g, c, p, page, old);
	frame_put(g, c, f);
	return page_make(g, c, p, page);
}

void smp_fault(struct smp *g, struct vcpu *c, u32 page, bool write)
{
	struct process *p = &g->process[g->current[c->number]];
	bool good = true;
	u64 e;

	lock(g, c, &p->lock);
	if (table_make(g, c, p, page / SLOTS)) {
		e = load(g, c, place(p, page));
		if (!(e & PTE_P))
			good = page_make(g, c, p, page);
		else if (write && !(e & PTE_W))
			good = copy_on_write(g, c, p, page, e);
		if (good && rng_chance(&c->rng, 50) && !smp_user(g, c, page, write))
			vm_fail(&g->vm, "CPU %u: #PF at %#llx, which is mapped", c->number,
				(unsigned long long)user_gva(page));
	}
	unlock(&p->lock);
}

void smp_touch(struct smp *g, struct vcpu *c, u32 page, bool write)
{
	for (u32 i = 0; i < 4 && !smp_user(g, c, page, write) && !vm_failed(&g->vm); i++)
		smp_fault(g, c, page, write);
}

/* --- taking away ------------------------------------------------------------------------------------------ */
void smp_unmap(struct smp *g, struct vcpu *c, u32 page)
{
	struct process *p = &g->process[g->current[c->number]];

	lock(g, c, &p->lock);
	if (place(p, page)) {
		u64 old = exchange(g, c, place(p, page), 0);

		if (old & PTE_P) {
			smp_shootdown(g, c, get(&p->cpus), user_gva(page));
			check_clean_gone(g, c, p, page, old);
			frame_put(g, c, frame_of(old));
		}
	}
	unlock(&p->lock);
}

/* As munmap() of 2 MiB: the entries, mostly the table too, one flush for all. */
void smp_unmap_table(struct smp *g, struct vcpu *c, u32 table)
{
	struct process *p = &g->process[g->current[c->number]];
	bool whole = rng_chance(&c->rng, 70);
	u64 old[SLOTS];
	u32 f;

	lock(g, c, &p->lock);
	f = p->l1[table];
	for (u32 i = 0; f && i < SLOTS; i++)
		old[i] = exchange(g, c, entry(f, i * 8), 0);
	if (f && whole) {
		exchange(g, c, entry(p->l2, table * 8), 0);
		p->l1[table] = 0;
	}
	if (f)
		smp_shootdown(g, c, get(&p->cpus), 0);
	for (u32 i = 0; f && i < SLOTS; i++) {
		if (!(old[i] & PTE_P))
			continue;
		check_clean_gone(g, c, p, table * SLOTS + i, old[i]);
		frame_put(g, c, frame_of(old[i]));
	}
	if (f && whole)
		frame_put(g, c, f);
	unlock(&p->lock);
}

void smp_clean(struct smp *g, struct vcpu *c, u32 page)
{
	struct process *p = &g->process[g->current[c->number]];

	lock(g, c, &p->lock);
	if (place(p, page) && (load(g, c, place(p, page)) & PTE_P)) {
		u64 old = clear_bits(g, c, place(p, page), PTE_D);
		u32 writes;

		smp_shootdown(g, c, get(&p->cpus), user_gva(page));
		writes = get(&g->frame[frame_of(old)].writes);
		/* While D is clear there was no write since the shootdown. */
		if (!(load(g, c, place(p, page)) & PTE_D)) {
			check_clean(g, c, p, page, old, writes);
			p->clean[page] = writes;
		}
	}
	unlock(&p->lock);
}

void smp_age(struct smp *g, struct vcpu *c, u32 page)
{
	struct process *p = &g->process[g->current[c->number]];

	lock(g, c, &p->lock);
	if (place(p, page))
		clear_bits(g, c, place(p, page), PTE_A);
	unlock(&p->lock);
}

void smp_forget(struct smp *g, struct vcpu *c, u32 page)
{
	struct process *p = &g->process[g->current[c->number]];

	smp_age(g, c, page);
	vcpu_load_cr3(c, c->paging.cr3);
	__atomic_fetch_or((u64 *)phys_to_virt(hpa(place(p, page))), PTE_A, __ATOMIC_SEQ_CST);
}

void smp_age_emulated(struct smp *g, struct vcpu *c, u32 page, bool locked)
{
	struct process *p = &g->process[g->current[c->number]];

	lock(g, c, &p->lock);
	if (place(p, page))
		(locked ? exchange_emulated : store_emulated)(g, c, place(p, page),
							      load(g, c, place(p, page)) & ~PTE_A);
	unlock(&p->lock);
}

/* --- processes ------------------------------------------------------------------------------------------------ */
static void process_free(struct smp *g, struct vcpu *c, struct process *p)
{
	for (u32 t = 0; t < TABLES; t++)
		if (p->l1[t])
			frame_put(g, c, p->l1[t]);
	if (p->l2)
		frame_put(g, c, p->l2);
	if (p->l3)
		frame_put(g, c, p->l3);
	if (p->root)
		frame_put(g, c, p->root);
	p->root = p->l3 = p->l2 = 0;
	memset(p->l1, 0, sizeof(p->l1));
}

/* Its tables but the lowest, from the top down. */
static bool process_make(struct smp *g, struct vcpu *c, struct process *p)
{
	const u64 bits = PTE_P | PTE_W | PTE_U;

	p->root = table_get(g, c);
	p->l3 = table_get(g, c);
	p->l2 = table_get(g, c);
	if (!p->root || !p->l3 || !p->l2) {
		process_free(g, c, p);
		return false;
	}
	exchange(g, c, entry(p->root, 256 * 8), entry(LINEAR_L3, PTE_P | PTE_W));
	exchange(g, c, entry(p->root, 257 * 8), entry(LARGE_L3, PTE_P | PTE_W));
	exchange(g, c, entry(p->root, 258 * 8), entry(WINDOW_L3, PTE_P | PTE_W));
	exchange(g, c, entry(p->l3, 1 * 8), entry(p->l2, bits));
	exchange(g, c, entry(p->root, 0), entry(p->l3, bits));
	return true;
}

static void copy_entries(struct smp *g, struct vcpu *c, struct process *from, struct process *to, u64 *copied)
{
	for (u32 page = 0; page < PAGES; page++) {
		copied[page] = 0;
		if (!place(from, page) || !table_make(g, c, to, page / SLOTS))
			continue;
		copied[page] = load(g, c, place(from, page));
		if (!(copied[page] & PTE_P)) {
			copied[page] = 0;
			continue;
		}
		if (copied[page] & PTE_W)
			copied[page] = clear_bits(g, c, place(from, page), PTE_W);
		__atomic_fetch_add(&g->frame[frame_of(copied[page])].refs, 1, __ATOMIC_SEQ_CST);
		exchange(g, c, place(to, page), copied[page] & ~(PTE_W | PTE_D));
	}
}

void smp_fork(struct smp *g, struct vcpu *c, u32 child)
{
	struct process *p = &g->process[g->current[c->number]], *q = &g->process[child];
	u64 copied[PAGES];

	lock(g, c, &p->lock);
	if (p != q && try_lock(&q->lock)) {
		if (!q->alive && process_make(g, c, q)) {
			copy_entries(g, c, p, q, copied);
			smp_shootdown(g, c, get(&p->cpus), 0);
			for (u32 page = 0; page < PAGES; page++) {
				struct smp_frame *frame = &g->frame[frame_of(copied[page])];

				if (!copied[page])
					continue;
				set(&frame->shared, 1);
				q->clean[page] = get(&frame->writes);
			}
			q->alive = true;
		}
		unlock(&q->lock);
	}
	unlock(&p->lock);
}

/* Nobody runs it: each who did has loaded CR3 since, and so nothing has to be flushed. */
void smp_exit(struct smp *g, struct vcpu *c, u32 victim)
{
	struct process *p = &g->process[victim];

	if (!try_lock(&p->lock))
		return;
	if (p->alive && !get(&p->cpus)) {
		for (u32 page = 0; page < PAGES; page++) {
			u64 old = place(p, page) ? exchange(g, c, place(p, page), 0) : 0;

			if (!(old & PTE_P))
				continue;
			check_clean_gone(g, c, p, page, old);
			frame_put(g, c, frame_of(old));
		}
		process_free(g, c, p);
		p->alive = false;
	}
	unlock(&p->lock);
}

void smp_switch(struct smp *g, struct vcpu *c, u32 to)
{
	struct process *p = &g->process[to], *old = &g->process[g->current[c->number]];

	if (p == old || !try_lock(&p->lock))
		return;
	if (p->alive) {
		__atomic_fetch_or(&p->cpus, (u32)BIT(c->number), __ATOMIC_SEQ_CST);
		smp_poll(g, c);
		vcpu_load_cr3(c, entry(p->root, 0));
		g->current[c->number] = to;
		__atomic_fetch_and(&old->cpus, ~(u32)BIT(c->number), __ATOMIC_SEQ_CST);
	}
	unlock(&p->lock);
}

void smp_window_remap(struct smp *g, struct vcpu *c, u32 i)
{
	u64 old, at = entry(WINDOW_L1, i * 8);
	u32 f;

	lock(g, c, &g->window_lock);
	old = exchange(g, c, at, 0);
	if (old & PTE_P) {
		smp_shootdown(g, c, ~0u, rng_chance(&c->rng, 80) ? WINDOW + ((u64)i << 12) : 0);
		frame_put(g, c, frame_of(old));
	}
	f = frame_get(g, c, OWNER_WINDOW + i);
	if (f)
		exchange(g, c, at, entry(f, PTE_P | PTE_W));
	unlock(&g->window_lock);
}

/* --- random operations ------------------------------------------------------------------------------------------- */
/* What the hypervisor does on its own on the CPU's behalf. */
static void hypervisor(struct smp *g, struct vcpu *c)
{
	struct gpt_access access = {.user = true};
	u64 gva = user_gva(rng_below(&c->rng, PAGES));
	struct gpt_walk walk;

	vcpu_leave(c);
	switch (rng_below(&c->rng, 3)) {
	case 0: shadow_translate(c->mmu, gva, access, &walk); break;
	case 1: shadow_peek_code(c->mmu, gva); break;
	default: shadow_stat(g->vm.shadow, SHADOW_STAT_walks); break;
	}
}

/* A CPU's CR0.WP is its own, and so are the roots that go with it. */
static void other_role(struct vcpu *c)
{
	vcpu_set_cr0(c, c->paging.cr0 ^ CR0_WP);
}

void smp_operation(struct smp *g, struct vcpu *c)
{
	u32 dice = rng_below(&c->rng, 1000), page = rng_below(&c->rng, PAGES), i = rng_below(&c->rng, WINDOWS);

	smp_poll(g, c);
	if (dice < 560)
		smp_touch(g, c, page, dice & 1);
	else if (dice < 640)
		vcpu_speculate(c, user_gva(page));
	else if (dice < 690)
		smp_window(g, c, i, dice & 1);
	else if (dice < 760)
		smp_unmap(g, c, page);
	else if (dice < 775)
		smp_unmap_table(g, c, page / SLOTS);
	else if (dice < 805)
		smp_clean(g, c, page);
	else if (dice < 825)
		smp_age(g, c, page);
	else if (dice < 845)
		smp_fork(g, c, 1 + rng_below(&c->rng, PROCESSES - 1));
	else if (dice < 870)
		smp_exit(g, c, 1 + rng_below(&c->rng, PROCESSES - 1));
	else if (dice < 920)
		smp_switch(g, c, rng_below(&c->rng, PROCESSES));
	else if (dice < 945)
		smp_window_remap(g, c, i);
	else if (dice < 965)
		vcpu_invlpg(c, user_gva(page));
	else if (dice < 975)
		vcpu_flush(c);
	else if (dice < 990)
		hypervisor(g, c);
	else if (dice < 998)
		other_role(c);
	else if (dice < 999)
		vcpu_leave(c), shadow_drop_all(g->vm.shadow);
	else if (vcpu_leave(c), shadow_audit(c->mmu))
		vm_fail(&g->vm, "shadow_audit between: mismatches");
}

/* --- the beginning and the end ------------------------------------------------------------------------------------ */
static void put(u32 frame, u32 index, u64 value)
{
	*vm_word(entry(frame, index * 8)) = value;
}

static void make_kernel(void)
{
	const u64 bits = PTE_P | PTE_W;

	put(LINEAR_L3, 0, entry(LINEAR_L2, bits));
	put(LINEAR_L2, 0, entry(LINEAR_L1, bits));
	put(LINEAR_L2, 1, entry(LINEAR_L1_HIGH, bits));
	for (u32 f = 0; f < VM_FRAMES; f++)
		put(LINEAR_L1 + f / 512, f % 512, entry(f, bits));
	put(LARGE_L3, 0, entry(LARGE_L2, bits));
	put(LARGE_L2, 0, bits | PTE_PS);
	put(LARGE_L2, 1, 0x200000 | bits | PTE_PS);
	put(WINDOW_L3, 0, entry(WINDOW_L2, bits));
	put(WINDOW_L2, 0, entry(WINDOW_L1, bits));
}

/* The first process, before there is anyone who could make it. */
static void make_first(struct smp *g)
{
	struct process *p = &g->process[0];

	for (u32 i = 0; i < 3; i++) {
		u32 f = g->free[--g->free_count];

		g->frame[f] = (struct smp_frame){.owner = OWNER_TABLE, .refs = 1};
		*(u32 *[]){&p->root, &p->l3, &p->l2}[i] = f;
	}
	put(p->root, 0, entry(p->l3, PTE_P | PTE_W | PTE_U));
	put(p->root, 256, entry(LINEAR_L3, PTE_P | PTE_W));
	put(p->root, 257, entry(LARGE_L3, PTE_P | PTE_W));
	put(p->root, 258, entry(WINDOW_L3, PTE_P | PTE_W));
	put(p->l3, 1, entry(p->l2, PTE_P | PTE_W | PTE_U));
	p->alive = true;
	p->cpus = (u32)BIT(g->cpus) - 1;
}

void smp_create(struct smp *g, const struct vm_config *config, u32 frames)
{
	memset(g, 0, sizeof(*g));
	vm_create(&g->vm, config);
	g->cpus = config->cpus;
	for (u32 f = 0; f < FIRST_FREE; f++)
		g->frame[f] = (struct smp_frame){.owner = OWNER_TABLE, .refs = 1};
	/* From both blocks of 2 MiB. */
	for (u32 i = 0; i < frames; i++)
		g->free[g->free_count++] = i & 1 ? 512 + i / 2 : FIRST_FREE + i / 2;
	make_kernel();
	make_first(g);
	for (u32 i = 0; i < g->cpus; i++) {
		struct vcpu *c = &g->vm.cpu[i];

		c->paging.cr3 = entry(g->process[0].root, 0);
		c->paging.cr4 = CR4_PAE | CR4_PGE;
		vcpu_set_cr0(c, CR0_PE | CR0_PG | CR0_WP);
	}
}

void smp_destroy(struct smp *g)
{
	vm_destroy(&g->vm);
}

void smp_check_pages(struct smp *g, struct vcpu *c)
{
	for (u32 page = 0; page < PAGES; page++)
		vcpu_compare(c, user_gva(page));
	for (u32 i = 0; i < WINDOWS; i++)
		vcpu_compare(c, WINDOW + ((u64)i << 12));
}

void smp_check(struct smp *g)
{
	for (u32 i = 0; i < g->cpus && !vm_failed(&g->vm); i++) {
		struct vcpu *c = &g->vm.cpu[i];
		u32 errors = shadow_audit(c->mmu);

		if (errors)
			vm_fail(&g->vm, "shadow_audit of CPU %u: %u mismatches", i, errors);
		smp_check_pages(g, c);
		for (u64 gpa = 0; gpa < VM_RAM; gpa += PAGE_SIZE) {
			vcpu_compare(c, LINEAR + gpa);
			vcpu_compare(c, LARGE + gpa);
		}
	}
}
