// SPDX-License-Identifier: Apache-2.0
// group_norm over row-major and channels-last images in f32 and bf16: a task is a group of an
// image.
#include "rutile/kernels/cpu/group_norm.h"

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/channel_walk.h"
#include "rutile/kernels/cpu/fast_types.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/group_norm.h"

namespace rutile::kernels {

namespace {

struct GroupPlan : Plan {
  GroupNormShape s;
  GroupNormKernels kernels;
  double ns_per_task = 0;
  bool by_image = false;  // a task is an image, not a group of one
};

// `x`, then `y` and perhaps `dy`, and the scales.
bool supports(const CallMeta& c, const TensorMeta& x, const TensorMeta* dy, int first_scale,
              Reason* reason) {
  if (!is_fast_type(x.dtype, reason)) return false;
  if (x.numel() == 0) return refuse(reason, "is empty");
  const int spatial = x.rank() - 2;
  const auto all = [&](auto&& f) { return f(x) && f(c.out()) && (!dy || f(*dy)); };
  const bool plain = all([](const TensorMeta& m) { return m.is_contiguous(); });
  if (!plain && !all([&](const TensorMeta& m) { return lies_last(m, spatial); })) {
    return refuse(reason, "takes row-major and channels-last images, all alike");
  }
  for (int i = 2; i < c.num_inputs(); ++i) {
    if (i < first_scale && !c.in(i).is_contiguous()) return refuse(reason, "a statistic has gaps");
  }
  for (int i = first_scale; i < c.num_inputs(); ++i) {
    if (c.has(i) && (c.in(i).dtype != DType::kF32 || !c.in(i).is_contiguous())) {
      return refuse(reason, "takes weight and bias in f32 without gaps");
    }
  }
  return true;
}

bool supports_forward(const CallMeta& c, Reason* reason) {
  return supports(c, c.in(0), nullptr, 1, reason);
}
bool supports_backward(const CallMeta& c, Reason* reason) {
  return supports(c, c.in(1), &c.in(0), 4, reason);
}

Status run_forward(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const GroupPlan&>(base);
  GroupNormArgs a;
  a.x = args.in[0];
  a.weight = static_cast<const float*>(args.in[1]);
  a.bias = static_cast<const float*>(args.in[2]);
  a.y = args.out[0];
  a.mean = static_cast<float*>(args.out[1]);
  a.rstd = static_cast<float*>(args.out[2]);
  if (p.by_image) {
    float* scratch = static_cast<float*>(args.workspace);
    parallel_for(0, p.s.images, grain_for(p.ns_per_task), [&](int64_t begin, int64_t end) {
      p.kernels.forward_images(p.s, a, scratch, begin, end);
    });
    return Status();
  }
  parallel_for(0, p.s.images * p.s.groups, grain_for(p.ns_per_task),
               [&](int64_t begin, int64_t end) { p.kernels.forward(p.s, a, begin, end); });
  return Status();
}

Status run_backward(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const GroupPlan&>(base);
  const int64_t channels = p.s.groups * p.s.channels;
  GroupNormArgs a;
  a.dy = args.in[0];
  a.x = args.in[1];
  a.mean = static_cast<float*>(args.in[2]);
  a.rstd = static_cast<float*>(args.in[3]);
  a.weight = static_cast<const float*>(args.in[4]);
  a.dx = args.out[0];
  a.products = static_cast<float*>(args.workspace);
  a.sums = a.products + p.s.images * channels;
  if (p.by_image) {
    float* scratch = a.sums + p.s.images * channels;
    parallel_for(0, p.s.images, grain_for(p.ns_per_task), [&](int64_t begin, int64_t end) {
      p.kernels.backward_images(p.s, a, scratch, begin, end);
    });
  } else {
    parallel_for(0, p.s.images * p.s.groups, grain_for(p.ns_per_task),
                 [&](int64_t begin, int64_t end) { p.kernels.backward(p.s, a, begin, end); });
  }
  float* dweight = static_cast<float*>(args.out[1]);
  float* dbias = static_cast<float*>(args.out[2]);
  for (int64_t c = 0; c < channels; ++c) {
    double product = 0, sum = 0;
    for (int64_t n = 0; n < p.s.images; ++n) {
      product += static_cast<double>(a.products[n * channels + c]);
      sum += static_cast<double>(a.sums[n * channels + c]);
    }
    dweight[c] = static_cast<float>(product);
    dbias[c] = static_cast<float>(sum);
  }
  return Status();
}

template <bool kBackward>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<GroupPlan>();
  const TensorMeta& x = c.in(kBackward ? 1 : 0);
  const auto& a = c.as<ops::GroupNormAttrs>();
  const bool last =
      !x.is_contiguous() || !c.out().is_contiguous() || (kBackward && !c.in(0).is_contiguous());
  const int64_t channels = x.dim(1), pixels = product(x.shape, 2, x.rank());
  GroupNormShape& s = p->s;
  s.images = x.dim(0);
  s.groups = a.num_groups;
  s.channels = channels / a.num_groups;
  s.eps = a.eps;
  s.image_step = channels * pixels;
  s.line_is_channel = !last;
  s.lines = last ? pixels : s.channels;
  s.width = last ? s.channels : pixels;
  s.step = last ? channels : pixels;
  s.group_step = last ? s.channels : s.channels * pixels;
  p->kernels = RUTILE_CHOOSE_ISA(group_norm_kernels, x.dtype == DType::kBF16);
  // A line costs at least as much as a vector.
  const int64_t vectors = s.lines * ((s.width + 15) / 16);
  p->ns_per_task = (kBackward ? 5 : 3) * static_cast<double>(vectors);
  const size_t of_images = sizeof(float) * static_cast<size_t>(s.images * channels);
  if (kBackward) p->workspace_bytes = 2 * of_images;
  // Few images leave threads without work; groups of whole vectors leave no lanes empty.
  p->by_image = last && s.images >= num_threads() && s.channels % 16 != 0;
  if (p->by_image) {
    p->workspace_bytes += 4 * of_images;
    p->ns_per_task = (kBackward ? 5 : 3) * static_cast<double>(pixels * ((channels + 15) / 16));
  }
  p->run = kBackward ? run_backward : run_forward;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_group_norm_cpu() {
  register_kernel({.op = &ops::kGroupNorm,
                   .name = "group_norm_simd",
                   .supports = supports_forward,
                   .prepare = prepare<false>});
  register_kernel({.op = &ops::kGroupNormGrad,
                   .name = "group_norm_simd",
                   .supports = supports_backward,
                   .prepare = prepare<true>});
}

}  // namespace rutile::kernels
