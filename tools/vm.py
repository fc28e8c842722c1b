# SPDX-License-Identifier: BSD-2-Clause
"""One emulated machine that boots Umbra: lays out the ESP, writes the disk image,
starts QEMU or Bochs and waits for its end. Used by tools/run and by the system tests.
Paths are relative to the tree's root, where both start."""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import tty
from dataclasses import dataclass, field

import bochs

OVMF = "/usr/share/ovmf/OVMF.fd"
# The marks of tools/init on the second serial port (the firmware prints there before).
COMMAND_OUTPUT = b"\x1eumbra-output\n"
COMMAND_STATUS = re.compile(rb"\x1eumbra-status (\d+)\n$")
# The drivers that the tests' devices need; what a kernel lacks or has built in is skipped.
MODULES = "virtio_pci,virtio_blk,virtio_net,efivarfs,ahci,sd_mod,e1000"
TIMED_OUT = 124


@dataclass
class Machine:
    """What boots. kernel and initrds are files; options go to the guest, umbra to the hypervisor."""
    efi: str = "build/release/umbra.efi"
    kernel: str = "build/kernels/cloud/vmlinuz"
    initrds: list = field(default_factory=list)
    options: str = "console=ttyS0"
    umbra: str = ""
    memory: str = "1G"
    emulator: str = "qemu"              # or "bochs"
    accel: str = "tcg"                  # QEMU's: or "kvm"
    cpu: str = "max"                    # QEMU's
    bochs_cpu: str = bochs.DEFAULT_MODEL
    bochs_ips: int = bochs.DEFAULT_IPS
    multiboot: bool = False             # kernel is a multiboot kernel, options its command line
    modules: list = field(default_factory=list)  # its modules: (file, string)
    force: bool = False                 # load over memory that the firmware reserves
    command: str | None = None          # run by the test initramfs instead of a shell
    extra: list = field(default_factory=list)  # more QEMU arguments
    entry: str | None = None            # the boot entry's text instead of the usual one ("" for no entry)
    title: str = "Umbra"
    files: list = field(default_factory=list)  # more on the ESP: (file, path there)


def initramfs(kernel_dir):
    """The test initramfs for a kernel fetched by tools/fetch-kernel (None: one without modules)."""
    name = os.path.basename(kernel_dir) if kernel_dir else "plain"
    out = f"build/initramfs/{name}.cpio"
    base = base_arguments(kernel_dir)
    sources = ["tools/mkinitramfs", "tools/init", "tools/vm.py", base[-1]]
    if kernel_dir:
        sources.append(kernel_dir + "/version")
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


def entry_text(machine, initrd_names):
    lines = [f"title {machine.title}"]
    if machine.multiboot:
        lines += [f"multiboot /kernel {machine.options}"]
        lines += [f"module /module{i} {string}" for i, (_, string) in enumerate(machine.modules)]
    else:
        lines += ["linux /kernel", *(f"initrd /{name}" for name in initrd_names), f"options {machine.options}"]
    if machine.force:
        lines += ["force"]
    if machine.umbra:
        lines += [f"umbra {machine.umbra}"]
    return "\n".join(lines) + "\n"


def lay_out_esp(machine, tree, timeout=0):
    """Fills the directory tree as the ESP shall look."""
    os.makedirs(tree + "/EFI/BOOT")
    shutil.copy(machine.efi, tree + "/EFI/BOOT/BOOTX64.EFI")
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


def qemu_arguments(machine, disk, serial, serial2):
    arguments = [
        "qemu-system-x86_64", "-machine", "q35", "-accel", machine.accel, "-cpu", machine.cpu, "-m", memory_size(machine.memory),
        "-bios", OVMF, "-nodefaults", "-no-reboot", "-display", "none", "-vga", "std", "-rtc", "base=utc",
        "-serial", serial,
        "-drive", f"file={disk},format=raw,if=none,id=boot,snapshot=on", "-device", "virtio-blk-pci,drive=boot,bootindex=0",
        "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
    ]
    if serial2:
        arguments += ["-serial", serial2]
    return arguments + machine.extra


def memory_size(text):
    """MiB without a unit, else as QEMU writes it."""
    return text + "M" if text.isdigit() else text


@dataclass
class Result:
    serial: bytes = b""
    output: bytes = b""        # of the guest command
    panic: str | None = None   # Bochs's reason for giving up
    status: int | None = None  # of the guest command; TIMED_OUT; None if it never ended
    exit: int | None = None    # the emulator's own status
    seconds: float = 0

    @property
    def text(self):
        return self.serial.decode(errors="replace").replace("\r\n", "\n")

    @property
    def timed_out(self):
        return self.status == TIMED_OUT and self.exit is None


def start(machine, work, disk, serial, serial2):
    """Starts the emulator. serial: a file for the console; serial2: one for the guest command."""
    if machine.emulator == "bochs":
        return bochs.Process(work, machine.bochs_cpu, machine.memory, OVMF, disk,
                             f"mode=file, dev={serial}", f"mode=file, dev={serial2}", machine.bochs_ips)
    return subprocess.Popen(qemu_arguments(machine, disk, f"file:{serial}", f"file:{serial2}"),
                            stdin=subprocess.DEVNULL)


def run(machine, timeout, until=None, log=None, echo=False):
    """Boots the machine and waits until it powers off, until the serial log matches the
    bytes pattern `until`, or until the timeout; then it is killed. The serial log is kept in
    the file `log` and copied to stdout if echo is set. In Bochs `until` is the power-off,
    if nothing else is asked for."""
    if machine.emulator == "bochs":
        until = until or bochs.END
    os.makedirs("build", exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run.", dir="build") as work:
        disk, output = work + "/disk.img", work + "/output"
        log = log or work + "/serial.log"
        os.makedirs(os.path.dirname(log), exist_ok=True)
        lay_out_esp(machine, work + "/esp")
        subprocess.run(["tools/mkimage", disk, work + "/esp"], check=True)
        open(log, "wb").close()
        open(output, "wb").close()
        began = time.monotonic()
        emulator = start(machine, work, disk, log, output)
        result = Result()
        try:
            watch(emulator, log, began + timeout, until, echo, result)
        finally:
            if emulator.poll() is None:
                emulator.kill()
                emulator.wait()
        result.seconds = time.monotonic() - began
        result.panic = emulator.panic() if machine.emulator == "bochs" else None
        with open(log, "rb") as file:
            result.serial = file.read()
        with open(output, "rb") as file:
            result.output = file.read().partition(COMMAND_OUTPUT)[2]
        ended = COMMAND_STATUS.search(result.output)
        if ended:
            result.output = result.output[:ended.start()]
            if not result.timed_out:
                result.status = int(ended.group(1))
        return result


def watch(emulator, log, deadline, until, echo, result):
    seen = b""
    with open(log, "rb") as file:
        while True:
            ended = emulator.poll() is not None
            new = file.read()
            seen += new
            if echo and new:
                sys.stdout.buffer.write(new)
                sys.stdout.buffer.flush()
            if until and re.search(until, seen):
                return
            if ended:
                result.exit = emulator.returncode
                return
            if time.monotonic() > deadline:
                result.status = TIMED_OUT
                return
            time.sleep(0.1)


def run_interactive(machine):
    """Boots with the serial console on the terminal (Ctrl-A X ends the emulator)."""
    with tempfile.TemporaryDirectory(prefix="run.", dir="build") as work:
        disk = work + "/disk.img"
        lay_out_esp(machine, work + "/esp")
        subprocess.run(["tools/mkimage", disk, work + "/esp"], check=True)
        if machine.emulator == "bochs":
            return run_bochs_interactive(machine, work, disk)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the guest
        return subprocess.run(qemu_arguments(machine, disk, "mon:stdio", None)).returncode


def run_bochs_interactive(machine, work, disk):
    """The guest's serial line is a pseudo terminal; this relays between it and ours."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    emulator = bochs.Process(work, machine.bochs_cpu, machine.memory, OVMF, disk,
                             f"mode=term, dev={os.ttyname(slave)}", f"mode=file, dev={work}/output")
    saved = termios.tcgetattr(0) if sys.stdin.isatty() else None
    try:
        if saved:
            tty.setraw(0)
        relay(emulator, master)
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        panic = emulator.panic()
        if emulator.poll() is None:
            emulator.kill()
            emulator.wait()
    if panic:
        print(f"tools/run: Bochs gave up: {panic}", file=sys.stderr)
    return 1 if panic else 0


def relay(emulator, master):
    """Copies both ways until the guest has halted, Bochs has ended or Ctrl-A X was typed."""
    inputs, tail, typed = [master, 0], b"", b""
    while emulator.poll() is None:
        for source in select.select(inputs, [], [], 1)[0]:
            data = os.read(source, 4096)
            if source == 0:
                if not data:
                    inputs.remove(0)  # the end of a file; the guest goes on
                typed = typed[-1:] + data
                if b"\x01x" in typed:
                    return
                os.write(master, data)
                continue
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            tail = (tail + data)[-256 - len(data):]
            if re.search(bochs.END, tail):
                return
