// SPDX-License-Identifier: Apache-2.0
// Reductions, one result at a time, over the elements it covers in row-major order.
#include "rutile/ops/reduce.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

// x's dimensions divided into kept and reduced ones.
struct ReducePlan : Plan {
  Shape kept, reduced;
  Strides kept_strides, reduced_strides;
  double scale = 1;
};

// Reducers take elements with their number; A is what they compute in.
template <class In, class Out>
struct SumOf {
  // Signed sums wrap, which only unsigned arithmetic does.
  using A = std::conditional_t<std::is_floating_point_v<Acc<Out>>, Acc<Out>, uint64_t>;
  A sum = 0, lost = 0;  // Kahan's summation for floating types
  void take(In x, int64_t) {
    const A v = static_cast<A>(convert<Acc<Out>>(x));
    if constexpr (std::is_floating_point_v<A>) {
      const A next = sum + (v - lost);
      if (std::isfinite(next)) lost = (next - sum) - (v - lost);
      sum = next;
    } else {
      sum += v;
    }
  }
  Out result(double scale) const {
    if constexpr (std::is_floating_point_v<A>) {
      return convert<Out>(static_cast<A>(sum * static_cast<A>(scale)));
    } else {
      return convert<Out>(sum);
    }
  }
};

template <class In, class Out>
struct ProductOf {
  using A = std::conditional_t<std::is_floating_point_v<Acc<Out>>, Acc<Out>, uint64_t>;
  A product = 1;
  void take(In x, int64_t) { product *= static_cast<A>(convert<Acc<Out>>(x)); }
  Out result(double) const { return convert<Out>(product); }
};

// The extremum and where it is; NaN beats everything, the first of equals stays.
template <class In, class Out, bool kLargest, bool kIndex>
struct ExtremumOf {
  In best{};
  int64_t at = -1;
  static bool beats(In x, In best) {
    if (best != best) return false;
    return (x != x) || (kLargest ? x > best : x < best);
  }
  void take(In x, int64_t i) {
    if (at >= 0 && !beats(x, best)) return;
    best = x;
    at = i;
  }
  Out result(double) const {
    if constexpr (kIndex) {
      return at;
    } else {
      return best;
    }
  }
};
template <class In, class Out>
using MaxOf = ExtremumOf<In, Out, true, false>;
template <class In, class Out>
using MinOf = ExtremumOf<In, Out, false, false>;
template <class In, class Out>
using ArgmaxOf = ExtremumOf<In, Out, true, true>;
template <class In, class Out>
using ArgminOf = ExtremumOf<In, Out, false, true>;

template <class In, class Out>
struct AnyOf {
  bool found = false;
  void take(In x, int64_t) { found = found || x != In(0); }
  Out result(double) const { return found; }
};
template <class In, class Out>
struct AllOf {
  bool found = true;
  void take(In x, int64_t) { found = found && x != In(0); }
  Out result(double) const { return found; }
};

template <template <class, class> class R, class In, class Out>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ReducePlan&>(plan);
  const auto* x = static_cast<const In*>(args.in[0]);
  auto* y = static_cast<Out*>(args.out[0]);
  for (Walk k(p.kept, p.kept_strides); !k.done(); k.next()) {
    R<In, Out> reducer;
    int64_t number = 0;
    for (Walk r(p.reduced, p.reduced_strides); !r.done(); r.next()) {
      reducer.take(x[k.offset() + r.offset()], number++);
    }
    *y++ = reducer.result(p.scale);
  }
  return Status();
}

std::unique_ptr<ReducePlan> divide(const CallMeta& c) {
  auto p = std::make_unique<ReducePlan>();
  const TensorMeta& x = c.in(0);
  const uint32_t mask = ops::reduced_mask(c);
  for (int i = 0; i < x.rank(); ++i) {
    const bool reduced = mask >> i & 1u;
    (reduced ? p->reduced : p->kept).push_back(x.shape[i]);
    (reduced ? p->reduced_strides : p->kept_strides).push_back(x.strides[i]);
  }
  if (c.op == &ops::kMean) p->scale = 1.0 / static_cast<double>(p->reduced.numel());
  return p;
}

// The result's type follows from the input's, as a template or chosen at run time.
template <template <class, class> class R, class Out>
Status prepare_fixed(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = divide(c);
  p->run = dispatch_real(c.in(0).dtype, [](auto in) -> RunFn {
    using In = typename decltype(in)::type;
    return run<R, In, std::conditional_t<std::is_void_v<Out>, In, Out>>;
  });
  *plan = std::move(p);
  return Status();
}

template <template <class, class> class R>
Status prepare_any(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = divide(c);
  p->run = dispatch_real(c.in(0).dtype, [&](auto in) {
    return dispatch_real(c.out().dtype, [](auto out) -> RunFn {
      return run<R, typename decltype(in)::type, typename decltype(out)::type>;
    });
  });
  *plan = std::move(p);
  return Status();
}

struct CumsumPlan : Plan {
  Shape lines;
  Strides in_lines, out_lines;
  int64_t n = 0, in_step = 0, out_step = 0;
  bool exclusive = false, reverse = false;
};

template <class In, class Out>
Status run_cumsum(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const CumsumPlan&>(plan);
  if (p.n == 0) return Status();
  Walk in(p.lines, p.in_lines), out(p.lines, p.out_lines);
  for (; !in.done(); in.next(), out.next()) {
    const auto* x = static_cast<const In*>(args.in[0]) + in.offset();
    auto* y = static_cast<Out*>(args.out[0]) + out.offset();
    typename SumOf<In, Out>::A sum = 0;
    for (int64_t k = 0; k < p.n; ++k) {
      const int64_t i = p.reverse ? p.n - 1 - k : k;
      if (p.exclusive) y[i * p.out_step] = convert<Out>(sum);
      sum += static_cast<decltype(sum)>(convert<Acc<Out>>(x[i * p.in_step]));
      if (!p.exclusive) y[i * p.out_step] = convert<Out>(sum);
    }
  }
  return Status();
}

Status prepare_cumsum(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CumsumPlan>();
  const auto& a = c.as<ops::CumsumAttrs>();
  const TensorMeta &x = c.in(0), &y = c.out();
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  for (int i = 0; i < x.rank(); ++i) {
    if (i == axis) continue;
    p->lines.push_back(x.shape[i]);
    p->in_lines.push_back(x.strides[i]);
    p->out_lines.push_back(y.strides[i]);
  }
  p->n = x.shape[axis];
  p->in_step = x.strides[axis];
  p->out_step = y.strides[axis];
  p->exclusive = a.exclusive;
  p->reverse = a.reverse;
  p->run = dispatch_real(x.dtype, [&](auto in) {
    return dispatch_real(y.dtype, [](auto out) -> RunFn {
      return run_cumsum<typename decltype(in)::type, typename decltype(out)::type>;
    });
  });
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_reduce_ref() {
  const auto add = [](const OpDef& op, auto prepare) {
    register_kernel(
        {.op = &op, .name = "ref", .supports = only_real, .prepare = prepare, .reference = true});
  };
  add(ops::kSum, prepare_any<SumOf>);
  add(ops::kMean, prepare_any<SumOf>);
  add(ops::kSumToShape, prepare_any<SumOf>);
  add(ops::kProd, prepare_any<ProductOf>);
  add(ops::kMax, prepare_fixed<MaxOf, void>);
  add(ops::kMin, prepare_fixed<MinOf, void>);
  add(ops::kArgmax, prepare_fixed<ArgmaxOf, int64_t>);
  add(ops::kArgmin, prepare_fixed<ArgminOf, int64_t>);
  add(ops::kAny, prepare_fixed<AnyOf, bool>);
  add(ops::kAll, prepare_fixed<AllOf, bool>);
  add(ops::kCumsum, prepare_cumsum);
}

}  // namespace rutile::kernels
