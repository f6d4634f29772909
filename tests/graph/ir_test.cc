// SPDX-License-Identifier: Apache-2.0
// Text form and verifier.
#include <gtest/gtest.h>

#include "rutile/graph/ir/graph.h"
#include "rutile/ops/elementwise.h"

namespace rutile::graph {
namespace {

constexpr const char* kText = R"(graph {
  %0 = input "x" f32[2,3]
  %1 = state "w" f32[4,3]
  %2 = constant f32[] {0.5}
  %3 : f32[2,4] = matmul(%0, %1) {transpose_b=true} @"fc" #forward
  %4 : f32[2,4] = mul(%3, %2) #backward
  %5 : f32[4,3] = mul(%1, %2) #optimizer
  state %1 <- %5
  return %4
}
)";

Graph parsed(const std::string& text) {
  Graph g;
  const Status s = parse(text, &g);
  EXPECT_TRUE(s.ok()) << s.message();
  return g;
}

TEST(IrText, PrintsWhatItParses) { EXPECT_EQ(print(parsed(kText)), kText); }

TEST(IrText, PlacementsSurvive) {
  const std::string text = R"(graph {
  %0 = input "x" f32[2,37,5,5]<aBcd16b>
  %1 = input "y" f32[2,8,5,5]<channels_last>
  %2 = input "z" f32[3,2]<strides=[1,3]>
  %3 : f32[2,37,5,5]<aBcd16b> = relu(%0) #forward
  return %3, %1, %2
}
)";
  EXPECT_EQ(print(parsed(text)), text);
}

TEST(IrText, EveryErrorNamesItsLine) {
  const std::pair<const char*, const char*> bad[] = {
      {"graph {\n  %0 = input \"x\" f32[2", "line 2"},
      {"graph {\n  return %7\n}", "%7 is not defined"},
      {"graph {\n  %0 = input \"x\" q8[2]\n  return %0\n}", "dtype"},
      {"graph {\n  %0 = input \"x\" f32[2]\n  %1 : f32[2] = nonsense(%0)\n  return %1\n}",
       "no op nonsense"},
      {"graph {\n  %0 = input \"x\" f32[2]\n  %1 : f32[2] = relu(%0) {p=1}\n  return %1\n}",
       "no attribute p"},
      {"graph {\n  %0 = constant f32[2] {1}\n  return %0\n}", "number of elements"},
      {"graph {\n  %0 = input \"x\" f32[2]\n  %0 = input \"y\" f32[2]\n  return %0\n}", "twice"},
      {"", "expects graph"},
  };
  for (const auto& [text, expected] : bad) {
    Graph g;
    const Status s = parse(text, &g);
    ASSERT_FALSE(s.ok()) << text;
    EXPECT_NE(s.message().find(expected), std::string::npos) << s.message();
  }
}

TEST(IrText, TruncatedTextIsAnErrorNotACrash) {
  const std::string text = kText;
  for (size_t n = 0; n + 2 < text.size(); ++n) {
    Graph g;
    EXPECT_FALSE(parse(text.substr(0, n), &g).ok()) << n;
  }
}

TEST(Verify, AcceptsAGoodGraph) {
  const Status s = verify(parsed(kText));
  EXPECT_TRUE(s.ok()) << s.message();
}

// Each breaks one rule.
TEST(Verify, FindsBrokenRules) {
  auto expect = [](const Graph& g, const char* what) {
    const Status s = verify(g);
    ASSERT_FALSE(s.ok()) << what;
    EXPECT_NE(s.message().find(what), std::string::npos) << s.message();
  };
  Graph g = parsed(kText);
  std::swap(g.order[0], g.order[1]);
  expect(g, "before it is computed");

  g = parsed(kText);
  g.values[g.nodes[g.order[0]].outputs[0]].meta.shape = Shape{2, 5};
  expect(g, "infer gives");

  g = parsed(kText);
  g.order.push_back(g.order[0]);
  expect(g, "stands twice");

  g = parsed(kText);
  g.nodes[g.order[1]].outputs[0] = g.nodes[g.order[0]].outputs[0];
  expect(g, "assigned twice");

  g = parsed(kText);
  g.states[0].out = g.nodes[g.order[1]].outputs[0];
  expect(g, "leaves as");

  g = parsed(kText);
  g.outputs.push_back(1000);
  expect(g, "not computed");
}

TEST(Verify, AnOldValueMayBeReadAfterTheWrite) {
  const char* text = R"(graph {
  %0 = state "m" f32[4]
  %1 = state "v" f32[4]
  %2 = input "mean" f32[4]
  %3 = input "rstd" f32[4]
  %4 : f32[4], %5 : f32[4] = batch_norm_update_stats(%0, %1, %2, %3) {count=10} #forward
  %6 : f32[4] = relu(%0) #forward
  state %0 <- %4
  state %1 <- %5
  return %6
}
)";
  const Status s = verify(parsed(text));
  EXPECT_TRUE(s.ok()) << s.message();
}

TEST(Verify, StatesAreRowMajorAndViewsLieAsTheirMemory) {
  Graph g = parsed("graph {\n  %0 = state \"w\" f32[2,3]<strides=[1,2]>\n  return %0\n}\n");
  Status s = verify(g);
  ASSERT_FALSE(s.ok());
  EXPECT_NE(s.message().find("row-major"), std::string::npos) << s.message();
  g = parsed(
      "graph {\n  %0 = input \"x\" f32[2,3]\n  %1 : f32[3,2] = transpose(%0) #forward\n"
      "  return %1\n}\n");
  s = verify(g);  // a transpose is no row-major value
  ASSERT_FALSE(s.ok());
  EXPECT_NE(s.message().find("lies as"), std::string::npos) << s.message();
}

}  // namespace
}  // namespace rutile::graph
