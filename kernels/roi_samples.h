// SPDX-License-Identifier: Apache-2.0
// Where roi_align looks, shared by its kernels, device code too.
#pragma once

#include <cmath>
#include <cstdint>

#include "rutile/kernels/inline.h"

namespace rutile::kernels {

// One region: bins along y and x, samples in each.
struct RoiSide {
  double start = 0, bin = 0;
  int64_t samples = 1;
  // The place of sample i of bin k.
  RUTILE_FN double at(int64_t k, int64_t i) const {
    return start + static_cast<double>(k) * bin +
           (static_cast<double>(i) + 0.5) * bin / static_cast<double>(samples);
  }
};
// The samples of a bin that can lie inside of [-1, n]; the others count as 0.
struct RoiRange {
  int64_t begin = 0, end = 0;
};
RUTILE_FN RoiRange roi_range(const RoiSide& s, int64_t k, int64_t n) {
  const double step = s.bin / static_cast<double>(s.samples);
  const double first = s.start + static_cast<double>(k) * s.bin + 0.5 * step;
  if (!(step > 0) || !(first - first == 0)) return {0, s.samples};
  const auto limited = [&](double v) {
    const double most = static_cast<double>(s.samples);
    return static_cast<int64_t>(v < 0 ? 0 : v > most ? most : v);
  };
  // One more at both ends for what rounding does.
  return {limited(std::floor((-1 - first) / step) - 1),
          limited(std::ceil((static_cast<double>(n) - first) / step) + 2)};
}

// A box from a to b along one side, cut into `bins`. Boxes that are NaN or too large to hold a
// pixel's worth of their mean have no samples.
RUTILE_FN RoiSide roi_side(double a, double b, int64_t bins, double scale, int64_t ratio,
                           bool aligned) {
  RoiSide s;
  const double offset = aligned ? 0.5 : 0;
  s.start = a * scale - offset;
  double size = b * scale - offset - s.start;
  if (!aligned && size < 1) size = 1;
  s.bin = size / static_cast<double>(bins);
  const double own = std::ceil(s.bin);
  constexpr double kMost = 1e15;
  s.samples = ratio > 0 ? ratio : own >= 1 && own < kMost ? static_cast<int64_t>(own) : 0;
  return s;
}

// The two pixels beside a place and their weights; both 0 outside.
struct RoiPair {
  int64_t pixel[2] = {0, 0};
  double weight[2] = {0, 0};
};
RUTILE_FN RoiPair roi_pair(double at, int64_t n) {
  RoiPair p;
  if (!(at >= -1 && at <= static_cast<double>(n))) return p;
  if (at < 0) at = 0;
  const int64_t whole = static_cast<int64_t>(at), low = whole < n - 1 ? whole : n - 1;
  p.pixel[0] = low;
  p.pixel[1] = low + 1 < n - 1 ? low + 1 : n - 1;
  const double part = low == n - 1 ? 0 : at - static_cast<double>(low);
  p.weight[0] = 1 - part;
  p.weight[1] = part;
  return p;
}

}  // namespace rutile::kernels
