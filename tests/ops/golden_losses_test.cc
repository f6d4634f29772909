// SPDX-License-Identifier: Apache-2.0
// Losses and their gradients against PyTorch in float64, eager and as a compiled function.
#include <gtest/gtest.h>

#include <set>

#include "rutile/tests/support/golden_sample.h"

namespace rutile {
namespace {

using namespace golden;

TEST(Golden, LossesAndGradientsAgreeWithPyTorch) {
  std::set<std::string> seen;
  const Json file = read_golden_file("losses_f64.json");
  for (const Json& j : file.at("samples")) {
    seen.insert(check_op_sample(j, "losses", "loss")->name);
  }
  EXPECT_EQ(seen.size(), 22u);
}

}  // namespace
}  // namespace rutile
