/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading and starting drivers, UEFI specification sections 7.3 and 7.4; see drivers.h. */
#include "boot/drivers.h"
#include "boot/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"

#define DRIVER_BYTES_MAX (16ull << 20)
#define LINE_BYTES 512
#define PATH_BYTES 300

struct starter {
	EFI_HANDLE image;
	struct boot_volume *volume;
	void (*tell)(const char *line);
	uint32_t started;
};

static void complain(struct starter *starter, const char *name, const char *what, EFI_STATUS status)
{
	char line[LINE_BYTES];
	int n = snprintf(line, sizeof(line), DRIVERS_FOLDER "/%s: %s", name, what);

	if (status && (size_t)n < sizeof(line))
		snprintf(line + n, sizeof(line) - (size_t)n, " (EFI status %llx)",
			 (unsigned long long)status);
	starter->tell(line);
}

static bool is_for_others(const char *name)
{
	static const char *const ends[] = {"aa64.efi", "ia32.efi", "arm.efi", "riscv64.efi",
					   "loongarch64.efi"};
	size_t n = strlen(name), i;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		size_t m = strlen(ends[i]);

		if (n >= m && text_span_equal_any_case((struct text_span){name + n - m, m}, ends[i]))
			return true;
	}
	return false;
}

/* What a driver is by its header; an application would run now, and never come back perhaps. */
static bool is_driver(EFI_HANDLE handle)
{
	EFI_GUID guid = LOADED_IMAGE_PROTOCOL;
	EFI_LOADED_IMAGE *loaded;

	return !EFI_ERROR(BS->HandleProtocol(handle, &guid, (void **)&loaded)) &&
	       (loaded->ImageCodeType == EfiBootServicesCode ||
		loaded->ImageCodeType == EfiRuntimeServicesCode);
}

static void start_image(struct starter *starter, const char *name, char *file, uint64_t size)
{
	EFI_HANDLE handle = NULL;
	EFI_STATUS status =
		BS->LoadImage(FALSE, starter->image, DevicePathFromHandle(starter->volume->device),
			      file, size, &handle);

	if (EFI_ERROR(status)) {
		complain(starter, name,
			 status == EFI_SECURITY_VIOLATION ?
				 "is not signed for Secure Boot; sign it or remove it" :
				 "is no EFI driver for x64; copy it again or remove it",
			 status);
		if (handle) /* loaded for all that, UEFI specification: a security violation */
			BS->UnloadImage(handle);
		return;
	}
	if (!is_driver(handle)) {
		complain(starter, name, "is a program, no driver; remove it", EFI_SUCCESS);
		BS->UnloadImage(handle);
		return;
	}
	status = BS->StartImage(handle, NULL, NULL);
	if (EFI_ERROR(status))
		complain(starter, name, "is not started by the firmware; remove it", status);
	else
		starter->started++;
}

static bool start_driver(void *context, const char *name)
{
	struct starter *starter = context;
	char path[PATH_BYTES], *file;
	struct boot_error error;
	uint64_t size;

	if (is_for_others(name))
		return true;
	snprintf(path, sizeof(path), DRIVERS_FOLDER "/%s", name);
	if (EFI_ERROR(file_load(starter->volume, path, DRIVER_BYTES_MAX, &file, &size, &error))) {
		starter->tell(error.text);
		return true;
	}
	start_image(starter, name, file, size);
	memory_free(file);
	return true;
}

/* Each device is offered to the drivers that are there now. */
static void connect_all(void)
{
	EFI_HANDLE *handles = NULL;
	UINTN count = 0, i;

	if (EFI_ERROR(BS->LocateHandleBuffer(AllHandles, NULL, NULL, &count, &handles)))
		return;
	for (i = 0; i < count; i++)
		BS->ConnectController(handles[i], NULL, NULL, TRUE);
	BS->FreePool(handles);
}

void drivers_start(EFI_HANDLE image, struct boot_volume *volume, void (*tell)(const char *line))
{
	struct starter starter = {image, volume, tell, 0};
	struct boot_error error;

	if (!volume_list(volume, DRIVERS_FOLDER, ".efi", start_driver, &starter, &error))
		tell(error.text);
	if (starter.started)
		connect_all();
}
