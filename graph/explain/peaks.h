// SPDX-License-Identifier: Apache-2.0
// What this machine reaches: a matrix product through the same kernels that networks use, and
// copies of several sizes. Limits on the cpu are held against it, not against data sheets.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "rutile/core/api.h"
#include "rutile/core/device_plugin.h"
#include "rutile/ops/cost.h"

namespace rutile::graph {

struct MachinePeaks {
  int threads = 0;
  std::string device = {};               // whose stated peaks they are; empty: measured on the cpu
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

// What the maker states of a GPU: dense products in bf16 (tf32 for f32) and the memory's rate. By
// its name ("NVIDIA H200"): A100, H100, H200, B200 and some of their kin; of others, by compute
// capability, that of the nearest with the memory's rate that the driver gives.
RUTILE_API MachinePeaks stated_peaks(const DeviceInfo& info);

}  // namespace rutile::graph
