# SPDX-License-Identifier: BSD-2-Clause
"""Tests of machines with several processors: the hypervisor takes them all, the guest uses those that it may have and
reaches no other, and a panic on one stops the others."""
import re
import threading
import time

import bochs
import vm
from common import BOCHS_TIMEOUT, BOOT_TIMEOUT, DEBUG, IMAGE_TIMEOUT, boot, counter, debian, judge_checks, judge_image, log_path, require, run_command, scratch, slow
from monitor import Monitor, wait_for


def taken(text):
    """The APIC IDs that the boot log lists as taken."""
    found = re.search(r"umbra: processors: (\d+) taken, APIC IDs([ \d]*)", text)
    require(found, "the boot log does not say which processors were taken")
    require(int(found[1]) == len(found[2].split()), f"it says {found[0]!r}")
    return [int(number) for number in found[2].split()]


def check_boot(name, owned, uses, kind="cloud", timeout=BOOT_TIMEOUT, **settings):
    """As many are taken, and Linux uses as many and waits for none."""
    result = run_command(name, debian(kind, command="nproc; dmesg | grep -c 'failed to wakeup'; umbractl stats", **settings), timeout=timeout)
    said = result.output.decode()
    require(taken(result.text) == list(range(owned)), f"taken are {taken(result.text)}")
    require(said.split()[:2] == [str(uses), "0"] and re.search(rf"^cpus +{owned}$", said, re.M), f"the guest says {said[:100]!r}")
    own = [int(n) for n in re.findall(r"^cpu\d+_exits +(\d+)$", said, re.M)]
    require(len(own) == (uses if uses > 1 else 0), f"umbractl shows the exits of {len(own)} processors")
    every = int(re.search(r"^exits +(\d+)$", said, re.M)[1])
    require(not own or 0 <= sum(own) - every < every / 10, f"{every} exits are not the sum of {own}")  # they go on meanwhile
    return result


def test_linux_uses_all_of_two_processors():
    check_boot("cpus-2", 2, 2, cpus=2)


def test_linux_uses_all_of_four_processors():
    check_boot("cpus-4", 4, 4, cpus=4)


def test_i386_kernel_uses_all_of_four_processors():
    check_boot("cpus-4-i386", 4, 4, "686-pae", cpus=4)


@slow
def test_kernel_of_the_other_release_uses_all_of_four_processors():
    check_boot("cpus-4-other", 4, 4, "cloud-trixie", cpus=4)


@slow
def test_i386_kernel_without_pae_uses_two_processors():
    check_boot("cpus-2-686", 2, 2, "686", cpus=2)


def test_linux_uses_processors_with_the_pool_above_4_gib():
    result = check_boot("cpus-pool-above", 3, 3, cpus=3, memory="6G")
    pool = re.search(r"hidden from the guest: .* pool 0x(\w+) \+", result.text)
    require(pool and int(pool[1], 16) >= 1 << 32, "the pool is not above 4 GiB")


def test_all_processors_are_taken_however_many_the_guest_may_have():
    check_boot("cpus-option-one", 3, 1, cpus=3, umbra="cpus=1")


def test_linux_uses_as_many_processors_as_it_may_have():
    check_boot("cpus-option-two", 3, 2, cpus=3, umbra="cpus=2")


@slow
def test_linux_uses_all_of_sixteen_processors():
    check_boot("cpus-16", 16, 16, cpus=16, timeout=600)


# What differs from one run to the next.
NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")
# A busy machine: what takes longer than the kernel expects, and a line that another one may have cut short.
TIME = re.compile(r"(?i)\.\.\.\. node|took|too long|clocksource|watchdog|stall|hogged|tsc|calibrat|unstable|timeout|timed out|lost \d+ ")
# Devices are found when they are found, so of the information only that about processors counts; of the warnings all.
CONCERNS = re.compile(r"[0-4],|\d+,.*;.*(?i:cpu|apic|nmi|smp|mtrr|x86)")
# The kernel's records, "priority and facility,number,time,flags;text", up to one that is written here.
RECORDS = "echo end-of-records >/dev/kmsg; awk '{ print } /end-of-records/ { exit }' /dev/kmsg"
# One that goes on with a line which another processor's has cut in two: its flag.
CONTINUED = re.compile(r"\d+,\d+,\d+,c")
OFF_AND_ON = ("for c in 1 2 3; do echo 0 >/sys/devices/system/cpu/cpu$c/online; done; "
              "for c in 1 2 3; do echo 1 >/sys/devices/system/cpu/cpu$c/online; done; ")


def kernel_lines(name, umbra):
    """What the kernel says on a machine with four processors, three of which go off and on, without numbers."""
    result = run_command(name, debian(cpus=4, umbra=umbra, command=OFF_AND_ON + "nproc; " + RECORDS))
    said = result.output.decode()
    require(said.split()[0] == "4", f"the guest says {said[:100]!r}")
    require("end-of-records" in said, "the guest has not told all that its kernel has said")
    lines = [line for line in said.splitlines()[1:]
             if CONCERNS.match(line) and not CONTINUED.match(line) and not TIME.search(line)]
    require(len(lines) > 50, f"the kernel has said {len(lines)} lines of that kind")
    return {NUMBERS.sub("N", re.sub(r"^[^;]*;", "", line)): line for line in lines}


def test_kernel_says_nothing_that_it_does_not_say_bare():
    bare, ours = kernel_lines("cpus-dmesg-bare", "bare"), kernel_lines("cpus-dmesg-umbra", "")
    odd = [line for key, line in ours.items() if key not in bare]
    require(not odd, f"only under Umbra: {odd[:5]}")


def hotplug(name, rounds, timeout=BOOT_TIMEOUT, **settings):
    command = (f"i=0; while [ $i -lt {rounds} ]; do i=$((i + 1)); {OFF_AND_ON} done; nproc; dmesg | grep -c 'is now offline'; "
               "dmesg | grep -iE 'stale|warning:|bug:|nmi received'; umbractl stats")
    said = run_command(name, debian(cpus=4, command=command, **settings), timeout=timeout).output.decode()
    require(said.split()[:2] == ["4", str(3 * rounds)] and said.splitlines()[2].startswith("exits"), f"the guest says {said[:300]!r}")
    return said


def test_processors_go_off_and_on_again():
    hotplug("cpus-hotplug", 5)


@slow
def test_processors_go_off_and_on_a_hundred_times_with_audits():
    said = hotplug("cpus-hotplug-long", 34, efi=DEBUG, umbra="audit=2000", timeout=900)
    require(counter(said, "audits") > 0 and counter(said, "audit_errors") == 0, "shadow_audit found mismatches, or did not run")


def image(where, umbra="", memory="512M", mine=1, **settings):
    umbra = "bare" if where == "bare" else umbra
    return vm.Machine(kernel="build/guest/processors.bin", options=f"ram_mib=512 cpus={settings['cpus']} mine={mine}", umbra=umbra,
                      memory=memory, **settings)


def test_processors_that_bare_start_by_messages_are_counted():
    judge_image("processors[bare]", boot("image-processors-bare", image("bare", cpus=4), timeout=IMAGE_TIMEOUT))


# adversarial: 35
def test_no_message_makes_another_processor_run_the_guests_code():
    result = boot("image-processors-umbra", image("umbra", umbra="cpus=1", cpus=4), timeout=IMAGE_TIMEOUT)
    judge_image("processors[umbra]", result)
    require(taken(result.text) == [0, 1, 2, 3], f"taken are {taken(result.text)}")


# adversarial: 35
def test_no_message_makes_one_run_it_where_the_guest_may_have_fewer():
    result = boot("image-processors-option", image("umbra", umbra="cpus=2", cpus=3, mine=2), timeout=IMAGE_TIMEOUT)
    judge_image("processors[cpus=2]", result)
    require(taken(result.text) == [0, 1, 2], f"taken are {taken(result.text)}")


# adversarial: 35
def test_no_message_makes_one_run_it_that_there_is_no_memory_for():
    """Half of the shadow engine's part of so small a pool is enough for ten or eleven."""
    result = boot("image-processors-memory", image("umbra", umbra="pool=2M cpus=1", cpus=14), timeout=IMAGE_TIMEOUT)
    judge_image("processors[no memory]", result)
    require("no memory for the one with APIC ID 13: it stays off" in result.text and 1 < len(taken(result.text)) < 14,
            f"taken are {taken(result.text)}")


# adversarial: 35
@slow
def test_no_message_makes_another_processor_run_the_guests_code_in_bochs_on_vmx():
    ended = rb"END: (\d+) failures"
    result = boot("bochs-image-processors", image("umbra", umbra="cpus=1", cpus=2, emulator="bochs", bochs_cpu=bochs.DEFAULT_MODEL),
                  timeout=BOCHS_TIMEOUT, until=ended)
    judge_checks("processors[bochs]", result)
    require(taken(result.text) == [0, 1] and re.search(ended, result.serial), "it did not end, or fewer were taken")


# --- a panic stops all ------------------------------------------------------------

def in_hypervisor(cpu):
    rip, halted, interrupts = cpu
    return rip >= 0xffffffff80000000 and halted and not interrupts


def check_panic_stops_the_guest(name, umbra, busy):
    """A machine check there is one. What QEMU makes of the INIT that stops the guest: docs/hardware.md."""
    path, seen = scratch("qmp"), {}
    machine = debian(cpus=3, umbra=umbra, command="while :; do echo tick >/dev/console; sleep 0.1; done", extra=["-qmp", f"unix:{path},server=on,wait=off"])

    def meddle():
        if not wait_for(log_path(name), rb"tick", BOOT_TIMEOUT):
            return
        monitor = Monitor(path)
        seen["before"] = monitor.cpus()
        monitor.human("mce 2 0 0xb200000000000005 0x5 0 0")
        seen["told"] = wait_for(log_path(name), rb"the hypervisor has stopped", 120)
        time.sleep(3)
        monitor.ask("quit")

    open(log_path(name), "w").close()
    helper = threading.Thread(target=meddle, daemon=True)
    helper.start()
    result = boot(name, machine, timeout=2 * BOOT_TIMEOUT, until=rb"(?!)")
    helper.join(5)
    require("before" in seen, "Linux did not start")
    require(all(in_hypervisor(cpu) for cpu in seen["before"][busy:]), f"before it they are at {seen['before']}")
    require(seen["told"] and re.search(r"PANIC on CPU 2: exception 18 \(machine check\)", result.text), "CPU 2 does not tell of its machine check")
    require("tick" not in result.text.partition("the hypervisor has stopped")[2], "the guest goes on")


# adversarial: 29
def test_panic_on_a_processor_that_waits_stops_the_guest():
    check_panic_stops_the_guest("cpus-panic", "cpus=1", 1)


# adversarial: 29
def test_panic_on_a_processor_that_waits_stops_a_guest_with_two():
    check_panic_stops_the_guest("cpus-panic-two", "cpus=2", 2)
