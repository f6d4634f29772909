// SPDX-License-Identifier: Apache-2.0
// A graph as Graphviz reads it: `dot -Tsvg graph.dot -o graph.svg`.
#pragma once

#include <string>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// A box per node with op, attributes, shape and layout of its results, Cell and line, and the
// States that get a new value from it, coloured by phase. Inputs are round; so are states and
// constants, drawn at each of their readers.
RUTILE_API std::string to_dot(const Graph& g, std::string_view title = {});

}  // namespace rutile::graph
