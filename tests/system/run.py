#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the tests that `make check` counts: with --lint the static checks, the unit test programs given with --unit and,
unless --unit-only, whole boots: one emulator per test, killed at its timeout, its serial log
kept in build/logs/. Prints PASS: or FAIL: for each test as it ends, and at last "N passed, N failed".

run.py [--unit PROGRAM...] [--unit-only] [--lint] [--boots WORD] [--all] [--only WORD] [--jobs N] [--list]
--only: unit programs and boots with WORD in their names; --boots: all unit programs, only such boots.
--jobs: how many run at once (runner.py); as many as there are processors if nothing is said.

A test is a function named test_*, here or in one of MODULES; its name says what must hold and it
raises Failure if that does not. Those marked @slow run only with --all (make check-all). A test whose
emulator is not installed is left out and counted apart: ", N skipped"."""
import argparse
import functools
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from common import (BOCHS_TIMEOUT, BOOT_TIMEOUT, DEBUG, IMAGE_TIMEOUT, LOGS, MULTIBOOT, Failure, boot, counted, counter, debian, judge_checks,  # noqa: E402
                    judge_image, log_path, report, require, run_command, scratch, slow, together)
import bochs  # noqa: E402
import builds  # noqa: E402
import consoles  # noqa: E402
import disks  # noqa: E402
import dumping  # noqa: E402
import faults  # noqa: E402
import firmware  # noqa: E402
import flushes  # noqa: E402
import foreign  # noqa: E402
import gdb_session  # noqa: E402
import handed_over  # noqa: E402
import installed  # noqa: E402
import isolation  # noqa: E402
import make_run  # noqa: E402
import measuring  # noqa: E402
import menu  # noqa: E402
import processors  # noqa: E402
import rights  # noqa: E402
import runner  # noqa: E402
import secure  # noqa: E402
import selftest  # noqa: E402
import sessions  # noqa: E402
import several  # noqa: E402
import stick  # noqa: E402
import tables  # noqa: E402
import tracing  # noqa: E402
import umbra_install  # noqa: E402
import usb  # noqa: E402
import vm  # noqa: E402
import workers  # noqa: E402
from dialog import Dialog  # noqa: E402
from inspection import data_disk, inspect, new_warnings  # noqa: E402
from monitor import Monitor, wait_for  # noqa: E402

with open("VERSION") as version_file:
    VERSION = version_file.read().strip()
# The firmware's own words when a boot option gave up.
BACK_IN_FIRMWARE = r"BdsDxe: failed to start|BdsDxe: No bootable|UEFI Interactive Shell|Start PXE|Boot Failed"


# --- Debian boots --------------------------------------------------------------

def check_boot(kind):
    seen = inspect(kind, False)
    require("shadow paging, no NPT" in seen["serial"], "the boot log lacks 'shadow paging, no NPT'")
    require(f"{kind}-amd64" in seen["uname"] or kind == "full", "uname shows another kernel")
    require(counter(seen["stats"], "walks") > 0, "umbractl counts no walks")
    require("end" in seen, "the command did not reach its end")


@together("inspect-cloud")
def test_cloud_kernel_boots_and_command_status_is_passed_on():
    check_boot("cloud")


@together("inspect-full")
def test_full_kernel_boots():
    check_boot("full")


def check_dmesg(kind):
    new = new_warnings(inspect(kind, True)["dmesg"], inspect(kind, False)["dmesg"])
    require(not new, "messages that the bare boot does not show: " + " | ".join(new))


@together("inspect-cloud")
def test_dmesg_of_cloud_kernel_has_no_warning_that_bare_does_not_show():
    check_dmesg("cloud")


@together("inspect-full")
def test_dmesg_of_full_kernel_has_no_warning_that_bare_does_not_show():
    check_dmesg("full")


def other_release():
    """Debian 13's cloud kernel (6.12), or on Debian 13, where that is "cloud", Debian 12's (6.1): (kind, version)."""
    own = vm.fetch_kernel("cloud")
    with open(own + "/version") as file:
        return ("cloud-trixie", "6.12.") if file.read().startswith("6.1.") else ("cloud-bookworm", "6.1.")


def test_cloud_kernel_of_the_other_release_of_debian_boots():
    kind, version = other_release()
    result = run_command(kind, debian(kind, command="uname -r; lsmod; umbractl stats"))
    require(result.output.decode().startswith(version), f"uname shows another kernel than {version}")
    require(b"virtio_blk" in result.output, "its modules were not loaded")
    require(counter(result.output.decode(), "walks") > 0, "umbractl counts no walks")


@together("inspect-cloud")
def test_efi_variables_are_listed_as_on_bare():
    bare, umbra = (set(inspect("cloud", mode)["efivars"].split()) for mode in (True, False))
    require(umbra, "no EFI variable is listed")
    require(umbra == bare, f"the list differs: {sorted(umbra ^ bare)}")


@together("inspect-cloud")
def test_virtio_disk_reads_as_on_bare():
    expected = data_disk()
    for mode in (True, False):
        require(expected in inspect("cloud", mode)["disk"], f"checksum differs{' bare' if mode else ''}")


@together("inspect-full")
def test_ahci_disk_reads_as_on_bare():
    expected = data_disk()
    for mode in (True, False):
        require(expected in inspect("full", mode)["disk"], f"checksum differs{' bare' if mode else ''}")


@together("inspect-cloud")
def test_virtio_network_card_answers():
    require("eth0 answers" in inspect("cloud", False)["net"], "no answer from the gateway")


@together("inspect-full")
def test_e1000_and_virtio_network_cards_answer():
    require(inspect("full", False)["net"].count("answers") == 2, "no answer from the gateway")


@together("inspect-cloud")
def test_rtc_reads():
    seen = inspect("cloud", False)["rtc"]
    require("rtc_cmos" in seen and time.strftime("%Y", time.gmtime()) in seen, f"the clock reads {seen!r}")


def test_boots_with_256_mib_and_command_succeeds():
    result = run_command("mem-256M", debian(memory="256M", command="uname -a; umbractl stats -0; umbractl version"))
    require(b"walks" in result.output, "umbractl stats printed nothing")
    require(f"Umbra {VERSION}, interface version".encode() in result.output, "umbractl does not tell the version")
    require(f"Umbra hypervisor {VERSION}, build " in result.text, "the boot log does not tell the version")


def test_boots_with_8_gib():
    result = run_command("mem-8G", debian(memory="8G", command="grep MemTotal /proc/meminfo"))
    total = int(re.search(rb"(\d+) kB", result.output).group(1))
    require(total > 7 << 20, f"the guest has {total} KiB")


# Memory that nobody has: pages of it exist once they are touched, about 1.5 GiB in all.
@slow
def test_boots_with_64_gib():
    backend = ["-object", "memory-backend-ram,id=ram,size=64G,prealloc=off,reserve=off", "-machine", "memory-backend=ram"]
    result = run_command("mem-64G", debian(memory="64G", extra=backend, command="grep MemTotal /proc/meminfo"))
    total = int(re.search(rb"(\d+) kB", result.output).group(1))
    require(total > 60 << 20, f"the guest has {total} KiB")
    require(re.search(r"pool 1048576 KiB at 0x1[0-9a-f]{8}\n", result.text), "the pool is not 1 GiB above 4 GiB")


def test_full_kernel_boots_with_256_mib():
    run_command("full-256M", debian("full", memory="256M", command="uname -a; umbractl stats"))


def test_search_for_an_mp_table_takes_few_exits():
    """A mapping of its own for each 16 bytes of the last 64 KiB below 1 MiB, each taken away by INVLPG: 70,000 exits unless they are let through
    (docs/shadow-paging.md, "Detached for a kernel's window"), about 5,000 with four levels."""
    machine = debian("full", memory="512M", options=f"{vm.LINUX} no5lvl", command="umbractl stats")
    exits = counter(run_command("mp-table", machine).output.decode(), "exit_invlpg")
    require(100 < exits < 10000, f"{exits} exits by INVLPG")


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
    result = run_command("audit", debian(efi=DEBUG, umbra="audit=1000", command=BUSY), timeout=2 * BOOT_TIMEOUT)
    text = result.output.decode()
    require(counter(text, "audits") > 0, "no audit ran")
    require(counter(text, "audit_errors") == 0, "shadow_audit found mismatches")
    require(counter(text, "witnessed") > 5000, "the oracle hardly looked")


def test_small_shadow_pool_reclaims_and_audits_without_a_mismatch():
    result = run_command("small-pool", debian(efi=DEBUG, umbra="audit=1000 shadow=2M", command=BUSY), timeout=2 * BOOT_TIMEOUT)
    text = result.output.decode()
    require(counter(text, "reclaims") > 0, "nothing was reclaimed")
    require(counter(text, "audit_errors") == 0, "shadow_audit found mismatches")
    require(counter(text, "witnessed") > 5000, "the oracle hardly looked")


def test_entry_with_utf8_names_double_slashes_and_keys_of_other_loaders_boots():
    # too long for a short name, whose code page the firmware does not know
    entry = "title Größe\nlinux //größenordnung//kernel\ninitrd /initrd0.img\ninitrd \\\\command.img\noptions " + vm.LINUX + "\n"
    entry += "grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class example\numbra bare\n"
    machine = debian(command="uname -r", entry=entry)
    machine.files, machine.kernel = [(machine.kernel, "größenordnung/kernel")], None
    result = run_command("entry-utf8", machine)
    # the firmware's serial console has a glyph or a question mark for each character
    require(re.search(r'entry umbra\.conf, "Gr(öß|\?\?)e"', result.text), "the title is not shown")


@slow
def test_hung_guest_is_ended_at_the_timeout_with_status_124():
    machine = debian(command="echo started; sleep 1000")
    result = boot("hung", machine, timeout=120)
    require(result.status == 124, f"the status is {result.status}")
    require(b"started" in result.output, "the command's output is lost")


# --- boot errors: one clear line, then back to the firmware ---------------------

def check_error(name, machine, *patterns):
    """The line must come and stay until a key is pressed, then the firmware must speak again; no kernel may start."""
    with Dialog(name, machine) as dialog:
        dialog.hear(r"umbra: error: .*\n(.*\n)*umbra: press a key to go on to the firmware's next boot option")
        for pattern in patterns:
            require(re.search(pattern, dialog.text(), re.I), f"the serial log has no line like {pattern!r}")
        time.sleep(4)
        require(not re.search(BACK_IN_FIRMWARE, dialog.text()), "the firmware went on without a key")
        require(re.search("umbra: error", dialog.shown()), "the line has left the screen")
        dialog.type("x")
        dialog.hear(BACK_IN_FIRMWARE)
        require("Linux version" not in dialog.text(), "the kernel started")


def test_error_cpu_without_svm():
    check_error("error-no-svm", debian(cpu="max,-svm"), r"umbra: error: .*(SVM|virtuali[sz]ation)")


def test_error_cpu_without_no_execute_pages():
    check_error("error-no-nx", debian(cpu="max,-nx"), r"umbra: error: .*no-execute pages")


def test_error_too_little_memory():
    check_error("error-memory", debian(umbra="pool=900M"), r"umbra: error: not enough memory: (\d+ MiB free, needed are|no free block of \d+ MiB for the (kernel|hypervisor))")


def test_error_pool_too_small_for_the_memory():
    check_error("error-pool", debian(memory="1G", umbra="pool=2M"), r"umbra: error: pool= is too small.*pool=\d+M")


def test_error_entry_of_the_self_test_with_a_kernel():
    check_error("error-self-test", debian(entry="title x\nself-test\nlinux /kernel\n"), r"umbra: error: .*\"self-test\" and a kernel")


def test_error_missing_kernel():
    check_error("error-no-kernel", debian(entry="title x\nlinux /nowhere\n"), r"umbra: error: .*nowhere")


def test_error_truncated_kernel():
    machine = debian()
    with open(machine.kernel, "rb") as file:
        data = file.read()
    machine.kernel = scratch("truncated")
    with open(machine.kernel, "wb") as file:
        file.write(data[:len(data) // 2])
    check_error("error-truncated", machine, r"umbra: error: .*cut off")


def test_error_unknown_key():
    check_error("error-key", debian(entry="title x\nlinux /kernel\ncolour blue\n"), r"umbra: error: .*colour")


def test_error_entry_that_is_too_long():
    check_error("error-long", debian(entry="title x\nlinux /kernel\n" + 2000 * f"# {'x' * 40}\n"),
                r"umbra: error: /loader/entries/umbra\.conf is longer than 65536 bytes; shorten it")


def test_error_acpi_table_with_wrong_checksum():
    with open(tables.ssdt(), "rb") as file:
        data = bytearray(file.read())
    data[-1] ^= 1
    check_error("error-acpi", debian(acpi=[tables.ssdt(), tables.write("wrong.aml", data)]),
                r"umbra: error: /acpi/1\.aml: its SSDT has a wrong checksum")


def test_error_unknown_hypervisor_option():
    check_error("error-option", debian(umbra="frobnicate=1"), r"umbra: error: .*frobnicate")


# --- in-guest images of our own -------------------------------------------------

def run_image(name, bare):
    """Boots build/guest/NAME.bin; its own PASS: and FAIL: lines are counted one by one."""
    where = "bare" if bare else "umbra"
    machine = vm.Machine(kernel=f"build/guest/{name}.bin", options="ram_mib=512", umbra="bare" if bare else "", memory="512M")
    result = boot(f"image-{name}-{where}", machine, timeout=IMAGE_TIMEOUT)
    judge_image(f"{name}[{where}]", result)
    if name == "hidden":
        check_hidden(result, bare)
    return result


def test_local_apic_answers_accesses_of_every_shape_as_on_the_bare_machine():
    """With one difference: the ID is not the guest's to change, so that messages by ID reach whom they mean."""
    texts = [run_image("apic", bare).text for bare in (True, False)]
    lines = [re.findall(r"^(?:read|write) .*?(?=\s*$)", text, re.M) for text in texts]
    ids = [re.findall(r"^id after .*: (\w+)\s*$", text, re.M) for text in texts]
    require(len(ids[0]) == len(ids[1]) == 64 and "5000000" in ids[0] and set(ids[1]) == {"0"},
            f"the ID bare is {set(ids[0])}, under Umbra {set(ids[1])}")
    require(len(lines[0]) > 600, f"the bare machine said only {len(lines[0])} lines")
    different = [f"{bare}, under Umbra {umbra}" for bare, umbra in zip(*lines) if bare != umbra]
    require(not different and len(lines[0]) == len(lines[1]), f"{len(different)} lines differ: {different[:3]}")


def check_hidden(result, bare):
    """What the boot loader says it hides is reserved in the guest's map and hidden, not a page more or less."""
    said = re.search(r"hidden from the guest: image 0x(\w+) \+ (\d+) KiB, pool 0x(\w+) \+ (\d+) MiB, "
                     r"start-up page 0x(\w+)", result.text)
    require(said, "the boot loader does not say what it hides")
    require(0x1000 <= int(said[5], 16) < 0x90000, "the start-up page is not below 576 KiB")
    wanted = sorted([(int(said[1], 16), int(said[1], 16) + (int(said[2]) << 10)),
                     (int(said[3], 16), int(said[3], 16) + (int(said[4]) << 20))])
    if wanted[0][1] == wanted[1][0]:
        wanted = [(wanted[0][0], wanted[1][1])]
    wanted = [(int(said[5], 16), int(said[5], 16) + 0x1000)] + wanted
    found = {kind: [(int(base, 16), int(end, 16)) for base, end in re.findall(rf"^{kind} (\w+) to (\w+)", result.text, re.M)]
             for kind in ("reserved", "hidden")}
    for base, end in wanted:
        require(any(b <= base and end <= e for b, e in found["reserved"]), f"{base:x} to {end:x} is not reserved in E820")
    require(bare or found["hidden"] == wanted, f"hidden is {found['hidden']}, not {wanted}")


def image_tests():
    """A test per image and place; the bare machine is the oracle for the hypervisor."""
    tests = {}
    for source in sorted(os.listdir("tests/guest")):
        if source.endswith(".c") and source not in ("apic.c", "debugged.c", "flush.c", "messages.c", "msr.c", "processors.c", "rights.c", "rom.c", "shootdown.c",
                                                          "talker.c", "trace.c", "watch.c"):  # these have tests of their own
            name = source[:-2]
            for bare in (True, False):
                test = functools.partial(run_image, name, bare)
                test.slow = False
                tests[f"image_{name}_{'bare' if bare else 'under_umbra'}_runs_to_its_end"] = test
    return tests


# --- a guest's breakpoints on the hypervisor -----------------------------------------

def core_symbols():
    """Address, size (0: none) of each symbol of the core, and the address of the one behind it."""
    text = subprocess.run(["nm", "-n", "-S", "build/release/core.elf"], check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in text.splitlines()]
    return {fields[-1]: (int(fields[0], 16), int(fields[1], 16) if len(fields) == 4 else 0) for fields in lines}


def watch_options():
    symbols = core_symbols()
    stubs = symbols["isr_0"][0]
    behind = min(at for at, _ in symbols.values() if at > symbols["isr_common"][0])
    handler, size = symbols["trap_handle"]
    places = {"text": symbols["core_text_start"][0], "text_end": symbols["core_text_end"][0],
              "data": symbols["core_data_start"][0], "data_end": symbols["core_bss_end"][0],
              "hole0": stubs, "hole0_end": behind, "hole1": handler, "hole1_end": handler + size}
    return " ".join(f"{name}={value}" for name, value in places.items())


def test_breakpoints_of_a_guest_on_addresses_of_the_hypervisor_are_survived():
    machine = vm.Machine(kernel="build/guest/watch.bin", options=watch_options(), memory="512M")
    result = boot("image-watch", machine, timeout=IMAGE_TIMEOUT)
    judge_image("watch[umbra]", result)


@slow
def test_breakpoints_of_a_guest_on_addresses_of_the_hypervisor_are_survived_in_bochs_on_vmx():
    run_image_in_bochs("watch", watch_options() + " step=20")


# --- MSRs that a guest can change ---------------------------------------------------

# What docs/msrs.md lets through, as far as the emulator has it: first and last register, the bits that changed.
MSRS_CHANGED = {
    "qemu": """
174..174 ffff
175..176 ffffffffffffffff
17a..17b ffffffffffffffff
1a0..1a0 4000852009
400..427 ffffffffffffffff
d90..d90 ffffffffffffffff
c0000081..c0000084 ffffffffffffffff
c0000100..c0000103 ffffffffffffffff
""",
    "bochs": """
174..174 ffffffff
175..176 ffffffffffffffff
1d9..1d9 3
c0000081..c0000083 ffffffffffffffff
c0000084..c0000084 ffffffff
c0000100..c0000102 ffffffffffffffff
c0000103..c0000103 ffffffff
""",
}


def check_msrs(emulator, timeout):
    machine = vm.Machine(kernel="build/guest/msr.bin", options="ram_mib=512", memory=bochs.DEFAULT_MEMORY, emulator=emulator)
    result = boot(f"msrs-{emulator}", machine, timeout, until=rb"END: (\d+) failures|the hypervisor has stopped")
    judge_checks(f"msr[{emulator}]", result)
    seen = re.findall(r"^changed (.*?)\s*$", result.text, re.M)
    expected = MSRS_CHANGED[emulator].split("\n")[1:-1]
    more, fewer = [x for x in seen if x not in expected], [x for x in expected if x not in seen]
    require(not more and not fewer, f"changed, and should not: {more}; did not change: {fewer}")


# adversarial: 31, 36
def test_msrs_that_a_guest_can_change_are_the_known_ones():
    check_msrs("qemu", IMAGE_TIMEOUT)


# adversarial: 31, 36
@slow
def test_msrs_that_a_guest_can_change_are_the_known_ones_in_bochs_on_vmx():
    check_msrs("bochs", BOCHS_TIMEOUT)


# --- VMX in Bochs ---------------------------------------------------------------

# Without it the kernel's memmove fails on these models, bare too: docs/hardware.md.
BOCHS_OPTIONS = {"corei7_icelake_u": "cpuid=-fsrm", "tigerlake": "cpuid=-fsrm"}


def bochs_debian(model, **settings):
    settings["umbra"] = " ".join([BOCHS_OPTIONS.get(model, ""), settings.get("umbra", "")]).strip()
    return debian(emulator="bochs", bochs_cpu=model, memory=bochs.DEFAULT_MEMORY, **settings)


def check_bochs(model, kind="cloud"):
    """Boots, runs a command that ends with status 3 and powers off."""
    result = run_command(f"bochs-{model}-{kind}", bochs_debian(model, kind=kind, command="uname -r; umbractl stats; exit 3"), status=3,
                         timeout=BOCHS_TIMEOUT)
    text = result.output.decode(errors="replace")
    require("VMX: " in result.text and "shadow paging, no EPT" in result.text, "the boot log does not name VMX")
    require(re.search(bochs.HALTED, result.serial), "the guest did not power off")
    require("cloud-amd64" in text, "uname shows another kernel")
    require(counter(text, "walks") > 0, "umbractl counts no walks")
    require(counter(text, "exit_unknown") == 0 and counter(text, "exit_invalid_state") == 0, "there were strange exits")
    oops = re.search(r"BUG:|Oops|Kernel panic|general protection", result.text)
    require(not oops, f"the kernel's log has {oops and oops.group(0)}")


@slow  # firmware_that_left_vmx_on_starts_linux and linux_has_acpi boot it there, too
def test_cloud_kernel_boots_in_bochs_on_vmx_and_powers_off():
    check_bochs(bochs.DEFAULT_MODEL)


def test_cloud_kernel_of_the_other_release_of_debian_boots_in_bochs_on_vmx_and_powers_off():
    check_bochs(bochs.DEFAULT_MODEL, other_release()[0])


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


def run_image_in_bochs(name, options="ram_mib=512 narrow=1"):
    """Bochs has no debug exit: the image's last line says that it is done. It gives up at accesses to the APIC
    that are wider than a register."""
    machine = vm.Machine(kernel=f"build/guest/{name}.bin", options=options, memory=bochs.DEFAULT_MEMORY,
                         emulator="bochs")
    ended = rb"END: (\d+) failures"
    result = boot(f"bochs-image-{name}", machine, timeout=BOCHS_TIMEOUT, until=ended)
    judge_checks(f"{name}[bochs]", result)
    require(re.search(ended, result.serial), f"the image did not end{': ' if result.panic else ''}{result.panic or ''}")
    if name == "hidden":
        check_hidden(result, False)
    if name == "nmi":
        require(re.search(r"^NOTE: [1-9]\d* exits at an NMI window", result.text, re.M), "no NMI had to wait")


def bochs_image_tests():
    tests = {}
    for name in ("cpu", "debug", "hidden", "nmi", "operand", "paging"):
        test = functools.partial(run_image_in_bochs, name)
        test.slow = name not in ("debug", "operand")
        tests[f"image_{name}_runs_to_its_end_in_bochs_on_vmx"] = test
    return tests


# --- 32-bit and multiboot guests --------------------------------------------------

def check_i386(kind, log="", **settings):
    result = run_command(log + kind, debian(kind, command="uname -rm; umbractl stats", **settings))
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
        text = check_i386(kind, log="audited-", efi=DEBUG, umbra="audit=1000")
        require(counter(text, "audits") > 0, "no audit ran")
        require(counter(text, "audit_errors") == 0, "shadow_audit found mismatches")


MODULE_SIZES = (5000, 123)


def multiboot_machine(image, bare, **settings):
    modules = []
    for k, size in enumerate(MODULE_SIZES):
        path = scratch(f"module{k}")
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
    judge_image(label, boot(f"multiboot-{image}-{'bare' if bare else 'umbra'}", machine, timeout=IMAGE_TIMEOUT))


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
    """Sends keys once the log has the pattern `after`."""
    if wait_for(log, after, BOOT_TIMEOUT):
        monitor = Monitor(path)
        for key in keys:
            monitor.press(key, log)


def run_memtest(kind):
    name, path = f"memtest-{kind}", scratch("qmp")
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


# --- all of them ----------------------------------------------------------------

MODULES = (rights, make_run, measuring, builds, isolation, foreign, processors, several, flushes, tables, installed, disks, dumping, faults, workers, secure, selftest, sessions,
           gdb_session, consoles, umbra_install, stick, usb, firmware, menu, handed_over, tracing)


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


# A unit program's processor time; a busy machine may take longer for it. One that waits for ever ends at ten times that.
UNIT_SECONDS, UNIT_SECONDS_LONG = 300, 1800


def run_unit_program(path):
    """cmocka prints [       OK ] and [  FAILED  ] per test; a crash is one failure more."""
    name = os.path.basename(path)
    seconds = UNIT_SECONDS_LONG if os.environ.get("UMBRA_LONG") else UNIT_SECONDS
    try:
        done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10 * seconds,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds)))
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


def run_lint():
    """The static checks of tools/lint/run, counted here; what they found is printed in front."""
    done, failed = subprocess.Popen(["tools/lint/run"], stdout=subprocess.PIPE, text=True, errors="replace"), False
    for line in done.stdout:
        verdict, _, name = line.rstrip("\n").partition(": ")
        if verdict in ("PASS", "FAIL"):
            report(name, None if verdict == "PASS" else "see above")
            failed |= verdict == "FAIL"
        elif not re.fullmatch(r"\d+ passed, \d+ failed\n", line):
            print(line, end="")
    if done.wait() and not failed:
        report("lint ends", f"status {done.returncode}")


def all_tests():
    tests = {}
    for module in (sys.modules[__name__], *MODULES):
        for name, test in vars(module).items():
            if name.startswith("test_"):
                require(name[5:] not in tests, f"two tests are called {name}")
                tests[name[5:]] = test
    for more in (image_tests, bochs_model_tests, bochs_image_tests, multiboot_tests, isolation.legacy_tests):
        tests.update(more())
    return tests


def missing_program(name, test):
    """The emulator that a test needs and that is not installed, or None."""
    needed = getattr(test, "needs", ("bochs",) if "bochs" in name else ("qemu-system-x86_64",))
    return next((program for program in needed if not shutil.which(program)), None)


def runnable(tests):
    """Those whose emulator is there, as the runner wants them; and what is left out, by the missing program."""
    found, left_out = {}, {}
    for name, test in tests.items():
        program = missing_program(name, test)
        if program:
            left_out.setdefault(program, []).append(name)
            counted["skipped"] += 1
        else:
            found[name] = functools.partial(run_test, name, test)
            found[name].group = getattr(test, "group", name)
    return found, left_out


def tell_times(seconds, took, jobs):
    """What a machine with more or faster processors could gain."""
    longest = sorted(seconds, key=lambda name: -seconds[name][0])[:3]
    print(f"{len(seconds)} programs and boots, {jobs} side by side, took {took:.0f} s for {sum(s for s, _ in seconds.values()):.0f} s "
          f"({sum(s for _, s in seconds.values()):.0f} s of processors); the longest: " +
          ", ".join(f"{name} {seconds[name][0]:.0f} s" for name in longest))


def job_count(text):
    if not text:
        return runner.processors()
    if not text.isdigit() or int(text) == 0:
        sys.exit(f"run.py: --jobs {text}: not a number of tests above 0")
    return int(text)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--unit", nargs="*", default=[])
    parser.add_argument("--unit-only", action="store_true")
    parser.add_argument("--boots", default="")
    parser.add_argument("--lint", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", default="")
    args = parser.parse_args()
    jobs = job_count(args.jobs)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by an exception, so that the emulators end too

    tests = {name: test for name, test in all_tests().items()
             if args.only in name and args.boots in name and (args.all or args.only or not getattr(test, "slow", False))}
    if args.list:
        print("\n".join(tests))
        return 0
    if args.all:
        os.environ["UMBRA_LONG"] = "1"  # the unit programs go through more cases
    chosen, left_out = {"lint": run_lint} if args.lint else {}, {}
    chosen.update({os.path.basename(path): functools.partial(run_unit_program, path) for path in args.unit if args.only in path})
    if not args.unit_only:
        boots, left_out = runnable(tests)
        chosen.update(boots)
    seconds, took = runner.run(chosen, jobs)
    for program, names in left_out.items():
        print(f"left out: {len(names)} tests, since {program} is not installed: {', '.join(names)}")
    if len(seconds) > 1:
        tell_times(seconds, took, jobs)
    skipped = f", {counted['skipped']} skipped" if counted["skipped"] else ""
    print(f"{counted['passed']} passed, {counted['failed']} failed{skipped}")
    return 1 if counted["failed"] or not counted["passed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
