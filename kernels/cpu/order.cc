// SPDX-License-Identifier: Apache-2.0
// kthvalue and medians: selection instead of sorting, a line at a time.
#include "rutile/ops/order.h"

#include <algorithm>
#include <limits>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/sort_key.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

enum class Choice : uint8_t { kKth, kMedian, kNanmedian };

struct OrderPlan : Plan {
  int64_t outer = 1, n = 0, inner = 1;
  int64_t k = 0;  // from 0
  Choice choice = Choice::kKth;
};

// Which element of the order is wanted, among n of which `numbers` are no NaN.
int64_t wanted(const OrderPlan& p, int64_t numbers) {
  if (p.choice == Choice::kKth) return p.k;
  if (numbers < p.n && (p.choice == Choice::kMedian || numbers == 0)) return numbers;
  return (numbers - 1) / 2;
}

// The position of the wanted one of n elements `step` apart; `order` has room for n.
template <class T>
int64_t select_place(const OrderPlan& p, const T* x, int64_t step, uint64_t* order) {
  int64_t numbers = 0;
  if constexpr (sizeof(T) <= 4) {  // key and position in one number
    for (int64_t i = 0; i < p.n; ++i) {
      const T v = x[i * step];
      numbers += v == v;
      order[i] = static_cast<uint64_t>(small_key(v)) << 32 | static_cast<uint64_t>(i);
    }
    const int64_t k = wanted(p, numbers);
    std::nth_element(order, order + k, order + p.n);
    return static_cast<int64_t>(order[k] & 0xffffffffu);
  } else {
    for (int64_t i = 0; i < p.n; ++i) {
      numbers += x[i * step] == x[i * step];
      order[i] = static_cast<uint64_t>(i);
    }
    const int64_t k = wanted(p, numbers);
    std::nth_element(order, order + k, order + p.n, [&](uint64_t a, uint64_t b) {
      const uint64_t ka = sort_key(x[static_cast<int64_t>(a) * step]);
      const uint64_t kb = sort_key(x[static_cast<int64_t>(b) * step]);
      return ka == kb ? a < b : ka < kb;
    });
    return static_cast<int64_t>(order[k]);
  }
}

template <class T>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const OrderPlan&>(plan);
  auto* workspace = static_cast<uint64_t*>(args.workspace);
  constexpr double kElementNs = 8;
  const int64_t grain = grain_for(kElementNs * static_cast<double>(p.n));
  parallel_for(0, p.outer * p.inner, grain, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const T* x =
          static_cast<const T*>(args.in[0]) + line / p.inner * p.n * p.inner + line % p.inner;
      const int64_t place = select_place(p, x, p.inner, workspace + line * p.n);
      static_cast<T*>(args.out[0])[line] = x[place * p.inner];
      static_cast<int64_t*>(args.out[1])[line] = place;
    }
  });
  return Status();
}

Status make(const CallMeta& c, int axis, std::unique_ptr<OrderPlan> p,
            std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  p->n = x.numel();
  if (axis >= 0) {
    p->outer = product(x.shape, 0, axis);
    p->n = x.dim(axis);
    p->inner = product(x.shape, axis + 1, x.rank());
  }
  if (c.out().numel() == 0) p->outer = 0;
  p->workspace_bytes = static_cast<size_t>(x.numel()) * sizeof(uint64_t);
  p->run =
      dispatch_real(x.dtype, [](auto id) -> RunFn { return run<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

Status prepare_kthvalue(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::KthvalueAttrs>();
  auto p = std::make_unique<OrderPlan>();
  p->k = a.k - 1;
  return make(c, axis_of(a.axis, c.in(0).rank()), std::move(p), plan);
}

template <Choice kChoice>
Status prepare_median(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const Dims& axes = c.as<ops::ArgAttrs>().axes;
  auto p = std::make_unique<OrderPlan>();
  p->choice = kChoice;
  return make(c, axes.empty() ? -1 : axis_of(axes[0], c.in(0).rank()), std::move(p), plan);
}

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  const bool fits = x.is_contiguous() && x.numel() <= std::numeric_limits<int32_t>::max();
  if (!fits) reason->text = "takes row-major tensors of less than 2^31 elements";
  return fits;
}

}  // namespace

void register_order_cpu() {
  const auto add = [](const OpDef& op, auto prepare) {
    register_kernel({.op = &op, .name = "select", .supports = supports, .prepare = prepare});
  };
  add(ops::kKthvalue, prepare_kthvalue);
  add(ops::kMedian, prepare_median<Choice::kMedian>);
  add(ops::kNanmedian, prepare_median<Choice::kNanmedian>);
}

}  // namespace rutile::kernels
