# SPDX-License-Identifier: BSD-2-Clause
"""Tests with firmware and boot code of Debian's for machines that start in real mode: the video BIOS called function by function,
then SeaBIOS from its reset vector, which starts GRUB from the disk, which starts syslinux's memdisk, which starts a disk in memory.
What all of them say bare is what they must say under the hypervisor."""
import os
import re
import struct
import subprocess

import vm
from common import BOCHS_TIMEOUT, boot, judge_checks, log_path, needs, require, scratch

GRUB = "/usr/lib/grub/i386-pc/"
SEABIOS = "/usr/share/seabios/bios.bin"
VIDEO = {"qemu": "/usr/share/seabios/vgabios-stdvga.bin", "bochs": "/usr/share/vgabios/vgabios.bin"}
MEMDISK = "/usr/lib/syslinux/memdisk"
MODULES = "biosdisk part_gpt part_msdos fat echo serial terminal cat hexdump hashsum gcry_sha256 gcry_md5 lsmmap cpuid test vbe " \
          "videoinfo linux16 boot ls lspci memrw pcidump".split()
# The screen, by the video BIOS, shows what comes before the second terminal_output.
CONFIGURATION = """\
serial --unit=0 --speed=115200
terminal_output serial console
echo NOTE: GRUB starts
ls (hd0)
ls (hd0,gpt1)/
lsmmap
lspci
terminal_output serial
videoinfo
sha256sum (hd0,gpt1)/kernel
hexdump --skip=0 --length=0x200 (mem)
hexdump --skip=0x400 --length=0x6c (mem)
hexdump --skip=0xb8000 --length=0xfa0 (mem)
hexdump --skip=0xfffe0 --length=0x1f (mem)
linux16 (hd0,gpt1)/memdisk
initrd16 (hd0,gpt1)/floppy.img
echo NOTE: memdisk starts
boot
"""
SECTOR = 512
CORE_SECTOR = 34                     # behind the GPT
BOOT_KERNEL_SECTOR = 0x5c            # of boot.img
BLOCKLIST = SECTOR - 12              # of the core's first sector: number of a sector, how many, segment


def grub_core():
    """GRUB for a disk that has it behind the GPT."""
    vm.write_text(scratch("grub.cfg"), CONFIGURATION)
    out = scratch("core.img")
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-d", GRUB, "-o", out, "-c", scratch("grub.cfg"), "-p", "(hd0,gpt1)/grub",
                    *MODULES], check=True)
    with open(out, "rb") as file:
        core = bytearray(file.read())
    core += bytes(-len(core) % SECTOR)
    struct.pack_into("<QH", core, BLOCKLIST, CORE_SECTOR + 1, len(core) // SECTOR - 1)
    return core


def put_grub(disk):
    """As grub-bios-setup does: the first sector's code, and the core in the gap before the first partition."""
    core = grub_core()
    require(len(core) <= (2048 - CORE_SECTOR) * SECTOR, f"GRUB's core has {len(core)} bytes")
    with open(GRUB + "boot.img", "rb") as file:
        code = bytearray(file.read()[:440])
    struct.pack_into("<Q", code, BOOT_KERNEL_SECTOR, CORE_SECTOR)
    with open(disk, "r+b") as file:
        file.write(code)
        file.seek(CORE_SECTOR * SECTOR)
        file.write(core)


def firmware_machine(emulator, umbra):
    name = f"{emulator}-{umbra or 'umbra'}"
    machine = vm.Machine(kernel="build/guest/legacy/bios.elf", multiboot=True, options="", memory="512M", emulator=emulator, umbra=umbra,
                         modules=[(VIDEO[emulator], "video"), (SEABIOS, "system")],
                         files=[(MEMDISK, "memdisk"), ("build/guest/legacy/floppy.img", "floppy.img")])
    work = scratch(name)
    os.makedirs(work, exist_ok=True)
    subprocess.run(["rm", "-rf", work + "/esp"], check=True)
    vm.make_disk(machine, work)
    put_grub(work + "/disk.img")
    machine.disk = work + "/disk.img"
    if emulator == "qemu":
        machine.extra = ["-machine", "smm=off"]
    return machine


def firmware(emulator, umbra):
    """All that is said from the first instruction in real mode on."""
    name = f"firmware-{emulator}-{umbra or 'umbra'}"
    result = boot(name, firmware_machine(emulator, umbra), timeout=BOCHS_TIMEOUT, until=rb"END: (\d+) failures|guest stopped")
    judge_checks(name, result)
    require("END: 0 failures" in result.text, f"it did not come to its end ({log_path(name)}): {result.panic or result.text[-200:]!r}")
    return PLACED.sub(r"\1", result.text)


# What memdisk says of memory above 1 MiB: GRUB puts its disk where its own heap has room, which depends on the seconds
# after which GRUB forgets what it has read.
PLACED = re.compile(r"^(bios (?:more of it|which is): ).*", re.M)
NUMBERS_OF_LINES = {"bios": 130, "NOTE": 2}


def compare_firmware(emulator):
    """From the first call of the video BIOS on, which is behind the loader's lines."""
    bare, umbra = (firmware(emulator, umbra) for umbra in ("bare", ""))
    bare, umbra = (text[text.index("PASS: "):].splitlines() for text in (bare, umbra))
    for word, number in NUMBERS_OF_LINES.items():
        found = sum(line.strip("\r").startswith(word) for line in bare)
        require(found >= number, f"only {found} lines begin with {word}")
    different = [f"{there!r}, bare {here!r}" for here, there in zip(bare, umbra) if here != there]
    require(len(bare) == len(umbra) and not different, f"{len(different)} of {len(bare)} lines differ: {different[:1]}")


@needs("qemu-system-x86_64")
def test_bios_and_boot_code_of_debian_say_what_they_say_on_bare():
    compare_firmware("qemu")


@needs("bochs")
def test_bios_and_boot_code_of_debian_say_what_they_say_on_bare_in_bochs_on_vmx():
    compare_firmware("bochs")
