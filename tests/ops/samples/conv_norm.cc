// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv_norm.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using ops::Conv2dAttrs;
using ops::Conv2dWeightGradAttrs;

struct Case {
  Shape x, weight;
  Conv2dAttrs attrs;
  Shape y;
};
const Case kCases[] = {
    {{2, 6, 5, 4}, {3, 6, 1, 1}, {}, {2, 3, 5, 4}},
    {{2, 3, 7, 6}, {4, 3, 3, 3}, {.stride = {2, 2}, .pad = {1, 1}}, {2, 4, 4, 3}},
    {{1, 37, 3, 3}, {1, 37, 3, 3}, {.pad = {1, 1}}, {1, 1, 3, 3}},
    {{0, 2, 3, 3}, {4, 2, 1, 1}, {}, {0, 4, 3, 3}},
};
const DTypes kTypes{DType::kF32, DType::kF64, DType::kF16, DType::kBF16};

Input scale(int64_t c) { return in({c}).uniform(0.5, 1.5); }
Input shift(int64_t c) { return in({c}).uniform(-0.5, 0.5); }

RUTILE_SAMPLES(conv2d_stats) {
  for (const Case& c : kCases) {
    s.add({in(c.x), in(c.weight)}, c.attrs)
        .dtypes(kTypes)
        .tolerance(DType::kF32, 1e-3)
        .tolerance(DType::kBF16, 5e-2);
    s.add({in(c.x).channels_last(), in(c.weight), scale(c.x[1]), shift(c.x[1])}, c.attrs)
        .dtypes(kTypes)
        .tolerance(DType::kF32, 1e-3)
        .tolerance(DType::kBF16, 5e-2);
  }
  const Input x = in({2, 3, 4, 4}), w = in({5, 3, 1, 1});
  s.error({x, in({5, 2, 1, 1})}, Conv2dAttrs{}, ErrorCode::kValue, "");
  s.error({x, w, scale(3)}, Conv2dAttrs{}, ErrorCode::kValue, "scale and shift come together");
  s.error({x, w, scale(2), shift(3)}, Conv2dAttrs{}, ErrorCode::kValue, "scale expects f32[3]");
  s.error({in({3, 4}), w}, Conv2dAttrs{}, ErrorCode::kValue, "expects floating images");
}

RUTILE_SAMPLES(conv2d_norm_weight_grad) {
  for (const Case& c : kCases) {
    Conv2dWeightGradAttrs a;
    a.stride = c.attrs.stride;
    a.pad = c.attrs.pad;
    a.weight_shape = c.weight;
    s.add({in(c.y), in(c.x), scale(c.x[1]), shift(c.x[1])}, a)
        .dtypes(kTypes)
        .tolerance(DType::kF32, 1e-4);
  }
  Conv2dWeightGradAttrs a;
  a.weight_shape = {5, 3, 1, 1};
  s.error({in({2, 5, 4, 4}), in({2, 3, 4, 4}), scale(3), shift(4)}, a, ErrorCode::kValue,
          "shift expects f32[3]");
  s.error({in({2, 5, 4, 4}), in({2, 3, 4, 5}), scale(3), shift(3)}, a, ErrorCode::kValue, "");
}

RUTILE_SAMPLES(conv2d_norm_input_grad) {
  for (const Case& c : kCases) {
    const int64_t n = c.x[1];
    for (const bool wide : {false, true}) {
      const auto channel = [&](Input i) { return wide ? i : i.as(DType::kF32); };
      s.add({in(c.y), in(c.weight), in(c.x), channel(shift(n)), channel(scale(n)),
             channel(scale(n)), channel(shift(n))},
            c.attrs)
          .dtypes(wide ? DTypes{DType::kF64} : DTypes{DType::kF32, DType::kF16, DType::kBF16})
          .tolerance(DType::kF32, 1e-3)
          .tolerance(DType::kF16, 1e-2);
    }
  }
  s.error({in({2, 5, 4, 4}), in({5, 3, 1, 1}), in({2, 3, 4, 4}), shift(3), scale(3), scale(2),
           shift(3)},
          Conv2dAttrs{}, ErrorCode::kValue, "gamma expects f32[3]");
  s.error({in({2, 5, 4, 3}), in({5, 3, 1, 1}), in({2, 3, 4, 4}), shift(3), scale(3), scale(3),
           shift(3)},
          Conv2dAttrs{}, ErrorCode::kValue, "");
}

}  // namespace
}  // namespace rutile::samples
