# SPDX-License-Identifier: BSD-2-Clause
"""One boot of Debian that looks at everything, once bare and once under Umbra: the tests read what it saw."""
import hashlib
import os
import random
import re

from common import debian, remembered, run_command

DATA_DISK = "build/test-data.img"


def data_disk():
    """16 MiB of noise, the same every time, on a disk of its own; returns its SHA-256."""
    data = random.Random(2).randbytes(16 << 20)
    if not os.path.exists(DATA_DISK):
        own = f"{DATA_DISK}.{os.getpid()}"
        with open(own, "wb") as file:
            file.write(data)
        os.replace(own, DATA_DISK)  # another test may be making it, too
    return hashlib.sha256(data).hexdigest()


DATA_DRIVE = ["-drive", f"file={DATA_DISK},format=raw,if=none,id=data,snapshot=on"]
# The devices of one inspection: the name of the disk in the guest and QEMU's arguments.
DEVICES = {
    "cloud": ("vdb", DATA_DRIVE + ["-device", "virtio-blk-pci,drive=data"]),
    "full": ("sda", DATA_DRIVE + ["-device", "ahci,id=ahci", "-device", "ide-hd,drive=data,bus=ahci.0",
                                  "-netdev", "user,id=n1,restrict=on", "-device", "e1000,netdev=n1,romfile="]),
}
INSPECT = """
section() { printf '\\n== %s\\n' "$1"; }
section uname; uname -a
section stats; umbractl stats
section efivars; ls /sys/firmware/efi/efivars
section disk; sha256sum /dev/DISK
section rtc; cat /sys/class/rtc/rtc0/name; date -u +%Y; hwclock -u -r
section net
for n in /sys/class/net/eth*; do
	i=${n##*/}
	ip link set $i up; ip addr add 10.0.2.15/24 dev $i
	sleep 1; ping -c 2 -W 30 -I $i 10.0.2.2 >/dev/null && echo "$i answers"
	ip link set $i down; ip addr flush dev $i
done
section dmesg; dmesg -r
section end
exit 7
"""


@remembered
def inspect(kind, bare):
    """One boot that looks at everything; its sections by name. It ends with status 7."""
    data_disk()
    disk, devices = DEVICES[kind]
    name = f"inspect-{kind}-{'bare' if bare else 'umbra'}"
    machine = debian(kind, umbra="bare" if bare else "", command=INSPECT.replace("DISK", disk), extra=devices)
    result = run_command(name, machine, status=7)
    sections = re.split(r"\n== (\w+)\n", "\n" + result.output.decode(errors="replace"))
    found = dict(zip(sections[1::2], sections[2::2]))
    found["serial"] = result.text
    return found


WARNING = re.compile(r"WARNING:|BUG:|Oops|Call Trace|general protection|invalid opcode|unchecked MSR|Hardware Error")


# Clocks compared with each other while the emulator shares its processor with others: these
# come and go on the bare emulator too. And bytes of code, among them addresses that change with each boot.
TIMING = re.compile(r"^(tsc: |clocksource: |APIC calibration|hpet: |sched_clock: |hrtimer: interrupt took |perf: interrupt took |Code: )")


def warnings(dmesg):
    """Messages of level warning and worse, without time stamps, numbers and what depends on timing."""
    found = {}
    for line in dmesg.splitlines():
        match = re.match(r"<(\d+)>(?:\[[ .\d]*\] ?)?(.*)", line)
        if match and (int(match.group(1)) % 8 <= 4 or WARNING.search(match.group(2))) and not TIMING.match(match.group(2)):
            found[re.sub(r"(0x)?[0-9a-f]*\d[0-9a-f]*", "#", match.group(2))] = match.group(2)
    return found


def new_warnings(bare, umbra):
    """Those of the second dmesg that the first one does not have."""
    known = warnings(bare)
    return [line for key, line in warnings(umbra).items() if key not in known]
