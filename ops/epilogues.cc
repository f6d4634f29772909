// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/epilogues.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {

namespace {

constexpr GeluAttrs kByTanh{GeluApproximate::kTanh};

Status check_floating(const CallMeta& c) {
  const DType t = c.in(0).dtype;
  for (const TensorMeta* m : c.inputs) {
    if (m && m->dtype != t) return type_error(cat("expects one dtype, got ", t, " and ", m->dtype));
  }
  return is_floating(t) ? Status() : type_error(cat("expects a floating dtype, got ", t));
}

// ---- linear_gelu ----

Status infer_linear_gelu(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_floating(c));
  const CallMeta inner{&kLinear, nullptr, c.inputs, {}};
  RUTILE_RETURN_IF_ERROR(kLinear.infer(inner, out));
  out[1] = out[0];
  return Status();
}
TensorList compose_linear_gelu(const void*, std::span<const Tensor> in) {
  const Tensor pre = linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor());
  return {gelu(pre, kByTanh), pre};
}
double linear_gelu_flops(const CallMeta& c) {
  return kLinear.flops({&kLinear, nullptr, c.inputs, c.outputs.first(1)}) + elements(c.out());
}

// ---- matmul_gelu_grad ----

constexpr MatmulAttrs kPlain{};

Status infer_matmul_gelu_grad(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_floating(c));
  const CallMeta inner{&kMatmul, &kPlain, c.inputs.first(2), {}};
  RUTILE_RETURN_IF_ERROR(kMatmul.infer(inner, out));
  if (c.in(2).shape == out->shape) return Status();
  return value_error(cat("pre expects shape ", out->shape, " as the product, got ", c.in(2).shape));
}
TensorList compose_matmul_gelu_grad(const void*, std::span<const Tensor> in) {
  return {gelu_grad(matmul(in[0], in[1]), in[2], kByTanh)};
}
double matmul_gelu_grad_flops(const CallMeta& c) {
  return kMatmul.flops({&kMatmul, &kPlain, c.inputs.first(2), c.outputs}) + elements(c.out());
}

// ---- matmul_sums ----

Status infer_matmul_sums(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_floating(c));
  const TensorMeta& x = c.in(0);
  if (x.rank() != 2 || c.in(1).rank() != 2) {
    return value_error(cat("expects matrices, got ", x.shape, " and ", c.in(1).shape));
  }
  RUTILE_RETURN_IF_ERROR(kMatmul.infer({&kMatmul, c.attrs, c.inputs, {}}, out));
  out[1] = TensorMeta({out[0].dim(0)}, out[0].dtype, x.device);
  return Status();
}
TensorList compose_matmul_sums(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const MatmulAttrs*>(attrs);
  const Tensor product = matmul(in[0], in[1], a);
  return {product, sum(in[0], {.axes = {a.transpose_a ? 0 : 1}, .dtype = product.dtype()})};
}
double matmul_sums_flops(const CallMeta& c) {
  return kMatmul.flops({&kMatmul, c.attrs, c.inputs, c.outputs.first(1)}) + elements(c.in(0));
}

}  // namespace

constinit const OpDef kLinearGelu = define({
    .name = "linear_gelu",
    .inputs = {"x", "weight", "bias?"},
    .outputs = {"y", "pre"},
    .infer = infer_linear_gelu,
    .flops = linear_gelu_flops,
    .compose = compose_linear_gelu,
    .doc = "Linear layer and GELU by tanh in one kernel, with what the gradient needs.",
});

constinit const OpDef kMatmulGeluGrad = define({
    .name = "matmul_gelu_grad",
    .inputs = {"dy", "weight", "pre"},
    .infer = infer_matmul_gelu_grad,
    .flops = matmul_gelu_grad_flops,
    .compose = compose_matmul_gelu_grad,
    .doc = "Matrix product and the gradient of GELU by tanh behind it in one kernel.",
});

constinit const OpDef kMatmulSums = define({
    .name = "matmul_sums",
    .inputs = {"x", "y"},
    .outputs = {"product", "sums"},
    .attrs = attrs_of<MatmulAttrs>(),
    .infer = infer_matmul_sums,
    .flops = matmul_sums_flops,
    .compose = compose_matmul_sums,
    .doc = "Matrix product and the sums of its first factor in one kernel.",
});

LinearGeluResult linear_gelu(Arg x, Arg weight, const Tensor& bias) {
  const Tensor in[] = {x.tensor, weight.tensor, bias};
  Tensor out[2];
  call(kLinearGelu, nullptr, {in, bias.defined() ? 3u : 2u}, out, x.where);
  return {out[0], out[1]};
}

Tensor matmul_gelu_grad(Arg dy, Arg weight, const Tensor& pre) {
  return call1(kMatmulGeluGrad, nullptr, {dy.tensor, weight.tensor, pre}, dy.where);
}

MatmulSumsResult matmul_sums(Arg x, Arg y, MatmulAttrs attrs) {
  const Tensor in[] = {x.tensor, y.tensor};
  Tensor out[2];
  call(kMatmulSums, &attrs, in, out, x.where);
  return {out[0], out[1]};
}

}  // namespace rutile::ops
