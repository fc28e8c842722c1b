/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of UTF-8 that is edited, with the keys of a shell's line. Pure functions. */
#ifndef BOOT_LINE_EDIT_H
#define BOOT_LINE_EDIT_H

#include "boot/keys.h"
#include "boot/text.h"

struct line_edit {
	char *text;    /* the caller's; always ends in NUL */
	size_t size;   /* of the space, with the NUL */
	size_t length; /* bytes of the text */
	size_t at;     /* the cursor: where the next character goes */
};

/* The text is there already; the cursor is behind it. size > 0. */
void line_edit_init(struct line_edit *edit, char *text, size_t size);

/*
 * Left, Right, Home, End, Backspace, Delete; Ctrl-A, -B, -D, -E, -F, -K, -U and -W as
 * in a shell; any character is put in. Delete behind the last character takes that
 * one away, since many terminals send DEL for Backspace. False if nothing changes:
 * another key, nothing there to go over or to take away, no room.
 */
bool line_edit_key(struct line_edit *edit, uint32_t key);

#endif
