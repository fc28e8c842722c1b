# SPDX-License-Identifier: BSD-2-Clause
"""tools/umbra-install in a tree that looks like an installed system, without booting one: what it adds, that all of it goes
away again, and each of its refusals. (tests/system/installed.py runs it in an installed Debian.)"""
import os
import shutil
import subprocess

import vm
from common import RELEASE, needs, require, together

WORK = "build/umbra-install"
ROOT = WORK + "/root"
ESP = ROOT + "/boot/efi"
LOADER_INFO = ROOT + "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
SECURE_BOOT = ROOT + "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# Programs that ask the machine, by name: what they do here instead.
PROGRAMS = {
    "id": "echo ${TEST_ID:-0}",
    "blkid": "echo 1234-ABCD",
    "df": "echo; echo /dev/sda1 0 0 ${TEST_FREE:-999999} 0 /",
    "update-grub": "[ -z ${TEST_GRUB_FAILS:-} ] || { echo 'error: no such disk' >&2; exit 1; }\n"
                   "for part in $UMBRA_INSTALL_ROOT/etc/grub.d/*; do $part; done >$UMBRA_INSTALL_ROOT/boot/grub/grub.cfg",
}
GRUB_LINUX = """#!/bin/sh
for kernel in $(ls -r $UMBRA_INSTALL_ROOT/boot/vmlinuz-*); do
	printf 'menuentry Debian {\\n\\tlinux\\t/boot/%s root=UUID=aa-bb ro quiet\\n}\\n' ${kernel##*/}
done
"""
ENTRY = "title Debian\nlinux /debian/linux\noptions root=/dev/sda2\n"


def program(path, text):
    vm.write_text(path, text)
    os.chmod(path, 0o755)


def add_kernel(version, size=5000):
    vm.write_text(f"{ROOT}/boot/vmlinuz-{version}", "k" * size + version)
    vm.write_text(f"{ROOT}/boot/initrd.img-{version}", "i" * size + version)


def make_tree(loader):
    """An installed system: with "grub" alone, or with "systemd-boot"."""
    shutil.rmtree(WORK, ignore_errors=True)
    for folder in ("boot/efi/EFI/BOOT", "var/lib", "usr/local/sbin", "sys/firmware/efi/efivars"):
        os.makedirs(f"{ROOT}/{folder}")
    vm.write_text(ROOT + "/proc/mounts", "/dev/sda2 / ext4 rw 0 0\n/dev/sda1 /boot/efi vfat rw 0 0\n")
    vm.write_text(ROOT + "/proc/cmdline", "BOOT_IMAGE=/x root=/dev/this ro single\n")
    vm.write_text(ROOT + "/etc/os-release", 'ID=debian\nPRETTY_NAME="Debian of the test"\n')
    for folder in ("kernel/postinst.d", "kernel/postrm.d", "initramfs/post-update.d"):
        os.makedirs(f"{ROOT}/etc/{folder}")
    add_kernel("6.1.0-9-amd64")
    add_kernel("6.1.0-10-amd64")
    for name, text in PROGRAMS.items():
        program(f"{WORK}/bin/{name}", f"#!/bin/sh\n{text}\n")
    if loader == "grub":
        program(ROOT + "/etc/grub.d/10_linux", GRUB_LINUX)
        vm.write_text(ROOT + "/boot/grub/grub.cfg", "")
        subprocess.run([f"{WORK}/bin/update-grub"], env={**os.environ, "UMBRA_INSTALL_ROOT": ROOT}, check=True)
    else:
        vm.write_text(ESP + "/EFI/systemd/systemd-bootx64.efi", "MZ")
        vm.write_text(ESP + "/loader/entries/debian.conf", ENTRY)
        vm.write_text(LOADER_INFO, "\6\0\0\0" + "".join(c + "\0" for c in "systemd-boot 252"))


def tree():
    """All that there is: path to mode and bytes."""
    found = {}
    for folder, folders, names in os.walk(ROOT):
        for name in folders + names:
            path = os.path.join(folder, name)
            found[path] = (os.stat(path).st_mode, None if os.path.isdir(path) else vm.read_file(path))
    return found


def run(*arguments, status=0, says="", script="tools/umbra-install", **environment):
    path = f"{os.path.abspath(WORK)}/bin:{os.environ['PATH']}"
    done = subprocess.run(["sh", script, *arguments], capture_output=True, text=True,
                          env={**os.environ, "PATH": path, "UMBRA_INSTALL_ROOT": os.path.abspath(ROOT), **environment})
    said = done.stdout + done.stderr
    require(done.returncode == status, f"{arguments}: the status is {done.returncode}, not {status}: {said}")
    require(says in said, f"{arguments}: it says {said!r}, not {says!r}")
    return said


def install(*arguments, **more):
    return run("--efi", RELEASE, *arguments, **more)


def read(path):
    return vm.read_file(path).decode()


@together("umbra_install")
@needs()
def test_umbra_install_adds_an_entry_to_systemd_boot_and_takes_it_away():
    make_tree("systemd-boot")
    before = tree()
    install(says="bootctl set-oneshot umbra.conf")
    require(vm.read_file(ESP + "/EFI/umbra/umbra.efi") == vm.read_file(RELEASE), "umbra.efi is another one")
    require("efi      /EFI/umbra/umbra.efi" in read(ESP + "/loader/entries/umbra.conf"), "the entry starts something else")
    require(os.listdir(ESP + "/EFI/umbra") == ["umbra.efi"], "kernels were copied, though the system has entries of its own")
    install()
    run("--remove", says="Umbra is gone", script=ROOT + "/usr/local/sbin/umbra-install")
    require(tree() == before, f"left or changed: {sorted(set(tree()) ^ set(before))}")


@together("umbra_install")
@needs()
def test_umbra_install_gives_a_system_with_grub_alone_an_entry_that_umbra_reads_and_takes_all_away():
    make_tree("grub")
    before = tree()
    install(says="GRUB_DEFAULT=umbra")
    menu = read(ROOT + "/boot/grub/grub.cfg")
    require("search --no-floppy --fs-uuid --set=root 1234-ABCD" in menu and "chainloader /EFI/umbra/umbra.efi" in menu, f"GRUB's menu is {menu}")
    entry = read(ESP + "/loader/entries/umbra-system.conf")
    for line in ("title   Debian of the test", "linux   /EFI/umbra/linux-6.1.0-10-amd64", "initrd  /EFI/umbra/initrd-6.1.0-10-amd64",
                 "options root=UUID=aa-bb ro quiet"):
        require(line + "\n" in entry, f"the entry has no line {line!r}: {entry}")
    require(read(ESP + "/EFI/umbra/initrd-6.1.0-10-amd64") == read(ROOT + "/boot/initrd.img-6.1.0-10-amd64"), "the initrd is another one")
    install()
    run("--remove")
    require(tree() == before, f"left or changed: {sorted(set(tree()) ^ set(before))}")


@together("umbra_install")
@needs()
def test_umbra_install_keeps_the_copies_up_to_date_by_the_system_s_hooks():
    make_tree("grub")
    before = tree()
    install()
    copies = lambda: sorted(os.listdir(ESP + "/EFI/umbra"))  # noqa: E731
    for hook in ("kernel/postinst.d", "kernel/postrm.d", "initramfs/post-update.d"):
        path = f"{ROOT}/etc/{hook}/zzz-umbra"
        require(os.access(path, os.X_OK) and "/usr/local/sbin/umbra-install --update" in read(path), f"{hook} has no hook")
    add_kernel("6.1.0-11-amd64")
    run("--update", says="Umbra starts Linux 6.1.0-11-amd64")
    require(copies() == ["initrd-6.1.0-11-amd64", "linux-6.1.0-11-amd64", "umbra.efi"], f"the ESP has {copies()}")
    vm.write_text(ROOT + "/boot/initrd.img-6.1.0-11-amd64", "made again")
    run("--update", TEST_FREE="900", status=1, says="/boot/efi is too full")
    require(read(ESP + "/EFI/umbra/initrd-6.1.0-11-amd64") != "made again", "it copies though there is no room")
    run("--update")
    require(read(ESP + "/EFI/umbra/initrd-6.1.0-11-amd64") == "made again", "the new initrd was not copied")
    vm.write_text(ROOT + "/etc/kernel/cmdline", "root=/dev/mine\n")
    for name in ("vmlinuz-6.1.0-11-amd64", "initrd.img-6.1.0-11-amd64"):
        os.remove(f"{ROOT}/boot/{name}")
    run("--update", says="Umbra starts Linux 6.1.0-10-amd64")
    require("options root=/dev/mine" in read(ESP + "/loader/entries/umbra-system.conf"), "/etc/kernel/cmdline does not count")
    os.remove(ROOT + "/etc/kernel/cmdline")
    run("--remove")
    require(tree() == before, f"left or changed: {sorted(set(tree()) ^ set(before))}")


def refuse(says, *arguments, loader="grub", spoil=lambda: None, **environment):
    make_tree(loader)
    spoil()
    before = tree()
    said = install(*arguments, status=1, says=says, **environment)
    require(tree() == before, f"{says}: left or changed: {sorted(set(tree()) ^ set(before))}")
    return said


@together("umbra_install")
@needs()
def test_umbra_install_refuses_in_one_line_and_changes_nothing():
    mounts = ROOT + "/proc/mounts"
    refuse("must be run as root", TEST_ID="1000")
    refuse("this system was not started by UEFI", spoil=lambda: shutil.rmtree(ROOT + "/sys/firmware/efi"))
    refuse("no EFI system partition is mounted at /efi, /boot/efi or /boot", spoil=lambda: vm.write_text(mounts, "/dev/sda2 / ext4 rw 0 0\n"))
    refuse("/srv is not a mounted EFI system partition", "--esp", "/srv")
    refuse("/boot/efi is too full: 2 MiB are needed, 1 are free", TEST_FREE="1400")
    refuse("the boot loader is neither systemd-boot nor GRUB", spoil=lambda: shutil.rmtree(ROOT + "/etc/grub.d"))
    refuse("no kernel with an initrd in /boot", spoil=lambda: [os.remove(f"{ROOT}/boot/initrd.img-6.1.0-{n}-amd64") for n in (9, 10)])
    refuse("LICENSE is not an EFI program", "--efi", "LICENSE")
    refuse("build/nowhere is not there; name it: --efi FILE", "--efi", "build/nowhere")
    refuse("umbra.conf is there, and not by umbra-install", loader="systemd-boot",
           spoil=lambda: vm.write_text(ESP + "/loader/entries/umbra.conf", ENTRY))
    refuse("update-grub failed: error: no such disk", TEST_GRUB_FAILS="1")
    refuse("--loader lilo: not systemd-boot or grub", "--loader", "lilo")
    make_tree("grub")
    run("--remove", status=1, says="was not installed here by umbra-install")
    run("--frobnicate", status=2, says="umbra-install --remove")


@together("umbra_install")
@needs()
def test_umbra_install_warns_of_secure_boot():
    make_tree("systemd-boot")
    require("Secure Boot" not in install(), "it warns without Secure Boot")
    vm.write_text(SECURE_BOOT, "\6\0\0\0\1")
    install(says="warning: Secure Boot is on")
