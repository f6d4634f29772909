// SPDX-License-Identifier: Apache-2.0
// What of a graph becomes one program: all that is computed in every call, the frozen values, or
// the body of a branch or loop.
#pragma once

#include <utility>
#include <vector>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

struct Part {
  std::vector<NodeId> order;
  std::vector<ValueId> outputs, frozen;  // made here, and by the other part
  bool main = true;
  bool body = false;  // of control flow: results lie row-major, and no one else asks for memory
};

// What is computed in every call, and the frozen values (of an empty order where there are none).
std::pair<Part, Part> split(const Graph& g);

}  // namespace rutile::graph
