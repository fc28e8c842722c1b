/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading from a volume through EFI_SIMPLE_FILE_SYSTEM_PROTOCOL; see file.h. */
#include "boot/file.h"
#include "boot/console.h"
#include "boot/memory.h"
#include "boot/utf16.h"
#include "lib/string.h"
#include "lib/types.h"

#define PATH_MAX 512
#define CHUNK (1ull << 20)
#define CHUNKS_PER_DOT 4
#define FOLDER_MAX 4096u /* names looked at */
/* EFI_FILE_INFO with a name of up to 255 characters */
#define INFO_BYTES (sizeof(EFI_FILE_INFO) + 512)

bool volume_open(struct boot_volume *volume, EFI_HANDLE image, struct boot_error *error)
{
	EFI_GUID loaded_image = LOADED_IMAGE_PROTOCOL;
	EFI_LOADED_IMAGE *loaded;

	*volume = (struct boot_volume){.root = NULL};
	if (EFI_ERROR(BS->HandleProtocol(image, &loaded_image, (void **)&loaded)) ||
	    !loaded->DeviceHandle || EFI_ERROR(volume_open_device(volume, loaded->DeviceHandle)))
		return boot_error_set(error,
				      "the volume that this image came from has no file"
				      " system the firmware can read; start it from a FAT ESP");
	return true;
}

EFI_STATUS volume_open_device(struct boot_volume *volume, EFI_HANDLE device)
{
	EFI_GUID file_system = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_FILE_IO_INTERFACE *fs;
	EFI_STATUS status = BS->HandleProtocol(device, &file_system, (void **)&fs);

	*volume = (struct boot_volume){.device = device};
	if (!EFI_ERROR(status))
		status = fs->OpenVolume(fs, &volume->root);
	if (EFI_ERROR(status))
		volume->root = NULL;
	return status;
}

void volume_close(struct boot_volume *volume)
{
	if (volume->root)
		volume->root->Close(volume->root);
	volume->root = NULL;
}

static EFI_STATUS read_info(EFI_FILE_HANDLE handle, EFI_FILE_INFO *info)
{
	EFI_GUID file_info = EFI_FILE_INFO_ID;
	UINTN size = INFO_BYTES;

	return handle->GetInfo(handle, &file_info, &size, info);
}

EFI_STATUS file_open(struct boot_file *file, struct boot_volume *volume, const char *path,
		     struct boot_error *error)
{
	union {
		EFI_FILE_INFO info;
		char bytes[INFO_BYTES];
	} space;
	CHAR16 wide[PATH_MAX];
	EFI_STATUS status = EFI_NOT_FOUND;

	*file = (struct boot_file){.path = path};
	if (utf16_from_path(wide, ARRAY_SIZE(wide), path))
		status = volume->root->Open(volume->root, &file->handle, wide, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status)) {
		file->handle = NULL;
		if (status == EFI_NOT_FOUND)
			boot_error_set(error,
				       "%s is not on the boot entry's volume; copy it there or"
				       " correct the path in the entry",
				       path);
		else
			boot_error_set(error,
				       "%s cannot be opened (EFI status %llx); check the"
				       " file system",
				       path, (unsigned long long)status);
		return status;
	}
	status = read_info(file->handle, &space.info);
	if (!EFI_ERROR(status) && space.info.Attribute & EFI_FILE_DIRECTORY)
		status = EFI_INVALID_PARAMETER;
	if (EFI_ERROR(status)) {
		boot_error_set(error, "%s is not a file; correct the path in the boot entry", path);
		file_close(file);
		return status;
	}
	file->size = space.info.FileSize;
	return EFI_SUCCESS;
}

bool file_narrow(struct boot_file *file, uint64_t start, uint64_t size, struct boot_error *error)
{
	if (!size)
		return true;
	if (size > file->size || start > file->size - size)
		return boot_error_set(error, "%s has become shorter; copy it again", file->path);
	file->start = start;
	file->size = size;
	return true;
}

void file_close(struct boot_file *file)
{
	if (file->handle)
		file->handle->Close(file->handle);
	file->handle = NULL;
}

static bool read_chunks(struct boot_file *file, char *to, uint64_t size, bool progress,
			struct boot_error *error)
{
	uint64_t done = 0, chunks = 0;

	while (done < size) {
		UINTN n = size - done < CHUNK ? size - done : CHUNK, wanted = n;
		EFI_STATUS status = file->handle->Read(file->handle, &n, to + done);

		if (EFI_ERROR(status) || n != wanted)
			return boot_error_set(error,
					      "%s cannot be read beyond byte %llu (EFI status"
					      " %llx); check the disk or copy the file again",
					      file->path, (unsigned long long)(done + n),
					      (unsigned long long)status);
		done += n;
		if (progress && ++chunks % CHUNKS_PER_DOT == 0)
			console_print(".");
	}
	return true;
}

/* The next chunks are read from there. */
static bool seek(struct boot_file *file, uint64_t offset, struct boot_error *error)
{
	if (!EFI_ERROR(file->handle->SetPosition(file->handle, file->start + offset)))
		return true;
	return boot_error_set(error, "%s cannot be read; check the file system", file->path);
}

bool file_read(struct boot_file *file, uint64_t offset, void *to, uint64_t size,
	       struct boot_error *error)
{
	if (file->memory) {
		CopyMem(to, (void *)(file->memory + file->start + offset), size);
		return true;
	}
	return seek(file, offset, error) && read_chunks(file, to, size, false, error);
}

bool file_read_progress(struct boot_file *file, uint64_t offset, void *to, uint64_t size,
			struct boot_error *error)
{
	bool read;

	if (file->memory)
		return file_read(file, offset, to, size, error);
	if (!seek(file, offset, error))
		return false;
	console_print("umbra: loading %s, %llu KiB ", file->path,
		      (unsigned long long)((size + 1023) / 1024));
	read = read_chunks(file, to, size, true, error);
	console_print(read ? " done\n" : "\n");
	return read;
}

static void *alloc(uint64_t size, const char *path, struct boot_error *error)
{
	void *memory = memory_alloc(size);

	if (!memory)
		boot_error_set(error, "no memory to read %s; add memory", path);
	return memory;
}

bool file_keep(struct boot_file *file, struct boot_error *error)
{
	uint8_t *memory = alloc(file->size, file->path, error);

	if (!memory)
		return false;
	if (!file_read_progress(file, 0, memory, file->size, error)) {
		memory_free(memory);
		return false;
	}
	file->memory = memory;
	return true;
}

EFI_STATUS file_load(struct boot_volume *volume, const char *path, uint64_t max, char **text,
		     uint64_t *size, struct boot_error *error)
{
	struct boot_file file;
	EFI_STATUS status = file_open(&file, volume, path, error);

	if (EFI_ERROR(status))
		return status;
	*size = file.size;
	if (file.size > max) {
		boot_error_set(error, "%s is longer than %llu bytes; shorten it", path,
			       (unsigned long long)max);
		status = EFI_BAD_BUFFER_SIZE;
	} else if (!(*text = alloc(file.size + 1, path, error))) {
		status = EFI_OUT_OF_RESOURCES;
	} else if (!file_read(&file, 0, *text, file.size, error)) {
		memory_free(*text);
		status = EFI_DEVICE_ERROR;
	}
	file_close(&file);
	return status;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix), i;

	for (i = 0; n > m && i < m; i++)
		if (text_lower(name[n - m + i]) != suffix[i])
			return false;
	return n > m;
}

/* *handle is NULL when there is no such folder, which is no error; space is for its information. */
static EFI_STATUS open_folder(struct boot_volume *volume, const char *folder,
			      EFI_FILE_HANDLE *handle, EFI_FILE_INFO *space)
{
	CHAR16 wide[PATH_MAX];
	EFI_STATUS status = EFI_NOT_FOUND;

	if (utf16_from_path(wide, ARRAY_SIZE(wide), folder))
		status = volume->root->Open(volume->root, handle, wide, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status)) {
		*handle = NULL;
		return status == EFI_NOT_FOUND ? EFI_SUCCESS : status;
	}
	status = read_info(*handle, space);
	if (EFI_ERROR(status) || !(space->Attribute & EFI_FILE_DIRECTORY)) {
		(*handle)->Close(*handle);
		*handle = NULL;
	}
	return status;
}

bool volume_list(struct boot_volume *volume, const char *folder, const char *suffix,
		 bool (*visit)(void *context, const char *name), void *context,
		 struct boot_error *error)
{
	union {
		EFI_FILE_INFO info;
		char bytes[INFO_BYTES];
	} space;
	EFI_FILE_HANDLE handle;
	EFI_STATUS status = open_folder(volume, folder, &handle, &space.info);
	char name[256];
	uint32_t left = FOLDER_MAX;

	while (!EFI_ERROR(status) && handle && left--) {
		UINTN size = sizeof(space);

		status = handle->Read(handle, &size, &space);
		if (EFI_ERROR(status) || !size)
			break;
		if (!(space.info.Attribute & EFI_FILE_DIRECTORY) &&
		    utf16_to_utf8(name, sizeof(name), space.info.FileName) &&
		    ends_in(name, suffix) && !visit(context, name))
			break;
	}
	if (handle)
		handle->Close(handle);
	if (EFI_ERROR(status))
		return boot_error_set(error,
				      "the folder %s cannot be read (EFI status %llx); check the"
				      " file system",
				      folder, (unsigned long long)status);
	return true;
}
