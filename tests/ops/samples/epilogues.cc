// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/epilogues.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using ops::MatmulAttrs;

// Products of numbers around 1: what follows them rounds once more.
SampleGroup floats(SampleGroup s) {
  return s.dtypes(kFloats)
      .tolerance(DType::kF32, 2e-5)
      .tolerance(DType::kBF16, 6e-2)
      .tolerance(DType::kF16, 1e-2);
}

RUTILE_SAMPLES(linear_gelu) {
  floats(s.add({in({33, 40}).uniform(-1, 1), in({40, 40}).uniform(-0.3, 0.3), in({40})}));
  floats(s.add({in({5, 16}).uniform(-1, 1), in({24, 16}).uniform(-0.3, 0.3)}).name("no bias"));
  floats(
      s.add({in({3, 7, 16}).uniform(-1, 1), in({8, 16}).uniform(-0.3, 0.3), in({8})}).name("3-D"));
  floats(
      s.add({in({9, 6}).uniform(-1, 1), in({7, 6}).uniform(-0.5, 0.5), in({7})}).name("odd sizes"));
  s.add({in({0, 6}), in({7, 6}), in({7})});
  s.error({in({5, 6}), in({7, 5})}, ErrorCode::kValue, "weight expects 5 input features");
  s.error({in({5, 6}), in({7, 6}).as(DType::kF64)}, ErrorCode::kType, "one dtype");
}

RUTILE_SAMPLES(matmul_gelu_grad) {
  floats(s.add({in({33, 24}).uniform(-1, 1), in({24, 40}).uniform(-0.3, 0.3), in({33, 40})}));
  floats(s.add({in({2, 9, 16}).uniform(-1, 1), in({16, 24}).uniform(-0.3, 0.3), in({2, 9, 24})})
             .name("3-D"));
  floats(s.add({in({9, 6}).uniform(-1, 1), in({6, 7}).uniform(-0.5, 0.5), in({9, 7})})
             .name("odd sizes"));
  s.add({in({0, 6}), in({6, 7}), in({0, 7})});
  s.error({in({5, 6}), in({6, 7}), in({5, 6})}, ErrorCode::kValue, "pre expects shape [5,7]");
  s.error({in({5, 6}), in({6, 7}).as(DType::kF64), in({5, 7})}, ErrorCode::kType, "one dtype");
}

RUTILE_SAMPLES(matmul_sums) {
  const MatmulAttrs gradient{.transpose_a = true};
  floats(s.add({in({33, 24}).uniform(-1, 1), in({33, 40}).uniform(-1, 1)}, gradient));
  floats(s.add({in({24, 33}).uniform(-1, 1), in({33, 16}).uniform(-1, 1)}, MatmulAttrs{})
             .name("plain"));
  floats(s.add({in({24, 33}).uniform(-1, 1), in({16, 33}).uniform(-1, 1)},
               MatmulAttrs{.transpose_b = true}));
  s.add(
       {in({33, 24}).as(DType::kBF16).uniform(-1, 1), in({33, 40}).as(DType::kBF16).uniform(-1, 1)},
       MatmulAttrs{.transpose_a = true, .out_dtype = DType::kF32})
      .name("gradients in f32")
      .tolerance(DType::kF32, 2e-2);
  s.add({in({0, 4}), in({0, 3})}, gradient);
  s.error({in({2, 5, 6}), in({6, 7})}, ErrorCode::kValue, "expects matrices");
  s.error({in({5, 6}), in({5, 7}).as(DType::kF64)}, ErrorCode::kType, "one dtype");
}

}  // namespace
}  // namespace rutile::samples
