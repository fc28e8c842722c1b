/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of a key and a value; see lines.h. */
#include "boot/lines.h"
#include "lib/string.h"

struct text_span lines_of(const char *text, size_t size)
{
	static const char mark[] = {'\xef', '\xbb', '\xbf'};

	if (size >= sizeof(mark) && memcmp(text, mark, sizeof(mark)) == 0)
		return (struct text_span){text + sizeof(mark), size - sizeof(mark)};
	return (struct text_span){text, size};
}

bool lines_next_key(struct text_span *text, struct key_line *line)
{
	struct text_span raw;

	while (text_next_line(text, &raw)) {
		line->number++;
		line->value = raw;
		if (!text_next_word(&line->value, &line->key) || line->key.at[0] == '#')
			continue;
		line->value = text_trim(line->value);
		return true;
	}
	return false;
}
