# SPDX-License-Identifier: Apache-2.0
"""The type stubs: users' code passes mypy --strict, mistakes are found, stubs and package agree (stubtest)."""

import importlib
import os
import pathlib
import re
import subprocess
import sys

import pytest

import rutile

FOLDER = pathlib.Path(__file__).resolve().parent
PACKAGE = pathlib.Path(rutile.__file__).parent


def run(*command, cwd, code=0):
    env = {**os.environ, "MYPYPATH": str(PACKAGE.parent), "MYPY_CACHE_DIR": str(cwd / "cache")}
    done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True, cwd=cwd, env=env, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("typing")  # one cache for all


def test_every_module_has_a_stub():
    assert (PACKAGE / "py.typed").exists()
    without = {"__main__.py", "_doctor.py", "_types.py"}
    missing = [p for p in PACKAGE.rglob("*.py") if not p.with_suffix(".pyi").exists() and p.name not in without]
    assert not missing, missing
    for path in PACKAGE.rglob("*.pyi"):  # also of modules that are made at run time
        name = path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        importlib.import_module(name)


def test_sample(folder):
    run("mypy", "--strict", "--disable-error-code", "type-arg", FOLDER / "sample.py", cwd=folder)
    done = subprocess.run([sys.executable, FOLDER / "sample.py"], capture_output=True, text=True, cwd=folder, timeout=100)
    assert done.returncode == 0, done.stderr


def test_mistakes(folder):
    out = run("mypy", "--strict", FOLDER / "wrong.py", cwd=folder, code=1)
    found = {int(n) for n in re.findall(r"wrong\.py:(\d+): error", out)}
    lines = (FOLDER / "wrong.py").read_text().splitlines()
    wanted = {i for i, line in enumerate(lines, 1) if "  # " in line}
    assert found == wanted, out


def test_stubs_agree(folder):
    """Names and signatures of the stubs are those of the package."""
    run("mypy.stubtest", "rutile", "--allowlist", FOLDER / "allowlist.txt", "--ignore-disjoint-bases", cwd=folder)
