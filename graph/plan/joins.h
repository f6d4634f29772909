// SPDX-License-Identifier: Apache-2.0
// Concatenations without a kernel: the kernels before one write their results where they lie in its
// result.
#pragma once

#include <span>
#include <vector>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// The first element and the strides of part `i` of a row-major concatenation.
struct Slice {
  int64_t offset = 0;  // elements
  Strides strides;
};
Slice slice_of(const Graph& g, const Node& concat, size_t i);
// Whether kernels may write there: they may count on 64 bytes.
bool begins_aligned(const Slice& s, DType t);

// Of a result that a kernel writes into the memory of another value.
struct Inside {
  ValueId whole = kNone;
  int64_t offset = 0;  // bytes
};
// By value: where it lies if it is part of a concatenation, all of whose parts are results of
// kernels (or views of all of such a result) that lie there as the graph places them, begin at
// multiples of 64 bytes, and are neither shared, `pinned` (by value that owns memory) nor States'.
// `root` is the value that owns each value's memory. Concatenations of concatenations keep the
// kernel of the outer one.
std::vector<Inside> find_joins(const Graph& g, std::span<const NodeId> order,
                               const std::vector<ValueId>& root, const std::vector<char>& pinned);
// The nodes that are such concatenations, as the graph's lowering finds them.
RUTILE_API std::vector<NodeId> joined_nodes(const Graph& g);

}  // namespace rutile::graph
