/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a Linux kernel as the guest; see linux.h. */
#include "boot/linux.h"
#include "boot/console.h"
#include "boot/linux_setup.h"
#include "boot/secure_boot.h"
#include "boot/selftest.h"
#include "boot/uki.h"
#include "lib/string.h"
#include "lib/types.h"

#define BELOW_4G (1ull << 32)
#define LOW_MEMORY (1ull << 20)
#define INITRD_ALIGNMENT 4

static bool open_initrds(struct linux_guest *self, struct boot_volume *volume,
			 struct boot_error *error)
{
	const struct boot_entry *entry = self->guest.entry;
	uint32_t i;

	for (i = 0; i < entry->initrd_count; i++) {
		struct boot_file *file = &self->initrd_files[i];

		if (EFI_ERROR(file_open(file, volume, entry->initrd[i], error)))
			return false;
		if (entry->initrd_piece.size) /* of the kernel's file, as it was verified */
			file->memory = self->guest.kernel_file.memory;
		if (!file_narrow(file, entry->initrd_piece.offset, entry->initrd_piece.size, error))
			return false;
		self->initrd_size = ROUND_UP(self->initrd_size, INITRD_ALIGNMENT) + file->size;
	}
	return true;
}

static struct linux_guest *linux_of(const struct guest *guest)
{
	return container_of(guest, struct linux_guest, guest);
}

/* The kernel's file, or the one inside umbra.efi. */
static bool open_kernel(struct boot_file *file, const struct boot_entry *entry,
			struct boot_volume *volume, struct boot_error *error)
{
	if (entry->self_test) {
		selftest_open(file);
		return true;
	}
	if (EFI_ERROR(file_open(file, volume, entry->kernel, error)) ||
	    !secure_boot_verify(file, volume, error))
		return false;
	if (secure_boot_is_on() && entry->kernel_piece.size &&
	    !uki_is_entry(entry, file->memory, file->size, error))
		return false;
	return file_narrow(file, entry->kernel_piece.offset, entry->kernel_piece.size, error);
}

static bool linux_open(struct guest *guest, struct boot_volume *volume, struct boot_error *error)
{
	struct linux_guest *self = linux_of(guest);
	const struct boot_entry *entry = guest->entry;
	struct boot_file *file = &guest->kernel_file;
	uint8_t probe[BZIMAGE_PROBE_BYTES];
	uint64_t size;

	if (!open_kernel(file, entry, volume, error))
		return false;
	size = MIN(file->size, sizeof(probe));
	if (!file_read(file, 0, probe, size, error) ||
	    !bzimage_check(&self->image, probe, size, file->size, entry->kernel, error) ||
	    !open_initrds(self, volume, error))
		return false;
	if (strlen(entry->options) > self->image.cmdline_max)
		return boot_error_set(error,
				      "the command line has %llu characters and %s takes"
				      " %u; shorten the lines \"options\"",
				      (unsigned long long)strlen(entry->options), entry->kernel,
				      self->image.cmdline_max);
	return true;
}

static void linux_close(struct guest *guest)
{
	uint32_t i;

	file_close(&guest->kernel_file);
	for (i = 0; i < ENTRY_MAX_INITRDS; i++)
		file_close(&linux_of(guest)->initrd_files[i]);
}

static uint64_t linux_bytes(const struct guest *guest)
{
	return linux_of(guest)->image.init_size + linux_of(guest)->initrd_size;
}

static bool linux_claim(struct guest *guest, const struct boot_range *ranges, uint32_t count,
			struct boot_error *error)
{
	const struct bzimage *image = &linux_of(guest)->image;

	return image->relocatable ||
	       guest_claim_fixed(guest, ranges, count, image->pref_address, image->init_size, error);
}

/* The kernel's file waits above 1 MiB until its own address is free. */
static bool place_staging(struct linux_guest *self, struct boot_error *error)
{
	const struct bzimage *image = &self->image;
	struct placement where = {image->payload_size, PAGE_BYTES, LOW_MEMORY, UINT64_MAX, true};

	self->kernel_base = image->pref_address;
	return memory_place(&where, &self->staging) ||
	       boot_error_set(error,
			      "not enough memory: no free block of %llu KiB for the"
			      " kernel's file; add memory",
			      (unsigned long long)image->payload_size >> 10);
}

/* At its preferred address, or aligned above it. */
static bool place_kernel(struct linux_guest *self, struct boot_error *error)
{
	const struct bzimage *image = &self->image;
	struct placement where = {image->init_size, image->alignment, image->pref_address, BELOW_4G,
				  false};

	if (!image->relocatable)
		return place_staging(self, error);
	self->kernel_base = image->pref_address;
	if (memory_claim(image->pref_address, image->init_size) ||
	    memory_place(&where, &self->kernel_base))
		return true;
	where.max = UINT64_MAX;
	if (image->above_4g && memory_place(&where, &self->kernel_base))
		return true;
	return boot_error_set(error,
			      "not enough memory: no free block of %llu MiB for the kernel;"
			      " add memory or set a smaller pool=",
			      MIB_OF(image->init_size));
}

static bool place_initrd(struct linux_guest *self, struct boot_error *error)
{
	uint64_t limit = self->image.initrd_max + 1;
	struct placement where = {self->initrd_size, PAGE_BYTES, LOW_MEMORY, limit, true};

	if (memory_place(&where, &self->initrd_base))
		return true;
	where.max = UINT64_MAX;
	if (self->image.above_4g && memory_place(&where, &self->initrd_base))
		return true;
	return boot_error_set(error,
			      "not enough memory: no free block of %llu MiB for the initrd;"
			      " add memory or use a smaller initrd",
			      MIB_OF(self->initrd_size));
}

static bool read_kernel(struct linux_guest *self, struct boot_error *error)
{
	const struct bzimage *image = &self->image;
	char *to = at_address(self->staging ? self->staging : self->kernel_base);

	if (!file_read_progress(&self->guest.kernel_file, image->payload_offset, to,
				image->payload_size, error))
		return false;
	if (!self->staging)
		ZeroMem(to + image->payload_size, image->init_size - image->payload_size);
	return true;
}

/* One behind the other, each at a multiple of four. */
static bool read_initrds(struct linux_guest *self, struct boot_error *error)
{
	char *to = at_address(self->initrd_base);
	uint64_t at = 0;
	uint32_t i;

	for (i = 0; i < self->guest.entry->initrd_count; i++) {
		struct boot_file *file = &self->initrd_files[i];

		ZeroMem(to + at, ROUND_UP(at, INITRD_ALIGNMENT) - at);
		at = ROUND_UP(at, INITRD_ALIGNMENT);
		if (!file_read_progress(file, 0, to + at, file->size, error))
			return false;
		at += file->size;
	}
	return true;
}

static bool linux_load(struct guest *guest, const struct guest_machine *machine,
		       struct boot_error *error)
{
	struct linux_guest *self = linux_of(guest);

	if (!place_kernel(self, error) || (self->initrd_size && !place_initrd(self, error)) ||
	    !linux_setup_place(self, machine, error) || !read_kernel(self, error) ||
	    !read_initrds(self, error) || !linux_setup_fill(self, machine, error))
		return false;
	console_print(
		"umbra: kernel at 0x%llx, initrd of %llu KiB at 0x%llx%s\n",
		(unsigned long long)self->kernel_base, (unsigned long long)self->initrd_size >> 10,
		(unsigned long long)self->initrd_base, self->image.entry_64 ? "" : ", 32-bit entry");
	return true;
}

static uint32_t linux_copies(const struct guest *guest, struct handoff_copy *copies)
{
	const struct linux_guest *self = linux_of(guest);
	const struct bzimage *image = &self->image;

	if (!self->staging)
		return 0;
	copies[0] = (struct handoff_copy){
		.from = self->staging,
		.to = self->kernel_base,
		.bytes = image->payload_size,
		.zero = image->init_size - image->payload_size,
	};
	return 1;
}

static void linux_state(const struct guest *guest, struct boot_guest_state *state)
{
	const struct linux_guest *self = linux_of(guest);
	bool entry_64 = self->image.entry_64;

	*state = (struct boot_guest_state){
		.mode = entry_64 ? BOOT_GUEST_LONG64 : BOOT_GUEST_PROTECTED32,
		.rip = self->kernel_base + (entry_64 ? BZIMAGE_ENTRY_64 : 0),
		.rsi = address_of(self->params),
		.cr3 = entry_64 ? self->tables : 0,
	};
	guest_set_segments(guest, state);
}

static bool linux_set_maps(struct guest *guest, const struct guest_maps *maps,
			   struct boot_error *error)
{
	return linux_setup_maps(linux_of(guest), maps, error);
}

static const struct guest_format linux_format = {
	.open = linux_open,
	.close = linux_close,
	.bytes = linux_bytes,
	.claim = linux_claim,
	.load = linux_load,
	.copies = linux_copies,
	.state = linux_state,
	.set_maps = linux_set_maps,
};

struct guest *linux_guest(const struct boot_entry *entry)
{
	static struct linux_guest self;

	self = (struct linux_guest){.guest = {.format = &linux_format, .entry = entry}};
	return &self.guest;
}
