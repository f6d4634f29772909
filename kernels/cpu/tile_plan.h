// SPDX-License-Identifier: Apache-2.0
// Elementwise work in tiles: a short program of tile functions that runs over all elements of the
// outputs, with inputs that broadcast, convert or are strided, and with reductions. One program is
// a single op or a whole fused chain; its intermediate values never leave the first-level cache.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "rutile/kernels/cpu/reduce.h"
#include "rutile/kernels/cpu/tile.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// One step: slots are the inputs (first, in order) and the results of earlier steps.
struct TileStep {
  Fn fn = Fn::kCount;  // kCount: a conversion from the slot's type to `convert_to`
  DType convert_to = DType::kF32;
  int num_in = 0;
  int in[3] = {};
  double params[3] = {};
  double cost = 0.06;  // nanoseconds per element
  // A reduction of in[0] instead.
  bool reduces = false, mean = false, wide = false;
  ReduceKind kind = ReduceKind::kSum;
};

// What a kernel asks for. Slot i < inputs.size() is input i; slot inputs.size() + k is steps[k].
struct TileProgram {
  std::vector<TileStep> steps;
  std::vector<int> outputs;  // slots
  // With reductions only: by slot, reduced dimensions as 1. The largest is what the program runs
  // over; all others broadcast to it.
  std::vector<Shape> shapes;
  bool exact = false;  // every step rounds as it does alone
  bool reduces() const { return !shapes.empty(); }
};

// Appends an elementwise op or a cast, with the conversions that it needs. `slots` holds the dtype
// of every slot so far, as the ops see it, and grows with the program; `in` names slots, `out` is
// the op's result type. The number of the result's slot, or -1 with a reason if tiles cannot do it.
// Integers of 8 and 16 bits, and u32, are computed in wider ones: only where the op is `alone`, as
// what it gives wraps when it is stored.
int add_tile_step(const OpDef& op, const void* attrs, std::span<const int> in, DType out,
                  std::vector<DType>* slots, TileProgram* program, Reason* reason,
                  bool alone = false);

// Whether the program is short enough.
bool fits(const TileProgram& program, int inputs, Reason* reason);

// Makes a plan that runs `program`. All outputs that are not reduced have one shape and placement,
// dense or blocked; an input is placed alike, or strided and broadcasts to that shape. What later
// steps read of a reduction is one value per run of neighbouring elements. Error kUnsupported for
// the rest.
Status make_tile_plan(const TileProgram& program, std::span<const TensorMeta* const> inputs,
                      std::span<const TensorMeta> outputs, std::unique_ptr<Plan>* plan);
// The same without making anything.
bool can_tile(const TileProgram& program, std::span<const TensorMeta* const> inputs,
              std::span<const TensorMeta> outputs, Reason* reason);

}  // namespace rutile::kernels
