# SPDX-License-Identifier: Apache-2.0
"""A wheel of this tree, and environments that hold it and nothing of the tree."""

import os
import pathlib
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENV = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RUTILE_BUILD")}


def run(*command, timeout=300, **more):
    """Runs a command and returns what it wrote; fails with it where the command fails."""
    more.setdefault("env", ENV)
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, timeout=timeout, check=False, **more)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Built as `make wheel` builds it. RUTILE_WHEEL: one that is there already."""
    if os.environ.get("RUTILE_WHEEL"):
        return pathlib.Path(os.environ["RUTILE_WHEEL"])
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, ROOT / "tools/wheel.py", "--out", folder, timeout=850)
    [path] = folder.glob("*.whl")
    return path


def environment(wheel, folder):
    """A new environment with the wheel, and what .venv has (NumPy, the compilers' Python packages) but for this tree."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin/python"
    site = pathlib.Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "tools.pth").write_text(sysconfig.get_path("purelib") + "\n")  # .pth files in there are not read
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", "-q", wheel)
    return python


@pytest.fixture(scope="session")
def python(wheel, tmp_path_factory):
    return environment(wheel, tmp_path_factory.mktemp("clean") / "env")
