/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The UEFI application: reads the boot entries, loads guest and hypervisor,
 * leaves the firmware and hands over. Every failure before the firmware is left
 * prints one line, frees everything and returns an EFI error status.
 */
#include "boot/acpi.h"
#include "boot/check.h"
#include "boot/choose.h"
#include "boot/config_table.h"
#include "boot/console.h"
#include "boot/core.h"
#include "boot/handoff.h"
#include "boot/linux.h"
#include "boot/linux_efi.h"
#include "boot/memory.h"
#include "boot/menu.h"
#include "boot/multiboot_guest.h"
#include "boot/options.h"
#include "boot/screen.h"
#include "boot/secure_boot.h"
#include "boot/selftest.h"
#include "boot/symbols.h"
#include "boot/uefi.h"

#define EXIT_TRIES 8

/* Everything one boot attempt holds. */
struct loader {
	EFI_HANDLE image;
	uint64_t tsc_at_entry;
	struct boot_volume own;         /* that the image came from */
	struct boot_volume volume;      /* the chosen entry's */
	const struct boot_entry *entry; /* the chosen one */
	struct umbra_options options;
	struct firmware_map fw;
	struct hv_memory hv;
	uint64_t hv_cr3;
	struct linux_screen_info screen;
	struct boot_framebuffer framebuffer;
	struct guest *guest; /* NULL: none yet */
	struct boot_error error;
	EFI_STATUS status; /* what a failing stage returns */
};

static uint64_t read_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static bool find_entries(struct loader *loader)
{
	if (!volume_open(&loader->own, loader->image, &loader->error)) {
		loader->status = EFI_LOAD_ERROR;
		return false;
	}
	selftest_collect(&loader->own);
	loader->status = choose_begin(loader->image, &loader->own, &loader->error);
	return !EFI_ERROR(loader->status);
}

/* again: the entry chosen before could not be booted, for the reason in error. */
static bool choose_entry(struct loader *loader, bool again)
{
	loader->status = choose(&loader->entry, &loader->volume, again ? &loader->error : NULL,
				&loader->error);
	return !EFI_ERROR(loader->status);
}

static bool read_options(struct loader *loader)
{
	struct boot_error why;

	if (!options_parse(&loader->options, loader->entry->umbra, OPTIONS_CAN_AUDIT, &why))
		return boot_error_set(&loader->error, CHOOSE_FOLDER "/%s: %s", loader->entry->id,
				      why.text);
	if (secure_boot_is_on() && !secure_boot_allows(loader->entry, &loader->options, &why))
		return boot_error_set(&loader->error, "%s", why.text);
	console_set_serial(&loader->options.serial);
	console_print("umbra: entry %s, \"%s\"%s\n", loader->entry->id, loader->entry->title,
		      loader->options.bare ? ", bare: no hypervisor" : "");
	return true;
}

static bool check_machine(struct loader *loader)
{
	struct cpu_facts facts;

	loader->status = EFI_UNSUPPORTED;
	if (!loader->options.bare)
		check_enable_nx();
	check_read_cpu(&facts);
	if (!check_cpu(&facts, loader->options.bare, &loader->error))
		return false;
	loader->status = EFI_LOAD_ERROR;
	return true;
}

static bool open_guest(struct loader *loader)
{
	const struct boot_entry *entry = loader->entry;

	if (entry->self_test)
		entry = selftest_prepare(entry, &loader->error);
	if (!entry)
		return false;
	loader->guest = entry->multiboot ? multiboot_guest(entry) : linux_guest(entry);
	return loader->guest->format->open(loader->guest, &loader->volume, &loader->error);
}

static void close_guest(struct loader *loader)
{
	if (loader->guest)
		loader->guest->format->close(loader->guest);
}

/* By the map as it is now, so that the guest's image can have what it must have. */
static bool claim_fixed_memory(struct loader *loader)
{
	uint32_t max = 2 * loader->fw.capacity + 1, count;
	struct boot_range *ranges = memory_alloc(max * sizeof(*ranges));
	bool good;

	if (!ranges || !map_build(ranges, max, &count, &loader->fw.map, NULL, 0))
		good = boot_error_set(&loader->error, "not enough memory for the memory map;"
						      " add memory");
	else
		good = loader->guest->format->claim(loader->guest, ranges, count, &loader->error);
	memory_free(ranges);
	return good;
}

static bool reserve_memory(struct loader *loader)
{
	const struct boot_framebuffer *screen = &loader->framebuffer;
	const struct boot_uart *uart = console_serial();
	struct physical physical = {.firmware = &loader->fw.map, .pages_1g = check_pages_1g()};
	struct memory_needs needs;

	screen_describe(&loader->screen, &loader->framebuffer);
	physical.more[0] = (struct map_extent){screen->base, screen->base + screen->size};
	if (uart->space == BOOT_UART_MEMORY)
		physical.more[1] =
			(struct map_extent){uart->base, uart->base + UART_REGISTERS * uart->stride};
	loader->status = EFI_OUT_OF_RESOURCES;
	if (!firmware_map_init(&loader->fw, &loader->error) ||
	    !core_plan(&loader->hv, loader->options.hv.pool_bytes, &loader->fw, &physical,
		       &loader->error))
		return false;
	needs = (struct memory_needs){loader->hv.pool_size, loader->hv.reserve_size,
				      loader->guest->format->bytes(loader->guest)};
	return check_memory(map_usable_bytes(&loader->fw.map), &needs, &loader->error) &&
	       claim_fixed_memory(loader) && core_reserve(&loader->hv, &loader->error);
}

/* Before anybody asks where the root pointer is; the new tables may name a serial port. */
static bool add_tables(struct loader *loader)
{
	loader->status = EFI_LOAD_ERROR;
	if (!acpi_install(loader->entry, &loader->volume, &loader->error))
		return false;
	if (loader->entry->acpi_count && loader->options.serial.kind == SERIAL_AUTO)
		console_set_serial(&loader->options.serial);
	return true;
}

static bool load_symbols(struct loader *loader)
{
	loader->status = EFI_LOAD_ERROR;
	return loader->options.bare ||
	       symbols_load(loader->entry->symbols, &loader->volume, &loader->hv, &loader->error);
}

static bool load_all(struct loader *loader)
{
	const struct hv_memory *hv = &loader->hv;
	struct guest_machine machine = {.fw = &loader->fw,
					.physical = {.firmware = &loader->fw.map},
					.screen = loader->screen};

	loader->status = EFI_OUT_OF_RESOURCES;
	if (!loader->guest->format->load(loader->guest, &machine, &loader->error))
		return false;
	loader->status = EFI_LOAD_ERROR;
	loader->hv_cr3 = core_load(&loader->hv);
	if (loader->entry->self_test)
		selftest_describe(&(struct selftest_facts){loader->options.bare ? NULL : hv,
							   &loader->framebuffer, &loader->fw.map});
	console_print("umbra: hidden from the guest: image 0x%llx + %llu KiB, pool 0x%llx +"
		      " %llu MiB, start-up page 0x%llx\n",
		      (unsigned long long)hv->reserve_base,
		      (unsigned long long)hv->reserve_size >> 10, (unsigned long long)hv->pool_base,
		      MIB_OF(hv->pool_size), (unsigned long long)hv->startup_page);
	return true;
}

static void fill_info(struct loader *loader)
{
	const struct hv_memory *hv = &loader->hv;

	*hv->info = (struct boot_info){
		.magic = BOOT_INFO_MAGIC,
		.version = BOOT_INFO_VERSION,
		.size = sizeof(struct boot_info),
		.map = address_of(hv->ranges),
		.image_base = hv->reserve_base,
		.image_size = hv->image_size,
		.reserve_base = hv->reserve_base,
		.reserve_size = hv->reserve_size,
		.heap_base = hv->heap,
		.heap_size = BOOT_HEAP_BYTES,
		.pool_base = hv->pool_base,
		.pool_size = hv->pool_size,
		.startup_page = hv->startup_page,
		.symbols_base = hv->symbols_base,
		.symbols_size = hv->symbols_size,
		.acpi_rsdp = config_table_rsdp(),
		.efi_system_table = address_of(ST),
		.tsc_at_entry = loader->tsc_at_entry,
		.framebuffer = loader->framebuffer,
		.uart = *console_serial(),
		.options = loader->options.hv,
	};
	loader->guest->format->state(loader->guest, &hv->info->guest);
}

static void fill_handoff(struct loader *loader)
{
	const struct hv_memory *hv = &loader->hv;
	struct handoff_page *page = hv->handoff;

	CopyMem(page->code, (void *)handoff_code, (UINTN)(handoff_code_end - handoff_code));
	page->handoff = (struct handoff){
		.cr3 = loader->hv_cr3,
		.stack = hv->stack_top,
		.copies = address_of(page->copies),
		.copy_count = loader->guest->format->copies(loader->guest, page->copies),
		.core_entry = loader->options.bare ? 0 : hv->entry,
		.info = address_of(hv->info),
		.guest = address_of(&hv->info->guest),
	};
}

/* All that depends on the last memory map; allocates nothing. */
static bool set_maps(struct loader *loader)
{
	struct hv_memory *hv = &loader->hv;
	struct guest_maps maps = {.fw = &loader->fw,
				  .ranges = hv->ranges,
				  .hidden = hv->hidden,
				  .hidden_count = hv->hidden_count};

	if (!map_build(hv->ranges, hv->ranges_max, &hv->info->map_count, &loader->fw.map,
		       hv->hidden, hv->hidden_count))
		return guest_map_grew(&loader->error);
	maps.range_count = hv->info->map_count;
	return loader->guest->format->set_maps(loader->guest, &maps, &loader->error);
}

/*
 * UEFI specification section 7.4: ExitBootServices() fails when the map changed
 * after it was read; then the map is read again and nothing else is called.
 */
static bool leave_firmware(struct loader *loader)
{
	EFI_STATUS status = EFI_INVALID_PARAMETER;
	int tries;

	for (tries = 0; tries < EXIT_TRIES && status == EFI_INVALID_PARAMETER; tries++) {
		status = firmware_map_read(&loader->fw);
		if (EFI_ERROR(status))
			break;
		if (!set_maps(loader))
			return false;
		status = BS->ExitBootServices(loader->image, loader->fw.key);
	}
	if (!EFI_ERROR(status))
		return true;
	return boot_error_set(&loader->error,
			      "the firmware does not let go of the machine (EFI"
			      " status %llx); reset it and start again",
			      (unsigned long long)status);
}

__attribute__((noreturn)) static void hand_over(struct loader *loader)
{
	const struct handoff_page *page = loader->hv.handoff;

	console_leave_firmware();
	handoff_start(&page->handoff, page->code);
}

/* Of the chosen entry, up to the point of no return; false with error and status set. */
static bool prepare(struct loader *loader)
{
	loader->status = EFI_LOAD_ERROR;
	if (!read_options(loader) || !check_machine(loader) || !open_guest(loader) ||
	    !add_tables(loader) || !reserve_memory(loader) || !load_symbols(loader) ||
	    !load_all(loader))
		return false;
	fill_info(loader);
	fill_handoff(loader);
	close_guest(loader);
	volume_close(&loader->volume);
	return true;
}

/* Gives back all that an attempt took. */
static void give_back(struct loader *loader)
{
	close_guest(loader);
	loader->guest = NULL;
	volume_close(&loader->volume);
	acpi_uninstall();
	linux_efi_uninstall();
	memory_free_all();
	loader->screen = (struct linux_screen_info){.is_vga = 0};
}

/* Entry after entry, as long as there is a menu that an error can go back to. */
static void boot(struct loader *loader)
{
	bool again = false;

	do {
		if (choose_entry(loader, again) && prepare(loader)) {
			console_print("umbra: leaving the firmware\n");
			if (leave_firmware(loader))
				hand_over(loader);
			return; /* its boot services may be gone */
		}
		if (loader->entry && loader->entry->self_test)
			selftest_refused(&loader->own, &loader->error);
		again = true;
		give_back(loader);
	} while (choose_has_menu() && loader->status != EFI_ABORTED);
}

/* Whoever sits there shall have read the line before the firmware clears the screen. */
static void fail(struct loader *loader)
{
	console_error(&loader->error);
	give_back(loader);
	choose_end();
	volume_close(&loader->own);
	if (loader->status != EFI_ABORTED) {
		console_print("umbra: press a key to go on to the firmware's next boot option\n");
		menu_wait_for_key();
	}
	console_end();
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	static struct loader loader;

	loader = (struct loader){.image = image, .tsc_at_entry = read_tsc()};
	InitializeLib(image, system_table);
	console_init();
	console_print("umbra: boot loader\n");
	secure_boot_begin(image);
	if (find_entries(&loader))
		boot(&loader);
	fail(&loader);
	return loader.status;
}
