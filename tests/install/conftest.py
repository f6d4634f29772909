# SPDX-License-Identifier: Apache-2.0
"""An install of the build under test, moved away from where it was put."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENV = {**os.environ, "OMP_WAIT_POLICY": "passive", "RUTILE_PROGRESS": "0"}
BUILD = pathlib.Path(os.environ.get("RUTILE_BUILD", ROOT / "build" / "release"))


def run(*command, timeout=300, **more):
    """Runs a command and returns what it wrote; fails with it where the command fails."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, timeout=timeout, check=False, **more)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("install")
    run("cmake", "--install", BUILD, "--prefix", folder / "first")
    moved = folder / "moved" / "elsewhere"
    moved.parent.mkdir()
    (folder / "first").rename(moved)
    return moved


def build_with_cmake(source, folder, prefix, *options):
    run("cmake", "-G", "Ninja", "-S", source, "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_BUILD_TYPE=Debug", *options)
    run("cmake", "--build", folder)


@pytest.fixture(scope="session")
def examples(prefix, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    build_with_cmake(ROOT / "examples", folder, prefix, "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
    return folder
