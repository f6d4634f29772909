// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_set>

#include "rutile/nn/cell.h"
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

StateDict::const_iterator find_value(const StateDict& values, const std::string& name) {
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
  for (const auto& [name, state] : states) {
    const auto it = find_value(values, name);
    if (it == values.end()) {
      wanted.insert(name);
      report.missing.push_back(name);
      continue;
    }
    wanted.insert(it->first);
    const TensorMeta& want = state->meta();
    const TensorMeta& got = it->second.meta();
    if (!(want.shape == got.shape) || want.dtype != got.dtype) {
      report.mismatched.push_back(cat(name, ": expected ", want, ", got ", got));
      continue;
    }
    agreeing.emplace_back(state.get(), &it->second);
  }
  for (const auto& [name, value] : values) {
    if (!wanted.count(name)) report.unexpected.push_back(name);
  }
  if (strict && !report.ok()) {
    throw_error(ErrorCode::kValue, cat("these values do not fit:\n", report.text()));
  }
  for (const auto& [state, value] : agreeing) state->write(ops::contiguous(*value));
  return report;
}

}  // namespace rutile::nn
