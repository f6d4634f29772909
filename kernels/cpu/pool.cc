// SPDX-License-Identifier: Apache-2.0
// Rows of the pools: f32 and bf16, row-major, channels-last and channel-blocked.
#include "rutile/kernels/cpu/pool.h"

#include <algorithm>
#include <vector>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/fast_types.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/pool.h"

namespace rutile::kernels {

int64_t pool_line(const PoolShape& s) {
  const PoolWindows& w = s.columns;
  const int64_t vectors = (w.out + 15) / 16 * 16;
  const int64_t reach = vectors * w.stride + (w.kernel - 1) * w.dilation;
  return (std::max({w.pad + w.in, reach, w.out}) + 31) / 16 * 16;
}

namespace {

constexpr double kElementNs = 0.15, kPlaneElementNs = 1;

using namespace rutile::ops;

// What the windows of one axis need to know at run time.
struct AxisTables {
  std::vector<PoolRange> taps, covers;
  std::vector<float> share;
};

struct PoolPlan : Plan {
  PoolShape shape;
  PoolKernels kernels;
  int threads = 1;
  AxisTables rows, columns;
};

enum class Placed { kPlanes, kPixels, kBlocks, kMixed };

// Row-major and channels-last agree for tensors with one channel or one pixel.
bool is_pixels(const TensorMeta& m) {
  return m.is_channels_last() ||
         (m.rank() == 4 && m.is_contiguous() && (m.dim(1) == 1 || m.dim(2) * m.dim(3) == 1));
}

Placed placed(const TensorMeta& a, const TensorMeta* b, const TensorMeta* c) {
  const auto all = [&](auto&& f) { return f(a) && (!b || f(*b)) && (!c || f(*c)); };
  if (a.layout != kStrided) {
    const int block = a.rank() == 4 ? channel_block(a.layout) : 0;
    const bool same = all([&](const TensorMeta& m) { return m.layout == a.layout; });
    return (block == 8 || block == 16) && same ? Placed::kBlocks : Placed::kMixed;
  }
  if (all([](const TensorMeta& m) { return m.is_contiguous(); })) return Placed::kPlanes;
  return all(is_pixels) ? Placed::kPixels : Placed::kMixed;
}

// The tensors of images of a call: all that the op has, dx and dy included.
Placed placement_of_call(const CallMeta& c) {
  const TensorMeta* third = c.outputs.size() > 1 ? &c.out(1)
                            : c.num_inputs() > 1 ? &c.in(1)
                                                 : nullptr;
  return placed(c.in(0), &c.out(), third);
}

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  if (!is_fast_type(x.dtype, reason)) return false;
  if (x.numel() == 0) return refuse(reason, "is empty");
  const int r = x.rank();
  for (const TensorMeta* m : {&x, &c.out()}) {
    if (m->dim(r - 2) * m->dim(r - 1) > INT32_MAX) return refuse(reason, "has too many pixels");
  }
  if (placement_of_call(c) == Placed::kMixed) {
    return refuse(reason,
                  "takes row-major, channels-last and channel-blocked tensors, all placed alike");
  }
  return true;
}

// Images as the kernels see them; `pooled` has the smaller ones.
void describe(const CallMeta& c, const TensorMeta& full, const TensorMeta& pooled, PoolShape* s) {
  const int r = full.rank();
  s->rows.in = full.dim(r - 2);
  s->columns.in = full.dim(r - 1);
  s->rows.out = pooled.dim(r - 2);
  s->columns.out = pooled.dim(r - 1);
  const int64_t batch = r == 4 ? full.dim(0) : 1, channels = full.dim(r - 3);
  switch (placement_of_call(c)) {
    case Placed::kBlocks: {
      const int64_t block = channel_block(full.layout);
      s->blocks = (channels + block - 1) / block;
      s->channels = block;
      s->last_block = channels - (s->blocks - 1) * block;
      s->images = batch * s->blocks;
      break;
    }
    case Placed::kPixels:
      s->images = batch;
      s->channels = s->last_block = channels;
      break;
    default:
      s->images = batch * channels;
      s->channels = s->last_block = 1;
  }
}

// A single window has no stride, a single element no dilation.
void set_windows(int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, PoolWindows* w) {
  w->kernel = kernel;
  w->stride = w->out == 1 ? 1 : stride != 0 ? stride : kernel;
  w->pad = pad;
  w->dilation = kernel == 1 ? 1 : dilation;
}

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

void fill_taps(PoolWindows* w, AxisTables* t) {
  for (int64_t o = 0; o < w->out; ++o) {
    const int64_t start = o * w->stride - w->pad;
    const int64_t begin = start < 0 ? divide_up(-start, w->dilation) : 0;
    const int64_t end =
        std::min(w->kernel, divide_up(std::max<int64_t>(w->in - start, 0), w->dilation));
    t->taps.push_back({static_cast<int32_t>(begin), static_cast<int32_t>(std::max(begin, end))});
  }
  w->taps = t->taps.data();
}

void fill_covers(PoolWindows* w, AxisTables* t) {
  const int64_t reach = (w->kernel - 1) * w->dilation;
  for (int64_t i = 0; i < w->in; ++i) {
    const int64_t from = i + w->pad - reach;
    const int64_t begin = from > 0 ? divide_up(from, w->stride) : 0;
    const int64_t end = std::min(w->out, (i + w->pad) / w->stride + 1);
    t->covers.push_back({static_cast<int32_t>(begin), static_cast<int32_t>(std::max(begin, end))});
  }
  w->covers = t->covers.data();
}

// 1 / the window's extent, cut off behind the padding or behind the data.
void fill_share(PoolWindows* w, bool padded, AxisTables* t) {
  for (int64_t o = 0; o < w->out; ++o) {
    int64_t begin = o * w->stride - w->pad;
    int64_t end = std::min(begin + w->kernel, w->in + w->pad);
    if (!padded) {
      begin = std::max<int64_t>(begin, 0);
      end = std::min(end, w->in);
    }
    t->share.push_back(1.0f / static_cast<float>(end - begin));
  }
  w->share = t->share.data();
}

template <class A>
void fill_shares(const A& a, PoolPlan* p) {
  if (a.divisor_override == 0) {
    fill_share(&p->shape.rows, a.count_include_pad, &p->rows);
    fill_share(&p->shape.columns, a.count_include_pad, &p->columns);
    return;
  }
  p->rows.share.assign(static_cast<size_t>(p->shape.rows.out),
                       1.0f / static_cast<float>(a.divisor_override));
  p->columns.share.assign(static_cast<size_t>(p->shape.columns.out), 1.0f);
  p->shape.rows.share = p->rows.share.data();
  p->shape.columns.share = p->columns.share.data();
}

// Windows from floor(o in / out) to ceil((o + 1) in / out).
void fill_uneven(PoolWindows* w, AxisTables* t) {
  w->stride = w->pad = 0;
  w->kernel = w->dilation = 1;
  t->covers.assign(static_cast<size_t>(w->in), {INT32_MAX, 0});
  for (int64_t o = 0; o < w->out; ++o) {
    const auto begin = static_cast<int32_t>(o * w->in / w->out);
    const auto end = static_cast<int32_t>(divide_up((o + 1) * w->in, w->out));
    t->taps.push_back({begin, end});
    t->share.push_back(1.0f / static_cast<float>(end - begin));
    for (int32_t i = begin; i < end; ++i) {
      PoolRange& r = t->covers[static_cast<size_t>(i)];
      r = {std::min(r.begin, static_cast<int32_t>(o)), static_cast<int32_t>(o + 1)};
    }
  }
  w->taps = t->taps.data();
  w->covers = t->covers.data();
  w->share = t->share.data();
}

Status run_max(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const PoolPlan&>(plan);
  p.kernels.max(p.shape, args.in[0], args.out[0], static_cast<int32_t*>(args.out[1]),
                static_cast<float*>(args.workspace), p.threads);
  return Status();
}

Status run_max_grad(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const PoolPlan&>(plan);
  p.kernels.max_grad(p.shape, args.in[0], static_cast<const int32_t*>(args.in[1]), args.out[0],
                     static_cast<float*>(args.workspace), p.threads);
  return Status();
}

Status run_average(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const PoolPlan&>(plan);
  p.kernels.average(p.shape, args.in[0], args.out[0], static_cast<float*>(args.workspace),
                    p.threads);
  return Status();
}

Status run_average_grad(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const PoolPlan&>(plan);
  p.kernels.average_grad(p.shape, args.in[0], args.out[0], static_cast<float*>(args.workspace),
                         p.threads);
  return Status();
}

Status run_global(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const PoolPlan&>(plan);
  p.kernels.global(p.shape, args.in[0], args.out[0], p.threads);
  return Status();
}

Status run_global_grad(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const PoolPlan&>(plan);
  p.kernels.global_grad(p.shape, args.in[0], args.out[0], p.threads);
  return Status();
}

// True if window `o` has pixel `i` among its elements.
bool has_pixel(const PoolWindows& w, int64_t o, int64_t i) {
  const int64_t inside = i - (o * w.stride - w.pad);
  return inside >= 0 && inside <= (w.kernel - 1) * w.dilation && inside % w.dilation == 0;
}

// T: the type's bits; nothing is computed.
template <class T>
Status run_gather(const Plan& plan, const KernelArgs& args) {
  const PoolShape& s = static_cast<const PoolPlan&>(plan).shape;
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t c = s.channels, line = columns.out * c, pixels = rows.in * columns.in;
  const auto* indices = static_cast<const int32_t*>(args.in[1]);
  const int64_t grain = grain_for(kElementNs * static_cast<double>(line));
  parallel_for(0, s.images * rows.out, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const T* x = static_cast<const T*>(args.in[0]) + task / rows.out * pixels * c;
      T* y = static_cast<T*>(args.out[0]) + task * line;
      for (int64_t at = 0; at < line; ++at) {
        const int64_t index = indices[task * line + at];
        const bool named = index >= 0 && index < pixels &&
                           has_pixel(rows, task % rows.out, index / columns.in) &&
                           has_pixel(columns, at / c, index % columns.in);
        y[at] = named ? x[index * c + at % c] : T{};
      }
    }
  });
  return Status();
}

std::unique_ptr<PoolPlan> new_plan(const CallMeta& c, bool backward) {
  auto p = std::make_unique<PoolPlan>();
  const TensorMeta &x = c.in(0), &y = c.out();
  describe(c, backward ? y : x, backward ? x : y, &p->shape);
  const bool f32 = x.dtype == DType::kF32;
  if (isa() == Isa::kAvx512) {
    p->kernels = f32 ? avx512::pool_f32() : avx512::pool_bf16();
  } else {
    p->kernels = f32 ? avx2::pool_f32() : avx2::pool_bf16();
  }
  return p;
}

// `lines` of workspace per thread, or `pixels` of it, for row-major planes.
void finish(std::unique_ptr<PoolPlan> p, RunFn run, int64_t tasks, int64_t work, int64_t lines,
            bool plane, std::unique_ptr<Plan>* plan) {
  p->threads = static_cast<int>(
      std::min<int64_t>(tasks, threads_for((p->shape.channels == 1 ? kPlaneElementNs : kElementNs) *
                                           static_cast<double>(work))));
  PoolShape& s = p->shape;
  if (s.channels == 1) {
    s.workspace = plane ? (s.rows.in * s.columns.in + 15) / 16 * 16 : lines * pool_line(s);
    p->workspace_bytes = static_cast<size_t>(s.workspace * p->threads) * sizeof(float);
  }
  p->run = run;
  *plan = std::move(p);
}

template <class A>
void windows_of(const A& a, const Int2& dilation, PoolShape* s) {
  set_windows(a.kernel.h, a.stride.h, a.pad.h, dilation.h, &s->rows);
  set_windows(a.kernel.w, a.stride.w, a.pad.w, dilation.w, &s->columns);
}

Status prepare_max(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = new_plan(c, false);
  PoolShape& s = p->shape;
  windows_of(c.as<MaxPool2dAttrs>(), c.as<MaxPool2dAttrs>().dilation, &s);
  fill_taps(&s.rows, &p->rows);
  fill_taps(&s.columns, &p->columns);
  finish(std::move(p), run_max, s.images * s.rows.out, c.in(0).numel(), 2, false, plan);
  return Status();
}

Status prepare_max_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = new_plan(c, true);
  PoolShape& s = p->shape;
  windows_of(c.as<MaxPool2dGradAttrs>(), c.as<MaxPool2dGradAttrs>().dilation, &s);
  fill_covers(&s.rows, &p->rows);
  fill_covers(&s.columns, &p->columns);
  const int64_t tasks = s.channels == 1 ? s.images : s.images * s.rows.in;
  finish(std::move(p), run_max_grad, tasks, c.out().numel(), 0, true, plan);
  return Status();
}

Status prepare_gather(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = new_plan(c, false);
  const auto& a = c.as<MaxPool2dAttrs>();
  windows_of(a, a.dilation, &p->shape);
  p->run = c.in(0).dtype == DType::kF32 ? run_gather<uint32_t> : run_gather<uint16_t>;
  *plan = std::move(p);
  return Status();
}

Status prepare_average(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = new_plan(c, false);
  PoolShape& s = p->shape;
  const auto& a = c.as<AvgPool2dAttrs>();
  windows_of(a, 1, &s);
  fill_taps(&s.rows, &p->rows);
  fill_taps(&s.columns, &p->columns);
  fill_shares(a, p.get());
  finish(std::move(p), run_average, s.images * s.rows.out, c.in(0).numel(), 1, false, plan);
  return Status();
}

Status prepare_average_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = new_plan(c, true);
  PoolShape& s = p->shape;
  const auto& a = c.as<AvgPool2dGradAttrs>();
  windows_of(a, 1, &s);
  fill_covers(&s.rows, &p->rows);
  fill_covers(&s.columns, &p->columns);
  fill_shares(a, p.get());
  finish(std::move(p), run_average_grad, s.images * s.rows.in, c.out().numel(), 2, false, plan);
  return Status();
}

template <bool kBackward>
Status prepare_adaptive(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = new_plan(c, kBackward);
  PoolShape& s = p->shape;
  fill_uneven(&s.rows, &p->rows);
  fill_uneven(&s.columns, &p->columns);
  const int64_t tasks = s.images * (kBackward ? s.rows.in : s.rows.out);
  const int64_t work = (kBackward ? c.out() : c.in(0)).numel();
  finish(std::move(p), kBackward ? run_average_grad : run_average, tasks, work, kBackward ? 2 : 1,
         false, plan);
  return Status();
}

Status prepare_global(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = new_plan(c, false);
  const int64_t images = p->shape.images;
  finish(std::move(p), run_global, images, c.in(0).numel(), 0, false, plan);
  return Status();
}

Status prepare_global_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = new_plan(c, true);
  const int64_t images = p->shape.images;
  finish(std::move(p), run_global_grad, images, c.out().numel(), 0, false, plan);
  return Status();
}

void add_row(const OpDef& op, Status (*prepare)(const CallMeta&, std::unique_ptr<Plan>*)) {
  KernelRow row;
  row.op = &op;
  row.name = "pool_simd";
  row.supports = supports;
  row.prepare = prepare;
  register_kernel(row);
}

}  // namespace

void register_pool_cpu() {
  add_row(kMaxPool2d, prepare_max);
  add_row(kMaxPool2dGrad, prepare_max_grad);
  add_row(kMaxPool2dGather, prepare_gather);
  add_row(kAvgPool2d, prepare_average);
  add_row(kAvgPool2dGrad, prepare_average_grad);
  add_row(kAdaptiveAvgPool2d, prepare_adaptive<false>);
  add_row(kAdaptiveAvgPool2dGrad, prepare_adaptive<true>);
  add_row(kGlobalAvgPool, prepare_global);
  add_row(kGlobalAvgPoolGrad, prepare_global_grad);
}

}  // namespace rutile::kernels
