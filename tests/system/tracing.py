# SPDX-License-Identifier: BSD-2-Clause
"""The trace (docs/tracing.md): known events of the image tests/guest/trace.c, and the tools that read what a Debian guest did."""
import functools
import json
import os
import re
import subprocess

import bochs
import vm
from common import BOCHS_TIMEOUT, BOOT_TIMEOUT, IMAGE_TIMEOUT, boot, debian, judge_checks, judge_image, require, run_command, scratch


def image(emulator="qemu", options="guest=1", umbra="trace=guest,size=64K"):
    return vm.Machine(kernel="build/guest/trace.bin", options=options, umbra=umbra, emulator=emulator,
                      memory=bochs.DEFAULT_MEMORY if emulator == "bochs" else "512M")


def run_image(where, **settings):
    judge_image(f"trace[{where}]", boot(f"image-trace-{where}", image(**settings), timeout=IMAGE_TIMEOUT))


def test_trace_of_known_events_holds_exactly_these():
    run_image("umbra")


def test_trace_cannot_be_turned_on_by_a_guest_that_was_not_given_it():
    run_image("refused", options="", umbra="trace=fill")
    run_image("without", options="", umbra="")
    run_image("bare", umbra="bare")


def test_trace_of_known_events_holds_exactly_these_in_bochs_on_vmx():
    ended = rb"END: (\d+) failures"
    result = boot("bochs-image-trace", image("bochs"), timeout=BOCHS_TIMEOUT, until=ended)
    judge_checks("trace[bochs]", result)
    require(re.search(ended, result.serial), f"the image did not end: {result.panic or ''}")
