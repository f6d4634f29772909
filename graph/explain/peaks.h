// SPDX-License-Identifier: Apache-2.0
// What this machine reaches: a matrix product through the same kernels that networks use, and
// copies of several sizes. Limits are held against it, not against data sheets.
#pragma once

#include <utility>
#include <vector>

#include "rutile/core/api.h"
#include "rutile/ops/cost.h"

namespace rutile::graph {

struct MachinePeaks {
  int threads = 0;
  double f32_flops = 0, bf16_flops = 0;  // a second
  // Bytes read and written, and the bytes a second that such a copy reaches: caches make the small
  // ones faster. Ascending.
  std::vector<std::pair<double, double>> copies;
  // Bytes a second for an amount between the measured ones.
  RUTILE_API double bandwidth(double bytes) const;
  // From memory, beyond all caches.
  double memory_bandwidth() const { return copies.empty() ? 0 : copies.back().second; }
  // The least seconds that the work can take: arithmetic or traffic, whichever lasts longer.
  // `type` is what the products are computed from.
  RUTILE_API double seconds(const Cost& cost, DType type) const;
  RUTILE_API double flops(DType type) const;
};

// Measured for the current number of threads at the first call (in about a second), then
// remembered by the process.
RUTILE_API const MachinePeaks& machine_peaks();

}  // namespace rutile::graph
