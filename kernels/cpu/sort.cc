// SPDX-License-Identifier: Apache-2.0
// sort and topk: positions are ordered by the values they point to, ties by position.
#include <algorithm>
#include <functional>
#include <limits>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/cpu/radix_sort.h"
#include "rutile/kernels/cpu/sort_key.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kElementNs = 10;

struct SortPlan : Plan {
  int64_t outer = 0, n = 0, inner = 0;
  int64_t k = 0;  // elements kept
  bool descending = false;
};

// The first k of n elements in order; element(i) gives the i-th. The best so far form a heap whose
// top is the worst of them, so most elements cost one comparison.
template <class Element, class Less>
void sort_first(uint64_t* out, int64_t n, int64_t k, Element element, Less less) {
  for (int64_t i = 0; i < k; ++i) out[i] = element(i);
  if (k == 0) return;
  std::make_heap(out, out + k, less);
  for (int64_t i = k; i < n; ++i) {
    const uint64_t e = element(i);
    if (!less(e, out[0])) continue;
    std::pop_heap(out, out + k, less);
    out[k - 1] = e;
    std::push_heap(out, out + k, less);
  }
  std::sort_heap(out, out + k, less);
}

// Positions of the first k of n elements `step` apart, in `order`; ties by position.
template <class T>
void sort_line(const T* x, int64_t step, uint64_t* order, int64_t n, int64_t k, bool descending) {
  if constexpr (sizeof(T) <= 4) {  // key and position in one number
    const uint32_t flip = descending ? 0xffffffffu : 0;
    sort_first(
        order, n, k,
        [=](int64_t i) {
          return static_cast<uint64_t>(small_key(x[i * step]) ^ flip) << 32 |
                 static_cast<uint64_t>(i);
        },
        std::less<uint64_t>());
    for (int64_t i = 0; i < k; ++i) order[i] &= 0xffffffffu;
  } else {
    sort_first(
        order, n, k, [](int64_t i) { return static_cast<uint64_t>(i); },
        [=](uint64_t a, uint64_t b) {
          const uint64_t ka = sort_key(x[static_cast<int64_t>(a) * step]);
          const uint64_t kb = sort_key(x[static_cast<int64_t>(b) * step]);
          return ka == kb ? a < b : (ka < kb) != descending;
        });
  }
}

// All of a line in order, the same way.
template <class T>
void sort_whole(const T* x, int64_t step, uint64_t* order, uint64_t* spare, int64_t n,
                bool descending) {
  if constexpr (sizeof(T) <= 4) {
    const uint32_t flip = descending ? 0xffffffffu : 0;
    for (int64_t i = 0; i < n; ++i) {
      order[i] =
          static_cast<uint64_t>(small_key(x[i * step]) ^ flip) << 32 | static_cast<uint64_t>(i);
    }
    sort_by_upper_half(order, spare, n);
    for (int64_t i = 0; i < n; ++i) order[i] &= 0xffffffffu;
  } else {
    const uint64_t flip = descending ? ~uint64_t{0} : 0;
    sort_order(order, spare, n, [=](int64_t i) { return sort_key(x[i * step]) ^ flip; });
  }
}

template <class T>
Status run_sort(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const SortPlan&>(plan);
  auto* workspace = static_cast<uint64_t*>(args.workspace);
  parallel_for(0, p.outer * p.inner, grain_for(kElementNs * static_cast<double>(p.n)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t line = begin; line < end; ++line) {
                   const int64_t o = line / p.inner, i = line % p.inner;
                   const T* x = static_cast<const T*>(args.in[0]) + o * p.n * p.inner + i;
                   uint64_t* order = workspace + line * p.k;
                   if (p.k == p.n) {
                     uint64_t* spare = workspace + (p.outer * p.inner + line) * p.k;
                     sort_whole(x, p.inner, order, spare, p.n, p.descending);
                   } else {
                     sort_line(x, p.inner, order, p.n, p.k, p.descending);
                   }
                   T* values = static_cast<T*>(args.out[0]) + o * p.k * p.inner + i;
                   int64_t* at = static_cast<int64_t*>(args.out[1]) + o * p.k * p.inner + i;
                   for (int64_t j = 0; j < p.k; ++j) {
                     at[j * p.inner] = static_cast<int64_t>(order[j]);
                     values[j * p.inner] = x[at[j * p.inner] * p.inner];
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
  if (c.out().numel() == 0) p->outer = 0;  // there may be many lines of nothing
  p->k = c.out().dim(d);
  p->workspace_bytes = static_cast<size_t>(c.out().numel()) * sizeof(uint64_t);
  if (p->k == p->n) p->workspace_bytes *= 2;  // room to sort in
  p->run = dispatch_real(x.dtype,
                         [](auto id) -> RunFn { return run_sort<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  if (!x.is_contiguous()) return refuse(reason, "takes row-major tensors");
  if (x.numel() > std::numeric_limits<int32_t>::max()) {
    return refuse(reason, "has too many elements");
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
