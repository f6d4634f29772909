// SPDX-License-Identifier: Apache-2.0
// Rows of roi_align and its gradient.
#include "rutile/kernels/cuda/regions.h"

#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/roi_align.h"

namespace rutile::cuda {
namespace {

template <class A>
std::unique_ptr<KernelPlan<RegionArgs>> region_plan(const CallMeta& c, const A& attrs,
                                                    const TensorMeta& image,
                                                    const TensorMeta& regions,
                                                    int (*launch)(const RegionArgs&, Stream)) {
  auto p = kernel_plan<RegionArgs>(launch, [](RegionArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->at = k.in[1];
    a->index = k.in[2];
    a->y = k.out[0];
    a->fault = fault_slot(k.stream);
  });
  RegionArgs& a = p->args;
  a.images = image.dim(0);
  a.channels = image.dim(1);
  a.h = image.dim(2);
  a.w = image.dim(3);
  a.boxes = regions.dim(0);
  a.rows = regions.dim(2);
  a.columns = regions.dim(3);
  for (int d = 0; d < 4; ++d) {
    a.image[d] = image.strides[d];
    a.region[d] = regions.strides[d];
  }
  const TensorMeta &boxes = c.in(1), &index = c.in(2);
  a.box[0] = boxes.strides[0];
  a.box[1] = boxes.strides[1];
  a.image_step = index.strides[0];
  a.type = image.dtype;
  a.box_type = boxes.dtype;
  a.index_type = index.dtype;
  a.scale = attrs.scale;
  a.ratio = attrs.sampling_ratio;
  a.aligned = attrs.aligned;
  return p;
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  *plan = region_plan(c, c.as<ops::RoiAlignAttrs>(), c.in(0), c.out(), launch_regions);
  return Status();
}
Status prepare_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  *plan = region_plan(c, c.as<ops::RoiAlignGradAttrs>(), c.out(), c.in(0), launch_regions_grad);
  return Status();
}
bool supports_grad(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (c.in(0).dtype == c.out().dtype) return true;
  reason->text = "takes a gradient of the image's type";
  return false;
}

}  // namespace

void register_regions() {
  add_row(ops::kRoiAlign, "bins", prepare);
  add_row(ops::kRoiAlignGrad, "pixels", prepare_grad, supports_grad);
}

}  // namespace rutile::cuda
