// SPDX-License-Identifier: Apache-2.0
// What rows over libraries decide without a GPU: plans in files, and the fastest of several ways.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "rutile/kernels/cuda/plan_store.h"
#include "rutile/kernels/cuda/tune.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::cuda {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

int files_in(const std::string& folder) {
  int n = 0;
  for (const auto& entry : fs::directory_iterator(folder)) n += entry.is_regular_file();
  return n;
}

TEST(PlanStore, KeepsPlansByTheirKeys) {
  testing::TempDir dir;
  const PlanStore store(dir / "below/plans");
  Bytes data{1};
  EXPECT_FALSE(store.find("conv2d", &data));
  EXPECT_TRUE(data.empty());
  store.put("conv2d", Bytes{1, 2, 3});
  store.put("conv2d x", Bytes{});
  ASSERT_TRUE(PlanStore(store.folder()).find("conv2d", &data));
  EXPECT_EQ(data, (Bytes{1, 2, 3}));
  ASSERT_TRUE(store.find("conv2d x", &data));
  EXPECT_TRUE(data.empty());
  store.put("conv2d", Bytes(100000, 7));
  ASSERT_TRUE(store.find("conv2d", &data));
  EXPECT_EQ(data, Bytes(100000, 7));
  EXPECT_EQ(files_in(store.folder()), 2);  // nothing is left of how they were written
}

TEST(PlanStore, TakesNothingThatIsDamaged) {
  testing::TempDir dir;
  const PlanStore store(dir.path());
  store.put("key", Bytes{1, 2, 3, 4, 5, 6, 7, 8});
  const std::string path = fs::directory_iterator(dir.path())->path();
  const std::string whole = testing::read_text(path);
  Bytes data;
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string bad = whole;
    bad[i] = static_cast<char>(bad[i] ^ 0x40);
    testing::write_text(path, bad);
    EXPECT_FALSE(store.find("key", &data)) << "byte " << i;
    testing::write_text(path, whole.substr(0, i));
    EXPECT_FALSE(store.find("key", &data)) << i << " bytes";
  }
  testing::write_text(path, whole + "x");
  EXPECT_FALSE(store.find("key", &data));
  testing::write_text(path, whole);
  EXPECT_TRUE(store.find("key", &data));
}

TEST(PlanStore, KeepsTheNewest) {
  testing::TempDir dir;
  const PlanStore store(dir.path(), 8);
  Bytes data;
  for (int i = 0; i < 30; ++i) {
    store.put(cat("key ", i), Bytes{static_cast<uint8_t>(i)});
    EXPECT_TRUE(store.find(cat("key ", i), &data)) << i;
    EXPECT_LE(files_in(dir.path()), 8);
  }
  EXPECT_FALSE(store.find("key 0", &data));
}

TEST(PlanStore, WithoutAPlaceKeepsNothing) {
  Bytes data;
  for (const char* folder : {"", "/proc/none/plans"}) {
    const PlanStore store(folder);
    store.put("key", Bytes{1});
    EXPECT_FALSE(store.find("key", &data)) << folder;
  }
}

TEST(PlanStore, Folder) {
  const std::string before = std::getenv("RUTILE_CACHE_DIR") ? std::getenv("RUTILE_CACHE_DIR") : "";
  ::setenv("RUTILE_CACHE_DIR", "/some/where", 1);
  EXPECT_EQ(plan_folder("cudnn"), "/some/where/cudnn");
  ::setenv("RUTILE_CACHE_DIR", "", 1);
  EXPECT_EQ(plan_folder("cudnn"), "");
  ::unsetenv("RUTILE_CACHE_DIR");
  ::setenv("XDG_CACHE_HOME", "/cache", 1);
  EXPECT_EQ(plan_folder("cudnn"), "/cache/rutile/cudnn");
  ::unsetenv("XDG_CACHE_HOME");
  if (!before.empty()) ::setenv("RUTILE_CACHE_DIR", before.c_str(), 1);
}

struct Clock {
  std::vector<float> ms;  // negative: fails
  std::vector<int> runs = std::vector<int>(ms.size(), 0);
  Status operator()(int way, float* out) {
    const auto i = static_cast<size_t>(way);
    ++runs[i];
    if (ms[i] < 0) return Status(ErrorCode::kRuntime, "fails");
    *out = ms[i];
    return Status();
  }
};

TEST(Tune, TheFastestWins) {
  Clock clock{{3, 1.5f, 2, 9}};
  EXPECT_EQ(fastest(4, std::ref(clock)), 1);
  EXPECT_EQ(clock.runs, (std::vector<int>{6, 6, 6, 2}));  // the last one was hopeless
}

TEST(Tune, WhatFailsIsOut) {
  Clock clock{{-1, 4, -1}};
  EXPECT_EQ(fastest(3, std::ref(clock)), 1);
  EXPECT_EQ(clock.runs[0], 1);
  Clock none{{-1, -1}};
  EXPECT_EQ(fastest(2, std::ref(none)), -1);
  EXPECT_EQ(fastest(0, std::ref(none)), -1);
}

TEST(Tune, OfEqualOnesTheFirst) {
  Clock clock{{2, 2, 2}};
  EXPECT_EQ(fastest(3, std::ref(clock)), 0);
}

// One slow run, of whatever way, changes nothing.
TEST(Tune, DisturbancesDoNotCount) {
  int calls = 0;
  const auto time = [&](int way, float* ms) {
    *ms = ++calls == 4 ? 100.0f : way == 0 ? 1.0f : 1.3f;
    return Status();
  };
  EXPECT_EQ(fastest(2, time), 0);
}

}  // namespace
}  // namespace rutile::cuda
