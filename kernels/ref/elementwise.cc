// SPDX-License-Identifier: Apache-2.0
// Elementwise ops, one element at a time: load as the compute type, apply the functor, store.
#include "rutile/ops/elementwise.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/kernels/functors.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/activation.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/special.h"
#include "rutile/ops/special_more.h"

namespace rutile::kernels {
namespace {

template <class C>
C load(DType t, const void* p, int64_t i) {
  return dispatch_real(t, [&](auto id) {
    using T = typename decltype(id)::type;
    return convert<C>(static_cast<const T*>(p)[i]);
  });
}
template <class C>
void store(DType t, void* p, int64_t i, C value) {
  dispatch_real(t, [&](auto id) {
    using T = typename decltype(id)::type;
    static_cast<T*>(p)[i] = convert<T>(value);
  });
}

struct ElementwisePlan : Plan {
  TensorMeta out;
  int inputs = 0;
  DType dtype[3];
  Strides strides[3];  // of the inputs, broadcast to the output's shape
  double params[kMaxParams] = {};
  bool checks_zero = false;  // integer division
};

// Calls f(offset of each input, offset of the output) for all elements.
template <class F>
void for_each(const ElementwisePlan& p, F&& f) {
  Walk out(p.out);
  Walk a(p.out.shape, p.strides[0]);
  Walk b(p.out.shape, p.strides[1]);
  Walk c(p.out.shape, p.strides[2]);
  for (; !out.done(); out.next(), a.next(), b.next(), c.next()) {
    f(a.offset(), b.offset(), c.offset(), out.offset());
  }
}

template <class F, class C>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ElementwisePlan&>(plan);
  const F f{p.params};
  bool by_zero = false;
  for_each(p, [&](int64_t a, int64_t b, int64_t c, int64_t out) {
    auto in = [&](int i, int64_t at) { return load<C>(p.dtype[i], args.in[i], at); };
    if constexpr (std::is_invocable_v<F, C>) {
      store(p.out.dtype, args.out[0], out, f(in(0, a)));
    } else if constexpr (std::is_invocable_v<F, C, C>) {
      const C divisor = in(1, b);
      by_zero = by_zero || divisor == C(0);
      store(p.out.dtype, args.out[0], out, f(in(0, a), divisor));
    } else {
      store(p.out.dtype, args.out[0], out, f(in(0, a), in(1, b), in(2, c)));
    }
  });
  if (by_zero && p.checks_zero) return value_error("integer division by zero");
  return Status();
}

Status run_cast(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ElementwisePlan&>(plan);
  dispatch_real(p.dtype[0], [&](auto id) {
    const auto* x = static_cast<const typename decltype(id)::type*>(args.in[0]);
    for_each(p, [&](int64_t a, int64_t, int64_t, int64_t out) {
      store(p.out.dtype, args.out[0], out, x[a]);
    });
  });
  return Status();
}

std::unique_ptr<ElementwisePlan> make_plan(const CallMeta& c) {
  auto p = std::make_unique<ElementwisePlan>();
  p->out = c.out();
  p->inputs = c.num_inputs();
  for (int i = 0; i < 3; ++i) {
    p->strides[i] = Strides::filled(p->out.rank(), 0);
    if (i >= p->inputs) continue;
    const TensorMeta& m = c.in(i);
    p->dtype[i] = m.dtype;
    for (int d = 0; d < m.rank(); ++d) {
      if (m.shape[d] != 1) p->strides[i][d + p->out.rank() - m.rank()] = m.strides[d];
    }
  }
  return p;
}

// 16-bit types compute in float, small integers in 64 bits: what is stored wraps all the same.
template <class F>
RunFn choose(DType t) {
  constexpr Domain kDomain = F::kDomain;
  if constexpr (kDomain == Domain::kLogical) return run<F, bool>;
  if constexpr (kDomain != Domain::kLogical && kDomain != Domain::kInteger) {
    if (t == DType::kF64) return run<F, double>;
    if (is_floating(t) || kDomain == Domain::kFloat) return run<F, float>;
  }
  if constexpr (kDomain == Domain::kReal || kDomain == Domain::kInteger) {
    if (t == DType::kBool) return run<F, bool>;
  }
  if constexpr (kDomain != Domain::kLogical && kDomain != Domain::kFloat) {
    return t == DType::kU64 ? run<F, uint64_t> : run<F, int64_t>;
  }
  return nullptr;
}

bool divides(const OpDef& op) {
  return &op == &ops::kFloorDiv || &op == &ops::kRemainder || &op == &ops::kTruncDiv ||
         &op == &ops::kFmod;
}

template <class F>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_plan(c);
  const DType t = c.in(c.num_inputs() - 1).dtype;
  p->run = choose<F>(t);
  p->checks_zero = divides(*c.op) && is_integral(t);
  elementwise_params(*c.op, c.attrs, c.in(0).dtype, p->params);
  *plan = std::move(p);
  return Status();
}

Status prepare_cast(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_plan(c);
  p->run = run_cast;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_elementwise_ref() {
#define RUTILE_UNARY(constant, functor)                  \
  register_kernel({.op = &ops::constant,                 \
                   .name = "ref",                        \
                   .supports = only_real,                \
                   .prepare = prepare<functor<StdMath>>, \
                   .reference = true});
#define RUTILE_BINARY(constant, functor) RUTILE_UNARY(constant, functor)
#define RUTILE_TERNARY(constant, functor) RUTILE_UNARY(constant, functor)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  register_kernel({.op = &ops::kCast,
                   .name = "ref",
                   .supports = only_real,
                   .prepare = prepare_cast,
                   .reference = true});
}

}  // namespace rutile::kernels
