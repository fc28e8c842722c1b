# SPDX-License-Identifier: BSD-2-Clause
"""What is built must be the same bytes wherever it is built."""
import contextlib
import os
import shutil
import subprocess
import tempfile

from common import RELEASE, needs, require, slow


@contextlib.contextmanager
def copy_of_the_tree():
    """In another directory, with a blank in its path, on what may be another file system."""
    with tempfile.TemporaryDirectory() as work:
        copy = work + "/a directory with another name"
        shutil.copytree(".", copy, ignore=shutil.ignore_patterns("build", ".git"))
        yield copy


def make(directory, *targets):
    """Without what the make that runs this has put in the environment."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "KERNEL")}
    subprocess.run(["make", "-s", "-C", directory, *targets], check=True, stdout=subprocess.DEVNULL, env=environment)


def require_same(ours, theirs):
    with open(ours, "rb") as one, open(theirs, "rb") as other:
        require(one.read() == other.read(), f"{ours} and {theirs} differ")


@slow
@needs()
def test_image_builds_to_the_same_bytes_in_another_directory():
    with copy_of_the_tree() as copy:
        make(copy, "build/umbra.efi")
        require_same(RELEASE, copy + "/build/umbra.efi")


@slow
@needs()
def test_release_is_packed_to_the_same_bytes_in_another_directory():
    make(".", "dist")
    with open("VERSION") as file:
        name = f"build/umbra-{file.read().strip()}.tar.zst"
    with copy_of_the_tree() as copy:
        os.makedirs(copy + "/build")
        os.symlink(os.path.abspath("build/kernels"), copy + "/build/kernels")
        make(copy, "dist")
        require_same(name, f"{copy}/{name}")
