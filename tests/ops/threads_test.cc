// SPDX-License-Identifier: Apache-2.0
// What several threads share: the op table, kernel rows, the default generator.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "rutile/ops/kernel_table.h"
#include "rutile/ops/random.h"

namespace rutile::ops {
namespace {

Status infer_nothing(const CallMeta& c, TensorMeta* out) {
  out[0] = c.in(0);
  return Status();
}
Status prepare_nothing(const CallMeta&, std::unique_ptr<Plan>*) { return Status(); }

constinit const OpDef kTestRows = define({.name = "test_rows",
                                          .inputs = {"x"},
                                          .infer = infer_nothing,
                                          .no_grad = "a test",
                                          .doc = "A test."});

TEST(Threads, KernelRowsAreAddedWhileOthersLookThemUp) {
  constexpr int kRows = 2000;
  register_op(kTestRows);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        for (const KernelRow& row : kernel_rows(kTestRows, DeviceType::kCpu)) {
          wrong += row.op != &kTestRows || row.prepare != prepare_nothing;
        }
        wrong += all_ops().empty();
      }
    });
  }
  KernelRow row;
  row.op = &kTestRows;
  row.name = "row";
  row.prepare = prepare_nothing;
  for (int i = 0; i < kRows; ++i) register_kernel(row);
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(kernel_rows(kTestRows, DeviceType::kCpu).size(), size_t{kRows});
}

TEST(Threads, DrawDifferentKeysFromOneGenerator) {
  constexpr int kThreads = 4, kKeys = 500;
  Generator generator(3);
  std::vector<std::vector<uint64_t>> keys(kThreads);
  std::vector<std::thread> threads;
  for (std::vector<uint64_t>& mine : keys) {
    threads.emplace_back([&] {
      for (int i = 0; i < kKeys; ++i) mine.push_back(generator.next_key().item<uint64_t>());
    });
  }
  for (std::thread& t : threads) t.join();
  std::set<uint64_t> all;
  for (const auto& mine : keys) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), size_t{kThreads * kKeys});
  // The same keys as one thread draws, in whatever order.
  Generator again(3);
  for (int i = 0; i < kThreads * kKeys; ++i) all.erase(again.next_key().item<uint64_t>());
  EXPECT_TRUE(all.empty());
}

}  // namespace
}  // namespace rutile::ops
