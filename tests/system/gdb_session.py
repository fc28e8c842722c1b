# SPDX-License-Identifier: BSD-2-Clause
"""Debian's gdb at a guest under Umbra (option gdb=), by the second serial port: tests/guest/debugged.c, which waits for it and checks
afterwards that it has seen nothing of it. On SVM in QEMU, on VMX in Bochs."""
import contextlib
import re
import socket
import subprocess
import threading
import time

import vm
from common import BOCHS_TIMEOUT, BOOT_TIMEOUT, IMAGE_TIMEOUT, boot, debian, judge_checks, judge_image, log_path, require, scratch
from sessions import SHELL, free_port, reach
from talking import talk

IMAGE = "build/guest/debugged"
READY = rb"READY"

# Pieces of gdb scripts, each with what gdb must say, in this order.
BEGIN = """\
set pagination off
set confirm off
set width 0
set remotetimeout {patience}
target remote {wire}
echo -- begun\\n
print released
set var released = 1
""", [r"^-- begun$", r"^\$\d+ = 0$"]
HARDWARE = """\
hbreak *marked
continue
print n
print/x *(unsigned char *)marked == 0xcc
delete
""", [r"^Hardware assisted breakpoint", r"Breakpoint 1, marked \(", r"^\$\d+ = 0$", r"^\$\d+ = 0x0$"]
# Four are in debug registers, the others are INT3s, of which gdb sees nothing.
SOFTWARE = """\
break *place_1
break *place_2
break *place_3
break *place_4
break *place_5
break *place_6
continue
continue
print/x *(unsigned char *)place_6 == 0xcc
continue
continue
continue
continue
print n
backtrace 2
delete
""", [r"place_1 \(", r"place_2 \(", r"^\$\d+ = 0x0$", r"place_3 \(", r"place_4 \(", r"place_5 \(", r"place_6 \(", r"^\$\d+ = 6$",
      r"^#1 .* in tests \(\)"]
WATCH = """\
watch watched
continue
continue
print watched
delete
""", [r"^Hardware watchpoint", r"^Old value = 0\nNew value = 1\n", r"^Old value = 1\nNew value = 2\n", r"^\$\d+ = 2$"]
MEMORY = """\
set var counted = counted + 100
print counted
set var counted = counted - 100
print/x *(unsigned *)0x8000001000
print $cr0
print $efer
monitor regs
monitor walk rip
info threads
""", [r"^\$\d+ = 1\d\d$", r"^\$\d+ = 0x5ec4e7$", r"^\$\d+ = \[ PE .*PG \]$", r"^\$\d+ = \[ .*LMA.*\]$", r"rip [0-9a-f]{16}", r"they agree",
      r"^\* 1 +Thread 1 \(CPU 0, 64-bit code, CPL 0\)"]
# Through a page fault, into ring 3 and back, or through an interrupt.
STEP = """\
break stepped_through
continue
delete
stepi 60
set var $i = 0
set var $rings = 0
while $i < {steps}
  stepi
  if ($cs & 3) == 3
    set var $rings = $rings + 1
  end
  set var $i = $i + 1
end
print $rings {rings}
x/2i $pc
""", [r"stepped_through \(\)", r"^\$\d+ = 1$", r"^=> "]
# The rest of a function by a range of addresses, which the stub steps through by itself.
FINISH = """\
break *marked if $rdi == 99
continue
print n
next
print counted
detach
echo -- detached\\n
""", [r"marked \(n=n@entry=99\)", r"^\$\d+ = 99$", r"^\$\d+ = \d+$", r"detached\]", r"^-- detached$"]
SECOND = """\
info threads
thread 2
backtrace 1
hbreak turn
print $rsp != 0
delete
set var $before = second_turns
stepi 30
print second_turns > $before
thread 1
""", [r"^  2 +Thread 2 \(CPU 1, 64-bit code, CPL 0\)", r"Switching to thread 2", r"^#0 .*turn \(", r"^\$\d+ = 1$", r"^\$\d+ = 1$", r"Switching to thread 1"]


class Gdb:
    """Runs a script of gdb's beside the machine, when its log says that the guest is ready."""

    def __init__(self, name, script, timeout, symbols=(IMAGE + ".elf",)):
        self.name, self.script, self.timeout, self.symbols = name, script, timeout, symbols
        self.text, self.failure, self.thread = "", None, threading.Thread(target=self.run, daemon=True)

    def run(self):
        end = time.monotonic() + self.timeout
        while not re.search(READY, vm.read_file(log_path(self.name))):
            if time.monotonic() > end:
                self.failure = "the guest does not wait for a debugger"
                return
            time.sleep(0.2)
        self.work()

    def work(self):
        path = scratch("script")
        vm.write_text(path, self.script)
        command = ["gdb", "-nx", "-q", "-batch", "-x", path, *self.symbols]
        try:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    timeout=self.timeout)
        except subprocess.TimeoutExpired as expired:
            self.text, self.failure = (expired.stdout or b"").decode(errors="replace"), "gdb did not end"
            return
        self.text = result.stdout.decode(errors="replace")
        if result.returncode:
            self.failure = f"gdb's status is {result.returncode}"


def require_said(text, patterns):
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(text, at)
        require(found, f"gdb did not say {pattern!r} behind what it said before; it ended with {text[-300:]!r}")
        at = found.end()


def session(name, machine, pieces, wire, timeout, until=None, **values):
    """Boots the machine while gdb works through the pieces of its script; the boot's result."""
    script = "".join(piece[0] for piece in pieces)
    for word, value in {"wire": wire, "patience": timeout, **values}.items():
        script = script.replace("{" + word + "}", str(value))
    gdb = Gdb(name, script, timeout)
    vm.write_text(log_path(name), "")
    gdb.thread.start()
    result = boot(name, machine, timeout=timeout, until=until)
    gdb.thread.join(30)
    vm.write_text(log_path(name + "-gdb"), gdb.text)
    require(not gdb.failure, f"{gdb.failure}; it ended with {gdb.text[-300:]!r}")
    require_said(gdb.text, [pattern for piece in pieces for pattern in piece[1]])
    return result


def machine(cpus, **more):
    return vm.Machine(kernel=IMAGE + ".bin", options=f"ram_mib=512 cpus={cpus}", umbra="gdb=ttyS1", memory="512M", cpus=cpus, **more)


def in_qemu(name, cpus, pieces, **values):
    wire = scratch("wire")
    result = session(name, machine(cpus, debug=wire), pieces, wire, 2 * IMAGE_TIMEOUT, **values)
    judge_image(f"debugged[{cpus} processors]", result)


def test_gdb_breaks_watches_and_steps_a_guest_which_does_not_notice():
    in_qemu("gdb-1", 1, (BEGIN, HARDWARE, SOFTWARE, WATCH, MEMORY, STEP, FINISH), steps=120, rings="> 0")


def test_gdb_sees_two_processors_as_threads():
    in_qemu("gdb-2", 2, (BEGIN, HARDWARE, SECOND, SOFTWARE, WATCH, STEP, FINISH), steps=20, rings="== 0")


class Relay:
    """Bochs waits at its port until somebody is there, and the firmware reads what comes: gdb is let through when it begins."""

    def __init__(self, path, port):
        self.server, self.port = socket.socket(socket.AF_UNIX), port
        self.server.bind(path)
        self.server.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        far = reach(self.port)
        near, _ = self.server.accept()
        threading.Thread(target=self.copy, args=(far, near), daemon=True).start()
        self.copy(near, far)

    @staticmethod
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(data)


def test_gdb_breaks_watches_and_steps_a_guest_in_bochs_on_vmx():
    name, wire, port = "bochs-gdb-1", scratch("wire"), free_port()
    Relay(wire, port)
    result = session(name, machine(1, emulator="bochs", debug=f"127.0.0.1:{port}"), (BEGIN, HARDWARE, SOFTWARE, WATCH, MEMORY, STEP, FINISH), wire,
                     BOCHS_TIMEOUT, until=rb"END: (\d+) failures", steps=60, rings=">= 0")
    require(result.panic is None, f"Bochs gave up: {result.panic}")
    judge_checks("debugged[bochs]", result)
    require("END: 0 failures" in result.text, "the guest did not end without a failure")


# --- Linux, without symbols but for an address of /proc/kallsyms ------------------------------

SYSTEM_CALL = """\
set pagination off
set confirm off
set width 0
set remotetimeout {patience}
target remote {wire}
hbreak *0x{address}
continue
print $rip == 0x{address}
x/s *(char **)($rdi + 112)
delete
stepi 200
break *0x{address}
continue
print $rip == 0x{address}
info threads
detach
echo -- detached\\n
""", [r"^Hardware assisted breakpoint", r"^\$1 = 1$", r'"umbra-\d+"', r"^\$2 = 1$", r"^[* ] 2 +Thread 2 \(CPU 1", r"^-- detached$"]


def debug_system_call(talker, wire, said):
    """A program calls sethostname() again and again; a breakpoint stops it in the kernel, and it goes on."""
    talker.wait(SHELL)
    found = re.search(r"^([0-9a-f]{16}) T __x64_sys_sethostname", talker.ask("grep -w __x64_sys_sethostname /proc/kallsyms", SHELL), re.M)
    require(found, "there is no address of sethostname()")
    talker.ask("n=0; while [ ! -e /stop ]; do n=$((n + 1)); hostname umbra-$n; done &", SHELL)
    script = SYSTEM_CALL[0]
    for word, value in {"wire": wire, "patience": talker.seconds, "address": found.group(1)}.items():
        script = script.replace("{" + word + "}", str(value))
    gdb = Gdb(talker.name, script, talker.seconds, symbols=())
    gdb.work()
    vm.write_text(log_path(talker.name + "-gdb"), gdb.text)
    require(not gdb.failure, f"{gdb.failure}; it ended with {gdb.text[-300:]!r}")
    require_said(gdb.text, SYSTEM_CALL[1])
    said.append(talker.ask("touch /stop; wait; hostname; dmesg | grep -c 'Call Trace'", SHELL))
    talker.wire.sendall(b"poweroff -f\n")


def test_gdb_stops_linux_in_a_system_call():
    wire, said = scratch("wire"), []
    result = talk("gdb-linux", debian(umbra="gdb=ttyS1", cpus=2, options=vm.LINUX + " nokaslr", debug=wire),
                  lambda talker: debug_system_call(talker, wire, said), 2 * BOOT_TIMEOUT)
    require(result.exit == 0, f"QEMU ended with {result.exit}")
    require(said and re.search(r"^umbra-\d+\n0$", said[0], re.M), f"the guest says {said}")
