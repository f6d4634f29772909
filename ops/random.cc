// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/random.h"

#include <cmath>
#include <limits>
#include <random>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/random_infer.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/transfer.h"

namespace rutile {
namespace {

Tensor generator_state(uint64_t seed) { return Tensor::from<uint64_t>({seed, 0}, {2}); }

}  // namespace

Generator::Generator(uint64_t seed) : state_(make_ref<State>("generator", generator_state(seed))) {}

void Generator::seed(uint64_t seed) {
  std::lock_guard lock(mutex_);
  state_->write(generator_state(seed));
}

Tensor Generator::next_key() {
  std::lock_guard lock(mutex_);  // an update moves the value out of its State
  // It draws where the numbers are wanted; the stream of keys goes on.
  if (const Device here = call_modes().device; !(state_->meta().device == here)) {
    ScopedValue<CallModes> direct(call_modes(), CallModes());
    state_->set_concrete(ops::to_device(state_->concrete(), here));
  }
  State* states[] = {state_.get()};
  Tensor key;
  State::update(ops::kNextKey, nullptr, states, {}, {&key, 1});
  return key;
}

Generator& default_generator() {
  static Generator* const g = new Generator(std::random_device{}());  // outlives every user
  return *g;
}

void set_seed(uint64_t seed) { default_generator().seed(seed); }

namespace ops {
namespace {

Status infer_uniform(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RandomUniformAttrs>();
  if (!(a.low < a.high) || !std::isfinite(a.high - a.low)) {
    return value_error(cat("expects low < high, both finite, got ", a.low, " and ", a.high));
  }
  return infer_drawn_float<RandomUniformAttrs>(c, out);
}

Status check_std(double mean, double std) {
  if (!(std >= 0) || !std::isfinite(std) || !std::isfinite(mean)) {
    return value_error(cat("expects a finite mean and std >= 0, got ", mean, " and ", std));
  }
  return Status();
}

Status infer_normal(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RandomNormalAttrs>();
  RUTILE_RETURN_IF_ERROR(check_std(a.mean, a.std));
  return infer_drawn_float<RandomNormalAttrs>(c, out);
}

Status infer_truncated(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<TruncatedNormalAttrs>();
  RUTILE_RETURN_IF_ERROR(check_std(a.mean, a.std));
  // Beyond 5 deviations f32 cannot tell the cdf from 0 or 1.
  if (!(a.lower < a.upper) || a.lower > 5 || a.upper < -5) {
    return value_error(cat("expects lower < upper with lower <= 5 and upper >= -5, got ", a.lower,
                           " and ", a.upper));
  }
  return infer_drawn_float<TruncatedNormalAttrs>(c, out);
}

// Smallest and largest value, the latter as far as int64_t reaches.
void integer_range(DType t, int64_t* lo, int64_t* hi) {
  const int bits = static_cast<int>(dtype_size(t)) * 8;
  const int value_bits = is_signed_int(t) ? bits - 1 : bits;
  *hi = value_bits >= 63 ? std::numeric_limits<int64_t>::max() : (int64_t{1} << value_bits) - 1;
  *lo = is_signed_int(t) ? -*hi - 1 : 0;
}

Status infer_randint(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RandomRandintAttrs>();
  if (!is_integral(a.dtype)) return type_error(cat("gives integers, dtype is ", a.dtype));
  if (a.low >= a.high) return value_error(cat("expects low < high, got ", a.low, " and ", a.high));
  int64_t lo = 0, hi = 0;
  integer_range(a.dtype, &lo, &hi);
  if (a.low < lo || a.high - 1 > hi) {
    return value_error(cat("the range [", a.low, ", ", a.high, ") does not fit ", a.dtype));
  }
  return infer_drawn<RandomRandintAttrs>(c, out);
}

Status check_probability(double p) {
  if (p >= 0 && p <= 1) return Status();
  return value_error(cat("expects p in [0, 1], got ", p));
}

Status infer_bernoulli(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RandomBernoulliAttrs>();
  RUTILE_RETURN_IF_ERROR(check_probability(a.p));
  if (is_complex(a.dtype)) return type_error(cat("gives no complex numbers, dtype is ", a.dtype));
  return infer_drawn<RandomBernoulliAttrs>(c, out);
}

Status infer_next_key(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& s = c.in(0);
  if (s.dtype != DType::kU64) {
    return type_error(cat("expects a generator's state u64[2], got ", s));
  }
  if (!(s.shape == Shape{2})) {
    return value_error(cat("expects a generator's state u64[2], got ", s));
  }
  out[0] = s;
  out[1] = TensorMeta({1}, DType::kU64, s.device);
  return Status();
}

Status infer_dropout(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_key(c.in(0)));
  RUTILE_RETURN_IF_ERROR(check_probability(c.as<DropoutAttrs>().p));
  const TensorMeta& x = c.in(1);
  if (!is_floating(x.dtype)) return type_error(cat("x expects floats, got ", x.dtype));
  out[0] = x.layout == kStrided && x.is_dense() ? x : TensorMeta(x.shape, x.dtype, x.device);
  out[1] = out[0];
  out[1].dtype = DType::kBool;
  return Status();
}

GradResult grad_dropout(GradCtx& c) {
  const double keep = 1 - c.attrs<DropoutAttrs>().p;
  return {Tensor(), where(c.out(1), c.grad() * (keep > 0 ? 1 / keep : 0.0), 0.0)};
}

constexpr const char* kRandom = "random numbers have no gradient";

}  // namespace

constinit const OpDef kNextKey = define({.name = "next_key",
                                         .inputs = {"state"},
                                         .outputs = {"new_state", "key"},
                                         .infer = infer_next_key,
                                         .flops = flops_per_output<10>,
                                         .alias_of = {"state"},
                                         .mutates = {"state"},
                                         .no_grad = kRandom,
                                         .doc = "The next key of a generator's state."});

#define RUTILE_RANDOM(constant, function, Attrs, infer_fn, text)          \
  constinit const OpDef constant = define({.name = #function,             \
                                           .inputs = {"key"},             \
                                           .attrs = attrs_of<Attrs>(),    \
                                           .infer = infer_fn,             \
                                           .flops = flops_per_output<10>, \
                                           .no_grad = kRandom,            \
                                           .doc = text});                 \
  Tensor function(Arg key, Attrs attrs) {                                 \
    return call1(constant, &attrs, {key.tensor}, key.where);              \
  }                                                                       \
  Tensor function(Attrs attrs) { return function(default_generator().next_key(), attrs); }

RUTILE_RANDOM(kRandomUniform, random_uniform, RandomUniformAttrs, infer_uniform,
              "Uniform numbers in [low, high).")
RUTILE_RANDOM(kRandomNormal, random_normal, RandomNormalAttrs, infer_normal,
              "Normally distributed numbers (Box-Muller).")
RUTILE_RANDOM(kTruncatedNormal, truncated_normal, TruncatedNormalAttrs, infer_truncated,
              "Normally distributed numbers within mean + std * [lower, upper].")
RUTILE_RANDOM(kRandomRandint, random_randint, RandomRandintAttrs, infer_randint,
              "Uniform integers in [low, high).")
RUTILE_RANDOM(kRandomBernoulli, random_bernoulli, RandomBernoulliAttrs, infer_bernoulli,
              "1 with probability p, else 0.")

constinit const OpDef kDropout =
    define({.name = "dropout",
            .inputs = {"key", "x"},
            .outputs = {"y", "mask"},
            .attrs = attrs_of<DropoutAttrs>(),
            .infer = infer_dropout,
            .flops = flops_per_input<12, 1>,
            .grad = grad_dropout,
            .saves = {"mask"},
            .doc = "x / (1 - p) where a random mask is true, else 0."});
Tensor dropout(Arg key, Arg x, DropoutAttrs attrs) {
  const Tensor in[] = {key.tensor, x.tensor};
  return call_n(kDropout, &attrs, in, x.where)[0];
}
Tensor dropout(Arg x, DropoutAttrs attrs) {
  const Tensor key = default_generator().next_key();
  return dropout(key, x, attrs);
}

}  // namespace ops
}  // namespace rutile
