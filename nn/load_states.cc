// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <deque>
#include <span>
#include <unordered_set>

#include "rutile/nn/cell.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

namespace {

constexpr size_t kShown = 20;

// ", did you mean ...?" with the nearest of `names`, or nothing if none is near.
std::string suggestion(const std::string& name, const std::vector<std::string>& names) {
  const std::string* best = nullptr;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& n : names) {
    const size_t longer = std::max(n.size(), name.size()),
                 shorter = std::min(n.size(), name.size());
    if (longer - shorter >= best_distance) continue;
    const size_t d = edit_distance(name, n);
    if (d < best_distance) {
      best = &n;
      best_distance = d;
    }
  }
  return best ? cat(" (did you mean ", *best, "?)") : "";
}

// What MindSpore and Rutile's Python package call the states of norms and embeddings.
struct OtherName {
  std::string_view ours, other;
};
constexpr OtherName kOtherNames[] = {{"weight", "gamma"},
                                     {"weight", "embedding_table"},
                                     {"bias", "beta"},
                                     {"running_mean", "moving_mean"},
                                     {"running_var", "moving_variance"}};

// What they call the states of optimizers: in front of a parameter's name ("moment1.fc.weight" is
// our "m.fc.weight"), or alone.
struct OtherSlot {
  std::string_view ours;
  std::array<std::string_view, 4> others;
};
constexpr OtherSlot kOtherSlots[] = {{"m", {"moment1", "adam_m", "lamb_m", "exp_avg"}},
                                     {"v", {"moment2", "adam_v", "lamb_v", "exp_avg_sq"}},
                                     {"u", {"moment2", "exp_inf"}},
                                     {"vmax", {"vhat", "max_exp_avg_sq"}},
                                     {"momentum", {"moments", "accum", "moment"}},
                                     {"velocity", {"moments"}},
                                     {"sum", {"accum"}},
                                     {"square_avg", {"accum", "mean_square"}},
                                     {"acc_delta", {"accum_update"}},
                                     {"grad_avg", {"mean_grad"}},
                                     {"accum", {"moments"}},
                                     {"ax", {"ax_"}}};
constexpr OtherSlot kOtherStates[] = {{"step", {"global_step", "state_step", "step_t"}},
                                      {"lr", {"learning_rate", "learning_rate_group_0"}}};
// States of theirs that follow from ours.
constexpr std::string_view kDerived[] = {"beta1_power",  "beta2_power", "momentum",
                                         "global_step",  "state_step",  "step_t",
                                         "learning_rate"};
constexpr std::string_view kDerivedPrefixes[] = {"stat.", "learning_rate_group_"};

bool is_derived(std::string_view name) {
  return std::ranges::find(kDerived, name) != std::end(kDerived) ||
         std::ranges::any_of(kDerivedPrefixes, [&](auto p) { return name.starts_with(p); });
}

struct Found {
  StateDict::const_iterator value;
  bool counted = false;  // a step count or learning rate of theirs: another shape and dtype
};

// `name` itself, or with the other name of what it ends with.
StateDict::const_iterator find_ending(const StateDict& values, const std::string& name) {
  const auto it = values.find(name);
  if (it != values.end()) return it;
  const size_t head = name.rfind('.') + 1;  // 0 where there is no dot
  for (const OtherName& o : kOtherNames) {
    if (std::string_view(name).substr(head) != o.ours) continue;
    const auto other = values.find(cat(name.substr(0, head), o.other));
    if (other != values.end()) return other;
  }
  return values.end();
}

Found find_value(const StateDict& values, const std::string& name) {
  if (const auto it = find_ending(values, name); it != values.end()) return {it};
  const size_t dot = name.find('.');
  const bool alone = dot == std::string::npos;
  const std::string_view slot = std::string_view(name).substr(0, dot);
  for (const OtherSlot& o : alone ? std::span<const OtherSlot>(kOtherStates) : kOtherSlots) {
    if (o.ours != slot) continue;
    for (const std::string_view other : o.others) {
      if (other.empty()) continue;
      const auto it = find_ending(values, cat(other, alone ? std::string() : name.substr(dot)));
      if (it != values.end()) return {it, alone};
    }
  }
  return {values.end()};
}

void list(std::string* out, const char* title, const std::vector<std::string>& names,
          const std::vector<std::string>& others) {
  if (names.empty()) return;
  *out += cat(out->empty() ? "" : "\n", names.size(), " ", title, ":");
  for (size_t i = 0; i < names.size(); ++i) {
    if (i == kShown) {
      *out += cat("\n  ... ", names.size() - kShown, " more");
      break;
    }
    *out += cat("\n  ", names[i], suggestion(names[i], others));
  }
}

}  // namespace

std::string LoadReport::text() const {
  std::string out;
  list(&out, "missing", missing, {});
  list(&out, "unexpected", unexpected, missing);
  list(&out, "of another shape or dtype", mismatched, {});
  return out;
}

LoadReport load_states(const std::vector<NamedState>& states, const StateDict& values,
                       bool strict) {
  LoadReport report;
  std::vector<std::pair<State*, const Tensor*>> agreeing;
  std::unordered_set<std::string> wanted;
  std::deque<Tensor> converted;  // stay where they are
  bool from_others = false;
  for (const auto& [name, state] : states) {
    const auto [it, counted] = find_value(values, name);
    if (it == values.end()) {
      wanted.insert(name);
      report.missing.push_back(name);
      continue;
    }
    wanted.insert(it->first);
    const TensorMeta& want = state->meta();
    const TensorMeta& got = it->second.meta();
    if (counted && got.shape.numel() == 1) {
      converted.push_back(ops::cast(ops::reshape(it->second, want.shape), want.dtype));
      agreeing.emplace_back(state.get(), &converted.back());
      from_others = true;
      continue;
    }
    if (!(want.shape == got.shape) || want.dtype != got.dtype) {
      report.mismatched.push_back(cat(name, ": expected ", want, ", got ", got));
      continue;
    }
    agreeing.emplace_back(state.get(), &it->second);
  }
  for (const auto& [name, value] : values) {
    if (wanted.count(name) || (from_others && is_derived(name))) continue;
    report.unexpected.push_back(name);
  }
  if (strict && !report.ok()) {
    throw_error(ErrorCode::kValue, cat("these values do not fit:\n", report.text()));
  }
  for (const auto& [state, value] : agreeing) state->write(ops::contiguous(*value));
  return report;
}

}  // namespace rutile::nn
