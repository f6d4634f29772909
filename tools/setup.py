#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs what the build needs: Debian packages (tools/packages.txt) and .venv (tools/requirements.txt).

Only what is missing is installed, and everything is named first. Run again, it only looks. PYTHON=/path/to/python3
chooses another interpreter for .venv; RUTILE_SETUP_APT=0 leaves the Debian packages alone.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "rutile-tree")  # the tree that the environment was made for
MIN_PYTHON = (3, 10)


def say(text):
    print(f"setup: {text}", flush=True)


def fail(text):
    sys.exit(f"setup: error: {text}")


def entries(name):
    with open(os.path.join(ROOT, "tools", name), encoding="utf-8") as file:
        lines = [line.split("#")[0].strip() for line in file]
    return [line for line in lines if line]


def run(command, what):
    """Runs a command with its output kept back; shows it where the command fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return True
    sys.stderr.write(done.stdout)
    say(f"{what} failed (exit status {done.returncode})")
    return False


def missing_packages(names):
    # A package of the same name in another architecture does not count, a virtual provider neither.
    done = subprocess.run(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *names],
                          capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install_packages():
    if os.environ.get("RUTILE_SETUP_APT") == "0":
        say("Debian packages: left alone (RUTILE_SETUP_APT=0)")
        return
    names = entries("packages.txt")
    if not shutil.which("dpkg-query") or not shutil.which("apt-get"):
        say("this is no Debian system: please see that these are installed: " + " ".join(names))
        return
    missing = missing_packages(names)
    if not missing:
        say(f"Debian packages: all {len(names)} installed")
        return
    say(f"will install {len(missing)} Debian package(s): " + " ".join(missing))
    prefix = []
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            fail("installing packages needs root, and there is no sudo. As root, run:\n"
                 "  apt-get update && apt-get install --no-install-recommends " + " ".join(missing))
        prefix = ["sudo"]
    apt = prefix + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    install = apt + ["install", "-y", "--no-install-recommends", *missing]
    have_lists = bool(glob.glob("/var/lib/apt/lists/*_Packages*"))
    if have_lists:
        say("installing (some minutes at first) ...")
        if run(install, "apt-get install"):
            return
        say("trying again with fresh package lists")
    say("apt-get update ...")
    if not run(apt + ["update"], "apt-get update"):
        fail("the package lists could not be fetched; is the network reachable?")
    say("installing (some minutes at first) ...")
    if not run(install, "apt-get install"):
        fail("could not install: " + " ".join(missing))


def usable(python):
    """Whether an interpreter is new enough, can make environments and has its C headers."""
    probe = ("import sys, os, sysconfig, venv, ensurepip\n"
             f"ok = sys.version_info >= {MIN_PYTHON} and os.path.exists(\n"
             "    os.path.join(sysconfig.get_path('include'), 'Python.h'))\n"
             "sys.exit(0 if ok else 1)\n")
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


def find_python():
    chosen = os.environ.get("PYTHON")
    candidates = [chosen] if chosen else ["/usr/bin/python3", shutil.which("python3")]
    for python in candidates:
        if python and shutil.which(python) and usable(python):
            return shutil.which(python)
    fail("no usable Python found: it must be {}.{} or newer, with venv and C headers (tried: {})".format(
        *MIN_PYTHON, ", ".join(str(c) for c in candidates)))


def environment_is_good(requirements):
    """Whether .venv was made for this tree and holds exactly the pinned versions."""
    try:
        with open(STAMP, encoding="utf-8") as file:
            if file.read().strip() != VENV:
                return False
    except OSError:
        return False
    return not wrong_versions(requirements)


def wrong_versions(requirements):
    code = ("import sys\nfrom importlib.metadata import version, PackageNotFoundError\n"
            "for item in sys.argv[1:]:\n"
            "    name, _, pin = item.partition('==')\n"
            "    try:\n        found = version(name)\n"
            "    except PackageNotFoundError:\n        found = ''\n"
            "    if found != pin: print(item)\n")
    done = subprocess.run([VENV_PYTHON, "-c", code, *requirements], capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else requirements


def make_environment():
    requirements = entries("requirements.txt")
    if any(not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", item) for item in requirements):
        fail("tools/requirements.txt: every line must read name==version")
    if os.path.exists(VENV_PYTHON) and environment_is_good(requirements):
        say(f".venv: all {len(requirements)} packages installed")
        return
    python = find_python()
    if not os.path.exists(STAMP) or open(STAMP, encoding="utf-8").read().strip() != VENV:
        say(f"making .venv with {python}")
        shutil.rmtree(VENV, ignore_errors=True)
        if not run([python, "-m", "venv", VENV], "making .venv"):
            fail("the virtual environment could not be made (Debian: python3-venv)")
    missing = wrong_versions(requirements)
    say(f"will install {len(missing)} Python package(s) into .venv: " + " ".join(missing))
    if not run([VENV_PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-q",
                "-r", os.path.join(ROOT, "tools", "requirements.txt")], "pip install"):
        fail("the Python packages could not be installed; is the network reachable?")
    with open(STAMP, "w", encoding="utf-8") as file:
        file.write(VENV + "\n")


def main():
    if sys.version_info < (3, 8):
        fail("python3 is too old to run this script (3.8 or newer)")
    install_packages()
    make_environment()


if __name__ == "__main__":
    main()
