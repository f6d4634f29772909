// SPDX-License-Identifier: Apache-2.0
// Starts the ranks of a job on this host: what `python -m rutile.launch` and the --ranks of the
// programs do.
//
//   const int status = dist::spawn_ranks({.ranks = 2, .command = {"./train", "--epochs", "3"}});
#pragma once

#include <string>
#include <vector>

#include "rutile/core/api.h"

namespace rutile::dist {

struct SpawnOptions {
  int ranks = 1;                          // on this host
  std::vector<std::string> command = {};  // program (looked for in PATH) and arguments
  int hosts = 1, host = 0;                // of how many hosts this is which
  std::string address = "127.0.0.1";      // MASTER_ADDR
  int port = 0;                           // MASTER_PORT; 0: a free one, on one host only
  bool prefix = true;                     // lines come out with "[rank] " in front
  double grace = 5;  // seconds that the others have to end by themselves once a rank has failed
  double stop_grace = 60;  // seconds that all have to end after SIGINT or SIGTERM, to save
  // All ranks are started again so many times at most when one fails, with the variable
  // TORCHELASTIC_RESTART_COUNT as torchrun sets it (restart_count()), at another port where `port`
  // is 0. Programs go on from their last checkpoint.
  int restarts = 0;
};

// Returns when all have ended: 0, or the exit status of the first rank that failed (128 + the
// signal that killed it), which standard error names. The others of this host are then terminated.
// SIGINT and SIGTERM go to all ranks, which may finish their step and save; a second one ends most
// programs at once. Ranks die with the process that started them. Error{kValue}
// for wrong options.
RUTILE_API int spawn_ranks(const SpawnOptions& options);

}  // namespace rutile::dist
