# SPDX-License-Identifier: Apache-2.0
"""What lies in an install: no path of the machine that built it, no foreign symbol, no heavy header."""
import re
import shutil
import subprocess
import time

import pytest
from conftest import BUILD, ROOT, run

COMPILERS = ["c++", "clang++-16"]
INCLUDE_TIME = 1.5  # seconds, reported; what is asserted is the text that the compiler reads
INCLUDE_LINES = 100_000
# What public headers may include besides their own: the standard library.
STANDARD = re.compile(r"<[a-z_]+>|<std(def|int)\.h>")
RUTILE_SYMBOL = re.compile(r"rutile_\w+$|_Z(Th?[nv][\w]*_|T[ISVTWHC]\d*|GV|GR|Z|GVZ)?N[KRO]{0,2}6rutile|_ZNKSt4hashIN6rutile"
                           r"|_ZZN[KRO]{0,2}6rutile")
FOREIGN = re.compile(r"dnnl|Eigen|nlohmann|google::|CLI::")


def files(prefix):
    return [p for p in prefix.rglob("*") if p.is_file() and not p.is_symlink()]


def headers(prefix):
    return sorted((prefix / "include").rglob("*.h"))


def test_expected_files(prefix):
    for name in ("lib/librutile.so", "lib/cmake/rutile/rutile-config.cmake", "lib/pkgconfig/rutile.pc",
                 "lib/cmake/rutile/rutile-config-version.cmake", "include/rutile/rutile.h",
                 "share/doc/rutile/LICENSE"):
        assert (prefix / name).exists(), name
    assert (prefix / "lib/librutile.so").is_symlink()
    for plugin in ("gloo", "nccl", "cuda"):
        name = f"lib/librutile_{plugin}.so"
        assert (prefix / name).exists() == (BUILD / name).exists(), name
    assert not (prefix / "lib/librutile_fake.so").exists()  # for tests


def test_no_absolute_path(prefix):
    strange = [str(p).encode() for p in (ROOT, BUILD, ROOT / ".venv", (ROOT / ".venv").resolve(), prefix.parents[1])]
    for path in files(prefix):
        if path.name.startswith("libdnnl"):
            continue  # not built here
        content = path.read_bytes()
        for text in strange:
            assert text not in content, f"{path} contains {text.decode()}"


def test_only_own_symbols(prefix):
    library = prefix / "lib/librutile.so"
    names = [line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()]
    assert len(names) > 500
    strangers = [n for n in names if not RUTILE_SYMBOL.match(n)]
    assert not strangers, strangers[:20]
    plain = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    foreign = [line for line in plain.splitlines() if FOREIGN.search(line)]
    assert not foreign, foreign[:20]


def test_headers_need_the_standard_library_alone(prefix):
    for path in headers(prefix):
        for line in path.read_text().splitlines():
            match = re.match(r"#\s*include\s+(\S+)", line)
            if not match:
                continue
            what = match[1]
            if what.startswith('"rutile/'):
                assert (prefix / "include" / what.strip('"')).is_file(), f"{path}: {what} is not installed"
            else:
                assert STANDARD.fullmatch(what), f"{path}: {what}"


def test_every_op_family_is_reached(prefix):
    """A new header that declares ops for users stands in rutile.h."""
    # What the compiler makes of users' ops; how ops and the Python package are written.
    private = {"ops/epilogues.h", "ops/forward_record.h", "ops/fused.h", "ops/lines.h", "ops/post_ops.h"}
    installed = {str(p.relative_to(prefix / "include/rutile")) for p in headers(prefix)}
    for path in sorted((ROOT / "ops").glob("*.h")) + sorted((ROOT / "nn").rglob("*.h")):
        name = str(path.relative_to(ROOT))
        if re.search(r"^RUTILE_API (Tensor|TensorList|Schedule) \w+\(|^class RUTILE_API", path.read_text(), re.M):
            assert name in installed or name in private, f"{name} is missing in rutile.h"


@pytest.mark.parametrize("compiler", COMPILERS)
def test_headers_compile(prefix, compiler, record_property):
    """rutile.h is quick; all headers compile without warnings, in both orders, so that none leans on another."""
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    flags = ["-std=c++20", f"-I{prefix}/include", "-xc++", "/dev/null"]
    start = time.monotonic()
    run(compiler, "-fsyntax-only", "-include", "rutile/rutile.h", *flags)
    seconds = time.monotonic() - start
    lines = run(compiler, "-E", "-P", "-include", "rutile/rutile.h", *flags).count("\n")
    print(f"{compiler}: rutile.h {seconds:.2f} s (aim: {INCLUDE_TIME}), {lines} lines")
    record_property("seconds", seconds)
    assert lines < INCLUDE_LINES
    strict = ["-Wall", "-Wextra", "-Wshadow=local" if compiler == "c++" else "-Wshadow-uncaptured-local", "-Werror"]
    for order in (headers(prefix), headers(prefix)[::-1]):
        every = [part for p in order for part in ("-include", p)]
        run(compiler, "-fsyntax-only", *strict, *every, *flags)
