// SPDX-License-Identifier: Apache-2.0
// Runs a function in several processes, as the ranks of a job on this machine.
//
//   for (const Outcome& o : run_ranks(2, [](int rank) { dist::init(); ... })) EXPECT_EQ(o.error,
//   "");
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace rutile::test {

struct Outcome {
  int status = 0;     // exit status, or 128 + signal
  std::string error;  // what the function threw, or its failed expectations
  double seconds = 0;
};

struct RankOptions {
  double seconds = 60;  // then all are killed
  std::map<std::string, std::string> variables = {};
  std::vector<int> absent = {};                          // ranks that never come
  std::function<void(std::vector<int>)> meanwhile = {};  // with the processes, in this process
};

std::vector<Outcome> run_ranks(int n, const std::function<void(int rank)>& fn,
                               const RankOptions& options = {});

// In a rank: comes back when these ranks have ended, so that a rank may be late without a time.
void wait_for_end_of(const std::vector<int>& ranks);

// Expectations of a rank: throws text that run_ranks() gives back.
void require(bool ok, const std::string& what);
void require_equal(const std::vector<double>& got, const std::vector<double>& want,
                   const std::string& what, double tolerance = 0);
int free_port();

}  // namespace rutile::test
