// SPDX-License-Identifier: Apache-2.0
// The functions of one of NVIDIA's libraries, by their own names, looked up when the first is
// needed. A list of them stands in a file of its own, a line RUTILE_FUNCTION(name) each, which a
// struct that derives from LibraryApi includes; library_api<Api>() is then the one of that library,
// usable where its `failure` is empty (lib_cufft.cc).
#pragma once

#include <string>

#include "rutile/core/strings.h"
#include "rutile/kernels/cuda/libraries.h"

#define RUTILE_FUNCTION(name) decltype(&::name) name = find<decltype(&::name)>(#name);

namespace rutile::cuda {

struct LibraryApi {
  std::string failure;  // why the library cannot be used; empty: it can

 protected:
  explicit LibraryApi(const char* file) : file_(file), library_(open_library(file)) {
    failure = library_.failure;
  }
  template <class Function>
  Function find(const char* name) {
    void* const found = library_symbol(library_, name);
    if (!found && failure.empty()) {
      failure = cat(file_, " lacks ", name, "; that of CUDA 13.0 or newer is needed");
    }
    return reinterpret_cast<Function>(found);
  }

 private:
  const char* const file_;
  const Library& library_;
};

// Looked up once, by the first caller.
template <class Api>
const Api& library_api() {
  static const Api* const made = new Api();
  return *made;
}

}  // namespace rutile::cuda
