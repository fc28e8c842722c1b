#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The memory stress: Debian's stress-ng in the guest, the debug build of the hypervisor with
shadow_audit at every thousandth exit; once with the usual pool, once with a pool of 2 MiB and a
crowd of processes, so that reclaim runs all the time. `make stress` calls it; STRESS_SECONDS is
the time of one run (300).
It ends with "N passed, N failed", one per class and run."""
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
os.chdir(os.path.dirname(os.path.abspath(__file__)) + "/../..")
sys.path.insert(0, "tools")
import vm  # noqa: E402

# Classes of stress-ng with the options that fit the smaller guest.
CLASSES = {
    "vm": "--vm-bytes 64M", "fork": "", "mmap": "--mmap-bytes 32M", "mprotect": "", "tlb-shootdown": "",
    "fault": "", "brk": "", "mremap": "--mremap-bytes 32M", "context": "", "vfork": "",
    "shm": "--shm-bytes 16M", "exec": "", "madvise": "",
}
# Idle and waking processes beside the stress, so that the small pool never suffices for long.
CROWD = "for i in $(seq 20); do sleep 1000 & done; for i in 1 2 3 4 5 6; do (while :; do sleep 2; done) & done"
# Label: the hypervisor's options and the guest's memory (the pool holds metadata for it).
RUNS = {"usual pool": ("audit=1000", "1G"), "pool of 2 MiB": ("audit=1000 pool=2M", "320M")}
ARCHIVE = "build/initramfs/stress.cpio"


def guest_command(seconds, crowd):
    each = max(seconds // len(CLASSES), 2)
    lines = ["cd /tmp", CROWD if crowd else "true", "export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu"]
    for name, options in CLASSES.items():
        # A class that this guest cannot run (tlb-shootdown on one processor) ends with status 4.
        lines += [f"echo '== {name}'", f"stress-ng --{name} 1 {options} --timeout {each}s --verify --temp-path /tmp 2>&1",
                  f"echo 'status {name} '$?"]
    lines += ["dmesg -r | grep -E '^<[0-3]>|Oops|BUG|Call Trace|segfault|Bad page'", "umbractl stats", "true"]
    return "\n".join(lines)


def judge(label, result):
    """Yields (name, reason or None)."""
    text = result.output.decode(errors="replace")
    for name in CLASSES:
        status = re.search(rf"^status {name} (\d+)$", text, re.M)
        reason = None if status and status.group(1) in "04" else f"status {status.group(1) if status else 'none: not reached'}"
        yield f"stress {name} with the {label}", reason
    audits, errors, reclaims = (int(found.group(1)) if (found := re.search(rf"shadow_{name}\s+(\d+)", text)) else -1
                                for name in ("audits", "audit_errors", "reclaims"))
    yield f"audits with the {label} ({audits}) find no mismatch", None if audits > 0 and errors == 0 else f"{errors} mismatches"
    if "pool=" in RUNS[label][0]:
        yield f"reclaim runs with the {label} ({reclaims} pages)", None if reclaims > 0 else "nothing was reclaimed"
    bad = re.findall(r"^.*(?:Oops|BUG|Call Trace|segfault|Bad page).*$", text, re.M)
    yield f"the kernel has no complaint with the {label}", " | ".join(bad[:5]) or None


def main():
    only = os.environ.get("STRESS_RUN") or ""
    seconds = int(os.environ.get("STRESS_SECONDS") or 300)
    kernel = vm.fetch_kernel(os.environ.get("KERNEL") or "cloud")
    subprocess.run(["tools/mkinitramfs", ARCHIVE, "--program", "/usr/bin/stress-ng"], check=True)
    passed = failed = 0
    for label, (umbra, memory) in RUNS.items():
        if only not in label:
            continue
        machine = vm.Machine(efi="build/debug/umbra.efi", kernel=kernel + "/vmlinuz", umbra=umbra, memory=memory,
                             initrds=[vm.initramfs(kernel), ARCHIVE], command=guest_command(seconds, "pool=" in umbra))
        result = vm.run(machine, timeout=seconds * 4 + 300, log=f"build/logs/stress-{umbra.replace(' ', '-')}.log")
        with open(f"build/logs/stress-{umbra.replace(' ', '-')}.out", "wb") as file:
            file.write(result.output)
        for name, reason in judge(label, result):
            passed, failed = passed + (reason is None), failed + (reason is not None)
            print(f"PASS: {name}" if reason is None else f"FAIL: {name}: {reason}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
