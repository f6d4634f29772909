// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/grad_util.h"

#include <limits>

#include "rutile/ops/complex.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

Tensor unbroadcast(const Tensor& g, const TensorMeta& to) {
  if (!g.defined()) return g;
  if (g.shape() == to.shape) return cast(g, to.dtype);
  return sum_to_shape(g, to.shape, to.dtype);
}

GradResult conjugated(GradCtx& c, GradFn rule) {
  SmallVector<Tensor, 4> in;
  SmallVector<TensorMeta, 4> metas;
  uint32_t given = 0;
  for (int i = 0; i < c.num_inputs(); ++i) {
    in.push_back(c.op().save_inputs >> i & 1u ? c.in(i) : Tensor());
    metas.push_back(c.in_meta(i));
    given |= c.has_in(i) ? 1u << i : 0;
  }
  const Tensor out = c.op().save_outputs & 1u ? c.out() : Tensor();
  const Tensor g = conj(c.grad());
  GradCtx inner(c.op(), c.raw_attrs(), in, {&out, 1}, {&g, 1}, metas, given, c.needs_mask());
  GradResult r = rule(inner);
  for (Tensor& t : r) {
    if (t.defined()) t = conj(t);
  }
  return r;
}

Tensor wide(const Tensor& x) { return cast(x, wide(x.dtype())); }

Tensor channel_sum(const Tensor& x) {
  SumAttrs a;
  a.axes.push_back(0);
  for (int i = 2; i < x.rank(); ++i) a.axes.push_back(i);
  return sum(x, a);
}

Tensor per_channel(const Tensor& v, int rank) {
  Shape s = Shape::filled(rank, 1);
  s[1] = v.dim(0);
  return reshape(v, s);
}

Tensor flat_power(const Tensor& x, double p) {
  const Tensor zero = equal(x, 0.0);
  const double there = p > 0 ? 0.0 : std::numeric_limits<double>::infinity();
  return where(zero, there, pow(where(zero, 1.0, x), p));
}

Tensor over_root(const Tensor& g, const Tensor& y) {
  const Tensor zero = equal(y, 0.0);
  return where(zero, 0.0, g) / where(zero, 1.0, y);
}

DType weak_dtype(DType like, Scalar value) {
  switch (value.kind) {
    case Scalar::Kind::kFloat:
      return is_floating(like) || is_complex(like) ? like : DType::kF32;
    case Scalar::Kind::kInt:
      return like == DType::kBool ? DType::kI64 : like;
    case Scalar::Kind::kBool:
      break;
  }
  return like;
}

Tensor scalar_like(const Tensor& like, Scalar value) {
  return Tensor::scalar(value, weak_dtype(like.dtype(), value));
}

}  // namespace rutile::ops
