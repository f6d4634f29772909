// SPDX-License-Identifier: Apache-2.0
// A function of slices, run for all slices at once.
#pragma once

#include <cstdint>
#include <vector>

#include "rutile/graph/trace/tracer.h"

namespace rutile::graph {

// fn(x[i], ...) for each i along the first dimension of all xs, the results stacked along a new
// first dimension. fn is traced once for one slice; each op is then called for all of them by its
// batching rule (ops/batching.h), its composition, or a loop. Numbers that fn draws differ from
// slice to slice; what it reads from outside is the same for all. Gradients flow through it. A
// function that cannot be traced, writes States or has effects runs slice by slice instead.
//
//   // Dot products of rows, one product of all.
//   Tensor y = graph::vmap([](auto& r) { return std::vector{ops::sum(r[0] * r[1])}; }, {a, b})[0];
RUTILE_API std::vector<Tensor> vmap(const Function& fn, const std::vector<Tensor>& xs);

// How the calls of vmap() on this thread were done, for tests.
struct VmapCounts {
  int64_t rules = 0;     // ops by a rule
  int64_t failures = 0;  // rules that failed: for want of an error in the arguments, wrong ones
  int64_t loops = 0;     // ops by a loop over the slices
  int64_t slices = 0;    // functions that ran slice by slice
};
RUTILE_API VmapCounts& vmap_counts();

}  // namespace rutile::graph
