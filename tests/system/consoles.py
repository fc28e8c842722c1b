# SPDX-License-Identifier: BSD-2-Clause
"""Where the hypervisor's log goes: the serial port that the option, the ACPI tables or a PCI card give, the screen until the
guest takes it, and a ring that the guest reads. A machine without serial port or screen boots all the same."""
import os
import re
import struct
import threading

import screentext
import tables
import vm
from common import IMAGE_PASSED, IMAGE_TIMEOUT, LOGS, boot, debian, log_path, require, run_command, scratch
from monitor import Monitor, wait_for

IMAGE = "build/guest/cpu.bin"
STARTED = rb"starting the guest"
CORE = "umbra: Umbra hypervisor"


def image(**settings):
    return vm.Machine(kernel=IMAGE, options="ram_mib=512", memory="512M", **settings)


def spcr(port, kind=0):
    """An SPCR for a 16550 at an I/O port."""
    body = struct.pack("<B3xBBBBQ", kind, 1, 8, 0, 1, port).ljust(44, b"\0")
    table = bytearray(struct.pack("<4sIBB6s8sI4sI", b"SPCR", 80, 2, 0, b"UMBRA ", b"SERIAL  ", 1, b"TEST", 1) + body)
    table[9] = -sum(table) & 0xff
    return bytes(table)


def check_com2(name, machine, source):
    """The core's words are on COM2 and not on COM1; the loader says why."""
    result = run_command(name, machine)
    require(f"umbra: serial log: at I/O port 0x2f8 ({source})" in result.text, "the loader does not say where the log goes")
    second = result.serial2.decode(errors="replace")
    require(CORE in second and "umbra: starting the guest" in second, "the log is not on COM2")
    require(CORE not in result.text, "the log is on COM1")


def test_serial_option_names_the_port_of_the_log():
    check_com2("serial-option", debian(umbra="serial=ttyS1", command="true"), "option")


def test_spcr_of_the_key_acpi_names_the_port_of_the_log():
    check_com2("serial-spcr-key", debian(acpi=[tables.write("spcr.aml", spcr(0x2f8))], command="true"), "SPCR")


def test_spcr_of_the_firmware_names_the_port_of_the_log():
    path = tables.write("spcr-body", spcr(0x2f8)[36:])
    extra = ["-acpitable", f"sig=SPCR,rev=2,oem_id=UMBRA,oem_table_id=SERIAL,data={path}"]
    result = run_command("serial-spcr", debian(extra=extra, command="true"))
    second = result.serial2.decode(errors="replace")
    require("umbra: boot loader" in second and CORE in second, "the log is not on COM2 from the first line on")
    require(CORE not in result.text, "the log is on COM1")


def test_spcr_that_names_memory_is_not_believed():
    """RAM is never taken for a UART's registers."""
    table = bytearray(spcr(0x100000))
    table[40] = 0
    table[9] = 0
    table[9] = -sum(table) & 0xff
    result = run_command("serial-spcr-ram", debian(acpi=[tables.write("spcr-ram.aml", table)], command="true"))
    require(CORE in result.text, "the log is not on COM1")


def test_pci_serial_card_has_the_log():
    card = f"{LOGS}/serial-pci-card.log"
    extra = ["-chardev", f"file,id=card,path={card}", "-device", "pci-serial,chardev=card,addr=1d.0"]
    for where in ("pci", "pci:00:1d.0"):
        result = run_command("serial-pci", debian(extra=extra, umbra=f"serial={where}", command="true"))
        require(re.search(r"serial log: at I/O port 0x\w+ \(PCI 00:1d\.0\)", result.text), "the loader does not say where the log goes")
        text = vm.read_file(card).decode(errors="replace")
        require(text.count(CORE) == 1 and "umbra: starting the guest" in text, "the log is not on the card")
        require(text.count("umbra: leaving the firmware") == 1, "what the firmware's console shows is not there once")
        require(CORE not in result.text, "the log is on COM1")


def test_serial_option_that_names_no_uart_is_told():
    for where, said in (("0x5f0", "none: at 0x5f0 no UART answers"), ("pci:00:00.0", "none: that PCI device is no UART that Umbra knows"),
                        ("pci", "none: there is no PCI serial card"), ("mmio32:0xfeb80000", "none: at 0xfeb80000 no UART answers"),
                        ("mmio32:0x1000000", "none: at 0x1000000 no UART answers"), ("none", "none (option)")):
        result = boot("serial-none", image(umbra=f"serial={where}"), timeout=IMAGE_TIMEOUT)
        require(f"umbra: serial log: {said}" in result.text, f"serial={where} is not told")
        require(result.exit == IMAGE_PASSED, f"the guest ended with {result.exit}")
        require(CORE not in result.text, "the core has a log")


def test_machine_without_serial_ports_runs_a_guest():
    result = boot("no-serial", image(serials=False), timeout=IMAGE_TIMEOUT)
    require(result.exit == IMAGE_PASSED, f"the guest ended with {result.exit}")


def test_machine_without_screen_boots_linux():
    result = run_command("no-screen", debian(extra=["-vga", "none"], command="umbractl stats; ls /dev/fb0 || true"))
    require(b"walks" in result.output and CORE in result.text, "it did not boot")


def test_machine_without_serial_ports_and_screen_runs_a_guest():
    result = boot("no-console", image(serials=False, extra=["-vga", "none"]), timeout=IMAGE_TIMEOUT)
    require(result.exit == IMAGE_PASSED, f"the guest ended with {result.exit}")


# --- the screen ------------------------------------------------------------------------------

def text_on(path):
    """The lines that the hypervisor has written on a screen (a PPM file), and the colour of the first cell."""
    return "\n".join(screentext.read(path)), screentext.read_ppm(path)[2][:3]


def photograph(name, machine, after, timeout=IMAGE_TIMEOUT):
    """Boots until the log has the words, takes a picture, which is kept beside the log, and ends the machine."""
    path, picture = scratch("qmp"), os.path.abspath(f"{LOGS}/{name}.ppm")
    for old in (path, picture):
        if os.path.exists(old):
            os.unlink(old)
    vm.write_text(log_path(name), "")

    def take():
        if wait_for(log_path(name), after, timeout):
            monitor = Monitor(path)
            monitor.human(f"screendump {picture}")
            monitor.human("quit")

    helper = threading.Thread(target=take, daemon=True)
    helper.start()
    machine.extra = machine.extra + ["-qmp", f"unix:{path},server=on,wait=off"]
    boot(name, machine, timeout=timeout, until=b"no such words")
    require(os.path.exists(picture), "there is no picture: the words did not come")
    return text_on(picture)


def test_screen_shows_the_log_until_the_guest_draws():
    text, back = photograph("screen-log", image(), STARTED)
    require("umbra: Umbra hypervisor" in text and "umbra: starting the guest" in text, f"the screen shows {text[:200]!r}")
    require(back == b"\0\0\0", "it looks like a panic")


def test_screen_shows_why_a_guest_was_stopped():
    machine = vm.Machine(kernel="build/guest/legacy/taskswitch1.elf", multiboot=True, memory="256M")
    text, back = photograph("screen-stop", machine, rb"the guest has stopped")
    require("umbra: guest stopped: the processor holds" in text and "the guest has stopped" in text, f"the screen shows {text[:200]!r}")
    require("umbra: starting the guest" not in text and back == b"\x40\0\0", "the log before it is still there")


# --- the guest's view of the log ----------------------------------------------------------------

SLEEP_AND_READ = """
umbractl log >/tmp/before
echo mem >/sys/power/state
umbractl log >/tmp/after
cat /tmp/before
echo ==
tail -n +$(($(wc -l </tmp/before) + 1)) /tmp/after
"""


def test_guest_reads_what_the_hypervisor_has_said():
    result = run_command("log-ring", debian(command=SLEEP_AND_READ))
    before, _, new = result.output.decode().partition("==\n")
    lines = before.splitlines()
    require(lines[0].startswith(CORE) and "umbra: starting the guest at" in before, f"the log begins with {lines[:2]}")
    require(all(line.startswith("umbra: ") for line in lines), "there is something else in it")
    require("guest asked for S3: refused" in new, f"what came while the guest ran is {new!r}")
    require("guest asked for S3" not in before, "it was there before it came")


# --- a start on what another start has left -------------------------------------------------------

def test_machine_starts_again_after_a_warm_reset():
    """With a USB keyboard, whose driver in the firmware is gone when the firmware is left."""
    machine = debian(command="reboot -f", extra=["-action", "reboot=reset", "-device", "qemu-xhci", "-device", "usb-kbd"])
    result = boot("warm-reset", machine, until=rb"(?s)(starting the guest.*Linux version.*reboot: machine restart.*){2}umbra: boot loader")
    require(result.text.count(CORE) >= 2 and not result.timed_out, "it did not start twice")
    require("PANIC" not in result.text, "it panicked")
