# SPDX-License-Identifier: BSD-2-Clause
"""An installed Debian with systemd (tools/make-debian), from its own disk by its own boot entry: what it says of itself
under Umbra is what it says bare, whatever has started Umbra and whatever the disk is at. umbra-install, run in it, is undone without a trace."""
import hashlib
import os
import random
import re
import subprocess

import vm
from common import RELEASE, remembered, require, run_command, slow, together
from processors import NUMBERS, TIME
from talking import talk

TIMEOUT = 3600
WORK = "build/installed"
STICK_DATA = WORK + "/data.img"
# Sections that must be the same, and one that is looked at.
LOOK = """
section() { printf '\\n== %s\\n' "$1"; }
section state; systemctl is-system-running --wait
section failed; systemctl --failed --no-legend --plain
section processors; nproc
section file; dd if=/dev/zero bs=1M count=256 2>/dev/null | tr '\\0' 'u' >/root/file; sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum </root/file; rm /root/file
section packages; dpkg --audit; dpkg -l | grep -c ^ii
section upgrade; apt-get -q --simulate upgrade
section network; networkctl --no-legend --no-pager list | awk '$3 == "ether" { print $4 }'; for n in /sys/class/net/en*; do ping -c 1 -W 20 -I "${n##*/}" 10.0.2.2 >/dev/null && echo answers; done
section cards; for n in /sys/class/net/en*; do basename "$(readlink "$n/device/driver")"; done
section usb; sha256sum <"$(echo /dev/disk/by-id/usb-*_NOISE-*)"; grep -h '^N: Name=.*USB' /proc/bus/input/devices
section screen; cat /proc/fb /sys/class/graphics/fb0/virtual_size
section sound; ls /proc/asound 2>&1
section clock; cat /sys/class/rtc/rtc0/name; date -u +%Y
section errors; dmesg --level emerg,alert,crit,err,warn --notime | sort -u
section umbra; umbractl stats 2>/dev/null
section end
"""
SAME = ("state", "failed", "processors", "file", "packages", "upgrade", "network", "cards", "usb", "screen", "sound", "clock")
DEVICES = ["-device", "qemu-xhci,id=usb", "-device", "usb-kbd,bus=usb.0", "-drive", f"file={STICK_DATA},format=raw,if=none,id=data,snapshot=on",
           "-device", "usb-storage,bus=usb.0,drive=data,serial=NOISE", "-netdev", "user,id=n1,restrict=on", "-device", "e1000,netdev=n1,romfile="]


def disk_of(suite):
    subprocess.run(["tools/make-debian", suite], check=True)
    return f"build/debian-disk/{suite}.img"


def data():
    """On USB: 4 MiB of noise; their SHA-256."""
    noise = random.Random(5).randbytes(4 << 20)
    os.makedirs(WORK, exist_ok=True)
    if not os.path.exists(STICK_DATA):
        with open(STICK_DATA, "wb") as file:
            file.write(noise)
    return hashlib.sha256(noise).hexdigest()


def machine_for(suite, cpus, bus, **more):
    data()
    return vm.Machine(**{"installed": disk_of(suite), "options": "", "cpus": cpus, "bus": bus, "memory": "2G", "extra": DEVICES, **more})


def sections(result):
    parts = re.split(r"\n== (\w+)\n", "\n" + result.output.decode(errors="replace"))
    require("end" in parts, "the command did not reach its end")
    require("umbra login: root (automatic login)" in result.text, "nobody was logged in on the serial port")
    return dict(zip(parts[1::2], parts[2::2]))


def look(name, machine, command=LOOK):
    machine.command = command
    return sections(run_command(f"installed-{name}", machine, timeout=TIMEOUT))


@remembered
def bare(suite, cpus, bus):
    return look(f"{suite}-{cpus}-{bus}-bare", machine_for(suite, cpus, bus, umbra="bare"))


def errors(said):
    """The kernel's lines without numbers, and without those of a busy machine."""
    return {NUMBERS.sub("N", line) for line in said["errors"].splitlines() if not TIME.search(line)}


def compare(without, umbra, cpus):
    for name in SAME:
        require(without[name] == umbra[name], f"{name}: bare {without[name]!r}, under Umbra {umbra[name]!r}")
    require(umbra["processors"].strip() == str(cpus) and not umbra["failed"].strip(), f"it says {umbra['processors']!r}, failed {umbra['failed']!r}")
    require(data() in umbra["usb"] and "Keyboard" in umbra["usb"], f"at USB there is {umbra['usb']!r}")
    require(umbra["network"].count("answers") == 2 and sorted(umbra["cards"].split()) == ["e1000", "virtio_net"], f"{umbra['cards']!r}: {umbra['network']!r}")
    require("upgraded," in umbra["upgrade"], f"apt-get says {umbra['upgrade']!r}")
    more = errors(umbra) - errors(without)
    require(not more, f"messages that it does not have bare: {sorted(more)}")
    require(re.search(r"^exits +\d+$", umbra["umbra"], re.M), "umbractl says nothing")
    require(not without["umbra"].strip(), "the bare one runs under Umbra")


def check(suite, cpus, bus):
    compare(bare(suite, cpus, bus), look(f"{suite}-{cpus}-{bus}", machine_for(suite, cpus, bus)), cpus)


@together("installed")
@slow
def test_installed_debian_12_says_what_it_says_bare():
    check("bookworm", 1, "virtio")


@together("installed")
@slow
def test_installed_debian_12_with_four_processors_on_ahci_says_what_it_says_bare():
    check("bookworm", 4, "ahci")


@together("installed")
@slow
def test_installed_debian_13_says_what_it_says_bare():
    check("trixie", 1, "nvme")


@together("installed")
@slow
def test_installed_debian_13_with_four_processors_on_nvme_says_what_it_says_bare():
    check("trixie", 4, "nvme")


# --- what starts Umbra ------------------------------------------------------------------

def mtools(program, image, *arguments):
    return subprocess.run([program, "-i", image + "@@1M", *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def put(image, path, text):
    source = WORK + "/text"
    vm.write_text(source, text)
    mtools("mcopy", image, "-o", "-Q", source, "::/" + path)


def copy_of(suite, name):
    """A disk to change, on whose ESP umbra/ has what a stick would have."""
    image = f"{WORK}/{name}.img"
    data()
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", disk_of(suite), image], check=True)
    mtools("mcopy", image, "-o", "-Q", RELEASE, "tools/umbra-install", "::/umbra/")
    return image


def own_entry(image):
    return mtools("mdir", image, "-b", "::/loader/entries").split()[0]


@together("installed")
@slow
def test_stick_with_umbra_alone_starts_installed_debian_13():
    image = copy_of("trixie", "stick")
    put(image, "umbra/command", LOOK)
    mtools("mdel", image, "::/EFI/BOOT/BOOTX64.EFI")
    stick = WORK + "/umbra-alone.img"
    tree = WORK + "/tree"
    subprocess.run(["rm", "-rf", tree], check=True)
    vm.lay_out_loader(vm.Machine(efi=RELEASE), tree)
    vm.write_text(tree + "/loader/loader.conf", "default *\ntimeout 5\n")
    subprocess.run(["tools/mkimage", stick, tree], check=True)
    disk = ["-drive", f"file={image},format=raw,if=none,id=system,snapshot=on", "-device", "nvme,serial=system,drive=system"]
    result = run_command("installed-stick", machine_for("trixie", 1, "usb", installed=None, disk=stick, extra=DEVICES + disk), timeout=TIMEOUT)
    require(re.search(r'booting "Debian GNU/Linux 13 \(trixie\) \(disk \d, partition 1\)" in 5 s', result.text), "nothing was counted down")
    compare(bare("trixie", 1, "nvme"), sections(result), 1)


@together("installed")
@slow
def test_installed_debian_12_starts_from_a_unified_kernel_image():
    image = copy_of("bookworm", "uki")
    put(image, "umbra/command", LOOK)
    mtools("mdel", image, own_entry(image))
    mtools("mmd", image, "::/EFI/Linux")
    mtools("mmove", image, "::/umbra/debian.efi", "::/EFI/Linux/debian.efi")
    mtools("mcopy", image, "-o", "-Q", RELEASE, "::/EFI/BOOT/BOOTX64.EFI")
    result = run_command("installed-uki", machine_for("bookworm", 1, "virtio", installed=None, kept=image), timeout=TIMEOUT)
    require('entry debian.efi, "Debian GNU/Linux 12 (bookworm)"' in result.text, "another entry was started")
    compare(bare("bookworm", 1, "virtio"), sections(result), 1)


# All that umbra-install could have touched.
TREE = r"""
tree() {
	find /boot /etc /usr/local /var/lib/umbra ! -path '/boot/efi/umbra*' ! -path /boot/efi/NvVars ! -path '/etc/resolv.conf' -printf '%p %M %l\n' 2>/dev/null | sort
	find /boot /etc /usr/local ! -path '/boot/efi/umbra*' ! -path /boot/efi/NvVars -type f -exec sha256sum {} + | sort
}
"""
INSTALL = TREE + "PREPARE\ntree >/root/before\nsh /boot/efi/umbra/umbra-install || exit 1\n"
REMOVE = TREE + """
section hook; run-parts --arg="$(uname -r)" /etc/initramfs/post-update.d
section remove; umbra-install --remove && tree >/root/after; diff /root/before /root/after && echo same
section end
"""


GRUB = "sed -i s/GRUB_DEFAULT=0/GRUB_DEFAULT=umbra/ /etc/default/grub; update-grub 2>&1\n"


def only_grub(image):
    """No entry, no systemd-boot."""
    for path in ("loader", "EFI/systemd", own_entry(image).rpartition("/")[2].partition("-")[0]):
        mtools("mdeltree", image, "::/" + path)
    mtools("mcopy", image, "-o", "-Q", "::/EFI/debian/grubx64.efi", WORK + "/grub")
    mtools("mcopy", image, "-o", "-Q", WORK + "/grub", "::/EFI/BOOT/BOOTX64.EFI")


def check_umbra_install(suite, name, bus, image, prepare=""):
    """Bare first, by the loader, where umbra-install is run; then what that has put there starts the system, in which all is taken away again."""
    machine = machine_for(suite, 1, bus, installed=None, kept=image)
    put(image, "umbra/command", LOOK.replace("section end", "section install") + INSTALL.replace("PREPARE", prepare) + "section end\n")
    without = sections(run_command(f"installed-{name}-bare", machine, timeout=TIMEOUT))
    put(image, "umbra/command", LOOK.replace("section end\n", "") + REMOVE)
    result = run_command(f"installed-{name}", machine, timeout=TIMEOUT)
    said = sections(result)
    compare(without, said, 1)
    require("\nsame\n" in said["remove"], f"--remove leaves {said['remove']!r}")
    return without, said, result.text


@together("installed")
@slow
def test_installed_debian_13_starts_by_systemd_boot_and_umbra_install_and_is_as_before_without_it():
    image = copy_of("trixie", "systemd-boot")
    put(image, "loader/loader.conf", "timeout 0\ndefault umbra.conf\n")
    without, said, text = check_umbra_install("trixie", "systemd-boot", "nvme", image)
    require("in systemd-boot's menu" in without["install"], f"it says {without['install']!r}")
    require('"Debian GNU/Linux 13 (trixie)"' in text, "another entry was started")


@together("installed")
@slow
def test_installed_debian_12_starts_by_grub_and_umbra_install_and_is_as_before_without_it():
    image = copy_of("bookworm", "grub")
    only_grub(image)
    without, said, text = check_umbra_install("bookworm", "grub", "ahci", image, GRUB)
    require("in GRUB's menu" in without["install"], f"it says {without['install']!r}")
    require('entry umbra-system.conf, "Debian GNU/Linux 12 (bookworm)"' in text, "another entry was started")
    require("Umbra starts Linux 6.1" in said["hook"], f"the hook says {said['hook']!r}")


# --- a keyboard and the power button --------------------------------------------------------

def use_the_keyboard_and_the_button(guest):
    """On the screen's login prompt, where root has no password."""
    guest.wait(rb"root@umbra:~# ")
    guest.press("root\n")
    guest.ask("until pgrep -t tty1 bash >/dev/null; do sleep 1; done; echo logged''-in", rb"logged-in")
    guest.press("echo typed > /dev/ttyS0\n")
    guest.wait(rb"typed\r?\n")
    guest.monitor("system_powerdown")


@together("installed")
@slow
def test_installed_debian_13_hears_a_usb_keyboard_and_the_power_button():
    machine = machine_for("trixie", 2, "virtio")
    result = talk("installed-button", machine, use_the_keyboard_and_the_button, TIMEOUT)
    require(result.exit == 0 and "reboot: Power down" in result.text, f"it did not power off (QEMU: {result.exit})")
