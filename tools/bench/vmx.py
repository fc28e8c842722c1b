# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark on VMX, in Bochs: the same guest and workloads. One tick of Bochs's clock is
one instruction, and the TSC counts ticks; with a thousand million in a second timer
interrupts come as often as in the QEMU of machine.py."""
import os
import sys

import bochs
import machine
import ovmf
import report
import suite
import vm
from single import Single
from table import BY_NAME, WORKLOADS

IPS = 1000000000
TIMEOUT = 1800
END = (rb'@bench \{"(?:end|error)"[^\n]*\n|Kernel panic|umbra: error: [^\n]*\n|the (?:hypervisor|guest) has stopped|'
       + bochs.HALTED)
BARE_CACHE = f"build/bench/bochs-bare{'-append' if machine.APPEND else ''}.json"


class Vmx(suite.Suite):
    name, arguments = "bochs", " EMU=bochs"
    workloads = WORKLOADS
    whole, part, kept = "build/bench/bochs.json", "build/bench/bochs-part.json", "tools/bench/vmx.json"

    def bare(self, efi, only, fresh):
        key = machine.digest(machine.initramfs(), vm.fetch_kernel("cloud") + "/vmlinuz", ovmf.ROM, bochs.CONFIGURATION,
                             bochs.DEFAULT_MODEL, str(IPS), machine.OPTIONS, machine.MEMORY)
        return machine.kept_results(BARE_CACHE, key, fresh, lambda: run_guest(efi, True, []))

    def measure(self, efi, only, fresh):
        bare, umbra = self.bare(efi, only, fresh), run_guest(efi, False, only)
        return {w.name: report.make_row(bare[w.name], umbra[w.name]) for w in WORKLOADS if w.name in umbra}

    def under_umbra(self, efi, more):
        return suite.umbra_rows(run_guest(efi, False, [], more=more))

    def text(self, rows):
        return text_table(rows, Single().baseline())

    def markdown(self, rows):
        return markdown(rows, Single().baseline())


def run_guest(efi, bare, only, more=""):
    """One run. more: kernel parameters. Returns {name: result}."""
    kind = "bare" if bare else "umbra"
    guest = vm.Machine(efi=efi, kernel=vm.fetch_kernel("cloud") + "/vmlinuz", initrds=[machine.initramfs()],
                       options=f"{machine.with_only(machine.OPTIONS, only)} {more}".strip(), memory=machine.MEMORY, emulator="bochs",
                       bochs_ips=IPS, umbra="bare" if bare else os.environ.get("UMBRA_OPTS", ""))
    log = f"build/bench/bochs-{kind}.log"
    print(f"{kind} in Bochs ...", file=sys.stderr, flush=True)
    result = vm.run(guest, TIMEOUT, until=END, log=log)
    if result.timed_out or result.panic:
        raise machine.BenchError(f"{result.panic or 'the guest did not end in time'} (see {log})")
    host, results = machine.parse(result.text)
    if host != kind:
        raise machine.BenchError(f"the guest was to run {kind}, but found itself under: {host}")
    print(f"{kind}: {result.seconds:.0f} seconds", file=sys.stderr)
    return results


def text_table(rows, svm):
    lines = [f"{'workload':9} {'bare':>12} {'umbra':>12} {'ratio':>6} {'on SVM':>6} {'exits':>8} {'on SVM':>8} "
             f"{'insn/exit':>9}  exits by kind"]
    for name, row in rows.items():
        other = svm.get(name)
        lines.append(f"{name:9} {report.number(row['bare'], 1):>12} {report.number(row['umbra'], 1):>12} "
                     f"{report.ratio(row):6.3f} {report.ratio(other) if other else 0:6.3f} "
                     f"{report.exits_text(row['exits']):>8} {report.exits_text(other and other['exits']):>8} "
                     f"{report.number(report.per_exit(row)):>9}  {report.kinds_text(row['kinds'])}")
    mean = report.means(rows, lambda _, row: report.ratio(row))[0]
    return "\n".join([*lines, f"geometric mean of the ratios, without cpuid: {report.number(mean, 3)}"])


def markdown(rows, svm):
    """The table of docs/performance.md, with the figures of the run in QEMU beside it."""
    lines = ["| workload (one operation) | bare, instructions | Umbra on VMX, ratio | on SVM in QEMU | exits | "
             "on SVM in QEMU | instructions per exit |", "|---|---|---|---|---|---|---|"]
    for name, row in rows.items():
        other, null = svm.get(name), BY_NAME[name].null_exit
        kinds = report.kinds_text(row["kinds"])
        lines.append("| " + " | ".join([
            BY_NAME[name].title, report.number(row["bare"], 1 if row["bare"] < 100 else 0),
            f"{report.number(row['umbra'])} instructions" if null else f"**{report.ratio(row):.2f}**",
            "-" if not other else f"{report.number(other['umbra'])} instructions" if null else f"{report.ratio(other):.2f}",
            report.exits_text(row["exits"]) + (f": {kinds}" if kinds and not null else ""),
            report.exits_text(other and other["exits"]), report.number(report.per_exit(row))]) + " |")
    here = report.means(rows, lambda _, row: report.ratio(row))[0]
    there = report.means({n: svm[n] for n in rows if n in svm}, lambda _, row: report.ratio(row))[0]
    lines.append(f"| **geometric mean, all but cpuid** | | **{report.number(here, 2)}** | {report.number(there, 2)} | | | |")
    return "\n".join(lines) + "\n"
