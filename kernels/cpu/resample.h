// SPDX-License-Identifier: Apache-2.0
// Between the rows of resampling and of maxima over windows, and their vector kernels, which exist
// once per instruction set.
#pragma once

#include <cstdint>

namespace rutile::kernels {

// [outer, in, inner] to [outer, out, inner]: line o of the result is the sum over k in [first[o],
// first[o + 1]) of weight[k] times line pixel[k].
struct ResampleLines {
  int64_t in = 0, out = 0, inner = 1;
  const int64_t* first = nullptr;
  const int32_t* pixel = nullptr;
  const float* weight = nullptr;
  const void* x = nullptr;
  void* y = nullptr;
};
// Lines [begin, end) of outer x out.
using ResampleFn = void (*)(const ResampleLines&, int64_t begin, int64_t end);

// The largest of sixteen neighbouring channels, and which pixel it is: pixels lie `step` apart and
// are named by depth, row and column.
struct MaxWindow {
  const int32_t *depths = nullptr, *rows = nullptr, *columns = nullptr;
  int64_t num_depths = 0, num_rows = 0, num_columns = 0;
  int64_t height = 0, width = 0;  // of the image
  int64_t step = 0;
};
using MaxWindowFn = void (*)(const MaxWindow&, const void* x, void* y, int32_t* indices);

#define RUTILE_RESAMPLE_KERNELS                             \
  ResampleFn resample_kernel(bool from_bf16, bool to_bf16); \
  MaxWindowFn max_window_kernel(bool bf16);
namespace avx2 {
RUTILE_RESAMPLE_KERNELS
}
namespace avx512 {
RUTILE_RESAMPLE_KERNELS
}
#undef RUTILE_RESAMPLE_KERNELS

}  // namespace rutile::kernels
