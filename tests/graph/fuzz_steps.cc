// SPDX-License-Identifier: Apache-2.0
// Steps of one op on values: arithmetic, shapes, reductions, products.
#include "rutile/ops/control.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/graph/fuzz_interpreter.h"

namespace rutile::fuzz {

void Interpreter::unary(const Step& s) {
  static const std::pair<const char*, Tensor (*)(const Tensor&)> kOps[] = {
      {"relu", [](const Tensor& x) { return ops::relu(x); }},
      {"tanh", [](const Tensor& x) { return ops::tanh(x); }},
      {"sigmoid", [](const Tensor& x) { return ops::sigmoid(x); }},
      {"exp(tanh)", [](const Tensor& x) { return ops::exp(ops::tanh(x)); }},
      {"sin", [](const Tensor& x) { return ops::sin(x); }},
      {"neg", [](const Tensor& x) { return ops::neg(x); }},
      {"abs", [](const Tensor& x) { return ops::abs(x); }},
      {"silu", [](const Tensor& x) { return ops::silu(x); }},
      {"gelu", [](const Tensor& x) { return ops::gelu(x); }},
      {"tanh(square)", [](const Tensor& x) { return ops::tanh(ops::square(x)); }},
      {"rsqrt(x*x + 0.5)", [](const Tensor& x) { return ops::rsqrt(x * x + 0.5); }},
      {"clip", [](const Tensor& x) { return ops::clip(x, {.min = -0.5, .max = 0.7}); }},
      {"stop_gradient", [](const Tensor& x) { return ops::stop_gradient(x); }},
      {"contiguous", [](const Tensor& x) { return ops::contiguous(x); }},
      {"leaky_relu", [](const Tensor& x) { return ops::leaky_relu(x); }},
  };
  const auto& [text, op] = kOps[s.r[1] % std::size(kOps)];
  const Tensor x = pick(s.r[0]);
  push(op(x), cat(text, "(", name(x), ")"));
}

void Interpreter::binary(const Step& s) {
  static const std::pair<const char*, Tensor (*)(const Tensor&, const Tensor&)> kOps[] = {
      {"add", [](const Tensor& x, const Tensor& y) { return x + y; }},
      {"sub", [](const Tensor& x, const Tensor& y) { return x - y; }},
      {"mul(tanh)", [](const Tensor& x, const Tensor& y) { return x * ops::tanh(y); }},
      {"div(y*y+1)", [](const Tensor& x, const Tensor& y) { return x / (y * y + 1.0); }},
      {"maximum", [](const Tensor& x, const Tensor& y) { return ops::maximum(x, y); }},
      {"where(x>y,x,2y)",
       [](const Tensor& x, const Tensor& y) { return ops::where(ops::greater(x, y), x, y * 2.0); }},
      {"where(x>0.1,x/2,y)",
       [](const Tensor& x, const Tensor& y) {
         return ops::where(ops::greater(x, Scalar(0.1)), x * 0.5, y);
       }},
  };
  const auto& [text, op] = kOps[s.r[2] % std::size(kOps)];
  const Tensor x = pick(s.r[0]), y = pick(s.r[1]);
  Shape out;
  if (!broadcast_shapes(x.shape(), y.shape(), &out).ok()) return;
  if (out.numel() <= kMaxElements) push(op(x, y), cat(text, "(", name(x), ", ", name(y), ")"));
}

void Interpreter::scalar(const Step& s) {
  const double factors[] = {0.5, -1.0, 1.0, 0.0}, terms[] = {0.0, 1.0, -0.3};
  const double f = factors[s.r[1] % 4], t = terms[s.r[2] % 3];
  const Tensor x = pick(s.r[0]);
  push(x * f + t, cat(name(x), " * ", f, " + ", t));
}

void Interpreter::transpose(const Step& s) {
  const Tensor x = pick(s.r[0]);
  Dims perm;
  for (int d = 0; d < x.rank(); ++d) perm.push_back(d);
  for (int d = x.rank() - 1; d > 0; --d) {
    std::swap(perm[d], perm[static_cast<int>((s.r[1] >> d) % static_cast<uint64_t>(d + 1))]);
  }
  push(ops::transpose(x, perm), cat("transpose(", name(x), ", ", perm, ")"));
}

void Interpreter::slice(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0) return;
  const int d = axis(x, s.r[1]);
  const int64_t start = x.dim(d) ? static_cast<int64_t>(s.r[2]) % x.dim(d) : 0;
  const int64_t step = s.r[3] % 3 == 0 ? 2 : 1, end = s.r[4] % 2 ? ops::kEnd : start + 1;
  push(ops::slice_axis(x, d, start, end, step),
       cat("slice(", name(x), ", axis ", d, ", ", start, ":", s.r[4] % 2 ? "" : cat(end), ":", step,
           ")"));
}

void Interpreter::reshape(const Step& s) {
  const Tensor x = pick(s.r[0]);
  const int64_t n = x.numel();
  Shape reversed;
  for (int d = x.rank() - 1; d >= 0; --d) reversed.push_back(x.dim(d));
  const Shape to[] = {{n}, {1, n}, {n, 1}, reversed, x.shape()};
  const Shape& shape = to[s.r[1] % 5];
  push(ops::reshape(x, shape), cat("reshape(", name(x), ", ", shape, ")"));
}

void Interpreter::broadcast(const Step& s) {
  const Tensor x = pick(s.r[0]);
  Shape shape = x.shape();
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == 1) shape[d] = static_cast<int64_t>(s.r[1] % 4) + 1;
  }
  if (shape.numel() <= kMaxElements) {
    push(ops::broadcast_to(x, shape), cat("broadcast_to(", name(x), ", ", shape, ")"));
  }
}

void Interpreter::reduce(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0 || x.numel() == 0) return;
  const int64_t d = axis(x, s.r[1]);
  const bool keep = s.r[2] % 2;
  Tensor y;
  switch (s.r[3] % 3) {
    case 0:
      y = ops::sum(x, {.axes = {d}, .keepdims = keep}) * 0.3;
      break;
    case 1:
      y = ops::mean(x, {.axes = {d}, .keepdims = keep});
      break;
    default:
      y = ops::max(x, {.axes = {d}, .keepdims = keep});
  }
  if (keep && s.r[4] % 2) y = x - y;
  push(y, cat("reduce ", s.r[3] % 3, s.r[4] % 2 && keep ? " subtracted" : "", "(", name(x),
              ", axis ", d, ", keepdims ", keep, ")"));
}

void Interpreter::rows(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0 || x.dim(x.rank() - 1) < 2) return;
  const Tensor y = s.r[1] % 3 == 0   ? ops::softmax(x)
                   : s.r[1] % 3 == 1 ? ops::log_softmax(x)
                                     : ops::layer_norm(x, {}, {}, {.eps = 0.1});
  push(y, cat("softmax/log_softmax/layer_norm ", s.r[1] % 3, "(", name(x), ")"));
}

void Interpreter::concat(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0) return;
  const Tensor like_x = like(x.shape(), s.r[2]);
  const Tensor parts[] = {x, like_x};
  push(ops::concat(parts, axis(x, s.r[1])),
       cat("concat(", name(x), ", ", name(like_x), ", axis ", axis(x, s.r[1]), ")"));
}

void Interpreter::matmul(const Step& s) {
  const Tensor x = pick(s.r[0]), y = pick(s.r[1]);
  if (x.rank() < 2 || x.rank() > 3) return;
  const bool fits = y.rank() == 2 && y.dim(1) == x.dim(x.rank() - 1);
  const Tensor& other = fits ? y : x;
  push(ops::matmul(x, other, {.transpose_b = true}) * 0.1,
       cat("0.1 * matmul(", name(x), ", ", name(other), "^T)"));
}

void Interpreter::cast(const Step& s) {
  const DType via[] = {DType::kBF16, DType::kF16, DType::kF64, DType::kF32};
  const Tensor x = pick(s.r[0]);
  const DType t = via[s.r[1] % 4];
  push(ops::cast(ops::cast(x, t), x.dtype()), cat("cast(", name(x), " by way of ", t, ")"));
}

void Interpreter::pool(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() != 4 || x.dim(2) < 2 || x.dim(3) < 2 || x.numel() == 0) return;
  if (s.r[1] % 2) {
    push(ops::max_pool2d(x, {.kernel = 2, .stride = 1, .pad = 1}), cat("max_pool(", name(x), ")"));
  } else {
    push(ops::avg_pool2d(x, {.kernel = 2}), cat("avg_pool(", name(x), ")"));
  }
}

// A result that lies in the arena and that nothing fuses with.
void Interpreter::scan(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0) return;
  push(ops::cumsum(x, {.axis = -1}) * 0.2, cat("0.2 * cumsum(", name(x), ")"));
}

void Interpreter::gather(const Step& s) {
  const Tensor x = pick(s.r[0]);
  if (x.rank() == 0 || x.numel() == 0) return;
  const int d = axis(x, s.r[1]);
  const int64_t n = x.dim(d), i = static_cast<int64_t>(s.r[2] % 100) % n;
  const Tensor index = Tensor::from<int64_t>({i, n - 1, 0}, {3});
  push(ops::gather(x, index, d), cat("gather(", name(x), ", axis ", d, ", [", i, ", -1, 0])"));
}

}  // namespace rutile::fuzz
