// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/cost.h"

#include <algorithm>

namespace rutile {

double elements(const TensorMeta& m) {
  double n = 1;
  for (int i = 0; i < m.rank(); ++i) n *= static_cast<double>(m.dim(i));
  return n;
}

double touched_bytes(const TensorMeta& m) {
  if (m.layout != kStrided) return static_cast<double>(m.nbytes());
  double n = static_cast<double>(dtype_size(m.dtype));
  for (int i = 0; i < m.rank(); ++i) {
    n *= static_cast<double>(m.strides[i] == 0 ? std::min<int64_t>(m.dim(i), 1) : m.dim(i));
  }
  return n;
}

namespace {

double default_bytes(const CallMeta& call) {
  double n = 0;
  for (const TensorMeta* m : call.inputs) n += m ? touched_bytes(*m) : 0;
  for (const TensorMeta& m : call.outputs) n += touched_bytes(m);
  return n;
}

}  // namespace

Cost cost_of(const CallMeta& call) {
  const OpDef& op = *call.op;
  if (op.view_offset) return {};
  Cost c;
  c.bytes = op.bytes ? op.bytes(call) : default_bytes(call);
  if (op.flops) {
    c.flops = op.flops(call);
  } else if (op.elementwise) {
    c.flops = flops_per_output<1>(call);
  }
  return c;
}

}  // namespace rutile
