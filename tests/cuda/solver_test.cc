// SPDX-License-Identifier: Apache-2.0
// What the samples (rows_test.cc) do not show of the rows over cuSOLVER and cuFFT: errors in data,
// larger matrices, capture, and which calls they take. The libraries are stand-ins (tests/stubs).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fft.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/view.h"
#include "rutile/tests/cuda/emulated.h"
#include "rutile/tests/ops/samples/sample.h"

#if defined(RUTILE_STUB_LIBRARIES)

namespace rutile::cuda {
namespace {

using Tensors = std::vector<Tensor>;

const KernelRow* row_of(const OpDef& op, std::string_view name) {
  register_emulated_rows();
  for (const KernelRow& r : kernel_rows(op, DeviceType::kCuda)) {
    if (r.name == name) return &r;
  }
  return nullptr;
}

// A call and its results.
struct Call {
  Call(const OpDef& o, const void* a, const Tensors& in) : op(o), inputs(in), attrs(o.attrs, a) {
    for (const Tensor& t : inputs) metas.push_back(&t.meta());
    meta = {&op, attrs.get(), metas, {}};
    throw_if_error(infer_call(meta, &outs));
    meta.outputs = outs;
  }
  // By the row of this name.
  Status run(const char* name) {
    const KernelRow* row = row_of(op, name);
    if (!row) return Status(ErrorCode::kInternal, cat("no row ", name));
    Reason reason;
    if (row->supports && !row->supports(meta, &reason)) {
      return Status(ErrorCode::kUnsupported, reason.text);
    }
    std::unique_ptr<Plan> plan;
    RUTILE_RETURN_IF_ERROR(row->prepare(meta, &plan));
    std::vector<void*> in, out;
    for (const Tensor& t : inputs) in.push_back(t.impl()->data);
    results.clear();
    for (const TensorMeta& m : outs) {
      results.push_back(Tensor::empty(m.shape, m.dtype));
      out.push_back(results.back().impl()->data);
    }
    const Tensor room =
        Tensor::empty({static_cast<int64_t>(plan->workspace_bytes) + 1}, DType::kU8);
    RUTILE_RETURN_IF_ERROR(plan->run(*plan, {in.data(), out.data(), room.impl()->data}));
    return take_emulated_fault();
  }
  const OpDef& op;
  Tensors inputs, results;
  AnyAttrs attrs;
  SmallVector<const TensorMeta*, 4> metas;
  SmallVector<TensorMeta, 1> outs;
  CallMeta meta;
};

std::string message(const OpDef& op, const Tensors& in, const void* attrs = nullptr) {
  return Call(op, attrs, in).run("cusolver").message();
}

Tensor matrices(const std::vector<double>& v, const Shape& shape) {
  return Tensor::from<double>(v, shape);
}

double noise(int64_t i) {
  const double x = 43758.5453 * std::sin(12.9898 * static_cast<double>(i + 1));
  return 2 * (x - std::floor(x)) - 1;
}
Tensor noises(const Shape& shape, DType t) {
  std::vector<double> re, im;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    re.push_back(noise(2 * i));
    im.push_back(noise(2 * i + 1));
  }
  const Tensor x = Tensor::from<double>(re, shape), y = Tensor::from<double>(im, shape);
  if (!is_complex(t)) return ops::cast(x, t);
  return ops::complex(ops::cast(x, real_dtype(t)), ops::cast(y, real_dtype(t)));
}

TEST(Solver, SaysWhichMatrixIsWrong) {
  const Tensor singular = matrices({2, 0, 0, 2, 1, 2, 3, 1, 1, 1, 1, 1}, {3, 2, 2});
  EXPECT_EQ(message(ops::kInverse, {singular}),
            "matrix 2 of the batch is singular: pivot 1 is zero");
  EXPECT_EQ(message(ops::kSolve, {matrices({1, 1, 1, 1}, {2, 2}), matrices({1, 2}, {2})}),
            "the matrix is singular: pivot 1 is zero");
  EXPECT_EQ(
      message(ops::kSolveTriangular, {matrices({1, 0, 5, 0}, {2, 2}), matrices({1, 2}, {2, 1})}),
      "the matrix is singular: pivot 1 is zero");
  const ops::TriangularAttrs unit{.unitriangular = true};
  EXPECT_EQ(message(ops::kSolveTriangular,
                    {matrices({1, 0, 5, 0}, {2, 2}), matrices({1, 2}, {2, 1})}, &unit),
            "");
  const char* const kSecond =
      "matrix 1 of the batch is not positive definite: its leading minor of order 2 is not";
  EXPECT_EQ(message(ops::kCholesky, {matrices({2, 0, 0, 2, 1, 2, 2, 1}, {2, 2, 2})}), kSecond);
  // The stand-in lets a NaN pass.
  EXPECT_EQ(message(ops::kCholesky, {matrices({NAN}, {1, 1})}),
            "the matrix is not positive definite: its leading minor of order 1 is not");
}

TEST(Solver, NeverGivesInfinitiesToTheLibrary) {
  const Tensor bad = matrices({1, 0, 0, 2, 1, 2, NAN, 1}, {2, 2, 2});
  const char* const kWanted = "matrix 1 of the batch has elements that are infinite or NaN";
  for (const OpDef* op : {&ops::kEigh, &ops::kSvd, &ops::kEig}) {
    EXPECT_EQ(message(*op, {bad}), kWanted) << op->name;
  }
  EXPECT_EQ(message(ops::kSvd, {matrices({1, INFINITY, 3}, {1, 3})}),
            "the matrix has elements that are infinite or NaN");
  // Of a symmetric matrix only one triangle counts.
  EXPECT_EQ(message(ops::kEigh, {matrices({1, NAN, 2, 3}, {2, 2})}), "");
}

TEST(Solver, SaysThatAnIterationDoesNotConverge) {
  EXPECT_EQ(message(ops::kEigh, {matrices({1e30, 0, 0, 1}, {2, 2})}),
            "the matrix is too ill-conditioned: the iteration does not converge");
}

double distance(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = samples::to_doubles(a), y = samples::to_doubles(b);
  double most = x.size() == y.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    most = std::max(most, std::abs(x[i] - y[i]));
  }
  return most;
}

// Larger than a sample may be: against the cpu.
TEST(Solver, LargerMatrices) {
  for (const DType t : {DType::kF64, DType::kC128}) {
    const Tensor x = noises({2, 67, 67}, t), b = noises({2, 67, 5}, t);
    const Tensor tall = noises({90, 33}, t);
    const auto close = [&](const OpDef& op, const Tensors& in, const void* attrs = nullptr) {
      Call call(op, attrs, in);
      const Status s = call.run("cusolver");
      ASSERT_TRUE(s.ok()) << op.name << ": " << s.message();
      const TensorList want = call_n(op, call.attrs.get(), in);
      for (int i = 0; i < want.size(); ++i) {
        EXPECT_LT(distance(call.results[static_cast<size_t>(i)], want[i]), 1e-9)
            << op.name << ", result " << i;
      }
    };
    close(ops::kInverse, {x});
    close(ops::kSolve, {x, b});
    close(ops::kLuFactor, {tall});
    close(ops::kQr, {tall});
    const ops::QrAttrs complete{true};
    close(ops::kQr, {tall}, &complete);
    const ops::SvdAttrs thin{false}, full{true};
    close(ops::kSvd, {tall}, &thin);
    close(ops::kSvd, {tall}, &full);
    close(ops::kSvd, {ops::transpose(tall, {1, 0})}, &full);
  }
}

TEST(Solver, LeavesSmallMatricesToABlockEach) {
  const Tensor small = noises({63, 63}, DType::kF32), large = noises({64, 64}, DType::kF32);
  const Tensor few = noises({4, 64, 64}, DType::kF32), many = noises({5, 64, 64}, DType::kF32);
  const Tensor complex = noises({2, 2}, DType::kC64);
  ::unsetenv("RUTILE_CUSOLVER_FROM");
  const auto taken = [](const Tensor& x) {
    const Call call(ops::kInverse, nullptr, {x});
    Reason reason;
    return row_of(ops::kInverse, "cusolver")->supports(call.meta, &reason);
  };
  EXPECT_FALSE(taken(small));
  EXPECT_TRUE(taken(large));
  EXPECT_TRUE(taken(few));
  EXPECT_FALSE(taken(many));
  EXPECT_TRUE(taken(complex));
  ::setenv("RUTILE_CUSOLVER_FROM", "10", 1);
  EXPECT_TRUE(taken(small));
  ::setenv("RUTILE_CUSOLVER_FROM", "0", 1);
  EXPECT_TRUE(taken(many));
}

TEST(Solver, IsNotCaptured) {
  const CapturingScope capturing;
  Call call(ops::kInverse, nullptr, {noises({3, 3}, DType::kF64)});
  const Status s = call.run("cusolver");
  EXPECT_EQ(s.code(), ErrorCode::kUnsupported);
  EXPECT_EQ(s.message(), "cuSOLVER does a part of its work on the host");
}

TEST(Fourier, IsCaptured) {
  const CapturingScope capturing;
  Call call(ops::kFft, nullptr, {noises({2, 6}, DType::kC128)});
  EXPECT_TRUE(call.run("cufft").ok());
}

}  // namespace
}  // namespace rutile::cuda

#endif
