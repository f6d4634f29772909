// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/layers.h"
#include "rutile/ops/pool.h"

namespace rutile::nn {

MaxPool2d::MaxPool2d(Int2 kernel, Pool2dOptions o) : kernel_(kernel), options_(o) {}
Tensor MaxPool2d::construct(const Tensor& x) {
  return ops::max_pool2d(x, {.kernel = kernel_,
                             .stride = options_.stride,
                             .pad = options_.pad,
                             .dilation = options_.dilation,
                             .ceil_mode = options_.ceil_mode});
}
std::string MaxPool2d::extra_repr() const {
  const Int2 stride = options_.stride == Int2(0) ? kernel_ : options_.stride;
  return cat("kernel=", kernel_, ", stride=", stride, ", pad=", options_.pad);
}

AvgPool2d::AvgPool2d(Int2 kernel, Pool2dOptions o) : kernel_(kernel), options_(o) {}
Tensor AvgPool2d::construct(const Tensor& x) {
  return ops::avg_pool2d(x, {.kernel = kernel_,
                             .stride = options_.stride,
                             .pad = options_.pad,
                             .ceil_mode = options_.ceil_mode,
                             .count_include_pad = options_.count_include_pad,
                             .divisor_override = options_.divisor_override});
}
std::string AvgPool2d::extra_repr() const {
  const Int2 stride = options_.stride == Int2(0) ? kernel_ : options_.stride;
  return cat("kernel=", kernel_, ", stride=", stride, ", pad=", options_.pad);
}

Tensor GlobalAvgPool::construct(const Tensor& x) { return ops::global_avg_pool(x); }

}  // namespace rutile::nn
