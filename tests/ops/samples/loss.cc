// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/loss.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace ops;

const Reduction kReductions[] = {Reduction::kNone, Reduction::kMean, Reduction::kSum};
const char kElsewhere[] = "checked on smaller shapes";
const DTypes kFast{DType::kF32, DType::kBF16};

CrossEntropyAttrs attrs(double smoothing, Reduction r, int64_t ignore = -100) {
  return {smoothing, ignore, r};
}

Shape labels_of(const Shape& logits) {
  Shape s;
  for (int i = 0; i < logits.rank(); ++i) {
    if (i != (logits.rank() == 1 ? 0 : 1)) s.push_back(logits[i]);
  }
  return s;
}

Input wide_weight(int64_t classes) { return in({classes}).positive().as(DType::kF32).constant(); }

RUTILE_SAMPLES(cross_entropy) {
  const Input x = in({6, 5}), y = index_in({6}, 0, 5);
  for (const Reduction r : kReductions) {
    s.add({x, y}, attrs(0, r)).dtypes(kFloats);
    s.add({x, y}, attrs(0.1, r)).name("smoothing");
    s.add({x, index_in({6}, -1, 5)}, attrs(0, r, -1)).name("ignored labels");
    s.add({x, index_in({6}, 0, 5), in({5}).positive().constant()}, attrs(0.2, r, 2))
        .name("weights")
        .dtypes({DType::kF32, DType::kF64});
    s.add({in({2, 37, 3, 4}), index_in({2, 3, 4}, 0, 37)}, attrs(0.1, r)).name("images");
    s.add({in({2, 6, 3, 4}).channels_last(), index_in({2, 3, 4}, 0, 6)}, attrs(0, r));
    s.add({in({2, 6, 70}), index_in({2, 70}, 0, 6), wide_weight(6)}, attrs(0.3, r, 1))
        .dtypes(kFast);
    s.add({in({4}), index_in({}, 0, 4)}, attrs(0, r)).name("one row");
    s.add({in({70, 1000}), index_in({70}, 0, 1000)}, attrs(0.1, r)).dtypes(kFast);
    s.add({in({70, 1001}), index_in({70}, 0, 1001), wide_weight(1001)}, attrs(0.1, r))
        .dtypes(kFast);
  }
  s.add({x, in({6}).as(DType::kI32).ints(0, 5)}, attrs(0, Reduction::kMean));
  s.add({x.transposed(), y}, attrs(0, Reduction::kMean));
  s.add({in({3, 1}), index_in({3}, 0, 1)}, attrs(0, Reduction::kSum)).name("one class");
  s.add({in({0, 5}), index_in({0}, 0, 5)}, attrs(0, Reduction::kSum)).name("no rows");
  s.add({in({0, 5}), index_in({0}, 0, 5)}, attrs(0, Reduction::kMean))
      .no_gradient("the mean of nothing is NaN");
  s.add({x, in({6}).as(DType::kI64).values({-100})}, attrs(0, Reduction::kMean))
      .name("all ignored")
      .no_gradient("the mean of nothing is NaN");
  s.add({in({4, 3}).uniform(-1e4, 1e4), index_in({4}, 0, 3)}, attrs(0, Reduction::kNone))
      .name("large logits")
      .no_gradient("differences vanish where the softmax is saturated");
  s.error({x, in({6}).as(DType::kI64).values({0, 5})}, attrs(0, Reduction::kMean),
          ErrorCode::kIndex, "label 5 at [1] is out of range: expects 0 to 4");
  s.error({x, in({6}).as(DType::kI64).values({0, -1})}, attrs(0, Reduction::kMean),
          ErrorCode::kIndex, "label -1 at [1]");
  s.error({x, index_in({5}, 0, 5)}, attrs(0, Reduction::kMean), ErrorCode::kValue,
          "labels expects shape [6]");
  s.error({x, in({6}).as(DType::kU8)}, attrs(0, Reduction::kMean), ErrorCode::kType, "i32 or i64");
  s.error({x, y}, attrs(1.5, Reduction::kMean), ErrorCode::kValue, "label_smoothing");
  s.error({x, y, in({4})}, attrs(0, Reduction::kMean), ErrorCode::kValue, "weight expects shape");
  s.error({x, y, in({5}).as(DType::kF64)}, attrs(0, Reduction::kMean), ErrorCode::kType,
          "weight expects f32");
  s.error({x.as(DType::kI32), y}, attrs(0, Reduction::kMean), ErrorCode::kType, "floating");
  s.error({in({3, 0}), index_in({3}, 0, 1)}, attrs(0, Reduction::kSum), ErrorCode::kValue,
          "no classes");
}

RUTILE_SAMPLES(cross_entropy_grad) {
  struct Case {
    Input logits;
    CrossEntropyAttrs a;
    bool weight = false;
    DTypes types{DType::kF32};
  };
  std::vector<Case> cases;
  for (const Reduction r : kReductions) {
    cases.push_back({in({6, 5}), attrs(0, r), false, {DType::kF32, DType::kF64}});
    cases.push_back({in({6, 5}), attrs(0.1, r, 2), true, {DType::kF32, DType::kF64}});
    cases.push_back({in({2, 37, 3, 4}), attrs(0.1, r)});
    cases.push_back({in({2, 6, 3, 4}).channels_last(), attrs(0.2, r, 1), true});
    cases.push_back({in({2, 6, 70}), attrs(0.2, r, 1), true});
    cases.push_back({in({4}), attrs(0, r)});
    cases.push_back({in({70, 1001}), attrs(0.1, r), true});
  }
  cases.push_back({in({6, 5}).transposed(), attrs(0, Reduction::kMean)});
  for (const Case& c : cases) {
    const Shape& shape = c.logits.shape;
    const int64_t classes = shape[shape.rank() == 1 ? 0 : 1];
    const Shape rows = labels_of(shape);
    const Input g = in(c.a.reduction == Reduction::kNone ? rows : Shape());
    // log(sum(exp)) of numbers in [-2, 2) lies about here.
    std::vector<Input> inputs{g, c.logits, index_in(rows, 0, classes), in(rows).uniform(4, 5)};
    if (c.weight) inputs.push_back(in({classes}).positive().constant());
    s.add(inputs, c.a).dtypes(c.types).no_gradient(shape.numel() > 2000 ? kElsewhere : "");
    if (c.types.size() > 1) continue;
    for (Input& i : inputs) {
      if (!i.dtype.set && !(i.shape == shape)) i = i.as(DType::kF32);
    }
    s.add(inputs, c.a).dtypes({DType::kBF16, DType::kF16}).no_gradient("of mixed types");
  }
  const Input x = in({6, 5}), lse = in({6});
  s.error({in({}), x, in({6}).as(DType::kI64).values({5}), lse}, CrossEntropyAttrs{},
          ErrorCode::kIndex, "label 5 at [0]");
  s.error({in({6}), x, index_in({6}, 0, 5), lse}, CrossEntropyAttrs{}, ErrorCode::kValue,
          "grad expects");
  s.error({in({}), x, index_in({6}, 0, 5), in({5})}, CrossEntropyAttrs{}, ErrorCode::kValue,
          "lse expects");
}

}  // namespace
}  // namespace rutile::samples
