// SPDX-License-Identifier: Apache-2.0
// Random ops, one element at a time from its index (ops/random.h).
#include <algorithm>

#include "rutile/core/rng.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/random_math.h"
#include "rutile/kernels/random_params.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

uint32_t word(PhiloxKey key, int64_t i) {
  return philox(key, static_cast<uint64_t>(i) / 4)[static_cast<size_t>(i % 4)];
}
uint64_t joined(uint32_t high, uint32_t low) { return static_cast<uint64_t>(high) << 32 | low; }
uint64_t long_word(PhiloxKey key, int64_t i) {
  const auto b = philox(key, static_cast<uint64_t>(i) / 2);
  const size_t k = 2 * static_cast<size_t>(i % 2);
  return joined(b[k], b[k + 1]);
}

template <class C>
C unit(PhiloxKey key, int64_t i, DType t) {
  if constexpr (std::is_same_v<C, double>) {
    return static_cast<double>(long_word(key, i) >> 11) * 0x1p-53;
  } else {
    return word_to_unit(word(key, i), unit_bits(t));
  }
}

float normal(PhiloxKey key, int64_t i, float) {
  const auto b = philox(key, static_cast<uint64_t>(i) / 4);
  const size_t k = static_cast<size_t>(i % 4) & 2;
  float n[2];
  box_muller(b[k], b[k + 1], &n[0], &n[1]);
  return n[i % 2];
}
double normal(PhiloxKey key, int64_t i, double) {
  const auto a = philox(key, static_cast<uint64_t>(i) / 2 * 2);
  const auto b = philox(key, static_cast<uint64_t>(i) / 2 * 2 + 1);
  double n[2];
  box_muller(joined(a[0], a[1]), joined(b[0], b[1]), &n[0], &n[1]);
  return n[i % 2];
}

template <class C>
C multiply_add(C a, C b, C c) {
  return std::fma(a, b, c);
}

struct RandomPlan : Plan {
  TensorMeta out;
  double a = 0, b = 0, lo = 0, hi = 0;  // by op, see below
  int64_t low = 0;
  uint64_t range = 0, threshold = 0;
};

template <class T>
using Computed = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Fills the output, which infer has made contiguous: f(key, i) gives element i.
template <class T, class F>
Status fill(const Plan& plan, const KernelArgs& args, F&& f) {
  const auto& p = static_cast<const RandomPlan&>(plan);
  const PhiloxKey key{*static_cast<const uint64_t*>(args.in[0])};
  auto* y = static_cast<T*>(args.out[0]);
  const int64_t n = p.out.numel();
  for (int64_t i = 0; i < n; ++i) y[i] = convert<T>(f(p, key, i));
  return Status();
}

template <class T>
Status run_uniform(const Plan& plan, const KernelArgs& args) {
  return fill<T>(plan, args, [](const RandomPlan& p, PhiloxKey key, int64_t i) {
    using C = Computed<T>;
    const C v = multiply_add(unit<C>(key, i, p.out.dtype), C(p.b), C(p.a));
    return std::min(v, C(p.hi));
  });
}

template <class T>
Status run_normal(const Plan& plan, const KernelArgs& args) {
  return fill<T>(plan, args, [](const RandomPlan& p, PhiloxKey key, int64_t i) {
    using C = Computed<T>;
    return multiply_add(normal(key, i, C()), C(p.b), C(p.a));
  });
}

// a, b: mean and deviation; low and high ends of the cdf in lo, hi, of the value in the bounds.
struct TruncatedPlan : RandomPlan {
  double from = 0, to = 0;
};
template <class T>
Status run_truncated(const Plan& plan, const KernelArgs& args) {
  const auto& t = static_cast<const TruncatedPlan&>(plan);
  return fill<T>(plan, args, [&t](const RandomPlan& p, PhiloxKey key, int64_t i) {
    using C = Computed<T>;
    const C u = unit<C>(key, i, sizeof(C) == 8 ? DType::kF64 : DType::kF32);
    // 2 cdf - 1 at a uniform place between those of the bounds.
    const C z = C(1.41421356237309504880) * erfinv(multiply_add(u, C(p.hi - p.lo), C(p.lo)));
    return multiply_add(std::clamp(z, C(t.from), C(t.to)), C(p.b), C(p.a));
  });
}

template <class T>
Status run_randint(const Plan& plan, const KernelArgs& args) {
  return fill<T>(plan, args, [](const RandomPlan& p, PhiloxKey key, int64_t i) {
    using Wide = unsigned __int128;
    const auto up = static_cast<uint64_t>((Wide{long_word(key, i)} * p.range) >> 64);
    return static_cast<int64_t>(static_cast<uint64_t>(p.low) + up);
  });
}

template <class T>
Status run_bernoulli(const Plan& plan, const KernelArgs& args) {
  return fill<T>(plan, args, [](const RandomPlan& p, PhiloxKey key, int64_t i) {
    return word(key, i) < p.threshold;
  });
}

template <class P = RandomPlan>
std::unique_ptr<P> make_plan(const CallMeta& c) {
  auto p = std::make_unique<P>();
  p->out = c.out();
  return p;
}

#define RUTILE_PICK(dispatch, kernel) \
  dispatch(c.out().dtype, [](auto id) -> RunFn { return kernel<typename decltype(id)::type>; })

Status prepare_uniform(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::RandomUniformAttrs>();
  auto p = make_plan(c);
  p->a = a.low;
  p->b = a.high - a.low;
  p->hi = largest_below(a.high, a.dtype);
  p->run = RUTILE_PICK(dispatch_float, run_uniform);
  *plan = std::move(p);
  return Status();
}

Status prepare_normal(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::RandomNormalAttrs>();
  auto p = make_plan(c);
  p->a = a.mean;
  p->b = a.std;
  p->run = RUTILE_PICK(dispatch_float, run_normal);
  *plan = std::move(p);
  return Status();
}

Status prepare_truncated(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::TruncatedNormalAttrs>();
  auto p = make_plan<TruncatedPlan>(c);
  p->a = a.mean;
  p->b = a.std;
  p->lo = 2 * normal_cdf(a.lower) - 1;
  p->hi = 2 * normal_cdf(a.upper) - 1;
  p->from = a.lower;
  p->to = a.upper;
  p->run = RUTILE_PICK(dispatch_float, run_truncated);
  *plan = std::move(p);
  return Status();
}

Status prepare_randint(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::RandomRandintAttrs>();
  auto p = make_plan(c);
  p->low = a.low;
  p->range = static_cast<uint64_t>(a.high) - static_cast<uint64_t>(a.low);
  p->run = RUTILE_PICK(dispatch_int, run_randint);
  *plan = std::move(p);
  return Status();
}

Status prepare_bernoulli(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_plan(c);
  p->threshold = hit_threshold(c.as<ops::RandomBernoulliAttrs>().p);
  p->run = RUTILE_PICK(dispatch_real, run_bernoulli);
  *plan = std::move(p);
  return Status();
}
#undef RUTILE_PICK

struct DropoutPlan : Plan {
  TensorMeta x, out;
  uint64_t threshold = 0;
  double scale = 0;
};

template <class T>
Status run_dropout(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const DropoutPlan&>(plan);
  const PhiloxKey key{*static_cast<const uint64_t*>(args.in[0])};
  const auto* x = static_cast<const T*>(args.in[1]);
  auto* y = static_cast<T*>(args.out[0]);
  auto* mask = static_cast<bool*>(args.out[1]);
  using C = Computed<T>;
  int64_t i = 0;
  for (Walk from(p.x), to(p.out); !from.done(); from.next(), to.next(), ++i) {
    const bool keep = word(key, i) >= p.threshold;
    y[to.offset()] = keep ? convert<T>(convert<C>(x[from.offset()]) * C(p.scale)) : T(0.0f);
    mask[to.offset()] = keep;
  }
  return Status();
}

Status prepare_dropout(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<DropoutPlan>();
  const double drop = c.as<ops::DropoutAttrs>().p;
  p->x = c.in(1);
  p->out = c.out();
  p->threshold = hit_threshold(drop);
  p->scale = drop < 1 ? 1 / (1 - drop) : 0;
  p->run = dispatch_float(
      p->x.dtype, [](auto id) -> RunFn { return run_dropout<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

Status run_next_key(const Plan&, const KernelArgs& args) {
  const auto* in = static_cast<const uint64_t*>(args.in[0]);
  auto* out = static_cast<uint64_t*>(args.out[0]);
  const uint64_t seed = in[0], number = in[1];
  *static_cast<uint64_t*>(args.out[1]) = fold_in(PhiloxKey{seed}, number).value;
  out[0] = seed;
  out[1] = number + 1;
  return Status();
}

Status prepare_next_key(const CallMeta&, std::unique_ptr<Plan>* plan) {
  *plan = std::make_unique<Plan>();
  (*plan)->run = run_next_key;
  return Status();
}

}  // namespace

void register_random_ref() {
  const auto add = [](const OpDef& op, auto prepare) {
    register_kernel({.op = &op, .name = "ref", .prepare = prepare, .reference = true});
  };
  add(ops::kNextKey, prepare_next_key);
  add(ops::kRandomUniform, prepare_uniform);
  add(ops::kRandomNormal, prepare_normal);
  add(ops::kTruncatedNormal, prepare_truncated);
  add(ops::kRandomRandint, prepare_randint);
  add(ops::kRandomBernoulli, prepare_bernoulli);
  add(ops::kDropout, prepare_dropout);
}

}  // namespace rutile::kernels
