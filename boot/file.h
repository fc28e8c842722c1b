/* SPDX-License-Identifier: BSD-2-Clause */
/* Files on a volume, such as the ESP that the image was loaded from. Paths in UTF-8, with / or \. */
#ifndef BOOT_FILE_H
#define BOOT_FILE_H

#include "boot/uefi.h"

struct boot_volume {
	EFI_HANDLE device;
	EFI_FILE_HANDLE root; /* NULL: not open */
};

struct boot_file {
	EFI_FILE_HANDLE handle; /* NULL: not open */
	const char *path;       /* belongs to the caller of file_open() */
	uint64_t start;         /* where in the file on the disk it begins */
	uint64_t size;
	const uint8_t *memory; /* it is read from here: one inside umbra.efi, or kept; NULL: from its volume */
};

/* The volume that the image came from. */
bool volume_open(struct boot_volume *volume, EFI_HANDLE image, struct boot_error *error);

/* That of a device with EFI_SIMPLE_FILE_SYSTEM_PROTOCOL; volume is closed when it fails. */
EFI_STATUS volume_open_device(struct boot_volume *volume, EFI_HANDLE device);
void volume_close(struct boot_volume *volume);

/* Opens a regular file for reading; EFI_NOT_FOUND when it does not exist. error is set on failure. */
EFI_STATUS file_open(struct boot_file *file, struct boot_volume *volume, const char *path,
		     struct boot_error *error);
/* From now on the file is only its part [start, start + size); size 0: it stays whole. */
bool file_narrow(struct boot_file *file, uint64_t start, uint64_t size, struct boot_error *error);
void file_close(struct boot_file *file);

/* Reads all of it into memory, from which it is read from now on, until memory_free_all(). */
bool file_keep(struct boot_file *file, struct boot_error *error);

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
 * suffix (any case; ASCII), until it returns false. A missing folder has no files;
 * one of more than 4096 is read no further, for it may be a damaged one without end.
 */
bool volume_list(struct boot_volume *volume, const char *folder, const char *suffix,
		 bool (*visit)(void *context, const char *name), void *context,
		 struct boot_error *error);

#endif
