// SPDX-License-Identifier: Apache-2.0
// Row-major images and columns, a line of windows at a time.
#include <algorithm>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/columns.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {

namespace {

struct ColumnPlan : Plan {
  ColumnShape s;
  int threads = 1;
};

// The windows whose tap kw lies on a pixel.
void inside(const ColumnShape& s, int64_t kw, int64_t* begin, int64_t* end) {
  const int64_t shift = kw * s.dilation.w - s.pad.w;  // pixel of window 0
  *begin = shift >= 0 ? 0 : std::min(s.ow, (-shift + s.stride.w - 1) / s.stride.w);
  *end = shift >= s.w ? 0 : std::min(s.ow, (s.w - 1 - shift) / s.stride.w + 1);
  *end = std::max(*begin, *end);
}

// T: the type's bits; nothing is computed.
template <class T>
Status run_unfold(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const ColumnPlan&>(base);
  const ColumnShape& s = p.s;
  const int64_t lines = s.taps() * s.oh;
  parallel_for(0, s.planes * lines, grain_for(0.3 * static_cast<double>(s.ow) + 5),
               [&](int64_t first, int64_t last) {
                 for (int64_t line = first; line < last; ++line) {
                   const int64_t i = line % s.oh, tap = line / s.oh % s.taps();
                   const int64_t kh = tap / s.kernel.w, kw = tap % s.kernel.w;
                   T* to = static_cast<T*>(args.out[0]) + line * s.ow;
                   const int64_t row = i * s.stride.h - s.pad.h + kh * s.dilation.h;
                   int64_t begin = 0, end = 0;
                   if (row >= 0 && row < s.h) inside(s, kw, &begin, &end);
                   std::memset(to, 0, sizeof(T) * static_cast<size_t>(begin));
                   const int64_t shift = kw * s.dilation.w - s.pad.w;
                   const T* from =
                       static_cast<const T*>(args.in[0]) + (line / lines * s.h + row) * s.w + shift;
                   for (int64_t j = begin; j < end; ++j) to[j] = from[j * s.stride.w];
                   std::memset(to + end, 0, sizeof(T) * static_cast<size_t>(s.ow - end));
                 }
               });
  return Status();
}

// S: in which columns are added, in the workspace where it is not T.
template <class T, class S>
Status run_fold(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const ColumnPlan&>(base);
  const ColumnShape& s = p.s;
  const int64_t pixels = s.h * s.w;
  parallel_for(0, p.threads, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      for (int64_t plane = s.planes * t / p.threads; plane < s.planes * (t + 1) / p.threads;
           ++plane) {
        T* image = static_cast<T*>(args.out[0]) + plane * pixels;
        S* sums = reinterpret_cast<S*>(image);
        if constexpr (!std::is_same_v<T, S>) sums = static_cast<S*>(args.workspace) + t * pixels;
        std::fill_n(sums, pixels, S(0));
        const T* from = static_cast<const T*>(args.in[0]) + plane * s.taps() * s.oh * s.ow;
        for (int64_t tap = 0; tap < s.taps(); ++tap) {
          const int64_t kh = tap / s.kernel.w, kw = tap % s.kernel.w;
          int64_t begin = 0, end = 0;
          inside(s, kw, &begin, &end);
          const int64_t shift = kw * s.dilation.w - s.pad.w;
          for (int64_t i = 0; i < s.oh; ++i, from += s.ow) {
            const int64_t row = i * s.stride.h - s.pad.h + kh * s.dilation.h;
            if (row < 0 || row >= s.h) continue;
            S* to = sums + row * s.w + shift;
            for (int64_t j = begin; j < end; ++j) to[j * s.stride.w] += static_cast<S>(from[j]);
          }
        }
        if constexpr (!std::is_same_v<T, S>) {
          for (int64_t i = 0; i < pixels; ++i) image[i] = static_cast<T>(sums[i]);
        }
      }
    }
  });
  return Status();
}

bool supports(const CallMeta& call, Reason* reason) {
  if (call.in(0).is_contiguous() && call.in(0).numel() > 0 && call.out().numel() > 0) return true;
  return refuse(reason, "takes row-major tensors with elements");
}

Status prepare_unfold(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ColumnPlan>();
  p->s = ColumnShape::of(call);
  p->run = dispatch_size(call.in(0).dtype,
                         [](auto t) -> RunFn { return run_unfold<typename decltype(t)::type>; });
  *plan = std::move(p);
  return Status();
}

Status prepare_fold(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ColumnPlan>();
  p->s = ColumnShape::of(call);
  const DType t = call.in(0).dtype;
  p->threads = static_cast<int>(
      std::min<int64_t>(p->s.planes, threads_for(0.5 * static_cast<double>(call.in(0).numel()))));
  if (is_low_precision(t)) {
    p->workspace_bytes = sizeof(float) * static_cast<size_t>(p->s.h * p->s.w * p->threads);
  }
  p->run = dispatch_float(t, [](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    return run_fold<T, Acc<T>>;
  });
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_unfold_cpu() {
  register_kernel(
      {.op = &ops::kUnfold, .name = "im2col", .supports = supports, .prepare = prepare_unfold});
  register_kernel(
      {.op = &ops::kFold, .name = "col2im", .supports = supports, .prepare = prepare_fold});
}

}  // namespace rutile::kernels
