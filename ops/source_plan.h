// SPDX-License-Identifier: Apache-2.0
// A plan whose kernel was generated for its call: what explain shows of it.
#pragma once

#include <string>

#include "rutile/ops/kernel_table.h"

namespace rutile {

struct RUTILE_API SourcePlan : Plan {
  ~SourcePlan() override;
  virtual std::string name() const = 0;    // equal for equal sources: "fused_0123456789abcdef"
  virtual std::string source() const = 0;  // CUDA C++
  // One line a kernel: registers, spills, shared memory, how many threads fit on a multiprocessor.
  virtual std::string resources() const = 0;
};

}  // namespace rutile
