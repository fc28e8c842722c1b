/* SPDX-License-Identifier: BSD-2-Clause */
/* Which format the guest has, and what the formats share; see guest.h. */
#include "boot/guest.h"
#include "boot/console.h"

bool guest_open(struct guest *guest, struct boot_volume *volume, const struct boot_entry *entry,
		struct boot_error *error)
{
	guest->multiboot = entry->multiboot;
	return guest->multiboot ?
		multiboot_open(&guest->multiboot_guest, volume, entry, error) :
		linux_open(&guest->linux_guest, volume, entry, error);
}

void guest_close(struct guest *guest)
{
	if (guest->multiboot)
		multiboot_close(&guest->multiboot_guest);
	else
		linux_close(&guest->linux_guest);
}

uint64_t guest_bytes(const struct guest *guest)
{
	return guest->multiboot ? multiboot_bytes(&guest->multiboot_guest) :
		linux_bytes(&guest->linux_guest);
}

bool guest_claim(struct guest *guest, const struct firmware_map *fw, struct boot_error *error)
{
	uint32_t max = 2 * fw->capacity + 1, count;
	struct boot_range *ranges = memory_alloc(max * sizeof(*ranges));
	bool good;

	if (!ranges || !map_build(ranges, max, &count, &fw->map, NULL, 0))
		good = boot_error_set(error, "not enough memory for the memory map; add memory");
	else
		good = guest->multiboot ?
			multiboot_claim(&guest->multiboot_guest, ranges, count, error) :
			linux_claim(&guest->linux_guest, ranges, count, error);
	memory_free(ranges);
	return good;
}

static void print_linux(const struct linux_guest *guest)
{
	console_print("umbra: kernel at 0x%llx, initrd of %llu KiB at 0x%llx%s\n",
		      (unsigned long long)guest->kernel_base,
		      (unsigned long long)guest->initrd_size >> 10,
		      (unsigned long long)guest->initrd_base,
		      guest->image.entry_64 ? "" : ", 32-bit entry");
}

static void print_multiboot(const struct multiboot_guest *guest)
{
	console_print("umbra: multiboot%u kernel at 0x%llx to 0x%llx, entry 0x%x, %u modules\n",
		      guest->image.version, (unsigned long long)multiboot_base(&guest->image),
		      (unsigned long long)multiboot_end(&guest->image), guest->image.entry,
		      guest->entry->module_count);
}

bool guest_load(struct guest *guest, const struct firmware_map *fw, uint64_t extent,
		const struct linux_screen_info *screen, struct boot_error *error)
{
	if (guest->multiboot) {
		if (!multiboot_load(&guest->multiboot_guest, fw, screen, error))
			return false;
		print_multiboot(&guest->multiboot_guest);
		return true;
	}
	if (!linux_load(&guest->linux_guest, fw, extent, screen, error))
		return false;
	print_linux(&guest->linux_guest);
	return true;
}

bool guest_set_maps(struct guest *guest, const struct boot_range *ranges, uint32_t count,
		    const struct firmware_map *fw, const struct map_hole *holes,
		    uint32_t hole_count, struct boot_error *error)
{
	return guest->multiboot ?
		multiboot_set_maps(&guest->multiboot_guest, ranges, count, fw, holes, hole_count,
				   error) :
		linux_set_maps(&guest->linux_guest, ranges, count, fw, holes, hole_count, error);
}

uint32_t guest_copies(const struct guest *guest, struct handoff_copy *copies)
{
	return guest->multiboot ? multiboot_copies(&guest->multiboot_guest, copies) :
		linux_copies(&guest->linux_guest, copies);
}

void guest_state(const struct guest *guest, struct boot_guest_state *state)
{
	if (guest->multiboot)
		multiboot_state(&guest->multiboot_guest, state);
	else
		linux_state(&guest->linux_guest, state);
}

bool guest_claim_fixed(const struct boot_entry *entry, const struct boot_range *ranges,
		       uint32_t count, uint64_t base, uint64_t bytes, struct boot_error *error)
{
	struct boot_range conflict;

	if (!entry->force && map_find_conflict(ranges, count, base, base + bytes, &conflict))
		return boot_error_set(error, "%s wants 0x%llx to 0x%llx, and 0x%llx to 0x%llx of"
			" it is not free (%s); add the line \"force\" to load over it",
			entry->kernel, (unsigned long long)base,
			(unsigned long long)(base + bytes), (unsigned long long)conflict.base,
			(unsigned long long)(conflict.base + conflict.size),
			map_type_name(&conflict));
	return memory_claim_free(base, bytes) ||
		boot_error_set(error, "0x%llx to 0x%llx cannot be set aside for %s; restart the"
			       " firmware", (unsigned long long)base,
			       (unsigned long long)(base + bytes), entry->kernel);
}

uint64_t guest_find_rsdp(void)
{
	EFI_GUID acpi_2 = ACPI_20_TABLE_GUID, acpi_1 = ACPI_TABLE_GUID;
	uint64_t rsdp = 0;
	UINTN i;

	for (i = 0; i < ST->NumberOfTableEntries; i++) {
		EFI_CONFIGURATION_TABLE *table = &ST->ConfigurationTable[i];

		if (CompareMem(&table->VendorGuid, &acpi_2, sizeof(acpi_2)) == 0)
			return address_of(table->VendorTable);
		if (CompareMem(&table->VendorGuid, &acpi_1, sizeof(acpi_1)) == 0)
			rsdp = address_of(table->VendorTable);
	}
	return rsdp;
}
