// SPDX-License-Identifier: Apache-2.0
// One bin, channel and sample at a time.
#include "rutile/ops/roi_align.h"

#include <vector>

#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/roi_samples.h"

namespace rutile::kernels {
namespace {

// Calls f(box, image, channel, bin y, bin x, pixel y, pixel x, weight) for all that counts.
template <class A, class F>
Status for_each_pixel(const A& a, const Elements& boxes, const Elements& images, const Shape& x,
                      int64_t rows, int64_t cols, F&& f) {
  for (int64_t k = 0; k < boxes.meta().dim(0); ++k) {
    const int64_t image = images.int_at({k});
    if (image < 0 || image >= x[0]) {
      return index_error(
          cat("image ", image, " of box ", k, " is out of range: expects 0 to ", x[0] - 1));
    }
    const RoiSide y =
        roi_side(boxes.at({k, 1}), boxes.at({k, 3}), rows, a.scale, a.sampling_ratio, a.aligned);
    const RoiSide w =
        roi_side(boxes.at({k, 0}), boxes.at({k, 2}), cols, a.scale, a.sampling_ratio, a.aligned);
    if (y.samples == 0 || w.samples == 0) continue;
    const double all = static_cast<double>(y.samples) * static_cast<double>(w.samples);
    for (int64_t c = 0; c < x[1]; ++c) {
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < cols; ++j) {
          const RoiRange down = roi_range(y, i, x[2]), across = roi_range(w, j, x[3]);
          for (int64_t s = down.begin; s < down.end; ++s) {
            const RoiPair v = roi_pair(y.at(i, s), x[2]);
            for (int64_t r = across.begin; r < across.end; ++r) {
              const RoiPair h = roi_pair(w.at(j, r), x[3]);
              for (int p = 0; p < 4; ++p) {
                f(Dims{k, c, i, j}, Dims{image, c, v.pixel[p / 2], h.pixel[p % 2]},
                  v.weight[p / 2] * h.weight[p % 2] / all);
              }
            }
          }
        }
      }
    }
  }
  return Status();
}

Status run_align(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements x = input(p, args, 0), y = output(p, args);
  const Shape& out = p.out[0].shape;
  std::vector<double> sums(static_cast<size_t>(out.numel()), 0.0);
  const auto at = [&](const Dims& d) {
    return ((d[0] * out[1] + d[1]) * out[2] + d[2]) * out[3] + d[3];
  };
  RUTILE_RETURN_IF_ERROR(for_each_pixel(
      p.as<ops::RoiAlignAttrs>(), input(p, args, 1), input(p, args, 2), p.in[0].shape, out[2],
      out[3], [&](const Dims& to, const Dims& from, double weight) {
        if (weight != 0) sums[static_cast<size_t>(at(to))] += weight * x.at(from);
      }));
  for (Walk w(out, contiguous_strides(out)); !w.done(); w.next()) {
    y.set(w.index(), sums[static_cast<size_t>(at(w.index()))]);
  }
  return Status();
}

Status run_grad(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements dy = input(p, args, 0), dx = output(p, args);
  const Shape& in = p.out[0].shape;
  std::vector<double> sums(static_cast<size_t>(in.numel()), 0.0);
  const auto at = [&](const Dims& d) {
    return ((d[0] * in[1] + d[1]) * in[2] + d[2]) * in[3] + d[3];
  };
  RUTILE_RETURN_IF_ERROR(for_each_pixel(
      p.as<ops::RoiAlignGradAttrs>(), input(p, args, 1), input(p, args, 2), in, p.in[0].dim(2),
      p.in[0].dim(3), [&](const Dims& from, const Dims& to, double weight) {
        if (weight != 0) sums[static_cast<size_t>(at(to))] += weight * dy.at(from);
      }));
  for (Walk w(in, contiguous_strides(in)); !w.done(); w.next()) {
    dx.set(w.index(), sums[static_cast<size_t>(at(w.index()))]);
  }
  return Status();
}

}  // namespace

void register_roi_align_ref() {
  register_kernel(ref_row<run_align>(ops::kRoiAlign));
  register_kernel(ref_row<run_grad>(ops::kRoiAlignGrad));
}

}  // namespace rutile::kernels
