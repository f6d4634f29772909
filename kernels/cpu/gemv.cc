// SPDX-License-Identifier: Apache-2.0
// Products of an f32 matrix and a vector: bound by reading the matrix, which a general product
// packs first.
#include "rutile/kernels/cpu/gemv.h"

#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/matmul_shape.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/matmul.h"

namespace rutile::kernels {
namespace {

constexpr double kElementNs = 0.06;
constexpr int64_t kPiece = 1 << 16;  // of a dot product: pieces are summed in order

struct GemvPlan : Plan {
  GemvKernels kernels;
  int64_t rows = 0, k = 0, stride = 0;  // of the matrix as [rows, k]
  bool by_rows = true;                  // a row is contiguous, else a column
  bool matrix_first = true;
};

// The matrix and the vector of a product, as read; false if it is none or they have gaps.
bool shape_of(const CallMeta& c, GemvPlan* p) {
  const MatmulShape s = matmul_shape(c);
  if (s.empty() || s.k == 0 || s.batch.numel() != 1 || (s.m != 1 && s.n != 1)) return false;
  p->matrix_first = s.n == 1;
  p->k = s.k;
  const int64_t row = p->matrix_first ? s.a_m : s.b_n, inner = p->matrix_first ? s.a_k : s.b_k;
  const int64_t vector = p->matrix_first ? s.b_k : s.a_k;
  p->rows = p->matrix_first ? s.m : s.n;
  if ((vector != 1 && s.k > 1) || (p->rows > 1 && (p->matrix_first ? s.c_m : s.c_n) != 1)) {
    return false;
  }
  p->by_rows = inner == 1 || s.k == 1;
  p->stride = p->by_rows ? row : inner;
  return p->by_rows ? p->rows == 1 || row >= 1 : row == 1 && inner >= 1;
}

Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const GemvPlan&>(plan);
  const float* a = static_cast<const float*>(args.in[p.matrix_first ? 0 : 1]);
  const float* x = static_cast<const float*>(args.in[p.matrix_first ? 1 : 0]);
  float* y = static_cast<float*>(args.out[0]);
  if (p.by_rows && p.rows == 1 && p.k > kPiece) {
    auto* sums = static_cast<float*>(args.workspace);
    const int64_t pieces = (p.k + kPiece - 1) / kPiece;
    parallel_for(0, pieces, grain_for(kElementNs * kPiece), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i * kPiece;
        p.kernels.rows(a + first, 0, x + first, sums + i, 1, std::min(kPiece, p.k - first));
      }
    });
    y[0] = 0;
    for (int64_t i = 0; i < pieces; ++i) y[0] += sums[i];
    return Status();
  }
  // Chunks of 16 rows: what shares a register does not depend on the threads.
  constexpr int64_t kRows = 16;
  const double ns = kElementNs * static_cast<double>(p.k) * kRows;
  parallel_for(0, (p.rows + kRows - 1) / kRows, grain_for(ns), [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kRows, count = std::min(end * kRows, p.rows) - first;
    if (p.by_rows) {
      p.kernels.rows(a + first * p.stride, p.stride, x, y + first, count, p.k);
    } else {
      p.kernels.columns(a + first, p.stride, x, y + first, count, p.k);
    }
  });
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  GemvPlan p;
  for (const TensorMeta* m : c.inputs) {
    if (m && m->layout == kStrided && m->dtype == DType::kF32) continue;
    return refuse(reason, "takes strided f32 tensors");
  }
  const bool fits = isa() != Isa::kBaseline && c.out().dtype == DType::kF32 && shape_of(c, &p);
  if (!fits) reason->text = "takes a matrix and a vector without gaps";
  return fits;
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<GemvPlan>();
  shape_of(c, p.get());
  p->kernels = RUTILE_CHOOSE_ISA(gemv_kernels);
  p->workspace_bytes = static_cast<size_t>(p->k / kPiece + 1) * sizeof(float);
  p->run = run;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_gemv_cpu() {
  register_kernel({.op = &ops::kMatmul, .name = "gemv", .supports = supports, .prepare = prepare});
}

}  // namespace rutile::kernels
