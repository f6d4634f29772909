// SPDX-License-Identifier: Apache-2.0
// Linear algebra on matrices [.., m, n], batched over the leading dimensions, in f32, f64, c64 and
// c128. Of complex ones a transposed matrix is its adjoint unless said otherwise: L L', Q' Q = 1,
// x = x' where one triangle is read. Eigenvalues of such x, singular values and norms are real.
//
//   Tensor x = ops::solve(a, b);              // a f64[8,3,3], b f64[8,3,2] -> f64[8,3,2]
//   auto [q, r] = ops::qr(a);                 // a f32[5,3] -> f32[5,3], f32[3,3]
//   auto [w, v] = ops::eigh(s);               // s f32[4,4] -> f32[4], f32[4,4]
//
// Other dtypes are kType (mixed precision casts f16 and bf16 to f32), a wrong shape is kValue. A
// matrix that cannot be decomposed or inverted is kValue with its place in the batch, found when
// the op runs. Empty batches and matrices without elements are legal. All of it runs on Eigen.
//
// Signs: an eigenvector, and a singular vector on the left, has its element of largest magnitude
// positive (of complex ones: real and positive), so that results do not depend on the machine.
// Their gradients exist where eigenvalues (singular values) differ. Vectors of equal ones count as
// not turning towards each other: functions of the values alone have the right gradient, functions
// of such vectors have none that means anything (PyTorch's is NaN or infinite).
//
// Gradients treat a matrix that stands for a symmetric one (cholesky, eigh) as symmetric: they are
// those by the symmetric part, as in PyTorch.
#pragma once

#include <string>
#include <vector>

#include "rutile/ops/call.h"

namespace rutile::ops {

// ---- Decompositions ---------------------------------------------------------------------------

struct CholeskyAttrs {
  bool upper = false;
  RUTILE_REFLECT(upper)
};
// L with L L' = x (or U with U' U = x), of a symmetric positive definite x [.., n, n]; one triangle
// is read: the lower one, with `upper` the upper one.
extern RUTILE_API const OpDef kCholesky;
RUTILE_API Tensor cholesky(Arg x, bool upper = false);

struct LuFactor {
  Tensor lu, pivots;
};
// L (unit diagonal, below) and U in one matrix [.., m, n], and the rows exchanged with row i at
// step i, counted from 1 as LAPACK does: i32 [.., min(m, n)]. A singular x is no error here. The
// gradient exists where the leading square matrix is regular.
extern RUTILE_API const OpDef kLuFactor;
RUTILE_API LuFactor lu_factor(Arg x);
// Rows in the order that the exchanges leave: i64 [.., rows] with A[perm] = L U.
struct LuPermutationAttrs {
  int64_t rows = 0;
  RUTILE_REFLECT(rows)
};
extern RUTILE_API const OpDef kLuPermutation;
RUTILE_API Tensor lu_permutation(Arg pivots, int64_t rows);

struct Lu {
  Tensor p, l, u;
};
// x = P L U: [.., m, m], [.., m, k], [.., k, n] with k = min(m, n).
extern RUTILE_API const OpDef kLu;
RUTILE_API Lu lu(Arg x);

struct QrAttrs {
  bool complete = false;  // q [.., m, m] and r [.., m, n] instead of k = min(m, n)
  RUTILE_REFLECT(complete)
};
struct Qr {
  Tensor q, r;
};
// x = Q R, Q orthogonal, R upper triangular, by Householder reflections: the diagonal of R may be
// negative. No gradient of `complete` for m > n.
extern RUTILE_API const OpDef kQr;
RUTILE_API Qr qr(Arg x, bool complete = false);

struct SvdAttrs {
  bool full_matrices = true;
  RUTILE_REFLECT(full_matrices)
};
struct Svd {
  Tensor u, s, vh;
};
// x = U diag(S) Vh, S in falling order. u [.., m, m] and vh [.., n, n], or without full_matrices
// [.., m, k] and [.., k, n]. What
// full matrices have beyond k are arbitrary bases of the rest: gradients of them count nothing.
extern RUTILE_API const OpDef kSvd;
RUTILE_API Svd svd(Arg x, bool full_matrices = true);
extern RUTILE_API const OpDef kSvdvals;
RUTILE_API Tensor svdvals(Arg x);

struct EighAttrs {
  bool upper = false;  // read the upper triangle
  RUTILE_REFLECT(upper)
};
struct Eigh {
  Tensor w, v;
};
// Eigenvalues in rising order and eigenvectors in the columns of v, of a symmetric x [.., n, n] of
// which one triangle is read.
extern RUTILE_API const OpDef kEigh;
RUTILE_API Eigh eigh(Arg x, bool upper = false);
extern RUTILE_API const OpDef kEigvalsh;
RUTILE_API Tensor eigvalsh(Arg x, bool upper = false);

// Eigenvalues of any x [.., n, n] and eigenvectors of length 1 in the columns of v, as complex
// numbers, by rising real part (equal ones by the imaginary part). The result's names are eigh's.
extern RUTILE_API const OpDef kEig;
RUTILE_API Eigh eig(Arg x);
extern RUTILE_API const OpDef kEigvals;
RUTILE_API Tensor eigvals(Arg x);

// The first n columns of H_1 H_2 .. H_k for the reflections H_i = 1 - tau_i v_i v_i', v_i being 1
// at row i and column i of x [.., m, n] below it (LAPACK's orgqr); tau [.., k], k <= n <= m.
extern RUTILE_API const OpDef kHouseholderProduct;
RUTILE_API Tensor householder_product(Arg x, Arg tau);

// ---- Systems of equations ---------------------------------------------------------------------

// x^-1 by LU with partial pivoting.
extern RUTILE_API const OpDef kInverse;
RUTILE_API Tensor inverse(Arg x);
// X with A X = B: a [.., n, n], b [.., n, k]; batch dimensions broadcast. b is a batch of vectors
// if it is 1-D, or if its shape is a's without the last dimension.
extern RUTILE_API const OpDef kSolve;
RUTILE_API Tensor solve(Arg a, Arg b);
// Whether solve takes b for vectors.
RUTILE_API bool solves_vectors(const TensorMeta& a, const TensorMeta& b);

struct TriangularAttrs {
  bool upper = false;
  bool transpose = false;  // A' X = B, A' not conjugated
  bool unitriangular = false;
  RUTILE_REFLECT(upper, transpose, unitriangular)
};
// X with A X = B for a triangular A, of which the other triangle is not read (nor the diagonal with
// `unitriangular`). b [.., n, k].
extern RUTILE_API const OpDef kSolveTriangular;
RUTILE_API Tensor solve_triangular(Arg a, Arg b, TriangularAttrs attrs = {});
// X with A X = B from A's Cholesky factor; b [.., n, k].
extern RUTILE_API const OpDef kCholeskySolve;
RUTILE_API Tensor cholesky_solve(Arg b, Arg factor, bool upper = false);
// A^-1 from A's Cholesky factor.
extern RUTILE_API const OpDef kCholeskyInverse;
RUTILE_API Tensor cholesky_inverse(Arg factor, bool upper = false);
// X with A X = B from A's lu_factor; b [.., n, k].
extern RUTILE_API const OpDef kLuSolve;
RUTILE_API Tensor lu_solve(Arg lu, Arg pivots, Arg b);

struct PinvAttrs {
  double rtol = -1;        // singular values up to rtol times the largest are zero;
                           // negative: max(m, n) times the dtype's epsilon
  bool hermitian = false;  // x is symmetric: by eigh
  RUTILE_REFLECT(rtol, hermitian)
};
// Moore-Penrose inverse [.., n, m] by the singular values.
extern RUTILE_API const OpDef kPinv;
RUTILE_API Tensor pinv(Arg x, PinvAttrs attrs = {});

struct LstsqAttrs {
  double rcond = -1;  // as PinvAttrs::rtol
  RUTILE_REFLECT(rcond)
};
// The X of smallest norm that minimises |A X - B|, for A of any rank: pinv(a) b. b [.., m, k].
extern RUTILE_API const OpDef kLstsq;
RUTILE_API Tensor lstsq(Arg a, Arg b, double rcond = -1);

// ---- Numbers of a matrix ----------------------------------------------------------------------

extern RUTILE_API const OpDef kDet;
RUTILE_API Tensor det(Arg x);
struct SlogDet {
  Tensor sign, logabsdet;
};
// det = sign exp(logabsdet); 0 and -inf for a singular matrix, which gets infinite gradients.
extern RUTILE_API const OpDef kSlogdet;
RUTILE_API SlogDet slogdet(Arg x);
// log(det); NaN where det is negative.
extern RUTILE_API const OpDef kLogdet;
RUTILE_API Tensor logdet(Arg x);

struct MatrixRankAttrs {
  double atol = 0;
  double rtol = -1;  // negative: max(m, n) times the dtype's epsilon, or 0 where atol is given
  bool hermitian = false;
  RUTILE_REFLECT(atol, rtol, hermitian)
};
// How many singular values are larger than max(atol, rtol times the largest); i64.
extern RUTILE_API const OpDef kMatrixRank;
RUTILE_API Tensor matrix_rank(Arg x, MatrixRankAttrs attrs = {});

struct VectorNormAttrs {
  double ord = 2;  // p, inf, -inf; 0 counts the nonzero elements
  Dims axes = {};
  bool keepdims = false;
  RUTILE_REFLECT(ord, axes, keepdims)
};
// (sum |x|^p)^(1/p) over the axes, all of them for none. The gradient where |x|^p or the norm has
// no slope at 0 is 0.
extern RUTILE_API const OpDef kVectorNorm;
RUTILE_API Tensor vector_norm(Arg x, VectorNormAttrs attrs = {});

struct MatrixNormAttrs {
  std::string ord = "fro";  // fro, nuc, inf, -inf, 1, -1, 2, -2
  bool keepdims = false;
  RUTILE_REFLECT(ord, keepdims)
};
// Norm of each matrix [.., m, n]: Frobenius, sum of the singular values, largest and smallest row
// sum, column sum and singular value. 0 for no elements; kValue for the smallest of nothing.
extern RUTILE_API const OpDef kMatrixNorm;
RUTILE_API Tensor matrix_norm(Arg x, MatrixNormAttrs attrs = {});

struct LinalgCondAttrs {
  std::string p = "2";
  RUTILE_REFLECT(p)
};
// Condition number: of the singular values for p 2 and -2, else |x| |x^-1| in matrix_norm's p,
// infinity for a singular matrix.
extern RUTILE_API const OpDef kLinalgCond;
RUTILE_API Tensor linalg_cond(Arg x, const std::string& p = "2");

// ---- Products and functions -------------------------------------------------------------------

struct MatrixPowerAttrs {
  int64_t n = 1;
  RUTILE_REFLECT(n)
};
// x x .. x, the identity for n = 0, the inverse's power for n < 0.
extern RUTILE_API const OpDef kMatrixPower;
RUTILE_API Tensor matrix_power(Arg x, int64_t n);
// e^x by scaling, squaring and Pade approximants (Higham 2005).
extern RUTILE_API const OpDef kMatrixExp;
RUTILE_API Tensor matrix_exp(Arg x);
// a b c .. in the cheapest order; matrices, the first and the last may be vectors.
extern RUTILE_API const OpDef kMultiDot;
RUTILE_API Tensor multi_dot(std::span<const Tensor> xs,
                            std::source_location where = std::source_location::current());

}  // namespace rutile::ops
