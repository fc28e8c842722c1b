/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large machines: firmware maps of up to 4 TiB, with holes, many entries, several
 * nodes, little below 4 GiB, go through what boot/ plans (the pool's size and place,
 * the first page tables, the list of ranges) and then through memory_init(). Only
 * the memory that these write to exists.
 */
#include "tests/unit/host.h"

#include <stdlib.h>
#include <string.h>

#include "arch/x86/memory.h"
#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "boot/guest_map.h"
#include "boot/page_tables.h"
#include "boot/plan.h"
#include "mm/buddy.h"
#include "mm/hostmap.h"
#include "mm/phys.h"
#include "mm/shadow.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)
#define STRIDE 48u
#define DESCRIPTORS_MAX 1200u
#define RANGES_MAX (2 * DESCRIPTORS_MAX + 2 * HIDDEN + 1)
#define HIDDEN 3u
#define IMAGE_BYTES 0x7000ull
#define HEAP_PAGES (BOOT_HEAP_BYTES / PAGE_SIZE)

/* --- the core's image, as linker.ld lays it out --------------------------------------- */
asm(".bss\n.balign 4096\n"
    ".globl core_image_start, core_text_start\ncore_image_start:\ncore_text_start: .skip 0x2000\n"
    ".globl core_text_end, core_rodata_start\ncore_text_end:\ncore_rodata_start: .skip 0x1000\n"
    ".globl core_rodata_end, core_data_start\ncore_rodata_end:\ncore_data_start: .skip 0x3000\n"
    ".globl core_bss_end, core_ksyms_start\ncore_bss_end:\ncore_ksyms_start: .skip 0x1000\n"
    ".globl core_ksyms_end, core_image_end\ncore_ksyms_end:\ncore_image_end:\n.text\n");
struct cpu_stacks percpu_boot_stacks;

/* --- the processor ----------------------------------------------------------------------- */
static u64 apic;
static bool has_1g;
static struct hostmap entered;

u64 paging_apic_page(void)
{
	return apic;
}
bool paging_has_1g(void)
{
	return has_1g;
}
void paging_enter(hpa_t root)
{
	entered.root = root;
}
void paging_flush(void) {}
void paging_flush_page(u64 va) {}

/* --- the machine --------------------------------------------------------------------------- */
static char firmware[DESCRIPTORS_MAX * STRIDE];
static struct efi_map map;
#define UART_BASE (90 * TIB + 0xff0) /* its registers lie on two pages */
static struct boot_framebuffer screen;

static void add(u32 type, u64 base, u64 end)
{
	struct efi_descriptor d = {.type = type, .physical = base, .pages = (end - base) / PAGE_SIZE};

	assert_true(map.count < DESCRIPTORS_MAX && base < end);
	memcpy(firmware + map.count++ * STRIDE, &d, sizeof(d));
}

static void clear_machine(void)
{
	map = (struct efi_map){firmware, 0, STRIDE};
	screen = (struct boot_framebuffer){.base = 0xc0000000, .size = 8 * MIB};
	apic = 0xfee00000;
}

/* What a PC has below 4 GiB, RAM up to end. */
static void add_low(u64 end)
{
	add(EFI_KIND_BOOT_CODE, 0, PAGE_SIZE);
	add(EFI_KIND_CONVENTIONAL, PAGE_SIZE, 640 * KIB);
	add(EFI_KIND_CONVENTIONAL, MIB, end - 12 * MIB);
	add(EFI_KIND_RUNTIME_DATA, end - 12 * MIB, end - 10 * MIB);
	add(EFI_KIND_RESERVED, end - 10 * MIB, end - 8 * MIB);
	add(EFI_KIND_ACPI_RECLAIM, end - 8 * MIB, end - 7 * MIB);
	add(EFI_KIND_ACPI_NVS, end - 7 * MIB, end - 6 * MIB);
	add(EFI_KIND_BOOT_DATA, end - 6 * MIB, end);
	add(EFI_KIND_RESERVED, 0xe0000000, 0xf0000000);
	add(EFI_KIND_MMIO, 0xfec00000, 0xfed00000);
}

static void one_node_of_256_gib(void)
{
	add_low(2 * GIB);
	add(EFI_KIND_CONVENTIONAL, 4 * GIB, 258 * GIB);
}

/* Four nodes of 1 TiB, holes between, the last of them not in order, one with faulty memory in it. */
static void four_nodes_of_4_tib(void)
{
	add_low(3 * GIB);
	add(EFI_KIND_CONVENTIONAL, 3 * TIB + 3 * GIB, 4 * TIB + 4 * GIB);
	add(EFI_KIND_CONVENTIONAL, 4 * GIB, TIB);
	add(EFI_KIND_CONVENTIONAL, TIB + GIB, TIB + 500 * GIB);
	add(EFI_KIND_UNUSABLE, TIB + 500 * GIB, TIB + 500 * GIB + 64 * KIB);
	add(EFI_KIND_CONVENTIONAL, TIB + 500 * GIB + 64 * KIB, 2 * TIB);
	add(EFI_KIND_CONVENTIONAL, 2 * TIB + 2 * GIB, 3 * TIB);
}

/* More runs of RAM than a PC ever has, in small pieces of all kinds. */
static void many_entries(void)
{
	static const u32 kinds[] = {EFI_KIND_CONVENTIONAL, EFI_KIND_RESERVED,     EFI_KIND_LOADER_DATA,
				    EFI_KIND_RUNTIME_CODE, EFI_KIND_CONVENTIONAL, EFI_KIND_MMIO};

	add_low(2 * GIB);
	for (u64 i = 0; i < 900; i++)
		add(kinds[i % ARRAY_SIZE(kinds)], 4 * GIB + i * MIB, 4 * GIB + (i + 1) * MIB);
	add(EFI_KIND_CONVENTIONAL, 6 * GIB, 260 * GIB);
}

static void little_below_4_gib(void)
{
	add_low(96 * MIB);
	add(EFI_KIND_CONVENTIONAL, 4 * GIB, 260 * GIB);
}

/* Nodes far apart; framebuffer and APIC at the end of what can be reached. */
static void nodes_far_apart(void)
{
	add_low(2 * GIB);
	for (u64 node = 0; node < 4; node++)
		add(EFI_KIND_CONVENTIONAL, 4 * GIB + node * 2 * TIB, 36 * GIB + node * 2 * TIB);
	screen = (struct boot_framebuffer){.base = 40 * TIB + 12 * MIB, .size = 64 * MIB};
	apic = DIRECT_MAP_BYTES - PAGE_SIZE;
}

static void a_framebuffer_of_several_gib(void)
{
	add_low(2 * GIB);
	add(EFI_KIND_CONVENTIONAL, 4 * GIB, 20 * GIB);
	screen = (struct boot_framebuffer){.base = 512 * GIB - 3 * GIB - PAGE_SIZE, .size = 5 * GIB};
	apic = 700 * GIB + 5 * PAGE_SIZE;
}

/* No memory above 4 GiB: the pool is below it. */
static void one_gib(void)
{
	add_low(GIB);
}

static void (*const machines[])(void) = {
	one_node_of_256_gib, four_nodes_of_4_tib,          many_entries, little_below_4_gib,
	nodes_far_apart,     a_framebuffer_of_several_gib, one_gib,
};

/* --- boot/ --------------------------------------------------------------------------------------- */
static struct boot_info *info;
static struct boot_range ranges[RANGES_MAX];
static u32 range_count;
static struct map_hidden hidden[HIDDEN];

/* Takes a free range, which lies in one descriptor, as AllocatePages() does. */
static void claim(u64 base, u64 bytes)
{
	for (u32 i = 0, count = map.count; i < count; i++) {
		struct efi_descriptor *d = (struct efi_descriptor *)(firmware + i * STRIDE);
		u64 start = d->physical, end = start + d->pages * PAGE_SIZE;

		if (d->type != EFI_KIND_CONVENTIONAL || start > base || end < base + bytes)
			continue;
		d->physical = base;
		d->pages = bytes / PAGE_SIZE;
		d->type = EFI_KIND_LOADER_DATA;
		if (start < base)
			add(EFI_KIND_CONVENTIONAL, start, base);
		if (end > base + bytes)
			add(EFI_KIND_CONVENTIONAL, base + bytes, end);
		return;
	}
	fail_msg("nothing free at %lx", (unsigned long)base);
}

/* The hypervisor's two blocks and its start-up page, as boot/core.c lays them out. */
static void place(u64 pool_bytes)
{
	u64 image = IMAGE_BYTES + 2 * PAGE_SIZE + ALIGN_UP(sizeof(ranges), PAGE_SIZE) + BOOT_HEAP_BYTES, base = 0;
	bool found = false;

	for (u32 i = 0; i < PLAN_POOL_PLACES && !found; i++) {
		const struct plan_place *p = &plan_pool_places[i];

		found = map_find_free(&map, pool_bytes, PLAN_ALIGNMENT, p->min, p->max, p->from_top, &base);
	}
	assert_true(found);
	claim(base, pool_bytes);
	hidden[1] = (struct map_hidden){base, pool_bytes, BOOT_MEM_HV_POOL};
	assert_true(map_find_free(&map, image, PAGE_SIZE, plan_image_place.min, plan_image_place.max,
				  plan_image_place.from_top, &base));
	assert_true(base + image <= 4 * GIB);
	claim(base, image);
	hidden[0] = (struct map_hidden){base, image, BOOT_MEM_HV_IMAGE};
	assert_true(base + image <= hidden[1].base || base >= hidden[1].base + pool_bytes);
	assert_true(map_find_free(&map, PAGE_SIZE, PAGE_SIZE, plan_startup_place.min, plan_startup_place.max,
				  plan_startup_place.from_top, &base));
	assert_int_equal(base, 576 * KIB - PAGE_SIZE);
	claim(base, PAGE_SIZE);
	hidden[2] = (struct map_hidden){base, PAGE_SIZE, BOOT_MEM_HV_IMAGE};
}

/* Physical memory from the lower of the two blocks to the end of the higher one. */
static void create_memory(void)
{
	u32 low = hidden[0].base > hidden[1].base;

	host_arena_create_at(hidden[low].base, hidden[!low].base + hidden[!low].size - hidden[low].base);
}

static void fill_info(void)
{
	u64 at = hidden[0].base + IMAGE_BYTES;

	info = phys_to_virt(hpa(at));
	assert_true(map_build(ranges, 2 * map.count + 2 * HIDDEN + 1, &range_count, &map, hidden, HIDDEN));
	memcpy(phys_to_virt(hpa(at + 2 * PAGE_SIZE)), ranges, range_count * sizeof(*ranges));
	*info = (struct boot_info){
		.map = at + 2 * PAGE_SIZE,
		.map_count = range_count,
		.image_base = hidden[0].base,
		.image_size = IMAGE_BYTES,
		.reserve_base = hidden[0].base,
		.reserve_size = hidden[0].size,
		.heap_base = hidden[0].base + hidden[0].size - BOOT_HEAP_BYTES,
		.heap_size = BOOT_HEAP_BYTES,
		.pool_base = hidden[1].base,
		.pool_size = hidden[1].size,
		.framebuffer = screen,
		.uart = {.base = UART_BASE, .space = BOOT_UART_MEMORY, .stride = 4, .width = 4},
	};
}

static bool is_ram(const struct boot_range *r)
{
	return r->kind != BOOT_MEM_RESERVED && r->kind != BOOT_MEM_MMIO;
}

static void start(void (*machine)(void), u64 pool_bytes)
{
	clear_machine();
	machine();
	place(pool_bytes ? pool_bytes : plan_pool_default(&map));
	create_memory();
	fill_info();
	memory_init(info);
}

/* --- what must hold -------------------------------------------------------------------------------- */
static void assert_mapped(u64 pa, u64 rights)
{
	u64 has;
	hpa_t to;

	assert_true(hostmap_query(&entered, DIRECT_MAP_BASE + pa, &to, &has));
	assert_int_equal(to.v, pa);
	assert_int_equal(has, rights);
}

static void assert_reachable(void)
{
	for (u32 i = 0; i < range_count; i++) {
		const struct boot_range *r = &ranges[i];

		if (!is_ram(r) || r->kind == BOOT_MEM_HV_IMAGE)
			continue;
		assert_mapped(r->base, HOSTMAP_W);
		assert_mapped(r->base + r->size / 2 / PAGE_SIZE * PAGE_SIZE, HOSTMAP_W);
		assert_mapped(r->base + r->size - PAGE_SIZE, HOSTMAP_W);
	}
	assert_mapped(hidden[0].base, 0);
	assert_mapped(info->heap_base, HOSTMAP_W);
	assert_mapped(apic, HOSTMAP_W | HOSTMAP_UC);
	assert_mapped(UART_BASE, HOSTMAP_W | HOSTMAP_UC);
	assert_mapped(UART_BASE + 31, HOSTMAP_W | HOSTMAP_UC);
	assert_mapped(screen.base, HOSTMAP_W | HOSTMAP_UC);
	assert_mapped(screen.base + screen.size - PAGE_SIZE, HOSTMAP_W | HOSTMAP_UC);
	assert_int_equal(hostmap_check(&entered), 0);
}

static void assert_region(u64 at, u32 kind)
{
	struct region_hit hit;

	region_lookup(memory_regions(), at >> PAGE_SHIFT, &hit);
	assert_int_equal(hit.kind, kind);
	assert_int_equal(hit.pfn, at >> PAGE_SHIFT);
}

static void assert_regions(void)
{
	u64 frames = 0;

	for (u32 i = 0; i < range_count; i++) {
		const struct boot_range *r = &ranges[i];
		bool hides = r->kind == BOOT_MEM_HV_IMAGE || r->kind == BOOT_MEM_HV_POOL;
		u32 kind = hides ? REGION_HIDDEN : is_ram(r) ? REGION_RAM : REGION_MMIO;

		assert_region(r->base, kind);
		assert_region(r->base + r->size - PAGE_SIZE, kind);
		frames += kind == REGION_RAM ? r->size >> PAGE_SHIFT : 0;
	}
	assert_int_equal(memory_regions()->ram_frames, frames);
	assert_region(apic, REGION_TRAPPED);
	for (u64 at = 0xfee00000; at < 0xfef00000; at += PAGE_SIZE)
		assert_region(at, at == apic ? REGION_TRAPPED : REGION_HIDDEN);
	assert_region(0xfee00000 - PAGE_SIZE, REGION_MMIO);
	assert_region(0xfef00000, REGION_MMIO);
	assert_region(screen.base, REGION_MMIO);
	assert_region(UART_BASE & PAGE_MASK, REGION_MMIO);
}

/* All that memory_alloc() has lies in the image's block, or below 4 GiB in the pool; the root of the tables lies there too. */
static void assert_heap(void)
{
	bool pool_above = info->pool_base >= 4 * GIB;
	u32 count = 0;
	u64 *page;

	for (; (page = memory_alloc(0)); count++) {
		u64 at = virt_to_phys(page).v;
		bool in_heap = at >= info->heap_base && at - info->heap_base < info->heap_size;

		assert_true(at < 4 * GIB && (in_heap || !pool_above));
		assert_int_equal(*page, 0);
		*page = at;
	}
	assert_int_equal(memory_root(), entered.root.v);
	assert_true(pool_above ? count == HEAP_PAGES - 1 : count >= HEAP_PAGES - 1);
}

static void every_machine_starts_with_the_default_pool(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(machines); i++) {
		hpa_t pool;
		u64 bytes;

		has_1g = i % 2 == 0;
		start(machines[i], 0);
		memory_shadow_pool(&pool, &bytes);
		assert_true(pool.v > info->pool_base && pool.v + bytes == info->pool_base + info->pool_size);
		assert_true(shadow_metadata_bytes(memory_regions()->frame_count, bytes) < bytes);
		assert_int_equal(info->pool_base >= 4 * GIB, machines[i] != one_gib);
		assert_reachable();
		assert_regions();
		assert_heap();
		host_arena_destroy();
	}
}

/* The least pool that boot/ accepts, and then the shadow engine with it; not for 4 TiB, whose metadata is 4 GiB. */
static void every_machine_starts_with_the_least_pool(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(machines); i++) {
		struct shadow_config config = {.host_phys_bits = 46, .tags = 15};

		if (machines[i] == four_nodes_of_4_tib)
			continue;
		has_1g = i % 2;
		clear_machine();
		machines[i]();
		start(machines[i], plan_pool_least(&map));
		config.regions = memory_regions();
		config.ones_page = virt_to_phys(memory_alloc(0));
		memory_shadow_pool(&config.pool, &config.pool_bytes);
		assert_non_null(shadow_create(&config));
		assert_reachable();
		host_arena_destroy();
	}
}

/* --- the first page tables ---------------------------------------------------------------------------- */
#define TABLES_MAX 20000u
static u64 (*tables)[512];

static u64 physical_of(u64 root, u64 va)
{
	u64 table = root;

	for (u32 level = 4;; level--) {
		u64 entry = ((u64 *)(uintptr_t)table)[va >> (12 + 9 * (level - 1)) & 511];
		u64 below = BIT(12 + 9 * (level - 1)) - 1;

		if (!(entry & 1))
			return ~0ull;
		if (level == 1 || entry & BIT(7))
			return (entry & BITS(51, 12) & ~below) | (va & below);
		table = entry & BITS(51, 12);
	}
}

static void assert_both_names(u64 root, u64 pa)
{
	assert_int_equal(physical_of(root, pa), pa);
	assert_int_equal(physical_of(root, DIRECT_MAP_BASE + pa), pa);
}

static void boot_maps_all_memory_and_the_screen_with_the_pages_it_counted(void **state)
{
	tables = aligned_alloc(PAGE_SIZE, TABLES_MAX * PAGE_SIZE);
	assert_non_null(tables);
	for (u32 i = 0; i < 2 * ARRAY_SIZE(machines); i++) {
		struct physical physical = {.firmware = &map, .pages_1g = i % 2};
		struct page_tables t;
		u64 pages;

		clear_machine();
		machines[i / 2]();
		physical.more[0] = (struct map_extent){screen.base, screen.base + screen.size};
		physical.more[1] = (struct map_extent){UART_BASE, UART_BASE + 32};
		pages = page_tables_pages(&physical);
		assert_true(pages <= TABLES_MAX);
		memset(tables, 0, pages * PAGE_SIZE);
		page_tables_init(&t, (u64)(uintptr_t)tables, pages);
		assert_true(page_tables_map_physical(&t, &physical));
		assert_int_equal(t.next, t.end);
		page_tables_alias(&t);
		assert_true(map_build(ranges, RANGES_MAX, &range_count, &map, NULL, 0));
		for (u32 r = 0; r < range_count; r++) {
			if (!is_ram(&ranges[r]))
				continue;
			assert_both_names(t.root, ranges[r].base);
			assert_both_names(t.root, ranges[r].base + ranges[r].size - 1);
		}
		assert_both_names(t.root, 4 * GIB - 1);
		assert_both_names(t.root, screen.base);
		assert_both_names(t.root, screen.base + screen.size - 1);
		assert_both_names(t.root, UART_BASE + 31);
		assert_int_equal(physical_of(t.root, 100 * TIB), ~0ull);
		assert_int_equal(physical_of(t.root, CORE_VIRT_BASE), ~0ull);
	}
	free(tables);
}

/* As large as the sum of what it maps, not as the highest address. */
static void tables_grow_with_memory_not_with_its_addresses(void **state)
{
	struct physical physical = {.firmware = &map};

	clear_machine();
	nodes_far_apart();
	assert_int_equal(page_tables_pages(&physical), 1 + 4 + 4 + 4 * 32);
	physical.pages_1g = true;
	assert_int_equal(page_tables_pages(&physical), 1 + 4 + 4);
	clear_machine();
	four_nodes_of_4_tib();
	assert_true(page_tables_pages(&physical) < 30);
}

/* --- the pool's size ----------------------------------------------------------------------------------- */
static u64 default_of(u64 ram)
{
	clear_machine();
	add(EFI_KIND_CONVENTIONAL, 0, ram);
	assert_true(plan_pool_default(&map) >= plan_pool_least(&map));
	assert_int_equal(plan_pool_default(&map) % PLAN_ALIGNMENT, 0);
	return plan_pool_default(&map);
}

static void the_default_pool_follows_the_slope_that_is_documented(void **state)
{
	u64 last = 0;

	assert_int_equal(default_of(256 * MIB), 16 * MIB);
	assert_int_equal(default_of(GIB), 16 * MIB);
	assert_int_equal(default_of(8 * GIB), 128 * MIB);
	assert_int_equal(default_of(64 * GIB), GIB);
	assert_int_equal(default_of(256 * GIB), GIB + 768 * MIB);
	assert_int_equal(default_of(TIB), GIB + 3840 * MIB);
	/* 1/512 for metadata, 16 MiB for the blocks of 4 TiB, and a million pages with their records */
	assert_int_equal(default_of(4 * TIB), 8 * GIB + 16 * MIB + 4096 * MIB + 136 * MIB);
	for (u64 ram = 64 * MIB; ram < 32 * TIB; ram += ram / 3 / PAGE_SIZE * PAGE_SIZE) {
		assert_true(default_of(ram) >= last);
		last = default_of(ram);
	}
}

/* --- devices -------------------------------------------------------------------------------------------- */
static void devices_beyond_the_direct_map_are_refused(void **state)
{
	start(one_gib, 0);
	assert_int_equal(memory_map_device(hpa(DIRECT_MAP_BYTES - PAGE_SIZE), 8), 0);
	assert_int_equal(memory_map_device(hpa(DIRECT_MAP_BYTES), 8), -EINVAL);
	assert_int_equal(memory_map_device(hpa(DIRECT_MAP_BYTES - 4), 8), -EINVAL);
	assert_int_equal(memory_map_device(hpa(~7ull), 8), -EINVAL);
	assert_int_equal(memory_trap_device(hpa(BIT(51))), -EINVAL);
	assert_region(BIT(51), REGION_MMIO);
	host_arena_destroy();
}

/* --- other processors ------------------------------------------------------------------------------------ */
static u64 shadow_base(void)
{
	hpa_t pool;
	u64 bytes;

	memory_shadow_pool(&pool, &bytes);
	assert_int_equal(pool.v + bytes, info->pool_base + info->pool_size);
	return pool.v;
}

/* All of [va, va + bytes) is mapped to writable pages from base on; the page below it is not mapped. */
static void assert_stack(const u8 *stack, u64 bytes, u64 *base)
{
	u64 rights;
	hpa_t to;

	assert_false(hostmap_query(&entered, (u64)stack - PAGE_SIZE, &to, &rights));
	for (u64 at = 0; at < bytes; at += PAGE_SIZE, *base += PAGE_SIZE) {
		assert_true(hostmap_query(&entered, (u64)stack + at, &to, &rights));
		assert_int_equal(to.v, *base);
		assert_int_equal(rights, HOSTMAP_W);
	}
}

/* One page of tables for each and eight at first are enough, as in smp.c. */
static void lay_out_processors(void)
{
	u64 at = shadow_base() + 8 * PAGE_SIZE;

	assert_int_equal(memory_grow_tables(8), 0);
	assert_int_equal(memory_map_startup(hpa(hidden[2].base), true), 0);
	for (u32 id = 1; id < PERCPU_MAX; id++) {
		struct cpu_stacks *s = &PERCPU_STACKS[id];

		assert_int_equal(shadow_base(), at);
		memset(phys_to_virt(hpa(at)), 0xcc, 2 * PAGE_SIZE);
		assert_int_equal(memory_grow_tables(1), 0);
		at += PAGE_SIZE;
		assert_ptr_equal(memory_take(1), phys_to_virt(hpa(at)));
		assert_int_equal(*(u64 *)phys_to_virt(hpa(at)), 0);
		at += PAGE_SIZE;
		assert_int_equal(memory_map_cpu(id), 0);
		assert_stack(s->main, sizeof(s->main), &at);
		assert_stack(s->nmi, sizeof(s->nmi), &at);
		assert_stack(s->df, sizeof(s->df), &at);
		assert_stack(s->mc, sizeof(s->mc), &at);
	}
}

static void other_processors_have_stacks_and_pages_from_the_front_of_the_pool(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(machines); i++) {
		u64 rights;
		hpa_t to;

		clear_machine();
		machines[i]();
		start(machines[i], 64 * MIB + plan_pool_default(&map));
		lay_out_processors();
		assert_true(hostmap_query(&entered, hidden[2].base, &to, &rights));
		assert_int_equal(rights, HOSTMAP_X);
		assert_int_equal(to.v, hidden[2].base);
		assert_int_equal(memory_map_startup(hpa(hidden[2].base), false), 0);
		assert_false(hostmap_query(&entered, hidden[2].base, &to, &rights));
		assert_reachable();
		assert_heap();
		host_arena_destroy();
	}
}

static void other_processors_leave_half_of_the_pool(void **state)
{
	u64 before, bytes, now;
	hpa_t pool;

	start(one_gib, 0);
	memory_shadow_pool(&pool, &before);
	while (memory_take(3))
		;
	memory_shadow_pool(&pool, &bytes);
	assert_true(bytes >= before / 2 && bytes < before / 2 + 3 * PAGE_SIZE);
	assert_int_equal(memory_grow_tables(3), -ENOMEM);
	assert_int_equal(memory_map_cpu(1), -ENOMEM);
	memory_shadow_pool(&pool, &now);
	assert_int_equal(now, bytes);
	host_arena_destroy();
}

/* A pool that is too small is said to be, whatever lies in it. */
static void a_pool_without_room_panics_with_a_line(void **state)
{
	clear_machine();
	one_node_of_256_gib();
	place(2 * MIB);
	create_memory();
	fill_info();
	assert_panics(memory_init(info));
	assert_non_null(strstr(host_panic_message, "the pool of 2048 KiB is too small"));
	host_arena_destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_machine_starts_with_the_default_pool),
		cmocka_unit_test(every_machine_starts_with_the_least_pool),
		cmocka_unit_test(boot_maps_all_memory_and_the_screen_with_the_pages_it_counted),
		cmocka_unit_test(tables_grow_with_memory_not_with_its_addresses),
		cmocka_unit_test(the_default_pool_follows_the_slope_that_is_documented),
		cmocka_unit_test(devices_beyond_the_direct_map_are_refused),
		cmocka_unit_test(other_processors_have_stacks_and_pages_from_the_front_of_the_pool),
		cmocka_unit_test(other_processors_leave_half_of_the_pool),
		cmocka_unit_test(a_pool_without_room_panics_with_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
