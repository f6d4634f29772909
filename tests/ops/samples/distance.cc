// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/distance.h"

#include <cmath>
#include <limits>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

RUTILE_SAMPLES(normalize) {
  for (const double p : {2.0, 1.0, 3.0, 0.5, kInfinity}) {
    for (const Shape& x : {Shape{3, 5}, {2, 4, 3}, {0, 3}, {2, 0}}) {
      s.add({in(x).distinct(0.3, 2.9)}, NormalizeAttrs{p})
          .dtypes(kFloats)
          .tolerance(DType::kF32, 1e-4);
    }
  }
  s.add({in({3, 5}).away_from({0})}, NormalizeAttrs{0.0});
  s.add({in({3, 5}).transposed()}, NormalizeAttrs{2, 0});
  s.add({in({3, 5}).values({0})}, NormalizeAttrs{2, -1}).no_gradient("a norm has no slope at 0");
  s.error({in({3})}, ErrorCode::kIndex, "axis");
  for (const double p : {-1.0, -2.5}) {
    s.add({in({3, 5}).distinct(0.3, 2.9)}, NormalizeAttrs{p}).tolerance(DType::kF32, 1e-4);
  }
  s.add({in({3, 5})}, NormalizeAttrs{}).dtypes(kComplexes).tolerance(DType::kC64, 1e-4);
  s.error({in({3, 5})}, NormalizeAttrs{std::nan("")}, ErrorCode::kValue, "p must be a number");
  s.error({in({3, 5}).as(DType::kI32)}, ErrorCode::kType, "floating point");
}

RUTILE_SAMPLES(cosine_similarity) {
  for (const Shape& x : {Shape{3, 5}, {2, 4, 3}, {0, 3}, {2, 0}}) {
    s.add({in(x), in(x)}).dtypes(kFloats).tolerance(DType::kF32, 1e-4);
  }
  s.add({in({4, 1, 5}), in({3, 5})}, CosineSimilarityAttrs{-1});
  s.add({in({3, 5}).gaps(), in({3, 5}).transposed()}, CosineSimilarityAttrs{0});
  s.error({in({3}), in({3})}, ErrorCode::kIndex, "axis");
  s.error({in({3, 4}), in({3, 5})}, ErrorCode::kValue, "broadcast");
  s.error({in({3, 5}).as(DType::kI32), in({3, 5}).as(DType::kI32)}, ErrorCode::kType,
          "floating point");
}

RUTILE_SAMPLES(pairwise_distance) {
  for (const double p : {2.0, 1.0, 3.0, kInfinity}) {
    for (const Shape& x : {Shape{3, 5}, {2, 4, 3}, {0, 3}, {7}}) {
      s.add({in(x).distinct(), in(x).distinct(-1.7, 1.9)}, PairwiseDistanceAttrs{p})
          .dtypes(kFloats)
          .tolerance(DType::kF32, 1e-4);
    }
  }
  s.add({in({4, 1, 5}), in({3, 5})}, PairwiseDistanceAttrs{2, 1e-6, true});
  s.add({in({3, 0}), in({3, 0})}, PairwiseDistanceAttrs{});
  s.error({in({}), in({})}, ErrorCode::kIndex, "axis");
  s.error({in({3, 4}), in({3, 5})}, ErrorCode::kValue, "broadcast");
  s.add({in({3, 5}).distinct(), in({3, 5}).distinct(-1.7, 1.9)}, PairwiseDistanceAttrs{-2});
  s.add({in({3, 5}), in({3, 5})}, PairwiseDistanceAttrs{}).dtypes(kComplexes);
  s.error({in({3, 5}), in({3, 5})}, PairwiseDistanceAttrs{std::nan("")}, ErrorCode::kValue,
          "p must be a number");
}

}  // namespace rutile::samples
