// SPDX-License-Identifier: Apache-2.0
// Branches and loops as steps: a plan that replays the programs of its bodies. Their arenas and
// pointer slots lie in the step's workspace, so that running it takes nothing from the heap and
// knows nothing of the session.
#pragma once

#include <memory>
#include <string>

#include "rutile/graph/exec/program.h"

namespace rutile::graph {

// The plan of a node whose op runs bodies. Operands and results lie row-major.
Status plan_control(const Graph& g, const Node& n, std::shared_ptr<const Plan>* plan);

// Lowers a body: a program without States whose outputs lie row-major.
Status lower_body(std::shared_ptr<const Graph> body, Program* program);

// Why a graph of the device cannot hold what a plan of plan_control runs; empty: it can, also for
// any other plan.
std::string why_not_captured(const Plan& plan);
// Whether this thread queues for a captured graph: plans of plan_control then let the device
// decide.
bool& capturing_steps();

// The steps that a plan of plan_control runs (each once), those of bodies in bodies included; 0 for
// any other plan.
int body_steps(const Plan& plan);

}  // namespace rutile::graph
