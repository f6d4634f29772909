// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/linalg.h"

#include <cmath>
#include <limits>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kValue = ErrorCode::kValue;
const DTypes kBoth{DType::kF32, DType::kF64};

double noise(int64_t i) {
  const double x = 43758.5453 * std::sin(12.9898 * static_cast<double>(i + 1));
  return 2 * (x - std::floor(x)) - 1;
}

// `count` m x n matrices of full rank.
Fill regular(int64_t m, int64_t n, int64_t count) {
  std::vector<double> v;
  for (int64_t i = 0; i < count * m * n; ++i) {
    const int64_t row = i / n % m, col = i % n;
    v.push_back(noise(i) + (row == col ? (row % 2 ? -3.0 : 3.0) : 0.0));
  }
  return values(std::move(v));
}
Fill regular(int64_t n, int64_t count = 1) { return regular(n, n, count); }
// Symmetric and positive definite, with eigenvalues well apart.
Fill positive_definite(int64_t n, int64_t count = 1) {
  std::vector<double> v;
  for (int64_t b = 0; b < count; ++b) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const double off = 0.3 * noise(b * n * n + std::min(i, j) * n + std::max(i, j));
        v.push_back(i == j ? 2.0 * static_cast<double>(i + 1) + off : off);
      }
    }
  }
  return values(std::move(v));
}
// Pairs of parts.
Fill complex_regular(int64_t m, int64_t n, int64_t count = 1) {
  std::vector<double> v;
  for (int64_t i = 0; i < count * m * n; ++i) {
    const bool diagonal = i / n % m == i % n;
    v.push_back(noise(2 * i) + (diagonal ? 3.0 : 0.0));
    v.push_back(noise(2 * i + 1) + (diagonal ? 1.0 : 0.0));
  }
  return values(std::move(v));
}
Fill hermitian(int64_t n, int64_t count = 1) {
  std::vector<double> v;
  for (int64_t b = 0; b < count; ++b) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at = b * n * n + std::min(i, j) * n + std::max(i, j);
        const double off = 0.3 * noise(2 * at), turn = 0.3 * noise(2 * at + 1);
        v.push_back(i == j ? 2.0 * static_cast<double>(i + 1) + off : off);
        v.push_back(i == j ? 0 : i < j ? turn : -turn);
      }
    }
  }
  return values(std::move(v));
}
// Samples of complex matrices.
SampleGroup complexes(SampleGroup g) {
  return g.dtypes(kComplexes).tolerance(DType::kC64, 1e-4).tolerance(DType::kC128, 1e-11);
}
const char* const kSymmetric = "gradients are those by the symmetric part: see linalg_test.cc";

void refused(SampleList& s) {
  s.error({in({3})}, kValue, "matrices [.., m, n]");
  s.error({in({3, 4})}, kValue, "square");
  s.error({in({3, 3}).as(DType::kBF16)}, kType, "f32, f64 or complex");
}

RUTILE_SAMPLES(cholesky) {
  for (const bool upper : {false, true}) {
    complexes(s.add({in({2, 4, 4}).filled(hermitian(4, 2))}, CholeskyAttrs{upper}))
        .no_gradient(kSymmetric);
  }
  for (const bool upper : {false, true}) {
    const CholeskyAttrs a{upper};
    s.add({in({2, 4, 4}).filled(positive_definite(4, 2))}, a).dtypes(kBoth).no_gradient(kSymmetric);
    s.add({in({37, 37}).filled(positive_definite(37))}, a).no_gradient(kSymmetric);
    s.add({in({5, 5}).filled(positive_definite(5)).transposed()}, a).no_gradient(kSymmetric);
    s.add({in({3, 3}).filled(positive_definite(3)).gaps()}, a).no_gradient(kSymmetric);
    s.add({in({0, 3, 3})}, a).name("no matrix");
    s.add({in({2, 0, 0})}, a).name("0x0");
  }
  s.add({in({1, 1}).values({4})}, CholeskyAttrs{});
  refused(s);
  s.error({in({2, 2, 2}).values({2, 0, 0, 2, 1, 2, 2, 1})}, kValue,
          "matrix 1 of the batch is not positive definite: its leading minor of order 2");
  s.error({in({2, 2}).values({NAN})}, kValue, "not positive definite");
}
RUTILE_SAMPLES(lu_factor) {
  // The first pivot is 3 + 3i, not 5: |re| + |im| counts.
  s.add({in({2, 2}).filled(values({5, 0, 1, 0, 3, 3, 1, 1}))}).dtypes({DType::kC128});
  for (const Shape& shape : {Shape{2, 4, 4}, Shape{2, 5, 3}, Shape{2, 3, 5}}) {
    complexes(s.add({in(shape).filled(complex_regular(shape[1], shape[2], 2))}));
  }
  s.add({in({2, 4, 4}).filled(regular(4, 2))}).dtypes(kBoth);
  s.add({in({37, 37}).filled(regular(37))}).tolerance(DType::kF32, 1e-4);
  s.add({in({2, 5, 3}).filled(regular(5, 3, 2))}).dtypes(kBoth);
  s.add({in({3, 5}).filled(regular(3, 5, 1))});
  s.add({in({5, 5}).filled(regular(5)).transposed()});
  s.add({in({2, 3, 3}).gaps()}).no_gradient("may be near singular");
  s.add({in({3, 3}).values({0}).constant()}).name("singular");
  s.add({in({0, 3, 3})}).name("no matrix");
  s.add({in({2, 0, 0})}).name("0x0");
  s.error({in({3})}, kValue, "matrices");
  s.error({in({3, 3}).as(DType::kF16)}, kType, "f32, f64 or complex");
}
RUTILE_SAMPLES(lu_permutation) {
  s.add({in({2, 3}).as(DType::kI32).values({3, 3, 3, 2, 2, 4})}, LuPermutationAttrs{5});
  s.add({in({0, 3}).as(DType::kI32)}, LuPermutationAttrs{3});
  s.add({in({0}).as(DType::kI32)}, LuPermutationAttrs{2});
  s.error({in({3}).as(DType::kI64)}, LuPermutationAttrs{3}, kType, "i32");
  s.error({in({3}).as(DType::kI32)}, LuPermutationAttrs{2}, kValue, "rows");
  s.error({in({2}).as(DType::kI32).values({1, 5})}, LuPermutationAttrs{3}, ErrorCode::kIndex,
          "pivot 5 at [1] is out of range: expects 1 to 3");
}
RUTILE_SAMPLES(lu) {
  complexes(s.add({in({2, 4, 4}).filled(complex_regular(4, 4, 2))}));
  s.add({in({2, 4, 4}).filled(regular(4, 2))}).dtypes(kBoth);
  s.add({in({2, 5, 3}).filled(regular(5, 3, 2))}).dtypes(kBoth);
  s.add({in({3, 5}).filled(regular(3, 5, 1))});
  s.add({in({0, 3}).constant()});
  s.error({in({3})}, kValue, "matrices");
}
RUTILE_SAMPLES(qr) {
  for (const Shape& shape : {Shape{2, 4, 4}, Shape{2, 5, 3}, Shape{2, 3, 5}}) {
    complexes(s.add({in(shape).filled(complex_regular(shape[1], shape[2], 2))}, QrAttrs{}));
  }
  complexes(s.add({in({5, 3}).filled(complex_regular(5, 3)).constant()}, QrAttrs{true}));
  s.add({in({2, 4, 4}).filled(regular(4, 2))}, QrAttrs{}).dtypes(kBoth);
  s.add({in({2, 6, 3}).filled(regular(6, 3, 2))}, QrAttrs{}).dtypes(kBoth);
  s.add({in({2, 3, 6}).filled(regular(3, 6, 2))}, QrAttrs{}).dtypes(kBoth);
  s.add({in({6, 3}).filled(regular(6, 3, 1)).constant()}, QrAttrs{true});
  s.add({in({3, 5}).filled(regular(3, 5, 1))}, QrAttrs{true});
  s.add({in({37, 20}).filled(regular(37, 20, 1)).transposed()}, QrAttrs{})
      .tolerance(DType::kF32, 1e-4);
  s.add({in({0, 3, 3})}, QrAttrs{}).name("no matrix");
  s.add({in({3, 0}).constant()}, QrAttrs{true}).name("no column");
  s.add({in({0, 3})}, QrAttrs{}).name("no row");
  s.error({in({3})}, kValue, "matrices");
  s.error({in({3, 3}).as(DType::kI32)}, kType, "f32, f64 or complex");
}
RUTILE_SAMPLES(svd) {
  for (const Shape& shape : {Shape{2, 4, 4}, Shape{2, 5, 3}, Shape{2, 3, 5}}) {
    complexes(s.add({in(shape).filled(complex_regular(shape[1], shape[2], 2))}, SvdAttrs{false}));
  }
  complexes(s.add({in({5, 3}).filled(complex_regular(5, 3)).constant()}, SvdAttrs{true}));
  complexes(s.add({in({3, 5}).filled(complex_regular(3, 5)).constant()}, SvdAttrs{true}));
  const SvdAttrs thin{false}, full{true};
  s.add({in({2, 4, 4}).filled(positive_definite(4, 2))}, full)
      .dtypes(kBoth)
      .tolerance(DType::kF32, 1e-4);
  s.add({in({2, 5, 3}).filled(regular(5, 3, 2))}, thin).dtypes(kBoth).tolerance(DType::kF32, 1e-4);
  s.add({in({3, 5}).filled(regular(3, 5, 1))}, thin).tolerance(DType::kF32, 1e-4);
  s.add({in({5, 3}).filled(regular(5, 3, 1)).constant()}, full).tolerance(DType::kF32, 1e-4);
  s.add({in({3, 5}).filled(regular(3, 5, 1)).transposed().constant()}, full)
      .tolerance(DType::kF32, 1e-4);
  s.add({in({30, 30}).filled(positive_definite(30))}, thin).tolerance(DType::kF32, 2e-3);
  s.add({in({0, 3, 3})}, thin).name("no matrix");
  s.add({in({3, 0}).constant()}, full).name("no column");
  s.add({in({0, 0})}, thin).name("0x0");
  s.error({in({3})}, kValue, "matrices");
  s.error({in({2, 2, 2}).values({1, 0, 0, 2, 1, 2, NAN, 1})}, kValue, "matrix 1 of the batch");
}
RUTILE_SAMPLES(svdvals) {
  complexes(s.add({in({2, 5, 3}).filled(complex_regular(5, 3, 2))}));
  s.add({in({2, 5, 3}).filled(regular(5, 3, 2))}).dtypes(kBoth).tolerance(DType::kF32, 1e-4);
  s.add({in({3, 5}).filled(regular(3, 5, 1))}).tolerance(DType::kF32, 1e-4);
  s.add({in({2, 0, 3})}).name("empty");
  s.error({in({3})}, kValue, "matrices");
}
RUTILE_SAMPLES(eigh) {
  for (const bool upper : {false, true}) {
    complexes(s.add({in({2, 4, 4}).filled(hermitian(4, 2))}, EighAttrs{upper}))
        .no_gradient(kSymmetric);
  }
  for (const bool upper : {false, true}) {
    const EighAttrs a{upper};
    s.add({in({2, 4, 4}).filled(positive_definite(4, 2))}, a)
        .dtypes(kBoth)
        .tolerance(DType::kF32, 1e-4)
        .no_gradient(kSymmetric);
    s.add({in({30, 30}).filled(positive_definite(30))}, a)
        .tolerance(DType::kF32, 2e-3)
        .no_gradient(kSymmetric);
    s.add({in({3, 3}).filled(positive_definite(3)).transposed()}, a)
        .tolerance(DType::kF32, 1e-4)
        .no_gradient(kSymmetric);
  }
  s.add({in({0, 3, 3})}, EighAttrs{}).name("no matrix");
  s.add({in({2, 0, 0})}, EighAttrs{}).name("0x0");
  refused(s);
  s.error({in({2, 2}).values({NAN})}, kValue, "the matrix has elements that are infinite or NaN");
}
RUTILE_SAMPLES(eigvalsh) {
  complexes(s.add({in({2, 4, 4}).filled(hermitian(4, 2))}, EighAttrs{})).no_gradient(kSymmetric);
  s.add({in({2, 4, 4}).filled(positive_definite(4, 2))}, EighAttrs{})
      .dtypes(kBoth)
      .tolerance(DType::kF32, 1e-4)
      .no_gradient(kSymmetric);
  s.add({in({2, 0, 0})}, EighAttrs{}).name("0x0");
  refused(s);
}

RUTILE_SAMPLES(eig) {
  s.add({in({2, 4, 4}).filled(regular(4, 2))})
      .dtypes(kBoth)
      .tolerance(DType::kF32, 1e-3)
      .tolerance(DType::kF64, 1e-10);
  complexes(s.add({in({2, 4, 4}).filled(complex_regular(4, 4, 2))}))
      .tolerance(DType::kC64, 1e-3)
      .tolerance(DType::kC128, 1e-10);
  s.add({in({4, 4}).filled(positive_definite(4)).transposed()}).tolerance(DType::kF32, 1e-3);
  s.add({in({0, 3, 3})}).name("no matrix");
  s.add({in({2, 0, 0})}).name("0x0").no_gradient("no elements");
  refused(s);
  s.error({in({2, 2}).values({NAN})}, kValue, "the matrix has elements that are infinite or NaN");
}
RUTILE_SAMPLES(eigvals) {
  s.add({in({2, 4, 4}).filled(regular(4, 2))})
      .dtypes(kBoth)
      .tolerance(DType::kF32, 1e-3)
      .tolerance(DType::kF64, 1e-10);
  s.add({in({2, 0, 0})}).name("0x0").no_gradient("no elements");
  refused(s);
}
RUTILE_SAMPLES(householder_product) {
  const DTypes all{DType::kF32, DType::kF64, DType::kC64, DType::kC128};
  s.add({in({2, 5, 3}), in({2, 3})})
      .dtypes(all)
      .tolerance(DType::kF32, 1e-4)
      .tolerance(DType::kC64, 1e-4);
  s.add({in({4, 4}).transposed(), in({2})}).name("fewer");
  s.add({in({3, 2}), in({0})}).name("none").no_gradient("constant");
  s.add({in({0, 3, 3}), in({0, 3})}).name("no matrix");
  s.error({in({3, 4}), in({3})}, kValue, "as many rows");
  s.error({in({4, 3}), in({4})}, kValue, "tau expects");
  s.error({in({4, 3}), in({3}).as(DType::kF64)}, kType, "tau expects");
  s.error({in({3}), in({3})}, kValue, "matrices");
}

RUTILE_SAMPLES(inverse) {
  complexes(s.add({in({2, 4, 4}).filled(complex_regular(4, 4, 2))}));
  complexes(s.add({in({5, 5}).filled(complex_regular(5, 5)).transposed()}));
  s.add({in({2, 4, 4}).filled(regular(4, 2))}).dtypes(kBoth);
  s.add({in({37, 37}).filled(regular(37))}).tolerance(DType::kF32, 1e-4);
  s.add({in({5, 5}).filled(regular(5)).transposed()});
  s.add({in({2, 3, 3}).filled(regular(3)).expanded()});
  s.add({in({0, 3, 3})}).name("no matrix");
  s.add({in({2, 0, 0})}).name("0x0");
  refused(s);
  s.error({in({3, 2, 2}).values({2, 0, 0, 2, 1, 2, 3, 1, 1, 1, 1, 1})}, kValue,
          "matrix 2 of the batch is singular: pivot 1 is zero");
}
RUTILE_SAMPLES(solve) {
  const Fill a = complex_regular(4, 4, 2);
  complexes(s.add({in({2, 4, 4}).filled(a), in({2, 4, 3})}));
  complexes(s.add({in({2, 4, 4}).filled(a), in({2, 4})})).name("vectors");
  s.add({in({2, 4, 4}).filled(regular(4, 2)), in({2, 4, 3})}).dtypes(kBoth);
  s.add({in({2, 4, 4}).filled(regular(4, 2)), in({2, 4})}).name("vectors");
  s.add({in({2, 4, 4}).filled(regular(4, 2)), in({4})}).name("one vector");
  s.add({in({4, 4}).filled(regular(4)), in({3, 4, 2})}).name("broadcast a");
  s.add({in({3, 1, 4, 4}).filled(regular(4, 3)), in({2, 4, 2})}).name("broadcast both");
  s.add({in({5, 5}).filled(regular(5)).transposed(), in({5, 2}).transposed()});
  s.add({in({2, 0, 0}), in({2, 0, 3})}).name("0x0");
  s.add({in({0, 3, 3}), in({0, 3, 2})}).name("no matrix");
  s.add({in({3, 3}).filled(regular(3)), in({3, 0})}).name("no column");
  s.error({in({3, 4}), in({3, 1})}, kValue, "square");
  s.error({in({3, 3}), in({4, 1})}, kValue, "3 rows");
  s.error({in({3, 3}), in({4})}, kValue, "3 elements");
  s.error({in({2, 3, 3}), in({4, 3, 1})}, kValue, "broadcast");
  s.error({in({2, 2}).values({1, 1, 1, 1}), in({2})}, kValue, "the matrix is singular");
}
RUTILE_SAMPLES(solve_triangular) {
  for (int i = 0; i < 8; ++i) {
    const TriangularAttrs a{(i & 1) != 0, (i & 2) != 0, (i & 4) != 0};
    complexes(s.add({in({2, 4, 4}).filled(complex_regular(4, 4, 2)), in({2, 4, 3})}, a));
  }
  for (int i = 0; i < 8; ++i) {
    const TriangularAttrs a{(i & 1) != 0, (i & 2) != 0, (i & 4) != 0};
    s.add({in({2, 4, 4}).filled(regular(4, 2)), in({2, 4, 3})}, a)
        .dtypes(kBoth)
        .tolerance(DType::kF32, 1e-4);
  }
  s.add({in({4, 4}).filled(regular(4)), in({3, 4, 2})}, TriangularAttrs{}).name("broadcast a");
  s.add({in({3, 4, 4}).filled(regular(4, 3)), in({4, 2}).transposed()}, TriangularAttrs{});
  s.add({in({2, 0, 0}), in({2, 0, 3})}, TriangularAttrs{}).name("0x0");
  s.add({in({0, 3, 3}), in({0, 3, 2})}, TriangularAttrs{}).name("no matrix");
  s.error({in({3, 4}), in({3, 1})}, kValue, "square");
  s.error({in({3, 3}), in({3})}, kValue, "matrices");
  s.error({in({2, 2}).values({1, 5, 1, 0}), in({2, 1})}, kValue, "pivot 1 is zero");
}
RUTILE_SAMPLES(cholesky_solve) {
  for (const bool upper : {false, true}) {
    complexes(s.add({in({2, 4, 3}), in({2, 4, 4}).filled(complex_regular(4, 4, 2))},
                    CholeskyAttrs{upper}));
  }
  for (const bool upper : {false, true}) {
    s.add({in({2, 4, 3}), in({2, 4, 4}).filled(regular(4, 2))}, CholeskyAttrs{upper})
        .dtypes(kBoth)
        .tolerance(DType::kF32, 1e-4);
  }
  s.add({in({0, 2}), in({0, 0})}, CholeskyAttrs{}).name("0x0");
  s.error({in({3, 1}), in({3, 4})}, kValue, "square");
}
RUTILE_SAMPLES(cholesky_inverse) {
  for (const bool upper : {false, true}) {
    complexes(s.add({in({2, 4, 4}).filled(complex_regular(4, 4, 2))}, CholeskyAttrs{upper}));
  }
  for (const bool upper : {false, true}) {
    s.add({in({2, 4, 4}).filled(regular(4, 2))}, CholeskyAttrs{upper})
        .dtypes(kBoth)
        .tolerance(DType::kF32, 1e-4);
  }
  s.add({in({0, 0})}, CholeskyAttrs{}).name("0x0");
  refused(s);
}
RUTILE_SAMPLES(lu_solve) {
  complexes(s.add({in({2, 3, 3}).filled(complex_regular(3, 3, 2)),
                   in({2, 3}).as(DType::kI32).values({2, 3, 3, 1, 2, 3}), in({2, 3, 2})}));
  const Input pivots = in({2, 3}).as(DType::kI32).values({2, 3, 3, 1, 2, 3});
  s.add({in({2, 3, 3}).filled(regular(3, 2)), pivots, in({2, 3, 2})})
      .dtypes(kBoth)
      .tolerance(DType::kF32, 1e-4);
  s.add({in({2, 3, 3}).filled(regular(3, 2)), pivots, in({3, 2})}).name("broadcast b");
  s.add({in({0, 3, 3}), in({0, 3}).as(DType::kI32), in({0, 3, 2})}).name("empty");
  s.error({in({3, 3}), in({3}).as(DType::kI64), in({3, 2})}, kType, "i32");
  s.error({in({3, 3}), in({2}).as(DType::kI32), in({3, 2})}, kValue, "pivots expects");
}
RUTILE_SAMPLES(pinv) {
  complexes(s.add({in({2, 5, 3}).filled(complex_regular(5, 3, 2))}, PinvAttrs{}));
  complexes(s.add({in({3, 5}).filled(complex_regular(3, 5))}, PinvAttrs{}));
  complexes(s.add({in({4, 4}).filled(hermitian(4))}, PinvAttrs{.hermitian = true}))
      .no_gradient(kSymmetric);
  s.add({in({2, 5, 3}).filled(regular(5, 3, 2))}, PinvAttrs{})
      .dtypes(kBoth)
      .tolerance(DType::kF32, 1e-4);
  s.add({in({3, 5}).filled(regular(3, 5, 1))}, PinvAttrs{}).tolerance(DType::kF32, 1e-4);
  s.add({in({3, 3}).values({1, 2, 3, 2, 4, 6, 1, 0, 1})}, PinvAttrs{})
      .tolerance(DType::kF32, 1e-4)
      .no_gradient("not continuous where the rank changes");
  s.add({in({4, 4}).filled(positive_definite(4))}, PinvAttrs{.hermitian = true})
      .tolerance(DType::kF32, 1e-4)
      .no_gradient(kSymmetric);
  s.add({in({2, 0, 3})}, PinvAttrs{}).name("empty");
  s.error({in({3})}, kValue, "matrices");
}
RUTILE_SAMPLES(lstsq) {
  complexes(s.add({in({2, 5, 3}).filled(complex_regular(5, 3, 2)), in({2, 5, 2})}, LstsqAttrs{}));
  s.add({in({2, 5, 3}).filled(regular(5, 3, 2)), in({2, 5, 2})}, LstsqAttrs{})
      .dtypes(kBoth)
      .tolerance(DType::kF32, 1e-4);
  s.add({in({3, 5}).filled(regular(3, 5, 1)), in({3, 1})}, LstsqAttrs{})
      .tolerance(DType::kF32, 1e-4);
  s.add({in({0, 3}), in({0, 2})}, LstsqAttrs{}).name("no equation");
  s.add({in({4, 3}).values({1, 2, 3}), in({4, 2})}, LstsqAttrs{})
      .tolerance(DType::kF32, 1e-4)
      .name("rank 1")
      .no_gradient("the rank is not full");
  s.add({in({5, 3}).filled(regular(5, 3, 1)), in({2, 5, 2})}, LstsqAttrs{1e-3})
      .tolerance(DType::kF32, 1e-4)
      .name("rcond");
  s.error({in({5, 3}), in({4, 3})}, kValue, "5 rows");
}

#define RUTILE_DET_SAMPLES(op)                                                              \
  RUTILE_SAMPLES(op) {                                                                      \
    complexes(s.add({in({2, 4, 4}).filled(complex_regular(4, 4, 2))}));                     \
    s.add({in({2, 3, 3}).values({4, 1, 0, 1, 3, 1, 0, 1, 2, -1, 4, 0, 3, 1, 1, 0, 1, -2})}) \
        .dtypes(kBoth)                                                                      \
        .tolerance(DType::kF32, 1e-4);                                                      \
    s.add({in({5, 5}).filled(regular(5)).transposed()}).tolerance(DType::kF32, 1e-4);       \
    s.add({in({0, 3, 3})}).name("no matrix");                                               \
    s.add({in({2, 0, 0})}).name("0x0").no_gradient("no elements");                          \
    refused(s);                                                                             \
  }
RUTILE_DET_SAMPLES(det)
RUTILE_DET_SAMPLES(slogdet)
RUTILE_DET_SAMPLES(logdet)

RUTILE_SAMPLES(matrix_rank) {
  complexes(s.add({in({2, 5, 3}).filled(complex_regular(5, 3, 2))}, MatrixRankAttrs{}));
  s.add({in({2, 3, 3}).values({1, 2, 3, 2, 4, 6, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1})},
        MatrixRankAttrs{})
      .dtypes(kBoth);
  s.add({in({5, 3}).filled(regular(5, 3, 1))}, MatrixRankAttrs{.atol = 3.5});
  s.add({in({4, 4}).filled(positive_definite(4))}, MatrixRankAttrs{.rtol = 0.5, .hermitian = true});
  s.add({in({2, 0, 3})}, MatrixRankAttrs{}).name("empty");
  s.error({in({3})}, kValue, "matrices");
}
RUTILE_SAMPLES(vector_norm) {
  for (const double ord : {2.0, 1.0, 3.5, -1.0}) {
    s.add({in({3, 7}).away_from({0}, 0.2)}, VectorNormAttrs{ord, {1}}).dtypes(kComplexes);
  }
  for (const double ord : {2.0, 1.0, 3.5, 0.5, -1.0, -2.0}) {
    s.add({in({3, 7}).away_from({0}, 0.2)}, VectorNormAttrs{ord, {1}}).dtypes(kFloats);
  }
  s.add({in({3, 7}).away_from({0}, 0.2)}, VectorNormAttrs{0, {1}});
  s.add({in({3, 7}).distinct()}, VectorNormAttrs{INFINITY, {0}, true})
      .no_second_order("no curvature");
  s.add({in({3, 7}).distinct().transposed()}, VectorNormAttrs{-INFINITY})
      .no_second_order("no curvature");
  s.add({in({}).values({-3})}, VectorNormAttrs{3}).name("0-d");
  s.add({in({2, 0})}, VectorNormAttrs{3, {1}}).name("no elements");
  s.add({in({0, 2})}, VectorNormAttrs{INFINITY, {1}}).name("no vector");
  s.error({in({3}).as(DType::kI32)}, VectorNormAttrs{}, kType, "floats");
  s.error({in({3})}, VectorNormAttrs{2, {1}}, ErrorCode::kIndex, "axis 1");
  s.error({in({2, 0})}, VectorNormAttrs{INFINITY, {1}}, kValue, "no elements");
  s.error({in({3})}, VectorNormAttrs{NAN}, kValue, "NaN");
}
RUTILE_SAMPLES(matrix_norm) {
  for (const char* ord : {"fro", "nuc", "inf", "-1", "2", "-2"}) {
    complexes(s.add({in({2, 4, 3}).filled(complex_regular(4, 3, 2))}, MatrixNormAttrs{ord}));
  }
  for (const char* ord : {"fro", "nuc", "inf", "-inf", "1", "-1", "2", "-2"}) {
    s.add({in({2, 4, 3}).filled(regular(4, 3, 2))}, MatrixNormAttrs{ord})
        .dtypes(kBoth)
        .tolerance(DType::kF32, 1e-4);
  }
  s.add({in({3, 3}).filled(regular(3))}, MatrixNormAttrs{"2", true}).tolerance(DType::kF32, 1e-4);
  for (const char* ord : {"fro", "nuc", "inf", "1", "2"}) {
    for (const Shape& shape : {Shape{2, 0, 3}, Shape{3, 0}, Shape{0, 0}}) {
      s.add({in(shape)}, MatrixNormAttrs{ord}).name("empty");
    }
  }
  s.add({in({3, 0})}, MatrixNormAttrs{"-inf"}).name("empty rows");
  s.add({in({0, 3})}, MatrixNormAttrs{"-1"}).name("empty columns");
  s.error({in({3, 3})}, MatrixNormAttrs{"3"}, kValue, "ord expects");
  for (const char* ord : {"-inf", "-1", "-2"}) {
    s.error({in({0, 0})}, MatrixNormAttrs{ord}, kValue, "no elements");
  }
}
RUTILE_SAMPLES(linalg_cond) {
  for (const char* p : {"fro", "1", "2"}) {
    complexes(s.add({in({2, 4, 4}).filled(complex_regular(4, 4, 2))}, LinalgCondAttrs{p}))
        .tolerance(DType::kC64, 1e-3);
  }
  for (const char* p : {"fro", "nuc", "inf", "-inf", "1", "-1", "2", "-2"}) {
    s.add({in({2, 4, 4}).filled(regular(4, 2))}, LinalgCondAttrs{p})
        .dtypes(kBoth)
        .tolerance(DType::kF32, 1e-3);
  }
  s.add({in({5, 3}).filled(regular(5, 3, 1))}, LinalgCondAttrs{}).tolerance(DType::kF32, 1e-3);
  for (const char* p : {"fro", "nuc", "inf", "-inf", "1", "-1"}) {
    s.add({in({2, 2, 2}).values({1, 2, 2, 4, 2, 1, 0, 1})}, LinalgCondAttrs{p})
        .name("singular")
        .no_gradient("none at a singular matrix");
  }
  s.error({in({5, 3})}, LinalgCondAttrs{"1"}, kValue, "square");
  s.error({in({0, 0})}, LinalgCondAttrs{}, kValue, "without elements");
}
RUTILE_SAMPLES(matrix_power) {
  for (const int64_t n : {3, -2}) {
    complexes(s.add({in({2, 3, 3}).filled(complex_regular(3, 3, 2))}, MatrixPowerAttrs{n}));
  }
  for (const int64_t n : {1, 2, 5, -1, -3}) {
    s.add({in({2, 3, 3}).filled(regular(3, 2))}, MatrixPowerAttrs{n})
        .dtypes(kBoth)
        .tolerance(DType::kF32, 1e-4);
  }
  s.add({in({2, 3, 3})}, MatrixPowerAttrs{0}).no_gradient("constant");
  s.add({in({0, 3, 3})}, MatrixPowerAttrs{2}).name("empty");
  refused(s);
}
RUTILE_SAMPLES(matrix_exp) {
  complexes(s.add({in({2, 3, 3}).uniform(-1, 1)}));
  s.add({in({2, 3, 3}).uniform(-1, 1)}).dtypes(kBoth).tolerance(DType::kF32, 1e-4);
  s.add({in({4, 4}).transposed()}).tolerance(DType::kF32, 1e-3);
  s.add({in({2, 0, 0})}).name("0x0");
  refused(s);
  s.error({in({2, 2}).values({INFINITY})}, kValue, "infinite or NaN");
}
RUTILE_SAMPLES(multi_dot) {
  complexes(s.add({in({3, 5}), in({5, 2}), in({2, 4})}));
  s.add({in({3, 5}), in({5, 2}), in({2, 7}), in({7, 4})}).dtypes(kBoth);
  s.add({in({3, 5}).uniform(0.5, 1.5), in({5, 2}).uniform(0.5, 1.5), in({2, 3}).uniform(0.5, 1.5)})
      .dtypes({DType::kF16, DType::kBF16})
      .tolerance(DType::kBF16, 4e-2)
      .tolerance(DType::kF16, 6e-3);
  s.add({in({5}), in({5, 2}), in({2})}).name("vectors at the ends");
  s.add({in({3, 5}), in({5, 2})}).name("two");
  s.add({in({3, 5}).ints(0, 4), in({5, 2}).ints(0, 4)}).dtypes(kInts).name("integers");
  s.add({in({3, 0}), in({0, 2}), in({2, 2})}).name("empty");
  s.error({in({3, 5})}, kValue, "two matrices");
  s.error({in({3, 5}), in({4, 2})}, kValue, "do not chain");
  s.error({in({3, 5}), in({2, 5, 2})}, kValue, "vectors at the ends");
}

}  // namespace
}  // namespace rutile::samples
