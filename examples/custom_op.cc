// SPDX-License-Identifier: Apache-2.0
// Ops of one's own: one that is a formula, one with a kernel and a gradient, one from a library in
// C: custom_op <libcube.so>.
#include <rutile/rutile.h>

#include <cmath>
#include <cstdio>

using namespace rutile;

// x * sigmoid(beta * x). The compiler inlines the formula and fuses it with what stands around it.
const OpDef& swish_beta() {
  static const OpDef& op = register_op(CustomOp{
      .name = "swish_beta",
      .inputs = {"x"},
      .attrs = {{"beta", 1.0}},
      .doc = "x * sigmoid(beta * x).",
      .compose =
          [](const CustomAttrs& a, std::span<const Tensor> in) {
            return TensorList{in[0] * ops::sigmoid(in[0] * a.number("beta"))};
          },
      .elementwise = true,
  });
  return op;
}

// log(1 + x^2): the kernel sees plain memory, the gradient calls ops.
const OpDef& log_square() {
  static const OpDef& op = register_op(CustomOp{
      .name = "log_square",
      .inputs = {"x"},
      .doc = "log(1 + x^2), for f32.",
      .infer =
          [](const CustomCall& c) {
            if (c.in(0).dtype != DType::kF32) throw Error(ErrorCode::kType, "takes f32 only");
            return std::vector<TensorMeta>{c.in(0)};
          },
      .kernel =
          [](const CustomCall& c, const KernelArgs& args) {
            const auto* x = static_cast<const float*>(args.in[0]);
            auto* y = static_cast<float*>(args.out[0]);
            parallel_for(0, c.in(0).numel(), 1 << 12, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) y[i] = std::log1p(x[i] * x[i]);
            });
          },
      .grad =
          [](GradCtx& ctx) {
            const Tensor& x = ctx.in(0);
            return GradResult{ctx.grad() * 2.0 * x / (1.0 + x * x)};
          },
      .saves = {"x"},
  });
  return op;
}

int main(int argc, char** argv) try {
  const Tensor x = Tensor::from<float>({-2, -0.5, 0, 1}, {4});
  std::printf("swish_beta %s\n", call_op(swish_beta(), {x}, {{"beta", 2.0}})[0].repr().c_str());

  // Compiled: swish_beta, mul and add become one kernel, log_square is another.
  auto f = graph::compile([](const std::vector<Tensor>& in) {
    const Tensor y = call_op(swish_beta(), {in[0]}, {{"beta", 2.0}})[0];
    return std::vector<Tensor>{call_op(log_square(), {y * 3.0 + 1.0})[0]};
  });
  const Tensor y = f({x})[0];
  std::printf("compiled %s, %d kernels\n", y.repr().c_str(), f.report().kernels);

  const auto r = value_and_grad(
      [](const std::vector<Tensor>& in) { return ops::sum(call_op(log_square(), {in[0]})[0]); },
      {x});
  std::printf("log_square %.4f gradient %s\n", r.value.item(), r.grads[0].repr().c_str());

  if (argc > 1) {
    for (const OpDef* op : load_op_library(argv[1])) {
      const auto cube = value_and_grad(
          [&](const std::vector<Tensor>& in) {
            return ops::sum(call_op(*op, {in[0]}, {{"scale", 0.5}})[0]);
          },
          {x});
      std::printf("%s %.4f gradient %s\n", op->name, cube.value.item(),
                  cube.grads[0].repr().c_str());
    }
  }
} catch (const Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
