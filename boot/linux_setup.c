/* SPDX-License-Identifier: BSD-2-Clause */
/* boot_params and the tables of a Linux guest; see linux_setup.h. */
#include "boot/linux_setup.h"
#include "boot/core.h"
#include "boot/config_table.h"
#include "boot/firmware.h"
#include "boot/linux_efi.h"
#include "boot/page_tables.h"
#include "lib/string.h"

#define BELOW_4G (1ull << 32)
#define LOW_MEMORY (1ull << 20)

/* struct setup_data of boot.rst with an E820 table behind it */
struct linux_setup_data {
	uint64_t next;
	uint32_t type, length;
	struct e820_entry e820[];
} __attribute__((packed));

/* The block's parts in their order; returns the block's size. base 0 only measures. */
static uint64_t lay_out(struct linux_guest *self, uint64_t base, const struct firmware_map *fw)
{
	struct guest *guest = &self->guest;
	uint64_t at = base;

	self->params = at_address(at);
	at += sizeof(struct linux_boot_params);
	self->cmdline = at_address(at);
	at += ROUND_UP(strlen(guest->entry->options) + 1, PAGE_BYTES);
	guest->descriptor_page = at;
	at += PAGE_BYTES;
	self->tables = at;
	at += self->table_pages * PAGE_BYTES;
	guest->efi_map = at_address(at);
	guest->efi_map_max = fw->capacity + 2 * CORE_HIDDEN;
	at += ROUND_UP((uint64_t)guest->efi_map_max * fw->map.stride, PAGE_BYTES);
	self->e820_rest = at_address(at);
	self->e820_rest_max = 2 * fw->capacity + 2 * CORE_HIDDEN + 1;
	at += ROUND_UP(
		sizeof(struct linux_setup_data) + self->e820_rest_max * sizeof(struct e820_entry),
		PAGE_BYTES);
	return at - base;
}

bool linux_setup_place(struct linux_guest *self, const struct guest_machine *machine,
		       struct boot_error *error)
{
	struct placement where = {0, PAGE_BYTES, LOW_MEMORY, BELOW_4G, true};
	uint64_t base;

	self->table_pages = page_tables_pages(&machine->physical);
	where.bytes = lay_out(self, 0, machine->fw);
	if (!memory_place(&where, &base))
		return boot_error_set(error,
				      "not enough memory: no free block of %llu KiB below"
				      " 4 GiB for the guest's tables; add memory",
				      (unsigned long long)where.bytes >> 10);
	ZeroMem(at_address(base), where.bytes);
	lay_out(self, base, machine->fw);
	return true;
}

static uint8_t secure_boot_state(void)
{
	bool there;

	return firmware_secure_boot(&there) ? LINUX_SECURE_BOOT_ON : LINUX_SECURE_BOOT_OFF;
}

/* The kernel's own setup header, with the loader's fields written over it. */
static bool fill_header(struct linux_guest *self, struct boot_error *error)
{
	struct linux_boot_params *params = self->params;
	struct linux_setup_header *header = &params->header;
	uint64_t cmdline = address_of(self->cmdline);

	if (!file_read(&self->guest.kernel_file, BZIMAGE_HEADER_START, header,
		       self->image.header_end - BZIMAGE_HEADER_START, error))
		return false;
	header->type_of_loader = LINUX_LOADER_OTHER;
	header->code32_start = (uint32_t)self->kernel_base;
	header->ramdisk_image = (uint32_t)self->initrd_base;
	header->ramdisk_size = (uint32_t)self->initrd_size;
	header->cmdline = (uint32_t)cmdline;
	header->setup_data = 0;
	params->ext_ramdisk_image = (uint32_t)(self->initrd_base >> 32);
	params->ext_ramdisk_size = (uint32_t)(self->initrd_size >> 32);
	params->ext_cmdline = (uint32_t)(cmdline >> 32);
	return true;
}

static void fill_params(struct linux_guest *self)
{
	struct linux_boot_params *params = self->params;
	const struct guest *guest = &self->guest;

	memcpy(self->cmdline, guest->entry->options, strlen(guest->entry->options) + 1);
	params->acpi_rsdp = config_table_rsdp();
	params->secure_boot = secure_boot_state();
	/* A 32-bit kernel cannot call 64-bit firmware: to it this is a machine without EFI. */
	if (!self->image.entry_64)
		return;
	linux_efi_install();
	self->setup_data = linux_efi_setup_data();
	params->efi.signature = LINUX_EFI_SIGNATURE_64;
	params->efi.systab = (uint32_t)address_of(ST);
	params->efi.systab_high = (uint32_t)(address_of(ST) >> 32);
	params->efi.map = (uint32_t)address_of(guest->efi_map);
	params->efi.map_high = (uint32_t)(address_of(guest->efi_map) >> 32);
}

/* GDT and identity-mapped page tables in guest RAM. */
static void fill_cpu_tables(struct linux_guest *self, const struct physical *physical)
{
	struct page_tables tables;

	guest_fill_gdt(&self->guest, self->image.entry_64);
	/* linux_setup_place() counted the pages for exactly this, so they cannot run out */
	page_tables_init(&tables, self->tables, self->table_pages);
	page_tables_map_physical(&tables, physical);
}

bool linux_setup_fill(struct linux_guest *self, const struct guest_machine *machine,
		      struct boot_error *error)
{
	if (!fill_header(self, error))
		return false;
	self->params->screen = machine->screen;
	fill_params(self);
	fill_cpu_tables(self, &machine->physical);
	return true;
}

static bool set_e820(struct linux_guest *self, const struct guest_maps *maps)
{
	struct linux_setup_data *rest = self->e820_rest;
	uint32_t first_count, rest_count;

	if (!map_to_e820(maps->ranges, maps->range_count, self->params->e820, LINUX_E820_MAX,
			 &first_count, rest->e820, self->e820_rest_max, &rest_count))
		return false;
	self->params->e820_count = (uint8_t)first_count;
	rest->next = self->setup_data;
	rest->type = LINUX_SETUP_E820_EXT;
	rest->length = (uint32_t)(rest_count * sizeof(struct e820_entry));
	self->params->header.setup_data = rest_count ? address_of(rest) : self->setup_data;
	return true;
}

bool linux_setup_maps(struct linux_guest *self, const struct guest_maps *maps,
		      struct boot_error *error)
{
	struct linux_efi_info *efi = &self->params->efi;
	uint32_t bytes;

	if (!set_e820(self, maps) || !guest_make_efi_map(&self->guest, maps, &bytes))
		return guest_map_grew(error);
	if (!efi->signature)
		return true;
	efi->descriptor_size = maps->fw->map.stride;
	efi->descriptor_version = maps->fw->version;
	efi->map_size = bytes;
	return true;
}
