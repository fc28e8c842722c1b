# SPDX-License-Identifier: BSD-2-Clause
"""The boot entry's key `acpi`: tables of files are what Linux finds, in the firmware's place where they are newer, bare and
under Umbra; those of tools/acpi/ make Bochs a machine with several processors that can be switched off."""
import re
import struct

import acpi
from common import BOCHS_TIMEOUT, debian, remembered, require, run_command, scratch, slow, together
from inspection import new_warnings

OEM_REVISION = 24
SHOW = """
cd /sys/firmware/acpi/tables
for t in SSDT* DSDT FACP HPET; do echo "$t $(od -An -tu4 -j24 -N4 $t)"; done
echo "cpus $(nproc)"
ls /sys/bus/acpi/devices
dmesg | grep -E 'ACPI.*(Error|Warning|BIOS)' || true
"""
SSDT = """
DefinitionBlock ("", "SSDT", 2, "UMBRA ", "TEST    ", 7)
{
	Device (\\_SB.UMBT)
	{
		Name (_HID, "UMBR0001")
	}
}
"""


def newer(table):
    """The same table with a higher OEM revision; the pointers of a FADT are of no use in a file."""
    changed = bytearray(table)
    changed[OEM_REVISION:OEM_REVISION + 4] = struct.pack("<I", struct.unpack_from("<I", table, OEM_REVISION)[0] + 0x100)
    if table[:4] == b"FACP":
        changed[36:44] = b"\xee" * 8
        changed[132:148] = b"\xee" * 16
    changed[9] = 0
    changed[9] = -sum(changed) & 0xff
    return bytes(changed)


def write(name, data):
    with open(scratch(name), "wb") as file:
        file.write(data)
    return scratch(name)


def ssdt():
    return acpi.compile_table(write("ssdt.asl", SSDT.encode()), "test-ssdt", scratch("acpi"))


def tables_of_qemu(names):
    """The firmware's tables, from a bare boot."""
    command = "cd /sys/firmware/acpi/tables; for t in " + " ".join(names) + "; do echo $t $(od -An -v -tx1 $t); done"
    text = run_command("acpi-firmware", debian(umbra="bare", command=command)).output.decode()
    found = {line.split()[0]: bytes.fromhex("".join(line.split()[1:])) for line in text.splitlines()}
    require(set(found) == set(names), f"the firmware has only {' '.join(found)}")
    return found


def check_tables(name, files, umbra):
    result = run_command(name, debian(umbra=umbra, command=SHOW, cpus=2, acpi=files))
    text = result.output.decode()
    shown = dict(re.findall(r"^(\w+)\s+(\d+)$", text, re.M))
    require("7" in [value for key, value in shown.items() if key.startswith("SSDT")], f"the new SSDT is not there: {text}")
    require("UMBR0001:00" in text, "the device of the new SSDT is not there")
    for table in ("DSDT", "FACP", "HPET"):
        require(int(shown.get(table, 0)) == 0x101, f"{table} has OEM revision {shown.get(table)}: {text}")
    require(shown["cpus"] == "2", f"Linux uses {shown['cpus']} processors")
    require("PNP0A0" in text, "the devices of the new DSDT are not there")
    require(not re.search(r"ACPI.*(Error|Warning)", text), f"Linux is not content: {text}")
    require("umbra: acpi: SSDT-UMBRA-TEST of /acpi/0.aml added" in result.text, "the log does not name the new SSDT")
    require(re.search("umbra: acpi: FACP-.* replaces the firmware's", result.text), "the log does not name the new FADT")
    require("reboot: Power down" in result.text, "the machine is not switched off by ACPI")


def test_acpi_tables_of_files_are_added_and_replace_older_ones():
    firmware = tables_of_qemu(["DSDT", "FACP", "HPET"])
    files = [ssdt()] + [write(name + ".aml", newer(table)) for name, table in firmware.items()]
    check_tables("acpi-bare", files, "bare")
    check_tables("acpi-umbra", files, "")


BOCHS = """
echo "cpus $(nproc)"
cat /proc/interrupts
dmesg -r | grep -E '^<[0-4]>|WARNING|BUG|Oops|Call Trace|general protection|invalid opcode'
"""


@remembered
def boot_bochs(umbra):
    """With two processors in the tables; what the command showed, and the result."""
    machine = debian(emulator="bochs", memory="512M", umbra=umbra, cpus=2, acpi=acpi.bochs_tables(2), command=BOCHS)
    result = run_command(f"acpi-bochs-{umbra or 'umbra'}", machine, timeout=BOCHS_TIMEOUT)
    shown = result.output.decode()
    require(re.search(r"IO-APIC +\d+-edge +ttyS", shown), f"the I/O APIC is not used: {shown}")
    require("reboot: Power down" in result.text, "Linux does not power off")
    require(result.exit == 0, f"Bochs ended with {result.exit}: the guest has not switched it off")
    return shown, result


@together("acpi-bochs")
def test_linux_has_acpi_with_tables_of_files_in_bochs_on_vmx():
    shown, result = boot_bochs("")
    require("cpus 2" in shown, "Linux does not use both processors")
    require("processors: 2 taken" in result.text, "the hypervisor does not find both processors in the tables")
    require(re.search(r"smpboot: Allowing 2 CPUs|Allowing 2 present CPUs", result.text), "Linux does not find both processors in the tables")


@together("acpi-bochs")
@slow
def test_dmesg_with_tables_of_files_has_no_warning_that_bare_does_not_show_in_bochs_on_vmx():
    bare, _ = boot_bochs("bare")
    require("cpus 2" in bare, "bare Linux does not use both processors")
    new = new_warnings(bare, boot_bochs("")[0])
    require(not new, "messages that the bare boot does not show: " + " | ".join(new))
