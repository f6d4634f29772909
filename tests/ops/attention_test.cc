// SPDX-License-Identifier: Apache-2.0
// What samples do not say of attention: the order of sums, and that a transformer's views are not
// copied.
#include "rutile/ops/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "rutile/core/thread.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

Tensor random(const Shape& shape, DType t, uint64_t key) {
  return samples::make_tensor(samples::in(shape), t, {key});
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.meta() == b.meta() &&
         std::memcmp(a.data(), b.data(), static_cast<size_t>(a.meta().nbytes())) == 0;
}

double distance(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = samples::to_doubles(a), y = samples::to_doubles(b);
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * (x[i] - y[i]);
    norm += y[i] * y[i];
  }
  return std::sqrt(norm > 0 ? error / norm : error);
}

struct Case {
  DType dtype;
  bool causal;
};
constexpr Case kCases[] = {
    {DType::kF32, true}, {DType::kF32, false}, {DType::kBF16, true}, {DType::kBF16, false}};

// Few heads, so that threads share them.
TEST(Attention, ForwardHasTheSameBitsForAnyNumberOfThreads) {
  for (const Case& c : kCases) {
    const Tensor q = random({1, 2, 150, 64}, c.dtype, 1), k = random({1, 2, 300, 64}, c.dtype, 2);
    const Tensor v = random({1, 2, 300, 40}, c.dtype, 3);
    const ops::AttentionAttrs a{.causal = c.causal};
    ops::AttentionResult one;
    for (const int threads : {1, 2, 5}) {
      ThreadCountScope scope(threads);
      const ops::AttentionResult r = ops::attention_with_lse(q, k, v, {}, a);
      if (threads == 1) one = r;
      EXPECT_TRUE(same_bits(r.y, one.y)) << dtype_name(c.dtype) << " " << threads;
      EXPECT_TRUE(same_bits(r.lse, one.lse)) << dtype_name(c.dtype) << " " << threads;
    }
  }
}

TEST(Attention, BackwardRepeatsItsBitsAndAgreesAcrossThreads) {
  for (const Case& c : kCases) {
    const Tensor q = random({1, 2, 150, 64}, c.dtype, 1), k = random({1, 2, 300, 64}, c.dtype, 2);
    const Tensor v = random({1, 2, 300, 40}, c.dtype, 3), dy = random({1, 2, 150, 40}, c.dtype, 4);
    const ops::AttentionAttrs a{.causal = c.causal};
    const ops::AttentionResult r = ops::attention_with_lse(q, k, v, {}, a);
    const Tensor in[] = {dy, q, k, v, r.y, r.lse};
    TensorList one;
    for (const int threads : {1, 2, 5}) {
      ThreadCountScope scope(threads);
      const TensorList g = call_n(ops::kAttentionGrad, &a, in);
      const TensorList again = call_n(ops::kAttentionGrad, &a, in);
      if (threads == 1) one = g;
      for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(same_bits(g[i], again[i])) << dtype_name(c.dtype) << " " << threads << " " << i;
        EXPECT_LT(distance(g[i], one[i]), c.dtype == DType::kF32 ? 1e-6 : 1e-3);
      }
    }
  }
}

// Tiles that are not full in any direction, keys in several parts, rows that see nothing.
TEST(Attention, OddSizesInBf16AreThoseOfF32) {
  struct Sizes {
    int64_t rows, keys, d, e;
  };
  constexpr Sizes kSizes[] = {{1, 1, 1, 1},       {5, 3, 8, 8},      {16, 32, 32, 16},
                              {17, 33, 40, 24},   {97, 65, 64, 64},  {31, 257, 33, 65},
                              {130, 300, 80, 72}, {200, 70, 16, 130}};
  for (const Sizes& z : kSizes) {
    for (const bool causal : {false, true}) {
      for (const bool masked : {false, true}) {
        const auto of = [&](int64_t rows, int64_t size, uint64_t key) {
          return random({2, 2, rows, size}, DType::kBF16, key);
        };
        const Tensor q = of(z.rows, z.d, 1), k = of(z.keys, z.d, 2), v = of(z.keys, z.e, 3);
        const Tensor dy = of(z.rows, z.e, 4);
        Tensor mask;
        if (masked) mask = ops::greater(random({2, 1, z.rows, z.keys}, DType::kF32, 5), 0.0);
        const ops::AttentionAttrs a{.causal = causal};
        const auto f32 = [](const Tensor& t) { return ops::cast(t, DType::kF32); };
        const ops::AttentionResult r = ops::attention_with_lse(q, k, v, mask, a);
        const ops::AttentionResult w = ops::attention_with_lse(f32(q), f32(k), f32(v), mask, a);
        const std::string where = cat(z.rows, " ", z.keys, " ", z.d, " ", z.e,
                                      causal ? " causal" : "", masked ? " masked" : "");
        EXPECT_LT(distance(r.y, w.y), 1e-2) << where;
        const Tensor in[] = {dy, q, k, v, r.y, r.lse, mask};
        const Tensor wide[] = {f32(dy), f32(q), f32(k), f32(v), w.y, w.lse, mask};
        const TensorList g = call_n(ops::kAttentionGrad, &a, in);
        const TensorList e = call_n(ops::kAttentionGrad, &a, wide);
        for (int i = 0; i < 3; ++i) EXPECT_LT(distance(g[i], e[i]), 2e-2) << where << " " << i;
      }
    }
  }
}

TEST(Attention, ViewsOfOneProjectionAreNotCopied) {
  const int64_t b = 2, t = 20, h = 3, d = 16;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const Tensor qkv = random({b, t, 3 * h * d}, dtype, 1);
    Tensor in[3];
    int i = 0;
    for (const Tensor& part : ops::split(qkv, 3, 2)) {
      in[i++] = ops::permute(ops::reshape(part, {b, t, h, d}), {0, 2, 1, 3});
    }
    const int64_t copies = call_stats().inserted_copies;
    const ops::AttentionResult r = ops::attention_with_lse(in[0], in[1], in[2]);
    const Tensor all[] = {r.y, in[0], in[1], in[2], r.y, r.lse};
    const ops::AttentionAttrs a;
    const TensorList g = call_n(ops::kAttentionGrad, &a, all);
    EXPECT_EQ(call_stats().inserted_copies, copies);
    for (const Tensor& y : {r.y, g[0], g[1], g[2]}) {
      const Tensor folded = ops::reshape(ops::permute(y, {0, 2, 1, 3}), {b, t, h * d});
      EXPECT_EQ(folded.data(), y.data()) << "folding the heads copies";
    }
  }
}

}  // namespace
}  // namespace rutile
