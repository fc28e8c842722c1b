/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking for volumes through the firmware; see volumes.h. */
#include "boot/volumes.h"
#include "boot/entry_list.h"
#include "lib/printf.h"
#include "lib/string.h"

#define PCI_CLASS_REGISTER 0x08
#define PCI_CLASS_STORAGE 0x01

/* UEFI specification section 13.18, Partition Information Protocol; GNU-EFI does not have it. */
#define PARTITION_INFO_GUID \
	{ \
		0x8cf2f62c, 0xbc9b, 0x4821, \
		{ \
			0x80, 0x8d, 0xec, 0x9e, 0xc4, 0x21, 0xa1, 0xa0 \
		} \
	}

struct partition_info {
	uint32_t revision;
	uint32_t type; /* 0 something else, 1 MBR, 2 GPT */
	uint8_t system, reserved[7];
	uint8_t gpt_type[PARTITION_TYPE_BYTES]; /* the first of the GPT entry's fields */
};

_Static_assert(offsetof(struct partition_info, gpt_type) == 16, "packed in the specification");

static void connect_storage(void)
{
	EFI_GUID pci_io = EFI_PCI_IO_PROTOCOL_GUID;
	EFI_HANDLE *handles = NULL;
	EFI_PCI_IO_PROTOCOL *pci;
	UINTN count = 0, i;

	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &pci_io, NULL, &count, &handles)))
		return;
	for (i = 0; i < count; i++) {
		uint32_t class = 0;

		if (!EFI_ERROR(BS->HandleProtocol(handles[i], &pci_io, (void **)&pci)) &&
		    !EFI_ERROR(pci->Pci.Read(pci, EfiPciIoWidthUint32, PCI_CLASS_REGISTER, 1, &class)) &&
		    class >> 24 == PCI_CLASS_STORAGE)
			BS->ConnectController(handles[i], NULL, NULL, TRUE);
	}
	BS->FreePool(handles);
}

static bool may_have_entries(EFI_HANDLE device)
{
	static const uint8_t none[PARTITION_TYPE_BYTES];
	EFI_GUID guid = PARTITION_INFO_GUID;
	struct partition_info *info;

	if (EFI_ERROR(BS->HandleProtocol(device, &guid, (void **)&info)))
		return partition_may_have_entries(PARTITION_NOT_TOLD, none);
	switch (info->type) {
	case 1: return partition_may_have_entries(PARTITION_MBR, none);
	case 2: return partition_may_have_entries(PARTITION_GPT, info->gpt_type);
	default: return partition_may_have_entries(PARTITION_NOT_TOLD, none);
	}
}

/* The part of a device path that names the disk, and the number of the partition behind it. */
struct disk_path {
	const uint8_t *path; /* NULL: none */
	size_t bytes;
	uint32_t partition;
};

static struct disk_path disk_of(EFI_HANDLE device)
{
	EFI_GUID guid = DEVICE_PATH_PROTOCOL;
	EFI_DEVICE_PATH *path, *node;
	struct disk_path disk = {NULL, 0, 0};

	if (!device || EFI_ERROR(BS->HandleProtocol(device, &guid, (void **)&path)))
		return disk;
	for (node = path; !IsDevicePathEndType(node); node = NextDevicePathNode(node)) {
		if ((size_t)DevicePathNodeLength(node) < sizeof(*node))
			return disk;
		if (DevicePathType(node) == MEDIA_DEVICE_PATH &&
		    DevicePathSubType(node) == MEDIA_HARDDRIVE_DP) {
			memcpy(&disk.partition,
			       (const uint8_t *)node +
				       offsetof(HARDDRIVE_DEVICE_PATH, PartitionNumber),
			       sizeof(disk.partition));
			break;
		}
	}
	disk.path = (const uint8_t *)path;
	disk.bytes = (size_t)((const uint8_t *)node - disk.path);
	return disk;
}

static bool same_disk(const struct disk_path *a, const struct disk_path *b)
{
	return a->path && b->path && a->bytes == b->bytes && memcmp(a->path, b->path, a->bytes) == 0;
}

/* The number of a disk: that of a volume before it on the same one, or the next. */
static uint32_t number_disk(const struct other_volumes *list, const struct disk_path *disk,
			    const struct disk_path *own, uint32_t *disks)
{
	uint32_t i;

	if (same_disk(disk, own))
		return 1;
	for (i = 0; i < list->count; i++) {
		struct disk_path other = disk_of(list->volume[i].device);

		if (same_disk(disk, &other))
			return list->volume[i].disk;
	}
	return ++*disks;
}

static void sort(struct other_volumes *list)
{
	uint32_t i, j;

	for (i = 1; i < list->count; i++) {
		struct other_volume one = list->volume[i];

		for (j = i; j > 0; j--) {
			const struct other_volume *before = &list->volume[j - 1];

			if (before->disk < one.disk ||
			    (before->disk == one.disk && before->partition <= one.partition))
				break;
			list->volume[j] = *before;
		}
		list->volume[j] = one;
	}
}

void volumes_find(struct other_volumes *list, EFI_HANDLE own)
{
	EFI_GUID file_system = SIMPLE_FILE_SYSTEM_PROTOCOL;
	struct disk_path own_disk = disk_of(own);
	EFI_HANDLE *handles = NULL;
	UINTN count = 0, i;
	uint32_t disks = 1;

	list->count = 0;
	connect_storage();
	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &file_system, NULL, &count, &handles)))
		return;
	for (i = 0; i < count && list->count < VOLUMES_MAX; i++) {
		struct disk_path disk = disk_of(handles[i]);
		struct other_volume *volume = &list->volume[list->count];

		if (handles[i] == own || !may_have_entries(handles[i]))
			continue;
		volume->device = handles[i];
		volume->disk = number_disk(list, &disk, &own_disk, &disks);
		volume->partition = disk.partition;
		list->count++;
	}
	BS->FreePool(handles);
	sort(list);
}

void volumes_name(const struct other_volume *volume, char *name, size_t size)
{
	if (volume->partition)
		snprintf(name, size, "disk %u, partition %u", volume->disk, volume->partition);
	else
		snprintf(name, size, "disk %u", volume->disk);
}
