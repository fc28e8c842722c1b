/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated machine; see tests/unit/machine.h. */
#define _GNU_SOURCE /* memfd_create */
#include "tests/unit/host.h"

#include <stdio.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/x86.h"
#include "mm/phys.h"
#include "mm/shadow/accessors.h"
#include "mm/witness/witness.h"
#include "tests/unit/hurry.h"
#include "tests/unit/machine.h"

/* Exits without progress before an access counts as livelocked. */
#define EXITS_MAX 12u
#define EXITS_PER_ACCESS 12u

#define ARENA_BYTES 0x2000000ull
#define ONES_PAGE (MACHINE_HIDDEN + 0x1000)
#define LOW_PAGE (MACHINE_HIDDEN + 0x2000) /* the roots of PAE format of all CPUs */

void machine_fail(struct machine *m, const char *format, ...)
{
	va_list args;

	if (m->broken)
		return;
	m->broken = true;
	va_start(args, format);
	vsnprintf(m->failure, sizeof(m->failure), format, args);
	va_end(args);
}

/* --- physical memory ------------------------------------------------------- */
static bool gpa_is_ram(const struct machine *m, u64 gpa)
{
	if (m->config.far && gpa - MACHINE_SPLIT < PAGE_SIZE)
		return false;
	return gpa < MACHINE_LOW_END || gpa - MACHINE_HIGH < MACHINE_HIGH_END - MACHINE_HIGH ||
	       (m->config.giant && gpa - MACHINE_GIANT < MACHINE_GIANT_END - MACHINE_GIANT);
}

#define FOREIGN_FRAMES 64u
static bool is_foreign(const struct machine *m, u64 gpa)
{
	u64 i = (gpa >> 12) - MACHINE_FOREIGN;

	return i < FOREIGN_FRAMES && (m->config.foreign >> i & 1);
}

void *machine_ram(struct machine *m, u64 gpa)
{
	if (is_foreign(m, gpa))
		return m->foreign_memory + (gpa - MACHINE_FOREIGN * PAGE_SIZE);
	return gpa_is_ram(m, gpa) ? phys_to_virt(hpa(gpa + m->config.shift)) : NULL;
}

u64 machine_peek(struct machine *m, u64 gpa)
{
	u64 value = ~0ull;

	if (machine_ram(m, gpa))
		memcpy(&value, machine_ram(m, gpa), 8);
	return value;
}

void machine_dma(struct machine *m, u64 gpa, u64 value)
{
	memcpy(machine_ram(m, gpa), &value, 8);
	if (m->memory_changed)
		m->memory_changed(m, m->ctx, gpa, 8, false);
}

static u64 read_for_model(void *ctx, u64 address, u32 size)
{
	struct machine *m = ctx;
	u64 value = ~0ull;

	if (machine_ram(m, address))
		memcpy(&value, machine_ram(m, address), size);
	return size == 4 ? (u32)value : value;
}

struct model_memory machine_model_memory(struct machine *m)
{
	return (struct model_memory){.read = read_for_model, .ctx = m};
}

static bool hpa_in_arena(const struct machine *m, u64 address)
{
	return address - m->config.shift < (m->config.giant ? MACHINE_GIANT_END : ARENA_BYTES);
}

/* --- creation ---------------------------------------------------------------- */
static void add_region(struct machine *m, u64 gpa, u64 end, u64 host, enum region_kind kind)
{
	if (region_add(&m->regions, gpa >> 12, (end - gpa) >> 12, host >> 12, kind))
		abort();
}

static void make_regions(struct machine *m)
{
	u64 shift = m->config.shift;

	region_init(&m->regions);
	/* everything that belongs to the host is hidden unless it is said otherwise */
	add_region(m, shift, shift + ARENA_BYTES, shift, REGION_HIDDEN);
	if (shift && m->config.giant)
		add_region(m, MACHINE_GIANT + shift, MACHINE_GIANT_END + shift, MACHINE_GIANT + shift,
			   REGION_HIDDEN);
	if (!shift) {
		add_region(m, MACHINE_HIDDEN_END, MACHINE_HIGH, MACHINE_HIDDEN_END, REGION_MMIO);
	} else {
		add_region(m, MACHINE_HIDDEN, MACHINE_HIDDEN_END, MACHINE_HIDDEN + shift, REGION_HIDDEN);
		add_region(m, MACHINE_POOL, MACHINE_POOL + MACHINE_POOL_MAX, MACHINE_POOL + shift, REGION_HIDDEN);
	}
	add_region(m, 0, MACHINE_LOW_END, shift, REGION_RAM);
	add_region(m, MACHINE_HIGH, MACHINE_HIGH_END, MACHINE_HIGH + shift, REGION_RAM);
	add_region(m, MACHINE_TRAPPED, MACHINE_TRAPPED + PAGE_SIZE, MACHINE_TRAPPED, REGION_TRAPPED);
	if (m->config.far)
		add_region(m, MACHINE_SPLIT, MACHINE_SPLIT + PAGE_SIZE, MACHINE_SPLIT, REGION_TRAPPED);
	if (m->config.giant)
		add_region(m, MACHINE_GIANT, MACHINE_GIANT_END, MACHINE_GIANT + shift, REGION_RAM);
	region_seal(&m->regions);
}

/* There is no operand to tell machines apart: the one made last. */
static struct machine *last_machine;
/* An operand that tells CPUs apart: the address of a number. */
static u32 cpu_numbers[MACHINE_CPUS_MAX] = {0, 1, 2, 3};

/* Flushes and the like are of the CPU that acts. */
static struct machine *acting(const void *cpu)
{
	u32 number = *(const u32 *)cpu;

	if (number != last_machine->cpu)
		machine_fail(last_machine, "CPU %u changes the TLB of CPU %u", last_machine->cpu, number);
	return last_machine;
}

static void on_flush(void *cpu, u32 tag)
{
	struct machine *m = acting(cpu);

	if (m->pending_count == PENDING_MAX)
		m->pending_count = tag = 0; /* everything is more */
	m->pending[m->pending_count].tag = tag;
	m->pending[m->pending_count++].page = false;
}

static void on_flush_page(void *cpu, u32 tag, gva_t gva)
{
	struct machine *m = acting(cpu);

	if (m->pending_count == PENDING_MAX) {
		on_flush(cpu, 0);
		return;
	}
	m->pending[m->pending_count].tag = tag;
	m->pending[m->pending_count].gva = gva;
	m->pending[m->pending_count++].page = true;
}

static void on_trap_invlpg(void *cpu, bool on)
{
	struct machine *m = acting(cpu);

	m->invlpg_traps = on;
}

static u32 read_pkru(void)
{
	return last_machine->pkru;
}

/* --- foreign memory --------------------------------------------------------------- */
#define FOREIGN_PAGES (FOREIGN_FRAMES + 1)

/* From its beginning, which alone need be there. */
static void *map_file(int file, void *at, u64 pages)
{
	void *p = mmap(at, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), file, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

/* Each slot holds what it was last asked for and nothing else. Nobody's memory: all-ones, whatever was written. */
static void *map_foreign(u32 slot, pfn_t pfn)
{
	struct machine *m = last_machine;
	u64 page = is_foreign(m, pfn << 12) ? pfn - MACHINE_FOREIGN : FOREIGN_FRAMES;
	u8 *at = m->foreign_slots + (slot * FOREIGN_PAGES + page) * PAGE_SIZE;
	struct region_hit hit;

	m->foreign_maps++;
	region_lookup(&m->regions, pfn, &hit);
	if (hit.kind != REGION_MMIO || slot >= GPT_SLOTS) {
		machine_fail(m, "frame %#llx of kind %u was opened", (unsigned long long)pfn, hit.kind);
		return NULL;
	}
	if (at != m->foreign_open[slot]) {
		if (m->foreign_open[slot])
			ASAN_POISON_MEMORY_REGION(m->foreign_open[slot], PAGE_SIZE);
		ASAN_UNPOISON_MEMORY_REGION(at, PAGE_SIZE);
		m->foreign_open[slot] = at;
	}
	if (page == FOREIGN_FRAMES)
		memset(at, 0xff, PAGE_SIZE);
	return at;
}

static void make_foreign(struct machine *m)
{
	m->regions.map_foreign = map_foreign;
	m->foreign_file = memfd_create("foreign", 0);
	if (m->foreign_file < 0 || ftruncate(m->foreign_file, FOREIGN_PAGES * PAGE_SIZE))
		abort();
	m->foreign_memory = map_file(m->foreign_file, NULL, FOREIGN_PAGES);
	m->foreign_slots = map_file(m->foreign_file, NULL, GPT_SLOTS * FOREIGN_PAGES);
	for (u64 slot = 0; slot < GPT_SLOTS; slot++)
		map_file(m->foreign_file, m->foreign_slots + slot * FOREIGN_PAGES * PAGE_SIZE, FOREIGN_PAGES);
	ASAN_POISON_MEMORY_REGION(m->foreign_slots, GPT_SLOTS * FOREIGN_PAGES * PAGE_SIZE);
	for (u64 i = 0; i < FOREIGN_FRAMES; i++) {
		u64 gpa = (MACHINE_FOREIGN + i) * PAGE_SIZE;

		if (!is_foreign(m, gpa))
			continue;
		add_region(m, gpa, gpa + PAGE_SIZE, gpa + m->config.shift, REGION_MMIO);
		if (mprotect(phys_to_virt(hpa(gpa + m->config.shift)), PAGE_SIZE, PROT_NONE))
			abort();
	}
	region_seal(&m->regions);
}

static void free_foreign(struct machine *m)
{
	ASAN_UNPOISON_MEMORY_REGION(m->foreign_slots, GPT_SLOTS * FOREIGN_PAGES * PAGE_SIZE);
	munmap(m->foreign_memory, FOREIGN_PAGES * PAGE_SIZE);
	munmap(m->foreign_slots, GPT_SLOTS * FOREIGN_PAGES * PAGE_SIZE);
	close(m->foreign_file);
}

/* --- several CPUs ------------------------------------------------------------------ */
static u32 cpu_count(const struct machine *m)
{
	return MAX(m->config.cpus, 1u);
}

void machine_use(struct machine *m, u32 cpu)
{
	if (cpu == m->cpu)
		return;
	memcpy(&m->cpus[m->cpu], m, sizeof(struct machine_cpu));
	memcpy((void *)m, &m->cpus[cpu], sizeof(struct machine_cpu));
	m->cpu = cpu;
}
_Static_assert(offsetof(struct machine, cpu) == sizeof(struct machine_cpu), "MACHINE_CPU comes first");

void machine_leave(struct machine *m)
{
	if (!m->running)
		return;
	m->running = false;
	shadow_leave(m->mmu);
}

static void on_kick(void *cpu)
{
	struct machine *m = last_machine;
	u32 sender = m->cpu, target = *(u32 *)cpu;

	if (target == sender)
		machine_fail(m, "CPU %u kicks itself", sender);
	machine_use(m, target);
	if (!m->running)
		machine_fail(m, "CPU %u is kicked, which is not inside", target);
	if (m->kicked)
		m->kicked(m, m->ctx);
	machine_leave(m);
	machine_use(m, sender);
}

static void on_where(void *cpu, struct shadow_where *out)
{
	struct machine *m = acting(cpu);

	out->rip = 0xfffffff000000000 + m->instructions;
	out->thread = m->thread;
}

static void on_stale(void *cpu, const struct shadow_stale *stale)
{
	struct machine *m = acting(cpu);

	if (m->stale_use)
		m->stale_use(m, stale);
}

static const struct shadow_ops machine_ops = {
	.flush = on_flush,
	.flush_page = on_flush_page,
	.trap_invlpg = on_trap_invlpg,
	.kick = on_kick,
	.read_pkru = read_pkru,
};

static const struct shadow_ops checked_ops = {
	.flush = on_flush,
	.flush_page = on_flush_page,
	.kick = on_kick,
	.read_pkru = read_pkru,
	.where = on_where,
	.stale = on_stale,
};

void machine_make_cpu(struct machine *m, u32 cpu)
{
	machine_use(m, cpu);
	m->invlpg_traps = true;
	m->tlb = calloc(TLB_MAX, sizeof(*m->tlb));
	m->psc = calloc(PSC_MAX, sizeof(*m->psc));
	m->pending = calloc(PENDING_MAX + 1, sizeof(*m->pending));
	m->mmu = shadow_mmu_create(m->shadow, m->config.flush_check ? &checked_ops : &machine_ops,
				   &cpu_numbers[cpu], hpa(LOW_PAGE + cpu * SHADOW_PDPT_BYTES + m->config.shift));
	if (!m->mmu)
		abort();
	/* as after reset: paging off */
	m->paging = (struct shadow_paging){
		.cr0 = CR0_PE, .pat = PAT_RESET, .phys_bits = m->config.host_phys_bits, .pages_1g = !m->config.no_1g};
	machine_set_paging(m, &m->paging, true);
}

struct machine *machine_create(const struct machine_config *config)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct shadow_config sc;

	m->config = *config;
	if (!m->config.host_phys_bits)
		m->config.host_phys_bits = 40;
	if (!m->config.tags)
		m->config.tags = 8;
	if (!m->config.pool_bytes)
		m->config.pool_bytes = MACHINE_POOL_MAX;
	host_arena_create_at(m->config.shift, m->config.giant ? MACHINE_GIANT_END : ARENA_BYTES);
	rng_seed(&m->rng, config->seed);
	m->strict = true;
	make_regions(m);
	make_foreign(m);
	memset(phys_to_virt(hpa(ONES_PAGE + m->config.shift)), 0xff, PAGE_SIZE);
	sc = (struct shadow_config){
		.pool = hpa(MACHINE_POOL + m->config.shift),
		.pool_bytes = m->config.pool_bytes,
		.shadow_limit = m->config.shadow_limit,
		.host_phys_bits = m->config.host_phys_bits,
		.pages_1g = !m->config.no_1g,
		.tags = m->config.tags,
		.cpus = cpu_count(m),
		.regions = &m->regions,
		.ones_page = hpa(ONES_PAGE + m->config.shift),
		.flush_check = m->config.flush_check,
	};
	m->shadow = shadow_create(&sc);
	if (!m->shadow) {
		free_foreign(m);
		free(m);
		host_arena_destroy();
		return NULL;
	}
	if (m->config.numbers)
		m->shadow->numbers = m->config.numbers;
	hurry_set(m->shadow, m->config.hurry);
	last_machine = m;
	for (u32 cpu = 0; cpu < (config->late ? 1 : cpu_count(m)); cpu++)
		machine_make_cpu(m, cpu);
	machine_use(m, 0);
	return m;
}

void machine_destroy(struct machine *m)
{
	for (u32 cpu = 0; cpu < cpu_count(m); cpu++) {
		machine_use(m, cpu);
		free(m->tlb);
		free(m->psc);
		free(m->pending);
	}
	free_foreign(m);
	free(m);
	host_arena_destroy();
}

struct shadow_paging machine_long_mode(u64 cr3)
{
	return (struct shadow_paging){
		.cr0 = CR0_PE | CR0_PG | CR0_WP,
		.cr3 = cr3,
		.cr4 = CR4_PAE | CR4_PGE,
		.efer = EFER_LME | EFER_LMA | EFER_NXE,
		.pat = PAT_RESET,
		.phys_bits = 40,
		.pages_1g = true,
	};
}

struct model_state machine_model_state(const struct machine *m)
{
	const struct shadow_paging *p = &m->paging;
	struct model_state s = {
		.maxphyaddr = p->phys_bits,
		.cr3 = p->cr3,
		.wp = p->cr0 & CR0_WP,
		.smep = p->cr4 & CR4_SMEP,
		.smap = p->cr4 & CR4_SMAP,
		.nxe = p->efer & EFER_NXE,
		.pse = p->cr4 & CR4_PSE,
		.pages_1g = p->pages_1g,
	};

	memcpy(s.pdpte, p->pdpte, sizeof(s.pdpte));
	if (!(p->cr0 & CR0_PG))
		s.mode = MODEL_OFF;
	else if (p->efer & EFER_LMA)
		s.mode = p->cr4 & CR4_LA57 ? MODEL_5L : MODEL_4L;
	else
		s.mode = p->cr4 & CR4_PAE ? MODEL_PAE : MODEL_32;
	return s;
}

bool machine_is_closed(const struct machine *m, u64 gpa)
{
	struct region_hit hit;

	region_lookup(&m->regions, gpa >> 12, &hit);
	return hit.kind == REGION_HIDDEN || hit.kind == REGION_TRAPPED;
}

struct model_result machine_naive(struct machine *m, u64 gva, struct model_access kind)
{
	struct model_state s = machine_model_state(m);
	struct model_memory memory = machine_model_memory(m);
	struct model_result r;

	model_walk(&s, &memory, gva, kind, &r);
	if (r.count && machine_is_closed(m, r.entries[r.count - 1].address)) {
		r.fault = true;
		r.error = PF_P | PF_RSVD | (kind.write ? PF_W : 0) | (kind.user ? PF_U : 0) |
			  (kind.fetch && (s.smep || (s.nxe && s.mode != MODEL_32)) ? PF_ID : 0);
	}
	return r;
}

u32 machine_guest_memtype(const struct machine *m, const struct model_result *r)
{
	return r->level ? (m->paging.pat >> (8 * r->pat_index)) & 7 : MT_WB;
}

/* --- the TLB model ------------------------------------------------------------ */
static bool covers(u64 base, u64 bytes, u64 gva)
{
	return gva - base < bytes;
}

static void tlb_drop_page(struct machine *m, u32 tag, u64 gva, bool all_upper)
{
	u32 kept = 0;

	for (u32 i = 0; i < m->tlb_count; i++)
		if (m->tlb[i].tag != tag || !covers(m->tlb[i].gva, m->tlb[i].bytes, gva))
			m->tlb[kept++] = m->tlb[i];
	m->tlb_count = kept;
	kept = 0;
	for (u32 i = 0; i < m->psc_count; i++)
		if (m->psc[i].tag != tag || !(all_upper || covers(m->psc[i].gva, m->psc[i].bytes, gva)))
			m->psc[kept++] = m->psc[i];
	m->psc_count = kept;
}

static void tlb_drop_tag(struct machine *m, u32 tag)
{
	u32 kept = 0;

	for (u32 i = 0; i < m->tlb_count; i++)
		if (tag && m->tlb[i].tag != tag)
			m->tlb[kept++] = m->tlb[i];
	m->tlb_count = kept;
	kept = 0;
	for (u32 i = 0; i < m->psc_count; i++)
		if (tag && m->psc[i].tag != tag)
			m->psc[kept++] = m->psc[i];
	m->psc_count = kept;
}

static void apply_flushes(struct machine *m)
{
	for (u32 i = 0; i < m->pending_count; i++) {
		if (m->pending[i].page)
			tlb_drop_page(m, m->pending[i].tag, m->pending[i].gva, true);
		else
			tlb_drop_tag(m, m->pending[i].tag);
	}
	m->pending_count = 0;
}

static void tlb_insert(struct machine *m, const struct tlb_entry *e)
{
	for (u32 i = 0; i < m->tlb_count; i++) {
		const struct tlb_entry *t = &m->tlb[i];

		if (t->tag == e->tag && t->gva == e->gva && t->bytes == e->bytes && t->hpa == e->hpa &&
		    t->w == e->w && t->u == e->u && t->x == e->x && t->memtype == e->memtype && t->key == e->key &&
		    t->dirty == e->dirty && t->smep == e->smep)
			return;
	}
	if (m->tlb_count == TLB_MAX)
		m->tlb_count = TLB_MAX / 2; /* even this one ends somewhere */
	m->tlb[m->tlb_count++] = *e;
}

static void psc_insert(struct machine *m, const struct psc_entry *e)
{
	for (u32 i = 0; i < m->psc_count; i++) {
		const struct psc_entry *t = &m->psc[i];

		if (t->tag == e->tag && t->gva == e->gva && t->level == e->level && t->table == e->table &&
		    t->w == e->w && t->u == e->u && t->x == e->x)
			return;
	}
	if (m->psc_count == PSC_MAX)
		m->psc_count = PSC_MAX / 2;
	m->psc[m->psc_count++] = *e;
}

/* Some cached translation of gva, or NULL; which one is up to the hardware. */
static struct tlb_entry *tlb_find(struct machine *m, u64 gva)
{
	struct tlb_entry *found = NULL;
	u32 count = 0;

	for (u32 i = 0; i < m->tlb_count; i++)
		if (m->tlb[i].tag == m->tag && covers(m->tlb[i].gva, m->tlb[i].bytes, gva) &&
		    rng_below(&m->rng, ++count) == 0)
			found = &m->tlb[i];
	return found;
}

/* --- the hardware's walk ---------------------------------------------------------- */
static bool long_format(const struct machine *m)
{
	return m->paging.efer & EFER_LMA;
}

static u32 format_levels(const struct machine *m)
{
	if (!long_format(m))
		return 2;
	return m->paging.cr4 & CR4_LA57 ? 5 : 4;
}

/* A root of PAE format: four entries, below 4 GiB. */
static bool is_low_pdpt(const struct machine *m, u64 table)
{
	u64 offset = table - LOW_PAGE - m->config.shift;

	return offset < MACHINE_CPUS_MAX * SHADOW_PDPT_BYTES && !(offset % SHADOW_PDPT_BYTES);
}

/* Hardware follows pointers only into the pool, or to a root of PAE format. */
static u64 *shadow_table(struct machine *m, u64 table)
{
	u64 pool = MACHINE_POOL + m->config.shift;

	if ((table - pool >= m->config.pool_bytes || table & (PAGE_SIZE - 1)) && !is_low_pdpt(m, table)) {
		machine_fail(m, "a shadow table at %#llx, outside of the pool", (unsigned long long)table);
		return NULL;
	}
	return phys_to_virt(hpa(table));
}

static bool shadow_reserved(const struct machine *m, u32 level, u64 e)
{
	struct model_state s = {
		.mode = long_format(m) ? MODEL_5L : MODEL_PAE,
		.maxphyaddr = m->config.host_phys_bits,
		.nxe = true,
		.pages_1g = !m->config.no_1g,
	};

	return model_reserved(&s, level, e);
}

/* In hardware CR0.WP and EFER.NXE are 1; SMEP and SMAP are the guest's, and off without paging. */
static struct model_state hardware_state(const struct machine *m)
{
	bool paging = m->paging.cr0 & CR0_PG;

	return (struct model_state){
		.mode = long_format(m) ? MODEL_4L : MODEL_PAE,
		.wp = true,
		.nxe = true,
		.smep = paging && (m->paging.cr4 & CR4_SMEP),
		.smap = paging && (m->paging.cr4 & CR4_SMAP),
	};
}

struct shadow_walk {
	u64 table;
	u32 level;
	bool w, u, x;
	bool mark; /* set A and D as hardware does */
	bool write;
	u32 problem; /* error code bits where no translation was found */
};

/* Where a walk starts: the root, or whatever the hardware has kept. */
static bool walk_start(struct machine *m, u64 gva, bool use_psc, struct shadow_walk *w)
{
	u32 count = 1;

	w->w = w->u = w->x = true;
	w->level = format_levels(m);
	w->table = m->root.v;
	w->problem = 0;
	if (!long_format(m)) {
		u64 pdpte = m->pdpte[(gva >> 30) & 3];

		w->table = pdpte & PTE_ADDR_MASK;
		if (!(pdpte & PTE_P))
			return false;
	}
	for (u32 i = 0; use_psc && i < m->psc_count; i++) {
		const struct psc_entry *p = &m->psc[i];

		if (p->tag == m->tag && covers(p->gva, p->bytes, gva) && rng_below(&m->rng, ++count) == 0) {
			w->table = p->table;
			w->level = p->level;
			w->w = p->w;
			w->u = p->u;
			w->x = p->x;
		}
	}
	return true;
}

static void walk_leaf(struct machine *m, u64 gva, u64 e, const struct shadow_walk *w, struct tlb_entry *out)
{
	u32 pat = ((e >> 3) & 3) | (((w->level == 1 ? e >> 7 : e >> 12) & 1) << 2);
	u64 bytes = 1ull << (12 + 9 * (w->level - 1));

	*out = (struct tlb_entry){
		.tag = m->tag,
		.gva = gva & ~(bytes - 1),
		.bytes = bytes,
		.hpa = e & PTE_ADDR_MASK & ~(bytes - 1),
		.w = w->w,
		.u = w->u,
		.x = w->x,
		.dirty = e & PTE_D,
		.memtype = (PAT_HOST >> (8 * pat)) & 7,
		.key = e >> 59 & 15,
		.smep = hardware_state(m).smep,
	};
}

/* One entry further. Returns 1 at a leaf, 0 at a table, -1 where the walk ends. */
static int walk_step(struct machine *m, u64 gva, struct shadow_walk *w, struct tlb_entry *out)
{
	u64 *table = shadow_table(m, w->table), e;
	u32 index = (gva >> (12 + 9 * (w->level - 1))) & 511;

	if (!table)
		return -1;
	e = table[index];
	if (!(e & PTE_P))
		return -1;
	if (shadow_reserved(m, w->level, e)) {
		w->problem = PF_P | PF_RSVD;
		return -1;
	}
	w->w = w->w && (e & PTE_W);
	w->u = w->u && (e & PTE_U);
	w->x = w->x && !(e & PTE_NX);
	if (w->mark)
		table[index] |= PTE_A;
	if (w->level == 1 || (e & PTE_PS)) {
		if (w->write && w->w)
			table[index] |= PTE_D;
		walk_leaf(m, gva, table[index], w, out);
		return 1;
	}
	w->table = e & PTE_ADDR_MASK;
	w->level--;
	return 0;
}

static void keep_upper(struct machine *m, u64 gva, const struct shadow_walk *w)
{
	u64 bytes = 1ull << (12 + 9 * w->level);
	struct psc_entry e = {
		.tag = m->tag,
		.gva = gva & ~(bytes - 1),
		.bytes = bytes,
		.level = w->level,
		.table = w->table,
		.w = w->w,
		.u = w->u,
		.x = w->x,
	};

	psc_insert(m, &e);
}

/* A walk of the shadow. keep: fill the caches and use them. */
static bool shadow_walk(struct machine *m, u64 gva, bool keep, bool write, u32 *problem, struct tlb_entry *out)
{
	struct shadow_walk w = {.mark = keep, .write = write};
	bool found = walk_start(m, gva, keep, &w);
	int step = found ? 0 : -1;

	while (found && (step = walk_step(m, gva, &w, out)) == 0)
		if (keep)
			keep_upper(m, gva, &w);
	*problem = w.problem;
	return step == 1;
}

bool machine_shadow_lookup(struct machine *m, u64 gva, struct tlb_entry *out)
{
	u32 problem;

	return shadow_walk(m, gva, false, false, &problem, out);
}

/* --- the TLB must never hold more than the shadow says ------------------------------ */
static bool entry_allowed(struct machine *m, const struct tlb_entry *e, u64 gva)
{
	struct tlb_entry now;

	if (!machine_shadow_lookup(m, gva, &now)) {
		machine_fail(m, "the TLB has %#llx, gone from the shadow", (unsigned long long)gva);
		return false;
	}
	if (now.hpa + (gva - now.gva) != e->hpa + (gva - e->gva) || now.memtype != e->memtype || now.key != e->key) {
		machine_fail(m, "the TLB maps %#llx to %#llx type %u, the shadow to %#llx type %u",
			     (unsigned long long)gva, (unsigned long long)(e->hpa + (gva - e->gva)), e->memtype,
			     (unsigned long long)(now.hpa + (gva - now.gva)), now.memtype);
		return false;
	}
	if ((e->w && !now.w) || (e->u && !now.u) || (e->x && !now.x)) {
		machine_fail(m, "the TLB has rights %s%s%s at %#llx, the shadow %s%s%s", e->w ? "w" : "-",
			     e->u ? "u" : "-", e->x ? "x" : "-", (unsigned long long)gva, now.w ? "w" : "-",
			     now.u ? "u" : "-", now.x ? "x" : "-");
		return false;
	}
	return true;
}

static void check_tlb_entry(struct machine *m, const struct tlb_entry *e)
{
	struct tlb_entry now;
	u64 step = PAGE_SIZE;

	if (e->u && e->x && !e->smep && hardware_state(m).smep)
		machine_fail(m, "the TLB lets the supervisor execute %#llx, as before SMEP was on",
			     (unsigned long long)e->gva);
	if (machine_shadow_lookup(m, e->gva, &now) && now.bytes >= e->bytes)
		step = e->bytes;
	for (u64 at = 0; at < e->bytes; at += step)
		if (!entry_allowed(m, e, e->gva + at))
			return;
}

static void check_upper(struct machine *m, const struct psc_entry *e)
{
	struct shadow_walk w = {0};
	struct tlb_entry unused;
	bool found = walk_start(m, e->gva, false, &w);

	while (found && w.level > e->level)
		found = walk_step(m, e->gva, &w, &unused) == 0;
	if (!found || w.table != e->table || (e->w && !w.w) || (e->u && !w.u) || (e->x && !w.x))
		machine_fail(m, "a cached upper entry (level %u, %#llx) is stale", e->level + 1,
			     (unsigned long long)e->gva);
}

/* A detached page is out of the shadow, but the hardware may have been there before. */
static void detached_link(struct machine *m, bool on)
{
	struct shadow *s = m->shadow;

	for (u32 i = 0; i < s->detached_count; i++)
		*entry_pointer(s, s->detached[i].link) = on ? page_hpa(s, s->detached[i].page).v | SPTE_LINK : 0;
}

static void check_subset(struct machine *m)
{
	detached_link(m, true);
	for (u32 i = 0; i < m->tlb_count && !m->broken; i++)
		if (m->tlb[i].tag == m->tag)
			check_tlb_entry(m, &m->tlb[i]);
	for (u32 i = 0; i < m->psc_count && !m->broken; i++)
		if (m->psc[i].tag == m->tag)
			check_upper(m, &m->psc[i]);
	detached_link(m, false);
}

/* --- entry ---------------------------------------------------------------------------- */
static void witness(struct machine *m)
{
	struct witness_report report;
	bool good = witness_check(m->mmu, m->exit_gva, m->flushed, &report);

	m->stale += report.verdict == WITNESS_STALE;
	m->flushed = false;
	if (good)
		return;
	machine_fail(m, "the oracle at %#llx: %s", (unsigned long long)m->exit_gva,
		     witness_verdict_text(report.verdict));
	witness_print(&report);
}

static void enter(struct machine *m)
{
	u32 tag = m->tag;

	if (m->running)
		return;
	/* As the run loop does it: what shadow_entry_due() misses, the guest will run with. */
	if (shadow_entry_due(m->mmu))
		m->root = shadow_prepare_entry(m->mmu, &tag);
	m->tag = tag;
	while (cpu_count(m) > 1 && !shadow_enter(m->mmu)) {
		m->root = shadow_prepare_entry(m->mmu, &tag);
		m->tag = tag;
	}
	if (tag < 1 || tag > m->config.tags)
		machine_fail(m, "tag %u of %u", tag, m->config.tags);
	apply_flushes(m);
	m->running = true;
	if (!shadow_table(m, ALIGN_DOWN(m->root.v, PAGE_SIZE)))
		return;
	if (!long_format(m))
		memcpy(m->pdpte, phys_to_virt(m->root), sizeof(m->pdpte));
	if (m->strict)
		check_subset(m);
	if (m->witness)
		witness(m);
}

static void look_for_marks(struct machine *m)
{
	u64 marks = shadow_stat(m->shadow, SHADOW_STAT_a_sets) + shadow_stat(m->shadow, SHADOW_STAT_d_sets);

	if (marks == m->marks_seen && ++m->marks_unseen < MARKS_TRUST)
		return;
	m->marks_seen = marks;
	m->marks_unseen = 0;
	m->memory_changed(m, m->ctx, 0, ~0ull, true);
}

static void after_engine(struct machine *m)
{
	m->flushed = false;
	if (m->memory_changed)
		look_for_marks(m);
	if (m->audit)
		machine_audit(m);
}

void machine_audit(struct machine *m)
{
	u32 errors;

	machine_leave(m);
	errors = shadow_audit(m->mmu);

	if (errors)
		machine_fail(m, "shadow_audit: %u mismatches", errors);
}

/* --- one access -------------------------------------------------------------------------- */
/* SDM vol. 3 section 4.6.2, CR0.WP = 1. Without paging the guest's CR4.PKE is not in the hardware's. */
static bool key_forbids(const struct machine *m, const struct tlb_entry *e, struct model_access a)
{
	u32 rights = m->pkru >> (2 * e->key) & 3;

	if (!(m->paging.cr4 & CR4_PKE) || !(m->paging.cr0 & CR0_PG) || !long_format(m) || !e->u || a.fetch)
		return false;
	return (rights & 1) || (a.write && (rights & 2));
}

/*
 * 0, or what the error code has besides the access. A translation made with SMEP off may let the supervisor
 * execute a user page until it is flushed; one made with SMEP on need not outlast that.
 */
static u32 rights_problem(const struct machine *m, const struct tlb_entry *e, struct model_access a)
{
	struct model_state s = hardware_state(m);

	s.smep = s.smep && e->smep;
	if (key_forbids(m, e, a))
		return PF_P | PF_PK;
	return model_allowed(&s, e->w, e->u, e->x, a) ? 0 : PF_P;
}

static u32 hardware_error(struct model_access a, u32 problem)
{
	return problem | (a.write ? PF_W : 0) | (a.user ? PF_U : 0) | (a.fetch ? PF_ID : 0);
}

/* Translates as hardware does; false: #PF with *error. */
static bool hardware_translate(struct machine *m, u64 gva, struct model_access a, struct tlb_entry *out,
			       bool *cached, u32 *error)
{
	struct tlb_entry *hit = tlb_find(m, gva);
	u32 problem = 0;

	*cached = false;
	/* A hit may be evicted before it is used; a store through a clean one walks again. */
	if (hit && rng_chance(&m->rng, 85) && (!a.write || hit->dirty || !hit->w)) {
		*out = *hit;
		*cached = true;
		problem = rights_problem(m, out, a);
		if (!problem)
			return true;
		if (!m->config.keeps && rng_chance(&m->rng, 50))
			goto fault;
	}
	*cached = false;
	if (shadow_walk(m, gva, true, a.write, &problem, out)) {
		problem = rights_problem(m, out, a);
		if (!problem) {
			tlb_insert(m, out);
			return true;
		}
	}
fault:
	*error = hardware_error(a, problem);
	if (!m->config.keeps)
		tlb_drop_page(m, m->tag, gva, false);
	return false;
}

/* What memory the translation reached, and whether it may. */
static void classify(struct machine *m, const struct tlb_entry *e, struct model_access a, u64 gva,
		     struct machine_result *r)
{
	u64 host = e->hpa + (gva - e->gva);
	struct region_hit hit;

	r->memtype = e->memtype;
	if (!hpa_in_arena(m, host)) {
		r->gpa = host;
		region_lookup(&m->regions, host >> 12, &hit);
		r->kind = hit.kind;
		if (hit.kind != REGION_MMIO)
			machine_fail(m, "%#llx reached host address %#llx of kind %u", (unsigned long long)gva,
				     (unsigned long long)host, hit.kind);
		return;
	}
	r->gpa = host - m->config.shift;
	if (gpa_is_ram(m, r->gpa)) {
		r->kind = is_foreign(m, r->gpa) ? REGION_MMIO : REGION_RAM;
		return;
	}
	region_lookup(&m->regions, r->gpa >> 12, &hit);
	if (hit.kind == REGION_MMIO && !m->config.shift) {
		r->kind = REGION_MMIO;
		return;
	}
	r->kind = REGION_HIDDEN;
	if ((host & PAGE_MASK) != ONES_PAGE + m->config.shift || a.write)
		machine_fail(m, "%#llx reached hidden memory at %#llx%s", (unsigned long long)gva,
			     (unsigned long long)host, a.write ? " for writing" : "");
}

static void do_memory(struct machine *m, const struct machine_access *a, struct machine_result *r)
{
	void *p = r->kind == REGION_RAM || is_foreign(m, r->gpa) ? machine_ram(m, r->gpa) : NULL;

	if (r->kind == REGION_MMIO && a->kind.write)
		m->mmio_writes++;
	if (!p) {
		r->value = ~0ull >> (64 - 8 * a->size);
		return;
	}
	if (a->kind.write)
		memcpy(p, &a->value, a->size);
	else
		memcpy(&r->value, p, a->size);
	if (a->kind.write && m->memory_changed)
		m->memory_changed(m, m->ctx, r->gpa, a->size, false);
}

/* The #PF exit. True: run the instruction again. */
static bool page_fault(struct machine *m, const struct machine_access *a, u32 error, struct machine_result *r)
{
	struct shadow_fault fault = {0};
	u32 cpl = a->kind.user || (a->kind.implicit && !a->cpl0) ? 3 : 0;
	u64 rflags = RFLAGS_FIXED | (a->kind.ac ? RFLAGS_AC : 0);
	enum shadow_result result;
	bool recalled;
	gpa_t at;

	machine_leave(m);
	recalled = shadow_recall_trapped(m->mmu, a->gva, error, cpl, rflags, &at);
	result = shadow_handle_fault(m->mmu, a->gva, error, cpl, rflags, &fault);
	if (recalled && (result != SHADOW_EMULATE || fault.kind != REGION_TRAPPED || fault.gpa.v != at.v))
		machine_fail(m, "%#llx was recalled as trapped at %#llx, and it is not",
			     (unsigned long long)a->gva, (unsigned long long)at.v);
	m->recalls += recalled;
	if (result == SHADOW_RETRY)
		m->marks_unseen = MARKS_TRUST; /* it may have stopped halfway, and counted nothing */
	after_engine(m);
	m->exit_gva = a->gva;
	if (m->trace)
		printf("        #PF %#llx error %#x -> %d error %#x\n", (unsigned long long)a->gva, error,
		       (int)result, fault.error);
	switch (result) {
	case SHADOW_FIXED:
	case SHADOW_RETRY: return true;
	case SHADOW_INJECT:
		r->outcome = MACHINE_FAULT;
		r->error = fault.error;
		return false;
	case SHADOW_EMULATE:
		r->outcome = MACHINE_EMULATED;
		r->gpa = fault.gpa.v;
		r->kind = fault.kind;
		r->value = ~0ull >> (64 - 8 * a->size);
		return false;
	}
	machine_fail(m, "shadow_handle_fault returned %d", (int)result);
	return false;
}

bool machine_try(struct machine *m, const struct machine_access *a, struct machine_result *r)
{
	struct tlb_entry e;
	u32 error;

	*r = (struct machine_result){0};
	if (m->broken || !m->running || !hardware_translate(m, a->gva, a->kind, &e, &r->cached, &error))
		return false;
	classify(m, &e, a->kind, a->gva, r);
	if (m->broken)
		return false;
	do_memory(m, a, r);
	return true;
}

struct machine_result machine_instruction(struct machine *m, const struct machine_access *list, u32 count)
{
	struct machine_result r = {0}, each[16];
	u32 exits = 0;

	m->instructions++;
restart:
	for (u32 i = 0; i < count; i++) {
		struct tlb_entry e;
		u32 error;

		r = (struct machine_result){.exits = exits};
		enter(m);
		if (m->broken)
			goto broken;
		if (!hardware_translate(m, list[i].gva, list[i].kind, &e, &r.cached, &error)) {
			if (m->broken)
				goto broken;
			if (++exits > EXITS_MAX + EXITS_PER_ACCESS * (count - 1)) {
				machine_fail(m, "livelock at %#llx, error %#x", (unsigned long long)list[i].gva,
					     error);
				goto broken;
			}
			r.exits = exits;
			if (!page_fault(m, &list[i], error, &r))
				return r;
			goto restart;
		}
		classify(m, &e, list[i].kind, list[i].gva, &r);
		if (m->broken)
			goto broken;
		each[i] = r;
	}
	for (u32 i = 0; i < count; i++) {
		do_memory(m, &list[i], &each[i]);
		r = each[i];
	}
	return r;
broken:
	r.outcome = MACHINE_BROKEN;
	return r;
}

struct machine_result machine_access(struct machine *m, struct machine_access a)
{
	return machine_instruction(m, &a, 1);
}

static struct machine_result simple(struct machine *m, u64 gva, struct model_access kind, u64 value)
{
	return machine_access(m, (struct machine_access){.gva = gva, .kind = kind, .size = 8, .value = value});
}

struct machine_result machine_read(struct machine *m, u64 gva)
{
	return simple(m, gva, (struct model_access){0}, 0);
}

struct machine_result machine_write(struct machine *m, u64 gva, u64 value)
{
	return simple(m, gva, (struct model_access){.write = true}, value);
}

struct machine_result machine_fetch(struct machine *m, u64 gva)
{
	return simple(m, gva, (struct model_access){.fetch = true}, 0);
}

struct machine_result machine_user_read(struct machine *m, u64 gva)
{
	return simple(m, gva, (struct model_access){.user = true}, 0);
}

struct machine_result machine_user_write(struct machine *m, u64 gva, u64 value)
{
	return simple(m, gva, (struct model_access){.user = true, .write = true}, value);
}

struct machine_result machine_user_fetch(struct machine *m, u64 gva)
{
	return simple(m, gva, (struct model_access){.user = true, .fetch = true}, 0);
}

void machine_speculate(struct machine *m, u64 gva)
{
	struct tlb_entry e;
	u32 problem;

	enter(m);
	if (!m->broken && shadow_walk(m, gva, true, false, &problem, &e))
		tlb_insert(m, &e);
}

/* --- privileged operations ------------------------------------------------------------------ */
void machine_set_paging(struct machine *m, const struct shadow_paging *paging, bool flush)
{
	machine_leave(m);
	m->paging = *paging;
	shadow_set_paging(m->mmu, &m->paging, flush);
	after_engine(m);
	m->flushed = flush;
}

static bool is_pae(const struct shadow_paging *p)
{
	return (p->cr0 & CR0_PG) && (p->cr4 & CR4_PAE) && !(p->efer & EFER_LMA);
}

/* SDM vol. 3 section 4.4.1; bits 2:1 and 8:5 and those above the width are reserved. */
static bool load_pdptes(struct machine *m, struct shadow_paging *p)
{
	u64 table = p->cr3 & BITS(31, 5), reserved = BITS(2, 1) | BITS(8, 5) | ~0ull << p->phys_bits;
	u64 e[4];

	for (u32 i = 0; i < 4; i++) {
		e[i] = machine_peek(m, table + 8 * i);
		if ((e[i] & PTE_P) && (e[i] & reserved))
			return false;
	}
	memcpy(p->pdpte, e, sizeof(e));
	return true;
}

/* SDM vol. 3 sections 4.4.1 (what loads PDPTEs) and 4.10.4.1, APM vol. 2 section 5.5.2 (what flushes). */
static bool change_register(struct shadow_paging *p, enum machine_register which, u64 value, bool *flush)
{
	u64 changed;

	switch (which) {
	case MACHINE_CR0:
		changed = p->cr0 ^ value;
		p->cr0 = value;
		p->efer &= ~EFER_LMA;
		if ((value & CR0_PG) && (p->efer & EFER_LME))
			p->efer |= EFER_LMA;
		*flush = changed & CR0_PG;
		return changed & (CR0_PG | CR0_CD | CR0_NW);
	case MACHINE_CR3:
		p->cr3 = value;
		*flush = true;
		return true;
	case MACHINE_CR4:
		changed = p->cr4 ^ value;
		p->cr4 = value;
		*flush = (changed & (CR4_PGE | CR4_PAE | CR4_PSE)) || (changed & value & CR4_SMEP);
		return changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP);
	case MACHINE_EFER:
		*flush = (p->efer ^ value) & EFER_NXE;
		p->efer = (value & ~EFER_LMA) | (p->efer & EFER_LMA);
		return false;
	}
	return false;
}

bool machine_mov(struct machine *m, enum machine_register which, u64 value, bool *flushed)
{
	struct shadow_paging p = m->paging;
	bool loads = change_register(&p, which, value, flushed);

	if (loads && is_pae(&p) && !load_pdptes(m, &p)) {
		*flushed = false;
		return false;
	}
	if (which == MACHINE_CR3 && long_format(m)) {
		machine_leave(m);
		while (!shadow_set_cr3(m->mmu, value))
			m->repeats++;
		m->paging.cr3 = value;
		after_engine(m);
		m->flushed = true;
	} else {
		machine_set_paging(m, &p, *flushed);
	}
	return true;
}

void machine_load_cr3(struct machine *m, u64 cr3)
{
	bool flushed;

	if (!machine_mov(m, MACHINE_CR3, cr3, &flushed))
		machine_fail(m, "CR3 %#llx loads a PDPTE with reserved bits", (unsigned long long)cr3);
}

/* Without an exit it is the hardware's; with EFER.TCE of an AMD CPU it leaves other upper entries. */
void machine_invlpg(struct machine *m, u64 gva)
{
	if (!m->invlpg_traps)
		enter(m); /* it may exit from there on */
	if (!m->invlpg_traps) {
		tlb_drop_page(m, m->tag, gva, rng_chance(&m->rng, 80));
		return;
	}
	machine_leave(m);
	shadow_invlpg(m->mmu, gva);
	after_engine(m);
	m->exit_gva = gva;
	m->flushed = true;
}

void machine_flush(struct machine *m)
{
	machine_leave(m);
	shadow_flush_guest(m->mmu);
	after_engine(m);
	m->flushed = true;
}

void machine_drop_all(struct machine *m)
{
	machine_leave(m);
	shadow_drop_all(m->shadow);
	after_engine(m);
}

void machine_reenter(struct machine *m)
{
	machine_leave(m);
	enter(m);
}
