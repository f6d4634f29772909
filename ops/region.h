// SPDX-License-Identifier: Apache-2.0
// A region: a body of ops as an attribute of a control-flow op (cond, while_loop, scan, recompute).
// Eager runs the function; a trace keeps the graph that the tracer made of it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "rutile/core/ref.h"
#include "rutile/core/tensor.h"

namespace rutile {

class Region final : public RefCounted {
 public:
  using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;
  explicit Region(Function fn) : function(std::move(fn)) {}
  Function function;             // operands to results; closures have been turned into operands
  std::shared_ptr<void> graph;   // graph/ir's form, set by the tracer; opaque here
};

}  // namespace rutile
