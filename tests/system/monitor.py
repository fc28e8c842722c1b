# SPDX-License-Identifier: BSD-2-Clause
"""What a test asks of a running QEMU, by its QMP socket, and waits for in a log."""
import json
import os
import re
import socket
import time

import vm

CONNECT_SECONDS = 120


def connect(path):
    """The socket, once QEMU listens there."""
    end = time.monotonic() + CONNECT_SECONDS
    while True:
        qmp = socket.socket(socket.AF_UNIX)
        try:
            qmp.connect(path)
            return qmp
        except (FileNotFoundError, ConnectionRefusedError):
            qmp.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class Monitor:
    """QEMU's monitors: commands in JSON, and the human one."""

    def __init__(self, path):
        self.qmp = connect(path)
        self.lines = self.qmp.makefile("rb")
        self.lines.readline()  # its greeting
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.qmp.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while line := self.lines.readline():
            answer = json.loads(line)
            if "return" in answer or "error" in answer:
                return answer.get("return")
        return None  # QEMU has ended

    def human(self, line):
        return self.ask("human-monitor-command", **{"command-line": line})

    def cpus(self):
        """(RIP, halted, interrupts on) of each."""
        return [(int(re.search(r"RIP=(\w+)", part)[1], 16), "HLT=1" in part, bool(int(re.search(r"RFL=(\w+)", part)[1], 16) & 0x200))
                for part in self.human("info registers -a").split("CPU#")[1:]]

    def press(self, key, log):
        """The key, and until the guest has shown something for it, if it does."""
        shown = os.path.getsize(log)
        self.ask("send-key", **{"hold-time": 80, "keys": [{"type": "qcode", "data": key}]})
        end = time.monotonic() + 20
        while os.path.getsize(log) == shown and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.5)


def wait_for(path, pattern, seconds):
    """Until the file has it; whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if re.search(pattern, vm.read_file(path)):
            return True
        time.sleep(0.2)
    return False
