// SPDX-License-Identifier: Apache-2.0
// Reductions, one result at a time in row-major order of what it covers.
#include "rutile/kernels/convert.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/reduce.h"

namespace rutile::kernels {
namespace {

// x's dimensions divided into kept and reduced ones.
struct ReducePlan : Plan {
  Shape kept, reduced;
  Strides kept_strides, reduced_strides;
  DType in_dtype, out_dtype;
};

template <class In, class Out>
Status run_sum(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ReducePlan&>(plan);
  // 64-bit integers wrap, so that signed sums go through unsigned ones.
  using A = std::conditional_t<std::is_floating_point_v<Acc<Out>>,
                               std::conditional_t<std::is_same_v<Acc<Out>, float>, float, double>,
                               uint64_t>;
  const auto* x = static_cast<const In*>(args.in[0]);
  auto* y = static_cast<Out*>(args.out[0]);
  int64_t at = 0;
  for (Walk k(p.kept, p.kept_strides); !k.done(); k.next()) {
    A sum = 0, lost = 0;  // Kahan's summation for floating types
    for (Walk r(p.reduced, p.reduced_strides); !r.done(); r.next()) {
      const A v = convert<A>(convert<Acc<Out>>(x[k.offset() + r.offset()]));
      if constexpr (std::is_floating_point_v<A>) {
        const A next = sum + (v - lost);
        if (std::isfinite(next)) lost = (next - sum) - (v - lost);
        sum = next;
      } else {
        sum += v;
      }
    }
    y[at++] = convert<Out>(sum);
  }
  return Status();
}

Status prepare_sum(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ReducePlan>();
  const TensorMeta& x = c.in(0);
  uint32_t mask = 0;
  if (c.op == &ops::kSum) {
    const Dims& axes = c.as<ops::SumAttrs>().axes;
    if (axes.empty()) mask = (1u << x.rank()) - 1;
    for (const int64_t a : axes) mask |= 1u << (a < 0 ? a + x.rank() : a);
  } else {
    const int lead = x.rank() - c.out().rank();
    for (int i = 0; i < x.rank(); ++i) {
      if (i < lead || c.out().shape[i - lead] != x.shape[i]) mask |= 1u << i;
    }
  }
  for (int i = 0; i < x.rank(); ++i) {
    (mask >> i & 1u ? p->reduced : p->kept).push_back(x.shape[i]);
    (mask >> i & 1u ? p->reduced_strides : p->kept_strides).push_back(x.strides[i]);
  }
  p->run = dispatch_real(x.dtype, [&](auto in) {
    return dispatch_real(c.out().dtype, [&](auto out) -> RunFn {
      return run_sum<typename decltype(in)::type, typename decltype(out)::type>;
    });
  });
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_reduce_ref() {
  for (const OpDef* op : {&ops::kSum, &ops::kSumToShape}) {
    register_kernel({.op = op, .name = "ref", .prepare = prepare_sum, .reference = true});
  }
}

}  // namespace rutile::kernels
