/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual CPUs in parallel; see tests/unit/vcpu.h. */
#include "tests/unit/host.h"

#include <stdio.h>
#include <string.h>

#include "lib/bits.h"
#include "lib/x86.h"
#include "mm/phys.h"
#include "tests/unit/hurry.h"
#include "tests/unit/vcpu.h"

/* So many exits without progress are a livelock, however the others disturb. */
#define EXITS_MAX 5000u

void vm_fail(struct vm *vm, const char *format, ...)
{
	va_list args;

	if (__atomic_exchange_n(&vm->failed, 1, __ATOMIC_ACQ_REL))
		return;
	va_start(args, format);
	vsnprintf(vm->failure, sizeof(vm->failure), format, args);
	va_end(args);
	fprintf(stderr, "%s\n", vm->failure);
}

/* --- what the engine asks of a CPU --------------------------------------------------- */
static void on_flush(void *cpu, u32 tag)
{
	struct vcpu *c = cpu;

	if (c->running)
		vm_fail(c->vm, "CPU %u is to flush while it is inside", c->number);
	if (c->pending_count == ARRAY_SIZE(c->pending))
		c->pending_count = tag = 0; /* everything is more */
	c->pending[c->pending_count++] = (struct vcpu_flush){.tag = tag};
}

static void on_flush_page(void *cpu, u32 tag, gva_t gva)
{
	struct vcpu *c = cpu;

	if (c->running)
		vm_fail(c->vm, "CPU %u is to flush a page while it is inside", c->number);
	if (c->pending_count == ARRAY_SIZE(c->pending))
		on_flush(cpu, 0);
	else
		c->pending[c->pending_count++] = (struct vcpu_flush){.tag = tag, .page = true, .gva = gva};
}

static void on_kick(void *cpu)
{
	struct vcpu *c = cpu;

	__atomic_store_n(&c->kicked, 1, __ATOMIC_RELEASE);
}

static void on_trap_invlpg(void *cpu, bool on)
{
	struct vcpu *c = cpu;

	if (!on)
		vm_fail(c->vm, "CPU %u of several has INVLPG for itself", c->number);
}

static const struct shadow_ops vcpu_ops = {
	.flush = on_flush, .flush_page = on_flush_page, .trap_invlpg = on_trap_invlpg, .kick = on_kick};

/* --- creation --------------------------------------------------------------------------- */
static void make_regions(struct vm *vm)
{
	region_init(&vm->regions);
	if (region_add(&vm->regions, 0, VM_FRAMES, 0, REGION_RAM) ||
	    region_add(&vm->regions, VM_FRAMES, (VM_POOL + VM_POOL_MAX - VM_RAM) >> 12, VM_FRAMES, REGION_HIDDEN))
		panic("regions");
	region_seal(&vm->regions);
}

void vm_create(struct vm *vm, const struct vm_config *config)
{
	struct shadow_config sc;

	memset(vm, 0, sizeof(*vm));
	vm->config = *config;
	if (!vm->config.pool_bytes)
		vm->config.pool_bytes = VM_POOL_MAX;
	host_arena_create_at(0, VM_POOL + VM_POOL_MAX);
	make_regions(vm);
	sc = (struct shadow_config){
		.pool = hpa(VM_POOL),
		.pool_bytes = vm->config.pool_bytes,
		.shadow_limit = config->shadow_limit,
		.cpus = config->cpus,
		.host_phys_bits = 40,
		.pages_1g = true,
		.tags = config->tags,
		.regions = &vm->regions,
		.ones_page = hpa(VM_ONES),
	};
	vm->shadow = shadow_create(&sc);
	if (!vm->shadow)
		panic("no shadow engine");
	hurry_set(vm->shadow, config->hurry);
	for (u32 i = 0; i < config->cpus; i++) {
		struct vcpu *c = &vm->cpu[i];

		c->vm = vm;
		c->number = i;
		rng_seed(&c->rng, config->seed * 64 + i);
		c->paging = (struct shadow_paging){
			.cr0 = CR0_PE, .pat = PAT_RESET, .phys_bits = 40, .pages_1g = true, .efer = EFER_NXE};
		c->mmu = shadow_mmu_create(vm->shadow, &vcpu_ops, c, hpa(VM_LOW + i * SHADOW_PDPT_BYTES));
		if (!c->mmu)
			panic("no CPU %u", i);
	}
}

void vm_destroy(struct vm *vm)
{
	host_arena_destroy();
}

/* --- entry and exit ------------------------------------------------------------------------ */
static u64 prefix_of(u64 gva, u32 level)
{
	return gva >> (12 + 9 * level);
}

/* INVLPG drops all upper entries, a #PF those of the address (SDM vol. 3 section 4.10.4.1). */
static void drop_page(struct vcpu *c, u32 tag, u64 gva, bool all_upper)
{
	u32 kept = 0;

	for (u32 i = 0; i < c->tlb_count; i++)
		if (c->tlb[i].tag != tag || c->tlb[i].page != gva >> 12)
			c->tlb[kept++] = c->tlb[i];
	c->tlb_count = kept;
	kept = 0;
	for (u32 i = 0; i < c->upper_count; i++)
		if (c->upper[i].tag != tag ||
		    !(all_upper || c->upper[i].prefix == prefix_of(gva, c->upper[i].level)))
			c->upper[kept++] = c->upper[i];
	c->upper_count = kept;
}

static void drop_tag(struct vcpu *c, u32 tag)
{
	u32 kept = 0;

	for (u32 i = 0; i < c->tlb_count; i++)
		if (tag && c->tlb[i].tag != tag)
			c->tlb[kept++] = c->tlb[i];
	c->tlb_count = kept;
	kept = 0;
	for (u32 i = 0; i < c->upper_count; i++)
		if (tag && c->upper[i].tag != tag)
			c->upper[kept++] = c->upper[i];
	c->upper_count = kept;
}

static void apply_flushes(struct vcpu *c)
{
	for (u32 i = 0; i < c->pending_count; i++) {
		if (c->pending[i].page)
			drop_page(c, c->pending[i].tag, c->pending[i].gva, true);
		else
			drop_tag(c, c->pending[i].tag);
	}
	c->pending_count = 0;
}

/* As the run loops do it. */
static void enter(struct vcpu *c)
{
	if (c->running)
		return;
	if (shadow_entry_due(c->mmu))
		c->root = shadow_prepare_entry(c->mmu, &c->tag);
	while (!shadow_enter(c->mmu))
		c->root = shadow_prepare_entry(c->mmu, &c->tag);
	if (c->tag < 1 || c->tag > c->vm->config.tags)
		vm_fail(c->vm, "tag %u", c->tag);
	apply_flushes(c);
	c->running = true;
}

void vcpu_leave(struct vcpu *c)
{
	if (!c->running)
		return;
	c->running = false;
	c->exits++;
	shadow_leave(c->mmu);
}

void vcpu_poll(struct vcpu *c)
{
	if (__atomic_load_n(&c->kicked, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&c->kicked, 0, __ATOMIC_RELAXED);
		vcpu_leave(c);
	}
}

/* --- hardware -------------------------------------------------------------------------------- */
/* A table that the hardware reads is one of the pool's pages. */
static const u64 *pool_table(struct vcpu *c, u64 table)
{
	if (table - VM_POOL >= c->vm->config.pool_bytes || (table & (PAGE_SIZE - 1))) {
		vm_fail(c->vm, "CPU %u walks a table at %#llx", c->number, (unsigned long long)table);
		return NULL;
	}
	return phys_to_virt(hpa(table));
}

static void keep_upper(struct vcpu *c, u64 gva, u32 level, u64 table)
{
	struct vcpu_upper e = {.tag = c->tag, .prefix = prefix_of(gva, level), .level = level, .table = table};

	for (u32 i = 0; i < c->upper_count; i++)
		if (c->upper[i].tag == e.tag && c->upper[i].prefix == e.prefix && c->upper[i].level == level &&
		    c->upper[i].table == table)
			return;
	c->upper[c->upper_count < VCPU_UPPER ? c->upper_count++ : rng_below(&c->rng, VCPU_UPPER)] = e;
}

static void keep_leaf(struct vcpu *c, const struct vcpu_leaf *e)
{
	c->tlb[c->tlb_count < VCPU_TLB ? c->tlb_count++ : rng_below(&c->rng, VCPU_TLB)] = *e;
}

/* Rights are in leaves alone (S4); every entry has A, and a writable one D: the hardware writes nothing. */
static bool leaf_of(struct vcpu *c, u64 gva, u32 level, u64 e, struct vcpu_leaf *out)
{
	u64 in_leaf = (gva >> 12) & ((1ull << (9 * (level - 1))) - 1);

	*out = (struct vcpu_leaf){
		.tag = c->tag,
		.page = gva >> 12,
		.frame = ((e & PTE_ADDR_MASK) >> 12 & ~((1ull << (9 * (level - 1))) - 1)) + in_leaf,
		.w = e & PTE_W,
		.u = e & PTE_U,
		.x = !(e & PTE_NX),
	};
	if (!(e & PTE_A) || ((e & PTE_W) && !(e & PTE_D)))
		vm_fail(c->vm, "a shadow leaf %#llx without A or D", (unsigned long long)e);
	return true;
}

/* keep: through the caches of upper entries, and into them. */
static bool walk(struct vcpu *c, u64 gva, bool keep, struct vcpu_leaf *out)
{
	u64 table = c->root.v, e;
	u32 level = 4, count = 1;

	for (u32 i = 0; keep && i < c->upper_count; i++) {
		const struct vcpu_upper *p = &c->upper[i];

		if (p->tag == c->tag && p->prefix == prefix_of(gva, p->level) && rng_below(&c->rng, ++count) == 0) {
			table = p->table;
			level = p->level;
		}
	}
	for (;;) {
		const u64 *entries = pool_table(c, table);

		if (!entries)
			return false;
		e = __atomic_load_n(&entries[(gva >> (12 + 9 * (level - 1))) & 511], __ATOMIC_RELAXED);
		if (!(e & PTE_P))
			return false;
		if (level == 1 || (e & PTE_PS))
			return leaf_of(c, gva, level, e, out);
		table = e & PTE_ADDR_MASK;
		level--;
		if (keep)
			keep_upper(c, gva, level, table);
	}
}

static bool allowed(const struct vcpu_leaf *e, struct model_access a)
{
	return (e->w || !a.write) && (e->u || !a.user) && (e->x || !a.fetch);
}

/* Some cached translation of the page; which one is up to the hardware. */
static const struct vcpu_leaf *tlb_find(struct vcpu *c, u64 gva)
{
	const struct vcpu_leaf *found = NULL;
	u32 count = 0;

	for (u32 i = 0; i < c->tlb_count; i++)
		if (c->tlb[i].tag == c->tag && c->tlb[i].page == gva >> 12 && rng_below(&c->rng, ++count) == 0)
			found = &c->tlb[i];
	return found;
}

static bool translate(struct vcpu *c, u64 gva, struct model_access a, struct vcpu_leaf *out, u32 *error)
{
	const struct vcpu_leaf *hit = tlb_find(c, gva);
	bool present = true;

	if (hit && rng_chance(&c->rng, 85)) {
		*out = *hit;
		if (allowed(out, a))
			return true;
	} else {
		present = walk(c, gva, true, out);
		if (present && allowed(out, a)) {
			keep_leaf(c, out);
			return true;
		}
	}
	*error = (present ? PF_P : 0) | (a.write ? PF_W : 0) | (a.user ? PF_U : 0) | (a.fetch ? PF_ID : 0);
	drop_page(c, c->tag, gva, false);
	return false;
}

bool vcpu_reach(struct vcpu *c, u64 gva, struct model_access kind, u64 **word, u32 *error)
{
	struct shadow_fault fault = {0};
	struct vcpu_leaf e;

	for (u32 tries = 0; tries < EXITS_MAX && !vm_failed(c->vm); tries++) {
		vcpu_poll(c);
		enter(c);
		if (translate(c, gva, kind, &e, error)) {
			if (e.frame >= VM_FRAMES) {
				vm_fail(c->vm, "CPU %u: %#llx reached frame %#llx", c->number,
					(unsigned long long)gva, (unsigned long long)e.frame);
				break;
			}
			*word = phys_to_virt(hpa(e.frame << 12 | (gva & 0xff8)));
			return true;
		}
		vcpu_leave(c);
		switch (shadow_handle_fault(c->mmu, gva, *error, kind.user ? 3 : 0, RFLAGS_FIXED, &fault)) {
		case SHADOW_FIXED:
		case SHADOW_RETRY: break;
		case SHADOW_INJECT: *error = fault.error; return false;
		case SHADOW_EMULATE:
			vm_fail(c->vm, "CPU %u: %#llx is emulated", c->number, (unsigned long long)gva);
			break;
		}
	}
	vm_fail(c->vm, "CPU %u: livelock at %#llx, error %#x", c->number, (unsigned long long)gva, *error);
	*error = 0;
	return false;
}

void vcpu_speculate(struct vcpu *c, u64 gva)
{
	struct vcpu_leaf e;

	vcpu_poll(c);
	enter(c);
	if (walk(c, gva, true, &e))
		keep_leaf(c, &e);
}

/* --- instructions that exit ---------------------------------------------------------------------- */
void vcpu_load_cr3(struct vcpu *c, u64 cr3)
{
	vcpu_leave(c);
	while (!shadow_set_cr3(c->mmu, cr3))
		;
	c->paging.cr3 = cr3;
}

void vcpu_invlpg(struct vcpu *c, u64 gva)
{
	vcpu_leave(c);
	shadow_invlpg(c->mmu, gva);
}

void vcpu_flush(struct vcpu *c)
{
	vcpu_leave(c);
	shadow_flush_guest(c->mmu);
}

void vcpu_set_cr0(struct vcpu *c, u64 cr0)
{
	vcpu_leave(c);
	c->paging.cr0 = cr0;
	if (cr0 & CR0_PG)
		c->paging.efer |= EFER_LME | EFER_LMA;
	shadow_set_paging(c->mmu, &c->paging, false);
}

/* --- the naive walk --------------------------------------------------------------------------------- */
static u64 read_for_model(void *ctx, u64 address, u32 size)
{
	return address < VM_RAM ? __atomic_load_n(vm_word(address), __ATOMIC_RELAXED) : ~0ull;
}

void vcpu_compare(struct vcpu *c, u64 gva)
{
	struct model_state s = {.mode = MODEL_4L,
				.maxphyaddr = 40,
				.cr3 = c->paging.cr3,
				.wp = c->paging.cr0 & CR0_WP,
				.nxe = true,
				.pages_1g = true};
	struct model_memory memory = {.read = read_for_model};
	struct model_result n;
	struct vcpu_leaf e;

	if (shadow_entry_due(c->mmu))
		c->root = shadow_prepare_entry(c->mmu, &c->tag);
	if (!walk(c, gva, false, &e))
		return;
	model_walk(&s, &memory, gva, (struct model_access){0}, &n);
	if (n.fault || n.physical >> 12 != e.frame || (e.w && !n.w && s.wp) || (e.u && !n.u) || (e.x && !n.x))
		vm_fail(c->vm,
			"CPU %u at %#llx: the shadow has frame %#llx %s%s%s, the guest's tables %s %#llx %s%s%s",
			c->number, (unsigned long long)gva, (unsigned long long)e.frame, e.w ? "w" : "-",
			e.u ? "u" : "-", e.x ? "x" : "-", n.fault ? "fault" : "frame",
			(unsigned long long)n.physical >> 12, n.w ? "w" : "-", n.u ? "u" : "-", n.x ? "x" : "-");
}
