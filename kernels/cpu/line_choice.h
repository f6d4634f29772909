// SPDX-License-Identifier: Apache-2.0
// Ops that choose one element of every line along an axis and say where it stood.
#pragma once

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/index_range.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

struct LinePlan : Plan {
  int64_t outer = 1, n = 0, inner = 1;
  int64_t places = 1;  // in the workspace, by element

  // The lines of x along an axis; all of x is one line for axis -1, and for a number.
  void set_lines(const TensorMeta& x, int axis) {
    n = x.numel();
    if (axis >= 0 && x.rank() > 0) {
      outer = product(x.shape, 0, axis);
      n = x.dim(axis);
      inner = product(x.shape, axis + 1, x.rank());
    }
    workspace_bytes = static_cast<size_t>(places * x.numel()) * sizeof(uint64_t);
  }
};

// place(first, step, room): the position of the element that is chosen among those from `first` on,
// `step` apart; `room` has p.places numbers for each of them.
template <class T, class Place>
void choose_in_lines(const LinePlan& p, const KernelArgs& args, Place&& place) {
  auto* workspace = static_cast<uint64_t*>(args.workspace);
  constexpr double kElementNs = 8;
  const int64_t grain = grain_for(kElementNs * static_cast<double>(p.n));
  parallel_for(0, p.outer * p.inner, grain, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const T* x =
          static_cast<const T*>(args.in[0]) + line / p.inner * p.n * p.inner + line % p.inner;
      const int64_t at = place(x, p.inner, workspace + p.places * line * p.n);
      static_cast<T*>(args.out[0])[line] = x[at * p.inner];
      static_cast<int64_t*>(args.out[1])[line] = at;
    }
  });
}

}  // namespace rutile::kernels
