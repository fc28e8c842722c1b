# SPDX-License-Identifier: BSD-2-Clause
"""The image for a USB stick (tools/make-stick), on usb-storage at xHCI: what is on it, and its own system, which mounts
what there is on an NVMe and on AHCI disks and has shells on the serial port and on the screen."""
import os
import re
import shutil
import subprocess

import vm
from common import needs, require, slow, together
from talking import talk

IMAGE = "build/umbra.img"
WORK = "build/stick"
PROMPT = rb"umbra# "
TIMEOUT = 1500
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
FILES = {"/EFI/BOOT/BOOTX64.EFI", "/LICENSE", "/README.txt", "/umbra-install", "/debian/initrd.img", "/debian/linux", "/loader/loader.conf",
         "/loader/entries/self-test.conf", "/loader/entries/debian.conf", "/loader/entries/debian-bare.conf", "/loader/entries/my-kernel.conf.example"}


def shell(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PATH": PATH}, **more).stdout


def image():
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "KERNEL")}
    subprocess.run(["make", "-s", IMAGE], check=True, stdout=subprocess.DEVNULL, env=environment)
    os.makedirs(WORK, exist_ok=True)
    return IMAGE


def partition():
    """The image's file system as a file of its own."""
    out = WORK + "/partition"
    shell("dd", f"if={image()}", f"of={out}", "bs=1M", "skip=1", "count=510", "conv=sparse", "status=none")
    return out


@together("stick")
@needs()
def test_stick_is_a_valid_disk_with_what_belongs_on_it_and_room_for_more():
    require(os.path.getsize(image()) == 512 << 20, "it is not 512 MiB large")
    require(os.stat(IMAGE).st_blocks * 512 < 256 << 20, "it is not sparse")
    require("No errors detected" in shell("sfdisk", "--verify", IMAGE), "sfdisk finds errors")
    shell("fsck.vfat", "-n", partition())
    found = {line for line in shell("mdir", "-/", "-b", "-i", IMAGE + "@@1M", "::/").replace("::", "").split("\n") if line and not line.endswith("/")}
    require(found == FILES, f"more or less: {sorted(found ^ FILES)}")
    free = re.search(r"([\d ]+) bytes free", shell("mdir", "-i", IMAGE + "@@1M", "::/")).group(1)
    require(int(free.replace(" ", "")) > 256 << 20, f"only {free} bytes are free")
    with open("VERSION") as version:
        require(f"Umbra {version.read().strip()}: this stick" in shell("mtype", "-i", IMAGE + "@@1M", "::/README.txt"), "README.txt is of another version")


def file_system(kind):
    """A disk of this kind of file system with a file in it, made without mounting anything."""
    disk, tree = f"{WORK}/{kind}.img", f"{WORK}/tree"
    shutil.rmtree(tree, ignore_errors=True)
    vm.write_text(tree + "/file", f"from {kind}\n")
    if os.path.exists(disk):
        os.unlink(disk)
    with open(disk, "wb") as file:
        file.truncate(320 << 20)
    if kind == "ext4":
        shell("mke2fs", "-q", "-t", "ext4", "-L", "T-ext4", "-d", tree, disk)
    elif kind == "btrfs":
        shell("mkfs.btrfs", "-q", "-L", "T-btrfs", "--rootdir", tree, disk)
    else:
        vm.write_text(WORK + "/xfs", f"/\n0 0\nd--755 0 0\nfile ---644 0 0 {tree}/file\n$\n")
        shell("mkfs.xfs", "-q", "-L", "T-xfs", "-p", WORK + "/xfs", disk)
    return disk


def disks():
    """ext4 on NVMe, XFS and Btrfs on AHCI."""
    arguments = []
    for kind, device in (("ext4", "nvme,serial=disk"), ("xfs", "ide-hd,bus=ide.0"), ("btrfs", "ide-hd,bus=ide.1")):
        arguments += ["-drive", f"file={file_system(kind)},format=raw,if=none,id={kind},snapshot=on", "-device", f"{device},drive={kind}"]
    return arguments


def stick_for(entry):
    """A copy that starts this entry. A busy emulator's timer interrupts come too late for Linux's check of them."""
    copy, text = f"{WORK}/{entry}.img", f"{WORK}/entry"
    shell("cp", "--sparse=always", image(), copy)
    vm.write_text(text, shell("mtype", "-i", copy + "@@1M", f"::/loader/entries/{entry}.conf") + "options no_timer_check\n")
    shell("mcopy", "-o", "-i", copy + "@@1M", text, f"::/loader/entries/{entry}.conf")
    vm.write_text(text, f"default {entry}\ntimeout 1\n")
    shell("mcopy", "-o", "-i", copy + "@@1M", text, "::/loader/loader.conf")
    return copy


def use_the_shell(said):
    """The conversation; what was said goes to the dictionary."""
    def conversation(guest):
        said["banner"] = guest.wait(PROMPT)
        for name, line in {"disks": "lsblk; blkid", "stats": "umbractl stats -0 | head -n 3", "nvme": "mount /dev/nvme0n1 /mnt && cat /mnt/file && umount /mnt",
                           "xfs": "mount -o ro $(blkid -L T-xfs) /mnt && cat /mnt/file && umount /mnt",
                           "btrfs": "mount -o ro $(blkid -L T-btrfs) /mnt && cat /mnt/file && umount /mnt",
                           "stick": "mount -o ro $(blkid -L UMBRA) /mnt && head -n 1 /mnt/README.txt; umount /mnt",
                           "drivers": "lsmod | cut -d ' ' -f 1 | tr '\\n' ' '", "net": "for n in 0 1; do udhcpc -n -q -i eth$n; done"}.items():
            said[name] = guest.ask(line, PROMPT)
        guest.monitor("device_add usb-net,netdev=n2,bus=bootusb.0")
        said["late"] = guest.ask("until grep -E 'rndis_host|cdc_ether' /proc/modules; do sleep 1; done", PROMPT)
        guest.press("echo typed > /dev/ttyS0\n")
        guest.wait(rb"typed\r?\n")
        said["screen"] = guest.ask("cat /dev/vcs1; echo the''end", rb"theend")
        guest.ask("poweroff", rb"reboot: Power down|Power down")
    return conversation


def check_shell(entry, running):
    said = {}
    extra = ["-netdev", "user,id=n1,restrict=on", "-device", "e1000,netdev=n1,romfile=", "-netdev", "user,id=n2,restrict=on",
             "-device", "usb-kbd,bus=bootusb.0", *disks()]
    machine = vm.Machine(disk=stick_for(entry), bus="usb", extra=extra)
    result = talk(f"stick-{entry}", machine, use_the_shell(said), TIMEOUT)
    require(result.exit == 0, f"it did not power off (QEMU: {result.exit})")
    require(running in said["banner"] and "mount -o ro" in said["banner"], f"it greets with {said['banner'][-900:]!r}")
    for name in ("xfs", "btrfs"):
        require(f"from {name}" in said[name], f"the disk with {name}: {said[name]!r}")
    require("from ext4" in said["nvme"], f"the disk on NVMe: {said['nvme']!r}")
    require("this stick" in said["stick"], f"the stick itself: {said['stick']!r}")
    require(all(label in said["disks"] for label in ("T-ext4", "T-xfs", "T-btrfs", "UMBRA")), f"lsblk and blkid show {said['disks']}")
    for driver in ("nvme", "ahci", "xhci_pci", "usb_storage", "usbhid", "virtio_net", "e1000"):
        require(driver in said["drivers"].split(), f"{driver} is not loaded: {said['drivers']}")
    require(said["net"].count(": 10.0.2.15") == 2, f"the network: {said['net']!r}")
    require("The stick's own Debian" in said["screen"] and "echo typed" in said["screen"], f"the screen shows {said['screen']!r}")
    return said


@together("stick")
def test_stick_boots_its_shell_on_screen_and_serial_and_mounts_the_machine_s_disks():
    said = check_shell("debian", "under Umbra ")
    require(re.search(r"exits +\d+", said["stats"]), f"umbractl says {said['stats']!r}")


@together("stick")
@slow
def test_stick_boots_the_same_without_the_hypervisor():
    said = check_shell("debian-bare", "without the hypervisor")
    require("does not run under Umbra" in said["stats"], f"umbractl says {said['stats']!r}")
