# SPDX-License-Identifier: BSD-2-Clause
# Umbra's build, top to bottom: settings, the core (hypervisor ELF), the UEFI
# image that carries it, host tests, in-guest test images, running and checking.
# build/ mirrors the tree. V=1 shows commands, DEBUG=1 builds with assertions.

# Asked before there are long options.
DRY_RUN := $(findstring n,$(firstword -$(MAKEFLAGS)))
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

VERSION := $(file <VERSION)
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
REPRODUCIBLE := '-ffile-prefix-map=$(CURDIR)=.' -fno-ident
DEFINES := -DUMBRA_VERSION=$(VERSION)

# The commands that run something install the Debian packages that are missing, here,
# before any rule is begun, -j or not; plain builds and make -n never touch the system.
NEED_DEPS := $(filter run run-% check check-all check-quick unit image usb dist stress fuzz test-% bench bench-% \
	format lint coverage check-fast,$(MAKECMDGOALS))
# Goals for which tools/deps has more packages.
DEPS_GROUPS := stress fuzz bench-chart format lint coverage check-fast
install_deps = tools/deps $(filter $(DEPS_GROUPS),$(MAKECMDGOALS))
ifneq ($(if $(DRY_RUN),,$(NEED_DEPS)),)
$(shell $(install_deps) >&2)
ifneq ($(.SHELLSTATUS),0)
$(error the packages could not be installed)
endif
endif

# umbractl for either guest, and the loader's parser for the host: tools/run needs them.
UMBRACTL := build/tools/umbractl build/tools/umbractl-i386
RUN_TOOLS := $(UMBRACTL) build/tools/check-options
# Programs that tests run inside the guest.
TEST_TOOLS := build/tools/forks build/tools/kexec build/tools/port
# EFI programs that stand between the firmware and Umbra there.
TEST_EFI := build/efi/faulty.efi

all: $(B)/umbra.efi build/compile_commands.json $(RUN_TOOLS) $(if $(filter 1,$(DEBUG)),,build/umbra.efi) ## Build the UEFI image build/umbra.efi

deps: ## Install the Debian packages that are missing
	@$(install_deps)

# Where another library has these names too, GNU-EFI's or the host's, ours are called lib_memcpy and so on.
LIB_RENAMES := -fno-builtin $(foreach f,memcpy memmove memset memcmp memchr strlen strnlen strcmp strncmp strchr \
	strrchr strcpy strncpy strstr strcat snprintf vsnprintf,-D$(f)=lib_$(f))

# --- the core: the hypervisor proper, one static ELF at CORE_VIRT_BASE -------
CORE_DIRS := lib mm mm/shadow $(if $(filter 1,$(DEBUG)),mm/witness) arch/x86 arch/x86/guest debug svm vmx
CORE_C := $(filter-out arch/x86/asm_offsets.c,$(sort $(foreach d,$(CORE_DIRS),$(wildcard $(d)/*.c))))
CORE_ASM := $(sort $(foreach d,$(CORE_DIRS),$(wildcard $(d)/*.asm)))
CORE_OBJ := $(CORE_C:%.c=$(B)/%.o) $(CORE_ASM:%.asm=$(B)/%.asm.o)
CORE_CFLAGS = -std=gnu11 -O2 -g -ffreestanding -nostdinc -isystem $(shell $(CC) -print-file-name=include) \
	-I. $(DEFINES) -mgeneral-regs-only -mno-red-zone -mcmodel=kernel -fno-pic -fno-pie \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-omit-frame-pointer \
	-fno-strict-aliasing -fcf-protection=none $(WARN) $(REPRODUCIBLE) $(if $(filter 1,$(DEBUG)),-DUMBRA_DEBUG)
CORE_LDFLAGS := -nostdlib -static -Wl,--build-id=sha1 -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -T linker.ld
# Functions are inlined across files when the core is linked, so small ones need not be in headers.
# Calls of lib/string.c are made by the compiler after that.
CORE_LTO := -flto=auto
$(B)/lib/string.o: CORE_LTO :=
CORE_LINK = $(CC) $(CORE_CFLAGS) $(CORE_LTO) $(CORE_LDFLAGS)

$(B)/%.o: %.c Makefile VERSION
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CORE_CFLAGS) $(CORE_LTO) -MMD -MP -c $< -o $@

# Structure offsets for the assembly, generated from the C definitions.
$(B)/gen/asm_offsets.inc: arch/x86/asm_offsets.c Makefile
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CORE_CFLAGS) -MMD -MP -MT $@ -MF $(@:.inc=.d) -S $< -o $(@:.inc=.s)
	$(Q)sed -n 's/.*->\([A-Za-z0-9_]*\) \$$*\([-0-9]*\).*/%define \1 \2/p' $(@:.inc=.s) >$@

CORE_ASM_OFFSETS := $(if $(wildcard arch/x86/asm_offsets.c),$(B)/gen/asm_offsets.inc)

# For what includes other files: their list comes of a run of its own, since beside an object NASM 2.16 lists no more
# than the file itself. That run knows no labels, so such files ask for none in an %if.
assemble = $(Q)$(NASM) $(1) -M -MP -MT $@ $< >$(@:.o=.d) && $(NASM) $(1) -o $@ $<

$(B)/%.asm.o: %.asm Makefile $(CORE_ASM_OFFSETS)
	$(call say,NASM,$<)
	@mkdir -p $(@D)
	$(call assemble,-f elf64 -I./ -I$(B)/gen/)

# The core is linked with an empty symbol table first, then with the table made
# from that link. Both must give the same table, or backtraces would have wrong names.
$(B)/ksyms.0.c: tools/ksyms
	@mkdir -p $(@D)
	$(Q)tools/ksyms </dev/null >$@

$(B)/ksyms.1.c: $(B)/core.0.elf tools/ksyms
	$(Q)$(NM) -n $< | tools/ksyms >$@

$(B)/ksyms.%.o: $(B)/ksyms.%.c Makefile
	$(Q)$(CC) $(CORE_CFLAGS) -c $< -o $@

$(B)/core.0.elf: $(CORE_OBJ) $(B)/ksyms.0.o linker.ld Makefile
	$(call say,LD,$@)
	$(Q)$(CORE_LINK) -o $@ $(CORE_OBJ) $(B)/ksyms.0.o

$(B)/core.elf: $(CORE_OBJ) $(B)/ksyms.1.o linker.ld Makefile
	$(call say,LD,$@)
	$(Q)$(CORE_LINK) -o $@ $(CORE_OBJ) $(B)/ksyms.1.o
	$(Q)$(NM) -n $@ | tools/ksyms | cmp - $(B)/ksyms.1.c

$(B)/core.stripped.elf: $(B)/core.elf
	$(Q)$(OBJCOPY) --strip-debug $< $@

# --- the UEFI image: boot/ built with GNU-EFI, the core inside it ------------
# lib/'s strings and printf are compiled a second time, with these flags.
EFI_C := $(sort $(wildcard boot/*.c))
EFI_ASM := $(sort $(wildcard boot/*.asm))
EFI_LIB_C := lib/printf.c lib/string.c lib/symbol_map.c lib/uart.c
EFI_OBJ := $(EFI_C:%.c=$(B)/%.o) $(EFI_ASM:%.asm=$(B)/%.asm.o) $(EFI_LIB_C:%.c=$(B)/boot-%.o)
EFI_CFLAGS := -std=gnu11 -O2 -g -fpic -fshort-wchar -ffreestanding -fno-stack-protector -mno-red-zone \
	-maccumulate-outgoing-args -fno-strict-aliasing -fcf-protection=none -fno-asynchronous-unwind-tables \
	-DEFI_FUNCTION_WRAPPER -DGNU_EFI_USE_MS_ABI $(LIB_RENAMES) $(DEFINES) \
	-I. -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 $(WARN) $(REPRODUCIBLE) $(if $(filter 1,$(DEBUG)),-DUMBRA_DEBUG)
# The guest inside the image, built below.
SELFTEST := build/selftest/selftest.bin
# GNU-EFI's start file, linker script and libraries: in /usr/lib or, newer, in a directory below it.
EFI_LIB = $(patsubst %/,%,$(dir $(shell $(CC) -print-file-name=elf_x86_64_efi.lds)))
EFI_SECTIONS := $(foreach s,.text .sdata .data .rodata .dynamic .dynsym .rel* .rela* .reloc .sbat,-j '$(s)')

$(B)/boot/%.o: boot/%.c Makefile VERSION
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) -MMD -MP -c $< -o $@

$(B)/boot-lib/%.o: lib/%.c Makefile
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) -MMD -MP -c $< -o $@

$(B)/boot/%.asm.o: boot/%.asm Makefile VERSION $(B)/core.stripped.elf $(SELFTEST)
	$(call say,NASM,$<)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf64 -I./ -DCORE_ELF='"$(B)/core.stripped.elf"' -DSELFTEST='"$(SELFTEST)"' -DUMBRA_VERSION='"$(VERSION)"' -MD $(@:.o=.d) -MP -o $@ $<

$(B)/umbra.so: $(EFI_OBJ) Makefile
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -znocombreloc -z noexecstack -shared -Bsymbolic -T $(EFI_LIB)/elf_x86_64_efi.lds \
		$(EFI_LIB)/crt0-efi-x86_64.o $(EFI_OBJ) -o $@ -L$(EFI_LIB) -lefi -lgnuefi
	@! $(NM) -u $@ | grep .

$(B)/umbra.efi: $(B)/umbra.so
	$(call say,EFI,$@)
	$(Q)SOURCE_DATE_EPOCH=0 $(OBJCOPY) $(EFI_SECTIONS) --output-target=efi-app-x86_64 $< $@

build/efi/%.so: tests/efi/%.c tests/efi/levels.asm Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) -c $< -o $(@:.so=.o)
	$(Q)$(NASM) -f elf64 -o $(@:.so=.levels.o) tests/efi/levels.asm
	$(Q)$(LD) -nostdlib -znocombreloc -z noexecstack -shared -Bsymbolic -T $(EFI_LIB)/elf_x86_64_efi.lds \
		$(EFI_LIB)/crt0-efi-x86_64.o $(@:.so=.o) $(@:.so=.levels.o) -o $@ -L$(EFI_LIB) -lefi -lgnuefi

build/efi/%.efi: build/efi/%.so
	$(Q)SOURCE_DATE_EPOCH=0 $(OBJCOPY) $(EFI_SECTIONS) --output-target=efi-app-x86_64 $< $@

# SIGN_KEY= SIGN_CERT=: signed for Secure Boot, each time anew. Without them it is the release build's file again, touched only if it differs.
build/umbra.efi: build/release/umbra.efi FORCE
	$(if $(SIGN_KEY)$(SIGN_CERT),$(call say,SIGN,$@))
	$(Q)$(if $(SIGN_KEY)$(SIGN_CERT),tools/sign '$(SIGN_KEY)' '$(SIGN_CERT)' $< $@,cmp -s $< $@ || cp $< $@)

FORCE:

# --- unit tests: the same lib/, mm/ and parser files built for the host ------
# They form one archive, so that a test takes what it needs and may replace the rest.
# UNIT_LIBS_test_x: more libraries for one test.
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/test_*.c)))
UNIT_BIN := $(UNIT_TESTS:%=build/unit/%)
UNIT_LIB_C := $(sort $(wildcard lib/*.c mm/*.c mm/shadow/*.c mm/witness/*.c)) $(filter-out tests/unit/test_% tests/unit/orders.c,$(sort $(wildcard tests/unit/*.c))) \
	$(wildcard $(foreach f,acpi_find acpi_merge bzimage details efi_map entry entry_list glob guest_map keys line_edit lines loader_config menu_model menu_view multiboot \
	multiboot_elf multiboot_image multiboot_info multiboot_info1 multiboot_info2 multiboot_write options page_tables plan ranges secure_policy selftest_text serial_option text tpm_log uart_pci uart_tables uki utf16 version,boot/$(f).c)) \
	arch/x86/acpi.c arch/x86/debug_hooks.c arch/x86/execute.c arch/x86/font.c arch/x86/memory.c arch/x86/screen.c $(filter-out %/hw.c,$(sort $(wildcard arch/x86/guest/*.c))) \
	$(filter-out debug/gdb_guest.c,$(sort $(wildcard debug/gdb*.c))) $(wildcard $(foreach f,console disassemble dump_pack format line points shared words,debug/$(f).c)) \
	$(wildcard $(foreach f,exits segments control state fast_path nmi halt,svm/$(f).c)) \
	$(wildcard $(foreach f,capability check check_guest check_report control exits halt nmi segments v8086,vmx/$(f).c))
# The core's own assembly, where the host can run it.
UNIT_LIB_ASM := build/unit/obj/arch/x86/execute.asm.o build/unit/obj/arch/x86/isr.asm.o
UNIT_LIB_OBJ := $(UNIT_LIB_C:%.c=build/unit/obj/%.o) $(UNIT_LIB_ASM)
UNIT_CFLAGS := -std=gnu11 -O1 -g -I. $(DEFINES) -DUMBRA_DEBUG -DUMBRA_HOST -fno-strict-aliasing -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all $(WARN)
build/unit/obj/lib/string.o build/unit/obj/lib/printf.o: UNIT_CFLAGS += $(LIB_RENAMES)
# It runs between the guest's vector state and its being saved.
build/unit/obj/arch/x86/execute.o: UNIT_CFLAGS += -mgeneral-regs-only

UNIT_LIBS_test_isr := -no-pie
UNIT_LIBS_test_decode := -lZydis
UNIT_LIBS_test_disassemble := -lZydis
UNIT_LIBS_test_insn_shape := -lZydis
UNIT_LIBS_test_cr3_pair := -lunicorn
UNIT_LIBS_test_bounce := -lunicorn
UNIT_LIBS_test_drop := -lunicorn -lZydis
UNIT_LIBS_test_emulate := -lunicorn
UNIT_LIBS_test_interpret_unicorn := -lunicorn
UNIT_LIBS_test_walk_unicorn := -lunicorn

build/unit/obj/%.o: %.c Makefile VERSION
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) -MMD -MP -c $< -o $@

build/unit/obj/%.asm.o: $(B)/%.asm.o
	@mkdir -p $(@D)
	$(Q)cp $< $@

build/unit/libhost.a: $(UNIT_LIB_OBJ)
	$(Q)rm -f $@
	$(Q)ar qcD $@ $^

define UNIT_RULE
build/unit/$(1): build/unit/obj/tests/unit/$(1).o build/unit/libhost.a
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(CC) -fsanitize=address,undefined $$(filter %.o %.a,$$^) -o $$@ -lcmocka $(UNIT_LIBS_$(1))
endef
# Programs of several threads, under ThreadSanitizer instead of the other two. UNIT_TSAN_test_x: the files that the threads run.
UNIT_TSAN := test_processors_threads test_shadow_threads
UNIT_TSAN_test_processors_threads := arch/x86/guest/processors.c
UNIT_TSAN_ENGINE := $(wildcard mm/*.c mm/shadow/*.c) lib/spinlock.c lib/trace.c mm/witness/model_walk.c tests/unit/vcpu.c tests/unit/smp_guest.c
UNIT_TSAN_test_shadow_threads := $(filter-out mm/phys.c,$(UNIT_TSAN_ENGINE))
UNIT_TSAN_CFLAGS = $(filter-out -fsanitize=% -fno-sanitize-recover=%,$(UNIT_CFLAGS)) -fsanitize=thread \
	-include tests/unit/host_pause.h -Wno-tsan

build/unit/tsan/%.o: %.c Makefile VERSION
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_TSAN_CFLAGS) -MMD -MP -c $< -o $@

define UNIT_TSAN_RULE
build/unit/$(1): $(patsubst %.c,build/unit/tsan/%.o,tests/unit/$(1).c tests/unit/host.c lib/spinlock.c mm/phys.c $(UNIT_TSAN_$(1)))
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(CC) -fsanitize=thread $$(filter %.o,$$^) -o $$@ -lcmocka $(UNIT_LIBS_$(1))
endef
# The same with a runtime of our own, which is a scheduler (tests/unit/orders.h).
UNIT_ORDERS := test_shadow_orders

build/unit/orders.o: tests/unit/orders.c Makefile
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -fsanitize=% -fno-sanitize-recover=%,$(UNIT_CFLAGS)) -O2 -MMD -MP -c $< -o $@

define UNIT_ORDERS_RULE
build/unit/$(1): build/unit/orders.o $(patsubst %.c,build/unit/tsan/%.o,tests/unit/$(1).c tests/unit/host.c $(UNIT_TSAN_ENGINE))
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(CC) $$(filter %.o,$$^) -o $$@ -lcmocka
endef
$(foreach t,$(filter-out $(UNIT_TSAN) $(UNIT_ORDERS),$(UNIT_TESTS)),$(eval $(call UNIT_RULE,$(t))))
$(foreach t,$(UNIT_TSAN),$(eval $(call UNIT_TSAN_RULE,$(t))))
$(foreach t,$(UNIT_ORDERS),$(eval $(call UNIT_ORDERS_RULE,$(t))))

unit-build: $(UNIT_BIN)

unit: $(UNIT_BIN) check-includes check-msrs ## Run the host unit tests
	$(CHECK) --unit-only --unit $(UNIT_BIN)

# --- coverage: the same tests once more, built for gcov, without sanitizers -------
coverage: coverage-build ## How much of the code the unit tests run, by folder; pages in build/coverage/html/
	@tools/coverage

COVERAGE_CFLAGS = $(filter-out -fsanitize=% -fno-sanitize-recover=% -O1,$(UNIT_CFLAGS)) -O1 -fno-inline --coverage
COVERAGE_OBJ := $(UNIT_LIB_C:%.c=build/coverage/obj/%.o) $(UNIT_LIB_ASM)
build/coverage/obj/lib/string.o build/coverage/obj/lib/printf.o: UNIT_CFLAGS += $(LIB_RENAMES)

build/coverage/obj/%.o: %.c Makefile VERSION
	$(call say,GCOVCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(COVERAGE_CFLAGS) -MMD -MP -c $< -o $@

build/coverage/libhost.a: $(COVERAGE_OBJ)
	$(Q)rm -f $@
	$(Q)ar qcD $@ $^

define COVERAGE_RULE
build/coverage/$(1): build/coverage/obj/tests/unit/$(1).o build/coverage/libhost.a
	$$(Q)$$(CC) --coverage $$(filter %.o %.a,$$^) -o $$@ -lcmocka $(UNIT_LIBS_$(1))
endef
$(foreach t,$(filter-out $(UNIT_ORDERS),$(UNIT_TESTS)),$(eval $(call COVERAGE_RULE,$(t))))

coverage-build: $(patsubst %,build/coverage/%,$(filter-out $(UNIT_ORDERS),$(UNIT_TESTS)))

# --- fuzzing: libFuzzer over the same host files, built by clang (tests/fuzz/) ----
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_BIN := $(FUZZ_TARGETS:%=build/fuzz/%)
FUZZ_LIB_OBJ := $(UNIT_LIB_C:%.c=build/fuzz/obj/%.o) build/fuzz/obj/tests/fuzz/fuzz.o $(UNIT_LIB_ASM)
FUZZ_CFLAGS := -std=gnu11 -O1 -g -I. $(DEFINES) -DUMBRA_DEBUG -DUMBRA_HOST -fno-strict-aliasing -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all $(WARN) \
	-Wno-unknown-attributes -Wno-unknown-pragmas # gcc has some that clang does not know
FUZZ_LIBS_fuzz_decode := -lZydis
FUZZ_LIBS_fuzz_emulate := -lunicorn
build/fuzz/obj/lib/string.o build/fuzz/obj/lib/printf.o: FUZZ_CFLAGS += $(LIB_RENAMES)

build/fuzz/obj/%.o: %.c Makefile
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

# Compiled and linked as the core is.
BENCH_MM_CC = $(CC) -std=gnu11 -O2 -g -I. -mgeneral-regs-only -fno-strict-aliasing -fno-builtin $(WARN)
build/bench/string.o: lib/string.c Makefile
	@mkdir -p $(@D)
	$(Q)$(BENCH_MM_CC) -c $< -o $@

BENCH_MM_C := tests/bench/mm.c lib/spinlock.c lib/trace.c $(sort $(wildcard mm/*.c mm/shadow/*.c))
build/bench/mm: $(BENCH_MM_C) build/bench/string.o $(wildcard mm/*.h mm/shadow/*.h lib/*.h) Makefile
	@mkdir -p $(@D)
	$(Q)$(BENCH_MM_CC) $(CORE_LTO) $(BENCH_MM_C) build/bench/string.o -o $@

bench-interpret: build/bench/interpret ## Instructions per interpreted instruction of real mode
	@for what in registers loads stores stack branches modify string flags segments locked interrupts port all frame repeat table event int; do \
		n=$$(build/bench/interpret $$what); \
		total=$$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=measure_interpret \
			build/bench/interpret $$what 2>&1 | sed -n 's/.*Collected : //p'); \
		echo "$$what: $$((total / n)) instructions"; \
	done

BENCH_INTERPRET_C := tests/bench/interpret.c lib/spinlock.c lib/trace.c lib/printf.c arch/x86/debug_hooks.c $(sort $(wildcard mm/*.c mm/shadow/*.c arch/x86/guest/interpret*.c \
	arch/x86/guest/emulate*.c arch/x86/guest/execution*.c)) $(patsubst %,arch/x86/guest/%.c,alu breakpoint debug_move debug_registers decode entry_rules inject inner_stack insn insn_encode io known \
	insn_fast insn_shape mmio segment_load task)
build/bench/interpret: $(BENCH_INTERPRET_C) build/bench/string.o $(wildcard mm/*.h mm/shadow/*.h lib/*.h arch/x86/guest/*.h) Makefile
	@mkdir -p $(@D)
	$(Q)$(BENCH_MM_CC) $(CORE_LTO) $(BENCH_INTERPRET_C) build/bench/string.o -o $@

# --- the style of the code (.clang-format, .editorconfig) ---------------------
format: ## Lay out the C code by clang-format
	@tools/lint/format --apply

# LINT='tidy shell': only these checkers (tools/lint/run).
lint: build/compile_commands.json $(CORE_OBJ) ## Static checks of C, scripts and documents; ends with "N passed, N failed"
	@tools/lint/run $(filter-out lint,$(LINT)) # make itself gives LINT the value lint

check-includes: $(CORE_OBJ) ## Check the direction of dependencies over include lines and calls
	@NM=gcc-nm tools/check-includes $(B)

# The list of MSRs in docs/ is printed from the table that the hypervisor goes by.
build/tools/msrs: tools/msrs.c arch/x86/guest/msr_table.c arch/x86/guest/msr_table.h Makefile
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O1 -I. $(WARN) $(filter %.c,$^) -o $@

docs-msrs: build/tools/msrs ## Write docs/msrs.md from the table of MSRs
	$(Q)$< >docs/msrs.md

docs-adversarial: ## Write the table of hostile guests in docs/testing.md from the tags of the tests
	@tools/adversarial-table --write

check-msrs: build/tools/msrs
	@$< | cmp - docs/msrs.md || { echo "docs/msrs.md is not what the table says: make docs-msrs"; exit 1; }

# --- guests: test images in Linux bzImage clothing (tests/guest/) -------------
GUEST_IMAGES := $(patsubst tests/guest/%.c,build/guest/%.bin,$(sort $(wildcard tests/guest/*.c)))
GUEST_LIB_OBJ := $(patsubst tests/guest/lib/%,build/guest/lib/%.o,$(sort $(wildcard tests/guest/lib/*.c tests/guest/lib/*.asm)))
GUEST_CFLAGS = -std=gnu11 -O2 -g -ffreestanding -nostdinc -isystem $(shell $(CC) -print-file-name=include) -I. \
	-mgeneral-regs-only -mno-red-zone -mcmodel=small -fno-pic -fno-pie -fno-stack-protector -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none $(WARN) $(REPRODUCIBLE)

build/guest/%.c.o: tests/guest/%.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

build/guest/%.asm.o: tests/guest/%.asm Makefile
	$(call say,NASM,$<)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf64 -I./ -MD $(@:.o=.d) -MP -o $@ $<

build/guest/%.elf: build/guest/%.c.o $(GUEST_LIB_OBJ) tests/guest/lib/guest.ld
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack -T tests/guest/lib/guest.ld \
		-o $@ $(GUEST_LIB_OBJ) $<

build/guest/%.bin: build/guest/%.elf
	$(Q)$(OBJCOPY) -O binary $< $@

# --- the self-test (selftest/): a guest image inside umbra.efi, on the runtime of the test images -------
# It has a fixed address: the loader copies it there when the firmware is gone.
SELFTEST_C := $(sort $(wildcard selftest/*.c)) mm/witness/model_walk.c arch/x86/acpi.c arch/x86/font.c lib/string.c lib/uart.c
SELFTEST_OBJ := $(filter-out %/entry.asm.o,$(GUEST_LIB_OBJ)) $(SELFTEST_C:%.c=build/selftest/%.c.o) \
	$(patsubst %.asm,build/selftest/%.asm.o,$(sort $(wildcard selftest/*.asm)) tests/guest/lib/entry.asm)

build/selftest/%.c.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

build/selftest/%.asm.o: %.asm Makefile
	$(call say,NASM,$<)
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf64 -I./ -DRELOCATABLE=0 -MD $(@:.o=.d) -MP -o $@ $<

build/selftest/selftest.elf: $(SELFTEST_OBJ) tests/guest/lib/guest.ld
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack -T tests/guest/lib/guest.ld \
		-o $@ $(SELFTEST_OBJ)

$(SELFTEST): build/selftest/selftest.elf
	$(Q)$(OBJCOPY) -O binary $< $@

# Multiboot test kernels (tests/guest/multiboot/): the version, the ELF class, a flat file
# whose header has the addresses, and one where OVMF keeps memory for itself.
MB := build/guest/multiboot
MULTIBOOT_IMAGES := $(MB)/mb1-elf32.elf $(MB)/mb1-flat.bin $(MB)/mb1-high.elf $(MB)/mb2-elf32.elf $(MB)/mb2-elf64.elf
MB_CFLAGS = $(filter-out -mcmodel=small -mno-red-zone,$(GUEST_CFLAGS))
MB_LD = $(LD) -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack -T tests/guest/multiboot/kernel.ld

$(MB)/%.32.o: tests/guest/multiboot/%.c Makefile
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MB_CFLAGS) -m32 -march=i686 -MMD -MP -c $< -o $@

$(MB)/%.64.o: tests/guest/multiboot/%.c Makefile
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MB_CFLAGS) -m64 -mno-red-zone -MMD -MP -c $< -o $@

$(MB)/entry%.o: tests/guest/multiboot/entry32.asm Makefile
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
LEGACY_IMAGES := $(foreach f,real modes code16 v86 a20 segments bios taskswitch1 taskswitch2 taskswitch3,$(LEGACY)/$(f).elf) $(LEGACY)/floppy.img

$(LEGACY)/taskswitch%.o: tests/guest/legacy/taskswitch.asm Makefile
	$(call say,NASM,$@)
	@mkdir -p $(@D)
	$(call assemble,-f elf32 -I./ -DHOW=$*)

$(LEGACY)/%.o: tests/guest/legacy/%.asm Makefile
	$(call say,NASM,$@)
	@mkdir -p $(@D)
	$(call assemble,-f elf32 -I./)

$(LEGACY)/%.elf: $(LEGACY)/%.o tests/guest/legacy/legacy.ld
	$(Q)$(LD) -m elf_i386 -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack \
		-T tests/guest/legacy/legacy.ld -o $@ $<

$(LEGACY)/%.img: tests/guest/legacy/%.asm Makefile
	$(call say,NASM,$@)
	@mkdir -p $(@D)
	$(call assemble,-f bin -I./)

guests: $(GUEST_IMAGES) $(MULTIBOOT_IMAGES) $(LEGACY_IMAGES)

# --- running -----------------------------------------------------------------
# Variables of `make run`, all optional: GUEST_CMD GUEST_MEM SMP KERNEL GUEST_KERNEL GUEST_INITRD
# GUEST_APPEND UMBRA_OPTS BARE EMU BOCHS_CPU ACCEL QEMU_EXTRA TIMEOUT MULTIBOOT MODULE APPEND FORCE ACPI (README.md
# says what they do).
RUN_VARIABLES := GUEST_CMD GUEST_MEM SMP KERNEL GUEST_KERNEL GUEST_INITRD GUEST_APPEND UMBRA_OPTS BARE EMU BOCHS_CPU ACCEL \
	QEMU_EXTRA TIMEOUT MULTIBOOT MODULE APPEND FORCE ACPI
# Passed on as written: make must not expand a $ in a guest command.
$(foreach v,$(RUN_VARIABLES),$(eval override $(v) := $$(value $(v))))
export $(RUN_VARIABLES)

# umbractl stands on no library: the same compiler makes it for either guest.
build/tools/umbractl: UMBRACTL_CFLAGS := -m64
build/tools/umbractl-i386: UMBRACTL_CFLAGS := -m32
UMBRACTL_C := tools/umbractl.c tools/umbractl_stat.c tools/umbractl_trace.c tools/umbractl_read.c
$(UMBRACTL): $(UMBRACTL_C) tools/umbractl.h tools/umbractl_read.h lib/trace_record.h Makefile
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(UMBRACTL_CFLAGS) -std=gnu11 -Os -I. -ffreestanding -nostdlib -static -fno-stack-protector -fno-pic -fno-pie -no-pie \
		-fno-asynchronous-unwind-tables -fcf-protection=none -Wl,--build-id=none -Wl,-z,noexecstack $(WARN) $(REPRODUCIBLE) -s $(UMBRACTL_C) -o $@

$(TEST_TOOLS): build/tools/%: tests/system/%.c Makefile
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -D_GNU_SOURCE $(WARN) $(REPRODUCIBLE) -static -s $< -o $@

# The loader's parser of its options, asked before an emulator starts.
build/tools/check-options: tools/check-options.c boot/options.c boot/serial_option.c boot/text.c $(wildcard boot/*.h) Makefile
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O1 -I. $(WARN) $(filter %.c,$^) -o $@

run: $(B)/umbra.efi $(RUN_TOOLS) ## Boot Debian in QEMU (EMU=bochs: in Bochs); GUEST_CMD='...' runs one command instead of a shell
	@UMBRA_EFI=$(B)/umbra.efi tools/run

SUITE ?= bookworm
run-debian: $(B)/umbra.efi $(RUN_TOOLS) ## Boot an installed Debian with systemd, from a disk made once; SUITE=trixie
	@DEBIAN=$(SUITE) UMBRA_EFI=$(B)/umbra.efi tools/run

run-bare: $(B)/umbra.efi $(RUN_TOOLS) ## The same without the hypervisor
	@UMBRA_EFI=$(B)/umbra.efi BARE=1 tools/run

# --- checking ----------------------------------------------------------------
# Both builds of the image, every test image and unit test first; then one runner counts all. JOBS=N: so many tests at
# once instead of one for each processor.
CHECK = @tests/system/run.py $(if $(JOBS),--jobs $(JOBS))

check-build: build/release/umbra.efi $(RUN_TOOLS) $(TEST_TOOLS) $(TEST_EFI) $(UNIT_BIN) guests check-includes check-msrs
	$(Q)$(MAKE) --no-print-directory DEBUG=1 build/debug/umbra.efi

# What tells of a mistake within three minutes; CI runs it before anything is booted.
check-fast: check-build build/compile_commands.json ## Build, static checks, unit tests
	$(CHECK) --unit-only --lint --unit $(UNIT_BIN)

# BOOTS=1 where the unit programs have just been run.
check: check-build build/umbra.img ## Unit tests and whole boots, side by side; JOBS=1: one by one; BOOTS=1: the boots alone
	$(CHECK) $(if $(filter 1,$(BOOTS)),,--unit $(UNIT_BIN))

check-quick: build/release/umbra.efi $(UMBRACTL) $(UNIT_BIN) check-includes ## Unit tests and one boot
	$(CHECK) --boots boots_with_256_mib_and_command_succeeds --unit $(UNIT_BIN)

# The same in another release of Debian, made in build/debian/ (tools/in-debian).
check_in = @tools/in-debian $(1) make -j$$(nproc) $(if $(filter 1,$(QUICK)),check-quick,check) $(if $(JOBS),JOBS=$(JOBS))
check-debian12: ## make check in Debian 12, whatever runs here; QUICK=1: make check-quick
	$(call check_in,bookworm)

check-debian13: ## The same in Debian 13
	$(call check_in,trixie)

check-all: check-build build/umbra.img ## The same with the tests that take long
	$(CHECK) --all --unit $(UNIT_BIN)

stress: check-build ## stress-ng in the guest with audits, three times five minutes (STRESS_SECONDS=); SMP=4
	@STRESS_SECONDS=$(STRESS_SECONDS) tests/system/stress.py

test-%: check-build build/umbra.img ## Only the system tests and unit programs with % in their names
	$(CHECK) --only $* --unit $(UNIT_BIN)

image: build/umbra.img.zst ## Make build/umbra.img for a USB stick (512 MiB, sparse), and build/umbra.img.zst; SIGN_KEY= SIGN_CERT=: signed

build/umbra.img: build/umbra.efi $(UMBRACTL) tools/make-stick $(wildcard tools/stick/*) tools/umbra-install tools/mkinitramfs tools/vm.py \
		tools/mkimage VERSION LICENSE
	$(call say,IMAGE,$@)
	$(Q)tools/make-stick $@ $(or $(KERNEL),full)

build/umbra.img.zst: build/umbra.img
	$(call say,ZSTD,$@)
	$(Q)zstd -q -f -T1 -3 $< -o $@

# DEV=/dev/sdX: the stick. FORCE=1: also a disk that is neither removable nor at USB.
usb: $(if $(DEV),build/umbra.img) ## Write build/umbra.img to a stick, DEV=/dev/sdX: shows it, asks, writes, reads back
	@tools/make-usb build/umbra.img '$(DEV)'

DIST := build/umbra-$(VERSION).tar.zst
dist: $(DIST) ## Pack the image, the stick, umbractl and the documents into build/umbra-VERSION.tar.zst

$(DIST): build/umbra.efi build/umbra.img $(UMBRACTL) $(wildcard docs/* docs/*/*) README.md LICENSE VERSION tools/make-dist tools/umbra-dump tools/umbra-install tools/umbra-trace
	$(call say,DIST,$@)
	$(Q)tools/make-dist $@ umbra-$(VERSION)

# --- the benchmark (tools/bench/, docs/performance.md) ------------------------
# BENCH_ONLY=fork,exec: only these. BENCH_BARE=1: bare again too. BENCH_APPEND: kernel parameters. PEER=kvm: KVM npt=0 instead of Umbra.
# SMP=4: the workloads of several processors, EMU=bochs: on VMX, with bench, -compare, -noise, -baseline and -doc.
BENCH_C := $(filter-out tools/bench/guest/null.c,$(sort $(wildcard tools/bench/guest/*.c)))
BENCH_CFLAGS := -std=gnu11 -O2 -D_GNU_SOURCE $(WARN) $(REPRODUCIBLE) -static -s
BENCH_GUEST := build/bench/init build/bench/null
BENCH_RUN = @UMBRA_EFI=$(B)/umbra.efi BENCH_ONLY="$(BENCH_ONLY)" BENCH_BARE="$(BENCH_BARE)" SMP="$(SMP)" EMU="$(EMU)" PEER="$(PEER)" \
	BENCH_APPEND="$(BENCH_APPEND)" tools/bench/bench

build/bench/init: $(BENCH_C) $(wildcard tools/bench/guest/*.h) Makefile
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) $(BENCH_C) -o $@

build/bench/null: tools/bench/guest/null.c Makefile
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) -nostdlib $< -o $@

build/bench/vmm: tools/bench/vmm.c Makefile
	$(call say,HOSTCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_CFLAGS) $< -o $@

bench: $(B)/umbra.efi $(BENCH_GUEST) $(if $(filter kvm,$(PEER)),build/bench/vmm) ## Measure bare and Umbra; SMP=4, PEER=kvm, EMU=bochs (VMX), BENCH_ONLY=fork,exec
	$(BENCH_RUN) $(if $(PEER),peer,run)

bench-compare: $(B)/umbra.efi $(BENCH_GUEST) ## The same, and name what moved beyond its noise against the baseline
	$(BENCH_RUN) compare

bench-noise: $(B)/umbra.efi $(BENCH_GUEST) ## How far four runs of one build differ, row by row; into tools/bench/noise.json
	$(BENCH_RUN) noise

bench-profile: $(B)/umbra.efi $(BENCH_GUEST) ## The hypervisor's instructions by function; BENCH_ONLY=fork,exec
	$(BENCH_RUN) profile

bench-baseline: ## Make the last whole run the baseline
	$(BENCH_RUN) baseline

bench-doc: ## Put the last whole run into docs/performance.md
	$(BENCH_RUN) doc

bench-chart: deps ## Draw docs/performance.svg from the baseline
	@/usr/bin/python3 tools/bench/bench chart

bench-esp: $(B)/umbra.efi ## Leave build/bench-esp/ for other benchmarks
	$(BENCH_RUN) esp

.PHONY: bench bench-compare bench-noise bench-profile bench-baseline bench-doc bench-chart bench-esp

# --- compile_commands.json for editors ---------------------------------------
json = {"directory": "$(CURDIR)"$(COMMA) "file": "$(1)"$(COMMA) "command": "$(CC) $(2) -c $(1)"}
json_all = $(foreach f,$(CORE_C),$(call json,$(f),$(CORE_CFLAGS))) \
	$(foreach f,$(EFI_C),$(call json,$(f),$(EFI_CFLAGS))) \
	$(foreach f,$(filter-out $(CORE_C),$(wildcard mm/witness/*.c)) $(wildcard tests/unit/*.c),$(call json,$(f),$(UNIT_CFLAGS)))
COMMA := ,
define NEWLINE


endef
build/compile_commands.json: Makefile $(CORE_C) $(EFI_C) $(wildcard tests/unit/*.c)
	$(shell mkdir -p $(@D))$(file >$@,[$(subst } {,}$(COMMA)$(NEWLINE){,$(strip $(json_all)))])
	@:

clean: ## Remove build/ (the downloaded kernels and build/debian/, which is root's, too)
	$(Q)rm -rf build 2>/dev/null || sudo rm -rf build

help: ## Print this list
	@sed -n 's/^\([a-z][a-z0-9%-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-24s %s\n", $$1, $$2 }'

-include $(shell find build -path 'build/debian*' -prune -o -type f -name '*.d' -print 2>/dev/null)

.PHONY: FORCE docs-msrs docs-adversarial check-msrs format lint coverage coverage-build check-fast fuzz fuzz-build mutate bench-mm bench-interpret all deps unit unit-build check-includes guests \
	run run-bare run-debian check-build check check-quick check-debian12 check-debian13 check-all stress image usb dist clean help
