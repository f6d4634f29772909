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

}  // namespace

void register_unique_ref() {
  register_kernel(ref_row<run_unique<true>>(ops::kUnique));
  register_kernel(ref_row<run_unique<false>>(ops::kUniqueConsecutive));
}

}  // namespace rutile::kernels
