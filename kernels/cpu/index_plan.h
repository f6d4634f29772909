// SPDX-License-Identifier: Apache-2.0
// What the kernels of indexing share: tensors seen as [outer, axis, inner], and positions that come
// from data.
#pragma once

#include <algorithm>
#include <memory>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/index.h"
#include "rutile/kernels/index_range.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

inline constexpr double kIndexNs = 0.15;  // an element

inline bool row_major(const CallMeta& c, Reason* reason) {
  for (const TensorMeta* m : c.inputs) {
    if (m->is_contiguous()) continue;
    reason->text = "takes row-major tensors";
    return false;
  }
  return true;
}

struct IndexPlan : Plan {
  int64_t outer = 0, inner = 0;
  int64_t n = 0;  // size of the indexed axis
  int64_t m = 0;  // index elements per outer
  int64_t size = 4;
  bool index64 = true, wrap = true;
  int x = 0, index = 1;  // inputs
  Shape index_shape;
  int64_t skip_row = -1;                // padding_idx
  bool one_x = false, one_src = false;  // one element for all
  DType from = DType::kF32, to = DType::kF32;
  AddKernels add;
  ResolveKernels resolvers;

  int64_t value(const void* p, int64_t i) const {
    return index64 ? static_cast<const int64_t*>(p)[i] : static_cast<const int32_t*>(p)[i];
  }
  Status error(const void* p, int64_t at) const {
    return index_out_of_range("index", value(p, at), position_of(at, index_shape), n, wrap);
  }
  // Positions of index elements [begin, end) into `rows`; false if one is out of range.
  bool resolve(const void* p, int64_t begin, int64_t end, int64_t* rows, FirstBad* bad) const {
    const bool ok =
        index64 ? resolvers.i64(static_cast<const int64_t*>(p) + begin, end - begin, n, wrap, rows)
                : resolvers.i32(static_cast<const int32_t*>(p) + begin, end - begin, n, wrap, rows);
    if (ok) return true;
    while (resolve_index(value(p, begin), n, wrap) >= 0) ++begin;
    bad->report(begin);
    return false;
  }
  // All of them.
  Status resolve(const void* p, int64_t count, int64_t* rows) const {
    FirstBad bad;
    parallel_for(0, count, grain_for(kIndexNs),
                 [&](int64_t begin, int64_t end) { resolve(p, begin, end, rows + begin, &bad); });
    return bad.any() ? error(p, bad.at()) : Status();
  }
};
inline const IndexPlan& index_plan(const Plan& p) { return static_cast<const IndexPlan&>(p); }

// Without sizes.
std::unique_ptr<IndexPlan> make_index_plan(const TensorMeta& index);

// Integers modulo their range.
template <class S, class T>
void add_to(S& sum, T x) {
  if constexpr (std::is_integral_v<S>) {
    using U = std::make_unsigned_t<S>;
    sum = static_cast<S>(static_cast<U>(static_cast<U>(sum) + static_cast<U>(x)));
  } else {
    sum += static_cast<S>(x);
  }
}

}  // namespace rutile::kernels
