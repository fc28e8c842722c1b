/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a Linux kernel as the guest; see linux.h. */
#include "boot/linux.h"
#include "boot/console.h"
#include "boot/guest.h"
#include "boot/page_tables.h"
#include "lib/string.h"

#define BELOW_4G (1ull << 32)
#define LOW_MEMORY (1ull << 20)
#define INITRD_ALIGNMENT 4
#define PROBE_STACK_BYTES BZIMAGE_PROBE_BYTES

/* Selectors of the boot protocol: __BOOT_CS, __BOOT_DS */
#define BOOT_CS 0x10
#define BOOT_DS 0x18

/* Flat segments: present, accessed, granularity 4 KiB; SDM vol. 3 section 3.4.5 */
#define GDT_CODE_64 0x00af9b000000ffffull
#define GDT_CODE_32 0x00cf9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull
#define GDT_ENTRIES 4

/* struct setup_data of boot.rst with an E820 table behind it */
struct linux_setup_data {
	uint64_t next;
	uint32_t type, length;
	struct e820_entry e820[];
} __attribute__((packed));

static bool open_initrds(struct linux_guest *guest, struct boot_volume *volume,
			 struct boot_error *error)
{
	uint32_t i;

	for (i = 0; i < guest->entry->initrd_count; i++) {
		if (EFI_ERROR(file_open(&guest->initrd_files[i], volume, guest->entry->initrd[i],
					error)))
			return false;
		guest->initrd_size = ROUND_UP(guest->initrd_size, INITRD_ALIGNMENT) +
			guest->initrd_files[i].size;
	}
	return true;
}

bool linux_open(struct linux_guest *guest, struct boot_volume *volume,
		const struct boot_entry *entry, struct boot_error *error)
{
	uint8_t probe[PROBE_STACK_BYTES];
	uint64_t size;

	*guest = (struct linux_guest){.entry = entry};
	if (EFI_ERROR(file_open(&guest->kernel_file, volume, entry->kernel, error)))
		return false;
	size = guest->kernel_file.size < sizeof(probe) ? guest->kernel_file.size : sizeof(probe);
	if (!file_read(&guest->kernel_file, 0, probe, size, error) ||
	    !bzimage_check(&guest->image, probe, size, guest->kernel_file.size, entry->kernel,
			   error) ||
	    !open_initrds(guest, volume, error))
		return false;
	if (strlen(entry->options) > guest->image.cmdline_max)
		return boot_error_set(error, "the command line has %llu characters and %s takes"
				      " %u; shorten the lines \"options\"",
				      (unsigned long long)strlen(entry->options),
				      entry->kernel, guest->image.cmdline_max);
	return true;
}

void linux_close(struct linux_guest *guest)
{
	uint32_t i;

	file_close(&guest->kernel_file);
	for (i = 0; i < ENTRY_MAX_INITRDS; i++)
		file_close(&guest->initrd_files[i]);
}

uint64_t linux_bytes(const struct linux_guest *guest)
{
	return guest->image.init_size + guest->initrd_size;
}

bool linux_claim(struct linux_guest *guest, const struct boot_range *ranges, uint32_t count,
		 struct boot_error *error)
{
	const struct bzimage *image = &guest->image;

	if (image->relocatable)
		return true;
	return guest_claim_fixed(guest->entry, ranges, count, image->pref_address,
				 image->init_size, error);
}

/* The kernel's file waits above 1 MiB until its own address is free. */
static bool place_staging(struct linux_guest *guest, struct boot_error *error)
{
	const struct bzimage *image = &guest->image;
	struct placement where = {image->payload_size, PAGE_BYTES, LOW_MEMORY, UINT64_MAX, true};

	guest->kernel_base = image->pref_address;
	return memory_place(&where, &guest->staging) ||
		boot_error_set(error, "not enough memory: no free block of %llu KiB for the"
			       " kernel's file; add memory",
			       (unsigned long long)image->payload_size >> 10);
}

/* At its preferred address, or aligned above it. */
static bool place_kernel(struct linux_guest *guest, struct boot_error *error)
{
	const struct bzimage *image = &guest->image;
	struct placement where = {image->init_size, image->alignment, image->pref_address,
		BELOW_4G, false};

	if (!image->relocatable)
		return place_staging(guest, error);
	guest->kernel_base = image->pref_address;
	if (memory_claim(image->pref_address, image->init_size) ||
	    memory_place(&where, &guest->kernel_base))
		return true;
	where.max = UINT64_MAX;
	if (image->above_4g && memory_place(&where, &guest->kernel_base))
		return true;
	return boot_error_set(error, "not enough memory: no free block of %llu MiB for the kernel;"
			      " add memory or set a smaller pool=", MIB_OF(image->init_size));
}

static bool place_initrd(struct linux_guest *guest, struct boot_error *error)
{
	uint64_t limit = guest->image.initrd_max + 1;
	struct placement where = {guest->initrd_size, PAGE_BYTES, LOW_MEMORY, limit, true};

	if (memory_place(&where, &guest->initrd_base))
		return true;
	where.max = UINT64_MAX;
	if (guest->image.above_4g && memory_place(&where, &guest->initrd_base))
		return true;
	return boot_error_set(error, "not enough memory: no free block of %llu MiB for the initrd;"
			      " add memory or use a smaller initrd", MIB_OF(guest->initrd_size));
}

/* Kernel's protected-mode code, then every initrd, each at a multiple of four. */
static bool read_files(struct linux_guest *guest, struct boot_error *error)
{
	const struct bzimage *image = &guest->image;
	char *to = at_address(guest->staging ? guest->staging : guest->kernel_base), *from;
	uint64_t at = 0;
	uint32_t i;

	if (!file_read_progress(&guest->kernel_file, image->payload_offset, to,
				image->payload_size, error))
		return false;
	if (!guest->staging)
		ZeroMem(to + image->payload_size, image->init_size - image->payload_size);
	from = at_address(guest->initrd_base);
	for (i = 0; i < guest->entry->initrd_count; i++) {
		struct boot_file *file = &guest->initrd_files[i];

		ZeroMem(from + at, ROUND_UP(at, INITRD_ALIGNMENT) - at);
		at = ROUND_UP(at, INITRD_ALIGNMENT);
		if (!file_read_progress(file, 0, from + at, file->size, error))
			return false;
		at += file->size;
	}
	return true;
}

/* The block's parts in their order; returns the block's size. base 0 only measures. */
static uint64_t lay_out(struct linux_guest *guest, uint64_t base, uint32_t capacity,
			uint32_t stride)
{
	uint64_t at = base;

	guest->params = at_address(at);
	at += sizeof(struct linux_boot_params);
	guest->cmdline = at_address(at);
	at += ROUND_UP(strlen(guest->entry->options) + 1, PAGE_BYTES);
	guest->descriptor_page = at;
	at += PAGE_BYTES;
	guest->tables = at;
	at += guest->table_pages * PAGE_BYTES;
	guest->efi_map = at_address(at);
	guest->efi_map_max = capacity + CORE_HOLES;
	at += ROUND_UP((uint64_t)guest->efi_map_max * stride, PAGE_BYTES);
	guest->e820_rest = at_address(at);
	guest->e820_rest_max = 2 * capacity + 2 * CORE_HOLES + 1;
	at += ROUND_UP(sizeof(struct linux_setup_data) +
		       guest->e820_rest_max * sizeof(struct e820_entry), PAGE_BYTES);
	return at - base;
}

static bool place_block(struct linux_guest *guest, const struct firmware_map *fw, uint64_t extent,
			struct boot_error *error)
{
	struct placement where = {0, PAGE_BYTES, LOW_MEMORY, BELOW_4G, true};

	guest->table_pages = page_tables_pages(extent);
	guest->block_size = lay_out(guest, 0, fw->capacity, fw->map.stride);
	where.bytes = guest->block_size;
	if (!memory_place(&where, &guest->block_base))
		return boot_error_set(error, "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for the guest's tables; add memory",
				      (unsigned long long)guest->block_size >> 10);
	ZeroMem(at_address(guest->block_base), guest->block_size);
	lay_out(guest, guest->block_base, fw->capacity, fw->map.stride);
	return true;
}

static uint8_t secure_boot_state(void)
{
	EFI_GUID global = EFI_GLOBAL_VARIABLE;
	UINT8 secure = 0;
	UINTN size = sizeof(secure);

	if (EFI_ERROR(RT->GetVariable(L"SecureBoot", &global, NULL, &size, &secure)))
		secure = 0;
	return secure == 1 ? LINUX_SECURE_BOOT_ON : LINUX_SECURE_BOOT_OFF;
}

/* The kernel's own setup header, with the loader's fields written over it. */
static bool fill_header(struct linux_guest *guest, struct boot_error *error)
{
	struct linux_boot_params *params = guest->params;
	struct linux_setup_header *header = &params->header;
	uint64_t cmdline = address_of(guest->cmdline);

	if (!file_read(&guest->kernel_file, BZIMAGE_HEADER_START, header,
		       guest->image.header_end - BZIMAGE_HEADER_START, error))
		return false;
	header->type_of_loader = LINUX_LOADER_OTHER;
	header->code32_start = (uint32_t)guest->kernel_base;
	header->ramdisk_image = (uint32_t)guest->initrd_base;
	header->ramdisk_size = (uint32_t)guest->initrd_size;
	header->cmdline = (uint32_t)cmdline;
	header->setup_data = 0;
	params->ext_ramdisk_image = (uint32_t)(guest->initrd_base >> 32);
	params->ext_ramdisk_size = (uint32_t)(guest->initrd_size >> 32);
	params->ext_cmdline = (uint32_t)(cmdline >> 32);
	return true;
}

static void fill_params(struct linux_guest *guest)
{
	struct linux_boot_params *params = guest->params;
	const char *options = guest->entry->options;

	CopyMem(guest->cmdline, (void *)options, strlen(options) + 1);
	params->acpi_rsdp = guest_find_rsdp();
	params->secure_boot = secure_boot_state();
	/* A 32-bit kernel cannot call 64-bit firmware: to it this is a machine without EFI. */
	if (!guest->image.entry_64)
		return;
	params->efi.signature = LINUX_EFI_SIGNATURE_64;
	params->efi.systab = (uint32_t)address_of(ST);
	params->efi.systab_high = (uint32_t)(address_of(ST) >> 32);
	params->efi.map = (uint32_t)address_of(guest->efi_map);
	params->efi.map_high = (uint32_t)(address_of(guest->efi_map) >> 32);
}

/* GDT and identity-mapped page tables in guest RAM. */
static void fill_cpu_tables(struct linux_guest *guest, uint64_t extent)
{
	uint64_t *gdt = at_address(guest->descriptor_page);
	struct page_tables tables;

	gdt[BOOT_CS / 8] = guest->image.entry_64 ? GDT_CODE_64 : GDT_CODE_32;
	gdt[BOOT_DS / 8] = GDT_DATA;
	/* place_block() counted the pages for exactly this, so they cannot run out */
	page_tables_init(&tables, guest->tables, guest->table_pages);
	page_tables_map_physical(&tables, 0, extent);
}

bool linux_load(struct linux_guest *guest, const struct firmware_map *fw, uint64_t extent,
		const struct linux_screen_info *screen, struct boot_error *error)
{
	if (!place_kernel(guest, error) ||
	    (guest->initrd_size && !place_initrd(guest, error)) ||
	    !place_block(guest, fw, extent, error) || !read_files(guest, error) ||
	    !fill_header(guest, error))
		return false;
	guest->params->screen = *screen;
	fill_params(guest);
	fill_cpu_tables(guest, extent);
	return true;
}

static bool set_e820(struct linux_guest *guest, const struct boot_range *ranges, uint32_t count)
{
	struct linux_setup_data *rest = guest->e820_rest;
	uint32_t first_count, rest_count;

	if (!map_to_e820(ranges, count, guest->params->e820, LINUX_E820_MAX, &first_count,
			 rest->e820, guest->e820_rest_max, &rest_count))
		return false;
	guest->params->e820_count = (uint8_t)first_count;
	rest->next = 0;
	rest->type = LINUX_SETUP_E820_EXT;
	rest->length = (uint32_t)(rest_count * sizeof(struct e820_entry));
	guest->params->header.setup_data = rest_count ? address_of(rest) : 0;
	return true;
}

bool linux_set_maps(struct linux_guest *guest, const struct boot_range *ranges, uint32_t count,
		    const struct firmware_map *fw, const struct map_hole *holes,
		    uint32_t hole_count, struct boot_error *error)
{
	struct linux_efi_info *efi = &guest->params->efi;
	uint32_t descriptors;

	if (!set_e820(guest, ranges, count) ||
	    !map_guest_efi(guest->efi_map, guest->efi_map_max, &descriptors, &fw->map, holes,
			   hole_count))
		return boot_error_set(error, "the firmware's memory map grew beyond the space set"
				      " aside for it; start again");
	if (!efi->signature)
		return true;
	efi->descriptor_size = fw->map.stride;
	efi->descriptor_version = fw->version;
	efi->map_size = descriptors * fw->map.stride;
	return true;
}

uint32_t linux_copies(const struct linux_guest *guest, struct handoff_copy *copies)
{
	const struct bzimage *image = &guest->image;

	if (!guest->staging)
		return 0;
	copies[0] = (struct handoff_copy){
		.from = guest->staging, .to = guest->kernel_base, .bytes = image->payload_size,
		.zero = image->init_size - image->payload_size,
	};
	return 1;
}

void linux_state(const struct linux_guest *guest, struct boot_guest_state *state)
{
	bool entry_64 = guest->image.entry_64;

	*state = (struct boot_guest_state){
		.mode = entry_64 ? BOOT_GUEST_LONG64 : BOOT_GUEST_PROTECTED32,
		.rip = guest->kernel_base + (entry_64 ? BZIMAGE_ENTRY_64 : 0),
		.rsp = guest->descriptor_page + PAGE_BYTES,
		.rsi = address_of(guest->params),
		.cr3 = entry_64 ? guest->tables : 0,
		.gdt_base = guest->descriptor_page,
		.gdt_limit = GDT_ENTRIES * 8 - 1,
		.cs = BOOT_CS,
		.ds = BOOT_DS,
	};
}
