/* SPDX-License-Identifier: BSD-2-Clause */
/* See linux_efi.h. Section numbers are of the UEFI specification, version 2.10. */
#include "boot/linux_efi.h"
#include "boot/config_table.h"
#include "boot/linux_params.h"
#include "boot/memory.h"
#include "boot/tpm_log.h"
#include "lib/string.h"
#include "lib/types.h"

#include <efipciio.h>

/* --- random seed -------------------------------------------------------------------- */

#define SEED_BYTES 32u
#define SEED_OLD_MAX 512u

/* LINUX_EFI_RANDOM_SEED_TABLE_GUID: bytes, then so many */
static EFI_GUID seed_guid = {
	0x1ce1e5bc, 0x7ceb, 0x42f2, {0x81, 0xe5, 0x8a, 0xad, 0xf1, 0x80, 0xf5, 0x7b}};
struct seed_table {
	uint32_t bytes;
	uint8_t seed[];
};

/* EFI_RNG_PROTOCOL, section 37.5 */
struct rng_protocol {
	EFI_STATUS(EFIAPI *get_info)(struct rng_protocol *self, UINTN *bytes, EFI_GUID *list);
	EFI_STATUS(EFIAPI *get)
	(struct rng_protocol *self, EFI_GUID *algorithm, UINTN bytes, UINT8 *out);
};

/* --- TPM event log ------------------------------------------------------------------ */

#define LOG_BYTES_MAX (16u << 20)

/* LINUX_EFI_TPM_EVENT_LOG_GUID */
static EFI_GUID log_guid = {
	0xb7799cb0, 0xeca2, 0x4943, {0x96, 0x67, 0x1f, 0xae, 0x07, 0xb7, 0x47, 0xfa}};
struct log_table {
	uint32_t bytes;
	uint32_t final_bytes; /* of the final events table: these entries are in the log, too */
	uint8_t version;      /* enum tpm_log_format */
	uint8_t log[];
} __attribute__((packed));
_Static_assert(offsetof(struct log_table, log) == 9, "linux/efi.h");

/* EFI_TCG2_FINAL_EVENTS_TABLE, TCG EFI Protocol Specification section 7 */
struct final_table {
	uint64_t version, count;
	uint8_t events[];
};

/* EFI_TCG2_PROTOCOL, the same specification, section 6 */
struct tcg2_protocol {
	void *get_capability;
	EFI_STATUS(EFIAPI *get_log)
	(struct tcg2_protocol *self, UINT32 format, UINT64 *log, UINT64 *last, BOOLEAN *truncated);
};

/* --- option ROMs -------------------------------------------------------------------- */

/* struct pci_setup_rom of Linux */
struct setup_rom {
	uint64_t next;
	uint32_t type, length;
	uint16_t vendor, device;
	uint32_t padding;
	uint64_t rom_bytes;
	uint64_t segment, bus, slot, function;
	uint8_t rom[];
};
_Static_assert(offsetof(struct setup_rom, vendor) == 16, "asm/pci.h");
_Static_assert(offsetof(struct setup_rom, rom) == 64, "asm/pci.h");
#define ROM_BYTES_MAX (16u << 20)

static struct {
	bool has_seed, has_log;
	void *old_seed; /* that of the loader before us */
	struct setup_rom *roms;
} handed;

static bool install(EFI_GUID *guid, void *table)
{
	return !EFI_ERROR(BS->InstallConfigurationTable(guid, table));
}

/* Fresh bytes, and behind them those that a loader before us has left, as the stub does. */
static void install_seed(void)
{
	static EFI_GUID rng_guid = {
		0x3152bca5, 0xeade, 0x433d, {0x86, 0x2e, 0xc0, 0x1c, 0xdc, 0x29, 0x1f, 0x44}};
	static EFI_GUID raw = {
		0xe43176d7, 0xb6e8, 0x4827, {0xb7, 0x84, 0x7f, 0xfd, 0xc4, 0xb6, 0x85, 0x61}};
	struct seed_table *old = config_table_find(&seed_guid), *table;
	uint32_t old_bytes = old && old->bytes <= SEED_OLD_MAX ? old->bytes : 0;
	struct rng_protocol *rng;
	EFI_STATUS status;

	if (EFI_ERROR(BS->LocateProtocol(&rng_guid, NULL, (void **)&rng)))
		return;
	table = memory_alloc_to_stay(EfiACPIReclaimMemory, sizeof(*table) + SEED_BYTES + old_bytes);
	if (!table)
		return;
	status = rng->get(rng, &raw, SEED_BYTES, table->seed);
	if (status == EFI_UNSUPPORTED)
		status = rng->get(rng, NULL, SEED_BYTES, table->seed);
	if (EFI_ERROR(status))
		return;
	table->bytes = SEED_BYTES + old_bytes;
	if (old_bytes)
		memcpy(table->seed + SEED_BYTES, old->seed, old_bytes);
	handed.old_seed = old;
	handed.has_seed = install(&seed_guid, table);
}

/* Of the final events the log has these already: those from before it was asked for. */
static uint32_t final_bytes(const uint8_t *log)
{
	static EFI_GUID final_guid = {
		0x1e2ed096, 0x30e2, 0x4254, {0xbd, 0x89, 0x86, 0x3b, 0xbe, 0xf8, 0x23, 0x25}};
	const struct final_table *final = config_table_find(&final_guid);

	return final ? (uint32_t)tpm_log_events_bytes(log, LOG_BYTES_MAX, final->events,
						      final->count) :
		       0;
}

static void install_log(void)
{
	static EFI_GUID tcg2_guid = {
		0x607f766c, 0x7455, 0x42be, {0x93, 0x0b, 0xe4, 0xd7, 0x6d, 0xb2, 0x72, 0x0f}};
	uint32_t format = TPM_LOG_2;
	struct tcg2_protocol *tcg2;
	uint64_t log = 0, last = 0, bytes;
	struct log_table *table;
	BOOLEAN truncated;

	if (EFI_ERROR(BS->LocateProtocol(&tcg2_guid, NULL, (void **)&tcg2)))
		return;
	if (EFI_ERROR(tcg2->get_log(tcg2, format, &log, &last, &truncated)) || !log) {
		format = TPM_LOG_1_2;
		if (EFI_ERROR(tcg2->get_log(tcg2, format, &log, &last, &truncated)) || !log)
			return;
	}
	/* without an entry there is no last one */
	bytes = last >= log && last ?
			tpm_log_bytes(format, at_address(log), last - log, LOG_BYTES_MAX) :
			0;
	table = memory_alloc_to_stay(EfiACPIReclaimMemory, sizeof(*table) + bytes);
	if (!table)
		return;
	table->bytes = (uint32_t)bytes;
	table->version = (uint8_t)format;
	if (format == TPM_LOG_2 && bytes)
		table->final_bytes = final_bytes(at_address(log));
	memcpy(table->log, at_address(log), bytes);
	handed.has_log = install(&log_guid, table);
}

static void add_rom(EFI_PCI_IO_PROTOCOL *pci)
{
	UINTN segment, bus, slot, function;
	struct setup_rom *rom;
	uint32_t id;

	if (!pci->RomImage || !pci->RomSize || pci->RomSize > ROM_BYTES_MAX ||
	    EFI_ERROR(pci->GetLocation(pci, &segment, &bus, &slot, &function)) ||
	    EFI_ERROR(pci->Pci.Read(pci, EfiPciIoWidthUint32, 0, 1, &id)))
		return;
	rom = memory_alloc(sizeof(*rom) + pci->RomSize);
	if (!rom)
		return;
	*rom = (struct setup_rom){
		.next = address_of(handed.roms),
		.type = LINUX_SETUP_PCI,
		.length = (uint32_t)(sizeof(*rom) + pci->RomSize - offsetof(struct setup_rom, vendor)),
		.vendor = (uint16_t)id,
		.device = (uint16_t)(id >> 16),
		.rom_bytes = pci->RomSize,
		.segment = segment,
		.bus = bus,
		.slot = slot,
		.function = function,
	};
	memcpy(rom->rom, pci->RomImage, pci->RomSize);
	handed.roms = rom;
}

static void copy_roms(void)
{
	EFI_GUID pci_guid = EFI_PCI_IO_PROTOCOL_GUID;
	EFI_HANDLE *handles = NULL;
	EFI_PCI_IO_PROTOCOL *pci;
	UINTN count = 0, i;

	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &pci_guid, NULL, &count, &handles)))
		return;
	for (i = count; i--;) /* the list is in the order of the handles */
		if (!EFI_ERROR(BS->HandleProtocol(handles[i], &pci_guid, (void **)&pci)))
			add_rom(pci);
	BS->FreePool(handles);
}

void linux_efi_install(void)
{
	install_seed();
	install_log();
	copy_roms();
}

uint64_t linux_efi_setup_data(void)
{
	return address_of(handed.roms);
}

void linux_efi_uninstall(void)
{
	if (handed.has_seed)
		install(&seed_guid, handed.old_seed);
	if (handed.has_log)
		install(&log_guid, NULL);
	handed.has_seed = handed.has_log = false;
	handed.roms = NULL;
}
