# SPDX-License-Identifier: BSD-2-Clause
"""The UEFI firmware of Debian's package ovmf: one ROM file, or (after Debian 13) only its two
parts, the store of the variables and the code, which in this order are the ROM."""
import os

ROM = "/usr/share/ovmf/OVMF.fd"
VARIABLES, CODE = "/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd"
JOINED = "build/OVMF.fd"


def rom():
    """A file with the whole firmware, for Bochs; None if there is none."""
    if os.path.exists(ROM):
        return ROM
    if not os.path.exists(VARIABLES) or not os.path.exists(CODE):
        return None
    os.makedirs("build", exist_ok=True)
    own = f"{JOINED}.{os.getpid()}"
    with open(own, "wb") as joined:
        for part in (VARIABLES, CODE):
            with open(part, "rb") as file:
                joined.write(file.read())
    os.replace(own, JOINED)  # another emulator may be reading it
    return JOINED


def qemu_file():
    """What QEMU takes: the ROM, or of the two parts the code alone."""
    return ROM if os.path.exists(ROM) else CODE


def qemu_arguments():
    """The code alone is a flash chip, the variables are then kept in memory."""
    if qemu_file() == ROM:
        return ["-bios", ROM]
    return ["-drive", f"if=pflash,format=raw,readonly=on,file={CODE}"]
