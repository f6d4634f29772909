// SPDX-License-Identifier: Apache-2.0
// In one process; tests/dist has several.
#include "rutile/ops/collective.h"

#include "rutile/ops/sync_norm.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {

using namespace rutile::ops;

namespace {

// Shapes and placements that all of them take.
template <class A>
void add_shapes(SampleList& s, const A& attrs, const DTypes& dtypes) {
  s.add({in({6, 5})}, attrs).dtypes(dtypes);
  s.add({in({0, 3})}, attrs).name("empty");
  s.add({in({2, 6, 3, 3}).channels_last()}, attrs);
  s.add({in({4, 3}).transposed()}, attrs);
  s.add({in({5}).gaps()}, attrs);
}

}  // namespace

RUTILE_SAMPLES(all_reduce) {
  add_shapes(s, AllReduceAttrs{}, joined(kNumbers, kComplexes));
  add_shapes(s, AllReduceAttrs{.reduce = Reduce::kMean}, kFloats);
  for (const Reduce r : {Reduce::kMax, Reduce::kMin}) {
    s.add({in({6, 5}).distinct()}, AllReduceAttrs{.reduce = r}).dtypes(kEveryType);
  }
  s.add({in({6, 5}).positive()}, AllReduceAttrs{.reduce = Reduce::kProd}).dtypes(kNumbers);
  s.add({in({})}, AllReduceAttrs{.fusion = -1}).name("0-d");
  s.add({in({3, 4}).values({0.5, -1.25, 3})}, AllReduceAttrs{.wire = DType::kBF16})
      .no_gradient("differences of f64 vanish in bf16");
  s.error({in({3})}, AllReduceAttrs{.group = "nobody"}, ErrorCode::kValue, "no group 'nobody'");
  s.error({in({3}).as(DType::kI32)}, AllReduceAttrs{.reduce = Reduce::kMean}, ErrorCode::kType,
          "the mean expects");
  s.error({bool_in({3})}, AllReduceAttrs{}, ErrorCode::kType, "bool expects max");
  s.error({in({3}).as(DType::kC64)}, AllReduceAttrs{.reduce = Reduce::kMax}, ErrorCode::kType,
          "complex");
  s.error({in({3}).as(DType::kI32)}, AllReduceAttrs{.wire = DType::kBF16}, ErrorCode::kType,
          "only floats");
  s.error({in({3})}, AllReduceAttrs{.bucket_mb = -1}, ErrorCode::kValue, "bucket_mb expects");
}

RUTILE_SAMPLES(all_gather) {
  add_shapes(s, GroupAttrs{}, joined(kEveryType, kComplexes));
  s.add({in({3, 4})}, GroupAttrs{.size = 1});
  s.error({in({})}, GroupAttrs{}, ErrorCode::kValue, "at least 1 dimension");
  s.error({in({3})}, GroupAttrs{.size = 2}, ErrorCode::kValue, "a group of 2 ranks");
  s.error({in({3})}, GroupAttrs{.size = -1}, ErrorCode::kValue, "size expects");
  s.error({in({3})}, GroupAttrs{.group = "nobody"}, ErrorCode::kValue, "no group 'nobody'");
}

RUTILE_SAMPLES(all_to_all) {
  add_shapes(s, GroupAttrs{}, joined(kEveryType, kComplexes));
  s.error({in({})}, GroupAttrs{}, ErrorCode::kValue, "at least 1 dimension");
  s.error({in({3})}, GroupAttrs{.size = 2}, ErrorCode::kValue, "a group of 2 ranks");
}

RUTILE_SAMPLES(reduce_scatter) {
  add_shapes(s, ReduceScatterAttrs{}, joined(kNumbers, kComplexes));
  add_shapes(s, ReduceScatterAttrs{.reduce = Reduce::kMean}, kFloats);
  for (const Reduce r : {Reduce::kMax, Reduce::kMin}) {
    s.add({in({6, 5}).distinct()}, ReduceScatterAttrs{.reduce = r}).dtypes(kEveryType);
  }
  s.add({in({6, 5}).positive()}, ReduceScatterAttrs{.reduce = Reduce::kProd}).dtypes(kNumbers);
  s.error({in({})}, ReduceScatterAttrs{}, ErrorCode::kValue, "at least 1 dimension");
  s.error({in({3})}, ReduceScatterAttrs{.size = 2}, ErrorCode::kValue, "a group of 2 ranks");
}

RUTILE_SAMPLES(broadcast) {
  add_shapes(s, BroadcastAttrs{}, joined(kEveryType, kComplexes));
  s.error({in({3})}, BroadcastAttrs{.root = 1}, ErrorCode::kValue, "root expects a rank below 1");
  s.error({in({3})}, BroadcastAttrs{.root = -1}, ErrorCode::kValue, "root expects a rank below 1");
}

RUTILE_SAMPLES(all_reduce_start) {
  s.add({in({2, 3}), in({}), in({0, 4}), in({4, 5}).transposed()}, AllReduceManyAttrs{})
      .dtypes(kNumbers);
  s.add({in({2, 6, 3, 3}).channels_last(), in({5}).gaps()}, AllReduceManyAttrs{});
  s.add({in({7}), in({3, 3})}, AllReduceManyAttrs{.wire = DType::kBF16}).dtypes(kFloats);
  s.error({}, AllReduceManyAttrs{}, ErrorCode::kValue, "at least 1 tensor");
  s.error({in({3}), in({3}).as(DType::kF64)}, AllReduceManyAttrs{}, ErrorCode::kType, "one dtype");
}

RUTILE_SAMPLES(all_reduce_wait) {
  s.add({in({12})}, AllReduceManyAttrs{}).dtypes(kEveryType);
  s.error({in({2, 3})}, AllReduceManyAttrs{}, ErrorCode::kValue, "flat expects 1 dimension");
}

RUTILE_SAMPLES(sync_batch_norm) {
  const SyncBatchNormAttrs a;
  s.add({in({4, 3, 5, 2}), in({3}), in({3})}, a).dtypes({DType::kF32, DType::kF64});
  s.add({in({4, 3, 5, 2}), in({3}).as(DType::kF32), in({3}).as(DType::kF32)}, a)
      .dtypes({DType::kBF16, DType::kF16})
      .no_gradient("checked in f64 above");
  s.add({in({7, 6})}, a).name("no weight");
  s.add({in({2, 6, 3, 3}).channels_last(), none(), in({6})}, SyncBatchNormAttrs{.eps = 1e-2});
  s.error({in({3})}, a, ErrorCode::kValue, "[n, c, ...]");
  s.error({in({0, 3})}, a, ErrorCode::kValue, "expects elements");
  s.error({in({4, 3}), in({4})}, a, ErrorCode::kValue, "weight expects");
  s.error({in({4, 3}).as(DType::kI32)}, a, ErrorCode::kType, "x expects floats");
  s.error({in({4, 3})}, SyncBatchNormAttrs{.eps = -1}, ErrorCode::kValue, "eps expects");
}

}  // namespace rutile::samples
