// SPDX-License-Identifier: Apache-2.0
// Divisions of integers, which report zeros among the divisors.
#include <algorithm>
#include <atomic>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/functors.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/special.h"

namespace rutile::kernels {
namespace {

constexpr double kElementNs = 2;

struct DividePlan : Plan {
  int64_t n = 0;
  int64_t a_step = 1, b_step = 1;  // 0: one element for all
};

template <template <class> class F, class T>
Status run(const Plan& plan, const KernelArgs& args) {
  // Small integers in 64 bits: what is stored wraps all the same.
  using C = std::conditional_t<std::is_same_v<T, uint64_t>, uint64_t, int64_t>;
  const auto& p = static_cast<const DividePlan&>(plan);
  const T* a = static_cast<const T*>(args.in[0]);
  const T* b = static_cast<const T*>(args.in[1]);
  T* y = static_cast<T*>(args.out[0]);
  std::atomic<bool> by_zero{false};
  parallel_for(0, p.n, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    const F<StdMath> f{};
    bool zero = false;
    for (int64_t i = begin; i < end; ++i) {
      const C divisor = static_cast<C>(b[i * p.b_step]);
      zero |= divisor == 0;
      y[i] = static_cast<T>(f(static_cast<C>(a[i * p.a_step]), divisor));
    }
    if (zero) by_zero = true;
  });
  return by_zero ? value_error("integer division by zero") : Status();
}

template <template <class> class F>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<DividePlan>();
  p->n = c.out().numel();
  p->a_step = c.in(0).numel() == p->n ? 1 : 0;
  p->b_step = c.in(1).numel() == p->n ? 1 : 0;
  p->run = dispatch_real(c.out().dtype, [](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      return run<F, T>;
    } else {
      return nullptr;
    }
  });
  *plan = std::move(p);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& y = c.out();
  bool fits = is_integral(y.dtype) && y.dtype != DType::kBool && y.is_contiguous();
  for (const TensorMeta* m : c.inputs) {
    fits = fits && m->dtype == y.dtype && m->is_contiguous() &&
           (m->shape == y.shape || m->numel() == 1);
  }
  if (!fits) reason->text = "takes row-major integers of one shape, or one number";
  return fits;
}

template <template <class> class F>
void add(const OpDef& op) {
  register_kernel({.op = &op, .name = "integers", .supports = supports, .prepare = prepare<F>});
}

}  // namespace

void register_int_divide_cpu() {
  add<FloorDiv>(ops::kFloorDiv);
  add<Remainder>(ops::kRemainder);
  add<TruncDiv>(ops::kTruncDiv);
  add<Fmod>(ops::kFmod);
}

}  // namespace rutile::kernels
