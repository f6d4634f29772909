// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/optim.h"

#include <cmath>
#include <limits>
#include <string_view>

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

// ---- Updates ------------------------------------------------------------------------------------

// How the slots of an update are drawn, one letter each: any numbers (.), positive ones (+), ones
// whose square is below the positive ones (0).
struct Rule {
  const char* slots = "";
  bool step = false;
  double tolerance = 1e-5;  // in f32
};

Input slot(const Rule& r, size_t k, const Shape& shape) {
  const Input x = in(shape);
  if (r.slots[k] == '+') return x.uniform(0.5, 2);
  return r.slots[k] == '0' ? x.uniform(-0.3, 0.3) : x;
}

Input grad_scale() { return in({}).values({0.25}).as(DType::kF32); }

std::vector<Input> single(const Rule& r, const Shape& shape, std::vector<Input> rest) {
  std::vector<Input> inputs{in(shape)};
  for (size_t k = 0; r.slots[k]; ++k) inputs.push_back(slot(r, k, shape));
  inputs.push_back(in(shape));
  inputs.insert(inputs.end(), rest.begin(), rest.end());
  return inputs;
}

// All states in f32.
std::vector<Input> low_precision(std::vector<Input> inputs, size_t slots) {
  for (size_t k = 0; k <= slots; ++k) inputs[k] = inputs[k].as(DType::kF32);
  return inputs;
}

template <class A>
void singles(SampleList& s, const Rule& r, const std::vector<A>& settings) {
  const size_t slots = std::string_view(r.slots).size();
  for (const Shape& k : kShapes) {
    for (const A& a : settings) {
      const bool large = k.numel() > 20000;
      if (large && &a != &settings[0]) continue;
      s.add(single(r, k, {lr(), step(3)}), a)
          .dtypes(large ? DTypes{DType::kF32} : kStates)
          .tolerance(DType::kF32, r.tolerance);
      s.add(low_precision(single(r, k, {lr(), step(1, DType::kF32)}), slots), a)
          .dtypes(large ? DTypes{DType::kBF16} : DTypes{DType::kBF16, DType::kF16})
          .tolerance(DType::kF32, r.tolerance);
    }
  }
  const A& a = settings[0];
  s.add(single(r, {5, 7}, {lr(), step(3)}), a).dtypes(kComplexes).tolerance(DType::kC64, 1e-4);
  for (const DType t : {DType::kF32, DType::kF64, DType::kI32, DType::kI64}) {
    s.add(single(r, {9}, {lr(), step(1, t)}), a).name("first step");
  }
  if (!r.step) s.add(single(r, {9}, {lr()}), A{}).name("no step");
  s.add(single(r, {9}, {lr(), step(5), skip(true)}), a).name("skipped");
  s.add(single(r, {9}, {lr().as(DType::kF64), step(5), skip(false)}), a).dtypes(kStates);
  s.add(single(r, {9}, {lr(), step(5), none(), grad_scale()}), settings.back())
      .name("scaled")
      .dtypes(kStates)
      .tolerance(DType::kF32, r.tolerance);
  s.add(single(r, {9}, {lr(), step(5), skip(true), grad_scale()}), a);
  std::vector<Input> placed = single(r, {5, 8}, {lr(), step(5)});
  for (size_t k = 0; k <= slots; ++k) placed[k] = placed[k].transposed();
  s.add(placed, a).name("placed differently");
  placed = single(r, {2, 6, 3, 3}, {lr(), step(5)});
  for (size_t k = 0; k <= slots + 1; ++k) placed[k] = placed[k].channels_last();
  s.add(placed, a);

  std::vector<Input> wrong = single(r, {5}, {lr(), step(5)});
  wrong[slots + 1] = in({6});
  s.error(wrong, a, ErrorCode::kValue, "grad expects shape [5]");
  wrong[slots + 1] = in({5}).as(DType::kF64);
  s.error(wrong, a, ErrorCode::kType, "grad expects f32");
  s.error(single(r, {5}, {in({2}), step(5)}), a, ErrorCode::kValue, "lr expects one element");
  s.error(single(r, {5}, {lr(), in({2})}), a, ErrorCode::kValue, "step expects one element");
  s.error(single(r, {5}, {lr(), step(5), in({})}), a, ErrorCode::kValue, "skip expects one bool");
  s.error(single(r, {5}, {lr(), step(5), none(), step(1)}), a, ErrorCode::kType,
          "grad_scale expects f32 or f64");
  wrong = single(r, {5}, {lr(), step(5)});
  wrong[0] = wrong[0].as(DType::kBF16);
  s.error(wrong, a, ErrorCode::kType, "param expects f32 or f64");
  if (slots == 0) return;
  wrong = single(r, {5}, {lr(), step(5)});
  wrong[slots] = in({4});
  s.error(wrong, a, ErrorCode::kValue, "expects f32[5] as param");
}

// Each of the roles for all parameters.
std::vector<Input> groups(const Rule& r, std::vector<Input> scalars, const DTypes& grads) {
  const Shape shapes[] = {{5, 7}, {}, {17000}, {0}, {37, 6, 3, 3}};
  const size_t slots = std::string_view(r.slots).size();
  for (size_t k = 0; k < slots + 2; ++k) {
    for (size_t i = 0; i < std::size(shapes); ++i) {
      const bool grad = k == slots + 1;
      Input x = k > 0 && !grad ? slot(r, k - 1, shapes[i]) : in(shapes[i]);
      scalars.push_back(x.as(grad ? grads[i % grads.size()] : DType::kF32));
    }
  }
  return scalars;
}

// With copies of the first parameters in low precision between slots and gradients.
std::vector<Input> with_copies(const Rule& r, std::vector<Input> all) {
  const size_t params = 5, slots = std::string_view(r.slots).size();
  const Shape shapes[] = {{5, 7}, {}, {17000}};
  const auto at = all.begin() + static_cast<std::ptrdiff_t>(4 + params * (slots + 1));
  std::vector<Input> copies;
  for (size_t i = 0; i < std::size(shapes); ++i) {
    copies.push_back(in(shapes[i]).as(i == 0 ? DType::kF16 : DType::kBF16));
  }
  all.insert(at, copies.begin(), copies.end());
  return all;
}
const DTypes kOneType{DType::kF32}, kMixedTypes{DType::kF32, DType::kBF16};

template <class A>
void multis(SampleList& s, const Rule& r, const std::vector<A>& settings) {
  for (const A& a : settings) {
    s.add(groups(r, {lr(), step(2), none(), none()}, kOneType), a)
        .tolerance(DType::kF32, r.tolerance);
    s.add(groups(r, {lr(), step(1, DType::kF32), skip(false), grad_scale()}, kMixedTypes), a)
        .tolerance(DType::kF32, r.tolerance);
  }
  const A& a = settings[0];
  for (const DTypes& grads : {kOneType, kMixedTypes, DTypes{DType::kBF16}}) {
    s.add(with_copies(r, groups(r, {lr(), step(2), none(), none()}, grads)), a)
        .tolerance(DType::kF32, r.tolerance)
        .name("copies");
  }
  s.add(with_copies(r, groups(r, {lr(), step(2), skip(true), none()}, kOneType)), a);
  s.add(groups(r, {lr(), step(2), skip(true), none()}, kOneType), a);
  s.add({lr(), step(2), none(), none()}, a).name("none");
  std::vector<Input> doubles{lr(), step(2), none(), none(), in({4})};
  for (size_t k = 0; r.slots[k]; ++k) doubles.push_back(slot(r, k, {4}));
  doubles.push_back(in({4}));
  for (size_t k = 4; k < doubles.size(); ++k) doubles[k] = doubles[k].as(DType::kF64);
  s.add(doubles, a);
  std::vector<Input> mixed(doubles.begin(), doubles.begin() + 4);
  for (size_t k = 4; k < doubles.size(); ++k) {
    mixed.push_back(doubles[k].as(DType::kC128));
    mixed.push_back(doubles[k]);
  }
  s.add(mixed, a).name("complex beside real");
  std::vector<Input> wrong = doubles;
  wrong.back() = in({5}).as(DType::kF64);
  s.error(wrong, a, ErrorCode::kValue, "parameter 0: grad expects");
  wrong.push_back(in({5}));
  s.error(wrong, a, ErrorCode::kValue, "for each parameter");
  wrong = doubles;
  wrong.insert(wrong.end() - 1, in({5}).as(DType::kBF16));
  s.error(wrong, a, ErrorCode::kValue, "a copy expects bf16 or f16 and shape [4]");
  wrong = doubles;
  wrong[0] = in({3});
  s.error(wrong, a, ErrorCode::kValue, "lr expects one element");
}

// Samples of an update and of its form for many parameters.
#define RUTILE_UPDATE_SAMPLES(op, slots, step, ...)                               \
  RUTILE_SAMPLES(op) { singles(s, Rule{slots, step}, std::vector{__VA_ARGS__}); } \
  RUTILE_SAMPLES(op##_multi) { multis(s, Rule{slots, step}, std::vector{__VA_ARGS__}); }
constexpr bool kStep = true, kNoStep = false;

RUTILE_UPDATE_SAMPLES(sgd, "", kNoStep, SgdAttrs{0.1, 2.0}, SgdAttrs{0, 1, true})
RUTILE_UPDATE_SAMPLES(momentum, ".", kNoStep, MomentumAttrs{0.9, 0.5, false, 0.1},
                      MomentumAttrs{.nesterov = true, .weight_decay = 0.1}, MomentumAttrs{})
const AdamAttrs kAdam1{.weight_decay = 0.05}, kAdam2{0.8, 0.9, 1e-3, 0, 0.5, true};
RUTILE_UPDATE_SAMPLES(adam, ".+", kStep, kAdam1, kAdam2)
RUTILE_UPDATE_SAMPLES(adamw, ".+", kStep, kAdam1, kAdam2)
RUTILE_UPDATE_SAMPLES(adam_amsgrad, ".++", kStep, kAdam1, kAdam2)
RUTILE_UPDATE_SAMPLES(adamw_amsgrad, ".++", kStep, kAdam1, kAdam2)
RUTILE_UPDATE_SAMPLES(adamax, ".+", kStep, kAdam1, kAdam2)
RUTILE_UPDATE_SAMPLES(nadam, ".+", kStep, NAdamAttrs{.weight_decay = 0.05},
                      NAdamAttrs{0.8, 0.9, 1e-3, 0.01, true, 0.1, 0.5, true})
RUTILE_UPDATE_SAMPLES(radam, ".+", kStep, RAdamAttrs{.weight_decay = 0.05},
                      RAdamAttrs{0.8, 0.6, 1e-3, true, 0.1, 0.5, true})
RUTILE_UPDATE_SAMPLES(adagrad, "+", kNoStep, AdagradAttrs{.lr_decay = 0.1, .weight_decay = 0.05},
                      AdagradAttrs{.eps = 1e-3, .lr_scale = 2, .maximize = true})
RUTILE_UPDATE_SAMPLES(adadelta, "++", kNoStep, AdadeltaAttrs{.weight_decay = 0.05},
                      AdadeltaAttrs{0.7, 1e-3, 0, 2, true})
const RmspropAttrs kRms1{.momentum = 0.7, .weight_decay = 0.05}, kRms2{0.8, 1e-3, 0.5, 0, 2, true};
RUTILE_UPDATE_SAMPLES(rmsprop, "+", kNoStep, kRms1, kRms2)
RUTILE_UPDATE_SAMPLES(rmsprop_momentum, "+.", kNoStep, kRms1, kRms2)
RUTILE_UPDATE_SAMPLES(rmsprop_centered, "+0", kNoStep, kRms1, kRms2)
RUTILE_UPDATE_SAMPLES(rmsprop_centered_momentum, "+0.", kNoStep, kRms1, kRms2)
RUTILE_UPDATE_SAMPLES(rprop, ".+", kNoStep, RpropAttrs{},
                      RpropAttrs{0.7, 1.5, 0.3, 1.5, 0.1, 2, true})
RUTILE_UPDATE_SAMPLES(asgd, ".", kStep, AsgdAttrs{.weight_decay = 0.05},
                      AsgdAttrs{0.1, 0.5, 1, 0, 2, true})
const FtrlAttrs kFtrl1{.weight_decay = 0.05}, kFtrl2{0.3, 0.2, -0.7, 0, 2, true};
// A difference of powers times 1 / lr.
const Rule kFtrlRule{"+.", kNoStep, 2e-3};
RUTILE_SAMPLES(ftrl) { singles(s, kFtrlRule, std::vector{kFtrl1, kFtrl2}); }
RUTILE_SAMPLES(ftrl_multi) { multis(s, kFtrlRule, std::vector{kFtrl1, kFtrl2}); }
RUTILE_UPDATE_SAMPLES(lion, ".", kNoStep, LionAttrs{.weight_decay = 0.05},
                      LionAttrs{0.8, 0.9, 0, 2, true})
RUTILE_UPDATE_SAMPLES(lamb, ".+", kStep, LambAttrs{.weight_decay = 0.05},
                      LambAttrs{0.8, 0.9, 1e-3, 0, 2, true})
RUTILE_UPDATE_SAMPLES(lars, ".", kNoStep, LarsAttrs{.weight_decay = 0.05},
                      LarsAttrs{0.8, 0.5, 1e-3, 0, 2, true})
#undef RUTILE_UPDATE_SAMPLES

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
  s.add({in({5, 7}), in({5, 7})}).dtypes(joined(kNumbers, kComplexes));
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
  s.add({scale, in({5, 7}), in({}), in({5}).as(DType::kF32)}).dtypes(kComplexes);
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
  s.add({in({5, 7}), in({}), in({3}).as(DType::kF64)}).dtypes(kComplexes);
  s.add({in({5}), in({3}).as(DType::kBF16).constant()}).name("mixed");
  s.add({in({0})}).no_gradient("nothing to differentiate");
  s.add({}).name("none");
  s.add({in({5, 8}).transposed(), in({100000})});
  s.add({in({4}).values({0})}).name("zero").no_gradient("the norm has a kink");
  s.error({in({5}).as(DType::kI32)}, ErrorCode::kType, "floating");
}

}  // namespace
}  // namespace rutile::samples
