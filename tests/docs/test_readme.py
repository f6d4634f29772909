# SPDX-License-Identifier: Apache-2.0
"""The README's code runs as it stands there."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_python_page_runs():
    (code,) = blocks("python")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("8.0 "), out.stdout


def test_cpp_page_compiles_and_runs(tmp_path):
    (code,) = blocks("cpp")
    build = ROOT / "build" / "release"
    source = tmp_path / "readme.cc"
    source.write_text(code)
    program = tmp_path / "readme"
    command = ["c++", "-std=c++20", "-O1", f"-I{build}/include", str(source), "-o", str(program),
               f"-L{build}/lib", "-lrutile", f"-Wl,-rpath,{build}/lib"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    out = subprocess.run([str(program)], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    losses = [float(x) for x in re.findall(r"loss ([0-9.]+)", out.stdout)]
    assert len(losses) == 2 and losses[1] < losses[0], out.stdout


def test_links_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).is_file(), target
