// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/ops/samples/on_device.h"

#include <algorithm>

#include "rutile/autograd/tape.h"
#include "rutile/core/complex.h"
#include "rutile/ops/call.h"

namespace rutile::samples {

using Tensors = std::vector<Tensor>;

Tensors moved(const Tensors& in, Device device) {
  Tensors out;
  for (const Tensor& t : in) out.push_back(t.defined() ? t.to(device) : t);
  return out;
}

Tensors run_sample(const Sample& s, const Tensors& in) {
  Tensors own;
  for (size_t i = 0; i < in.size(); ++i) {
    const int named = std::min(static_cast<int>(i), s.op->num_inputs - 1);
    const bool mutated = named >= 0 && (s.op->mutate_mask >> named & 1u);
    own.push_back(in[i]);
    if (!mutated || !in[i].defined()) continue;
    TensorMeta like = in[i].meta();
    like.device = kCpu;
    own.back() = place(in[i].to(kCpu), like).to(in[i].device());
  }
  const TensorList out = call_n(*s.op, s.attrs.get(), own);
  return {out.begin(), out.end()};
}

bool has_gradient(const Sample& s) {
  return (s.op->grad || s.op->compose) && !s.op->no_grad && s.op->mutate_mask == 0;
}

Tensors gradient_of(const Sample& s, const Tensors& in) {
  GradScope scope;
  Tensors watched;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in[i].defined() || i >= s.inputs.size() || !s.inputs[i].differentiable) continue;
    if (!is_differentiable(in[i].dtype())) continue;
    scope.watch(in[i]);
    watched.push_back(in[i]);
  }
  if (watched.empty()) return {};
  for (const Tensor& y : call_n(*s.op, s.attrs.get(), in)) {
    if (!y.defined() || !is_differentiable(y.dtype())) continue;
    const Tensor c = make_tensor(samples::in(y.shape()), y.dtype(), {77});
    return scope.gradient(y, watched, c.to(y.device()), /*retain=*/false);
  }
  return {};
}

}  // namespace rutile::samples
