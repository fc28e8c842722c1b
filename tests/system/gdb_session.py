# SPDX-License-Identifier: BSD-2-Clause
"""Debian's gdb at a guest under Umbra (option gdb=), by the second serial port: tests/guest/debugged.c, which waits for it and checks
afterwards that it has seen nothing of it. On SVM in QEMU, on VMX in Bochs."""
import os
import re
import subprocess
import threading
import time

import vm
from common import BOCHS_TIMEOUT, IMAGE_TIMEOUT, Failure, boot, judge_checks, judge_image, log_path, require, scratch

IMAGE = "build/guest/debugged"
READY = rb"READY"

BEGIN = """\
set pagination off
set confirm off
set width 0
set remotetimeout 200
target remote {wire}
echo -- begun\\n
print released
set var released = 1
"""
HARDWARE = """\
echo -- hardware\\n
hbreak *marked
continue
print n
print/x *(unsigned char *)marked
delete
"""
SOFTWARE = """\
echo -- software\\n
break *place_1
break *place_2
break *place_3
break *place_4
break *place_5
break *place_6
continue
continue
continue
continue
continue
continue
print n
backtrace 2
delete
"""
WATCH = """\
echo -- watch\\n
watch watched
continue
continue
print watched
delete
"""
STEP = """\
echo -- step\\n
break stepped_through
continue
delete
stepi {steps}
print/x $rip
print/x $cr0
print $efer
x/wx {user}
echo -- stepped\\n
"""
MEMORY = """\
echo -- memory\\n
set var counted = counted + 100
print counted
set var counted = counted - 100
print/x *(unsigned *)0x8000001000
print/x $cs
print/x $gs_base
print $cr0
monitor help
"""
END = """\
echo -- end\\n
break *marked if $rdi == 99
continue
print n
detach
echo -- detached\\n
"""


class Gdb:
    """Runs a script of gdb's beside the machine, when its log says that the guest is ready."""

    def __init__(self, name, script, timeout):
        self.name, self.script, self.timeout = name, script, timeout
        self.text, self.failure, self.thread = "", None, threading.Thread(target=self.run, daemon=True)

    def run(self):
        end = time.monotonic() + self.timeout
        while not re.search(READY, vm.read_file(log_path(self.name))):
            if time.monotonic() > end:
                self.failure = "the guest does not wait for a debugger"
                return
            time.sleep(0.2)
        path = scratch("script")
        vm.write_text(path, self.script)
        command = ["gdb", "-nx", "-q", "-batch", "-x", path, IMAGE + ".elf"]
        try:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    timeout=self.timeout)
        except subprocess.TimeoutExpired as expired:
            self.text, self.failure = (expired.stdout or b"").decode(errors="replace"), "gdb did not end"
            return
        self.text = result.stdout.decode(errors="replace")
        if result.returncode:
            self.failure = f"gdb's status is {result.returncode}"


def say_in_order(text, patterns):
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(text, at)
        require(found, f"gdb did not say {pattern!r} behind what it said before")
        at = found.end()


def session(name, machine, script, timeout, until=None):
    """The boot's result and what gdb said."""
    gdb = Gdb(name, script, timeout)
    vm.write_text(log_path(name), "")
    gdb.thread.start()
    result = boot(name, machine, timeout=timeout, until=until)
    gdb.thread.join(30)
    vm.write_text(log_path(name + "-gdb"), gdb.text)
    if gdb.failure:
        raise Failure(f"{gdb.failure}; it said: {gdb.text[-600:]}")
    return result, gdb.text


EXPECTED_BEGIN = [r"-- begun$", r"\$1 = 0$"]


def qemu(name, cpus):
    wire = scratch("wire")
    return wire, vm.Machine(kernel=IMAGE + ".bin", options=f"ram_mib=512 cpus={cpus}", umbra="gdb=ttyS1", memory="512M", cpus=cpus,
                            serials=False, extra=["-serial", f"file:{log_path(name)}", "-serial", f"unix:{wire},server=on,wait=off"])
