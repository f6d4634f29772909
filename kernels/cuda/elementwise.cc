// SPDX-License-Identifier: Apache-2.0
// Rows of the elementwise ops.
#include "rutile/kernels/cuda/elementwise.h"

#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/kernels/functors.h"
#include "rutile/ops/special_more.h"

namespace rutile::cuda {
namespace {

using kernels::Domain;

// As the reference: 16-bit types compute in float, small integers in 64 bits.
Compute compute_of(Domain domain, DType t) {
  if (domain == Domain::kLogical) return Compute::kBool;
  if (domain != Domain::kInteger) {
    if (t == DType::kF64) return Compute::kDouble;
    if (is_floating(t) || domain == Domain::kFloat) return Compute::kFloat;
  }
  if (t == DType::kBool && domain != Domain::kNumber) return Compute::kBool;
  return t == DType::kU64 ? Compute::kUnsigned : Compute::kInt;
}

ElementwiseLaunch find_kernel(ElementwiseOp op, Compute c) {
  for (auto find : {unary_kernel, binary_kernel, special_kernel}) {
    if (ElementwiseLaunch f = find(op, c)) return f;
  }
  return nullptr;
}

// Every operand is one element, or lies as the output does, without gaps.
bool is_linear(const CallMeta& c, ElementwiseArgs* a) {
  const TensorMeta& y = c.out();
  if (!y.is_dense()) return false;
  for (int i = 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    a->single[i] = x.numel() == 1 && y.numel() != 1;
    if (!a->single[i] && !(x.shape == y.shape && same_placement(x, y))) return false;
  }
  return true;
}

void bind(ElementwiseArgs* a, const KernelArgs& k) {
  a->out = k.out[0];
  a->vectors = a->linear && aligned(a->out);
  for (int i = 0; i < a->inputs; ++i) {
    a->in[i] = k.in[i];
    a->vectors = a->vectors && (a->single[i] || aligned(k.in[i]));
  }
  if (a->checks_zero) a->fault = fault_slot(k.stream);
}

Status prepare(const CallMeta& c, ElementwiseOp op, Domain domain, std::unique_ptr<Plan>* plan) {
  const DType t = c.in(c.num_inputs() - 1).dtype;
  const ElementwiseLaunch launch = find_kernel(op, compute_of(domain, t));
  if (!launch) return Status(ErrorCode::kUnsupported, cat("has no kernel for ", dtype_name(t)));
  auto p = kernel_plan<ElementwiseArgs>(launch, bind);
  ElementwiseArgs& a = p->args;
  const TensorMeta& y = c.out();
  a.n = y.numel();
  a.out_type = y.dtype;
  a.inputs = c.num_inputs();
  Strides strides[4] = {y.strides, Strides::filled(y.rank(), 0), Strides::filled(y.rank(), 0),
                        Strides::filled(y.rank(), 0)};
  for (int i = 0; i < a.inputs; ++i) {
    a.in_type[i] = c.in(i).dtype;
    strides[i + 1] = broadcast_strides(c.in(i), y.shape);
  }
  a.linear = is_linear(c, &a);
  a.index = make_indexer<4>(y.shape, strides);
  a.checks_zero =
      is_integral(t) && (op == ElementwiseOp::FloorDiv || op == ElementwiseOp::Remainder ||
                         op == ElementwiseOp::TruncDiv || op == ElementwiseOp::Fmod);
  if (op != ElementwiseOp::Cast) {
    kernels::elementwise_params(*c.op, c.attrs, c.in(0).dtype, a.params);
  }
  for (int i = 0; i < a.inputs; ++i) {
    const TensorMeta& x = c.in(i);
    if (dtype_size(x.dtype) == dtype_size(y.dtype) && same_placement(x, y)) {
      p->may_overwrite |= 1u << i;
    }
  }
  *plan = std::move(p);
  return Status();
}

template <ElementwiseOp kOp, Domain kDomain>
Status prepare_as(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return prepare(c, kOp, kDomain, plan);
}

}  // namespace

void register_elementwise() {
#define RUTILE_UNARY(constant, functor) \
  add_row(ops::constant, "elementwise", \
          prepare_as<ElementwiseOp::functor, kernels::functor<kernels::StdMath>::kDomain>);
#define RUTILE_BINARY(constant, functor) RUTILE_UNARY(constant, functor)
#define RUTILE_TERNARY(constant, functor) RUTILE_UNARY(constant, functor)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  add_row(ops::kCast, "elementwise", prepare_as<ElementwiseOp::Cast, Domain::kReal>);
}

}  // namespace rutile::cuda
