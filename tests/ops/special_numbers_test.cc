// SPDX-License-Identifier: Apache-2.0
// NaN, infinities and the ends of the integers, as PyTorch treats them.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <string>

#include "rutile/graph/compile.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/post_ops.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/view.h"
#include "rutile/tests/ops/samples/sample.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

using testing::ElementsAre;
using testing::IsNan;

const float kNan = std::nanf("");
constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor vec(std::vector<float> v) {
  const auto n = static_cast<int64_t>(v.size());
  return Tensor::from<float>(v, {n});
}
std::vector<float> floats(const Tensor& t) { return cast(t, DType::kF32).to_vector<float>(); }

// Short ones take the ends of loops, long ones the loops.
std::vector<Tensor> with(float special, DType t) {
  std::vector<Tensor> all;
  for (const int64_t n : {3, 64, 1000}) {
    std::vector<float> v(static_cast<size_t>(n), 1.0f);
    v[static_cast<size_t>(n) - 2] = special;
    all.push_back(cast(Tensor::from<float>(v, {n}), t));
  }
  return all;
}

TEST(SpecialNumbers, NanPropagatesThroughPiecewiseFunctions) {
  for (const DType t : samples::kFloats) {
    for (const Tensor& x : with(kNan, t)) {
      const auto at = static_cast<size_t>(x.numel() - 2);
      EXPECT_THAT(floats(relu(x))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(relu6(x))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(clip(x, {-1, 1}))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(leaky_relu(x))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(elu(x))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(hsigmoid(x))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(hswish(x))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(abs(x))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(maximum(x, 5.0))[at], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(minimum(-5.0, x))[at], IsNan()) << dtype_name(t);
    }
  }
}

TEST(SpecialNumbers, NanIsTheExtremumWhereverItStands) {
  for (const DType t : samples::kFloats) {
    for (const Tensor& x : with(kNan, t)) {
      EXPECT_THAT(floats(max(x))[0], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(min(x))[0], IsNan()) << dtype_name(t);
      EXPECT_EQ(argmax(x).item<int64_t>(), x.numel() - 2) << dtype_name(t);
      EXPECT_EQ(argmin(x).item<int64_t>(), x.numel() - 2) << dtype_name(t);
      EXPECT_THAT(floats(sum(x))[0], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(mean(x))[0], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(prod(x))[0], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(norm(x))[0], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(var(x))[0], IsNan()) << dtype_name(t);
      EXPECT_THAT(floats(logsumexp(x))[0], IsNan()) << dtype_name(t);
    }
  }
  // The first of several counts, by columns too.
  EXPECT_EQ(argmax(vec({1, kNan, kInf, kNan})).item<int64_t>(), 1);
  const Tensor rows = reshape(vec({1, kNan, kInf, 2, kNan, kNan}), {3, 2});
  EXPECT_THAT(argmax(rows, {{0}}).to_vector<int64_t>(), ElementsAre(2, 0));
  EXPECT_THAT(argmin(rows, {{0}}).to_vector<int64_t>(), ElementsAre(2, 0));
}

TEST(SpecialNumbers, InfinitiesAreOrdinaryExtrema) {
  for (const DType t : samples::kFloats) {
    for (const float inf : {kInf, -kInf}) {
      for (const Tensor& x : with(inf, t)) {
        EXPECT_EQ(floats(inf > 0 ? max(x) : min(x))[0], inf) << dtype_name(t);
        EXPECT_EQ((inf > 0 ? argmax(x) : argmin(x)).item<int64_t>(), x.numel() - 2);
        EXPECT_EQ(floats(sum(x))[0], inf) << dtype_name(t);
        EXPECT_EQ(floats(norm(x))[0], kInf) << dtype_name(t);
        const float others = 1 + std::log(static_cast<float>(x.numel() - 1));
        const float all = floats(logsumexp(x))[0];
        EXPECT_TRUE(inf > 0 ? all == inf : std::abs(all - others) < 0.05) << dtype_name(t);
      }
    }
    // All the same, at the far end.
    const Tensor low = cast(full({70}, -kInf), t);
    EXPECT_EQ(argmax(low).item<int64_t>(), 0) << dtype_name(t);
    EXPECT_EQ(floats(max(low))[0], -kInf) << dtype_name(t);
    EXPECT_EQ(floats(logsumexp(low))[0], -kInf) << dtype_name(t);
    EXPECT_THAT(floats(softmax(low))[0], IsNan()) << dtype_name(t);
  }
  EXPECT_THAT(floats(sum(vec({kInf, -kInf})))[0], IsNan());
}

TEST(SpecialNumbers, NothingComparesWithNan) {
  const Tensor x = vec({kNan, 1, kNan, kInf}), y = vec({kNan, kNan, 1, kInf});
  EXPECT_THAT(equal(x, y).to_vector<bool>(), ElementsAre(false, false, false, true));
  EXPECT_THAT(not_equal(x, y).to_vector<bool>(), ElementsAre(true, true, true, false));
  EXPECT_THAT(less_equal(x, y).to_vector<bool>(), ElementsAre(false, false, false, true));
  EXPECT_THAT(greater(x, y).to_vector<bool>(), ElementsAre(false, false, false, false));
  // As a truth value NaN is not zero.
  EXPECT_TRUE(any(vec({0, kNan})).item<bool>());
  EXPECT_TRUE(all(vec({1, kNan})).item<bool>());
}

TEST(SpecialNumbers, NanSortsLast) {
  const Tensor x = vec({2, kNan, -kInf, kInf, kNan, 1});
  const auto up = sort(x), down = sort(x, -1, true);
  EXPECT_THAT(floats(up.values), ElementsAre(-kInf, 1, 2, kInf, IsNan(), IsNan()));
  EXPECT_THAT(floats(down.values), ElementsAre(IsNan(), IsNan(), kInf, 2, 1, -kInf));
  EXPECT_THAT(up.indices.to_vector<int64_t>(), ElementsAre(2, 5, 0, 3, 1, 4));
  EXPECT_THAT(floats(topk(x, 3).values), ElementsAre(IsNan(), IsNan(), kInf));
  EXPECT_THAT(floats(topk(x, 2, -1, false).values), ElementsAre(-kInf, 1));
}

TEST(SpecialNumbers, PoolsPassNanOn) {
  for (const int64_t channels : {1, 3, 16, 32}) {
    Tensor x = full({1, channels, 4, 4}, -kInf);
    const Tensor spot = equal(reshape(arange(0, 16), {1, 1, 4, 4}), 5);
    x = where(spot, kNan, x);
    for (const Tensor& placed : {x, to_channels_last(x)}) {
      const auto y = floats(contiguous(max_pool2d(placed, {.kernel = 2})));
      for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
        EXPECT_THAT(y[4 * c], IsNan());
        EXPECT_EQ(y[4 * c + 1], -kInf);
      }
    }
  }
}

// ---- Integers -----------------------------------------------------------------------------------

TEST(Integers, DivisionByZeroIsAnErrorInEveryModeAndType) {
  for (const DType t : samples::kInts) {
    const Tensor x = cast(arange(1, 40), t);
    const Tensor y = cast(remainder(arange(1, 40), 7), t);  // zeros among them
    EXPECT_RUTILE_ERROR(floor_div(x, y), kValue, "integer division by zero");
    EXPECT_RUTILE_ERROR(remainder(x, y), kValue, "integer division by zero");
    auto compiled = graph::compile([](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{add(remainder(in[0], in[1]), 1)};
    });
    EXPECT_RUTILE_ERROR(compiled({x, y}), kValue, "integer division by zero");
    // A later call works.
    EXPECT_EQ(samples::to_doubles(compiled({x, x})[0])[3], 1) << dtype_name(t);
  }
  // True division gives floats, where zero has an answer.
  const Tensor one = cast(ones({1}), DType::kI32), zero = cast(zeros({1}), DType::kI32);
  EXPECT_EQ(floats(div(one, zero))[0], kInf);
  EXPECT_THAT(floats(div(zero, zero))[0], IsNan());
  EXPECT_THAT(floats(remainder(vec({1}), vec({0})))[0], IsNan());
  EXPECT_EQ(floats(floor_div(vec({1}), vec({0})))[0], kInf);
}

template <class T>
void check_wrapping(DType t) {
  constexpr T kMin = std::numeric_limits<T>::min(), kMax = std::numeric_limits<T>::max();
  const auto one = [t](T v) { return full({33}, static_cast<int64_t>(v), t); };
  const auto first = [](const Tensor& x) { return x.to_vector<T>()[0]; };
  EXPECT_EQ(first(abs(one(kMin))), kMin) << dtype_name(t);
  EXPECT_EQ(first(neg(one(kMin))), kMin) << dtype_name(t);
  EXPECT_EQ(first(floor_div(one(kMin), one(T(-1)))), kMin) << dtype_name(t);
  EXPECT_EQ(first(remainder(one(kMin), one(T(-1)))), 0) << dtype_name(t);
  EXPECT_EQ(first(add(one(kMax), one(1))), kMin) << dtype_name(t);
  EXPECT_EQ(first(sub(one(kMin), one(1))), kMax) << dtype_name(t);
  EXPECT_EQ(first(mul(one(kMin), one(T(-1)))), kMin) << dtype_name(t);
  EXPECT_EQ(first(square(one(kMax))), 1) << dtype_name(t);
  EXPECT_EQ(first(max(one(kMin))), kMin) << dtype_name(t);
  EXPECT_EQ(argmax(one(kMin)).template item<int64_t>(), 0) << dtype_name(t);
  EXPECT_EQ(argmin(one(kMax)).template item<int64_t>(), 0) << dtype_name(t);
}
TEST(Integers, SignedArithmeticWraps) {
  check_wrapping<int8_t>(DType::kI8);
  check_wrapping<int16_t>(DType::kI16);
  check_wrapping<int32_t>(DType::kI32);
  check_wrapping<int64_t>(DType::kI64);
}

TEST(Integers, SumsAreExact) {
  const Tensor big = add(full({3, 1001}, int64_t{1} << 53, DType::kI64), 1);
  for (const int64_t v : sum(big, {.axes = {1}}).to_vector<int64_t>()) {
    EXPECT_EQ(v, 1001 * ((int64_t{1} << 53) + 1));
  }
  EXPECT_EQ(sum(full({100}, 200, DType::kU8)).item<int64_t>(), 20000);
  EXPECT_EQ(mean(full({100}, 200, DType::kU8)).item<float>(), 200);
}

// Alone, compiled and in a fused kernel, in vectors and behind them.
template <class T>
void check_casts() {
  const DType t = dtype_of<T>;
  constexpr T kMin = std::numeric_limits<T>::min(), kMax = std::numeric_limits<T>::max();
  const T below = kMin == 0 ? 0 : -1;
  const std::vector<std::pair<float, T>> cases = {
      {kNan, 0},   {kInf, kMax},  {-kInf, kMin},  {1e30f, kMax}, {-1e30f, kMin},
      {-1, below}, {-0.9f, 0},    {-1.9f, below}, {2.9f, 2},     {126.5f, 126},
      {-0.0f, 0},  {3e19f, kMax}, {-3e19f, kMin}};
  auto alone = graph::compile(
      [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{cast(in[0], t)}; });
  auto fused = graph::compile(
      [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{cast(mul(in[0], 2.0), t)}; });
  for (const int repeats : {1, 5, 300}) {
    std::vector<float> v;
    std::vector<T> want;
    for (int i = 0; i < repeats; ++i) {
      for (const auto& [from, to] : cases) v.push_back(from), want.push_back(to);
    }
    const Tensor x = vec(v);
    EXPECT_EQ(cast(x, t).to_vector<T>(), want) << dtype_name(t);
    EXPECT_EQ(cast(cast(x, DType::kF64), t).to_vector<T>(), want) << dtype_name(t);
    EXPECT_EQ(alone({x})[0].template to_vector<T>(), want) << dtype_name(t);
    EXPECT_EQ(fused({mul(x, 0.5)})[0].template to_vector<T>(), want) << dtype_name(t);
  }
}
TEST(Integers, CastsOfFloatsStopAtTheEnds) {
  check_casts<uint8_t>();
  check_casts<uint16_t>();
  check_casts<uint32_t>();
  check_casts<uint64_t>();
  check_casts<int8_t>();
  check_casts<int16_t>();
  check_casts<int32_t>();
  check_casts<int64_t>();
  // Of integers to narrower ones the low bits stay.
  EXPECT_EQ(cast(full({40}, -1, DType::kI32), DType::kU8).to_vector<uint8_t>()[39], 255);
  EXPECT_EQ(cast(full({40}, 300, DType::kI64), DType::kI8).to_vector<int8_t>()[39], 44);
}

TEST(Bools, AreNumbersInEveryLoop) {
  std::vector<uint8_t> bits;
  for (int i = 0; i < 1000; ++i) bits.push_back(static_cast<uint8_t>(i % 3 == 0));
  const Tensor x = cast(Tensor::from<uint8_t>(bits, {1000}), DType::kBool);
  for (const Tensor& y : {logical_not(x), bitwise_not(x)}) {
    const std::vector<uint8_t> got = cast(y, DType::kU8).to_vector<uint8_t>();
    for (size_t i = 0; i < bits.size(); ++i) ASSERT_EQ(got[i], 1 - bits[i]) << i;
  }
  for (const DType t : samples::kEveryType) {
    const std::vector<double> got = samples::to_doubles(cast(x, t));
    for (size_t i = 0; i < bits.size(); ++i) ASSERT_EQ(got[i], bits[i]) << i << dtype_name(t);
  }
}

// `got` and `want` hold 16 results for each special number, which the text calls `what`.
void expect_alike(const std::vector<float>& got, const std::vector<float>& want,
                  const std::vector<float>& specials, bool hides_nan, const std::string& what) {
  for (size_t i = 0; i < got.size(); ++i) {
    const float x = specials[i / 16];
    if (std::isnan(x) && hides_nan) continue;
    if (std::isnan(want[i])) {
      EXPECT_THAT(got[i], IsNan()) << what << " of " << x;
    } else if (std::isinf(want[i])) {
      EXPECT_EQ(got[i], want[i]) << what << " of " << x;
    } else {
      EXPECT_NEAR(got[i], want[i], std::abs(want[i]) * 1e-2 + 1e-6) << what << " of " << x;
    }
  }
}

// What a layer's kernel does behind the product is what the activation alone does. Those that turn
// NaN into a number are taken in inference alone (graph/pass/fuse_post_ops.cc).
TEST(SpecialNumbers, FusedActivationsDoAsTheyDoAlone) {
  const std::vector<float> specials = {kInf, -kInf, kNan, 3e38f, -3e38f, 1e5f, -1e5f, 90, -90, 6};
  const auto n = static_cast<int64_t>(specials.size());
  for (int k = 0; k <= static_cast<int>(Activation::kGeluTanh); ++k) {
    const auto act = static_cast<Activation>(k);
    const bool hides_nan = act == Activation::kRelu || act == Activation::kRelu6;
    for (const DType t : {DType::kF32, DType::kBF16}) {
      // Each product is of one number with one.
      const Tensor x = cast(reshape(vec(specials), {n, 1}), t), w = full({16, 1}, 1, t);
      const Tensor image = reshape(x, {n, 1, 1, 1}), filter = reshape(w, {16, 1, 1, 1});
      std::vector<float> want;
      {
        ScopedValue<bool> reference(call_modes().reference_kernels, true);
        want = floats(linear_act(x, w, {}, {}, {act}));
      }
      const std::string what = cat(EnumNames<Activation>::value[k], " in ", t);
      expect_alike(floats(linear_act(x, w, {}, {}, {act})), want, specials, hides_nan,
                   cat("linear with ", what));
      expect_alike(floats(conv2d_act(image, filter, {}, {}, {.act = act})), want, specials,
                   hides_nan, cat("conv2d with ", what));
    }
  }
}

}  // namespace
}  // namespace rutile::ops
