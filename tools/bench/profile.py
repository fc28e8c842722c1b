# SPDX-License-Identifier: BSD-2-Clause
"""Where the hypervisor's instructions go, by function and by address, counted from QEMU's log of
translated and executed blocks. The guest reads the counters before and after the part that it
measures, so that is the part between two readings in which most happens."""
import bisect
import os
import subprocess
import tempfile
import threading

import machine
from table import BY_NAME

SYMBOLS = "build/release/core.elf"
READING = "shadow_stat"  # what CPUID calls for a reading of the counters
GUEST_TEXT = 0xffffffff81000000  # Linux begins here
SHOWN = 50


class Symbols:
    def __init__(self, path):
        text = subprocess.run(["nm", "-n", path], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in text.splitlines()]
        rows = [(int(row[0], 16), row[2]) for row in rows if len(row) == 3 and row[1] in "tT"]
        self.starts, self.names = [row[0] for row in rows], [row[1] for row in rows]
        self.starts_set = set(self.starts)
        self.first, self.last = self.starts[0], min(self.starts[-1] + 0x1000, GUEST_TEXT)

    def at(self, address):
        return self.names[bisect.bisect_right(self.starts, address) - 1]


class Profile:
    """Reads the log. best: {block's address: executions} of the fullest part between two readings."""

    def __init__(self, symbols):
        self.symbols = symbols
        self.blocks, self.counts, self.best = {}, {}, {}
        self.total, self.best_total = 0, -1
        self.begun = False  # a reading was seen
        low = symbols.starts[symbols.names.index(READING)]
        self.reading = range(low, symbols.starts[bisect.bisect_right(symbols.starts, low)])

    def feed(self, lines):
        block, blocks, counts, reading = None, self.blocks, self.counts, self.reading
        for line in lines:
            if line.startswith("Trace"):
                pc = int(line.split("/", 2)[1], 16)
                counts[pc] = counts.get(pc, 0) + 1
                self.total += 1
                if pc in reading:
                    self.close()
                    counts = self.counts
            elif line.startswith("0x"):
                pc = int(line[:line.index(":")], 16)
                if block is None:
                    block = pc
                    blocks[block] = []
                blocks[block].append(pc)
            elif line.startswith(("IN:", "---")):
                block = None

    def close(self):
        if self.begun and self.total > self.best_total:
            self.best, self.best_total = self.counts, self.total
        self.counts, self.total, self.begun = {}, 0, True

    def instructions(self):
        """{address: executions} of every instruction."""
        result = {}
        for block, count in self.best.items():
            for pc in self.blocks.get(block, ()):
                result[pc] = result.get(pc, 0) + count
        return result


def run(efi, name):
    """One workload under Umbra. Returns (symbols, {address: executions}, operations)."""
    symbols = Symbols(SYMBOLS)
    profile = Profile(symbols)
    os.makedirs("build/bench", exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="profile.", dir="build/bench") as work:
        pipe = work + "/log"
        os.mkfifo(pipe)

        def read():
            with open(pipe, encoding="utf-8", errors="replace") as file:
                profile.feed(file)

        reader = threading.Thread(target=read)
        reader.start()
        results = machine.run_guest(efi, False, [name], logging=[
            "-d", "exec,nochain,in_asm", "-dfilter", f"{symbols.first:#x}..{symbols.last:#x}", "-D", pipe])
        reader.join()
    return symbols, profile.instructions(), results[name]["ops"]


def report(efi, names):
    lines = []
    for name in names:
        symbols, executed, ops = run(efi, BY_NAME[name].name)
        functions = {}
        for pc, count in executed.items():
            functions[symbols.at(pc)] = functions.get(symbols.at(pc), 0) + count
        lines.append(f"{name}: {sum(functions.values()) / ops:,.1f} instructions of the hypervisor an operation")
        calls = {symbols.at(pc): count for pc, count in executed.items() if pc in symbols.starts_set}
        lines.append("  instructions       calls  function")
        for function, count in sorted(functions.items(), key=lambda item: -item[1])[:SHOWN]:
            lines.append(f"  {count / ops:12,.1f}  {calls.get(function, 0) / ops:10,.2f}  {function}")
        with open(f"build/bench/profile-{name}.txt", "w") as file:
            for pc in sorted(executed):
                file.write(f"{executed[pc] / ops:12.2f} {pc:016x} {symbols.at(pc)}\n")
    return "\n".join(lines)
