# SPDX-License-Identifier: BSD-2-Clause
"""Tests of what the guest must not do to the machine: sleep without the hypervisor, mask A20, switch
tasks unseen; and of the ways to end it that it has."""
import functools
import re
import subprocess
import threading

import acpi
import monitor
import vm
from common import BOCHS_TIMEOUT, BOOT_TIMEOUT, IMAGE_TIMEOUT, boot, counter, debian, judge_checks, judge_image, needs, remembered, require, run_command, scratch, slow, together
from inspection import DEVICES, data_disk, inspect

# --- sleep, reset and power-off ---------------------------------------------------

# QEMU's q35: PM1a's status at port 0x600, its control at 0x604; sleep types S3 1, S4 2, S5 0; SLP_EN is bit 13.
SLEEP_1, SLEEP_2, SLEEP_7 = 0x2400, 0x2800, 0x3c00
SUSPEND = """
exits() { umbractl stats | head -1; }
echo +60 >/sys/class/rtc/rtc0/wakealarm
exits; echo mem >/sys/power/state; echo "suspended: $?"; exits
sha256sum /dev/vdb
ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; sleep 1; ping -c 2 -W 30 10.0.2.2 >/dev/null && echo "eth0 answers"
dmesg | grep "Waking up from system sleep state S3"
"""
REFUSED = r"guest asked for S3: refused"


# adversarial: 39
def test_suspend_to_ram_is_refused_and_the_guest_goes_on():
    expected = data_disk()
    result = run_command("s3", debian(command=SUSPEND, extra=DEVICES["cloud"][1]))
    text = result.output.decode()
    require("suspended: 0" in text and "Waking up" in text, f"the suspend failed: {text[-300:]!r}")
    exits = [int(n) for n in re.findall(r"^exits +(\d+)$", text, re.M)]
    require(len(exits) == 2 and exits[1] > exits[0], "the hypervisor does not answer behind it")
    require(expected in text and "eth0 answers" in text, "disk or network do not go on")
    require(len(re.findall(REFUSED, result.text)) == 1, "the serial log does not say once that it was refused")


def with_program(name, **settings):
    """A guest that has one of the programs of this folder."""
    archive = scratch(name + ".cpio")
    subprocess.run(["tools/mkinitramfs", archive, "--program", f"build/tools/{name}"], check=True)
    machine = debian(**settings)
    machine.initrds.append(archive)
    return machine


# adversarial: 39
def test_sleep_registers_are_guarded_against_accesses_of_every_size():
    command = f"""
port 0x604 2 {SLEEP_1}; port 0x600 2
port 0x600 2 0x8000; port 0x601 1
port 0x602 4 $(({SLEEP_1} << 16)); port 0x5fe 4
port 0x600 2 0x8000; port 0x605 1 {SLEEP_1 >> 8}; port 0x600 4
echo alive; umbractl version
"""
    result = run_command("s3-by-hand", with_program("port", command=command))
    seen = [int(value, 16) for value in re.findall(rb"^\w+: (\w+)$", result.output, re.M)]
    require(len(seen) == 4, f"it printed {result.output!r}")
    require([seen[0] >> 15 & 1, seen[1] >> 7 & 1, seen[2] >> 31 & 1, seen[3] >> 15 & 1] == [1, 0, 1, 1],
                f"WAK_STS in {[hex(value) for value in seen]}")
    require(len(re.findall(REFUSED, result.text)) == 1, "the serial log does not say so, once")


def test_sleep_type_that_no_table_names_is_refused():
    machine = with_program("port", command=f"port 0x604 2 {SLEEP_1}; port 0x604 2 {SLEEP_7}; umbractl version",
                        extra=["-global", "ICH9-LPC.disable_s3=1"])
    result = run_command("s3-unnamed", machine)
    require("refused (sleep type 1;" in result.text, "the serial log does not say so")


def end_of_guest(name, command, options="", **settings):
    """What QEMU tells by its QMP socket of the machine's end: SHUTDOWN's reason, and whether RESET or SUSPEND_DISK came."""
    path = scratch("qmp")
    machine = with_program("port", command=command, options=f"{vm.LINUX} {options}",
                        extra=["-qmp", f"unix:{path},server=on,wait=off"], **settings)
    events = []

    def listen():
        with monitor.connect(path) as qmp:
            qmp.sendall(b'{"execute": "qmp_capabilities"}')
            while data := qmp.recv(65536):
                events.append(data)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    result = boot(name, machine)
    require(result.exit == 0, f"the machine did not end by itself (status {result.exit})")
    listener.join(60)
    return b"".join(events).decode()


def check_reset(way):
    events = end_of_guest(f"reset-{way}", "reboot -f", f"reboot={way}")
    require('"reason": "guest-reset"' in events, f"QEMU says {events[-200:]!r}")


def test_reset_through_acpi():
    check_reset("acpi")


def test_reset_through_the_keyboard_controller():
    check_reset("kbd")


def test_reset_through_port_cf9():
    check_reset("pci")


def test_reset_by_the_third_processor():
    """Linux turns the others off first, by an interrupt, or by NMIs if that is not enough."""
    events = end_of_guest("reset-cpu", "taskset -c 2 reboot -f", cpus=3)
    require('"reason": "guest-reset"' in events, f"QEMU says {events[-200:]!r}")


def test_reset_through_port_92():
    events = end_of_guest("reset-92", "port 0x92 1 1; sleep 20")
    require('"reason": "guest-reset"' in events, f"QEMU says {events[-200:]!r}")


def test_power_off_is_s5():
    events = end_of_guest("power-off", "true")
    require('"reason": "guest-shutdown"' in events, f"QEMU says {events[-200:]!r}")


def test_s4_passes():
    events = end_of_guest("s4", f"port 0x604 2 {SLEEP_2}; sleep 20")
    require("SUSPEND_DISK" in events, f"QEMU says {events[-200:]!r}")


def check_kexec(name, program, timeout=BOOT_TIMEOUT, **settings):
    """The second kernel gets the same initramfs and a command of its own."""
    kernel = vm.fetch_kernel("cloud")
    base, command, second, more = vm.initramfs(kernel), scratch("command"), scratch("initrd"), scratch("cpio")
    vm.write_text(command, "cat /proc/cmdline; nproc; umbractl stats | head -1; exit 5\n")
    subprocess.run(["tools/mkinitramfs", more, "--file", command + ":/umbra/command"], check=True)
    with open(second, "wb") as file:
        for part in (base, more):
            with open(part, "rb") as source:
                file.write(source.read())
    subprocess.run(["tools/mkinitramfs", more, "--program", "build/tools/kexec", "--file", f"{kernel}/vmlinuz:/kexec/kernel",
                    "--file", second + ":/kexec/initrd"], check=True)
    machine = debian(command=f'{program} /kexec/kernel /kexec/initrd "{vm.LINUX} second=1"', **settings)
    machine.initrds.append(more)
    result = run_command(name, machine, status=5, timeout=timeout)
    require(re.search(rb"second=1\s+%d\s+exits +\d+" % machine.cpus, result.output), f"the second kernel printed {result.output[-300:]!r}")


def test_kexec_goes_on_in_another_kernel_under_the_hypervisor():
    check_kexec("kexec", "kexec")


def test_kexec_from_the_third_processor_goes_on_with_all():
    check_kexec("kexec-cpu", "taskset -c 2 kexec", cpus=3)


@slow
def test_kexec_from_the_second_processor_goes_on_with_both_in_bochs_on_vmx():
    check_kexec("bochs-kexec-cpu", "taskset -c 1 kexec", timeout=2 * BOCHS_TIMEOUT, emulator="bochs", memory="512M", cpus=2,
                acpi=acpi.bochs_tables(2))


def of_keyboard(dmesg):
    """The lines without times and the device's number, sorted: other threads of the kernel find devices meanwhile."""
    lines = re.findall(r"^.*(?:i8042|atkbd|AT Translated).*$", re.sub(r"(?m)^<\d+>\[[ .\d]*\] ", "", dmesg), re.M)
    return sorted(re.sub(r"input\d+$", "inputN", line) for line in lines)


@together("inspect-full")
def test_dmesg_of_the_keyboard_controller_is_as_on_bare():
    bare, umbra = (of_keyboard(inspect("full", mode)["dmesg"]) for mode in (True, False))
    require(bare and bare == umbra, f"the kernel says {umbra}, bare {bare}")


# --- how long one exit takes ---------------------------------------------------------
LONGEST = 300_000
FORKS = "forks {}; echo; umbractl stats"


# adversarial: 43
def test_no_exit_grows_with_the_guest():
    """QEMU's -icount shift=0: a tick of the TSC is an instruction."""
    machine = with_program("forks", command=FORKS.format(640), memory="1280M", extra=["-icount", "shift=0,sleep=off"])
    text = run_command("longest-exit", machine, timeout=3 * BOOT_TIMEOUT).output.decode()
    require("forks: done" in text, f"the program says {text[:300]!r}")
    longest = counter(text, "longest_exit")
    require(0 < longest <= LONGEST, f"the longest exit took {longest} instructions "
                f"(of the shadow engine's faults and flushes {counter(text, 'shadow_longest')})")
    require(counter(text, "shadow_dormants") > 600, "its flushes took no tables out of the shadow")


# --- outside long mode (tests/guest/legacy) ------------------------------------------

def legacy_machine(name, **settings):
    return vm.Machine(kernel=f"build/guest/legacy/{name}.elf", multiboot=True, options="", memory="512M", **settings)


def run_legacy(name, bare):
    where = "bare" if bare else "umbra"
    machine = legacy_machine(name, umbra="bare" if bare else "")
    judge_image(f"legacy-{name}[{where}]", boot(f"legacy-{name}-{where}", machine, timeout=IMAGE_TIMEOUT))


def run_legacy_in_bochs(name):
    ended = rb"END: (\d+) failures"
    result = boot(f"bochs-legacy-{name}", legacy_machine(name, emulator="bochs"), timeout=BOCHS_TIMEOUT, until=ended)
    judge_checks(f"legacy-{name}[bochs]", result)
    require(re.search(ended, result.serial), f"the image did not end{': ' if result.panic else ''}{result.panic or ''}")


def test_guest_that_switches_tasks_in_hardware_is_stopped():
    """QEMU's TCG makes no exit for it: docs/hardware.md. By CALL, by a task gate, with page tables of its own."""
    for how in ("taskswitch1", "taskswitch2", "taskswitch3"):
        result = boot(f"legacy-{how}", legacy_machine(how), timeout=IMAGE_TIMEOUT, until=rb"the guest has stopped|END: ")
        require(re.search(r"guest stopped: the processor holds [0-9a-f]+ in CR3", result.text), f"{how}: it was not stopped")


@remembered
def segments(emulator, umbra):
    """What the image tests/guest/legacy/segments.asm prints of each instruction through each type of segment."""
    name = f"legacy-segments-{emulator}-{umbra or 'umbra'}"
    result = boot(name, legacy_machine("segments", emulator=emulator, umbra=umbra), timeout=BOCHS_TIMEOUT,
                  until=rb"END: (\d+) failures|guest stopped")
    judge_checks(f"legacy-segments[{emulator}-{umbra or 'umbra'}]", result)
    require("END: 0 failures" in result.text, f"the image did not end well: {result.panic or result.text[-200:]!r}")
    return re.findall(r"^((?:operand|second|stack|code) [0-9a-f]+ .*?)\s*$", result.text, re.M)


def compare_segments(emulator):
    """QEMU's processor checks neither type nor limit; what its accesses to emulated memory get under Umbra is Bochs's answer."""
    bare, umbra = segments("bochs", "bare"), segments(emulator, "")
    require(len(bare) > 300, f"only {len(bare)} lines")
    different = [f"{there}, bare {here}" for here, there in zip(bare, umbra) if here != there]
    require(len(bare) == len(umbra) and not different, f"{len(different)} of {len(bare)} lines differ: {different[:1]}")


@together("segments")
@needs("bochs", "qemu-system-x86_64")
def test_segments_allow_emulated_accesses_what_a_processor_that_checks_them_allows():
    compare_segments("qemu")


@together("segments")
@needs("bochs")
def test_segments_allow_emulated_accesses_what_they_allow_on_bare_in_bochs_on_vmx():
    compare_segments("bochs")


def real_mode(emulator, umbra):
    """What the image tests/guest/legacy/modes.asm prints of each instruction in real mode."""
    name = f"legacy-modes-{emulator}-{umbra or 'umbra'}"
    result = boot(name, legacy_machine("modes", emulator=emulator, umbra=umbra), timeout=BOCHS_TIMEOUT,
                  until=rb"END: (\d+) failures|guest stopped")
    judge_checks(f"legacy-modes[{emulator}-{umbra or 'umbra'}]", result)
    require("END: 0 failures" in result.text, f"the image did not end well: {result.panic or result.text[-200:]!r}")
    return re.findall(r"^(real \d .*?)\s*$", result.text, re.M)


def compare_real_mode(emulator):
    bare, umbra = real_mode(emulator, "bare"), real_mode(emulator, "")
    require(len(bare) > 200, f"only {len(bare)} lines")
    different = [f"{there}, bare {here}" for here, there in zip(bare, umbra) if here != there]
    require(len(bare) == len(umbra) and not different, f"{len(different)} of {len(bare)} lines differ: {different[:1]}")


@needs("qemu-system-x86_64")
def test_every_instruction_in_real_mode_does_what_it_does_on_bare():
    compare_real_mode("qemu")


@needs("bochs")
def test_every_instruction_in_real_mode_does_what_it_does_on_bare_in_bochs_on_vmx():
    compare_real_mode("bochs")


def legacy_tests():
    found = {}
    for name in ("real", "code16", "v86", "a20"):
        for bare in (True, False):
            test = functools.partial(run_legacy, name, bare)
            test.slow = False
            found[f"legacy_{name}_{'bare' if bare else 'under_umbra'}_runs_to_its_end"] = test
    # Bochs makes an exit for a hardware task switch.
    for name in ("real", "code16", "v86", "a20", "taskswitch1", "taskswitch2", "taskswitch3"):
        test = functools.partial(run_legacy_in_bochs, name)
        test.slow = False
        found[f"legacy_{name}_runs_to_its_end_in_bochs_on_vmx"] = test
    return found
