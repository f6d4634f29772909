// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunReport example() {
  RunReport r;
  r.program = "resnet50";
  r.network = "ResNet-50";
  r.dataset = "fashion-mnist";
  r.precision = "bf16";
  r.mode = "graph";
  r.parameters = 23528522;
  r.batch_size = 64;
  r.threads = 2;
  r.epochs = 1;
  r.steps = 933;
  r.total_steps = 937;
  r.items_per_second = 212.34;
  r.best_items_per_second = 250;
  r.step_ms = 301.4;
  r.final_loss = 0.25;
  r.test_accuracy = 0.8812;
  r.train_seconds = 280;
  r.total_seconds = 300;
  return r;
}

TEST(Report, Table) {
  const std::string t = table(example());
  EXPECT_EQ(t.substr(0, t.find('\n')), "ResNet-50 on fashion-mnist");
  EXPECT_THAT(t, HasSubstr("  parameters        23,528,522\n"));
  EXPECT_THAT(t, HasSubstr("  precision         bf16, fp32 master weights\n"));
  EXPECT_THAT(t, HasSubstr("  steps             937 (933 measured)\n"));
  EXPECT_THAT(t, HasSubstr("  images/s          212 median, 250 best\n"));
  EXPECT_THAT(t, HasSubstr("  test accuracy     0.8812\n"));
  EXPECT_THAT(t, HasSubstr("  time              300.0 s (training 280.0 s)\n"));
  EXPECT_THAT(t, Not(HasSubstr("nan")));
  EXPECT_THAT(t, Not(HasSubstr("arena")));
}

TEST(Report, Json) {
  RunReport r = example();
  r.checkpoint = "not \xff UTF-8";
  const auto j = nlohmann::json::parse(json(r));
  EXPECT_EQ(j["items_per_second"], 212.34);
  EXPECT_EQ(j["best_items_per_second"], 250);
  EXPECT_EQ(j["step_ms"], 301.4);
  EXPECT_EQ(j["steps"], 933);
  EXPECT_EQ(j["final_loss"], 0.25);
  EXPECT_EQ(j["test_accuracy"], 0.8812);
  for (const char* key :
       {"first_step_s", "peak_rss_mb", "device_peak_mb", "arena_mb", "kernels_per_step"}) {
    ASSERT_TRUE(j.contains(key)) << key;
    EXPECT_TRUE(j[key].is_null()) << key;
  }
}

TEST(Report, JsonFile) {
  testing::TempDir dir;
  write_json(dir / "run.json", example());
  EXPECT_EQ(testing::read_text(dir / "run.json"), json(example()));
  EXPECT_RUTILE_ERROR(write_json(dir / "none/run.json", example()), kNotFound, "none");
  EXPECT_GT(peak_rss_mb(), 1);
}

}  // namespace
}  // namespace rutile::train
