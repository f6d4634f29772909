// SPDX-License-Identifier: Apache-2.0
// NVIDIA's libraries, opened when the first call needs them: in the nvidia-* wheels beside the
// plugin first, then where the loader looks.
#pragma once

#include <string>

#include "rutile/core/error.h"

namespace rutile {
using Stream = struct StreamTag*;
}

namespace rutile::cuda {

struct Library {
  void* handle = nullptr;
  std::string failure;  // which file was looked for, and where
};
// By file name: "libcublasLt.so.13". Opened once, never closed.
const Library& open_library(const char* file);
// Null if the library lacks it.
void* library_symbol(const Library& library, const char* name);

// A stream as libraries take it.
struct LibraryStream {
  int device = 0;
  void* native = nullptr;  // cudaStream_t
  bool capturing = false;
};
// Makes the stream's device the thread's own.
Status library_stream(Stream stream, LibraryStream* out);
// The device becomes the thread's own.
Status make_current(int device);

void register_blas();
void register_cudnn();
void register_solver();
void register_cufft();
void register_cupti();

}  // namespace rutile::cuda
