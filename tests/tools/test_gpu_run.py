# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu/run.sh as it stands in the pack, with pretended programs."""
import os
import re
import shutil
import stat
import subprocess
import sys

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
    --explain) explain="$2" ;;
  esac
  shift
done
name="$(basename "$0")"
if [ -n "$explain" ] && [ "$name $device $how" != "$FAILS" ]; then
  mkdir "$explain"
  printf '%s: 7 kernels\\n  gaps      0.1 ms\\n\\nPasses\\n\\nKernels\\n  conv2d\\n' "$name" >"$explain/explain.txt"
  exit 0
fi
if [ "$name $device $how" = "$FAILS" ]; then echo "out of | memory" >&2; exit 3; fi
loss=2.5
if [ "$device" = fake ] && [ "$name" = gpt ]; then loss="$LOSS"; fi
peak=34
[ "$steps" != 30 ] || peak="$PEAK"
echo "{\\"final_loss\\": $loss, \\"items_per_second\\": 12, \\"first_step_s\\": 0.25, \\"device_peak_mb\\": $peak}" >"$json"
"""
SAMPLES = """#!/usr/bin/env bash
[ "$FAILS" != start ] || { echo "libc.so.6: version too old" >&2; exit 127; }
[ "$1" != --gtest_list_tests ] || exit 0
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
    for name in ("mlp", "lenet", "resnet50", "gpt", "gpt2", "test_gpu"):
        path = tmp_path / "bin" / name
        path.write_text(SAMPLES if name == "test_gpu" else PROGRAM)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "torch_side.py").write_text("print('eager 5 100 1.5')\nprint('compiled 6 200 30.0')\n")

    def run(*mode, device="fake", fails="", loss="2.501", peak="34", path=""):
        env = dict(os.environ, RUTILE_GPU_DEVICE=device, FAILS=fails, LOSS=loss, PEAK=peak)
        if path:
            env["PATH"] = f"{path}:{env['PATH']}"
        return subprocess.run(["bash", str(tmp_path / "run.sh"), *mode], env=env, text=True,
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
    assert "| lenet | 2 | eager | failed | - | - | 5 | 100 | 6 | 30.0 | 200 | - |" in r.stdout
    assert "| gpt | 2 | graph | 12 | 0.25 | 34 | 5 | 100 | 6 | 30.0 | 200 | 2.00 |" in r.stdout


def test_speeds(pack, tmp_path):
    r = pack("bench")
    assert r.returncode == 0
    for name in ("resnet50", "gpt2", "lenet", "mlp", "gpt"):
        assert r.stdout.count(f"| {name} | 2 | eager | 12 |") == 2
    assert not [f.name for f in tmp_path.iterdir() if f.name not in ("bin", "lib", "run.sh", "torch_side.py")]
    r = pack("bench", "mlp", "gpt2")
    assert "| mlp |" in r.stdout and "| gpt2 |" in r.stdout and "lenet" not in r.stdout
    r = pack("bench", "mpl")
    assert r.returncode == 2 and "bench: mpl is none of resnet50 gpt2" in r.stdout
    # PyTorch got as far as its first form, or nowhere.
    (tmp_path / "torch_side.py").write_text("print('eager 24 100 1.5')\nraise SystemExit('no memory')\n")
    r = pack("bench", "mlp")
    assert r.returncode == 0
    assert "| mlp | 2 | graph | 12 | 0.25 | 34 | 24 | 100 | - | - | - | 0.50 |" in r.stdout
    assert "PyTorch, mlp: no memory" in r.stdout


def test_steps_are_explained(pack):
    r = pack("explain")
    assert r.returncode == 0, r.stderr
    for name in ("resnet50", "gpt2", "lenet", "mlp", "gpt"):
        assert f"{name}, batch 2, fp32:\n\n```\n{name}: 7 kernels\n  gaps      0.1 ms\n" in r.stdout
    assert r.stdout.count("Kernels\n  conv2d\n```") == 10  # as it runs, and in the log
    r = pack("explain", "mlp", "lenet", fails="lenet fake graph")
    assert r.returncode == 1 and "lenet: out of / memory" in r.stdout and "mlp: 7 kernels" in r.stdout
    assert pack("explain", "mpl").returncode == 2


def test_all_of_it(pack):
    if shutil.which("compute-sanitizer"):
        pytest.skip("it would run on the pretended programs")
    r = pack("all")
    assert r.returncode == 0, r.stdout + r.stderr
    for part in ("samples", "e2e", "bench", "explain"):
        assert f"== {part}, ten minutes at most" in r.stdout
        assert re.search(rf"^## [-0-9]+ {part}$", r.stdout, re.M), "its table's heading"
    assert "sanitize is left out" in r.stdout
    assert r.stdout.rstrip().endswith("== all of it went well")


def test_all_of_it_goes_on_behind_a_failure(pack):
    r = pack("all", loss="7")
    assert r.returncode == 1
    assert "== explain, ten minutes at most" in r.stdout
    assert "== failed: e2e (their tables say what)" in r.stdout


def test_nothing_is_claimed_without_a_gpu(pack, tmp_path):
    if shutil.which("nvidia-smi"):
        pytest.skip("there may be one")
    for mode in ("samples", "e2e", "bench", "explain", "sanitize"):
        r = pack(mode, device="cuda")
        assert r.returncode == 0 and r.stdout.startswith("no NVIDIA GPU here"), r.stdout
    assert not (tmp_path / "gpu_log.md").exists()


def test_programs_that_do_not_start(pack):
    r = pack("samples", fails="start")
    assert r.returncode == 1
    assert r.stdout == "the programs do not start here: libc.so.6: version too old\n"


def test_only_a_tree_is_packed(pack):
    r = pack("pack")
    assert r.returncode == 1 and "needs the source tree" in r.stdout


# What stands for each of NVIDIA's libraries: their versions.
LIBRARY = """
#include <stddef.h>
int cudaRuntimeGetVersion(int* v) { *v = 13020; return 0; }
int cusolverGetVersion(int* v) { *v = 12200; return 0; }
int cufftGetVersion(int* v) { *v = 12201; return 0; }
int cuptiGetVersion(unsigned* v) { *v = 130200; return 0; }
int nvrtcVersion(int* major, int* minor) { *major = 13; *minor = 2; return 0; }
size_t cublasLtGetVersion(void) { return 130401; }
size_t cudnnGetVersion(void) { return 92600; }
size_t cudnnGetCudartVersion(void) { return CUDA; }
"""


@pytest.mark.parametrize("place, cuda", [("package", 13040), ("named", 12090)])
def test_libraries(tmp_path, place, cuda):
    folder = tmp_path / ("nvidia/cu13/lib" if place == "package" else "mine")
    folder.mkdir(parents=True)
    source = tmp_path / "stub.c"
    source.write_text(LIBRARY)
    one = tmp_path / "one.so"
    subprocess.run(["cc", f"-DCUDA={cuda}", "-shared", "-fPIC", "-o", one, source], check=True)
    for name in ("cudart.so.13", "cublas.so.13", "cublasLt.so.13", "cudnn.so.9", "nvrtc.so.13", "cusolver.so.12", "cusparse.so.12",
                 "nvJitLink.so.13", "cufft.so.12", "cupti.so.13"):
        shutil.copy(one, folder / f"lib{name}")
    program = os.path.join(os.path.dirname(RUN), "libraries.py")
    env = dict(os.environ, PYTHONPATH=str(tmp_path))
    env["RUTILE_CUDA_LIBRARIES"] = str(folder) if place == "named" else subprocess.run(
        [sys.executable, program, "folders"], env=env, text=True, capture_output=True, check=True).stdout.strip()
    out = subprocess.run([sys.executable, program, "report"], env=env, text=True, capture_output=True, check=True).stdout
    cudnn = f"92600, {folder}/libcudnn.so.9" if cuda > 13000 else f"that of {folder}/libcudnn.so.9 is for CUDA 12, not used"
    assert out == (f"- libcudart.so.13 (for cuDNN): 13020, {folder}/libcudart.so.13\n"
                   f"- libcublasLt.so.13 (products): 130401, {folder}/libcublasLt.so.13\n"
                   f"- libcudnn.so.9 (convolutions, attention): {cudnn}\n"
                   f"- libnvrtc.so.13 (fused kernels): 13.2, {folder}/libnvrtc.so.13\n"
                   f"- libcusolver.so.12 (decompositions): 12200, {folder}/libcusolver.so.12\n"
                   f"- libcufft.so.12 (Fourier transforms): 12201, {folder}/libcufft.so.12\n"
                   f"- libcupti.so.13 (profiles): 130200, {folder}/libcupti.so.13\n")


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
