// SPDX-License-Identifier: Apache-2.0
// Ranks on hosts of their own: a network that is slow, loses packets, or is cut.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "rutile/dist/group.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/dist/ranks.h"
#include "rutile/tests/dist/wire.h"

namespace rutile {
namespace {

using test::require;
using test::run_ranks;
using test::Wire;

class Network : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = Wire::unavailable(); !why.empty()) {
      GTEST_SKIP() << "no network namespaces here: " << why;
    }
  }
};

std::map<std::string, std::string> variables(const char* heartbeat = "20") {
  return {{"MASTER_ADDR", Wire::address(0)},
          {"RUTILE_SOCKET_IFNAME", Wire::kDevice},
          {"RUTILE_HEARTBEAT", heartbeat},
          {"LOCAL_WORLD_SIZE", "1"},
          {"LOCAL_RANK", "0"}};
}

void sum_up(int rank, int ranks, int times, int64_t n) {
  for (int k = 0; k < times; ++k) {
    const Tensor sum = ops::all_reduce(Tensor::full({n}, rank + k));
    const float want = static_cast<float>(ranks * (ranks - 1) / 2 + ranks * k);
    for (const float v : sum.to_vector<float>()) require(v == want, cat(v, ", not ", want));
  }
}

TEST_F(Network, LatencyAndLossChangeNothing) {
  Wire wire(3);
  const auto outcomes =
      run_ranks(3,
                [&](int rank) {
                  wire.join(rank);
                  dist::init();
                  sum_up(rank, 3, 8, 30000);
                  dist::barrier();
                  dist::finalize();
                },
                {.seconds = 120, .variables = variables(), .meanwhile = [&](std::vector<int>) {
                   wire.carry({.delay_ms = 3, .loss = 0.01, .jitter_ms = 1});
                 }});
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
  EXPECT_GT(wire.carried(), 500);
  EXPECT_GT(wire.lost(), 0);
}

// Both sides of a cut end, with words of their own.
TEST_F(Network, ACutLinkEndsAllRanks) {
  Wire wire(3);
  const auto begin = std::chrono::steady_clock::now();
  double cut_at = 0;
  const auto outcomes = run_ranks(
      3,
      [&](int rank) {
        wire.join(rank);
        dist::init();
        sum_up(rank, 3, 1 << 30, 1000);
      },
      {.seconds = 60, .variables = variables("5"), .meanwhile = [&](std::vector<int>) {
         wire.carry({.delay_ms = 1});
         for (int i = 0; i < 4000 && wire.carried() < 300; ++i) {
           std::this_thread::sleep_for(std::chrono::milliseconds(5));
         }
         wire.cut(2);
         cut_at = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
       }});
  for (size_t r = 0; r < 3; ++r) {
    EXPECT_EQ(outcomes[r].status, 1) << r;
    EXPECT_LT(outcomes[r].seconds, cut_at + 30) << r;
    EXPECT_NE(outcomes[r].error.find("was at collective"), std::string::npos) << outcomes[r].error;
    EXPECT_NE(outcomes[r].error.find(r == 2 ? "rank 0" : "rank 2"), std::string::npos)
        << outcomes[r].error;
  }
}

// A host that cannot be reached at all: everybody knows after the time for the rendezvous.
TEST_F(Network, AHostThatIsNeverReached) {
  Wire wire(2);
  auto with = variables();
  with["RUTILE_RENDEZVOUS_TIMEOUT"] = "3";
  const auto outcomes = run_ranks(2,
                                  [&](int rank) {
                                    wire.join(rank);
                                    dist::init();
                                  },
                                  {.variables = with, .meanwhile = [&](std::vector<int>) {
                                     wire.cut(1);
                                     wire.carry({});
                                   }});
  for (const auto& o : outcomes) {
    EXPECT_EQ(o.status, 1);
    EXPECT_LT(o.seconds, 30);
  }
  EXPECT_NE(outcomes[0].error.find("did not come: 1"), std::string::npos) << outcomes[0].error;
  EXPECT_NE(outcomes[1].error.find(Wire::address(0)), std::string::npos) << outcomes[1].error;
}

}  // namespace
}  // namespace rutile
