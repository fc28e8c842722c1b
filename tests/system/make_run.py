# SPDX-License-Identifier: BSD-2-Clause
"""tools/run as a new user meets it: what is wrong is told in a line, and whatever happens to the
guest, the run ends. Where the emulator itself does not matter a program of that name stands in
for it, which says what it is told to on the console and then goes on for ever."""
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import acpi
import bochs
import settings
import vm
from common import MULTIBOOT, RELEASE, Failure, needs, require, scratch, slow

VARIABLES = ("GUEST_CMD GUEST_MEM KERNEL GUEST_KERNEL GUEST_INITRD GUEST_APPEND UMBRA_OPTS BARE EMU BOCHS_CPU ACCEL "
             "QEMU_EXTRA TIMEOUT MULTIBOOT MODULE APPEND FORCE ACPI").split()
TIMEOUT = 300
TCG = {"EMU": "qemu", "ACCEL": "tcg"}
STAND_IN = """#!{python}
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
text = os.environ["STAND_IN_SAYS"].encode().decode("unicode_escape")
if "mon:stdio" in sys.argv:
    os.write(1, text.encode())
else:
    with open(sys.argv[sys.argv.index("-serial") + 1].partition(":")[2], "w") as file:
        file.write(text)
time.sleep(1000)
"""


def environment(changes):
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**plain, "UMBRA_EFI": RELEASE, **changes}


def tools_run(changes, tree=".", **more):
    """tools/run without a terminal, with these variables alone."""
    return subprocess.run([sys.executable, tree + "/tools/run"], env=environment(changes), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", timeout=TIMEOUT, **more)


def tools_run_on_a_terminal(changes, keys=()):
    """(all that the terminal showed, status). keys: pairs of a pattern to wait for and what is then typed."""
    keys, shown, since = list(keys), b"", b""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(sys.executable, [sys.executable, "tools/run"], environment(changes))
    deadline = time.monotonic() + TIMEOUT
    try:
        while select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:  # the other side is closed
                break
            shown, since = shown + data, since + data
            if keys and re.search(keys[0][0], since):
                os.write(terminal, keys.pop(0)[1])
                since = b""
        else:
            raise Failure("did not end in time")
    finally:
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return shown.decode(errors="replace").replace("\r\n", "\n"), status


def last_line(text):
    return text.rstrip("\n").rpartition("\n")[2]


def require_line(done, pattern, status=1):
    require(done.returncode == status, f"the status is {done.returncode}, not {status}: {done.stderr}")
    require(re.search(pattern, last_line(done.stderr)), f"the last line is {last_line(done.stderr)!r}")
    require("Traceback" not in done.stderr, done.stderr)


# --- settings --------------------------------------------------------------------

WRONG = [
    ({"EMU": "quemu"}, r"EMU=quemu: not one of auto, qemu, bochs"),
    ({"ACCEL": "hax"}, r"ACCEL=hax: not one of auto, tcg, kvm"),
    ({"KERNEL": "clod"}, r"KERNEL=clod: not one of cloud, full, 686-pae, 686"),
    ({"BARE": "yes"}, r"BARE=yes: not one of 0, 1"),
    ({"FORCE": "yes"}, r"FORCE=yes: not one of 0, 1"),
    ({"GUEST_KERNEL": "/nowhere"}, r"GUEST_KERNEL=/nowhere: there is no such file"),
    ({"GUEST_KERNEL": "build"}, r"GUEST_KERNEL=build: not a file that can be read"),
    ({"GUEST_INITRD": "/nowhere"}, r"GUEST_INITRD=/nowhere: there is no such file"),
    ({"MULTIBOOT": "/nowhere"}, r"MULTIBOOT=/nowhere: there is no such file"),
    ({"MULTIBOOT": "LICENSE", "MODULE": "LICENSE /nowhere"}, r"MODULE=/nowhere: there is no such file"),
    ({"MULTIBOOT": "LICENSE", "MODULE": "'LICENSE"}, r"MODULE='LICENSE: no closing quotation"),
    ({"ACPI": "LICENSE /nowhere"}, r"ACPI=/nowhere: there is no such file"),
    ({"ACPI": "'LICENSE"}, r"ACPI='LICENSE: no closing quotation"),
    ({"QEMU_EXTRA": "-name \"x"}, r"QEMU_EXTRA=-name \"x: no closing quotation"),
    ({"TIMEOUT": "abc"}, r"TIMEOUT=abc: not a number of seconds above 0"),
    ({"TIMEOUT": "0"}, r"TIMEOUT=0: not a number"),
    ({"TIMEOUT": "-5"}, r"TIMEOUT=-5: not a number"),
    ({"TIMEOUT": "nan"}, r"TIMEOUT=nan: not a number"),
    ({"GUEST_MEM": "10M"}, r"GUEST_MEM=10M is too little: the firmware needs 48M .*Debian's kernel 160M"),
    ({"GUEST_MEM": "0"}, r"GUEST_MEM=0 is too little"),
    ({"GUEST_MEM": "abc"}, r"GUEST_MEM=abc: not a size such as 512, 256M or 8G"),
    ({"GUEST_MEM": "-1G"}, r"GUEST_MEM=-1G: not a size"),
    ({"SMP": "0"}, r"SMP=0: not a number of processors from 1 to 255"),
    ({"SMP": "2x"}, r"SMP=2x: not a number of processors"),
    ({"UMBRA_OPTS": "frobnicate=1"}, r"UMBRA_OPTS: unknown umbra option \"frobnicate=1\"; the options are serial="),
    ({"UMBRA_OPTS": "pool=1M"}, r"UMBRA_OPTS: bad value in umbra option \"pool=1M\"; write pool=SIZE .*at least 2M"),
    ({"UMBRA_OPTS": "shadow=4K"}, r"UMBRA_OPTS: bad value in umbra option \"shadow=4K\".*at least 256K"),
    ({"UMBRA_OPTS": "audit=1000"}, r"UMBRA_OPTS: this image is a release build.*DEBUG=1"),
    ({"UMBRA_OPTS": "x" * 600}, r"UMBRA_OPTS: the umbra options are longer than"),
    ({"UMBRA_EFI": "build/nowhere/umbra.efi"}, r"build/nowhere/umbra.efi is not there; run make"),
    ({"EMU": "bochs", "ACCEL": "kvm"}, r"ACCEL=kvm is for QEMU, and EMU is bochs"),
    ({"EMU": "qemu", "PATH": "/nowhere"}, r"qemu-system-x86_64 is not installed; tools/deps installs it"),
    ({"EMU": "bochs", "PATH": "/nowhere"}, r"bochs is not installed; tools/deps installs it"),
]


def test_a_wrong_setting_is_told_in_a_line_and_nothing_starts():
    for changes, line in WRONG:
        done = tools_run({**TCG, **changes} if "EMU" not in changes and "ACCEL" not in changes else changes)
        require_line(done, "^tools/run: " + line)
        require(not done.stdout and done.stderr.count("\n") == 1, f"{changes}: more was said: {done.stderr}{done.stdout}")


WRONG_IN_BOCHS = [
    ({"GUEST_MEM": "4G"}, r"GUEST_MEM=4G is too much: Bochs takes 2048M at most"),
    ({"SMP": "9"}, r"SMP=9: not a number of processors from 1 to 8"),
    ({"BOCHS_CPU": "z80"}, r"BOCHS_CPU=z80: Bochs knows .*corei7_skylake_x"),
    ({"QEMU_EXTRA": "-smp 2"}, r"QEMU_EXTRA is for QEMU, and EMU is bochs"),
]


def test_a_setting_that_is_wrong_in_bochs_is_told_in_a_line_and_nothing_starts():
    for changes, line in WRONG_IN_BOCHS:
        require_line(tools_run({"EMU": "bochs", **changes}), "^tools/run: " + line)


def problem(ask, *arguments):
    try:
        ask(*arguments)
    except vm.Problem as found:
        return str(found)
    raise Failure(f"{ask.__name__} found nothing wrong")


@needs()
def test_kernel_without_modules_is_told():
    with tempfile.TemporaryDirectory() as kernel:
        vm.write_text(kernel + "/version", "1")
        require("has no modules" in problem(vm.initramfs, kernel), "another line")


def test_missing_vgabios_is_told_before_bochs_starts():
    there = bochs.VGABIOS
    bochs.VGABIOS = "/nowhere/vgabios.bin"
    try:
        require("/nowhere/vgabios.bin is not there" in problem(settings.check_emulator, "bochs"), "another line")
    finally:
        bochs.VGABIOS = there


@needs()
def test_missing_iasl_is_told_and_bochs_goes_without_tables_where_asked():
    there, acpi.installed = acpi.installed, lambda: False
    try:
        require("iasl is not installed" in problem(settings.acpi_tables, "bochs", 1), "another line")
        require(settings.acpi_tables("qemu", 2) == [], "QEMU gets tables")
        os.environ["ACPI"] = "none"
        require(settings.acpi_tables("bochs", 1) == [], "Bochs gets tables")
        os.environ["ACPI"] = "LICENSE VERSION"
        require(settings.acpi_tables("bochs", 1) == ["LICENSE", "VERSION"], "Bochs gets others than those asked for")
    finally:
        acpi.installed = there
        os.environ.pop("ACPI", None)


def test_full_disk_is_told_in_a_line():
    def limit():  # stands for the full disk: no file grows beyond 1 MiB
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    vm.initramfs(vm.fetch_kernel("cloud"))
    require_line(tools_run(TCG, preexec_fn=limit), "^tools/run: build/run.*: File too large$")


@needs()
def test_kernel_that_cannot_be_fetched_is_told_in_a_line():
    with tempfile.TemporaryDirectory() as tree:
        shutil.copytree("tools", tree + "/tools")
        os.makedirs(tree + "/build")
        for built in ("tools", "release"):
            os.symlink(os.path.abspath("build/" + built), f"{tree}/build/{built}")
        for program in ("apt-get", "apt-cache", "sudo", "qemu-system-x86_64"):
            write_program(f"{tree}/bin/{program}", "#!/bin/sh\nexit 1\n")
        done = tools_run({**TCG, "PATH": f"{tree}/bin:{os.environ['PATH']}"}, tree)
        require_line(done, "^tools/run: failed: tools/fetch-kernel cloud$")


# Whether KVM nests and whether QEMU is there; EMU and ACCEL; what is taken and how its reason begins.
CHOICES = [
    (True, True, "auto", "auto", ("qemu", "kvm"), "QEMU with KVM"),
    (False, True, "auto", "auto", ("qemu", "tcg"), "QEMU's TCG (AMD SVM emulated): KVM here gives a guest neither"),
    (False, False, "auto", "auto", ("bochs", "tcg"), "Bochs (Intel VMX emulated): qemu-system-x86_64 is not installed"),
    (True, True, "qemu", "auto", ("qemu", "kvm"), "QEMU with KVM"),
    (True, True, "auto", "tcg", ("qemu", "tcg"), ""),
    (False, True, "qemu", "tcg", ("qemu", "tcg"), ""),
    (True, True, "bochs", "auto", ("bochs", "tcg"), ""),
]


@needs()
def test_emulator_is_chosen_by_what_is_there():
    real = settings.why_no_nested_kvm, shutil.which, dict(os.environ)
    try:
        for nests, qemu, emulator, accel, taken, why in CHOICES:
            settings.why_no_nested_kvm = lambda nests=nests: None if nests else "/dev/kvm is not there"
            shutil.which = lambda program, qemu=qemu: program if qemu or program == "bochs" else None
            os.environ.update(EMU=emulator, ACCEL=accel, BARE="")
            *chosen, line = settings.choose_emulator()
            require(tuple(chosen) == taken and line.startswith(why) and bool(line) == bool(why),
                    f"EMU={emulator} ACCEL={accel}: {chosen}, {line!r}")
        settings.why_no_nested_kvm = lambda: "/dev/kvm is not there"
        os.environ.update(EMU="qemu", ACCEL="kvm")
        require("neither VMX nor SVM" in problem(settings.choose_emulator), "another line")
    finally:
        settings.why_no_nested_kvm, shutil.which = real[:2]
        os.environ.clear()
        os.environ.update(real[2])


@needs()
def test_tests_without_their_emulator_are_left_out_and_told():
    done = subprocess.run([sys.executable, "tests/system/run.py", "--only", "cloud_kernel_boots_in_bochs_on_vmx"],
                          env={**os.environ, "PATH": "/nowhere"}, capture_output=True, text=True)
    *_, left_out, closing = done.stdout.splitlines()
    require(re.match("left out: 1 tests, since bochs is not installed: cloud_kernel_boots_in_bochs", left_out), done.stdout)
    require(closing == "0 passed, 0 failed, 1 skipped", closing)


# --- last words, from a program that stands in for QEMU ---------------------------

LEFT = "umbra: leaving the firmware\\r\\n"
# What comes over the console, and the last line of tools/run.
LAST_WORDS = [
    ("umbra: error: no boot entry\\r\\n", "umbra: error: no boot entry"),
    (LEFT + "umbra: PANIC on CPU 0: it broke\\r\\numbra: rip 0\\r\\numbra: the hypervisor has stopped; please report\\r\\n",
     "umbra: the hypervisor has stopped: PANIC on CPU 0: it broke"),
    (LEFT + "[    1.0] half a lineumbra: guest stopped: an exit\\r\\numbra: the guest has stopped; reset\\r\\n",
     "umbra: the guest has stopped: an exit"),
    (LEFT + "umbra: guest: triple fault at rip 0, cr2 0; resetting the machine\\r\\n",
     "umbra: guest: triple fault at rip 0, cr2 0; resetting the machine"),
    (LEFT + "[    1.5] Kernel panic - not syncing: x\\r\\n[    1.5] ---[ end Kernel panic - not syncing: x ]---\\r\\n",
     "Kernel panic - not syncing: x"),
]


def write_program(path, text):
    vm.write_text(path, text)
    os.chmod(path, 0o755)


def stand_in(folder, says):
    write_program(folder + "/qemu-system-x86_64", STAND_IN.format(python=sys.executable))
    return {**TCG, "PATH": f"{folder}:{os.environ['PATH']}", "STAND_IN_SAYS": says}


@needs()
def test_last_words_end_the_run_with_a_status_and_come_last():
    with tempfile.TemporaryDirectory() as folder:
        for says, line in LAST_WORDS:
            for command in ("", "true"):
                done = tools_run({**stand_in(folder, says), "GUEST_CMD": command})
                require_line(done, "^tools/run: " + re.escape(line) + "$", status=125)


@needs()
def test_last_words_end_the_run_on_a_terminal_too():
    with tempfile.TemporaryDirectory() as folder:
        for says, line in LAST_WORDS:
            shown, status = tools_run_on_a_terminal(stand_in(folder, says))
            require(status == 125 and last_line(shown) == "tools/run: " + line, f"status {status}: {last_line(shown)!r}")


@needs()
def test_what_a_guest_types_does_not_end_the_run():
    typed = LEFT + "/ # echo umbra: error: x\\r\\numbra: error: x\\r\\n/ # grep 'Kernel panic - not syncing' f\\r\\n"
    with tempfile.TemporaryDirectory() as folder:
        done = tools_run({**stand_in(folder, typed), "TIMEOUT": "2"})
        require_line(done, "^tools/run: the guest did not end in time$", status=124)


@needs()
def test_interrupted_run_ends_without_a_traceback():
    with tempfile.TemporaryDirectory() as folder:
        changes = stand_in(folder, "umbra: boot loader\\r\\n")
        run = subprocess.Popen([sys.executable, "tools/run"], env=environment({**changes, "GUEST_CMD": "true"}),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True,
                               # a runner in the background has it ignored, which is handed down
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        require("boot loader" in run.stdout.readline(), "it did not start")
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=60)
        require(run.returncode == 130 and "Traceback" not in said, f"status {run.returncode}: {said}")


# --- the same in the emulators -----------------------------------------------------

def test_loader_error_ends_the_run_on_a_terminal():
    shown, status = tools_run_on_a_terminal({**TCG, "UMBRA_OPTS": "pool=900M"})
    require(status == 125, f"the status is {status}")
    require(last_line(shown).startswith("tools/run: umbra: error: not enough memory"), f"the last line is {last_line(shown)!r}")


def test_kernel_panic_ends_the_run():
    done = tools_run({**TCG, "GUEST_APPEND": "panic=0 rdinit=/nowhere"})
    require_line(done, "^tools/run: Kernel panic - not syncing: ", status=125)
    require("end Kernel panic" in done.stdout, "the kernel's trace is cut off")


def test_input_without_a_terminal_goes_to_the_shell_and_its_end_powers_off():
    done = tools_run(TCG)
    require(done.returncode == 0, f"the status is {done.returncode}: {last_line(done.stderr)}")
    require("reboot: Power down" in done.stdout, "the guest did not power off")


@slow
def test_input_without_a_terminal_ends_the_run_in_bochs():
    require(tools_run({"EMU": "bochs", "TIMEOUT": "900"}).returncode == 0, "the status is not 0")


@slow
def test_terminal_is_the_guests_and_qemu_keeps_its_keys():
    shown, status = tools_run_on_a_terminal(TCG, [(rb"/ # ", b"echo so $((6 * 7))\r"), (rb"so 42", b"\x01c"),
                                                  (rb"\(qemu\)", b"\x01x")])
    require(status == 0, f"the status is {status}: {last_line(shown)}")


def write_triple_fault(path):
    """A multiboot kernel, flat at 1 MiB, that loads an empty IDT and breaks: lidt, int3."""
    base, magic, flags = 0x100000, 0x1badb002, 1 << 16
    header = [magic, flags, -(magic + flags) & 0xffffffff, base, base, 0, 0, base + 32]
    code = b"\x0f\x01\x1d" + (base + 40).to_bytes(4, "little") + b"\xcc" + bytes(24)
    with open(path, "wb") as file:
        file.write(b"".join(word.to_bytes(4, "little") for word in header) + code)


# adversarial: 30
def test_triple_fault_of_a_multiboot_kernel_is_told():
    kernel = scratch("triple.bin")
    write_triple_fault(kernel)
    for bare, line in (("", "umbra: guest: triple fault at rip 100027"), ("1", "a triple fault has reset the machine")):
        require_line(tools_run({**TCG, "MULTIBOOT": kernel, "BARE": bare}), "^tools/run: " + line, status=125)


def test_multiboot_kernel_over_memory_of_the_firmware_boots_with_force():
    machine = {**TCG, "MULTIBOOT": MULTIBOOT + "mb1-high.elf", "GUEST_MEM": "512M"}
    require_line(tools_run(machine), r"^tools/run: umbra: error: .*not free.*\(make run: FORCE=1\)$", status=125)
    done = tools_run({**machine, "FORCE": "1"})
    require("umbra: starting the guest" in done.stdout, f"it did not start: {last_line(done.stdout)}")
