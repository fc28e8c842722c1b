# SPDX-License-Identifier: BSD-2-Clause
"""What the system tests share: how a test fails, how it boots a machine, and the count. Whoever
imports it works in the tree's root and finds the modules of tools/."""
import functools
import os
import re
import sys
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../.."
sys.path.insert(0, ROOT + "/tools")
os.chdir(ROOT)
import vm  # noqa: E402

RELEASE = "build/release/umbra.efi"
DEBUG = "build/debug/umbra.efi"
MULTIBOOT = "build/guest/multiboot/"
LOGS = "build/logs"
# They end what hangs. What passes takes a tenth of them on a processor of its own: as many tests as there are processors run
# at once, and a guest with several processors takes more than one.
BOOT_TIMEOUT = 300
IMAGE_TIMEOUT = 300
BOCHS_TIMEOUT = 900
# What a guest image of tests/guest writes to the debug exit port: QEMU ends with twice that plus 1.
IMAGE_PASSED = 0x10 * 2 + 1


class Failure(Exception):
    pass


def require(condition, reason):
    if not condition:
        raise Failure(reason)


def slow(test):
    test.slow = True
    return test


def together(group):
    """Marks tests that look at the same boots (made by a function that is `remembered`): one worker runs them."""
    def mark(test):
        test.group = group
        return test
    return mark


def remembered(make):
    """What the function returns, or raises, is the same for all tests of a worker that call it with these arguments."""
    known = {}

    def ask(*arguments):
        if arguments not in known:
            try:
                known[arguments] = make(*arguments), None
            except Failure as failure:
                known[arguments] = None, failure
        made, failure = known[arguments]
        if failure:
            raise failure
        return made
    return functools.wraps(make)(ask)


def needs(*programs):
    """Marks a test with the emulators that it needs; without the mark its name says which."""
    def mark(test):
        test.needs = programs
        return test
    return mark


# --- files ---------------------------------------------------------------------

@dataclass
class Running:
    """What a worker knows of the test that it runs (runner.py)."""
    group: str | None = None
    directory: str | None = None  # the test's own, gone when it has ended
    claims: str | None = None     # a file for each log of this run, with the group that writes it
    tell: object = None           # hands a verdict to the runner


running = Running()


def scratch(name):
    """A path for a file of the running test alone."""
    return f"{running.directory}/{name}"


def log_path(name):
    """The test's log of this name, which no test of another group may use."""
    if running.claims:
        claim(name)
    return f"{LOGS}/{name}.log"


def claim(name):
    path = f"{running.claims}/{name}"
    try:
        with open(path, "x") as file:
            file.write(running.group)
    except FileExistsError:
        with open(path) as file:
            owner = file.read()
        require(owner == running.group, f"the log {name} is already written by {owner or 'another test'}")


# --- booting -------------------------------------------------------------------


def boot(name, machine, timeout=BOOT_TIMEOUT, until=None):
    return vm.run(machine, timeout, until=until, log=log_path(name))


def debian(kind="cloud", **settings):
    kernel = vm.fetch_kernel(kind)
    settings.setdefault("efi", RELEASE)
    return vm.Machine(kernel=kernel + "/vmlinuz", initrds=[vm.initramfs(kernel)], **settings)


def run_command(name, machine, status=0, timeout=BOOT_TIMEOUT):
    result = boot(name, machine, timeout)
    require(result.panic is None, f"Bochs gave up: {result.panic}")
    require(result.fatal is None, result.fatal)
    require(not result.timed_out, f"did not end within {timeout} s")
    require(result.status is not None, "the guest ended without the command's status")
    require(result.status == status, f"the command's status is {result.status}, not {status}")
    return result


def counters(text):
    return {m.group(1).strip(): int(m.group(2)) for m in re.finditer(r"^(\S.*?)\s+(\d+)$", text, re.M)}


def counter(text, word):
    values = [value for name, value in counters(text).items() if word in name]
    require(values, f"umbractl shows no counter named {word}")
    return values[0]


# --- the count -----------------------------------------------------------------

counted = {"passed": 0, "failed": 0, "skipped": 0}


def report(name, reason):
    verdict = "passed" if reason is None else "failed"
    if running.tell:
        running.tell(verdict)
    else:
        counted[verdict] += 1
    print(f"PASS: {name}" if reason is None else f"FAIL: {name} {reason}", flush=True)


def judge_checks(label, result):
    """Counts the image's own checks; returns whether all passed."""
    checks = {}  # a check made many times counts once
    for verdict, text in re.findall(r"^(PASS|FAIL): (.*?)\s*$", result.text, re.M):
        check, _, detail = text.partition(" - ")
        if verdict == "FAIL" or check not in checks:
            checks[check] = None if verdict == "PASS" else detail or "see the serial log"
    for check, reason in checks.items():
        report(f"{label}: {check}", reason)
    require(checks, "the image printed no result")
    require(not result.timed_out, "the image did not end")
    return not any(checks.values())


def judge_image(label, result):
    if judge_checks(label, result):
        require(result.exit == IMAGE_PASSED, f"the emulator's status is {result.exit}")
