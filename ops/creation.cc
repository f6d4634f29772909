// SPDX-License-Identifier: Apache-2.0
// full and arange.
#include <cmath>
#include <type_traits>

#include "rutile/core/element.h"
#include "rutile/ops/index.h"

namespace rutile::ops {

namespace {

Status infer_full(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<FullAttrs>();
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.shape, &numel));
  char element[16];
  RUTILE_RETURN_IF_ERROR(store_scalar(a.value, a.dtype, element));
  *out = TensorMeta(a.shape, a.dtype);
  return Status();
}

// Number of elements, and the last of them, computed in `T` (the differences of int64_t need more
// than 64 bits).
template <class T>
Status count_steps(T start, T stop, T step, int64_t* n, T* last) {
  const T span = stop - start;
  *n = 0;
  if ((span > 0) != (step > 0) || span == 0) return Status();
  T steps{};
  if constexpr (std::is_floating_point_v<T>) {
    steps = std::ceil(span / step);
  } else {
    steps = span / step + (span % step != 0);
  }
  if (steps > T{int64_t{1} << 48}) return value_error("gives more than 2^48 elements");
  *n = static_cast<int64_t>(steps);
  *last = start + (steps - 1) * step;
  return Status();
}

// Those of an integer result are counted in int64_t's range, whatever double could hold.
Status arange_count(const ArangeAttrs& a, bool whole, int64_t* n, Scalar* last) {
  if (whole) {
    __int128 end = 0;
    RUTILE_RETURN_IF_ERROR(count_steps<__int128>(a.start.i, a.stop.i, a.step.i, n, &end));
    *last = static_cast<int64_t>(end);
    return Status();
  }
  double end = 0;
  RUTILE_RETURN_IF_ERROR(count_steps<double>(a.start.f, a.stop.f, a.step.f, n, &end));
  *last = end;
  return Status();
}

Status infer_arange(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ArangeAttrs>();
  const bool whole = a.start.kind != Scalar::Kind::kFloat && a.stop.kind != Scalar::Kind::kFloat &&
                     a.step.kind != Scalar::Kind::kFloat;
  const DType dtype = a.dtype.set ? a.dtype.value : whole ? DType::kI64 : DType::kF32;
  if (dtype == DType::kBool || is_complex(dtype)) {
    return type_error(cat("expects an integer or floating dtype, got ", dtype));
  }
  if (a.step.f == 0 || !std::isfinite(a.start.f) || !std::isfinite(a.stop.f) ||
      !std::isfinite(a.step.f)) {
    return value_error("expects finite numbers and a step other than 0");
  }
  int64_t n = 0;
  Scalar last;
  RUTILE_RETURN_IF_ERROR(arange_count(a, whole, &n, &last));
  if (n > 0) {
    char element[16];
    RUTILE_RETURN_IF_ERROR(store_scalar(a.start, dtype, element));
    RUTILE_RETURN_IF_ERROR(store_scalar(last, dtype, element));
  }
  *out = TensorMeta({n}, dtype);
  return Status();
}

}  // namespace

constinit const OpDef kFull = define({
    .name = "full",
    .attrs = attrs_of<FullAttrs>(),
    .infer = infer_full,
    .no_grad = "it has no inputs",
    .doc = "A tensor whose elements all have one value.",
});

constinit const OpDef kArange = define({
    .name = "arange",
    .attrs = attrs_of<ArangeAttrs>(),
    .infer = infer_arange,
    .no_grad = "it has no inputs",
    .doc = "The numbers from start to stop (not included) in equal steps.",
});

Tensor full(const Shape& shape, Scalar value, DType dtype, std::source_location where) {
  const FullAttrs a{shape, value, dtype};
  return call1(kFull, &a, {}, where);
}
Tensor zeros(const Shape& shape, DType dtype, std::source_location where) {
  return full(shape, 0, dtype, where);
}
Tensor ones(const Shape& shape, DType dtype, std::source_location where) {
  return full(shape, 1, dtype, where);
}
// Where x lies, whatever device is in force.
Tensor zeros_like(Arg x) {
  const DeviceScope there(x.tensor.device());
  return full(x.tensor.shape(), 0, x.tensor.dtype(), x.where);
}
Tensor ones_like(Arg x) {
  const DeviceScope there(x.tensor.device());
  return full(x.tensor.shape(), 1, x.tensor.dtype(), x.where);
}

Tensor arange(Scalar start, Scalar stop, Scalar step, OptionalDType dtype,
              std::source_location where) {
  const ArangeAttrs a{start, stop, step, dtype};
  return call1(kArange, &a, {}, where);
}

}  // namespace rutile::ops
