// SPDX-License-Identifier: Apache-2.0
// A graph as Graphviz reads it: `dot -Tsvg graph.dot -o graph.svg`.
#pragma once

#include <string>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// A box per node with op, attributes, shape and layout of its results, Cell and line, coloured by
// phase; inputs, states and constants are round. A dashed edge leads from a new value to its State.
RUTILE_API std::string to_dot(const Graph& g, std::string_view title = {});

}  // namespace rutile::graph
