# SPDX-License-Identifier: BSD-2-Clause
"""An installed Debian with systemd (tools/make-debian), from its own disk by its own boot entry: what it says of itself
under Umbra is what it says bare."""
import re
import subprocess

import vm
from common import require, run_command, slow
from processors import NUMBERS, TIME

TIMEOUT = 1800
# Sections that must be the same, and one that is looked at.
LOOK = """
section() { printf '\\n== %s\\n' "$1"; }
section state; systemctl is-system-running --wait
section failed; systemctl --failed --no-legend --plain
section processors; nproc
section file; dd if=/dev/zero bs=1M count=256 2>/dev/null | tr '\\0' 'u' >/root/file; sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum </root/file
section packages; dpkg --audit; dpkg -l | grep -c ^ii
section network; networkctl --no-legend --no-pager list | awk '$3 == "ether" { print $4 }'; ping -c 1 -W 20 10.0.2.2 >/dev/null && echo answers
section clock; cat /sys/class/rtc/rtc0/name
section errors; dmesg --level emerg,alert,crit,err --notime | sort -u
section umbra; umbractl stats 2>/dev/null
section end
"""
SAME = ("state", "failed", "processors", "file", "packages", "network", "clock")


def look(suite, cpus, bare):
    subprocess.run(["tools/make-debian", suite], check=True)
    machine = vm.Machine(installed=f"build/debian-disk/{suite}.img", options="", cpus=cpus, command=LOOK, umbra="bare" if bare else "")
    result = run_command(f"installed-{suite}-{cpus}-{'bare' if bare else 'umbra'}", machine, timeout=TIMEOUT)
    parts = re.split(r"\n== (\w+)\n", "\n" + result.output.decode(errors="replace"))
    return dict(zip(parts[1::2], parts[2::2]))


def errors(said):
    """The kernel's lines without numbers, and without those of a busy machine."""
    return {NUMBERS.sub("N", line) for line in said["errors"].splitlines() if not TIME.search(line)}


def check(suite, cpus):
    bare, umbra = look(suite, cpus, True), look(suite, cpus, False)
    require("end" in bare and "end" in umbra, "the command did not reach its end")
    for name in SAME:
        require(bare[name] == umbra[name], f"{name}: bare {bare[name]!r}, under Umbra {umbra[name]!r}")
    require(umbra["processors"].strip() == str(cpus) and not umbra["failed"].strip(), f"it says {umbra['processors']!r}, failed {umbra['failed']!r}")
    more = errors(umbra) - errors(bare)
    require(not more, f"errors that it does not have bare: {sorted(more)}")
    require(re.search(r"^exits +\d+$", umbra["umbra"], re.M), "umbractl says nothing")
    require(not bare["umbra"].strip(), "the bare one runs under Umbra")


@slow
def test_installed_debian_12_says_what_it_says_bare():
    check("bookworm", 1)


@slow
def test_installed_debian_12_with_four_processors_says_what_it_says_bare():
    check("bookworm", 4)


@slow
def test_installed_debian_13_with_two_processors_says_what_it_says_bare():
    check("trixie", 2)
