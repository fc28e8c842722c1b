# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark without its emulator: what it refuses, which rows it names, what it counts in a log."""
import os
import re
import subprocess
import sys
import tempfile

from common import ROOT, needs, require

sys.path.append(ROOT + "/tools/bench")
import kvm  # noqa: E402
import parallel  # noqa: E402
import report  # noqa: E402

# Command, variables, the line.
REFUSED = (
    ("run", {"EMU": "bochs", "SMP": "4"}, r"EMU=bochs is of one processor: Bochs's clock goes on for processors that sleep, too, .*"),
    ("run", {"EMU": "xen"}, r"EMU=xen: there are qemu and bochs"),
    ("run", {"SMP": "0"}, r"SMP=0: 1 to 16 processors"),
    ("run", {"SMP": "17"}, r"SMP=17: 1 to 16 processors"),
    ("run", {"SMP": "two"}, r"SMP=two: 1 to 16 processors"),
    ("run", {"BENCH_ONLY": "pfork"}, r"no workload pfork; there are: getpid, .*"),
    ("run", {"SMP": "2", "BENCH_ONLY": "fork"}, r"no workload fork; there are: ploop, .*"),
    ("peer", {"PEER": "xen"}, r"PEER=xen: there is kvm"),
    ("peer", {"PEER": "kvm", "EMU": "bochs"}, r"PEER=kvm is measured in QEMU alone, not with EMU=bochs"),
    ("compare", {"PEER": "kvm"}, r"PEER is for make bench alone"),
    ("profile", {"SMP": "4", "BENCH_ONLY": "pfork"}, r"this is of one processor in QEMU: no SMP, no EMU"),
)
VARIABLES = ("SMP", "EMU", "PEER", "BENCH_ONLY", "BENCH_APPEND", "BENCH_BARE")


@needs()
def test_benchmark_refuses_in_a_line_what_it_does_not_measure():
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    for command, changes, line in REFUSED:
        done = subprocess.run([sys.executable, "tools/bench/bench", command], env={**plain, **changes}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        require(done.returncode == 3, f"{command} {changes}: the status is {done.returncode}")
        require(re.fullmatch(f"bench: {line}\n", done.stderr), f"{command} {changes}: {done.stderr}")


def row(bare=1000.0, umbra=1200.0, exits=2.0, **more):
    return {"bare": bare, "umbra": umbra, "exits": exits, "kinds": {}, "events": {}, **more}


def several(**more):
    return {"bare1": 1000.0, "umbra1": 1200.0, **more}


@needs()
def test_benchmark_names_the_rows_that_moved_beyond_their_noise():
    compared = ("bare1", "umbra1", "bare", "umbra", "exits")
    baseline = {"pfork": row(**several())}
    pair = {"pline": row(bare1=None, umbra1=None)}
    noise = {"pfork": {"umbra": 0.04, "umbra1": 0, "exits": 0}}
    cases = (  # the row, what is named of it, whether it is worse
        (row(**several()), "", False),
        (row(umbra=1245.0, **several()), "", False),  # within its noise
        (row(umbra=1250.0, **several()), "umbra", True),
        (row(umbra=1150.0, **several()), "umbra", False),
        (row(exits=2.1, **several()), "exits", True),
        (row(**several(umbra1=1210.0)), "umbra1", True),
        (row(bare=1100.0, **several()), "bare", False),
    )
    for new, named, is_worse in cases:
        lines, worse = report.differences({"pfork": new}, baseline, noise, 0, compared)
        require([line.split()[1] for line in lines] == named.split(), f"{new}: {lines}")
        require(worse == is_worse, f"{new}: {'' if worse else 'not '}worse")
    require(report.differences(pair, pair, {}, 0, compared) == ([], False), "a pair of workers has no figure of one processor")
    require(report.differences(pair, {}, {}, 0, compared)[0], "a row without a baseline is not named")


def verdicts(rows, kvm_rows):
    return [line.partition(":")[0] for line in parallel.conditions(rows, kvm_rows, 4)]


@needs()
def test_benchmark_of_several_processors_tells_whether_its_conditions_are_met():
    peer = {"pfork": {"kvm": 1300.0}}
    fork = {"pfork": row(**several())}
    require(verdicts(fork, peer) == ["met", "met", "met"], "a good row does not meet them")
    require(verdicts({"pfork": row(**several(umbra1=1080.0))}, peer) == ["NOT MET", "met", "met"], "1.11 times is not told")
    waits = row(**several())
    waits["events"] = {"spin_pauses": 6.0 / parallel.TURN}
    require(verdicts({"pfork": waits}, peer) == ["met", "NOT MET", "met"], "3% of waiting are not told")
    require(verdicts(fork, {"pfork": {"kvm": 1190.0}}) == ["met", "met", "NOT MET"], "a row behind KVM is not told")
    require(verdicts(fork, {})[2:] == ["not known", "not measured under KVM (make bench PEER=kvm SMP=4)"], "a missing figure is not told")


@needs()
def test_exits_under_kvm_are_counted_between_the_marks_of_user_mode():
    def line(code, rip):
        return f"vmexit({code:08x}, {0:016x}, {0:016x}, {rip:016x})!\n"

    user, kernel = 0x401000, 0xffffffff81000000
    log = [line(0x4e, user), line(kvm.VMMCALL, user), line(0x4e, kernel), "vmrun! 1000\n", line(kvm.VMMCALL, kernel),
           line(0x4e, user), line(kvm.VMMCALL, user), line(0x72, user), line(kvm.VMMCALL, user), line(kvm.VMMCALL, user)]
    with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
        file.writelines(log)
        file.flush()
        counted = kvm.ExitLog(file.name)
        counted.run()
    require(counted.windows == [{"exit_page_fault": 2, "exit_hypercall": 1}, {}], f"the windows are {counted.windows}")
