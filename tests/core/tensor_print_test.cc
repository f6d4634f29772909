// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numeric>

#include "rutile/core/tensor.h"

namespace rutile {
namespace {

template <class T>
std::string values(std::initializer_list<T> v) {
  const std::string s = Tensor::from<T>(v, {static_cast<int64_t>(v.size())}).repr();
  return s.substr(0, s.find(", shape="));
}

TEST(TensorRepr, OneLine) {
  EXPECT_EQ(Tensor::from<float>({1, 2, 3, 4}, {2, 2}).repr(),
            "Tensor([[1, 2], [3, 4]], shape=[2, 2], dtype=f32)");
  EXPECT_EQ(Tensor::scalar(2.5).repr(), "Tensor(2.5, shape=[], dtype=f32)");
  EXPECT_EQ(Tensor::empty({0, 3}).repr(), "Tensor([], shape=[0, 3], dtype=f32)");
  EXPECT_EQ(Tensor::from<int64_t>({-5}, {1}).repr(), "Tensor([-5], shape=[1], dtype=i64)");
}

TEST(TensorRepr, Numbers) {
  EXPECT_EQ(values<float>({0.5f, 0.25f}), "Tensor([0.50, 0.25]");
  EXPECT_EQ(values<float>({1.0f / 3, -2}), "Tensor([0.3333, -2.0000]");
  EXPECT_EQ(values<double>({1e-10, 1}), "Tensor([1.0000e-10, 1.0000e+00]");
  EXPECT_EQ(values<float>({1e20f}), "Tensor([1.0000e+20]");
  EXPECT_EQ(values<float>({0, -0.0f}), "Tensor([0, -0]");
  EXPECT_EQ(values<float>({NAN, HUGE_VALF, -HUGE_VALF, 1.5f}), "Tensor([nan, inf, -inf, 1.5]");
  EXPECT_EQ(values<float>({123456.0f, 7.0f}), "Tensor([123456, 7]");
  EXPECT_EQ(values<uint64_t>({~uint64_t{0}}), "Tensor([18446744073709551615]");
  EXPECT_EQ(values<int8_t>({-128, 127}), "Tensor([-128, 127]");
  EXPECT_EQ(values<bool>({true, false}), "Tensor([True, False]");
  EXPECT_EQ(values<BFloat16>({BFloat16(1.5f)}), "Tensor([1.5]");
  EXPECT_EQ(values<std::complex<float>>({{1, -2}, {0.5f, 3}}), "Tensor([1.0-2.0j, 0.5+3.0j]");
}

TEST(TensorRepr, ManyLinesAreAligned) {
  std::vector<float> v(24);
  std::iota(v.begin(), v.end(), -12.0f);
  EXPECT_EQ(Tensor::from<float>(v, {4, 6}).repr(),
            "Tensor([[-12, -11, -10,  -9,  -8,  -7],\n"
            "        [ -6,  -5,  -4,  -3,  -2,  -1],\n"
            "        [  0,   1,   2,   3,   4,   5],\n"
            "        [  6,   7,   8,   9,  10,  11]], shape=[4, 6], dtype=f32)");
  EXPECT_EQ(Tensor::from<float>(v, {2, 3, 4}).repr(),
            "Tensor([[[-12, -11, -10,  -9],\n"
            "         [ -8,  -7,  -6,  -5],\n"
            "         [ -4,  -3,  -2,  -1]],\n"
            "\n"
            "        [[  0,   1,   2,   3],\n"
            "         [  4,   5,   6,   7],\n"
            "         [  8,   9,  10,  11]]], shape=[2, 3, 4], dtype=f32)");
}

TEST(TensorRepr, LongRowsWrap) {
  std::vector<int32_t> v(60);
  std::iota(v.begin(), v.end(), 0);
  const std::string s = Tensor::from<int32_t>(v, {60}).repr();
  size_t begin = 0;
  int lines = 0;
  while (begin <= s.size()) {
    const size_t end = std::min(s.find('\n', begin), s.size());
    EXPECT_LE(end - begin, end == s.size() ? 120u : 80u);  // shape and dtype may stick out
    begin = end + 1;
    ++lines;
  }
  EXPECT_EQ(lines, 4);
  EXPECT_EQ(s.find("..."), std::string::npos);
}

TEST(TensorRepr, SummarisesBeyondAThousand) {
  EXPECT_EQ(Tensor::full({1000}, 1).repr().find("..."), std::string::npos);
  std::vector<int32_t> v(1001);
  std::iota(v.begin(), v.end(), 0);
  EXPECT_EQ(Tensor::from<int32_t>(v, {1001}).repr(),
            "Tensor([0, 1, 2, ..., 998, 999, 1000], shape=[1001], dtype=i32)");
  EXPECT_EQ(Tensor::zeros({500, 2, 7}, DType::kU8).repr(),
            "Tensor([[[0, 0, 0, ..., 0, 0, 0],\n"
            "         [0, 0, 0, ..., 0, 0, 0]],\n"
            "\n"
            "        [[0, 0, 0, ..., 0, 0, 0],\n"
            "         [0, 0, 0, ..., 0, 0, 0]],\n"
            "\n"
            "        [[0, 0, 0, ..., 0, 0, 0],\n"
            "         [0, 0, 0, ..., 0, 0, 0]],\n"
            "\n"
            "        ...,\n"
            "\n"
            "        [[0, 0, 0, ..., 0, 0, 0],\n"
            "         [0, 0, 0, ..., 0, 0, 0]],\n"
            "\n"
            "        [[0, 0, 0, ..., 0, 0, 0],\n"
            "         [0, 0, 0, ..., 0, 0, 0]],\n"
            "\n"
            "        [[0, 0, 0, ..., 0, 0, 0],\n"
            "         [0, 0, 0, ..., 0, 0, 0]]], shape=[500, 2, 7], dtype=u8)");
}

TEST(TensorRepr, FollowsStridesAndLayouts) {
  Tensor base = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  TensorMeta m({3, 2}, DType::kF32);
  m.strides = {1, 3};
  EXPECT_EQ(Tensor::view_of(base.ref(), base.impl()->data, m).repr(),
            "Tensor([[1, 4], [2, 5], [3, 6]], shape=[3, 2], dtype=f32)");
  TensorMeta blocked({1, 3, 1, 2}, DType::kF32);
  blocked.layout = intern_layout("aBcd4b");
  Tensor t = Tensor::empty(blocked);
  float* p = t.mutable_data_as<float>();
  for (int i = 0; i < 8; ++i) p[i] = static_cast<float>(i);
  EXPECT_EQ(t.repr(), "Tensor([[[[0, 4]], [[1, 5]], [[2, 6]]]], shape=[1, 3, 1, 2], dtype=f32)");
}

}  // namespace
}  // namespace rutile
