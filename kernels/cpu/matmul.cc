// SPDX-License-Identifier: Apache-2.0
// Matrix products through Eigen: f64, and the other types where oneDNN is absent or refuses.
#include "rutile/ops/matmul.h"

#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/dnnl_rows.h"
#include "rutile/kernels/cpu/eigen_gemm.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/matmul_shape.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/walk.h"

namespace rutile::kernels {

bool eigen_runs() {
#if defined(__x86_64__)
  return isa() != Isa::kBaseline;
#else
  return true;
#endif
}

namespace {

constexpr double kFlopsPerNs = 40, kElementNs = 0.1;

struct EigenMatmul : Plan {
  MatmulShape s;
  bool bias = false;
  int64_t bias_step = 0;
  // For types that Eigen does not multiply: copies of the operands and the result in f32.
  TensorMeta x, y;
  int64_t x_size = 0, y_size = 0;
};

// Gives one of the two strides the value 1 that Eigen wants; false where neither can have it.
bool one_is_unit(int64_t rows, int64_t cols, int64_t* row, int64_t* col) {
  if (cols <= 1 && *row >= 1) *col = 1;
  if (rows <= 1 && *col >= 1 && *col != 1) *row = 1;
  if (*col == 1) {
    if (rows <= 1) *row = cols > 0 ? cols : 1;
    return *row >= cols;
  }
  return *row == 1 && *col >= rows;
}

bool supports(const CallMeta& call, Reason* reason) {
  for (const TensorMeta* m : call.inputs) {
    if (m && m->layout != kStrided) return refuse(reason, "takes strided tensors only");
  }
  if (is_integral(call.in(0).dtype) || call.out().dtype != call.in(0).dtype) {
    return refuse(reason, "takes floating and complex types, without a change of type");
  }
  MatmulShape s = matmul_shape(call);
  if (!one_is_unit(s.m, s.k, &s.a_m, &s.a_k) || !one_is_unit(s.k, s.n, &s.b_k, &s.b_n)) {
    return refuse(reason, "the rows or columns of a matrix have gaps");
  }
  return true;
}

// Chunks of rows of all batches: each is one product.
template <class T>
void multiply(const EigenMatmul& p, const T* a, const T* b, T* c) {
  const MatmulShape& s = p.s;
  if (s.empty()) return;
  const int64_t batches = s.batch.numel();
  const double flops = 2.0 * static_cast<double>(s.m) * s.n * std::max<int64_t>(s.k, 1);
  const int64_t grain = grain_for(flops / static_cast<double>(s.m) / kFlopsPerNs);
  parallel_for(0, batches * s.m, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t batch = begin / s.m, row = begin % s.m;
      const int64_t rows = std::min(s.m - row, end - begin);
      int64_t rest = batch, ao = row * s.a_m, bo = 0, co = row * s.c_m;
      for (int i = s.batch.rank() - 1; i >= 0; --i) {
        const int64_t at = rest % s.batch[i];
        rest /= s.batch[i];
        ao += at * s.a_batch[i];
        bo += at * s.b_batch[i];
        co += at * s.c_batch[i];
      }
      if (s.k == 0) {
        for (int64_t i = 0; i < rows; ++i) std::fill_n(c + co + i * s.c_m, s.n, T(0));
      } else {
        eigen_gemm<T>(rows, s.n, s.k, {a + ao, s.a_m, s.a_k}, {b + bo, s.b_k, s.b_n}, c + co, s.c_m,
                      false);
      }
      begin += rows;
    }
  });
}

// y[..., n] += bias[n] over a dense row-major result.
template <class T, class B>
void add_bias(const EigenMatmul& p, T* y, const B* bias) {
  const int64_t n = p.s.n, rows = n ? p.s.m * p.s.batch.numel() : 0;
  parallel_for(0, rows, grain_for(kElementNs * static_cast<double>(n)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   for (int64_t j = 0; j < n; ++j)
                     y[i * n + j] += static_cast<T>(bias[j * p.bias_step]);
                 }
               });
}

template <class T>
Status run(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const EigenMatmul&>(base);
  T* c = static_cast<T*>(args.out[0]);
  multiply(p, static_cast<const T*>(args.in[0]), static_cast<const T*>(args.in[1]), c);
  if (p.bias) add_bias(p, c, static_cast<const T*>(args.in[2]));
  return Status();
}

template <class T>
void widen(const T* from, float* to, int64_t n) {
  parallel_for(0, n, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = static_cast<float>(from[i]);
  });
}

template <class T>
Status run_in_f32(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const EigenMatmul&>(base);
  float* a = static_cast<float*>(args.workspace);
  float* b = a + p.x_size;
  float* c = b + p.y_size;
  widen(static_cast<const T*>(args.in[0]), a, p.x_size);
  widen(static_cast<const T*>(args.in[1]), b, p.y_size);
  multiply(p, static_cast<const float*>(a), static_cast<const float*>(b), c);
  if (p.bias) add_bias(p, c, static_cast<const T*>(args.in[2]));
  T* y = static_cast<T*>(args.out[0]);
  const int64_t n = p.s.empty() ? 0 : p.s.m * p.s.n * p.s.batch.numel();
  parallel_for(0, n, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(c[i]);
  });
  return Status();
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<EigenMatmul>();
  p->s = matmul_shape(call);
  one_is_unit(p->s.m, p->s.k, &p->s.a_m, &p->s.a_k);
  one_is_unit(p->s.k, p->s.n, &p->s.b_k, &p->s.b_n);
  if (p->s.m == 1) p->s.c_m = p->s.n;
  if (p->s.n == 1 && p->s.c_m < 1) p->s.c_m = 1;
  p->bias = call.op == &ops::kLinear && call.has(2);
  if (p->bias) p->bias_step = call.in(2).strides[0];
  const DType t = call.in(0).dtype;
  if (t == DType::kF64) {
    p->run = run<double>;
  } else if (t == DType::kF32) {
    p->run = run<float>;
  } else if (t == DType::kC64) {
    p->run = run<std::complex<float>>;
  } else if (t == DType::kC128) {
    p->run = run<std::complex<double>>;
  } else {
    const int64_t size = static_cast<int64_t>(dtype_size(t));
    p->x_size = call.in(0).nbytes() / size;
    p->y_size = call.in(1).nbytes() / size;
    p->workspace_bytes =
        sizeof(float) * static_cast<size_t>(p->x_size + p->y_size + call.out().numel());
    p->run = t == DType::kBF16 ? run_in_f32<BFloat16> : run_in_f32<Half>;
  }
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_matmul_cpu() {
#if RUTILE_ONEDNN
  register_matmul_dnnl();
#endif
  if (!eigen_runs()) return;
  for (const OpDef* op : {&ops::kMatmul, &ops::kLinear}) {
    register_kernel({.op = op, .name = "matmul_eigen", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
