# SPDX-License-Identifier: BSD-2-Clause
"""The self-test of umbra.efi (selftest/): all of it passes on both emulators, a check that is made to fail is told of, and the
report is on the stick after the next start."""
import os
import re
import shutil
import socket
import subprocess
import time

import acpi
import disks
import screentext
import vm
from common import BOCHS_TIMEOUT, boot, log_path, require, scratch
from monitor import Monitor, wait_for

CHECKS = {"A and D bits", "random changes", "many address spaces", "rights, 32-bit paging", "rights, PAE paging", "rights, 4-level paging",
          "rights, compatibility mode", "rights, 5-level paging", "hidden memory", "exceptions", "real mode", "interrupts", "timer: TSC",
          "timer: local APIC", "timer: PIT and PIC", "NMIs", "all processors"}
SHOWN = rb"without a key it starts again"
TIMEOUT = 400


def stick(name, options="", umbra="", more=None):
    """A stick with Umbra alone, or, where there are options, with an entry for the self-test."""
    lines = ["title Test of this machine", "self-test", f"options {options}"] + ([f"umbra {umbra}"] if umbra else [])
    files = {"loader/entries/test.conf": "\n".join(lines) + "\n"} if options else {}
    return disks.stick(name, {**files, **(more or {})})


def verdicts(text):
    return {name.partition(" - ")[0].strip(): verdict for verdict, name in re.findall(r"^(PASS|FAIL|SKIP): (.*?)\s*$", text, re.M)}


def check_all(text, skipped=()):
    found = verdicts(text)
    bad = {name: verdict for name, verdict in found.items() if verdict != ("SKIP" if name in skipped else "PASS")}
    require(not bad, f"not passed: {bad}")
    require(CHECKS <= found.keys() and len(found) == 26, f"{len(found)} checks were made, without {sorted(CHECKS - found.keys())}")
    require(f"self-test: {26 - len(skipped)} passed, 0 failed, {len(skipped)} skipped" in text, "it sums up otherwise")
    for line in ("firmware: ", "Secure Boot: ", "processor: ", "family ", "paging: ", "memory: ", "IOMMU: ", "serial ports: ", "framebuffer: "):
        require(re.search("^" + line, text, re.M), f"the report has no line '{line}'")


def wait_until(holds, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not holds():
        time.sleep(0.2)
    return holds()


class Usb:
    """QEMU with nothing but the stick, at xHCI, which it may write to; a reset starts it again."""

    def __init__(self, name, image, cpus=1, cpu=None, writable=True, serial=None):
        self.name, self.log = name, log_path(name)
        self.work = scratch(f"selftest-{name}")
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        self.disk = f"{self.work}/stick.img"
        shutil.copy(image, self.disk)
        vm.write_text(self.log, "")
        self.socket = f"{self.work}/qmp"
        more = [] if writable else ["-set", "drive.boot.readonly=on"]
        machine = vm.Machine(memory="512M", cpus=cpus, kept=self.disk, bus="usb", extra=["-qmp", f"unix:{self.socket},server=on,wait=off", *more])
        if cpu:
            machine.cpu = cpu
        arguments = vm.qemu_arguments(machine, self.work, serial or f"file:{self.log}", None)
        arguments.remove("-no-reboot")
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
        self.monitor = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait(self, pattern, seconds=TIMEOUT):
        require(wait_for(self.log, pattern, seconds), f"{pattern!r} did not come within {seconds} s")

    def command(self, line):
        self.monitor = self.monitor or Monitor(self.socket)
        return self.monitor.human(line)

    def text(self):
        return vm.read_file(self.log).decode(errors="replace").replace("\r", "")

    def screen(self, number):
        """A screenshot, kept beside the logs (docs/self-test.png is one), as text."""
        picture = log_path(f"{self.name}-screen{number}").removesuffix(".log") + ".ppm"
        if os.path.exists(picture):
            os.unlink(picture)
        self.command(f"screendump {picture}")
        for _ in range(50):
            if os.path.exists(picture) and os.path.getsize(picture) > 1000:
                break
            time.sleep(0.1)
        screentext.as_png(picture)
        return "\n".join(screentext.read(picture))

    def sees(self, number, pattern, seconds=60):
        """The first screen that has the pattern, or a failure."""
        end = time.monotonic() + seconds
        while True:
            text = self.screen(number)
            if re.search(pattern, text, re.M):
                return text
            require(time.monotonic() < end, f"the screen has no {pattern!r}: {text!r}")

    def file(self, path):
        done = subprocess.run(["mtype", "-i", f"{self.disk}@@1M", f"::{path}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def test_stick_with_umbra_alone_tests_the_machine_and_reports_after_the_next_start():
    with Usb("selftest-stick", stick("selftest-stick"), cpus=2) as usb:
        usb.wait(SHOWN)
        text = usb.text()
        require('booting "Self-test" in 5 s' in text, "nothing was counted down")
        check_all(text)
        screen = usb.sees(1, "any key: the next page")
        require("Umbra " in screen and "processor: " in screen and "P: switch it off" in screen, f"the screen is {screen!r}")
        require(re.search(r"^PASS: random changes$", screen, re.M), f"the screen is {screen!r}")
        require("self-test: 26 passed, 0 failed, 0 skipped" in screen, f"the screen is {screen!r}")
        usb.command("sendkey spc")
        usb.sees(2, r"^counted: exits \d+")
        usb.command("sendkey r")
        usb.wait(rb"its report is \\umbra\\report-1\.txt on the volume")
        time.sleep(10)
        require("in 5 s" not in usb.text().partition("its report is")[2], "the self-test starts again by itself")
        report = usb.file("/umbra/report-1.txt")
        require(report is not None, "the stick has no report")
        check_all(report)
        require("not ended" not in report and "\0" not in report, "the report has more than the results")


def test_check_that_fails_is_told_of_on_screen_and_in_the_report_and_by_the_status():
    image = stick("selftest-fails", "fail=A-and-D-bits ms=1 lines=26 page=10 last=600", more={"umbra/report-1.txt": "an older one"})
    with Usb("selftest-fails", image) as usb:
        usb.wait(SHOWN)
        require(re.search(r"^FAIL: A and D bits - planted", usb.text(), re.M), "the failure is not told of")
        require("self-test: 24 passed, 1 failed, 1 skipped" in usb.text(), "it sums up otherwise")
        first = usb.sees(1, r"^FAIL: A and D bits - planted")
        require("processor: " in first and "any key: the next page" in first and "PASS: NMIs" not in first, f"the first page is {first!r}")
        require("self-test: 24 passed, 1 failed, 1 skipped" in first, f"the first page is {first!r}")
        last = usb.sees(2, "any key: the first page")  # with no key the next ones come
        require("counted: " in last and "processor: " not in last, f"the last page is {last!r}")
        usb.command("sendkey spc")
        usb.sees(3, "any key: the next page")
        usb.command("sendkey r")
        usb.wait(rb"umbra: the self-test has ended: 24 passed, 1 failed, 1 skipped")
        usb.wait(rb"its report is \\umbra\\report-2\.txt on the volume")
        require("FAIL: A and D bits - planted" in (usb.file("/umbra/report-2.txt") or ""), "the report does not tell of it")
        require(usb.file("/umbra/report-1.txt") == "an older one", "the older report is another one")
    result = boot("selftest-status", vm.Machine(disk=stick("selftest-status", "fail=A-and-D-bits ms=1 exit=1"), memory="512M"), TIMEOUT)
    require(result.exit == 0x11 * 2 + 1, f"the emulator's status is {result.exit}")


def test_self_test_that_is_reset_half_way_is_told_of():
    with Usb("selftest-reset", stick("selftest-reset", "ms=60000")) as usb:
        usb.wait(rb"PASS: random changes")
        usb.command("system_reset")
        usb.wait(rb"umbra: the self-test did not end, its report says where: 11 passed")
        usb.wait(rb"its report is \\umbra\\report-1\.txt on the volume")
        require(re.search(r"^not ended: rights, 32-bit paging$", usb.file("/umbra/report-1.txt"), re.M), "the report does not say where")


def test_report_that_cannot_be_written_is_shown():
    with Usb("selftest-readonly", stick("selftest-readonly", "ms=1 page=1 last=1"), writable=False) as usb:  # it starts again by itself
        usb.wait(rb"umbra: the self-test has ended: 25 passed, 0 failed, 1 skipped")
        usb.wait(rb"the self-test's report cannot be written to this volume; here it is, a key goes on", 30)
        usb.wait(rb"(?s)here it is.*processor: ", 30)
        for _ in range(5):  # pages of the firmware's console
            usb.command("sendkey spc")
            time.sleep(2)
        usb.wait(rb"(?s)here it is.*PASS: random changes.*self-test: 25 passed", 60)


def test_machine_that_cannot_run_it_leaves_a_report_at_once():
    with Usb("selftest-refused", stick("selftest-refused"), cpu="max,-svm") as usb:
        usb.wait(rb"umbra: the report of this is \\umbra\\report-1\.txt")
        usb.wait(rb"error: [^\r\n]*SVM", 120)  # in the menu
        report = usb.file("/umbra/report-1.txt") or ""
        require(re.search("^virtualisation: neither SVM nor VMX$", report, re.M) and "processor: " in report, f"the report is {report!r}")
        require(re.search(r"^self-test: not started: .*SVM", report, re.M), f"the report is {report!r}")


def test_machine_is_switched_off_by_a_key_on_the_serial_port():
    line = scratch("serial")
    image = stick("selftest-off", "ms=1 page=600 last=600")
    if os.path.exists(line):
        os.unlink(line)
    with Usb("selftest-off", image, serial=f"unix:{line},server=on,wait=off") as usb:
        end = time.monotonic() + TIMEOUT
        while not os.path.exists(line):
            require(time.monotonic() < end, "QEMU does not start")
            time.sleep(0.1)
        with socket.socket(socket.AF_UNIX) as port:
            port.settimeout(TIMEOUT)
            port.connect(line)
            seen = b""
            while not re.search(SHOWN, seen):
                new = port.recv(4096)
                require(new, "the serial port was closed")
                seen += new
            port.sendall(b"P")
            require(wait_until(lambda: usb.process.poll() is not None, 60), "the machine stays on")
        require(usb.process.returncode == 0, f"QEMU's status is {usb.process.returncode}")


def test_self_test_runs_bare_without_what_only_a_hypervisor_has():
    result = boot("selftest-bare", vm.Machine(disk=stick("selftest-bare", "exit=1 ms=1", "bare"), memory="512M"), TIMEOUT)
    found = verdicts(result.text)
    require("START: bare" in result.text and len(found) == 26, "it did not run bare")
    skipped = {name for name, verdict in found.items() if verdict == "SKIP"}
    require(skipped == {"hidden memory", "what CPUID and control registers show", "all processors"}, f"skipped are {skipped}")


def test_self_test_with_two_processors_passes_in_bochs_on_vmx():
    tables = acpi.bochs_tables(2)
    files = {f"acpi/{i}.aml": path for i, path in enumerate(tables)}
    entry = "title T\nself-test\nacpi " + " ".join(f"/acpi/{i}.aml" for i in range(len(tables))) + "\noptions ms=1\n"
    image = disks.stick("selftest-bochs-2", {"loader/entries/test.conf": entry, **files})
    result = boot("selftest-bochs-2", vm.Machine(disk=image, memory="512M", cpus=2, emulator="bochs"), BOCHS_TIMEOUT, until=SHOWN)
    require(result.panic is None, f"Bochs gave up: {result.panic}")
    check_all(result.text, skipped=("rights, 5-level paging",))
    require("PASS: all processors - 2 processors" in result.text, "it did not find both")


def test_self_test_passes_in_bochs_on_vmx():
    machine = vm.Machine(disk=stick("selftest-bochs"), memory="512M", emulator="bochs")
    result = boot("selftest-bochs", machine, BOCHS_TIMEOUT, until=SHOWN)
    require(result.panic is None, f"Bochs gave up: {result.panic}")
    check_all(result.text, skipped=("rights, 5-level paging", "all processors"))

