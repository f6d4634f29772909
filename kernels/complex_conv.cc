// SPDX-License-Identifier: Apache-2.0
// Convolutions of complex numbers, and their gradients: all are products of two tensors, made of
// four such products of real and imaginary parts by the rows of real numbers.
#include "rutile/core/complex.h"
#include "rutile/core/thread_cost.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/cpu/copy.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kElementNs = 0.5;

// The real and the imaginary part of an input, row-major in the workspace.
struct Parts {
  CopyPlan copy;
  size_t at[2] = {};
};

struct ComplexConv : Plan {
  AnyAttrs attrs;  // the inner plans may point into them
  std::shared_ptr<const Plan> product, with_bias;
  Parts in[3];
  int num_in = 2;
  size_t part_size = 4;
  int64_t count = 0;      // of the result
  size_t result[2] = {};  // two real results in the workspace
  size_t inner_at = 0;
};

char* memory(const KernelArgs& args, size_t at) { return static_cast<char*>(args.workspace) + at; }

// Result `to` = part i of the first input times part j of the second, with that part of the bias.
Status multiply(const ComplexConv& p, const KernelArgs& args, int i, int j, bool bias, int to) {
  void* in[] = {memory(args, p.in[0].at[i]), memory(args, p.in[1].at[j]),
                memory(args, p.in[2].at[j])};
  void* out[] = {memory(args, p.result[to])};
  const Plan& inner = bias && p.with_bias ? *p.with_bias : *p.product;
  return inner.run(inner, {in, out, memory(args, p.inner_at)});
}

// Part `part` of the result: the first real result plus `sign` times the second.
template <class R>
void combine(const ComplexConv& p, const KernelArgs& args, R sign, int part) {
  const R* a = reinterpret_cast<const R*>(memory(args, p.result[0]));
  const R* b = reinterpret_cast<const R*>(memory(args, p.result[1]));
  R* y = static_cast<R*>(args.out[0]) + part;
  parallel_for(0, p.count, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) y[2 * k] = a[k] + sign * b[k];
  });
}

template <class R>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ComplexConv&>(plan);
  for (int k = 0; k < p.num_in; ++k) {
    for (int part = 0; part < 2; ++part) {
      const char* x = static_cast<const char*>(args.in[k]) + (part ? p.part_size : 0);
      p.in[k].copy.run(x, memory(args, p.in[k].at[part]));
    }
  }
  RUTILE_RETURN_IF_ERROR(multiply(p, args, 0, 0, true, 0));
  RUTILE_RETURN_IF_ERROR(multiply(p, args, 1, 1, false, 1));
  combine<R>(p, args, -1, 0);
  RUTILE_RETURN_IF_ERROR(multiply(p, args, 0, 1, true, 0));
  RUTILE_RETURN_IF_ERROR(multiply(p, args, 1, 0, false, 1));
  combine<R>(p, args, 1, 1);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  bool takes = c.out().layout == kStrided && c.out().is_dense() && is_complex(c.out().dtype);
  for (const TensorMeta* m : c.inputs) takes = takes && (!m || m->layout == kStrided);
  if (!takes) reason->text = "takes strided complex numbers";
  return takes;
}

size_t take(size_t bytes, ComplexConv* p) {
  const size_t at = p->workspace_bytes;
  p->workspace_bytes += (bytes + 63) / 64 * 64;
  return at;
}

template <Rows kRows>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ComplexConv>();
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  const DType real = real_dtype(c.out().dtype);
  p->part_size = dtype_size(real);
  p->num_in = c.has(2) ? 3 : 2;
  p->count = c.out().numel();
  TensorMeta metas[3], out = c.out();
  const TensorMeta* in[] = {&metas[0], &metas[1], &metas[2]};
  for (int k = 0; k < p->num_in; ++k) {
    const TensorMeta& m = c.in(k);
    metas[k] = TensorMeta(m.shape, real, m.device);
    Strides parts = m.strides;
    for (int d = 0; d < m.rank(); ++d) parts[d] *= 2;
    p->in[k].copy = CopyPlan(m.shape, parts, metas[k].strides, static_cast<int>(p->part_size));
    for (size_t& at : p->in[k].at) at = take(static_cast<size_t>(metas[k].nbytes()), p.get());
  }
  out.dtype = real;
  for (size_t& at : p->result) at = take(static_cast<size_t>(out.nbytes()), p.get());
  const auto inner = [&](size_t inputs, std::shared_ptr<const Plan>* made) {
    const CallMeta call{c.op, p->attrs.get(), {in, inputs}, {&out, 1}};
    return make_plan(call, DeviceType::kCpu, made, kRows);
  };
  RUTILE_RETURN_IF_ERROR(inner(2, &p->product));
  if (c.has(2)) RUTILE_RETURN_IF_ERROR(inner(3, &p->with_bias));
  p->inner_at = p->workspace_bytes;
  p->workspace_bytes += std::max(p->product->workspace_bytes,
                                 p->with_bias ? p->with_bias->workspace_bytes : size_t{0});
  p->run = real == DType::kF64 ? run<double> : run<float>;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_complex_conv(bool reference) {
  for (const OpDef* op : {&ops::kConv2d, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad,
                          &ops::kConv3d, &ops::kConv3dInputGrad, &ops::kConv3dWeightGrad}) {
    register_kernel({.op = op,
                     .name = reference ? "parts_ref" : "parts",
                     .supports = supports,
                     .prepare = reference ? prepare<Rows::kReference> : prepare<Rows::kAll>,
                     .reference = reference});
  }
}

}  // namespace rutile::kernels
