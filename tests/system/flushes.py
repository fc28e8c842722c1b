# SPDX-License-Identifier: BSD-2-Clause
"""Forgotten TLB flushes (flushcheck=, docs/debugging.md): a guest that plants them is found out, and the same guest with its flushes is not."""
import re

import bochs
import vm
from common import BOCHS_TIMEOUT, BOOT_TIMEOUT, IMAGE_TIMEOUT, boot, counter, debian, judge_checks, judge_image, require, run_command, slow

ON_ONE = 4  # what tests/guest/flush.c forgets on one processor


def machine(plant, cpus=1, emulator="qemu", how="on"):
    return vm.Machine(kernel="build/guest/flush.bin", options=f"plant={plant} cpus={cpus}", umbra=f"flushcheck={how}", emulator=emulator, cpus=cpus,
                      memory=bochs.DEFAULT_MEMORY if emulator == "bochs" else "512M")


def run(where, planted, **settings):
    result = boot(f"image-flush-{where}", machine(1 if planted else 0, **settings), timeout=2 * IMAGE_TIMEOUT)
    judge_image(f"flush[{where}]", result)
    told = re.findall(r"flushcheck: ([0-9a-f]+) used stale: its (global )?entry ([0-9a-f]+) of level 1 was", result.text)
    require(len(told) == planted, f"{len(told)} lines tell of a stale use, not {planted}")
    return result.text


def test_flushes_that_a_guest_forgets_are_told():
    text = run("planted", ON_ONE)
    require(re.search(r"8000000000 used stale: .* is 0\r?$", text, re.M), "the page that was unmapped is not told")
    require(len(re.findall(r"changed on CPU 0 at rip 4[0-9a-f]{6} cr3 .* read by the supervisor on CPU 0 at rip 4[0-9a-f]{6}", text)) >= 1,
            "the places are not told")
    require("global entry" in text, "the global page is not told")


def test_flushes_that_a_guest_makes_are_not_told():
    run("none", 0)


def test_shootdowns_that_a_guest_forgets_are_told():
    text = run("planted-2", 1, cpus=2)
    require("on CPU 1 at rip" in text and "which was not told" in text, "the processor is not told")


def test_shootdowns_that_a_guest_makes_are_not_told():
    run("none-2", 0, cpus=2)


def test_flushes_that_a_guest_forgets_are_told_in_bochs_on_vmx():
    ended = rb"END: (\d+) failures"
    result = boot("bochs-image-flush", machine(1, emulator="bochs"), timeout=BOCHS_TIMEOUT, until=ended)
    judge_checks("flush[bochs]", result)
    require(re.search(ended, result.serial), f"the image did not end: {result.panic or ''}")


# Processes that fork, map, are switched between and end.
LINUX_WORK = """for i in $(seq 6); do (for j in 1 2 3; do ls -lR /bin /etc 2>/dev/null | sort >/tmp/f$i; cp /bin/busybox /tmp/b$i; /tmp/b$i md5sum /tmp/f$i >/dev/null; done) & done; wait
umbractl log | grep flushcheck:; umbractl stats"""


@slow
def test_no_flush_of_linux_is_said_to_be_forgotten():
    text = run_command("flush-linux", debian(cpus=2, umbra="flushcheck=on", command=LINUX_WORK), timeout=2 * BOOT_TIMEOUT).output.decode()
    told, seen = (counter(text, f"shadow_stale_{what}") for what in ("uses", "changes"))
    require(seen > 0, "no entry of Linux's has lost anything")
    require(told == 0, f"{told} flushes are said to be forgotten: {re.findall(r'flushcheck: .*', text)[:4]}")
