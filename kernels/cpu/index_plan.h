// SPDX-License-Identifier: Apache-2.0
// What the kernels of indexing share: tensors seen as [outer, axis, inner], and positions that come
// from data.
#pragma once

#include <algorithm>
#include <memory>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/index.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/index_range.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

inline constexpr double kIndexNs = 0.15;  // an element

inline bool row_major(const CallMeta& c, Reason* reason) {
  for (const TensorMeta* m : c.inputs) {
    if (m->is_contiguous()) continue;
    return refuse(reason, "takes row-major tensors");
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

// Calls f(first, line, column, rows, n) for the elements [begin, end) of the index, piece by piece:
// the n of them from number `first` on lie in one line of the index (along the axis where that is
// the last one, else behind it), and `rows` are their positions on the axis.
template <class F>
void for_resolved(const IndexPlan& p, const void* index, int64_t begin, int64_t end, FirstBad* bad,
                  F&& f) {
  constexpr int64_t kPiece = 512;
  if (begin >= end) return;
  int64_t rows[kPiece];
  const int64_t width = p.inner == 1 ? p.m : p.inner;
  int64_t line = begin / width, column = begin % width;
  while (begin < end) {
    const int64_t stop = std::min(begin + kPiece, end);
    if (!p.resolve(index, begin, stop, rows, bad)) return;
    for (const int64_t* row = rows; begin < stop;) {
      const int64_t n = std::min(stop - begin, width - column);
      f(begin, line, column, row, n);
      begin += n;
      row += n;
      column += n;
      if (column < width) continue;
      column = 0;
      ++line;
    }
  }
}

// The same for all elements of the index. Threads divide the columns of what is written, so that
// every place sees its updates in the order of the index.
template <class F>
void in_columns(const IndexPlan& p, const void* index, double element_ns, FirstBad* bad, F&& f) {
  const int64_t columns = p.outer * p.inner, inner = p.inner;
  const int64_t grain = grain_for(element_ns * static_cast<double>(p.m));
  if (inner == 1) {
    parallel_for(0, columns, grain, [&](int64_t begin, int64_t end) {
      for_resolved(p, index, begin * p.m, end * p.m, bad, f);
    });
    return;
  }
  parallel_for(0, columns, std::max<int64_t>(16, grain), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin / inner; o * inner < end; ++o) {
      const int64_t c0 = std::max<int64_t>(begin - o * inner, 0);
      const int64_t c1 = std::min(end - o * inner, inner);
      for (int64_t j = o * p.m; j < (o + 1) * p.m; ++j) {
        for_resolved(p, index, j * inner + c0, j * inner + c1, bad, f);
      }
    }
  });
}

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
