# SPDX-License-Identifier: BSD-2-Clause
"""Somebody who types: at a guest's serial port, line by line behind its prompt, and on its keyboard."""
import contextlib
import os
import re
import threading
import time

import vm
from common import Failure, boot, log_path, require, scratch
from monitor import Monitor, connect

KEYS = {" ": "spc", "\n": "ret", "/": "slash", "-": "minus", ">": "shift-dot", "_": "shift-minus", ".": "dot"}


class Talker:
    """What the thread beside the emulator has: the serial port's log and lines to type."""

    def __init__(self, name, console, qmp, seconds):
        self.name, self.console, self.qmp, self.seconds = name, console, qmp, seconds
        self.seen, self.wire = 0, None

    def wait(self, pattern):
        """Until the log, behind what was waited for last, has the bytes pattern; what came until then."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            text = vm.read_file(log_path(self.name))[self.seen:]
            found = re.search(pattern, text)
            if found:
                self.seen += found.end()
                return text[:found.start()].decode(errors="replace").replace("\r", "")
            time.sleep(0.2)
        raise Failure(f"waited {self.seconds} s for {pattern!r} on the serial port")

    def ask(self, line, prompt):
        """Types the line; what is said until the prompt comes again."""
        self.wire.sendall(line.encode() + b"\n")
        return self.wait(prompt)

    def listen(self):
        """QEMU waits for it; then what comes goes to the log."""
        self.wire = connect(self.console)
        threading.Thread(target=self.write_log, daemon=True).start()

    def write_log(self):
        with contextlib.suppress(OSError), open(log_path(self.name), "ab", buffering=0) as log:
            while data := self.wire.recv(4096):
                log.write(data)

    def press(self, text):
        monitor = Monitor(self.qmp)
        for letter in text:
            key = KEYS.get(letter, letter)
            monitor.human("sendkey " + (f"shift-{key.lower()}" if key.isupper() else key))
            time.sleep(0.2)
        monitor.qmp.close()

    def monitor(self, command):
        monitor = Monitor(self.qmp)
        monitor.human(command)
        monitor.qmp.close()


def talk(name, machine, conversation, timeout):
    """Boots the machine while conversation(talker) runs beside it; the boot's result."""
    console, qmp = scratch("tty"), scratch("qmp")
    for path in (console, qmp):
        if os.path.exists(path):
            os.unlink(path)
    vm.write_text(log_path(name), "")
    machine.console = console
    machine.extra = machine.extra + ["-qmp", f"unix:{qmp},server=on,wait=off"]
    talker, failed = Talker(name, console, qmp, timeout), []

    def run():
        try:
            talker.listen()
            conversation(talker)
        except (Failure, OSError) as failure:
            failed.append(str(failure))
            with contextlib.suppress(OSError):  # the boot may be over
                talker.monitor("quit")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    result = boot(name, machine, timeout)
    talker.seconds = 0
    thread.join(10)
    require(not failed, "; ".join(failed))
    return result
