// SPDX-License-Identifier: Apache-2.0
// A graph run eagerly, node by node, with every value kept.
#pragma once

#include <vector>

#include "rutile/graph/ir/graph.h"

namespace rutile::debug {

// `t` placed as `meta` says; an undefined Tensor if that cannot be done.
Tensor placed(const Tensor& t, const TensorMeta& meta);

// The node's op on these inputs. `reference`: with reference kernels or its composition; where an
// op has neither, with those it has, and *had_reference becomes false.
std::vector<Tensor> run_node(const graph::Node& n, const std::vector<Tensor>& in, bool reference,
                             bool* had_reference = nullptr);

// Values before any node runs: inputs, constants, and the present elements of States.
std::vector<Tensor> first_values(const graph::Graph& g, const std::vector<Tensor>& inputs);

// What leaves the graph: its outputs, then the new value of every State that gets one.
struct Results {
  std::vector<Tensor> tensors;
  std::vector<std::string> names;
};
Results results_of(const graph::Graph& g, const std::vector<Tensor>& values);
Results interpret(const graph::Graph& g, const std::vector<Tensor>& inputs);

// Largest difference over the largest element of `want`.
double relative_error(const Tensor& got, const Tensor& want);

// The same where terms cancel and what is left is rounding: a difference counts against what inputs
// off by a share of `tolerance` change there, if that is more than the largest element.
double conditioned_error(const graph::Node& n, const std::vector<Tensor>& in, const Tensor& got,
                         const std::vector<Tensor>& want, size_t output, double tolerance);

}  // namespace rutile::debug
