# SPDX-License-Identifier: BSD-2-Clause
"""Secure Boot: OVMF with its snakeoil keys enrolled starts what is signed with them; what Umbra then starts is verified, by the firmware or
by shim, and what nobody can sign is refused with a line. OVMF's build without SMM: QEMU's SVM does not keep a guest apart from
system management mode (docs/hardware.md)."""
import os
import re
import shutil
import subprocess

import vm
from common import BOOT_TIMEOUT, MULTIBOOT, RELEASE, boot, debian, require, run_command, scratch, together
from dialog import Dialog
from disks import IMAGE, entry, image
from menu import MENU, machine as menu_machine

CODE, VARIABLES = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
CERTIFICATE, LOCKED_KEY, PASSPHRASE = "/usr/share/ovmf/PkKek-1-snakeoil.pem", "/usr/share/ovmf/PkKek-1-snakeoil.key", "snakeoil"
SHIM = "/usr/lib/shim/shimx64.efi"
STUB = "build/efi/faulty.efi"  # of a unified kernel image: any EFI program, for it is not run
LOADER, ON = "EFI/BOOT/BOOTX64.EFI", "umbra: Secure Boot is on"
ERROR, LEFT = r"umbra: error: [^\n]*", "umbra: leaving the firmware"
UNTIL = rb"umbra: error:[^\n]*\n|umbra: leaving the firmware|Access Denied|Security Violation|Press any key|BdsDxe: No bootable"
NOT_ACCEPTED = r"error: Secure Boot is on, and {} has no signature that this machine accepts \(EFI status 80000000000000(0f|1a)\); " \
               r"sign it, enrol its key or switch Secure Boot off"


def key():
    path = scratch("key")
    if not os.path.exists(path):
        subprocess.run(["openssl", "rsa", "-in", LOCKED_KEY, "-passin", "pass:" + PASSPHRASE, "-out", path], check=True, stderr=subprocess.DEVNULL)
    return path


def signed(path, name):
    """A copy with the signature of the snakeoil key, made by the tool that `make image` uses."""
    out = scratch(name)
    subprocess.run(["tools/sign", key(), CERTIFICATE, path, out], check=True, stderr=subprocess.DEVNULL)
    return out


def tampered(path, name, at=None):
    """The same with one bit of its contents changed."""
    data = bytearray(vm.read_file(path))
    data[at or len(data) // 2] ^= 1
    out = scratch(name)
    with open(out, "wb") as file:
        file.write(data)
    return out


def unsigned_kernel():
    """Debian's, without Debian's signature."""
    out = scratch("vmlinuz")
    shutil.copy(vm.fetch_kernel("cloud") + "/vmlinuz", out)
    subprocess.run(["sbattach", "--remove", out], check=True, stderr=subprocess.DEVNULL)
    return out


def unified(name, cmdline=b"quiet"):
    out, parts = scratch(name), []
    for at, (section, data) in enumerate({".osrel": b"PRETTY_NAME=Unified\n", ".cmdline": cmdline, ".linux": vm.read_file(unsigned_kernel())}.items(), 1):
        path = scratch(name + section)
        with open(path, "wb") as file:
            file.write(data)
        parts += ["--add-section", f"{section}={path}", "--change-section-vma", f"{section}={at << 24:#x}",
                  "--set-section-flags", f"{section}=alloc,load,readonly,data"]
    subprocess.run(["objcopy", *parts, STUB, out], check=True)
    return out


def firmware():
    return ["-drive", f"if=pflash,format=raw,readonly=on,file={CODE}", "-drive", f"if=pflash,format=raw,file={VARIABLES},snapshot=on"]


def start(name, files):
    """What is said of a stick with these files, as far as the loader comes."""
    disk = image(name + ".disk", files)
    return boot("secure-" + name, vm.Machine(disk=disk, memory="512M", firmware=firmware()), timeout=BOOT_TIMEOUT, until=UNTIL).text


def umbra(files, loader=None):
    return {LOADER: loader or signed(RELEASE, "umbra.efi"), **files}


def one(kernel, more=""):
    return {"kernel": kernel, "loader/entries/one.conf": entry("One") + more}


def refused(name, files, line):
    text = start(name, files)
    require(ON in text, f"{name}: Secure Boot is not said to be on: {text[-300:]!r}")
    require(re.search(line, text) and LEFT not in text, f"{name}: it says {re.findall(ERROR, text) or text[-600:]!r}")


def starts(name, files):
    text = start(name, files)
    require(ON in text and LEFT in text, f"{name}: it says {re.findall(ERROR, text) or text[-600:]!r}")


@together("secure")
def test_signed_kernel_is_started_and_told_of_secure_boot():
    kernel = signed(unsigned_kernel(), "signed.linux")
    command = "dmesg | grep -i 'secure boot'; mount -t securityfs s /sys/kernel/security; cat /sys/kernel/security/lockdown; umbractl stats"
    said, bare = (run_command(f"secure-linux-{mode or 'umbra'}", guest_of(kernel, command, mode)) for mode in ("", "bare"))
    require(b"walks" in said.output, "umbractl counts nothing")
    lines = [[line for line in text.output.decode().splitlines() if re.search("secure boot|lockdown|\\[", line, re.I)] for text in (said, bare)]
    require(any("ecure boot enabled" in line for line in lines[0]), f"the kernel says {lines[0]}")
    require(strip_times(lines[0]) == strip_times(lines[1]), f"the kernel says {lines[0]}, bare {lines[1]}")


def guest_of(kernel, command, mode):
    guest = debian(command=command + "; true", efi=signed(RELEASE, "umbra.efi"), memory="512M", firmware=firmware(), umbra=mode)
    guest.kernel = kernel
    return guest


def strip_times(lines):
    return [re.sub(r"^\[ *[\d.]+\] ", "", line) for line in lines]


@together("secure")
def test_secure_boot_refuses_a_kernel_that_is_unsigned_or_changed():
    refused("unsigned", umbra(one(unsigned_kernel())), NOT_ACCEPTED.format("/kernel"))
    refused("foreign", umbra(one(vm.fetch_kernel("cloud") + "/vmlinuz")), NOT_ACCEPTED.format("/kernel"))
    refused("tampered", umbra(one(tampered(signed(unsigned_kernel(), "signed.linux"), "changed"))), NOT_ACCEPTED.format("/kernel"))
    refused("no-pe", umbra(one(IMAGE)), NOT_ACCEPTED.format("/kernel"))


@together("secure")
def test_secure_boot_verifies_a_unified_kernel_as_a_whole():
    good = signed(unified("unified"), "good.efi")
    starts("uki", umbra({"EFI/Linux/u.efi": good}))
    refused("uki-unsigned", umbra({"EFI/Linux/u.efi": unified("plain")}), NOT_ACCEPTED.format("/EFI/Linux/u.efi"))
    cmdline = vm.read_file(good).index(b"quiet")
    refused("uki-changed", umbra({"EFI/Linux/u.efi": tampered(good, "other.efi", cmdline)}), NOT_ACCEPTED.format("/EFI/Linux/u.efi"))


@together("secure")
def test_secure_boot_keeps_the_signed_command_line_from_the_menu():
    good = signed(unified("unified"), "good.efi")
    disk = image("edited.disk", umbra({"EFI/Linux/u.efi": good, "loader/loader.conf": "timeout menu-force\n"}))
    with Dialog("secure-edited", menu_machine(disk, firmware=firmware())) as dialog:
        dialog.see(MENU)
        dialog.press("ctrl-e")
        dialog.type(" init=/bin/sh\r")
        dialog.see("Changed for this start alone")
        dialog.type("\r")
        dialog.see("part of what was")  # on the screen the line is broken


@together("secure")
def test_secure_boot_refuses_what_cannot_be_signed():
    kernel = signed(unsigned_kernel(), "signed.linux")
    multiboot = {"kernel": MULTIBOOT + sorted(os.listdir(MULTIBOOT))[0], "loader/entries/one.conf": "title M\nmultiboot /kernel\n"}
    refused("multiboot", umbra(multiboot), r"error: Secure Boot is on, and /kernel is a multiboot kernel, which cannot be signed; switch Secure Boot off for it")
    refused("tables", umbra({**one(kernel, "acpi /t.aml\n"), "t.aml": "x"}),
            r'error: Secure Boot is on, and /t.aml is an ACPI table, which cannot be signed; remove the lines "acpi" or switch Secure Boot off')
    refused("gdb", umbra(one(kernel, "umbra gdb=ttyS1\n")), r"error: Secure Boot is on, and monitor= or gdb= would give the guest's memory to whoever is at the port; "
            r"leave it out or switch Secure Boot off")


@together("secure")
def test_secure_boot_does_not_start_an_unsigned_umbra():
    for name, loader in (("plain", RELEASE), ("other", tampered(signed(RELEASE, "umbra.efi"), "changed.efi"))):
        text = start("umbra-" + name, umbra(one(IMAGE), loader))
        require("umbra:" not in text and re.search("Access Denied|Security Violation", text), f"{name}: it says {text[-300:]!r}")


def by_shim(files, loader):
    """shim, whose own key is Debian's, starts grubx64.efi beside it."""
    return {LOADER: signed(SHIM, "shim.efi"), "EFI/BOOT/grubx64.efi": loader, **files}


@together("secure")
def test_secure_boot_by_shim_accepts_its_keys():
    loader = signed(RELEASE, "umbra.efi")
    starts("shim-debian", by_shim(one(vm.fetch_kernel("cloud") + "/vmlinuz"), loader))
    refused("shim-unsigned", by_shim(one(unsigned_kernel()), loader), NOT_ACCEPTED.format("/kernel"))
    refused("shim-changed", by_shim(one(tampered(vm.fetch_kernel("cloud") + "/vmlinuz", "changed")), loader), NOT_ACCEPTED.format("/kernel"))
    text = start("shim-plain", by_shim(one(IMAGE), RELEASE))
    require("umbra:" not in text, f"it says {text[-300:]!r}")


def test_image_is_signed_for_secure_boot_or_says_what_is_wrong():
    tool = ["tools/sign"]
    cases = {("", CERTIFICATE): "SIGN_KEY= is missing beside SIGN_CERT=", (LOCKED_KEY, ""): "SIGN_CERT= is missing beside SIGN_KEY=",
             ("nowhere", CERTIFICATE): "nowhere cannot be read; correct the path", (CERTIFICATE, CERTIFICATE): "is not signed; key and certificate are to be PEM files"}
    for (a, b), line in cases.items():
        done = subprocess.run([*tool, a, b, RELEASE, scratch("out")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        require(done.returncode and line in done.stdout, f"{a}, {b}: it says {done.stdout!r}")
        require(not os.path.exists(scratch("out")), "a file is left")
    text = subprocess.run(["objdump", "-s", "-j", ".sbat", signed(RELEASE, "umbra.efi")], stdout=subprocess.PIPE, text=True).stdout
    require("umbra" in text, "the image has no section .sbat")
