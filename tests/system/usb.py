# SPDX-License-Identifier: BSD-2-Clause
"""tools/make-usb: what it shows, writes, and refuses, on disks that only a folder like /sys knows; and, where there are
loop devices, on one of those."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import shutil
import subprocess
import sys

import vm
from common import needs, require, together

WORK = "build/usb"
IMAGE = WORK + "/image"
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def load():
    loader = importlib.machinery.SourceFileLoader("make_usb", "tools/make-usb")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_usb", loader))
    loader.exec_module(module)
    return module


make_usb = load()


class Fake(make_usb.System):
    """Disks are folders below build/usb/sys and, for what is written, files in build/usb."""

    def __init__(self):
        shutil.rmtree(WORK, ignore_errors=True)
        super().__init__(WORK + "/sys", WORK + "/proc")
        self.numbers, self.mounted = {}, []
        vm.write_text(self.proc + "/swaps", "Filename Type Size Used Priority\n")
        os.makedirs(self.sys + "/dev/block")
        with open(IMAGE, "wb") as file:
            file.write(bytes(range(256)) * 4096 * 9)

    def block_number(self, path):
        return self.numbers[path] if path in self.numbers else super().block_number(path)

    def add(self, path, place, number, size=64 << 20, **more):
        """A disk, a partition or what stands on one, at this place of /sys/devices."""
        folder = f"{self.sys}/devices/{place}"
        os.makedirs(folder + "/holders")
        for name, value in {"dev": number, "size": str(size // 512), "removable": "0", "ro": "0", **more}.items():
            vm.write_text(f"{folder}/{name.replace('__', '/')}", value + "\n")
        os.symlink(os.path.abspath(folder), f"{self.sys}/dev/block/{number}")
        self.numbers[path] = number
        return folder

    def stick(self, **more):
        """At USB, with one partition; its name is the file that is written."""
        path = WORK + "/sdx"
        with open(path, "wb") as file:
            file.truncate(64 << 20)
        place = "pci0/usb2/2-1/block/sdx"
        self.add(path, place, "8:16", **{"removable": "1", "device__vendor": "ACME", "device__model": "Stick", "device__serial": "S123", **more})
        self.add(path + "1", place + "/sdx1", "8:17", size=32 << 20, partition="1")
        return path

    def mount(self, number, place, source="none"):
        self.mounted.append(f"30 1 {number} / {place} rw - ext4 {source} rw")
        vm.write_text(self.proc + "/self/mountinfo", "\n".join(self.mounted) + "\n")


def write(system, path, typed="sdx", force=False):
    """(what it printed, its refusal or "")"""
    printed, refusal = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            make_usb.write_image(IMAGE, path, system, force, read=lambda prompt: typed)
        except make_usb.Problem as problem:
            refusal = str(problem)
    return printed.getvalue(), refusal


def refused(system, path, line, **more):
    before = vm.read_file(path)
    printed, refusal = write(system, path, **more)
    require(refusal == line, f"it says {refusal!r}, not {line!r}")
    require(vm.read_file(path) == before, f"{line}: it was written to")
    return printed


@together("usb")
@needs()
def test_make_usb_shows_the_stick_writes_and_reads_back():
    system = Fake()
    path = system.stick()
    printed, refusal = write(system, path)
    require(not refusal, refusal)
    require(f"{path}: ACME Stick, serial number S123, 64 MiB, USB\n  sdx1  32 MiB\n" in printed, f"it shows {printed}")
    require(vm.read_file(path)[:os.path.getsize(IMAGE)] == vm.read_file(IMAGE), "the stick has something else")


@together("usb")
@needs()
def test_make_usb_writes_nothing_without_the_device_s_name_typed():
    for typed in ("", "y", "yes", "sdy"):
        system = Fake()
        refused(system, system.stick(), "nothing was written", typed=typed)


@together("usb")
@needs()
def test_make_usb_refuses_what_must_not_be_written_to():
    system = Fake()
    path = system.stick()
    refused(system, path + "1", f"{path}1 is a partition; the image is for a whole disk: DEV=/dev/sdx")
    refused(system, "LICENSE", "LICENSE is not a block device")
    refused(system, "/dev/null", "/dev/null is not a block device")
    refused(system, "build/nowhere", "build/nowhere: no such file or directory")
    system.mount("8:17", "/media/my\\040stick")
    printed = refused(system, path, f"{path}: sdx1 is mounted at /media/my stick; umount it first", force=True)
    require("sdx1  32 MiB, mounted at /media/my stick" in printed, f"it shows {printed}")
    system.mount("8:16", "/")
    refused(system, path, f"{path} is the disk that the running system is on", force=True)
    for more, line in (({"size": 1 << 20}, "is too small: 1 MiB, and the image has 9 MiB"), ({"ro": "1"}, "is read-only")):
        system = Fake()
        refused(system, system.stick(**more), f"{path} {line}", force=True)


@together("usb")
@needs()
def test_make_usb_refuses_the_running_system_s_disk_below_lvm_and_a_disk_in_use():
    system = Fake()
    path = system.stick()
    mapped = system.add("/dev/dm-0", "virtual/block/dm-0", "254:0")
    os.symlink(os.path.abspath(mapped), f"{system.folder('8:17')}/holders/dm-0")
    refused(system, path, f"{path} is in use by dm-0 (RAID, LVM, encryption or swap)", force=True)
    system.mount("254:0", "/")
    refused(system, path, f"{path} is the disk that the running system is on", force=True)
    system = Fake()
    system.stick()
    system.mount("0:40", "/", path + "1")  # as Btrfs shows it
    refused(system, path, f"{path} is the disk that the running system is on", force=True)
    system = Fake()
    vm.write_text(system.proc + "/swaps", "Filename Type Size Used Priority\n/dev/sdx1 partition 1 0 -2\n")
    refused(system, system.stick(), f"{path} is in use by sdx1 (RAID, LVM, encryption or swap)", force=True)


@together("usb")
@needs()
def test_make_usb_takes_a_fixed_disk_only_if_forced():
    system = Fake()
    path = WORK + "/sdx"
    system.add(path, "pci0/ata1/block/sdx", "8:16")
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    refused(system, path, f"{path} is a disk of this machine's: neither removable nor at USB; FORCE=1 takes it all the same")
    _, refusal = write(system, path, force=True)
    require(not refusal and vm.read_file(path)[:os.path.getsize(IMAGE)] == vm.read_file(IMAGE), f"it was not written: {refusal}")


@together("usb")
@needs()
def test_make_usb_tells_of_a_stick_that_does_not_keep_what_is_written():
    system = Fake()
    path = system.stick()
    genuine = make_usb.write
    try:
        def broken(image, device):
            genuine(image, device)
            with open(device, "r+b") as file:
                file.seek(5 << 20)
                file.write(b"x")
        make_usb.write = broken
        _, refusal = write(system, path)
    finally:
        make_usb.write = genuine
    require(refusal == f"{path}: what was read back near MiB 4 is not what was written; the device is broken", f"it says {refusal!r}")


def tool(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": PATH, **more.pop("env", {})}, **more)


def run_tool(device, typed="", **environment):
    return tool(sys.executable, "tools/make-usb", IMAGE, device, input=typed + "\n", env={"FORCE": "", **environment})


def check_on_loop_device(loop):
    done = run_tool(loop)
    require(done.returncode == 1 and "FORCE=1 takes it" in done.stderr, f"without FORCE it says {done.stderr}")
    done = run_tool(loop, os.path.basename(loop), FORCE="1")
    require(done.returncode == 0 and f"{loop} is ready" in done.stdout, done.stdout + done.stderr)
    require(vm.read_file(loop)[:os.path.getsize(IMAGE)] == vm.read_file(IMAGE), "it has something else")
    os.makedirs(WORK + "/mnt")
    tool("mke2fs", "-q", "-F", loop)
    if tool("mount", loop, WORK + "/mnt").returncode == 0:
        done = run_tool(loop, os.path.basename(loop), FORCE="1")
        tool("umount", WORK + "/mnt")
        require(done.returncode == 1 and f"is mounted at {os.path.abspath(WORK)}/mnt" in done.stderr, f"mounted, it says {done.stderr}")


@together("usb")
@needs("losetup")
def test_make_usb_writes_to_a_loop_device_where_there_is_one():
    Fake()
    require(run_tool("").stderr.startswith("tools/make-usb: name the device: make usb DEV=/dev/sdX"), "without DEV it says nothing of use")
    with open(WORK + "/stick", "wb") as file:
        file.truncate(80 << 20)
    made = tool("losetup", "-f", "--show", WORK + "/stick")
    if made.returncode:  # no root, or a container
        print(f"(no loop device: {made.stderr.strip()})")
        return
    try:
        check_on_loop_device(made.stdout.strip())
    finally:
        tool("losetup", "-d", made.stdout.strip())
