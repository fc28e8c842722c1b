/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An EFI program that starts \umbra.efi on a firmware which lets go of the machine only at the third time: the first two
 * calls of ExitBootServices() change the memory map and refuse, as firmware does whose timers allocate (UEFI
 * specification section 7.4).
 */
#include <efi.h>
#include <efilib.h>

#define REFUSALS 2

static EFI_EXIT_BOOT_SERVICES let_go;
static unsigned int refused;

static EFI_STATUS EFIAPI refuse_first(EFI_HANDLE image, UINTN key)
{
	EFI_PHYSICAL_ADDRESS page = 0xffffffff;

	if (refused++ == REFUSALS)
		return let_go(image, key);
	BS->AllocatePages(AllocateMaxAddress, EfiRuntimeServicesData, 1, &page);
	return EFI_INVALID_PARAMETER;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	EFI_GUID loaded_guid = LOADED_IMAGE_PROTOCOL;
	EFI_LOADED_IMAGE *self;
	EFI_HANDLE umbra;
	EFI_STATUS status;

	InitializeLib(image, system_table);
	status = BS->HandleProtocol(image, &loaded_guid, (void **)&self);
	if (!EFI_ERROR(status))
		status = BS->LoadImage(FALSE, image, FileDevicePath(self->DeviceHandle, L"\\umbra.efi"), NULL, 0,
				       &umbra);
	if (EFI_ERROR(status))
		return status;
	let_go = BS->ExitBootServices;
	BS->ExitBootServices = refuse_first;
	return BS->StartImage(umbra, NULL, NULL);
}
