// SPDX-License-Identifier: Apache-2.0
// Kernels that steer a captured graph: they set the handles of its conditional nodes, count
// iterations and move the slices of one.
#pragma once

#include "rutile/kernels/cuda/device.h"

namespace rutile::cuda {

// A conditional node's: cudaGraphConditionalHandle.
using ConditionalHandle = unsigned long long;

// The handle says whether the bool at `holds` is set.
int launch_branch(ConditionalHandle handle, const void* holds, Stream stream);

struct LoopArgs {
  ConditionalHandle handle = 0;
  int64_t* done = nullptr;  // and behind it how many iterations there are at most
  int64_t most = -1;        // -1: no limit
  const int64_t* wanted = nullptr;
  const bool* holds = nullptr;
};
// Nothing is done yet; the handle says whether there is a first iteration.
int launch_loop_start(const LoopArgs& a, Stream stream);
// One more is done; the handle says whether there is another.
int launch_loop_next(const LoopArgs& a, Stream stream);

struct SliceArgs {
  const int64_t* done = nullptr;
  char *slices = nullptr, *one = nullptr;
  int64_t bytes = 0;
  bool reverse = false, stores = false;
};
int launch_slice(const SliceArgs& a, Stream stream);

}  // namespace rutile::cuda
