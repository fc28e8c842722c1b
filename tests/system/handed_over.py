# SPDX-License-Identifier: BSD-2-Clause
"""What a kernel finds of the firmware: the same whether its own EFI stub was started by the firmware or Umbra has started it."""
import contextlib
import os
import re
import subprocess

import vm
from common import debian, remembered, require, run_command, scratch, together

SHOW = """
dmesg | sed -n 's/.*\\] efi: /efi: /p'
dmesg | grep -iE 'efifb|secure boot|random: crng' | sed 's/^\\[[^]]*\\] //'
echo ==files
cd /sys/firmware/efi; find . -path ./efivars -prune -o -print | sort
echo ==screen
head -c 64 /sys/kernel/boot_params/data | od -An -v -tx1
dd if=/sys/kernel/boot_params/data bs=64 skip=5 count=2 2>/dev/null | od -An -v -tx1
dd if=/sys/kernel/boot_params/data bs=1 skip=492 count=1 2>/dev/null | od -An -v -tx1
echo ==setup
cd /sys/kernel/boot_params/setup_data 2>/dev/null && for d in *; do echo "$(cat $d/type) $(tail -c +9 $d/data | md5sum)"; done
echo ==tpm
mount -t securityfs securityfs /sys/kernel/security
od -An -v -tx1 /sys/kernel/security/tpm0/binary_bios_measurements
"""


@contextlib.contextmanager
def tpm(name):
    """A TPM 2.0 in software; QEMU's arguments for it."""
    state, path = scratch("tpm"), scratch("tpm.sock")
    subprocess.run(["rm", "-rf", state, path], check=True)
    os.makedirs(state)
    emulator = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={path}", "--terminate"])
    try:
        yield ["-chardev", f"socket,id=tpm,path={path}", "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0"]
    finally:
        emulator.kill()
        emulator.wait()


def own_stub(machine, name):
    """Has the firmware start the kernel itself, by its EFI stub, from QEMU's configuration device."""
    command, initrd = scratch("command"), scratch("initrd")
    vm.write_text(command, machine.command + "\n")
    subprocess.run(["tools/mkinitramfs", command + ".img", "--file", command + ":/umbra/command"], check=True)
    with open(initrd, "wb") as file:
        for path in (*machine.initrds, command + ".img"):
            file.write(bytes(-file.tell() % 4) + vm.read_file(path))
    machine.extra = machine.extra + ["-kernel", machine.kernel, "-initrd", initrd, "-append", machine.options, "-set", "device.boot-disk.bootindex=1"]
    return machine


@remembered
def seen(how):
    """{part: text} of a boot: "stub", or with Umbra's options."""
    name = f"handed-over-{how or 'umbra'}"
    with tpm(name) as arguments:
        extra = arguments + ["-device", "virtio-rng-pci"]  # QEMU's screen has an option ROM
        machine = debian(command=SHOW, umbra="" if how == "stub" else how, extra=extra)
        text = run_command(name, own_stub(machine, name) if how == "stub" else machine).output.decode()
    first, *parts = text.split("==")
    return {"dmesg": first, **dict(part.split("\n", 1) for part in parts)}


def table_names(dmesg):
    """Of the line "efi: ACPI=0x... SMBIOS=0x..." """
    return set(re.findall(r"(\w+(?: \d\.\d)?)=0x[0-9a-f]+", "".join(re.findall(r"^efi: .*=0x.*", dmesg, re.M))))


@together("handed-over")
def test_kernel_finds_the_tables_that_its_own_stub_would_have_given_it():
    stub = table_names(seen("stub")["dmesg"]) - {"INITRD"}  # which boot_params names for us
    require({"ACPI 2.0", "SMBIOS", "RNG", "TPMEventLog", "TPMFinalLog", "MEMATTR"} <= stub, f"its own stub gives it {sorted(stub)}")
    for how in ("", "bare"):
        ours = table_names(seen(how)["dmesg"])
        require(ours == stub, f"{how or 'under Umbra'}: {sorted(ours)}, by its own stub {sorted(stub)}")


@together("handed-over")
def test_kernel_finds_the_files_and_the_screen_that_its_own_stub_would_have_given_it():
    stub = seen("stub")
    for part in ("files", "screen"):
        require(len(stub[part].splitlines()) > 5, f"its own stub gives it {stub[part]!r}")
        require(seen("")[part] == stub[part], f"{part}: {seen('')[part]!r}, by its own stub {stub[part]!r}")


@together("handed-over")
def test_kernel_finds_the_option_roms_that_its_own_stub_would_have_given_it():
    stub, ours = (sorted(line for line in seen(how)["setup"].splitlines() if line.startswith("0x3 ")) for how in ("stub", ""))
    require(stub, "its own stub gives it no option ROM")
    require(ours == stub, f"{ours}, by its own stub {stub}")


@together("handed-over")
def test_kernel_finds_the_tpm_event_log():
    for how in ("", "bare"):
        log = bytes.fromhex("".join(seen(how)["tpm"].split()))
        require(b"Spec ID Event03" in log, "it does not begin with its format")
        require(len(log) > 2000 and b"EFI Application" in log, f"of the log it has {len(log)} bytes")
