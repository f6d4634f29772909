// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/cpu/tile_plan.h"
#include "rutile/kernels/cpu/tile_program.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/kernels/functors.h"
#include "rutile/ops/activation.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/special.h"
#include "rutile/ops/special_more.h"

namespace rutile::kernels {
namespace {

bool tiles_have(Fn fn, DType t) {
  const TileTable* table = tile_table();
  if (!table || fn == Fn::kCount || tile_type(t) == TileType::kNone) return false;
  return table->fn[static_cast<int>(fn)][static_cast<int>(tile_type(t))][0] != nullptr;
}

Fn fn_of(const OpDef& op) {
#define RUTILE_UNARY(constant, functor) \
  if (&op == &ops::constant) return Fn::k##functor;
#define RUTILE_BINARY(constant, functor) RUTILE_UNARY(constant, functor)
#define RUTILE_TERNARY(constant, functor) RUTILE_UNARY(constant, functor)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  return Fn::kCount;
}

Domain domain_of(Fn fn) {
  static constexpr Domain kDomains[] = {
#define RUTILE_UNARY(constant, functor) functor<StdMath>::kDomain,
#define RUTILE_BINARY(constant, functor) functor<StdMath>::kDomain,
#define RUTILE_TERNARY(constant, functor) functor<StdMath>::kDomain,
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
      Domain::kReal};
  return kDomains[static_cast<int>(fn)];
}

// Where a result that does not fit is stored at once, and wraps.
DType widened(DType t) {
  switch (t) {
    case DType::kU8:
    case DType::kI8:
    case DType::kU16:
    case DType::kI16:
      return DType::kI32;
    case DType::kU32:
      return DType::kI64;
    default:
      return t;
  }
}

// The type in which inputs of type t are computed.
DType computed_in(Domain domain, DType t, bool alone) {
  if (domain == Domain::kFloat && !is_floating(t)) return DType::kF32;
  if (domain == Domain::kLogical) return DType::kBool;
  return alone ? widened(t) : t;
}

}  // namespace

int add_tile_step(const OpDef& op, const void* attrs, std::span<const int> in, DType out,
                  std::vector<DType>* slots, TileProgram* program, Reason* reason, bool alone) {
  auto append = [&](TileStep step, DType t) {
    program->steps.push_back(step);
    slots->push_back(t);
    return static_cast<int>(slots->size()) - 1;
  };
  auto conversion = [&](int slot, DType to) {
    TileStep step;
    step.convert_to = to;
    step.num_in = 1;
    step.in[0] = slot;
    return append(step, to);
  };
  if (&op == &ops::kCast) return conversion(in[0], out);
  TileStep step;
  step.fn = fn_of(op);
  step.num_in = static_cast<int>(in.size());
  step.cost = ops::fused_cost(op);
  const DType t = computed_in(domain_of(step.fn), (*slots)[static_cast<size_t>(in.back())], alone);
  if (!tiles_have(step.fn, t)) {
    reason->text = cat(op.name, " has no vector loop for ", t);
    return -1;
  }
  elementwise_params(op, attrs, (*slots)[static_cast<size_t>(in[0])], step.params);
  for (int j = 0; j < step.num_in; ++j) {
    const bool condition = step.fn == Fn::kWhere && j == 0;
    const DType is = (*slots)[static_cast<size_t>(in[static_cast<size_t>(j)])];
    const DType wanted = condition ? is : computed_in(domain_of(step.fn), is, alone);
    step.in[j] = in[static_cast<size_t>(j)];
    if (is != wanted) step.in[j] = conversion(step.in[j], wanted);
  }
  return append(step, out);
}

bool fits(const TileProgram& program, int inputs, Reason* reason) {
  if (inputs + static_cast<int>(program.steps.size()) <= kMaxTileSlots) return true;
  return refuse(reason, cat("has more than ", kMaxTileSlots, " values"));
}

}  // namespace rutile::kernels
