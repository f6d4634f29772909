# SPDX-License-Identifier: Apache-2.0
"""python -m rutile: --version, --cmake-dir, doctor, explain."""

import argparse
import os
import sys


def cmake_dir():
    """The folder of rutile-config.cmake; NotFoundError where this copy has none."""
    import rutile
    folder = os.path.join(os.path.dirname(os.path.abspath(rutile.__file__)), "lib", "cmake", "rutile")
    if not os.path.exists(os.path.join(folder, "rutile-config.cmake")):
        raise rutile.errors.NotFoundError(
            "this rutile runs from a build tree, which has no CMake package: pip install it, or use cmake --install")
    return folder


def main(argv=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rutile", description="Rutile, a deep-learning training framework.")
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--cmake-dir", action="store_true",
                        help="print the folder for find_package(rutile), to be given as rutile_DIR or in CMAKE_PREFIX_PATH")
    commands = parser.add_subparsers(dest="command", metavar="command")
    doctor = commands.add_parser("doctor", help="what this installation runs on, and whether it computes right")
    doctor.add_argument("--json", action="store_true", help="the report as JSON")
    explain = commands.add_parser("explain", help="what an error's code means and what helps: explain RUTILE-E0101")
    explain.add_argument("code", nargs="?", help="as a message or a traceback names it; all of them without it")
    args = parser.parse_args(argv)
    import rutile
    if args.version:
        print(rutile.__version__)
    elif args.cmake_dir:
        try:
            print(cmake_dir())
        except rutile.errors.NotFoundError as e:
            print(e, file=sys.stderr)
            return 1
    elif args.command == "doctor":
        from rutile import _doctor
        report = _doctor.report()
        if args.json:
            import json
            print(json.dumps(report, indent=1))
        else:
            print(_doctor.text(report))
        return 0 if report["ok"] else 1
    elif args.command == "explain":
        try:
            codes = [args.code] if args.code else [code for code, _ in rutile.errors.topics()]
            print("\n".join(rutile.errors.explain(c) for c in codes), end="")
        except rutile.errors.ValueError as e:
            print(e, file=sys.stderr)
            return 1
    else:
        parser.print_help()
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
