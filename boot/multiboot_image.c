/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiboot image; see multiboot_image.h. */
#include "boot/multiboot_image.h"

#define ADDRESS_LIMIT (1ull << 32)

bool multiboot_damaged(const struct multiboot_file *k, const char *what)
{
	return boot_error_set(k->error, "%s: %s; build or copy the kernel again", k->name, what);
}

bool multiboot_in_file(const struct multiboot_file *k, uint64_t offset, uint64_t count, uint64_t bytes)
{
	return offset <= k->size && count <= (k->size - offset) / bytes;
}

bool multiboot_add_segment(struct multiboot_image *image, const struct multiboot_file *k,
			   struct multiboot_segment s)
{
	if (s.bytes + s.zero == 0)
		return true;
	if (image->segment_count == MULTIBOOT_SEGMENTS_MAX)
		return multiboot_damaged(k, "it has more than 32 segments");
	if (s.offset > k->size || s.bytes > k->size - s.offset)
		return multiboot_damaged(
			k, "a segment lies outside of the file, which is cut off or damaged");
	if (s.to >= ADDRESS_LIMIT || s.bytes > ADDRESS_LIMIT || s.zero > ADDRESS_LIMIT ||
	    s.to + s.bytes + s.zero > ADDRESS_LIMIT)
		return multiboot_damaged(k, "a segment does not lie below 4 GiB");
	image->segment[image->segment_count++] = s;
	return true;
}

static uint64_t segment_end(const struct multiboot_segment *s)
{
	return s->to + s->bytes + s->zero;
}

uint64_t multiboot_base(const struct multiboot_image *image)
{
	uint64_t base = ADDRESS_LIMIT;
	uint32_t i;

	for (i = 0; i < image->segment_count; i++)
		if (image->segment[i].to < base)
			base = image->segment[i].to;
	return base;
}

uint64_t multiboot_end(const struct multiboot_image *image)
{
	uint64_t end = 0;
	uint32_t i;

	for (i = 0; i < image->segment_count; i++)
		if (segment_end(&image->segment[i]) > end)
			end = segment_end(&image->segment[i]);
	return end;
}

bool multiboot_overlaps(const struct multiboot_image *image, uint64_t base, uint64_t end)
{
	uint32_t i;

	for (i = 0; i < image->segment_count; i++)
		if (image->segment[i].to < end && segment_end(&image->segment[i]) > base)
			return true;
	return false;
}

void multiboot_move(struct multiboot_image *image, uint64_t base)
{
	uint64_t from = multiboot_base(image);
	uint32_t i;

	for (i = 0; i < image->segment_count; i++)
		image->segment[i].to += base - from;
	image->entry += (uint32_t)(base - from);
}
