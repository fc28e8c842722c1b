# SPDX-License-Identifier: BSD-2-Clause
"""Umbra on a firmware with a fault: tests/efi/faulty.c stands between the two and makes it. What the loader cannot do it
says in one line, and goes back; what a firmware may do it takes."""
import os
import random
import re
import struct

import bochs
import vm
from common import RELEASE, boot, debian, require, run_command, scratch
from consoles import spcr
from dialog import Dialog
from disks import IMAGE, entry, image, unified_kernel
from menu import LEFT, MENU, RESETS

FAULTY = "build/efi/faulty.efi"
ERROR = r"umbra: error: [^\n]*"
DRIVER = "EFI/umbra/drivers/a.efi"
MIB = 1 << 20


def on_stick(faults, files):
    """What is started is faulty.efi, which starts Umbra on a firmware with these faults."""
    return {"EFI/BOOT/BOOTX64.EFI": FAULTY, "umbra.efi": RELEASE, "faults": "\n".join(faults) + "\n", **files}


def one_entry(more="", kernel=IMAGE):
    return {"kernel": kernel, "loader/entries/one.conf": entry("Linux") + "umbra pool=32M\n" + more}


def noise(name, size):
    path = scratch(name)
    with open(path, "wb") as file:
        file.write(random.Random(7).randbytes(size))
    return path


# --- what a firmware may do ---------------------------------------------------------------

def linux_runs(name, fault, **settings):
    path = scratch(name + ".faults")
    vm.write_text(path, fault + "\n")
    machine = debian(efi=FAULTY, command="uname; umbractl stats; true", files=[(RELEASE, "umbra.efi"), (path, "faults")], **settings)
    result = run_command("faulty-" + name, machine)
    require(b"Linux" in result.output, "it did not boot")
    require((settings.get("umbra") == "bare") != (b"walks" in result.output), "umbractl says otherwise")
    return result.text


def test_firmware_that_lets_go_only_at_the_third_time_is_left():
    """Its map changes each time: the guest's has the pages that became the firmware's meanwhile."""
    linux_runs("exit", "exit")


def test_firmware_with_five_levels_of_page_tables_is_left_for_four():
    linux_runs("five-levels", "five-levels", cpu="max")
    linux_runs("five-levels-bare", "five-levels", umbra="bare")


def test_firmware_that_left_vmx_on_starts_linux_in_bochs_on_vmx():
    linux_runs("vmx", "vmx", emulator="bochs", memory=bochs.DEFAULT_MEMORY)


# --- what the loader says -----------------------------------------------------------------

def refused(name, fault, files, line, **settings):
    machine = vm.Machine(disk=image(name, on_stick([fault], files)), memory="512M", **settings)
    text = boot("faulty-" + name, machine, until=rb"umbra: error:[^\n]*\n|umbra: leaving the firmware").text
    require(re.search(line, text) and LEFT not in text, f"{name}: it says {re.findall(ERROR, text) or text[-600:]!r}")


def test_files_that_the_firmware_cannot_read_are_told():
    files = one_entry()
    refused("open", "open kernel", files, r"error: /kernel cannot be opened \(EFI status 8000000000000007\); check the file system")
    refused("seek", "seek kernel", files, r"error: /kernel cannot be read; check the file system")
    unified = unified_kernel(scratch("u.efi"), {".cmdline": b"quiet\n", ".linux": vm.read_file(vm.fetch_kernel("cloud") + "/vmlinuz")})
    refused("shrink", "shrink u.efi", {"EFI/Linux/u.efi": unified}, r"error: /EFI/Linux/u\.efi has become shorter; copy it again")


def test_other_volumes_that_the_firmware_cannot_open_are_passed_over():
    there = image("there", one_entry())
    with Dialog("faulty-volumes", vm.Machine(disk=image("volumes", on_stick(["volumes"], {})), disks=[there], memory="512M")) as dialog:
        require("Linux" not in dialog.see(r"^> Self-test"), "an entry of it is there")
        require(re.search(r"disk \d, partition 1: its file system cannot be read \(EFI status 8000000000000007\); passed over", dialog.text()), "nothing is said of it")


def fixed_kernel():
    """Debian's, with the word that it can be loaded elsewhere taken out (Linux boot protocol, relocatable_kernel)."""
    data = bytearray(vm.read_file(vm.fetch_kernel("cloud") + "/vmlinuz"))
    data[0x234] = 0
    path = scratch("fixed")
    with open(path, "wb") as file:
        file.write(data)
    return path


def movable_multiboot():
    """A flat multiboot 2 kernel of 64 KiB, 128 with its zeros, with the tags for its addresses, its entry, and a place of its own from 16 to 32 MiB."""
    tags = struct.pack("<HHIIIII", 2, 0, 24, MIB, MIB, MIB + (64 << 10), MIB + (128 << 10))
    tags += struct.pack("<HHII4x", 3, 0, 12, MIB)
    tags += struct.pack("<HHIIIII", 10, 0, 24, 16 * MIB, 32 * MIB, 4096, 0) + struct.pack("<HHI", 0, 0, 8)
    length = 16 + len(tags)
    path = scratch("movable")
    with open(path, "wb") as file:
        file.write((struct.pack("<IIII", 0xe85250d6, 0, length, -(0xe85250d6 + length) & 0xffffffff) + tags).ljust(64 << 10, b"\0"))
    return path


def test_memory_that_the_firmware_does_not_give_is_told():
    """Whatever it is for: pages of a size between that no other allocation has."""
    refused("pool", "pages 8192 8192", one_entry(), "error: not enough memory: no free block of 32 MiB for the hypervisor's pool; add memory or set a smaller pool=")
    refused("core", "pages 250 8191", one_entry(), r"error: not enough memory: no free block of \d+ MiB below 4 GiB for the hypervisor; add memory")
    refused("initrd", "pages 5120 5120", {**one_entry("initrd /initrd\n"), "initrd": noise("noise", 20 * MIB)},
            "error: not enough memory: no free block of 20 MiB for the initrd; add memory or use a smaller initrd")
    kernel = fixed_kernel()
    pages = os.path.getsize(kernel) // 4096  # with the set-up part, which is not kept
    refused("kernel", f"pages {pages - 40} {pages}", one_entry(kernel=kernel), r"error: not enough memory: no free block of \d+ KiB for the kernel's file; add memory")
    refused("multiboot", "pages 32 32", {"kernel": movable_multiboot(), "loader/entries/one.conf": "title Movable\nmultiboot /kernel\numbra pool=32M\n"},
            "error: not enough memory: no free block of 128 KiB from 0x1000000 to 0x2000000 for the kernel; add memory")


def test_tables_that_the_firmware_has_no_room_for_are_told():
    files = {**one_entry("acpi /t.aml\nacpi /u.aml\n"), "t.aml": noise_table("t.aml"), "u.aml": noise_table("u.aml")}
    refused("tables", "tables", files, r'error: acpi: the firmware does not take the tables \(EFI status 8000000000000009\); remove the lines "acpi"')
    refused("table-file", "pages 51 51", files, "error: no memory to read /t.aml; add memory")
    refused("table-room", "pages 90 200", files, r"error: not enough memory below 4 GiB for \d+ KiB of ACPI tables; add memory")


def noise_table(name):
    """An SSDT of 200 KiB with a name of its own, whose code is nothing but zeros."""
    path, table = scratch(name), bytearray(spcr(0x3f8)[:36].ljust(200 << 10, b"\0"))
    table[:10] = struct.pack("<4sIBB", b"SSDT", len(table), 2, 0)
    table[16:24] = name.encode().ljust(8)
    table[9] = -sum(table) & 0xff
    with open(path, "wb") as file:
        file.write(table)
    return path


def menu(name, fault, files=None):
    files = {**one_entry(), "loader/loader.conf": "timeout menu-force\n", **(files or {})}
    return Dialog("faulty-" + name, vm.Machine(disk=image(name, on_stick([fault], files)), memory="512M", extra=RESETS))


def test_switch_of_the_machine_is_asked_for_where_the_firmware_does_nothing():
    with menu("reset", "reset") as dialog:
        for key, what in (("ctrl-r", "restart"), ("f9", "switch off")):
            dialog.see(MENU)
            dialog.press(key)
            dialog.see(f"error: the firmware does not {what} the machine; use its switch")
            dialog.type("\x1b")


def test_set_up_that_the_firmware_does_not_remember_is_told():
    with menu("wishes", "wishes") as dialog:
        dialog.see(MENU)
        dialog.press("f7")
        dialog.see(r"error: the firmware does not take the wish for its set-up \(EFI status 8000000000000008\); restart an")  # the end of the row


def test_driver_that_is_not_signed_is_told():
    with menu("unsigned", "unsigned", {DRIVER: vm.fetch_kernel("refind") + "/ext4_x64.efi"}) as dialog:
        dialog.see(MENU)
        dialog.hear(r"umbra: /EFI/umbra/drivers/a\.efi: is not signed for Secure Boot; sign it or remove it")
