/* SPDX-License-Identifier: BSD-2-Clause */
/* A small bitmap font of our own for the panic screen: printable ASCII, 5x7 dots. */
#ifndef ARCH_X86_FONT_H
#define ARCH_X86_FONT_H

#include "lib/types.h"

#define FONT_FIRST 0x20
#define FONT_LAST 0x7e
#define FONT_ROWS 7
#define FONT_COLUMNS 5

/* One byte a row, top first; bit 4 is the leftmost dot. */
extern const u8 font[FONT_LAST - FONT_FIRST + 1][FONT_ROWS];

#endif
