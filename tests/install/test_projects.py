# SPDX-License-Identifier: Apache-2.0
"""Projects of users, built against the install; the programs of examples/ run."""
import gzip
import re
import shutil
import struct
import subprocess

import pytest
from conftest import ENV, ROOT, build_with_cmake, run

def numbers(pattern, text):
    return [float(x) for x in re.findall(pattern, text)]


def images(count, salt):
    """Images 28 x 28 in ten classes that can be told apart: a bright block at one of ten places."""
    pixels = bytearray()
    labels = bytearray()
    for i in range(count):
        label = (i * 7 + salt) % 10
        labels.append(label)
        row, column = 2 + 12 * (label // 5), 1 + 5 * (label % 5)
        image = bytearray((13 * i + 31 * k) % 40 for k in range(784))
        for r in range(row, row + 10):
            image[28 * r + column:28 * r + column + 5] = b"\xe0" * 5
        pixels += image
    return (struct.pack(">IIII", 0x803, count, 28, 28) + pixels, struct.pack(">II", 0x801, count) + labels)


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    for split, count, salt in (("train", 2560, 0), ("t10k", 100, 3)):
        pixels, labels = images(count, salt)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(pixels)
        (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return folder


def test_mlp(examples):
    out = run(examples / "mlp", env=ENV)
    losses = numbers(r"loss ([0-9.]+)", out)
    assert len(losses) == 3 and losses[1] < losses[0], out
    assert numbers(r"accuracy ([0-9.]+)", out)[0] > 0.9, out


def test_training_loop(examples):
    out = run(examples / "training_loop", env=ENV)
    losses = numbers(r"loss ([0-9.]+)", out)
    assert len(losses) == 3 and losses[-1] < 0.02, out


def test_lenet_then_inference(examples, mnist, tmp_path):
    checkpoint = tmp_path / "lenet.safetensors"
    out = run(examples / "lenet", mnist, checkpoint, env=ENV)
    assert numbers(r"accuracy ([0-9.]+)", out)[0] > 0.8, out
    out = run(examples / "inference", checkpoint, mnist / "t10k-images-idx3-ubyte", env=ENV)
    right = sum(int(k) == (i * 7 + 3) % 10 for i, k in enumerate(re.findall(r"class (\d)", out)))
    assert right >= 6, out


def test_gpt(examples, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 60)
    out = run(examples / "gpt", text, "60", env=ENV)
    first, last = re.search(r"loss ([0-9.]+) -> ([0-9.]+)", out).groups()
    assert float(last) < 0.7 * float(first), out
    assert len(re.search(r"sample: (.*)", out)[1]) == 32, out


def test_examples_say_what_is_wrong(examples, tmp_path):
    done = subprocess.run([examples / "inference", tmp_path / "none", tmp_path / "none"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and "none" in done.stderr


@pytest.mark.skipif(not shutil.which("clang++-16"), reason="no clang++-16")
def test_with_clang(prefix, tmp_path):
    build_with_cmake(ROOT / "examples", tmp_path, prefix, "-DCMAKE_CXX_COMPILER=clang++-16",
                     "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
    assert "accuracy" in run(tmp_path / "mlp", env=ENV)


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="no pkg-config")
def test_readme_with_pkg_config(prefix, tmp_path):
    env = {**ENV, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "rutile", env=env).split()
    source, program = tmp_path / "readme.cc", tmp_path / "readme"
    source.write_text(re.search(r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1])
    run("c++", source, "-o", program, *flags, f"-Wl,-rpath,{prefix}/lib")
    out = run(program, env=ENV)
    first, last = numbers(r"epoch \d loss ([0-9.]+)", out)
    assert "[[2, 4], [6, 8]]" in out and last < first, out


def test_wrong_version_is_refused(prefix, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.20)\nproject(p CXX)\n"
                                             "find_package(rutile 99 CONFIG QUIET)\n"
                                             "if(rutile_FOUND)\n  message(FATAL_ERROR found)\nendif()\n")
    run("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={prefix}")


def test_prefix_behind_a_link(prefix, tmp_path):
    config = next(prefix.rglob("rutile-config.cmake")).parent.relative_to(prefix)
    (tmp_path / config.parts[0]).symlink_to(prefix / config.parts[0])
    (tmp_path / "CMakeLists.txt").write_text(f"""
cmake_minimum_required(VERSION 3.20)
project(p CXX)
set(rutile_DIR "{tmp_path / config}")
find_package(rutile CONFIG REQUIRED)
get_target_property(include rutile::rutile INTERFACE_INCLUDE_DIRECTORIES)
message("include: ${{include}}")
""")
    out = run("cmake", "-S", tmp_path, "-B", tmp_path / "b")
    assert f"include: {prefix}/include" in out, out
