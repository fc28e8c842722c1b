# SPDX-License-Identifier: BSD-2-Clause
"""Dumps of a stopped guest (tools/umbra-dump) over a line that changes bytes and loses some, read by Debian's gdb; and names from the
file of the boot entry's key `symbols`."""
import base64
import contextlib
import gzip
import importlib.machinery
import importlib.util
import os
import random
import re
import socket
import struct
import subprocess
import threading

import acpi
import vm
from common import BOCHS_TIMEOUT, BOOT_TIMEOUT, IMAGE_PASSED, IMAGE_TIMEOUT, boot, debian, log_path, remembered, require, run_command, scratch, slow
from gdb_session import require_said
from monitor import connect
from sessions import PROMPT, SHELL, Session, check_commands, converse, free_port, judge_lines, machine, reach
from talking import talk

TALKER = "build/guest/talker"


FRAMED = 30000  # so many bytes at least are frames, before the last one


class NoisyLine:
    """A socket for umbra-dump; of what the monitor sends one byte of so many is changed, and one lost."""

    def __init__(self, wire, one_of):
        self.path, self.wire, self.random, self.one_of = scratch("line"), connect(wire), random.Random(7), one_of
        self.damaged = self.framed = self.before = 0
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            near, _ = self.server.accept()
            threading.Thread(target=self.copy, args=(near, self.wire, lambda data: data), daemon=True).start()
            self.copy(self.wire, near, self.damage)

    @staticmethod
    def copy(source, sink, change):
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(change(data))
            sink.shutdown(socket.SHUT_RDWR)
            sink.close()

    def damage(self, data):
        """Frames alone, from the first one's mark on: what the monitor says as text is no one's to check."""
        out = bytearray()
        for byte in data:
            self.framed += bool(self.framed) or (self.before, byte) == (0xd5, 0x4d)
            self.before = byte
            chance = self.random.randrange(self.one_of) if 0 < self.framed < FRAMED else 2
            self.damaged += chance < 2
            if chance:  # else it is lost
                out.append(byte ^ 0x10 if chance == 1 else byte)
        return bytes(out)


def dump(port, *options):
    """The core that umbra-dump makes, and what it says."""
    core = scratch("core")
    result = subprocess.run(["tools/umbra-dump", *options, port, core], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=IMAGE_TIMEOUT, check=False)
    said = result.stdout.decode(errors="replace")
    require(result.returncode == 0, f"umbra-dump's status is {result.returncode}: {said[-300:]!r}")
    return core, said


def gdb(core, commands, symbols=()):
    words = [word for command in commands for word in ("-ex", command)]
    result = subprocess.run(["gdb", "-nx", "-q", "-batch", "-ex", "set pagination off", "-ex", "set width 0", *symbols, "-ex", f"core-file {core}", *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=IMAGE_TIMEOUT, check=False)
    return result.stdout.decode(errors="replace")


def leave(session):
    """Lets another one have the socket; the guest stays as it is."""
    session.wire.shutdown(socket.SHUT_RDWR)
    session.wire.close()


def registers_of(text):
    return {name: int(value, 16) for name, value in re.findall(r"\b(r[a-z0-9]{1,2}|rip|rsp) +([0-9a-f]{16})", text)}


# What gdb must say of the dumped talker, in this order.
DUMPED = [
    ("info threads", r"^\* 1 +LWP 1|^\* 1 "), ("print $rip == 0x{rip:x}", r"^\$1 = 1$"), ("print $rsp == 0x{rsp:x}", r"^\$2 = 1$"),
    ("print $r13 == 0x{r13:x}", r"^\$3 = 1$"), ("x/s room", r'"the monitor reads this"'), ("x/s 0x0100000000000000 + (long)room", r'"the monitor reads this"'),
    ("print/x *(unsigned long *)0x8000001000", r"Cannot access memory"), ("backtrace 1", r"^#0 "),
]


def hidden_of(text):
    return [(int(first, 16), int(last, 16)) for first, last in re.findall(r"([0-9a-f]{16}) - ([0-9a-f]{16}) hidden", text)]


def segments_of(core):
    """(physical address, bytes) of what the core has."""
    with open(core, "rb") as file:
        data = file.read(64 + 56 * 65536)
    entries = [struct.unpack_from("<IIQQQQQQ", data, 64 + 56 * i) for i in range(struct.unpack_from("<H", data, 56)[0])]
    return [(entry[4], entry[6]) for entry in entries if entry[0] == 1]


def check_hidden(path, hidden):
    """The page where other processors start, the hypervisor's, is not in a dump of the first MiB."""
    core, _ = dump(path, "--range", "0", "0x100000")
    segments = segments_of(core)
    require(any(last < 0xa0000 for _, last in hidden) and (0, hidden[0][0]) in segments, f"hidden is {hidden}, and segments are {segments}")
    for first, last in hidden:
        require(all(base > last or base + count <= first for base, count in segments), f"{first:x} is in the dump: {segments}")


def dump_and_compare(session, path):
    session.stop()
    session.ask("page 0")
    check_commands(session, [("symbols", r"symbols: \d+, at the file's addresses"), ("symbols run_tests+5", r"  run_tests\+0x5"),
                             ("mem room 10", r"\|the monitor read\|"), ("symbols nobody", "no number: nobody"), ("regs", r"  at [a-z_]+\+0x"),
                             ("step", r"  at [a-z_]+\+0x"),
                             ("dis talk 4", r"talk\+0x0:\n(0{9}4[0-9a-f]{6}  [0-9a-f ]{20}[ +] \S.*\n){4}"), ("walk rip", r"walk of [0-9a-f]{16} on CPU 0: [a-z_]+\+0x"),
                             ("bt", r"#0  [0-9a-f]{16}  [a-z_]+\+0x.*\n(.*\n)*.*  (talk|run|smp_run|run_tests)\+0x")])
    values, hidden = registers_of(session.ask("regs")), hidden_of(session.ask("map"))
    leave(session)
    line = NoisyLine(path, 8000)
    core, said = dump(line.path, "--range", "0x4000000", "0x800000")  # QEMU's port has a system call for each byte: all of it takes minutes
    require(line.damaged and re.search(r" [1-9]\d* frames again", said), f"{line.damaged} bytes were damaged, and it says {said[-200:]!r}")
    text = gdb(core, [command.format(**values) for command, _ in DUMPED], [TALKER + ".elf"])
    require_said(text, [pattern for _, pattern in DUMPED])
    require(os.path.getsize(core) < 9 << 20, "the core has more than the range")
    require(re.search(r"^  2 ", text, re.M), f"gdb has not the second processor: {text[:300]!r}")
    check_hidden(path, hidden)


def test_dump_over_a_line_that_changes_bytes_is_whole():
    path = scratch("debug")

    def conversation(session, match):
        dump_and_compare(session, path)
        again = Session(connect(path), IMAGE_TIMEOUT)
        again.wire.sendall(b"\r")
        again.wait(PROMPT)
        again.ask(f"write {int(match.group(1), 16):x} 01")
        again.go_on()

    result = converse("dump", machine(2, symbols=TALKER + ".elf", debug=path), conversation, 2 * IMAGE_TIMEOUT, lambda: connect(path))
    require(re.search(r"umbra: symbols: \d+ of /symbols\n", result.text), "the log does not tell of the symbols")
    judge_lines(result, "the monitor reads this")
    require(result.exit == IMAGE_PASSED, f"QEMU ended with {result.exit}")


class Exchange:
    """A socket for one client after the other at a line of which the emulator lets nobody go."""

    def __init__(self, wire):
        self.path, self.wire, self.near = scratch("exchange"), wire, None
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen()
        threading.Thread(target=self.accept, daemon=True).start()
        threading.Thread(target=self.copy, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.server.accept()
            self.near = near
            with contextlib.suppress(OSError):
                while data := near.recv(4096):
                    self.wire.sendall(data)

    def copy(self):
        with contextlib.suppress(OSError):
            while data := self.wire.recv(4096):
                with contextlib.suppress(OSError, AttributeError):  # nobody is there
                    self.near.sendall(data)


def look_dump_and_end(session, match, path):
    session.stop()
    session.ask("page 0")
    stop, room = int(match.group(1), 16), int(match.group(3), 16)
    check_commands(session, [("regs", r"  at [a-z_]+\+0x"), ("dis talk 4", r"talk\+0x0:\n(0{9}4[0-9a-f]{6}  [0-9a-f ]{20}[ +] \S.*\n){4}"), ("walk rip", "they agree"),
                             ("bt", r"#0  [0-9a-f]{16}  [a-z_]+\+0x.*\n(.*\n)*.*  (talk|run|smp_run|run_tests)\+0x")])
    leave(session)
    core, _ = dump(path, "--range", f"{room & ~0xfff:#x}", "0x2000")
    require_said(gdb(core, ["x/s room"], [TALKER + ".elf"]), ['"the monitor reads this"'])
    session = Session(connect(path), BOCHS_TIMEOUT)
    session.stop()
    session.ask(f"write {stop:x} 01")
    session.go_on()


def test_names_a_dump_and_a_panic_in_bochs_on_vmx():
    port, exchanges = free_port(), []

    def reach_exchange():
        exchanges.append(Exchange(reach(port)))
        return connect(exchanges[0].path)

    guest = machine(1, "monitor=ttyS1 panic=watch", "panic=1", emulator="bochs", symbols=TALKER + ".elf", debug=f"127.0.0.1:{port}")
    result = converse("bochs-dump", guest, lambda session, match: look_dump_and_end(session, match, exchanges[0].path), BOCHS_TIMEOUT, reach_exchange,
                      until=rb"the guest has stopped; reset the machine|END: \d+ failures")
    for pattern in (r"guest died: the guest's kernel has panicked on CPU 0\n", r"rip [0-9a-f]{16} .*  at \w+\+0x", r"guest stopped: the guest's kernel has panicked"):
        require(re.search(pattern, result.text), f"the report has no {pattern!r}")


# --- Linux: a map from /proc/kallsyms, a kernel that moves, and its panic -------------------------

@remembered
def kallsyms(kind):
    """What a first start of the kernel says of itself."""
    result = run_command("kallsyms-" + kind, debian(kind, umbra="bare", command="gzip -c /proc/kallsyms | base64"))
    return gzip.decompress(base64.b64decode(result.output))


def map_file(kind="cloud"):
    with open(scratch("kallsyms"), "wb") as file:
        file.write(kallsyms(kind))
    return scratch("kallsyms")


def session_with_linux(talker, path):
    talker.wait(SHELL)
    session = Session(connect(path), talker.seconds)
    said = session.stop()
    session.ask("page 0")
    return session, said


def name_and_panic(talker, path):
    session, said = session_with_linux(talker, path)
    require(re.search(r"symbols: \d+, 0x[0-9a-f]+ (above|below) the file's addresses \(KASLR\)", said), f"the session began with {said!r}")
    check_commands(session, [("dis entry_SYSCALL_64 3", r"entry_SYSCALL_64\+0x0:\n(.*\n)*.*swapgs\n.*mov    qword gs:\[0x"), ("mem linux_banner 10", r"\|Linux version "), ("symbols entry_SYSCALL_64", r"  entry_SYSCALL_64\+0x0"),
                             ("symbols cpu_number", r"^[^\n]*\n0000000000[0-9a-f]{6}\n"), ("regs", r"  at \w+\+0x"),
                             ("bt", r"#0 .*\n(.*\n)*\?.*  (do_idle|cpu_startup_entry|rest_init|start_secondary|secondary_startup\w*)\+0x")])
    session.go_on()
    vm.write_text(log_path(talker.name + "-monitor"), session.said.decode(errors="replace"))
    talker.wire.sendall(b"echo c > /proc/sysrq-trigger\n")
    talker.wait(rb"the guest has stopped; reset the machine")
    talker.monitor("quit")


def test_names_of_a_kernel_that_moves_and_its_panic():
    path, tables = scratch("debug"), [acpi.compile_table("tools/acpi/pvpanic.asl", "pvpanic", scratch("acpi"))]
    result = talk("panic", debian(umbra="monitor=ttyS1 panic=watch", cpus=2, symbols=map_file(), acpi=tables, debug=path),
                  lambda talker: name_and_panic(talker, path), 2 * BOOT_TIMEOUT)
    text = result.text.replace("umbra: ", "")
    for pattern in (r"guest died: the guest's kernel has panicked on CPU \d\n", r"--- CPU 0 is stopped\n", r"--- CPU 1 is stopped\n",
                    r"gdtr +base [0-9a-f]{16} limit", r"idtr +base [0-9a-f]{16} limit 00000fff\n", r"walk of [0-9a-f]{16} on CPU \d: pvpanic\w+\+0x|rip [0-9a-f]{16} ",
                    r"last branch from", r"exits, the last 16:", r"guest stopped: the guest's kernel has panicked"):
        require(re.search(pattern, text), f"the report has no {pattern!r}")


def name_i386(talker, path):
    session, said = session_with_linux(talker, path)
    require(re.search(r"symbols: \d+, (at|0x[0-9a-f]+ (above|below)) the file's addresses", said), f"the session began with {said!r}")
    check_commands(session, [("dis asm_exc_page_fault 3", r"asm_exc_page_fault\+0x0:\n(0{8}[0-9a-f]{8}  .*\n){3}"), ("mem asm_exc_page_fault 10", r"\|"),
                             ("regs", r"32-bit .*  at \w+\+0x"), ("bt", r"#0  0{8}[0-9a-f]{8}  \w+\+0x.*\n(.*\n)*.*  (do_idle|cpu_startup_entry|rest_init|start_\w+)\+0x")])
    leave(session)
    core, said = dump(path, "--continue", "--range", "0", "0x1000000")
    require_said(gdb(core, ["info threads", "print/x $rip >> 31"]), [r"^\* 1 ", r"^\$1 = 0x1$"])
    talker.wire.sendall(b"poweroff -f\n")


@slow
def test_names_of_an_i386_kernel():
    path = scratch("debug")
    result = talk("names-i386", debian("686-pae", umbra="monitor=ttyS1", symbols=map_file("686-pae"), debug=path), lambda talker: name_i386(talker, path), 2 * BOOT_TIMEOUT)
    require(result.exit == 0, f"QEMU ended with {result.exit}")


def dump_linux(talker, path, said):
    session, _ = session_with_linux(talker, path)
    banner = session.ask("symbols linux_banner")
    leave(session)
    core, words = dump(path, "--continue")
    said += [words, gdb(core, ["info threads", f"x/s 0x{re.search(r'^([0-9a-f]{16})', banner, re.M).group(1)}", "print $rip > 0xffff800000000000"])]
    with open(core, "rb") as file:
        said.append(str(b"OSRELEASE=6." in file.read(1 << 20)))
    talker.wire.sendall(b"poweroff -f\n")


@slow
def test_dump_of_linux_is_read_by_gdb():
    path, said = scratch("debug"), []
    result = talk("dump-linux", debian(umbra="monitor=ttyS1", cpus=2, memory="512M", symbols=map_file(), debug=path),
                  lambda talker: dump_linux(talker, path, said), 4 * BOOT_TIMEOUT)
    require(len(said) == 3 and " with VMCOREINFO" in said[0] and " 2 CPUs" in said[0] and said[2] == "True", f"umbra-dump said {said}")
    require_said(said[1], [r"^\* 1 ", r"^  2 ", r'"Linux version 6\.', r"^\$1 = 1$"])
    require(result.exit == 0, f"QEMU ended with {result.exit}")


def test_symbols_that_are_none_are_refused():
    """In one line, and the firmware is there again."""
    for name, data, line in (("none", b"<html>\n", r"error: symbols /symbols: line 1: no address in hexadecimal digits begins the line; take a System.map"),
                             ("hidden", b"0000000000000000 T _text\n", "error: symbols /symbols: all addresses in it are 0: read /proc/kallsyms as root; take a ")):
        with open(scratch(name), "wb") as file:
            file.write(data)
        text = boot("symbols-" + name, machine(1, symbols=scratch(name)), until=rb"umbra: error:[^\n]*\n").text
        require(re.search(line, text), f"it says {text[-300:]!r}")


# --- the core's writer, without a machine ---------------------------------------------------------

def load_tool():
    loader = importlib.machinery.SourceFileLoader("umbra_dump", "tools/umbra-dump")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("umbra_dump", loader))
    loader.exec_module(module)
    return module


def page_of(words, text=b""):
    page = bytearray(text.ljust(4096, b"\0"))
    for index, word in words.items():
        struct.pack_into("<Q", page, 8 * index, word)
    return bytes(page)


def linux_like(tool):
    """Page tables of a kernel (0x2000) and of its user (0x3000), where Linux isolates them, and a VMCOREINFO note."""
    info = b"OSRELEASE=6.1\nX=1\n"
    pages = {0x2000: page_of({256: 0x7003, 508: 0x4003, 511: 0x5003}), 0x3000: page_of({508: 0x4003}), 0x4000: page_of({0: 1 << 30 | 0x83}),
             0x5000: page_of({510: 0x6003}), 0x6000: page_of({8: 0x200083, 9: 0x400083}), 0x7000: page_of({0: 0x83}),
             0x8000: bytes(range(1, 256, 2)) * 32, 0x9000: page_of({511: 0x5003}), 0x201000: page_of({}, b"in the kernel"),
             0xa000: page_of({}, struct.pack("<III", 11, len(info), 0) + b"VMCOREINFO\0\0" + info)}
    return tool.Memory([(0, 0xa0000), (0x100000, 0x3f00000)], pages)


def test_core_has_what_page_tables_map_and_all_processors():
    tool = load_tool()
    memory, core = linux_like(tool), scratch("core")
    segment = {name: tool.Segment(0, 0, 0, 0) for name in tool.SEGMENTS}

    def cpu(number, cr3):
        reg = {**dict.fromkeys(tool.REGISTERS, 0), "cr0": 0x80000011, "cr3": cr3, "efer": 0x500, "rip": 0xffffffff81001000 + number, "rbx": 7}
        return tool.Cpu(number, True, 64, 0, reg, segment)

    kernel = tool.virtual_loads(memory, [cpu(0, 0x2000)])
    require([(load.virtual, load.physical) for load in kernel] ==
            [(0xffff800000000000, 0), (0xffff800000100000, 0x100000), (0xffffffff81000000, 0x200000)], f"it maps {kernel}")
    require(tool.virtual_loads(memory, [cpu(0, 0x3000)]) == kernel, "of a user's tables the kernel's are not found")
    require(len(tool.virtual_loads(memory, [cpu(0, 0x9000)])) == 1, "what is before a kernel's tables is taken for them")
    memory.pages[0xb000] = page_of({i: 0xb003 for i in range(512)})
    tool.MAPPED_MAX = 5000
    require(len(tool.virtual_loads(memory, [cpu(0, 0xb000)])) < 5600, "tables that name themselves are not left")
    require(tool.write_core(core, memory, [cpu(0, 0x2000), cpu(1, 0x2000)]) == (3, True), "ranges or VMCOREINFO are missing")
    text = gdb(core, ["info threads", "print/x $rip", "print $rbx", "x/s 0xffffffff81001000", "x/s 0x0100000000201000"])
    require_said(text, [r"^\* 1 ", r"^  2 ", r"^\$1 = 0xffffffff81001000$", r"^\$2 = 7$", r'"in the kernel"', r'"in the kernel"'])
