/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a multiboot kernel as the guest; see multiboot_guest.h. */
#include "boot/multiboot_guest.h"
#include "boot/config_table.h"
#include "boot/console.h"
#include "boot/core.h"
#include "boot/guest_map.h"
#include "boot/multiboot.h"
#include "boot/multiboot_info.h"
#include "lib/string.h"
#include "lib/types.h"

#define BELOW_4G (1ull << 32)
#define LOW_MEMORY (1ull << 20)
/* The block goes as low as it can, above the BIOS's data: many a kernel maps little at first. */
#define BLOCK_MIN 0x10000ull
#define KERNEL_FILE_MAX (1ull << 30)
#define MAP_ENTRY_MAX 24
/* Information beside strings, maps and section headers: fixed parts, tags' heads, RSDP */
#define INFO_FIXED 8192

/*
 * Beside kernel and modules there is one block of guest RAM:
 *
 *   | GDT + stack | EFI map | E820 | information |
 */
struct multiboot_guest {
	struct guest guest;
	struct boot_file module_files[ENTRY_MAX_MODULES];
	struct multiboot_image image;
	struct multiboot_module modules[ENTRY_MAX_MODULES];
	uint8_t *file; /* the kernel's */
	struct linux_screen_info screen;
	struct e820_entry *e820;
	uint32_t e820_max;
	uint8_t *info;
	uint32_t info_max;
};

_Static_assert(MULTIBOOT_SEGMENTS_MAX <= HANDOFF_COPIES_MAX, "multiboot_copies()");

static struct multiboot_guest *multiboot_of(const struct guest *guest)
{
	return container_of(guest, struct multiboot_guest, guest);
}

/* --- the files ------------------------------------------------------------------ */

/* A block below 4 GiB, as high as possible, so that it is out of the kernel's way. */
static bool place_high(uint64_t bytes, uint64_t *base)
{
	struct placement where = {bytes ? bytes : 1, PAGE_BYTES, LOW_MEMORY, BELOW_4G, true};

	return memory_place(&where, base);
}

static bool read_kernel(struct multiboot_guest *self, struct boot_error *error)
{
	struct boot_file *file = &self->guest.kernel_file;
	uint64_t base;

	if (file->size > KERNEL_FILE_MAX || !place_high(file->size, &base))
		return boot_error_set(error,
				      "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for %s; add memory",
				      (unsigned long long)file->size >> 10, file->path);
	self->file = at_address(base);
	return file_read_progress(file, 0, self->file, file->size, error);
}

static bool multiboot_open(struct guest *guest, struct boot_volume *volume, struct boot_error *error)
{
	struct multiboot_guest *self = multiboot_of(guest);
	const struct boot_entry *entry = guest->entry;
	uint32_t i;

	if (EFI_ERROR(file_open(&guest->kernel_file, volume, entry->kernel, error)) ||
	    !read_kernel(self, error) ||
	    !multiboot_parse(&self->image, self->file, guest->kernel_file.size, entry->kernel, error))
		return false;
	for (i = 0; i < entry->module_count; i++)
		if (EFI_ERROR(file_open(&self->module_files[i], volume, entry->module[i].path, error)))
			return false;
	return true;
}

static void multiboot_close(struct guest *guest)
{
	uint32_t i;

	file_close(&guest->kernel_file);
	for (i = 0; i < ENTRY_MAX_MODULES; i++)
		file_close(&multiboot_of(guest)->module_files[i]);
}

static uint64_t multiboot_bytes(const struct guest *guest)
{
	const struct multiboot_guest *self = multiboot_of(guest);
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < self->image.segment_count; i++)
		bytes += self->image.segment[i].bytes + self->image.segment[i].zero;
	for (i = 0; i < guest->entry->module_count; i++)
		bytes += ROUND_UP(self->module_files[i].size, PAGE_BYTES);
	return bytes;
}

/* --- the kernel's place --------------------------------------------------------- */

/* A relocatable kernel gets a place of its own; it is copied there like any other. */
static bool place_image(struct multiboot_guest *self, struct boot_error *error)
{
	struct multiboot_image *image = &self->image;
	uint64_t bytes = multiboot_end(image) - multiboot_base(image), base;
	struct placement where = {ROUND_UP(bytes, PAGE_BYTES), image->alignment,
				  ROUND_UP(image->min, PAGE_BYTES), (uint64_t)image->max + 1,
				  image->highest};

	if (!memory_place(&where, &base))
		return boot_error_set(error,
				      "not enough memory: no free block of %llu KiB from"
				      " 0x%x to 0x%x for the kernel; add memory",
				      (unsigned long long)bytes >> 10, image->min, image->max);
	multiboot_move(image, base);
	return true;
}

/* The firmware may have given us memory where the kernel is to go. */
static bool move_file(struct multiboot_guest *self, struct boot_error *error)
{
	uint64_t size = self->guest.kernel_file.size, base = address_of(self->file);

	if (!multiboot_overlaps(&self->image, base, base + ROUND_UP(size, PAGE_BYTES)))
		return true;
	if (!place_high(size, &base))
		return boot_error_set(error,
				      "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for the kernel's file; add memory",
				      (unsigned long long)size >> 10);
	CopyMem(at_address(base), self->file, size);
	self->file = at_address(base);
	return true;
}

static bool multiboot_claim(struct guest *guest, const struct boot_range *ranges, uint32_t count,
			    struct boot_error *error)
{
	struct multiboot_guest *self = multiboot_of(guest);
	const struct multiboot_image *image = &self->image;
	uint32_t i;

	if (image->relocatable)
		return place_image(self, error);
	for (i = 0; i < image->segment_count; i++) {
		const struct multiboot_segment *s = &image->segment[i];

		if (!guest_claim_fixed(guest, ranges, count, s->to, s->bytes + s->zero, error))
			return false;
	}
	return move_file(self, error);
}

/* --- modules, and the block ------------------------------------------------------ */

/* Above the kernel if it can be: many a kernel takes all memory from its start to its end for its own. */
static bool place_module(const struct multiboot_guest *self, uint64_t bytes, uint64_t *base)
{
	struct placement where = {bytes ? bytes : 1, PAGE_BYTES,
				  ROUND_UP(multiboot_end(&self->image), PAGE_BYTES), BELOW_4G, false};

	where.min = MAX(where.min, LOW_MEMORY);
	if (memory_place(&where, base))
		return true;
	where.min = LOW_MEMORY;
	return memory_place(&where, base);
}

static bool load_module(struct multiboot_guest *self, uint32_t i, struct boot_error *error)
{
	struct boot_file *file = &self->module_files[i];
	uint64_t base;

	if (!place_module(self, file->size, &base))
		return boot_error_set(error,
				      "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for %s; add memory",
				      (unsigned long long)file->size >> 10, file->path);
	self->modules[i] = (struct multiboot_module){
		.start = (uint32_t)base,
		.end = (uint32_t)(base + file->size),
		.string = self->guest.entry->module[i].string,
	};
	return file_read_progress(file, 0, at_address(base), file->size, error);
}

static uint32_t strings_bytes(const struct boot_entry *entry)
{
	uint64_t bytes = strlen(entry->options);
	uint32_t i;

	for (i = 0; i < entry->module_count; i++)
		bytes += strlen(entry->module[i].string) + 32;
	return (uint32_t)bytes;
}

/* The block's parts in their order; returns its size. base 0 only measures. */
static uint64_t lay_out(struct multiboot_guest *self, uint64_t base, const struct firmware_map *fw)
{
	const struct multiboot_sections *sections = &self->image.sections;
	struct guest *guest = &self->guest;
	uint64_t at = base + PAGE_BYTES, efi_bytes;

	guest->descriptor_page = base;
	guest->efi_map = at_address(at);
	guest->efi_map_max = fw->capacity + 2 * CORE_HIDDEN;
	efi_bytes = (uint64_t)guest->efi_map_max * fw->map.stride;
	at += ROUND_UP(efi_bytes, PAGE_BYTES);
	self->e820 = at_address(at);
	self->e820_max = 2 * fw->capacity + 2 * CORE_HIDDEN + 1;
	at += ROUND_UP(self->e820_max * sizeof(struct e820_entry), PAGE_BYTES);
	self->info = at_address(at);
	self->info_max = (uint32_t)ROUND_UP(INFO_FIXED + strings_bytes(guest->entry) + efi_bytes +
						    self->e820_max * MAP_ENTRY_MAX +
						    sections->count * sections->entry_bytes,
					    PAGE_BYTES);
	return at + self->info_max - base;
}

static bool place_block(struct multiboot_guest *self, const struct firmware_map *fw,
			struct boot_error *error)
{
	struct placement where = {0, PAGE_BYTES, BLOCK_MIN, BELOW_4G, false};
	uint64_t base;

	where.bytes = lay_out(self, 0, fw);
	if (!memory_place(&where, &base))
		return boot_error_set(error,
				      "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for the guest's tables; add memory",
				      (unsigned long long)where.bytes >> 10);
	ZeroMem(at_address(base), where.bytes);
	lay_out(self, base, fw);
	guest_fill_gdt(&self->guest, false);
	return true;
}

static bool multiboot_load(struct guest *guest, const struct guest_machine *machine,
			   struct boot_error *error)
{
	struct multiboot_guest *self = multiboot_of(guest);
	const struct multiboot_image *image = &self->image;
	uint32_t i;

	self->screen = machine->screen;
	for (i = 0; i < guest->entry->module_count; i++)
		if (!load_module(self, i, error))
			return false;
	if (!place_block(self, machine->fw, error))
		return false;
	console_print("umbra: multiboot%u kernel at 0x%llx to 0x%llx, entry 0x%x, %u modules\n",
		      image->version, (unsigned long long)multiboot_base(image),
		      (unsigned long long)multiboot_end(image), image->entry,
		      guest->entry->module_count);
	return true;
}

/* --- the handoff ----------------------------------------------------------------- */

static uint32_t multiboot_copies(const struct guest *guest, struct handoff_copy *copies)
{
	const struct multiboot_guest *self = multiboot_of(guest);
	const struct multiboot_image *image = &self->image;
	uint32_t i;

	for (i = 0; i < image->segment_count; i++) {
		const struct multiboot_segment *s = &image->segment[i];

		copies[i] = (struct handoff_copy){
			.from = address_of(self->file) + s->offset,
			.to = s->to,
			.bytes = s->bytes,
			.zero = s->zero,
		};
	}
	return image->segment_count;
}

static void multiboot_state(const struct guest *guest, struct boot_guest_state *state)
{
	const struct multiboot_guest *self = multiboot_of(guest);

	*state = (struct boot_guest_state){
		.mode = BOOT_GUEST_PROTECTED32,
		.rip = self->image.entry,
		.rax = self->image.version == 1 ? MULTIBOOT_MAGIC_1 : MULTIBOOT_MAGIC_2,
		.rbx = address_of(self->info),
	};
	guest_set_segments(guest, state);
}

static bool multiboot_set_maps(struct guest *guest, const struct guest_maps *maps,
			       struct boot_error *error)
{
	struct multiboot_guest *self = multiboot_of(guest);
	uint64_t rsdp = config_table_rsdp();
	uint32_t unused;
	struct multiboot_inputs in = {
		.image = &self->image,
		.cmdline = guest->entry->options,
		.modules = self->modules,
		.module_count = guest->entry->module_count,
		.e820 = self->e820,
		.screen = &self->screen,
		.rsdp = rsdp ? at_address(rsdp) : NULL,
		.efi_system_table = address_of(ST),
		.efi_map = guest->efi_map,
		.efi_stride = maps->fw->map.stride,
		.efi_version = maps->fw->version,
		.file = self->file,
		.file_address = address_of(self->file),
	};

	if (!map_to_e820(maps->ranges, maps->range_count, self->e820, self->e820_max,
			 &in.e820_count, NULL, 0, &unused) ||
	    !guest_make_efi_map(guest, maps, &in.efi_map_bytes))
		return guest_map_grew(error);
	return multiboot_info_build(&in, self->info, (uint32_t)address_of(self->info),
				    self->info_max) ||
	       boot_error_set(error,
			      "the information for %s does not fit in %u KiB; shorten the"
			      " command line",
			      guest->entry->kernel, self->info_max >> 10);
}

static const struct guest_format multiboot_format = {
	.open = multiboot_open,
	.close = multiboot_close,
	.bytes = multiboot_bytes,
	.claim = multiboot_claim,
	.load = multiboot_load,
	.copies = multiboot_copies,
	.state = multiboot_state,
	.set_maps = multiboot_set_maps,
};

struct guest *multiboot_guest(const struct boot_entry *entry)
{
	static struct multiboot_guest self;

	self = (struct multiboot_guest){.guest = {.format = &multiboot_format, .entry = entry}};
	return &self.guest;
}
