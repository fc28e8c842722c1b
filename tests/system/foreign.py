# SPDX-License-Identifier: BSD-2-Clause
"""Memory that the firmware's map does not have, used as memory: Linux with memory added later, whose page tables then lie
there, and code in the firmware's ROM. The image tests/guest/device.c has the rest."""
import re

import bochs
import vm
from common import BOCHS_TIMEOUT, BOOT_TIMEOUT, DEBUG, IMAGE_TIMEOUT, boot, counter, debian, judge_checks, needs, require, run_command, slow

ADDED_MIB = 512
ADDED = ["-m", "1G,slots=2,maxmem=4G", "-object", f"memory-backend-ram,id=m1,size={ADDED_MIB}M", "-device", "pc-dimm,id=d1,memdev=m1"]
# online_kernel, if the kernel has not done so by itself: from then on it prefers this memory for its own, page tables included.
COMMAND = """
for m in /sys/devices/system/memory/memory*; do
    [ "$(cat $m/state)" = offline ] && echo online_kernel >$m/state
done
grep "^1.*System RAM" /proc/iomem
forks() { i=0; while [ $i -lt 150 ]; do (ls / >/dev/null) || exit 1; i=$((i+1)); done; echo forks done; }
forks
mount -t tmpfs -o size=300M tmpfs /tmp
yes umbra | head -c 60000000 >/tmp/a; cp /tmp/a /tmp/b; sha256sum /tmp/a /tmp/b
forks
awk '/zone +Normal/ {normal = 1} normal && /spanned/ {print}' /proc/zoneinfo
"""


def run_with_memory_added(name, **settings):
    more = "umbractl stats | grep audit\n" if "efi" in settings else ""
    machine = debian(command=COMMAND + more, extra=ADDED, **settings)
    return run_command(name, machine, timeout=2 * BOOT_TIMEOUT).output.decode()


@slow
def test_linux_with_memory_added_later_runs_as_on_bare():
    bare, umbra = (run_with_memory_added(f"memory-added-{name}", umbra=umbra) for name, umbra in (("bare", "bare"), ("umbra", "")))
    require(re.search(rf"spanned +{ADDED_MIB << 8}\b", umbra), f"the memory was not taken into use: {umbra[-300:]!r}")
    require(umbra == bare, f"it prints {umbra[-400:]!r}, bare {bare[-400:]!r}")


@slow
def test_linux_with_memory_added_later_is_audited_without_a_mismatch():
    text = run_with_memory_added("memory-added-audited", efi=DEBUG, umbra="audit=1000")
    require(counter(text, "audits") > 0, "no audit ran")
    require(counter(text, "audit_errors") == 0, "shadow_audit found mismatches")


def check_reboot_through_the_firmwares_entry(umbra, name="reboot-bios", **settings):
    """Linux goes to F000:FFF0 in real mode; the ROM's first instructions make exits. A reset would end the emulator."""
    machine = debian(command="reboot -f", options="console=ttyS0 reboot=bios", umbra=umbra, **settings)
    result = boot(f"{name}-{umbra or 'umbra'}", machine, timeout=BOCHS_TIMEOUT, until=rb"(?s)machine restart.*BdsDxe: starting|guest stopped")
    require("machine restart" in result.text, "the guest did not get so far")
    require(re.search(r"(?s)machine restart.*BdsDxe: starting", result.text), f"the firmware did not start: {result.text[-300:]!r}")


def test_reboot_through_the_firmwares_entry_starts_the_firmware():
    check_reboot_through_the_firmwares_entry("")


def test_reboot_through_the_firmwares_entry_starts_the_firmware_bare():
    check_reboot_through_the_firmwares_entry("bare")


@slow
@needs("bochs")
def test_reboot_through_the_firmwares_entry_starts_the_firmware_in_bochs_on_vmx():
    check_reboot_through_the_firmwares_entry("", "bochs-reboot-bios", emulator="bochs", memory=bochs.DEFAULT_MEMORY)


def rom(emulator, umbra):
    """The names of the checks that the image tests/guest/rom.c makes; all of them pass."""
    where = f"{emulator}-{umbra or 'umbra'}"
    # Bare QEMU tries without end to set A in an entry that cannot be written: docs/hardware.md.
    options = "unmarked=0" if where == "qemu-bare" else ""
    machine = vm.Machine(kernel="build/guest/rom.bin", options=options, memory="512M", umbra=umbra, emulator=emulator)
    result = boot(f"image-rom-{where}", machine, timeout=BOCHS_TIMEOUT if emulator == "bochs" else IMAGE_TIMEOUT,
                  until=rb"END: (\d+) failures|guest stopped|hypervisor has stopped")
    judge_checks(f"rom[{where}]", result)
    require("END: 0 failures" in result.text, f"the image did not end well: {result.panic or result.text[-200:]!r}")
    return set(re.findall(r"^PASS: (.*?)\s*$", result.text, re.M))


def compare_rom(emulator):
    bare, umbra = rom(emulator, "bare"), rom(emulator, "")
    require(len(bare) > 10 and bare == umbra, f"not in both: {bare ^ umbra}")


def test_the_firmwares_rom_serves_as_code_and_tables_as_on_bare():
    compare_rom("qemu")


def test_the_firmwares_rom_serves_as_code_and_tables_as_on_bare_in_bochs_on_vmx():
    compare_rom("bochs")
