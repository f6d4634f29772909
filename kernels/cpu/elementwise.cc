// SPDX-License-Identifier: Apache-2.0
// Rows of the elementwise ops: each is a tile program of one step.
#include "rutile/kernels/cpu/tile_plan.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/kernels/functors.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

// The type in which an op computes inputs of type t.
DType computed_in(Domain domain, DType t) {
  if (domain == Domain::kFloat && !is_floating(t)) return DType::kF32;
  if (domain == Domain::kLogical) return DType::kBool;
  return t;
}

template <class F>
bool supports(const CallMeta& c, Reason* reason) {
  const DType t = computed_in(F::kDomain, c.in(c.num_inputs() - 1).dtype);
  if (!tiles_have(fn_of(*c.op), t)) {
    reason->text = cat("has no vector loop for ", t);
    return false;
  }
  return can_tile(c.inputs, c.outputs, reason);
}

template <class F>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  TileProgram program;
  TileStep step;
  step.fn = fn_of(*c.op);
  step.num_in = c.num_inputs();
  elementwise_params(*c.op, c.attrs, step.params);
  for (int i = 0; i < step.num_in; ++i) {
    step.in[i] = i;
    const DType t = c.in(i).dtype, wanted = computed_in(F::kDomain, t);
    if (t == wanted) continue;
    TileStep conversion;
    conversion.convert_to = wanted;
    conversion.num_in = 1;
    conversion.in[0] = i;
    program.steps.push_back(conversion);
    step.in[i] = step.num_in + static_cast<int>(program.steps.size()) - 1;
  }
  program.steps.push_back(step);
  program.outputs.push_back(step.num_in + static_cast<int>(program.steps.size()) - 1);
  return make_tile_plan(program, c.inputs, c.outputs, plan);
}

bool supports_cast(const CallMeta& c, Reason* reason) {
  return can_tile(c.inputs, c.outputs, reason);
}
Status prepare_cast(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return make_tile_plan({.steps = {}, .outputs = {0}}, c.inputs, c.outputs, plan);
}

}  // namespace

void register_elementwise_cpu() {
#define RUTILE_UNARY(constant, functor)                    \
  register_kernel({.op = &ops::constant,                   \
                   .name = "simd",                         \
                   .supports = supports<functor<StdMath>>, \
                   .prepare = prepare<functor<StdMath>>});
#define RUTILE_BINARY(constant, functor) RUTILE_UNARY(constant, functor)
#define RUTILE_TERNARY(constant, functor) RUTILE_UNARY(constant, functor)
#include "rutile/kernels/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  register_kernel(
      {.op = &ops::kCast, .name = "simd", .supports = supports_cast, .prepare = prepare_cast});
}

}  // namespace rutile::kernels
