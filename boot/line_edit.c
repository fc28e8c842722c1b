/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor; see line_edit.h. */
#include "boot/line_edit.h"
#include "boot/utf16.h"
#include "lib/string.h"

void line_edit_init(struct line_edit *edit, char *text, size_t size)
{
	*edit = (struct line_edit){text, size, strlen(text), strlen(text)};
}

static size_t next(const struct line_edit *edit, size_t at)
{
	const char *p = edit->text + at;

	if (at == edit->length)
		return at;
	utf8_next(&p);
	return (size_t)(p - edit->text);
}

/* Bytes that are no UTF-8 count one by one, so it is counted from the front. */
static size_t before(const struct line_edit *edit, size_t at)
{
	size_t i = 0, last = 0;

	while (i < at) {
		last = i;
		i = next(edit, i);
	}
	return last;
}

static size_t word_before(const struct line_edit *edit)
{
	size_t at = edit->at;

	while (at && edit->text[at - 1] == ' ')
		at--;
	while (at && edit->text[at - 1] != ' ')
		at--;
	return at;
}

static bool go(struct line_edit *edit, size_t at)
{
	bool moved = at != edit->at;

	edit->at = at;
	return moved;
}

/* Takes [from, to) away; the cursor is at from then. */
static bool cut(struct line_edit *edit, size_t from, size_t to)
{
	if (from == to)
		return false;
	memmove(edit->text + from, edit->text + to, edit->length - to + 1);
	edit->length -= to - from;
	edit->at = from;
	return true;
}

static bool insert(struct line_edit *edit, uint32_t c)
{
	char bytes[4];
	unsigned int count = utf8_put(bytes, c);

	if (edit->length + count >= edit->size)
		return false;
	memmove(edit->text + edit->at + count, edit->text + edit->at, edit->length - edit->at + 1);
	memcpy(edit->text + edit->at, bytes, count);
	edit->length += count;
	edit->at += count;
	return true;
}

bool line_edit_key(struct line_edit *edit, uint32_t key)
{
	size_t at = edit->at;

	switch (key) {
	case KEY_LEFT:
	case KEY_CTRL('b'): return go(edit, before(edit, at));
	case KEY_RIGHT:
	case KEY_CTRL('f'): return go(edit, next(edit, at));
	case KEY_HOME:
	case KEY_CTRL('a'): return go(edit, 0);
	case KEY_END:
	case KEY_CTRL('e'): return go(edit, edit->length);
	case KEY_BACKSPACE: return cut(edit, before(edit, at), at);
	case KEY_DELETE:
		if (at == edit->length)
			return cut(edit, before(edit, at), at);
		return cut(edit, at, next(edit, at));
	case KEY_CTRL('d'): return cut(edit, at, next(edit, at));
	case KEY_CTRL('k'): return cut(edit, at, edit->length);
	case KEY_CTRL('u'): return cut(edit, 0, at);
	case KEY_CTRL('w'): return cut(edit, word_before(edit), at);
	default: return key_is_text(key) && insert(edit, key);
	}
}
