// SPDX-License-Identifier: Apache-2.0
// Each pass: text before, text after.
#include <gtest/gtest.h>

#include "rutile/graph/pass/pass.h"
#include "rutile/kernels/cpu/isa.h"

namespace rutile::graph {
namespace {

void expect_pass(Status (*pass)(Graph&), const std::string& before, const std::string& after) {
  Graph g;
  Status s = parse(before, &g);
  ASSERT_TRUE(s.ok()) << s.message();
  s = verify(g);
  ASSERT_TRUE(s.ok()) << s.message();
  s = pass(g);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_EQ(print(g), after);
  s = verify(g);
  EXPECT_TRUE(s.ok()) << s.message();
}

TEST(Passes, DceDropsWhatNobodyUses) {
  expect_pass(dce, R"(graph {
  %0 = input "x" f32[2]
  %1 : f32[2] = relu(%0) #forward
  %2 : f32[2] = exp(%0) #forward
  %3 : f32[2] = exp(%2) #forward
  return %1
}
)",
              R"(graph {
  %0 = input "x" f32[2]
  %1 : f32[2] = relu(%0) #forward
  return %1
}
)");
}

TEST(Passes, CseMergesEqualNodesOnly) {
  expect_pass(cse, R"(graph {
  %0 = input "x" f32[2,3]
  %1 : f32[2] = sum(%0) {axes=[1]} #forward
  %2 : f32[2] = sum(%0) {axes=[1]} #backward
  %3 : f32[3] = sum(%0) {axes=[0]} #forward
  %4 : f32[2] = add(%1, %2) #forward
  return %4, %3
}
)",
              R"(graph {
  %0 = input "x" f32[2,3]
  %1 : f32[2] = sum(%0) {axes=[1]} #forward
  %2 : f32[3] = sum(%0) {axes=[0]} #forward
  %3 : f32[2] = add(%1, %1) #forward
  return %3, %2
}
)");
}

TEST(Passes, ConstantsFold) {
  expect_pass(constant_fold, R"(graph {
  %0 = input "x" f32[2]
  %1 = constant f32[2] {1, 2}
  %2 = constant f32[] {3}
  %3 : f32[2] = mul(%1, %2) #forward
  %4 : f32[2] = add(%0, %3) #forward
  return %4
}
)",
              R"(graph {
  %0 = input "x" f32[2]
  %1 = constant f32[2] {3, 6}
  %2 : f32[2] = add(%0, %1) #forward
  return %2
}
)");
}

TEST(Passes, CanonicalizeRemovesNothingButIdentities) {
  expect_pass(canonicalize, R"(graph {
  %0 = input "x" f32[2,3]
  %1 = constant f32[] {1}
  %2 : f32[2,3] = cast(%0) {dtype=f32} #forward
  %3 : f32[2,3] = mul(%2, %1) #forward
  %4 : f32[3,2] = reshape(%3) {shape=[3,2]} #forward
  %5 : f32[6] = reshape(%4) {shape=[6]} #forward
  %6 : bf16[6] = cast(%5) {dtype=bf16} #forward
  %7 : f32[6] = cast(%6) {dtype=f32} #forward
  return %7
}
)",
              R"(graph {
  %0 = input "x" f32[2,3]
  %1 : f32[3,2] = reshape(%0) {shape=[3,2]} #forward
  %2 : f32[6] = reshape(%0) {shape=[6]} #forward
  %3 : bf16[6] = cast(%2) {dtype=bf16} #forward
  %4 : f32[6] = cast(%3) #forward
  return %4
}
)");
}

TEST(Passes, NormAddReluFuses) {
  expect_pass(fuse_norm_act, R"(graph {
  %0 = input "x" f32[2,4,3,3]
  %1 = input "r" f32[2,4,3,3]
  %2 = input "w" f32[4]
  %3 = input "b" f32[4]
  %4 : f32[2,4,3,3], %5 : f32[4], %6 : f32[4] = batch_norm(%0, %2, %3) #forward
  %7 : f32[2,4,3,3] = add(%4, %1) #forward
  %8 : f32[2,4,3,3] = relu(%7) #forward
  return %8, %5
}
)",
              R"(graph {
  %0 = input "x" f32[2,4,3,3]
  %1 = input "r" f32[2,4,3,3]
  %2 = input "w" f32[4]
  %3 = input "b" f32[4]
  %4 : f32[2,4,3,3], %5 : f32[4], %6 : f32[4] = batch_norm_add_relu(%0, %1, %2, %3) #forward
  return %4, %5
}
)");
}

TEST(Passes, NormWithASecondReaderStays) {
  const std::string text = R"(graph {
  %0 = input "x" f32[2,4,3,3]
  %1 : f32[2,4,3,3], %2 : f32[4], %3 : f32[4] = batch_norm(%0) #forward
  %4 : f32[2,4,3,3] = relu(%1) #forward
  return %4, %1
}
)";
  expect_pass(fuse_norm_act, text, text);
}

TEST(Passes, NormWhoseResidualNeedsItsStatisticsStays) {
  const std::string text = R"(graph {
  %0 = input "x" f32[2,4,3,3]
  %1 : f32[2,4,3,3], %2 : f32[4], %3 : f32[4] = batch_norm(%0) #forward
  %4 : f32[1,4,1,1] = reshape(%2) {shape=[1,4,1,1]} #forward
  %5 : f32[2,4,3,3] = mul(%0, %4) #forward
  %6 : f32[2,4,3,3] = add(%1, %5) #forward
  %7 : f32[2,4,3,3] = relu(%6) #forward
  return %7
}
)";
  expect_pass(fuse_norm_act, text, text);
}

// Each alone may fuse; both together would wait for one another.
TEST(Passes, NormsThatNeedEachOthersStatisticsFuseOnce) {
  Graph g;
  Status s = parse(R"(graph {
  %0 = input "x" f32[2,4,3,3]
  %1 : f32[2,4,3,3], %2 : f32[4], %3 : f32[4] = batch_norm(%0) #forward
  %4 : f32[2,4,3,3], %5 : f32[4], %6 : f32[4] = batch_norm(%0) {eps=0.1} #forward
  %7 : f32[1,4,1,1] = reshape(%3) {shape=[1,4,1,1]} #forward
  %8 : f32[1,4,1,1] = reshape(%6) {shape=[1,4,1,1]} #forward
  %9 : f32[2,4,3,3] = mul(%0, %7) #forward
  %10 : f32[2,4,3,3] = mul(%0, %8) #forward
  %11 : f32[2,4,3,3] = add(%1, %10) #forward
  %12 : f32[2,4,3,3] = add(%4, %9) #forward
  %13 : f32[2,4,3,3] = relu(%11) #forward
  %14 : f32[2,4,3,3] = relu(%12) #forward
  return %13, %14
}
)",
                   &g);
  ASSERT_TRUE(s.ok()) << s.message();
  s = fuse_norm_act(g);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_TRUE(verify(g).ok());
  int fused = 0;
  for (NodeId id : g.order)
    fused += std::string_view(g.nodes[id].op->name) == "batch_norm_add_relu";
  EXPECT_EQ(fused, 1) << print(g);
}

TEST(Passes, UpdatesStandBehindWhatTheyNeedAndOtherReadersOfTheirStates) {
  expect_pass(schedule, R"(graph {
  %0 = input "x" f32[4]
  %1 = state "a" f32[4]
  %2 = state "b" f32[4]
  %3 = state "lr" f32[]
  %4 : f32[4] = exp(%0) #backward
  %5 : f32[4] = mul(%4, %2) #backward
  %6 : f32[4] = neg(%5) #backward
  %7 : f32[4] = sgd(%1, %4, %3) #optimizer
  %8 : f32[4] = sgd(%2, %4, %3) #optimizer
  state %1 <- %7
  state %2 <- %8
  return %6
}
)",
              R"(graph {
  %0 = input "x" f32[4]
  %1 = state "a" f32[4]
  %2 = state "b" f32[4]
  %3 = state "lr" f32[]
  %4 : f32[4] = exp(%0) #backward
  %5 : f32[4] = sgd(%1, %4, %3) #optimizer
  %6 : f32[4] = mul(%4, %2) #backward
  %7 : f32[4] = sgd(%2, %4, %3) #optimizer
  %8 : f32[4] = neg(%6) #backward
  state %1 <- %5
  state %2 <- %7
  return %8
}
)");
}

constexpr const char* kUpdates = R"(graph {
  %0 = state "a" f32[4]
  %1 = state "b" f32[4]
  %2 = state "lr" f32[]
  %3 = input "g" f32[4]
  %4 : f32[4] = sgd(%0, %3, %2) #optimizer
  %5 : f32[4] = sgd(%1, %3, %2) #optimizer
  %6 : f32[4] = sgd(%4, %5, %2) #optimizer
  state %0 <- %6
  state %1 <- %5
  return %3
}
)";

TEST(Passes, UpdatesOfOneLevelFuseAndLaterOnesStay) {
  Graph g;
  Status s = parse(kUpdates, &g);
  ASSERT_TRUE(s.ok()) << s.message();
  s = fuse_optimizer(g);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_TRUE(verify(g).ok()) << verify(g).message();
  ASSERT_EQ(g.order.size(), 2u) << print(g);
  EXPECT_STREQ(g.nodes[g.order[0]].op->name, "sgd_multi");
  EXPECT_STREQ(g.nodes[g.order[1]].op->name, "sgd");
}

TEST(Passes, OldValueReadersThatNeedTheNewValueMakeNoCycle) {
  const std::string text = R"(graph {
  %0 = state "a" f32[4]
  %1 = state "b" f32[4]
  %2 = state "lr" f32[]
  %3 = input "g" f32[4]
  %4 : f32[4] = sgd(%0, %3, %2) #optimizer
  %5 : f32[4] = sgd(%1, %3, %2) #optimizer
  %6 : f32[4] = sub(%4, %0) #optimizer
  %7 : f32[4] = neg(%1) #optimizer
  state %0 <- %4
  state %1 <- %5
  return %6, %7
}
)";
  Graph g;
  Status s = parse(text, &g);
  ASSERT_TRUE(s.ok()) << s.message();
  s = fuse_optimizer(g);
  ASSERT_TRUE(s.ok()) << s.message();
  ASSERT_EQ(g.order.size(), 3u) << print(g);
  // The reader that is free to come before the update does.
  EXPECT_STREQ(g.nodes[g.order[0]].op->name, "neg") << print(g);
  EXPECT_STREQ(g.nodes[g.order[2]].op->name, "sub") << print(g);
}

TEST(Passes, AViewOfAStateIsReadBeforeTheStateIsWritten) {
  Graph g;
  Status s = parse(R"(graph {
  %0 = state "a" f32[2,3]
  %1 = state "lr" f32[]
  %2 = input "g" f32[2,3]
  %3 : f32[3,2]<strides=[1,3]> = transpose(%0) #forward
  %4 : f32[2,3] = sgd(%0, %2, %1) #optimizer
  %5 : f32[3,2]<strides=[1,3]> = exp(%3) #forward
  state %0 <- %4
  return %5
}
)",
                   &g);
  ASSERT_TRUE(s.ok()) << s.message();
  s = fuse_optimizer(g);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_STREQ(g.nodes[g.order.back()].op->name, "sgd") << print(g);
}

TEST(Passes, GradientsOfDisjointSlicesAreConcatenated) {
  expect_pass(merge_sums, R"(graph {
  %0 = input "a" f32[2,1]
  %1 = input "b" f32[2,2]
  %2 = input "c" f32[2,4]
  %3 : f32[2,4] = slice_grad(%0) {shape=[2,4], starts=[0,-1], ends=[2,4], steps=[]} #backward
  %4 : f32[2,4] = slice_grad(%1) {shape=[2,4], starts=[0,0], ends=[2,2], steps=[]} #backward
  %5 : f32[2,4] = add(%3, %2) #backward
  %6 : f32[2,4] = add(%4, %5) #backward
  return %6
}
)",
              R"(graph {
  %0 = input "a" f32[2,1]
  %1 = input "b" f32[2,2]
  %2 = input "c" f32[2,4]
  %3 : f32[2,1] = full() {shape=[2,1]} #backward
  %4 : f32[2,4] = concat(%1, %3, %0) {axis=1} #backward
  %5 : f32[2,4] = add(%2, %4) #backward
  return %5
}
)");
}

TEST(Passes, GradientsOfSlicesThatOverlapAreAdded) {
  const std::string text = R"(graph {
  %0 = input "a" f32[2,3]
  %1 = input "b" f32[2,2]
  %2 : f32[2,4] = slice_grad(%0) {shape=[2,4], starts=[0,1], ends=[2,4], steps=[]} #backward
  %3 : f32[2,4] = slice_grad(%1) {shape=[2,4], starts=[0,0], ends=[2,2], steps=[]} #backward
  %4 : f32[2,4] = add(%2, %3) #backward
  return %4
}
)";
  Graph g;
  ASSERT_TRUE(parse(text, &g).ok());
  expect_pass(merge_sums, text, print(g));
}

// A weight of a loop: the products of all steps as one, the bias from the same rows; what somebody
// else reads stays.
TEST(Passes, ProductsOfOneShapeAreOneProduct) {
  expect_pass(merge_sums, R"(graph {
  %0 = input "x0" f32[2,16]
  %1 = input "x1" f32[2,16]
  %2 = input "x2" f32[2,16]
  %3 = input "y" f32[2,32]
  %4 : f32[16] = sum_to_shape(%0) {shape=[16]} #backward
  %5 : f32[16] = sum_to_shape(%1) {shape=[16]} #backward
  %6 : f32[16] = sum_to_shape(%2) {shape=[16]} #backward
  %7 : f32[16] = add(%4, %5) #backward
  %8 : f32[16] = add(%7, %6) #backward
  %9 : f32[16,32] = matmul(%0, %3) {transpose_a=true} #backward
  %10 : f32[16,32] = matmul(%1, %3) {transpose_a=true} #backward
  %11 : f32[16,32] = matmul(%2, %3) {transpose_a=true} #backward
  %12 : f32[16,32] = add(%9, %10) #backward
  %13 : f32[16,32] = add(%12, %11) #backward
  return %8, %13
}
)",
              R"(graph {
  %0 = input "x0" f32[2,16]
  %1 = input "x1" f32[2,16]
  %2 = input "x2" f32[2,16]
  %3 = input "y" f32[2,32]
  %4 : f32[6,16] = concat(%0, %1, %2) #backward
  %5 : f32[16] = sum_to_shape(%4) {shape=[16]} #backward
  %6 : f32[6,32] = concat(%3, %3, %3) #backward
  %7 : f32[16,32] = matmul(%4, %6) {transpose_a=true} #backward
  return %5, %7
}
)");
  const std::string read_elsewhere = R"(graph {
  %0 = input "x" f32[2,16]
  %1 = input "y" f32[2,32]
  %2 : f32[16,32] = matmul(%0, %1) {transpose_a=true} #backward
  %3 : f32[16,32] = add(%2, %2) #backward
  %4 : f32[16,32] = add(%3, %2) #backward
  return %4
}
)";
  expect_pass(merge_sums, read_elsewhere, read_elsewhere);
}

TEST(Passes, CastsGoIntoTheReordersThatReadThem) {
  if (kernels::isa() != kernels::Isa::kAvx512) GTEST_SKIP() << "reorders cast with AVX-512 only";
  expect_pass(fold_casts, R"(graph {
  %0 = input "w" f32[32,16,3,3]<ABcd16b16a>
  %1 = input "v" f32[32,16,3,3]<ABcd16b16a>
  %2 : bf16[32,16,3,3]<ABcd16b16a> = cast(%0) {dtype=bf16} #forward
  %3 : bf16[32,16,3,3]<ABcd16b16a> = cast(%1) {dtype=bf16} #forward
  %4 : bf16[32,16,3,3]<ABcd8b16a2b> = reorder(%2) {to="ABcd8b16a2b"} #forward
  %5 : bf16[32,16,3,3]<ABcd8a16b2a> = reorder(%2) {to="ABcd8a16b2a"} #forward
  %6 : bf16[32,16,3,3]<ABcd8b16a2b> = reorder(%3) {to="ABcd8b16a2b"} #forward
  return %4, %5, %6, %3
}
)",
              R"(graph {
  %0 = input "w" f32[32,16,3,3]<ABcd16b16a>
  %1 = input "v" f32[32,16,3,3]<ABcd16b16a>
  %2 : bf16[32,16,3,3]<ABcd16b16a> = cast(%0) {dtype=bf16} #forward
  %3 : bf16[32,16,3,3]<ABcd16b16a> = cast(%1) {dtype=bf16} #forward
  %4 : bf16[32,16,3,3]<ABcd8b16a2b> = reorder(%0) {to="ABcd8b16a2b", dtype=bf16} #forward
  %5 : bf16[32,16,3,3]<ABcd8a16b2a> = reorder(%0) {to="ABcd8a16b2a", dtype=bf16} #forward
  %6 : bf16[32,16,3,3]<ABcd8b16a2b> = reorder(%3) {to="ABcd8b16a2b"} #forward
  return %4, %5, %6, %3
}
)");
}

TEST(Passes, NamesAreUniqueAndDocumented) {
  for (const Pipeline which : {Pipeline::kTraining, Pipeline::kInference}) {
    std::vector<std::string> seen;
    for (const Pass& p : pipeline(which)) {
      EXPECT_EQ(std::count(seen.begin(), seen.end(), p.name), 0) << p.name;
      seen.push_back(p.name);
      EXPECT_GT(std::string(p.doc).size(), 10u) << p.name;
    }
  }
}

}  // namespace
}  // namespace rutile::graph
