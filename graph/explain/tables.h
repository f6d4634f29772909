// SPDX-License-Identifier: Apache-2.0
// What the text and the JSON of an Explanation both show: rows grouped by what they have in common.
#pragma once

#include <string>
#include <vector>

#include "rutile/graph/explain.h"

namespace rutile::graph {

struct KernelGroup {
  std::string op, kernel;
  int calls = 0;
  double ms = 0, limit_ms = 0, arithmetic_ms = 0;  // the last: of the limit, what is arithmetic
  Cost cost;
};
// By op and kernel, the one that takes most time first.
std::vector<KernelGroup> kernel_groups(const Explanation& e);

struct RemarkGroup {
  std::string pass, what, reason, where;  // where: the first of them
  bool done = false;
  int count = 0;
};
// Equal remarks of a pass together; what was done before what was refused, frequent ones first.
std::vector<RemarkGroup> remark_groups(const CompileReport& report);

struct ReorderGroup {
  Reorder first;
  int count = 0;
  double bytes = 0, ms = 0;
};
// By source, placements and reader's op; most bytes first.
std::vector<ReorderGroup> reorder_groups(const Explanation& e);

// The indices of the largest buffers (slowest kernels), at most n.
std::vector<size_t> largest_buffers(const Explanation& e, size_t n);
std::vector<size_t> slowest_kernels(const Explanation& e, size_t n);

}  // namespace rutile::graph
