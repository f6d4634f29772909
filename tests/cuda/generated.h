// SPDX-License-Identifier: Apache-2.0
// Sources of generated kernels as host code: many of them compiled at once by the host's compiler
// with the emulator, and run on host memory.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/kernels/cuda/codegen.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::cuda {

class EmulatedSources {
 public:
  // Sources of equal name are one.
  void add(const Generated& g);
  // Compiles all; the compiler's words if it fails, otherwise empty.
  std::string build();
  // Fresh outputs. Throws where memory behind the workspace or an output was written.
  std::vector<Tensor> run(const Generated& g, const std::vector<Tensor>& in,
                          std::span<const TensorMeta> outs) const;
  size_t size() const { return all_.size(); }

 private:
  std::map<std::string, Generated> all_;
  testing::TempDir folder_;
  void* library_ = nullptr;
};

}  // namespace rutile::cuda
