// SPDX-License-Identifier: Apache-2.0
// Rows of linear algebra, a block of threads a matrix.
#include "rutile/kernels/cuda/linalg.h"

#include "rutile/core/complex.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/linalg_call.h"
#include "rutile/ops/linalg.h"

namespace rutile::cuda {
namespace {

struct LinalgPlan : Plan {
  LinalgKind kind = LinalgKind::kLu;
  LinalgArgs args;
  int inputs = 1, outputs = 1;
};

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const LinalgPlan&>(plan);
  LinalgArgs a = p.args;
  for (int i = 0; i < p.inputs; ++i) a.in[i].data = k.in[i];
  for (int i = 0; i < p.outputs; ++i) a.out[i].data = k.out[i];
  a.workspace = k.workspace;
  a.fault = fault_slot(k.stream);
  return launch_status(launch_linalg(p.kind, a, k.stream));
}

// A tensor as matrices, or vectors for `core` 1, below the batch dimensions of `batch`.
void set_operand(const TensorMeta& m, int core, const Shape& batch, MatrixAt* at, Strides* steps) {
  const int own = m.rank() - core;
  *at = {nullptr, m.dim(own), core == 2 ? m.dim(own + 1) : 1, m.strides[own],
         core == 2 ? m.strides[own + 1] : 1};
  *steps = Strides::filled(batch.rank(), 0);
  for (int d = 0; d < own; ++d) {
    if (m.dim(d) != 1) (*steps)[batch.rank() - own + d] = m.strides[d];
  }
}

std::unique_ptr<LinalgPlan> linalg_plan(const CallMeta& c, LinalgKind kind,
                                        std::initializer_list<int> in,
                                        std::initializer_list<int> out) {
  auto p = std::make_unique<LinalgPlan>();
  p->run = run;
  p->kind = kind;
  p->inputs = static_cast<int>(in.size());
  p->outputs = static_cast<int>(out.size());
  set_matrices(c, in, out, &p->args);
  return p;
}

Status finish(std::unique_ptr<LinalgPlan> p, std::unique_ptr<Plan>* plan) {
  LinalgArgs& a = p->args;
  a.room = (linalg_room(p->kind, a) + 1) / 2 * 2;
  p->workspace_bytes =
      static_cast<size_t>(a.batch * a.room) * (a.wide ? 8 : 4) * (a.complex ? 2 : 1);
  *plan = std::move(p);
  return Status();
}

Status prepare_cholesky(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = linalg_plan(c, LinalgKind::kCholesky, {2}, {2});
  p->args.upper = c.as<ops::CholeskyAttrs>().upper;
  return finish(std::move(p), plan);
}
Status prepare_lu(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return finish(linalg_plan(c, LinalgKind::kLu, {2}, {2, 1}), plan);
}
Status prepare_inverse(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return finish(linalg_plan(c, LinalgKind::kInverse, {2}, {2}), plan);
}
Status prepare_solve(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const int core = ops::solves_vectors(c.in(0), c.in(1)) ? 1 : 2;
  return finish(linalg_plan(c, LinalgKind::kSolve, {2, core}, {core}), plan);
}
Status prepare_triangular(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& t = c.as<ops::TriangularAttrs>();
  auto p = linalg_plan(c, LinalgKind::kTriangular, {2, 2}, {2});
  p->args.upper = t.upper;
  p->args.transpose = t.transpose;
  p->args.unit = t.unitriangular;
  return finish(std::move(p), plan);
}
Status prepare_qr(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return finish(linalg_plan(c, LinalgKind::kQr, {2}, {2, 2}), plan);
}
Status prepare_eigh(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = linalg_plan(c, LinalgKind::kEigh, {2}, {1, 2});
  p->args.upper = c.as<ops::EighAttrs>().upper;
  return finish(std::move(p), plan);
}
Status prepare_svd(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return finish(linalg_plan(c, LinalgKind::kSvd, {2}, {2, 1, 2}), plan);
}
Status prepare_exp(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return finish(linalg_plan(c, LinalgKind::kExp, {2}, {2}), plan);
}

Status prepare_permutation(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p =
      kernel_plan<PermutationArgs>(launch_permutation, [](PermutationArgs* a, const KernelArgs& k) {
        a->pivots = k.in[0];
        a->y = static_cast<int64_t*>(k.out[0]);
        a->fault = fault_slot(k.stream);
      });
  const TensorMeta& pivots = c.in(0);
  const int last = pivots.rank() - 1;
  PermutationArgs& a = p->args;
  a.rows = c.as<ops::LuPermutationAttrs>().rows;
  a.steps = pivots.dim(last);
  a.step = pivots.strides[last];
  a.type = pivots.dtype;
  const Shape batch = part(pivots.shape, 0, last);
  a.batch = a.rows > 0 ? batch.numel() : 0;
  const Strides steps[1] = {part(pivots.strides, 0, last)};
  a.at = make_indexer<1>(batch, steps);
  *plan = std::move(p);
  return Status();
}

}  // namespace

void set_matrices(const CallMeta& c, std::initializer_list<int> in, std::initializer_list<int> out,
                  LinalgArgs* a) {
  const Shape batch = part(c.out().shape, 0, c.out().rank() - *out.begin());
  Strides steps[5];
  for (Strides& s : steps) s = Strides::filled(batch.rank(), 0);
  for (int i = 0; i < static_cast<int>(in.size()); ++i) {
    set_operand(c.in(i), in.begin()[i], batch, &a->in[i], &steps[i]);
  }
  bool nothing = true;
  for (int i = 0; i < static_cast<int>(out.size()); ++i) {
    set_operand(c.out(i), out.begin()[i], batch, &a->out[i], &steps[2 + i]);
    nothing = nothing && c.out(i).numel() == 0;
  }
  a->batch = nothing ? 0 : batch.numel();
  a->single = batch.empty();
  a->wide = real_dtype(c.in(0).dtype) == DType::kF64;
  a->complex = is_complex(c.in(0).dtype);
  a->at = make_indexer<5>(batch, steps);
}

void register_linalg() {
  add_row(ops::kCholesky, "block", prepare_cholesky);
  add_row(ops::kLuFactor, "block", prepare_lu);
  add_row(ops::kInverse, "block", prepare_inverse);
  add_row(ops::kSolve, "block", prepare_solve);
  add_row(ops::kSolveTriangular, "block", prepare_triangular);
  add_row(ops::kQr, "block", prepare_qr);
  add_row(ops::kEigh, "block", prepare_eigh);
  add_row(ops::kSvd, "block", prepare_svd);
  add_row(ops::kMatrixExp, "block", prepare_exp, only_strided);
  add_row(ops::kLuPermutation, "block", prepare_permutation);
}

}  // namespace rutile::cuda
