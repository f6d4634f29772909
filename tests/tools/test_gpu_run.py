# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu/run.sh as it stands in the pack, with pretended programs."""
import os
import shutil
import stat
import subprocess

import pytest

RUN = os.path.join(os.path.dirname(__file__), "..", "..", "benchmarks", "gpu", "run.sh")

# Writes the loss of its device, or fails as FAILS says.
PROGRAM = """#!/usr/bin/env bash
while [ $# -gt 0 ]; do
  case "$1" in
    --json) json="$2" ;;
    --device) device="$2" ;;
    --mode) how="$2" ;;
    --steps) steps="$2" ;;
  esac
  shift
done
name="$(basename "$0")"
if [ "$name $device $how" = "$FAILS" ]; then echo "out of | memory" >&2; exit 3; fi
loss=2.5
if [ "$device" = fake ] && [ "$name" = gpt ]; then loss="$LOSS"; fi
peak=34
[ "$steps" != 30 ] || peak="$PEAK"
echo "{\\"final_loss\\": $loss, \\"items_per_second\\": 12, \\"device_peak_mb\\": $peak}" >"$json"
"""
SAMPLES = """#!/usr/bin/env bash
echo "[==========] 12 tests from 1 test suite ran."
echo "[  PASSED  ] 11 tests."
[ -z "$FAILS" ] || { echo "[  FAILED  ] Gpu/Samples.add"; exit 1; }
"""


@pytest.fixture
def pack(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib").mkdir()
    shutil.copy(RUN, tmp_path)
    for name in ("librutile_fake.so", "librutile.so"):
        (tmp_path / "lib" / name).write_text("")
    for name in ("mlp", "lenet", "resnet50", "gpt", "test_gpu"):
        path = tmp_path / "bin" / name
        path.write_text(SAMPLES if name == "test_gpu" else PROGRAM)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "torch_side.py").write_text("print('5 6')\n")

    def run(mode, device="fake", fails="", loss="2.501", peak="34", path=""):
        env = dict(os.environ, RUTILE_GPU_DEVICE=device, FAILS=fails, LOSS=loss, PEAK=peak)
        if path:
            env["PATH"] = f"{path}:{env['PATH']}"
        return subprocess.run(["bash", str(tmp_path / "run.sh"), mode], env=env, text=True,
                              capture_output=True, timeout=60)
    return run


def test_networks_are_compared(pack):
    r = pack("e2e")
    assert r.returncode == 0, r.stderr
    assert "| gpt | graph | 2.5 | 2.501 | 4.0e-04 |" in r.stdout
    assert r.stdout.count("| mlp | eager |") == 2  # as it runs, and in the table


@pytest.mark.parametrize("loss", ["2.6", "nan", "-2.5"])
def test_another_loss_fails(pack, loss):
    assert pack("e2e", loss=loss).returncode == 1


def test_a_program_that_fails_is_told(pack):
    r = pack("e2e", fails="lenet fake eager")
    assert r.returncode == 1
    assert "| lenet | eager | 2.5 | failed: out of / memory | - |" in r.stdout
    r = pack("bench", fails="lenet fake eager")
    assert r.returncode == 1
    assert "| lenet | 2 | bf16 | eager | failed | - | 5 | 6 |" in r.stdout
    assert "| gpt | 2 | bf16 | graph | 12 | 34 | 5 | 6 |" in r.stdout


def test_speeds(pack):
    assert pack("bench").returncode == 0


def test_samples(pack):
    r = pack("samples")
    assert r.returncode == 0, r.stderr
    assert "| all | 12 | 11 | 0 | 0 | 0 |" in r.stdout
    assert "| by cuSOLVER | 12 | 11 | 0 | 0 | 0 |" in r.stdout
    r = pack("samples", fails="yes")
    assert r.returncode == 1
    assert "- [  FAILED  ] Gpu/Samples.add" in r.stdout


def test_memory_that_grows_fails(pack):
    assert "| lenet | graph | 34 | 34 |" in pack("e2e").stdout
    r = pack("e2e", peak="35")
    assert r.returncode == 1
    assert "| lenet | eager | 34 | 35 |" in r.stdout


# Says what it was asked for; part 3 has an error.
SANITIZER = """#!/usr/bin/env bash
if [ "$GTEST_SHARD_INDEX" = "$BAD" ]; then echo "========= ERROR SUMMARY: 2 errors"; exit 9; fi
echo "========= ERROR SUMMARY: 0 errors"
"""


@pytest.mark.parametrize("bad", ["", "3"])
def test_sanitizer(pack, tmp_path, monkeypatch, bad):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(SANITIZER)
    tool.chmod(0o755)
    monkeypatch.setenv("BAD", bad)
    r = pack("sanitize", path=str(tmp_path))
    assert r.returncode == (1 if bad else 0), r.stderr
    assert ("| memcheck | 20 of 20 | 9 | 2 |" if bad else "| memcheck | 20 of 20 | 0 | 0 |") in r.stdout
    assert "| racecheck |" in r.stdout


def test_no_table_without_a_sanitizer(pack):
    if shutil.which("compute-sanitizer"):
        pytest.skip("there is one")
    r = pack("sanitize")
    assert r.returncode == 1
    assert "##" not in r.stdout
