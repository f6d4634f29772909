// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/elementwise_infer.h"

#include "rutile/ops/exponent.h"
#include "rutile/ops/grad_util.h"

namespace rutile::ops {
namespace {

// Same shape, same strides and dense: the usual case, worth a shortcut.
bool all_alike(const CallMeta& c) {
  const TensorMeta& a = c.in(0);
  for (int i = 1; i < c.num_inputs(); ++i) {
    if (!c.has(i)) continue;
    const TensorMeta& b = c.in(i);
    if (!(a.shape == b.shape) || a.layout != kStrided || b.layout != kStrided ||
        !(a.strides == b.strides)) {
      return false;
    }
  }
  return a.layout == kStrided && a.is_dense();
}

void place_output(const CallMeta& c, TensorMeta* out) {
  const TensorMeta* dense = nullptr;
  const TensorMeta* blocked = nullptr;
  bool agree = true, all_blocked = true;
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (!c.has(i)) continue;
    const TensorMeta& m = c.in(i);
    const bool full = m.shape == out->shape;
    if (m.layout != kStrided) {
      agree = agree && full && (!blocked || blocked->layout == m.layout);
      blocked = &m;
      continue;
    }
    all_blocked = false;
    if (full && m.numel() != 1) {
      agree = agree && !blocked;
      if (!dense && m.is_dense()) dense = &m;
    }
  }
  if (blocked && agree && !dense) {
    const bool padded = layout_elements(blocked->layout, out->shape) != out->numel();
    if (!padded || (c.op->zero_preserving && all_blocked)) out->layout = blocked->layout;
  } else if (dense) {
    out->strides = dense->strides;
  }
}

}  // namespace

Status infer_broadcast(const CallMeta& c, DType dtype, TensorMeta* out) {
  if (all_alike(c)) {
    *out = c.in(0);
    out->dtype = dtype;
    return Status();
  }
  Shape shape = c.in(0).shape;
  for (int i = 1; i < c.num_inputs(); ++i) {
    if (!c.has(i) || c.in(i).shape == shape) continue;
    Shape wider;
    RUTILE_RETURN_IF_ERROR(broadcast_shapes(shape, c.in(i).shape, &wider));
    shape = wider;
  }
  *out = TensorMeta(shape, dtype, c.in(0).device);
  place_output(c, out);
  return Status();
}

Status check_same_dtype(const CallMeta& c, int first) {
  const DType t = c.in(first).dtype;
  for (int i = first + 1; i < c.num_inputs(); ++i) {
    if (c.has(i) && c.in(i).dtype != t) {
      return type_error(cat("expects inputs of one dtype, got ", t, " and ", c.in(i).dtype));
    }
  }
  return Status();
}

Status check_dtypes(const CallMeta& c, int first) {
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c, first));
  const DType t = c.in(first).dtype;
  if (is_complex(t)) return type_error(cat("takes no complex numbers, got ", t));
  return Status();
}

Status infer_same(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  return infer_broadcast(c, c.in(0).dtype, out);
}

Status infer_number(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).dtype == DType::kBool) return type_error("expects numbers, got bool");
  return infer_same(c, out);
}

Status infer_float(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  const DType t = c.in(0).dtype;
  return infer_broadcast(c, is_floating(t) ? t : DType::kF32, out);
}

Status infer_floats(const CallMeta& c, TensorMeta* out) {
  const DType t = c.in(0).dtype;
  if (!is_floating(t) && !is_complex(t)) return type_error(cat("expects floats, got ", t));
  return infer_same(c, out);
}

Status infer_bits(const CallMeta& c, TensorMeta* out) {
  const DType t = c.in(0).dtype;
  if (!is_integral(t) && t != DType::kBool) {
    return type_error(cat("expects integers or bool, got ", t));
  }
  return infer_same(c, out);
}

Status infer_compare(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  return infer_broadcast(c, DType::kBool, out);
}

Tensor binary(const OpDef& op, Arg x, Arg y) {
  return call1(op, nullptr, {x.tensor, y.tensor}, x.where);
}
void check_exponent(const Tensor& x, Scalar y) {
  const DType t = x.dtype();
  if (y.kind != Scalar::Kind::kInt || y.i >= 0) return;
  if (!is_integral(t) && t != DType::kBool) return;
  throw_error(ErrorCode::kValue,
              cat("[pow] integers have no negative powers: x ", x.meta(), " to the power ", y.i,
                  "; cast x to f32, or write the power as a float"));
}

Tensor binary(const OpDef& op, Arg x, Scalar y) {
  if (&op == &kPow) check_exponent(x.tensor, y);
  return call1(op, nullptr, {x.tensor, scalar_like(x.tensor, y)}, x.where);
}
Tensor binary(const OpDef& op, Scalar x, Arg y) {
  return call1(op, nullptr, {scalar_like(y.tensor, x), y.tensor}, y.where);
}

}  // namespace rutile::ops
