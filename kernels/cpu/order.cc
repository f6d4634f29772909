// SPDX-License-Identifier: Apache-2.0
// kthvalue and medians: selection instead of sorting, a line at a time.
#include "rutile/ops/order.h"

#include <algorithm>
#include <limits>

#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/line_choice.h"
#include "rutile/kernels/cpu/sort_key.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

enum class Choice : uint8_t { kKth, kMedian, kNanmedian };

struct OrderPlan : LinePlan {
  int64_t k = 0;  // from 0
  Choice choice = Choice::kKth;
};

// Which element of the order is wanted, among n of which `numbers` are no NaN.
int64_t wanted(const OrderPlan& p, int64_t numbers) {
  if (p.choice == Choice::kKth) return p.k;
  if (numbers < p.n && (p.choice == Choice::kMedian || numbers == 0)) return numbers;
  return (numbers - 1) / 2;
}

constexpr int64_t kManyElements = 256;

// Keeps the numbers that have the same upper digit as the one at place *k of their order; how many
// those are, and its place among them.
int64_t keep_digit(uint64_t* numbers, int64_t n, int64_t* k) {
  constexpr int kBits = 11, kShift = 64 - kBits;
  uint32_t counts[1 << kBits] = {};
  for (int64_t i = 0; i < n; ++i) ++counts[numbers[i] >> kShift];
  uint64_t digit = 0;
  for (; *k >= counts[digit]; ++digit) *k -= counts[digit];
  int64_t kept = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t v = numbers[i];
    numbers[kept] = v;
    kept += v >> kShift == digit;
  }
  return kept;
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
    int64_t k = wanted(p, numbers), n = p.n;
    if (n >= kManyElements) n = keep_digit(order, n, &k);
    std::nth_element(order, order + k, order + n);
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
  choose_in_lines<T>(p, args, [&](const T* x, int64_t step, uint64_t* order) {
    return select_place(p, x, step, order);
  });
  return Status();
}

Status make(const CallMeta& c, int axis, std::unique_ptr<OrderPlan> p,
            std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  p->set_lines(x, axis);
  if (c.out().numel() == 0) p->outer = 0;
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
