/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about the guest's memory. */
#include "debug/command.h"

#include "arch/x86/memory.h"
#include "debug/console.h"
#include "debug/format.h"
#include "debug/target.h"
#include "lib/string.h"

#define DUMP_BYTES 0x80u
#define DUMP_MOST 0x100000u
#define FIND_MOST 0x40000000ull
#define BYTES_MOST 64u

static u32 read(struct monitor *m, bool physical, u64 at, void *buf, u32 len)
{
	return physical ? target_read_physical(m->cpu, gpa(at), buf, len) : target_read(m->cpu, at, buf, len);
}

static void dump(struct monitor *m, const struct words *w, bool physical)
{
	char text[FORMAT_DUMP_SIZE];
	u8 bytes[FORMAT_DUMP_BYTES];
	u64 at, len;

	if (!command_address(m, w, 1, &at) || !command_number(m, w, 2, DUMP_BYTES, &len))
		return;
	len = MIN(len, (u64)DUMP_MOST);
	for (u64 done = 0; done < len && !console_is_over(); done += FORMAT_DUMP_BYTES) {
		u32 count = (u32)MIN(len - done, (u64)FORMAT_DUMP_BYTES);

		format_dump(text, at + done, bytes, count, read(m, physical, at + done, bytes, count));
		console_printf("%s\n", text);
	}
}

static void mem(struct monitor *m, const struct words *w)
{
	dump(m, w, false);
}

static void phys(struct monitor *m, const struct words *w)
{
	dump(m, w, true);
}

/* Of the words from n on; false, and says so: they are no bytes. */
static bool take_bytes(const struct words *w, u32 n, u8 *out, u32 *count)
{
	u32 length = 0, got;

	for (*count = 0; n + length < w->count; length++) {
		got = words_bytes(w->word[n + length], out + *count, BYTES_MOST - *count);
		if (!got)
			break;
		*count += got;
	}
	if (length && n + length == w->count)
		return true;
	console_printf("no bytes, such as 0f05 90 or \"text\", or more than %u\n", BYTES_MOST);
	return false;
}

static void store(struct monitor *m, const struct words *w, bool physical)
{
	u8 bytes[BYTES_MOST];
	u32 count, done;
	u64 at;

	if (!command_address(m, w, 1, &at) || !take_bytes(w, 2, bytes, &count))
		return;
	done = physical ? target_write_physical(m->cpu, gpa(at), bytes, count) :
			  target_write(m->cpu, at, bytes, count);
	console_printf("%u of %u bytes written\n", done, count);
}

static void write(struct monitor *m, const struct words *w)
{
	store(m, w, false);
}

static void pwrite(struct monitor *m, const struct words *w)
{
	store(m, w, true);
}

/* Page by page, with what may begin in one and end in the next. */
static void find(struct monitor *m, const struct words *w)
{
	static u8 buf[PAGE_SIZE + BYTES_MOST];
	u8 bytes[BYTES_MOST];
	u64 at, len, found = 0;
	u32 count;

	if (!command_address(m, w, 1, &at) || !command_address(m, w, 2, &len) || !take_bytes(w, 3, bytes, &count))
		return;
	len = MIN(len, FIND_MOST);
	for (u64 done = 0; done < len && !console_is_over();) {
		u32 part = (u32)MIN(PAGE_SIZE - ((at + done) & (PAGE_SIZE - 1)), len - done);
		u32 got = target_read(m->cpu, at + done, buf, part + count - 1);

		for (u32 i = 0; i < part && i + count <= got; i++) {
			if (memcmp(buf + i, bytes, count))
				continue;
			console_printf("%016llx\n", (unsigned long long)(at + done + i));
			found++;
		}
		done += part;
	}
	console_printf("%llu found\n", (unsigned long long)found);
}

static void map(struct monitor *m, const struct words *w)
{
	static const char *const kinds[] = {
		[REGION_RAM] = "RAM",
		[REGION_MMIO] = "devices",
		[REGION_TRAPPED] = "devices, exits",
		[REGION_HIDDEN] = "hidden: the hypervisor's",
	};
	const struct region_map *regions = memory_regions();

	for (u32 i = 0; i < regions->count && !console_is_over(); i++) {
		const struct region *r = &regions->regions[i];
		u64 begin = r->base << PAGE_SHIFT, end = (r->base + r->pages) << PAGE_SHIFT;

		console_printf("%016llx - %016llx %s\n", (unsigned long long)begin, (unsigned long long)end - 1,
			       kinds[r->kind]);
	}
}

const struct command commands_memory[] = {
	{"mem", "ADDRESS [BYTES]", "memory, by this processor's page tables", mem},
	{"phys", "ADDRESS [BYTES]", "memory by guest-physical address", phys},
	{"write", "ADDRESS BYTES...", "changes memory: hexadecimal bytes, or \"text\"", write},
	{"pwrite", "ADDRESS BYTES...", "the same by guest-physical address", pwrite},
	{"find", "ADDRESS LENGTH BYTES...", "where these bytes are", find},
	{"map", "", "what lies where in the guest-physical space", map},
	{NULL, NULL, NULL, NULL},
};
