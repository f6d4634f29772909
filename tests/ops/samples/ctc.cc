// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/ctc.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kIndex = ErrorCode::kIndex;
constexpr const char* kThrice = "third derivatives are not computed";

Input probs(const Shape& shape) { return in(shape).uniform(-3, -0.1); }
Input lengths(const Shape& shape, std::vector<double> v, DType t = DType::kI64) {
  return in(shape).as(t).values(std::move(v));
}

// The inputs of sequences: what the loss and its kernel take.
std::vector<std::vector<Input>> cases() {
  const Input padded = index_in({3, 4}, 1, 6);
  return {
      {probs({12, 3, 6}), padded, lengths({3}, {12, 9, 10}), lengths({3}, {4, 0, 2})},
      // repeats, which need a blank between them
      {probs({9, 2, 4}), lengths({2, 4}, {1, 1, 2, 2, 3, 3, 3, 1}), lengths({2}, {9, 8}),
       lengths({2}, {4, 4})},
      // one after the other, i32
      {probs({8, 3, 5}), in({6}).as(DType::kI32).ints(1, 5), lengths({3}, {8, 7, 5}, DType::kI32),
       lengths({3}, {3, 1, 2}, DType::kI32)},
      // one sequence
      {probs({7, 5}), index_in({3}, 1, 5), lengths({}, {7}), lengths({}, {3})},
      {probs({7, 5}), index_in({3}, 1, 5), lengths({1}, {6}), lengths({1}, {2})},
      // strides
      {probs({6, 3, 5}).swapped(), padded.ints(1, 5), lengths({3}, {6, 5, 6}),
       lengths({3}, {2, 2, 1})},
      {probs({6, 3, 5}).gaps(), padded.ints(1, 5).gaps(), lengths({3}, {6, 5, 6}).gaps(),
       lengths({3}, {2, 2, 1}).gaps()},
  };
}

RUTILE_SAMPLES(ctc_nll) {
  for (const auto& inputs : cases()) {
    s.add(inputs, CtcNllAttrs{})
        .dtypes(kFloats)
        .tolerance(DType::kF32, 3e-5)
        .tolerance(DType::kF64, 1e-11);
  }
  s.add({probs({5, 2, 3}), index_in({2, 2}, 0, 2), lengths({2}, {5, 4}), lengths({2}, {1, 2})},
        CtcNllAttrs{2})
      .name("last class is blank");
  s.add({probs({80, 9, 40}), index_in({9, 21}, 1, 40),
         lengths({9}, {80, 70, 65, 80, 77, 60, 51, 80, 79}),
         lengths({9}, {21, 20, 19, 3, 17, 11, 21, 1, 0})},
        CtcNllAttrs{})
      .dtypes({DType::kF32, DType::kF64})
      .tolerance(DType::kF32, 1e-4)
      .tolerance(DType::kF64, 1e-11)
      .name("long");
  s.add({probs({3, 2, 4}), index_in({2, 5}, 1, 4), lengths({2}, {3, 0}), lengths({2}, {5, 1})},
        CtcNllAttrs{})
      .no_gradient("infinite: the targets do not fit")
      .name("too long");
  s.add({probs({3, 2, 4}), index_in({2, 0}, 1, 4), lengths({2}, {3, 0}), lengths({2}, {0, 0})},
        CtcNllAttrs{})
      .name("no labels");
  s.add({probs({0, 2, 4}), index_in({2, 1}, 1, 4), lengths({2}, {0, 0}), lengths({2}, {0, 0})},
        CtcNllAttrs{})
      .name("no steps");
  s.add({probs({4, 0, 4}), index_in({0, 3}, 1, 4), lengths({0}, {0}), lengths({0}, {0})},
        CtcNllAttrs{})
      .name("empty");
  const Input x = probs({4, 2, 5}), t = index_in({2, 3}, 1, 5), two = lengths({2}, {2, 2});
  const CtcNllAttrs a;
  s.error({x, t, lengths({2}, {4, 5}), two}, a, kIndex, "input length 5 at [1]");
  s.error({x, t, two, lengths({2}, {1, 4})}, a, kIndex, "target length 4 at [1]");
  s.error({x, index_in({3}, 1, 5), two, two}, a, kIndex, "target length 2 at [1]");
  s.error({x, t.values({1, 2, 3, 4, 5, 1}), two, two}, a, kIndex, "class 5 at [1,1]");
  s.error({x, t, two, lengths({3}, {1, 1, 1})}, a, kValue, "target_lengths expects shape [2]");
  s.error({x, index_in({3, 3}, 1, 5), two, two}, a, kValue, "targets expects shape");
  s.error({x, t, two, two}, CtcNllAttrs{5}, kValue, "blank expects one of 5");
  s.error({in({4}), t, two, two}, a, kValue, "log_probs expects shape");
  s.error({x.as(DType::kI32), t, two, two}, a, kType, "log_probs expects a floating");
  s.error({x, t.as(DType::kF32), two, two}, a, kType, "targets expects i32 or i64");
}

RUTILE_SAMPLES(ctc_nll_grad) {
  const auto with = [](const std::vector<Input>& c, const Shape& n, DType t) {
    return std::vector<Input>{in(n).as(t), c[0].as(t), c[1], c[2], c[3], in(n).as(t).uniform(5, 9)};
  };
  for (const DType t : {DType::kF32, DType::kF64}) {
    for (const auto& c : cases()) {
      const Shape n = c[0].shape.rank() == 2 ? Shape{} : Shape{c[0].shape[1]};
      s.add(with(c, n, t), CtcNllAttrs{})
          .dtypes({t})
          .tolerance(DType::kF32, 3e-5)
          .tolerance(DType::kF64, 1e-11)
          .no_second_order(kThrice);
    }
  }
  const auto c = cases()[0];
  for (const DType t : {DType::kBF16, DType::kF16}) {
    s.add({in({3}).as(DType::kF32), c[0].as(t), c[1], c[2], c[3],
           in({3}).as(DType::kF32).uniform(5, 9)},
          CtcNllAttrs{})
        .dtypes({t})
        .no_second_order(kThrice);
  }
  s.add({in({3}).values({0, 1, 1}), c[0], c[1], c[2], c[3], in({3}).values({HUGE_VAL, 8, 7})},
        CtcNllAttrs{})
      .tolerance(DType::kF32, 3e-5)
      .no_gradient("infinite")
      .name("infinite");
  s.error({in({2}), c[0], c[1], c[2], c[3], in({3})}, CtcNllAttrs{}, kValue, "dy expects shape");
  s.error({in({3}), c[0], c[1], c[2], c[3], in({3}).as(DType::kF64)}, CtcNllAttrs{}, kType,
          "nll expects");
  s.error({in({3}), c[0], c[1], lengths({3}, {12, 13, 10}), c[3], in({3})}, CtcNllAttrs{}, kIndex,
          "input length 13");
}

RUTILE_SAMPLES(ctc_nll_grad_grad) {
  for (const DType t : {DType::kF32, DType::kF64}) {
    for (const auto& c : cases()) {
      const Shape n = c[0].shape.rank() == 2 ? Shape{} : Shape{c[0].shape[1]};
      s.add({in(c[0].shape).as(t), in(n).as(t), c[0].as(t), c[1], c[2], c[3],
             in(n).as(t).uniform(5, 9)},
            CtcNllAttrs{})
          .dtypes({t})
          .tolerance(DType::kF32, 1e-4)
          .tolerance(DType::kF64, 1e-11);
    }
  }
  const auto c = cases()[0];
  const Input ddx = in(c[0].shape), n = in({3});
  for (const DType t : {DType::kBF16, DType::kF16}) {
    s.add({ddx.as(t), n.as(DType::kF32), c[0].as(t), c[1], c[2], c[3],
           n.as(DType::kF32).uniform(5, 9)},
          CtcNllAttrs{})
        .dtypes({t});
  }
  s.add({ddx, n.values({0, 1, 1}), c[0], c[1], c[2], c[3], n.values({HUGE_VAL, 8, 7})},
        CtcNllAttrs{})
      .tolerance(DType::kF32, 1e-4)
      .name("infinite");
  s.add({in({3, 2, 4}), in({2}), probs({3, 2, 4}), index_in({2, 0}, 1, 4), lengths({2}, {3, 0}),
         lengths({2}, {0, 0}), in({2})},
        CtcNllAttrs{})
      .tolerance(DType::kF32, 1e-4)
      .name("no labels");
  s.error({in({2}), n, c[0], c[1], c[2], c[3], n}, CtcNllAttrs{}, kValue, "ddx expects shape");
  s.error({ddx, in({2}), c[0], c[1], c[2], c[3], n}, CtcNllAttrs{}, kValue, "dy expects shape");
  s.error({ddx.as(DType::kF64), n, c[0], c[1], c[2], c[3], n}, CtcNllAttrs{}, kType, "ddx expects");
}

RUTILE_SAMPLES(ctc_loss) {
  for (const Reduction r : {Reduction::kNone, Reduction::kMean, Reduction::kSum}) {
    for (const auto& inputs : cases()) {
      s.add(inputs, CtcLossAttrs{.reduction = r})
          .dtypes(kFloats)
          .tolerance(DType::kF32, 3e-5)
          .tolerance(DType::kF64, 1e-11);
    }
  }
  s.add({probs({3, 2, 4}), index_in({2, 5}, 1, 4), lengths({2}, {3, 3}), lengths({2}, {5, 1})},
        CtcLossAttrs{.zero_infinity = true})
      .name("too long");
  const Input x = probs({4, 2, 5}), t = index_in({2, 3}, 1, 5), two = lengths({2}, {2, 2});
  s.error({x, t, lengths({2}, {4, 5}), two}, CtcLossAttrs{}, kIndex, "input length 5");
  s.error({x, t, two, two}, CtcLossAttrs{.blank = -1}, kValue, "blank expects");
}

}  // namespace
}  // namespace rutile::samples
