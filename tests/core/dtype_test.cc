// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/dtype.h"

#include <gtest/gtest.h>

#include "rutile/core/device.h"
#include "rutile/core/element.h"

namespace rutile {
namespace {

DType nth(int i) { return static_cast<DType>(i); }

TEST(DType, NamesReadBack) {
  const char* const kLong[] = {"bool",     "uint8",   "uint16",  "uint32",    "uint64",
                               "int8",     "int16",   "int32",   "int64",     "float16",
                               "bfloat16", "float32", "float64", "complex64", "complex128"};
  for (int i = 0; i < kNumDTypes; ++i) {
    DType t;
    ASSERT_TRUE(parse_dtype(dtype_name(nth(i)), &t));
    EXPECT_EQ(t, nth(i));
    ASSERT_TRUE(parse_dtype(kLong[i], &t));
    EXPECT_EQ(t, nth(i));
  }
  DType t = DType::kI8;
  EXPECT_FALSE(parse_dtype("float31", &t));
  EXPECT_FALSE(parse_dtype("", &t));
  EXPECT_EQ(t, DType::kI8) << "a failure leaves the output alone";
}

TEST(DType, SizesAndKinds) {
  EXPECT_EQ(dtype_size(dtype_of<std::complex<double>>), sizeof(std::complex<double>));
  EXPECT_EQ(dtype_size(dtype_of<Half>), sizeof(Half));
  EXPECT_EQ(dtype_size(dtype_of<int64_t>), sizeof(int64_t));
  for (int i = 0; i < kNumDTypes; ++i) {
    const int kinds = (nth(i) == DType::kBool) + is_signed_int(nth(i)) + is_unsigned_int(nth(i)) +
                      is_floating(nth(i)) + is_complex(nth(i));
    EXPECT_EQ(kinds, 1) << dtype_name(nth(i));
    EXPECT_EQ(is_integral(nth(i)), is_signed_int(nth(i)) || is_unsigned_int(nth(i)));
  }
}

TEST(DType, PromotionIsSymmetricAndAbsorbing) {
  for (int a = 0; a < kNumDTypes; ++a) {
    EXPECT_EQ(promote(nth(a), nth(a)), nth(a));
    EXPECT_EQ(promote(nth(a), DType::kBool), nth(a));
    EXPECT_EQ(promote(nth(a), DType::kC128), DType::kC128);
    for (int b = 0; b < kNumDTypes; ++b) {
      const DType p = promote(nth(a), nth(b));
      EXPECT_EQ(p, promote(nth(b), nth(a)));
      EXPECT_EQ(promote(p, nth(a)), p) << dtype_name(nth(a)) << " " << dtype_name(nth(b));
    }
  }
}

TEST(DType, PromotionCases) {
  EXPECT_EQ(promote(DType::kU8, DType::kI8), DType::kI16);
  EXPECT_EQ(promote(DType::kU8, DType::kI32), DType::kI32);
  EXPECT_EQ(promote(DType::kU16, DType::kI16), DType::kI32);
  EXPECT_EQ(promote(DType::kU32, DType::kI8), DType::kI64);
  EXPECT_EQ(promote(DType::kU64, DType::kI64), DType::kF64);
  EXPECT_EQ(promote(DType::kU8, DType::kU32), DType::kU32);
  EXPECT_EQ(promote(DType::kI64, DType::kF32), DType::kF32);
  EXPECT_EQ(promote(DType::kI64, DType::kBF16), DType::kBF16);
  EXPECT_EQ(promote(DType::kF16, DType::kBF16), DType::kF32);
  EXPECT_EQ(promote(DType::kF16, DType::kF64), DType::kF64);
  EXPECT_EQ(promote(DType::kC64, DType::kF32), DType::kC64);
  EXPECT_EQ(promote(DType::kF64, DType::kC64), DType::kC128);
}

TEST(Device, Names) {
  EXPECT_EQ(to_string(kCpu), "cpu");
  EXPECT_EQ(to_string(Device{DeviceType::kCuda, 1}), "cuda:1");
  EXPECT_EQ(to_string(Device{DeviceType::kFake, 0}), "fake:0");
}

TEST(Element, IntegersKeepAllBits) {
  const uint64_t big = 0xfffffffffffffff1;
  uint64_t u = 0;
  ASSERT_TRUE(store_element(load_element(DType::kU64, &big), DType::kU64, &u).ok());
  EXPECT_EQ(u, big);
  const int64_t low = std::numeric_limits<int64_t>::min() + 1;
  int64_t i = 0;
  ASSERT_TRUE(store_element(load_element(DType::kI64, &low), DType::kI64, &i).ok());
  EXPECT_EQ(i, low);
}

TEST(Element, RangeIsChecked) {
  const auto store = [](double v, DType t) {
    char out[16];
    return store_element({.kind = Element::Kind::kFloat, .re = v}, t, out).ok();
  };
  EXPECT_TRUE(store(255.9, DType::kU8));
  EXPECT_FALSE(store(256, DType::kU8));
  EXPECT_TRUE(store(-0.5, DType::kU8));
  EXPECT_FALSE(store(-1, DType::kU8));
  EXPECT_TRUE(store(-128.9, DType::kI8));
  EXPECT_FALSE(store(-129, DType::kI8));
  EXPECT_FALSE(store(0x1p63, DType::kI64));
  EXPECT_TRUE(store(-0x1p63, DType::kI64));
  EXPECT_TRUE(store(0x1p63, DType::kU64));
  EXPECT_FALSE(store(0x1p64, DType::kU64));
  EXPECT_FALSE(store(NAN, DType::kI32));
  EXPECT_FALSE(store(HUGE_VAL, DType::kI64));
  EXPECT_TRUE(store(HUGE_VAL, DType::kF16));
}

TEST(Element, ComplexNeedsAComplexType) {
  const Element e{.kind = Element::Kind::kComplex, .re = 2, .im = 1};
  char out[16];
  const Status s = store_element(e, DType::kF32, out);
  EXPECT_EQ(s.code(), ErrorCode::kType);
  EXPECT_NE(s.message().find("2+1j"), std::string::npos) << s.message();
  bool b = false;
  ASSERT_TRUE(store_element(e, DType::kBool, &b).ok());
  EXPECT_TRUE(b);
  float re = 0;
  ASSERT_TRUE(store_element({.kind = Element::Kind::kComplex, .re = 2}, DType::kF32, &re).ok());
  EXPECT_EQ(re, 2.0f);
}

}  // namespace
}  // namespace rutile
