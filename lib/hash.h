/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 64-bit mixer: every input bit changes every output bit with a chance of
 * about one half, and different inputs give different outputs. Not for keys
 * that an attacker must not collide: a guest may only slow itself down.
 */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include "lib/types.h"

static ALWAYS_INLINE u64 hash_mix(u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* 32 bits by one multiplication: for tables whose keys are numbers in small steps. */
static ALWAYS_INLINE u32 hash_quick(u64 x)
{
	return (u32)(x * 0x9e3779b97f4a7c15ull >> 32);
}

/* Of two words, order matters. */
static ALWAYS_INLINE u64 hash_mix2(u64 a, u64 b)
{
	return hash_mix(a + 0x9e3779b97f4a7c15ull * (hash_mix(b) | 1));
}

#endif
