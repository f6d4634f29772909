// SPDX-License-Identifier: Apache-2.0
// Rows of the elementwise ops and of fused chains of them: all are tile programs.
#include "rutile/ops/elementwise.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/cpu/tile_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/activation.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/special.h"
#include "rutile/ops/special_more.h"

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
  constexpr bool kAlone = true;
  const int y = add_tile_step(*c.op, c.attrs, {in, c.inputs.size()}, c.out().dtype, &slots, program,
                              reason, kAlone);
  program->outputs.push_back(y);
  return y >= 0;
}

// The shapes of steps that were appended for an op with this result.
void add_shapes(const TileProgram& tiles, const Shape& result, size_t slots,
                std::vector<Shape>* shapes) {
  const size_t inputs = slots - tiles.steps.size();
  while (shapes->size() < slots) {
    const TileStep& s = tiles.steps[shapes->size() - inputs];
    const bool last = shapes->size() + 1 == slots;
    shapes->push_back(last ? result : (*shapes)[static_cast<size_t>(s.in[0])]);
  }
}

// Appends a reduction; the shape of its result as the program sees it in *kept.
int add_reduction(const CallMeta& c, int in, std::vector<DType>* slots, TileProgram* program,
                  Shape* kept) {
  TileStep step;
  step.reduces = true;
  step.mean = c.op == &ops::kMean;
  step.kind = c.op == &ops::kMax   ? ReduceKind::kMax
              : c.op == &ops::kMin ? ReduceKind::kMin
                                   : ReduceKind::kSum;
  const DType out = c.out().dtype;
  step.wide = is_floating(out) && (out == DType::kF64 || !is_floating(c.in(0).dtype));
  step.convert_to = out;
  step.num_in = 1;
  step.in[0] = in;
  program->steps.push_back(step);
  slots->push_back(out);
  *kept = ops::kept_shape(c.in(0).shape, ops::reduced_mask(c));
  return static_cast<int>(slots->size()) - 1;
}

bool chain(const CallMeta& c, TileProgram* program, Reason* reason) {
  ops::FusedProgram p;
  const Status s = ops::FusedProgram::parse(c.as<ops::FusedElementwiseAttrs>().program, &p);
  if (!s.ok()) return refuse(reason, s.message());
  std::vector<DType> slots = input_dtypes(c);
  std::vector<int> slot_of;  // by value of the program
  std::vector<TensorMeta> metas;
  std::vector<Shape> shapes;  // by slot
  bool reduces = false;
  for (int i = 0; i < p.inputs; ++i) {
    slot_of.push_back(i);
    metas.push_back(c.in(i));
    shapes.push_back(c.in(i).shape);
  }
  for (const ops::FusedProgram::Step& step : p.steps) {
    SmallVector<int, 3> in;
    SmallVector<const TensorMeta*, 3> in_metas;
    for (const int v : step.in) {
      const int slot = slot_of[static_cast<size_t>(v)];
      in.push_back(slot);
      in_metas.push_back(&metas[static_cast<size_t>(v)]);
      if (shapes[static_cast<size_t>(slot)].rank() != in_metas.back()->rank()) {
        return refuse(reason, "reads a reduction that dropped its dimensions");
      }
    }
    TensorMeta out;
    CallMeta call{step.op, step.attrs.get(), in_metas, {}};
    const Status inferred = step.op->infer(call, &out);
    RUTILE_CHECK(inferred.ok(), "infer has accepted the program");
    call.outputs = {&out, 1};
    uint32_t mask = 0;
    Shape shape = out.shape;
    if (ops::fusible_reduction(call, &mask)) {
      slot_of.push_back(add_reduction(call, in[0], &slots, program, &shape));
      reduces = true;
    } else {
      slot_of.push_back(
          add_tile_step(*step.op, step.attrs.get(), in, out.dtype, &slots, program, reason));
    }
    if (slot_of.back() < 0) return false;
    add_shapes(*program, shape, slots.size(), &shapes);
    metas.push_back(out);
  }
  program->exact = c.as<ops::FusedElementwiseAttrs>().exact;
  for (const int v : p.outputs) program->outputs.push_back(slot_of[static_cast<size_t>(v)]);
  if (reduces) program->shapes = std::move(shapes);
  return true;
}

using Make = bool (*)(const CallMeta&, TileProgram*, Reason*);

template <Make make>
bool supports(const CallMeta& c, Reason* reason) {
  TileProgram program;
  return make(c, &program, reason) && can_tile(program, c.inputs, c.outputs, reason);
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
