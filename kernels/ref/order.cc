// SPDX-License-Identifier: Apache-2.0
// Order statistics by sorting each line, and binary search.
#include "rutile/ops/order.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/ref/comes_before.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

template <class T>
bool is_nan(T v) {
  if constexpr (std::is_integral_v<T>) {
    return false;
  } else {
    return std::isnan(convert<double>(v));
  }
}

using Values = std::vector<int64_t>;

// Positions in the order of the values.
template <class At>
Values sorted_places(int64_t n, At at) {
  Values order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return comes_before(at(a), at(b)); });
  return order;
}

// The position that each line gives; axis -1: all elements are one line. `choose` sees the sorted
// positions and the values.
template <class Choose>
Status choose_lines(const RefPlan& p, const KernelArgs& args, int axis, Choose choose) {
  const TensorMeta& x = p.in[0];
  dispatch_real(x.dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const T* in = static_cast<const T*>(args.in[0]);
    T* values = static_cast<T*>(args.out[0]);
    auto* places = static_cast<int64_t*>(args.out[1]);
    if (axis < 0) {
      std::vector<int64_t> offsets;
      for (Walk w(x); !w.done(); w.next()) offsets.push_back(w.offset());
      auto at = [&](int64_t i) { return in[offsets[static_cast<size_t>(i)]]; };
      *places = choose(sorted_places(x.numel(), at), at);
      *values = at(*places);
      return;
    }
    Shape outer = x.shape;
    outer[axis] = std::min<int64_t>(outer[axis], 1);
    for (Walk w(outer, x.strides); !w.done(); w.next()) {
      auto at = [&](int64_t i) { return in[w.offset() + i * x.strides[axis]]; };
      *places = choose(sorted_places(x.dim(axis), at), at);
      *values++ = at(*places++);
    }
  });
  return Status();
}

Status run_kthvalue(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::KthvalueAttrs>();
  return choose_lines(p, args, axis_of(a.axis, p.in[0].rank()), [&](const Values& order, auto) {
    return order[static_cast<size_t>(a.k - 1)];
  });
}

template <bool kLeaveNan>
Status run_median(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Dims& axes = p.as<ops::ArgAttrs>().axes;
  const int axis = axes.empty() ? -1 : axis_of(axes[0], p.in[0].rank());
  return choose_lines(p, args, axis, [](const Values& order, auto at) {
    size_t numbers = 0;
    while (numbers < order.size() && !is_nan(at(order[numbers]))) ++numbers;
    if (numbers < order.size() && (!kLeaveNan || numbers == 0)) return order[numbers];
    return order[(numbers - 1) / 2];
  });
}

Status run_mode(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const int axis = axis_of(p.as<ops::ModeAttrs>().axis, p.in[0].rank());
  return choose_lines(p, args, axis, [](const Values& order, auto at) {
    size_t best = 0, longest = 0;
    for (size_t i = 0, first = 0; i < order.size(); ++i) {
      if (comes_before(at(order[first]), at(order[i]))) first = i;
      if (i - first + 1 > longest) {
        longest = i - first + 1;
        best = i;
      }
    }
    return order[best];
  });
}

Status run_searchsorted(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::SearchsortedAttrs>();
  const TensorMeta &sorted = p.in[0], &v = p.in[1];
  const int last = sorted.rank() - 1;
  const Elements y = output(p, args);
  dispatch_real(v.dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const T* lines = static_cast<const T*>(args.in[0]);
    const T* values = static_cast<const T*>(args.in[1]);
    const double ns = 5 + 4 * std::log2(static_cast<double>(sorted.dim(last)) + 1);
    parallel_for(0, v.numel(), grain_for(ns), [&](int64_t begin, int64_t end) {
      Walk w(v.shape, v.strides, begin);
      for (int64_t i = begin; i < end; ++i, w.next()) {
        int64_t line = 0;
        for (int d = 0; d < last; ++d) line += w.index()[d] * sorted.strides[d];
        const T value = values[w.offset()];
        int64_t low = 0, high = sorted.dim(last);
        while (low < high) {
          const int64_t middle = (low + high) / 2;
          const T at = lines[line + middle * sorted.strides[last]];
          const bool before = a.right ? !comes_before(value, at) : comes_before(at, value);
          (before ? low : high) = before ? middle + 1 : middle;
        }
        y.put_int(i, low);
      }
    });
  });
  return Status();
}

}  // namespace

void register_order_ref() {
  register_kernel(ref_row<run_kthvalue>(ops::kKthvalue));
  register_kernel(ref_row<run_median<false>>(ops::kMedian));
  register_kernel(ref_row<run_median<true>>(ops::kNanmedian));
  register_kernel(ref_row<run_mode>(ops::kMode));
  register_kernel(ref_row<run_searchsorted>(ops::kSearchsorted));
}

}  // namespace rutile::kernels
