# SPDX-License-Identifier: BSD-2-Clause
"""Guest images that start the machine's other processors themselves, bare and under Umbra, on SVM and on VMX, where
real mode is virtual-8086 mode and the interpreter."""
import vm
from common import BOCHS_TIMEOUT, IMAGE_TIMEOUT, boot, judge_checks, judge_image, require, slow

# Bochs runs the processors by turns, some instructions each: so few rounds find as much as many on QEMU.
BOCHS_ROUNDS = 40


def judge(name, image, machine, where, timeout, until=None):
    result = boot(name, machine, timeout=timeout, until=until)
    require(result.panic is None, f"Bochs gave up: {result.panic}")
    require(f"START: {'bare' if where == 'bare' else 'under Umbra'}" in result.text, f"it did not run {where}")
    if machine.emulator == "bochs":  # no debug exit
        judge_checks(image, result)
        require("END: 0 failures" in result.text, "the image did not end without a failure")
    else:
        judge_image(image, result)


def run(image, where, cpus, timeout=2 * IMAGE_TIMEOUT):
    machine = vm.Machine(kernel=f"build/guest/{image}.bin", options=f"ram_mib=512 cpus={cpus}", umbra="bare" if where == "bare" else "",
                         memory="512M", cpus=cpus)
    judge(f"image-{image}-{where}-{cpus}", f"{image}[{where}, {cpus} processors]", machine, where, timeout)


def run_in_bochs(image, where):
    umbra = {"bare": "bare", "umbra": "", "protected": "sipi=protected"}[where]
    options = f"ram_mib=512 cpus=2 bochs=1 rounds={BOCHS_ROUNDS}" + (" protected=1" if where == "protected" else "")
    machine = vm.Machine(kernel=f"build/guest/{image}.bin", options=options, umbra=umbra, memory="512M", cpus=2, emulator="bochs")
    # Whoever lets the guest run into a triple fault waits for nothing.
    judge(f"bochs-image-{image}-{where}-2", f"{image}[bochs, {where}, 2 processors]", machine, where, BOCHS_TIMEOUT,
          until=rb"END: \d+ failures|resetting the machine")


def test_messages_between_two_processors_arrive_bare():
    run("messages", "bare", 2)


# adversarial: 29
def test_messages_between_two_processors_arrive():
    run("messages", "umbra", 2)


@slow
def test_messages_between_four_processors_arrive_bare():
    run("messages", "bare", 4, timeout=4 * IMAGE_TIMEOUT)


# adversarial: 29
@slow
def test_messages_between_four_processors_arrive():
    run("messages", "umbra", 4, timeout=4 * IMAGE_TIMEOUT)


def test_shootdowns_between_two_processors_hold_bare():
    run("shootdown", "bare", 2)


# adversarial: 2, 10, 15, 17
def test_shootdowns_between_two_processors_hold():
    run("shootdown", "umbra", 2)


@slow
def test_shootdowns_between_four_processors_hold_bare():
    run("shootdown", "bare", 4, timeout=4 * IMAGE_TIMEOUT)


# adversarial: 2, 10, 15, 17
@slow
def test_shootdowns_between_four_processors_hold():
    run("shootdown", "umbra", 4, timeout=4 * IMAGE_TIMEOUT)


@slow
def test_messages_between_two_processors_arrive_bare_in_bochs():
    run_in_bochs("messages", "bare")


# adversarial: 29
def test_messages_between_two_processors_arrive_in_bochs_on_vmx():
    run_in_bochs("messages", "umbra")


@slow
def test_messages_between_processors_started_in_protected_mode_arrive_in_bochs_on_vmx():
    run_in_bochs("messages", "protected")


@slow
def test_shootdowns_between_two_processors_hold_bare_in_bochs():
    run_in_bochs("shootdown", "bare")


# adversarial: 2, 10, 15, 17
def test_shootdowns_between_two_processors_hold_in_bochs_on_vmx():
    run_in_bochs("shootdown", "umbra")
