// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/adaptive_pool.h"

#include "rutile/ops/lp_pool.h"
#include "rutile/ops/unpool.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

constexpr const char* kLinear = "is linear in its floating input";

void adaptive_averages(SampleList& s, const auto& attrs, const std::vector<Shape>& shapes) {
  for (const Shape& x : shapes) s.add({in(x)}, attrs).dtypes(kFloats).no_second_order(kLinear);
  s.error({in({4})}, attrs, ErrorCode::kValue, "x must have shape");
  s.error({in(shapes[0]).as(DType::kI32)}, attrs, ErrorCode::kType, "floating point");
  auto bad = attrs;
  bad.output_size = 0;
  s.error({in(shapes[0])}, bad, ErrorCode::kValue, "output_size must have positive sizes");
}

void adaptive_maxima(SampleList& s, const auto& attrs, const std::vector<Shape>& shapes) {
  for (const Shape& x : shapes) {
    s.add({in(x).distinct()}, attrs).dtypes(kFloats);
    if (x.rank() > 3) s.add({in(x).distinct().channels_last()}, attrs).dtypes(kFloats);
  }
  s.add({in(shapes[0])}, attrs).dtypes(kInts);
  s.add({in(shapes[0]).distinct().gaps()}, attrs);
  s.add({in(shapes[0]).filled(specials())}, attrs)
      .dtypes(kFloats)
      .no_gradient("infinities and NaN have no difference quotient");
  s.error({in({4})}, attrs, ErrorCode::kValue, "x must have shape");
  s.error({bool_in(shapes[0])}, attrs, ErrorCode::kType, "floating or integer");
  auto bad = attrs;
  bad.output_size = -1;
  s.error({in(shapes[0])}, bad, ErrorCode::kValue, "output_size must have positive sizes");
}

}  // namespace

RUTILE_SAMPLES(adaptive_avg_pool1d) {
  adaptive_averages(s, AdaptivePool1dAttrs{3}, {{2, 37, 7}, {3, 5}, {0, 2, 4}, {1, 1, 2}});
}
RUTILE_SAMPLES(adaptive_avg_pool3d) {
  adaptive_averages(s, AdaptivePool3dAttrs{{2, 3, 1}},
                    {{2, 6, 5, 4, 3}, {3, 4, 5, 6}, {0, 2, 4, 4, 4}, {1, 1, 1, 2, 2}});
}
RUTILE_SAMPLES(adaptive_max_pool1d) {
  adaptive_maxima(s, AdaptivePool1dAttrs{3}, {{2, 37, 7}, {3, 5}, {0, 2, 4}, {1, 1, 2}});
}
RUTILE_SAMPLES(adaptive_max_pool2d) {
  adaptive_maxima(s, AdaptivePool2dAttrs{{3, 2}},
                  {{2, 37, 7, 5}, {3, 4, 5}, {0, 2, 4, 4}, {1, 1, 2, 2}});
}
RUTILE_SAMPLES(adaptive_max_pool3d) {
  adaptive_maxima(s, AdaptivePool3dAttrs{{2, 3, 1}},
                  {{2, 6, 5, 4, 3}, {3, 4, 5, 6}, {0, 2, 4, 4, 4}, {1, 1, 1, 2, 2}});
}

namespace {

void power_means(SampleList& s, const auto& attrs, const Shape& shape) {
  auto a = attrs;
  for (const double p : {2.0, 3.0, 1.5}) {
    a.norm_type = p;
    s.add({in(shape).positive()}, a).dtypes(kFloats).tolerance(DType::kF32, 1e-4);
  }
  a.stride = 1;
  s.add({in(shape).positive().gaps()}, a);
  Shape empty = shape;
  empty[0] = 0;
  s.add({in(empty)}, a);
  s.error({in({4})}, attrs, ErrorCode::kValue, "x must have shape");
  s.error({in(shape).as(DType::kI32)}, attrs, ErrorCode::kType, "floating point");
  a.norm_type = 0;
  s.error({in(shape)}, a, ErrorCode::kValue, "norm_type must be a number other than 0");
}

}  // namespace

RUTILE_SAMPLES(lp_pool1d) { power_means(s, LpPool1dAttrs{.kernel = 2}, {2, 3, 7}); }
RUTILE_SAMPLES(lp_pool2d) { power_means(s, LpPool2dAttrs{.kernel = 2}, {2, 3, 5, 6}); }
RUTILE_SAMPLES(lp_pool3d) { power_means(s, LpPool3dAttrs{.kernel = 2}, {2, 3, 4, 5, 4}); }

namespace {

// Each place of an image at most once, in an order that is not theirs; now and then none.
Input places(const Shape& shape, int64_t pixels, bool with_none = false) {
  std::vector<double> v;
  const int64_t per_plane = 7;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    v.push_back(with_none && i % 4 == 3 ? -1.0 : static_cast<double>(i * per_plane % pixels));
  }
  if (v.empty()) v.push_back(0);
  return in(shape).as(DType::kI32).values(v);
}

}  // namespace

// Images of 5 x 6, 4 of 30 places read or written in each.
RUTILE_SAMPLES(pool_scatter) {
  for (const bool add : {false, true}) {
    const PoolScatterAttrs a{{5, 6}, add};
    for (const Shape& shape : {Shape{2, 3, 2, 2}, {1, 37, 2, 2}, {3, 2, 2}, {0, 3, 2, 2}}) {
      s.add({in(shape), places(shape, 29, true)}, a).dtypes(kFloats).no_second_order(kLinear);
    }
    const Shape shape{2, 20, 2, 2};
    s.add({in(shape).channels_last(), places(shape, 29, true).channels_last()}, a)
        .dtypes(kFloats)
        .no_second_order(kLinear);
    s.add({in(shape).gaps(), places(shape, 29)}, a).no_second_order(kLinear);
  }
  // All for one place.
  s.add({in({2, 3, 2, 2}), in({2, 3, 2, 2}).as(DType::kI64).values({7})},
        PoolScatterAttrs{{5, 6}, true})
      .dtypes(kFloats)
      .no_second_order(kLinear);
  s.error({in({2, 3, 2, 2}), index_in({2, 3, 2}, 0, 4)}, PoolScatterAttrs{{5, 6}},
          ErrorCode::kValue, "indices expects shape [2,3,2,2]");
  s.error({in({2, 3, 2, 2}), in({2, 3, 2, 2})}, PoolScatterAttrs{{5, 6}}, ErrorCode::kType,
          "i32 or i64");
  s.error({in({2, 3, 2, 2}), index_in({2, 3, 2, 2}, 30, 31)}, PoolScatterAttrs{{5, 6}},
          ErrorCode::kIndex, "index 30 is out of range [0, 30)");
  s.error({in({2, 3}), index_in({2, 3}, 0, 4)}, PoolScatterAttrs{{5, 6}}, ErrorCode::kValue,
          "v must have shape");
  s.error({in({2, 3, 4}), index_in({2, 3, 4}, 0, 4)}, PoolScatterAttrs{{}}, ErrorCode::kValue,
          "1 to 3 entries");
}

RUTILE_SAMPLES(pool_gather) {
  for (const Shape& shape : {Shape{2, 3, 2, 2}, {1, 37, 2, 2}, {3, 2, 2}, {0, 3, 2, 2}}) {
    Shape image = shape;
    image[image.rank() - 2] = 5;
    image[image.rank() - 1] = 6;
    s.add({in(image), places(shape, 29, true)}, PoolGatherAttrs{2})
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  s.add({in({2, 20, 5, 6}).channels_last(), places({2, 20, 2, 2}, 29).channels_last()},
        PoolGatherAttrs{2})
      .dtypes(kFloats)
      .no_second_order(kLinear);
  s.add({in({2, 3, 8}), index_in({2, 3, 5}, 0, 8)}, PoolGatherAttrs{1}).no_second_order(kLinear);
  s.error({in({2, 3, 8}), index_in({2, 3, 5}, 8, 9)}, PoolGatherAttrs{1}, ErrorCode::kIndex,
          "index 8 is out of range [0, 8)");
  s.error({in({2, 3, 8}), index_in({2, 4, 5}, 0, 8)}, PoolGatherAttrs{1}, ErrorCode::kValue,
          "indices expects shape [2,3,5]");
  s.error({in({2, 3, 8}), index_in({3, 5}, 0, 8)}, PoolGatherAttrs{1}, ErrorCode::kValue,
          "indices must have rank 3");
  s.error({in({2, 3, 8}), index_in({2, 3, 5}, 0, 8)}, PoolGatherAttrs{4}, ErrorCode::kValue,
          "spatial expects 1 to 3");
}

namespace {

// x of `shape`; the image has `pixels`.
void unpooled(SampleList& s, const auto& attrs, const Shape& shape, int64_t pixels) {
  s.add({in(shape), places(shape, pixels)}, attrs).dtypes(kFloats).no_second_order(kLinear);
  s.add({in(shape).gaps(), places(shape, pixels)}, attrs).no_second_order(kLinear);
  Shape empty = shape;
  empty[0] = 0;
  s.add({in(empty), places(empty, pixels)}, attrs).no_second_order(kLinear);
  s.error({in({2}), index_in({2}, 0, 1)}, attrs, ErrorCode::kValue, "x must have shape");
  s.error({in(shape), in(shape)}, attrs, ErrorCode::kType, "i32 or i64");
  s.error({in(shape), index_in(shape, 1000, 1001)}, attrs, ErrorCode::kIndex, "out of range");
  auto bad = attrs;
  bad.output_size = {1, 1, 1, 1};
  s.error({in(shape), index_in(shape, 0, 1)}, bad, ErrorCode::kValue, "output_size expects");
  bad = attrs;
  bad.kernel = 0;
  s.error({in(shape), index_in(shape, 0, 1)}, bad, ErrorCode::kValue, "kernel must lie in [1,");
}

}  // namespace

RUTILE_SAMPLES(max_unpool1d) { unpooled(s, MaxUnpool1dAttrs{.kernel = 2}, {2, 3, 4}, 8); }
RUTILE_SAMPLES(max_unpool2d) { unpooled(s, MaxUnpool2dAttrs{.kernel = 2}, {2, 3, 2, 3}, 23); }
RUTILE_SAMPLES(max_unpool3d) { unpooled(s, MaxUnpool3dAttrs{.kernel = 2}, {2, 3, 2, 2, 1}, 31); }

}  // namespace rutile::samples
