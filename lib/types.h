/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fixed-width types, typed addresses and the few macros everything uses.
 * Addresses: gva (guest virtual), gpa (guest physical), hpa (host physical),
 * hva (a pointer of the hypervisor). gpa_t and hpa_t are distinct structs so
 * that the compiler refuses to mix them; gfn and pfn are their frame numbers.
 */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

typedef u64 gva_t;
typedef u64 gfn_t;
typedef u64 pfn_t;
typedef struct {
	u64 v;
} gpa_t;
typedef struct {
	u64 v;
} hpa_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE (1ull << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

static inline gpa_t gpa(u64 v)
{
	return (gpa_t){v};
}
static inline hpa_t hpa(u64 v)
{
	return (hpa_t){v};
}
static inline gpa_t gfn_to_gpa(gfn_t gfn)
{
	return (gpa_t){gfn << PAGE_SHIFT};
}
static inline hpa_t pfn_to_hpa(pfn_t pfn)
{
	return (hpa_t){pfn << PAGE_SHIFT};
}
static inline gfn_t gpa_to_gfn(gpa_t a)
{
	return a.v >> PAGE_SHIFT;
}
static inline pfn_t hpa_to_pfn(hpa_t a)
{
	return a.v >> PAGE_SHIFT;
}

#define BIT(n) (1ull << (n))
/* Bits hi..lo, both included. */
#define BITS(hi, lo) (((~0ull) >> (63 - (hi))) & ~(BIT(lo) - 1))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a) (((x) + (a)-1) & ~((a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((a)-1))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define PACKED __attribute__((packed))
#define ALIGNED(n) __attribute__((aligned(n)))

/* At any address: one access, which the processor makes whatever its alignment. */
typedef u16 u16_anywhere ALIGNED(1);
typedef u32 u32_anywhere ALIGNED(1);
typedef u64 u64_anywhere ALIGNED(1);
#define NORETURN __attribute__((noreturn))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Negative errno values, the names and numbers of POSIX. */
enum {
	EPERM = 1,
	ENOENT = 2,
	ESRCH = 3,
	EIO = 5,
	E2BIG = 7,
	EAGAIN = 11,
	ENOMEM = 12,
	EFAULT = 14,
	EBUSY = 16,
	EEXIST = 17,
	ENODEV = 19,
	EINVAL = 22,
	ENOSPC = 28,
	ERANGE = 34,
	ENOSYS = 38,
};

#endif
