// SPDX-License-Identifier: Apache-2.0
// Rows of complex numbers: elementwise operations, and copies to and from pairs of real numbers.
#include "rutile/kernels/cuda/complex.h"

#include <algorithm>

#include "rutile/core/complex.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/cuda/copy.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/special.h"

namespace rutile::cuda {
namespace {

bool any_complex(const CallMeta& c) {
  return std::any_of(c.inputs.begin(), c.inputs.end(),
                     [](const TensorMeta* m) { return m && is_complex(m->dtype); }) ||
         is_complex(c.out().dtype);
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  if (any_complex(c)) return true;
  reason->text = "takes complex numbers";
  return false;
}
// 64-bit integers do not pass through floating numbers.
bool supports_cast(const CallMeta& c, Reason* reason) {
  if (!supports(c, reason)) return false;
  const DType other = is_complex(c.in(0).dtype) ? c.out().dtype : c.in(0).dtype;
  if (is_floating(other) || is_complex(other) || dtype_size(other) < 8) return true;
  reason->text = "takes no integers of 64 bits";
  return false;
}

template <ComplexOp kOp>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<ComplexArgs>(launch_complex, [](ComplexArgs* a, const KernelArgs& k) {
    for (int i = 0; i < a->inputs; ++i) a->in[i] = k.in[i];
    a->out = k.out[0];
  });
  ComplexArgs& a = p->args;
  const TensorMeta& y = c.out();
  a.op = kOp;
  a.n = y.numel();
  a.inputs = c.num_inputs();
  a.out_type = y.dtype;
  Strides strides[4];
  for (Strides& s : strides) s = Strides::filled(y.rank(), 0);
  strides[0] = y.strides;
  a.wide = real_dtype(y.dtype) == DType::kF64;
  for (int i = 0; i < a.inputs; ++i) {
    const TensorMeta& x = c.in(i);
    a.in_type[i] = x.dtype;
    a.wide = a.wide || real_dtype(x.dtype) == DType::kF64;
    strides[1 + i] = broadcast_strides(x, y.shape);
  }
  a.at = make_indexer<4>(y.shape, strides);
  *plan = std::move(p);
  return Status();
}

// Complex numbers are pairs of real ones in memory.
Status prepare_pairs(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<CopyArgs>(launch_copy, [](CopyArgs* a, const KernelArgs& k) {
    a->in = k.in[0];
    a->out = k.out[0];
  });
  const auto as_pairs = [](const TensorMeta& m) {
    if (!is_complex(m.dtype)) return m.strides;
    Strides s;
    for (int d = 0; d < m.rank(); ++d) s.push_back(2 * m.strides[d]);
    s.push_back(1);
    return s;
  };
  const TensorMeta& pairs = is_complex(c.in(0).dtype) ? c.out() : c.in(0);
  p->args = make_copy(pairs.shape, as_pairs(c.out()), as_pairs(c.in(0)), size_of(pairs.dtype));
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_complex() {
#define RUTILE_COMPLEX(op, function, ns) \
  add_row(ops::op, "complex", prepare<ComplexOp::op>, supports);
#include "rutile/kernels/complex_list.inc"
#undef RUTILE_COMPLEX
  add_row(ops::kCast, "complex", prepare<ComplexOp::kCast>, supports_cast);
  add_row(ops::kViewAsReal, "copy", prepare_pairs, only_strided);
  add_row(ops::kViewAsComplex, "copy", prepare_pairs, only_strided);
  kernels::register_complex_pairs_cuda();
}

}  // namespace rutile::cuda
