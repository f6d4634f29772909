// SPDX-License-Identifier: Apache-2.0
// What the definitions of linear algebra share: checks, diagonals, transposes.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

// f32, f64 or complex.
Status check_matrix_dtype(const TensorMeta& x);
// The above, and at least two dimensions.
Status check_matrix(const TensorMeta& x, const char* name = "x");
Status check_square(const TensorMeta& x, const char* name = "x");

inline int64_t rows_of(const TensorMeta& x) { return x.dim(x.rank() - 2); }
inline int64_t cols_of(const TensorMeta& x) { return x.dim(x.rank() - 1); }
inline int64_t smaller_side(const TensorMeta& x) { return std::min(rows_of(x), cols_of(x)); }
// The dimensions in front of the last `core` ones, then `a` and `b` where they are not negative.
Shape batch_and(const TensorMeta& x, int core, int64_t a = -1, int64_t b = -1);

Tensor mt(const Tensor& x);                  // transposed matrices
Tensor mh(const Tensor& x);                  // their conjugates: the adjoint ones
Tensor eye(int64_t n, DType dtype);          // [n, n]
Tensor diagonal_of(const Tensor& x);         // [.., m, n] -> [.., min(m, n)]
Tensor diagonal_matrix(const Tensor& d);     // [.., n] -> [.., n, n]
Tensor columns(const Tensor& x, int64_t n);  // the first n columns
Tensor rows(const Tensor& x, int64_t n);
Tensor off_diagonal(const Tensor& x);  // with zeros on the diagonal
// w_j - w_i with ones on the diagonal.
Tensor gaps(const Tensor& w);
// Complex vectors in the columns of u (and with them those of v) may be turned by a phase, which is
// chosen so that the largest element of u is real: the gradient by vectors of any phase, of which
// turned ones give the same.
Tensor free_of_phase(const Tensor& u, const Tensor& gu, const Tensor& v, const Tensor& gv);
// P z for the exchanges of lu_factor: rows of z put back where x had them.
Tensor unpermute(const Tensor& z, const Tensor& pivots);
// The inverse where there is one; elsewhere `singular`, of the batch's shape, is true and the
// matrix that of another.
Tensor inverse_where_regular(const Tensor& x, Tensor* singular);
// Batch dimensions of a and b [.., n, k] broadcast, then the core of b.
Status infer_system(const TensorMeta& a, const TensorMeta& b, TensorMeta* out);

}  // namespace rutile::ops
