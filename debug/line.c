/* SPDX-License-Identifier: BSD-2-Clause */
/* See line.h. Only backspaces, blanks and the text itself are sent: any terminal does. */
#include "debug/line.h"

#include "lib/string.h"

#define CTRL(letter) ((letter) - 'a' + 1)
#define KEY_ESCAPE 0x1b
#define KEY_DELETE 0x7f

/* How far an escape sequence has come: ESC, ESC [, ESC [ digit. */
enum { ESCAPE_NONE, ESCAPE_BEGUN, ESCAPE_BRACKET, ESCAPE_DIGIT };

static void put_text(const struct line *line, const char *text, u32 length)
{
	for (u32 i = 0; i < length; i++)
		line->put(text[i]);
}

static void put_many(const struct line *line, char c, u32 count)
{
	while (count--)
		line->put(c);
}

/* What stands from the cursor on, with so many blanks over what was longer; the terminal's cursor comes back. */
static void draw_rest(const struct line *line, u32 blanks)
{
	u32 rest = line->length - line->cursor;

	put_text(line, line->text + line->cursor, rest);
	put_many(line, ' ', blanks);
	put_many(line, '\b', rest + blanks);
}

void line_begin(struct line *line)
{
	line->length = line->cursor = 0;
	line->text[0] = '\0';
	line->escape = ESCAPE_NONE;
	line->shown = line->lines;
}

void line_insert(struct line *line, const char *text, u32 length)
{
	u32 fits = MIN(length, LINE_SIZE - 1 - line->length);

	memmove(line->text + line->cursor + fits, line->text + line->cursor, line->length - line->cursor + 1);
	memcpy(line->text + line->cursor, text, fits);
	line->length += fits;
	line->cursor += fits;
	put_text(line, line->text + line->cursor - fits, fits);
	draw_rest(line, 0);
}

/* Takes count bytes away behind the cursor. */
static void cut(struct line *line, u32 count)
{
	count = MIN(count, line->length - line->cursor);
	memmove(line->text + line->cursor, line->text + line->cursor + count,
		line->length - line->cursor - count + 1);
	line->length -= count;
	draw_rest(line, count);
}

static void move(struct line *line, u32 to)
{
	if (to < line->cursor)
		put_many(line, '\b', line->cursor - to);
	else
		put_text(line, line->text + line->cursor, to - line->cursor);
	line->cursor = to;
}

static void cut_before(struct line *line, u32 from)
{
	u32 count = line->cursor - from;

	move(line, from);
	cut(line, count);
}

static u32 word_begin(const struct line *line)
{
	u32 at = line->cursor;

	while (at && line->text[at - 1] == ' ')
		at--;
	while (at && line->text[at - 1] != ' ')
		at--;
	return at;
}

/* --- history ------------------------------------------------------------------------- */

static void show(struct line *line, u32 number)
{
	const char *text = number == line->lines ? "" : line->history[number % LINE_HISTORY];

	move(line, 0);
	cut(line, line->length);
	line_insert(line, text, (u32)strlen(text));
	line->shown = number;
}

static void go_up(struct line *line)
{
	if (line->shown && line->lines - line->shown < LINE_HISTORY)
		show(line, line->shown - 1);
}

static void go_down(struct line *line)
{
	if (line->shown != line->lines)
		show(line, line->shown + 1);
}

static void remember(struct line *line)
{
	const char *last = line->history[(line->lines - 1) % LINE_HISTORY];

	if (!line->length || (line->lines && !strcmp(last, line->text)))
		return;
	str_copy(line->history[line->lines++ % LINE_HISTORY], line->text, LINE_SIZE);
}

/* --- keys ------------------------------------------------------------------------------ */

static void arrow(struct line *line, u8 byte)
{
	switch (byte) {
	case 'A': go_up(line); break;
	case 'B': go_down(line); break;
	case 'C': move(line, MIN(line->cursor + 1, line->length)); break;
	case 'D': move(line, line->cursor ? line->cursor - 1 : 0); break;
	case 'F': move(line, line->length); break;
	case 'H': move(line, 0); break;
	default: break;
	}
}

/* True: the byte was part of a sequence. */
static bool escape(struct line *line, u8 byte)
{
	switch (line->escape) {
	case ESCAPE_NONE:
		if (byte != KEY_ESCAPE)
			return false;
		line->escape = ESCAPE_BEGUN;
		return true;
	case ESCAPE_BEGUN: line->escape = byte == '[' || byte == 'O' ? ESCAPE_BRACKET : ESCAPE_NONE; return true;
	case ESCAPE_BRACKET:
		line->escape = byte >= '0' && byte <= '9' ? ESCAPE_DIGIT : ESCAPE_NONE;
		if (byte == '3') /* ESC [ 3 ~ */
			cut(line, 1);
		else
			arrow(line, byte);
		return true;
	default:
		if (byte == '~' || byte < '0' || byte > ';')
			line->escape = ESCAPE_NONE;
		return true;
	}
}

static enum line_event finish(struct line *line)
{
	move(line, line->length);
	line->put('\n');
	remember(line);
	return LINE_DONE;
}

static enum line_event control(struct line *line, u8 byte)
{
	switch (byte) {
	case '\r': return finish(line);
	case '\n': return line->last == '\r' ? LINE_MORE : finish(line);
	case '\t': return LINE_COMPLETE;
	case CTRL('c'):
		line->put('^');
		line->put('C');
		line->put('\n');
		line_begin(line);
		return LINE_CANCELLED;
	case '\b':
	case KEY_DELETE:
		if (line->cursor)
			cut_before(line, line->cursor - 1);
		break;
	case CTRL('a'): move(line, 0); break;
	case CTRL('e'): move(line, line->length); break;
	case CTRL('b'): arrow(line, 'D'); break;
	case CTRL('f'): arrow(line, 'C'); break;
	case CTRL('p'): go_up(line); break;
	case CTRL('n'): go_down(line); break;
	case CTRL('d'): cut(line, 1); break;
	case CTRL('k'): cut(line, line->length); break;
	case CTRL('u'): cut_before(line, 0); break;
	case CTRL('w'): cut_before(line, word_begin(line)); break;
	default: break;
	}
	return LINE_MORE;
}

enum line_event line_byte(struct line *line, u8 byte)
{
	enum line_event event = LINE_MORE;
	char c = (char)byte;

	if (!escape(line, byte)) {
		if (byte < ' ' || byte == KEY_DELETE)
			event = control(line, byte);
		else if (byte < KEY_DELETE)
			line_insert(line, &c, 1);
	}
	line->last = byte;
	return event;
}

void line_draw(const struct line *line, const char *prompt)
{
	put_text(line, prompt, (u32)strlen(prompt));
	put_text(line, line->text, line->length);
	put_many(line, '\b', line->length - line->cursor);
}
