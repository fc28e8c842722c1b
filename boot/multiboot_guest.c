/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a multiboot kernel as the guest; see multiboot_guest.h. */
#include "boot/multiboot_guest.h"
#include "boot/guest.h"
#include "lib/string.h"

#define BELOW_4G (1ull << 32)
#define LOW_MEMORY (1ull << 20)
/* The block goes as low as it can, above the BIOS's data: many a kernel maps little at first. */
#define BLOCK_MIN 0x10000ull
#define KERNEL_FILE_MAX (1ull << 30)
#define MAP_ENTRY_MAX 24
/* Information beside strings, maps and section headers: fixed parts, tags' heads, RSDP */
#define INFO_FIXED 8192

/* The selectors are the loader's choice; these are Linux's and GRUB's. */
#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define GDT_CODE_32 0x00cf9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull
#define GDT_ENTRIES 4

_Static_assert(MULTIBOOT_SEGMENTS_MAX <= HANDOFF_COPIES_MAX, "multiboot_copies()");

/* A block below 4 GiB, as high as possible, so that it is out of the kernel's way. */
static bool place_high(uint64_t bytes, uint64_t *base)
{
	struct placement where = {bytes ? bytes : 1, PAGE_BYTES, LOW_MEMORY, BELOW_4G, true};

	return memory_place(&where, base);
}

static bool read_kernel(struct multiboot_guest *guest, struct boot_error *error)
{
	struct boot_file *file = &guest->kernel_file;
	uint64_t base;

	if (file->size > KERNEL_FILE_MAX || !place_high(file->size, &base))
		return boot_error_set(error, "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for %s; add memory",
				      (unsigned long long)file->size >> 10, file->path);
	guest->file = at_address(base);
	return file_read_progress(file, 0, guest->file, file->size, error);
}

bool multiboot_open(struct multiboot_guest *guest, struct boot_volume *volume,
		    const struct boot_entry *entry, struct boot_error *error)
{
	uint32_t i;

	*guest = (struct multiboot_guest){.entry = entry};
	if (EFI_ERROR(file_open(&guest->kernel_file, volume, entry->kernel, error)) ||
	    !read_kernel(guest, error) ||
	    !multiboot_parse(&guest->image, guest->file, guest->kernel_file.size, entry->kernel,
			     error))
		return false;
	for (i = 0; i < entry->module_count; i++)
		if (EFI_ERROR(file_open(&guest->module_files[i], volume, entry->module[i].path,
					error)))
			return false;
	return true;
}

void multiboot_close(struct multiboot_guest *guest)
{
	uint32_t i;

	file_close(&guest->kernel_file);
	for (i = 0; i < ENTRY_MAX_MODULES; i++)
		file_close(&guest->module_files[i]);
}

uint64_t multiboot_bytes(const struct multiboot_guest *guest)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < guest->image.segment_count; i++)
		bytes += guest->image.segment[i].bytes + guest->image.segment[i].zero;
	for (i = 0; i < guest->entry->module_count; i++)
		bytes += ROUND_UP(guest->module_files[i].size, PAGE_BYTES);
	return bytes;
}

/* A relocatable kernel gets a place of its own; it is copied there like any other. */
static bool place_image(struct multiboot_guest *guest, struct boot_error *error)
{
	struct multiboot_image *image = &guest->image;
	uint64_t bytes = multiboot_end(image) - multiboot_base(image), base;
	struct placement where = {ROUND_UP(bytes, PAGE_BYTES), image->alignment,
		ROUND_UP(image->min, PAGE_BYTES), (uint64_t)image->max + 1, image->highest};

	if (!memory_place(&where, &base))
		return boot_error_set(error, "not enough memory: no free block of %llu KiB from"
				      " 0x%x to 0x%x for the kernel; add memory",
				      (unsigned long long)bytes >> 10, image->min, image->max);
	multiboot_move(image, base);
	return true;
}

/* The firmware may have given us memory where the kernel is to go. */
static bool move_file(struct multiboot_guest *guest, struct boot_error *error)
{
	uint64_t size = guest->kernel_file.size, base = address_of(guest->file);

	if (!multiboot_overlaps(&guest->image, base, base + ROUND_UP(size, PAGE_BYTES)))
		return true;
	if (!place_high(size, &base))
		return boot_error_set(error, "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for the kernel's file; add memory",
				      (unsigned long long)size >> 10);
	CopyMem(at_address(base), guest->file, size);
	guest->file = at_address(base);
	return true;
}

bool multiboot_claim(struct multiboot_guest *guest, const struct boot_range *ranges,
		     uint32_t count, struct boot_error *error)
{
	const struct multiboot_image *image = &guest->image;
	uint32_t i;

	if (image->relocatable)
		return place_image(guest, error);
	for (i = 0; i < image->segment_count; i++) {
		const struct multiboot_segment *s = &image->segment[i];

		if (!guest_claim_fixed(guest->entry, ranges, count, s->to, s->bytes + s->zero, error))
			return false;
	}
	return move_file(guest, error);
}

/* Above the kernel if it can be: many a kernel takes all memory from its start to its end for its own. */
static bool place_module(const struct multiboot_guest *guest, uint64_t bytes, uint64_t *base)
{
	struct placement where = {bytes ? bytes : 1, PAGE_BYTES,
		ROUND_UP(multiboot_end(&guest->image), PAGE_BYTES), BELOW_4G, false};

	if (where.min < LOW_MEMORY)
		where.min = LOW_MEMORY;
	if (memory_place(&where, base))
		return true;
	where.min = LOW_MEMORY;
	return memory_place(&where, base);
}

static bool load_module(struct multiboot_guest *guest, uint32_t i, struct boot_error *error)
{
	struct boot_file *file = &guest->module_files[i];
	uint64_t base;

	if (!place_module(guest, file->size, &base))
		return boot_error_set(error, "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for %s; add memory",
				      (unsigned long long)file->size >> 10, file->path);
	guest->modules[i] = (struct multiboot_module){
		.start = (uint32_t)base, .end = (uint32_t)(base + file->size),
		.string = guest->entry->module[i].string,
	};
	return file_read_progress(file, 0, at_address(base), file->size, error);
}

static uint32_t strings_bytes(const struct multiboot_guest *guest)
{
	uint64_t bytes = strlen(guest->entry->options);
	uint32_t i;

	for (i = 0; i < guest->entry->module_count; i++)
		bytes += strlen(guest->entry->module[i].string) + 32;
	return (uint32_t)bytes;
}

/* The block's parts in their order; returns its size. base 0 only measures. */
static uint64_t lay_out(struct multiboot_guest *guest, uint64_t base, uint32_t capacity,
			uint32_t stride)
{
	const struct multiboot_sections *sections = &guest->image.sections;
	uint64_t at = base + PAGE_BYTES, efi_bytes;

	guest->descriptor_page = base;
	guest->efi_map = at_address(at);
	guest->efi_map_max = capacity + CORE_HOLES;
	efi_bytes = (uint64_t)guest->efi_map_max * stride;
	at += ROUND_UP(efi_bytes, PAGE_BYTES);
	guest->e820 = at_address(at);
	guest->e820_max = 2 * capacity + 2 * CORE_HOLES + 1;
	at += ROUND_UP(guest->e820_max * sizeof(struct e820_entry), PAGE_BYTES);
	guest->info = at_address(at);
	guest->info_max = (uint32_t)ROUND_UP(INFO_FIXED + strings_bytes(guest) + efi_bytes +
		guest->e820_max * MAP_ENTRY_MAX + sections->count * sections->entry_bytes, PAGE_BYTES);
	return at + guest->info_max - base;
}

static bool place_block(struct multiboot_guest *guest, const struct firmware_map *fw,
			struct boot_error *error)
{
	struct placement where = {0, PAGE_BYTES, BLOCK_MIN, BELOW_4G, false};
	uint64_t *gdt;

	guest->block_size = lay_out(guest, 0, fw->capacity, fw->map.stride);
	where.bytes = guest->block_size;
	if (!memory_place(&where, &guest->block_base))
		return boot_error_set(error, "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for the guest's tables; add memory",
				      (unsigned long long)guest->block_size >> 10);
	ZeroMem(at_address(guest->block_base), guest->block_size);
	lay_out(guest, guest->block_base, fw->capacity, fw->map.stride);
	gdt = at_address(guest->descriptor_page);
	gdt[BOOT_CS / 8] = GDT_CODE_32;
	gdt[BOOT_DS / 8] = GDT_DATA;
	return true;
}

bool multiboot_load(struct multiboot_guest *guest, const struct firmware_map *fw,
		    const struct linux_screen_info *screen, struct boot_error *error)
{
	uint32_t i;

	guest->screen = *screen;
	for (i = 0; i < guest->entry->module_count; i++)
		if (!load_module(guest, i, error))
			return false;
	return place_block(guest, fw, error);
}

bool multiboot_set_maps(struct multiboot_guest *guest, const struct boot_range *ranges,
			uint32_t count, const struct firmware_map *fw,
			const struct map_hole *holes, uint32_t hole_count,
			struct boot_error *error)
{
	uint64_t rsdp = guest_find_rsdp();
	uint32_t descriptors, unused;
	struct multiboot_inputs in = {
		.image = &guest->image, .cmdline = guest->entry->options,
		.modules = guest->modules, .module_count = guest->entry->module_count,
		.e820 = guest->e820, .screen = &guest->screen,
		.rsdp = rsdp ? at_address(rsdp) : NULL,
		.efi_system_table = address_of(ST), .efi_map = guest->efi_map,
		.efi_stride = fw->map.stride, .efi_version = fw->version,
		.file = guest->file, .file_address = address_of(guest->file),
	};

	if (!map_to_e820(ranges, count, guest->e820, guest->e820_max, &in.e820_count, NULL, 0,
			 &unused) ||
	    !map_guest_efi(guest->efi_map, guest->efi_map_max, &descriptors, &fw->map, holes,
			   hole_count))
		return boot_error_set(error, "the firmware's memory map grew beyond the space set"
				      " aside for it; start again");
	in.efi_map_bytes = descriptors * fw->map.stride;
	return multiboot_info_build(&in, guest->info, (uint32_t)address_of(guest->info),
				    guest->info_max) ||
		boot_error_set(error, "the information for %s does not fit in %u KiB; shorten the"
			       " command line", guest->entry->kernel, guest->info_max >> 10);
}

uint32_t multiboot_copies(const struct multiboot_guest *guest, struct handoff_copy *copies)
{
	const struct multiboot_image *image = &guest->image;
	uint32_t i;

	for (i = 0; i < image->segment_count; i++) {
		const struct multiboot_segment *s = &image->segment[i];

		copies[i] = (struct handoff_copy){
			.from = address_of(guest->file) + s->offset, .to = s->to,
			.bytes = s->bytes, .zero = s->zero,
		};
	}
	return image->segment_count;
}

void multiboot_state(const struct multiboot_guest *guest, struct boot_guest_state *state)
{
	*state = (struct boot_guest_state){
		.mode = BOOT_GUEST_PROTECTED32,
		.rip = guest->image.entry,
		.rsp = guest->descriptor_page + PAGE_BYTES,
		.rax = guest->image.version == 1 ? MULTIBOOT_MAGIC_1 : MULTIBOOT_MAGIC_2,
		.rbx = address_of(guest->info),
		.gdt_base = guest->descriptor_page,
		.gdt_limit = GDT_ENTRIES * 8 - 1,
		.cs = BOOT_CS,
		.ds = BOOT_DS,
	};
}
