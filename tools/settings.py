# SPDX-License-Identifier: BSD-2-Clause
"""The settings of tools/run, which come from the environment (see README.md): read, checked before
anything is started, and made into a machine. What is wrong with one is a vm.Problem."""
import math
import os
import re
import shlex
import shutil
import subprocess

import acpi
import bochs
import ovmf
import vm

WORDS = {
    "EMU": ("auto", "qemu", "bochs"),
    "ACCEL": ("auto", "tcg", "kvm"),
    "KERNEL": ("cloud", "full", "686-pae", "686", "cloud-bookworm", "full-bookworm", "cloud-trixie", "full-trixie"),
    "BARE": ("0", "1"),
    "FORCE": ("0", "1"),
    "DEBIAN": ("", "bookworm", "trixie"),
}
ACPI_WORDS = ("auto", "none")  # or files
QEMU = "qemu-system-x86_64"
CHECK_OPTIONS = "build/tools/check-options"
# In MiB: the firmware comes as far as a boot entry; Debian's kernels run (full; cloud with 144).
MEMORY_MIN, MEMORY_DEBIAN = 48, 160
CPUS_MAX = 255  # QEMU's q35 without more than a number of processors


def get(name, default=""):
    return os.environ.get(name) or default


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def check_words():
    for name, words in WORDS.items():
        if get(name, words[0]) not in words:
            raise vm.Problem(f"{name}={get(name)}: not one of {', '.join(filter(None, words))}")


def check_file(name, path):
    if not os.path.exists(path):
        raise vm.Problem(f"{name}={path}: there is no such file")
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise vm.Problem(f"{name}={path}: not a file that can be read")


def words_of(name):
    try:
        return shlex.split(get(name))
    except ValueError as error:
        raise vm.Problem(f"{name}={get(name)}: {str(error).lower()}") from None


def check_files():
    for name in ("GUEST_KERNEL", "GUEST_INITRD", "MULTIBOOT"):
        if get(name):
            check_file(name, get(name))
    for name in ("MODULE", "ACPI"):
        for path in words_of(name) if get(name) not in ACPI_WORDS else ():
            check_file(name, path)


def timeout():
    """Seconds."""
    try:
        seconds = float(get("TIMEOUT", "600"))
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise vm.Problem(f"TIMEOUT={get('TIMEOUT')}: not a number of seconds above 0")
    return seconds


def cpus(emulator):
    text = get("SMP", "1" if emulator == "bochs" else "2")
    most = bochs.CPUS_MAX if emulator == "bochs" else CPUS_MAX
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= most:
        raise vm.Problem(f"SMP={text}: not a number of processors from 1 to {most}")
    return int(text)


def memory(emulator):
    """GUEST_MEM with its unit."""
    text = get("GUEST_MEM", bochs.DEFAULT_MEMORY if emulator == "bochs" else "1G")
    if not re.fullmatch(r"[0-9]{1,9}[MGmg]?", text):
        raise vm.Problem(f"GUEST_MEM={text}: not a size such as 512, 256M or 8G")
    size = bochs.mebibytes(text.upper())
    if size < MEMORY_MIN:
        raise vm.Problem(f"GUEST_MEM={text} is too little: the firmware needs {MEMORY_MIN}M to start anything, "
                         f"Debian's kernel {MEMORY_DEBIAN}M")
    if emulator == "bochs" and size > bochs.MEMORY_MAX:
        raise vm.Problem(f"GUEST_MEM={text} is too much: Bochs takes {bochs.MEMORY_MAX}M at most")
    return f"{size}M"


def umbra_options(efi):
    """The hypervisor's options, as the loader's own parser accepts them."""
    options = " ".join((["bare"] if get("BARE") == "1" else []) + [get("UMBRA_OPTS")]).strip()
    for needed in (efi, CHECK_OPTIONS):
        if not os.path.exists(needed):
            raise vm.Problem(f"{needed} is not there; run make")
    # A copy elsewhere may be of either build: the loader will say.
    build = "release" if os.path.normpath(os.path.dirname(efi)) in ("build", "build/release") else "debug"
    asked = subprocess.run([CHECK_OPTIONS, build, options], stdout=subprocess.PIPE, text=True, errors="replace")
    if asked.returncode:
        raise vm.Problem(f"UMBRA_OPTS: {asked.stdout.strip()}")
    return options


def why_no_nested_kvm():
    """Why KVM on this machine gives a guest neither VMX nor SVM; None if it does."""
    if not os.path.exists("/dev/kvm"):
        return "/dev/kvm is not there"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is not for this user"
    nested = {name: read(f"/sys/module/{module}/parameters/nested").strip()
              for name, module in (("vmx", "kvm_intel"), ("svm", "kvm_amd"))}
    if not any(nested.values()):
        return "neither kvm_intel nor kvm_amd is loaded"
    flags = read("/proc/cpuinfo").split()
    if not any(value in ("1", "Y") and name in flags for name, value in nested.items()):
        return "nested virtualisation is off (the parameter nested of kvm_intel or kvm_amd)"
    return None


def choose_emulator():
    """(EMU, ACCEL, a line that says why) with each `auto` decided; the line is empty if there was nothing to decide."""
    emulator, accel = get("EMU", "auto"), get("ACCEL", "auto")
    no_kvm = why_no_nested_kvm()
    no_kvm = no_kvm and f"KVM here gives a guest neither VMX nor SVM: {no_kvm}"
    if emulator == "bochs":
        if accel == "kvm":
            raise vm.Problem("ACCEL=kvm is for QEMU, and EMU is bochs")
        return "bochs", "tcg", ""
    if emulator == "auto" and accel == "auto" and not shutil.which(QEMU):
        return "bochs", "tcg", f"Bochs (Intel VMX emulated): {QEMU} is not installed"
    if accel == "kvm" and no_kvm and get("BARE") != "1":
        raise vm.Problem(f"ACCEL=kvm: {no_kvm}")
    if accel != "auto":
        return "qemu", accel, ""
    if no_kvm:
        return "qemu", "tcg", f"QEMU's TCG (AMD SVM emulated): {no_kvm}"
    return "qemu", "kvm", "QEMU with KVM, which gives a guest VMX or SVM here"


def check_emulator(emulator):
    """That its program and its files are installed, and that it knows what is asked for."""
    program, files = ("bochs", [bochs.VGABIOS]) if emulator == "bochs" else (QEMU, [ovmf.qemu_file()])
    if not shutil.which(program):
        raise vm.Problem(f"{program} is not installed; tools/deps installs it")
    if emulator == "bochs" and not ovmf.rom():
        raise vm.Problem(f"Bochs takes the firmware as one ROM file, and there is neither {ovmf.ROM} nor its two parts")
    for path in files:
        if not os.path.exists(path):
            raise vm.Problem(f"{path} is not there; tools/deps installs it")
    if emulator == "bochs" and get("QEMU_EXTRA"):
        raise vm.Problem("QEMU_EXTRA is for QEMU, and EMU is bochs")
    if emulator == "bochs" and get("BOCHS_CPU", bochs.DEFAULT_MODEL) not in bochs.known_models():
        raise vm.Problem(f"BOCHS_CPU={get('BOCHS_CPU')}: Bochs knows {', '.join(bochs.known_models())}")


def acpi_tables(emulator, cpus):
    """The files of ACPI's key: those of ACPI, or, for Bochs, whose firmware has no tables, its own."""
    if get("ACPI", "auto") not in ACPI_WORDS:
        return words_of("ACPI")
    if emulator != "bochs" or get("ACPI") == "none":
        return []
    if not acpi.installed():
        raise vm.Problem("iasl is not installed, which makes the ACPI tables of Bochs's machine; tools/deps installs it, "
                         "and ACPI=none goes without tables")
    return acpi.bochs_tables(cpus)


def machine():
    """(the machine, the line about its emulator); a kernel is fetched when all else is right."""
    check_words()
    check_files()
    emulator, accel, chosen = choose_emulator()
    check_emulator(emulator)
    made = vm.Machine(efi=get("UMBRA_EFI", "build/release/umbra.efi"), emulator=emulator, accel=accel,
                      memory=memory(emulator), cpus=cpus(emulator), bochs_cpu=get("BOCHS_CPU", bochs.DEFAULT_MODEL),
                      command=os.environ.get("GUEST_CMD") or None, extra=words_of("QEMU_EXTRA"), force=get("FORCE") == "1")
    made.umbra = umbra_options(made.efi)
    made.acpi = acpi_tables(emulator, made.cpus)
    if get("MULTIBOOT"):
        made.multiboot, made.kernel, made.options = True, get("MULTIBOOT"), get("APPEND")
        made.modules = [(path, os.path.basename(path)) for path in words_of("MODULE")]
    elif get("DEBIAN"):
        set_debian(made, get("DEBIAN"))
    else:
        set_linux(made)
    return made, chosen


def set_debian(made, suite):
    """An installed system: its own kernel, initrd and options."""
    for name in ("GUEST_KERNEL", "GUEST_INITRD", "KERNEL"):
        if get(name):
            raise vm.Problem(f"{name}={get(name)}: an installed system boots its own kernel (make run-debian)")
    subprocess.run(["tools/make-debian", suite], check=True)
    made.installed, made.options = f"build/debian-disk/{suite}.img", get("GUEST_APPEND")


def set_linux(made):
    kernel_dir = None if get("GUEST_KERNEL") else vm.fetch_kernel(get("KERNEL", "cloud"))
    made.kernel = get("GUEST_KERNEL") or kernel_dir + "/vmlinuz"
    made.initrds = [get("GUEST_INITRD") or vm.initramfs(kernel_dir)]
    made.options = " ".join([vm.LINUX, get("GUEST_APPEND")]).strip()
