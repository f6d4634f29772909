// SPDX-License-Identifier: Apache-2.0
// The singular value decomposition of one matrix by Eigen. Each dtype is a source of its own, as
// the compiler needs half a minute and a gigabyte for it.
#pragma once

#include "rutile/kernels/matrix_batch.h"

namespace rutile::kernels {

Fault eigen_svd_f32(const Matrix& a, const Matrix& u, const Matrix& s, const Matrix& vh);
Fault eigen_svd_f64(const Matrix& a, const Matrix& u, const Matrix& s, const Matrix& vh);
Fault eigen_svd_c64(const Matrix& a, const Matrix& u, const Matrix& s, const Matrix& vh);
Fault eigen_svd_c128(const Matrix& a, const Matrix& u, const Matrix& s, const Matrix& vh);

// The singular values alone.
Fault eigen_svdvals_f32(const Matrix& a, const Matrix& s);
Fault eigen_svdvals_f64(const Matrix& a, const Matrix& s);
Fault eigen_svdvals_c64(const Matrix& a, const Matrix& s);
Fault eigen_svdvals_c128(const Matrix& a, const Matrix& s);

// full [n, n] becomes an orthonormal basis whose first columns are those of thin [n, k], up to
// rounding. Both lie column by column.
template <class T>
void complete_basis(int64_t n, int64_t k, const T* thin, T* full);

}  // namespace rutile::kernels
