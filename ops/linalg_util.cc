// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/linalg_util.h"

#include <algorithm>

#include "rutile/ops/complex.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

Status check_matrix_dtype(const TensorMeta& x) {
  if (x.dtype == DType::kF32 || x.dtype == DType::kF64 || is_complex(x.dtype)) return Status();
  return type_error(cat("expects f32, f64 or complex numbers, got ", x.dtype));
}

Status check_matrix(const TensorMeta& x, const char* name) {
  RUTILE_RETURN_IF_ERROR(check_matrix_dtype(x));
  if (x.rank() >= 2) return Status();
  return value_error(cat(name, " expects matrices [.., m, n], got shape ", x.shape));
}

Status check_square(const TensorMeta& x, const char* name) {
  RUTILE_RETURN_IF_ERROR(check_matrix(x, name));
  if (rows_of(x) == cols_of(x)) return Status();
  return value_error(cat(name, " expects square matrices, got shape ", x.shape));
}

Shape batch_and(const TensorMeta& x, int core, int64_t a, int64_t b) {
  Shape s;
  for (int i = 0; i < x.rank() - core; ++i) s.push_back(x.dim(i));
  if (a >= 0) s.push_back(a);
  if (b >= 0) s.push_back(b);
  return s;
}

Tensor mt(const Tensor& x) { return swapaxes(x, -2, -1); }
Tensor mh(const Tensor& x) { return conj(mt(x)); }

Tensor eye(int64_t n, DType dtype) {
  const Tensor i = arange(int64_t{0}, n);
  return cast(equal(expand_dims(i, 1), expand_dims(i, 0)), dtype);
}

Tensor diagonal_of(const Tensor& x) {
  const int64_t k = smaller_side(x.meta());
  const Tensor square = columns(rows(x, k), k);
  return slice_axis(reshape(square, batch_and(x.meta(), 2, k * k)), -1, 0, kEnd, k + 1);
}

Tensor diagonal_matrix(const Tensor& d) {
  const Tensor on = cast(eye(d.shape().back(), d.dtype()), DType::kBool);
  return where(on, expand_dims(d, -2), 0.0);
}

Tensor columns(const Tensor& x, int64_t n) {
  return n == cols_of(x.meta()) ? x : slice_axis(x, -1, 0, n);
}
Tensor rows(const Tensor& x, int64_t n) {
  return n == rows_of(x.meta()) ? x : slice_axis(x, -2, 0, n);
}

Tensor unpermute(const Tensor& z, const Tensor& pivots) {
  const Tensor back = argsort(lu_permutation(pivots, rows_of(z.meta())), -1);
  return take_along_axis(z, broadcast_to(expand_dims(back, -1), z.shape()), -2);
}

Status infer_system(const TensorMeta& a, const TensorMeta& b, TensorMeta* out) {
  if (a.dtype != b.dtype) {
    return type_error(cat("expects inputs of one dtype, got ", a.dtype, " and ", b.dtype));
  }
  RUTILE_RETURN_IF_ERROR(check_matrix(b, "b"));
  if (rows_of(b) != rows_of(a)) {
    return value_error(cat("b expects ", rows_of(a), " rows, got shape ", b.shape));
  }
  Shape shape;
  RUTILE_RETURN_IF_ERROR(broadcast_shapes(batch_and(a, 2), batch_and(b, 2), &shape));
  shape.push_back(rows_of(b));
  shape.push_back(cols_of(b));
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, b.dtype, b.device);
  return Status();
}

}  // namespace rutile::ops
