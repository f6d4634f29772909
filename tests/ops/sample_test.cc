// SPDX-License-Identifier: Apache-2.0
// One test per kind of check and op: Samples/Gradient.add. `--gtest_filter='*.add'` is all of add.
#include <gtest/gtest.h>

#include "rutile/tests/ops/harness.h"

namespace rutile::harness {
namespace {

class SampleTest : public testing::Test {
 public:
  SampleTest(const OpDef& op, Check check) : op_(op), check_(check) {}
  void TestBody() override {
    Findings findings;
    check_(op_, findings);
    if (findings.count()) ADD_FAILURE() << op_.name << ": " << findings.text();
  }

 private:
  const OpDef& op_;
  Check check_;
};

bool register_tests() {
  for (const CheckKind& kind : check_kinds()) {
    for (const OpDef* op : all_ops()) {
      testing::RegisterTest(cat("Samples/", kind.name).c_str(), op->name, nullptr, nullptr,
                            __FILE__, __LINE__,
                            [op, check = kind.run] { return new SampleTest(*op, check); });
    }
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_tests();

}  // namespace
}  // namespace rutile::harness
