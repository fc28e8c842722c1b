# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark of one processor, in QEMU: bare and under Umbra, on SVM."""
import machine
import report
import suite
from table import WORKLOADS


class Single(suite.Suite):
    name = "qemu"
    workloads = WORKLOADS
    whole, part, kept = "build/bench/bench.json", "build/bench/part.json", "tools/bench/baseline.json"
    kvm, kvm_kept = "build/bench/kvm.json", "tools/bench/kvm.json"
    cpus, parameters = 1, ""

    def bare(self, efi, only, fresh):
        return machine.bare_results(efi, fresh)

    def measure(self, efi, only, fresh):
        bare = self.bare(efi, only, fresh)
        umbra = machine.run_guest(efi, False, only)
        return {w.name: report.make_row(bare[w.name], umbra[w.name]) for w in WORKLOADS if w.name in umbra}

    def under_umbra(self, efi, more):
        return suite.umbra_rows(machine.run_guest(efi, False, [], more=more))

    def text(self, rows):
        return report.text_table(rows, self.baseline(), self.kvm_rows())

    def markdown(self, rows):
        return report.markdown(rows, self.kvm_rows())
