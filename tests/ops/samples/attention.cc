// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/attention.h"

#include <limits>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

struct Case {
  int64_t b, h, t, s, d, e;
  AttentionAttrs attrs;
  Input q() const { return in({b, h, t, d}); }
  Input k() const { return in({b, h, s, d}); }
  Input v() const { return in({b, h, s, e}); }
  Input y() const { return in({b, h, t, e}); }
  // Near what the scores of default values give, so that probabilities are neither 0 nor huge.
  Input lse() const { return in({b, h, t}).uniform(2, 3); }
  std::vector<Input> forward() const { return {q(), k(), v()}; }
  std::vector<Input> backward() const { return {y(), q(), k(), v(), y(), lse().as(DType::kF32)}; }
};

// One row, one key, odd sizes, more queries than keys and the other way round, nothing at all.
constexpr Case kShort[] = {
    {2, 3, 5, 5, 4, 4, {}},
    {1, 2, 6, 6, 8, 8, {.causal = true}},
    {1, 1, 1, 1, 1, 1, {.causal = true}},
    {2, 1, 3, 7, 5, 3, {.causal = true, .scale = 0.3}},
    {1, 2, 9, 4, 3, 6, {.causal = true}},
    {1, 2, 1, 9, 16, 16, {}},
    {0, 2, 3, 3, 4, 4, {}},
    {2, 2, 0, 3, 4, 4, {}},
    {1, 2, 3, 0, 4, 4, {}},
};
// For kernels: several blocks of rows and keys, head sizes around the widths of vectors.
constexpr Case kLong[] = {
    {1, 2, 131, 131, 16, 16, {.causal = true}}, {1, 3, 33, 300, 10, 6, {}},
    {1, 1, 150, 70, 4, 33, {.causal = true}},   {1, 1, 40, 530, 2, 3, {.causal = true}},
    {1, 1, 31, 31, 80, 130, {.causal = true}},  {1, 1, 65, 65, 64, 64, {}},
};

const char* const kForKernels = "a long run for kernels; the short ones check the gradient";
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// p and dy v^T are rounded to bf16 before they are multiplied.
constexpr double kBf16 = 3e-2;

std::vector<Input> swapped(std::vector<Input> inputs) {
  for (Input& i : inputs) {
    if (i.shape.rank() == 4) i = i.swapped();
  }
  return inputs;
}

std::vector<Input> with(std::vector<Input> inputs, const Input& last) {
  inputs.push_back(last);
  return inputs;
}

// Without the dimension of the heads.
std::vector<Input> rank3(std::vector<Input> inputs) {
  for (Input& i : inputs) {
    Shape s{i.shape[0]};
    for (int d = 2; d < i.shape.rank(); ++d) s.push_back(i.shape[d]);
    i.shape = s;
  }
  return inputs;
}

RUTILE_SAMPLES(scaled_dot_product_attention) {
  for (const Case& c : kShort) {
    SampleGroup group = s.add(c.forward(), c.attrs).dtypes(kFloats).tolerance(DType::kBF16, kBf16);
    if (c.s == 0) group.no_gradient("lse is -inf without keys");
  }
  const Case plain = kShort[0], causal = kShort[1];
  s.add(swapped(plain.forward()), plain.attrs);
  s.add(swapped(causal.forward()), causal.attrs).dtypes(kFloats).tolerance(DType::kBF16, kBf16);
  s.add({plain.q().gaps(), plain.k().transposed(), plain.v().expanded()}, plain.attrs);
  s.add(rank3(kShort[3].forward()), kShort[3].attrs);
  // Masks: added, chosen, broadcast, with rows that see nothing.
  s.add(with(plain.forward(), in({2, 3, 5, 5})), plain.attrs)
      .dtypes(kFloats)
      .tolerance(DType::kBF16, kBf16);
  s.add(with(plain.forward(), in({5})), plain.attrs);
  s.add(with(plain.forward(), in({3, 1, 5}).as(DType::kF32)), plain.attrs);
  s.add(with(causal.forward(), in({6, 6})), causal.attrs);
  s.add(with(plain.forward(), in({2, 1, 5, 5}).as(DType::kBool).values({1, 0, 1, 1, 0, 1, 1})),
        plain.attrs)
      .dtypes(kFloats)
      .tolerance(DType::kBF16, kBf16);
  s.add(with(plain.forward(), in({5, 1}).as(DType::kBool).values({1, 0, 1, 1, 0})), plain.attrs)
      .name("rows that see nothing")
      .dtypes({DType::kF32, DType::kBF16})
      .tolerance(DType::kBF16, kBf16)
      .no_gradient("lse is -inf there");
  s.add(
       with(plain.forward(), in({5, 5}).values({0, -kInfinity, 1, 0, -kInfinity, 0, 0}).constant()),
       plain.attrs)
      .name("-inf in the mask")
      .dtypes({DType::kF32, DType::kBF16})
      .tolerance(DType::kBF16, kBf16);
  for (const Case& c : kLong) {
    for (const std::vector<Input>& inputs : {c.forward(), swapped(c.forward())}) {
      s.add(inputs, c.attrs)
          .name("long")
          .dtypes({DType::kF32, DType::kBF16})
          .tolerance(DType::kBF16, kBf16)
          .no_gradient(kForKernels);
    }
  }
  for (const Input& mask :
       {in({131, 131}), in({2, 1, 131}).as(DType::kBool).values({1, 0, 1, 1, 0, 1, 1})}) {
    s.add(with(kLong[0].forward(), mask), kLong[0].attrs)
        .name("long")
        .dtypes({DType::kF32, DType::kBF16})
        .tolerance(DType::kBF16, kBf16)
        .no_gradient(kForKernels);
  }
  const Input x = in({2, 3, 5, 4});
  const auto refused = [&](std::vector<Input> inputs, ErrorCode code, const char* message) {
    s.error(std::move(inputs), code, message);
  };
  refused({in({5, 4}), in({5, 4}), in({5, 4})}, ErrorCode::kValue, "[b,h,t,d] or [b,t,d]");
  refused({x, in({2, 3, 5, 6}), x}, ErrorCode::kValue, "k expects head size 4");
  refused({x, x, in({2, 3, 6, 4})}, ErrorCode::kValue, "v expects 5 rows");
  refused({x, in({2, 1, 5, 4}), x}, ErrorCode::kValue, "k expects 3 in dimension 1");
  refused({x, in({3, 5, 4}), x}, ErrorCode::kValue, "k expects rank 4");
  refused({x, x.as(DType::kBF16), x}, ErrorCode::kType, "k expects f32 as q");
  refused({x.as(DType::kI32), x.as(DType::kI32), x.as(DType::kI32)}, ErrorCode::kType,
          "floating point");
  refused({x, x, x, in({5, 4})}, ErrorCode::kValue, "mask expects a shape that broadcasts");
  refused({x, x, x, in({5, 5}).as(DType::kI32)}, ErrorCode::kType, "mask expects bool, f32");
  refused({in({2, 5, 0}), in({2, 5, 0}), in({2, 5, 4})}, ErrorCode::kValue, "must not be 0");
  s.error({x, x, x}, AttentionAttrs{.scale = kInfinity}, ErrorCode::kValue, "scale must be finite");
}

RUTILE_SAMPLES(scaled_dot_product_attention_grad) {
  for (const Case& c : kShort) {
    s.add(c.backward(), c.attrs)
        .dtypes({DType::kF32, DType::kBF16, DType::kF16})
        .tolerance(DType::kBF16, kBf16);
  }
  const Case plain = kShort[0], causal = kShort[1];
  s.add(swapped(causal.backward()), causal.attrs);
  s.add(rank3(kShort[3].backward()), kShort[3].attrs);
  s.add(with(with(plain.backward(), in({3, 1, 5})), plain.lse().as(DType::kF32)), plain.attrs);
  s.add(with(with(plain.backward(), bool_in({5, 5})), none()), plain.attrs)
      .dtypes({DType::kF32, DType::kBF16})
      .tolerance(DType::kBF16, kBf16);
  s.add(with(with(causal.backward(), none()), causal.lse().as(DType::kF32)), causal.attrs);
  Case blind = plain;
  std::vector<Input> inputs = blind.backward();
  inputs[5] = inputs[5].values({-kInfinity, 2, 3});
  s.add(with(inputs, in({5, 1}).as(DType::kBool).values({0, 1, 1})), blind.attrs)
      .name("rows that see nothing")
      .no_gradient("lse is -inf there");
  for (const Case& c : kLong) {
    // lse grows with the head size: keep the probabilities small.
    std::vector<Input> all = c.backward();
    all[5] = all[5].uniform(c.d > 40 ? 14 : 5, c.d > 40 ? 15 : 6);
    s.add(c.h > 1 ? swapped(all) : all, c.attrs)
        .name("long")
        .dtypes({DType::kF32, DType::kBF16})
        .tolerance(DType::kF32, 2e-5, 2e-4)
        .tolerance(DType::kBF16, 5e-2, 5e-2)
        .no_gradient(kForKernels);
  }
  const std::vector<Input> good = plain.backward();
  std::vector<Input> bad = good;
  bad[0] = in({2, 3, 5, 5});
  s.error(bad, ErrorCode::kValue, "dy expects f32[2,3,5,4]");
  bad = good;
  bad[5] = in({2, 3, 4}).as(DType::kF32);
  s.error(bad, ErrorCode::kValue, "lse expects f32[2,3,5]");
}

}  // namespace
}  // namespace rutile::samples
