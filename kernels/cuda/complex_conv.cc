// SPDX-License-Identifier: Apache-2.0
// Convolutions of complex numbers, and their gradients: four of real and imaginary parts each, by
// the rows of real numbers.
#include <algorithm>
#include <array>

#include "rutile/core/complex.h"
#include "rutile/kernels/cuda/complex.h"
#include "rutile/kernels/cuda/copy.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"

namespace rutile::cuda {
namespace {

struct PartsPlan : Plan {
  AnyAttrs attrs;  // the inner plans may point into them
  std::shared_ptr<const Plan> product, with_bias;
  CopyArgs copy[3];
  std::array<size_t, 2> in[3] = {}, result = {};  // real and imaginary part, in the workspace
  int inputs = 2;
  size_t part_size = 4, inner_at = 0;
  CombineArgs combine;

  size_t take(int64_t bytes) {
    const size_t at = workspace_bytes;
    workspace_bytes += (static_cast<size_t>(bytes) + 255) / 256 * 256;
    return at;
  }
};

char* memory(const KernelArgs& k, size_t at) { return static_cast<char*>(k.workspace) + at; }

// Result `to` = part i of the first input times part j of the second, with that part of the bias.
Status multiply(const PartsPlan& p, const KernelArgs& k, int i, int j, bool bias, int to) {
  const auto at = [](const std::array<size_t, 2>& parts, int part) {
    return parts[static_cast<size_t>(part)];
  };
  void* in[] = {memory(k, at(p.in[0], i)), memory(k, at(p.in[1], j)), memory(k, at(p.in[2], j))};
  void* out[] = {memory(k, at(p.result, to))};
  const Plan& inner = bias && p.with_bias ? *p.with_bias : *p.product;
  return inner.run(inner, {in, out, memory(k, p.inner_at), k.stream});
}

Status combine(const PartsPlan& p, const KernelArgs& k, int part) {
  CombineArgs a = p.combine;
  a.part = part;
  a.a = memory(k, p.result[0]);
  a.b = memory(k, p.result[1]);
  a.y = k.out[0];
  return launch_status(launch_combine(a, k.stream));
}

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const PartsPlan&>(plan);
  for (int i = 0; i < p.inputs; ++i) {
    for (size_t part = 0; part < 2; ++part) {
      CopyArgs c = p.copy[i];
      c.in = static_cast<const char*>(k.in[i]) + part * p.part_size;
      c.out = memory(k, p.in[i][part]);
      RUTILE_RETURN_IF_ERROR(launch_status(launch_copy(c, k.stream)));
    }
  }
  RUTILE_RETURN_IF_ERROR(multiply(p, k, 0, 0, true, 0));
  RUTILE_RETURN_IF_ERROR(multiply(p, k, 1, 1, false, 1));
  RUTILE_RETURN_IF_ERROR(combine(p, k, 0));
  RUTILE_RETURN_IF_ERROR(multiply(p, k, 0, 1, true, 0));
  RUTILE_RETURN_IF_ERROR(multiply(p, k, 1, 0, false, 1));
  return combine(p, k, 1);
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<PartsPlan>();
  p->run = run;
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  const DType real = real_dtype(c.out().dtype);
  p->part_size = dtype_size(real);
  p->inputs = c.has(2) ? 3 : 2;
  TensorMeta metas[3], out = c.out();
  const TensorMeta* in[] = {&metas[0], &metas[1], &metas[2]};
  for (int i = 0; i < p->inputs; ++i) {
    const TensorMeta& m = c.in(i);
    metas[i] = TensorMeta(m.shape, real, m.device);
    Strides parts = m.strides;
    for (int d = 0; d < m.rank(); ++d) parts[d] *= 2;
    p->copy[i] = make_copy(m.shape, metas[i].strides, parts, size_of(real));
    for (size_t& at : p->in[i]) at = p->take(metas[i].nbytes());
  }
  out.dtype = real;
  for (size_t& at : p->result) at = p->take(out.nbytes());
  p->combine.n = out.numel();
  p->combine.wide = real == DType::kF64;
  const auto inner = [&](size_t inputs, std::shared_ptr<const Plan>* made) {
    const CallMeta call{c.op, p->attrs.get(), {in, inputs}, {&out, 1}};
    return make_plan(call, DeviceType::kCuda, made);
  };
  RUTILE_RETURN_IF_ERROR(inner(2, &p->product));
  if (c.has(2)) RUTILE_RETURN_IF_ERROR(inner(3, &p->with_bias));
  p->inner_at = p->workspace_bytes;
  p->workspace_bytes += std::max(p->product->workspace_bytes,
                                 p->with_bias ? p->with_bias->workspace_bytes : size_t{0});
  *plan = std::move(p);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  if (is_complex(c.out().dtype) && c.out().is_dense()) return true;
  reason->text = "takes complex numbers, and writes them without gaps";
  return false;
}

}  // namespace

void register_complex_conv() {
  for (const OpDef* op : {&ops::kConv2d, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad,
                          &ops::kConv3d, &ops::kConv3dInputGrad, &ops::kConv3dWeightGrad}) {
    add_row(*op, "parts", prepare, supports);
  }
}

}  // namespace rutile::cuda
