/* SPDX-License-Identifier: BSD-2-Clause */
/* Bit arithmetic. All of it compiles to a few instructions, without libgcc. */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include "lib/types.h"

/* Number of the lowest set bit; x must not be 0. */
static ALWAYS_INLINE u32 bit_lowest(u64 x)
{
	return (u32)__builtin_ctzll(x);
}

/* Number of the highest set bit; x must not be 0. */
static ALWAYS_INLINE u32 bit_highest(u64 x)
{
	return 63 - (u32)__builtin_clzll(x);
}

/* 1 + number of the lowest set bit, 0 if none (POSIX ffs()). */
static ALWAYS_INLINE u32 bit_ffs(u64 x)
{
	return x ? bit_lowest(x) + 1 : 0;
}

/* 1 + number of the highest set bit, 0 if none. */
static ALWAYS_INLINE u32 bit_fls(u64 x)
{
	return x ? bit_highest(x) + 1 : 0;
}

/* Largest n with 1 << n <= x; x must not be 0. */
static ALWAYS_INLINE u32 log2_floor(u64 x)
{
	return bit_highest(x);
}

/* Smallest n with 1 << n >= x; x must not be 0; 64 above 1 << 63. */
static ALWAYS_INLINE u32 log2_ceil(u64 x)
{
	return bit_fls(x - 1);
}

static ALWAYS_INLINE bool is_power_of_2(u64 x)
{
	return x && !(x & (x - 1));
}

/* Number of set bits. */
static ALWAYS_INLINE u32 bit_count(u64 x)
{
	x -= (x >> 1) & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (u32)((x * 0x0101010101010101ull) >> 56);
}

#endif
