// SPDX-License-Identifier: Apache-2.0
// Which of several ways to compute the same is the fastest.
#pragma once

#include <functional>
#include <limits>
#include <vector>

#include "rutile/core/error.h"

namespace rutile::cuda {

// `time(i, &ms)` runs way i once; a way whose time is an error is out. Each way runs once to warm
// up, then up to `rounds` times by turns, so that what disturbs the machine for a while disturbs
// all of them; the shortest time of each counts. A way that is twice as slow as the best after a
// round is not run again. Of equal ones the first wins: it is the one that the library expects to
// be the fastest. -1 where none runs.
inline int fastest(int count, const std::function<Status(int way, float* ms)>& time,
                   int rounds = 5) {
  constexpr float kOut = std::numeric_limits<float>::infinity();
  std::vector<float> best(static_cast<size_t>(count), kOut);
  std::vector<bool> runs(static_cast<size_t>(count), false);
  for (int i = 0; i < count; ++i) {
    float ignored = 0;
    runs[static_cast<size_t>(i)] = time(i, &ignored).ok();
  }
  int winner = -1;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < count; ++i) {
      const auto k = static_cast<size_t>(i);
      if (!runs[k]) continue;
      float ms = 0;
      if (!time(i, &ms).ok()) {
        runs[k] = false;
        best[k] = kOut;
        continue;
      }
      if (ms < best[k]) best[k] = ms;
    }
    winner = -1;
    for (int i = 0; i < count; ++i) {
      const auto k = static_cast<size_t>(i);
      if (runs[k] && (winner < 0 || best[k] < best[static_cast<size_t>(winner)])) winner = i;
    }
    for (int i = 0; winner >= 0 && i < count; ++i) {
      const auto k = static_cast<size_t>(i);
      if (best[k] > 2 * best[static_cast<size_t>(winner)]) runs[k] = false;
    }
  }
  return winner;
}

}  // namespace rutile::cuda
