// SPDX-License-Identifier: Apache-2.0
// Elementwise work in tiles: a short program of tile functions that runs over all elements of the
// outputs, with inputs that broadcast, convert or are strided. One program is a single op or a
// whole fused chain; its intermediate values never leave the first-level cache.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "rutile/kernels/cpu/tile.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// One step: slots are the inputs (first, in order) and the results of earlier steps.
struct TileStep {
  Fn fn = Fn::kCount;  // kCount: a conversion from the slot's type to `convert_to`
  DType convert_to = DType::kF32;
  int num_in = 0;
  int in[3] = {};
  double params[2] = {};
};

// What a kernel asks for. Slot i < inputs.size() is input i; slot inputs.size() + k is steps[k].
struct TileProgram {
  std::vector<TileStep> steps;
  std::vector<int> outputs;  // slots
};

// Whether tiles can hold the type, as input or output.
bool tiles_know(DType t);
// Whether the step's function exists for inputs of this dtype (the last input's for where).
bool tiles_have(Fn fn, DType t);
// The functor of an elementwise op; kCount if it has none.
Fn fn_of(const OpDef& op);

// Makes a plan that runs `program`. All outputs have one shape and placement, dense or blocked; an
// input is placed alike, or strided and broadcasts to that shape. Error kUnsupported for the rest.
Status make_tile_plan(const TileProgram& program, std::span<const TensorMeta* const> inputs,
                      std::span<const TensorMeta> outputs, std::unique_ptr<Plan>* plan);
// The same without making anything.
bool can_tile(std::span<const TensorMeta* const> inputs, std::span<const TensorMeta> outputs,
              Reason* reason);

}  // namespace rutile::kernels
