# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Bochs as the machine of tools/vm.py: its configuration, its process, its end.
Its firmware has no ACPI tables: without those of tools/acpi.py a guest that powers off only halts, and whoever watches
the console ends it."""
import functools
import os
import pty
import re
import subprocess
import threading
import tty

MODELS = ("corei7_skylake_x", "core2_penryn_t9600", "corei5_arrandale_m520", "corei7_sandy_bridge_2600k",
          "corei7_haswell_4770", "corei7_icelake_u", "tigerlake")
DEFAULT_MODEL = MODELS[0]
DEFAULT_MEMORY = "512M"
DEFAULT_IPS = 50000000  # instructions in a second of the guest's
VGABIOS = "/usr/share/vgabios/vgabios.bin"
CPUS_MAX = 8  # more than that the firmware does not come up with in a time worth waiting for
MEMORY_MAX = 2048  # MiB; with more it ends without a word
# The console's last words where there is no ACPI: the guest has powered off. The second are Linux 6.12's.
HALTED = rb"reboot: (?:Power off not available: )?System halted"
POWERED_DOWN = rb"reboot: Power down|" + HALTED
# What Bochs says when it cannot go on; it is set to report it only, as the debugger would wait else.
PANIC = re.compile(r">>PANIC<< (.*)")
SCREEN = re.compile(rb'Bochs connected to screen "([^"]+)"')
POWER_OFF = "ACPI control: soft power off"  # that is a panic too

CONFIGURATION = """\
display_library: term
romimage: file={firmware}
vgaromimage: file={vgabios}
vga: extension=vbe, update_freq=5
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0
memory: guest={memory}, host={memory}
pci: enabled=1, chipset=i440fx, slot1=pcivga
ata0-master: type=disk, path="{disk}", mode=flat
boot: disk
com1: enabled=1, {com1}
com2: enabled=1, {com2}
log: {work}/bochs.log
panic: action=report
error: action=ignore
info: action=ignore
debug: action=ignore
clock: sync=none
speaker: enabled=0, mode=none
sound: driver=dummy
"""


def mebibytes(text):
    """512, 256M or 1G in MiB."""
    match = re.fullmatch(r"(\d+)([MG]?)", text)
    if not match:
        raise ValueError(f"not a size of memory: {text}")
    return int(match.group(1)) << (10 if match.group(2) == "G" else 0)


def help_text(*about):
    text = subprocess.run(["bochs", "--help", *about], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    return text.decode(errors="replace")


def known_models():
    """The CPU models that this Bochs knows."""
    return re.findall(r"^(\w+)$", help_text("cpu"), re.M)


@functools.cache
def debugger_options():
    """What has the debugger's loop run the processors, as it always does in Bochs 2.7. Since 3.0 it has to be asked for, and the
    other loop is wrong with several of them: an exit right behind an exception has the address before it (docs/hardware.md)."""
    return ["-debugger"] if re.search(r"^ *-debugger\b", help_text(), re.M) else []


class Process:
    """A running Bochs. poll, wait, kill and returncode are like subprocess.Popen's."""

    def __init__(self, work, model, memory, firmware, disk, com1, com2, ips=DEFAULT_IPS, cpus=1):
        """work: a directory of this run's own; com1 and com2 as Bochs's configuration has them."""
        self.log = work + "/bochs.log"
        with open(work + "/bochsrc", "w") as file:
            file.write(CONFIGURATION.format(firmware=firmware, vgabios=VGABIOS, model=model, memory=mebibytes(memory), disk=disk,
                                            com1=com1, com2=com2, work=work, ips=ips, cpus=cpus))
        with open(work + "/commands", "w") as file:
            file.write("c\n")  # Debian's Bochs is built with its debugger: continue
        # The display wants a terminal; nobody looks at it. As its controlling terminal it also ends
        # Bochs when we are killed.
        screen, terminal = pty.openpty()
        options = debugger_options() if cpus > 1 else []
        self.child = subprocess.Popen(["setsid", "--ctty", "bochs", "-q", "-f", work + "/bochsrc", *options, "-rc", work + "/commands"],
                                      stdin=terminal, stdout=terminal, stderr=terminal,
                                      env={**os.environ, "TERM": "xterm"})
        os.close(terminal)
        threading.Thread(target=drain, args=(screen,), daemon=True).start()

    def last_word(self):
        """The line of its log that Bochs ended with, or None."""
        try:
            with open(self.log, errors="replace") as file:
                found = PANIC.search(file.read())
        except FileNotFoundError:
            return None
        return found.group(1) if found else None

    def panic(self):
        """What Bochs gave up with, or None."""
        word = self.last_word()
        return None if word == POWER_OFF else word

    @property
    def returncode(self):
        """0 when the guest has switched the machine off."""
        ended = self.child.returncode
        return 0 if ended is not None and self.last_word() == POWER_OFF else ended

    def poll(self):
        """A Bochs that has panicked counts as ended."""
        if self.child.poll() is None and self.last_word():
            self.kill()
            self.wait()
        return self.returncode

    def wait(self):
        return self.child.wait()

    def kill(self):
        self.child.kill()


def chunks(terminal):
    try:
        while data := os.read(terminal, 65536):
            yield data
    except OSError:  # the other side is gone
        pass
    os.close(terminal)


def drain(terminal):
    """Reads what nobody looks at, or Bochs would wait for a reader. With the debugger it has the guest's screen on a terminal of its
    own, which it names at the beginning."""
    said = b""
    for data in chunks(terminal):
        if said is None:
            continue
        said += data
        found = SCREEN.search(said)
        if found:
            said = None
            threading.Thread(target=drain_screen, args=(found.group(1),), daemon=True).start()


def drain_screen(path):
    screen = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(screen)
    for _ in chunks(screen):
        pass
