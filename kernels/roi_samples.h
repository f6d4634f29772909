// SPDX-License-Identifier: Apache-2.0
// Where roi_align looks, shared by its kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace rutile::kernels {

// One region: bins along y and x, samples in each.
struct RoiSide {
  double start = 0, bin = 0;
  int64_t samples = 1;
  // The place of sample i of bin k.
  double at(int64_t k, int64_t i) const {
    return start + static_cast<double>(k) * bin +
           (static_cast<double>(i) + 0.5) * bin / static_cast<double>(samples);
  }
};
// A box from a to b along one side, cut into `bins`. NaN and huge boxes have one sample.
inline RoiSide roi_side(double a, double b, int64_t bins, double scale, int64_t ratio,
                        bool aligned) {
  RoiSide s;
  const double offset = aligned ? 0.5 : 0;
  s.start = a * scale - offset;
  double size = b * scale - offset - s.start;
  if (!aligned) size = std::max(size, 1.0);
  s.bin = size / static_cast<double>(bins);
  const double own = std::ceil(s.bin);
  s.samples = ratio > 0               ? ratio
              : own >= 1 && own < 1e6 ? static_cast<int64_t>(own)
              : own < 1               ? 0
                                      : 1;
  return s;
}

// The two pixels beside a place and their weights; both 0 outside.
struct RoiPair {
  int64_t pixel[2] = {0, 0};
  double weight[2] = {0, 0};
};
inline RoiPair roi_pair(double at, int64_t n) {
  RoiPair p;
  if (!(at >= -1 && at <= static_cast<double>(n))) return p;
  at = std::max(at, 0.0);
  const int64_t low = std::min(static_cast<int64_t>(at), n - 1);
  p.pixel[0] = low;
  p.pixel[1] = std::min(low + 1, n - 1);
  const double part = low == n - 1 ? 0 : at - static_cast<double>(low);
  p.weight[0] = 1 - part;
  p.weight[1] = part;
  return p;
}

}  // namespace rutile::kernels
