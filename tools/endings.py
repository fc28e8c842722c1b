# SPDX-License-Identifier: BSD-2-Clause
"""The lines on a console after which nothing good can come: the loader gave up, the hypervisor or
the guest has stopped, the guest's kernel has panicked, a triple fault resets the machine. Whoever
runs an emulator feeds an Ending with what the console says and asks it whether the run is over."""
import re
import time

LEFT_FIRMWARE = b"umbra: leaving the firmware"
# Heeded only as long as the firmware is there: a guest may print such a line itself.
LOADER = re.compile(rb"umbra: error: .*")
# What went wrong comes before the dump, that all is over behind it.
REASON = re.compile(rb"umbra: (?:guest stopped: (.*)|(PANIC .*))")
STOPPED = re.compile(rb"umbra: the (?:hypervisor|guest) has stopped(?=;)")
RESET = re.compile(rb"umbra: guest: .*; resetting the machine")
# At the beginning of a line, behind the kernel's time stamp: not where somebody types it.
KERNEL_PANIC = re.compile(rb"(?:\[[^]]*\] ?)*(Kernel panic - not syncing.*)")
KERNEL_PANIC_END = b"---[ end Kernel panic"
# How long nothing comes when the trace behind a kernel's panic is over; a kernel that is to reboot prints no end of it.
TRACE_SECONDS = 5


class Ending:
    """line: what ended the run, or None. halts: a pattern after which an emulator without power-off is done."""

    def __init__(self, halts=None):
        self.line = None
        self.halts = halts and re.compile(halts)
        self.halted = False
        self.in_firmware = True
        self.reason = b""
        self.rest = b""
        self.until = None  # the kernel's trace is waited for

    def feed(self, data):
        if data and self.until:
            self.until = time.monotonic() + TRACE_SECONDS
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.read_line(line.strip(b"\r"))

    def read_line(self, line):
        self.in_firmware &= LEFT_FIRMWARE not in line
        self.halted |= bool(self.halts and self.halts.search(line))
        if found := REASON.search(line):
            self.reason = found.group(1) or found.group(2)
        if KERNEL_PANIC_END in line:
            self.until = 0
        if self.line is None and (text := self.last_words(line)):
            self.line = text.decode(errors="replace")

    def last_words(self, line):
        """What this line says if it ends the run."""
        if found := (self.in_firmware and LOADER.search(line)) or RESET.search(line):
            return found.group(0)
        if found := STOPPED.search(line):
            return found.group(0) + (b": " + self.reason if self.reason else b"")
        if found := KERNEL_PANIC.match(line):
            self.until = time.monotonic() + TRACE_SECONDS
            return found.group(1)
        return None

    def over(self):
        """Whether the emulator may be ended now."""
        return self.halted or (self.line is not None and (self.until is None or time.monotonic() > self.until))
