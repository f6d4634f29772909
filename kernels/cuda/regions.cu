// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/regions.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/roi_samples.h"

namespace rutile::cuda {
namespace {

using kernels::RoiPair;
using kernels::RoiRange;
using kernels::RoiSide;

// -1 for a box whose image is not there.
RUTILE_FN int64_t image_of(const RegionArgs& a, int64_t k) {
  const int64_t i = load<int64_t>(a.index_type, a.index, k * a.image_step);
  return i >= 0 && i < a.images ? i : -1;
}
RUTILE_FN RoiSide side_of(const RegionArgs& a, int64_t k, int axis) {
  const auto edge = [&](int i) {
    return load_any<double>(a.box_type, a.at, k * a.box[0] + i * a.box[1]);
  };
  return kernels::roi_side(edge(axis), edge(2 + axis), axis == 1 ? a.rows : a.columns, a.scale,
                           a.ratio, a.aligned);
}

__global__ void __launch_bounds__(kCoverThreads) check_regions(RUTILE_PARAM RegionArgs a) {
  const int64_t k = thread_number();
  if (k >= a.boxes || image_of(a, k) >= 0) return;
  a.fault.raise(FaultKind::kIndex, load<int64_t>(a.index_type, a.index, k * a.image_step), k,
                a.images, false);
}

// A thread a bin of a channel.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) regions(RUTILE_PARAM RegionArgs a) {
  const int64_t e = thread_number();
  if (e >= a.boxes * a.channels * a.rows * a.columns) return;
  const int64_t j = e % a.columns, i = e / a.columns % a.rows;
  const int64_t c = e / (a.columns * a.rows) % a.channels;
  const int64_t k = e / (a.columns * a.rows * a.channels), image = image_of(a, k);
  const RoiSide y = side_of(a, k, 1), x = side_of(a, k, 0);
  double sum = 0;
  const RoiRange rows = kernels::roi_range(y, i, a.h), columns = kernels::roi_range(x, j, a.w);
  const int64_t base = image * a.image[0] + c * a.image[1];
  for (int64_t s = rows.begin; image >= 0 && x.samples > 0 && s < rows.end; ++s) {
    const RoiPair v = kernels::roi_pair(y.at(i, s), a.h);
    if (v.weight[0] == 0 && v.weight[1] == 0) continue;
    for (int64_t t = columns.begin; t < columns.end; ++t) {
      const RoiPair u = kernels::roi_pair(x.at(j, t), a.w);
      for (int q = 0; q < 4; ++q) {
        const double weight = v.weight[q / 2] * u.weight[q % 2];
        if (weight == 0) continue;
        sum += weight *
               load_any<double>(a.type, a.x,
                                base + v.pixel[q / 2] * a.image[2] + u.pixel[q % 2] * a.image[3]);
      }
    }
  }
  const double all = static_cast<double>(y.samples) * static_cast<double>(x.samples);
  store<C>(a.type, a.y, k * a.region[0] + c * a.region[1] + i * a.region[2] + j * a.region[3],
           static_cast<C>(all > 0 ? sum / all : 0));
}

// How much of the bin's mean along one side is this pixel's, times the samples.
RUTILE_FN double share_of(const RoiSide& s, int64_t bin, int64_t pixel, int64_t n) {
  const double from = s.start + static_cast<double>(bin) * s.bin, to = from + s.bin;
  const double low = from < to ? from : to, high = from < to ? to : from;
  const double p = static_cast<double>(pixel);
  if (p < low - 1.5 || p > high + 1.5) return 0;  // a sample reaches pixels less than 1 away
  const RoiRange range = kernels::roi_range(s, bin, n);
  double sum = 0;
  for (int64_t i = range.begin; i < range.end; ++i) {
    const RoiPair pair = kernels::roi_pair(s.at(bin, i), n);
    if (pair.pixel[0] == pixel) sum += pair.weight[0];
    if (pair.pixel[1] == pixel) sum += pair.weight[1];
  }
  return sum;
}
// Whether a pixel may be in the region at all.
RUTILE_FN bool may_reach(const RoiSide& s, int64_t bins, int64_t pixel) {
  const double to = s.start + static_cast<double>(bins) * s.bin, p = static_cast<double>(pixel);
  const double low = s.start < to ? s.start : to, high = s.start < to ? to : s.start;
  return s.samples > 0 && !(p < low - 1.5 || p > high + 1.5);
}

// A thread a pixel of a channel.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) regions_grad(RUTILE_PARAM RegionArgs a) {
  const int64_t e = thread_number();
  if (e >= a.images * a.channels * a.h * a.w) return;
  const int64_t column = e % a.w, row = e / a.w % a.h, c = e / (a.w * a.h) % a.channels;
  const int64_t image = e / (a.w * a.h * a.channels);
  double sum = 0;
  for (int64_t k = 0; k < a.boxes; ++k) {
    if (image_of(a, k) != image) continue;
    const RoiSide y = side_of(a, k, 1), x = side_of(a, k, 0);
    if (!may_reach(y, a.rows, row) || !may_reach(x, a.columns, column)) continue;
    const double each = 1 / (static_cast<double>(y.samples) * static_cast<double>(x.samples));
    for (int64_t i = 0; i < a.rows; ++i) {
      const double v = share_of(y, i, row, a.h);
      if (v == 0) continue;
      for (int64_t j = 0; j < a.columns; ++j) {
        const double u = share_of(x, j, column, a.w);
        if (u == 0) continue;
        sum +=
            v * u * each *
            load_any<double>(a.type, a.x,
                             k * a.region[0] + c * a.region[1] + i * a.region[2] + j * a.region[3]);
      }
    }
  }
  store<C>(a.type, a.y,
           image * a.image[0] + c * a.image[1] + row * a.image[2] + column * a.image[3],
           static_cast<C>(sum));
}

int check(const RegionArgs& a, Stream stream) {
  return launch(check_regions, cover(a.boxes), stream, a);
}

}  // namespace

int launch_regions(const RegionArgs& a, Stream stream) {
  if (const int code = check(a, stream); code != 0) return code;
  const Grid grid = cover(a.boxes * a.channels * a.rows * a.columns);
  return a.type == DType::kF64 ? launch(regions<double>, grid, stream, a)
                               : launch(regions<float>, grid, stream, a);
}
int launch_regions_grad(const RegionArgs& a, Stream stream) {
  if (const int code = check(a, stream); code != 0) return code;
  const Grid grid = cover(a.images * a.channels * a.h * a.w);
  return a.type == DType::kF64 ? launch(regions_grad<double>, grid, stream, a)
                               : launch(regions_grad<float>, grid, stream, a);
}

}  // namespace rutile::cuda
