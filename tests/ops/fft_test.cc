// SPDX-License-Identifier: Apache-2.0
// Transforms over several axes, shifts and frequencies: the parts that are no ops of their own.
#include "rutile/ops/fft.h"

#include <gtest/gtest.h>

#include <complex>

#include "rutile/autograd/checker.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/ops/samples/sample.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile {
namespace {

using samples::to_doubles;
using Complex = std::complex<double>;

Tensor drawn(const Shape& shape, DType t = DType::kC128, uint64_t key = 1) {
  return samples::make_tensor(samples::in(shape), t, {key});
}

void expect_close(const Tensor& got, const Tensor& want, double tol = 1e-12) {
  ASSERT_EQ(to_string(got.meta()), to_string(want.meta()));
  const std::vector<double> a = to_doubles(got), b = to_doubles(want);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tol) << i;
}

TEST(Fft, SeveralAxesAreOneAfterTheOther) {
  const Tensor z = drawn({3, 4, 5});
  expect_close(ops::fftn(z), ops::fft(ops::fft(ops::fft(z, {.axis = 0}), {.axis = 1})));
  expect_close(ops::fft2(z), ops::fftn(z, {.axes = {-2, -1}}));
  expect_close(ops::fftn(z, {.s = {2, 7}}), ops::fft(ops::fft(z, {.n = 2, .axis = 1}), {.n = 7}));
  expect_close(ops::ifftn(ops::fftn(z)), z);
  const Tensor x = drawn({3, 4, 5}, DType::kF64);
  expect_close(ops::rfft2(x), ops::fft(ops::rfft(x), {.axis = 1}));
  expect_close(ops::irfft2(ops::rfft2(x), {.s = {4, 5}}), x);
  expect_close(ops::irfftn(ops::rfftn(x), {.s = {3, 4, 5}}), x);
}

TEST(Fft, EveryNormIsUndoneByItsInverse) {
  const Tensor z = drawn({2, 6}), x = drawn({2, 7}, DType::kF64);
  for (const ops::FftNorm norm :
       {ops::FftNorm::kBackward, ops::FftNorm::kOrtho, ops::FftNorm::kForward}) {
    expect_close(ops::ifft(ops::fft(z, {.norm = norm}), {.norm = norm}), z);
    expect_close(ops::irfft(ops::rfft(x, {.norm = norm}), {.n = 7, .norm = norm}), x);
    expect_close(ops::hfft(ops::ihfft(x, {.norm = norm}), {.n = 7, .norm = norm}), x);
    expect_close(ops::irfft2(ops::rfft2(x, {.norm = norm}), {.s = {2, 7}, .norm = norm}), x);
  }
}

TEST(Fft, HermitianTransformIsThatOfTheWholeSignal) {
  // [1, 2+i, 3] stands for [1, 2+i, 3, 2-i].
  const Tensor half = Tensor::from<Complex>({1, {2, 1}, 3}, {3});
  const Tensor whole = Tensor::from<Complex>({1, {2, 1}, 3, {2, -1}}, {4});
  expect_close(ops::hfft(half), ops::real(ops::fft(whole)));
}

TEST(Fft, TakesRealNumbersOfEveryType) {
  const Tensor x = drawn({8}, DType::kF32);
  expect_close(ops::fft(x), ops::fft(ops::cast(x, DType::kC64)));
  EXPECT_EQ(ops::rfft(ops::cast(x, DType::kI32)).dtype(), DType::kC64);
  EXPECT_EQ(ops::rfft(ops::cast(x, DType::kBF16)).dtype(), DType::kC64);
  EXPECT_EQ(ops::fft(ops::cast(x, DType::kF64)).dtype(), DType::kC128);
}

TEST(Fft, LargeTransformsAgreeWithSmallOnesOfDoubles) {
  for (const int64_t n : {4096, 65536, 40000, 65537, 98304}) {
    const Tensor z = drawn({n}, DType::kC64);
    const Tensor exact = ops::fft(ops::cast(z, DType::kC128));
    const Tensor error = ops::abs(ops::cast(ops::fft(z), DType::kC128) - exact);
    const double size = ops::norm(ops::abs(exact)).item();
    EXPECT_LT(ops::norm(error).item() / size, 2e-6) << n;
    expect_close(ops::ifft(exact), ops::cast(z, DType::kC128), 1e-11);
  }
}

TEST(Fft, ShiftsAndFrequencies) {
  const Tensor f = ops::fftfreq(5, 0.5, DType::kF64);
  expect_close(f, Tensor::from<double>({0, 0.4, 0.8, -0.8, -0.4}, {5}));
  expect_close(ops::fftfreq(4, 1, DType::kF64), Tensor::from<double>({0, .25, -.5, -.25}, {4}));
  expect_close(ops::rfftfreq(5, 1, DType::kF64), Tensor::from<double>({0, .2, .4}, {3}));
  expect_close(ops::fftshift(f), Tensor::from<double>({-0.8, -0.4, 0, 0.4, 0.8}, {5}));
  expect_close(ops::ifftshift(ops::fftshift(f)), f);
  const Tensor x = drawn({3, 4}, DType::kF64);
  expect_close(ops::ifftshift(ops::fftshift(x, {1}), {-1}), x);
}

TEST(Fft, ComposedTransformsHaveGradients) {
  const auto f = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{ops::irfft2(ops::rfft2(in[0]) * in[1], {.s = {4, 5}}),
                               ops::hfft(in[1]), ops::ihfft(in[0])};
  };
  const Status s =
      check_gradients(f, {drawn({4, 5}, DType::kF64), drawn({4, 3})}, {.second_order = true});
  EXPECT_TRUE(s.ok()) << s.message();
}

TEST(Fft, CompiledConvolutionIsTheEagerOne) {
  const auto f = [](const std::vector<Tensor>& in) {
    const Tensor y = ops::irfft(ops::rfft(in[0], {.n = 16}) * ops::rfft(in[1], {.n = 16}));
    return std::vector<Tensor>{y};
  };
  const std::vector<Tensor> in = {drawn({8}, DType::kF64), drawn({8}, DType::kF64, 2)};
  graph::Compiled compiled(f, {});
  expect_close(compiled(in)[0], f(in)[0]);
}

TEST(Fft, WrongAxesAndSizesAreErrors) {
  const Tensor z = drawn({3, 4});
  EXPECT_RUTILE_ERROR(ops::fftn(z, {.axes = {0, 2}}), kIndex, "[fftn]");
  EXPECT_RUTILE_ERROR(ops::fftn(z, {.axes = {0, -2}}), kValue, "named twice");
  EXPECT_RUTILE_ERROR(ops::fftn(z, {.s = {1}, .axes = {0, 1}}), kValue, "differ in number");
  EXPECT_RUTILE_ERROR(ops::ifftn(z, {.s = {1, 2, 3}}), kValue, "3 axes for 2");
  EXPECT_RUTILE_ERROR(ops::fftfreq(0), kValue, "n >= 1");
  EXPECT_RUTILE_ERROR(ops::rfft(z), kType, "f32 or f64");
}

}  // namespace
}  // namespace rutile
