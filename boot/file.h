/* SPDX-License-Identifier: BSD-2-Clause */
/* Files on the volume that the image was loaded from (the ESP). Paths in UTF-8, with / or \. */
#ifndef BOOT_FILE_H
#define BOOT_FILE_H

#include "boot/uefi.h"

struct boot_volume {
	EFI_FILE_HANDLE root;
};

struct boot_file {
	EFI_FILE_HANDLE handle; /* NULL: not open */
	const char *path;       /* belongs to the caller of file_open() */
	uint64_t size;
};

bool volume_open(struct boot_volume *volume, EFI_HANDLE image, struct boot_error *error);
void volume_close(struct boot_volume *volume);

/* Opens a regular file for reading; EFI_NOT_FOUND when it does not exist. error is set on failure. */
EFI_STATUS file_open(struct boot_file *file, struct boot_volume *volume, const char *path,
		     struct boot_error *error);
void file_close(struct boot_file *file);

/* Reads exactly size bytes at offset. */
bool file_read(struct boot_file *file, uint64_t offset, void *to, uint64_t size,
	       struct boot_error *error);

/* The same with a line of progress on the console. */
bool file_read_progress(struct boot_file *file, uint64_t offset, void *to, uint64_t size,
			struct boot_error *error);

/*
 * Reads a whole small file into new memory (memory_free() it). Fails with
 * EFI_NOT_FOUND when it is missing and EFI_BAD_BUFFER_SIZE above max bytes.
 */
EFI_STATUS file_load(struct boot_volume *volume, const char *path, uint64_t max, char **text,
		     uint64_t *size, struct boot_error *error);

/*
 * Calls visit(context, name) for each file of a folder whose name ends in
 * suffix (any case; ASCII), until it returns false. A missing folder has no files.
 */
bool volume_list(struct boot_volume *volume, const char *folder, const char *suffix,
		 bool (*visit)(void *context, const char *name), void *context,
		 struct boot_error *error);

#endif
