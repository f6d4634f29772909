// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/program.h"

namespace rutile::graph {

std::string memory_report(const Program& p) {
  auto mb = [](int64_t b) { return cat(static_cast<double>(b / 1024) / 1024.0); };
  return cat("arena ", mb(p.memory.peak), " MiB, lower bound ", mb(p.memory.lower_bound),
             " MiB, ratio ", p.memory.ratio(), " (order: ", p.memory.order, "), ", p.steps.size(),
             " kernels");
}

}  // namespace rutile::graph
