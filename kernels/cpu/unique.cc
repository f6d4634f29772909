// SPDX-License-Identifier: Apache-2.0
// unique, equal neighbours, and the places of what is not zero.
#include "rutile/ops/unique.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/radix_sort.h"
#include "rutile/kernels/cpu/sort_key.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/scatter.h"

namespace rutile::kernels {
namespace {

constexpr double kElementNs = 0.5;
constexpr int64_t kChunk = 4096;

struct UniquePlan : Plan {
  int64_t n = 0, value_bytes = 0;
};

struct Found {
  int64_t* inverse;
  int64_t* counts;
  int64_t* count;
};
Found outputs(const KernelArgs& args) {
  return {static_cast<int64_t*>(args.out[1]), static_cast<int64_t*>(args.out[2]),
          static_cast<int64_t*>(args.out[3])};
}

// Behind `count` distinct elements there are zeros.
void clear_rest(const UniquePlan& p, const KernelArgs& args, int64_t count) {
  auto* values = static_cast<char*>(args.out[0]);
  std::memset(values + count * p.value_bytes, 0,
              static_cast<size_t>((p.n - count) * p.value_bytes));
  std::memset(outputs(args).counts + count, 0, static_cast<size_t>(p.n - count) * sizeof(int64_t));
  *outputs(args).count = count;
}

// Integers that lie close together count in a table; false where they do not.
template <class T>
bool count_in_table(const UniquePlan& p, const KernelArgs& args, int64_t* table) {
  const T* x = static_cast<const T*>(args.in[0]);
  T least = x[0], most = x[0];
  for (int64_t i = 1; i < p.n; ++i) {
    least = std::min(least, x[i]);
    most = std::max(most, x[i]);
  }
  const auto key = [=](T v) {
    return static_cast<uint64_t>(static_cast<int64_t>(v)) -
           static_cast<uint64_t>(static_cast<int64_t>(least));
  };
  const uint64_t range = key(most);
  if (range >= static_cast<uint64_t>(2 * p.n)) return false;
  std::memset(table, 0, static_cast<size_t>(range + 1) * sizeof(int64_t));
  for (int64_t i = 0; i < p.n; ++i) ++table[key(x[i])];
  const Found y = outputs(args);
  T* values = static_cast<T*>(args.out[0]);
  int64_t count = 0;
  for (uint64_t k = 0; k <= range; ++k) {
    if (table[k] == 0) continue;
    values[count] = static_cast<T>(
        static_cast<int64_t>(static_cast<uint64_t>(static_cast<int64_t>(least)) + k));
    y.counts[count] = table[k];
    table[k] = count++;
  }
  parallel_for(0, p.n, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y.inverse[i] = table[key(x[i])];
  });
  clear_rest(p, args, count);
  return true;
}

// NaN differ from all, themselves included.
template <class T>
bool same(T a, T b) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return static_cast<float>(a) == static_cast<float>(b);
  } else {
    return a == b;
  }
}

template <class T, bool kSort>
Status run_unique(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const UniquePlan&>(plan);
  const T* x = static_cast<const T*>(args.in[0]);
  auto* order = static_cast<uint64_t*>(args.workspace);
  if constexpr (kSort) {
    if constexpr (std::is_integral_v<T>) {
      if (count_in_table<T>(p, args, static_cast<int64_t*>(args.workspace))) return Status();
    }
    sort_order(order, order + p.n, p.n, [=](int64_t i) { return sort_key(x[i]); });
  }
  const Found y = outputs(args);
  T* values = static_cast<T*>(args.out[0]);
  int64_t count = 0, first = 0;
  T last{};
  for (int64_t i = 0; i < p.n; ++i) {
    const int64_t at = kSort ? static_cast<int64_t>(order[i]) : i;
    const T v = x[at];
    if (i == 0 || !same(v, last)) {
      if (count > 0) y.counts[count - 1] = i - first;
      values[count++] = v;
      last = v;
      first = i;
    }
    y.inverse[at] = count - 1;
  }
  y.counts[count - 1] = p.n - first;
  clear_rest(p, args, count);
  return Status();
}

template <bool kSort>
Status prepare_unique(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<UniquePlan>();
  p->n = c.in(0).numel();
  p->value_bytes = static_cast<int64_t>(dtype_size(c.in(0).dtype));
  if (kSort) p->workspace_bytes = 2 * static_cast<size_t>(p->n) * sizeof(uint64_t);
  p->run = dispatch_real(c.in(0).dtype, [](auto id) -> RunFn {
    return run_unique<typename decltype(id)::type, kSort>;
  });
  *plan = std::move(p);
  return Status();
}

// ---- nonzero ------------------------------------------------------------------------------------

struct NonzeroPlan : Plan {
  Shape shape;
  int64_t n = 0, chunk = 1;  // chunks are counted, then written
};

template <class T>
bool is_zero(T v) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return static_cast<float>(v) == 0;
  } else {
    return v == T(0);
  }
}

// Row numbers of the elements [begin, end) that are not zero, from `row` on.
template <class T>
void write_rows(const NonzeroPlan& p, const T* x, int64_t begin, int64_t end, int64_t* row) {
  const int rank = p.shape.rank();
  if (rank == 1) {
    for (int64_t i = begin; i < end; ++i) {
      if (!is_zero(x[i])) *row++ = i;
    }
    return;
  }
  const int64_t width = p.shape.back();
  Dims at = position_of(begin, p.shape);
  for (int64_t i = begin; i < end;) {
    const int64_t stop = std::min(end, i + width - at[rank - 1]);
    for (; i < stop; ++i, ++at[rank - 1]) {
      if (is_zero(x[i])) continue;
      for (int d = 0; d < rank; ++d) *row++ = at[d];
    }
    for (int d = rank - 1; d > 0 && at[d] == p.shape[d]; --d) {
      at[d] = 0;
      ++at[d - 1];
    }
  }
}

template <class T>
Status run_nonzero(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const NonzeroPlan&>(plan);
  const T* x = static_cast<const T*>(args.in[0]);
  auto* first = static_cast<int64_t*>(args.workspace);
  const int64_t rank = p.shape.rank(), chunks = (p.n + p.chunk - 1) / p.chunk;
  auto* rows = static_cast<int64_t*>(args.out[0]);
  const int64_t grain = std::max<int64_t>(1, grain_for(kElementNs) / p.chunk);
  parallel_for(0, chunks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      int64_t count = 0;
      const int64_t stop = std::min(p.n, (k + 1) * p.chunk);
      for (int64_t i = k * p.chunk; i < stop; ++i) count += !is_zero(x[i]);
      first[k] = count;
    }
  });
  int64_t count = 0;
  for (int64_t k = 0; k < chunks; ++k) count += std::exchange(first[k], count);
  parallel_for(0, chunks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      write_rows(p, x, k * p.chunk, std::min(p.n, (k + 1) * p.chunk), rows + first[k] * rank);
    }
  });
  parallel_for(count * rank, p.n * rank, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    std::fill(rows + begin, rows + end, int64_t{-1});
  });
  *static_cast<int64_t*>(args.out[1]) = count;
  return Status();
}

Status prepare_nonzero(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<NonzeroPlan>();
  p->shape = c.in(0).shape;
  p->n = c.in(0).numel();
  p->chunk = kChunk;
  p->workspace_bytes = static_cast<size_t>(p->n / kChunk + 1) * sizeof(int64_t);
  p->run = dispatch_real(c.in(0).dtype,
                         [](auto id) -> RunFn { return run_nonzero<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

// ---- masked_select ------------------------------------------------------------------------------

// How many are chosen in front of each chunk; how many in all.
int64_t count_chunks(const NonzeroPlan& p, const uint8_t* mask, int64_t* first) {
  const int64_t chunks = (p.n + p.chunk - 1) / p.chunk;
  const int64_t grain = std::max<int64_t>(1, grain_for(0.1) / p.chunk);
  parallel_for(0, chunks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      int count = 0;
      const int64_t stop = std::min(p.n, (k + 1) * p.chunk);
      for (int64_t i = k * p.chunk; i < stop; ++i) count += mask[i] != 0;
      first[k] = count;
    }
  });
  int64_t count = 0;
  for (int64_t k = 0; k < chunks; ++k) count += std::exchange(first[k], count);
  return count;
}

// T: unsigned numbers of the elements' size.
template <class T>
Status run_masked_select(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const NonzeroPlan&>(plan);
  const T* x = static_cast<const T*>(args.in[0]);
  const auto* mask = static_cast<const uint8_t*>(args.in[1]);
  auto* first = static_cast<int64_t*>(args.workspace);
  T* y = static_cast<T*>(args.out[0]);
  const int64_t chunks = (p.n + p.chunk - 1) / p.chunk;
  const int64_t grain = std::max<int64_t>(1, grain_for(kElementNs) / p.chunk);
  const int64_t count = count_chunks(p, mask, first);
  parallel_for(0, chunks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      // Written always and kept where the mask is true, but not over the next chunk's.
      const int64_t stop = std::min(p.n, (k + 1) * p.chunk);
      const int64_t last = k + 1 < chunks ? first[k + 1] : count;
      int64_t at = first[k];
      for (int64_t i = k * p.chunk; i < stop && at < last; ++i) {
        y[at] = x[i];
        at += mask[i] != 0;
      }
    }
  });
  parallel_for(count, p.n, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    std::memset(static_cast<void*>(y + begin), 0, static_cast<size_t>(end - begin) * sizeof(T));
  });
  *static_cast<int64_t*>(args.out[1]) = count;
  return Status();
}

Status prepare_masked_select(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<NonzeroPlan>();
  p->n = c.in(0).numel();
  p->chunk = kChunk;
  p->workspace_bytes = static_cast<size_t>(p->n / kChunk + 1) * sizeof(int64_t);
  p->run = dispatch_size(c.in(0).dtype, [](auto id) -> RunFn {
    return run_masked_select<typename decltype(id)::type>;
  });
  *plan = std::move(p);
  return Status();
}

bool supports_masked_select(const CallMeta& c, Reason* reason) {
  const TensorMeta &x = c.in(0), &mask = c.in(1);
  const bool fits = x.is_contiguous() && mask.is_contiguous() && x.shape == mask.shape &&
                    x.numel() > 0 && mask.dtype == DType::kBool;
  if (!fits) reason->text = "takes a row-major tensor and a mask of its shape";
  return fits;
}

// ---- masked_scatter -----------------------------------------------------------------------------

struct FillInPlan : NonzeroPlan {
  int64_t have = 0;  // elements of src
};

// T as in run_masked_select.
template <class T>
Status run_masked_scatter(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const FillInPlan&>(plan);
  const T* x = static_cast<const T*>(args.in[0]);
  const auto* mask = static_cast<const uint8_t*>(args.in[1]);
  const T* src = static_cast<const T*>(args.in[2]);
  T* y = static_cast<T*>(args.out[0]);
  auto* first = static_cast<int64_t*>(args.workspace);
  const int64_t wanted = count_chunks(p, mask, first);
  if (wanted > p.have) {
    return index_error(cat("mask takes ", wanted, " elements, src has only ", p.have));
  }
  const int64_t chunks = (p.n + p.chunk - 1) / p.chunk;
  const int64_t grain = std::max<int64_t>(1, grain_for(1) / p.chunk);
  parallel_for(0, chunks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t start = k * p.chunk, stop = std::min(p.n, start + p.chunk);
      const int64_t last = k + 1 < chunks ? first[k + 1] : wanted;
      int64_t at = first[k], i = start;
      for (; i < stop && at < last; ++i) {  // there is one more to come, so src[at] is there
        y[i] = mask[i] ? src[at] : x[i];
        at += mask[i] != 0;
      }
      std::memcpy(static_cast<void*>(y + i), x + i, static_cast<size_t>(stop - i) * sizeof(T));
    }
  });
  return Status();
}

Status prepare_masked_scatter(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<FillInPlan>();
  p->n = c.in(0).numel();
  p->have = c.in(2).numel();
  p->chunk = kChunk;
  p->workspace_bytes = static_cast<size_t>(p->n / kChunk + 1) * sizeof(int64_t);
  p->run = dispatch_size(c.in(0).dtype, [](auto id) -> RunFn {
    return run_masked_scatter<typename decltype(id)::type>;
  });
  *plan = std::move(p);
  return Status();
}

bool supports_masked_scatter(const CallMeta& c, Reason* reason) {
  return supports_masked_select(c, reason) && c.in(2).is_contiguous();
}

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  const bool fits = x.is_contiguous() && x.numel() > 0 && !is_complex(x.dtype) && x.rank() > 0 &&
                    x.numel() <= std::numeric_limits<int32_t>::max();
  if (!fits) reason->text = "takes row-major real tensors of 1 to 2^31 elements";
  return fits;
}

}  // namespace

void register_unique_cpu() {
  const auto add = [](const OpDef& op, const char* name, auto prepare) {
    register_kernel({.op = &op, .name = name, .supports = supports, .prepare = prepare});
  };
  add(ops::kUnique, "sorted", prepare_unique<true>);
  add(ops::kUniqueConsecutive, "neighbours", prepare_unique<false>);
  add(ops::kNonzero, "chunks", prepare_nonzero);
  register_kernel({.op = &ops::kMaskedSelect,
                   .name = "chunks",
                   .supports = supports_masked_select,
                   .prepare = prepare_masked_select});
  register_kernel({.op = &ops::kMaskedScatter,
                   .name = "chunks",
                   .supports = supports_masked_scatter,
                   .prepare = prepare_masked_scatter});
}

}  // namespace rutile::kernels
