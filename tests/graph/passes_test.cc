// SPDX-License-Identifier: Apache-2.0
// Each pass: text before, text after.
#include <gtest/gtest.h>

#include "rutile/graph/pass/pass.h"

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

TEST(Passes, NamesAreUniqueAndDocumented) {
  std::vector<std::string> seen;
  for (const Pass& p : pipeline()) {
    EXPECT_EQ(std::count(seen.begin(), seen.end(), p.name), 0) << p.name;
    seen.push_back(p.name);
    EXPECT_GT(std::string(p.doc).size(), 10u) << p.name;
  }
}

}  // namespace
}  // namespace rutile::graph
