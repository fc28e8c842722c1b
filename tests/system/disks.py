# SPDX-License-Identifier: BSD-2-Clause
"""Boot entries of several disks: a stick that holds Umbra alone boots the system that it finds, the own volume's
default wins where it has one, what is broken does not end the boot."""
import os
import re
import shutil
import struct
import subprocess

import vm
from common import BOOT_TIMEOUT, RELEASE, boot, debian, require, run_command, scratch
from dialog import Dialog

XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
LINUX_DATA = "0fc63daf-8483-4772-8e79-3d69d8477de4"
IMAGE = "build/guest/debug.bin"  # a kernel of which only the loader's lines are wanted
STARTED = rb"umbra: leaving the firmware|umbra: error:"


def entry(title, options="ram_mib=512", kernel="/kernel"):
    return f"title {title}\nlinux {kernel}\noptions {options}\n"


def image(name, files, kind=None):
    """A disk with one partition, an ESP or of another type; files: path there to text, or to the name of a file."""
    tree = scratch(name)
    os.makedirs(tree)
    for path, what in files.items():
        if os.path.exists(what):
            os.makedirs(os.path.dirname(f"{tree}/{path}"), exist_ok=True)
            shutil.copy(what, f"{tree}/{path}")
        else:
            vm.write_text(f"{tree}/{path}", what)
    return finish_image(name, tree, kind)


def finish_image(name, tree, kind):
    out = scratch(name + ".img")
    subprocess.run(["tools/mkimage", out, tree], check=True)
    if kind:
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        subprocess.run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", "--part-type", out, "1", kind], env={**os.environ, "PATH": path}, check=True)
    return out


def system_disk(name, machine, kind=None):
    """What an installed system would leave: kernel, initramfs and an entry, no loader that the firmware starts."""
    tree = scratch(name)
    vm.lay_out_esp(machine, tree)
    shutil.rmtree(tree + "/EFI")
    os.rename(tree + "/loader/entries/umbra.conf", tree + "/loader/entries/system.conf")
    return finish_image(name, tree, kind)


def stick(name, files=None):
    """What Umbra is started from."""
    return image(name, {"EFI/BOOT/BOOTX64.EFI": RELEASE, **(files or {})})


def start(name, disk, disks):
    """As far as the loader comes."""
    return boot(name, vm.Machine(disk=disk, disks=disks, memory="512M"), timeout=BOOT_TIMEOUT, until=STARTED).text


def chosen(text):
    """The entry's file and title."""
    found = re.search(r'umbra: entry (\S+), "(.*?)"', text)
    return found.groups() if found else None


# A loader.conf on a stick without entries, by which the first system of another disk is counted down to.
FIRST_SYSTEM = {"loader/loader.conf": "default *\ntimeout 5\n"}


def test_stick_without_entries_boots_the_system_of_another_disk():
    there = system_disk("system", debian(title="System", command="uname -r; umbractl stats"))
    result = run_command("disks-stick", vm.Machine(disk=stick("first", FIRST_SYSTEM), disks=[there]))
    require(b"walks" in result.output, "umbractl counts nothing")
    require("no entry for Umbra on the volume that it was started from" in result.text, "it does not say why")
    require(re.search(r'booting "System \(disk 2, partition 1\)" in 5 s', result.text), "nothing was counted down")
    require(chosen(result.text) == ("system.conf", "System (disk 2, partition 1)"), f"it chose {chosen(result.text)}")


def test_system_on_a_partition_for_boot_loaders_boots():
    there = system_disk("xbootldr", debian(title="System", command="umbractl stats"), XBOOTLDR)
    result = run_command("disks-xbootldr", vm.Machine(disk=stick("first", FIRST_SYSTEM), disks=[there]))
    require(b"walks" in result.output, "umbractl counts nothing")


def test_own_default_wins_over_other_disks():
    own = stick("own", {"kernel": IMAGE, "loader/entries/own.conf": entry("Own"), "loader/loader.conf": "timeout 1\n"})
    there = image("other", {"kernel": IMAGE, "loader/entries/z.conf": entry("Other"), "loader/loader.conf": "default z\ntimeout 9\n"})
    text = start("disks-own", own, [there])
    require(chosen(text) == ("own.conf", "Own") and "leaving the firmware" in text, f"it chose {chosen(text)}")
    require('booting "Own" in 1 s' in text, "the other disk's loader.conf counts")


def test_menu_lists_the_entries_of_all_disks_and_boots_from_each():
    own = stick("menu", {"kernel": IMAGE, "loader/entries/own.conf": entry("Own"), "loader/entries/a.conf": "title Program\nefi /EFI/x.efi\n",
                         "loader/loader.conf": "timeout menu-force\n"})
    there = image("second", {"k2": IMAGE, "loader/entries/one.conf": entry("One", kernel="/k2"), "loader/entries/two.conf": entry("Two", kernel="/k2")})
    third = image("third", {"k3": IMAGE, "loader/entries/three.conf": entry("Three", kernel="/k3")}, XBOOTLDR)
    with Dialog("disks-menu", vm.Machine(disk=own, disks=[there, third], memory="512M")) as dialog:
        lines = re.findall(r"^[> ] (\S.*?)$", dialog.see(r"Umbra boot menu +1 of 5\n(.*\n)*.*Esc leave"), re.M)
        wanted = ["Own", "Program  (starts an EFI program, which cannot run under Umbra)", "Two (disk 2, partition 1)", "One (disk 2, partition 1)",
                  "Three (disk 3, partition 1)"]
        require(lines == wanted, f"the menu is {lines}")
        dialog.press("end", "ret")
        dialog.hear("leaving the firmware")
        text = dialog.text()
        require(chosen(text) == ("three.conf", wanted[4]) and "loading /k3" in text, f"it chose {chosen(text)}")


def failing_folder(path):
    """A -drive that has an I/O error where the folder of entries is read."""
    with open(path, "rb") as file:
        at = file.read().index(b"GOOD    CON")
    return (f"driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={path},"
            f"file.inject-error.0.event=read_aio,file.inject-error.0.errno=5,file.inject-error.0.sector={at // 512}")


def test_broken_disks_do_not_end_the_boot():
    garbage = image("garbage", {"kernel": IMAGE, "loader/entries/a.conf": "\x01\x02\x03\n\n= ;", "loader/entries/b.conf": "linux /nowhere/" + "x" * 9000})
    record = scratch("record")
    with open(record, "wb") as file:  # what a folder that has fake.conf would be read as
        file.write((bytes(80) + "fake.conf\0".encode("utf-16-le")).ljust(600, b"\0"))
    no_folder = image("no-folder", {"loader/entries": record})
    data = image("data", {"kernel": IMAGE, "loader/entries/data.conf": entry("Data")}, LINUX_DATA)
    unread = failing_folder(image("unread", {"loader/entries/GOOD.CON": "x", "loader/entries/unread.conf": entry("Unread")}))
    good = image("good", {"kernel": IMAGE, "loader/entries/good.conf": entry("Good")})
    text = start("disks-broken", stick("first", FIRST_SYSTEM), [garbage, no_folder, data, unread, good])
    require(re.search(r"disk \d, partition 1: the folder /loader/entries cannot be read", text), "nothing is said of the disk with an error")
    require(chosen(text) and chosen(text)[0] == "good.conf" and "leaving the firmware" in text, f"it chose {chosen(text)}")
    require("  (/loader/entries/a.conf line 1: unknown key" in text and "  (/loader/entries/b.conf line 1: key \"linux\" has a value" in text and "Data" not in text and "Unread" not in text, "the list is another one")


def test_stick_with_umbra_alone_waits_with_the_self_test_before_the_systems():
    there = image("offered", {"kernel": IMAGE, "loader/entries/one.conf": entry("One")})
    with Dialog("disks-offer", vm.Machine(disk=stick("stick"), disks=[there], memory="512M")) as dialog:
        shown = dialog.see(r"Umbra boot menu +1 of 2\n(.*\n)*.*Esc leave")
        lines = re.findall(r"^[> ] (\S.*?)$", shown, re.M)
        require(lines == ["Self-test", "One (disk 2, partition 1)"], f"the menu is {lines}")
        require(not re.search(r"booting .* in \d", shown), "it counts down")
        dialog.press("down", "ret")
        dialog.hear("leaving the firmware")
        require(chosen(dialog.text()) == ("one.conf", "One (disk 2, partition 1)"), f"it chose {chosen(dialog.text())}")


def test_nothing_on_any_disk_starts_the_self_test():
    text = start("disks-nothing", stick("stick"), [image("empty", {"x": "y"})])
    require('booting "Self-test" in 5 s' in text and chosen(text) == ("self-test", "Self-test"), f"it chose {chosen(text)}")
    require("leaving the firmware" in text, "it was not started")


def unified_kernel(path, parts):
    """A PE file with these sections, {name: bytes} or pairs of them, and no code."""
    headers, body, at = b"", b"", 0x1000
    for name, data in list(parts.items() if isinstance(parts, dict) else parts):
        padded = data + bytes(-len(data) % 512)
        headers += struct.pack("<8s6I2HI", name.encode(), len(data), 0, len(padded), at + len(body), 0, 0, 0, 0, 0)
        body += padded
    coff = struct.pack("<HHIIIHH", 0x8664, len(headers) // 40, 0, 0, 0, 0, 0x22e)
    head = b"MZ" + bytes(0x3a) + struct.pack("<I", 0x40) + b"PE\0\0" + coff + headers
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(head + bytes(at - len(head)) + body)
    return path


def test_unified_kernel_image_boots_with_its_initrd_and_command_line():
    machine = debian(command="cat /proc/cmdline; umbractl stats")
    vm.write_text(scratch("command"), machine.command + "\n")
    subprocess.run(["tools/mkinitramfs", scratch("command.img"), "--file", scratch("command") + ":/umbra/command"], check=True)
    initrd = b""
    for path in (*machine.initrds, scratch("command.img")):
        initrd += bytes(-len(initrd) % 4) + vm.read_file(path)
    unified = unified_kernel(scratch("system.efi"), {
        ".osrel": b'ID=debian\nPRETTY_NAME="A unified kernel"\n', ".cmdline": f"{vm.LINUX} unified=yes\n".encode(), ".initrd": initrd,
        ".linux": vm.read_file(machine.kernel)})
    short = unified_kernel(scratch("short.efi"), {".linux": bytes(4096), ".initrd": bytes(8192)})
    os.truncate(short, 6000)
    there = image("uki", {"EFI/Linux/system.efi": unified, "EFI/Linux/short.efi": short, "EFI/Linux/other.efi": RELEASE})
    result = run_command("disks-uki", vm.Machine(disk=stick("first", FIRST_SYSTEM), disks=[there]))
    require(b"unified=yes" in result.output and b"walks" in result.output, "it had another command line")
    require(chosen(result.text) == ("system.efi", "A unified kernel (disk 2, partition 1)"), f"it chose {chosen(result.text)}")
    require("short (disk 2, partition 1)  (/EFI/Linux/short.efi: a section" in result.text and "other" not in result.text, "the list is another one")
