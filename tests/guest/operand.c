/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions of every kind whose memory operand is a register of the local APIC,
 * which is emulated: each must do just what it does on plain memory with the same
 * contents, in its registers, flags, vector and x87 state, in what is stored and in the exception that
 * it raises. The contents are what MOV of the same width reads (QEMU's bare APIC answers 4 bytes only, others
 * with 0). Bare, the APIC itself is tried in this way.
 */
#include "tests/guest/lib/guest.h"

#define APIC 0xfee00000ull
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_SVR 0xf0
#define APIC_ESR 0x280 /* 0: nobody has written it */
#define NONE 0xffffffffu

static struct space space;

/* What an instruction leaves: rax, rcx, rdx, flags, XMM0 and XMM1, the top of the x87 stack as 80 bits. */
struct result {
	u64 rax, rcx, rdx, flags;
	u8 xmm[2][16];
	u8 st[16];
	u32 vector;
	u64 error;
};
static struct result out;
static u8 plain[4096] ALIGNED(4096);

/* Bits that hold the vector and x87 state; FXSAVE, SDM vol. 1 section 10.5.1. */
static u8 fx[512] ALIGNED(16);

#define CASE(name, text) \
	static void name(void *operand) \
	{ \
		u64 rax = 0x1234567800000005ull, rcx = 0x17, rdx = 0, flags; \
		asm volatile( \
			"fninit; pcmpeqd %%xmm0, %%xmm0; psrlw $9, %%xmm0; movdqa %%xmm0, %%xmm1; sub %%r8d, %%r8d\n" text \
			"\n\tpushfq; pop %3; fxsave64 %5" \
			: "+a"(rax), "+c"(rcx), "+d"(rdx), "=&r"(flags) \
			: "b"(operand), "m"(fx) \
			: "memory", "cc", "r8", "r9", "r10"); \
		out.rax = rax; \
		out.rcx = rcx; \
		out.rdx = rdx; \
		out.flags = flags & 0x8d5; \
	}

/* Loads: 4 bytes at most, or no more than 4 of them count. */
CASE(l_cmove, "cmp %%eax, %%eax; cmove (%%rbx), %%eax")
CASE(l_cmovne, "cmp %%eax, %%eax; cmovne (%%rbx), %%eax")
CASE(l_cmov16, "cmp %%eax, %%eax; cmove (%%rbx), %%ax")
CASE(l_imul, "imul (%%rbx), %%eax; mov $0, %%r9d; adc $0, %%r9d; cmp $0, %%r9d")
CASE(l_imul3, "imul $3, (%%rbx), %%eax; mov $0, %%r9d; adc $0, %%r9d; cmp $0, %%r9d")
CASE(l_mul, "mull (%%rbx); mov $0, %%r9d; adc $0, %%r9d; cmp $0, %%r9d")
CASE(l_mul8, "mulb (%%rbx); cmp %%eax, %%eax")
CASE(l_div, "divl (%%rbx); cmp %%eax, %%eax")
CASE(l_idiv, "idivl (%%rbx); cmp %%eax, %%eax")
CASE(l_bsf, "bsf (%%rbx), %%eax; cmp %%r8d, %%r8d")
CASE(l_bsr, "bsr (%%rbx), %%eax; cmp %%r8d, %%r8d")
CASE(l_popcnt, "popcnt (%%rbx), %%eax")
CASE(l_tzcnt, "tzcnt (%%rbx), %%eax; mov $0, %%r9d; adc $0, %%r9d; cmp $0, %%r9d")
CASE(l_crc32, "crc32l (%%rbx), %%eax")
CASE(l_crc32b, "crc32b (%%rbx), %%eax")
CASE(l_xlat, "xor %%eax, %%eax; xlatb")
CASE(l_rsp, "mov %%rsp, %%r9; cmp %%eax, %%eax; cmove (%%rbx), %%esp; mov %%esp, %%eax; mov %%r9, %%rsp")
CASE(l_shld, "mov $0xabcd, %%ecx; shldl $0, %%ecx, (%%rbx)")
CASE(l_movd, "movd (%%rbx), %%xmm0")
CASE(l_movss, "movss (%%rbx), %%xmm0")
CASE(l_mmx, "movd (%%rbx), %%mm0; movq2dq %%mm0, %%xmm0; emms")
CASE(l_pinsrw, "pinsrw $2, (%%rbx), %%xmm0")
CASE(l_pinsrd, "pinsrd $3, (%%rbx), %%xmm0")
CASE(l_insertps, "insertps $0x10, (%%rbx), %%xmm0")
CASE(l_pmovzx, "pmovzxbd (%%rbx), %%xmm0")
CASE(l_addss, "addss (%%rbx), %%xmm0")
CASE(l_cvtsi2sd, "cvtsi2sdl (%%rbx), %%xmm0")
CASE(l_comiss, "comiss (%%rbx), %%xmm0")
CASE(l_movups, "movups (%%rbx), %%xmm0; movd %%xmm0, %%eax; pxor %%xmm0, %%xmm0")
CASE(l_movaps, "movaps (%%rbx), %%xmm0; movd %%xmm0, %%eax; pxor %%xmm0, %%xmm0")
CASE(l_paddd, "paddd (%%rbx), %%xmm0; movd %%xmm0, %%eax; pxor %%xmm0, %%xmm0")
CASE(l_fild, "fildl (%%rbx)")
CASE(l_fild16, "filds (%%rbx)")
CASE(l_fld, "flds (%%rbx)")
CASE(l_fimul, "fld1; fimull (%%rbx)")
CASE(l_ficom, "fld1; ficoml (%%rbx); fnstsw %%ax")
CASE(l_fldcw, "fldcw (%%rbx); fnstcw plain+2048(%%rip); fninit; mov plain+2048(%%rip), %%ax")
CASE(l_hints, "prefetcht0 (%%rbx); clflush (%%rbx)")
CASE(l_andn, "mov %%eax, %%ecx; andn (%%rbx), %%ecx, %%eax; mov $0, %%r9d; cmp %%r9d, %%eax")
CASE(l_mulx, "mov $7, %%edx; mulx (%%rbx), %%eax, %%ecx")
CASE(l_rorx, "rorx $5, (%%rbx), %%eax")
CASE(l_vmovd, "vmovd (%%rbx), %%xmm0")
CASE(l_vmovdqu, "vmovdqu (%%rbx), %%xmm0; vmovd %%xmm0, %%eax; vpxor %%xmm0, %%xmm0, %%xmm0")
CASE(l_vbroadcast, "vbroadcastss (%%rbx), %%xmm0")
CASE(l_vpinsrd, "vpinsrd $1, (%%rbx), %%xmm1, %%xmm0")
CASE(l_vmaskmov, "vpcmpeqd %%xmm1, %%xmm1, %%xmm1; vpsrldq $12, %%xmm1, %%xmm1; vmaskmovps (%%rbx), %%xmm1, %%xmm0")

/* Faults of the instruction itself. */
CASE(f_aligned, "movaps 4(%%rbx), %%xmm0")
CASE(f_aligned_paddd, "paddd 8(%%rbx), %%xmm0")

/* Stores of 0x37 in the lowest byte; what TPR keeps of it is looked at. */
CASE(s_movd, "mov $0x37, %%eax; movd %%eax, %%xmm0; movd %%xmm0, (%%rbx)")
CASE(s_movss, "mov $0x37, %%eax; movd %%eax, %%xmm0; movss %%xmm0, (%%rbx)")
CASE(s_pextrd, "mov $0x37, %%eax; pinsrd $2, %%eax, %%xmm0; pextrd $2, %%xmm0, (%%rbx)")
CASE(s_extractps, "mov $0x37, %%eax; pinsrd $1, %%eax, %%xmm0; extractps $1, %%xmm0, (%%rbx)")
CASE(s_fist, "movl $0x37, plain+2048(%%rip); fildl plain+2048(%%rip); fistpl (%%rbx)")
CASE(s_fstp, "movl $0x37, plain+2048(%%rip); flds plain+2048(%%rip); fstps (%%rbx)")
CASE(s_mmx, "mov $0x37, %%eax; movd %%eax, %%mm0; movd %%mm0, (%%rbx); emms")
CASE(s_shld, "mov $0x70000000, %%eax; movl $3, (%%rbx); shldl $4, %%eax, (%%rbx)")
CASE(s_vmovd, "mov $0x37, %%eax; vmovd %%eax, %%xmm0; vmovd %%xmm0, (%%rbx)")
CASE(s_vmaskmov,
     "mov $0x37, %%eax; vmovd %%eax, %%xmm0; vpcmpeqd %%xmm1, %%xmm1, %%xmm1; vpsrldq $12, %%xmm1, %%xmm1; "
     "vmaskmovps %%xmm0, %%xmm1, (%%rbx)")

enum needs {
	ANY,
	AVX,
	BMI,
	AVX_UMBRA, /* QEMU's bare processor loads what the mask leaves out */
};
struct test {
	const char *name;
	void (*fn)(void *);
	enum needs needs;
	u32 width;
};
#define T(name) \
	{ \
#name, name, ANY, 4 \
	}
#define T_(name, width) \
	{ \
#name, name, ANY, width \
	}
#define A(name) \
	{ \
#name, name, AVX, 4 \
	}
#define A_(name, width) \
	{ \
#name, name, AVX, width \
	}
#define B(name) \
	{ \
#name, name, BMI, 4 \
	}

static const struct test loads[] = {
	T(l_cmove),       T(l_cmovne),      T_(l_cmov16, 2),
	T(l_imul),        T(l_imul3),       T(l_mul),
	T_(l_mul8, 1),    T(l_div),         T(l_idiv),
	T(l_bsf),         T(l_bsr),         T(l_popcnt),
	T(l_tzcnt),       T(l_crc32),       T_(l_crc32b, 1),
	T_(l_xlat, 1),    T(l_rsp),         T(l_movd),
	T(l_movss),       T(l_mmx),         T_(l_pinsrw, 2),
	T(l_pinsrd),      T(l_insertps),    T(l_pmovzx),
	T(l_addss),       T(l_cvtsi2sd),    T(l_comiss),
	T_(l_movups, 16), T_(l_movaps, 16), T_(l_paddd, 16),
	T(l_fild),        T_(l_fild16, 2),  T(l_fld),
	T(l_fimul),       T(l_ficom),       T_(l_fldcw, 2),
	T(l_hints),       B(l_andn),        B(l_mulx),
	B(l_rorx),        A(l_vmovd),       A_(l_vmovdqu, 16),
	A(l_vbroadcast),  A(l_vpinsrd),     {"l_vmaskmov", l_vmaskmov, AVX_UMBRA, 4},
	T(l_shld),        T(f_aligned),     T(f_aligned_paddd),
};
static const struct test stores[] = {
	T(s_movd), T(s_movss), T(s_pextrd), T(s_extractps), T(s_fist),
	T(s_fstp), T(s_mmx),   T(s_shld),   A(s_vmovd),     A(s_vmaskmov),
};

static bool has_avx, has_bmi;
/* The machine gives up at an access to the APIC of more than 4 bytes and at a store of fewer (Bochs). */
static bool narrow;

static volatile u32 *apic(u32 offset)
{
	return (volatile u32 *)(APIC + offset);
}

static struct result run(void (*fn)(void *), u64 operand)
{
	out = (struct result){.vector = NONE};
	for (u32 i = 0; i < sizeof(fx); i++)
		fx[i] = 0;
	if (guarded(fn, (void *)operand)) {
		out.vector = caught.vector;
		out.error = caught.error;
		return out;
	}
	for (u32 i = 0; i < 16; i++) {
		out.xmm[0][i] = fx[160 + i];
		out.xmm[1][i] = fx[176 + i];
		out.st[i] = i < 10 ? fx[32 + i] : 0;
	}
	return out;
}

static bool same(const struct result *a, const struct result *b)
{
	for (u32 i = 0; i < sizeof(*a); i++)
		if (((const u8 *)a)[i] != ((const u8 *)b)[i])
			return false;
	return true;
}

static bool is_there(const struct test *t)
{
	if (narrow && t->width > 4)
		return false;
	switch (t->needs) {
	case AVX: return has_avx;
	case BMI: return has_bmi;
	case AVX_UMBRA: return has_avx && under_umbra();
	default: return true;
	}
}

static void compare(const struct test *t, const struct result *device, const struct result *memory)
{
	check(same(device, memory), t->name,
	      "vector %x error %lx rax %lx rdx %lx flags %lx, should be %x %lx %lx %lx %lx", device->vector,
	      device->error, device->rax, device->rdx, device->flags, memory->vector, memory->error, memory->rax,
	      memory->rdx, memory->flags);
}

static void copy_register(u32 offset, u32 width)
{
	volatile u8 *from = (volatile u8 *)(APIC + offset);
	u8 *to = plain + offset;

	switch (width) {
	case 1: *to = *from; break;
	case 2: *(u16 *)to = *(volatile u16 *)from; break;
	case 4: *(u32 *)to = *(volatile u32 *)from; break;
	default:
		for (u32 i = 0; i < width; i += 8)
			*(u64 *)(to + i) = *(volatile u64 *)(from + i);
	}
}

static void check_load(const struct test *t, u32 offset)
{
	struct result device, memory;

	copy_register(offset, t->width);
	device = run(t->fn, APIC + offset);
	memory = run(t->fn, (u64)(uintptr_t)plain + offset);
	compare(t, &device, &memory);
}

static void check_store(const struct test *t)
{
	struct result device, memory;
	u32 kept;

	*apic(APIC_TPR) = 0;
	*(u32 *)(plain + APIC_TPR) = 0;
	device = run(t->fn, APIC + APIC_TPR);
	memory = run(t->fn, (u64)(uintptr_t)plain + APIC_TPR);
	compare(t, &device, &memory);
	kept = *apic(APIC_TPR);
	check(kept == *(u32 *)(plain + APIC_TPR) && kept == 0x37, "and what is stored arrives", "TPR is %x", kept);
	*apic(APIC_TPR) = 0;
}

/* --- what the control registers forbid -------------------------------------------------- */
#define CR0_TS_BIT (1ull << 3)
#define CR0_EM_BIT (1ull << 2)

static u64 read_cr0_now(void)
{
	u64 v;

	asm volatile("mov %%cr0, %0" : "=r"(v));
	return v;
}
static void write_cr0_now(u64 v)
{
	asm volatile("mov %0, %%cr0" : : "r"(v));
}
static void bare_movd(void *operand)
{
	asm volatile("movd (%0), %%xmm0" : : "b"(operand) : "memory");
}
static void bare_fild(void *operand)
{
	asm volatile("fildl (%0)" : : "b"(operand) : "memory");
}
static void bare_vmovd(void *operand)
{
	asm volatile("vmovd (%0), %%xmm0" : : "b"(operand) : "memory");
}

/* QEMU's bare processor executes it. */
static void locked_imul(void *operand)
{
	asm volatile(".byte 0xf0, 0x0f, 0xaf, 0x03" : : "b"(operand) : "memory", "eax");
}

static void forbidden(const char *name, void (*fn)(void *), u32 vector)
{
	bool raised = guarded(fn, (void *)(APIC + APIC_VERSION));

	check(raised && caught.vector == vector, name, "%u, vector %u", raised, caught.vector);
}

static void check_forbidden(void)
{
	u64 cr0 = read_cr0_now(), cr4 = read_cr4();

	if (under_umbra())
		forbidden("LOCK IMUL is #UD", locked_imul, VEC_UD);
	write_cr0_now(cr0 | CR0_TS_BIT);
	forbidden("MOVD with CR0.TS is #NM", bare_movd, VEC_NM);
	forbidden("FILD with CR0.TS is #NM", bare_fild, VEC_NM);
	write_cr0_now(cr0 | CR0_EM_BIT);
	forbidden("MOVD with CR0.EM is #UD", bare_movd, VEC_UD);
	forbidden("FILD with CR0.EM is #NM", bare_fild, VEC_NM);
	write_cr0_now(cr0);
	write_cr4(cr4 & ~CR4_OSFXSR);
	forbidden("MOVD without CR4.OSFXSR is #UD", bare_movd, VEC_UD);
	write_cr4(cr4 & ~CR4_OSXSAVE);
	if (has_avx)
		forbidden("VMOVD without CR4.OSXSAVE is #UD", bare_vmovd, VEC_UD);
	write_cr4(cr4);
}

/* --- x87 pointers: the guest's, not the hypervisor's ------------------------------------- */
static u32 env[7]; /* FNSTENV, SDM vol. 1 figure 8-9: FIP is the fourth, FDP the sixth */

/* QEMU's FLDENV leaves the pointers alone, so that they cannot be given back. */
static bool pointers_can_be_loaded(void)
{
	asm volatile("fninit; fildl %1; fnstenv %0" : "+m"(env) : "m"(plain));
	env[3] = 0x123456;
	asm volatile("fldenv %0; fnstenv %0; fninit" : "+m"(env));
	return env[3] == 0x123456;
}

static void check_x87_pointers(void)
{
	u64 at;

	if (!pointers_can_be_loaded()) {
		print("NOTE: FLDENV loads no pointers here\n");
		return;
	}
	asm volatile("fninit\n\tlea 1f(%%rip), %0\n1:\tfildl (%2)\n\tfnstenv %1; fninit"
		     : "=&r"(at), "+m"(env)
		     : "r"(APIC + APIC_VERSION)
		     : "memory");
	check((env[3] == (u32)at || !env[3]) && (env[5] == (u32)(APIC + APIC_VERSION) || !env[5]),
	      "the x87 pointers are the guest's or none", "FIP %x FDP %x", env[3], env[5]);
}

/* FXSAVE64 has both pointers whole, SDM vol. 1 table 10-2. */
static u64 *const fx_fip = (u64 *)(fx + 8), *const fx_fdp = (u64 *)(fx + 16);

#define CONTROL(name, text) \
	static void name(u64 operand) \
	{ \
		asm volatile(text "; fxsave64 %0" : "+m"(fx) : "b"(operand) : "memory"); \
	}
CONTROL(c_fldcw, "fldcw (%%rbx)")
CONTROL(c_fnstcw, "fnstcw (%%rbx)")
CONTROL(c_fnstsw, "fnstsw (%%rbx)")

/*
 * Both pointers of an FILD lie above 4 GiB; what works on the APIC afterwards sets none. FXSAVE saves them
 * with an exception pending only on some processors (APM vol. 2 section 11.4.4), QEMU never.
 */
static void check_wide_pointers(void)
{
	static void (*const controls[])(u64) = {c_fldcw, c_fnstcw, c_fnstsw};
	static const char *const names[] = {"FLDCW leaves the x87 pointers whole",
					    "FNSTCW leaves the x87 pointers whole",
					    "FNSTSW leaves the x87 pointers whole"};
	static u8 code[4096] ALIGNED(4096) = {0xdb, 0x07, 0xc3}; /* FILD [RDI]; RET */
	const u64 at = TEST_VA, operand = TEST_VA + 0x1000;

	space_map(&space, at, (u64)(uintptr_t)code, PTE_P, 1);
	space_map(&space, operand, (u64)(uintptr_t)plain, PTE_P | PTE_W, 1);
	for (u32 i = 0; i < (narrow ? 1 : ARRAY_SIZE(controls)); i++) {
		u64 fip, fdp;

		asm volatile("fninit; call *%1; fxsave64 %0" : "+m"(fx) : "r"(at), "D"(operand) : "memory");
		fip = *fx_fip;
		fdp = *fx_fdp;
		if (fip != at) {
			print("NOTE: FXSAVE64 saves no pointers here\n");
			return;
		}
		controls[i](APIC + APIC_TPR);
		check(*fx_fip == fip && *fx_fdp == fdp, names[i], "FIP %lx FDP %lx, were %lx and %lx", *fx_fip,
		      *fx_fdp, fip, fdp);
	}
	*apic(APIC_TPR) = 0;
	asm volatile("fninit");
}

static void find_features(void)
{
	u64 cr4 = (read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT) & ~(CR4_SMEP | CR4_SMAP);

	has_avx = (cpuid(1, 0).c >> 26 & 5) == 5; /* XSAVE, AVX */
	has_bmi = has_avx && (cpuid(7, 0).b >> 3 & 1) && (cpuid(7, 0).b >> 8 & 1);
	if (has_avx)
		cr4 |= CR4_OSXSAVE;
	write_cr4(cr4);
	if (has_avx)
		asm volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
	write_cr0_now((read_cr0_now() | CR0_MP | CR0_NE) & ~(CR0_TS_BIT | CR0_EM_BIT));
	print("NOTE: AVX %u, BMI %u\n", has_avx, has_bmi);
}

void run_tests(void)
{
	space = space_new();
	space_load(&space);
	find_features();
	narrow = option("narrow", 0);
	*apic(APIC_SVR) = 0x1ff;
	for (u32 i = 0; i < ARRAY_SIZE(loads); i++)
		if (is_there(&loads[i]))
			check_load(&loads[i], APIC_VERSION);
	check_load(&(const struct test){"DIV by zero", l_div, ANY, 4}, APIC_ESR);
	check_load(&(const struct test){"BSF of zero", l_bsf, ANY, 4}, APIC_ESR);
	for (u32 i = 0; i < ARRAY_SIZE(stores); i++)
		if (is_there(&stores[i]))
			check_store(&stores[i]);
	check_forbidden();
	check_x87_pointers();
	check_wide_pointers();
}
