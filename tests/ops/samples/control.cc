// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/control.h"

#include "rutile/ops/elementwise.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

RUTILE_SAMPLES(stop_gradient) {
  s.unary(kEveryType);
  s.error({}, ErrorCode::kValue, "expects 1 inputs, got 0");
}

// The op as ops::recompute() makes it: a body and what it gives.
RUTILE_SAMPLES(recompute) {
  const auto body = make_ref<Region>([](const std::vector<Tensor>& x) {
    return std::vector<Tensor>{ops::mul(x[0], x[1]), ops::exp(x[0])};
  });
  body->results = {TensorMeta({2, 3}, DType::kF64), TensorMeta({2, 3}, DType::kF64)};
  s.add({in({2, 3}).as(DType::kF64), in({2, 3}).as(DType::kF64)}, ops::RecomputeAttrs{body});
  s.error({in({2, 3})}, ErrorCode::kValue, "no valid number of outputs");
}

}  // namespace
}  // namespace rutile::samples
