// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/pool_layers.h"

#include "rutile/ops/adaptive_pool.h"
#include "rutile/ops/pool.h"

namespace rutile::nn {

namespace {

template <class Attrs>
std::string text_of(const Attrs& a) {
  return attrs_to_string(*attrs_of<Attrs>(), &a);
}

}  // namespace

#define RUTILE_WINDOW_CELL(Name, Size, function)                                                   \
  Name::Name(Size kernel, Name##Options options) : options_(options) { options_.kernel = kernel; } \
  std::string Name::extra_repr() const { return text_of(options_); }                               \
  Tensor Name::construct(const Tensor& x) { return ops::function(x, options_); }
RUTILE_WINDOW_CELL(MaxPool1d, int64_t, max_pool1d)
RUTILE_WINDOW_CELL(MaxPool3d, Int3, max_pool3d)
RUTILE_WINDOW_CELL(AvgPool1d, int64_t, avg_pool1d)
RUTILE_WINDOW_CELL(AvgPool3d, Int3, avg_pool3d)
RUTILE_WINDOW_CELL(LpPool1d, int64_t, lp_pool1d)
RUTILE_WINDOW_CELL(LpPool2d, Int2, lp_pool2d)
RUTILE_WINDOW_CELL(LpPool3d, Int3, lp_pool3d)

#define RUTILE_UNPOOL_CELL(Name, Size, function)                                                   \
  Name::Name(Size kernel, Name##Options options) : options_(options) { options_.kernel = kernel; } \
  std::string Name::extra_repr() const { return text_of(options_); }                               \
  Tensor Name::construct_pair(const Tensor& x, const Tensor& indices) {                            \
    return ops::function(x, indices, options_);                                                    \
  }
RUTILE_UNPOOL_CELL(MaxUnpool1d, int64_t, max_unpool1d)
RUTILE_UNPOOL_CELL(MaxUnpool2d, Int2, max_unpool2d)
RUTILE_UNPOOL_CELL(MaxUnpool3d, Int3, max_unpool3d)

Tensor AdaptiveAvgPool1d::construct(const Tensor& x) {
  return ops::adaptive_avg_pool1d(x, output_size_);
}
Tensor AdaptiveAvgPool2d::construct(const Tensor& x) {
  return ops::adaptive_avg_pool2d(x, output_size_);
}
Tensor AdaptiveAvgPool3d::construct(const Tensor& x) {
  return ops::adaptive_avg_pool3d(x, output_size_);
}
Tensor AdaptiveMaxPool1d::construct(const Tensor& x) {
  return ops::adaptive_max_pool1d(x, output_size_);
}
Tensor AdaptiveMaxPool2d::construct(const Tensor& x) {
  return ops::adaptive_max_pool2d(x, output_size_);
}
Tensor AdaptiveMaxPool3d::construct(const Tensor& x) {
  return ops::adaptive_max_pool3d(x, output_size_);
}

}  // namespace rutile::nn
