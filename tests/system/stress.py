#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The memory stress: Debian's stress-ng in the guest, the debug build of the hypervisor with
shadow_audit at every thousandth exit; once with the usual pool, once with a pool of 2 MiB and a
crowd of processes, so that reclaim runs all the time, once with flushcheck=on. `make stress` calls it; STRESS_SECONDS is
the time of one run (300). SMP=N: with N processors, which QEMU runs side by side, and as many workers of each class as
that. EMU=bochs: on VMX in Bochs, a fixed number of operations for each class; SMP=N up to 8,
by ACPI tables.
It ends with "N passed, N failed", one per class and run."""
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
os.chdir(os.path.dirname(os.path.abspath(__file__)) + "/../..")
sys.path.insert(0, "tools")
import acpi  # noqa: E402
import bochs  # noqa: E402
import vm  # noqa: E402

# Classes of stress-ng with the options that fit the smaller guest.
CLASSES = {
    "vm": "--vm-bytes 64M", "fork": "", "mmap": "--mmap-bytes 32M", "mprotect": "", "tlb-shootdown": "",
    "fault": "", "brk": "", "mremap": "--mremap-bytes 32M", "context": "", "vfork": "",
    "shm": "--shm-bytes 8M --shm-objs 4", "exec": "", "madvise": "",
}
# What fits a slow machine.
BOCHS_OPS = {
    "vm": "2000 --vm-bytes 1M", "fork": "50", "mmap": "1 --mmap-bytes 512K", "mprotect": "1000", "tlb-shootdown": "20",
    "fault": "100", "brk": "1000", "mremap": "5 --mremap-bytes 1M", "context": "5", "vfork": "50",
    "shm": "2 --shm-bytes 1M", "exec": "10 --exec-max 4", "madvise": "1",
}
# stress-ng refuses to run these as root.
AS_USER = {"exec": "start-stop-daemon -S -c user -x /bin/stress-ng --"}
# On one processor it has nothing to do.
ONE_SKIPS = "tlb-shootdown"
# One worker starts threads or processes on all processors by itself, or its workers would want more memory than there is.
FEW_WORKERS = {"tlb-shootdown": 1, "vm": 2, "mremap": 2, "exec": 2}
# Idle and waking processes beside the stress, so that the small pool never suffices for long.
CROWD = "for i in $(seq 20); do sleep 1000 & done; for i in 1 2 3 4 5 6; do (while :; do sleep 2; done) & done"
# Label: the hypervisor's options and the guest's memory (the pool holds metadata for it).
RUNS = {"usual pool": ("audit=1000", "1G"), "pool of 2 MiB": ("audit=1000 pool=2M", "320M"),
        "flushes checked": ("audit=1000 flushcheck=on", "1G")}
BOCHS_RUNS = {"usual pool": ("audit=3000", "512M"), "pool of 2 MiB": ("audit=3000 pool=2M", "320M")}
BOCHS_TIMEOUT = 3600
ARCHIVE = "build/initramfs/stress.cpio"


def bound(name, seconds):
    """stress-ng's arguments for one class: for a time, or (no seconds) for a number of operations."""
    if seconds:
        return f"{CLASSES[name]} --timeout {max(seconds // len(CLASSES), 2)}s"
    return f"--{name}-ops {BOCHS_OPS[name]}"


def workers(name, cpus):
    return min(FEW_WORKERS.get(name, cpus), cpus)


def guest_command(seconds, crowd, cpus):
    lines = ["cd /tmp; chmod 1777 /tmp; echo user:x:1000:1000::/tmp:/bin/sh >>/etc/passwd; echo user:x:1000: >>/etc/group",
             # At boot Bochs's XSAVE sizes cost a warning, bare too: docs/hardware.md.
             "true" if seconds else "dmesg -c >/dev/null", CROWD if crowd else "true",
             "export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu"]
    for name in CLASSES:
        lines += [f"echo '== {name}'",
                  f"{AS_USER.get(name, 'stress-ng')} --{name} {workers(name, cpus)} {bound(name, seconds)} --verify --temp-path /tmp 2>&1",
                  f"echo 'status {name} '$?"]
    lines += ["echo processors $(nproc)", "dmesg -r | grep -E '^<[0-3]>|Oops|BUG|Call Trace|segfault|Bad page|stall|lockup'",
              "umbractl log | grep flushcheck:", "umbractl stats", "true"]
    return "\n".join(lines)


def judge_class(name, text, cpus):
    """The reason why the class failed, or None. stress-ng ends with status 0 for what it skips, too."""
    found = re.search(rf"^== {name}\n(.*?)^status {name} (\d+)$", text, re.M | re.S)
    if not found:
        return "not reached"
    skipped = "No stress workers invoked" in found.group(1) or found.group(2) == "4"
    if skipped:
        return None if name == ONE_SKIPS and cpus == 1 else "stress-ng skipped it"
    return None if found.group(2) == "0" else f"status {found.group(2)}"


def counter(name, text):
    found = re.search(rf"^{name}\s+(\d+)$", text, re.M)
    return int(found.group(1)) if found else -1


def summary(text, cpus):
    """What several processors had to do with one another."""
    if cpus == 1:
        return ""
    names = ("shadow_kicks", "shadow_flushes", "shadow_page_flushes", "spin_waits", "spin_pauses", "spin_ticks")
    each = [counter(f"cpu{cpu}_exits", text) for cpu in range(cpus)]
    return "".join(f", {counter(name, text)} {name.removeprefix('shadow_')}" for name in names) + f"; of each processor {each}"


def judge(label, umbra, cpus, result):
    """Yields (name, reason or None)."""
    text = result.output.decode(errors="replace").replace("\r\n", "\n")
    yield f"the guest ends in time with the {label}", f"it was cut off after {result.seconds:.0f} s" if result.timed_out else None
    for name in CLASSES:
        yield f"stress {name} with the {label}", judge_class(name, text, cpus)
    audits, errors, reclaims = (counter(f"shadow_{name}", text) for name in ("audits", "audit_errors", "reclaims"))
    yield f"audits with the {label} ({audits}) find no mismatch", None if audits > 0 and errors == 0 else f"{errors} mismatches"
    if "pool=" in umbra:
        yield f"reclaim runs with the {label} ({reclaims} pages)", None if reclaims > 0 else "nothing was reclaimed"
    if "flushcheck=" in umbra:
        told, seen = counter("shadow_stale_uses", text), counter("shadow_stale_changes", text)
        yield f"no flush is said to be forgotten ({seen} changes)", None if told == 0 and seen > 0 else f"{told} are"
    if cpus > 1:
        found, kicks = counter("processors", text), counter("shadow_kicks", text)
        busy = sum(counter(f"cpu{cpu}_exits", text) > 0 for cpu in range(cpus))
        yield (f"{cpus} processors run with the {label} ({kicks} kicks)",
               f"{found} are there, {busy} of them exited" if found != cpus or busy != cpus else None if kicks > 0 else "no kick")
    bad = re.findall(r"^.*(?:Oops|BUG|Call Trace|segfault|Bad page|stall|lockup).*$", text, re.M)
    yield f"the kernel has no complaint with the {label}", " | ".join(bad[:5]) or None


def main():
    only = os.environ.get("STRESS_RUN") or ""
    in_bochs = os.environ.get("EMU") == "bochs"
    cpus = int(os.environ.get("SMP") or 1)
    most = bochs.CPUS_MAX if in_bochs else 16
    if not 1 <= cpus <= most:
        sys.exit(f"stress: SMP={cpus}: 1 to {most} processors")
    seconds = 0 if in_bochs else int(os.environ.get("STRESS_SECONDS") or 300)
    timeout = BOCHS_TIMEOUT if in_bochs else (seconds * 4 + 300) * (1 + cpus // 4)
    kernel = vm.fetch_kernel(os.environ.get("KERNEL") or "cloud")
    subprocess.run(["tools/mkinitramfs", ARCHIVE, "--program", "/usr/bin/stress-ng"], check=True)
    passed = failed = 0
    for label, (umbra, memory) in (BOCHS_RUNS if in_bochs else RUNS).items():
        if only not in label:
            continue
        machine = vm.Machine(efi="build/debug/umbra.efi", kernel=kernel + "/vmlinuz", umbra=umbra, memory=memory, cpus=cpus,
                             initrds=[vm.initramfs(kernel), ARCHIVE], command=guest_command(seconds, "pool=" in umbra, cpus))
        if in_bochs:
            machine.emulator, machine.bochs_cpu = "bochs", os.environ.get("BOCHS_CPU") or bochs.DEFAULT_MODEL
            machine.acpi = acpi.bochs_tables(cpus) if cpus > 1 else []
        log = f"build/logs/stress-{'bochs-' if in_bochs else ''}{f'smp{cpus}-' if cpus > 1 else ''}{umbra.replace(' ', '-')}"
        result = vm.run(machine, timeout, log=log + ".log")
        with open(log + ".out", "wb") as file:
            file.write(result.output)
        text = result.output.decode(errors="replace").replace("\r\n", "\n")
        print(f"{label}: {result.seconds:.0f} seconds, {counter('exits', text)} exits{summary(text, cpus)}"
              f"{': ' + result.panic if result.panic else ''}", flush=True)
        for name, reason in judge(label, umbra, cpus, result):
            passed, failed = passed + (reason is None), failed + (reason is not None)
            print(f"PASS: {name}" if reason is None else f"FAIL: {name}: {reason}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
