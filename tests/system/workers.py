# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the runner itself (runner.py): nothing that goes wrong in a worker is lost, no two tests share a file, and what
ends the runner ends all that it started."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import vm
from common import ROOT, needs, require

# Runs the tests that the lines behind it define, in a folder of its own, and prints the count as run.py does.
PRELUDE = f"""
import functools, os, signal, subprocess, sys, time
sys.dont_write_bytecode = True
sys.path[:0] = [{ROOT!r} + "/tests/system", {ROOT!r} + "/tools"]
import common, runner
from common import Failure, log_path, remembered, report, require, scratch, together
os.chdir(os.path.dirname(os.path.abspath(sys.argv[0])))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

def run(*tests, jobs=2):
    def counting(test):
        def judge():
            try:
                test()
            except Failure as failure:
                report(test.__name__, str(failure))
            else:
                report(test.__name__, None)
        return functools.wraps(test)(judge)
    seconds, _ = runner.run({{test.__name__: counting(test) for test in tests}}, jobs)
    print(" ".join(seconds))
    print("{{passed}} passed, {{failed}} failed".format(**common.counted))
"""


@contextlib.contextmanager
def program(text):
    with tempfile.TemporaryDirectory() as folder:
        vm.write_text(folder + "/program", PRELUDE + text)
        yield [sys.executable, folder + "/program"]


def output_of(text):
    """The lines that it prints, standard error among them."""
    with program(text) as command:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    require(done.returncode == 0, f"status {done.returncode}: {done.stdout}")
    return done.stdout.splitlines()


def require_lines(lines, *wanted):
    for line in wanted:
        require(any(re.fullmatch(line, seen) for seen in lines), f"no line {line!r} in {lines}")


@needs()
def test_worker_that_dies_is_a_failure_with_the_tests_name_and_the_others_go_on():
    """By a signal, by an end of its own with a good status, by one between tests, and by SystemExit."""
    lines = output_of("""
@together("group")
def first(): pass
@together("group")
def killed():
    print("its words", flush=True)
    report("a check of it", None)
    os.kill(os.getpid(), signal.SIGKILL)
@together("group")
def left(): os._exit(0)
@together("group")
def last(): pass
def exits(): sys.exit(0)
def silent(): pass
def late():
    import atexit, threading
    runner.flush = lambda: os._exit(3) if common.running.tell else None
run(first, killed, left, last, exits, late)
runner.run({"silent": silent}, 1)
print("{passed} passed, {failed} failed".format(**common.counted))
""")
    require_lines(lines, "PASS: first", "its words", "PASS: a check of it", "FAIL: killed its process ended with signal 9",
                  "FAIL: left its process ended with status 0", "PASS: last", "FAIL: exits its process ended with status 1",
                  "FAIL: late its process ended with status 3", "FAIL: silent it ended without a verdict")
    require("4 passed, 4 failed" in lines and lines[-1] == "4 passed, 5 failed", f"the counts are {lines}")


@needs()
def test_tests_run_side_by_side_and_what_each_prints_stays_together():
    lines = output_of("""
def chatty(word, other):
    print(word, 1, flush=True)
    open(word, "w").close()
    end = time.monotonic() + 60
    while not os.path.exists(other):
        require(time.monotonic() < end, "the other one does not run")
        time.sleep(0.01)
    subprocess.run(["echo", word, "2"])
    print(word, 3, file=sys.stderr)
def one(): chatty("one", "two")
def two(): chatty("two", "one")
run(one, two)
""")
    for word in ("one", "two"):
        at = lines.index(f"{word} 1")
        require(lines[at:at + 4] == [f"{word} 1", f"{word} 2", f"{word} 3", f"PASS: {word}"], f"it printed {lines}")
    require(lines[-1] == "2 passed, 0 failed", f"it printed {lines}")


@needs()
def test_two_tests_cannot_use_the_same_log_or_scratch_file():
    lines = output_of("""
def log():
    with open(log_path("name"), "w"): pass
@together("group")
def one(): log()
@together("group")
def of_its_group(): log()
def two(): log()
def scratches():
    require(not os.path.exists(scratch("file")), "somebody else's file is there")
    with open(scratch("file"), "w"): pass
    print("scratch", scratch("file"))
def three(): scratches()
@together("pair")
def four(): scratches()
@together("pair")
def five(): scratches()
os.makedirs("build/logs")
run(one, of_its_group, jobs=1)
run(one, two, jobs=1)
run(three, four, five, jobs=1)
print(len(os.listdir("build")), "in build/")
""")
    require_lines(lines, "PASS: of_its_group", "2 passed, 0 failed", "3 passed, 1 failed", "6 passed, 1 failed", "1 in build/")
    clash = [line for line in lines if line.startswith("FAIL")]
    require(clash in (["FAIL: two the log name is already written by group"], ["FAIL: one the log name is already written by two"]), f"it says {clash}")
    require(len({line for line in lines if line.startswith("scratch ")}) == 3, "two tests have the same scratch file")


@needs()
def test_boot_that_tests_look_at_is_made_once_and_so_is_its_failure():
    lines = output_of("""
@remembered
def boot(kind):
    print("boots", kind)
    raise Failure("no") if kind == "bad" else 0
@together("group")
def one(): boot("bad")
@together("group")
def two(): boot("bad")
run(one, two)
""".replace("raise Failure(\"no\") if kind == \"bad\" else 0", "require(kind != 'bad', 'no')"))
    require(lines.count("boots bad") == 1, f"it was made {lines.count('boots bad')} times")
    require_lines(lines, "FAIL: one no", "FAIL: two no", "0 passed, 2 failed")


@needs()
def test_tests_that_took_long_begin_first():
    lines = output_of("""
def short(): pass
def long(): time.sleep(0.5)
def longer(): time.sleep(1)
@together("pair")
def one(): time.sleep(0.4)
@together("pair")
def two(): time.sleep(0.4)
for _ in range(2):
    run(short, long, longer, one, two, jobs=1)
""")
    require(lines.index("PASS: short") < lines.index("PASS: long"), f"it does not keep their order while nothing is known: {lines}")
    again = [line for line in lines if line.startswith("PASS")][5:]
    require(again == [f"PASS: {name}" for name in ("longer", "one", "two", "long", "short")], f"then they begin as {again}")


ENDLESS = """
def endless():
    child = subprocess.Popen(["sleep", "1000"])
    try:
        open(f"{os.getpid()}.{child.pid}.started", "w").close()
        child.wait()
    finally:
        child.kill()
        child.wait()
        open(f"{os.getpid()}.{child.pid}.ended", "w").close()
def one(): endless()
def two(): endless()
run(one, two)
"""


def files(folder, ending):
    return [name.split(".") for name in os.listdir(folder) if name.endswith(ending)]


def wait_until(ready, what):
    end = time.monotonic() + 120
    while not ready():
        require(time.monotonic() < end, what)
        time.sleep(0.05)


def alive(pid):
    return os.path.exists(f"/proc/{pid}") and ") Z " not in vm.read_file(f"/proc/{pid}/stat").decode()


def end_by(number):
    """The runner gets the signal while two tests run; its status, when all that they started is gone."""
    with program(ENDLESS) as command:
        folder = os.path.dirname(command[1])
        runner = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                                  preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        try:
            wait_until(lambda: len(files(folder, ".started")) == 2, "two tests did not start")
            started = files(folder, ".started")
            runner.send_signal(number)
            status = runner.wait(timeout=120)
            wait_until(lambda: not any(alive(pid) for pids in started for pid in pids[:2]), "a worker or what it started goes on")
            require(len(files(folder, ".ended")) == 2, "a worker did not clean up")
            if number != signal.SIGKILL:
                require(os.listdir(folder + "/build") == ["logs"], f"left in build/: {os.listdir(folder + '/build')}")
        finally:
            runner.kill()
            runner.wait()
    return status


@needs()
def test_signal_ends_the_runner_and_all_that_its_workers_have_started():
    require(end_by(signal.SIGTERM) == 143, "SIGTERM gives another status")
    require(end_by(signal.SIGINT) != 0, "SIGINT gives status 0")
    end_by(signal.SIGKILL)


@needs()
def test_job_count_that_is_none_is_refused_in_a_line():
    for text in ("0", "-1", "x"):
        done = subprocess.run([sys.executable, "tests/system/run.py", "--list", f"--jobs={text}"], capture_output=True, text=True, timeout=60)
        require(done.returncode == 1 and done.stderr == f"run.py: --jobs {text}: not a number of tests above 0\n", f"{text}: {done.stderr!r}")
