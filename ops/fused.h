// SPDX-License-Identifier: Apache-2.0
// A chain of elementwise ops and reductions as one op: what passes/fuse_elementwise makes of
// neighbours in the graph, so that intermediate values never reach memory. Differentiation happens
// before fusion.
//
//   FusedProgram p(2);                          // inputs 0 and 1
//   int s = p.add(ops::kAdd, {0, 1});           // value 2
//   p.outputs = {p.add(ops::kRelu, {s})};       // value 3
//   Tensor y = ops::fused_elementwise(p, {x, b})[0];
//
// Steps are the elementwise ops and cast, and sum, mean, max, min and sum_to_shape. What is reduced
// and keeps its dimensions may be read by later steps, as in x - mean(x).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

// Straight-line code over values: 0, 1, ... are the inputs, the steps' results follow.
struct FusedProgram {
  struct Step {
    const OpDef* op = nullptr;
    AnyAttrs attrs;
    SmallVector<int, 3> in;
  };
  int inputs = 0;
  std::vector<Step> steps;
  std::vector<int> outputs;  // values

  FusedProgram() = default;
  explicit FusedProgram(int num_inputs) : inputs(num_inputs) {}
  // Appends a step; the number of its value. attrs == null: the op's defaults.
  int add(const OpDef& op, std::initializer_list<int> in, const void* attrs = nullptr) {
    return add(op, std::span<const int>(in.begin(), in.size()), attrs);
  }
  RUTILE_API int add(const OpDef& op, std::span<const int> in, const void* attrs = nullptr);

  // "2: add %0 %1; clip %2 min=0.0 -> %3": inputs, steps, outputs.
  RUTILE_API std::string text() const;
  RUTILE_API static Status parse(std::string_view text, FusedProgram* p);
};

// Limits of one program; infer refuses more.
inline constexpr int kMaxFusedInputs = 32;
inline constexpr int kMaxFusedSteps = 128;

struct FusedElementwiseAttrs {
  std::string program;
  bool exact = false;  // the bits of the single ops: no multiplication and addition in one rounding
  RUTILE_REFLECT(program, exact)
};
extern RUTILE_API const OpDef kFusedElementwise;
RUTILE_API TensorList fused_elementwise(const FusedProgram& program, std::span<const Tensor> xs);
inline TensorList fused_elementwise(const FusedProgram& program, std::initializer_list<Tensor> xs) {
  return fused_elementwise(program, std::span<const Tensor>(xs.begin(), xs.size()));
}

// Whether the call may become a step: an elementwise op of the library on types that the fused
// kernel computes (bool, i32, i64, floats), and not one that reports errors in its data.
RUTILE_API bool fusible(const CallMeta& call);
// The same for the reductions among the steps; `reduced` gets a bit per dimension of the input.
RUTILE_API bool fusible_reduction(const CallMeta& call, uint32_t* reduced);
// The shape with the reduced dimensions as 1.
RUTILE_API Shape kept_shape(const Shape& shape, uint32_t reduced);
// Rough cost of the call per element in nanoseconds of one thread: what recomputing it in a second
// program would cost, against about 0.1 for writing and reading it once more.
RUTILE_API double fused_cost(const OpDef& op);

}  // namespace rutile::ops
