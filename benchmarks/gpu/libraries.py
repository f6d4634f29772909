#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's libraries as benchmarks/gpu/run.sh finds them for the plugin.

  libraries.py folders   those of nvidia-* packages and of PyTorch in this Python, joined by ':'
  libraries.py report    a line for each library that the plugin opens: its version and file, or that it is missing, in the
                         plugin's order: RUTILE_CUDA_LIBRARIES, the loader, a toolkit (kernels/cuda/open_library.cc)"""
import ctypes
import glob
import os
import site
import sys

WHAT = {"libcudart.so.13": "for cuDNN", "libcublasLt.so.13": "products", "libcudnn.so.9": "convolutions, attention",
        "libnvrtc.so.13": "fused kernels", "libcusolver.so.12": "decompositions", "libcufft.so.12": "Fourier transforms",
        "libcupti.so.13": "profiles"}
NEEDS = {"libcublas.so.13": ["libcublasLt.so.13"], "libcusparse.so.12": ["libnvJitLink.so.13"],
         "libcusolver.so.12": ["libcublas.so.13", "libcusparse.so.12"], "libcudnn.so.9": ["libcublasLt.so.13", "libnvrtc.so.13"]}


def folders():
    roots = [p for p in [*sys.path, *site.getsitepackages(), site.getusersitepackages()] if os.path.isdir(p)]
    found = [d for r in roots for d in sorted(glob.glob(r + "/nvidia/*/lib")) + glob.glob(r + "/torch/lib") if os.path.isdir(d)]
    return list(dict.fromkeys(found))


def opened(name):
    """The library and where it was found; None where it is nowhere."""
    for need in NEEDS.get(name, ()):
        opened(need)
    named = [f for f in os.environ.get("RUTILE_CUDA_LIBRARIES", "").split(":") if f]
    toolkits = [os.path.join(os.environ[v], "lib64") for v in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(v)]
    places = [os.path.join(f, name) for f in named] + [name] + [os.path.join(f, name) for f in [*toolkits, "/usr/local/cuda/lib64"]]
    for place in places:
        if os.sep in place and not os.path.exists(place):
            continue
        try:
            return ctypes.CDLL(place, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
    return None


def version(library, name):
    number, minor = ctypes.c_int(), ctypes.c_int()
    if "nvrtc" in name:
        library.nvrtcVersion(ctypes.byref(number), ctypes.byref(minor))
        return f"{number.value}.{minor.value}"
    if "cudart" in name:
        library.cudaRuntimeGetVersion(ctypes.byref(number))
    elif "cusolver" in name:
        library.cusolverGetVersion(ctypes.byref(number))
    elif "cufft" in name:
        library.cufftGetVersion(ctypes.byref(number))
    elif "cupti" in name:
        library.cuptiGetVersion(ctypes.byref(number))
    else:
        get = library.cudnnGetVersion if "cudnn" in name else library.cublasLtGetVersion
        get.restype = ctypes.c_size_t
        number.value = get()
    return str(number.value)


def path_of(name):
    """The file that the process has under that name."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if "/" in line}
    stem = name.split(".so")[0] + ".so"
    return next((p for p in sorted(paths) if os.path.basename(p).startswith(stem)), name)


def report():
    for name, what in WHAT.items():
        library = opened(name)
        if library is None:
            print(f"- {name} ({what}): missing")
        elif "cudnn" in name and library.cudnnGetCudartVersion() // 1000 != 13:  # lib_cudnn.cc refuses it
            print(f"- {name} ({what}): that of {path_of(name)} is for CUDA {library.cudnnGetCudartVersion() // 1000}, not used")
        else:
            print(f"- {name} ({what}): {version(library, name)}, {path_of(name)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["folders"]:
        print(":".join(folders()))
    elif sys.argv[1:] == ["report"]:
        report()
    else:
        sys.exit(__doc__)
