// SPDX-License-Identifier: Apache-2.0
// What samples cannot say of linear algebra: factors multiply to the matrix, also where they are
// not unique, and gradients of functions of symmetric matrices.
#include "rutile/ops/linalg.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rutile/autograd/checker.h"
#include "rutile/autograd/tape.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/ops/samples/sample.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile {
namespace {

using ops::matmul;
Tensor mt(const Tensor& x) { return ops::swapaxes(x, -2, -1); }
Tensor eye(int64_t n) { return ops::one_hot(ops::arange(int64_t{0}, n), n, DType::kF64); }

Tensor random(const Shape& shape, uint64_t key) {
  return samples::make_tensor(samples::in(shape), DType::kF64, {key});
}
double distance(const Tensor& a, const Tensor& b) { return ops::max(ops::abs(a - b)).item(); }
Tensor times(const Tensor& a, const Tensor& s, const Tensor& b) {
  return matmul(a * ops::expand_dims(s, -2), b);
}

TEST(Linalg, LinearTakesTheWeightOfOneFeature) {
  const Tensor x = random({2, 3, 4}, 1), w = random({4}, 2), b = random({}, 3);
  const Tensor want = ops::linear(x, ops::expand_dims(w, 0), ops::reshape(b, {1}));
  const Tensor y = ops::linear(x, w, b);
  EXPECT_EQ(y.shape(), (Shape{2, 3}));
  EXPECT_LT(distance(y, ops::reshape(want, {2, 3})), 1e-14);
  EXPECT_EQ(ops::linear(x, w).shape(), (Shape{2, 3}));
  EXPECT_RUTILE_ERROR(ops::linear(x, random({5}, 4)), kValue, "inner sizes differ: 4 and 5");
}

TEST(Linalg, FactorsMultiplyToTheMatrix) {
  for (const Shape& shape : {Shape{3, 20, 20}, Shape{2, 30, 7}, Shape{2, 7, 30}}) {
    const Tensor x = random(shape, 1);
    const ops::Svd d = ops::svd(x, false);
    EXPECT_LT(distance(times(d.u, d.s, d.vh), x), 1e-12);
    const ops::Svd full = ops::svd(x);
    EXPECT_LT(distance(matmul(mt(full.u), full.u), eye(shape[1])), 1e-12);
    EXPECT_LT(distance(matmul(full.vh, mt(full.vh)), eye(shape[2])), 1e-12);
    for (const bool complete : {false, true}) {
      const ops::Qr f = ops::qr(x, complete);
      EXPECT_LT(distance(matmul(f.q, f.r), x), 1e-12);
    }
    const ops::Lu f = ops::lu(x);
    EXPECT_LT(distance(matmul(matmul(f.p, f.l), f.u), x), 1e-12);
  }
}

TEST(Linalg, EqualEigenvaluesAndMissingRanksStillGiveOrthogonalBases) {
  const Tensor one = eye(5);
  const ops::Eigh e = ops::eigh(one);
  EXPECT_LT(distance(matmul(mt(e.v), e.v), one), 1e-14);
  const Tensor thin = random({5, 2}, 3);
  const Tensor low = matmul(thin, mt(thin));
  const ops::Svd d = ops::svd(low);
  EXPECT_LT(distance(matmul(mt(d.u), d.u), one), 1e-12);
  EXPECT_LT(distance(times(d.u, d.s, d.vh), low), 1e-12);
  EXPECT_EQ(ops::matrix_rank(low).item<int64_t>(), 2);
  const Tensor p = ops::pinv(low);
  EXPECT_LT(distance(matmul(matmul(low, p), low), low), 1e-10);
}

TEST(Linalg, ErrorsNameTheMatrix) {
  Tensor x = Tensor::zeros({4, 2, 2}, DType::kF64);
  double* v = x.mutable_data_as<double>();
  for (int i = 0; i < 4; ++i) v[4 * i] = v[4 * i + 3] = i == 2 ? 0 : 1;
  EXPECT_RUTILE_ERROR(ops::inverse(x), kValue, "matrix 2 of the batch is singular");
  EXPECT_RUTILE_ERROR(ops::cholesky(x), kValue, "matrix 2 of the batch is not positive definite");
  EXPECT_EQ(ops::det(x).to_vector<double>(), (std::vector<double>{1, 1, 0, 1}));
  const ops::SlogDet s = ops::slogdet(x);
  EXPECT_EQ(s.sign.to_vector<double>(), (std::vector<double>{1, 1, 0, 1}));
  EXPECT_EQ(s.logabsdet.to_vector<double>()[2], -INFINITY);
}

// Gradients by a symmetric matrix, which is what these functions read.
using Function = std::function<std::vector<Tensor>(const Tensor&)>;
void expect_symmetric_gradient(const char* what, const Function& f, double shift) {
  const Tensor x = random({2, 4, 4}, 11);
  const Tensor apart = Tensor::from<double>({1, 2.5, 4.5, 7}, {4});
  GradCheckOptions options;
  options.second_order = true;
  const Status s = check_gradients(
      [&](const std::vector<Tensor>& in) {
        const Tensor a = (in[0] + mt(in[0])) * 0.25;
        return f(a + eye(4) * (apart + shift));
      },
      {x}, options);
  EXPECT_TRUE(s.ok()) << what << ": " << s.message();
}

TEST(Linalg, GradientsOfFunctionsOfSymmetricMatrices) {
  for (const bool upper : {false, true}) {
    expect_symmetric_gradient(
        "cholesky", [&](const Tensor& a) { return std::vector{ops::cholesky(a, upper)}; }, 4.0);
    expect_symmetric_gradient(
        "eigvalsh", [&](const Tensor& a) { return std::vector{ops::eigvalsh(a, upper)}; }, 0.0);
    expect_symmetric_gradient(
        "eigh",
        [&](const Tensor& a) {
          const ops::Eigh e = ops::eigh(a, upper);
          return std::vector{e.w, e.v};
        },
        0.0);
  }
  expect_symmetric_gradient(
      "a function of the spectrum",
      [](const Tensor& a) {
        const ops::Eigh e = ops::eigh(a);
        return std::vector{times(e.v, ops::exp(e.w * 0.1), mt(e.v))};
      },
      0.0);
  expect_symmetric_gradient(
      "pinv", [](const Tensor& a) { return std::vector{ops::pinv(a, {.hermitian = true})}; }, 2.0);
}

TEST(Linalg, TheGradientOfASingularDeterminantIsItsCofactors) {
  const Tensor x = Tensor::from<double>({1, 2, 3, 2, 4, 6, 1, 0, 1}, {3, 3});
  const auto f = [](const std::vector<Tensor>& in) { return ops::det(in[0]); };
  const Tensor g = value_and_grad(f, {x}).grads[0];
  const Tensor want = Tensor::from<double>({4, 4, -4, -2, -2, 2, 0, 0, 0}, {3, 3});
  EXPECT_LT(distance(g, want), 1e-12);
}

// One singular matrix must not end the work on a batch.
TEST(Linalg, SingularMatricesGetInfiniteGradientsOfLogarithms) {
  const Tensor x = Tensor::from<double>({1, 2, 2, 4, 2, 1, 0, 1}, {2, 2, 2});
  const auto slogdet = [](const std::vector<Tensor>& in) {
    return ops::sum(ops::slogdet(in[0]).logabsdet);
  };
  const auto logdet = [](const std::vector<Tensor>& in) { return ops::sum(ops::logdet(in[0])); };
  for (const Tensor& g :
       {value_and_grad(slogdet, {x}).grads[0], value_and_grad(logdet, {x}).grads[0]}) {
    const auto v = g.to_vector<double>();
    for (size_t i = 0; i < 4; ++i) EXPECT_FALSE(std::isfinite(v[i])) << i;
    EXPECT_EQ(std::vector<double>(v.begin() + 4, v.end()), (std::vector<double>{0.5, 0, -0.5, 1}));
  }
}

TEST(Linalg, TheConditionOfASingularMatrixIsInfinite) {
  const Tensor x = Tensor::from<double>({1, 2, 2, 4, 2, 1, 0, 1}, {2, 2, 2});
  for (const char* p : {"fro", "nuc", "inf", "-inf", "1", "-1"}) {
    const auto c = ops::linalg_cond(x, p).to_vector<double>();
    EXPECT_EQ(c[0], INFINITY) << p;
    EXPECT_TRUE(std::isfinite(c[1])) << p;
  }
}

// As PyTorch.
TEST(Linalg, VectorNormHasNoSlopeAtElementsOfZero) {
  const Tensor x = Tensor::from<double>({0, 2, -3}, {3});
  const Tensor none = Tensor::zeros({3}, DType::kF64);
  const double root = std::sqrt(2.0) + std::sqrt(3.0);
  for (const double ord : {0.5, 1.0, 1.5, 2.0, 3.0, -1.0, -0.5}) {
    const auto f = [&](const std::vector<Tensor>& in) {
      return ops::vector_norm(in[0], {.ord = ord});
    };
    const auto g = value_and_grad(f, {x}).grads[0].to_vector<double>();
    EXPECT_EQ(g[0], 0) << ord;
    if (ord < 0) {
      EXPECT_EQ(g, (std::vector<double>{0, 0, 0})) << ord;
    }
    if (ord == 0.5) {
      EXPECT_NEAR(g[1], root / std::sqrt(2.0), 1e-12);
    }
    EXPECT_EQ(value_and_grad(f, {none}).grads[0].to_vector<double>(),
              (std::vector<double>{0, 0, 0}))
        << ord;
  }
}

}  // namespace
}  // namespace rutile
