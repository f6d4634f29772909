// SPDX-License-Identifier: Apache-2.0
// Convolutions of sizes where fast algorithms run. Images of that size are larger than the values
// of a program may be: they are made of values and brought down to values within a step.
#include <cmath>
#include <utility>

#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/graph/fuzz_interpreter.h"

namespace rutile::fuzz {
namespace {

// Many numbers made of the few of `source`, no two alike.
Tensor spread_out(const Tensor& source, const Shape& shape) {
  const Tensor at = ops::arange(0.0, static_cast<double>(shape.numel()), 1.0, DType::kI64);
  const Tensor index = ops::remainder(at, Tensor::scalar(source.numel(), DType::kI64));
  const Tensor flat = ops::reshape(ops::tanh(source), {-1});
  const Tensor waves = ops::sin(ops::cast(at, source.dtype()) * 0.7);
  return ops::reshape((ops::gather(flat, index, 0) + 0.5) * waves, shape);
}

// x [N,C,H,W] as it may lie: row-major, channels-last, turned, with gaps, one image for all.
Tensor image(const Tensor& source, const Shape& s, uint64_t how) {
  const int64_t n = s[0], c = s[1], h = s[2], w = s[3];
  switch (how % 6) {
    case 1:
      return ops::transpose(spread_out(source, {n, h, w, c}), {0, 3, 1, 2});
    case 2:
      return ops::transpose(spread_out(source, {n, c, w, h}), {0, 1, 3, 2});
    case 3:
      return ops::slice_axis(spread_out(source, {n, c, h, w + 2}), 3, 1, w + 1, 1);
    case 4:
      return ops::broadcast_to(spread_out(source, {1, c, h, w}), s);
    case 5: {
      const Tensor all = spread_out(source, {n, h, w, c + 16});
      return ops::transpose(ops::slice_axis(all, 3, 16, c + 16, 1), {0, 3, 1, 2});
    }
    default:
      return spread_out(source, s);
  }
}

Tensor weight(const Tensor& source, int64_t out, int64_t in, uint64_t how) {
  const double scale = 1.0 / std::sqrt(9.0 * static_cast<double>(in));
  if (how % 4) return spread_out(source, {out, in, 3, 3}) * scale;
  return ops::transpose(spread_out(source, {3, 3, in, out}), {3, 2, 0, 1}) * scale;
}

// A row of zeros below and a column on the left.
Tensor pad_unevenly(const Tensor& x) {
  const Shape &s = x.shape(), rows{s[0], s[1], 1, s[3]}, columns{s[0], s[1], s[2] + 1, 1};
  const Tensor below[] = {x, Tensor::zeros(rows, x.dtype())};
  const Tensor lower = ops::concat(below, 2);
  const Tensor left[] = {Tensor::zeros(columns, x.dtype()), lower};
  return ops::concat(left, 3);
}

}  // namespace

void Interpreter::wide_conv(const Step& s) {
  // Channels, mostly those of Winograd's algorithm, and images: n, h, w.
  static constexpr int64_t kChannels[] = {32, 48, 64, 80, 32, 64, 96, 33, 1, 3, 7, 8, 16, 17};
  static constexpr int64_t kImages[][3] = {{1, 28, 28}, {1, 27, 29}, {5, 13, 14}, {3, 17, 15},
                                           {9, 7, 9},   {7, 9, 11},  {2, 19, 21}, {64, 3, 2},
                                           {37, 5, 4},  {1, 5, 7},   {3, 1, 40},  {200, 1, 1}};
  const Tensor x = pick(s.r[0]);
  // Others sum directly, and slowly in f64.
  if (x.dtype() != DType::kF32 || x.numel() == 0) return;
  const auto digit = [](uint64_t* from, uint64_t n) { return std::exchange(*from, *from / n) % n; };
  uint64_t r = s.r[1], form = s.r[2], more = s.r[3];
  const int64_t c = kChannels[digit(&r, std::size(kChannels))],
                o = kChannels[digit(&r, std::size(kChannels))];
  const auto& [n, h, w] = kImages[digit(&r, std::size(kImages))];
  const auto pad = [&](int64_t size) {
    const auto p = static_cast<int64_t>(digit(&r, 4)) % 3;
    return size + 2 * p < 3 ? 1 : p;
  };
  const Int2 pads{pad(h), pad(w)};
  Tensor y = image(x, {n, c, h, w}, digit(&form, 6));
  const bool uneven = digit(&form, 4) == 0;
  if (uneven) y = pad_unevenly(y);
  const Tensor bias =
      digit(&form, 2) ? spread_out(values_[digit(&form, 3) % values_.size()], {o}) : Tensor();
  y = ops::conv2d(y, weight(values_[0], o, c, digit(&form, 4)), bias, {.pad = pads});
  std::string text = cat("wide_conv(", name(x), " as ", Shape{n, c, h, w}, s.r[2] % 6,
                         uneven ? " padded unevenly" : "", ", pad ", pads.h, " ", pads.w);
  if (digit(&more, 3) == 0) {
    const Tensor one = Tensor::full({o}, 1.1, y.dtype());
    y = ops::batch_norm(y, one, one, {.eps = 0.1}).y;
    text += ", batch_norm";
  }
  const Tensor residual = digit(&more, 2) ? image(x, y.shape(), digit(&more, 2)) : Tensor();
  if (residual.defined()) {
    y = y + residual;
    text += ", residual";
  }
  if (digit(&more, 2)) {
    y = ops::relu(y);
    text += ", relu";
  }
  if (digit(&more, 2)) {
    y = ops::conv2d(y, weight(values_[0], o, o, 1), {}, {.pad = 1});
    if (digit(&more, 2)) y = ops::silu(y);
    text += ", conv2d";
  }
  // What is wrong anywhere shows in one of the two.
  const Tensor squares = y * y + y;
  push(ops::mean(squares, {.axes = {2, 3}}), cat(text, ") -> ", o, " channels, of the images"));
  push(ops::mean(squares, {.axes = {1}}), "and of its channels");
}

}  // namespace rutile::fuzz
