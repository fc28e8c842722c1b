# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark's emulated machine: one deterministic QEMU in which a nanosecond of guest
time is one instruction, booted through Umbra's own boot entry."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

import firmware
import ovmf
import vm

MEMORY = "1G"
# The last two: random places differ in how many tables they need, so each run would differ.
APPEND = os.environ.get("BENCH_APPEND", "")
OPTIONS = "console=ttyS0 quiet mitigations=off panic=-1 nokaslr norandmaps" + (" " + APPEND if APPEND else "")


QEMU = "qemu-system-x86_64"


def several(cpus):
    """Of 7.2 each second of the processors that run gets no turn: when one has used up its time until the next
    timer, the one behind it has none, and is the one that starts the timers. So between any two that the guest has,
    in the order in which they take turns, there is one that it has not."""
    order = [core for pair in zip(range(cpus), range(cpus, 2 * cpus)) for core in pair]
    others = [("-device", f"EPYC-x86_64-cpu,socket-id=0,core-id={core},thread-id=0") for core in order[1:]]
    return ["-smp", f"1,sockets=1,cores={2 * cpus},threads=1,maxcpus={2 * cpus}", *(word for pair in others for word in pair)]


def several_options(cpus):
    """Linux's parameters on such a machine: none of the processors in between, and ticks that do not come at one time."""
    return f"nr_cpus={cpus} skew_tick=1" if cpus > 1 else ""


def qemu(cpus=1):
    return [
        QEMU, "-machine", "q35,smm=off", "-accel", "tcg,thread=single", "-cpu", "EPYC,-monitor",
        *(["-smp", "1"] if cpus == 1 else several(cpus)), "-nodefaults", "-display", "none", "-icount", "shift=0,sleep=off",
        "-rtc", "base=2024-01-01T00:00:00,clock=vm", "-seed", "1", "-no-reboot", "-bios", ovmf.ROM,
    ]


INITRAMFS = "build/bench/guest.cpio"
GUEST = "build/bench/init"
NULL = "build/bench/null"
BARE_CACHE = "build/bench/bare-append.json" if APPEND else "build/bench/bare.json"
LINE = "@bench "
TIMEOUT = 1200


class BenchError(Exception):
    pass


def initramfs():
    """The guest: the benchmark as /init, the smallest program, a shell. Returns the file."""
    subprocess.run(["tools/mkinitramfs", INITRAMFS, "--file", GUEST + ":init", "--file", NULL + ":bin/null",
                    "--file", "/bin/busybox:bin/sh"], check=True)
    return INITRAMFS


def digest(*items):
    """One hash of files (names that exist) and strings."""
    total = hashlib.sha256()
    for item in items:
        if os.path.isfile(item):
            with open(item, "rb") as file:
                total.update(hashlib.sha256(file.read()).digest())
        else:
            total.update(hashlib.sha256(item.encode()).digest())
    return total.hexdigest()


def emulator_version():
    return subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout


def parse(text):
    """The guest's lines. Returns (host, {name: result}); raises when the run was not complete."""
    host, results, ended = None, {}, False
    for line in text.splitlines():
        if not line.startswith(LINE):
            continue
        item = json.loads(line[len(LINE):])
        if "error" in item:
            raise BenchError("the guest says: " + item["error"])
        host = item.get("host", host)
        ended = ended or "end" in item
        if "name" in item:
            results[item["name"]] = item
    if not ended:
        raise BenchError("the guest did not come to its end; the last of its console:\n" + text[-2000:])
    return host, results


def with_only(options, only):
    return options + (" bench=" + ",".join(only) if only else "")


def log_exits(path):
    """Arguments for QEMU: VMRUNs and exits are in the log of in_asm, and next to nothing else with this filter."""
    return ["-d", "in_asm", "-dfilter", "0+1", "-D", path]


def boot(machine, log, timeout=None, logging=()):
    """Runs the machine to its end. Returns (console text, seconds). Raises BenchError on a timeout.
    logging: QEMU's arguments for a log.
    The console goes to the file log in the end: several runs at a time do not meet."""
    os.makedirs("build/bench", exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run.", dir="build/bench") as work:
        disk = work + "/disk.img"
        vm.lay_out_esp(machine, work + "/esp")
        subprocess.run(["tools/mkimage", disk, work + "/esp"], check=True)
        fixed = qemu(machine.cpus) + ["-m", machine.memory]
        arguments = fixed + [
            "-drive", f"file={disk},format=raw,if=none,id=boot,snapshot=on",
            "-device", "virtio-blk-pci,drive=boot,bootindex=0", "-serial",
        ]
        state = f"build/bench/firmware-{digest(emulator_version(), ovmf.ROM, *fixed)[:16]}.state"
        if not os.path.exists(state):
            first = work + "/firmware.log"
            firmware.make_state(state, [*arguments, "file:" + first], first, work)
        console = work + "/console.log"
        start = time.monotonic()
        emulator = firmware.start(state, [*arguments, "file:" + console, *logging], work)
        try:
            watch(emulator, console, start + (timeout or TIMEOUT) * (2 if machine.cpus > 1 else 1))
        finally:
            if emulator.poll() is None:
                emulator.kill()
                emulator.wait()
            os.replace(console, log)
        with open(log, encoding="utf-8", errors="replace") as file:
            return file.read().replace("\r\n", "\n"), time.monotonic() - start


def watch(emulator, log, deadline):
    """Waits for the emulator's end; names the workloads as their lines arrive."""
    pending = ""
    with open(log, encoding="utf-8", errors="replace") as file:
        while True:
            ended = emulator.poll() is not None
            pending += file.read()
            *lines, pending = pending.split("\n")
            for line in lines:
                if line.startswith(LINE + '{"name"'):
                    print(" " + json.loads(line[len(LINE):])["name"], end="", file=sys.stderr, flush=True)
                if "Kernel panic" in line or "umbra: panic" in line:
                    raise BenchError(f"a panic: {line.strip()}")
            if ended:
                print(file=sys.stderr)
                return
            if time.monotonic() > deadline:
                raise BenchError("the guest did not end in time")
            time.sleep(0.1)


def run_guest(efi, bare, only, logging=(), more="", cpus=1):
    """One run of the benchmark. more: kernel parameters. Returns {name: result}."""
    kind = "bare" if bare else "umbra"
    umbra = "bare" if bare else os.environ.get("UMBRA_OPTS", "") + (f" cpus={cpus}" if cpus > 1 else "")
    machine = vm.Machine(efi=efi, kernel=vm.fetch_kernel("cloud") + "/vmlinuz", initrds=[initramfs()],
                         options=f"{with_only(OPTIONS, only)} {more}".strip(), umbra=umbra.strip(),
                         memory=MEMORY, cpus=cpus)
    print(f"{kind}:", end="", file=sys.stderr, flush=True)
    log = f"build/bench/{kind}{cpus if cpus > 1 else ''}.log"
    try:
        text, seconds = boot(machine, log, logging=logging)
    except BenchError as error:
        raise BenchError(f"{error} (see {log})") from None
    host, results = parse(text)
    if host != kind:
        raise BenchError(f"the guest was to run {kind}, but found itself under: {host}")
    print(f"{kind}: {seconds:.0f} seconds", file=sys.stderr)
    return results


def bare_key():
    return digest(initramfs(), vm.fetch_kernel("cloud") + "/vmlinuz", ovmf.ROM, emulator_version(), OPTIONS, MEMORY,
                  *qemu()[1:])


def bare_results(efi, fresh):
    """The bare figures change only with guest, kernel, firmware and emulator: kept in a file."""
    # Always all of them, so that a part is compared with the same figures as the whole.
    return kept_results(BARE_CACHE, bare_key(), fresh, lambda: run_guest(efi, True, []))


def kept_results(path, key, fresh, run):
    """The results in the file if they have this key, else those of run(), which are kept there."""
    try:
        with open(path) as file:
            cache = json.load(file)
    except (OSError, ValueError):
        cache = {}
    if cache.get("key") != key:
        cache = {"key": key, "results": {}}
    if fresh or not cache["results"]:
        cache["results"] = run()
        with open(path + ".new", "w") as file:
            json.dump(cache, file)
        os.replace(path + ".new", path)
    return cache["results"]
