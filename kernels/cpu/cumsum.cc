// SPDX-License-Identifier: Apache-2.0
// Running sums. Columns of neighbours go side by side; a line of neighbours goes alone.
#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/reduce.h"

namespace rutile::kernels {
namespace {

struct CumsumPlan : Plan {
  int64_t outer = 1, n = 0, inner = 1;
  bool exclusive = false, reverse = false;
};

constexpr int64_t kColumns = 64;
constexpr double kNs = 2.7;  // per element

// Integers add modulo 2^64.
template <class Out>
using SumOf = std::conditional_t<std::is_floating_point_v<Acc<Out>>, Acc<Out>, uint64_t>;

// The result's type, as infer has it.
template <class In>
using ResultOf = std::conditional_t<!std::is_integral_v<In>, In,
                                    std::conditional_t<std::is_same_v<In, uint64_t>, In, int64_t>>;

// `width` neighbouring columns of n elements, `inner` apart.
template <class In, class Out>
void run_columns(const CumsumPlan& p, const In* x, Out* y, int64_t width) {
  using Sum = SumOf<Out>;
  Sum sum[kColumns] = {};
  for (int64_t k = 0; k < p.n; ++k) {
    const int64_t at = (p.reverse ? p.n - 1 - k : k) * p.inner;
    for (int64_t j = 0; j < width; ++j) {
      const Sum next = sum[j] + static_cast<Sum>(convert<Acc<Out>>(x[at + j]));
      y[at + j] = convert<Out>(p.exclusive ? sum[j] : next);
      sum[j] = next;
    }
  }
}

template <class In, class Out>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const CumsumPlan&>(plan);
  if (p.n == 0) return Status();
  const int64_t pieces = (p.inner + kColumns - 1) / kColumns;
  const int64_t each = std::max<int64_t>(1, p.n * std::min(p.inner, kColumns));
  parallel_for(0, p.outer * pieces, grain_for(kNs * static_cast<double>(each)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t t = begin; t < end; ++t) {
                   const int64_t column = t % pieces * kColumns;
                   const int64_t at = t / pieces * p.n * p.inner + column;
                   run_columns(p, static_cast<const In*>(args.in[0]) + at,
                               static_cast<Out*>(args.out[0]) + at,
                               std::min(kColumns, p.inner - column));
                 }
               });
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  const bool plain = c.in(0).layout == kStrided && c.in(0).is_contiguous();
  if (!plain) reason->text = "takes row-major tensors";
  return plain;
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CumsumPlan>();
  const auto& a = c.as<ops::CumsumAttrs>();
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  for (int i = 0; i < x.rank(); ++i) (i < axis ? p->outer : p->inner) *= i == axis ? 1 : x.shape[i];
  p->n = x.shape[axis];
  p->exclusive = a.exclusive;
  p->reverse = a.reverse;
  p->run = dispatch_real(x.dtype, [](auto in) -> RunFn {
    using In = typename decltype(in)::type;
    return run<In, ResultOf<In>>;
  });
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_cumsum_cpu() {
  register_kernel({.op = &ops::kCumsum, .name = "lines", .supports = supports, .prepare = prepare});
}

}  // namespace rutile::kernels
