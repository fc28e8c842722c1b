# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark's workloads: order, titles, and what the peers were measured to pay
for them (one measurement, quoted; see docs/performance.md)."""
from dataclasses import dataclass


@dataclass
class Peer:
    """Figures quoted: instructions bare, then ratio to bare and exits per operation."""
    bare: float
    kvm: float | None
    kvm_exits: float | None
    xen: float | str | None   # or a range in words
    xen_exits: float | None

    @property
    def xen_text(self):
        return f"{self.xen:.2f}" if isinstance(self.xen, float) else self.xen or "-"


@dataclass
class Workload:
    name: str
    title: str
    peer: Peer | None = None
    null_exit: bool = False   # not in the geometric means: bare it is 5 instructions
    independent: bool = False  # of several processors, which have nothing to do with one another


WORKLOADS = [
    Workload("getpid", "getpid", Peer(393, 1.00, 0, 1.00, 0)),
    Workload("cpuid", "cpuid, the null exit", Peer(5, None, 1, None, 1), null_exit=True),
    Workload("fork", "fork + exit + wait", Peer(122028, 4.45, 49, 4.34, 43)),
    Workload("exec", "fork + exec of a static binary", Peer(210643, 4.40, 77, 4.12, 66)),
    Workload("spawn", "posix_spawn", Peer(150185, 3.14, 30, 2.92, 27)),
    Workload("pipe", "pipe ping-pong, two processes", Peer(12210, 1.57, 2, 2.20, 2)),
    Workload("ring16", "ring of 16 processes, 64 KiB each", Peer(108852, 1.59, 16, 2.12, 17)),
    Workload("ring64", "ring of 64 processes, 16 KiB each"),
    Workload("signal", "mprotect, fault, signal handler"),
    Workload("thread", "pthread create + join"),
    Workload("shell", "shell loop, per program", Peer(376356, 4.56, 130, "4.1 to 35", 132)),
    Workload("mmap", "mmap, touch one page, munmap", Peer(19230, 1.62, 3, 1.82, 3)),
    Workload("mmaplone", "the same, the tables come and go"),
    Workload("mmap64", "mmap 64 MiB, touch each, per page", Peer(4351, 2.70, 2.0, 4.48, 2.05)),
    Workload("thp", "the same, huge pages, per 4 KiB", Peer(1134, 1.05, 0.011, 1.67, 0.02)),
    Workload("mprotect", "mprotect of a touched 1 MiB, toggled", Peer(91610, 4.97, 6.2, 9.96, 6.7)),
    Workload("cow", "copy-on-write of 16 MiB, per page", Peer(5489, 3.26, 3.0, 4.25, 3.0)),
    Workload("random", "random reads over 256 MiB", Peer(19, 1.00, 0, 1.00, 0)),
    Workload("dontneed", "madvise(DONTNEED) 1 MiB, touch, per page"),
    Workload("brk", "brk growth by 1 MiB and back, per page"),
    Workload("mremap", "mremap of 4 MiB, touch, per page"),
    Workload("write", "tmpfs write 4 KiB", Peer(4839, 1.00, 0, 1.00, 0)),
    Workload("read", "tmpfs read 4 KiB"),
    Workload("filemap", "mmap of a 4 MiB file, read, per page"),
    Workload("open", "open + close"),
    Workload("compile", "compile-like mix", Peer(46322340, 1.26, 3280, 1.83, 3290)),
]

# Those of several processors.
PARALLEL = [
    Workload("ploop", "a loop, per turn", independent=True),
    Workload("pcpuid", "cpuid, the null exit", null_exit=True, independent=True),
    Workload("pfork", "fork + exit + wait", independent=True),
    Workload("pmmap", "mmap, touch one page, munmap", independent=True),
    Workload("pfault", "mmap 1 MiB, touch each, per page", independent=True),
    Workload("pthreads", "threads that map 64 KiB, touch and unmap, per page"),
    Workload("pline", "a line to and fro, by spinning"),
    Workload("pfutex", "a futex to and fro"),
    Workload("ppipe", "a byte in a pipe to and fro"),
    Workload("pcompile", "compile-like mix", independent=True),
]

BY_NAME = {w.name: w for w in WORKLOADS + PARALLEL}

# The counters' names, shortened for the table.
EXIT_NAMES = {
    "exit_page_fault": "pf", "exit_cr_read": "cr read", "exit_cr_write": "cr write", "exit_invlpg": "invlpg",
    "exit_invpcid": "invpcid", "exit_cpuid": "cpuid", "exit_msr_read": "rdmsr", "exit_msr_write": "wrmsr",
}


def exit_name(counter):
    return EXIT_NAMES.get(counter, counter.removeprefix("exit_").replace("_", " "))
