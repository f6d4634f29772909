// SPDX-License-Identifier: Apache-2.0
// Automatic mixed precision as a scope; the only AMP in the system, eager and graph alike.
//
//   AmpScope amp(DType::kBF16);
//   Tensor y = ops::linear(x, w);   // runs in bf16, gradients of w come out in f32
//
//   AmpScope more(DType::kBF16, make_amp_policy(AmpLevel::kO2, {}, {"exp"}));
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rutile/ops/attrs.h"
#include "rutile/ops/call.h"

namespace rutile {

// Which ops run in low precision. Parameters are f32 at every level, and norms keep f32 scales and
// statistics; a loss computes in f32 whatever it gets.
enum class AmpLevel : uint8_t {
  kO0,  // none
  kO1,  // products and convolutions; exponentials, sums and losses in f32; the rest as it comes
  kO2,  // all but what a network gives to its loss (nn::TrainStep), which is f32
  kO3,  // that too
};
template <>
struct EnumNames<AmpLevel> {
  static constexpr const char* value[] = {"O0", "O1", "O2", "O3"};
};

// A level, and ops that are treated otherwise than it says.
struct AmpPolicy {
  AmpLevel level = AmpLevel::kO1;
  std::vector<const OpDef*> low, high;  // always in low precision, always in f32
  Amp kind_of(const OpDef& op) const;
  bool operator==(const AmpPolicy&) const = default;
};
using AmpPolicyPtr = std::shared_ptr<const AmpPolicy>;  // null: O1 without exceptions
// By the names of ops; Error{kValue} for one that is unknown or in both lists.
RUTILE_API AmpPolicyPtr make_amp_policy(AmpLevel level, const std::vector<std::string>& low = {},
                                        const std::vector<std::string>& high = {});
// The calling thread's, in force where call_modes().amp is on.
RUTILE_API AmpPolicyPtr& amp_policy();

// Casts float inputs of each op by its class (OpDef::amp) and the policy while it lives; scopes
// nest.
class AmpScope {
 public:
  explicit AmpScope(DType low, AmpPolicyPtr policy = nullptr)
      : scope_(call_modes().amp, AmpState{!policy || policy->level != AmpLevel::kO0, low}),
        policy_(amp_policy(), std::move(policy)) {}

 private:
  ScopedValue<AmpState> scope_;
  ScopedValue<AmpPolicyPtr> policy_;
};

}  // namespace rutile
