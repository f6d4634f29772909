// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/shape.h"

#include <gmock/gmock.h>

#include <limits>

#include "rutile/core/meta.h"

namespace rutile {
namespace {

using testing::HasSubstr;

TEST(Shape, CheckedNumel) {
  int64_t n = -1;
  EXPECT_TRUE(checked_numel({}, &n).ok());
  EXPECT_EQ(n, 1);
  EXPECT_TRUE(checked_numel({2, 3, 4}, &n).ok());
  EXPECT_EQ(n, 24);
  EXPECT_TRUE(checked_numel({5, 0, 7}, &n).ok());
  EXPECT_EQ(n, 0);
  EXPECT_TRUE(checked_numel({int64_t{1} << 24, int64_t{1} << 24}, &n).ok());
  EXPECT_EQ(n, int64_t{1} << 48);
}

TEST(Shape, CheckedNumelRefuses) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t n = 0;
  EXPECT_EQ(checked_numel({2, -1}, &n).code(), ErrorCode::kValue);
  EXPECT_THAT(checked_numel({2, -1}, &n).message(), HasSubstr("dimension 1 of shape [2,-1]"));
  EXPECT_FALSE(checked_numel({(int64_t{1} << 48) + 1}, &n).ok());
  EXPECT_FALSE(checked_numel({kMax, kMax, 2}, &n).ok());
  EXPECT_FALSE(checked_numel({int64_t{1} << 32, int64_t{1} << 32}, &n).ok());
  // Zero elements, yet the strides would overflow.
  EXPECT_FALSE(checked_numel({0, kMax, kMax}, &n).ok());
  EXPECT_FALSE(checked_numel({kMax, kMax, 0}, &n).ok());
}

TEST(Shape, RankIsBounded) {
  Shape s = Dims::filled(kMaxRank, 1);
  EXPECT_THROW(s.push_back(1), Error);
  EXPECT_THROW(Dims::filled(9, 1), Error);
  EXPECT_THROW((Dims{1, 1, 1, 1, 1, 1, 1, 1, 1}), Error);
}

TEST(Shape, Strides) {
  EXPECT_EQ(contiguous_strides({2, 3, 4}), (Strides{12, 4, 1}));
  EXPECT_EQ(contiguous_strides({}), Strides{});
  EXPECT_EQ(contiguous_strides({3, 0, 4}), (Strides{4, 4, 1}));
  EXPECT_EQ(ordered_strides({2, 3, 4, 5}, {0, 2, 3, 1}), (Strides{60, 1, 15, 3}));
  EXPECT_EQ(ordered_strides({2, 3}, {0, 1}), contiguous_strides({2, 3}));
  EXPECT_THROW(ordered_strides({2, 3}, {0, 0}), Error);
  EXPECT_THROW(ordered_strides({2, 3}, {0, 2}), Error);
  EXPECT_THROW(ordered_strides({2, 3}, {0}), Error);
}

TEST(Shape, Broadcast) {
  const auto broadcast = [](const Shape& a, const Shape& b) {
    Shape out;
    throw_if_error(broadcast_shapes(a, b, &out));
    return out;
  };
  EXPECT_EQ(broadcast({2, 3}, {2, 3}), (Shape{2, 3}));
  EXPECT_EQ(broadcast({2, 1}, {3}), (Shape{2, 3}));
  EXPECT_EQ(broadcast({}, {4, 5}), (Shape{4, 5}));
  EXPECT_EQ(broadcast({5, 1, 7}, {6, 1}), (Shape{5, 6, 7}));
  EXPECT_EQ(broadcast({1}, {0}), (Shape{0}));
  EXPECT_EQ(broadcast({0, 3}, {1, 3}), (Shape{0, 3}));
  Shape out{9};
  const Status s = broadcast_shapes({4, 2, 3}, {3, 3}, &out);
  EXPECT_EQ(s.code(), ErrorCode::kValue);
  EXPECT_EQ(s.message(), "shapes [4,2,3] and [3,3] do not broadcast: 2 against 3 in dimension -2");
  EXPECT_EQ(out, Shape{9});
  EXPECT_FALSE(broadcast_shapes({2}, {0}, &out).ok());
}

TEST(Shape, Axis) {
  int a = -9;
  EXPECT_TRUE(normalize_axis(0, 3, &a).ok());
  EXPECT_EQ(a, 0);
  EXPECT_TRUE(normalize_axis(-1, 3, &a).ok());
  EXPECT_EQ(a, 2);
  EXPECT_TRUE(normalize_axis(-3, 3, &a).ok());
  EXPECT_EQ(a, 0);
  EXPECT_EQ(normalize_axis(3, 3, &a).code(), ErrorCode::kIndex);
  EXPECT_EQ(normalize_axis(-4, 3, &a).code(), ErrorCode::kIndex);
  EXPECT_EQ(normalize_axis(int64_t{1} << 40, 3, &a).code(), ErrorCode::kIndex);
  EXPECT_THAT(normalize_axis(0, 0, &a).message(), HasSubstr("no axes"));
}

TEST(Meta, Contiguity) {
  TensorMeta m({2, 3, 4, 5}, DType::kF32);
  EXPECT_TRUE(m.is_contiguous());
  EXPECT_TRUE(m.is_dense());
  EXPECT_FALSE(m.is_channels_last());
  m.strides = ordered_strides(m.shape, {0, 2, 3, 1});
  EXPECT_FALSE(m.is_contiguous());
  EXPECT_TRUE(m.is_channels_last());
  EXPECT_TRUE(m.is_dense());
  m.strides = ordered_strides(m.shape, {3, 1, 0, 2});
  EXPECT_FALSE(m.is_channels_last());
  EXPECT_TRUE(m.is_dense());
  m.strides[3] *= 2;
  EXPECT_FALSE(m.is_dense());
  m.strides = {0, 0, 0, 1};
  EXPECT_FALSE(m.is_dense());
}

TEST(Meta, StridesOfSingleElementsDoNotCount) {
  TensorMeta m({1, 3, 1, 5}, DType::kF32);
  m.strides = {77, 5, 99, 1};
  EXPECT_TRUE(m.is_contiguous());
  m.strides = {77, 1, 99, 3};
  EXPECT_TRUE(m.is_channels_last());
  TensorMeta one_channel({2, 1, 4, 4}, DType::kF32);
  one_channel.strides = ordered_strides(one_channel.shape, {0, 2, 3, 1});
  EXPECT_TRUE(one_channel.is_contiguous());
  EXPECT_FALSE(one_channel.is_channels_last()) << "both at once counts as contiguous";
}

TEST(Meta, Bytes) {
  EXPECT_EQ(TensorMeta({2, 3}, DType::kF16).nbytes(), 12);
  EXPECT_EQ(TensorMeta({}, DType::kC128).nbytes(), 16);
  EXPECT_EQ(TensorMeta({2, 0}, DType::kF64).nbytes(), 0);
  TensorMeta m({2, 3}, DType::kF32);
  m.strides = {100, 2};
  EXPECT_EQ(m.nbytes(), (100 + 2 * 2 + 1) * 4);
  m.strides = {0, 0};
  EXPECT_EQ(m.nbytes(), 4);
}

TEST(Meta, TextAndHash) {
  TensorMeta m({8, 64, 56, 56}, DType::kF32);
  EXPECT_EQ(to_string(m), "f32[8,64,56,56]@cpu");
  TensorMeta last = m;
  last.strides = ordered_strides(m.shape, {0, 2, 3, 1});
  EXPECT_EQ(to_string(last), "f32[8,64,56,56]:channels_last@cpu");
  TensorMeta t({2, 3}, DType::kBF16);
  t.strides = {1, 2};
  EXPECT_EQ(to_string(t), "bf16[2,3]:strides[1,2]@cpu");
  EXPECT_EQ(hash_meta(m), hash_meta(TensorMeta({8, 64, 56, 56}, DType::kF32)));
  EXPECT_NE(hash_meta(m), hash_meta(last));
  EXPECT_NE(hash_meta(m), hash_meta(TensorMeta({8, 64, 56, 56}, DType::kF16)));
  EXPECT_NE(hash_meta(TensorMeta({2, 3}, DType::kF32)), hash_meta(TensorMeta({3, 2}, DType::kF32)));
  EXPECT_NE(hash_meta(TensorMeta({1}, DType::kF32)), hash_meta(TensorMeta({1, 1}, DType::kF32)));
  // Strides do not count where a layout describes the order: equal metas hash equal.
  TensorMeta a = m, b = last;
  a.layout = b.layout = intern_layout("aBcd16b");
  EXPECT_EQ(a, b);
  EXPECT_EQ(hash_meta(a), hash_meta(b));
  EXPECT_EQ(to_string(a), "f32[8,64,56,56]:aBcd16b@cpu");
}

}  // namespace
}  // namespace rutile
