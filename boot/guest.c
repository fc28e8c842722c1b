/* SPDX-License-Identifier: BSD-2-Clause */
/* What the guests of both formats need; see guest.h. */
#include "boot/guest.h"
#include "boot/guest_map.h"

/* Selectors of Linux's boot protocol, __BOOT_CS and __BOOT_DS; multiboot leaves the choice. */
#define BOOT_CS 0x10
#define BOOT_DS 0x18

/* Flat segments: present, accessed, granularity 4 KiB; SDM vol. 3 section 3.4.5 */
#define GDT_CODE_64 0x00af9b000000ffffull
#define GDT_CODE_32 0x00cf9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull
#define GDT_ENTRIES 4

bool guest_claim_fixed(const struct guest *guest, const struct boot_range *ranges, uint32_t count,
		       uint64_t base, uint64_t bytes, struct boot_error *error)
{
	const struct boot_entry *entry = guest->entry;
	struct boot_range conflict;

	if (!entry->force && map_find_conflict(ranges, count, base, base + bytes, &conflict))
		return boot_error_set(error,
				      "%s wants 0x%llx to 0x%llx, and 0x%llx to 0x%llx of"
				      " it is not free (%s); add the line \"force\" to load over it",
				      entry->kernel, (unsigned long long)base,
				      (unsigned long long)(base + bytes),
				      (unsigned long long)conflict.base,
				      (unsigned long long)(conflict.base + conflict.size),
				      map_type_name(&conflict));
	return memory_claim_free(base, bytes) ||
	       boot_error_set(error,
			      "0x%llx to 0x%llx cannot be set aside for %s; restart the"
			      " firmware",
			      (unsigned long long)base, (unsigned long long)(base + bytes),
			      entry->kernel);
}

void guest_fill_gdt(const struct guest *guest, bool code_64)
{
	uint64_t *gdt = at_address(guest->descriptor_page);

	gdt[BOOT_CS / 8] = code_64 ? GDT_CODE_64 : GDT_CODE_32;
	gdt[BOOT_DS / 8] = GDT_DATA;
}

void guest_set_segments(const struct guest *guest, struct boot_guest_state *state)
{
	state->rsp = guest->descriptor_page + PAGE_BYTES;
	state->gdt_base = guest->descriptor_page;
	state->gdt_limit = GDT_ENTRIES * 8 - 1;
	state->cs = BOOT_CS;
	state->ds = BOOT_DS;
}

bool guest_make_efi_map(const struct guest *guest, const struct guest_maps *maps, uint32_t *bytes)
{
	uint32_t count;

	if (!map_guest_efi(guest->efi_map, guest->efi_map_max, &count, &maps->fw->map, maps->hidden,
			   maps->hidden_count))
		return false;
	*bytes = count * maps->fw->map.stride;
	return true;
}

bool guest_map_grew(struct boot_error *error)
{
	return boot_error_set(error, "the firmware's memory map grew beyond the space set aside"
				     " for it; start again");
}
