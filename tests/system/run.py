#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the tests that `make check` counts: the unit test programs given with --unit and,
unless --unit-only, whole boots: one emulator per test, killed at its timeout, its serial log
kept in build/logs/. Prints PASS: or FAIL: for each test and ends with "N passed, N failed".

run.py [--unit PROGRAM...] [--unit-only] [--all] [--only WORD] [--list]

A test is a function named test_*; its name says what must hold and it raises Failure if that
does not. Those marked @slow run only with --all (make check-all)."""
import argparse
import functools
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../.."
sys.path.insert(0, ROOT + "/tools")
os.chdir(ROOT)
import bochs  # noqa: E402
import isolation  # noqa: E402
import vm  # noqa: E402

RELEASE = "build/release/umbra.efi"
DEBUG = "build/debug/umbra.efi"
DATA_DISK = "build/test-data.img"
LOGS = "build/logs"
BOOT_TIMEOUT = 300
BOCHS_TIMEOUT = 900
FIRMWARE_TIMEOUT = 60
# What a guest image of tests/guest writes to the debug exit port: QEMU ends with twice that plus 1.
IMAGE_PASSED = 0x10 * 2 + 1
# The firmware's own words when a boot option gave up.
BACK_IN_FIRMWARE = rb"BdsDxe: failed to start|BdsDxe: No bootable|UEFI Interactive Shell|Start PXE|Boot Failed"


class Failure(Exception):
    pass


def require(condition, reason):
    if not condition:
        raise Failure(reason)


def slow(test):
    test.slow = True
    return test


# --- booting -------------------------------------------------------------------

def log_path(name):
    return f"{LOGS}/{name}.log"


def boot(name, machine, timeout=BOOT_TIMEOUT, until=None):
    return vm.run(machine, timeout, until=until, log=log_path(name))


def debian(kind="cloud", **settings):
    kernel = vm.fetch_kernel(kind)
    settings.setdefault("efi", RELEASE)
    return vm.Machine(kernel=kernel + "/vmlinuz", initrds=[vm.initramfs(kernel)], **settings)


def run_command(name, machine, status=0, timeout=BOOT_TIMEOUT):
    result = boot(name, machine, timeout)
    require(result.panic is None, f"Bochs gave up: {result.panic}")
    require(not result.timed_out, f"did not end within {timeout} s")
    require(result.status is not None, "the guest ended without the command's status")
    require(result.status == status, f"the command's status is {result.status}, not {status}")
    return result


def data_disk():
    """16 MiB of noise, the same every time, on a disk of its own; returns its SHA-256."""
    data = random.Random(2).randbytes(16 << 20)
    if not os.path.exists(DATA_DISK):
        with open(DATA_DISK, "wb") as file:
            file.write(data)
    return hashlib.sha256(data).hexdigest()


DATA_DRIVE = ["-drive", f"file={DATA_DISK},format=raw,if=none,id=data,snapshot=on"]
# The devices of one inspection: the name of the disk in the guest and QEMU's arguments.
DEVICES = {
    "cloud": ("vdb", DATA_DRIVE + ["-device", "virtio-blk-pci,drive=data"]),
    "full": ("sda", DATA_DRIVE + ["-device", "ahci,id=ahci", "-device", "ide-hd,drive=data,bus=ahci.0",
                                  "-netdev", "user,id=n1,restrict=on", "-device", "e1000,netdev=n1,romfile="]),
}
INSPECT = """
section() { printf '\\n== %s\\n' "$1"; }
section uname; uname -a
section stats; umbractl stats
section efivars; ls /sys/firmware/efi/efivars
section disk; sha256sum /dev/DISK
section rtc; cat /sys/class/rtc/rtc0/name; date -u +%Y; hwclock -u -r
section net
for n in /sys/class/net/eth*; do
	i=${n##*/}
	ip link set $i up; ip addr add 10.0.2.15/24 dev $i
	sleep 1; ping -c 2 -W 5 -I $i 10.0.2.2 >/dev/null && echo "$i answers"
	ip link set $i down; ip addr flush dev $i
done
section dmesg; dmesg -r
section end
exit 7
"""


@functools.lru_cache(maxsize=None)
def inspect(kind, bare):
    """One boot that looks at everything; its sections by name. It ends with status 7."""
    data_disk()
    disk, devices = DEVICES[kind]
    name = f"inspect-{kind}-{'bare' if bare else 'umbra'}"
    machine = debian(kind, umbra="bare" if bare else "", command=INSPECT.replace("DISK", disk), extra=devices)
    result = run_command(name, machine, status=7)
    sections = re.split(r"\n== (\w+)\n", "\n" + result.output.decode(errors="replace"))
    found = dict(zip(sections[1::2], sections[2::2]))
    found["serial"] = result.text
    return found


def counters(text):
    return {m.group(1).strip(): int(m.group(2)) for m in re.finditer(r"^(\S.*?)\s+(\d+)$", text, re.M)}


def counter(text, word):
    values = [value for name, value in counters(text).items() if word in name]
    require(values, f"umbractl shows no counter named {word}")
    return values[0]


# --- Debian boots --------------------------------------------------------------

def check_boot(kind):
    seen = inspect(kind, False)
    require("shadow paging, no NPT" in seen["serial"], "the boot log lacks 'shadow paging, no NPT'")
    require(f"{kind}-amd64" in seen["uname"] or kind == "full", "uname shows another kernel")
    require(counter(seen["stats"], "walks") > 0, "umbractl counts no walks")
    require("end" in seen, "the command did not reach its end")


def test_cloud_kernel_boots_and_command_status_is_passed_on():
    check_boot("cloud")


def test_full_kernel_boots():
    check_boot("full")


WARNING = re.compile(r"WARNING:|BUG:|Oops|Call Trace|general protection|invalid opcode|unchecked MSR|Hardware Error")


# Clocks compared with each other while the emulator shares its processor with others: these
# come and go on the bare emulator too.
TIMING = re.compile(r"^(tsc: |clocksource: |APIC calibration|hpet: |sched_clock: )")


def warnings(dmesg):
    """Messages of level warning and worse, without time stamps, numbers and what depends on timing."""
    found = {}
    for line in dmesg.splitlines():
        match = re.match(r"<(\d+)>(?:\[[ .\d]*\] ?)?(.*)", line)
        if match and (int(match.group(1)) % 8 <= 4 or WARNING.search(match.group(2))) and not TIMING.match(match.group(2)):
            found[re.sub(r"(0x)?[0-9a-f]*\d[0-9a-f]*", "#", match.group(2))] = match.group(2)
    return found


def check_dmesg(kind):
    bare, umbra = warnings(inspect(kind, True)["dmesg"]), warnings(inspect(kind, False)["dmesg"])
    new = [line for key, line in umbra.items() if key not in bare]
    require(not new, "messages that the bare boot does not show: " + " | ".join(new))


def test_dmesg_of_cloud_kernel_has_no_warning_that_bare_does_not_show():
    check_dmesg("cloud")


def test_dmesg_of_full_kernel_has_no_warning_that_bare_does_not_show():
    check_dmesg("full")


def test_efi_variables_are_listed_as_on_bare():
    bare, umbra = (set(inspect("cloud", mode)["efivars"].split()) for mode in (True, False))
    require(umbra, "no EFI variable is listed")
    require(umbra == bare, f"the list differs: {sorted(umbra ^ bare)}")


def test_virtio_disk_reads_as_on_bare():
    expected = data_disk()
    for mode in (True, False):
        require(expected in inspect("cloud", mode)["disk"], f"checksum differs{' bare' if mode else ''}")


def test_ahci_disk_reads_as_on_bare():
    expected = data_disk()
    for mode in (True, False):
        require(expected in inspect("full", mode)["disk"], f"checksum differs{' bare' if mode else ''}")


def test_virtio_network_card_answers():
    require("eth0 answers" in inspect("cloud", False)["net"], "no answer from the gateway")


def test_e1000_and_virtio_network_cards_answer():
    require(inspect("full", False)["net"].count("answers") == 2, "no answer from the gateway")


def test_rtc_reads():
    seen = inspect("cloud", False)["rtc"]
    require("rtc_cmos" in seen and time.strftime("%Y", time.gmtime()) in seen, f"the clock reads {seen!r}")


def test_boots_with_256_mib_and_command_succeeds():
    result = run_command("mem-256M", debian(memory="256M", command="uname -a; umbractl stats -0; umbractl version"))
    require(b"walks" in result.output and b"interface version" in result.output, "umbractl printed nothing")


def test_boots_with_8_gib():
    result = run_command("mem-8G", debian(memory="8G", command="grep MemTotal /proc/meminfo"))
    total = int(re.search(rb"(\d+) kB", result.output).group(1))
    require(total > 7 << 20, f"the guest has {total} KiB")


def test_full_kernel_boots_with_256_mib():
    run_command("full-256M", debian("full", memory="256M", command="uname -a; umbractl stats"))


@slow
def test_full_kernel_boots_with_8_gib():
    run_command("full-8G", debian("full", memory="8G", command="uname -a; umbractl stats"))


# Forks, execs, mappings and copies, and many address spaces at once, with busybox alone.
BUSY = """
for i in $(seq 60); do sleep 1000 & done
i=0; while [ $i -lt 40 ]; do (true | cat /proc/self/maps | sha1sum >/dev/null); i=$((i + 1)); done
dd if=/dev/zero of=/tmp/f bs=1M count=8 2>/dev/null; tail -c 8000000 /tmp/f | wc -c; rm /tmp/f
killall sleep
umbractl stats
"""


def test_debug_build_audits_without_a_mismatch():
    result = run_command("audit", debian(efi=DEBUG, umbra="audit=1000", command=BUSY))
    text = result.output.decode()
    require(counter(text, "audits") > 0, "no audit ran")
    require(counter(text, "audit_errors") == 0, "shadow_audit found mismatches")


def test_small_shadow_pool_reclaims_and_audits_without_a_mismatch():
    result = run_command("small-pool", debian(efi=DEBUG, umbra="audit=1000 shadow=2M", command=BUSY))
    text = result.output.decode()
    require(counter(text, "reclaims") > 0, "nothing was reclaimed")
    require(counter(text, "audit_errors") == 0, "shadow_audit found mismatches")


@slow
def test_hung_guest_is_ended_at_the_timeout_with_status_124():
    machine = debian(command="echo started; sleep 1000")
    result = boot("hung", machine, timeout=60)
    require(result.status == 124, f"the status is {result.status}")
    require(b"started" in result.output, "the command's output is lost")


# --- boot errors: one clear line, then back to the firmware ---------------------

def check_error(name, machine, *patterns):
    """The line must come, then the firmware must speak again; no kernel may start."""
    result = boot(name, machine, FIRMWARE_TIMEOUT, until=b"(?s)umbra: error:.*(" + BACK_IN_FIRMWARE + b")")
    text = result.text
    for pattern in patterns:
        require(re.search(pattern, text, re.I), f"the serial log has no line like {pattern!r}")
    require("Linux version" not in text, "the kernel started")
    require(re.search(BACK_IN_FIRMWARE, result.serial), "the firmware did not get control back")


def test_error_cpu_without_svm():
    check_error("error-no-svm", debian(cpu="max,-svm"), r"umbra: error: .*(SVM|virtuali[sz]ation)")


def test_error_too_little_memory():
    check_error("error-memory", debian(umbra="pool=900M"), r"umbra: error: .*memory")


def test_error_pool_too_small_for_the_memory():
    check_error("error-pool", debian(memory="1G", umbra="pool=2M"), r"umbra: error: pool= is too small.*pool=\d+M")


def test_error_no_entry():
    check_error("error-no-entry", debian(entry=""), r"umbra: error: .*entr(y|ies)")


def test_error_missing_kernel():
    check_error("error-no-kernel", debian(entry="title x\nlinux /nowhere\n"), r"umbra: error: .*nowhere")


def test_error_truncated_kernel():
    machine = debian()
    with open(machine.kernel, "rb") as file:
        data = file.read()
    machine.kernel = "build/truncated"
    with open(machine.kernel, "wb") as file:
        file.write(data[:len(data) // 2])
    check_error("error-truncated", machine, r"umbra: error: .*cut off")


def test_error_unknown_key():
    check_error("error-key", debian(entry="title x\nlinux /kernel\ncolour blue\n"), r"umbra: error: .*colour")


def test_error_unknown_hypervisor_option():
    check_error("error-option", debian(umbra="frobnicate=1"), r"umbra: error: .*frobnicate")


# --- the build --------------------------------------------------------------------

@slow
def test_image_builds_to_the_same_bytes_in_another_directory():
    with tempfile.TemporaryDirectory() as work:
        copy = work + "/a-directory-with-another-name"
        shutil.copytree(".", copy, ignore=shutil.ignore_patterns("build", ".git"))
        environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        subprocess.run(["make", "-s", "-C", copy, "build/umbra.efi"], check=True, stdout=subprocess.DEVNULL,
                       env=environment)
        with open(RELEASE, "rb") as ours, open(copy + "/build/umbra.efi", "rb") as theirs:
            require(ours.read() == theirs.read(), "the images differ")


# --- in-guest images of our own -------------------------------------------------

def run_image(name, bare):
    """Boots build/guest/NAME.bin; its own PASS: and FAIL: lines are counted one by one."""
    where = "bare" if bare else "umbra"
    machine = vm.Machine(kernel=f"build/guest/{name}.bin", options="ram_mib=512", umbra="bare" if bare else "", memory="512M")
    judge_image(f"{name}[{where}]", boot(f"image-{name}-{where}", machine, timeout=120))


def judge_checks(label, result):
    """Counts the image's own checks; returns whether all passed."""
    checks = {}  # a check made many times counts once
    for verdict, text in re.findall(r"^(PASS|FAIL): (.*?)\s*$", result.text, re.M):
        check, _, detail = text.partition(" - ")
        if verdict == "FAIL" or check not in checks:
            checks[check] = None if verdict == "PASS" else detail or "see the serial log"
    for check, reason in checks.items():
        report(f"{label}: {check}", reason)
    require(checks, "the image printed no result")
    require(not result.timed_out, "the image did not end")
    return not any(checks.values())


def judge_image(label, result):
    if judge_checks(label, result):
        require(result.exit == IMAGE_PASSED, f"the emulator's status is {result.exit}")


def image_tests():
    """A test per image and place; the bare machine is the oracle for the hypervisor."""
    tests = {}
    for source in sorted(os.listdir("tests/guest")):
        if source.endswith(".c") and source != "rights.c":  # it has tests of its own
            name = source[:-2]
            for bare in (True, False):
                test = functools.partial(run_image, name, bare)
                test.slow = False
                tests[f"image_{name}_{'bare' if bare else 'under_umbra'}_runs_to_its_end"] = test
    return tests


# --- every combination of page-table and control bits -----------------------------

# One of how many cases `make check` tries; the same ones everywhere, so that runs compare.
RIGHTS_SAMPLE = 40
RIGHTS_END = rb"END: (\d+) failures|the hypervisor has stopped"


def boot_rights(emulator, bare, sample, options=""):
    where = f"{emulator}-{'bare' if bare else 'umbra'}"
    machine = vm.Machine(kernel="build/guest/rights.bin", options=f"sample={sample} {options}", memory=bochs.DEFAULT_MEMORY,
                         umbra="bare" if bare else "", emulator=emulator)
    timeout = 300 if sample > 1 else 3000
    return f"rights[{where}]", boot(f"rights-{where}-{sample}{'-cases' if options else ''}", machine, timeout, RIGHTS_END)


@functools.lru_cache(maxsize=None)
def rights(emulator, bare, sample):
    """The blocks of one run, by what they enumerate: (number, cases and hash)."""
    label, result = boot_rights(emulator, bare, sample)
    lines = result.text.splitlines() or [""]
    require(re.match("END: ", lines[-1]), f"the image did not end; its last line is {lines[-1]!r} {result.panic or ''}")
    judge_checks(label, result)
    blocks = re.findall(r"^rights (\d+) ([^:]*): (n=\d+ hash=\w+)$", result.text, re.M)
    require(blocks, "no block was enumerated")
    return {what: (int(number), cases) for number, what, cases in blocks}


def rights_cases(emulator, bare, sample, block):
    _, result = boot_rights(emulator, bare, sample, f"verbose={block}")
    return re.findall(r"^case (.*)$", result.text, re.M)


def compare_rights(sample, emulator, bare_emulator):
    """Every block must be the same (an emulator without LA57 has fewer); of one that is not, its first different
    case is told."""
    bare, umbra = rights(bare_emulator, True, sample), rights(emulator, False, sample)
    more, fewer = umbra.keys() - bare.keys(), bare.keys() - umbra.keys()
    require(not more and (not fewer or emulator != bare_emulator), f"other blocks: {sorted(more | fewer)}")
    different = sorted((umbra[what][0], what) for what in umbra if bare[what][1] != umbra[what][1])
    if different:
        block, what = different[0]
        runs = rights_cases(bare_emulator, True, sample, block), rights_cases(emulator, False, sample, block)
        first = next((pair for pair in zip(*runs) if pair[0] != pair[1]), ("the same cases", "when asked again"))
        raise Failure(f"{len(different)} blocks differ, the first is {block}, {what}: bare {first[0]} | Umbra {first[1]}")


def test_rights_in_every_paging_mode_are_as_on_bare():
    compare_rights(RIGHTS_SAMPLE, "qemu", "qemu")


def test_rights_in_every_paging_mode_are_as_on_bare_in_bochs_on_vmx():
    compare_rights(RIGHTS_SAMPLE, "bochs", "qemu")


@slow
def test_every_case_of_rights_in_every_paging_mode_is_as_on_bare():
    compare_rights(1, "qemu", "qemu")


@slow
def test_every_case_of_rights_in_every_paging_mode_is_as_on_bare_in_bochs_on_vmx():
    compare_rights(1, "bochs", "qemu")


@slow
def test_rights_in_every_paging_mode_on_vmx_are_as_on_bare_bochs():
    compare_rights(RIGHTS_SAMPLE, "bochs", "bochs")


# --- VMX in Bochs ---------------------------------------------------------------

# Without it the kernel's memmove fails on these models, bare too: docs/hardware.md.
BOCHS_OPTIONS = {"corei7_icelake_u": "cpuid=-fsrm", "tigerlake": "cpuid=-fsrm"}


def bochs_debian(model, **settings):
    settings["umbra"] = " ".join([BOCHS_OPTIONS.get(model, ""), settings.get("umbra", "")]).strip()
    return debian(emulator="bochs", bochs_cpu=model, memory=bochs.DEFAULT_MEMORY, **settings)


def check_bochs(model):
    """Boots, runs a command that ends with status 3 and powers off."""
    result = run_command(f"bochs-{model}", bochs_debian(model, command="uname -r; umbractl stats; exit 3"), status=3,
                         timeout=BOCHS_TIMEOUT)
    text = result.output.decode(errors="replace")
    require("VMX: " in result.text and "shadow paging, no EPT" in result.text, "the boot log does not name VMX")
    require(re.search(bochs.HALTED, result.serial), "the guest did not power off")
    require("cloud-amd64" in text, "uname shows another kernel")
    require(counter(text, "walks") > 0, "umbractl counts no walks")
    require(counter(text, "exit_unknown") == 0 and counter(text, "exit_invalid_state") == 0, "there were strange exits")
    oops = re.search(r"BUG:|Oops|Kernel panic|general protection", result.text)
    require(not oops, f"the kernel's log has {oops and oops.group(0)}")


def test_cloud_kernel_boots_in_bochs_on_vmx_and_powers_off():
    check_bochs(bochs.DEFAULT_MODEL)


def bochs_model_tests():
    tests = {}
    for model in bochs.MODELS[1:]:
        test = functools.partial(check_bochs, model)
        test.slow = True
        tests[f"cloud_kernel_boots_in_bochs_on_{model}"] = test
    return tests


@slow
def test_debug_build_audits_without_a_mismatch_in_bochs_on_vmx():
    machine = bochs_debian(bochs.DEFAULT_MODEL, efi=DEBUG, umbra="audit=3000 shadow=2M", command=BUSY)
    result = run_command("bochs-audit", machine, timeout=2 * BOCHS_TIMEOUT)
    text = result.output.decode()
    require(counter(text, "audits") > 0, "no audit ran")
    require(counter(text, "audit_errors") == 0, "shadow_audit found mismatches")


@slow
def test_guest_that_leaves_protected_mode_is_stopped_with_one_line_in_bochs_on_vmx():
    machine = bochs_debian(bochs.DEFAULT_MODEL, options="console=ttyS0 reboot=bios", command="reboot -f")
    result = boot("bochs-real-mode", machine, timeout=BOCHS_TIMEOUT, until=rb"guest stopped: [^\n]*\n")
    require(not result.timed_out, "it was not stopped")
    require(re.search(r"guest stopped: it left protected mode.*not supported on VMX", result.text), "the serial log does not say why")


def run_image_in_bochs(name):
    """Bochs has no debug exit: the image's last line says that it is done."""
    machine = vm.Machine(kernel=f"build/guest/{name}.bin", options="ram_mib=512", memory=bochs.DEFAULT_MEMORY,
                         emulator="bochs")
    ended = rb"END: (\d+) failures"
    result = boot(f"bochs-image-{name}", machine, timeout=BOCHS_TIMEOUT, until=ended)
    judge_checks(f"{name}[bochs]", result)
    require(re.search(ended, result.serial), f"the image did not end{': ' if result.panic else ''}{result.panic or ''}")
    if name == "nmi":
        require(re.search(r"^NOTE: [1-9]\d* exits at an NMI window", result.text, re.M), "no NMI had to wait")


def bochs_image_tests():
    tests = {}
    for name in ("cpu", "hidden", "nmi", "paging"):
        test = functools.partial(run_image_in_bochs, name)
        test.slow = True
        tests[f"image_{name}_runs_to_its_end_in_bochs_on_vmx"] = test
    return tests


# --- 32-bit and multiboot guests --------------------------------------------------

def check_i386(kind, **settings):
    result = run_command(kind, debian(kind, command="uname -rm; umbractl stats", **settings))
    require(re.search(rf"^\S+-{kind} i686$", result.output.decode(), re.M), "uname shows another kernel")
    require(counter(result.output.decode(), "walks") > 0, "umbractl counts no walks")
    return result.output.decode()


def check_i386_in_bochs(kind):
    machine = debian(kind, emulator="bochs", memory=bochs.DEFAULT_MEMORY, command="uname -rm; umbractl stats")
    output = run_command(f"bochs-{kind}", machine, timeout=BOCHS_TIMEOUT).output.decode()
    require(re.search(rf"^\S+-{kind} i686$", output, re.M), "uname shows another kernel")
    require(counter(output, "walks") > 0, "umbractl counts no walks")


@slow
def test_i386_kernel_with_pae_boots_in_bochs_on_vmx():
    check_i386_in_bochs("686-pae")


@slow
def test_i386_kernel_without_pae_boots_in_bochs_on_vmx():
    check_i386_in_bochs("686")


def test_i386_kernel_with_pae_boots():
    check_i386("686-pae")


def test_i386_kernel_without_pae_boots():
    check_i386("686")


@slow
def test_i386_kernels_are_audited_without_a_mismatch():
    for kind in ("686-pae", "686"):
        text = check_i386(kind, efi=DEBUG, umbra="audit=1000")
        require(counter(text, "audits") > 0, "no audit ran")
        require(counter(text, "audit_errors") == 0, "shadow_audit found mismatches")


MULTIBOOT = "build/guest/multiboot/"
MODULE_SIZES = (5000, 123)


def multiboot_machine(image, bare, **settings):
    modules = []
    for k, size in enumerate(MODULE_SIZES):
        path = f"build/module{k}"
        with open(path, "wb") as file:
            file.write(bytes((k + 7 * i) & 255 for i in range(size)))
        modules.append((path, f"module {k} bytes={size}"))
    options = f"umbra-test ram_mib=512 modules={len(modules)}"
    options += (" symbols=1" if image.endswith(".elf") else "") + (" forced=1" if settings.get("force") else "")
    options += " screen=1 acpi=1" if settings.get("emulator") != "bochs" else ""
    return vm.Machine(kernel=MULTIBOOT + image, multiboot=True, modules=modules, options=options, memory="512M",
                      umbra="bare" if bare else "", **settings)


def run_multiboot(image, bare):
    label = f"{image}[{'bare' if bare else 'umbra'}]"
    machine = multiboot_machine(image, bare, force="-high" in image)
    judge_image(label, boot(f"multiboot-{image}-{'bare' if bare else 'umbra'}", machine, timeout=120))


@slow
def test_multiboot_kernels_are_told_the_truth_in_bochs_on_vmx():
    for image in ("mb1-elf32.elf", "mb2-elf64.elf"):
        ended = rb"END: (\d+) failures"
        result = boot(f"bochs-{image}", multiboot_machine(image, False, emulator="bochs"), timeout=BOCHS_TIMEOUT,
                      until=ended)
        judge_checks(f"{image}[bochs]", result)
        require(re.search(ended, result.serial), f"{image} did not end")


def multiboot_tests():
    tests = {}
    for image in ("mb1-elf32.elf", "mb1-flat.bin", "mb1-high.elf", "mb2-elf32.elf", "mb2-elf64.elf"):
        for bare in (True, False):
            test = functools.partial(run_multiboot, image, bare)
            test.slow = False
            tests[f"multiboot_{image}_{'bare' if bare else 'under_umbra'}_is_told_the_truth"] = test
    return tests


def test_error_multiboot_kernel_over_memory_of_the_firmware():
    check_error("error-multiboot", multiboot_machine("mb1-high.elf", False),
                r"umbra: error: .*0x800000 to 0x808000.*not free.*force")


def test_error_multiboot_kernel_without_header():
    machine = multiboot_machine("mb1-flat.bin", False)
    machine.kernel = "LICENSE"
    check_error("error-no-header", machine, r"umbra: error: .*not a multiboot kernel")


# memtest86+ has no option for what it tests: in its configuration menu, tests 0 to 4 from 32 to 64 MiB.
MEMTEST_KEYS = ["1", "1", "1", "4", "0", "ret", "4", "ret", "0",
                "2", "1", *"32m", "ret", "2", *"64m", "ret", "0", "0"]


def press_keys(path, log, after, keys):
    """Sends keys through QEMU's QMP socket once the log has the bytes `after`."""
    deadline = time.monotonic() + 60
    while after not in open(log, "rb").read() and time.monotonic() < deadline:
        time.sleep(0.2)
    with socket.socket(socket.AF_UNIX) as qmp:
        qmp.connect(path)
        qmp.sendall(b'{"execute": "qmp_capabilities"}')
        for key in keys:
            time.sleep(0.7)
            qmp.recv(65536)  # what came before is done
            qmp.sendall(b'{"execute": "send-key", "arguments": {"hold-time": 80, "keys":'
                        b' [{"type": "qcode", "data": "%s"}]}}' % key.encode())
        time.sleep(1)


def run_memtest(kind):
    name, path = f"memtest-{kind}", f"build/memtest-{kind}.qmp"
    machine = vm.Machine(kernel=f"{vm.fetch_kernel('memtest86+')}/memtest86+{kind}.bin", memory="128M",
                         options="nosmp nobench nosm nopause nobigstatus keyboard=legacy console=ttyS0,115200",
                         extra=["-qmp", f"unix:{path},server=on,wait=off"])
    vm.write_text(log_path(name), "")
    keys = threading.Thread(target=press_keys, args=(path, log_path(name), b"Pass:  0", MEMTEST_KEYS), daemon=True)
    keys.start()
    passed = rb"Pass: +[1-9]\d* +Errors: (\d+) "
    result = boot(name, machine, until=passed)
    require(not result.timed_out, "no pass was completed in time")
    require(re.search(passed, result.serial).group(1) == b"0", "it found errors")
    require(b"32MB - 64MB" in result.serial, "it did not test the range asked for")


def test_memtest86_64_bit_completes_a_pass_over_a_small_range():
    run_memtest("x64")


def test_memtest86_32_bit_completes_a_pass_over_a_small_range():
    run_memtest("ia32")


# --- the runner -----------------------------------------------------------------

passed = failed = 0


def report(name, reason):
    global passed, failed
    if reason is None:
        passed += 1
        print(f"PASS: {name}", flush=True)
    else:
        failed += 1
        print(f"FAIL: {name} {reason}", flush=True)


def run_test(name, test):
    start = time.monotonic()
    try:
        test()
        reason = None
    except Failure as failure:
        reason = str(failure)
    except Exception as error:  # a broken test fails, the others go on
        reason = f"{type(error).__name__}: {error}"
    report(f"{name} ({time.monotonic() - start:.0f} s)", reason)


def run_unit_program(path):
    """cmocka prints [       OK ] and [  FAILED  ] per test; a crash is one failure more."""
    name = os.path.basename(path)
    try:
        done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=1800 if os.environ.get("UMBRA_LONG") else 300)
        output, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode(errors="replace"), -1
    os.makedirs(LOGS, exist_ok=True)
    with open(log_path(name), "w") as file:
        file.write(output)
    ok = re.findall(r"^\[       OK \] (\S+)", output, re.M)
    bad = sorted(set(re.findall(r"^\[  FAILED  \] (?:\S+: )?([a-z]\w+)$", output, re.M)))
    for test in ok:
        report(f"{name}: {test}", None)
    for test in bad:
        report(f"{name}: {test}", f"see {log_path(name)}")
    if (status != 0 and not bad) or not ok:
        report(f"{name} ends", f"status {status}, see {log_path(name)}")
        print(output[-3000:])


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--unit", nargs="*", default=[])
    parser.add_argument("--unit-only", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by an exception, so that the emulator ends too

    tests = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    tests.update(image_tests())
    tests.update(bochs_model_tests())
    tests.update(bochs_image_tests())
    tests.update(multiboot_tests())
    tests.update(isolation.tests())
    tests = {name: test for name, test in tests.items()
             if args.only in name and (args.all or args.only or not getattr(test, "slow", False))}
    if args.list:
        print("\n".join(tests))
        return 0
    if args.all:
        os.environ["UMBRA_LONG"] = "1"  # the unit programs go through more cases
    for path in args.unit:
        if args.only in path:
            run_unit_program(path)
    if not args.unit_only:
        for name, test in tests.items():
            run_test(name, test)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
