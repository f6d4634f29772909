// SPDX-License-Identifier: Apache-2.0
// Plans of the rows over cuSOLVER (lib_solver.cc): what lies where in the workspace, and what one
// run does with it.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/libraries.h"
#include "rutile/kernels/cuda/solver.h"
#include "rutile/kernels/cuda/solver_library.h"

namespace rutile::cuda {

struct Work;

struct SolverPlan : Plan {
  static constexpr int kMostSteps = 3;
  LinalgArgs args;  // its operands and batch
  DType type = DType::kF32, given = DType::kF32;
  int device = 0, inputs = 1, outputs = 1;
  bool upper = false, transposed = false, unit = false;
  Status (*work)(const Work&) = nullptr;
  int64_t m = 0, n = 0, k = 0;  // of the matrices as cuSOLVER has them
  bool wide = false;            // svd: it has the adjoint
  int64_t basis_columns = 0;    // svd: of a completed basis; qr: of q
  // Where things begin in the workspace.
  size_t a = 0, b = 0, c = 0, basis = 0, tau = 0, values = 0, turns = 0, order = 0, pivots = 0;
  size_t info = 0, other_info = 0, odd = 0, room = 0;
  int64_t a_size = 0;  // elements of one matrix in `a`
  SolverCall call[kMostSteps];
  SolverRoom rooms[kMostSteps];
  int steps = 0;

  size_t take(int64_t bytes_of_one) {
    const size_t at = workspace_bytes;
    const auto bytes = static_cast<size_t>(args.batch * bytes_of_one);
    workspace_bytes += (bytes + 255) / 256 * 256;
    return at;
  }
  size_t take_elements(int64_t n_of_one) { return take(n_of_one * size_of(type)); }
  SolverCall& add(SolverStep step, int64_t rows, int64_t columns, int64_t third = 0) {
    SolverCall& s = call[steps++];
    s.step = step;
    s.type = type;
    s.m = rows;
    s.n = columns;
    s.k = third;
    return s;
  }
};

// One run: pointers, and the stream.
struct Work {
  const SolverPlan& p;
  const KernelArgs& k;
  LibraryStream stream;

  char* at(size_t place) const { return static_cast<char*>(k.workspace) + place; }
  int* info() const { return reinterpret_cast<int*>(at(p.info)); }
  int* odd() const { return reinterpret_cast<int*>(at(p.odd)); }
  MatrixSide side(const MatrixAt& m, void* data, int operand) const {
    return {data, m.row_step, m.column_step, 0, operand};
  }
  MatrixSide in(int i) const { return side(p.args.in[i], k.in[i], i); }
  MatrixSide out(int i) const { return side(p.args.out[i], k.out[i], 2 + i); }
  // Column-major matrices of `rows` rows, `size` elements each.
  MatrixSide room(size_t place, int64_t rows, int64_t size) const {
    return {at(place), 1, rows, size, -1};
  }
  MoveArgs moving(const MatrixSide& from, const MatrixSide& to, int64_t rows,
                  int64_t columns) const {
    MoveArgs m;
    m.type = m.from_type = p.type;
    m.batch = p.args.batch;
    m.rows = rows;
    m.columns = columns;
    m.from = from;
    m.to = to;
    m.at = p.args.at;
    return m;
  }
  Status move(const MoveArgs& m) const { return launch_status(launch_move(m, k.stream)); }
  Status move(const MatrixSide& from, const MatrixSide& to, int64_t rows, int64_t columns,
              MatrixPart part = MatrixPart::kAll) const {
    MoveArgs m = moving(from, to, rows, columns);
    m.part = part;
    return move(m);
  }
  Status clear() const {
    return launch_status(launch_clear(info(), odd(), p.args.batch, k.stream));
  }
  // The matrices of input 0 in `a`, checked: what is not finite becomes 0.
  Status take_finite(MoveArgs m) const {
    m.odd = odd();
    RUTILE_RETURN_IF_ERROR(clear());
    RUTILE_RETURN_IF_ERROR(move(m));
    return launch_status(launch_calm(p.type, at(p.a), p.a_size, odd(), p.args.batch, k.stream));
  }
  // A call a matrix; `set` puts in its pointers.
  template <class F>
  Status each(int step, F&& set) const {
    for (int64_t i = 0; i < p.args.batch; ++i) {
      SolverCall c = p.call[step];
      c.info = info() + i;
      set(&c, i);
      RUTILE_RETURN_IF_ERROR(solver_run(p.device, c, p.rooms[step], at(p.room), stream.native));
    }
    return Status();
  }
  void* matrix(size_t place, int64_t size, int64_t i) const {
    return at(place) + static_cast<size_t>(i * size) * dtype_size(p.type);
  }
  int64_t* pivots(int64_t i, int64_t n) const {
    return reinterpret_cast<int64_t*>(at(p.pivots)) + i * n;
  }
  Status judge(FaultKind of_info, FaultKind of_diagonal, bool finite = false) const {
    VerdictArgs v;
    v.type = p.type;
    v.batch = p.args.batch;
    v.n = p.n;
    v.single = p.args.single;
    v.info = info();
    v.odd = finite ? odd() : nullptr;
    v.of_info = of_info;
    v.diagonal = at(p.a);
    v.row_step = p.n;
    v.stride = p.a_size;
    v.of_diagonal = of_diagonal;
    v.fault = fault_slot(k.stream);
    return launch_status(launch_verdict(v, k.stream));
  }
};

}  // namespace rutile::cuda
