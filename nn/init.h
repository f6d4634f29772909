// SPDX-License-Identifier: Apache-2.0
// Initial values of parameters. Random ones come from the default generator (ops/random.h): after
// the same set_seed, the same Cells built in the same order start with the same bits.
//
//   Tensor w = init::kaiming_normal({64, 3, 7, 7}, {.fan = init::Fan::kOut});
//
// Fans: of a weight [out, in, k...] fan_in is in * prod(k), fan_out is out * prod(k); a weight of
// fewer than two dimensions is Error{kValue}.
#pragma once

#include <cmath>

#include "rutile/core/tensor.h"

namespace rutile::nn::init {

RUTILE_API Tensor zeros(const Shape& shape, DType dtype = DType::kF32);
RUTILE_API Tensor ones(const Shape& shape, DType dtype = DType::kF32);
RUTILE_API Tensor constant(const Shape& shape, double value, DType dtype = DType::kF32);
RUTILE_API Tensor uniform(const Shape& shape, double low, double high, DType dtype = DType::kF32);
RUTILE_API Tensor normal(const Shape& shape, double mean, double deviation,
                         DType dtype = DType::kF32);
// Normal, values beyond [mean + low * deviation, mean + high * deviation] drawn from inside it.
RUTILE_API Tensor truncated_normal(const Shape& shape, double mean, double deviation,
                                   double low = -2, double high = 2, DType dtype = DType::kF32);

enum class Fan : uint8_t { kIn, kOut };
RUTILE_API int64_t fan_of(const Shape& weight, Fan fan);

// Glorot and Bengio, 2010: variance gain^2 * 2 / (fan_in + fan_out).
RUTILE_API Tensor xavier_uniform(const Shape& shape, double gain = 1, DType dtype = DType::kF32);
RUTILE_API Tensor xavier_normal(const Shape& shape, double gain = 1, DType dtype = DType::kF32);

// He et al., 2015: variance gain^2 / fan.
struct KaimingOptions {
  Fan fan = Fan::kIn;
  double gain = std::sqrt(2.0);  // of ReLU; sqrt(2 / (1 + a^2)) for a leaky one, 1 for linear
  DType dtype = DType::kF32;
};
RUTILE_API Tensor kaiming_uniform(const Shape& shape, const KaimingOptions& options = {});
RUTILE_API Tensor kaiming_normal(const Shape& shape, const KaimingOptions& options = {});

}  // namespace rutile::nn::init
