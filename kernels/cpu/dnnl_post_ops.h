// SPDX-License-Identifier: Apache-2.0
// What ops::kConv2dAct and ops::kLinearAct do behind the product. Included by
// kernels/cpu/dnnl_*.cc.
#pragma once

#include "rutile/kernels/cpu/copy.h"
#include "rutile/kernels/cpu/dnnl_util.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/ops/post_ops.h"

namespace rutile::kernels {

// oneDNN's GELU by erf doubles its argument on the way: what is beyond half the largest number
// becomes infinity and infinity NaN. The op then runs as its composition.
inline bool takes_activation(ops::Activation act, Reason* reason) {
  if (act != ops::Activation::kGelu) return true;
  return refuse(reason, "oneDNN's GELU is not that of large numbers");
}

// The sum with what the result holds already (the residual), then the activation.
dnnl::primitive_attr post_ops_attr(bool residual, ops::Activation act);

// Puts the residual where the primitive adds to it: into the result, unless it lies there.
class DnnlResidual {
 public:
  // For strides that make no descriptor, before set(): the residual is packed in the workspace.
  // Its meta there, row-major.
  TensorMeta pack(const TensorMeta& residual, size_t* workspace);
  // Inside dnnl_try: the residual as the caller has it, the result as the primitive wants it.
  void set(const dnnl::memory::desc& residual, const dnnl::memory::desc& result);
  bool defined() const { return bytes_ > 0; }
  // The result may be written over the residual.
  bool same_placement() const { return !packs_ && !reorder_.defined(); }
  Status run(void* residual, void* result, void* workspace) const;

 private:
  bool packs_ = false;
  CopyPlan packing_;
  size_t packed_at_ = 0;
  DnnlCall reorder_;
  size_t bytes_ = 0;
};

}  // namespace rutile::kernels
