// SPDX-License-Identifier: Apache-2.0
// A sample's pixels and weights are found once for a block of channels. Forward shares the boxes
// out among the threads, backward the channels: no two write one pixel.
#include <algorithm>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/roi_samples.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/roi_align.h"

namespace rutile::kernels {
namespace {

constexpr int64_t kChannels = 128;  // of a block

struct RoiPlan : Plan {
  int64_t boxes = 0, n = 0, c = 0, h = 0, w = 0, rows = 0, cols = 0;
  Strides x, y, box;  // of the picture (x or dx), the regions (y or dy), the boxes
  int64_t image_step = 1;
  bool wide_boxes = false, wide_images = false, aligned = true;
  double scale = 1, ns = 1;
  int64_t ratio = 0;
};

struct Regions {
  const RoiPlan& p;
  const void *boxes, *images;
  int64_t image(int64_t k) const {
    return p.wide_images ? static_cast<const int64_t*>(images)[k * p.image_step]
                         : static_cast<const int32_t*>(images)[k * p.image_step];
  }
  double edge(int64_t k, int i) const {
    const int64_t at = k * p.box[0] + i * p.box[1];
    return p.wide_boxes ? static_cast<const double*>(boxes)[at]
                        : static_cast<const float*>(boxes)[at];
  }
  RoiSide side(int64_t k, bool vertical) const {
    return roi_side(edge(k, vertical), edge(k, 2 + vertical), vertical ? p.rows : p.cols, p.scale,
                    p.ratio, p.aligned);
  }
  Status check() const {
    for (int64_t k = 0; k < p.boxes; ++k) {
      if (image(k) >= 0 && image(k) < p.n) continue;
      return index_error(
          cat("image ", image(k), " of box ", k, " is out of range: expects 0 to ", p.n - 1));
    }
    return Status();
  }
};

// Calls f(offset of the pixel in its image's channel, weight) for what a bin is made of.
template <class F>
void for_bin(const RoiPlan& p, const RoiSide& y, const RoiSide& x, int64_t i, int64_t j, F&& f) {
  if (y.samples == 0 || x.samples == 0) return;
  const double each = 1 / (static_cast<double>(y.samples) * static_cast<double>(x.samples));
  const RoiRange rows = roi_range(y, i, p.h), columns = roi_range(x, j, p.w);
  for (int64_t a = rows.begin; a < rows.end; ++a) {
    const RoiPair v = roi_pair(y.at(i, a), p.h);
    if (v.weight[0] == 0 && v.weight[1] == 0) continue;
    for (int64_t b = columns.begin; b < columns.end; ++b) {
      const RoiPair u = roi_pair(x.at(j, b), p.w);
      for (int q = 0; q < 4; ++q) {
        const double weight = v.weight[q / 2] * u.weight[q % 2] * each;
        if (weight != 0) f(v.pixel[q / 2] * p.x[2] + u.pixel[q % 2] * p.x[3], weight);
      }
    }
  }
}

template <class T>
Status run_align(const Plan& plan, const KernelArgs& args) {
  using R = Acc<T>;
  const auto& p = static_cast<const RoiPlan&>(plan);
  const Regions r{p, args.in[1], args.in[2]};
  RUTILE_RETURN_IF_ERROR(r.check());
  const T* x = static_cast<const T*>(args.in[0]);
  T* y = static_cast<T*>(args.out[0]);
  parallel_for(0, p.boxes, grain_for(p.ns), [&](int64_t begin, int64_t end) {
    R sums[kChannels];
    for (int64_t k = begin; k < end; ++k) {
      const RoiSide v = r.side(k, true), u = r.side(k, false);
      for (int64_t c = 0; c < p.c; c += kChannels) {
        const int64_t count = std::min(kChannels, p.c - c);
        const T* from = x + r.image(k) * p.x[0] + c * p.x[1];
        for (int64_t bin = 0; bin < p.rows * p.cols; ++bin) {
          std::fill_n(sums, count, R(0));
          for_bin(p, v, u, bin / p.cols, bin % p.cols, [&](int64_t at, double weight) {
            const R share = static_cast<R>(weight);
            const T* pixel = from + at;
            for (int64_t i = 0; i < count; ++i) sums[i] += share * convert<R>(pixel[i * p.x[1]]);
          });
          T* to = y + k * p.y[0] + c * p.y[1] + bin / p.cols * p.y[2] + bin % p.cols * p.y[3];
          for (int64_t i = 0; i < count; ++i) to[i * p.y[1]] = convert<T>(sums[i]);
        }
      }
    }
  });
  return Status();
}

template <class T>
Status run_grad(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const RoiPlan&>(plan);
  const Regions r{p, args.in[1], args.in[2]};
  RUTILE_RETURN_IF_ERROR(r.check());
  const T* dy = static_cast<const T*>(args.in[0]);
  T* dx = static_cast<T*>(args.out[0]);
  std::memset(dx, 0, sizeof(T) * static_cast<size_t>(p.n * p.c * p.h * p.w));
  const int64_t least =
      std::max<int64_t>(16, grain_for(p.ns / static_cast<double>(std::max<int64_t>(p.c, 1)) *
                                      static_cast<double>(p.boxes)));
  parallel_for(0, p.c, least, [&](int64_t begin, int64_t end) {
    for (int64_t k = 0; k < p.boxes; ++k) {
      const RoiSide v = r.side(k, true), u = r.side(k, false);
      T* to = dx + r.image(k) * p.x[0] + begin * p.x[1];
      for (int64_t bin = 0; bin < p.rows * p.cols; ++bin) {
        const T* from =
            dy + k * p.y[0] + begin * p.y[1] + bin / p.cols * p.y[2] + bin % p.cols * p.y[3];
        for_bin(p, v, u, bin / p.cols, bin % p.cols, [&](int64_t at, double weight) {
          const T share = static_cast<T>(weight);
          for (int64_t i = 0; i < end - begin; ++i) to[at + i * p.x[1]] += share * from[i * p.y[1]];
        });
      }
    }
  });
  return Status();
}

template <class A>
void plan_regions(const CallMeta& c, const A& a, const TensorMeta& picture,
                  const TensorMeta& regions, RoiPlan* p) {
  p->boxes = regions.dim(0);
  p->n = picture.dim(0);
  p->c = picture.dim(1);
  p->h = picture.dim(2);
  p->w = picture.dim(3);
  p->rows = regions.dim(2);
  p->cols = regions.dim(3);
  p->x = picture.strides;
  p->y = regions.strides;
  p->box = c.in(1).strides;
  p->image_step = c.in(2).strides[0];
  p->wide_boxes = c.in(1).dtype == DType::kF64;
  p->wide_images = c.in(2).dtype == DType::kI64;
  p->scale = a.scale;
  p->ratio = a.sampling_ratio;
  p->aligned = a.aligned;
  const double side = static_cast<double>(a.sampling_ratio > 0 ? a.sampling_ratio : 2);
  p->ns = 20 + 2.0 * side * side * static_cast<double>(p->c * p->rows * p->cols);
}

Status prepare_align(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<RoiPlan>();
  plan_regions(c, c.as<ops::RoiAlignAttrs>(), c.in(0), c.out(), p.get());
  p->run = dispatch_float(c.in(0).dtype,
                          [](auto t) -> RunFn { return run_align<typename decltype(t)::type>; });
  *plan = std::move(p);
  return Status();
}
Status prepare_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<RoiPlan>();
  plan_regions(c, c.as<ops::RoiAlignGradAttrs>(), c.out(), c.in(0), p.get());
  p->run = c.out().dtype == DType::kF64 ? run_grad<double> : run_grad<float>;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_roi_align_cpu() {
  register_kernel({.op = &ops::kRoiAlign, .name = "channels", .prepare = prepare_align});
  register_kernel({.op = &ops::kRoiAlignGrad, .name = "channels", .prepare = prepare_grad});
}

}  // namespace rutile::kernels
