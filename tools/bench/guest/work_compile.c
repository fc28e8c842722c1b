/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The compile-like mix: as a compiler's driver does, starts a front end that
 * reads headers, hashes identifiers into a growing arena, walks the result
 * several times and writes text to a pipe; a back end turns the text into an
 * object file. About 46 million instructions and 1,600 page faults.
 */
#include "bench.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOURCES "/tmp/source"
#define HEADERS 24
#define HEADER_SIZE (32 * KIB)
#define ARENA_CHUNK (1 * MIB)
#define BUCKETS 4096
#define PASSES 3

static char source_dir[32] = SOURCES, object[32] = "/tmp/object";

/* --- sources: identifiers from a fixed random sequence --- */

static void header_path(char path[64], const char *dir, unsigned number)
{
	snprintf(path, 64, "%s%u.h", dir, number);
}

static void write_header(unsigned number, uint64_t *seed)
{
	static char text[HEADER_SIZE];
	char path[64];
	int fd;

	for (size_t at = 0; at < sizeof(text); at++) {
		uint64_t x = next_random(seed);

		text[at] = x % 7 ? 'a' + x / 7 % 26 : ' ';
	}
	header_path(path, source_dir, number);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, text, sizeof(text)) != (ssize_t)sizeof(text))
		fail("write %s", path);
	close(fd);
}

static void setup_compile(void)
{
	uint64_t seed = 0x9e3779b97f4a7c15ull;

	for (unsigned i = 0; i < HEADERS; i++)
		write_header(i, &seed);
}

static void remove_sources(void)
{
	char path[64];

	for (unsigned i = 0; i < HEADERS; i++) {
		header_path(path, source_dir, i);
		unlink(path);
	}
	unlink(object);
}

/* --- the arena: memory that only grows --- */

static unsigned char *arena_at, *arena_end;

static void *arena_take(size_t size)
{
	void *memory;

	size = (size + 15) & ~15ul;
	if ((size_t)(arena_end - arena_at) < size) {
		arena_at = map_memory(ARENA_CHUNK);
		arena_end = arena_at + ARENA_CHUNK;
	}
	memory = arena_at;
	arena_at += size;
	return memory;
}

/* --- the front end --- */

struct token {
	struct token *next; /* in the order of the source */
	struct symbol *symbol;
	uint32_t line, type;
	uint64_t value;
};

struct symbol {
	struct symbol *next; /* in the bucket */
	uint32_t hash, uses;
	uint16_t length;
	char text[];
};

static struct symbol *buckets[BUCKETS];
static struct token *first_token, **last_token = &first_token;

static struct symbol *find_symbol(const char *text, size_t length, uint32_t hash)
{
	struct symbol **place = &buckets[hash % BUCKETS], *s;

	for (s = *place; s; s = s->next)
		if (s->hash == hash && s->length == length && !memcmp(s->text, text, length))
			return s;
	s = arena_take(sizeof(*s) + length + 1);
	memcpy(s->text, text, length);
	s->text[length] = '\0';
	s->hash = hash;
	s->uses = 0;
	s->length = length;
	s->next = *place;
	*place = s;
	return s;
}

static void add_token(const char *text, size_t length, uint32_t hash, uint32_t line)
{
	struct token *t = arena_take(sizeof(*t));

	t->next = NULL;
	t->symbol = find_symbol(text, length, hash);
	t->symbol->uses++;
	t->line = line;
	t->type = hash & 15;
	t->value = hash;
	*last_token = t;
	last_token = &t->next;
}

static void scan(const char *text, size_t size)
{
	uint32_t hash = 2166136261u;
	size_t start = 0;

	for (size_t at = 0; at < size; at++) {
		if (text[at] != ' ') {
			hash = (hash ^ (unsigned char)text[at]) * 16777619u;
			continue;
		}
		if (at > start)
			add_token(text + start, at - start, hash, (uint32_t)at);
		start = at + 1;
		hash = 2166136261u;
	}
}

static void read_header(const char *dir, unsigned number)
{
	char path[64], *text = arena_take(HEADER_SIZE);
	int fd;

	header_path(path, dir, number);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, HEADER_SIZE) != (ssize_t)HEADER_SIZE)
		fail("read %s", path);
	close(fd);
	scan(text, HEADER_SIZE);
}

/* A pass over everything: each token's value follows from its neighbours and its symbol. */
static void optimise(void)
{
	uint64_t last = 1;

	for (struct token *t = first_token; t; t = t->next) {
		uint64_t x = t->value;

		for (unsigned i = 0; i < 4; i++)
			x = (x ^ last) * 0x100000001b3ull + (x >> 29) + t->symbol->uses;
		t->value = x;
		last = x;
		if (t->next && (x & 31) == 0)
			t->type = t->next->type;
	}
}

static void emit(void)
{
	char line[80];

	for (struct token *t = first_token; t; t = t->next) {
		int length;

		if (t->type & 7)
			continue;
		length = snprintf(line, sizeof(line), "op%u %.*s,%u\n", t->type,
				  t->symbol->length < 40 ? t->symbol->length : 40, t->symbol->text,
				  (unsigned)(t->value & 0xffff));
		if (fwrite(line, 1, length, stdout) != (size_t)length)
			_exit(1);
	}
	if (fflush(stdout))
		_exit(1);
}

int compile_front(const char *dir)
{
	for (unsigned i = 0; i < HEADERS; i++)
		read_header(dir, i);
	for (unsigned i = 0; i < PASSES; i++)
		optimise();
	emit();
	return 0;
}

/* --- the back end --- */

int compile_back(const char *path)
{
	size_t size = 0, capacity = 4 * MIB;
	char *text = map_memory(capacity);
	uint64_t hash = 1;
	ssize_t got;
	int fd;

	while ((got = read(0, text + size, capacity - size)) > 0)
		size += got;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return 1;
	for (size_t at = 0; at < size; at++) {
		hash = hash * 31 + (unsigned char)text[at];
		text[at / 2] = (char)hash;
	}
	return write(fd, text, size / 2) != (ssize_t)(size / 2);
}

/* --- the driver --- */

static pid_t start(const char *program, const char *argument, int in, int out)
{
	char *arguments[] = {(char *)BENCH_PATH, (char *)program, (char *)argument, NULL};
	char *environment[] = {NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (posix_spawn(&pid, BENCH_PATH, &actions, NULL, arguments, environment))
		fail("posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void run_compile(unsigned rounds)
{
	while (rounds--) {
		int ends[2];
		pid_t front, back;

		if (pipe2(ends, O_CLOEXEC))
			fail("pipe");
		front = start("compile-front", source_dir, 0, ends[1]);
		back = start("compile-back", object, ends[0], 1);
		close(ends[0]);
		close(ends[1]);
		wait_for(front);
		wait_for(back);
	}
}

void compile_begin(unsigned worker)
{
	snprintf(source_dir, sizeof(source_dir), SOURCES "%u-", worker);
	snprintf(object, sizeof(object), "/tmp/object%u", worker);
	setup_compile();
}
void compile_run(unsigned rounds)
{
	run_compile(rounds);
}
void compile_end(void)
{
	remove_sources();
}

const struct workload compile_workloads[] = {
	{"compile", 1, 2, 1, setup_compile, run_compile, remove_sources},
	{0},
};
