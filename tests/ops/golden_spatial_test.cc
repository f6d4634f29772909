// SPDX-License-Identifier: Apache-2.0
// Ops on images and their gradients against PyTorch in float64, eager and as a compiled function.
#include <gtest/gtest.h>

#include "rutile/tests/support/golden_sample.h"

namespace rutile {
namespace {

using namespace golden;

TEST(Golden, SpatialOpsAndGradientsAgreeWithPyTorch) {
  const Json file = read_golden_file("spatial_f64.json");
  for (const Json& j : file.at("samples")) {
    try {
      check_op_sample(j, "spatial", "out.0");
    } catch (const Error& e) {
      ADD_FAILURE() << j.at("op") << " " << j.at("index") << ": " << e.what();
    }
  }
}

}  // namespace
}  // namespace rutile
