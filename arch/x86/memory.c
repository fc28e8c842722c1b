/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes over physical memory from the boot map. Every usable or hypervisor page
 * comes under the buddy allocator already claimed: the guest's RAM at its own
 * addresses, the image, the pool. Then the pool, wherever it lies, is divided, and
 * the heap in the image's block, which is below 4 GiB, is freed to the buddy too:
 *
 *   reserve_base                              pool_base                               pool end
 *   | image | boot data | heap: freed |  ...  | buddy state bytes | tables: freed | shadow engine's pool |
 *
 * So what the buddy has free is the hypervisor's start-up memory: memory_alloc()
 * and the page tables below come from there. What other CPUs need is taken from the
 * front of the shadow engine's part before that is its own.
 */
#include "arch/x86/memory.h"

#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/uart.h"
#include "mm/buddy.h"
#include "mm/gpt.h"
#include "mm/hostmap.h"
#include "mm/phys.h"

#define MAP_COUNT_MAX 4096
/*
 * Where a store of a device is a message to a processor (SDM vol. 3 section 10.11.1), the APICs' page the first of it. What a
 * processor's own store does there no manual says; in QEMU it is a message too, INIT and NMI among them.
 */
#define MESSAGES_BASE 0xfee00000ull
#define MESSAGES_BYTES (1ull << 20)
/* Pages that map_foreign() maps, each CPU's behind the one before. */
#define WINDOW_PAGES (PERCPU_MAX * GPT_SLOTS)
#define WINDOW_BASE (CORE_VIRT_BASE - ALIGN_UP(WINDOW_PAGES * PAGE_SIZE, BIT(21)))

/* Laid out by linker.ld, page aligned. */
extern char core_image_start[], core_image_end[], core_text_start[], core_text_end[];
extern char core_rodata_start[], core_rodata_end[], core_data_start[], core_bss_end[];
extern char core_ksyms_start[], core_ksyms_end[];

static struct {
	const struct boot_info *info;
	struct buddy buddy;
	struct hostmap map;
	struct region_map regions;
	hpa_t shadow_base;
	u64 shadow_bytes, shadow_least;
	u64 guest_bytes;
} memory;

/* --- the boot map ---------------------------------------------------------- */

static const struct boot_range *ranges_of(const struct boot_info *info)
{
	return phys_to_virt(hpa(info->map));
}

static bool is_managed(const struct boot_range *r)
{
	return r->kind == BOOT_MEM_USABLE || r->kind == BOOT_MEM_HV_IMAGE || r->kind == BOOT_MEM_HV_POOL;
}

static bool is_ram(const struct boot_range *r)
{
	return is_managed(r) || r->kind == BOOT_MEM_FIRMWARE;
}

static void check_map(const struct boot_info *info)
{
	const struct boot_range *r = ranges_of(info);
	u64 end = 0;

	if (!info->map_count || info->map_count > MAP_COUNT_MAX)
		panic("boot map has %u ranges", info->map_count);
	for (u32 i = 0; i < info->map_count; i++) {
		if (((r[i].base | r[i].size) & ~PAGE_MASK) || !r[i].size || r[i].base < end ||
		    r[i].base + r[i].size < r[i].base)
			panic("boot map: range %u (0x%lx, 0x%lx bytes) makes no sense", i,
			      (unsigned long)r[i].base, (unsigned long)r[i].size);
		end = r[i].base + r[i].size;
	}
}

/* The next maximal run, from *i on, of neighbouring ranges that match; false at the end. */
static bool next_run(const struct boot_info *info, bool (*match)(const struct boot_range *), u32 *i, u64 *base,
		     u64 *size)
{
	const struct boot_range *r = ranges_of(info);

	while (*i < info->map_count && !match(&r[*i]))
		++*i;
	if (*i == info->map_count)
		return false;
	*base = r[*i].base;
	*size = 0;
	while (*i < info->map_count && match(&r[*i]) && r[*i].base == *base + *size)
		*size += r[(*i)++].size;
	return true;
}

/* --- the buddy allocator --------------------------------------------------- */

static u64 state_bytes(const struct boot_info *info)
{
	u64 base, size, bytes = 0;

	for (u32 i = 0; next_run(info, is_managed, &i, &base, &size);)
		bytes += buddy_state_bytes(size >> PAGE_SHIFT);
	return ALIGN_UP(bytes, PAGE_SIZE);
}

/* Tables of levels 1 to 3 for one range at most, without 1 GiB pages: those it covers, and two more a level for its ends. */
static u64 range_tables(u64 size)
{
	return (size >> 30) + (size >> 39) + 6;
}

/*
 * Page-table pages that map_direct(), map_core() and the window need at most. The image has two names, and 4 KiB pages under
 * both; the framebuffer, the UART, the APIC and the window may lie anywhere.
 */
static u64 table_pages(const struct boot_info *info)
{
	u64 base, size,
		pages = 1 + range_tables(info->framebuffer.size) + 3 * range_tables(PAGE_SIZE) +
			2 * (range_tables(info->image_size) + (info->image_size >> 21) + 1);

	for (u32 i = 0; next_run(info, is_ram, &i, &base, &size);)
		pages += range_tables(size);
	return pages;
}

static bool holds(u64 base, u64 size, u64 address)
{
	return address >= base && address - base < size;
}

/* The runs with memory of the hypervisor's, which the rest of the start needs; or the others. */
static u8 *add_runs(const struct boot_info *info, bool ours, u8 *state)
{
	u64 base, size;

	for (u32 i = 0; next_run(info, is_managed, &i, &base, &size);) {
		int err;

		if ((holds(base, size, info->pool_base) || holds(base, size, info->reserve_base)) != ours)
			continue;
		err = buddy_add_claimed(&memory.buddy, base >> PAGE_SHIFT, size >> PAGE_SHIFT, state);
		if (err)
			log_warn("memory: 0x%lx..0x%lx not managed (error %d)\n", (unsigned long)base,
				 (unsigned long)(base + size - 1), err);
		state += buddy_state_bytes(size >> PAGE_SHIFT);
	}
	return state;
}

static void free_pages(u64 base, u64 pages)
{
	for (u64 i = 0; i < pages; i++) {
		int err = buddy_free(&memory.buddy, hpa(base + i * PAGE_SIZE), 0);

		if (err)
			panic("memory: page 0x%lx of the hypervisor is not in the boot map (error %d)",
			      (unsigned long)(base + i * PAGE_SIZE), err);
	}
}

/* Where the shadow engine's part of the pool begins. */
static u64 divide_pool(const struct boot_info *info, u64 tables)
{
	u64 shadow = info->pool_base + state_bytes(info) + tables * PAGE_SIZE;

	if (shadow >= info->pool_base + info->pool_size)
		panic("the pool of %lu KiB is too small: %lu KiB are needed before any shadow page; "
		      "set a larger pool with the key umbra of the boot entry",
		      (unsigned long)(info->pool_size >> 10), (unsigned long)((shadow - info->pool_base) >> 10));
	return shadow;
}

static void init_buddy(const struct boot_info *info)
{
	u64 tables = table_pages(info), shadow = divide_pool(info, tables);

	buddy_init(&memory.buddy);
	add_runs(info, false, add_runs(info, true, phys_to_virt(hpa(info->pool_base))));
	free_pages(shadow - tables * PAGE_SIZE, tables);
	free_pages(info->heap_base, info->heap_size >> PAGE_SHIFT);
	memory.shadow_base = hpa(shadow);
	memory.shadow_bytes = info->pool_base + info->pool_size - shadow;
	memory.shadow_least = memory.shadow_bytes / 2;
}

/* --- regions --------------------------------------------------------------- */

static void add_region(u64 base, u64 size, enum region_kind kind)
{
	int err = region_add(&memory.regions, base >> PAGE_SHIFT, size >> PAGE_SHIFT, base >> PAGE_SHIFT, kind);

	if (err)
		panic("memory: too many ranges in the boot map (error %d)", err);
}

static enum region_kind region_kind_of(const struct boot_range *r)
{
	switch (r->kind) {
	case BOOT_MEM_USABLE:
	case BOOT_MEM_FIRMWARE: return REGION_RAM;
	case BOOT_MEM_HV_IMAGE:
	case BOOT_MEM_HV_POOL: return REGION_HIDDEN;
	default: return REGION_MMIO;
	}
}

static void make_regions(const struct boot_info *info)
{
	const struct boot_range *r = ranges_of(info);

	region_init(&memory.regions);
	for (u32 i = 0; i < info->map_count; i++) {
		enum region_kind kind = region_kind_of(&r[i]);

		/* What no region covers is MMIO anyway. */
		if (kind != REGION_MMIO)
			add_region(r[i].base, r[i].size, kind);
		if (kind == REGION_RAM)
			memory.guest_bytes += r[i].size;
	}
	add_region(MESSAGES_BASE, MESSAGES_BYTES, REGION_HIDDEN);
	add_region(paging_apic_page(), PAGE_SIZE, REGION_TRAPPED);
	region_seal(&memory.regions);
}

/* --- the hypervisor's own page tables -------------------------------------- */

/* The root, which is the first, is loaded in 32-bit mode (startup.asm). */
static int alloc_table(void *arg, hpa_t *out)
{
	return buddy_alloc(&memory.buddy, 0, memory.map.root.v ? ZONE_NORMAL : ZONE_BELOW4G, out);
}

static void map_or_panic(u64 va, u64 pa, u64 size, u64 rights)
{
	int err = size ? hostmap_map(&memory.map, va, hpa(pa), size, rights) : 0;

	if (err)
		panic("memory: cannot map 0x%lx at 0x%lx (error %d)", (unsigned long)pa, (unsigned long)va, err);
}

static void map_core(const struct boot_info *info, char *start, char *end, u64 rights)
{
	map_or_panic((u64)start, info->image_base + ((u64)start - CORE_VIRT_BASE), (u64)(end - start), rights);
}

static void unmap_guard(u8 *guard)
{
	if (hostmap_unmap(&memory.map, (u64)guard, PAGE_SIZE))
		panic("memory: cannot unmap the guard page at 0x%lx", (unsigned long)guard);
}

static void map_image(const struct boot_info *info)
{
	struct cpu_stacks *stacks = &percpu_boot_stacks;

	map_core(info, core_text_start, core_text_end, HOSTMAP_X);
	map_core(info, core_rodata_start, core_rodata_end, 0);
	map_core(info, core_data_start, core_bss_end, HOSTMAP_W);
	map_core(info, core_ksyms_start, core_ksyms_end, 0);
	unmap_guard(stacks->guard_main);
	unmap_guard(stacks->guard_nmi);
	unmap_guard(stacks->guard_df);
	unmap_guard(stacks->guard_mc);
}

static void map_device(u64 at, u64 bytes)
{
	u64 base = at & PAGE_MASK, size = bytes ? ALIGN_UP(at + bytes, PAGE_SIZE) - base : 0;

	map_or_panic(DIRECT_MAP_BASE + base, base, size, HOSTMAP_W | HOSTMAP_UC);
}

static void map_direct(const struct boot_info *info)
{
	const struct boot_framebuffer *fb = &info->framebuffer;
	u64 base, size, image = (u64)(core_image_end - core_image_start);

	for (u32 i = 0; next_run(info, is_ram, &i, &base, &size);)
		map_or_panic(DIRECT_MAP_BASE + base, base, size, HOSTMAP_W);
	/* The image's second name must not open what the first one protects. */
	map_or_panic(DIRECT_MAP_BASE + info->image_base, info->image_base, image, 0);
	map_or_panic(DIRECT_MAP_BASE + paging_apic_page(), paging_apic_page(), PAGE_SIZE, HOSTMAP_W | HOSTMAP_UC);
	map_device(fb->base, fb->size);
	if (info->uart.space == BOOT_UART_MEMORY)
		map_device(info->uart.base, UART_REGISTERS * info->uart.stride);
}

/*
 * region_map.map_foreign. The type is the one of the MTRRs, as for the guest: memory added later is write-back, a
 * device uncached. Each CPU has slots of its own, which no other CPU's TLB knows.
 */
static void *map_foreign(u32 slot, pfn_t pfn)
{
	static pfn_t mapped[WINDOW_PAGES]; /* 0: none; frame 0 is RAM */
	u32 page = percpu_id_by_stack() * GPT_SLOTS + slot;
	u64 va = WINDOW_BASE + (u64)page * PAGE_SIZE;

	BUG_ON(slot >= GPT_SLOTS);
	if (mapped[page] != pfn || !pfn) {
		BUG_ON(hostmap_map(&memory.map, va, pfn_to_hpa(pfn), PAGE_SIZE, HOSTMAP_W));
		paging_flush_page(va);
		mapped[page] = pfn;
	}
	return (void *)va;
}

/* The tables that map_foreign() changes entries of, for CPU id. */
static int make_window(u32 id)
{
	u64 va = WINDOW_BASE + (u64)id * GPT_SLOTS * PAGE_SIZE;
	int err = hostmap_map(&memory.map, va, hpa(memory.info->image_base), GPT_SLOTS * PAGE_SIZE, 0);

	return err ? err : hostmap_unmap(&memory.map, va, GPT_SLOTS * PAGE_SIZE);
}

static void make_tables(const struct boot_info *info)
{
	if (hostmap_init(&memory.map, paging_has_1g(), alloc_table, NULL))
		panic("memory: no page for the page tables");
	map_image(info);
	map_direct(info);
	if (make_window(0))
		panic("memory: cannot make the window");
	memory.regions.map_foreign = map_foreign;
	BUG_ON(hostmap_check(&memory.map) != 0);
	paging_enter(memory.map.root);
}

/* --- public ---------------------------------------------------------------- */

void memory_enter_cpu(void)
{
	paging_enter(memory.map.root);
}

void memory_init(const struct boot_info *info)
{
	check_map(info);
	memory.info = info;
	make_regions(info);
	init_buddy(info);
	make_tables(info);
	ASSERT(buddy_check(&memory.buddy) == 0); /* goes through a byte for each page of the machine */
	log_info("memory: guest %lu MiB, hypervisor %lu KiB at 0x%lx and pool %lu KiB at 0x%lx\n",
		 (unsigned long)(memory.guest_bytes >> 20), (unsigned long)(info->reserve_size >> 10),
		 (unsigned long)info->reserve_base, (unsigned long)(info->pool_size >> 10),
		 (unsigned long)info->pool_base);
}

void *memory_alloc(u32 order)
{
	hpa_t pages;
	u64 *p;

	if (buddy_alloc(&memory.buddy, order, ZONE_BELOW4G, &pages))
		return NULL;
	p = phys_to_virt(pages);
	for (u64 i = 0; i < (PAGE_SIZE << order) / sizeof(*p); i++)
		p[i] = 0;
	return p;
}

void memory_free(void *pages, u32 order)
{
	BUG_ON(buddy_free(&memory.buddy, virt_to_phys(pages), order) != 0);
}

/* Pages from the front of the shadow engine's part; 0: half of it would be gone. */
static u64 take(u32 pages)
{
	u64 base = memory.shadow_base.v, bytes = (u64)pages << PAGE_SHIFT;

	if (memory.shadow_bytes < memory.shadow_least + bytes)
		return 0;
	memory.shadow_base.v += bytes;
	memory.shadow_bytes -= bytes;
	return base;
}

void *memory_take(u32 pages)
{
	u64 base = take(pages);

	return base ? memset(phys_to_virt(hpa(base)), 0, (u64)pages << PAGE_SHIFT) : NULL;
}

int memory_grow_tables(u32 pages)
{
	u64 base = take(pages);

	if (!base)
		return -ENOMEM;
	free_pages(base, pages);
	return 0;
}

static int map_stack(u8 *stack, u32 bytes)
{
	void *pages = memory_take(bytes >> PAGE_SHIFT);

	return pages ? hostmap_map(&memory.map, (u64)stack, virt_to_phys(pages), bytes, HOSTMAP_W) : -ENOMEM;
}

int memory_map_cpu(u32 id)
{
	struct cpu_stacks *stacks = &PERCPU_STACKS[id];
	int err = make_window(id);

	if (!err)
		err = map_stack(stacks->main, STACK_MAIN_SIZE);
	if (!err)
		err = map_stack(stacks->nmi, STACK_IST_SIZE);
	if (!err)
		err = map_stack(stacks->df, STACK_IST_SIZE);
	return err ? err : map_stack(stacks->mc, STACK_IST_SIZE);
}

int memory_map_startup(hpa_t page, bool on)
{
	int err = on ? hostmap_map(&memory.map, page.v, page, PAGE_SIZE, HOSTMAP_X) :
		       hostmap_unmap(&memory.map, page.v, PAGE_SIZE);

	paging_flush();
	return err;
}

u32 memory_root(void)
{
	BUG_ON(memory.map.root.v >> 32);
	return (u32)memory.map.root.v;
}

int memory_map_device(hpa_t base, u64 size)
{
	u64 first = base.v & PAGE_MASK, end = ALIGN_UP(base.v + size, PAGE_SIZE);
	int err;

	if (end <= first || end > DIRECT_MAP_BYTES)
		return -EINVAL;
	err = hostmap_map(&memory.map, DIRECT_MAP_BASE + first, hpa(first), end - first, HOSTMAP_W | HOSTMAP_UC);
	paging_flush();
	return err;
}

static const struct boot_range *range_at(u64 address)
{
	const struct boot_range *r = ranges_of(memory.info);

	for (u32 i = 0; i < memory.info->map_count; i++)
		if (address >= r[i].base && address - r[i].base < r[i].size)
			return &r[i];
	return NULL;
}

/* Uncached, since nobody knows what it is. What is mapped already stays as it is. */
static int map_reserved(u64 base, u64 end)
{
	hpa_t pa;
	u64 rights;
	int err = 0;

	for (u64 page = base & PAGE_MASK; page < end && !err; page += PAGE_SIZE)
		if (!hostmap_query(&memory.map, DIRECT_MAP_BASE + page, &pa, &rights))
			err = hostmap_map(&memory.map, DIRECT_MAP_BASE + page, hpa(page), PAGE_SIZE, HOSTMAP_UC);
	return err;
}

/* reserved: what the firmware reserves counts too; it is mapped where it is not yet. */
static u8 *firmware_bytes(u64 base, u32 bytes, bool reserved)
{
	u64 end = base + bytes;

	for (u64 at = base, next; at < end; at = next) {
		const struct boot_range *r = range_at(at);

		if (!r || (r->kind != BOOT_MEM_USABLE && r->kind != BOOT_MEM_FIRMWARE &&
			   !(reserved && r->kind == BOOT_MEM_RESERVED)))
			return NULL;
		next = MIN(end, r->base + r->size);
		if (r->kind == BOOT_MEM_RESERVED && map_reserved(at, next))
			return NULL;
	}
	return bytes && end > base ? phys_to_virt(hpa(base)) : NULL;
}

const u8 *memory_of_firmware(u64 base, u32 bytes)
{
	return firmware_bytes(base, bytes, true);
}

u8 *memory_of_firmware_to_edit(u64 base, u32 bytes)
{
	return firmware_bytes(base, bytes, false);
}

int memory_trap_device(hpa_t base)
{
	u64 page = base.v & PAGE_MASK;
	struct region_hit hit;
	int err;

	region_lookup(&memory.regions, page >> PAGE_SHIFT, &hit);
	if (hit.kind == REGION_TRAPPED)
		return 0;
	if (hit.kind != REGION_MMIO)
		return -EINVAL;
	err = memory_map_device(hpa(page), PAGE_SIZE);
	if (!err)
		err = region_add(&memory.regions, page >> PAGE_SHIFT, 1, page >> PAGE_SHIFT, REGION_TRAPPED);
	region_seal(&memory.regions);
	return err;
}

/* The page's neighbours have other rights, so it has an entry of its own, and no memory is needed. */
void memory_set_executable(u8 *page, bool executable)
{
	map_core(memory.info, (char *)page, (char *)page + PAGE_SIZE, executable ? HOSTMAP_X : HOSTMAP_W);
	paging_flush_page((u64)page);
}

struct region_map *memory_regions(void)
{
	return &memory.regions;
}

void memory_shadow_pool(hpa_t *base, u64 *bytes)
{
	*base = memory.shadow_base;
	*bytes = memory.shadow_bytes;
}
