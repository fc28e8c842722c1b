/* SPDX-License-Identifier: BSD-2-Clause */
/* Runtime services; see firmware.h. */
#include "boot/firmware.h"
#include "boot/uefi.h"
#include "lib/string.h"

/* UEFI specification section 8.5.4: variables OsIndications and OsIndicationsSupported. */
#define BOOT_TO_FIRMWARE_UI 1ull
#define KEPT_OVER_BOOTS \
	(EFI_VARIABLE_NON_VOLATILE | EFI_VARIABLE_BOOTSERVICE_ACCESS | EFI_VARIABLE_RUNTIME_ACCESS)
#define SAVED_NAME L"UmbraEntryLastBooted"

static EFI_GUID saved_guid = {
	0x2d9ce0a1, 0x4f7b, 0x4c53, {0x9b, 0x1e, 0x6a, 0x70, 0x35, 0xd8, 0x42, 0xfe}};

static uint64_t read_indications(CHAR16 *name)
{
	EFI_GUID global = EFI_GLOBAL_VARIABLE;
	uint64_t value = 0;
	UINTN size = sizeof(value);

	return EFI_ERROR(RT->GetVariable(name, &global, NULL, &size, &value)) ? 0 : value;
}

bool firmware_secure_boot(bool *there)
{
	EFI_GUID global = EFI_GLOBAL_VARIABLE;
	UINT8 secure = 0;
	UINTN size = sizeof(secure);

	*there = !EFI_ERROR(RT->GetVariable(L"SecureBoot", &global, NULL, &size, &secure));
	return *there && secure == 1;
}

static void reset(EFI_RESET_TYPE how, const char *what, struct boot_error *error)
{
	RT->ResetSystem(how, EFI_SUCCESS, 0, NULL);
	boot_error_set(error, "the firmware does not %s the machine; use its switch", what);
}

void firmware_setup(struct boot_error *error)
{
	EFI_GUID global = EFI_GLOBAL_VARIABLE;
	uint64_t wanted = read_indications(L"OsIndications") | BOOT_TO_FIRMWARE_UI;
	EFI_STATUS status;

	if (!(read_indications(L"OsIndicationsSupported") & BOOT_TO_FIRMWARE_UI)) {
		boot_error_set(error, "this firmware cannot be asked for its set-up; restart"
				      " and press its key");
		return;
	}
	status = RT->SetVariable(L"OsIndications", &global, KEPT_OVER_BOOTS, sizeof(wanted), &wanted);
	if (EFI_ERROR(status))
		boot_error_set(error,
			       "the firmware does not take the wish for its set-up (EFI status"
			       " %llx); restart and press its key",
			       (unsigned long long)status);
	else
		reset(EfiResetCold, "restart", error);
}

void firmware_restart(struct boot_error *error)
{
	reset(EfiResetCold, "restart", error);
}

void firmware_power_off(struct boot_error *error)
{
	reset(EfiResetShutdown, "switch off", error);
}

void firmware_read_saved(char *id, size_t size)
{
	UINTN bytes = size - 1;

	if (EFI_ERROR(RT->GetVariable(SAVED_NAME, &saved_guid, NULL, &bytes, id)))
		bytes = 0;
	id[bytes] = '\0';
}

void firmware_save(const char *id)
{
	char last[128];

	firmware_read_saved(last, sizeof(last));
	if (strcmp(last, id) != 0) /* flash wears out */
		RT->SetVariable(SAVED_NAME, &saved_guid, KEPT_OVER_BOOTS, strlen(id), (void *)id);
}
