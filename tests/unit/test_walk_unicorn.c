/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mm/gpt.c against the page walk of Unicorn (QEMU's x86 MMU): loads, stores and
 * fetches run in Unicorn over random tables, in 32-bit, PAE, 4-level and 5-level
 * paging, at CPL 0 and 3. Compared are fault or not, the error code, CR2 and the
 * A and D bits left in the tables.
 *
 * What Debian's Unicorn 2.0.1 and 2.1.1 do not show, found by experiment:
 *  - 2.0.1: the physical address. Whatever a walk finds, the page at the equal physical
 *    address is used. So each page that is accessed has memory of its own there. 2.1.1
 *    uses what the walk finds, and that is compared; with paging off it drops all
 *    above 52 bits of an address.
 *  - A in upper levels is set on the way down, so it stays set at a fault; the
 *    manual allows that. Then A may be more than the walker's, D may not.
 *  - EFER.NXE: no CPU model of it has NX, so WRMSR drops the bit. It is put into
 *    a saved context instead, as is PKRU; the error code is read from one.
 *  - Control registers written from outside flush no TLB and leave QEMU's copy of
 *    CR4.SMAP as it was: a MOV CR0 in the guest flushes, the copy is set by hand.
 *  - PDPTEs are read at each walk, 1 GiB pages are always there, MAXPHYADDR is 40,
 *    there are no supervisor protection keys.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/x86.h"
#include "mm/gpt.h"
#include "mm/phys.h"
#include "tests/unit/rng.h"
#include "tests/unit/unicorn.h"

#define RAM_BASE 0x400000ull
#define TABLES 16u /* random tables; after them the path to the code */
#define PATH TABLES
#define RAM_PAGES 24u
#define GIVEN_MAX 256u
#define HPA_SHIFT 0x1000000ull
#define PHYS_BITS 40u
#define GDT_PAGE 0x8000ull /* used before paging is on; its stack pointer must fit in 16 bits */
#define LOAD_OFFSET 0u
#define STORE_OFFSET 8u
#define IRET_OFFSET 16u
#define FLUSH_OFFSET 24u    /* MOV CR0, EAX */
#define CR4_OFFSET 32u      /* MOV CR4, EAX */
#define HFLAGS_SMAP BIT(23) /* QEMU's own copy of CR4.SMAP */
#define EFER_START 0x500ull /* LME and LMA, as Unicorn starts in 64-bit mode */

static u8 *ram, *pristine;
static struct region_map regions;

static bool translates; /* accesses go where the walk says: Unicorn 2.1; learnt once */
/* Offsets of registers in a saved context, in 32-bit words; learnt once. */
static u32 word_efer, word_error, word_pkru, word_hflags;

struct cpu {
	uc_engine *uc;
	uc_context *boot;  /* CPL 0, paging off */
	uc_context *start; /* the CPL of the test, paging off */
	uc_context *at_fault;
	u8 *given; /* memory of the pages that give_page() gives, all of it no-ops */
	u32 given_pages;
	u32 mode; /* enum gpt_mode */
	bool user;
	int vector; /* of the exception; -1: none */
	u64 cr2;
	u64 refused; /* physical address that has no memory, or no code; ~0: none */
};

static u32 levels_of(u32 mode)
{
	return mode == GPT_5L ? 5 : mode == GPT_4L ? 4 : 2;
}
static bool is_long(u32 mode)
{
	return mode == GPT_4L || mode == GPT_5L;
}
static u64 code_page(u32 mode)
{
	return is_long(mode) ? 0xffffffffffffe000ull : 0xffffe000ull;
}

static u32 *words(uc_context *context)
{
	return (u32 *)context;
}

/* --- an engine ------------------------------------------------------------------ */
static void on_exception(uc_engine *uc, u32 vector, void *arg)
{
	struct cpu *c = arg;

	c->vector = (int)vector;
	uc_reg_read(uc, UC_X86_REG_CR2, &c->cr2);
	uc_context_save(uc, c->at_fault);
	uc_emu_stop(uc);
}

/* Memory that is not there, or not for code: the walk went well then. */
static bool on_refusal(uc_engine *uc, uc_mem_type type, u64 address, int size, int64_t value, void *arg)
{
	struct cpu *c = arg;

	c->refused = address;
	return false;
}

/* Memory at the physical address that equals the page's own, and at what Unicorn 2.1 makes of that: see above. */
static void give_page(struct cpu *c, u64 gva)
{
	u64 page = gva & PAGE_MASK, narrow = page & BITS(51, 0);
	u8 *memory = c->given + c->given_pages++ * PAGE_SIZE;

	assert_true(c->given_pages <= GIVEN_MAX);
	assert_int_equal(uc_mem_map_ptr(c->uc, page, PAGE_SIZE, UC_PROT_ALL, memory), UC_ERR_OK);
	if (narrow != page)
		assert_int_equal(uc_mem_map_ptr(c->uc, narrow, PAGE_SIZE, UC_PROT_ALL, memory), UC_ERR_OK);
}

static void map_ram(struct cpu *c, u32 first, u32 pages, u32 protection)
{
	assert_int_equal(uc_mem_map_ptr(c->uc, RAM_BASE + first * PAGE_SIZE, pages * PAGE_SIZE, protection,
					ram + first * PAGE_SIZE),
			 UC_ERR_OK);
}

static void put_code(struct cpu *c)
{
	static const u8 load64[] = {0x48, 0x8b, 0x07}, store64[] = {0x48, 0x89, 0x07}, iret64[] = {0x48, 0xcf};
	static const u8 load32[] = {0x8b, 0x07, 0x90}, store32[] = {0x89, 0x07, 0x90}, iret32[] = {0xcf, 0x90};
	static const u8 to_cr0[] = {0x0f, 0x22, 0xc0}, to_cr4[] = {0x0f, 0x22, 0xe0};
	u64 at = code_page(c->mode);
	bool wide = is_long(c->mode);

	give_page(c, at);
	uc_mem_write(c->uc, at + LOAD_OFFSET, wide ? load64 : load32, 3);
	uc_mem_write(c->uc, at + STORE_OFFSET, wide ? store64 : store32, 3);
	uc_mem_write(c->uc, at + IRET_OFFSET, wide ? iret64 : iret32, 2);
	uc_mem_write(c->uc, at + FLUSH_OFFSET, to_cr0, 3);
	uc_mem_write(c->uc, at + CR4_OFFSET, to_cr4, 3);
}

/* IRET to CPL 3, paging still off. Flat segments: 0x0b code, 0x13 data. */
static void go_to_user(struct cpu *c)
{
	u64 gdt[] = {0, is_long(c->mode) ? 0x00affb000000ffffull : 0x00cffb000000ffffull, 0x00cff3000000ffffull};
	u64 frame64[] = {code_page(c->mode), 0x0b, 2, GDT_PAGE + 0x800, 0x13};
	u32 frame32[] = {(u32)code_page(c->mode), 0x0b, 2, (u32)GDT_PAGE + 0x800, 0x13};
	uc_x86_mmr gdtr = {.base = GDT_PAGE, .limit = sizeof(gdt) - 1};
	u64 rsp = GDT_PAGE + 0x400;

	assert_int_equal(uc_mem_map(c->uc, GDT_PAGE, PAGE_SIZE, UC_PROT_ALL), UC_ERR_OK);
	uc_mem_write(c->uc, GDT_PAGE, gdt, sizeof(gdt));
	uc_mem_write(c->uc, rsp, is_long(c->mode) ? (void *)frame64 : (void *)frame32,
		     is_long(c->mode) ? sizeof(frame64) : sizeof(frame32));
	uc_reg_write(c->uc, UC_X86_REG_GDTR, &gdtr);
	uc_reg_write(c->uc, is_long(c->mode) ? UC_X86_REG_RSP : UC_X86_REG_ESP, &rsp);
	assert_int_equal(uc_emu_start(c->uc, code_page(c->mode) + IRET_OFFSET, code_page(c->mode), 0, 1), UC_ERR_OK);
	assert_int_equal(c->vector, -1);
}

static struct cpu *cpu_create(u32 mode, bool user)
{
	struct cpu *c = calloc(1, sizeof(*c));
	uc_hook hook;

	c->mode = mode;
	c->user = user;
	c->vector = -1;
	c->given = aligned_alloc(PAGE_SIZE, GIVEN_MAX * PAGE_SIZE);
	memset(c->given, 0x90, GIVEN_MAX * PAGE_SIZE);
	assert_int_equal(uc_open(UC_ARCH_X86, is_long(mode) ? UC_MODE_64 : UC_MODE_32, &c->uc), UC_ERR_OK);
	assert_int_equal(uc_ctl_set_cpu_model(c->uc, UC_CPU_X86_ICELAKE_SERVER), UC_ERR_OK);
	map_ram(c, 0, TABLES, UC_PROT_READ | UC_PROT_WRITE);
	map_ram(c, PATH, 1, UC_PROT_ALL);
	map_ram(c, PATH + 1, RAM_PAGES - PATH - 1, UC_PROT_READ | UC_PROT_WRITE);
	assert_int_equal(uc_context_alloc(c->uc, &c->start), UC_ERR_OK);
	assert_int_equal(uc_context_alloc(c->uc, &c->at_fault), UC_ERR_OK);
	assert_int_equal(uc_hook_add(c->uc, &hook, UC_HOOK_INTR, (void *)on_exception, c, 1, 0), UC_ERR_OK);
	assert_int_equal(uc_hook_add(c->uc, &hook, UC_HOOK_MEM_INVALID, (void *)on_refusal, c, 1, 0), UC_ERR_OK);
	put_code(c);
	assert_int_equal(uc_context_alloc(c->uc, &c->boot), UC_ERR_OK);
	assert_int_equal(uc_context_save(c->uc, c->boot), UC_ERR_OK);
	if (user)
		go_to_user(c);
	assert_int_equal(uc_context_save(c->uc, c->start), UC_ERR_OK);
	return c;
}

static void cpu_destroy(struct cpu *c)
{
	uc_context_free(c->boot);
	uc_context_free(c->start);
	uc_context_free(c->at_fault);
	uc_close(c->uc);
	free(c->given);
	free(c);
}

/* --- one access in Unicorn --------------------------------------------------------- */
struct trial {
	struct gpt_context context;
	struct gpt_access access;
	u64 gva;
};

/* Runs one instruction of the code page in the boot context. */
static void run_stub(struct cpu *c, u32 offset, u64 rax)
{
	u64 at = code_page(c->mode) + offset;

	uc_context_restore(c->uc, c->boot);
	uc_reg_write(c->uc, is_long(c->mode) ? UC_X86_REG_RAX : UC_X86_REG_EAX, &rax);
	assert_int_equal(uc_emu_start(c->uc, at, at + 3, 0, 0), UC_ERR_OK);
}

/* Registers written from outside are but stored: only an instruction flushes the TLB. */
static void flush_tlb(struct cpu *c)
{
	run_stub(c, FLUSH_OFFSET, CR0_PE | CR0_ET | CR0_WP);
}

static void load_controls(struct cpu *c, const struct gpt_context *g)
{
	u64 cr0 = CR0_PE | CR0_ET | CR0_PG | (g->wp ? CR0_WP : 0);
	u64 cr4 = (g->smep ? CR4_SMEP : 0) | (g->smap ? CR4_SMAP : 0) | (g->pse ? CR4_PSE : 0) |
		  (g->mode == GPT_32 ? 0 : CR4_PAE) | (g->mode == GPT_5L ? CR4_LA57 : 0) | (g->pke ? CR4_PKE : 0);
	u64 efer = (is_long(g->mode) ? EFER_START : 0) | (g->nx ? EFER_NXE : 0);

	flush_tlb(c);
	words(c->start)[word_efer] = (u32)efer;
	words(c->start)[word_pkru] = g->pkru;
	words(c->start)[word_hflags] &= ~(u32)HFLAGS_SMAP;
	words(c->start)[word_hflags] |= g->smap ? HFLAGS_SMAP : 0;
	uc_context_restore(c->uc, c->start);
	uc_reg_write(c->uc, UC_X86_REG_CR3, &g->cr3);
	uc_reg_write(c->uc, UC_X86_REG_CR4, &cr4);
	uc_reg_write(c->uc, UC_X86_REG_CR0, &cr0);
}

/* Runs the access; vector and cr2 say how it ended. */
static void run_access(struct cpu *c, const struct trial *t)
{
	u64 code = code_page(c->mode) + (t->access.write ? STORE_OFFSET : LOAD_OFFSET), end = code + 3;
	u64 flags = 2 | (t->access.ac ? RFLAGS_AC : 0), reached = 0, nops = 0x9090909090909090ull;
	uc_err err;

	load_controls(c, &t->context);
	if (t->access.fetch) {
		code = t->gva;
		end = code + 1;
	}
	uc_reg_write(c->uc, is_long(c->mode) ? UC_X86_REG_RDI : UC_X86_REG_EDI, &t->gva);
	uc_reg_write(c->uc, is_long(c->mode) ? UC_X86_REG_RAX : UC_X86_REG_EAX, &nops); /* what a store leaves */
	uc_reg_write(c->uc, UC_X86_REG_EFLAGS, &flags);
	c->vector = -1;
	c->refused = ~0ull;
	err = uc_emu_start(c->uc, code, end, 0, 0);
	if (translates && c->refused != ~0ull)
		return;
	if (err != UC_ERR_OK)
		fail_msg("Unicorn: %s at %#llx", uc_strerror(err), (unsigned long long)c->refused);
	uc_reg_read(c->uc, is_long(c->mode) ? UC_X86_REG_RIP : UC_X86_REG_EIP, &reached);
	if (c->vector < 0 && (is_long(c->mode) ? reached != end : (u32)reached != (u32)end))
		fail_msg("Unicorn stopped at %#llx", (unsigned long long)reached);
}

/* --- tables -------------------------------------------------------------------------- */
static u64 frame(u32 n)
{
	return RAM_BASE + n * PAGE_SIZE;
}

static void set_entry(u32 table, u32 index, u64 entry, bool wide)
{
	if (wide)
		((u64 *)(ram + table * PAGE_SIZE))[index] = entry;
	else
		((u32 *)(ram + table * PAGE_SIZE))[index] = (u32)entry;
}

/* The last slot of every table leads down to the code, whatever the root is. PATH + n is the table of level n. */
static void make_path(const struct cpu *c)
{
	bool wide = c->mode != GPT_32;
	u32 last = wide ? 511 : 1023, top = levels_of(c->mode);
	u64 all = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;

	for (u32 n = 0; n < TABLES; n++)
		set_entry(n, last, frame(PATH + (c->mode == GPT_PAE ? 2 : top - 1)) | all, wide);
	for (u32 level = 2; level < top || (level == 2 && c->mode == GPT_PAE); level++)
		set_entry(PATH + level, last, frame(PATH + level - 1) | all, wide);
	set_entry(PATH + 1, last - 1, frame(PATH) | (c->user ? all : all & ~PTE_U), wide);
	if (c->mode == GPT_PAE) /* the root is a table of four PDPTEs */
		set_entry(0, 3, frame(PATH + 2) | PTE_P, true);
	memcpy(ram + PATH * PAGE_SIZE, c->given, PAGE_SIZE);
}

static u64 random_entry(struct rng *r)
{
	u64 e = frame(rng_below(r, TABLES));

	e |= rng_chance(r, 96) ? PTE_P : 0;
	e |= rng_chance(r, 75) ? PTE_W : 0;
	e |= rng_chance(r, 85) ? PTE_U : 0;
	e |= rng_next(r) & (PTE_A | PTE_D | PTE_PWT | PTE_PCD);
	e |= rng_chance(r, 8) ? PTE_NX : 0;
	e |= rng_chance(r, 3) ? BIT(rng_below(r, 64)) : 0;
	e |= (rng_next(r) & 15) << 59;
	if (rng_chance(r, 12))
		e = (e & ~BITS(20, 12)) | PTE_PS;
	return e & ~PTE_G;
}

static void fill_random(const struct cpu *c, struct rng *r)
{
	for (u32 n = 0; n < TABLES; n++)
		for (u32 i = 0; i < 512; i++) {
			u64 e = random_entry(r);

			if (c->mode == GPT_PAE) /* without keys: those bits are reserved */
				e &= rng_chance(r, 97) ? ~BITS(62, 52) : ~0ull;
			if (c->mode == GPT_32)
				e = (u32)e | random_entry(r) << 32;
			((u64 *)(ram + n * PAGE_SIZE))[i] = e;
		}
	if (c->mode == GPT_PAE)
		for (u32 i = 0; i < 3; i++)
			set_entry(0, i, frame(1 + rng_below(r, TABLES - 1)) | (rng_chance(r, 90) ? PTE_P : 0), true);
	make_path(c);
	memcpy(pristine, ram, RAM_PAGES * PAGE_SIZE);
}

/* One of the pages that every engine has; never the path to the code. */
static u64 some_gva(u32 mode, u32 n)
{
	static const u32 index[3] = {5, 129, 300};
	u64 gva = 0;

	if (mode == GPT_32)
		return (u64)(2 + 77 * (n % 3)) << 22 | (u64)index[n / 3 % 3] << 12;
	for (u32 level = 1; level <= levels_of(mode); level++, n /= 3)
		gva |= (u64)index[n % 3] << (12 + 9 * (level - 1));
	if (mode == GPT_PAE)
		return gva | (u64)(n % 3) << 30;
	/* the sign goes on upwards */
	return gva & BIT(11 + 9 * levels_of(mode)) ? gva | ~(BIT(12 + 9 * levels_of(mode)) - 1) : gva;
}

static u32 gva_count(u32 mode)
{
	return mode == GPT_5L ? 243 : mode == GPT_4L ? 81 : mode == GPT_PAE ? 27 : 9;
}

/* --- learning where a saved context has its registers ---------------------------------- */
static u32 unique_word(const struct cpu *c, const bool *good, const char *name)
{
	u32 found = 0, count = 0;

	for (u32 i = 0; i < uc_context_size(c->uc) / 4; i++)
		if (good[i]) {
			found = i;
			count++;
		}
	if (count != 1)
		fail_msg("%u candidates for %s in Unicorn's context", count, name);
	return found;
}

/* 4-level tables that lead from the address to the entry. */
static void map_one(const struct cpu *c, u64 gva, u64 entry)
{
	memset(ram, 0, RAM_PAGES * PAGE_SIZE);
	make_path(c);
	for (u32 level = 4; level; level--)
		set_entry(4 - level, (gva >> (12 + 9 * (level - 1))) & 511,
			  level > 1 ? frame(5 - level) | PTE_P | PTE_W | PTE_U : entry, true);
}

/* The word that holds each of these faults' error codes, which no processor could differ on. */
static void learn_error_code(struct cpu *c, bool *good)
{
	static const struct {
		u64 entry;
		bool write;
		u32 error;
	} known[] = {
		{0, false, 0},
		{0, true, PF_W},
		{PTE_P, true, PF_P | PF_W},
		{PTE_P | BIT(45), false, PF_P | PF_RSVD},
	};
	struct trial t = {.context = {.mode = GPT_4L, .cr3 = RAM_BASE, .wp = true}, .gva = some_gva(GPT_4L, 0)};

	for (u32 i = 0; i < ARRAY_SIZE(known); i++) {
		map_one(c, t.gva, known[i].entry);
		t.access.write = known[i].write;
		run_access(c, &t);
		assert_int_equal(c->vector, VEC_PF);
		for (u32 w = 0; w < uc_context_size(c->uc) / 4; w++)
			good[w] = (!i || good[w]) && words(c->at_fault)[w] == known[i].error;
	}
	word_error = unique_word(c, good, "the error code");
}

/* Does a load come from the frame that the tables name? */
static void learn_translation(struct cpu *c)
{
	struct trial t = {.context = {.mode = GPT_4L, .cr3 = RAM_BASE, .wp = true}, .gva = some_gva(GPT_4L, 0)};
	u64 mark = 0x1234567812345678, rax;

	map_one(c, t.gva, frame(6) | PTE_P);
	memcpy(ram + 6 * PAGE_SIZE, &mark, sizeof(mark));
	run_access(c, &t);
	assert_int_equal(c->vector, -1);
	uc_reg_read(c->uc, UC_X86_REG_RAX, &rax);
	translates = rax == mark;
}

static void learn_pkru(struct cpu *c, bool *good)
{
	static const u8 wrpkru[] = {0x0f, 0x01, 0xef};
	u64 zero = 0, cr4 = CR4_PAE | CR4_PKE, at = code_page(c->mode) + 64;

	uc_mem_write(c->uc, at, wrpkru, 3);
	for (u32 value = 0x5a3c1111; value < 0x5a3c1114; value++) {
		u64 rax = value;

		uc_context_restore(c->uc, c->boot);
		uc_reg_write(c->uc, UC_X86_REG_CR4, &cr4);
		uc_reg_write(c->uc, UC_X86_REG_RAX, &rax);
		uc_reg_write(c->uc, UC_X86_REG_RCX, &zero);
		uc_reg_write(c->uc, UC_X86_REG_RDX, &zero);
		assert_int_equal(uc_emu_start(c->uc, at, at + 3, 0, 0), UC_ERR_OK);
		uc_reg_write(c->uc, UC_X86_REG_RAX, &zero);
		uc_context_save(c->uc, c->at_fault);
		for (u32 w = 0; w < uc_context_size(c->uc) / 4; w++)
			good[w] = (value == 0x5a3c1111 || good[w]) && words(c->at_fault)[w] == value;
	}
	word_pkru = unique_word(c, good, "PKRU");
}

/* The word besides CR4 in which a guest's MOV to CR4 changes one bit for SMAP. */
static void learn_hflags(struct cpu *c, bool *good)
{
	run_stub(c, CR4_OFFSET, CR4_PAE);
	uc_context_save(c->uc, c->start);
	run_stub(c, CR4_OFFSET, CR4_PAE | CR4_SMAP);
	uc_context_save(c->uc, c->at_fault);
	for (u32 w = 0; w < uc_context_size(c->uc) / 4; w++)
		good[w] = !(words(c->start)[w] & HFLAGS_SMAP) &&
			  words(c->at_fault)[w] == (words(c->start)[w] | HFLAGS_SMAP);
	uc_context_restore(c->uc, c->boot);
	uc_context_save(c->uc, c->start);
	word_hflags = unique_word(c, good, "the hidden flags");
}

static void learn_context(void)
{
	struct cpu *c = cpu_create(GPT_4L, false);
	bool *good = calloc(uc_context_size(c->uc), sizeof(*good));

	give_page(c, some_gva(GPT_4L, 0));
	for (u32 i = 0; i < uc_context_size(c->uc) / 4; i++)
		good[i] = words(c->start)[i] == EFER_START;
	word_efer = unique_word(c, good, "EFER");
	learn_pkru(c, good);
	learn_hflags(c, good);
	learn_error_code(c, good);
	learn_translation(c);
	free(good);
	cpu_destroy(c);
}

static int setup(void **state)
{
	host_arena_create_at(RAM_BASE + HPA_SHIFT, RAM_PAGES * PAGE_SIZE);
	ram = phys_to_virt(hpa(RAM_BASE + HPA_SHIFT));
	pristine = malloc(RAM_PAGES * PAGE_SIZE);
	region_init(&regions);
	assert_int_equal(region_add(&regions, RAM_BASE >> 12, RAM_PAGES, (RAM_BASE + HPA_SHIFT) >> 12, REGION_RAM),
			 0);
	region_seal(&regions);
	learn_context();
	return 0;
}

static int teardown(void **state)
{
	host_arena_destroy();
	free(pristine);
	return 0;
}

/* --- comparison ---------------------------------------------------------------------- */
/* Level of the first entry in memory: a PAE walk starts in registers. */
static u32 top_of(const struct trial *t, const struct gpt_walk *w)
{
	return t->context.mode == GPT_PAE ? MIN(w->top_level, 2u) : w->top_level;
}

static u32 entry_bytes(const struct trial *t)
{
	return t->context.mode == GPT_32 ? 4 : 8;
}

static u64 in_memory(const struct trial *t, const struct gpt_step *step)
{
	u64 value = 0;

	memcpy(&value, step->slot, entry_bytes(t));
	return value;
}

static void restore(const struct trial *t, const struct gpt_walk *w)
{
	for (u32 level = w->last_level; top_of(t, w) && level <= top_of(t, w); level++)
		if (w->step[level].slot)
			memcpy(w->step[level].slot, pristine + ((u8 *)w->step[level].slot - ram), entry_bytes(t));
}

static bool one_entry_twice(const struct trial *t, const struct gpt_walk *w)
{
	for (u32 a = w->last_level; top_of(t, w) && a <= top_of(t, w); a++)
		for (u32 b = a + 1; b <= top_of(t, w); b++)
			if (w->step[a].slot && w->step[a].slot == w->step[b].slot)
				return true;
	return false;
}

static bool tables_are_ram(const struct trial *t, const struct gpt_walk *w)
{
	for (u32 level = w->last_level; top_of(t, w) && level <= top_of(t, w); level++)
		if (!w->step[level].slot)
			return false;
	return true;
}

static void say(const struct cpu *c, const struct trial *t, const struct gpt_walk *w, enum gpt_status status)
{
	const struct gpt_context *g = &t->context;

	printf("mode %u gva %#llx cr3 %#llx wp %u smep %u smap %u nxe %u pse %u pke %u pkru %#x\n"
	       "write %u fetch %u user %u ac %u: walker %s error %#x; Unicorn vector %d error %#x cr2 %#llx\n",
	       g->mode, (unsigned long long)t->gva, (unsigned long long)g->cr3, g->wp, g->smep, g->smap, g->nx,
	       g->pse, g->pke, g->pkru, t->access.write, t->access.fetch, t->access.user, t->access.ac,
	       status == GPT_OK ? "ok" : "fault", w->error, c->vector, words(c->at_fault)[word_error],
	       (unsigned long long)c->cr2);
	for (u32 level = top_of(t, w); level && level >= w->last_level; level--)
		printf("  level %u: %#llx\n", level, (unsigned long long)w->step[level].entry);
}

static u64 trials, faults;

/* As the callers do: a walk that found an entry changed (by itself, in a recursive table) starts over. */
static enum gpt_status walk_again(const struct trial *t, struct gpt_walk *w)
{
	enum gpt_status status = GPT_RETRY;

	for (u32 i = 0; i < 4 && status == GPT_RETRY; i++)
		status = gpt_walk(&t->context, t->gva, t->access, GPT_SET_AD, w);
	return status;
}

static u64 physical(const struct trial *t, const struct gpt_walk *w)
{
	return w->gfn << 12 | (t->gva & (PAGE_SIZE - 1));
}

/* A store over an entry of its own path (what did the walk leave there?), or a fetch of whatever instruction of ours. */
static bool cannot_be_judged(const struct trial *t, const struct gpt_walk *w)
{
	u64 at = physical(t, w) & ~7ull;

	if (t->access.fetch)
		return (at & PAGE_MASK) == frame(PATH);
	for (u32 level = w->last_level; t->access.write && top_of(t, w) && level <= top_of(t, w); level++)
		if (((RAM_BASE + (u64)((u8 *)w->step[level].slot - ram)) & ~7ull) == at)
			return true;
	return false;
}

/* Where Unicorn went: to the walker's physical address. Takes back what it stored. */
static bool went_there(const struct cpu *c, const struct trial *t, const struct gpt_walk *w)
{
	u64 at = physical(t, w), in_ram = at - RAM_BASE;
	bool good = c->refused == ~0ull || c->refused == at;

	if (in_ram >= RAM_PAGES * PAGE_SIZE)
		return good && c->refused == at;
	if (t->access.write) {
		good = good && ram[in_ram] == 0x90 && ram[in_ram + 3] == 0x90;
		memcpy(ram + (in_ram & ~7ull), pristine + (in_ram & ~7ull), 8);
	}
	return good && t->access.fetch == (c->refused == at);
}

/* Unicorn first, then the walker over the same memory. */
static void compare(struct cpu *c, const struct trial *t)
{
	struct gpt_walk peek, w;
	u64 theirs[GPT_LEVELS_MAX + 1] = {0};
	enum gpt_status status = gpt_walk(&t->context, t->gva, t->access, GPT_PEEK, &peek);
	u32 top = top_of(t, &peek);
	bool good, there;

	if (!tables_are_ram(t, &peek) || (status == GPT_OK && cannot_be_judged(t, &peek)))
		return;
	trials++;
	faults += status == GPT_FAULT;
	run_access(c, t);
	there = status != GPT_OK || c->vector != -1 || !translates || went_there(c, t, &peek);
	for (u32 level = peek.last_level; top && level <= top; level++)
		theirs[level] = in_memory(t, &peek.step[level]);
	restore(t, &peek);
	good = walk_again(t, &w) == status && there;
	good = good && (status == GPT_OK ? c->vector == -1 : c->vector == VEC_PF);
	if (status == GPT_FAULT)
		good = good && words(c->at_fault)[word_error] == w.error &&
		       (is_long(t->context.mode) ? c->cr2 == t->gva : (u32)c->cr2 == (u32)t->gva);
	for (u32 level = peek.last_level; top && level <= top; level++) {
		u64 ours = in_memory(t, &w.step[level]), more = status == GPT_FAULT ? PTE_A : 0;

		if (!one_entry_twice(t, &peek))
			good = good && (ours & ~more) == (theirs[level] & ~more) && !(ours & ~theirs[level]);
	}
	if (!good) {
		say(c, t, &peek, status);
		for (u32 level = top; level && level >= peek.last_level; level--)
			printf("  level %u after: walker %#llx Unicorn %#llx\n", level,
			       (unsigned long long)in_memory(t, &w.step[level]), (unsigned long long)theirs[level]);
		fail_msg("the walker and Unicorn differ");
	}
	restore(t, &w);
}

static void random_trial(const struct cpu *c, struct rng *r, struct trial *t)
{
	struct gpt_context *g = &t->context;
	u64 dice = rng_next(r);

	*t = (struct trial){.context = {
				    .regions = &regions,
				    .mode = c->mode,
				    .phys_bits = PHYS_BITS,
				    .wp = dice & 1,
				    .smep = dice & 2,
				    .smap = dice & 4,
				    .nx = dice & 8 && c->mode != GPT_32,
				    .pse = dice & 16,
				    .pages_1g = true,
			    }};
	g->pke = is_long(c->mode) && dice & 64;
	g->pkru = rng_chance(r, 30) ? 0 : (u32)rng_next(r);
	g->cr3 = c->mode == GPT_PAE ? RAM_BASE : frame(rng_below(r, TABLES));
	memcpy(g->pdpte, ram, c->mode == GPT_PAE ? sizeof(g->pdpte) : 0);
	t->access.user = c->user;
	t->access.write = (dice >> 8) % 3 == 1;
	t->access.fetch = (dice >> 8) % 3 == 2;
	t->access.ac = dice & 32;
	t->gva = some_gva(c->mode, rng_below(r, gva_count(c->mode))) +
		 8 * rng_below(r, 480) /* no instruction crosses the page */;
}

static void random_accesses(u32 mode, bool user, u64 seed)
{
	struct cpu *c = cpu_create(mode, user);
	u32 rounds = getenv("UMBRA_LONG") ? 400 : 20;
	struct rng r;

	rng_seed(&r, seed);
	for (u32 n = 0; n < gva_count(mode); n++)
		give_page(c, some_gva(mode, n));
	trials = faults = 0;
	for (u32 round = 0; round < rounds; round++) {
		fill_random(c, &r);
		for (u32 i = 0; i < 1000; i++) {
			struct trial t;

			random_trial(c, &r, &t);
			compare(c, &t);
		}
		/* neither of the two wrote elsewhere */
		assert_memory_equal(ram, pristine, RAM_PAGES * PAGE_SIZE);
	}
	printf("%llu accesses, %llu of them faults\n", (unsigned long long)trials, (unsigned long long)faults);
	assert_true(faults > trials / 20 && faults < trials - trials / 20);
	cpu_destroy(c);
}

static void paging_32_bit_supervisor(void **state)
{
	random_accesses(GPT_32, false, 1);
}
static void paging_32_bit_user(void **state)
{
	random_accesses(GPT_32, true, 2);
}
static void paging_pae_supervisor(void **state)
{
	random_accesses(GPT_PAE, false, 3);
}
static void paging_pae_user(void **state)
{
	random_accesses(GPT_PAE, true, 4);
}
static void paging_4_level_supervisor(void **state)
{
	random_accesses(GPT_4L, false, 5);
}
static void paging_4_level_user(void **state)
{
	random_accesses(GPT_4L, true, 6);
}
static void paging_5_level_supervisor(void **state)
{
	random_accesses(GPT_5L, false, 7);
}
static void paging_5_level_user(void **state)
{
	random_accesses(GPT_5L, true, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paging_32_bit_supervisor),  cmocka_unit_test(paging_32_bit_user),
		cmocka_unit_test(paging_pae_supervisor),     cmocka_unit_test(paging_pae_user),
		cmocka_unit_test(paging_4_level_supervisor), cmocka_unit_test(paging_4_level_user),
		cmocka_unit_test(paging_5_level_supervisor), cmocka_unit_test(paging_5_level_user),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
