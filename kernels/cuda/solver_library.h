// SPDX-License-Identifier: Apache-2.0
// The steps that rows of linear algebra take of cuSOLVER, on column-major matrices without gaps.
// Nothing of CUDA is in this header, so that tests run the rows over a stand-in for the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "rutile/core/dtype.h"
#include "rutile/core/error.h"

namespace rutile::cuda {

enum class SolverStep : uint8_t {
  kPotrf,  // a [n, n] becomes its Cholesky factor, in the triangle that `upper` names
  kGetrf,  // a [m, n] becomes L and U, pivots the rows exchanged, from 1
  kGetrs,  // b [n, k] becomes the solution, of kGetrf's a or (`transpose`, not conjugated) its a'
  kGeqrf,  // a [m, n] becomes R with the reflections below, tau their factors
  kOrgqr,  // a [m, n]: the first n columns of the product of kGeqrf's k reflections
  kSyevd,  // a [n, n], its lower triangle: values in rising order, a becomes the vectors
  kGesvd,  // a [m, n], m >= n, becomes anything: values in falling order, b [m, n] and c [n, n]
  kGeev    // a [n, n], complex, becomes anything: values in any order, vectors in b [n, n]
};
const char* solver_name(SolverStep step);

struct SolverCall {
  SolverStep step = SolverStep::kGetrf;
  DType type = DType::kF32;  // f32, f64, c64 or c128
  bool upper = false, transpose = false;
  int64_t m = 0, n = 0, k = 0;
  void *a = nullptr, *b = nullptr, *c = nullptr, *tau = nullptr, *values = nullptr;
  int64_t* pivots = nullptr;
  int* info = nullptr;  // on the device: what LAPACK's routine of this name gives
};
// Bytes that a call works in.
struct SolverRoom {
  size_t device = 0, host = 0;
};

// Why the library cannot be used; empty: it can.
const std::string& solver_failure();
// The device has to be the thread's own (make_current).
Status solver_room(int device, const SolverCall& call, SolverRoom* out);
// `stream` is CUDA's.
Status solver_run(int device, const SolverCall& call, const SolverRoom& room, void* workspace,
                  void* stream);

}  // namespace rutile::cuda
