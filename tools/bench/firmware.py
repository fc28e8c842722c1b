# SPDX-License-Identifier: BSD-2-Clause
"""Starts the benchmark's QEMU behind the firmware. OVMF polls for a TPM, by the clock: under
-icount that is a minute of every run. So the machine is stopped once, at the firmware's
first sign on the serial port and before it has read from the disk, and its state is kept;
later runs continue there. To the guest it is the same as one run."""
import json
import os
import socket
import subprocess
import sys
import time


class Monitor:
    """QEMU's machine protocol on a Unix socket."""

    def __init__(self, path, emulator):
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if emulator.poll() is not None:
                    raise RuntimeError("QEMU did not start") from None
                time.sleep(0.02)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]


def monitor_arguments(path):
    return ["-qmp", f"unix:{path},server=on,wait=off"]


def make_state(state, arguments, log, work):
    """Runs the firmware up to its first byte in the file log and writes the machine's state to the file."""
    print("the firmware's state, once (a minute or two) ...", file=sys.stderr)
    path = work + "/firmware.qmp"
    emulator = subprocess.Popen([*arguments, *monitor_arguments(path)], stdin=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    try:
        monitor = Monitor(path, emulator)
        deadline = time.monotonic() + 900
        while not os.path.exists(log) or not os.path.getsize(log):
            if emulator.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the firmware did not start")
            time.sleep(0.005)
        monitor.run("stop")
        if any(drive["stats"]["rd_operations"] for drive in monitor.run("query-blockstats")):
            raise RuntimeError("the firmware read the disk before it could be stopped; try again")
        monitor.run("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        monitor.run("migrate", uri=f"exec:cat >{work}/firmware.state")
        while monitor.run("query-migrate")["status"] != "completed":
            time.sleep(0.05)
    finally:
        emulator.kill()
        emulator.wait()
    os.replace(work + "/firmware.state", state)


def start(state, arguments, work):
    """Starts the machine from the state. Returns the process."""
    path = work + "/run.qmp"
    emulator = subprocess.Popen([*arguments, *monitor_arguments(path), "-incoming", f"exec:cat {state}"],
                                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    monitor = Monitor(path, emulator)
    while monitor.run("query-status")["status"] == "inmigrate":
        if emulator.poll() is not None:
            raise RuntimeError("the machine's state could not be loaded")
        time.sleep(0.02)
    monitor.run("cont")
    return emulator
