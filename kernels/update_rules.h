// SPDX-License-Identifier: Apache-2.0
// The optimizers' updates, each written once for one element: the reference kernel instantiates
// them for double, the vector kernels for sixteen floats, device code for float and double. A rule
// says
//
//   kSlots                  how many slots stand beside the parameter
//   numbers(attrs, lr, step, k)   what a step needs, worked out once in double
//   apply<M>(p, s, g, k)    the new parameter and slots; M supplies sqrt and pow
//
// g comes with scale and weight decay in it, p already shrunk by a decoupled one. A rule with norms
// works in two passes: measure<M>(p, s, g, k, a, b) gives what the two norms are of (and writes the
// slots if kMeasureWrites), trust(|a|, |b|, k) a factor, which apply finds in k[kTrust]. All is
// inlined always: code for one instruction set must not leak into another.
#pragma once

#include <cmath>

#include "rutile/kernels/functors.h"
#include "rutile/ops/update.h"

namespace rutile::kernels::rules {

inline constexpr int kNumbers = 12;
inline constexpr int kTrust = kNumbers - 1;

// V is a number or a vector of numbers; comparisons of vectors give masks for ?:.
template <class V>
RUTILE_FN V absolute(V v) {
  return v < 0 ? -v : v;
}
template <class V>
RUTILE_FN V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
RUTILE_FN V smaller(V a, V b) {
  return a < b ? a : b;
}
template <class V>
RUTILE_FN V sign_of(V v) {
  const V one = v - v + 1;  // NaN stays NaN
  return v > 0 ? one : (v < 0 ? -one : v);
}

// ---- Gradient descent ---------------------------------------------------------------------------

struct Sgd {
  using Attrs = ops::SgdAttrs;
  static constexpr int kSlots = 0;
  RUTILE_FN static void numbers(const Attrs&, double lr, double, double* k) { k[0] = lr; }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V*, V g, const K* k) {
    p = p - g * k[0];
  }
};

struct Momentum {
  using Attrs = ops::MomentumAttrs;
  static constexpr int kSlots = 1;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double step, double* k) {
    const bool first = step == 1;
    k[0] = lr;
    k[1] = first && a.dampening != 0 ? 0 : a.momentum;
    k[2] = first ? 1 : 1 - a.dampening;
    k[3] = a.nesterov;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    s[0] = s[0] * k[1] + g * k[2];
    p = p - (k[3] != 0 ? g + s[0] * k[1] : s[0]) * k[0];
  }
};

struct Asgd {
  using Attrs = ops::AsgdAttrs;
  static constexpr int kSlots = 1;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double step, double* k) {
    k[0] = lr / std::pow(1 + a.lambd * lr * (step - 1), a.alpha);
    k[1] = 1 - a.lambd * k[0];
    k[2] = 1 / std::fmax(1, step - 1 - a.t0);
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    p = p * k[1] - g * k[0];
    s[0] = k[2] == 1 ? p : s[0] + (p - s[0]) * k[2];
  }
};

struct Rprop {
  using Attrs = ops::RpropAttrs;
  static constexpr int kSlots = 2;
  RUTILE_FN static void numbers(const Attrs& a, double, double, double* k) {
    k[0] = a.eta_minus, k[1] = a.eta_plus, k[2] = a.min_step, k[3] = a.max_step;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    const V turn = g * s[0], size = s[1];
    const V factor = turn > 0 ? size * k[1] : (turn < 0 ? size * k[0] : size);
    const V low = size - size + k[2], high = size - size + k[3];
    s[1] = smaller(larger(factor, low), high);
    const V used = turn < 0 ? g - g : g;
    p = p - sign_of(used) * s[1];
    s[0] = used;
  }
};

struct Lion {
  using Attrs = ops::LionAttrs;
  static constexpr int kSlots = 1;
  static constexpr bool kDecoupled = true;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double, double* k) {
    k[0] = lr, k[1] = a.beta1, k[2] = 1 - a.beta1, k[3] = a.beta2, k[4] = 1 - a.beta2;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    p = p - sign_of(s[0] * k[1] + g * k[2]) * k[0];
    s[0] = s[0] * k[3] + g * k[4];
  }
};

// ---- Adam and its kin: k[1] .. k[4] are beta1, 1 - beta1, beta2, 1 - beta2
// -----------------------

template <class A>
RUTILE_FN void moments(const A& a, double* k) {
  k[1] = a.beta1, k[2] = 1 - a.beta1, k[3] = a.beta2, k[4] = 1 - a.beta2;
}
template <class V, class K>
RUTILE_FN void move_moments(V* s, V g, const K* k) {
  s[0] = s[0] * k[1] + g * k[2];
  s[1] = s[1] * k[3] + g * (g * k[4]);
}

template <bool kAdamW, bool kAmsgrad>
struct AdamRule {
  using Attrs = ops::AdamAttrs;
  static constexpr int kSlots = kAmsgrad ? 3 : 2;
  static constexpr bool kDecoupled = kAdamW;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double step, double* k) {
    moments(a, k);
    k[0] = lr / (1 - std::pow(a.beta1, step));
    k[5] = 1 / std::sqrt(1 - std::pow(a.beta2, step));
    k[6] = a.eps;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    move_moments(s, g, k);
    V v = s[1];
    if constexpr (kAmsgrad) v = s[2] = larger(s[2], v);
    p = p - s[0] * k[0] / (M::sqrt(v) * k[5] + k[6]);
  }
};
using Adam = AdamRule<false, false>;
using AdamW = AdamRule<true, false>;
using AdamAmsgrad = AdamRule<false, true>;
using AdamWAmsgrad = AdamRule<true, true>;

struct Adamax {
  using Attrs = ops::AdamAttrs;
  static constexpr int kSlots = 2;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double step, double* k) {
    moments(a, k);
    k[0] = lr / (1 - std::pow(a.beta1, step));
    k[5] = a.eps;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    s[0] = s[0] * k[1] + g * k[2];
    s[1] = larger(s[1] * k[3], absolute(g) + k[5]);
    p = p - s[0] * k[0] / s[1];
  }
};

struct NAdam {
  using Attrs = ops::NAdamAttrs;
  static constexpr int kSlots = 2;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double step, double* k) {
    auto mu = [&a](double t) { return a.beta1 * (1 - 0.5 * std::pow(0.96, t * a.momentum_decay)); };
    double product = 1;  // of mu of all steps; below rounding it no longer matters
    for (double t = 1; t <= step && product > 1e-18; ++t) product *= mu(t);
    const double next = mu(step + 1);
    moments(a, k);
    k[0] = lr * (1 - mu(step)) / (1 - product);
    k[5] = 1 / std::sqrt(1 - std::pow(a.beta2, step));
    k[6] = a.eps;
    k[7] = lr * next / (1 - product * next);
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    move_moments(s, g, k);
    p = p - (g * k[0] + s[0] * k[7]) / (M::sqrt(s[1]) * k[5] + k[6]);
  }
};

struct RAdam {
  using Attrs = ops::RAdamAttrs;
  static constexpr int kSlots = 2;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double step, double* k) {
    const double power = std::pow(a.beta2, step), limit = 2 / (1 - a.beta2) - 1;
    const double rho = limit - 2 * step * power / (1 - power);
    moments(a, k);
    k[0] = lr / (1 - std::pow(a.beta1, step));
    k[5] = rho > 5;
    if (rho > 5) {
      k[0] *= std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) *
              std::sqrt(1 - power);
    }
    k[6] = a.eps;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    move_moments(s, g, k);
    const V step = s[0] * k[0];
    p = p - (k[5] != 0 ? step / (M::sqrt(s[1]) + k[6]) : step);
  }
};

// ---- Rates by accumulated gradients -------------------------------------------------------------

struct Adagrad {
  using Attrs = ops::AdagradAttrs;
  static constexpr int kSlots = 1;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double step, double* k) {
    k[0] = a.lr_decay == 0 ? lr : lr / (1 + (step - 1) * a.lr_decay);
    k[1] = a.eps;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    s[0] = s[0] + g * g;
    p = p - g * k[0] / (M::sqrt(s[0]) + k[1]);
  }
};

struct Adadelta {
  using Attrs = ops::AdadeltaAttrs;
  static constexpr int kSlots = 2;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double, double* k) {
    k[0] = lr, k[1] = a.rho, k[2] = 1 - a.rho, k[3] = a.eps;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    s[0] = s[0] * k[1] + g * (g * k[2]);
    const V d = M::sqrt(s[1] + k[3]) / M::sqrt(s[0] + k[3]) * g;
    s[1] = s[1] * k[1] + d * (d * k[2]);
    p = p - d * k[0];
  }
};

template <bool kCentered, bool kMomentum>
struct RmspropRule {
  using Attrs = ops::RmspropAttrs;
  static constexpr int kSlots = 1 + kCentered + kMomentum;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double, double* k) {
    k[0] = lr, k[1] = a.alpha, k[2] = 1 - a.alpha, k[3] = a.eps, k[4] = a.momentum;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    V v = s[0] = s[0] * k[1] + g * (g * k[2]);
    if constexpr (kCentered) {
      s[1] = s[1] * k[1] + g * k[2];
      v = larger(v - s[1] * s[1], v - v);
    }
    V d = g / (M::sqrt(v) + k[3]);
    if constexpr (kMomentum) d = s[1 + kCentered] = s[1 + kCentered] * k[4] + d;
    p = p - d * k[0];
  }
};
using Rmsprop = RmspropRule<false, false>;
using RmspropMomentum = RmspropRule<false, true>;
using RmspropCentered = RmspropRule<true, false>;
using RmspropCenteredMomentum = RmspropRule<true, true>;

struct Ftrl {
  using Attrs = ops::FtrlAttrs;
  static constexpr int kSlots = 2;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double, double* k) {
    k[0] = 1 / lr, k[1] = a.l1, k[2] = 2 * a.l2, k[3] = -a.lr_power;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    const V n = s[0] + g * g, zero = n - n;
    V after, grown;  // n^-q and how much more than before, without cancellation for the usual q
    if (k[3] == K(0.5)) {
      after = M::sqrt(n);
      const V sum = after + M::sqrt(s[0]);
      grown = sum > 0 ? g * g / sum : zero;
    } else {
      after = M::pow(n, k[3]);
      grown = after - M::pow(s[0], k[3]);
    }
    s[0] = n;
    s[1] = s[1] + g - grown * k[0] * p;
    p = absolute(s[1]) > zero + k[1] ? (sign_of(s[1]) * k[1] - s[1]) / (after * k[0] + k[2]) : zero;
  }
};

// ---- Rates by norms -----------------------------------------------------------------------------

struct Lamb {
  using Attrs = ops::LambAttrs;
  static constexpr int kSlots = 2;
  static constexpr bool kNorms = true, kOwnDecay = true, kMeasureWrites = true;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double step, double* k) {
    moments(a, k);
    k[0] = lr;
    k[5] = 1 / (1 - std::pow(a.beta1, step));
    k[6] = 1 / std::sqrt(1 - std::pow(a.beta2, step));
    k[7] = a.eps;
    k[8] = a.weight_decay;
  }
  template <class M, class V, class K>
  RUTILE_FN static V direction(V p, const V* s, const K* k) {
    return s[0] * k[5] / (M::sqrt(s[1]) * k[6] + k[7]) + p * k[8];
  }
  template <class M, class V, class K>
  RUTILE_FN static void measure(V p, V* s, V g, const K* k, V* a, V* b) {
    move_moments(s, g, k);
    *a = p;
    *b = direction<M>(p, s, k);
  }
  RUTILE_FN static double trust(double param, double step, const double*) {
    return param > 0 && step > 0 ? param / step : 1;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V, const K* k) {
    p = p - direction<M>(p, s, k) * (k[0] * k[kTrust]);
  }
};

struct Lars {
  using Attrs = ops::LarsAttrs;
  static constexpr int kSlots = 1;
  static constexpr bool kNorms = true, kOwnDecay = true, kMeasureWrites = false;
  RUTILE_FN static void numbers(const Attrs& a, double lr, double, double* k) {
    k[0] = lr, k[1] = a.momentum, k[2] = a.weight_decay, k[3] = a.coefficient, k[4] = a.eps;
  }
  template <class M, class V, class K>
  RUTILE_FN static void measure(V p, V*, V g, const K*, V* a, V* b) {
    *a = p;
    *b = g;
  }
  RUTILE_FN static double trust(double param, double grad, const double* k) {
    return param > 0 && grad > 0 ? k[3] * param / (grad + k[2] * param + k[4]) : 1;
  }
  template <class M, class V, class K>
  RUTILE_FN static void apply(V& p, V* s, V g, const K* k) {
    s[0] = s[0] * k[1] + (g + p * k[2]) * (k[0] * k[kTrust]);
    p = p - s[0];
  }
};

// ---- What kernels ask of a rule -----------------------------------------------------------------

template <class R>
constexpr bool kHasNorms = requires {
  R::kNorms;
};
template <class R>
constexpr bool kOwnDecay = requires {
  R::kOwnDecay;
};

// The numbers of one step. The gradient is read as scale * grad + decay * param.
struct Numbers {
  double scale = 1, decay = 0;
  double shrink = 1;  // param is multiplied by this first
  double k[kNumbers] = {};
};

template <class R>
RUTILE_FN Numbers numbers_of(const void* attrs, double lr, double step, double grad_scale) {
  const auto& a = *static_cast<const typename R::Attrs*>(attrs);
  Numbers n;
  lr *= a.lr_scale;
  n.scale = a.maximize ? -grad_scale : grad_scale;
  bool decoupled = false;
  if constexpr (requires { R::kDecoupled; }) decoupled = R::kDecoupled;
  if constexpr (requires { a.decoupled_weight_decay; }) decoupled = a.decoupled_weight_decay;
  if (decoupled) n.shrink = 1 - lr * a.weight_decay;
  if (!decoupled && !kOwnDecay<R>) n.decay = a.weight_decay;
  R::numbers(a, lr, step, n.k);
  return n;
}

// A rule without its type, by UpdateFamily::index.
struct RuleInfo {
  Numbers (*numbers)(const void* attrs, double lr, double step, double grad_scale) = nullptr;
  double (*trust)(double a, double b, const double* k) = nullptr;  // null: no norms
};
template <class R>
constexpr RuleInfo info_of() {
  RuleInfo i{numbers_of<R>, nullptr};
  if constexpr (kHasNorms<R>) i.trust = R::trust;
  return i;
}
inline const RuleInfo& rule_info(int index) {
#define RUTILE_UPDATE(constant, rule) info_of<rule>(),
  static constexpr RuleInfo rules[] = {
#include "rutile/ops/update_list.inc"
  };
#undef RUTILE_UPDATE
  return rules[index];
}

}  // namespace rutile::kernels::rules
