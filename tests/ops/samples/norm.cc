// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/norm.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using ops::BatchNormAttrs;
using ops::BatchNormStatsAttrs;

// Builds samples twice: in f64 throughout, and with per-channel operands in f32 beside any x.
struct Types {
  bool wide;
  DTypes dtypes() const {
    return wide ? DTypes{DType::kF64} : DTypes{DType::kF32, DType::kBF16, DType::kF16};
  }
  Input channel(int64_t c) const { return wide ? in({c}) : in({c}).as(DType::kF32); }
  Input scale(int64_t c) const { return channel(c).uniform(0.5, 1.5); }
  Input centre(int64_t c) const { return channel(c).uniform(-0.5, 0.5); }
};

// Forward or backward operands of x in `view`, without weight and bias.
using Operands = std::vector<Input> (*)(const Types&, const Shape&, View);

// `affine` optional operands: weight, then bias, or another gradient like x.
void norm_samples(SampleList& s, Operands operands, int affine, bool second_gradient = false) {
  const auto add = [&](const Types& t, const Shape& shape, View view, int given) {
    std::vector<Input> inputs = operands(t, shape, view);
    if (given > 0) inputs.push_back(t.scale(shape[1]));
    if (given > 1) {
      inputs.push_back(second_gradient ? in(shape).viewed(view) : t.centre(shape[1]));
    }
    return s.add(inputs)
        .dtypes(t.dtypes())
        .tolerance(DType::kF32, 1e-4)
        .tolerance(DType::kF16, 4e-3);
  };
  for (const bool wide : {false, true}) {
    const Types t{wide};
    for (int given = 0; given <= affine; ++given) add(t, {4, 5, 3, 2}, View::kContiguous, given);
    for (const Shape& shape : {Shape{6, 3}, Shape{3, 2, 4}, Shape{2, 3, 2, 2, 3}}) {
      add(t, shape, View::kContiguous, affine);
    }
    for (const int64_t c : {1, 6, 37}) add(t, {2, c, 3, 2}, View::kChannelsLast, affine);
    add(t, {2, 37, 3, 2}, View::kContiguous, affine);
    add(t, {2, 4, 3, 2}, View::kGaps, affine);
    add(t, {2, 4, 3, 2}, View::kTransposed, affine);
    add(t, {2, 0, 3, 3}, View::kContiguous, affine).name("no channels");
    add(t, {0, 3, 2, 2}, View::kContiguous, affine).name("no elements");
    add(t, {8, 37, 15, 14}, View::kContiguous, affine)
        .name("long")
        .no_gradient("a long run for kernels; the short ones check the gradient");
    add(t, {16, 64, 7, 7}, View::kChannelsLast, affine)
        .name("long")
        .no_gradient("a long run for kernels; the short ones check the gradient");
  }
}

// What every op of the family refuses, with x at `x_at`.
void norm_errors(SampleList& s, Operands operands, size_t x_at) {
  const Types t{false};
  std::vector<Input> ints = operands(t, {2, 3, 2, 2}, View::kContiguous);
  for (size_t i = 0; i <= x_at; ++i) ints[i] = ints[i].as(DType::kI32);
  s.error(ints, ErrorCode::kType, "x must be floating point, got i32");
  std::vector<Input> flat = operands(t, {2, 3, 2, 2}, View::kContiguous);
  for (size_t i = 0; i <= x_at; ++i) flat[i] = in({3});
  s.error(flat, ErrorCode::kValue, "x must have rank 2 to 5, got [3]");
  std::vector<Input> weight = operands(t, {2, 3, 2, 2}, View::kContiguous);
  weight.push_back(in({4}));
  s.error(weight, ErrorCode::kValue, "weight expects shape [3]");
  weight.back() = in({3}).as(DType::kF64);
  s.error(weight, ErrorCode::kType, "weight expects f32 for x of f32, got f64");
}

std::vector<Input> only_x(const Types&, const Shape& shape, View v) {
  return {in(shape).viewed(v)};
}
std::vector<Input> with_residual(const Types&, const Shape& shape, View v) {
  return {in(shape).viewed(v), in(shape).viewed(v)};
}
std::vector<Input> backward(const Types& t, const Shape& shape, View v) {
  return {in(shape).viewed(v), in(shape).viewed(v), t.centre(shape[1]), t.scale(shape[1])};
}
std::vector<Input> backward_with_y(const Types& t, const Shape& shape, View v) {
  return {in(shape).viewed(v), in(shape).viewed(v),
          in(shape).uniform(-1, 1).away_from({0}).viewed(v).constant(), t.centre(shape[1]),
          t.scale(shape[1])};
}
std::vector<Input> with_statistics(const Types& t, const Shape& shape, View v) {
  return {in(shape).viewed(v), t.centre(shape[1]), t.scale(shape[1])};
}

RUTILE_SAMPLES(batch_norm) {
  norm_samples(s, only_x, 2);
  s.add({in({5, 3}), none(), in({3})}, BatchNormAttrs{1e-2}).name("bias without weight");
  s.add({in({1, 4, 1, 1})})
      .name("one element a channel")
      .tolerance(DType::kF32, 1e-3)
      .no_gradient("the variance is 0 up to eps: derivatives are of the order of 1 / eps");
  norm_errors(s, only_x, 0);
  s.error({in({2, 3})}, BatchNormAttrs{-1.0}, ErrorCode::kValue, "eps must be >= 0");
}

RUTILE_SAMPLES(batch_norm_relu) {
  norm_samples(s, only_x, 2);
  norm_errors(s, only_x, 0);
}

RUTILE_SAMPLES(batch_norm_add_relu) {
  norm_samples(s, with_residual, 2);
  norm_errors(s, with_residual, 1);
  s.error({in({2, 3, 2, 2}), in({2, 3, 2, 1})}, ErrorCode::kValue,
          "residual expects f32[2,3,2,2] as x");
}

RUTILE_SAMPLES(batch_norm_grad) {
  norm_samples(s, backward, 1);
  norm_errors(s, backward, 1);
}

RUTILE_SAMPLES(batch_norm_relu_grad) {
  norm_samples(s, backward, 2);
  norm_errors(s, backward, 1);
}

RUTILE_SAMPLES(batch_norm_add_relu_grad) {
  norm_samples(s, backward_with_y, 2, /*second_gradient=*/true);
  norm_errors(s, backward_with_y, 2);
}

RUTILE_SAMPLES(batch_norm_inference) {
  norm_samples(s, with_statistics, 2);
  norm_errors(s, with_statistics, 0);
}

RUTILE_SAMPLES(batch_norm_apply) {
  for (const bool relu : {false, true}) {
    const ops::BatchNormApplyAttrs attrs{relu};
    for (const Shape& shape :
         {Shape{4, 5, 3, 2}, Shape{6, 3}, Shape{2, 37, 5, 5}, Shape{0, 3, 2, 2}}) {
      for (const View v : {View::kContiguous, View::kChannelsLast}) {
        if (v == View::kChannelsLast && shape.rank() != 4) continue;
        const auto x = [&] { return in(shape).viewed(v); };
        const auto c = [&] { return in({shape[1]}).as(DType::kF32).uniform(0.5, 1.5); };
        const DTypes types{DType::kF32, DType::kBF16, DType::kF16};
        const auto add = [&](std::vector<Input> inputs) {
          s.add(std::move(inputs), attrs).dtypes(types).tolerance(DType::kF16, 4e-3);
        };
        add({x(), c(), c(), c(), c()});
        add({x(), c(), c(), none(), c(), x()});
      }
    }
    s.add({in({3, 4, 2, 2}), in({4}), in({4}), in({4}), in({4}), in({3, 4, 2, 2})}, attrs)
        .dtypes({DType::kF64});
  }
  s.error({in({2, 3, 2, 2}), in({4}), in({3})}, ErrorCode::kValue, "mean expects shape [3]");
  s.error({in({2, 3, 2, 2}), in({3}), in({3}), none(), none(), in({2, 3, 2, 1})}, ErrorCode::kValue,
          "residual expects f32[2,3,2,2] as x");
}

RUTILE_SAMPLES(batch_norm_update_stats) {
  const BatchNormStatsAttrs attrs{0.1, 1e-5, 24};
  for (const int64_t c : {0, 1, 6, 37}) {
    s.add({in({c}), in({c}).positive(), in({c}), in({c}).positive()}, attrs)
        .dtypes({DType::kF32, DType::kF64});
  }
  s.add({in({5}), in({5}), in({5}), in({5}).positive()}, BatchNormStatsAttrs{1.0, 0.1, 1})
      .name("one element");
  s.error({in({3}), in({4}), in({3}), in({3})}, attrs, ErrorCode::kValue, "[channels]");
  s.error({in({3}), in({3}), in({3}), in({3})}, BatchNormStatsAttrs{2.0, 1e-5, 4},
          ErrorCode::kValue, "momentum must lie in [0, 1]");
  s.error({in({3}), in({3}), in({3}), in({3})}, BatchNormStatsAttrs{}, ErrorCode::kValue,
          "count must be positive");
}

}  // namespace
}  // namespace rutile::samples
