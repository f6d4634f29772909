// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/layer_util.h"

#include <cmath>

#include "rutile/nn/init.h"
#include "rutile/ops/call.h"

namespace rutile::nn {

Tensor default_weight(const Shape& shape) {
  return init::kaiming_uniform(shape, {.gain = 1 / std::sqrt(3.0)});
}

Tensor default_bias(int64_t size, const Shape& weight) {
  const int64_t fan_in = init::fan_of(weight, init::Fan::kIn);
  const double bound = fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0;
  return init::uniform({size}, -bound, bound);
}

Tensor first_weight(const Shape& shape, const WeightInit& init, Tensor (*otherwise)(const Shape&)) {
  const Tensor value = init ? init(shape) : otherwise(shape);
  if (!(value.shape() == shape)) {
    throw_error(ErrorCode::kValue,
                cat("weight_init of a weight ", shape, " returned ", value.meta()));
  }
  return value;
}

Tensor value_or_none(const ParameterPtr& p) { return p ? p->read() : Tensor(); }

void need_positive(const char* type, const char* what, int64_t v) {
  if (v <= 0)
    throw_error(ErrorCode::kValue, cat("[", type, "] ", what, " must be positive, got ", v));
}

void refuse(const std::string& type, const std::string& what) {
  const std::string path = cell_path(call_modes().cell);
  throw_error(ErrorCode::kValue,
              cat("[", type, "] ", what, path.empty() ? "" : " | in Cell ", path));
}

void check_conv(const char* type, int64_t in, int64_t out, const Dims& kernel, int64_t groups) {
  need_positive(type, "in", in);
  need_positive(type, "out", out);
  for (const int64_t k : kernel) need_positive(type, "kernel", k);
  need_positive(type, "groups", groups);
  if (in % groups != 0 || out % groups != 0) {
    throw_error(ErrorCode::kValue, cat("[", type, "] groups ", groups, " must divide the channels ",
                                       in, " and ", out));
  }
}

}  // namespace rutile::nn
