# SPDX-License-Identifier: BSD-2-Clause
"""The peer: the same guest under KVM with npt=0, in the same emulator. The outer system is
Debian's kernel with its kvm_amd module and tools/bench/vmm.c as /init. KVM's exits are
counted from outside: QEMU logs each, and the guest marks its windows with a VMMCALL."""
import os
import re
import subprocess
import sys
import tempfile
import threading

import machine
import vm

OUTER_MEMORY = "2G"
OUTER_KERNEL = "full"
OUTER_OPTIONS = "console=ttyS0 quiet mitigations=off panic=-1"
# The TSCs of the emulator are one clock, which Linux does not believe of several processors without an invariant TSC. KVM
# then stops the guest's whenever the processor's thread sleeps, and lets it catch up by another clock.
OUTER_OF_SEVERAL = "tsc=reliable"
# The small monitor has no power-off: a triple fault is the end.
INNER_OPTIONS = machine.OPTIONS + " reboot=t"
VMM = "build/bench/vmm"
TIMEOUT = 1800
EXIT = re.compile(rb"vmexit\(([0-9a-f]{8}), ([0-9a-f]{16}), [0-9a-f]{16}, ([0-9a-f]{16})")
VMMCALL = 0x81
KERNEL = 1 << 63  # Linux in the guest asks KVM by VMMCALL too

# APM volume 2, appendix C, by the names of Umbra's counters.
EXITS = {0x4e: "exit_page_fault", 0x60: "exit_interrupt", 0x64: "exit_window", 0x72: "exit_cpuid", 0x78: "exit_hlt",
         0x79: "exit_invlpg", 0x7b: "exit_io", VMMCALL: "exit_hypercall"}


def exit_kind(code, info1):
    if code < 0x20:
        return "exit_cr_write" if code & 0x10 else "exit_cr_read"
    if code == 0x7c:
        return "exit_msr_write" if info1 & 1 else "exit_msr_read"
    if 0x40 <= code < 0x60 and code not in EXITS:
        return "exit_exception"
    return EXITS.get(code, f"exit_{code:#x}")


class ExitLog(threading.Thread):
    """Reads QEMU's log from a pipe and counts the exits in each window."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.windows = path, []

    def run(self):
        window = None
        with open(self.path, "rb") as log:
            for line in log:
                match = EXIT.search(line)
                if not match:
                    continue
                code, info1, rip = (int(part, 16) for part in match.groups())
                if code == VMMCALL and rip < KERNEL:
                    if window is None:
                        window = {}
                    else:
                        self.windows.append(window)
                        window = None
                elif window is not None:
                    kind = exit_kind(code, info1)
                    window[kind] = window.get(kind, 0) + 1


def initramfs(work, options):
    """The outer system's initramfs, with the inner kernel, initramfs and kernel parameters as files in it."""
    outer = vm.fetch_kernel(OUTER_KERNEL)
    vm.write_text(work + "/cmdline", options)
    files = {VMM: "init", vm.fetch_kernel("cloud") + "/vmlinuz": "guest/vmlinuz",
             machine.initramfs(): "guest/initrd", work + "/cmdline": "guest/cmdline"}
    arguments = [item for source, path in files.items() for item in ("--file", f"{source}:{path}")]
    subprocess.run(["tools/mkinitramfs", work + "/outer.cpio", "--modules", outer, "kvm_amd", *arguments], check=True)
    return outer + "/vmlinuz", work + "/outer.cpio"


def measure(suite, efi, only):
    """Runs the benchmark on as many processors as the suite has. Returns {name: {kvm, exits, kinds}} per operation, and
    the bare results."""
    bare = suite.bare(efi, only, False)
    options = [OUTER_OPTIONS] + ([machine.several_options(suite.cpus), OUTER_OF_SEVERAL] if suite.cpus > 1 else [])
    console = f"build/bench/{os.path.basename(suite.kvm).removesuffix('.json')}.log"
    with tempfile.TemporaryDirectory(prefix="kvm.", dir="build/bench") as work:
        kernel, initrd = initramfs(work, f"{machine.with_only(INNER_OPTIONS, only)} {suite.parameters}".strip())
        pipe = work + "/exits"
        os.mkfifo(pipe)
        log = ExitLog(pipe)
        log.start()
        outer = vm.Machine(efi=efi, kernel=kernel, initrds=[initrd], options=" ".join(options), umbra="bare",
                           memory=OUTER_MEMORY, cpus=suite.cpus)
        text, seconds = machine.boot(outer, console, timeout=TIMEOUT, logging=machine.log_exits(pipe))
        log.join()
    host, results = machine.parse(text)
    if host != "kvm" or len(log.windows) != len(results):
        raise machine.BenchError(f"the guest found itself under {host}; {len(log.windows)} windows, "
                                 f"{len(results)} results (see {console})")
    print(f"kvm: {seconds:.0f} seconds", file=sys.stderr)
    return {name: make_row(result, window) for (name, result), window in zip(results.items(), log.windows)}, bare


def make_row(result, window):
    ops = result["ops"]
    return {"kvm": result["instructions"] / ops, "exits": sum(window.values()) / ops,
            "kinds": {kind: n / ops for kind, n in window.items()}}
