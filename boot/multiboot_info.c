/* SPDX-License-Identifier: BSD-2-Clause */
/* The information for multiboot kernels; see multiboot_info.h. */
#include "boot/multiboot_info.h"

#include "boot/multiboot_info1.h"
#include "boot/multiboot_info2.h"

uint32_t multiboot_info_build(const struct multiboot_inputs *in, uint8_t *out, uint32_t address,
			      uint32_t max)
{
	struct writer w = {.out = out, .address = address, .max = max};

	if (in->image->version == 1)
		multiboot_info1(&w, in);
	else
		multiboot_info2(&w, in);
	return w.full ? 0 : w.used;
}
