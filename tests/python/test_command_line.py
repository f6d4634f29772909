# SPDX-License-Identifier: Apache-2.0
"""python -m rutile, run_check, and what an import brings in."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import rutile
from rutile import _doctor

# Modules that take long to import and that no import of rutile needs.
HEAVY = ["PIL", "asyncio", "concurrent", "ctypes", "email", "google", "http", "importlib.resources", "mindspore", "multiprocessing",
         "numpy", "pandas", "scipy", "socket", "subprocess", "tempfile", "torch", "unittest", "urllib", "xml"]
IMPORT_SECONDS = 0.3  # what a warm import may take; reported here, since machines differ


def run(*args, code=0, **env):
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=120, env={**os.environ, **env})
    assert done.returncode == code, done
    return done.stdout


def test_version():
    assert run("-m", "rutile", "--version") == rutile.__version__ + "\n"
    cmake = pathlib.Path(__file__).resolve().parents[2] / "CMakeLists.txt"
    assert f"project(rutile VERSION {rutile.__version__} " in cmake.read_text()


def test_explain():
    text = run("-m", "rutile", "explain", "RUTILE-E0101")
    assert text.startswith("RUTILE-E0101: A traced function reads the value of a tensor\n") and "ops.cond" in text
    assert run("-m", "rutile", "explain", "e101") == text
    whole = run("-m", "rutile", "explain")
    assert all(code in whole and title in whole for code, title in rutile.errors.topics())
    assert run("-m", "rutile", "explain", "nonsense", code=1) == ""


def test_every_code_that_a_message_names_is_explained():
    root = pathlib.Path(__file__).resolve().parents[2]
    known = {code for code, _ in rutile.errors.topics()}
    named = set()
    for folder in ("core", "ops", "graph", "nn", "python"):
        for path in (root / folder).rglob("*"):
            if path.suffix in (".cc", ".h", ".py"):
                named.update(re.findall(r"RUTILE-E\d{4}", path.read_text(encoding="utf-8")))
    assert named == known
    page = (root / "docs/errors.md").read_text(encoding="utf-8")
    assert page.split("<!-- codes -->\n")[1] == "".join(
        "\n## {}\n\n```text\n{}\n```\n".format(*rutile.errors.explain(code).rstrip().split("\n\n", 1)) for code in sorted(known))


def test_doctor():
    text = run("-m", "rutile", "doctor")
    for word in (rutile.__version__, "threads", "oneDNN", "check training", "GFLOP/s", "all is well"):
        assert word in text, text
    built = _doctor._plugins()["cuda"]["found"]
    assert re.search(r"^plugin cuda +" + (r"/.*librutile_cuda\.so$" if built else "not found: no file"), text, re.MULTILINE), text
    if not rutile.device_context.gpu.is_available():
        assert re.search(r"^GPU +none can be used: .*" + ("driver" if built else "librutile_cuda.so"), text, re.MULTILINE), text
    report = json.loads(run("-m", "rutile", "doctor", "--json", RUTILE_ISA="baseline"))
    assert report["ok"] and report["system"]["isa"] == "baseline" and report["environment"]["RUTILE_ISA"] == "baseline"
    assert report["threads"] >= 1 and report["packages"]["numpy"] and report["speed"]["add_ns"] > 0


def test_doctor_reports_what_is_wrong(monkeypatch, capsys):
    def broken():
        raise AssertionError("2 + 2 is 5")
    monkeypatch.setattr(_doctor, "_check_training", broken)
    monkeypatch.setattr(_doctor, "_speed", broken)
    monkeypatch.setattr(_doctor, "_installations", lambda: ["/a/rutile", "/b/rutile"])
    report = _doctor.report()
    assert not report["ok"] and len(report["problems"]) == 3
    assert "WRONG: AssertionError: 2 + 2 is 5" in _doctor.text(report) and "more than once: /a/rutile" in _doctor.text(report)
    rutile.run_check()
    assert "Rutile running check failed.\n2 + 2 is 5" in capsys.readouterr().out


def test_cmake_dir_of_a_build_tree():
    folder = pathlib.Path(rutile.__file__).parent / "lib/cmake/rutile"
    if folder.exists():
        pytest.skip("this is an installed package")
    assert run("-m", "rutile", "--cmake-dir", code=1) == ""
    assert "usage:" in run("-m", "rutile", code=2)


def test_import_is_light(record_property):
    code = """
import sys, time
before = set(sys.modules)
start = time.perf_counter()
import rutile
seconds = time.perf_counter() - start
maps = open("/proc/self/maps").read()
print(repr((seconds, sorted(set(sys.modules) - before), [w for w in ("libcuda", "cudart", "nvidia") if w in maps])))
"""
    seconds, modules, cuda = eval(min(run("-c", code) for _ in range(3)))
    heavy = [m for m in modules if m in HEAVY or m.split(".")[0] in HEAVY]
    assert not heavy and not cuda
    assert not [m for m in modules if m.startswith("rutile.dataset")]
    print(f"import rutile: {1e3 * seconds:.0f} ms (aim: {1e3 * IMPORT_SECONDS:.0f} ms), {len(modules)} modules")
    record_property("seconds", seconds)
    assert seconds < 10 * IMPORT_SECONDS
