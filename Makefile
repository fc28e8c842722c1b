# SPDX-License-Identifier: BSD-2-Clause
# Umbra's build, top to bottom: settings, the core (hypervisor ELF), the UEFI
# image that carries it, host tests, in-guest test images, running and checking.
# build/ mirrors the tree. V=1 shows commands, DEBUG=1 builds with assertions.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

DEBUG ?= 0
B := build/$(if $(filter 1,$(DEBUG)),debug,release)
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),@:,@printf '  %-7s %s\n' $(1) $(2))

CC := gcc
LD := ld
NM := nm
NASM := nasm
OBJCOPY := objcopy

WARN := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wno-unused-parameter
REPRODUCIBLE := -ffile-prefix-map=$(CURDIR)=. -fno-ident

# The commands that run something install the Debian packages that are missing
# before anything is compiled; plain builds never touch the system.
NEED_DEPS := $(filter run run-% check check-all unit image stress fuzz test-% bench bench-%,$(MAKECMDGOALS))
DEPS := $(if $(NEED_DEPS),deps)

all: $(B)/umbra.efi build/compile_commands.json $(if $(filter 1,$(DEBUG)),,build/umbra.efi) ## Build the UEFI image build/umbra.efi

deps: ## Install the Debian packages that are missing
	@tools/deps $(filter stress fuzz,$(MAKECMDGOALS))

# --- the core: the hypervisor proper, one static ELF at CORE_VIRT_BASE -------
CORE_DIRS := lib mm arch/x86 arch/x86/guest svm vmx debug
CORE_C := $(filter-out arch/x86/asm_offsets.c,$(sort $(foreach d,$(CORE_DIRS),$(wildcard $(d)/*.c))))
CORE_ASM := $(sort $(foreach d,$(CORE_DIRS),$(wildcard $(d)/*.asm)))
CORE_OBJ := $(CORE_C:%.c=$(B)/%.o) $(CORE_ASM:%.asm=$(B)/%.asm.o)
CORE_CFLAGS = -std=gnu11 -O2 -g -ffreestanding -nostdinc -isystem $(shell $(CC) -print-file-name=include) \
	-I. -mgeneral-regs-only -mno-red-zone -mcmodel=kernel -fno-pic -fno-pie \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-omit-frame-pointer \
	-fno-strict-aliasing -fcf-protection=none $(WARN) $(REPRODUCIBLE) $(if $(filter 1,$(DEBUG)),-DUMBRA_DEBUG)
CORE_LDFLAGS := -nostdlib -static --build-id=sha1 -z max-page-size=4096 -z noexecstack -T linker.ld

$(B)/%.o: %.c Makefile | $(DEPS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CORE_CFLAGS) -MMD -MP -c $< -o $@

# Structure offsets for the assembly, generated from the C definitions.
$(B)/gen/asm_offsets.inc: arch/x86/asm_offsets.c Makefile | $(DEPS)
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CORE_CFLAGS) -MMD -MP -MT $@ -MF $(@:.inc=.d) -S $< -o $(@:.inc=.s)
	$(Q)sed -n 's/.*->\([A-Za-z0-9_]*\) \$$*\([-0-9]*\).*/%define \1 \2/p' $(@:.inc=.s) >$@

CORE_ASM_OFFSETS := $(if $(wildcard arch/x86/asm_offsets.c),$(B)/gen/asm_offsets.inc)

$(B)/%.asm.o: %.asm Makefile $(CORE_ASM_OFFSETS) | $(DEPS)
	$(call say,NASM,$<)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf64 -I./ -I$(B)/gen/ -MD $(@:.o=.d) -MP -o $@ $<

# The core is linked with an empty symbol table first, then with the table made
# from that link.
$(B)/ksyms.0.c: tools/ksyms
	@mkdir -p $(@D)
	$(Q)tools/ksyms </dev/null >$@

$(B)/ksyms.1.c: $(B)/core.0.elf tools/ksyms
	$(Q)$(NM) -n $< | tools/ksyms >$@

$(B)/ksyms.%.o: $(B)/ksyms.%.c Makefile
	$(Q)$(CC) $(CORE_CFLAGS) -c $< -o $@

$(B)/core.0.elf: $(CORE_OBJ) $(B)/ksyms.0.o linker.ld
	$(Q)$(LD) $(CORE_LDFLAGS) -o $@ $(CORE_OBJ) $(B)/ksyms.0.o

$(B)/core.elf: $(CORE_OBJ) $(B)/ksyms.1.o linker.ld
	$(call say,LD,$@)
	$(Q)$(LD) $(CORE_LDFLAGS) -o $@ $(CORE_OBJ) $(B)/ksyms.1.o

$(B)/core.stripped.elf: $(B)/core.elf
	$(Q)$(OBJCOPY) --strip-debug $< $@

# --- the UEFI image: boot/ built with GNU-EFI, the core inside it ------------
EFI_C := $(sort $(wildcard boot/*.c))
EFI_ASM := $(sort $(wildcard boot/*.asm))
EFI_OBJ := $(EFI_C:%.c=$(B)/%.o) $(EFI_ASM:%.asm=$(B)/%.asm.o)
EFI_CFLAGS := -std=gnu11 -O2 -g -fpic -fshort-wchar -ffreestanding -fno-stack-protector -mno-red-zone \
	-maccumulate-outgoing-args -fno-strict-aliasing -fcf-protection=none -fno-asynchronous-unwind-tables \
	-DEFI_FUNCTION_WRAPPER -DGNU_EFI_USE_MS_ABI \
	-I. -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 $(WARN) $(REPRODUCIBLE)
EFI_SECTIONS := $(foreach s,.text .sdata .data .rodata .dynamic .dynsym .rel* .rela* .reloc,-j '$(s)')

$(B)/boot/%.o: boot/%.c Makefile | $(DEPS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) -MMD -MP -c $< -o $@

$(B)/boot/%.asm.o: boot/%.asm Makefile $(B)/core.stripped.elf | $(DEPS)
	$(call say,NASM,$<)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf64 -I./ -DCORE_ELF='"$(B)/core.stripped.elf"' -MD $(@:.o=.d) -MP -o $@ $<

$(B)/umbra.so: $(EFI_OBJ) Makefile
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -znocombreloc -z noexecstack -shared -Bsymbolic -T /usr/lib/elf_x86_64_efi.lds \
		/usr/lib/crt0-efi-x86_64.o $(EFI_OBJ) -o $@ -L/usr/lib -lefi -lgnuefi
	@! $(NM) -u $@ | grep .

$(B)/umbra.efi: $(B)/umbra.so
	$(call say,EFI,$@)
	$(Q)SOURCE_DATE_EPOCH=0 $(OBJCOPY) $(EFI_SECTIONS) --target=efi-app-x86_64 $< $@

build/umbra.efi: build/release/umbra.efi
	$(Q)cp $< $@

# --- unit tests: the same lib/, mm/ and parser files built for the host ------
# They form one archive, so that a test takes what it needs and may replace the rest.
# UNIT_LIBS_test_x: more libraries for one test.
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/test_*.c)))
UNIT_BIN := $(UNIT_TESTS:%=build/unit/%)
UNIT_LIB_C := $(sort $(wildcard lib/*.c mm/*.c)) $(filter-out tests/unit/test_%,$(sort $(wildcard tests/unit/*.c))) \
	$(wildcard $(foreach f,entry options bzimage guest_map multiboot multiboot_info text,boot/$(f).c)) \
	arch/x86/acpi.c $(filter-out %/hw.c,$(sort $(wildcard arch/x86/guest/*.c))) \
	$(wildcard $(foreach f,exits segments control run,svm/$(f).c)) \
	$(wildcard $(foreach f,capability check check_guest control exits segments,vmx/$(f).c))
UNIT_LIB_OBJ := $(UNIT_LIB_C:%.c=build/unit/obj/%.o)
UNIT_CFLAGS := -std=gnu11 -O1 -g -I. -DUMBRA_DEBUG -DUMBRA_HOST -fno-strict-aliasing -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all $(WARN)
# Our own string functions must not replace the host's: there they are called lib_memcpy and so on.
LIB_RENAMES := -fno-builtin $(foreach f,memcpy memmove memset memcmp memchr strlen strnlen strcmp strncmp strchr \
	strrchr strcpy strncpy strstr strcat snprintf vsnprintf,-D$(f)=lib_$(f))
build/unit/obj/lib/string.o build/unit/obj/lib/printf.o: UNIT_CFLAGS += $(LIB_RENAMES)

UNIT_LIBS_test_decode := -lZydis
UNIT_LIBS_test_ahead := -lunicorn
UNIT_LIBS_test_emulate := -lunicorn
UNIT_LIBS_test_walk_unicorn := -lunicorn

build/unit/obj/%.o: %.c Makefile | $(DEPS)
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) -MMD -MP -c $< -o $@

build/unit/libhost.a: $(UNIT_LIB_OBJ)
	$(Q)rm -f $@
	$(Q)ar qcD $@ $^

define UNIT_RULE
build/unit/$(1): build/unit/obj/tests/unit/$(1).o build/unit/libhost.a
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(CC) -fsanitize=address,undefined $$(filter %.o %.a,$$^) -o $$@ -lcmocka $(UNIT_LIBS_$(1))
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call UNIT_RULE,$(t))))

unit-build: $(UNIT_BIN)

unit: $(UNIT_BIN) check-includes ## Run the host unit tests
	@tests/system/run.py --unit-only --unit $(UNIT_BIN)

# --- fuzzing: libFuzzer over the same host files, built by clang (tests/fuzz/) ----
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_BIN := $(FUZZ_TARGETS:%=build/fuzz/%)
FUZZ_LIB_OBJ := $(UNIT_LIB_C:%.c=build/fuzz/obj/%.o) build/fuzz/obj/tests/fuzz/fuzz.o
FUZZ_CFLAGS := -std=gnu11 -O1 -g -I. -DUMBRA_DEBUG -DUMBRA_HOST -fno-strict-aliasing -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -w
FUZZ_LIBS_fuzz_decode := -lZydis
FUZZ_LIBS_fuzz_emulate := -lunicorn
build/fuzz/obj/lib/string.o build/fuzz/obj/lib/printf.o: FUZZ_CFLAGS += $(LIB_RENAMES)

build/fuzz/obj/%.o: %.c Makefile | $(DEPS)
	$(call say,CLANG,$<)
	@mkdir -p $(@D)
	$(Q)clang $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

build/fuzz/libhost.a: $(FUZZ_LIB_OBJ)
	$(Q)rm -f $@
	$(Q)ar qcD $@ $^

define FUZZ_RULE
build/fuzz/$(1): build/fuzz/obj/tests/fuzz/$(1).o build/fuzz/libhost.a
	$$(call say,HOSTLD,$$@)
	$$(Q)clang -fsanitize=fuzzer,address,undefined $$(filter %.o %.a,$$^) -o $$@ -lcmocka $(FUZZ_LIBS_$(1))
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call FUZZ_RULE,$(t))))

fuzz-build: $(FUZZ_BIN)

fuzz: $(FUZZ_BIN) ## Fuzz the walker, decoder, emulator and parsers, each FUZZ_SECONDS=60
	@tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_BIN)

mutate: $(UNIT_BIN) ## Remove each TLB flush from the shadow engine in turn; a test must fail for each
	@tests/unit/mutate

# Instructions of a walk and of a fault, counted by callgrind on the host build.
bench-mm: build/bench/mm ## Instructions per guest page-table walk and per fault handled
	@for what in walk fault; do \
		n=$$(build/bench/mm $$what); \
		total=$$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=measure_$$what \
			build/bench/mm $$what 2>&1 | sed -n 's/.*Collected : //p'); \
		echo "$$what: $$((total / n)) instructions"; \
	done

build/bench/mm: tests/bench/mm.c $(wildcard mm/*.c lib/*.c mm/*.h lib/*.h) Makefile | $(DEPS)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -g -I. -mgeneral-regs-only -fno-strict-aliasing -fno-builtin $(WARN) \
		tests/bench/mm.c $(wildcard mm/*.c) lib/string.c -o $@

check-includes: ## Check the direction of dependencies over the include lines
	@tools/check-includes

# --- guests: test images in Linux bzImage clothing (tests/guest/) -------------
GUEST_IMAGES := $(patsubst tests/guest/%.c,build/guest/%.bin,$(sort $(wildcard tests/guest/*.c)))
GUEST_LIB_OBJ := $(patsubst tests/guest/lib/%,build/guest/lib/%.o,$(sort $(wildcard tests/guest/lib/*.c tests/guest/lib/*.asm)))
GUEST_CFLAGS = -std=gnu11 -O2 -g -ffreestanding -nostdinc -isystem $(shell $(CC) -print-file-name=include) -I. \
	-mgeneral-regs-only -mno-red-zone -mcmodel=small -fno-pic -fno-pie -fno-stack-protector -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none $(WARN) $(REPRODUCIBLE)

build/guest/%.c.o: tests/guest/%.c Makefile | $(DEPS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

build/guest/%.asm.o: tests/guest/%.asm Makefile | $(DEPS)
	$(call say,NASM,$<)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf64 -I./ -MD $(@:.o=.d) -MP -o $@ $<

build/guest/%.elf: build/guest/%.c.o $(GUEST_LIB_OBJ) tests/guest/lib/guest.ld
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack -T tests/guest/lib/guest.ld \
		-o $@ $(GUEST_LIB_OBJ) $<

build/guest/%.bin: build/guest/%.elf
	$(Q)$(OBJCOPY) -O binary $< $@

# Multiboot test kernels (tests/guest/multiboot/): the version, the ELF class, a flat file
# whose header has the addresses, and one where OVMF keeps memory for itself.
MB := build/guest/multiboot
MULTIBOOT_IMAGES := $(MB)/mb1-elf32.elf $(MB)/mb1-flat.bin $(MB)/mb1-high.elf $(MB)/mb2-elf32.elf $(MB)/mb2-elf64.elf
MB_CFLAGS = $(filter-out -mcmodel=small -mno-red-zone,$(GUEST_CFLAGS))
MB_LD = $(LD) -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack -T tests/guest/multiboot/kernel.ld

$(MB)/%.32.o: tests/guest/multiboot/%.c Makefile | $(DEPS)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MB_CFLAGS) -m32 -march=i686 -MMD -MP -c $< -o $@

$(MB)/%.64.o: tests/guest/multiboot/%.c Makefile | $(DEPS)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MB_CFLAGS) -m64 -mno-red-zone -MMD -MP -c $< -o $@

$(MB)/entry%.o: tests/guest/multiboot/entry32.asm Makefile | $(DEPS)
	$(call say,NASM,$@)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f $(if $(findstring 64,$*),elf64,elf32) -DVERSION=$(if $(findstring 1,$*),1,2) \
		-DADDRESSES=$(if $(findstring flat,$*),1,0) -DLONG=$(if $(findstring 64,$*),1,0) -o $@ $<

$(MB)/mb1-elf32.elf: $(MB)/entry1.o $(MB)/kernel.32.o $(MB)/version1.32.o
$(MB)/mb1-flat.elf: $(MB)/entry1flat.o $(MB)/kernel.32.o $(MB)/version1.32.o
$(MB)/mb1-high.elf: $(MB)/entry1.o $(MB)/kernel.32.o $(MB)/version1.32.o
$(MB)/mb2-elf32.elf: $(MB)/entry2.o $(MB)/kernel.32.o $(MB)/version2.32.o
$(MB)/mb2-elf64.elf: $(MB)/entry2-64.o $(MB)/kernel.64.o $(MB)/version2.64.o

$(MB)/%.elf: tests/guest/multiboot/kernel.ld Makefile
	$(call say,LD,$@)
	$(Q)$(MB_LD) -m $(if $(findstring 64,$*),elf_x86_64,elf_i386) --defsym BASE=$(if $(findstring high,$*),0x7f0000,0x100000) \
		--defsym MORE=$(if $(findstring high,$*),0x120000,0) --defsym GAP=$(if $(filter %32 %64,$*),0x100000,0) \
		-o $@ $(filter %.o,$^)

$(MB)/mb1-flat.bin: $(MB)/mb1-flat.elf
	$(Q)$(OBJCOPY) -O binary $< $@

# Outside long mode (tests/guest/legacy/): multiboot kernels in assembly.
LEGACY := build/guest/legacy
LEGACY_IMAGES := $(foreach f,real code16 v86 a20 taskswitch1 taskswitch2 taskswitch3,$(LEGACY)/$(f).elf)

$(LEGACY)/taskswitch%.o: tests/guest/legacy/taskswitch.asm Makefile | $(DEPS)
	$(call say,NASM,$@)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf32 -I./ -DHOW=$* -MD $(@:.o=.d) -MP -o $@ $<

$(LEGACY)/%.o: tests/guest/legacy/%.asm Makefile | $(DEPS)
	$(call say,NASM,$@)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf32 -I./ -MD $(@:.o=.d) -MP -o $@ $<

$(LEGACY)/%.elf: $(LEGACY)/%.o tests/guest/legacy/legacy.ld
	$(Q)$(LD) -m elf_i386 -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack \
		-T tests/guest/legacy/legacy.ld -o $@ $<

guests: $(GUEST_IMAGES) $(MULTIBOOT_IMAGES) $(LEGACY_IMAGES)

# --- running -----------------------------------------------------------------
# Variables of `make run`, all optional: GUEST_CMD GUEST_MEM KERNEL GUEST_KERNEL GUEST_INITRD
# GUEST_APPEND UMBRA_OPTS BARE EMU BOCHS_CPU ACCEL QEMU_EXTRA TIMEOUT MULTIBOOT MODULE APPEND (README.md
# says what they do).
RUN_VARIABLES := GUEST_CMD GUEST_MEM KERNEL GUEST_KERNEL GUEST_INITRD GUEST_APPEND UMBRA_OPTS BARE EMU BOCHS_CPU ACCEL \
	QEMU_EXTRA TIMEOUT MULTIBOOT MODULE APPEND
# Passed on as written: make must not expand a $ in a guest command.
$(foreach v,$(RUN_VARIABLES),$(eval override $(v) := $$(value $(v))))
export $(RUN_VARIABLES)

# umbractl stands on no library: the same compiler makes it for either guest.
UMBRACTL := build/tools/umbractl build/tools/umbractl-i386
build/tools/umbractl: UMBRACTL_CFLAGS := -m64
build/tools/umbractl-i386: UMBRACTL_CFLAGS := -m32
$(UMBRACTL): tools/umbractl.c Makefile | $(DEPS)
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(UMBRACTL_CFLAGS) -std=gnu11 -Os -ffreestanding -nostdlib -static -fno-stack-protector -fno-pic -fno-pie -no-pie \
		-fno-asynchronous-unwind-tables -fcf-protection=none -Wl,--build-id=none -Wl,-z,noexecstack $(WARN) $(REPRODUCIBLE) -s $< -o $@

# Programs that tests run inside the guest.
build/tools/kexec build/tools/port: build/tools/%: tests/system/%.c Makefile | $(DEPS)
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -D_GNU_SOURCE $(WARN) $(REPRODUCIBLE) -static -s $< -o $@

run: $(B)/umbra.efi $(UMBRACTL) ## Boot Debian in QEMU (EMU=bochs: in Bochs); GUEST_CMD='...' runs one command instead of a shell
	@UMBRA_EFI=$(B)/umbra.efi tools/run

run-bare: $(B)/umbra.efi $(UMBRACTL) ## The same without the hypervisor
	@UMBRA_EFI=$(B)/umbra.efi BARE=1 tools/run

# --- checking ----------------------------------------------------------------
# Both builds of the image, every test image and unit test first; then one runner counts all.
check-build: build/release/umbra.efi $(UMBRACTL) build/tools/kexec build/tools/port $(UNIT_BIN) guests check-includes
	$(Q)$(MAKE) --no-print-directory DEBUG=1 build/debug/umbra.efi

check: check-build ## Unit tests, then whole boots (less than 15 minutes)
	@tests/system/run.py --unit $(UNIT_BIN)

check-all: check-build ## The same with the tests that take long
	@tests/system/run.py --all --unit $(UNIT_BIN)

stress: check-build ## stress-ng in the guest with audits, twice five minutes (STRESS_SECONDS=)
	@STRESS_SECONDS=$(STRESS_SECONDS) tests/system/stress.py

test-%: check-build ## Only the system tests and unit programs with % in their names
	@tests/system/run.py --only $* --unit $(UNIT_BIN)

image: build/umbra.img ## Make build/umbra.img, to be written to a USB stick

build/umbra.img: build/umbra.efi build/tools/umbractl tools/make-stick tools/vm.py tools/mkimage
	$(call say,IMAGE,$@)
	$(Q)tools/make-stick $@ $(or $(KERNEL),full)

# --- the benchmark (tools/bench/, docs/performance.md) ------------------------
# BENCH_ONLY=fork,exec: only these. BENCH_BARE=1: bare again too. BENCH_APPEND: kernel parameters. PEER=kvm: KVM npt=0 instead of Umbra.
BENCH_C := $(filter-out tools/bench/guest/null.c,$(sort $(wildcard tools/bench/guest/*.c)))
BENCH_CFLAGS := -std=gnu11 -O2 -D_GNU_SOURCE $(WARN) $(REPRODUCIBLE) -static -s
BENCH_GUEST := build/bench/init build/bench/null
BENCH_RUN = @UMBRA_EFI=$(B)/umbra.efi BENCH_ONLY="$(BENCH_ONLY)" BENCH_BARE="$(BENCH_BARE)" BENCH_APPEND="$(BENCH_APPEND)" tools/bench/bench

build/bench/init: $(BENCH_C) $(wildcard tools/bench/guest/*.h) Makefile | $(DEPS)
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) $(BENCH_C) -o $@

build/bench/null: tools/bench/guest/null.c Makefile | $(DEPS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) -nostdlib $< -o $@

build/bench/vmm: tools/bench/vmm.c Makefile | $(DEPS)
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) $< -o $@

bench: $(B)/umbra.efi $(BENCH_GUEST) $(if $(filter kvm,$(PEER)),build/bench/vmm) ## Measure bare and Umbra; PEER=kvm, EMU=bochs (VMX), BENCH_ONLY=fork,exec
	$(BENCH_RUN) $(if $(filter kvm,$(PEER)),kvm,$(if $(filter bochs,$(EMU)),bochs,run))

bench-compare: $(B)/umbra.efi $(BENCH_GUEST) ## The same, and name what moved more than 1% against the baseline
	$(BENCH_RUN) compare

bench-profile: $(B)/umbra.efi $(BENCH_GUEST) ## The hypervisor's instructions by function; BENCH_ONLY=fork,exec
	$(BENCH_RUN) profile

bench-baseline: ## Make the last whole run the baseline
	$(BENCH_RUN) baseline

bench-doc: ## Put the last whole run into docs/performance.md and .svg
	$(BENCH_RUN) $(if $(filter bochs,$(EMU)),bochs_doc,doc)

bench-esp: $(B)/umbra.efi ## Leave build/bench-esp/ for other benchmarks
	$(BENCH_RUN) esp

.PHONY: bench bench-compare bench-profile bench-baseline bench-doc bench-esp

# --- compile_commands.json for editors ---------------------------------------
json = {"directory": "$(CURDIR)"$(COMMA) "file": "$(1)"$(COMMA) "command": "$(CC) $(2) -c $(1)"}
json_all = $(foreach f,$(CORE_C),$(call json,$(f),$(CORE_CFLAGS))) \
	$(foreach f,$(EFI_C),$(call json,$(f),$(EFI_CFLAGS))) \
	$(foreach f,$(wildcard tests/unit/*.c),$(call json,$(f),$(UNIT_CFLAGS)))
COMMA := ,
define NEWLINE


endef
build/compile_commands.json: Makefile $(CORE_C) $(EFI_C) $(wildcard tests/unit/*.c) | $(DEPS)
	$(shell mkdir -p $(@D))$(file >$@,[$(subst } {,}$(COMMA)$(NEWLINE){,$(strip $(json_all)))])
	@:

clean: ## Remove build/ (the downloaded kernels too)
	$(Q)rm -rf build

help: ## Print this list
	@sed -n 's/^\([a-z][a-z%-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-24s %s\n", $$1, $$2 }'

-include $(shell find build -name '*.d' 2>/dev/null)

.PHONY: fuzz fuzz-build mutate bench-mm all deps unit unit-build check-includes guests run run-bare check-build check check-all stress image clean help
