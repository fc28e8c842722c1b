/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One walk by mm/gpt.c and by the model of model_walk.c over the same memory:
 * result, error code, rights and all entries afterwards must be equal.
 */
#ifndef TESTS_WALK_CHECK_H
#define TESTS_WALK_CHECK_H

#include "mm/gpt.h"
#include "mm/witness/model_walk.h"

#define WALK_RAM_BASE 0x400000ull
#define WALK_RAM_PAGES 32u

extern u8 *walk_ram; /* guest RAM, WALK_RAM_PAGES pages at gpa WALK_RAM_BASE */
extern struct region_map walk_regions;
extern const struct model_memory walk_memory;
extern u64 walk_count; /* comparisons so far */

/* Fixtures of a cmocka group: the RAM, and some hidden memory behind it. */
int walk_check_setup(void **state);
int walk_check_teardown(void **state);

struct gpt_context walk_context(const struct model_state *state);

/* Walks once in each; false: they differ, and what in is printed. The RAM is as before. */
bool walk_agrees(const struct model_state *state, u64 gva, struct model_access access, enum gpt_effects effects);

/* Fails the test if they differ; peek_too: without effects as well. */
void walk_check(const struct model_state *state, u64 gva, struct model_access access, bool peek_too);

#endif
