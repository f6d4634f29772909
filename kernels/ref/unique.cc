// SPDX-License-Identifier: Apache-2.0
// unique by sorting positions, and runs of equal neighbours.
#include "rutile/ops/unique.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

template <class T>
auto comparable(T v) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return static_cast<float>(v);
  } else {
    return v;
  }
}

template <bool kSort>
Status run_unique(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const TensorMeta& x = p.in[0];
  auto* inverse = static_cast<int64_t*>(args.out[1]);
  auto* counts = static_cast<int64_t*>(args.out[2]);
  int64_t count = 0;
  dispatch_real(x.dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    std::vector<T> v;
    for (Walk w(x); !w.done(); w.next()) {
      v.push_back(static_cast<const T*>(args.in[0])[w.offset()]);
    }
    auto at = [&](int64_t i) { return comparable(static_cast<T>(v[static_cast<size_t>(i)])); };
    std::vector<int64_t> order(v.size());
    std::iota(order.begin(), order.end(), 0);
    if (kSort) {
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return at(a) < at(b) || (at(b) != at(b) && at(a) == at(a));
      });
    }
    T* values = static_cast<T*>(args.out[0]);
    std::fill_n(values, v.size(), convert<T>(0));
    std::fill_n(counts, v.size(), 0);
    for (size_t i = 0; i < order.size(); ++i) {
      if (i == 0 || !(at(order[i]) == at(order[i - 1]))) {
        values[count++] = v[static_cast<size_t>(order[i])];
      }
      inverse[order[i]] = count - 1;
      ++counts[count - 1];
    }
  });
  *static_cast<int64_t*>(args.out[3]) = count;
  return Status();
}

Status run_unique_rows(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const TensorMeta& x = p.in[0];
  const auto n = static_cast<size_t>(x.dim(0)), k = static_cast<size_t>(x.dim(1));
  const bool sort = !p.as<ops::UniqueRowsAttrs>().consecutive;
  int64_t* out[3];
  for (int i = 0; i < 3; ++i) std::fill_n(out[i] = static_cast<int64_t*>(args.out[i]), n, 0);
  int64_t count = 0;
  dispatch_real(x.dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    std::vector<T> v;
    for (Walk w(x); !w.done(); w.next()) {
      v.push_back(static_cast<const T*>(args.in[0])[w.offset()]);
    }
    auto at = [&](size_t row, size_t i) { return comparable(static_cast<T>(v[row * k + i])); };
    auto same = [&](size_t a, size_t b) {  // NaN differs from itself
      for (size_t i = 0; i < k; ++i) {
        if (!(at(a, i) == at(b, i))) return false;
      }
      return true;
    };
    auto less = [&](size_t a, size_t b) {  // NaN is behind all numbers
      for (size_t i = 0; i < k; ++i) {
        const auto u = at(a, i), w = at(b, i);
        if (u == w || (u != u && w != w)) continue;
        return u < w || w != w;
      }
      return false;
    };
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    if (sort) std::stable_sort(order.begin(), order.end(), less);
    for (size_t i = 0; i < n; ++i) {
      if (i == 0 || !same(order[i], order[i - 1])) {
        out[0][count++] = static_cast<int64_t>(order[i]);
      }
      out[1][order[i]] = count - 1;
      ++out[2][count - 1];
    }
  });
  *static_cast<int64_t*>(args.out[3]) = count;
  return Status();
}

}  // namespace

void register_unique_ref() {
  register_kernel(ref_row<run_unique_rows>(ops::kUniqueRows));
  register_kernel(ref_row<run_unique<true>>(ops::kUnique));
  register_kernel(ref_row<run_unique<false>>(ops::kUniqueConsecutive));
}

}  // namespace rutile::kernels
