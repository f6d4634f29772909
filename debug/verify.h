// SPDX-License-Identifier: Apache-2.0
// A compiled function held against eager execution, part by part, so that a difference is found
// where it arises. The one of an nn::TrainStep or nn::EvalStep is its compiled():
//
//   debug::VerifyReport r = debug::verify(f, {x, y});
//   if (!r.ok()) std::fputs(r.text().c_str(), stdout);
//
// Nodes: each node of the optimised graph runs with its compiled kernel on the *eager* inputs and
// is compared with the reference kernel (or the composition) on the same: noise of one node is not
// amplified by those behind it. Passes: the graph after each pass runs eagerly, and its results are
// compared with those of the graph as it was traced. Results: what the compiled function gives, and
// the States it leaves.
//
// The last two compare what whole networks make of rounding, which may be anything (a batch norm
// over two pixels): below f64 they are shown, and judged only by a tolerance of yours. States stay
// as they are. It holds all values at once, and reference kernels are slow: take small batches.
// docs/debugging.md has more.
#pragma once

#include <string>
#include <vector>

#include "rutile/graph/compile.h"

namespace rutile::debug {

struct VerifyOptions {
  double tolerance = 0;   // of nodes; 0: by dtype (f64 1e-9, f32 1e-4, f16 1e-2, bf16 5e-2)
  double end_to_end = 0;  // of passes and results; 0: 1e-4 where all is f64, else not judged
  bool passes = true;
};

struct Comparison {
  std::string what;      // op and kernel, pass, or result
  std::string where;     // Cell and line
  std::string operands;  // "f32[8,64] -> f32[8,10]"
  // Largest difference over the largest element; infinite for NaN against a number. Where terms
  // cancel (the gradient of a bias in front of a batch norm), what inputs off by the tolerance
  // change counts in place of that element.
  double error = 0;
  double tolerance = 0;  // infinite: shown, not judged
  std::string note;      // why it could not be compared; empty: it was
  bool ok() const { return error <= tolerance; }
};

struct RUTILE_API VerifyReport {
  std::vector<Comparison> nodes, passes, results;
  bool ok() const;
  // What is wrong first, then the passes and the nodes with the largest errors, at most `rows`.
  std::string text(int rows = 10) const;
};

// Compiles f for the inputs if need be. Error{kRuntime} inside a trace or a gradient scope.
RUTILE_API VerifyReport verify(graph::Compiled& f, const std::vector<Tensor>& inputs,
                               const VerifyOptions& options = {},
                               const graph::Variant& variant = {});

}  // namespace rutile::debug
