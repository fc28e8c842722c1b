/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An EFI program that starts \umbra.efi on a firmware with the faults that \faults names, one in a line:
 *
 *	exit          ExitBootServices() changes the memory map and refuses, twice, as firmware does whose timers
 *	              allocate (UEFI specification section 7.4)
 *	five-levels   it runs with five levels of page tables
 *	vmx           VMX is on
 *	volumes       no other volume can be opened
 *	open NAME     files with NAME in their paths cannot be opened
 *	seek NAME     nor is there a way to their bytes
 *	shrink NAME   from the second time on half of each is gone
 *	pages N M     no block of N to M pages
 *	tables        no room for a configuration table
 *	reset         ResetSystem() returns
 *	wishes        no variable can be set
 *	unsigned      no image from memory is taken
 */
#include <efi.h>
#include <efilib.h>

#define FAULT_BYTES 512
#define NAME_BYTES 32
#define EXIT_REFUSALS 2
#define VOLUMES 16

#define PAGE_BYTES 4096u
#define TABLE_PRESENT_WRITABLE 3u
#define CR0_NE (1ull << 5)
#define CR4_VMXE (1ull << 13)
#define MSR_FEATURE_CONTROL 0x3au
#define FEATURE_CONTROL_LOCK (1ull << 0)
#define FEATURE_CONTROL_VMX (1ull << 2)
#define MSR_VMX_BASIC 0x480u

extern const char five_levels_start[], five_levels_end[];

static EFI_EXIT_BOOT_SERVICES let_go;
static EFI_ALLOCATE_PAGES allocate_pages;
static EFI_IMAGE_LOAD load_image;
static EFI_VOLUME_OPEN open_own;
static EFI_FILE_OPEN open_file;
static EFI_FILE_GET_INFO get_info;
static UINTN refused, shrunk, pages_min, pages_max;
static char open_name[NAME_BYTES], seek_name[NAME_BYTES], shrink_name[NAME_BYTES];

static EFI_STATUS EFIAPI refuse_first(EFI_HANDLE image, UINTN key)
{
	EFI_PHYSICAL_ADDRESS page = 0xffffffff;

	if (refused++ == EXIT_REFUSALS)
		return let_go(image, key);
	allocate_pages(AllocateMaxAddress, EfiRuntimeServicesData, 1, &page);
	return EFI_INVALID_PARAMETER;
}

static EFI_STATUS EFIAPI allocate_others(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, UINTN pages,
					 EFI_PHYSICAL_ADDRESS *base)
{
	if (pages_min <= pages && pages <= pages_max)
		return EFI_OUT_OF_RESOURCES;
	return allocate_pages(how, type, pages, base);
}

static EFI_STATUS EFIAPI take_no_table(EFI_GUID *guid, VOID *table)
{
	(void)guid;
	(void)table;
	return EFI_OUT_OF_RESOURCES;
}

static EFI_STATUS EFIAPI reset_nothing(EFI_RESET_TYPE how, EFI_STATUS status, UINTN size, CHAR16 *data)
{
	(void)how;
	(void)status;
	(void)size;
	(void)data;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI set_nothing(CHAR16 *name, EFI_GUID *guid, UINT32 attributes, UINTN size, VOID *data)
{
	(void)name;
	(void)guid;
	(void)attributes;
	(void)size;
	(void)data;
	return EFI_WRITE_PROTECTED;
}

static EFI_STATUS EFIAPI take_signed(BOOLEAN policy, EFI_HANDLE parent, EFI_DEVICE_PATH *path, VOID *source,
				     UINTN size, EFI_HANDLE *image)
{
	return source ? EFI_SECURITY_VIOLATION : load_image(policy, parent, path, source, size, image);
}

/* --- files --------------------------------------------------------------------------- */

static BOOLEAN has(const CHAR16 *path, const char *name)
{
	UINTN i;

	for (; *name && *path; path++) {
		for (i = 0; name[i] && path[i] == (CHAR16)name[i];)
			i++;
		if (!name[i])
			return TRUE;
	}
	return FALSE;
}

static EFI_STATUS EFIAPI seek_nothing(EFI_FILE_HANDLE file, UINT64 position)
{
	(void)file;
	(void)position;
	return EFI_DEVICE_ERROR;
}

static EFI_STATUS EFIAPI half_of_info(EFI_FILE_HANDLE file, EFI_GUID *type, UINTN *size, VOID *buffer)
{
	EFI_GUID info = EFI_FILE_INFO_ID;
	EFI_STATUS status = get_info(file, type, size, buffer);

	if (!EFI_ERROR(status) && !CompareMem(type, &info, sizeof(info)))
		((EFI_FILE_INFO *)buffer)->FileSize /= 2;
	return status;
}

static EFI_STATUS EFIAPI open_others(EFI_FILE_HANDLE root, EFI_FILE_HANDLE *file, CHAR16 *path, UINT64 mode,
				     UINT64 attributes)
{
	EFI_STATUS status = has(path, open_name) ? EFI_DEVICE_ERROR : open_file(root, file, path, mode, attributes);

	if (EFI_ERROR(status))
		return status;
	if (has(path, seek_name))
		(*file)->SetPosition = seek_nothing;
	if (has(path, shrink_name) && shrunk++) {
		get_info = (*file)->GetInfo;
		(*file)->GetInfo = half_of_info;
	}
	return status;
}

static EFI_STATUS EFIAPI open_volume(EFI_FILE_IO_INTERFACE *volume, EFI_FILE_HANDLE *root)
{
	EFI_STATUS status = open_own(volume, root);

	if (!EFI_ERROR(status)) {
		open_file = (*root)->Open;
		(*root)->Open = open_others;
	}
	return status;
}

static EFI_STATUS EFIAPI open_no_volume(EFI_FILE_IO_INTERFACE *volume, EFI_FILE_HANDLE *root)
{
	(void)volume;
	(void)root;
	return EFI_DEVICE_ERROR;
}

static void break_other_volumes(EFI_HANDLE own)
{
	EFI_GUID guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_HANDLE handles[VOLUMES];
	UINTN size = sizeof(handles), i;
	EFI_FILE_IO_INTERFACE *volume;

	if (EFI_ERROR(BS->LocateHandle(ByProtocol, &guid, NULL, &size, handles)))
		return;
	for (i = 0; i < size / sizeof(handles[0]); i++)
		if (handles[i] != own && !EFI_ERROR(BS->HandleProtocol(handles[i], &guid, (void **)&volume)))
			volume->OpenVolume = open_no_volume;
}

/* --- the processor ------------------------------------------------------------------- */

static UINT64 read_msr(UINT32 msr)
{
	UINT32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (UINT64)high << 32 | low;
}

static void write_msr(UINT32 msr, UINT64 value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((UINT32)value), "d"((UINT32)(value >> 32)) : "memory");
}

static void *low_page(void)
{
	EFI_PHYSICAL_ADDRESS page = 0xffffffff;

	if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, EfiBootServicesCode, 1, &page)))
		return NULL;
	ZeroMem((void *)page, PAGE_BYTES);
	return (void *)page;
}

static EFI_STATUS take_five_levels(void)
{
	void (*copy)(void *page, UINT64 root) = (void (*)(void *, UINT64))low_page();
	UINT64 *root = low_page(), cr3;

	if (!copy || !root)
		return EFI_OUT_OF_RESOURCES;
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	root[0] = cr3 | TABLE_PRESENT_WRITABLE;
	CopyMem((void *)copy, (void *)five_levels_start, (UINTN)(five_levels_end - five_levels_start));
	copy((void *)copy, (UINT64)root);
	return EFI_SUCCESS;
}

/* SDM vol. 3 section 24.11.5; the lock bit as firmware sets it. */
static EFI_STATUS turn_vmx_on(void)
{
	UINT32 *region = low_page();
	UINT64 control = read_msr(MSR_FEATURE_CONTROL), cr0, cr4;
	UINT8 failed;

	if (!region)
		return EFI_OUT_OF_RESOURCES;
	if (!(control & FEATURE_CONTROL_LOCK))
		write_msr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
	__asm__ volatile("mov %%cr0, %0; mov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
	__asm__ volatile("mov %0, %%cr0; mov %1, %%cr4" : : "r"(cr0 | CR0_NE), "r"(cr4 | CR4_VMXE));
	region[0] = (UINT32)read_msr(MSR_VMX_BASIC);
	__asm__ volatile("vmxon %1; setna %0" : "=r"(failed) : "m"(region) : "memory", "cc");
	return failed ? EFI_DEVICE_ERROR : EFI_SUCCESS;
}

/* --- what \faults names -------------------------------------------------------------- */

static BOOLEAN take_word(char **text, const char *word)
{
	UINTN i = 0;

	while (word[i] && (*text)[i] == word[i])
		i++;
	if (word[i])
		return FALSE;
	*text += i;
	return TRUE;
}

static void take_name(char *text, char *name)
{
	UINTN i;

	for (i = 0; text[i] && text[i] != '\n' && i < NAME_BYTES - 1; i++)
		name[i] = text[i];
}

static UINTN take_number(char **text)
{
	UINTN n = 0;

	while (**text >= '0' && **text <= '9')
		n = n * 10 + (UINTN)(*(*text)++ - '0');
	if (**text == ' ')
		++*text;
	return n;
}

static EFI_STATUS apply(char *line, EFI_HANDLE device)
{
	if (take_word(&line, "exit"))
		BS->ExitBootServices = refuse_first;
	else if (take_word(&line, "five-levels"))
		return take_five_levels();
	else if (take_word(&line, "vmx"))
		return turn_vmx_on();
	else if (take_word(&line, "volumes"))
		break_other_volumes(device);
	else if (take_word(&line, "open "))
		take_name(line, open_name);
	else if (take_word(&line, "seek "))
		take_name(line, seek_name);
	else if (take_word(&line, "shrink "))
		take_name(line, shrink_name);
	else if (take_word(&line, "tables"))
		BS->InstallConfigurationTable = take_no_table;
	else if (take_word(&line, "reset"))
		RT->ResetSystem = (EFI_RESET_SYSTEM)reset_nothing;
	else if (take_word(&line, "wishes"))
		RT->SetVariable = set_nothing;
	else if (take_word(&line, "unsigned"))
		BS->LoadImage = take_signed;
	else if (take_word(&line, "pages ")) {
		pages_min = take_number(&line);
		pages_max = take_number(&line);
		BS->AllocatePages = allocate_others;
	} else
		return EFI_UNSUPPORTED;
	return EFI_SUCCESS;
}

static EFI_STATUS apply_all(EFI_HANDLE device)
{
	EFI_GUID guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_FILE_IO_INTERFACE *volume;
	EFI_FILE_HANDLE root, file;
	char text[FAULT_BYTES + 1] = "", *line = text;
	UINTN size = FAULT_BYTES;
	EFI_STATUS status = BS->HandleProtocol(device, &guid, (void **)&volume);

	if (!EFI_ERROR(status))
		status = volume->OpenVolume(volume, &root);
	if (!EFI_ERROR(status))
		status = root->Open(root, &file, L"\\faults", EFI_FILE_MODE_READ, 0);
	if (!EFI_ERROR(status))
		status = file->Read(file, &size, text);
	while (!EFI_ERROR(status) && *line) {
		status = apply(line, device);
		while (*line && *line++ != '\n')
			;
	}
	if (EFI_ERROR(status))
		return status;
	open_own = volume->OpenVolume;
	volume->OpenVolume = open_volume;
	return status;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	EFI_GUID loaded_guid = LOADED_IMAGE_PROTOCOL;
	EFI_LOADED_IMAGE *self;
	EFI_HANDLE umbra;
	EFI_STATUS status;

	InitializeLib(image, system_table);
	let_go = BS->ExitBootServices;
	allocate_pages = BS->AllocatePages;
	load_image = BS->LoadImage;
	status = BS->HandleProtocol(image, &loaded_guid, (void **)&self);
	if (!EFI_ERROR(status))
		status = BS->LoadImage(FALSE, image, FileDevicePath(self->DeviceHandle, L"\\umbra.efi"), NULL, 0,
				       &umbra);
	if (!EFI_ERROR(status))
		status = apply_all(self->DeviceHandle);
	if (EFI_ERROR(status)) {
		Print(L"faulty: %r\n", status);
		return status;
	}
	return BS->StartImage(umbra, NULL, NULL);
}
