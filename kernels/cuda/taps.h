// SPDX-License-Identifier: Apache-2.0
// Images [n, c, (d, (h,)) w] or without n, each element of which is made from some of another image
// along each spatial dimension (kernels/axis_taps.h): sums with weights, and maxima.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

struct TapsAxis {
  const int64_t* first = nullptr;
  const int32_t* pixel = nullptr;
  const double* weight = nullptr;
  int64_t in = 1;
};

// Missing spatial dimensions have size 1 and come first.
struct TapsArgs {
  int64_t n = 0;  // elements of y
  int64_t size[3] = {1, 1, 1};
  TapsAxis axis[3];
  int64_t x_step[3] = {}, y_step[3] = {}, index_step[3] = {};
  Indexer<3> plane_at;  // x, y, indices
  DType type = DType::kF32;
  const void* x = nullptr;
  void *y = nullptr, *indices = nullptr;
  int64_t lowest = 0;  // of an integer type
};
int launch_taps_sum(const TapsArgs& a, Stream stream);
int launch_taps_max(const TapsArgs& a, Stream stream);

// y[i] = x at the pixel that index i names in its plane, 0 for -1.
struct PixelArgs {
  int64_t n = 0, pixels = 0;                  // indices, pixels of a plane of the image
  int rank = 1;                               // spatial dimensions
  int64_t size[3] = {1, 1, 1}, step[3] = {};  // of the image
  Indexer<3> plane_at;                        // image, index, y
  Indexer<2> place_at;                        // index, y
  int64_t plane = 1;                          // indices of a plane
  DType type = DType::kF32, index_type = DType::kI32;
  const void *x = nullptr, *index = nullptr;
  void* y = nullptr;
  // For what is written: where each index goes in a row-major image.
  uint64_t* keys = nullptr;
  int64_t* values = nullptr;
  FaultSlot fault;
};
int launch_pixel_gather(const PixelArgs& a, Stream stream);
int launch_pixel_keys(const PixelArgs& a, Stream stream);

}  // namespace rutile::cuda
