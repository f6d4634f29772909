// SPDX-License-Identifier: Apache-2.0
// A graph as TensorBoard shows it: a serialised tensorflow.GraphDef. Nodes lie in the scopes of
// their Cells ("layer1/conv/conv2d"), those of backward and of the optimizer in scopes of their
// own.
//
//   events.add_graph(train::graph_def(*step.compiled()->session().program().graph));
#pragma once

#include <string>

#include "rutile/graph/ir/graph.h"

namespace rutile::train {

RUTILE_API std::string graph_def(const graph::Graph& g);

}  // namespace rutile::train
