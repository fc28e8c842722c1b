# SPDX-License-Identifier: BSD-2-Clause
"""Guest images that start the machine's other processors themselves, bare and under Umbra on SVM."""
import vm
from common import boot, judge_image, require, slow


def run(image, where, cpus, timeout=240):
    machine = vm.Machine(kernel=f"build/guest/{image}.bin", options=f"ram_mib=512 cpus={cpus}", umbra="bare" if where == "bare" else "",
                         memory="512M", cpus=cpus)
    result = boot(f"image-{image}-{where}-{cpus}", machine, timeout=timeout)
    judge_image(f"{image}[{where}, {cpus} processors]", result)
    require(f"START: {'bare' if where == 'bare' else 'under Umbra'}" in result.text, f"it did not run {where}")


def test_messages_between_two_processors_arrive_bare():
    run("messages", "bare", 2)


# adversarial: 29
def test_messages_between_two_processors_arrive():
    run("messages", "umbra", 2)


@slow
def test_messages_between_four_processors_arrive_bare():
    run("messages", "bare", 4, timeout=480)


# adversarial: 29
@slow
def test_messages_between_four_processors_arrive():
    run("messages", "umbra", 4, timeout=480)


def test_shootdowns_between_two_processors_hold_bare():
    run("shootdown", "bare", 2)


# adversarial: 2, 10, 15, 17
def test_shootdowns_between_two_processors_hold():
    run("shootdown", "umbra", 2)


@slow
def test_shootdowns_between_four_processors_hold_bare():
    run("shootdown", "bare", 4, timeout=600)


# adversarial: 2, 10, 15, 17
@slow
def test_shootdowns_between_four_processors_hold():
    run("shootdown", "umbra", 4, timeout=600)

