# SPDX-License-Identifier: BSD-2-Clause
"""Every combination of page-table and control bits: the image tests/guest/rights.c, bare and under
Umbra, compared block by block (docs/testing.md)."""
import re

import bochs
import vm
from common import BOCHS_TIMEOUT, Failure, boot, judge_checks, needs, remembered, require, slow, together

# One of how many cases `make check` tries; the same ones everywhere, so that runs compare.
RIGHTS_SAMPLE = 40
RIGHTS_END = rb"END: (\d+) failures|the hypervisor has stopped"


def boot_rights(emulator, bare, sample, options=""):
    where = f"{emulator}-{'bare' if bare else 'umbra'}"
    machine = vm.Machine(kernel="build/guest/rights.bin", options=f"sample={sample} {options}", memory=bochs.DEFAULT_MEMORY,
                         umbra="bare" if bare else "", emulator=emulator)
    timeout = BOCHS_TIMEOUT if sample > 1 else 3000
    return f"rights[{where}]", boot(f"rights-{where}-{sample}{'-cases' if options else ''}", machine, timeout, RIGHTS_END)


@remembered
def rights(emulator, bare, sample):
    """The blocks of one run, by what they enumerate: (number, cases and hash)."""
    label, result = boot_rights(emulator, bare, sample)
    lines = result.text.splitlines() or [""]
    require(re.match("END: ", lines[-1]), f"the image did not end; its last line is {lines[-1]!r} {result.panic or ''}")
    judge_checks(label, result)
    blocks = re.findall(r"^rights (\d+) ([^:]*): (n=\d+ hash=\w+)$", result.text, re.M)
    require(blocks, "no block was enumerated")
    return {what: (int(number), cases) for number, what, cases in blocks}


def rights_cases(emulator, bare, sample, block):
    _, result = boot_rights(emulator, bare, sample, f"verbose={block}")
    return re.findall(r"^case (.*)$", result.text, re.M)


def compare_rights(sample, emulator, bare_emulator):
    """Every block must be the same (an emulator without LA57 has fewer); of one that is not, its first different
    case is told."""
    bare, umbra = rights(bare_emulator, True, sample), rights(emulator, False, sample)
    more, fewer = umbra.keys() - bare.keys(), bare.keys() - umbra.keys()
    require(not more and (not fewer or emulator != bare_emulator), f"other blocks: {sorted(more | fewer)}")
    different = sorted((umbra[what][0], what) for what in umbra if bare[what][1] != umbra[what][1])
    if different:
        block, what = different[0]
        runs = rights_cases(bare_emulator, True, sample, block), rights_cases(emulator, False, sample, block)
        first = next((pair for pair in zip(*runs) if pair[0] != pair[1]), ("the same cases", "when asked again"))
        raise Failure(f"{len(different)} blocks differ, the first is {block}, {what}: bare {first[0]} | Umbra {first[1]}")


@together("rights")
def test_rights_in_every_paging_mode_are_as_on_bare():
    compare_rights(RIGHTS_SAMPLE, "qemu", "qemu")


@together("rights")
@needs("bochs", "qemu-system-x86_64")
def test_rights_in_every_paging_mode_are_as_on_bare_in_bochs_on_vmx():
    compare_rights(RIGHTS_SAMPLE, "bochs", "qemu")


@together("every-case-of-rights")
@slow
def test_every_case_of_rights_in_every_paging_mode_is_as_on_bare():
    compare_rights(1, "qemu", "qemu")


@together("every-case-of-rights")
@slow
@needs("bochs", "qemu-system-x86_64")
def test_every_case_of_rights_in_every_paging_mode_is_as_on_bare_in_bochs_on_vmx():
    compare_rights(1, "bochs", "qemu")


@together("rights")
@slow
def test_rights_in_every_paging_mode_on_vmx_are_as_on_bare_bochs():
    compare_rights(RIGHTS_SAMPLE, "bochs", "bochs")
