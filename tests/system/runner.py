# SPDX-License-Identifier: BSD-2-Clause
"""Runs tests side by side, each group of them in a process of its own (a worker), and counts what they report.
What a test prints is shown together when it ends. A worker that dies is a failure of the test that it was at; the rest
of its group goes on in another one. Whatever ends the runner ends the workers, and they their emulators."""
import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field

import common
from common import LOGS, report

SECONDS = LOGS + "/seconds.json"  # by test, of its last run: what it took, and the processor's time in that
# What tests are taken to take that have not been run here yet, by a word in the name: the long ones must not come last.
LIKELY = (("lint", 200), ("bochs", 120), ("test_shadow_orders", 90), ("no_exit_grows", 60), ("full_kernel", 60), ("shootdowns", 60), ("processor", 60),
          ("test_tlb_model", 60), ("test_shadow", 60), ("test_interpret_unicorn", 30), ("test_", 5), ("image", 15), ("error", 15))
LIKELY_ELSE = 30
PATIENCE = 30  # seconds for a worker to end its emulator
PR_SET_PDEATHSIG = 1


@dataclass
class Group:
    """Tests that run one after the other in one process, since they look at the same boots."""
    name: str
    tests: dict = field(default_factory=dict)  # by name, functions that call common.report()


@dataclass
class Worker:
    group: Group
    left: list               # names of the tests that have not ended
    pid: int
    pipe: int                # its messages, a line each
    directory: str
    at: str | None = None    # the test that runs, or ran last
    output: str = ""         # the file of what it prints
    verdicts: int = 0        # of it
    began: float = 0
    rest: bytes = b""        # of a message


def processors():
    return max(len(os.sched_getaffinity(0)), 1)


def grouped(tests):
    """The tests of the same mark (common.together) in one group; the longest group first."""
    groups, seconds = {}, likely_seconds(tests)
    for name, test in tests.items():
        mark = getattr(test, "group", name)
        groups.setdefault(mark, Group(mark)).tests[name] = test
    return sorted(groups.values(), key=lambda group: -sum(seconds[name] for name in group.tests))


def likely_seconds(names):
    try:
        with open(SECONDS) as file:
            known = json.load(file)
    except (OSError, ValueError):
        known = {}
    return {name: known[name][0] if name in known else next((seconds for word, seconds in LIKELY if word in name), LIKELY_ELSE)
            for name in names}


# --- in the worker ---------------------------------------------------------------

def show_in(path):
    """What this process and those that it starts print goes to the file from here on."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)


def flush():
    sys.stdout.flush()
    sys.stderr.flush()


def processor_seconds():
    return sum(os.times()[:4])


def work(group, names, directory, pipe):
    """Tells the runner: start and the test's directory; passed and failed as reported; end and the processor's time."""
    def tell(*words):
        os.write(pipe, (" ".join(words) + "\n").encode())

    common.running.tell, common.running.group = tell, group.name
    for i, name in enumerate(names):
        own = f"{directory}/{i}"
        os.mkdir(own)
        common.running.directory = own
        show_in(own + ".output")
        tell("start", own, name)
        spent = processor_seconds()
        group.tests[name]()
        flush()
        tell("end", f"{processor_seconds() - spent:.1f}")


def be_worker(parent, group, names, directory, pipe):
    """Never returns."""
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by an exception, so that the emulator ends too
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        show_in(directory + "/output")
        work(group, names, directory, pipe)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) and end.code else 1
    except BaseException:  # whatever it is, this must not go on as a second runner
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            flush()
        os._exit(status)


# --- in the runner ---------------------------------------------------------------

class Runner:
    """jobs: how many workers at once; base: a directory of this run's own."""

    def __init__(self, jobs, base):
        self.jobs, self.base = jobs, base
        self.waiting = []      # (group, names)
        self.workers = {}      # by pipe
        self.seconds = {}      # as the file SECONDS
        self.started = 0
        self.selector = selectors.DefaultSelector()

    def run(self, groups):
        self.waiting = [(group, list(group.tests)) for group in groups]
        try:
            while self.waiting or self.workers:
                while self.waiting and len(self.workers) < self.jobs:
                    self.start(*self.waiting.pop(0))
                for key, _ in self.selector.select():
                    self.listen(self.workers[key.fd])
        finally:
            self.end_all()

    def start(self, group, names):
        self.started += 1
        directory = f"{self.base}/{self.started}"
        os.mkdir(directory)
        read, write = os.pipe()
        runner = os.getpid()
        flush()
        # A signal must not come between the fork and the worker's being known.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        pid = os.fork()
        if pid == 0:
            for other in (read, *self.workers):
                os.close(other)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            be_worker(runner, group, names, directory, write)
        os.close(write)
        self.workers[read] = Worker(group, names, pid, read, directory)
        self.selector.register(read, selectors.EVENT_READ)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def listen(self, worker):
        data = os.read(worker.pipe, 65536)
        if not data:
            self.bury(worker)
            return
        *lines, worker.rest = (worker.rest + data).split(b"\n")
        for line in lines:
            word, _, more = line.decode().partition(" ")
            if word == "start":
                own, _, worker.at = more.partition(" ")
                worker.output, worker.verdicts, worker.began = own + ".output", 0, time.monotonic()
            elif word == "end":
                self.end_test(worker, float(more))
            else:
                worker.verdicts += 1
                common.counted[word] += 1

    def end_test(self, worker, spent):
        self.show(worker.output)
        if not worker.verdicts:
            report(worker.at, "it ended without a verdict")
        worker.left.remove(worker.at)
        self.seconds[worker.at] = [round(time.monotonic() - worker.began, 1), spent]
        shutil.rmtree(worker.output.removesuffix(".output"), ignore_errors=True)
        worker.output = ""

    def show(self, path):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            sys.stdout.buffer.write(file.read())
        flush()

    def bury(self, worker):
        """The worker's end. If it was not asked for, the test that it was at has failed, and the others go on."""
        status = self.reap(worker)
        ended_well = status == 0 and not worker.left
        if not ended_well:
            at = worker.at if worker.at in worker.left or not worker.left else worker.left[0]
            self.show(worker.output)
            self.show(worker.directory + "/output")
            report(at, f"its process ended with {f'signal {-status}' if status < 0 else f'status {status}'}")
            rest = [name for name in worker.left if name != at]
            if rest:
                self.waiting.insert(0, (worker.group, rest))
        shutil.rmtree(worker.directory, ignore_errors=True)

    def reap(self, worker):
        """Waits for it and ends what it has left behind; its status."""
        self.selector.unregister(worker.pipe)
        os.close(worker.pipe)
        del self.workers[worker.pipe]
        status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        return status

    def end_all(self):
        """Each worker ends its emulator; one that does not in time is killed."""
        if not self.workers:
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        for worker in self.workers.values():
            os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        for worker in list(self.workers.values()):
            while os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and time.monotonic() < deadline:
                time.sleep(0.05)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            self.reap(worker)


def save_seconds(seconds):
    os.makedirs(LOGS, exist_ok=True)
    known = {}
    with contextlib.suppress(OSError, ValueError), open(SECONDS) as file:
        known = json.load(file)
    with open(SECONDS + ".new", "w") as file:
        json.dump({**known, **seconds}, file, indent=0, sort_keys=True)
    os.replace(SECONDS + ".new", SECONDS)


def run(tests, jobs):
    """tests: functions by name. They report, and are counted in common.counted."""
    began = time.monotonic()
    os.makedirs("build", exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tests.", dir="build") as folder:
        base = os.path.relpath(folder)  # a socket's path is short
        os.mkdir(base + "/claims")
        common.running.claims = base + "/claims"
        runner = Runner(jobs, base)
        try:
            runner.run(grouped(tests))
        finally:
            save_seconds(runner.seconds)
    return runner.seconds, time.monotonic() - began
