# SPDX-License-Identifier: BSD-2-Clause
"""The boot menu, by keyboard and serial line: it is drawn once, searched, edits lines, comes back after an error, and
leaves the machine to whom it says. What is no boot menu's but the loader's: drivers of the user's, profiles of a kernel."""
import os
import re
import shutil
import struct
import subprocess
import time

import ovmf
import vm
from common import RELEASE, require, scratch
from dialog import Dialog
from disks import IMAGE, XBOOTLDR, entry, stick, unified_kernel

MENU = "Umbra boot menu"
WHOLE = r"\n(.*\n)*.*Esc leave"  # the last row
LEFT = "leaving the firmware"
# QEMU's tests end at a reset; these look at what comes after it.
RESETS = ["-action", "reboot=reset"]
# The firmware's set-up on a serial line.
SETUP = r"Boot Manager|Device Manager"


def own(name, conf="timeout menu-force\n", **entries):
    """A stick with these entries, {name: text}."""
    files = {"kernel": IMAGE, "loader/loader.conf": conf}
    return stick(name, {**files, **{f"loader/entries/{key}.conf": text for key, text in entries.items()}})


def flash(path, records=b""):
    """Arguments for the firmware in flash memory, which keeps its variables over a reset; records: variables to begin with."""
    with open(ovmf.rom(), "rb") as file:
        rom = bytearray(file.read())
    header = rom.index(b"_FVH") - 40
    at = header + struct.unpack_from("<H", rom, header + 48)[0] + 28  # behind the store's own header
    require(rom[at:at + 2] == b"\xff\xff", "the store of variables is not empty")
    rom[at:at + len(records)] = records
    with open(path, "wb") as file:
        file.write(rom)
    return ["-drive", f"if=pflash,format=raw,file={path},snapshot=on"]


def machine(disk, **settings):
    return vm.Machine(disk=disk, memory="512M", **settings)


def letters():
    """Four entries; "d", which is the first, and "c" can be booted."""
    return {"d": entry("Delta"), "c": entry("Größe"), "b": "title Broken\nlinux /kernel\ncolour blue\n", "a": entry("Absent", kernel="/nowhere")}


def test_menu_is_drawn_once_and_then_where_it_changes():
    with Dialog("menu-drawing", machine(own("menu-drawing", **letters()))) as dialog:
        dialog.see(rf"{MENU} +1 of 4")
        require(dialog.see("^> Delta").splitlines()[0].startswith(MENU), "something is above the menu")
        time.sleep(1)
        with dialog.lock:
            dialog.screen.drawn.clear()
        dialog.press("down")
        dialog.see("^> Gr..?e")
        time.sleep(0.5)
        with dialog.lock:
            rows = set(dialog.screen.drawn)
        require(rows == {0, 2, 3}, f"the rows {rows} were drawn")
        require("umbra: boot loader" not in dialog.shown(), "lines are left of what was before")


def test_firmwares_logo_is_gone_from_the_screen():
    """A row in the middle, below the entries and above the keys, is of one colour."""
    with Dialog("menu-logo", machine(own("menu-logo", **letters()))) as dialog:
        dialog.see(MENU)
        time.sleep(2)
        picture = dialog.work + "/screen.ppm"
        dialog.monitor.human(f"screendump {picture}")
        kind, size, _, pixels = vm.read_file(picture).split(b"\n", 3)
        width, height = map(int, size.split())
        require(kind == b"P6" and width >= 640, f"the screen is {size!r}")
        middle = pixels[3 * width * (height * 3 // 8):3 * width * (height * 5 // 8)]
        require(len(middle) > 10000 and middle == middle[:3] * (len(middle) // 3), "there is something in the middle of the screen")
        require(len(set(pixels[i:i + 3] for i in range(0, 3 * width * height // 4, 3))) > 1, "nothing is on the screen")


def test_broken_entry_says_its_error_and_the_menu_is_back():
    with Dialog("menu-broken", machine(own("menu-broken", **letters()))) as dialog:
        dialog.see(MENU)
        dialog.type("brok")
        dialog.see(r"^> Broken +\(/loader/entries/b.conf line 3: unknown key")
        dialog.type("\r")
        dialog.see(r'^error: /loader/entries/b\.conf line 3: unknown key "colour"; correct or remove the line')
        dialog.type("\x1b")
        dialog.see(rf"{MENU} +3 of 4")
        dialog.type("absent\r")  # its error shows only when it is booted
        dialog.see("^error: /nowhere is not on the boot entry's volume")
        dialog.see(rf"{MENU} +4 of 4")
        dialog.press("home", "ret")  # and nothing is left of the attempt
        dialog.hear(LEFT)
        require('umbra: entry d.conf, "Delta"' in dialog.text(), "another entry was booted")


def typed_machine(name, **settings):
    """One entry: Linux without an initrd, which shows its command line."""
    disk = stick(name, {"kernel": vm.fetch_kernel("cloud") + "/vmlinuz", "loader/loader.conf": "timeout menu-force\n",
                        "loader/entries/a.conf": entry("Linux", options="console=ttyS0 earlyprintk=ttyS0 first=1")})
    return machine(disk, **settings)


def test_command_line_is_edited_for_one_start():
    with Dialog("menu-edit", typed_machine("menu-edit")) as dialog:
        dialog.see(MENU)
        dialog.press("f2")
        dialog.see(r"^The command line of Linux")
        dialog.type(" mistake")
        dialog.see(r"first=1 mistake$")
        dialog.press("ctrl-w")
        dialog.see(r"first=1$")
        dialog.type("typed=yes")
        dialog.see(r"first=1 typed=yes$")
        dialog.press("home", "right", "left", "right", "right", "delete", "backspace", "home")
        dialog.see(r"^csole=ttyS0 earlyprintk=ttyS0 first=1 typed=yes$")
        dialog.press("right")
        time.sleep(0.5)
        dialog.type("on")
        dialog.see(r"^console=ttyS0 earlyprintk=ttyS0 first=1 typed=yes$")
        dialog.type("\r")
        dialog.see("Changed for this start alone")
        dialog.press("f3")
        dialog.see(r'^The line "umbra" of Linux')
        dialog.type("cpus=x\r")
        dialog.see(r'^error: bad value in umbra option "cpus=x"')
        dialog.type("\x17bare\x18")  # Ctrl-W, Ctrl-X boots
        dialog.hear(r'umbra: entry a\.conf, "Linux", bare: no hypervisor')
        dialog.hear(r"Command line: console=ttyS0 earlyprintk=ttyS0 first=1 typed=yes")


def test_details_of_an_entry_are_shown_and_a_long_list_is_searched():
    more = {f"m{n:02}": entry(f"System {n:02}") for n in range(40)}
    with Dialog("menu-long", machine(own("menu-long", zz="title Last\nlinux /kernel\nversion 7.1\nmachine-id 0123\noptions " + "x" * 300 + "\n", **more))) as dialog:
        dialog.see(rf"{MENU} +1 of 41")
        dialog.press("pgdn", "pgdn", "pgdn", "pgdn")
        shown = dialog.see(rf"^> System 00{WHOLE}")
        require("System 39" not in shown and "System 05" in shown, "the list was not scrolled")
        dialog.type("system 3")
        require("System 05" not in dialog.see(rf"{MENU} +\d+ of 13\nSearch: system 3_\n(.*\n)+  System 03\n\n\n"), "it is not filtered")
        dialog.type("\x1b")
        dialog.see("of 41")
        dialog.type("7.1x")
        dialog.see("^Nothing matches")
        dialog.press("esc", "home", "f4")
        shown = dialog.see(r"^The entry Last\n(.*\n)*Arrows and Page")
        for line in (r"file +zz\.conf", r"on +the volume that Umbra was started from", r"version +7\.1", r"machine-id +0123", r"linux +/kernel", r"options +x{40}"):
            require(re.search("^" + line, shown, re.M), f"no line like {line!r}")
        dialog.type("\x1b")
        dialog.see(rf"^{MENU}")


def test_menu_leads_to_the_firmwares_setup():
    with Dialog("menu-setup", machine(own("menu-setup", **letters()), extra=RESETS, firmware=flash(scratch("OVMF-setup.fd")))) as dialog:
        dialog.see(MENU)
        dialog.press("f7")
        dialog.see(SETUP)


def test_menu_restarts_and_notes_the_entry_that_was_booted():
    conf = "default @saved\ntimeout menu-force\n"
    with Dialog("menu-restart", machine(own("menu-restart", conf, **letters()), extra=RESETS, firmware=flash(scratch("OVMF-restart.fd")))) as dialog:
        dialog.see("^> Delta")
        dialog.press("end", "ret")
        dialog.see("^error: /nowhere")
        dialog.type("\x1b[A")
        dialog.see("^> Broken")
        dialog.type("\x12")  # Ctrl-R
        dialog.see("^> Absent")
        require(len(re.findall("umbra: boot loader", dialog.text())) == 2, "it was not restarted once")


def test_menu_switches_the_machine_off():
    with Dialog("menu-off", machine(own("menu-off", **letters()), extra=RESETS)) as dialog:
        dialog.see(MENU)
        dialog.press("f9")
        dialog.over()


def test_menu_goes_back_to_the_firmware():
    with Dialog("menu-leave", machine(own("menu-leave", **letters()))) as dialog:
        dialog.see(MENU)
        dialog.type("x\x7f")
        time.sleep(1)
        dialog.type("\x1b")
        dialog.hear("umbra: error: left at your request")
        dialog.see(r"UEFI Interactive Shell|No bootable")


def held(name, conf, press):
    """Presses keys from where the firmware starts the loader on (before, its driver for the keyboard may not come up for
    them); what was said."""
    with Dialog(name, machine(own(name, conf, **letters()))) as dialog:
        dialog.hear("BdsDxe: loading")
        end = time.monotonic() + 180
        while not re.search(f"{MENU}|{LEFT}", dialog.text()) and time.monotonic() < end:
            press(dialog)
            time.sleep(0.05)
        return dialog.text()


def test_held_key_opens_the_menu_that_has_no_timeout():
    require(MENU in held("menu-held", "\n", lambda dialog: dialog.monitor.human("sendkey down 20")), "no menu came")


def test_key_of_the_serial_line_opens_the_menu_that_is_hidden():
    require(MENU in held("menu-held-serial", "timeout menu-hidden\n", lambda dialog: dialog.type("x")), "no menu came")


def test_no_key_opens_a_menu_that_is_disabled():
    text = held("menu-disabled", "timeout menu-disabled\n", lambda dialog: dialog.type("x"))
    require(MENU not in text and 'umbra: entry d.conf, "Delta"' in text, "a menu came")


def test_default_is_booted_when_its_time_has_come_unless_a_key_is_pressed():
    disk = own("menu-timeout", "timeout 4\n", **letters())
    with Dialog("menu-timeout", machine(disk)) as dialog:
        dialog.hear('umbra: booting "Delta" in 4 s, any key for the menu')
        dialog.hear('umbra: booting "Delta" in 1 s')
        dialog.hear('umbra: entry d.conf, "Delta"')
    with Dialog("menu-timeout-key", machine(disk)) as dialog:
        dialog.see("umbra: booting")
        dialog.press("down")
        dialog.see("^> Gr..?e")
        time.sleep(6)
        require("umbra: entry" not in dialog.text() and "any key" not in dialog.shown(), "it was booted")


# --- a serial line that the firmware's console does not go to ---------------------------

GLOBAL = struct.pack("<IHH8s", 0x8be4df61, 0x93ca, 0x11d2, bytes.fromhex("aa0d00e098032b8c"))


def variable(name, data):
    """A record of EDK II's store of authenticated variables (MdeModulePkg/Include/Guid/VariableFormat.h). It is not seen at
    run time, unlike what the firmware would write, so that the firmware cannot change it: attributes must agree."""
    text = (name + "\0").encode("utf-16-le")
    record = struct.pack("<HBBIQ16sIII", 0x55aa, 0x3f, 0, 3, 0, bytes(16), 0, len(text), len(data)) + GLOBAL + text + data
    return record + b"\xff" * (-len(record) % 4)


def consoles():
    """Variables that name a screen and a keyboard for the firmware's console, and no serial line."""
    root, end = bytes.fromhex("02010c00d041030a00000000"), bytes.fromhex("7fff0400")
    screen = root + bytes.fromhex("01010600") + bytes([0, 1]) + bytes.fromhex("02030800") + struct.pack("<I", 0x80010100) + end
    keyboard = root + bytes.fromhex("01010600") + bytes([0, 31]) + bytes.fromhex("02010c00d0410303") + bytes(4) + end
    return variable("ConOut", screen) + variable("ConIn", keyboard)


def test_menu_is_on_a_serial_line_of_its_own_too():
    disk = own("menu-serial", **letters())
    with Dialog("menu-serial", machine(disk, firmware=flash(scratch("OVMF-no-serial.fd"), consoles()))) as dialog:
        shown = dialog.see(rf"{MENU} +1 of 4{WHOLE}")
        require("BdsDxe" not in dialog.text(), "the firmware speaks on the serial line")
        require("> Delta" in shown and "  Größe" in shown, "it is not in UTF-8")
        dialog.type("\x1b[B")
        dialog.see("^> Größe")
        dialog.type("\x1b[4~")
        dialog.see("^> Absent")
        dialog.type("\x1b[12~")
        dialog.see("^The command line of Absent")
        dialog.type(" ü\x1b")
        time.sleep(0.5)
        dialog.see(f"^{MENU}")
        dialog.type("größe")
        dialog.see("^Search: größe_")
        dialog.type("\r")
        dialog.hear('umbra: entry c.conf, "Größe"')


# --- drivers ----------------------------------------------------------------------------

def ext4_disk(name, files):
    """One partition for boot loaders, XBOOTLDR, with ext4, which the firmware cannot read."""
    tree, out, part = scratch(name), scratch(f"{name}.img"), scratch(f"{name}.ext4")
    shutil.rmtree(tree, ignore_errors=True)
    for path, what in files.items():
        os.makedirs(os.path.dirname(f"{tree}/{path}") or tree, exist_ok=True)
        if os.path.exists(what):
            shutil.copy(what, f"{tree}/{path}")
        else:
            vm.write_text(f"{tree}/{path}", what)
    env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    # mke2fs makes holes of zeros, and that driver gives up at a hole between extents
    for path, size in ((part, "62M"), (out, "64M")):
        subprocess.run(["truncate", "-s", "0", path], check=True)
        subprocess.run(["truncate", "-s", size, path], check=True)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^extent,^64bit", "-d", tree, part], check=True, env=env)
    subprocess.run(["sfdisk", "-q", out], input=f"label: gpt\nstart=2048, size=126976, type={XBOOTLDR}\n", text=True, check=True, env=env)
    subprocess.run(["dd", f"if={part}", f"of={out}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none"], check=True)
    return out


def test_driver_of_the_users_makes_a_file_system_readable():
    driver = vm.fetch_kernel("refind") + "/ext4_x64.efi"
    system = {"kernel": IMAGE, "loader/entries/system.conf": entry("System")}
    there = ext4_disk("ext4", system)
    folder, short = "EFI/umbra/drivers", scratch("short-driver.efi")
    with open(short, "wb") as file:
        file.write(vm.read_file(driver)[:3000])
    with Dialog("drivers-none", machine(stick("drivers-none"), disks=[there])) as dialog:
        require("System" not in dialog.see(r"^> Self-test"), "the firmware reads ext4 by itself")
    # in the order in which they are written, so that those with an error come first
    drivers = {f"{folder}/a.efi": "no program at all", f"{folder}/b_aa64.efi": "neither", f"{folder}/c.efi": RELEASE, f"{folder}/d.efi": short, f"{folder}/ext4_x64.efi": driver}
    with Dialog("drivers", machine(stick("drivers", drivers), disks=[there])) as dialog:
        dialog.see(r"^> Self-test\n  System \(disk 2, partition 1\)")
        for line in (r"umbra: /EFI/umbra/drivers/a\.efi: is no EFI driver for x64; copy it again or remove it", r"umbra: /EFI/umbra/drivers/c\.efi: is a program, no driver; remove it",
                     r"umbra: /EFI/umbra/drivers/d\.efi: is no EFI driver for x64; copy it again or remove it"):
            require(re.search(line, dialog.text()), f"no line like {line!r}")
        require("b_aa64" not in dialog.text(), "a driver for another architecture was tried")
        dialog.press("down", "ret")
        dialog.hear(LEFT)
        require('umbra: entry system.conf, "System (disk 2, partition 1)"' in dialog.text(), "another entry was booted")


# --- profiles of a unified kernel image -------------------------------------------------

def test_profiles_of_a_unified_kernel_are_entries_of_their_own():
    kernel = vm.read_file(vm.fetch_kernel("cloud") + "/vmlinuz")
    line = b"console=ttyS0 earlyprintk=ttyS0 profile="
    unified = unified_kernel(scratch("profiles.efi"), [
        (".osrel", b'ID=debian\nPRETTY_NAME="Debian"\n'), (".cmdline", line + b"main\n"), (".linux", kernel),
        (".profile", b"ID=main\nTITLE=Usual\n"),
        (".profile", b"ID=reset\nTITLE=Factory reset\n"), (".cmdline", line + b"reset\n"),
        (".profile", b"ID=third\n")])
    disk = stick("profiles", {"EFI/Linux/p+3-1.efi": unified, "loader/loader.conf": "timeout menu-force\n"})
    with Dialog("profiles", machine(disk)) as dialog:
        shown = dialog.see(rf"{MENU} +1 of 3{WHOLE}")
        require(re.search(r"> Debian \(Usual\)\n  Debian \(Factory reset\)\n  Debian \(third\)\n", shown), f"the list is {shown[:300]!r}")
        dialog.press("down", "ret")
        dialog.hear(r'umbra: entry p\+3-1\.efi@1, "Debian \(Factory reset\)"')
        dialog.hear(r"Command line: .*profile=reset")
