// SPDX-License-Identifier: Apache-2.0
// The op table and what hangs on it at run time.
#include <deque>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rutile/ops/op_def.h"
#include "rutile/ops/op_runtime.h"

namespace rutile {

namespace ops {
#define RUTILE_OP(name) extern const OpDef name;
#include "rutile/ops/op_list.inc"
#undef RUTILE_OP
}  // namespace ops

namespace {

struct Registry {
  std::mutex mutex;
  std::vector<const OpDef*> ops;
  std::deque<OpRuntime> runtimes;  // stable addresses
  std::unordered_map<std::string_view, const OpDef*> by_name;

  Registry() {
    ops.reserve(4096);  // so that all_ops() stays valid while others register
#define RUTILE_OP(name) add(ops::name);
#include "rutile/ops/op_list.inc"
#undef RUTILE_OP
    of_library = static_cast<int>(ops.size());
  }
  int of_library = 0;
  void add(const OpDef& op) {
    if (!by_name.emplace(op.name, &op).second) {
      throw_error(ErrorCode::kValue, cat("an op named ", op.name, " is registered already"));
    }
    if (ops.size() == ops.capacity()) {
      throw_error(ErrorCode::kUnsupported, "more than 4096 ops are registered");
    }
    runtimes.emplace_back();
    runtimes.back().id = static_cast<int>(ops.size());
    op.runtime = &runtimes.back();
    ops.push_back(&op);
  }
};

Registry& registry() {
  static Registry* r = new Registry;  // ops live as long as the process
  return *r;
}

}  // namespace

std::span<const OpDef* const> all_ops() {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  return r.ops;
}

const OpDef* find_op(std::string_view name) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  auto it = r.by_name.find(name);
  return it == r.by_name.end() ? nullptr : it->second;
}

void register_op(const OpDef& op) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  r.add(op);
}

OpRuntime& op_runtime(const OpDef& op) {
  if (!op.runtime) {
    registry();
    RUTILE_CHECK(op.runtime, cat("op ", op.name, " is not in op_list.inc nor registered"));
  }
  return *op.runtime;
}

bool is_library_op(const OpDef& op) { return op_runtime(op).id < registry().of_library; }

namespace {
std::string_view without_mark(std::string_view s) {
  if (!s.empty() && (s.back() == '?' || s.back() == '*')) s.remove_suffix(1);
  return s;
}
}  // namespace

std::string_view OpDef::input_name(int i) const {
  if (num_inputs == 0) return "input";  // of an op that takes none
  return without_mark(inputs[i < num_inputs ? i : num_inputs - 1]);
}
std::string_view OpDef::output_name(int i) const {
  return without_mark(outputs[i < num_outputs ? i : num_outputs - 1]);
}

namespace {
// A mistake of whoever wrote the op.
void check_saved(const OpDef& op, bool saved, const char* kind, std::string_view name) {
  if (saved) return;
  throw_error(
      is_library_op(op) ? ErrorCode::kInternal : ErrorCode::kValue,
      cat("[", op.name, "] its gradient reads ", kind, " ", name, ", which is not in .saves"));
}
}  // namespace

const Tensor& GradCtx::in(int i) const {
  const int named = i < op_.num_inputs ? i : op_.num_inputs - 1;
  check_saved(op_, op_.save_inputs >> named & 1u, "input", op_.input_name(i));
  return inputs_[i];
}

const Tensor& GradCtx::out(int i) const {
  const int named = i < op_.num_outputs ? i : op_.num_outputs - 1;
  check_saved(op_, op_.save_outputs >> named & 1u, "output", op_.output_name(i));
  return outputs_[i];
}

}  // namespace rutile
