// SPDX-License-Identifier: Apache-2.0
// A region: a body of ops as an attribute of a control-flow op.
#pragma once

#include <functional>
#include <vector>

#include "rutile/core/ref.h"
#include "rutile/core/tensor.h"

namespace rutile {

class Region final : public RefCounted {
 public:
  using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;
  explicit Region(Function fn) : function(std::move(fn)) {}
  Function function;                 // operands to results
  std::vector<TensorMeta> operands;  // of a traced body
  std::vector<TensorMeta> results;
  Ref<RefCounted> graph;  // of a traced body: what graph/ir/region.h makes of it
};

}  // namespace rutile
