// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/complex_pairs.h"

#include <vector>

#include "rutile/core/complex.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/scatter.h"
#include "rutile/ops/update.h"
#include "rutile/ops/view.h"

namespace rutile::kernels {

bool any_complex(const CallMeta& c) {
  for (const TensorMeta& m : c.outputs) {
    if (is_complex(m.dtype)) return true;
  }
  for (const TensorMeta* m : c.inputs) {
    if (m && is_complex(m->dtype)) return true;
  }
  return false;
}
static bool all_strided(const CallMeta& c) {
  for (const TensorMeta& m : c.outputs) {
    if (m.layout != kStrided) return false;
  }
  for (const TensorMeta* m : c.inputs) {
    if (m && m->layout != kStrided) return false;
  }
  return true;
}
bool only_real(const CallMeta& c, Reason* reason) {
  if (!any_complex(c) && all_strided(c)) return true;
  reason->text = "takes strided tensors of real numbers";
  return false;
}

namespace {

struct PairsPlan : Plan {
  AnyAttrs attrs;  // the inner plan may point into them
  std::shared_ptr<const Plan> inner;
};

Status run(const Plan& plan, const KernelArgs& args) {
  const Plan& inner = *static_cast<const PairsPlan&>(plan).inner;
  return inner.run(inner, args);
}

TensorMeta as_pairs(const TensorMeta& m) {
  TensorMeta pairs = m;
  pairs.dtype = real_dtype(m.dtype);
  for (int i = 0; i < m.rank(); ++i) pairs.strides[i] *= 2;
  pairs.shape.push_back(2);
  pairs.strides.push_back(1);
  return pairs;
}

// The call on pairs: axes count from the front, and none is the last one.
struct PairsCall {
  const OpDef* op = nullptr;
  AnyAttrs attrs;
  SmallVector<TensorMeta, 3> in;
  TensorMeta out;
};

AnyAttrs sum_attrs(const CallMeta& c) {
  ops::SumAttrs a = c.as<ops::SumAttrs>();
  const uint32_t mask = ops::reduced_mask(c);
  a.axes = {};
  for (int i = 0; i < c.in(0).rank(); ++i) {
    if (mask >> i & 1u) a.axes.push_back(i);
  }
  a.dtype = real_dtype(c.out().dtype);
  return AnyAttrs(c.op->attrs, &a);
}

PairsCall pairs_call(const CallMeta& c) {
  PairsCall p{c.op, AnyAttrs(c.op->attrs, c.attrs), {}, as_pairs(c.out())};
  for (const TensorMeta* m : c.inputs) p.in.push_back(is_complex(m->dtype) ? as_pairs(*m) : *m);
  const bool number = c.in(0).rank() == 0;  // its sum over no axes is a copy
  if (c.op == &ops::kSumToShape || (c.op != &ops::kCumsum && c.num_inputs() == 1 && number)) {
    ops::SumToShapeAttrs a{p.out.shape, p.out.dtype};
    p.op = &ops::kSumToShape;
    p.attrs = AnyAttrs(p.op->attrs, &a);
  } else if (c.op == &ops::kSum || c.op == &ops::kMean) {
    p.attrs = sum_attrs(c);
  } else if (c.op == &ops::kCumsum) {
    ops::CumsumAttrs a = c.as<ops::CumsumAttrs>();
    if (a.axis < 0) a.axis += c.in(0).rank();
    p.attrs = AnyAttrs(c.op->attrs, &a);
  } else if (c.op == &ops::kScatterAdd) {  // both parts go where the index says
    ops::TakeAlongAttrs a = c.as<ops::TakeAlongAttrs>();
    if (a.axis < 0) a.axis += c.in(0).rank();
    p.attrs = AnyAttrs(c.op->attrs, &a);
    p.in[1].shape.push_back(2);
    p.in[1].strides.push_back(0);
  } else if (c.op == &ops::kPadGrad) {
    ops::PadAttrs a = c.as<ops::PadAttrs>();
    a.before.push_back(0);
    a.after.push_back(0);
    p.attrs = AnyAttrs(c.op->attrs, &a);
  }
  return p;
}

bool supports(const CallMeta& c, Reason* reason) {
  const bool replaces = c.op == &ops::kTensorScatter &&
                        c.as<ops::TensorScatterAttrs>().reduce == ScatterReduce::kNone;
  if (is_complex(c.out().dtype) && all_strided(c) && !replaces) return true;
  reason->text = "takes strided complex numbers";
  return false;
}

// Ops of many tensors that do the same to each element, or to each tensor as a whole.
bool supports_each(const CallMeta& c, Reason* reason) {
  bool room = true;
  for (const TensorMeta* m : c.inputs) room = room && (!m || m->rank() < kMaxRank);
  if (any_complex(c) && all_strided(c) && room) return true;
  reason->text = "takes strided complex numbers";
  return false;
}

template <Rows kRows, DeviceType kDevice>
Status prepare_each(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<PairsPlan>();
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  const auto inner_meta = [](const TensorMeta& m) { return is_complex(m.dtype) ? as_pairs(m) : m; };
  std::vector<TensorMeta> metas, out;
  for (const TensorMeta* m : c.inputs) metas.push_back(m ? inner_meta(*m) : TensorMeta());
  for (const TensorMeta& m : c.outputs) out.push_back(inner_meta(m));
  std::vector<const TensorMeta*> in;
  for (size_t i = 0; i < metas.size(); ++i) in.push_back(c.inputs[i] ? &metas[i] : nullptr);
  RUTILE_RETURN_IF_ERROR(
      make_plan(CallMeta{c.op, p->attrs.get(), in, out}, kDevice, &p->inner, kRows));
  p->run = run;
  p->workspace_bytes = p->inner->workspace_bytes;
  *plan = std::move(p);
  return Status();
}

template <Rows kRows, DeviceType kDevice>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<PairsPlan>();
  PairsCall pairs = pairs_call(c);
  p->attrs = std::move(pairs.attrs);
  SmallVector<const TensorMeta*, 3> in;
  for (const TensorMeta& m : pairs.in) in.push_back(&m);
  const CallMeta call{pairs.op, p->attrs.get(), in, {&pairs.out, 1}};
  RUTILE_RETURN_IF_ERROR(make_plan(call, kDevice, &p->inner, kRows));
  p->run = run;
  p->workspace_bytes = p->inner->workspace_bytes;
  *plan = std::move(p);
  return Status();
}

template <Rows kRows, DeviceType kDevice>
void register_rows() {
  const bool reference = kRows == Rows::kReference;
  KernelRow row{.device = kDevice,
                .name = reference ? "pairs_ref" : "pairs",
                .supports = supports,
                .prepare = prepare<kRows, kDevice>,
                .reference = reference};
  for (const OpDef* op :
       {&ops::kSum, &ops::kMean, &ops::kSumToShape, &ops::kCumsum, &ops::kIndexAdd,
        &ops::kScatterAdd, &ops::kTensorScatter, &ops::kPadGrad}) {
    row.op = op;
    register_kernel(row);
  }
  row.supports = supports_each;
  row.prepare = prepare_each<kRows, kDevice>;
  const auto each = [&](const OpDef& op) {
    row.op = &op;
    register_kernel(row);
  };
  for (const ops::UpdateFamily& f : ops::update_families()) {
    each(*f.single);
    each(*f.multi);
  }
  for (const OpDef* op : {&ops::kAssignAdd, &ops::kUnscaleAndCheck, &ops::kGlobalNorm}) each(*op);
}

}  // namespace

void register_complex_pairs(bool reference) {
  reference ? register_rows<Rows::kReference, DeviceType::kCpu>()
            : register_rows<Rows::kAll, DeviceType::kCpu>();
}
void register_complex_pairs_cuda() { register_rows<Rows::kAll, DeviceType::kCuda>(); }

}  // namespace rutile::kernels
