// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/optim.h"

#include <cmath>
#include <limits>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace ops;

constexpr double kInf = std::numeric_limits<double>::infinity();
const DTypes kStates{DType::kF32, DType::kF64};
const Shape kShapes[] = {{5, 7}, {}, {0, 3}, {1000}, {37, 6, 3, 3}, {70001}};

Input lr() { return in({}).values({0.01}).as(DType::kF32); }
Input step(double n, DType t = DType::kI64) { return in({}).values({n}).as(t); }
Input skip(bool v) { return in({}).values({v ? 1.0 : 0.0}).as(DType::kBool); }

RUTILE_SAMPLES(sgd) {
  for (const Shape& k : kShapes) {
    s.add({in(k), in(k), lr()}, SgdAttrs{}).dtypes(kStates);
    s.add({in(k).as(DType::kF32), in(k), lr()}, SgdAttrs{0.1, 2.0})
        .dtypes({DType::kBF16, DType::kF16});
  }
  s.add({in({9}), in({9}), lr(), skip(true)}, SgdAttrs{}).name("skipped");
  s.add({in({9}), in({9}), lr(), skip(false)}, SgdAttrs{0.1});
  s.add({in({5, 8}).transposed(), in({5, 8}), lr()}, SgdAttrs{0.1}).name("placed differently");
  s.add({in({2, 6, 3, 3}).channels_last(), in({2, 6, 3, 3}).channels_last(), lr()}, SgdAttrs{});
  s.error({in({5}), in({6}), lr()}, SgdAttrs{}, ErrorCode::kValue, "grad expects shape [5]");
  s.error({in({5}).as(DType::kBF16), in({5}), lr()}, SgdAttrs{}, ErrorCode::kType,
          "param expects f32 or f64");
  s.error({in({5}), in({5}).as(DType::kF64), lr()}, SgdAttrs{}, ErrorCode::kType, "grad expects");
  s.error({in({5}), in({5}), in({2})}, SgdAttrs{}, ErrorCode::kValue, "lr expects one element");
  s.error({in({5}), in({5}), lr(), in({})}, SgdAttrs{}, ErrorCode::kValue, "skip expects one bool");
}

RUTILE_SAMPLES(momentum) {
  for (const Shape& k : kShapes) {
    s.add({in(k), in(k), in(k), lr()}, MomentumAttrs{}).dtypes(kStates);
    s.add({in(k), in(k), in(k), lr()}, MomentumAttrs{.nesterov = true, .weight_decay = 0.1});
    s.add({in(k).as(DType::kF32), in(k).as(DType::kF32), in(k), lr(), step(3)},
          MomentumAttrs{0.9, 0.5, false, 0.1})
        .dtypes({DType::kBF16, DType::kF16});
  }
  for (const DType t : {DType::kF32, DType::kF64, DType::kI32, DType::kI64}) {
    s.add({in({9}), in({9}), in({9}), lr(), step(1, t)}, MomentumAttrs{0.9, 0.5})
        .name("first step");
  }
  s.add({in({9}), in({9}), in({9}), lr(), none(), skip(true)}, MomentumAttrs{}).name("skipped");
  s.error({in({5}), in({5}), in({5}), lr()}, MomentumAttrs{0.9, 0.5}, ErrorCode::kValue,
          "dampening needs step");
  s.error({in({5}), in({5}), in({5}), lr()}, MomentumAttrs{0, 0, true}, ErrorCode::kValue,
          "nesterov");
  s.error({in({5}), in({4}), in({5}), lr()}, MomentumAttrs{}, ErrorCode::kValue,
          "velocity expects");
}

void adams(SampleList& s) {
  const AdamAttrs a{.weight_decay = 0.05}, b{0.8, 0.9, 1e-3, 0, 0.5};
  for (const Shape& k : kShapes) {
    for (const AdamAttrs& attrs : {a, b}) {
      s.add({in(k), in(k), in(k).uniform(0, 2), step(3), in(k), lr()}, attrs).dtypes(kStates);
    }
    const Input f = in(k).as(DType::kF32);
    s.add({f, f, f.uniform(0, 2), step(1, DType::kF32), in(k), lr()}, a)
        .dtypes({DType::kBF16, DType::kF16});
  }
  const Input x = in({9});
  s.add({x, x, x.positive(), step(5), x, lr(), skip(true)}, a).name("skipped");
  s.add({x, x, x.positive(), step(5, DType::kI32), x, lr().as(DType::kF64), skip(false)}, a);
  s.error({x, x, x, step(5), in({8}), lr()}, a, ErrorCode::kValue, "grad expects shape [9]");
  s.error({x, x, in({8}), step(5), x, lr()}, a, ErrorCode::kValue, "v expects");
  s.error({x, x, x, in({2}), x, lr()}, a, ErrorCode::kValue, "step expects one element");
  s.error({x, x, x, step(5), x, lr()}, AdamAttrs{.beta1 = 1.0}, ErrorCode::kValue, "beta");
}
RUTILE_SAMPLES(adam) { adams(s); }
RUTILE_SAMPLES(adamw) { adams(s); }

// Each of the roles for all parameters.
std::vector<Input> groups(std::vector<Input> scalars, int slots, const DTypes& grads) {
  const Shape shapes[] = {{5, 7}, {}, {30000}, {0}, {37, 6, 3, 3}};
  for (int k = 0; k < slots + 2; ++k) {
    for (size_t i = 0; i < std::size(shapes); ++i) {
      const bool grad = k == slots + 1;
      Input x = in(shapes[i]).as(grad ? grads[i % grads.size()] : DType::kF32);
      scalars.push_back(k == slots && slots == 2 ? x.uniform(0, 2) : x);
    }
  }
  return scalars;
}
const DTypes kOneType{DType::kF32}, kMixedTypes{DType::kF32, DType::kBF16};

RUTILE_SAMPLES(sgd_multi) {
  s.add(groups({lr(), none()}, 0, kOneType), SgdMultiAttrs{5, 0.1});
  s.add(groups({lr(), skip(false)}, 0, kMixedTypes), SgdMultiAttrs{5, 0, 2});
  s.add(groups({lr(), skip(true)}, 0, kOneType), SgdMultiAttrs{5});
  s.add({lr(), none(), in({4}).as(DType::kF64), in({4}).as(DType::kF64)}, SgdMultiAttrs{1});
  s.add({lr(), none(), in({5, 8}).transposed(), in({5, 8})}, SgdMultiAttrs{1});
  s.add({lr(), none()}, SgdMultiAttrs{0}).name("none");
  s.error({lr(), none(), in({4})}, SgdMultiAttrs{1}, ErrorCode::kValue,
          "tensors expects 2 of each");
  s.error({lr(), none(), in({4}), in({5})}, SgdMultiAttrs{1}, ErrorCode::kValue,
          "parameter 0: grad");
  s.error({lr(), none(), in({4}), in({4})}, SgdMultiAttrs{-1}, ErrorCode::kValue, "outputs");
}

RUTILE_SAMPLES(momentum_multi) {
  s.add(groups({lr(), none(), none()}, 1, kOneType), MomentumMultiAttrs{5});
  s.add(groups({lr(), step(2), skip(false)}, 1, kMixedTypes),
        MomentumMultiAttrs{5, 0.8, 0.5, false, 0.1, 2});
  s.add(groups({lr(), step(1), none()}, 1, kOneType), MomentumMultiAttrs{5, 0.8, 0.5});
  s.add(groups({lr(), none(), none()}, 1, kOneType), MomentumMultiAttrs{5, 0.8, 0, true, 0.1});
  s.add(groups({lr(), none(), skip(true)}, 1, kOneType), MomentumMultiAttrs{5});
  s.error(groups({lr(), none(), none()}, 0, kOneType), MomentumMultiAttrs{5}, ErrorCode::kValue,
          "tensors expects 3 of each");
  s.error(groups({lr(), none(), none()}, 1, kOneType), MomentumMultiAttrs{5, 0.9, 0.5},
          ErrorCode::kValue, "dampening needs step");
}

void multi_adams(SampleList& s) {
  s.add(groups({lr(), step(2), none()}, 2, kOneType), AdamMultiAttrs{.count = 5});
  s.add(groups({lr(), step(1, DType::kF32), skip(false)}, 2, kMixedTypes),
        AdamMultiAttrs{5, 0.8, 0.95, 1e-6, 0.1, 0.5});
  s.add(groups({lr(), step(1), skip(true)}, 2, kOneType), AdamMultiAttrs{.count = 5});
  s.error(groups({lr(), step(1), none()}, 1, kOneType), AdamMultiAttrs{.count = 5},
          ErrorCode::kValue, "tensors expects 4 of each");
  s.error(groups({lr(), step(1), none()}, 2, kOneType), AdamMultiAttrs{5, 0.9, 1.5},
          ErrorCode::kValue, "beta");
}
RUTILE_SAMPLES(adam_multi) { multi_adams(s); }
RUTILE_SAMPLES(adamw_multi) { multi_adams(s); }

RUTILE_SAMPLES(assign) {
  s.add({in({5, 7}), in({5, 7})}).dtypes(kEveryType);
  s.add({in({}), in({})});
  s.add({in({0}), in({0})});
  s.add({in({5, 7}), in({5, 7}).transposed()});
  s.add({in({5, 7}).transposed(), in({5, 7})});
  s.add({in({100000}), in({100000})});
  s.error({in({5}), in({6})}, ErrorCode::kValue, "value expects f32[5]");
  s.error({in({5}), in({5}).as(DType::kF64)}, ErrorCode::kValue, "value expects f32[5]");
}

RUTILE_SAMPLES(assign_add) {
  s.add({in({5, 7}), in({5, 7})}).dtypes(kNumbers);
  s.add({in({}).as(DType::kI64), in({}).as(DType::kI64)});
  s.add({in({0}), in({0})});
  s.add({in({5, 7}), in({5, 7}).transposed()});
  s.add({in({100000}), in({100000})}).dtypes({DType::kF32, DType::kBF16, DType::kI64});
  s.error({in({5}), in({6})}, ErrorCode::kValue, "value expects f32[5]");
  s.error({bool_in({5}), bool_in({5})}, ErrorCode::kType, "number");
}

RUTILE_SAMPLES(unscale_and_check) {
  const Input scale = in({}).values({1024}).as(DType::kF32);
  s.add({scale, in({5, 7}), in({}), in({0}), in({40000})}).dtypes(kFloats);
  s.add({scale, in({5}), in({6}).as(DType::kF16), in({7}).as(DType::kF64)}).name("mixed");
  s.add({scale}).name("none");
  s.add({scale, in({5}), in({40}).values({1, 2, kInf})}).name("inf").dtypes(kFloats);
  s.add({scale, in({5}), in({40}).values({1, 2, 3, 4, -kInf})}).name("-inf");
  s.add({scale, in({40}).values({1, 2, 3, std::nan("")}), in({5})}).name("nan").dtypes(kFloats);
  s.add({scale, in({5, 8}).transposed(), in({2, 6, 3, 3}).channels_last()});
  s.error({in({2}), in({5})}, ErrorCode::kValue, "scale expects one f32");
  s.error({scale, in({5}).as(DType::kI32)}, ErrorCode::kType, "floating");
}

RUTILE_SAMPLES(update_loss_scale) {
  const Input scale = in({}).values({1024}).as(DType::kF32);
  auto good = [](double n) { return in({}).values({n}).as(DType::kI64); };
  s.add({scale, good(3), skip(false)}, LossScaleAttrs{2, 0.5, 10});
  s.add({scale, good(9), skip(false)}, LossScaleAttrs{2, 0.5, 10}).name("grows");
  s.add({scale, good(9), skip(true)}, LossScaleAttrs{2, 0.5, 10}).name("shrinks");
  s.add({in({}).values({3e38}).as(DType::kF32), good(0), skip(false)}, LossScaleAttrs{2, 0.5, 1})
      .name("stays finite");
  s.error({scale, in({}), skip(false)}, LossScaleAttrs{}, ErrorCode::kValue, "good_steps");
  s.error({scale, good(0), in({})}, LossScaleAttrs{}, ErrorCode::kValue, "overflow");
  s.error({scale, good(0), skip(false)}, LossScaleAttrs{0.5, 0.5, 10}, ErrorCode::kValue, "growth");
}

RUTILE_SAMPLES(global_norm) {
  s.add({in({5, 7}), in({3}), in({})}).dtypes(kFloats).tolerance(DType::kF32, 1e-5);
  s.add({in({5}), in({3}).as(DType::kBF16).constant()}).name("mixed");
  s.add({in({0})}).no_gradient("nothing to differentiate");
  s.add({}).name("none");
  s.add({in({5, 8}).transposed(), in({100000})});
  s.add({in({4}).values({0})}).name("zero").no_gradient("the norm has a kink");
  s.error({in({5}).as(DType::kI32)}, ErrorCode::kType, "floating");
}

}  // namespace
}  // namespace rutile::samples
