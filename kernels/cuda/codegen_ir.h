// SPDX-License-Identifier: Apache-2.0
// A fused program laid out for a GPU, between what finds it out (codegen_ir.cc) and what writes the
// source (codegen.cc).
#pragma once

#include <vector>

#include "rutile/ops/fused.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::cuda {

// How an operand's place follows from a number: dimensions, slowest first, neighbours merged.
struct Axis {
  int64_t size = 1, stride = 0;
};
using Axes = std::vector<Axis>;
// The place of element (row, column): that of the row plus that of the column.
struct Access {
  Axes row, column;
};

enum class Ending : uint8_t {
  kRow,      // one result per row, which may be read again
  kRows,     // a row at a time, then over some of the outer dimensions
  kColumns,  // over all rows, one result per column
  kAll,
};

struct FusedIr {
  struct Value {
    DType dtype = DType::kF32;
    Shape shape;
    bool full = false;    // differs within a row
    bool output = false;  // stored with its elements, or once per row
    int phase = 0;        // steps between two reductions are a phase
    int last = -1;        // the last phase that reads it
    int step = -1;        // that computes it; -1: an input
    int reduction = -1;
  };
  struct Reduction {
    int step = -1, value = -1;
    Ending ending = Ending::kRow;
    uint32_t axes = 0;   // reduced dimensions of the domain
    uint32_t mask = 0;   // those of more than one element
    bool read = false;   // by steps of this kernel
    int64_t count = 1;   // elements of each result
    Access out;          // of its output
    int output = -1;     // which one; -1: none
    Axes kept, reduced;  // kRow, kRows: the row numbers of a result, of what it is made of
    Axes result;         // and where it goes
  };

  ops::FusedProgram program;
  Shape shape;  // what the program runs over
  int64_t rows = 1, length = 1;
  int phases = 1;
  std::vector<Value> values;
  std::vector<Reduction> reductions;
  std::vector<Access> inputs;   // by input
  std::vector<Access> outputs;  // by output; of reductions: where their results go

  // kUnsupported with the reason.
  Status build(const CallMeta& call);
  const ops::FusedProgram::Step& step_of(const Value& v) const {
    return program.steps[static_cast<size_t>(v.step)];
  }
  bool reads_reductions() const;
  bool has(Ending e) const;

 private:
  Status infer_values(const CallMeta& call);
  Status find_domain(const CallMeta& call);
  Status find_reductions();
  Status choose_rows();
  bool classify(uint32_t row_mask);
  Status find_phases();
  Status place_outputs(const CallMeta& call);
  Access access(const Strides& by_dim) const;
  Strides spread(const TensorMeta& m) const;

  std::vector<int> order_;  // dimensions of more than one element, slowest in memory first
  uint32_t all_ = 0, row_mask_ = 0;
};

}  // namespace rutile::cuda
