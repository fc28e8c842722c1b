/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-test's block and its report; see selftest.h. */
#include "boot/selftest.h"
#include "boot/console.h"
#include "boot/selftest_machine.h"
#include "boot/selftest_text.h"
#include "boot/terminal.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"

extern const uint8_t selftest_image[], selftest_image_end[];

#define FOLDER L"\\umbra"
#define REPORTS_MAX 9999u
#define REPORT_PATH "\\umbra\\report-%u.txt"
#define PATH_MAX 40
#define PAGE_LINES 20
#define PAGE_MILLISECONDS 120000u

/* Where no firmware that is known keeps its own at the start, and no guest's image of Umbra's lies. */
static const uint64_t places[] = {0x3000000, 0x9000000, 0x10000000, 0x18000000};
_Static_assert(ARRAY_SIZE(places) <= SELFTEST_COPIES_MAX, "struct selftest_machine");

static struct selftest_block *block; /* of the self-test to be started */
static bool ended;                   /* the last one, whose report this start has found */

void selftest_open(struct boot_file *file)
{
	*file = (struct boot_file){.path = "the self-test",
				   .memory = selftest_image,
				   .size = (uint64_t)(selftest_image_end - selftest_image)};
}

static bool claim_copies(struct boot_error *error)
{
	struct selftest_machine machine = {.copy_count = 0};
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(places); i++)
		if (memory_claim(places[i], SELFTEST_BLOCK_BYTES))
			machine.copy[machine.copy_count++] = places[i];
	if (!machine.copy_count)
		return boot_error_set(error, "not enough memory for the self-test's report;"
					     " add memory");
	block = at_address(machine.copy[0]);
	ZeroMem(block, SELFTEST_BLOCK_BYTES);
	block->machine = machine;
	return true;
}

const struct boot_entry *selftest_prepare(const struct boot_entry *entry, struct boot_error *error)
{
	static struct boot_entry copy;
	char word[40];

	if (!claim_copies(error))
		return NULL;
	copy = *entry;
	snprintf(word, sizeof(word), "block=%llu", (unsigned long long)address_of(block));
	if (text_append_word(copy.options, sizeof(copy.options),
			     (struct text_span){word, strlen(word)}))
		return &copy;
	boot_error_set(error, "the self-test's options are too long; shorten them");
	return NULL;
}

void selftest_describe(const struct selftest_facts *facts)
{
	const struct boot_framebuffer *screen = facts->framebuffer;
	struct selftest_machine *m = &block->machine;
	uint32_t i;

	m->uart = *console_serial();
	m->framebuffer = *screen;
	selftest_describe_machine(block, facts->map);
	if (screen->size)
		selftest_line(block, "framebuffer: %u x %u at %llx", screen->width, screen->height,
			      (unsigned long long)screen->base);
	else
		selftest_line(block, "framebuffer: none");
	for (i = 0; facts->hv && i < facts->hv->hidden_count; i++)
		m->hidden[m->hidden_count++] = (struct selftest_range){facts->hv->hidden[i].base,
								       facts->hv->hidden[i].size};
}

/* --- the report of the last one ----------------------------------------------------- */

static bool is_free(const struct efi_map *map, uint64_t at)
{
	return map_free_at(map, at, at + SELFTEST_BLOCK_BYTES) == SELFTEST_BLOCK_BYTES;
}

/* Makes all copies unfit; returns one of them in memory of its own, or NULL. */
static struct selftest_block *take_copy(void)
{
	struct selftest_block *found = NULL;
	struct firmware_map fw;
	struct boot_error ignored;
	uint32_t i;

	if (!firmware_map_init(&fw, &ignored))
		return NULL;
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		struct selftest_block *copy = at_address(places[i]);

		if (!is_free(&fw.map, places[i]) || copy->magic != SELFTEST_MAGIC)
			continue;
		if (!found && selftest_is_whole(copy)) {
			found = memory_alloc(SELFTEST_BLOCK_BYTES + 1);
			if (found)
				CopyMem(found, copy, SELFTEST_BLOCK_BYTES);
		}
		copy->magic = 0;
	}
	memory_free(fw.buffer);
	return found;
}

static EFI_STATUS open_folder(struct boot_volume *volume)
{
	EFI_FILE_HANDLE folder;
	EFI_STATUS status = volume->root->Open(
		volume->root, &folder, FOLDER,
		EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE, EFI_FILE_DIRECTORY);

	if (!EFI_ERROR(status))
		folder->Close(folder);
	return status;
}

/* The path of a report that is not there yet. */
static bool free_path(struct boot_volume *volume, char *path, CHAR16 *wide)
{
	EFI_FILE_HANDLE file;
	uint32_t n, i;

	for (n = 1; n <= REPORTS_MAX; n++) {
		EFI_STATUS status;

		snprintf(path, PATH_MAX, REPORT_PATH, n);
		for (i = 0; i < PATH_MAX; i++)
			wide[i] = (CHAR16)path[i];
		status = volume->root->Open(volume->root, &file, wide, EFI_FILE_MODE_READ, 0);
		if (status == EFI_NOT_FOUND)
			return true;
		if (EFI_ERROR(status))
			return false;
		file->Close(file);
	}
	return false;
}

static bool write_report(struct boot_volume *volume, const struct selftest_block *report, char *path)
{
	CHAR16 wide[PATH_MAX];
	EFI_FILE_HANDLE file;
	UINTN bytes = report->length;
	EFI_STATUS status = open_folder(volume);

	if (EFI_ERROR(status) || !free_path(volume, path, wide) ||
	    EFI_ERROR(volume->root->Open(
		    volume->root, &file, wide,
		    EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE | EFI_FILE_MODE_CREATE, 0)))
		return false;
	status = file->Write(file, &bytes, (void *)report->text);
	if (!EFI_ERROR(status) && bytes == report->length)
		status = file->Flush(file);
	file->Close(file);
	return !EFI_ERROR(status) && bytes == report->length;
}

/* In pages; whoever does not press a key loses nothing for a while. */
static void show_report(const struct selftest_block *report)
{
	struct text_span text = {report->text, report->length}, line;
	uint32_t n = 0;

	console_print("umbra: the self-test's report cannot be written to this volume; here it"
		      " is, a key goes on\n");
	while (text_next_line(&text, &line)) {
		console_print("%.*s\n", (int)line.length, line.at);
		if (++n % PAGE_LINES == 0)
			terminal_key(PAGE_MILLISECONDS);
	}
	terminal_key(PAGE_MILLISECONDS);
}

bool selftest_has_ended(void)
{
	return ended;
}

void selftest_collect(struct boot_volume *volume)
{
	struct selftest_block *report = take_copy();
	char path[PATH_MAX];

	ended = report != NULL;
	if (!report)
		return;
	console_print(
		"umbra: the self-test %s: %u passed, %u failed, %u skipped\n",
		report->state == SELFTEST_DONE ? "has ended" : "did not end, its report says where",
		report->passed, report->failed, report->skipped);
	if (write_report(volume, report, path))
		console_print("umbra: its report is %s on the volume that Umbra was started"
			      " from\n",
			      path);
	else
		show_report(report);
	memory_free(report);
}

void selftest_refused(struct boot_volume *volume, const struct boot_error *why)
{
	struct selftest_block *report = volume->root ? memory_alloc(SELFTEST_BLOCK_BYTES) : NULL;
	struct boot_error ignored;
	struct firmware_map fw;
	char path[PATH_MAX];

	if (!report || !firmware_map_init(&fw, &ignored))
		return;
	selftest_describe_machine(report, &fw.map);
	selftest_line(report, "self-test: not started: %s", why->text);
	if (write_report(volume, report, path))
		console_print("umbra: the report of this is %s on the volume that Umbra was started"
			      " from\n",
			      path);
}
