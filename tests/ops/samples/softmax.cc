// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/softmax.h"

#include <limits>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace ops;

constexpr double kInf = std::numeric_limits<double>::infinity();

void forward(SampleList& s) {
  s.add({in({5, 7})}, SoftmaxAttrs{}).dtypes(kFloats);
  s.add({in({3, 37, 5})}, SoftmaxAttrs{1}).dtypes(kFloats);
  s.add({in({4, 3})}, SoftmaxAttrs{0});
  s.add({in({9}).uniform(-90, 90)}, SoftmaxAttrs{}).name("wide range");
  s.add({in({1, 1})}, SoftmaxAttrs{}).name("single");
  s.add({in({0, 4})}, SoftmaxAttrs{});
  s.add({in({4, 0})}, SoftmaxAttrs{}).name("empty rows");
  s.add({in({2, 6, 3, 5}).channels_last()}, SoftmaxAttrs{1}).dtypes({DType::kF32, DType::kBF16});
  s.add({in({2, 37, 4, 5})}, SoftmaxAttrs{1}).dtypes({DType::kF32, DType::kBF16});
  s.add({in({5, 8}).transposed()}, SoftmaxAttrs{});
  s.add({in({5, 8}).gaps()}, SoftmaxAttrs{});
  s.add({in({33, 1000})}, SoftmaxAttrs{}).dtypes({DType::kF32, DType::kBF16});
  s.add({in({3, 9001})}, SoftmaxAttrs{}).dtypes({DType::kF32, DType::kBF16});
  s.add({in({2, 4}).values({1e30, -1e30, 3, -kInf, 0, 0, 1, -kInf})}, SoftmaxAttrs{})
      .dtypes({DType::kF32, DType::kBF16})
      .no_gradient("infinities");
  s.add({in({2, 4}).filled(specials())}, SoftmaxAttrs{}).no_gradient("NaN and infinities");
  s.error({in({3}).as(DType::kI32)}, SoftmaxAttrs{}, ErrorCode::kType, "floating");
  s.error({in({3})}, SoftmaxAttrs{1}, ErrorCode::kIndex, "axis 1");
  s.add({in({})}, SoftmaxAttrs{0}).dtypes(kFloats).name("number").no_gradient("constant");
  s.error({in({})}, SoftmaxAttrs{1}, ErrorCode::kIndex, "axis 1");
}
RUTILE_SAMPLES(softmax) { forward(s); }
RUTILE_SAMPLES(log_softmax) { forward(s); }

void backward(SampleList& s, const Fill& y) {
  s.add({in({5, 7}), in({5, 7}).filled(y)}, SoftmaxAttrs{}).dtypes(kFloats);
  s.add({in({3, 37, 5}), in({3, 37, 5}).filled(y)}, SoftmaxAttrs{1}).dtypes(kFloats);
  s.add({in({0, 4}), in({0, 4}).filled(y)}, SoftmaxAttrs{});
  s.add({in({4, 0}), in({4, 0}).filled(y)}, SoftmaxAttrs{});
  s.add({in({5, 8}).transposed(), in({5, 8}).filled(y)}, SoftmaxAttrs{});
  s.add({in({2, 6, 3, 5}).channels_last(), in({2, 6, 3, 5}).filled(y).channels_last()},
        SoftmaxAttrs{1});
  s.add({in({2, 37, 4, 5}), in({2, 37, 4, 5}).filled(y)}, SoftmaxAttrs{1})
      .dtypes({DType::kF32, DType::kBF16});
  s.add({in({33, 1000}), in({33, 1000}).filled(y)}, SoftmaxAttrs{})
      .dtypes({DType::kF32, DType::kBF16})
      .tolerance(DType::kF32, 1e-4);
  s.error({in({3}), in({4})}, SoftmaxAttrs{}, ErrorCode::kValue, "must agree");
  s.error({in({3}), in({3}).as(DType::kF64)}, SoftmaxAttrs{}, ErrorCode::kValue, "must agree");
}
RUTILE_SAMPLES(softmax_grad) { backward(s, uniform(0, 1)); }
RUTILE_SAMPLES(log_softmax_grad) { backward(s, uniform(-5, 0)); }

}  // namespace
}  // namespace rutile::samples
