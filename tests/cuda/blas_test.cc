// SPDX-License-Identifier: Apache-2.0
// What the samples (rows_test.cc) do not show of the rows over cuBLASLt: which calls of the ops of
// ops/epilogues.h they take, and what they ask of the library. It is a stand-in (tests/stubs).
#include <gtest/gtest.h>

#include "rutile/kernels/cuda/blas_library.h"
#include "rutile/ops/epilogues.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/tests/cuda/emulated.h"

#if defined(RUTILE_STUB_LIBRARIES)

namespace rutile::cuda {
namespace {

// Why the row refuses the call; empty: it takes it, and has a plan for it.
std::string refusal(const OpDef& op, const std::vector<TensorMeta>& in,
                    const void* attrs = nullptr) {
  register_emulated_rows();
  SmallVector<const TensorMeta*, 4> metas;
  for (const TensorMeta& m : in) metas.push_back(&m);
  SmallVector<TensorMeta, 1> out;
  throw_if_error(infer_call({&op, attrs, metas, {}}, &out));
  const CallMeta call{&op, attrs, metas, out};
  for (const KernelRow& row : kernel_rows(op, DeviceType::kCuda)) {
    if (std::string_view(row.name) != "cublaslt") continue;
    Reason reason;
    if (!row.supports(call, &reason)) return reason.text;
    std::unique_ptr<Plan> plan;
    const Status s = row.prepare(call, &plan);
    return s.ok() ? "" : s.message();
  }
  return "there is no such row";
}

TensorMeta low(const Shape& s) { return TensorMeta(s, DType::kBF16); }

TEST(Blas, TakesProductsWithMoreAtTheirEnd) {
  EXPECT_EQ(refusal(ops::kLinearGelu, {low({64, 1024, 768}), low({3072, 768}), low({3072})}), "");
  EXPECT_EQ(refusal(ops::kLinearGelu, {low({8, 16}), low({24, 16})}), "");
  EXPECT_EQ(refusal(ops::kMatmulGeluGrad, {low({8, 4, 16}), low({16, 24}), low({8, 4, 24})}), "");
  const ops::MatmulAttrs gradient{.transpose_a = true, .out_dtype = DType::kF32};
  EXPECT_EQ(refusal(ops::kMatmulSums, {low({96, 24}), low({96, 7})}, &gradient), "");
}

TEST(Blas, RefusesWhatTheLibraryCannotDo) {
  const TensorMeta wide({8, 16}, DType::kF32), weight({24, 16}, DType::kF32);
  EXPECT_EQ(refusal(ops::kLinearGelu, {wide, weight}), "takes f16 and bf16");
  EXPECT_EQ(refusal(ops::kLinearGelu, {low({8, 16}), low({23, 16})}),
            "takes rows of a multiple of 8");
  TensorMeta gaps = low({8, 24});
  gaps.strides = {48, 1};
  EXPECT_EQ(refusal(ops::kMatmulGeluGrad, {low({8, 16}), low({16, 24}), gaps}),
            "keeps what GELU reads without gaps");
  EXPECT_EQ(refusal(ops::kMatmulGeluGrad, {low({3, 8, 16}), low({3, 16, 24}), low({3, 8, 24})}),
            "takes one product");
}

// An epilogue that the library has no algorithm for is no plan: the pass leaves the nodes as they
// are. The stand-in has none of GELU's for operands that are not aligned.
TEST(Blas, AlgorithmsAreForAnAlignment) {
  register_emulated_rows();
  BlasProduct p;
  p.first = {false, 24, 16, 24, 0, DType::kBF16};
  p.second = {false, 16, 8, 16, 0, DType::kBF16};
  p.result = {false, 24, 8, 24, 0, DType::kBF16};
  p.end = BlasEnd::kGeluAux;
  p.side_ld = 24;
  std::unique_ptr<const LibraryProduct> product;
  ASSERT_TRUE(LibraryProduct::make(0, p, &product).ok());
  std::vector<BlasWay> ways;
  EXPECT_EQ(product->ways(2, 8, &ways).code(), ErrorCode::kUnsupported);
  ASSERT_TRUE(product->ways(16, 8, &ways).ok());
  EXPECT_EQ(ways.size(), 2u);
  EXPECT_GT(ways[0].bytes, 0u);
}

}  // namespace
}  // namespace rutile::cuda

#endif
