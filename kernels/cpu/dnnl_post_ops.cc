// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/dnnl_post_ops.h"

#include <cstring>

namespace rutile::kernels {

using dnnl::algorithm;
using ops::Activation;

dnnl::primitive_attr post_ops_attr(bool residual, Activation act) {
  dnnl::primitive_attr attr = dnnl_attr();
  dnnl::post_ops after;
  if (residual) after.append_sum(1.0f);
  switch (act) {
    case Activation::kNone:
    case Activation::kGelu:  // refused
      break;
    case Activation::kRelu:
      after.append_eltwise(algorithm::eltwise_relu, 0.0f, 0.0f);
      break;
    case Activation::kRelu6:
      after.append_eltwise(algorithm::eltwise_clip, 0.0f, 6.0f);
      break;
    case Activation::kSigmoid:
      after.append_eltwise(algorithm::eltwise_logistic, 0.0f, 0.0f);
      break;
    case Activation::kSilu:
      after.append_eltwise(algorithm::eltwise_swish, 1.0f, 0.0f);
      break;
    case Activation::kHswish:
      after.append_eltwise(algorithm::eltwise_hardswish, 1.0f / 6.0f, 0.5f);
      break;
    case Activation::kTanh:
      after.append_eltwise(algorithm::eltwise_tanh, 0.0f, 0.0f);
      break;
    case Activation::kGeluTanh:
      after.append_eltwise(algorithm::eltwise_gelu_tanh, 0.0f, 0.0f);
  }
  attr.set_post_ops(after);
  return attr;
}

TensorMeta DnnlResidual::pack(const TensorMeta& residual, size_t* workspace) {
  TensorMeta packed(residual.shape, residual.dtype, residual.device);
  packs_ = true;
  packing_ = CopyPlan(residual.shape, residual.strides, packed.strides,
                      static_cast<int>(dtype_size(residual.dtype)));
  packed_at_ = reserve(static_cast<size_t>(packed.nbytes()), workspace);
  return packed;
}

void DnnlResidual::set(const dnnl::memory::desc& residual, const dnnl::memory::desc& result) {
  bytes_ = result.get_size();
  if (residual == result) return;
  const dnnl::reorder::primitive_desc pd(dnnl_engine(), residual, dnnl_engine(), result);
  reorder_.set(dnnl::reorder(pd), {{DNNL_ARG_FROM, residual}, {DNNL_ARG_TO, result}});
}

Status DnnlResidual::run(void* residual, void* result, void* workspace) const {
  if (packs_ && !reorder_.defined()) {
    packing_.run(residual, result);
    return Status();
  }
  if (packs_) {
    void* packed = static_cast<char*>(workspace) + packed_at_;
    packing_.run(residual, packed);
    residual = packed;
  }
  if (reorder_.defined()) return reorder_.run({residual, result});
  if (residual != result) std::memcpy(result, residual, bytes_);
  return Status();
}

}  // namespace rutile::kernels
