// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/amp.h"

#include <algorithm>

namespace rutile {

namespace {

bool lists(const std::vector<const OpDef*>& ops, const OpDef& op) {
  return std::find(ops.begin(), ops.end(), &op) != ops.end();
}

std::vector<const OpDef*> find_all(const std::vector<std::string>& names) {
  std::vector<const OpDef*> ops;
  for (const std::string& name : names) {
    const OpDef* op = find_op(name);
    if (!op) {
      throw_error(ErrorCode::kValue, cat("mixed precision: there is no op \"", name, "\""));
    }
    ops.push_back(op);
  }
  return ops;
}

}  // namespace

Amp AmpPolicy::kind_of(const OpDef& op) const {
  if (lists(low, op)) return Amp::kLow;
  if (lists(high, op)) return Amp::kHigh;
  if (level < AmpLevel::kO2) return op.amp;
  if (op.amp == Amp::kPromote) return Amp::kLow;
  return op.amp == Amp::kHigh ? Amp::kKeep : op.amp;
}

AmpPolicyPtr make_amp_policy(AmpLevel level, const std::vector<std::string>& low,
                             const std::vector<std::string>& high) {
  auto policy = std::make_shared<AmpPolicy>();
  policy->level = level;
  policy->low = find_all(low);
  policy->high = find_all(high);
  for (const OpDef* op : policy->low) {
    if (!lists(policy->high, *op)) continue;
    throw_error(ErrorCode::kValue,
                cat("mixed precision: \"", op->name, "\" cannot be in low precision and in f32"));
  }
  return policy;
}

AmpPolicyPtr& amp_policy() {
  thread_local AmpPolicyPtr policy;
  return policy;
}

}  // namespace rutile
