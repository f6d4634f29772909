// SPDX-License-Identifier: Apache-2.0
// Rows of linear algebra over cuSOLVER, a call a matrix: what few, large matrices want, and complex
// ones. Matrices are copied into column-major ones in the workspace and back.
#include <algorithm>
#include <cstdlib>
#include <limits>

#include "rutile/core/complex.h"
#include "rutile/kernels/cuda/linalg_call.h"
#include "rutile/kernels/cuda/solver_plan.h"
#include "rutile/ops/linalg.h"

namespace rutile::cuda {
namespace {

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const SolverPlan&>(plan);
  if (p.args.batch == 0) return Status();
  Work w{p, k, {}};
  RUTILE_RETURN_IF_ERROR(library_stream(k.stream, &w.stream));
  if (w.stream.capturing) {
    return Status(ErrorCode::kUnsupported, "cuSOLVER does a part of its work on the host");
  }
  return p.work(w);
}

// ---- What each op does --------------------------------------------------------------------------

Status cholesky(const Work& w) {
  const SolverPlan& p = w.p;
  const MatrixPart part = p.upper ? MatrixPart::kUpper : MatrixPart::kLower;
  const MatrixSide a = w.room(p.a, p.n, p.a_size);
  RUTILE_RETURN_IF_ERROR(w.clear());
  RUTILE_RETURN_IF_ERROR(w.move(w.in(0), a, p.n, p.n, part));
  RUTILE_RETURN_IF_ERROR(
      w.each(0, [&](SolverCall* c, int64_t i) { c->a = w.matrix(p.a, p.a_size, i); }));
  RUTILE_RETURN_IF_ERROR(w.move(a, w.out(0), p.n, p.n, part));
  return w.judge(FaultKind::kNotPositive, FaultKind::kNotPositive);
}

Status factor(const Work& w) {
  const SolverPlan& p = w.p;
  RUTILE_RETURN_IF_ERROR(w.move(w.in(0), w.room(p.a, p.m, p.a_size), p.m, p.n));
  return w.each(0, [&](SolverCall* c, int64_t i) {
    c->a = w.matrix(p.a, p.a_size, i);
    c->pivots = w.pivots(i, std::min(p.m, p.n));
  });
}

Status lu(const Work& w) {
  const SolverPlan& p = w.p;
  RUTILE_RETURN_IF_ERROR(factor(w));
  RUTILE_RETURN_IF_ERROR(w.move(w.room(p.a, p.m, p.a_size), w.out(0), p.m, p.n));
  PivotArgs a;
  a.batch = p.args.batch;
  a.steps = std::min(p.m, p.n);
  a.from = w.pivots(0, 0);
  a.to = w.out(1);
  a.at = p.args.at;
  return launch_status(launch_pivots(a, w.k.stream));
}

// b becomes the solution, then goes out.
Status substitute(const Work& w, int step) {
  const SolverPlan& p = w.p;
  RUTILE_RETURN_IF_ERROR(w.each(step, [&](SolverCall* c, int64_t i) {
    c->a = w.matrix(p.a, p.a_size, i);
    c->b = w.matrix(p.b, p.n * p.k, i);
    c->pivots = w.pivots(i, p.n);
  }));
  return w.move(w.room(p.b, p.n, p.n * p.k), w.out(0), p.n, p.k);
}

Status solve(const Work& w) {
  const SolverPlan& p = w.p;
  const bool inverse = p.inputs == 1;
  RUTILE_RETURN_IF_ERROR(factor(w));
  RUTILE_RETURN_IF_ERROR(w.move(inverse ? MatrixSide() : w.in(1), w.room(p.b, p.n, p.n * p.k), p.n,
                                p.k, inverse ? MatrixPart::kIdentity : MatrixPart::kAll));
  RUTILE_RETURN_IF_ERROR(substitute(w, 1));
  return w.judge(FaultKind::kNone, FaultKind::kSingular);
}

// A triangle U is the LU of itself, with the identity for L. A lower one stands transposed there.
Status triangular(const Work& w) {
  const SolverPlan& p = w.p;
  const bool lower = p.call[0].transpose;
  MoveArgs m = w.moving(w.in(0), w.room(p.a, p.n, p.a_size), p.n, p.n);
  m.part = p.unit ? MatrixPart::kUnitUpper : MatrixPart::kUpper;
  m.transposed = p.transposed != lower;
  RUTILE_RETURN_IF_ERROR(w.move(m));
  RUTILE_RETURN_IF_ERROR(w.move(w.in(1), w.room(p.b, p.n, p.n * p.k), p.n, p.k));
  RUTILE_RETURN_IF_ERROR(
      launch_status(launch_first_pivots(w.pivots(0, 0), p.n, p.args.batch * p.n, w.k.stream)));
  RUTILE_RETURN_IF_ERROR(substitute(w, 0));
  return w.judge(FaultKind::kNone, FaultKind::kSingular);
}

// Of geqrf and orgqr, whose info says nothing.
Status reflect(const Work& w, int step, size_t place, int64_t size) {
  const SolverPlan& p = w.p;
  return w.each(step, [&](SolverCall* c, int64_t i) {
    c->a = w.matrix(place, size, i);
    c->tau = w.matrix(p.tau, p.k, i);
    c->info = reinterpret_cast<int*>(w.at(p.other_info)) + i;
  });
}

Status qr(const Work& w) {
  const SolverPlan& p = w.p;
  const int64_t columns = p.basis_columns, r_rows = p.args.out[1].rows;
  if (p.k == 0) {
    return w.move(MatrixSide(), w.out(0), p.m, columns, MatrixPart::kIdentity);
  }
  const MatrixSide a = w.room(p.a, p.m, p.a_size);
  RUTILE_RETURN_IF_ERROR(w.move(w.in(0), a, p.m, p.n));
  RUTILE_RETURN_IF_ERROR(reflect(w, 0, p.a, p.a_size));
  RUTILE_RETURN_IF_ERROR(w.move(a, w.out(1), r_rows, p.n, MatrixPart::kUpper));
  RUTILE_RETURN_IF_ERROR(reflect(w, 1, p.a, p.a_size));
  return w.move(a, w.out(0), p.m, columns);
}

// Real values, one column.
Status put_values(const Work& w, int output) {
  const SolverPlan& p = w.p;
  MoveArgs m = w.moving(w.room(p.values, p.n, p.n), w.out(output), p.n, 1);
  m.type = m.from_type = real_dtype(p.type);
  return w.move(m);
}

Status eigh(const Work& w) {
  const SolverPlan& p = w.p;
  const MatrixSide a = w.room(p.a, p.n, p.a_size);
  MoveArgs m = w.moving(w.in(0), a, p.n, p.n);
  m.part = p.upper ? MatrixPart::kFromUpper : MatrixPart::kFromLower;
  RUTILE_RETURN_IF_ERROR(w.take_finite(m));
  RUTILE_RETURN_IF_ERROR(w.each(0, [&](SolverCall* c, int64_t i) {
    c->a = w.matrix(p.a, p.a_size, i);
    c->values = w.at(p.values) + static_cast<size_t>(i * p.n) * dtype_size(real_dtype(p.type));
  }));
  TurnArgs t;
  t.type = p.type;
  t.batch = p.args.batch;
  t.rows = t.columns = p.n;
  t.vectors = a;
  t.turns = w.at(p.turns);
  RUTILE_RETURN_IF_ERROR(launch_status(launch_turns(t, w.k.stream)));
  RUTILE_RETURN_IF_ERROR(put_values(w, 0));
  m = w.moving(a, w.out(1), p.n, p.n);
  m.turns = t.turns;
  RUTILE_RETURN_IF_ERROR(w.move(m));
  return w.judge(FaultKind::kNoConvergence, FaultKind::kNone, true);
}

// T = U S V' of the input or, where that is wide, of its adjoint; U is tall.
struct SvdSides {
  MatrixSide tall, small;
};

// Each pair of vectors is turned by what makes the largest element of the left one positive.
Status turn_pairs(const Work& w, const SvdSides& s) {
  const SolverPlan& p = w.p;
  TurnArgs t;
  t.type = p.type;
  t.batch = p.args.batch;
  t.rows = p.wide ? p.n : p.m;
  t.columns = p.n;
  t.vectors = p.wide ? s.small : s.tall;
  t.transposed = t.conjugate = p.wide;
  t.turns = w.at(p.turns);
  RUTILE_RETURN_IF_ERROR(launch_status(launch_turns(t, w.k.stream)));
  MoveArgs m = w.moving(s.tall, s.tall, p.m, p.n);
  m.turns = t.turns;
  RUTILE_RETURN_IF_ERROR(w.move(m));
  m = w.moving(s.small, s.small, p.n, p.n);
  m.turns = t.turns;
  m.turn_rows = true;
  return w.move(m);
}

Status put_adjoint(const Work& w, const MatrixSide& from, int output, int64_t rows,
                   int64_t columns) {
  MoveArgs m = w.moving(from, w.out(output), rows, columns);
  m.transposed = m.conjugate = true;
  return w.move(m);
}

Status svd(const Work& w) {
  const SolverPlan& p = w.p;
  if (p.n == 0) {
    for (const int i : {0, 2}) {
      const MatrixAt& y = p.args.out[i];
      RUTILE_RETURN_IF_ERROR(
          w.move(MatrixSide(), w.out(i), y.rows, y.columns, MatrixPart::kIdentity));
    }
    return Status();
  }
  MoveArgs m = w.moving(w.in(0), w.room(p.a, p.m, p.a_size), p.m, p.n);
  m.transposed = m.conjugate = p.wide;
  RUTILE_RETURN_IF_ERROR(w.take_finite(m));
  RUTILE_RETURN_IF_ERROR(w.each(0, [&](SolverCall* c, int64_t i) {
    c->a = w.matrix(p.a, p.a_size, i);
    c->b = w.matrix(p.b, p.m * p.n, i);
    c->c = w.matrix(p.c, p.n * p.n, i);
    c->values = w.at(p.values) + static_cast<size_t>(i * p.n) * dtype_size(real_dtype(p.type));
  }));
  SvdSides s{w.room(p.b, p.m, p.m * p.n), w.room(p.c, p.n, p.n * p.n)};
  RUTILE_RETURN_IF_ERROR(turn_pairs(w, s));
  RUTILE_RETURN_IF_ERROR(put_values(w, 1));
  if (p.basis_columns > p.n) {
    const MatrixSide basis = w.room(p.basis, p.m, p.m * p.m);
    RUTILE_RETURN_IF_ERROR(w.move(s.tall, basis, p.m, p.n));
    RUTILE_RETURN_IF_ERROR(reflect(w, 1, p.basis, p.m * p.m));
    RUTILE_RETURN_IF_ERROR(reflect(w, 2, p.basis, p.m * p.m));
    RUTILE_RETURN_IF_ERROR(w.move(s.tall, basis, p.m, p.n));
    s.tall = basis;
  }
  if (p.wide) {
    RUTILE_RETURN_IF_ERROR(put_adjoint(w, s.small, 0, p.n, p.n));
    RUTILE_RETURN_IF_ERROR(put_adjoint(w, s.tall, 2, p.basis_columns, p.m));
  } else {
    RUTILE_RETURN_IF_ERROR(w.move(s.tall, w.out(0), p.m, p.basis_columns));
    RUTILE_RETURN_IF_ERROR(w.move(s.small, w.out(2), p.n, p.n));
  }
  return w.judge(FaultKind::kNoConvergence, FaultKind::kNone, true);
}

Status eig(const Work& w) {
  const SolverPlan& p = w.p;
  MoveArgs m = w.moving(w.in(0), w.room(p.a, p.n, p.a_size), p.n, p.n);
  m.from_type = p.given;
  RUTILE_RETURN_IF_ERROR(w.take_finite(m));
  RUTILE_RETURN_IF_ERROR(w.each(0, [&](SolverCall* c, int64_t i) {
    c->a = w.matrix(p.a, p.a_size, i);
    c->b = w.matrix(p.b, p.n * p.n, i);
    c->values = w.matrix(p.values, p.n, i);
  }));
  auto* const order = reinterpret_cast<int64_t*>(w.at(p.order));
  EigenOrderArgs o;
  o.type = p.type;
  o.batch = p.args.batch;
  o.n = p.n;
  o.values = w.at(p.values);
  o.order = order;
  RUTILE_RETURN_IF_ERROR(launch_status(launch_eigen_order(o, w.k.stream)));
  TurnArgs t;
  t.type = p.type;
  t.batch = p.args.batch;
  t.rows = t.columns = p.n;
  t.vectors = w.room(p.b, p.n, p.n * p.n);
  t.normal = true;
  t.order = order;
  t.turns = w.at(p.turns);
  RUTILE_RETURN_IF_ERROR(launch_status(launch_turns(t, w.k.stream)));
  m = w.moving(t.vectors, w.out(1), p.n, p.n);
  m.turns = t.turns;
  m.order = order;
  RUTILE_RETURN_IF_ERROR(w.move(m));
  // The values as a row, whose columns have that order.
  MatrixSide values = w.out(0);
  std::swap(values.row_step, values.column_step);
  m = w.moving({w.at(p.values), 0, 1, p.n, -1}, values, 1, p.n);
  m.order = order;
  RUTILE_RETURN_IF_ERROR(w.move(m));
  return w.judge(FaultKind::kNoConvergence, FaultKind::kNone, true);
}

// ---- Plans --------------------------------------------------------------------------------------

std::unique_ptr<SolverPlan> plan_of(const CallMeta& c, Status (*work)(const Work&),
                                    std::initializer_list<int> in, std::initializer_list<int> out) {
  auto p = std::make_unique<SolverPlan>();
  p->run = run;
  p->work = work;
  p->inputs = static_cast<int>(in.size());
  p->outputs = static_cast<int>(out.size());
  p->device = c.in(0).device.index;
  p->type = p->given = c.in(0).dtype;
  set_matrices(c, in, out, &p->args);
  p->m = p->args.in[0].rows;
  p->n = p->args.in[0].columns;
  p->k = std::min(p->m, p->n);
  return p;
}

// Room for the steps, and for what they say.
Status finish(std::unique_ptr<SolverPlan> p, std::unique_ptr<Plan>* plan) {
  p->info = p->take(4);
  p->other_info = p->take(4);
  p->odd = p->take(4);
  size_t most = 0;
  if (p->args.batch > 0 && p->k > 0) {
    RUTILE_RETURN_IF_ERROR(make_current(p->device));
    for (int i = 0; i < p->steps; ++i) {
      RUTILE_RETURN_IF_ERROR(solver_room(p->device, p->call[i], &p->rooms[i]));
      most = std::max(most, p->rooms[i].device);
    }
  }
  p->room = p->workspace_bytes;
  p->workspace_bytes += most;
  *plan = std::move(p);
  return Status();
}

void take_a(SolverPlan* p, int64_t elements) {
  p->a_size = elements;
  p->a = p->take_elements(elements);
}

Status prepare_cholesky(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_of(c, cholesky, {2}, {2});
  p->upper = c.as<ops::CholeskyAttrs>().upper;
  take_a(p.get(), p->n * p->n);
  p->add(SolverStep::kPotrf, p->n, p->n).upper = p->upper;
  return finish(std::move(p), plan);
}
Status prepare_lu(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_of(c, lu, {2}, {2, 1});
  take_a(p.get(), p->m * p->n);
  p->pivots = p->take(8 * std::min(p->m, p->n));
  p->add(SolverStep::kGetrf, p->m, p->n);
  return finish(std::move(p), plan);
}
Status finish_solve(std::unique_ptr<SolverPlan> p, int64_t right_sides,
                    std::unique_ptr<Plan>* plan) {
  p->k = right_sides;
  take_a(p.get(), p->n * p->n);
  p->b = p->take_elements(p->n * p->k);
  p->pivots = p->take(8 * p->n);
  return finish(std::move(p), plan);
}
Status prepare_inverse(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_of(c, solve, {2}, {2});
  const int64_t n = p->n;
  p->add(SolverStep::kGetrf, n, n);
  p->add(SolverStep::kGetrs, n, n, n);
  return finish_solve(std::move(p), n, plan);
}
Status prepare_solve(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const int core = ops::solves_vectors(c.in(0), c.in(1)) ? 1 : 2;
  auto p = plan_of(c, solve, {2, core}, {core});
  const int64_t k = p->args.in[1].columns;
  p->add(SolverStep::kGetrf, p->n, p->n);
  p->add(SolverStep::kGetrs, p->n, p->n, k);
  return finish_solve(std::move(p), k, plan);
}
Status prepare_triangular(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& t = c.as<ops::TriangularAttrs>();
  auto p = plan_of(c, triangular, {2, 2}, {2});
  const int64_t k = p->args.in[1].columns;
  p->transposed = t.transpose;
  p->unit = t.unitriangular;
  p->add(SolverStep::kGetrs, p->n, p->n, k).transpose = t.upper == t.transpose;
  return finish_solve(std::move(p), k, plan);
}
Status prepare_qr(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_of(c, qr, {2}, {2, 2});
  p->basis_columns = p->args.out[0].columns;
  take_a(p.get(), p->m * std::max(p->n, p->basis_columns));
  p->tau = p->take_elements(p->k);
  p->add(SolverStep::kGeqrf, p->m, p->n);
  p->add(SolverStep::kOrgqr, p->m, p->basis_columns, p->k);
  return finish(std::move(p), plan);
}
Status prepare_eigh(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_of(c, eigh, {2}, {1, 2});
  p->upper = c.as<ops::EighAttrs>().upper;
  take_a(p.get(), p->n * p->n);
  p->values = p->take_elements(p->n);
  p->turns = p->take_elements(p->n);
  p->add(SolverStep::kSyevd, p->n, p->n);
  return finish(std::move(p), plan);
}
Status prepare_svd(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_of(c, svd, {2}, {2, 1, 2});
  p->wide = p->m < p->n;
  if (p->wide) std::swap(p->m, p->n);
  p->basis_columns = p->wide ? p->args.out[2].rows : p->args.out[0].columns;
  const int64_t m = p->m, n = p->n;
  take_a(p.get(), m * n);
  p->b = p->take_elements(m * n);
  p->c = p->take_elements(n * n);
  p->values = p->take_elements(n);
  p->turns = p->take_elements(n);
  p->add(SolverStep::kGesvd, m, n);
  if (p->basis_columns > n) {
    p->basis = p->take_elements(m * m);
    p->tau = p->take_elements(n);
    p->add(SolverStep::kGeqrf, m, n);
    p->add(SolverStep::kOrgqr, m, m, n);
  }
  return finish(std::move(p), plan);
}
Status prepare_eig(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_of(c, eig, {2}, {1, 2});
  p->type = c.out().dtype;
  take_a(p.get(), p->n * p->n);
  p->b = p->take_elements(p->n * p->n);
  p->values = p->take_elements(p->n);
  p->turns = p->take_elements(p->n);
  p->order = p->take(8 * p->n);
  p->add(SolverStep::kGeev, p->n, p->n);
  return finish(std::move(p), plan);
}

// ---- Which calls --------------------------------------------------------------------------------

// The library works a matrix at a time; small real ones are faster by our own kernels, a block of
// threads each. Not measured: no GPU was at hand.
int64_t smallest_side() {
  const char* const given = std::getenv("RUTILE_CUSOLVER_FROM");
  return given ? std::strtoll(given, nullptr, 10) : 64;
}
bool pays(const TensorMeta& x) {
  const int64_t side = std::max(x.dim(x.rank() - 2), x.dim(x.rank() - 1)), from = smallest_side();
  if (from <= 0) return true;
  int64_t batch = 1;
  for (int d = 0; d < x.rank() - 2; ++d) batch *= x.dim(d);
  return side >= from && batch <= std::max<int64_t>(1, side / 16);
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  const TensorMeta& x = c.in(0);
  const DType real = real_dtype(x.dtype);
  if (real != DType::kF32 && real != DType::kF64) {
    reason->text = "takes f32, f64, c64 and c128";
    return false;
  }
  if (std::max(x.dim(x.rank() - 2), x.dim(x.rank() - 1)) > std::numeric_limits<int>::max()) {
    reason->text = "takes matrices of at most 2^31 - 1 rows and columns";
    return false;
  }
  if (!is_complex(x.dtype) && c.op != &ops::kEig && !pays(x)) {
    reason->text = "leaves small matrices to a block of threads each";
    return false;
  }
  if (solver_failure().empty()) return true;
  reason->text = solver_failure();
  return false;
}

}  // namespace

void register_solver() {
  add_row(ops::kCholesky, "cusolver", prepare_cholesky, supports);
  add_row(ops::kLuFactor, "cusolver", prepare_lu, supports);
  add_row(ops::kInverse, "cusolver", prepare_inverse, supports);
  add_row(ops::kSolve, "cusolver", prepare_solve, supports);
  add_row(ops::kSolveTriangular, "cusolver", prepare_triangular, supports);
  add_row(ops::kQr, "cusolver", prepare_qr, supports);
  add_row(ops::kEigh, "cusolver", prepare_eigh, supports);
  add_row(ops::kSvd, "cusolver", prepare_svd, supports);
  add_row(ops::kEig, "cusolver", prepare_eig, supports);
}

}  // namespace rutile::cuda
