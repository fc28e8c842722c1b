# SPDX-License-Identifier: BSD-2-Clause
"""The trace (docs/tracing.md): known events of the image tests/guest/trace.c, and the tools that read what a Debian guest did."""
import base64
import json
import re
import struct
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


def test_end_of_the_trace_is_told_when_a_guest_is_stopped():
    machine = vm.Machine(kernel="build/guest/legacy/taskswitch1.elf", multiboot=True, options="", memory="512M", umbra="trace=all")
    result = boot("trace-end", machine, timeout=IMAGE_TIMEOUT, until=rb"the guest has stopped|END: ")
    told = re.findall(r"umbra: trace of CPU 0: the last (\d+) records of \d+", result.text)
    records = re.findall(r"umbra: +\w+ +[0-9a-f]+ rip [0-9a-f]+ cr3 [0-9a-f]+ at ", result.text)
    require(len(told) == 1 and 10 < len(records) <= 32 and told[0] == str(len(records)), f"its trace is not printed: {told}, {len(records)} records")


# --- the tools ------------------------------------------------------------------

COMMANDS = """umbractl trace off; umbractl trace on flight,exit,walk
cat /bin/busybox >/dev/null; umbractl trace off
echo first: $(umbractl trace -k fill -n 1)
address=0x$(umbractl trace -k fill -n 1 | awk '{print $4}')
umbractl history $address | sed 's/^/history: /'
frame=$(umbractl trace -k entry | awk '$7 != 0 && $9 == 1 {print $7}' | tail -n 1)
frame=0x$(echo $frame | sed 's/^8//; s/^0*//; s/...$//')
umbractl who-maps $frame | sed 's/^/maps: /'
umbractl trace -k nothing; echo wrong: $?
umbractl stat --once --json | sed 's/^/stat: /'
umbractl stat --once | head -n 2 | sed 's/^/top: /'
umbractl trace --raw | base64 | sed 's/^/raw: /'
"""


def lines(output, word):
    return [line.split(": ", 1)[1] for line in output.splitlines() if line.startswith(word + ": ")]


def umbra_trace(*arguments):
    return subprocess.run(["tools/umbra-trace", *arguments], capture_output=True, text=True, check=False)


def check_stat(output):
    stat = json.loads(lines(output, "stat")[0])
    exits = stat["counters"]["exits"]
    require(exits["total"] > 0 and exits["rise"] == sum(exits["cpu_rise"]), f"the exits of all processors are not the sum: {exits}")
    require(re.match(r"event +total +/s", lines(output, "top")[0]), f"stat begins with {lines(output, 'top')}")
    require(re.match(r"exits +\d+ +\d+", lines(output, "top")[1]), f"exits are not what rises most: {lines(output, 'top')}")


def check_file(path):
    shown = umbra_trace("text", path).stdout.splitlines()
    require(len(shown) > 500, f"the file has {len(shown)} records")
    kinds = {line.split()[2] for line in shown}
    require({"fill", "entry", "exit", "walk"} <= kinds, f"it has records of {kinds}")
    times = [float(line.split()[0]) for line in shown]
    require(times == sorted(times), "its records are not in the order of time")
    for command, end in (("chrome", "json"), ("rate", "svg"), ("heat", "svg")):
        out = scratch(f"{command}.{end}")
        done = umbra_trace(command, path, out)
        require(done.returncode == 0, f"umbra-trace {command}: {done.stderr}")
    with open(scratch("heat.json")) as file:
        ranges = json.load(file)["ranges"]
    require(sum(r["first_touches"] for r in ranges) > 10, "the heat map has no first touches")


def test_trace_of_debian_is_read_by_umbractl_and_umbra_trace():
    machine = debian(umbra="trace=guest,size=128K", command=COMMANDS)
    output = run_command("trace-debian", machine, timeout=BOOT_TIMEOUT).output.decode()
    first = lines(output, "first")
    require(first and re.match(r"\d+\.\d{6} cpu0 fill [0-9a-f]{16} ", first[0]), f"the first fill is {first}")
    page = first[0].split()[3][:-3]
    told = lines(output, "history")
    require(told and all(line.split()[3].startswith(page) for line in told), f"the history of {page} is {told[:3]}")
    require(any(line.split()[2] == "entry" for line in told), "no entry is in the page's history")
    require(any(line.startswith("still: ") for line in lines(output, "maps")), f"who maps the frame: {lines(output, 'maps')[:3]}")
    require(lines(output, "wrong") == ["2"], "an unknown kind is taken")
    check_stat(output)
    path = scratch("trace.bin")
    with open(path, "wb") as file:
        file.write(base64.b64decode("".join(lines(output, "raw"))))
    check_file(path)


# --- a file that is known to the last byte --------------------------------------------

KINDS = "exit walk a d fill prefetch unsync sync zap reclaim flush kick inject cr msr entry".split()
FIXED = [  # time, rip, cr3, address, old, new, where, cycles, kind, level, detail, cpu
    (1000, 0x10, 0x5000, 0x1000, 4, 0x8007, 0x9008, 0, "walk", 1, 0, 0),
    (1100, 0x10, 0x5000, 0x1000, 0x8007, 0x8027, 0x9008, 0, "a", 1, 1, 0),
    (1200, 0x10, 0x5000, 0x1000, 0, 0x8025, 0x9008, 0, "entry", 1, 1, 0),
    (1300, 0x10, 0x5000, 0x1000, 0x8027, 0x8025, 0x9008, 0, "fill", 1, 0, 0),
    (1500, 0x10, 0x5000, 0x1000, 4, 0x1000, 0x4e, 400, "exit", 0, 1, 0),
    (2000, 0x20, 0x5000, 0x20, 0, 0x10, 0, 0, "cr", 0, 3, 1),
    (2100, 0x20, 0x5000, 0x20, 0, 0xd01, 0xc0000080, 0, "msr", 0, 0, 1),
    (2200, 0x20, 0x5000, 0x200000, 0, 0, 0, 0, "flush", 0, 2, 1),
    (2300, 0x20, 0x6000, 0x1000, 0x8027, 0x8025, 0x9008, 0, "prefetch", 1, 0, 1),
]
TEXT = """    0.000100 cpu0 walk      0000000000001000 error 4 leaf 8007 fixed level 1 entry 9008 rip 10 cr3 5000
    0.000110 cpu0 a         0000000000001000 8007 -> 8027 level 1 entry 9008 rip 10 cr3 5000
    0.000120 cpu0 entry     0000000000001000 0 -> 8025 level 1 entry 9008 rip 10 cr3 5000
    0.000130 cpu0 fill      0000000000001000 8027 -> 8025 level 1 entry 9008 rip 10 cr3 5000
    0.000150 cpu0 exit      0000000000001000 page_fault raw 4e info 4 1000 ticks 400 rip 10 cr3 5000
    0.000200 cpu1 cr        0000000000000020 cr3 0 -> 10 rip 20 cr3 5000
    0.000210 cpu1 msr       0000000000000020 msr c0000080 = d01 rip 20 cr3 5000
    0.000220 cpu1 flush     0000000000200000 page tag 0 rip 20 cr3 5000
    0.000230 cpu1 prefetch  0000000000001000 8027 -> 8025 level 1 entry 9008 rip 20 cr3 6000
"""


def fixed_file(path, more=b""):
    exits = ["cpuid", "page_fault"]
    with open(path, "wb") as file:
        file.write(struct.pack("<QIIIIIIQ", 0x4543415254524255, 1, 64, len(exits), len(KINDS), 10, 2, 3))
        for name in exits + KINDS:
            file.write(name.encode().ljust(32, b"\0"))
        for record in FIXED:
            file.write(struct.pack("<QQQQQQQIBBBB", *record[:8], KINDS.index(record[8]), *record[9:]))
        file.write(more)
    return path


def test_fixed_trace_file_is_decoded_to_text_chrome_format_and_heat_map():
    path = fixed_file(scratch("fixed.bin"), b"half a record")
    require(umbra_trace("text", path).stdout == TEXT, f"the text is {umbra_trace('text', path).stdout}")
    require(umbra_trace("text", path, "-k", "fill,a", "-c", "0").stdout.count("\n") == 2, "the filter lets other records pass")
    require(umbra_trace("text", path, "-a", "0x200000-0x2fffff").stdout.count("\n") == 1, "the range lets other records pass")
    require(umbra_trace("chrome", path, scratch("c.json")).returncode == 0, "no Chrome trace")
    with open(scratch("c.json")) as file:
        events = json.load(file)["traceEvents"]
    exits = [event for event in events if event["ph"] == "X"]
    require([(e["name"], e["ts"], e["dur"], e["tid"]) for e in exits] == [("page_fault", 110.0, 40.0, 0)], f"its exits are {exits}")
    require(len([e for e in events if e["ph"] == "i"]) == len(FIXED) - 1, "it has other events")
    require(umbra_trace("heat", path, scratch("h.svg")).returncode == 0, "no heat map")
    with open(scratch("h.json")) as file:
        ranges = json.load(file)["ranges"]
    require(ranges == [{"first": "0x0", "last": "0x1fffff", "first_touches": 2, "accessed": 1, "dirty": 0}], f"the ranges are {ranges}")


def test_file_that_is_no_trace_is_refused_in_one_line():
    path = scratch("wrong.bin")
    for data in (b"", b"x" * 100, open(fixed_file(scratch("good.bin")), "rb").read()[:50]):
        with open(path, "wb") as file:
            file.write(data)
        done = umbra_trace("text", path)
        require(done.returncode == 1 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, f"it says {done.stderr}")
