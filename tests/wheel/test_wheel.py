# SPDX-License-Identifier: Apache-2.0
"""The wheel: what is in it, and that it works away from the tree it was built from."""

import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest
from conftest import ENV, ROOT, environment, run

MAX_MB = 60
TRAIN = """
import numpy as np
import rutile
from rutile import Tensor, nn, ops

assert "site-packages" in rutile.__file__, rutile.__file__
rutile.set_seed(1)

class LeNet(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, pad_mode="valid")
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid")
        self.pool = nn.MaxPool2d(2, 2)
        self.flatten = nn.Flatten()
        self.fc = nn.SequentialCell(nn.Dense(256, 120, activation="relu"), nn.Dense(120, 84, activation="relu"), nn.Dense(84, 10))

    def construct(self, x):
        x = self.pool(ops.relu(self.conv1(x)))
        x = self.pool(ops.relu(self.conv2(x)))
        return self.fc(self.flatten(x))

labels = np.arange(32) % 10
images = np.random.default_rng(0).normal(size=(32, 1, 28, 28)).astype(np.float32) * 0.1
images[np.arange(32), 0, 2 * labels + 2, :] += 2
x, y = Tensor(images), Tensor(labels.astype(np.int32))
for mode in (rutile.PYNATIVE_MODE, rutile.GRAPH_MODE):
    rutile.set_context(mode=mode)
    net = LeNet()
    step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")),
                               nn.Adam(net.trainable_params(), learning_rate=0.005))
    losses = [float(step(x, y)) for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0], losses
    for name in ("net.ckpt", "net.safetensors"):
        rutile.save_checkpoint(net, name, format=name.split(".")[1])
        other = LeNet()
        rutile.load_param_into_net(other, rutile.load_checkpoint(name, format=name.split(".")[1]))
        assert np.array_equal(other(x).asnumpy(), net(x).asnumpy())
print("trained with NumPy", np.__version__)
"""


def names(wheel):
    with zipfile.ZipFile(wheel) as file:
        return file.namelist()


def test_contents(wheel):
    files = names(wheel)
    for name in ("rutile/__init__.py", "rutile/py.typed", "rutile/__init__.pyi", "rutile/ops/table.pyi", "rutile/nn/layer.pyi", "rutile/nn/cell.py", "rutile/lib/librutile.so", "rutile/lib/librutile.so.0.1",
                 "rutile/lib/rutile/libdnnl.so.3", "rutile/lib/cmake/rutile/rutile-config.cmake", "rutile/include/rutile/rutile.h",
                 "rutile/lib/pkgconfig/rutile.pc", "rutile/share/doc/rutile/LICENSE", "rutile/share/doc/rutile/onednn/LICENSE"):
        assert name in files, name
    strange = [n for n in files if n.endswith((".pyc", ".cc", ".a", ".o")) or "/tests/" in n]
    assert not strange, strange
    assert sum(re.search(r"librutile\.so", n) is not None for n in files) == 2
    assert wheel.stat().st_size < MAX_MB * 1e6


def test_tag_and_metadata(wheel):
    version = f"{sys.version_info[0]}{sys.version_info[1]}"
    assert re.fullmatch(rf"rutile-\d+\.\d+\.\d+-cp{version}-cp{version}-manylinux_2_\d+_x86_64\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as file:
        [name] = [n for n in file.namelist() if n.endswith(".dist-info/METADATA")]
        text = file.read(name).decode()
    assert "Name: rutile\n" in text and "Requires-Dist: numpy>=1.26\n" in text and "Requires-Python: >=3.10\n" in text


def test_no_path_of_the_machine(wheel):
    strange = [str(p).encode() for p in (ROOT, ROOT / ".venv", (ROOT / ".venv").resolve())]
    with zipfile.ZipFile(wheel) as file:
        for name in file.namelist():
            content = b"" if "libdnnl" in name else file.read(name)
            assert not [s for s in strange if s in content], name


def test_trains_and_keeps_files(python, tmp_path):
    assert "trained with NumPy 2" in run(python, "-c", TRAIN, cwd=tmp_path)


def test_trains_with_numpy_1(wheel, tmp_path):
    """The same file beside NumPy 1.26, where it can be had."""
    python = environment(wheel, tmp_path / "env")
    done = subprocess.run([python, "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check", "--ignore-installed",
                           "--only-binary=:all:", "numpy==1.26.4"], capture_output=True, text=True, env=ENV, check=False)
    if done.returncode != 0:
        pytest.skip("NumPy 1.26.4 cannot be had here: " + done.stderr.strip()[-200:])
    assert "trained with NumPy 1.26" in run(python, "-c", TRAIN, cwd=tmp_path)


def test_command_line(python, tmp_path):
    assert run(python, "-m", "rutile", "--version", cwd=tmp_path) == run(python.parent / "rutile", "--version", cwd=tmp_path)
    assert "all is well" in run(python, "-m", "rutile", "doctor", cwd=tmp_path)
    out = run(python, "-c", "import rutile; rutile.run_check()", cwd=tmp_path)
    assert "Rutile has been installed on platform [CPU] successfully!" in out


def test_cmake_project(python, tmp_path):
    """A C++ program builds against the wheel, found through --cmake-dir, and runs."""
    folder = run(python, "-m", "rutile", "--cmake-dir", cwd=tmp_path).strip()
    (tmp_path / "CMakeLists.txt").write_text("""
cmake_minimum_required(VERSION 3.20)
project(user CXX)
find_package(rutile 0.1 CONFIG REQUIRED)
add_executable(loop loop.cc)
target_link_libraries(loop PRIVATE rutile::rutile)
""")
    (tmp_path / "loop.cc").write_text((ROOT / "examples/training_loop.cc").read_text())
    run("cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "b", f"-Drutile_DIR={folder}")
    run("cmake", "--build", tmp_path / "b")
    assert "step 300" in run(tmp_path / "b/loop", env={**ENV, "OMP_WAIT_POLICY": "passive"})


def test_pkg_config(python, tmp_path):
    folder = run(python, "-c", "import rutile, os; print(os.path.dirname(rutile.__file__))", cwd=tmp_path).strip()
    flags = run("pkg-config", "--cflags", "--libs", "rutile", env={**ENV, "PKG_CONFIG_PATH": f"{folder}/lib/pkgconfig"}).split()
    program = tmp_path / "loop"
    run("c++", ROOT / "examples/training_loop.cc", "-o", program, *flags, f"-Wl,-rpath,{folder}/lib")
    assert "step 300" in run(program, env={**ENV, "OMP_WAIT_POLICY": "passive"})


def test_libraries(python, tmp_path):
    """Nothing but the C library, zlib and libstdc++ is taken from the system; no third party's symbol is exported."""
    folder = run(python, "-c", "import rutile, os; print(os.path.dirname(rutile.__file__))", cwd=tmp_path).strip()
    out = run("ldd", f"{folder}/lib/librutile.so.0.1")
    assert "not found" not in out
    for name in re.findall(r"^\s*(\S+) => (/usr|/lib)", out, re.M):
        assert re.match(r"lib(c|m|z|stdc\+\+|gcc_s|pthread|dl|rt)\.so", name[0]), out
    exported = run("nm", "-D", "--defined-only", f"{folder}/lib/librutile.so.0.1")
    assert not re.search(r"dnnl|nlohmann|Eigen", exported)


def test_wheel_of_the_gpu_plugin(python, tmp_path):
    """It lies beside the library of the other wheel, is of its build, and finds what it needs or says what is missing."""
    build = pathlib.Path(os.environ.get("RUTILE_BUILD", ROOT / "build/release"))
    if not (build / "lib/librutile_cuda.so").exists():
        pytest.skip("librutile_cuda.so is not built: there is no nvcc 13")
    run(sys.executable, ROOT / "tools/wheel.py", "--cuda", "--build", build, "--out", tmp_path)
    [path] = tmp_path.glob("*.whl")
    assert re.fullmatch(r"rutile_cu13-\d+\.\d+\.\d+-py3-none-manylinux_2_\d+_x86_64\.whl", path.name)
    assert path.stat().st_size < MAX_MB * 1e6
    with zipfile.ZipFile(path) as file:
        [metadata] = [n for n in file.namelist() if n.endswith(".dist-info/METADATA")]
        text = file.read(metadata).decode()
        assert [n for n in file.namelist() if n.endswith(".so")] == ["rutile/lib/librutile_cuda.so"]
    assert "Name: rutile-cu13\n" in text
    # All that is opened by name when it is needed: kernels/cuda.
    for need in ("rutile==", "nvidia-cublas>=13", "nvidia-cudnn-cu13>=9", "nvidia-cusolver>=12", "nvidia-cufft>=12", "nvidia-cuda-runtime>=13", "nvidia-cuda-nvrtc>=13", "nvidia-cuda-cupti>=13"):
        assert f"Requires-Dist: {need}" in text, need
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", "-q", path)
    try:
        text = run(python, "-m", "rutile", "doctor", cwd=tmp_path)
        assert re.search(r"^plugin cuda +/.*site-packages/rutile/lib/librutile_cuda\.so$", text, re.MULTILINE), text
        assert re.search(r"^GPU.*(driver|GiB)", text, re.MULTILINE), text
    finally:
        run(python, "-m", "pip", "uninstall", "-y", "-q", "rutile-cu13")
