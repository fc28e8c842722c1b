# SPDX-License-Identifier: BSD-2-Clause
"""One emulated machine that boots Umbra: lays out the ESP, writes the disk image,
starts QEMU or Bochs and waits for its end. Used by tools/run and by the system tests.
Paths are relative to the tree's root, where both start."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import bochs
import endings
import ovmf

# The marks of tools/init on the second serial port (the firmware prints there before).
COMMAND_OUTPUT = b"\x1eumbra-output\n"
COMMAND_STATUS = re.compile(rb"\x1eumbra-status (\d+)\n$")
# The drivers that the tests' devices need; what a kernel lacks or has built in is skipped.
MODULES = "virtio_pci,virtio_blk,virtio_net,efivarfs,ahci,sd_mod,e1000,pvpanic-mmio"
TIMED_OUT = 124


class Problem(Exception):
    """What the user can put right, in one line."""


# The boot disk's place in QEMU's machine.
BUSES = {
    "virtio": ["-device", "virtio-blk-pci,drive=boot,id=boot-disk,bootindex=0"],
    "nvme": ["-device", "nvme,serial=boot,drive=boot,bootindex=0"],
    "ahci": ["-device", "ide-hd,bus=ide.0,drive=boot,bootindex=0"],
    "usb": ["-device", "qemu-xhci,id=bootusb", "-device", "usb-storage,bus=bootusb.0,drive=boot,bootindex=0"],
}

# Linux counts timer interrupts against the TSC and panics where they come late, as on a busy host.
LINUX = "console=ttyS0 no_timer_check"


@dataclass
class Machine:
    """What boots. kernel and initrds are files; options go to the guest, umbra to the hypervisor."""
    efi: str = "build/release/umbra.efi"
    kernel: str = "build/kernels/cloud/vmlinuz"
    initrds: list = field(default_factory=list)
    options: str = LINUX
    umbra: str = ""
    memory: str = "1G"
    emulator: str = "qemu"              # or "bochs"
    accel: str = "tcg"                  # QEMU's: or "kvm"
    cpus: int = 1
    cpu: str = "max"                    # QEMU's
    bochs_cpu: str = bochs.DEFAULT_MODEL
    bochs_ips: int = bochs.DEFAULT_IPS
    multiboot: bool = False             # kernel is a multiboot kernel, options its command line
    modules: list = field(default_factory=list)  # its modules: (file, string)
    force: bool = False                 # load over memory that the firmware reserves
    serials: bool = True                # QEMU's: COM1 and COM2, for the console and the command's output
    command: str | None = None          # run by the test initramfs instead of a shell
    extra: list = field(default_factory=list)  # more QEMU arguments
    entry: str | None = None            # the boot entry's text instead of the usual one ("" for no entry)
    title: str = "Umbra"
    files: list = field(default_factory=list)  # more on the ESP: (file, path there)
    acpi: list = field(default_factory=list)   # files of ACPI tables for the boot entry's key
    symbols: str | None = None          # a file for the boot entry's key
    disk: str | None = None             # an image to boot from instead of one with all of the above
    disks: list = field(default_factory=list)  # QEMU's: more disks, each an image or the text of a -drive
    firmware: list = field(default_factory=ovmf.qemu_arguments)  # QEMU's arguments for it
    installed: str | None = None        # a disk image of tools/make-debian: its entry is booted, options are added to its own
    kept: str | None = None             # an image to boot from that keeps what is written to it
    bus: str = "virtio"                 # QEMU's: what the boot disk is at, one of BUSES
    console: str | None = None          # QEMU's: a socket to be made, for whoever wants to type at the first serial port
    debug: str | None = None            # the same at the second one; Bochs's: host:port, and it waits until somebody is there


def initramfs(kernel_dir):
    """The test initramfs for a kernel fetched by tools/fetch-kernel (None: one without modules)."""
    name = os.path.basename(kernel_dir) if kernel_dir else "plain"
    out = f"build/initramfs/{name}.cpio"
    base = base_arguments(kernel_dir)
    sources = ["tools/mkinitramfs", "tools/init", "tools/vm.py", base[-1]]
    if kernel_dir:
        sources.append(kernel_dir + "/version")
    for needed in sources:
        if not os.path.exists(needed):
            raise Problem(f"{needed} is not there; run make")
    if kernel_dir and not os.path.isdir(kernel_dir + "/modules"):
        raise Problem(f"{kernel_dir} has no modules; remove it, and it is fetched again")
    if not os.path.exists(out) or any(os.path.getmtime(s) > os.path.getmtime(out) for s in sources):
        modules = ["--modules", kernel_dir, MODULES] if kernel_dir else []
        subprocess.run(["tools/mkinitramfs", out, *modules, *base], check=True)
    return out


def base_arguments(kernel_dir):
    """mkinitramfs's arguments for the programs of an initramfs for this kernel; the last is umbractl."""
    i386 = kernel_dir and os.path.exists(kernel_dir + "/busybox")  # tools/fetch-kernel puts it there
    busybox = ["--busybox", kernel_dir + "/busybox"] if i386 else []
    return ["--base", *busybox, "--umbractl", "build/tools/umbractl" + ("-i386" if i386 else "")]


def fetch_kernel(kind):
    subprocess.run(["tools/fetch-kernel", kind], check=True)
    return "build/kernels/" + kind


def write_text(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def own_lines(machine):
    """The entry's lines that no other loader knows."""
    tables = " ".join(f"/acpi/{i}.aml" for i in range(len(machine.acpi)))
    return ([f"acpi {tables}"] if tables else []) + (["symbols /symbols"] if machine.symbols else []) + ([f"umbra {machine.umbra}"] if machine.umbra else [])


def entry_text(machine, initrd_names):
    lines = [f"title {machine.title}"]
    if machine.multiboot:
        lines += [f"multiboot /kernel {machine.options}"]
        lines += [f"module /module{i} {string}" for i, (_, string) in enumerate(machine.modules)]
    else:
        lines += ["linux /kernel", *(f"initrd /{name}" for name in initrd_names), f"options {machine.options}"]
    if machine.force:
        lines += ["force"]
    return "\n".join(lines + own_lines(machine)) + "\n"


def lay_out_loader(machine, tree):
    """What every ESP has, whatever boots from it: Umbra, and the files that own_lines() names."""
    os.makedirs(tree + "/EFI/BOOT")
    shutil.copy(machine.efi, tree + "/EFI/BOOT/BOOTX64.EFI")
    if machine.symbols:
        shutil.copy(machine.symbols, tree + "/symbols")
    for i, path in enumerate(machine.acpi):
        os.makedirs(tree + "/acpi", exist_ok=True)
        shutil.copy(path, f"{tree}/acpi/{i}.aml")


def lay_out_esp(machine, tree, timeout=0):
    """Fills the directory tree as the ESP shall look."""
    lay_out_loader(machine, tree)
    if machine.kernel:
        shutil.copy(machine.kernel, tree + "/kernel")
    for i, (path, _) in enumerate(machine.modules):
        shutil.copy(path, f"{tree}/module{i}")
    for path, where in machine.files:
        os.makedirs(os.path.dirname(f"{tree}/{where}"), exist_ok=True)
        shutil.copy(path, f"{tree}/{where}")
    names = []
    for i, path in enumerate(machine.initrds):
        names.append(f"initrd{i}.img")
        shutil.copy(path, f"{tree}/{names[-1]}")
    if machine.command is not None:
        command = tree + ".command"
        write_text(command, machine.command + "\n")
        names.append("command.img")
        subprocess.run(["tools/mkinitramfs", f"{tree}/command.img", "--file", command + ":/umbra/command"], check=True)
    write_text(tree + "/loader/loader.conf", f"default umbra.conf\ntimeout {timeout}\n")
    entry = entry_text(machine, names) if machine.entry is None else machine.entry
    if entry:
        write_text(tree + "/loader/entries/umbra.conf", entry)


def adapt_entry(machine, text):
    """The installed system's own boot entry with what the machine asks for."""
    text = re.sub(r"^(options .*)$", lambda found: f"{found.group(1)} {machine.options}".rstrip(), text, flags=re.M)
    return text + "".join(line + "\n" for line in own_lines(machine))


def prepare_installed(machine, work):
    """A copy of the installed system's disk in which the firmware finds Umbra first."""
    disk, tree = work + "/disk.img", work + "/esp"

    def mtools(program, *arguments):
        return subprocess.run([program, "-i", disk + "@@1M", *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout

    subprocess.run(["cp", "--sparse=always", "--reflink=auto", machine.installed, disk], check=True)
    entry = mtools("mdir", "-b", "::/loader/entries").split()[0]
    write_text(tree + entry.removeprefix("::"), adapt_entry(machine, mtools("mtype", entry)))
    lay_out_loader(machine, tree)
    if machine.command is not None:
        write_text(tree + "/umbra/command", machine.command + "\n")
    mtools("mcopy", "-o", "-Q", "-s", *(f"{tree}/{name}" for name in os.listdir(tree)), "::/")


def make_disk(machine, work):
    """Writes what the machine boots from, work/disk.img."""
    if machine.installed:
        prepare_installed(machine, work)
        return
    if machine.kept:
        return
    if machine.disk:
        subprocess.run(["cp", "--sparse=always", machine.disk, work + "/disk.img"], check=True)
        return
    lay_out_esp(machine, work + "/esp")
    subprocess.run(["tools/mkimage", work + "/disk.img", work + "/esp"], check=True)


def qemu_arguments(machine, work, serial, serial2):
    """For the disk work/disk.img; resets are logged in work/qemu.log."""
    arguments = [
        "qemu-system-x86_64", "-machine", "q35", "-accel", machine.accel, "-cpu", machine.cpu, "-m", memory_size(machine.memory),
        *machine.firmware, "-nodefaults", "-no-reboot", "-display", "none", "-vga", "std", "-rtc", "base=utc",
        "-drive", f"format=raw,if=none,id=boot,file={machine.kept or work + '/disk.img,snapshot=on'}", *BUSES[machine.bus],
        "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
    ]
    for port in (serial, serial2) if machine.serials else ():
        arguments += ["-serial", port] if port else []
    for i, disk in enumerate(machine.disks):
        drive = disk if "=" in disk else f"file={disk},format=raw"
        arguments += ["-drive", f"{drive},if=none,id=disk{i},snapshot=on", "-device", f"virtio-blk-pci,drive=disk{i}"]
    if "-smp" not in machine.extra:
        arguments += ["-smp", str(machine.cpus)]
    if "-d" not in machine.extra:  # QEMU has one log
        arguments += ["-d", "cpu_reset", "-D", work + "/qemu.log"]
    return arguments + machine.extra


def memory_size(text):
    """MiB without a unit, else as QEMU writes it."""
    return text + "M" if text.isdigit() else text


@dataclass
class Result:
    serial: bytes = b""
    serial2: bytes = b""       # all that came over the second serial port
    output: bytes = b""        # of the guest command
    panic: str | None = None   # Bochs's reason for giving up
    fatal: str | None = None   # the line after which there was nothing to wait for (tools/endings.py)
    status: int | None = None  # of the guest command; TIMED_OUT; None if it never ended
    exit: int | None = None    # the emulator's own status
    seconds: float = 0

    @property
    def text(self):
        return self.serial.decode(errors="replace").replace("\r\n", "\n")

    @property
    def timed_out(self):
        return self.status == TIMED_OUT and self.exit is None


def start_bochs(machine, work, com1, com2):
    return bochs.Process(work, machine.bochs_cpu, machine.memory, ovmf.rom(), work + "/disk.img", com1, com2, machine.bochs_ips,
                         machine.cpus)


def start(machine, work, serial, serial2):
    """Starts the emulator. serial: a file for the console; serial2: one for the guest command."""
    if machine.emulator == "bochs":
        second = f"mode=socket-server, dev={machine.debug}" if machine.debug else f"mode=file, dev={serial2}"
        return start_bochs(machine, work, f"mode=file, dev={serial}", second)
    first, more = f"file:{serial}", []
    second = f"unix:{machine.debug},server=on,wait=off" if machine.debug else f"file:{serial2}"
    if machine.console:  # whoever types there writes the file: QEMU's own log has bytes twice that had to wait
        first = "chardev:console"
        more = ["-chardev", f"socket,id=console,path={machine.console},server=on,wait=on"]
    return subprocess.Popen(qemu_arguments(machine, work, first, second) + more, stdin=subprocess.DEVNULL)


def halts(machine):
    """The console's words after which the emulator goes on for nothing."""
    if machine.emulator != "bochs":
        return None
    return bochs.HALTED if machine.acpi else bochs.POWERED_DOWN


def read_file(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def finish(machine, emulator, work, ending, result):
    """Ends the emulator if it still runs and says why the run ended."""
    result.exit = emulator.poll()
    if result.exit is None:
        emulator.kill()
        emulator.wait()
    result.panic = emulator.panic() if machine.emulator == "bochs" else None
    result.fatal = ending.line
    if result.fatal is None and b"Triple fault" in read_file(work + "/qemu.log"):
        result.fatal = "a triple fault has reset the machine"


def take_output(result, output):
    """The guest command's output and status, from what came over the second serial port."""
    result.output = output.partition(COMMAND_OUTPUT)[2]
    ended = COMMAND_STATUS.search(result.output)
    if ended:
        result.output = result.output[:ended.start()]
        if not result.timed_out:
            result.status = int(ended.group(1))


def run(machine, timeout, until=None, log=None, echo=False):
    """Boots the machine and waits until it powers off, until the timeout, or until the serial log
    matches the bytes pattern `until` (without one: until it says that nothing good can come); then it is
    killed. The serial log is kept in the file `log` and copied to stdout if echo is set."""
    os.makedirs("build", exist_ok=True)
    result, ending = Result(), endings.Ending(halts(machine))
    with tempfile.TemporaryDirectory(prefix="run.", dir="build") as work:
        output, log = work + "/output", log or work + "/serial.log"
        os.makedirs(os.path.dirname(log), exist_ok=True)
        make_disk(machine, work)
        open(log, "wb").close()
        open(output, "wb").close()
        began = time.monotonic()
        emulator = start(machine, work, log, output)
        try:
            watch(emulator, log, began + timeout, until, ending, echo, result)
        finally:
            finish(machine, emulator, work, ending, result)
        result.seconds = time.monotonic() - began
        result.serial = read_file(log)
        result.serial2 = read_file(output)
        take_output(result, result.serial2)
    return result


def watch(emulator, log, deadline, until, ending, echo, result):
    with open(log, "rb") as file:
        seen = b""
        while True:
            ended = emulator.poll() is not None
            new = file.read()
            seen += new
            ending.feed(new)
            if echo and new:
                sys.stdout.buffer.write(new)
                sys.stdout.buffer.flush()
            if ended or (re.search(until, seen) if until else ending.over()):
                return
            if time.monotonic() > deadline:
                result.status = TIMED_OUT
                return
            time.sleep(0.1)
