// SPDX-License-Identifier: Apache-2.0
// Places in sorted lines, and the most frequent element of each line.
#include <cmath>
#include <limits>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/line_choice.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/cpu/radix_sort.h"
#include "rutile/kernels/cpu/sort_key.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/order.h"

namespace rutile::kernels {
namespace {

// ---- searchsorted -------------------------------------------------------------------------------

struct SearchPlan : Plan {
  int64_t n = 0;      // of a sorted line
  int64_t line = 0;   // values that are looked up in one line
  int64_t count = 0;  // values
  bool right = false;
};

// Elements of the line in front of the place; each step halves what is left, without a branch.
template <class T, class Before>
int64_t place_of(const T* line, int64_t n, Before before) {
  const T* at = line;
  while (n > 1) {
    const int64_t half = n / 2;
    at = before(at[half - 1]) ? at + half : at;
    n -= half;
  }
  return at - line + (n == 1 && before(*at));
}

template <class T, class Y>
Status run_search(const Plan& plan, const KernelArgs& args) {
  using S = std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float, T>;
  const auto& p = static_cast<const SearchPlan&>(plan);
  const T* sorted = static_cast<const T*>(args.in[0]);
  const T* values = static_cast<const T*>(args.in[1]);
  Y* y = static_cast<Y*>(args.out[0]);
  const double ns = 3 + 1.5 * std::log2(static_cast<double>(p.n) + 1);
  parallel_for(0, p.count, grain_for(ns), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* line = sorted + i / p.line * p.n;
      const S v = static_cast<S>(values[i]);
      int64_t at = 0;
      if (v != v) {  // NaN stand at the end
        at = p.right ? p.n : place_of(line, p.n, [](T e) {
          const S s = static_cast<S>(e);
          return s == s;
        });
      } else if (p.right) {
        at = place_of(line, p.n, [v](T e) { return static_cast<S>(e) <= v; });
      } else {
        at = place_of(line, p.n, [v](T e) { return static_cast<S>(e) < v; });
      }
      y[i] = static_cast<Y>(at);
    }
  });
  return Status();
}

Status prepare_search(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::SearchsortedAttrs>();
  const TensorMeta &sorted = c.in(0), &v = c.in(1);
  auto p = std::make_unique<SearchPlan>();
  p->n = sorted.shape.back();
  p->count = v.numel();
  p->line = sorted.rank() == 1 ? v.numel() : v.shape.back();
  p->right = a.right;
  p->run = dispatch_real(v.dtype, [&](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    return a.out_int32 ? run_search<T, int32_t> : run_search<T, int64_t>;
  });
  *plan = std::move(p);
  return Status();
}

// ---- mode ---------------------------------------------------------------------------------------

// The last place of the longest run of equal keys, the first of several.
template <class T>
int64_t mode_place(const T* x, int64_t step, int64_t n, uint64_t* order) {
  const auto key = [=](uint64_t i) { return sort_key(x[static_cast<int64_t>(i) * step]); };
  sort_order(order, order + n, n, [&](int64_t i) { return key(static_cast<uint64_t>(i)); });
  int64_t best = 0, longest = 0, first = 0;
  uint64_t last = key(order[0]);
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t k = key(order[i]);
    first = k == last ? first : i;
    last = k;
    if (i - first + 1 > longest) {
      longest = i - first + 1;
      best = i;
    }
  }
  return static_cast<int64_t>(order[best]);
}

template <class T>
Status run_mode(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const LinePlan&>(plan);
  choose_in_lines<T>(p, args, [&](const T* x, int64_t step, uint64_t* order) {
    return mode_place(x, step, p.n, order);
  });
  return Status();
}

Status prepare_mode(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  auto p = std::make_unique<LinePlan>();
  p->places = 2;
  p->set_lines(x, axis_of(c.as<ops::ModeAttrs>().axis, x.rank()));
  p->run = dispatch_real(x.dtype,
                         [](auto id) -> RunFn { return run_mode<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  for (const TensorMeta* m : c.inputs) {
    const bool fits = m->is_contiguous() && m->numel() > 0 && m->rank() > 0 &&
                      m->numel() <= std::numeric_limits<int32_t>::max();
    if (fits) continue;
    return refuse(reason, "takes row-major tensors of 1 to 2^31 elements");
  }
  return true;
}

}  // namespace

void register_search_cpu() {
  register_kernel({.op = &ops::kSearchsorted,
                   .name = "halves",
                   .supports = supports,
                   .prepare = prepare_search});
  register_kernel(
      {.op = &ops::kMode, .name = "sorted", .supports = supports, .prepare = prepare_mode});
}

}  // namespace rutile::kernels
