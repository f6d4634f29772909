// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/dnnl_post_ops.h"
#include "rutile/kernels/cpu/dnnl_rows.h"
#include "rutile/kernels/cpu/dnnl_util.h"
#include "rutile/kernels/cpu/eigen_gemm.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/matmul_shape.h"
#include "rutile/ops/matmul.h"

namespace rutile::kernels {

using dnnl::memory;

namespace {

// Products for which Eigen is done (0.15 us) before oneDNN has begun (0.55 us).
constexpr int64_t kTiny = 4096;

struct DnnlMatmul : Plan {
  DnnlCall call;
  DnnlResidual residual;
  bool bias = false;
};

bool has_bias(const CallMeta& call) { return call.op != &ops::kMatmul && call.has(2); }
bool has_residual(const CallMeta& call) { return call.op == &ops::kLinearAct && call.has(3); }

dnnl::primitive_attr attr_of(const CallMeta& call) {
  if (call.op != &ops::kLinearAct) return dnnl_attr();
  return post_ops_attr(has_residual(call), call.as<ops::LinearActAttrs>().act);
}

// Strides that oneDNN takes: one is 1 and the other spans it; of a dimension of size 1 any will do.
bool regular(int64_t rows, int64_t cols, int64_t* row, int64_t* col) {
  if (cols == 1) *col = *row >= 1 || rows == 1 ? 1 : *col;
  if (rows == 1) *row = *col == 1 ? cols : 1;
  return (*col == 1 && *row >= cols) || (*row == 1 && *col >= rows);
}

// A matrix of each batch; broadcast dimensions get size 1.
memory::desc operand(const MatmulShape& s, const Dims& batch_strides, int64_t rows, int64_t cols,
                     int64_t row, int64_t col, DType t) {
  memory::dims dims, strides;
  const int64_t all = row == 1 ? col * cols : row * rows;
  for (int i = 0; i < s.batch.rank(); ++i) {
    dims.push_back(batch_strides[i] ? s.batch[i] : 1);
    strides.push_back(batch_strides[i] ? batch_strides[i] : all);
  }
  dims.insert(dims.end(), {rows, cols});
  strides.insert(strides.end(), {row, col});
  return memory::desc(dims, dnnl_dtype(t), strides);
}

bool make(const CallMeta& call, dnnl::matmul::primitive_desc* pd, std::string* why) {
  MatmulShape s = matmul_shape(call);
  if (s.empty() || s.k == 0) {
    *why = "an input is empty";
    return false;
  }
  if (s.batch.empty() && s.m * s.n * s.k <= kTiny && eigen_runs() &&
      call.in(0).dtype == DType::kF32) {
    *why = "smaller than the call of a primitive";
    return false;
  }
  if (!regular(s.m, s.k, &s.a_m, &s.a_k) || !regular(s.k, s.n, &s.b_k, &s.b_n)) {
    *why = "the rows or columns of a matrix have gaps";
    return false;
  }
  if (s.m == 1) s.c_m = s.n;
  const DType t = call.in(0).dtype, out = call.out().dtype;
  const memory::desc a = operand(s, s.a_batch, s.m, s.k, s.a_m, s.a_k, t);
  const memory::desc b = operand(s, s.b_batch, s.k, s.n, s.b_k, s.b_n, t);
  const memory::desc c = operand(s, s.c_batch, s.m, s.n, s.c_m, 1, out);
  const dnnl::primitive_attr attr = attr_of(call);
  if (has_bias(call)) {
    const memory::dims ones(static_cast<size_t>(s.batch.rank()) + 1, 1);
    memory::dims dims = ones;
    dims.push_back(s.n);
    memory::dims strides(dims.size(), s.n);
    strides.back() = 1;
    *pd = dnnl::matmul::primitive_desc(dnnl_engine(), a, b,
                                       memory::desc(dims, dnnl_dtype(call.in(2).dtype), strides), c,
                                       attr, true);
  } else {
    *pd = dnnl::matmul::primitive_desc(dnnl_engine(), a, b, c, attr, true);
  }
  if (!*pd || std::string_view(pd->impl_info_str()).find("ref") != std::string_view::npos) {
    *why = "oneDNN has no fast implementation";
    return false;
  }
  return true;
}

int threads_for(const CallMeta& call) {
  const MatmulShape s = matmul_shape(call);
  return dnnl_threads(static_cast<double>(s.m * s.n) * static_cast<double>(s.k * s.batch.numel()));
}

bool supports(const CallMeta& call, Reason* reason) {
  for (const TensorMeta* m : call.inputs) {
    if (m && m->layout != kStrided) return refuse(reason, "takes strided tensors only");
  }
  if (!dnnl_has(call.in(0).dtype) || !dnnl_has(call.out().dtype)) {
    return refuse(reason, "takes f32, and bf16 where the machine has AVX-512");
  }
  if (call.has(2) && !call.in(2).is_contiguous()) return refuse(reason, "the bias has gaps");
  if (has_residual(call) && !call.in(3).is_contiguous()) {
    return refuse(reason, "the residual is not row-major");
  }
  if (call.op == &ops::kLinearAct &&
      !takes_activation(call.as<ops::LinearActAttrs>().act, reason)) {
    return false;
  }
  dnnl::matmul::primitive_desc pd;
  bool made = false;
  const Status s = dnnl_try(threads_for(call), [&] { made = make(call, &pd, &reason->text); });
  if (!s.ok()) reason->text = s.message();
  return s.ok() && made;
}

Status run(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const DnnlMatmul&>(base);
  if (p.residual.defined())
    RUTILE_RETURN_IF_ERROR(p.residual.run(args.in[3], args.out[0], args.workspace));
  if (p.bias) {
    return p.call.run({args.in[0], args.in[1], args.in[2], args.out[0], args.workspace});
  }
  return p.call.run({args.in[0], args.in[1], args.out[0], args.workspace});
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<DnnlMatmul>();
  RUTILE_RETURN_IF_ERROR(dnnl_try(threads_for(call), [&] {
    dnnl::matmul::primitive_desc pd;
    std::string why;
    RUTILE_CHECK(make(call, &pd, &why), why);
    p->bias = has_bias(call);
    if (has_residual(call)) {
      p->residual.set(pd.dst_desc(), pd.dst_desc());
      p->may_overwrite = 1u << 3;
    }
    const auto scratch = pd.scratchpad_desc();
    p->workspace_bytes = scratch.get_size();
    if (p->bias) {
      p->call.set(dnnl::matmul(pd), {{DNNL_ARG_SRC, pd.src_desc()},
                                     {DNNL_ARG_WEIGHTS, pd.weights_desc()},
                                     {DNNL_ARG_BIAS, pd.bias_desc()},
                                     {DNNL_ARG_DST, pd.dst_desc()},
                                     {DNNL_ARG_SCRATCHPAD, scratch}});
    } else {
      p->call.set(dnnl::matmul(pd), {{DNNL_ARG_SRC, pd.src_desc()},
                                     {DNNL_ARG_WEIGHTS, pd.weights_desc()},
                                     {DNNL_ARG_DST, pd.dst_desc()},
                                     {DNNL_ARG_SCRATCHPAD, scratch}});
    }
  }));
  p->run = run;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_matmul_dnnl() {
  for (const OpDef* op : {&ops::kMatmul, &ops::kLinear, &ops::kLinearAct}) {
    register_kernel({.op = op, .name = "matmul_dnnl", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
