// SPDX-License-Identifier: Apache-2.0
// Weighted sums along the spatial dimensions, one dimension after the other: those that shrink the
// image most come first.
#include <algorithm>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/axis_taps.h"
#include "rutile/kernels/channel_walk.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/cpu/resample.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/interpolate.h"
#include "rutile/ops/pool3d.h"

namespace rutile::kernels {

namespace {

// The data as [outer, in, inner] becomes [outer, out, inner].
template <class C>
struct Pass {
  int64_t outer = 1, in = 0, out = 0, inner = 1;
  std::vector<int64_t> first;
  std::vector<int32_t> pixel;
  std::vector<C> weight;
  bool copies = false;          // see copies_lines
  std::vector<int64_t> runs{};  // see find_runs
};

template <class C>
struct ResamplePlan : Plan {
  std::vector<Pass<C>> passes;
  size_t copied = 0;  // bytes, where there is no pass
  size_t second = 0;  // where the second buffer begins in the workspace
};

// kRows rows at once: weights are fetched once, and the sums do not wait for each other.
template <int64_t kRows, class C, class From, class To>
void sum_rows(const Pass<C>& p, const From* from, To* to) {
  const int64_t* first = p.first.data();
  const int32_t* pixel = p.pixel.data();
  const C* weight = p.weight.data();
  for (int64_t o = 0; o < p.out; ++o) {
    C sum[kRows] = {};
    for (int64_t k = first[o]; k < first[o + 1]; ++k) {
      const From* at = from + pixel[k];
      const C w = weight[k];
      for (int64_t r = 0; r < kRows; ++r) sum[r] += w * static_cast<C>(at[r * p.in]);
    }
    for (int64_t r = 0; r < kRows; ++r) to[r * p.out + o] = static_cast<To>(sum[r]);
  }
}

// Where neighbours in the result are one number, as in the gradient of a mean: the first of each
// run of them, and the end. Empty if runs are short.
template <class C>
void find_runs(Pass<C>* p) {
  constexpr int64_t kShort = 4;
  std::vector<int64_t> runs;
  const auto first = [&](int64_t o) { return p->first[static_cast<size_t>(o)]; };
  const auto same = [&](int64_t o) {
    const int64_t n = first(o + 1) - first(o);
    if (o == 0 || first(o) - first(o - 1) != n) return false;
    for (int64_t k = first(o); k < first(o + 1); ++k) {
      const auto now = static_cast<size_t>(k), before = static_cast<size_t>(k - n);
      if (p->pixel[now] != p->pixel[before] || p->weight[now] != p->weight[before]) return false;
    }
    return true;
  };
  for (int64_t o = 0; o < p->out; ++o) {
    if (!same(o)) runs.push_back(o);
  }
  if (p->inner > 1 || static_cast<int64_t>(runs.size()) * kShort > p->out) return;
  runs.push_back(p->out);
  p->runs = std::move(runs);
}

template <class C, class From, class To>
void fill_runs(const Pass<C>& p, const From* from, To* to) {
  for (size_t i = 0; i + 1 < p.runs.size(); ++i) {
    const auto o = static_cast<size_t>(p.runs[i]);
    C sum = 0;
    for (auto k = static_cast<size_t>(p.first[o]); k < static_cast<size_t>(p.first[o + 1]); ++k) {
      sum += p.weight[k] * static_cast<C>(from[p.pixel[k]]);
    }
    std::fill(to + p.runs[i], to + p.runs[i + 1], static_cast<To>(sum));
  }
}

template <class C, class From, class To>
void along_last(const Pass<C>& p, const From* x, To* y) {
  if (!p.runs.empty()) {
    const auto work = static_cast<double>(p.out) / 8 + 4 * static_cast<double>(p.runs.size());
    parallel_for(0, p.outer, grain_for(0.3 * work), [&](int64_t begin, int64_t end) {
      for (; begin < end; ++begin) fill_runs(p, x + begin * p.in, y + begin * p.out);
    });
    return;
  }

  constexpr int64_t kRows = 8;
  const auto work = static_cast<double>(static_cast<int64_t>(p.pixel.size()) + p.out);
  parallel_for(0, p.outer, grain_for(0.3 * work), [&](int64_t begin, int64_t end) {
    for (; begin + kRows <= end; begin += kRows) {
      sum_rows<kRows>(p, x + begin * p.in, y + begin * p.out);
    }
    for (; begin < end; ++begin) sum_rows<1>(p, x + begin * p.in, y + begin * p.out);
  });
}

template <class C, class From, class To>
void along_inner(const Pass<C>& p, const From* x, To* y) {
  constexpr int64_t kBlock = 256;
  const double taps = static_cast<double>(p.pixel.size()) / static_cast<double>(p.out) + 1;
  const int64_t grain = grain_for(0.25 * taps * static_cast<double>(p.inner));
  parallel_for(0, p.outer * p.out, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const From* from = x + task / p.out * p.in * p.inner;
      To* to = y + task * p.inner;
      const auto first = static_cast<size_t>(p.first[static_cast<size_t>(task % p.out)]);
      const auto last = static_cast<size_t>(p.first[static_cast<size_t>(task % p.out) + 1]);
      for (int64_t at = 0; at < p.inner; at += kBlock) {
        const int64_t n = std::min(kBlock, p.inner - at);
        C sums[kBlock];
        std::fill_n(sums, n, C(0));
        for (size_t k = first; k < last; ++k) {
          const From* line = from + p.pixel[k] * p.inner + at;
          const C w = p.weight[k];
          for (int64_t i = 0; i < n; ++i) sums[i] += w * static_cast<C>(line[i]);
        }
        for (int64_t i = 0; i < n; ++i) to[at + i] = static_cast<To>(sums[i]);
      }
    }
  });
}

// Each line of the result is one of the input.
template <class C>
bool copies_lines(const Pass<C>& p) {
  return static_cast<int64_t>(p.pixel.size()) == p.out &&
         std::all_of(p.weight.begin(), p.weight.end(), [](C w) { return w == 1; });
}

template <class T>
void copy_lines(const T* x, T* y, const std::vector<int32_t>& pixel, int64_t outer, int64_t in,
                int64_t inner) {
  const auto out = static_cast<int64_t>(pixel.size());
  parallel_for(0, outer * out, grain_for(5 + 0.1 * static_cast<double>(inner)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t task = begin; task < end; ++task) {
                   const T* from =
                       x + (task / out * in + pixel[static_cast<size_t>(task % out)]) * inner;
                   std::memcpy(y + task * inner, from, sizeof(T) * static_cast<size_t>(inner));
                 }
               });
}

// Vector kernels for lines of f32 and bf16; false where there is none.
template <class C, class From, class To>
bool run_vectors(const Pass<C>& p, const void* x, void* y) {
  constexpr bool kFromBf16 = std::is_same_v<From, BFloat16>, kToBf16 = std::is_same_v<To, BFloat16>;
  if constexpr ((kFromBf16 || std::is_same_v<From, float>)&&(kToBf16 ||
                                                             std::is_same_v<To, float>)) {
    if (isa() == Isa::kBaseline || p.inner < 4) return false;
    const ResampleFn kernel = RUTILE_CHOOSE_ISA(resample_kernel, kFromBf16, kToBf16);
    const ResampleLines a{p.in,           p.out,           p.inner, p.first.data(),
                          p.pixel.data(), p.weight.data(), x,       y};
    const double taps = static_cast<double>(p.pixel.size()) / static_cast<double>(p.out) + 1;
    parallel_for(0, p.outer * p.out, grain_for(5 + 0.06 * taps * static_cast<double>(p.inner)),
                 [&](int64_t begin, int64_t end) { kernel(a, begin, end); });
    return true;
  }
  return false;
}

template <class C, class From, class To>
void run_pass(const Pass<C>& p, const void* x, void* y) {
  if constexpr (std::is_same_v<From, To>) {
    if (p.inner > 1 && p.copies) {
      copy_lines(static_cast<const From*>(x), static_cast<To*>(y), p.pixel, p.outer, p.in, p.inner);
      return;
    }
  }
  if (p.inner == 1) {
    along_last(p, static_cast<const From*>(x), static_cast<To*>(y));
  } else if (!run_vectors<C, From, To>(p, x, y)) {
    along_inner(p, static_cast<const From*>(x), static_cast<To*>(y));
  }
}

// Between passes values stay in C.
template <class T, class C>
Status run(const Plan& base, const KernelArgs& args) {
  const auto& plan = static_cast<const ResamplePlan<C>&>(base);
  const size_t n = plan.passes.size();
  if (n == 0) {
    std::memcpy(args.out[0], args.in[0], plan.copied);
    return Status();
  }
  char* buffers = static_cast<char*>(args.workspace);
  const void* from = args.in[0];
  for (size_t i = 0; i < n; ++i) {
    const bool first = i == 0, last = i + 1 == n;
    void* to = last ? args.out[0] : buffers + (i % 2 ? plan.second : 0);
    const Pass<C>& pass = plan.passes[i];
    if (first && last) {
      run_pass<C, T, T>(pass, from, to);
    } else if (first) {
      run_pass<C, T, C>(pass, from, to);
    } else if (last) {
      run_pass<C, C, T>(pass, from, to);
    } else {
      run_pass<C, C, C>(pass, from, to);
    }
    from = to;
  }
  return Status();
}

bool supports(const CallMeta& call, Reason* reason) {
  if (call.in(0).numel() == 0) return refuse(reason, "is empty");
  return placed_alike(call, resampled_dims(call), reason);
}

template <class T, class C>
void fill(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = call.in(0);
  const std::vector<AxisTaps> axes = axis_taps(call);
  const int spatial = static_cast<int>(axes.size()), rank = x.rank();
  const bool last = !(x.is_contiguous() && call.out().is_contiguous());  // channels-last
  // Sizes in the order of memory, and where the spatial ones stand in it.
  Dims sizes;
  for (int i = 0; i < rank; ++i) {
    if (!(last && i == 1)) sizes.push_back(x.dim(i));
  }
  if (last) sizes.push_back(x.dim(1));
  const int where = last ? 1 : rank - spatial;
  std::vector<int> order;
  for (int i = 0; i < spatial; ++i) {
    if (!axes[static_cast<size_t>(i)].is_identity()) order.push_back(i);
  }
  const auto growth = [&](int i) {
    const AxisTaps& t = axes[static_cast<size_t>(i)];
    return static_cast<double>(t.out) / static_cast<double>(t.in);
  };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return growth(a) < growth(b); });
  auto p = std::make_unique<ResamplePlan<C>>();
  size_t buffers[2] = {0, 0};
  for (size_t n = 0; n < order.size(); ++n) {
    const AxisTaps& t = axes[static_cast<size_t>(order[n])];
    const int axis = where + order[n];
    Pass<C> pass;
    pass.outer = product(sizes, 0, axis);
    pass.inner = product(sizes, axis + 1, rank);
    pass.in = t.in;
    pass.out = t.out;
    pass.first = t.first;
    pass.pixel = t.pixel;
    for (const double w : t.weight) pass.weight.push_back(static_cast<C>(w));
    pass.copies = copies_lines(pass);
    find_runs(&pass);
    sizes[axis] = t.out;
    p->passes.push_back(std::move(pass));
    if (n + 1 < order.size()) {
      buffers[n % 2] = std::max(buffers[n % 2], sizeof(C) * static_cast<size_t>(sizes.numel()));
    }
  }
  p->copied = static_cast<size_t>(x.nbytes());
  p->second = (buffers[0] + 63) / 64 * 64;
  p->workspace_bytes = p->second + buffers[1];
  p->run = run<T, C>;
  *plan = std::move(p);
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  dispatch_float(call.in(0).dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    fill<T, Acc<T>>(call, plan);
  });
  return Status();
}

}  // namespace

void register_resample_cpu() {
  for (const OpDef* op :
       {&ops::kInterpolate, &ops::kInterpolateGrad, &ops::kAvgPool3d, &ops::kAvgPool3dGrad}) {
    register_kernel({.op = op, .name = "resample", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
