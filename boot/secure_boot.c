/* SPDX-License-Identifier: BSD-2-Clause */
/* Verifies a file by the firmware's LoadImage(), or by shim, whose owner's keys the firmware does not know; see secure_boot.h. */
#include "boot/uefi.h"

#include "boot/console.h"
#include "boot/firmware.h"
#include "boot/memory.h"
#include "boot/secure_boot.h"

/* shim's protocol: github.com/rhboot/shim. Its functions are called as C ones of this ABI, not as the firmware's. */
#define SHIM_LOCK_GUID \
	{ \
		0x605dab50, 0xe046, 0x4300, \
		{ \
			0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23 \
		} \
	}

struct shim_lock {
	EFI_STATUS (*verify)(void *file, uint32_t size);
	void *generate_header, *read_header;
};

static EFI_HANDLE own;
static bool on;

void secure_boot_begin(EFI_HANDLE image)
{
	bool there;

	own = image;
	on = firmware_secure_boot(&there);
	if (on)
		console_print("umbra: Secure Boot is on\n");
}

bool secure_boot_is_on(void)
{
	return on;
}

/* An image that is loaded although it must not be started (EFI_SECURITY_VIOLATION) has a handle, too. */
static EFI_STATUS firmware_verify(const struct boot_file *file, const struct boot_volume *volume)
{
	EFI_HANDLE handle = NULL;
	EFI_DEVICE_PATH *path = DevicePathFromHandle(volume->device);
	EFI_STATUS status =
		BS->LoadImage(FALSE, own, path, (void *)file->memory, file->size, &handle);

	if (handle)
		BS->UnloadImage(handle);
	return status;
}

static bool shim_verify(const struct boot_file *file)
{
	EFI_GUID guid = SHIM_LOCK_GUID;
	struct shim_lock *shim;

	return file->size <= UINT32_MAX &&
	       !EFI_ERROR(BS->LocateProtocol(&guid, NULL, (void **)&shim)) &&
	       !EFI_ERROR(shim->verify((void *)file->memory, (uint32_t)file->size));
}

bool secure_boot_verify(struct boot_file *file, struct boot_volume *volume, struct boot_error *error)
{
	EFI_STATUS status;

	if (!on)
		return true;
	if (!file_keep(file, error))
		return false;
	status = firmware_verify(file, volume);
	if (!EFI_ERROR(status) || shim_verify(file))
		return true;
	return boot_error_set(error,
			      "Secure Boot is on, and %s has no signature that this machine accepts"
			      " (EFI status %llx); sign it, enrol its key or switch Secure Boot off",
			      file->path, (unsigned long long)status);
}
