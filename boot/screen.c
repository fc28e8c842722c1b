/* SPDX-License-Identifier: BSD-2-Clause */
/* GOP to Linux's screen_info, UEFI specification section 12.9; see screen.h. */
#include "boot/screen.h"

struct color {
	uint8_t size, position;
};

struct pixel_layout {
	struct color red, green, blue, reserved;
};

static struct color color_of_mask(uint32_t mask)
{
	struct color c = {0, 0};

	if (!mask)
		return c;
	for (; !(mask & 1); mask >>= 1)
		c.position++;
	for (; mask & 1; mask >>= 1)
		c.size++;
	return c;
}

/* False when there is no linear framebuffer. */
static bool layout_of(const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info, struct pixel_layout *p)
{
	switch (info->PixelFormat) {
	case PixelRedGreenBlueReserved8BitPerColor:
		*p = (struct pixel_layout){{8, 0}, {8, 8}, {8, 16}, {8, 24}};
		return true;
	case PixelBlueGreenRedReserved8BitPerColor:
		*p = (struct pixel_layout){{8, 16}, {8, 8}, {8, 0}, {8, 24}};
		return true;
	case PixelBitMask:
		*p = (struct pixel_layout){
			color_of_mask(info->PixelInformation.RedMask),
			color_of_mask(info->PixelInformation.GreenMask),
			color_of_mask(info->PixelInformation.BlueMask),
			color_of_mask(info->PixelInformation.ReservedMask),
		};
		return true;
	default: return false;
	}
}

/* The GOP of a screen that the console uses, or else any. */
static EFI_GRAPHICS_OUTPUT_PROTOCOL *find_gop(void)
{
	EFI_GUID gop_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_GUID console_out = {
		0xd3b36f2c, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop, *found = NULL;
	EFI_HANDLE *handles = NULL;
	UINTN count = 0, i;
	void *ignored;

	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &gop_guid, NULL, &count, &handles)))
		return NULL;
	for (i = 0; i < count; i++) {
		bool is_console = !EFI_ERROR(BS->HandleProtocol(handles[i], &console_out, &ignored));

		if ((found && !is_console) ||
		    EFI_ERROR(BS->HandleProtocol(handles[i], &gop_guid, (void **)&gop)) ||
		    !gop->Mode || !gop->Mode->Info || !gop->Mode->FrameBufferBase)
			continue;
		found = gop;
		if (is_console)
			break;
	}
	BS->FreePool(handles);
	return found;
}

static uint16_t depth_of(const struct pixel_layout *p)
{
	uint32_t bits = p->red.size + p->green.size + p->blue.size + p->reserved.size;

	return bits > 24 ? 32 : bits > 16 ? 24 : 16;
}

void screen_describe(struct linux_screen_info *screen, struct boot_framebuffer *framebuffer)
{
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop = find_gop();
	const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info;
	struct pixel_layout p;
	uint64_t base;

	*framebuffer = (struct boot_framebuffer){.size = 0};
	if (!gop || !layout_of(gop->Mode->Info, &p))
		return;
	info = gop->Mode->Info;
	base = gop->Mode->FrameBufferBase;
	screen->is_vga = LINUX_VIDEO_TYPE_EFI;
	screen->lfb_width = (uint16_t)info->HorizontalResolution;
	screen->lfb_height = (uint16_t)info->VerticalResolution;
	screen->lfb_depth = depth_of(&p);
	screen->lfb_base = (uint32_t)base;
	screen->ext_lfb_base = (uint32_t)(base >> 32);
	screen->capabilities = LINUX_VIDEO_CAPABILITY_SKIP_QUIRKS;
	if (base >> 32)
		screen->capabilities |= LINUX_VIDEO_CAPABILITY_64BIT_BASE;
	screen->lfb_line_length = (uint16_t)(info->PixelsPerScanLine * screen->lfb_depth / 8);
	screen->lfb_size = (uint32_t)screen->lfb_line_length * screen->lfb_height;
	screen->pages = 1;
	screen->red_size = p.red.size;
	screen->red_position = p.red.position;
	screen->green_size = p.green.size;
	screen->green_position = p.green.position;
	screen->blue_size = p.blue.size;
	screen->blue_position = p.blue.position;
	screen->reserved_size = p.reserved.size;
	screen->reserved_position = p.reserved.position;
	if (info->PixelFormat == PixelBitMask || base > DIRECT_MAP_BYTES ||
	    screen->lfb_size > DIRECT_MAP_BYTES - base)
		return;
	*framebuffer = (struct boot_framebuffer){
		.base = base,
		.size = screen->lfb_size,
		.width = info->HorizontalResolution,
		.height = info->VerticalResolution,
		.pitch = screen->lfb_line_length,
		.bgr = info->PixelFormat == PixelBlueGreenRedReserved8BitPerColor,
	};
}
