# SPDX-License-Identifier: BSD-2-Clause
"""Sessions with the monitor (docs/debugging.md): somebody stops a guest that prints numbered lines, looks, and lets it go on. Nothing of
what the guest says may be lost or come twice. Nothing here measures time."""
import contextlib
import os
import re
import socket
import threading
import time

import vm
from common import BOCHS_TIMEOUT, BOOT_TIMEOUT, DEBUG, IMAGE_PASSED, IMAGE_TIMEOUT, RELEASE, Failure, boot, debian, log_path, require, scratch, slow
from monitor import connect
from talking import talk

PROMPT = b"umbra> "
ROUNDS = 12
ROUNDS_LONG = 200
SLOW_ROUNDS = 3  # in Bochs

# What each command must say.
COMMANDS = [
    ("regs", r"rip [0-9a-f]{16}.*\n(.*\n)*gdtr +base"), ("cr", r"cr0 +[0-9a-f]{16} .*PG.*PE"), ("cpu", r"\* CPU \d+ is stopped, \d+ exits"),
    ("msr c0000080", r"msr c0000080: 0{13}[0-9a-f]{3}"), ("walk rip", r"they agree"), ("walk 8000000000", r"guest : nothing"),
    ("mem rsp 20", r"[0-9a-f]{16}  ([0-9a-f]{2} +){16} ?\|.{16}\|"), ("phys 4000000 10", r"0000000004000000  "), ("mem 8000000000 10", r"\?\? \?\?"),
    ("map", r"- .* hidden: the hypervisor's"), ("shadow", r"pool: \d+ pages.*\n(.*\n)*CPU 0: root"), ("audit", r"audit: 0 mismatches"),
    ("stats", r"intercepted|NMI|timer"), ("trace 4", r"CPU 0: \d+ exits, the last 4"), ("bt", r"#0  [0-9a-f]{16}"), ("lbr", r"last branch from"),
    ("log 100", r"umbra: "), ("help st", r"step .*\n.*stats"), ("s", r"more than one command"), ("nonsense", r"no command: nonsense"), ("mem", r"missing"),
    ("mem zz", r"no number: zz"), ("set cr3 0", r"cannot be set"), ("step", r"CPU \d+: stepped\nrip "), ("step 4", r"(CPU \d+: stepped\n.*\n){4}"),
]


class Session:
    """Somebody at the monitor's port."""

    def __init__(self, wire, seconds):
        self.wire, self.seconds, self.said, self.seen = wire, seconds, b"", 0
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with contextlib.suppress(OSError):
            while data := self.wire.recv(4096):
                self.said += data

    def wait(self, word):
        end = time.monotonic() + self.seconds
        while word not in self.said[self.seen:]:
            if time.monotonic() > end:
                raise Failure(f"waited {self.seconds} s for {word!r} from the monitor; it said {self.said[self.seen:][-200:]!r}")
            time.sleep(0.02)
        at = self.said.index(word, self.seen)
        text, self.seen = self.said[self.seen:at], at + len(word)
        return text.decode(errors="replace").replace("\r", "")

    def stop(self):
        self.wire.sendall(b"\r")
        return self.wait(PROMPT)

    def ask(self, command):
        self.wire.sendall(command.encode() + b"\r")
        return self.wait(PROMPT)

    def go_on(self):
        self.wire.sendall(b"cont\r")
        self.wait(b"continued")


def wait_for_log(path, pattern, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = re.search(pattern, vm.read_file(path) if os.path.exists(path) else b"")
        if found:
            return found
        time.sleep(0.1)
    raise Failure(f"waited {seconds} s for {pattern!r}")


def converse(name, machine, conversation, timeout, reach, until=None):
    """Boots the machine while conversation(session, match of the talker's first line) runs beside it."""
    failed, wire = [], None

    def run():
        nonlocal wire
        try:
            wire = reach()
            session = Session(wire, timeout)
            conversation(session, wait_for_log(log_path(name), rb"TALKER: stop (\w+) beats (\w+) room (\w+) talk (\w+)\r?\n", timeout))
        except (Failure, OSError) as failure:
            failed.append(str(failure))
            with contextlib.suppress(OSError, AttributeError):  # ends the boot if the monitor still listens
                wire.sendall(b"\x03\rreset\r")

    thread = threading.Thread(target=run, daemon=True)
    vm.write_text(log_path(name), "")
    thread.start()
    result = boot(name, machine, timeout, until=until)
    thread.join(10)
    require(not failed, "; ".join(failed))
    return result


def judge_lines(result, said):
    """Every line that the guest says it has printed is there, once, with its checksum."""
    text = result.text
    body = re.search(r"TALKER: .*\n((?:.*\n)*)SAID (\d+) (.*)\n", text)
    require(body, "the guest did not end")
    lines = body.group(1).splitlines()
    require(len(lines) == int(body.group(2)), f"{len(lines)} lines, not {body.group(2)}")
    for n, line in enumerate(lines):
        require(line == f"LINE {n} {checksum(n):x}", f"in the place of line {n}: {line!r}")
    require(body.group(3) == said, f"it said {body.group(3)!r}, not {said!r}")


def checksum(n):
    value = n ^ 0x5bd1e995
    for _ in range(4):
        value = ((value << 5 | value >> 27) & 0xffffffff) * 0x9e3779b1 & 0xffffffff
    return value


def check_commands(session, commands):
    for command, pattern in commands:
        text = session.ask(command)
        require(re.search(pattern, text), f"{command!r} said {text!r}")


def talk_often(session, match, rounds, commands, cpus):
    stop, beats, room = (int(match.group(i), 16) for i in (1, 2, 3))
    session.stop()
    session.ask("page 0")
    check_commands(session, commands)
    check_found(session, room)
    for n in range(cpus):
        text = session.ask(f"cpu {n:x}")
        require("rip " in text, f"CPU {n} said {text!r}")
        check_commands(session, [("step 2", r"(CPU %u: stepped\n.*\n){2}" % n), ("walk rip", "they agree")])
    session.go_on()
    for n in range(rounds):
        session.stop()
        check_commands(session, [commands[n % len(commands)], ("audit", "0 mismatches")])
        session.go_on()
    session.stop()
    check_stopped(session, beats, cpus)
    session.ask(f"write {room:x} \"it was written here\" 00")
    session.ask(f"write {stop:x} 01")
    session.go_on()


def check_found(session, room):
    text = session.ask(f"find {room - 0x20:x} 80 \"the monitor\"")
    require(f"{room:016x}\n1 found" in text, f"find said {text!r}")
    text = session.ask(f"mem {room:x} 16")
    require("|the monitor read|" in text and "|s this|" in text, f"mem said {text!r}")


def check_stopped(session, beats, cpus):
    """Who is stopped counts no more."""
    first = session.ask(f"mem {beats:x} 20")
    session.ask("regs")
    require(first == session.ask(f"mem {beats:x} 20") or cpus == 1, "a processor runs on")


def machine(cpus, umbra="monitor=ttyS1", options="", **more):
    return vm.Machine(kernel="build/guest/talker.bin", options=f"ram_mib=512 cpus={cpus} {options}", umbra=umbra, memory="512M", cpus=cpus, **more)


def in_qemu(name, cpus, rounds, efi=RELEASE, timeout=IMAGE_TIMEOUT):
    path = scratch("debug")
    result = converse(name, machine(cpus, efi=efi, debug=path), lambda session, match: talk_often(session, match, rounds, COMMANDS, cpus), timeout,
                      lambda: connect(path))
    require("a byte there stops the guest by an NMI" in result.text, "it is not armed by an NMI")
    judge_lines(result, "it was written here")
    require(result.exit == IMAGE_PASSED, f"QEMU ended with {result.exit}")


def test_session_with_the_monitor_loses_nothing():
    in_qemu("monitor-1", 1, ROUNDS)


def test_session_with_the_monitor_stops_two_processors():
    in_qemu("monitor-2", 2, ROUNDS, efi=DEBUG, timeout=2 * IMAGE_TIMEOUT)


@slow
def test_two_hundred_sessions_with_the_monitor_lose_nothing():
    in_qemu("monitor-1-long", 1, ROUNDS_LONG, timeout=4 * IMAGE_TIMEOUT)


@slow
def test_two_hundred_sessions_with_the_monitor_stop_two_processors():
    in_qemu("monitor-2-long", 2, ROUNDS_LONG, timeout=4 * IMAGE_TIMEOUT)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def reach(port):
    end = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def in_bochs(name, cpus):
    port = free_port()
    commands = [c for c in COMMANDS if c[0].split()[0] in ("regs", "walk", "audit", "step", "shadow", "trace", "msr")]
    result = converse(name, machine(cpus, emulator="bochs", debug=f"127.0.0.1:{port}"),
                      lambda session, match: talk_often(session, match, SLOW_ROUNDS, commands, cpus), BOCHS_TIMEOUT, lambda: reach(port),
                      until=rb"END: \d+ failures|SAID \d+ .*\n(?:.*\n)*END")
    require("a byte there stops the guest by the processor's timer" in result.text, "it is not armed by the timer")
    judge_lines(result, "it was written here")


def test_session_with_the_monitor_in_bochs_on_vmx():
    in_bochs("bochs-monitor-1", 1)


@slow
def test_session_with_the_monitor_stops_two_processors_in_bochs_on_vmx():
    in_bochs("bochs-monitor-2", 2)


# --- the guest's death -------------------------------------------------------------------

REPORT = (r"guest died: triple fault on CPU 0\n", r"--- CPU 0 is stopped\n", r"rip [0-9a-f]{16} ", r"idtr +base 0{16} limit 00000000\n", r"cr0 +[0-9a-f]{16} ",
          r"walk of [0-9a-f]{16} on CPU 0\n", r"triple fault +rip")


def judge_report(result, *more):
    text = result.text.replace("umbra: ", "")
    for pattern in REPORT + more:
        require(re.search(pattern, text), f"the report has no {pattern!r}")


def look_at_the_dead(session, match):
    require("triple fault" in session.wait(PROMPT), "the session does not say why")
    check_commands(session, [("page 0", ""), ("regs", r"idtr +base 0{16} limit 0{8}"), ("cont", "cannot go on"), ("step", "cannot be stepped"),
                             ("cpu 1", "rip "), ("trace", "triple fault")])
    session.wire.sendall(b"reset\r")


def test_dead_guest_can_be_looked_at():
    path = scratch("debug")
    result = converse("monitor-death", machine(2, umbra="monitor=ttyS1 death=monitor", options="lines=20 die=1", debug=path), look_at_the_dead,
                      IMAGE_TIMEOUT, lambda: connect(path))
    judge_report(result, r"--- CPU 1 is stopped\n")
    require("resetting the machine" not in result.text, "it was reset")


def test_dead_guest_is_told_of_and_stops():
    ended = rb"triple fault on CPU 0; it has stopped"
    result = boot("death-stop", machine(1, umbra="death=stop", options="lines=20 die=1"), timeout=IMAGE_TIMEOUT, until=ended)
    judge_report(result)
    require(re.search(ended, result.serial), "it did not stop")


def test_dead_guest_is_told_of_and_reset():
    result = boot("death-reboot", machine(1, umbra="death=reboot", options="lines=20 die=1"), timeout=IMAGE_TIMEOUT)
    judge_report(result)
    require(not result.timed_out, "it was not reset")


# --- a port that guest and monitor share ---------------------------------------------------

SHELL = rb"# (?:\x1b\[6n)?$"
ESCAPE = b"\x01"


def share(talker):
    """Linux's driver of the port goes by its interrupts: what is typed reaches the shell, but for what is the monitor's."""
    talker.wait(rb"umbra: monitor: at I/O port 0x3f8 with the guest; Ctrl-a c there stops it")
    talker.wait(SHELL)
    for n in range(5):
        text = talker.ask(f"echo before-$(({n} + 1))", SHELL)
        require(f"before-{n + 1}" in text, f"the shell said {text!r}")
        talker.wire.sendall(ESCAPE + b"c")
        talker.wait(rb"CPU \d: stopped\r?\n")
        talker.wait(rb"umbra> $")
        require("cr0 " in talker.ask_monitor("cr"), "the monitor does not answer")
        talker.wire.sendall(b"cont\r")
        talker.wait(rb"continued\r?\n")
    talker.wire.sendall(b"cat -v\n")
    talker.wait(rb"cat -v\r?\n")
    talker.wire.sendall(ESCAPE + ESCAPE + b"literal\n")
    talker.wait(rb"\^Aliteral\r?\n(?s:.*)\^Aliteral\r?\n")
    talker.wire.sendall(b"\x04")
    talker.wait(SHELL)
    talker.wire.sendall(b"poweroff -f\n")


def ask_monitor(talker, command):
    talker.wire.sendall(command.encode() + b"\r")
    return talker.wait(rb"umbra> $")


def test_monitor_shares_the_console_with_linux():
    def conversation(talker):
        talker.ask_monitor = lambda command: ask_monitor(talker, command)
        share(talker)

    result = talk("monitor-shared", debian(umbra="monitor=shared"), conversation, BOOT_TIMEOUT)
    require(not result.timed_out, "the guest did not end")
