/* SPDX-License-Identifier: BSD-2-Clause */
/* Reproducible random numbers for tests (splitmix64). */
#ifndef TESTS_RNG_H
#define TESTS_RNG_H

#include "lib/types.h"

struct rng {
	u64 state;
};

static inline u64 rng_next(struct rng *r)
{
	u64 z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline void rng_seed(struct rng *r, u64 seed)
{
	r->state = seed * 0xd1342543de82ef95ull + 1;
}

static inline u32 rng_below(struct rng *r, u32 n)
{
	return (u32)((rng_next(r) >> 16) % n);
}
static inline bool rng_chance(struct rng *r, u32 percent)
{
	return rng_below(r, 100) < percent;
}

#endif
