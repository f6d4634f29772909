// SPDX-License-Identifier: Apache-2.0
// Batches of matrices for kernels of linear algebra: every tensor is [batch.., rows, cols] or
// [batch.., n], strided; the batch dimensions of inputs broadcast.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <complex>
#include <new>
#include <vector>

#include "rutile/core/meta.h"
#include "rutile/core/thread_cost.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

struct Matrix {
  void* data = nullptr;
  int64_t rows = 0, cols = 0, row = 0, col = 0;  // sizes and strides, in elements
  template <class T>
  T& at(int64_t i, int64_t j = 0) const {
    return static_cast<T*>(data)[i * row + j * col];
  }
};

// Where the matrices of one tensor lie. A vector is a matrix of one column.
struct MatrixOperand {
  Matrix first;
  Strides strides;  // of the batch dimensions
  size_t element = 0;
};

struct MatrixPlan : Plan {
  Shape shape;  // batch dimensions
  int64_t batch = 1;
  double ns = 0;  // of one matrix
  DType dtype = DType::kF32;
  SmallVector<MatrixOperand, 3> in;
  SmallVector<MatrixOperand, 3> out;
  AnyAttrs attrs;

  template <class A>
  const A& as() const {
    return *static_cast<const A*>(attrs.get());
  }
  Matrix place(const MatrixOperand& o, void* base, int64_t index) const {
    int64_t offset = 0;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      offset += index % shape[d] * o.strides[d];
      index /= shape[d];
    }
    Matrix m = o.first;
    m.data = static_cast<char*>(base) + offset * static_cast<int64_t>(o.element);
    return m;
  }
  Matrix input(const KernelArgs& args, int i, int64_t index) const {
    return place(in[i], args.in[i], index);
  }
  Matrix output(const KernelArgs& args, int i, int64_t index) const {
    return place(out[i], args.out[i], index);
  }
};

// The number of core dimensions (1 or 2) of every tensor; the batch is that of the outputs.
inline void plan_matrices(const CallMeta& c, std::initializer_list<int> in_core,
                          std::initializer_list<int> out_core, MatrixPlan* p) {
  const TensorMeta& y = c.out();
  const int batch_rank = y.rank() - *out_core.begin();
  for (int d = 0; d < batch_rank; ++d) p->shape.push_back(y.dim(d));
  // Any number of matrices without elements is nothing to do.
  bool nothing = true;
  for (const TensorMeta& m : c.outputs) nothing = nothing && m.numel() == 0;
  p->batch = nothing ? 0 : p->shape.numel();
  p->dtype = c.in(0).dtype;
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  auto operand = [&](const TensorMeta& m, int core) {
    MatrixOperand o;
    const int r = m.rank(), own = r - core;
    o.element = dtype_size(m.dtype);
    o.first = {nullptr, m.dim(own), core == 2 ? m.dim(own + 1) : 1, m.strides[own],
               core == 2 ? m.strides[own + 1] : 1};
    for (int d = 0; d < batch_rank; ++d) {
      const int at = d - (batch_rank - own);
      o.strides.push_back(at < 0 || m.dim(at) == 1 ? 0 : m.strides[at]);
    }
    return o;
  };
  for (int i = 0; i < static_cast<int>(in_core.size()); ++i) {
    p->in.push_back(operand(c.in(i), in_core.begin()[i]));
  }
  for (int i = 0; i < static_cast<int>(out_core.size()); ++i) {
    p->out.push_back(operand(c.out(i), out_core.begin()[i]));
  }
}

// What goes wrong with a matrix.
struct Fault {
  enum Kind : uint8_t { kNone, kSingular, kNotPositive, kNotFinite, kNoConvergence, kMemory };
  Kind kind = kNone;
  int64_t place = 0;  // of the pivot
};

inline Status fault_status(const MatrixPlan& p, int64_t index, const Fault& f) {
  if (f.kind == Fault::kMemory || f.kind == Fault::kNone) {  // the second time there was some
    return Status(ErrorCode::kOutOfMemory, "out of memory in a decomposition");
  }
  const std::string which =
      p.shape.empty() ? std::string("the matrix") : cat("matrix ", index, " of the batch");
  if (f.kind == Fault::kSingular) {
    return value_error(cat(which, " is singular: pivot ", f.place, " is zero"));
  }
  if (f.kind == Fault::kNotPositive) {
    return value_error(cat(which, " is not positive definite: its leading minor of order ",
                           f.place + 1, " is not"));
  }
  if (f.kind == Fault::kNotFinite) {
    return value_error(cat(which, " has elements that are infinite or NaN"));
  }
  return value_error(cat(which, " is too ill-conditioned: the iteration does not converge"));
}

// f(index) for every matrix of the batch, on all threads when `threads`; the error is that of the
// first matrix that has one. f may throw bad_alloc only.
template <class F>
Status for_each_matrix(const MatrixPlan& p, bool threads, F&& f) {
  std::atomic<int64_t> first{p.batch};
  auto one = [&](int64_t i) {
    try {
      return f(i);
    } catch (const std::bad_alloc&) {
      return Fault{Fault::kMemory, 0};
    }
  };
  parallel_for(0, p.batch, threads ? grain_for(p.ns) : p.batch, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (one(i).kind == Fault::kNone) continue;
      int64_t seen = first.load();
      while (i < seen && !first.compare_exchange_weak(seen, i)) {
      }
      return;
    }
  });
  const int64_t i = first.load();
  return i == p.batch ? Status() : fault_status(p, i, one(i));
}

inline double conjugate(double x) { return x; }
inline std::complex<double> conjugate(std::complex<double> x) { return std::conj(x); }

// The order of eigenvalues by rising real part; where those are equal up to rounding by the
// imaginary part.
inline std::vector<int64_t> order_of_eigenvalues(const std::vector<std::complex<double>>& w,
                                                 double rounding) {
  double size = 0;
  for (const auto& x : w) size = std::max(size, std::abs(x));
  const auto before = [&](int64_t a, int64_t b) {
    const auto &x = w[static_cast<size_t>(a)], &y = w[static_cast<size_t>(b)];
    if (std::abs(x.real() - y.real()) > rounding * size) return x.real() < y.real();
    return x.imag() < y.imag();
  };
  std::vector<int64_t> order;
  for (int64_t i = 0; i < static_cast<int64_t>(w.size()); ++i) {
    auto at = order.end();
    while (at != order.begin() && before(i, *(at - 1))) --at;
    order.insert(at, i);
  }
  return order;
}

// An eigenvector or singular vector may be turned round, a complex one by any phase: the element of
// largest magnitude (the first of those within 1e-4 of it) is made positive. Gives the factor, S is
// double or complex<double>. ops::free_of_phase() differentiates by this rule.
template <class S, class At>
S positive_peak(int64_t n, At at) {
  double best = 0;
  for (int64_t i = 0; i < n; ++i) best = std::max(best, std::abs(static_cast<S>(at(i))));
  for (int64_t i = 0; best > 0 && i < n; ++i) {
    const S v = static_cast<S>(at(i));
    if (std::abs(v) * (1 + 1e-4) >= best) return conjugate(v) / std::abs(v);
  }
  return 1;
}

}  // namespace rutile::kernels
