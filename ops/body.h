// SPDX-License-Identifier: Apache-2.0
// Shared by the ops that run bodies. Private to ops/.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rutile/ops/call.h"
#include "rutile/ops/state.h"

namespace rutile::ops {

// What several bodies of one op read from outside, each once: operands of the op.
struct Outside {
  std::vector<Tensor> captured;
  std::vector<TracedBody::StateUse> states;
  void add(const TracedBody& body);
};

// What stands for it inside a body.
struct Inside {
  std::vector<Tensor> captured;
  std::vector<Tensor> states;  // run_body puts new values in
};

// Runs a traced function: its results.
std::vector<Tensor> run_body(const TracedBody& body, const Outside& outside, Inside* inside,
                             std::span<const Tensor> operands);

// Traces a body that reads nothing from outside but its operands.
Ref<Region> closed_body(const Region::Function& fn, std::span<const Tensor> operands);
Ref<Region> closed_body(const Region::Function& fn, std::span<const TensorMeta> operands);

// Results of a body that ran as an op: what is handed through gets a handle of its own, for a tape
// knows tensors by their handles.
TensorList results_of(std::vector<Tensor> results, std::span<const Tensor> operands);

// Operands of bodies lie row-major.
Tensor plain(const Tensor& t);
std::vector<Tensor> plain(const std::vector<Tensor>& ts);
TensorMeta plain_meta(const TensorMeta& m);

// A predicate's value, or an error that says what it is instead.
void check_predicate(const char* op, const TensorMeta& pred);
bool predicate(const char* op, const Tensor& pred);

// Error{kValue} unless a body gives back the carries that it got.
void check_carries(const char* op, std::span<const Tensor> carries,
                   std::span<const Tensor> results);

}  // namespace rutile::ops
