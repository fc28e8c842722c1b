# SPDX-License-Identifier: BSD-2-Clause
"""ACPI tables from the sources in tools/acpi/, made by iasl in build/acpi/. Bochs with OVMF has none, so
tools/run gives it these by the boot entry's key `acpi`. Paths are relative to the tree's root."""
import os
import shutil
import subprocess
import tempfile

SOURCES = "tools/acpi"
OUT = "build/acpi"

MADT = """\
[0004] Signature : "APIC"
[0004] Table Length : 00000000
[0001] Revision : 03
[0001] Checksum : 00
[0006] Oem ID : "UMBRA "
[0008] Oem Table ID : "BOCHS   "
[0004] Oem Revision : 00000001
[0004] Asl Compiler ID : "INTL"
[0004] Asl Compiler Revision : 00000000
[0004] Local Apic Address : FEE00000
[0004] Flags (decoded below) : 00000001
       PC-AT Compatibility : 1
"""
MADT_CPU = """
[0001] Subtable Type : 00
[0001] Length : 08
[0001] Processor ID : {cpu:02X}
[0001] Local Apic ID : {cpu:02X}
[0004] Flags (decoded below) : 00000001
       Processor Enabled : 1
       Runtime Online Capable : 0
"""
MADT_IOAPIC = """
[0001] Subtable Type : 01
[0001] Length : 0C
[0001] I/O Apic ID : {id:02X}
[0001] Reserved : 00
[0004] Address : FEC00000
[0004] Interrupt : 00000000
"""
MADT_OVERRIDE = """
[0001] Subtable Type : 02
[0001] Length : 0A
[0001] Bus : 00
[0001] Source : {irq:02X}
[0004] Interrupt : {input:08X}
[0002] Flags (decoded below) : 0000
       Polarity : {polarity}
       Trigger Mode : {trigger}
"""


def madt(cpus):
    """The source of Bochs's MADT: its I/O APIC has the ID behind those of the processors; the timer is at input 2,
    PIRQ A, at which the power management interrupts, at 16: level, active low."""
    return (MADT + "".join(MADT_CPU.format(cpu=cpu) for cpu in range(cpus)) + MADT_IOAPIC.format(id=cpus) +
            MADT_OVERRIDE.format(irq=0, input=2, polarity=0, trigger=0) +
            MADT_OVERRIDE.format(irq=11, input=16, polarity=3, trigger=3))


def compile_table(source, name, folder=OUT):
    """FOLDER/NAME.aml from a source file, if that is newer. iasl's words are shown if it finds anything wrong."""
    out = f"{folder}/{name}.aml"
    if os.path.exists(out) and all(os.path.getmtime(out) > os.path.getmtime(s) for s in (source, __file__)):
        return out
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:  # two runs may make the same table
        made = subprocess.run(["iasl", "-p", f"{work}/{name}", source], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        if made.returncode:
            print(made.stdout, end="", flush=True)
            made.check_returncode()
        os.rename(f"{work}/{name}.aml", out)
    return out


def installed():
    return shutil.which("iasl") is not None


def bochs_tables(cpus):
    """The files of all tables of Bochs's machine with so many processors."""
    source = f"{OUT}/madt-{cpus}.asl"
    text = madt(cpus)
    os.makedirs(OUT, exist_ok=True)
    if not os.path.exists(source) or open(source).read() != text:
        with tempfile.NamedTemporaryFile("w", dir=OUT, delete=False) as file:
            file.write(text)
        os.rename(file.name, source)
    return [compile_table(f"{SOURCES}/{name}.asl", name) for name in ("fadt", "dsdt", "facs")] + \
        [compile_table(source, f"madt-{cpus}")]
