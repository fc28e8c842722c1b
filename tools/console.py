# SPDX-License-Identifier: BSD-2-Clause
"""A run with the guest's first serial line as our console: we relay between the emulator and our
standard input and output, and see what the guest says. A terminal's keys go through at once (QEMU's
own Ctrl-A X and Ctrl-A C too). Other input waits, line by line, for the prompt of the shell
in the test initramfs, and its end is the end of file for that shell, which then powers off."""
import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import termios
import time
import tty

import endings
import vm

SHELL = b"The guest's shell."                     # tools/init
PROMPT = re.compile(rb"# (?:\x1b\[\d*n)?$")       # busybox may ask for the cursor's place behind it
END_OF_FILE = b"\x04"
LEAVE = b"\x01x"                                  # Ctrl-A X, where the emulator has no such key itself


@contextlib.contextmanager
def raw_terminal():
    """Every key of our terminal reaches us as it is; afterwards the terminal is as it was."""
    if not sys.stdin.isatty():
        yield
        return
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        with contextlib.suppress(termios.error):  # it is gone
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


class Keyboard:
    """Our standard input on its way to the guest. waits: for the shell's prompt, line by line."""

    def __init__(self, waits):
        self.waits = waits
        self.open = True
        self.left = False      # Ctrl-A X was typed
        self.typed = b""       # last
        self.lines = b""       # read, not yet asked for
        self.out = b""         # to be sent
        self.screen = b""      # the end of what the guest has said since
        self.shell = False

    def read(self):
        data = os.read(0, 4096)
        self.typed = self.typed[-1:] + data
        self.left |= LEAVE in self.typed
        self.open = bool(data)
        if self.waits:
            self.lines += data
        else:
            self.out += data

    def see(self, data):
        self.screen = (self.screen + data)[-256:]
        self.shell |= SHELL in self.screen

    def answer(self):
        """At a prompt the next line goes out, or the end of the file."""
        if not (self.waits and self.shell and PROMPT.search(self.screen)):
            return
        line, newline, rest = self.lines.partition(b"\n")
        if newline or (line and not self.open):
            self.out, self.lines = line + b"\n", rest
        elif not self.open:
            self.out, self.waits = END_OF_FILE, False
        else:
            return
        self.screen = b""

    def send(self, sink):
        """As much as a pipe takes without blocking."""
        self.out = self.out[os.write(sink, self.out[:512]):]


def relay(emulator, source, sink, keyboard, ending, deadline, leaves):
    """Copies both ways until the run is over; whether it was in time."""
    while time.monotonic() < deadline:
        ended = emulator.poll() is not None
        wanted = [source] + ([0] if keyboard.open and len(keyboard.out) < 4096 else [])
        ready, free, _ = select.select(wanted, [sink] if keyboard.out and not ended else [], [], 0 if ended else 0.1)
        if 0 in ready and not ended:
            keyboard.read()
        data = os.read(source, 4096) if source in ready else b""
        if data:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            ending.feed(data)
            keyboard.see(data)
        keyboard.answer()
        if free:
            keyboard.send(sink)
        if (not data) if ended else (ending.over() or (leaves and keyboard.left)):
            return True
    return False


def start_qemu(machine, work):
    """QEMU with the serial line, its monitor and its escapes on two pipes."""
    emulator = subprocess.Popen(vm.qemu_arguments(machine, work, "mon:stdio", None), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, bufsize=0)
    return emulator, emulator.stdout.fileno(), emulator.stdin.fileno()


def start_bochs(machine, work):
    """Bochs with the serial line on a pseudo terminal, whose other side is held open too."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    return vm.start_bochs(machine, work, f"mode=term, dev={os.ttyname(slave)}", f"mode=file, dev={work}/output"), master, master


def run(machine, timeout, shell):
    """Boots the machine with the console here. shell: the test initramfs's shell will ask for input. The
    timeout holds where nobody sits at a terminal."""
    at_terminal = sys.stdin.isatty()
    result, ending = vm.Result(), endings.Ending(vm.halts(machine))
    with tempfile.TemporaryDirectory(prefix="run.", dir="build") as work:
        vm.make_disk(machine, work)
        in_bochs = machine.emulator == "bochs"
        emulator, source, sink = (start_bochs if in_bochs else start_qemu)(machine, work)
        keyboard = Keyboard(shell and not at_terminal)
        deadline = float("inf") if at_terminal else time.monotonic() + timeout
        try:
            with raw_terminal(), contextlib.suppress(BrokenPipeError):  # the emulator is gone
                if not relay(emulator, source, sink, keyboard, ending, deadline, in_bochs):
                    result.status = vm.TIMED_OUT
        finally:
            vm.finish(machine, emulator, work, ending, result)
    return result
