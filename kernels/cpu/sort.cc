// SPDX-License-Identifier: Apache-2.0
// sort and topk: positions are ordered by the values they point to, ties by position.
#include <algorithm>
#include <cmath>
#include <limits>

#include "rutile/core/thread.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

struct SortPlan : Plan {
  int64_t outer = 0, n = 0, inner = 0;
  int64_t k = 0;  // elements kept
  bool descending = false;
};

// a stands before b in ascending order; NaN is the largest.
template <class T>
bool comes_before(T a, T b) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return comes_before(static_cast<float>(a), static_cast<float>(b));
  } else if constexpr (std::is_floating_point_v<T>) {
    return a < b || (std::isnan(b) && !std::isnan(a));
  } else {
    return a < b;
  }
}

template <class T, bool kDescending>
void sort_line(const T* x, int64_t step, int32_t* order, int64_t n, int64_t k) {
  for (int64_t i = 0; i < n; ++i) order[i] = static_cast<int32_t>(i);
  const auto less = [x, step](int32_t a, int32_t b) {
    const T va = x[a * step], vb = x[b * step];
    if (kDescending ? comes_before(vb, va) : comes_before(va, vb)) return true;
    if (kDescending ? comes_before(va, vb) : comes_before(vb, va)) return false;
    return a < b;
  };
  if (k == n) {
    std::sort(order, order + n, less);
  } else {
    std::partial_sort(order, order + k, order + n, less);
  }
}

template <class T>
Status run_sort(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const SortPlan&>(plan);
  auto* workspace = static_cast<int32_t*>(args.workspace);
  parallel_for(0, p.outer * p.inner, std::max<int64_t>(1, 2048 / std::max<int64_t>(p.n, 1)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t line = begin; line < end; ++line) {
                   const int64_t o = line / p.inner, i = line % p.inner;
                   const T* x = static_cast<const T*>(args.in[0]) + o * p.n * p.inner + i;
                   int32_t* order = workspace + line * p.n;
                   (p.descending ? sort_line<T, true> : sort_line<T, false>)(x, p.inner, order, p.n,
                                                                             p.k);
                   T* values = static_cast<T*>(args.out[0]) + o * p.k * p.inner + i;
                   int64_t* at = static_cast<int64_t*>(args.out[1]) + o * p.k * p.inner + i;
                   for (int64_t j = 0; j < p.k; ++j) {
                     values[j * p.inner] = x[order[j] * p.inner];
                     at[j * p.inner] = order[j];
                   }
                 }
               });
  return Status();
}

template <bool kTopk>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<SortPlan>();
  const TensorMeta& x = c.in(0);
  int64_t axis = 0;
  if constexpr (kTopk) {
    const auto& a = c.as<ops::TopkAttrs>();
    axis = a.axis;
    p->descending = a.largest;
  } else {
    const auto& a = c.as<ops::SortAttrs>();
    axis = a.axis;
    p->descending = a.descending;
  }
  const int d = static_cast<int>(axis < 0 ? axis + x.rank() : axis);
  p->outer = p->inner = 1;
  for (int i = 0; i < d; ++i) p->outer *= x.dim(i);
  for (int i = d + 1; i < x.rank(); ++i) p->inner *= x.dim(i);
  p->n = x.dim(d);
  p->k = c.out().dim(d);
  p->workspace_bytes = static_cast<size_t>(x.numel()) * sizeof(int32_t);
  p->run = dispatch_real(x.dtype,
                         [](auto id) -> RunFn { return run_sort<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  if (!x.is_contiguous()) {
    reason->text = "takes row-major tensors";
    return false;
  }
  if (x.numel() > std::numeric_limits<int32_t>::max()) {
    reason->text = "has too many elements";
    return false;
  }
  return true;
}

}  // namespace

void register_sort_cpu() {
  KernelRow row;
  row.op = &ops::kSort;
  row.name = "lines";
  row.supports = supports;
  row.prepare = prepare<false>;
  register_kernel(row);
  row.op = &ops::kTopk;
  row.prepare = prepare<true>;
  register_kernel(row);
}

}  // namespace rutile::kernels
