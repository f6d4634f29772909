// SPDX-License-Identifier: Apache-2.0
// Maximum pooling over any windows with the maxima's positions, and ops that read and write by
// them.
#include <algorithm>
#include <atomic>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/axis_taps.h"
#include "rutile/kernels/channel_walk.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/cpu/resample.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/extremes.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/adaptive_pool.h"
#include "rutile/ops/pool3d.h"
#include "rutile/ops/unpool.h"

namespace rutile::kernels {

namespace {

// Half types compare as float.
template <class T>
using Compared = std::conditional_t<std::is_integral_v<T> || std::is_same_v<T, double>, T, float>;

// ---- Maxima ----

struct MaxPlan : Plan {
  ChannelWalk walk;
  AxisTaps axes[3];  // depth, height, width; one pixel where there is no such dimension
  int64_t in_pixels = 0, out_pixels = 0;
  double ns_per_line = 0;
  MaxWindowFn vectors = nullptr;
};

// The largest of each channel in a window. Taps are pixels along depth, height and width.
template <class T>
void max_window(const MaxPlan& p, const T* x, int64_t count, const int64_t (*range)[2], T* y,
                int32_t* at) {
  using C = Compared<T>;
  C best[ChannelWalk::kMost];
  int32_t where[ChannelWalk::kMost];
  for (int64_t c = 0; c < count; ++c) {
    best[c] = static_cast<C>(smallest<T>());
    where[c] = -1;
  }
  const int32_t *depths = p.axes[0].pixel.data(), *rows = p.axes[1].pixel.data(),
                *columns = p.axes[2].pixel.data();
  for (int64_t i = range[0][0]; i < range[0][1]; ++i) {
    for (int64_t j = range[1][0]; j < range[1][1]; ++j) {
      const int64_t line = (depths[i] * p.axes[1].in + rows[j]) * p.axes[2].in;
      for (int64_t k = range[2][0]; k < range[2][1]; ++k) {
        const int64_t pixel = line + columns[k];
        const T* from = x + pixel * p.walk.channels;
        for (int64_t c = 0; c < count; ++c) {
          const C v = static_cast<C>(from[c]);
          if (v > best[c] || where[c] < 0 || is_nan(v)) {
            best[c] = v;
            where[c] = static_cast<int32_t>(pixel);
          }
        }
      }
    }
  }
  for (int64_t c = 0; c < count; ++c) {
    y[c] = static_cast<T>(best[c]);
    at[c] = where[c];
  }
}

// One image alone: what a window has is kept in registers.
template <class T>
void max_window1(const MaxPlan& p, const T* x, const int64_t (*range)[2], T* y, int32_t* at) {
  using C = Compared<T>;
  const int32_t *depths = p.axes[0].pixel.data(), *rows = p.axes[1].pixel.data(),
                *columns = p.axes[2].pixel.data();
  C best = static_cast<C>(smallest<T>());
  int64_t where = -1;
  for (int64_t i = range[0][0]; i < range[0][1]; ++i) {
    for (int64_t j = range[1][0]; j < range[1][1]; ++j) {
      const int64_t line = (depths[i] * p.axes[1].in + rows[j]) * p.axes[2].in;
      for (int64_t k = range[2][0]; k < range[2][1]; ++k) {
        const int64_t pixel = line + columns[k];
        const C v = static_cast<C>(x[pixel]);
        const bool beats = (v > best) | is_nan(v) | (where < 0);
        best = beats ? v : best;
        where = beats ? pixel : where;
      }
    }
  }
  *y = static_cast<T>(best);
  *at = static_cast<int32_t>(where);
}

// Sixteen channels of f32 or bf16 at once.
void max_window16(const MaxPlan& p, const void* x, const int64_t (*range)[2], void* y,
                  int32_t* at) {
  const MaxWindow w{p.axes[0].pixel.data() + range[0][0],
                    p.axes[1].pixel.data() + range[1][0],
                    p.axes[2].pixel.data() + range[2][0],
                    range[0][1] - range[0][0],
                    range[1][1] - range[1][0],
                    range[2][1] - range[2][0],
                    p.axes[1].in,
                    p.axes[2].in,
                    p.walk.channels};
  p.vectors(w, x, y, at);
}

template <class T>
Status run_max(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const MaxPlan&>(base);
  const int64_t rows = p.axes[1].out, columns = p.axes[2].out;
  const int64_t lines = p.axes[0].out * rows;  // of the result, per task
  const int64_t grain = grain_for(p.ns_per_line);
  parallel_for(0, p.walk.tasks() * lines, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t task = item / lines, line = item % lines, count = p.walk.count(task);
      const T* x = static_cast<const T*>(args.in[0]) + p.walk.offset(task, p.in_pixels);
      const int64_t to = p.walk.offset(task, p.out_pixels);
      const auto range = [](const AxisTaps& t, int64_t o, int64_t* r) {
        r[0] = t.first[static_cast<size_t>(o)];
        r[1] = t.first[static_cast<size_t>(o) + 1];
      };
      int64_t window[3][2];
      range(p.axes[0], line / rows, window[0]);
      range(p.axes[1], line % rows, window[1]);
      for (int64_t o = 0; o < columns; ++o) {
        range(p.axes[2], o, window[2]);
        const int64_t at = to + (line * columns + o) * p.walk.channels;
        T* y = static_cast<T*>(args.out[0]) + at;
        int32_t* indices = static_cast<int32_t*>(args.out[1]) + at;
        if (p.vectors && count == ChannelWalk::kMost) {
          max_window16(p, x, window, y, indices);
        } else if (p.walk.channels == 1) {
          max_window1(p, x, window, y, indices);
        } else {
          max_window(p, x, count, window, y, indices);
        }
      }
    }
  });
  return Status();
}

bool supports(const CallMeta& call, Reason* reason) {
  if (call.in(0).numel() == 0) return refuse(reason, "is empty");
  return placed_alike(call, window_dims(call.op), reason);
}

Status prepare_max(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<MaxPlan>();
  std::vector<AxisTaps> taps = window_taps(call);
  p->walk = ChannelWalk::of(call, static_cast<int>(taps.size()));
  AxisTaps one;
  one.in = one.out = 1;
  one.add(0, 1);
  one.close();
  while (taps.size() < 3) taps.insert(taps.begin(), one);
  p->in_pixels = p->out_pixels = 1;
  for (size_t i = 0; i < 3; ++i) {
    p->in_pixels *= taps[i].in;
    p->out_pixels *= taps[i].out;
    p->axes[i] = std::move(taps[i]);
  }
  // Windows of a line of the result, all their taps together.
  double window_taps = static_cast<double>(p->axes[2].pixel.size());
  for (const AxisTaps* t : {&p->axes[0], &p->axes[1]}) {
    window_taps *= static_cast<double>(t->pixel.size()) / static_cast<double>(t->out);
  }
  p->ns_per_line = window_taps * static_cast<double>(p->walk.count(0));
  const DType t = call.in(0).dtype;
  if (isa() != Isa::kBaseline && (t == DType::kF32 || t == DType::kBF16)) {
    p->vectors = RUTILE_CHOOSE_ISA(max_window_kernel, t == DType::kBF16);
  }
  const auto pick = [](auto id) -> RunFn { return run_max<typename decltype(id)::type>; };
  p->run = is_floating(t) ? dispatch_float(t, pick) : dispatch_int(t, pick);
  *plan = std::move(p);
  return Status();
}

// ---- By position ----

int index_dims(const CallMeta& call) {
  if (call.op == &ops::kPoolScatter) return call.as<ops::PoolScatterAttrs>().size.rank();
  return static_cast<int>(call.as<ops::PoolGatherAttrs>().spatial);
}

struct IndexPlan : Plan {
  ChannelWalk walk;
  int64_t image_pixels = 0, index_pixels = 0;
  bool add = false;
  int64_t sums = 0;  // per thread in the workspace, of wider type than the result; 0: none
  int threads = 1;

  // -1 stands for no place.
  bool refuses(int64_t at, int64_t* bad) const {
    if (at >= -1 && at < image_pixels) return false;
    *bad = at;
    return true;
  }
};

Status out_of_range(int64_t index, int64_t pixels) {
  return Status(ErrorCode::kIndex, cat("index ", index, " is out of range [0, ", pixels, ")"));
}

// Runs body(task, thread) for all tasks; the body gives false, and the index, when one is wrong.
template <class F>
Status for_tasks(const IndexPlan& p, F body) {
  std::atomic<bool> failed{false};
  std::atomic<int64_t> bad{0};
  parallel_for(0, p.threads, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t begin = p.walk.tasks() * t / p.threads;
      const int64_t end = p.walk.tasks() * (t + 1) / p.threads;
      for (int64_t task = begin; task < end; ++task) {
        int64_t index = 0;
        if (!body(task, t, &index) && !failed.exchange(true)) bad = index;
      }
    }
  });
  return failed ? out_of_range(bad, p.image_pixels) : Status();
}

template <class T, class I>
Status run_gather(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const IndexPlan&>(base);
  const int64_t step = p.walk.channels;
  return for_tasks(p, [&](int64_t task, int64_t, int64_t* bad) {
    const T* x = static_cast<const T*>(args.in[0]) + p.walk.offset(task, p.image_pixels);
    const int64_t first = p.walk.offset(task, p.index_pixels), count = p.walk.count(task);
    const I* indices = static_cast<const I*>(args.in[1]) + first;
    T* y = static_cast<T*>(args.out[0]) + first;
    if (step == 1) {
      for (int64_t i = 0; i < p.index_pixels; ++i) {
        const int64_t at = indices[i];
        if (p.refuses(at, bad)) return false;
        y[i] = at < 0 ? T{} : x[at];
      }
      return true;
    }
    for (int64_t i = 0; i < p.index_pixels; ++i) {
      for (int64_t c = 0; c < count; ++c) {
        const int64_t at = indices[i * step + c];
        if (p.refuses(at, bad)) return false;
        y[i * step + c] = at < 0 ? T{} : x[at * step + c];
      }
    }
    return true;
  });
}

// S: in which elements are added.
template <class T, class I, class S>
Status run_scatter(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const IndexPlan&>(base);
  const int64_t step = p.walk.channels;
  return for_tasks(p, [&](int64_t task, int64_t thread, int64_t* bad) {
    const int64_t first = p.walk.offset(task, p.index_pixels), count = p.walk.count(task);
    const T* v = static_cast<const T*>(args.in[0]) + first;
    const I* indices = static_cast<const I*>(args.in[1]) + first;
    T* y = static_cast<T*>(args.out[0]) + p.walk.offset(task, p.image_pixels);
    // Sums of a wider type stand apart, channel by channel.
    constexpr bool kWide = !std::is_same_v<T, S>;
    const int64_t width = kWide ? count : step;
    S* sums = reinterpret_cast<S*>(y);
    if constexpr (kWide) sums = static_cast<S*>(args.workspace) + thread * p.sums;
    if (count == width) {
      std::fill_n(sums, p.image_pixels * width, S(0));
    } else {
      for (int64_t i = 0; i < p.image_pixels; ++i) std::fill_n(sums + i * width, count, S(0));
    }
    for (int64_t i = 0; step == 1 && i < p.index_pixels; ++i) {
      const int64_t at = indices[i];
      if (p.refuses(at, bad)) return false;
      if (at < 0) continue;
      const S from = static_cast<S>(v[i]);
      sums[at] = p.add ? sums[at] + from : from;
    }
    for (int64_t i = 0; step != 1 && i < p.index_pixels; ++i) {
      for (int64_t c = 0; c < count; ++c) {
        const int64_t at = indices[i * step + c];
        if (p.refuses(at, bad)) return false;
        if (at < 0) continue;
        S& to = sums[at * width + c];
        const S from = static_cast<S>(v[i * step + c]);
        to = p.add ? to + from : from;
      }
    }
    for (int64_t i = 0; kWide && i < p.image_pixels; ++i) {
      for (int64_t c = 0; c < count; ++c) y[i * step + c] = static_cast<T>(sums[i * width + c]);
    }
    return true;
  });
}

template <class T>
RunFn pick(bool scatter, bool wide_index) {
  if (!scatter) return wide_index ? run_gather<T, int64_t> : run_gather<T, int32_t>;
  return wide_index ? run_scatter<T, int64_t, Acc<T>> : run_scatter<T, int32_t, Acc<T>>;
}

Status prepare_index(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<IndexPlan>();
  const bool scatter = call.op == &ops::kPoolScatter;
  const int spatial = index_dims(call);
  p->add = scatter && call.as<ops::PoolScatterAttrs>().add;
  p->walk = ChannelWalk::of(call, spatial);
  const TensorMeta& image = scatter ? call.out() : call.in(0);
  const TensorMeta& indices = call.in(1);
  p->image_pixels = product(image.shape, image.rank() - spatial, image.rank());
  p->index_pixels = product(indices.shape, indices.rank() - spatial, indices.rank());
  const int64_t work = image.numel() + indices.numel();
  p->threads =
      static_cast<int>(std::min({int64_t{num_threads()}, p->walk.tasks(), 1 + work / 16384}));
  const DType t = image.dtype;
  if (scatter && is_low_precision(t)) {
    p->sums = p->image_pixels * p->walk.count(0);
    p->workspace_bytes = static_cast<size_t>(p->sums * p->threads) * sizeof(float);
  }
  const bool wide_index = indices.dtype == DType::kI64;
  p->run = dispatch_float(
      t, [&](auto id) -> RunFn { return pick<typename decltype(id)::type>(scatter, wide_index); });
  *plan = std::move(p);
  return Status();
}

bool supports_index(const CallMeta& call, Reason* reason) {
  if (call.in(0).numel() == 0 || call.in(1).numel() == 0) return refuse(reason, "is empty");
  return placed_alike(call, index_dims(call), reason);
}

}  // namespace

void register_pool_index_cpu() {
  for (const OpDef* op : {&ops::kMaxPool3d, &ops::kAdaptiveMaxPool1d, &ops::kAdaptiveMaxPool2d,
                          &ops::kAdaptiveMaxPool3d}) {
    register_kernel(
        {.op = op, .name = "max_windows", .supports = supports, .prepare = prepare_max});
  }
  for (const OpDef* op : {&ops::kPoolScatter, &ops::kPoolGather}) {
    register_kernel(
        {.op = op, .name = "pool_index", .supports = supports_index, .prepare = prepare_index});
  }
}

}  // namespace rutile::kernels
