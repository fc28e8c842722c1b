/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads the embedded hypervisor into memory of its own; see core.h. */
#include "boot/core.h"
#include "boot/plan.h"

#define STACK_BYTES (16ull << 10)
#define CORE_BYTES_MAX (64ull << 20)

extern const uint8_t core_elf[] __attribute__((visibility("hidden")));
extern const uint8_t core_elf_end[] __attribute__((visibility("hidden")));

/* ELF-64, System V gABI chapters 4 and 5 */
struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, program_headers, section_headers;
	uint32_t flags;
	uint16_t header_size, program_header_size, program_header_count;
	uint16_t section_header_size, section_header_count, section_names;
};
_Static_assert(sizeof(struct elf_header) == 64, "gABI");

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, virtual, physical, file_bytes, memory_bytes, alignment;
};
_Static_assert(sizeof(struct elf_segment) == 56, "gABI");

#define ELF_MAGIC 0x464c457fu
#define ELF_CLASS_64 2
#define ELF_EXECUTABLE 2
#define ELF_X86_64 62
#define ELF_LOAD 1

static uint64_t elf_bytes(void)
{
	return (uint64_t)(core_elf_end - core_elf);
}

static const struct elf_header *elf(void)
{
	return (const struct elf_header *)core_elf;
}

static const struct elf_segment *segment_at(uint32_t i)
{
	return (const struct elf_segment *)(core_elf + elf()->program_headers) + i;
}

static bool header_is_good(void)
{
	const struct elf_header *h = elf();
	uint32_t magic;

	if (elf_bytes() < sizeof(*h))
		return false;
	CopyMem(&magic, (void *)h->ident, sizeof(magic));
	return magic == ELF_MAGIC && h->ident[4] == ELF_CLASS_64 && h->type == ELF_EXECUTABLE &&
	       h->machine == ELF_X86_64 && h->program_header_size == sizeof(struct elf_segment) &&
	       h->program_headers % 8 == 0 && h->program_headers < elf_bytes() &&
	       h->program_header_count <=
		       (elf_bytes() - h->program_headers) / sizeof(struct elf_segment);
}

static bool segment_is_good(const struct elf_segment *s)
{
	return s->virtual >= CORE_VIRT_BASE && s->virtual - CORE_VIRT_BASE <= CORE_BYTES_MAX &&
	       s->memory_bytes <= CORE_BYTES_MAX && s->file_bytes <= s->memory_bytes &&
	       s->offset <= elf_bytes() && s->file_bytes <= elf_bytes() - s->offset;
}

/* Fills image_size and entry from the ELF file; false if it makes no sense. */
static bool measure(struct hv_memory *hv)
{
	uint32_t i;

	if (!header_is_good())
		return false;
	hv->image_size = 0;
	for (i = 0; i < elf()->program_header_count; i++) {
		const struct elf_segment *s = segment_at(i);
		uint64_t end;

		if (s->type != ELF_LOAD || !s->memory_bytes)
			continue;
		if (!segment_is_good(s))
			return false;
		end = s->virtual - CORE_VIRT_BASE + s->memory_bytes;
		if (end > hv->image_size)
			hv->image_size = ROUND_UP(end, PAGE_BYTES);
	}
	hv->entry = elf()->entry;
	return hv->entry >= CORE_VIRT_BASE && hv->entry - CORE_VIRT_BASE < hv->image_size;
}

static bool check_map(const struct efi_map *map, uint64_t pool_bytes, struct boot_error *error)
{
	uint64_t least = plan_pool_least(map);

	if (map_ram_end(map) > DIRECT_MAP_BYTES)
		return boot_error_set(error,
				      "this machine has memory above 127.5 TiB, which Umbra cannot"
				      " reach; use another one");
	if (pool_bytes && ROUND_UP(pool_bytes, PLAN_ALIGNMENT) < least)
		return boot_error_set(error,
				      "pool= is too small for this machine's memory:"
				      " leave it out, or set pool=%lluM or more",
				      MIB_OF(least));
	return true;
}

bool core_plan(struct hv_memory *hv, uint64_t pool_bytes, const struct firmware_map *fw,
	       const struct physical *physical, struct boot_error *error)
{
	*hv = (struct hv_memory){.physical = *physical,
				 .ranges_max = 2 * fw->capacity + 2 * CORE_HIDDEN + 1};
	if (!measure(hv))
		return boot_error_set(error, "the hypervisor inside this image is damaged;"
					     " copy umbra.efi again");
	if (!check_map(&fw->map, pool_bytes, error))
		return false;
	hv->table_pages = page_tables_pages(physical) + page_tables_pages_4k(hv->image_size);
	hv->pool_size =
		pool_bytes ? ROUND_UP(pool_bytes, PLAN_ALIGNMENT) : plan_pool_default(&fw->map);
	hv->reserve_size = hv->image_size + ROUND_UP(sizeof(struct boot_info), PAGE_BYTES) +
			   ROUND_UP(hv->ranges_max * sizeof(struct boot_range), PAGE_BYTES) +
			   hv->table_pages * PAGE_BYTES + PAGE_BYTES + STACK_BYTES + BOOT_HEAP_BYTES;
	return true;
}

static bool place(uint64_t bytes, uint64_t alignment, const struct plan_place *in, uint64_t *base)
{
	struct placement where = {bytes, alignment, in->min, in->max, in->from_top};

	return memory_place(&where, base);
}

static bool place_anywhere(uint64_t bytes, uint64_t alignment, uint64_t *base)
{
	uint32_t i;

	for (i = 0; i < PLAN_POOL_PLACES; i++)
		if (place(bytes, alignment, &plan_pool_places[i], base))
			return true;
	return false;
}

static void hide(struct hv_memory *hv, uint64_t base, uint64_t size, uint32_t kind)
{
	hv->hidden[hv->hidden_count++] = (struct map_hidden){base, size, kind};
}

static void reserve_startup_page(struct hv_memory *hv)
{
	hv->startup_page = 0;
	if (place(PAGE_BYTES, PAGE_BYTES, &plan_startup_place, &hv->startup_page))
		hide(hv, hv->startup_page, PAGE_BYTES, BOOT_MEM_HV_IMAGE);
}

bool core_reserve(struct hv_memory *hv, struct boot_error *error)
{
	if (!place_anywhere(hv->pool_size, PLAN_ALIGNMENT, &hv->pool_base))
		return boot_error_set(error,
				      "not enough memory: no free block of %llu MiB for the"
				      " hypervisor's pool; add memory or set a smaller pool=",
				      MIB_OF(hv->pool_size));
	if (!place(hv->reserve_size, PAGE_BYTES, &plan_image_place, &hv->reserve_base))
		return boot_error_set(error,
				      "not enough memory: no free block of %llu MiB below"
				      " 4 GiB for the hypervisor; add memory",
				      MIB_OF(hv->reserve_size));
	hv->hidden_count = 0;
	hide(hv, hv->reserve_base, hv->reserve_size, BOOT_MEM_HV_IMAGE);
	hide(hv, hv->pool_base, hv->pool_size, BOOT_MEM_HV_POOL);
	reserve_startup_page(hv);
	return true;
}

void *core_reserve_symbols(struct hv_memory *hv, uint64_t bytes)
{
	uint64_t size = ROUND_UP(bytes, PAGE_BYTES);

	if (!place_anywhere(size, PAGE_BYTES, &hv->symbols_base))
		return NULL;
	hv->symbols_size = size;
	hide(hv, hv->symbols_base, size, BOOT_MEM_HV_IMAGE);
	return at_address(hv->symbols_base);
}

/* Divides the HV_IMAGE block behind the load segments. */
static void lay_out(struct hv_memory *hv)
{
	uint64_t at = hv->reserve_base + hv->image_size;

	hv->info = at_address(at);
	at += ROUND_UP(sizeof(struct boot_info), PAGE_BYTES);
	hv->ranges = at_address(at);
	at += ROUND_UP(hv->ranges_max * sizeof(struct boot_range), PAGE_BYTES);
	hv->tables = at;
	at += hv->table_pages * PAGE_BYTES;
	hv->handoff = at_address(at);
	at += PAGE_BYTES;
	hv->stack_top = hv->heap = at + STACK_BYTES;
}

uint64_t core_load(struct hv_memory *hv)
{
	struct page_tables tables;
	uint32_t i;

	lay_out(hv);
	ZeroMem(at_address(hv->reserve_base), hv->reserve_size);
	for (i = 0; i < elf()->program_header_count; i++) {
		const struct elf_segment *s = segment_at(i);

		if (s->type == ELF_LOAD)
			CopyMem(at_address(hv->reserve_base + s->virtual - CORE_VIRT_BASE),
				(void *)(core_elf + s->offset), s->file_bytes);
	}
	/* core_plan() counted the pages for exactly these, so they cannot run out */
	page_tables_init(&tables, hv->tables, hv->table_pages);
	page_tables_map_physical(&tables, &hv->physical);
	page_tables_alias(&tables);
	page_tables_map_4k(&tables, CORE_VIRT_BASE, hv->reserve_base, hv->image_size);
	return tables.root;
}
