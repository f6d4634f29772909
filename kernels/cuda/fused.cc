// SPDX-License-Identifier: Apache-2.0
// The row of fused_elementwise: programs without reductions on floats and bool. Values take slots
// as long as something reads them.
#include "rutile/kernels/cuda/fused.h"

#include <algorithm>
#include <map>
#include <vector>

#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/special_more.h"

namespace rutile::cuda {
namespace {

const std::map<const OpDef*, ElementwiseOp>& op_numbers() {
  static const std::map<const OpDef*, ElementwiseOp> numbers = {
#define RUTILE_UNARY(constant, functor) {&ops::constant, ElementwiseOp::functor},
#define RUTILE_BINARY(constant, functor) RUTILE_UNARY(constant, functor)
#define RUTILE_TERNARY(constant, functor) RUTILE_UNARY(constant, functor)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
      {&ops::kCast, ElementwiseOp::Cast},
  };
  return numbers;
}

bool is_value(DType t) { return t == DType::kBool || (is_floating(t) && t != DType::kF64); }

// Numbers stand for bool here: arithmetic on them would differ.
bool takes_bool(ElementwiseOp op, int input) {
  switch (op) {
    case ElementwiseOp::Where:
      return input == 0;
    case ElementwiseOp::LogicalAnd:
    case ElementwiseOp::LogicalOr:
    case ElementwiseOp::LogicalXor:
    case ElementwiseOp::LogicalNot:
    case ElementwiseOp::Cast:
      return true;
    default:
      return false;
  }
}

// Makes a program for the kernel, one slot at a time.
class Assembler {
 public:
  Assembler(const CallMeta& c, FusedArgs* args) : call_(c), a_(*args) {}

  bool run(std::string* why) {
    ops::FusedProgram p;
    const auto& attrs = call_.as<ops::FusedElementwiseAttrs>();
    if (attrs.exact) return refuse(why, "rounds after every op");
    if (!ops::FusedProgram::parse(attrs.program, &p).ok()) return refuse(why, "no program");
    const size_t inputs = static_cast<size_t>(p.inputs), values = inputs + p.steps.size();
    if (p.inputs > kMostFusedInputs || p.outputs.size() > kMostFusedOutputs) {
      return refuse(why, "has too many operands");
    }
    for (int i = 0; i < p.inputs; ++i) metas_.push_back(call_.in(i));
    last_use_.assign(values, -1);
    slot_.assign(values, -1);
    for (size_t k = 0; k < p.steps.size(); ++k) {
      for (const int v : p.steps[k].in) last_use_[static_cast<size_t>(v)] = static_cast<int>(k);
    }
    for (const int v : p.outputs) last_use_[static_cast<size_t>(v)] = static_cast<int>(values);
    for (size_t k = 0; k < p.steps.size(); ++k) {
      if (!add_step(p, k, why)) return false;
    }
    for (size_t i = 0; i < p.outputs.size(); ++i) {
      const size_t v = static_cast<size_t>(p.outputs[i]);
      if (!loaded(v, why)) return false;
      FusedStep s;
      s.op = kFusedStore;
      s.to = static_cast<uint8_t>(i);
      s.in[0] = static_cast<uint8_t>(slot_[v]);
      if (!emit(s, why)) return false;
    }
    return place_operands(why);
  }

 private:
  static bool refuse(std::string* why, std::string text) {
    *why = std::move(text);
    return false;
  }
  bool emit(const FusedStep& s, std::string* why) {
    if (a_.steps == kMostFusedSteps) return refuse(why, "has too many steps");
    a_.step[a_.steps++] = s;
    return true;
  }
  bool take_slot(size_t value, std::string* why) {
    for (int s = 0; s < kMostFusedSlots; ++s) {
      if (std::find(slot_.begin(), slot_.end(), s) != slot_.end()) continue;
      slot_[value] = s;
      a_.slots = std::max(a_.slots, s + 1);
      return true;
    }
    return refuse(why, "keeps too many values");
  }
  // Inputs are read where they are first needed.
  bool loaded(size_t value, std::string* why) {
    if (slot_[value] >= 0) return true;
    if (!is_value(metas_[value].dtype)) return refuse(why, "takes f32, f16, bf16 and bool");
    if (!take_slot(value, why)) return false;
    FusedStep s;
    s.op = kFusedLoad;
    s.to = static_cast<uint8_t>(slot_[value]);
    s.in[0] = static_cast<uint8_t>(value);
    return emit(s, why);
  }
  void release(const ops::FusedProgram::Step& step, size_t k) {
    for (const int v : step.in) {
      if (last_use_[static_cast<size_t>(v)] <= static_cast<int>(k))
        slot_[static_cast<size_t>(v)] = -1;
    }
  }

  bool add_step(const ops::FusedProgram& p, size_t k, std::string* why) {
    const ops::FusedProgram::Step& step = p.steps[k];
    const auto number = op_numbers().find(step.op);
    if (number == op_numbers().end() || !fused_has(number->second)) {
      return refuse(why, cat("does not interpret ", step.op->name));
    }
    std::vector<const TensorMeta*> in;
    for (const int v : step.in) in.push_back(&metas_[static_cast<size_t>(v)]);
    const CallMeta call{step.op, step.attrs.get(), in, {}};
    SmallVector<TensorMeta, 1> out;
    if (!infer_call(call, &out).ok()) return refuse(why, "a step does not fit");
    if (!is_value(out[0].dtype)) return refuse(why, "takes f32, f16, bf16 and bool");
    FusedStep s;
    s.op = static_cast<uint8_t>(number->second);
    for (int i = 0; i < step.in.size(); ++i) {
      const size_t v = static_cast<size_t>(step.in[i]);
      if (in[static_cast<size_t>(i)]->dtype == DType::kBool && !takes_bool(number->second, i)) {
        return refuse(why, cat("does not interpret ", step.op->name, " of bool"));
      }
      if (!loaded(v, why)) return false;
      s.in[i] = static_cast<uint8_t>(slot_[v]);
    }
    double params[3] = {};
    if (step.op != &ops::kCast) {
      kernels::elementwise_params(*step.op, step.attrs.get(), in[0]->dtype, params);
    } else {
      const DType t = out[0].dtype;
      s.rounding = t == DType::kBF16 ? 1 : t == DType::kF16 ? 2 : t == DType::kBool ? 3 : 0;
    }
    if (params[0] != 0 || params[1] != 0 || params[2] != 0) {
      if (params_ == kMostFusedParams - 1) return refuse(why, "has too many attributes");
      s.params = static_cast<uint8_t>(++params_);
      std::copy_n(params, 3, a_.params[params_]);
    }
    metas_.push_back(out[0]);
    release(step, k);
    if (!take_slot(metas_.size() - 1, why)) return false;
    s.to = static_cast<uint8_t>(slot_[metas_.size() - 1]);
    return emit(s, why);
  }

  bool place_operands(std::string* why) {
    const TensorMeta& y = call_.out();
    a_.n = y.numel();
    Strides in[kMostFusedInputs], out[kMostFusedOutputs];
    bool walk_in = false, walk_out = false;
    for (int i = 0; i < kMostFusedInputs; ++i) {
      in[i] = Strides::filled(y.rank(), 0);
      if (i >= call_.num_inputs()) continue;
      const TensorMeta& x = call_.in(i);
      a_.in_type[i] = x.dtype;
      in[i] = broadcast_strides(x, y.shape);
      a_.in_linear[i] = x.is_contiguous() && x.shape == y.shape;
      walk_in = walk_in || !a_.in_linear[i];
    }
    for (int i = 0; i < kMostFusedOutputs; ++i) {
      out[i] = Strides::filled(y.rank(), 0);
      if (i >= static_cast<int>(call_.outputs.size())) continue;
      const TensorMeta& z = call_.out(i);
      if (!(z.shape == y.shape)) return refuse(why, "gives results of different shapes");
      a_.out_type[i] = z.dtype;
      out[i] = z.strides;
      a_.out_linear[i] = z.is_contiguous();
      walk_out = walk_out || !a_.out_linear[i];
    }
    for (const TensorMeta& m : metas_) {
      Shape both;
      if (!broadcast_shapes(m.shape, y.shape, &both).ok() || !(both == y.shape)) {
        return refuse(why, "has values larger than its results");
      }
    }
    if (walk_in) a_.in_at = make_indexer<kMostFusedInputs>(y.shape, in);
    if (walk_out) a_.out_at = make_indexer<kMostFusedOutputs>(y.shape, out);
    // One element everywhere: its place is 0.
    if (walk_in && a_.in_at.rank == 0) std::fill_n(a_.in_linear, kMostFusedInputs, true);
    if (walk_out && a_.out_at.rank == 0) std::fill_n(a_.out_linear, kMostFusedOutputs, true);
    return true;
  }

  const CallMeta& call_;
  FusedArgs& a_;
  std::vector<TensorMeta> metas_;
  std::vector<int> last_use_, slot_;
  int params_ = 0;
};

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  FusedArgs args;
  return Assembler(c, &args).run(&reason->text);
}

struct FusedPlan : Plan {
  FusedArgs args;
  int inputs = 0, outputs = 0;
};

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const FusedPlan&>(plan);
  FusedArgs a = p.args;
  std::copy_n(k.in, p.inputs, a.in);
  std::copy_n(k.out, p.outputs, a.out);
  return launch_status(launch_fused(a, k.stream));
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<FusedPlan>();
  p->run = run;
  std::string why;
  if (!Assembler(c, &p->args).run(&why)) return Status(ErrorCode::kUnsupported, why);
  p->inputs = c.num_inputs();
  p->outputs = static_cast<int>(c.outputs.size());
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_fused() { add_row(ops::kFusedElementwise, "interpreter", prepare, supports); }

}  // namespace rutile::cuda
