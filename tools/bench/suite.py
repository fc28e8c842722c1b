# SPDX-License-Identifier: BSD-2-Clause
"""What every kind of run has in common: which workloads there are, where the figures lie, which of them are
compared. The kinds are in single.py (one processor, QEMU), parallel.py (several) and vmx.py (Bochs)."""
import json

import report
from table import BY_NAME


class Suite:
    name = ""              # in noise.json
    arguments = ""         # make's, by which it is chosen
    workloads = ()
    whole = part = ""      # the last figures: of all workloads, of some of them
    kept = ""              # the baseline
    kvm = kvm_kept = None  # the last figures under KVM, and those beside the baseline
    compared = ("bare", "umbra", "exits")

    def bare(self, efi, only, fresh):
        """{name: result} bare, kept as long as nothing changes that they hang on."""
        raise NotImplementedError

    def measure(self, efi, only, fresh):
        """Every run there is to it. Returns {name: row}."""
        raise NotImplementedError

    def under_umbra(self, efi, more):
        """{name: row} of Umbra's runs alone, what they have bare being anything. more: kernel parameters."""
        raise NotImplementedError

    def text(self, rows):
        raise NotImplementedError

    def markdown(self, rows):
        raise NotImplementedError

    def mark(self):
        """What the table in docs/performance.md begins with."""
        return f"<!-- table: make bench-doc{self.arguments} -->"

    def baseline(self):
        return load(self.kept) or {}

    def kvm_rows(self):
        return self.kvm and (load(self.kvm) or load(self.kvm_kept)) or {}


def umbra_rows(results):
    return {name: report.make_row(result, result) for name, result in results.items()}


def load_json(path):
    try:
        with open(path) as file:
            return json.load(file)
    except OSError:
        return None


def load(path):
    rows = load_json(path)
    return rows and {name: rows[name] for name in BY_NAME if name in rows}


def save(path, rows):
    with open(path, "w") as file:
        json.dump(rows, file, indent=1, sort_keys=True)
        file.write("\n")
