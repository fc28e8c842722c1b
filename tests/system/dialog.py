# SPDX-License-Identifier: BSD-2-Clause
"""A machine that somebody sits at: what its serial line says is put on a screen as a terminal would, keys go in over the
line or the keyboard."""
import codecs
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

import vm
from common import BOOT_TIMEOUT, log_path, require
from monitor import Monitor

# What a terminal acts on: ECMA-48's control sequences, as far as the firmware and the menu send them.
SEQUENCE = re.compile(r"\x1b\[([?=]?[\d;]*)([A-Za-z])|\x1b[()].|\x1b[=>]")
LOOKS = {"7": "chosen", "1": "bright", "0": "plain"}


class Screen:
    """Rows of text, a cursor; of the colours only whether a row was drawn in reverse."""

    def __init__(self, rows=60, columns=240):
        self.rows, self.columns = rows, columns
        self.clear()
        self.rest = ""
        self.drawn = []  # rows in the order in which they were written to

    def clear(self):
        self.cells = [[" "] * self.columns for _ in range(self.rows)]
        self.row = self.column = 0

    def text(self):
        return "\n".join("".join(cells).rstrip() for cells in self.cells).rstrip()

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = SEQUENCE.match(text, at)
                if not found:
                    if len(text) - at < 16:
                        self.rest = text[at:]
                        return
                    at += 1
                    continue
                self.act(found)
                at = found.end()
            else:
                self.put(text[at])
                at += 1

    def act(self, found):
        numbers = [int(n) for n in re.findall(r"\d+", found.group(1) or "")]
        first = numbers[0] if numbers else 1
        kind = found.group(2)
        if kind == "H":
            self.row = min(first, self.rows) - 1
            self.column = min(numbers[1] if len(numbers) > 1 else 1, self.columns) - 1
        elif kind == "J" and numbers == [2]:
            row, column = self.row, self.column
            self.clear()
            self.row, self.column = row, column
        elif kind == "K":
            self.cells[self.row][self.column:] = [" "] * (self.columns - self.column)
        elif kind in ("A", "B"):
            self.row = max(0, min(self.rows - 1, self.row + (first if kind == "B" else -first)))
        elif kind in ("C", "D"):
            self.column = max(0, min(self.columns - 1, self.column + (first if kind == "C" else -first)))

    def put(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\b":
            self.column = max(0, self.column - 1)
        elif c == "\n":
            if self.row == self.rows - 1:
                self.cells = self.cells[1:] + [[" "] * self.columns]
            else:
                self.row += 1
        elif c >= " ":
            self.cells[self.row][self.column] = c
            self.drawn.append(self.row)
            self.column = min(self.columns - 1, self.column + 1)


class Dialog:
    """QEMU with the first serial line on pipes; used in a with statement."""

    def __init__(self, name, machine):
        self.name, self.machine = name, machine
        self.screen = Screen()
        self.log = b""
        self.lock = threading.Lock()

    def __enter__(self):
        os.makedirs("build", exist_ok=True)
        self.work = tempfile.mkdtemp(prefix="run.", dir="build")
        vm.make_disk(self.machine, self.work)
        qmp = f"{self.work}/qmp"
        arguments = vm.qemu_arguments(self.machine, self.work, "stdio", None) + ["-qmp", f"unix:{qmp},server=on,wait=off"]
        self.emulator = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        threading.Thread(target=self.listen, daemon=True).start()
        end = time.monotonic() + 60
        while not os.path.exists(qmp) and time.monotonic() < end:
            time.sleep(0.1)
        self.monitor = Monitor(qmp)
        return self

    def __exit__(self, *_):
        if self.emulator.poll() is None:
            self.emulator.kill()
        self.emulator.wait()
        os.makedirs(os.path.dirname(log_path(self.name)), exist_ok=True)
        with open(log_path(self.name), "wb") as file:
            file.write(self.log)
        shutil.rmtree(self.work, ignore_errors=True)

    def listen(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := os.read(self.emulator.stdout.fileno(), 4096):
            with self.lock:
                self.log += data
                self.screen.feed(decoder.decode(data))

    def text(self):
        """All that was said, without what moves a cursor."""
        with self.lock:
            return SEQUENCE.sub("", self.log.decode("utf-8", errors="replace")).replace("\r", "")

    def shown(self):
        with self.lock:
            return self.screen.text()

    def wait(self, seen, what, seconds=BOOT_TIMEOUT):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if seen():
                return
            time.sleep(0.1)
        require(seen(), f"{what}; the screen is {self.shown()[-1500:]!r}")

    def see(self, pattern, seconds=BOOT_TIMEOUT):
        """Until the screen shows it; what it then shows."""
        self.wait(lambda: re.search(pattern, self.shown(), re.M), f"nothing like {pattern!r} came", seconds)
        return self.shown()

    def hear(self, pattern, seconds=BOOT_TIMEOUT):
        """Until it has been said, be it gone from the screen."""
        self.wait(lambda: re.search(pattern, self.text()), f"nothing like {pattern!r} was said", seconds)

    def over(self, seconds=BOOT_TIMEOUT):
        """Until the machine is off."""
        self.wait(lambda: self.emulator.poll() is not None, "the machine is not off", seconds)

    def type(self, text):
        """Over the serial line."""
        self.emulator.stdin.write(text.encode() if isinstance(text, str) else text)

    def press(self, *keys):
        """On the keyboard."""
        for key in keys:
            self.monitor.human(f"sendkey {key}")
            time.sleep(0.25)
