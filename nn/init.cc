// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/init.h"

#include "rutile/ops/random.h"

namespace rutile::nn::init {

Tensor zeros(const Shape& shape, DType dtype) { return Tensor::zeros(shape, dtype); }
Tensor ones(const Shape& shape, DType dtype) { return Tensor::full(shape, 1, dtype); }
Tensor constant(const Shape& shape, double value, DType dtype) {
  return Tensor::full(shape, value, dtype);
}

Tensor uniform(const Shape& shape, double low, double high, DType dtype) {
  return ops::random_uniform({.shape = shape, .low = low, .high = high, .dtype = dtype});
}

Tensor normal(const Shape& shape, double mean, double deviation, DType dtype) {
  return ops::random_normal({.shape = shape, .mean = mean, .std = deviation, .dtype = dtype});
}

Tensor truncated_normal(const Shape& shape, double mean, double deviation, double low, double high,
                        DType dtype) {
  return ops::truncated_normal({.shape = shape,
                                .mean = mean,
                                .std = deviation,
                                .lower = low,
                                .upper = high,
                                .dtype = dtype});
}

int64_t fan_of(const Shape& weight, Fan fan) {
  if (weight.rank() < 2) {
    throw_error(ErrorCode::kValue,
                cat("a fan needs a weight of at least two dimensions, got ", weight));
  }
  int64_t kernel = 1;
  for (int i = 2; i < weight.rank(); ++i) kernel *= weight[i];
  return weight[fan == Fan::kIn ? 1 : 0] * kernel;
}

namespace {

double xavier_deviation(const Shape& shape, double gain) {
  const int64_t fans = fan_of(shape, Fan::kIn) + fan_of(shape, Fan::kOut);
  return fans > 0 ? gain * std::sqrt(2.0 / static_cast<double>(fans)) : 0;
}

double kaiming_deviation(const Shape& shape, const KaimingOptions& o) {
  const int64_t fan = fan_of(shape, o.fan);
  return fan > 0 ? o.gain / std::sqrt(static_cast<double>(fan)) : 0;
}

// The uniform distribution around 0 of this deviation.
Tensor uniform_around_zero(const Shape& shape, double deviation, DType dtype) {
  const double bound = std::sqrt(3.0) * deviation;
  return uniform(shape, -bound, bound, dtype);
}

}  // namespace

Tensor xavier_uniform(const Shape& shape, double gain, DType dtype) {
  return uniform_around_zero(shape, xavier_deviation(shape, gain), dtype);
}

Tensor xavier_normal(const Shape& shape, double gain, DType dtype) {
  return normal(shape, 0, xavier_deviation(shape, gain), dtype);
}

Tensor kaiming_uniform(const Shape& shape, const KaimingOptions& o) {
  return uniform_around_zero(shape, kaiming_deviation(shape, o), o.dtype);
}

Tensor kaiming_normal(const Shape& shape, const KaimingOptions& o) {
  return normal(shape, 0, kaiming_deviation(shape, o), o.dtype);
}

}  // namespace rutile::nn::init
