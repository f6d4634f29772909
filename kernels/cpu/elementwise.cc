// SPDX-License-Identifier: Apache-2.0
// Rows of the elementwise ops and of fused chains of them: all are tile programs.
#include "rutile/ops/elementwise.h"
#include "rutile/kernels/cpu/tile_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/fused.h"

namespace rutile::kernels {
namespace {

std::vector<DType> input_dtypes(const CallMeta& c) {
  std::vector<DType> slots;
  for (const TensorMeta* m : c.inputs) slots.push_back(m->dtype);
  return slots;
}

bool single(const CallMeta& c, TileProgram* program, Reason* reason) {
  if (c.op == &ops::kCast) {  // loading and storing is all of it
    program->outputs.push_back(0);
    return true;
  }
  std::vector<DType> slots = input_dtypes(c);
  int in[] = {0, 1, 2};
  const int y =
      add_tile_step(*c.op, c.attrs, {in, c.inputs.size()}, c.out().dtype, &slots, program, reason);
  program->outputs.push_back(y);
  return y >= 0;
}

bool chain(const CallMeta& c, TileProgram* program, Reason* reason) {
  ops::FusedProgram p;
  const Status s = ops::FusedProgram::parse(c.as<ops::FusedElementwiseAttrs>().program, &p);
  if (!s.ok()) {
    reason->text = s.message();
    return false;
  }
  std::vector<DType> slots = input_dtypes(c);
  std::vector<int> slot_of;  // by value of the program
  std::vector<TensorMeta> metas;
  for (int i = 0; i < p.inputs; ++i) {
    slot_of.push_back(i);
    metas.push_back(c.in(i));
  }
  for (const ops::FusedProgram::Step& step : p.steps) {
    SmallVector<int, 3> in;
    SmallVector<const TensorMeta*, 3> in_metas;
    for (const int v : step.in) {
      in.push_back(slot_of[static_cast<size_t>(v)]);
      in_metas.push_back(&metas[static_cast<size_t>(v)]);
    }
    TensorMeta out;
    const Status inferred = step.op->infer(CallMeta{step.op, step.attrs.get(), in_metas, {}}, &out);
    RUTILE_CHECK(inferred.ok(), "infer has accepted the program");
    slot_of.push_back(
        add_tile_step(*step.op, step.attrs.get(), in, out.dtype, &slots, program, reason));
    if (slot_of.back() < 0) return false;
    metas.push_back(out);
  }
  for (const int v : p.outputs) program->outputs.push_back(slot_of[static_cast<size_t>(v)]);
  return true;
}

using Make = bool (*)(const CallMeta&, TileProgram*, Reason*);

template <Make make>
bool supports(const CallMeta& c, Reason* reason) {
  TileProgram program;
  return can_tile(c.inputs, c.outputs, reason) && make(c, &program, reason) &&
         fits(program, c.num_inputs(), reason);
}

template <Make make>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  TileProgram program;
  Reason reason;
  if (!make(c, &program, &reason)) return Status(ErrorCode::kUnsupported, reason.text);
  return make_tile_plan(program, c.inputs, c.outputs, plan);
}

}  // namespace

void register_elementwise_cpu() {
  const auto add = [](const OpDef& op) {
    register_kernel(
        {.op = &op, .name = "simd", .supports = supports<single>, .prepare = prepare<single>});
  };
#define RUTILE_UNARY(constant, functor) add(ops::constant);
#define RUTILE_BINARY(constant, functor) add(ops::constant);
#define RUTILE_TERNARY(constant, functor) add(ops::constant);
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  add(ops::kCast);
  register_kernel({.op = &ops::kFusedElementwise,
                   .name = "simd",
                   .supports = supports<chain>,
                   .prepare = prepare<chain>});
}

}  // namespace rutile::kernels
