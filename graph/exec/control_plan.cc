// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/control_plan.h"

#include <algorithm>
#include <cstring>

#include "rutile/core/device_runtime.h"
#include "rutile/core/interrupt_hold.h"
#include "rutile/graph/exec/running.h"
#include "rutile/graph/exec/session_hook.h"
#include "rutile/graph/ir/body.h"
#include "rutile/ops/control.h"

namespace rutile::graph {

namespace {

constexpr size_t round_up(size_t n) { return (n + 63) / 64 * 64; }

// A pointer slot of a body that an iteration sets anew.
struct Patch {
  int slot = 0, index = 0;
  int64_t offset = 0;
};

// A body's program, and where its operands go.
struct Callee {
  std::shared_ptr<const Graph> graph;
  Program program;
  std::vector<Patch> inputs, outputs;

  Status init(const Ref<Region>& body);
  size_t slots_bytes() const { return round_up(program.slots.size() * sizeof(void*)); }
  size_t arena_bytes() const {
    return round_up(static_cast<size_t>(std::max<int64_t>(program.memory.peak, 0)));
  }
  // Constants and the arena, which stay for a whole step.
  void place(void** slots, char* arena) const;
  // `of(index)`: the operand's or result's memory.
  template <class Of>
  static void patch(const std::vector<Patch>& patches, void** slots, Of&& of) {
    for (const Patch& p : patches) slots[p.slot] = static_cast<char*>(of(p.index)) + p.offset;
  }
  Status run(void* const* slots, Stream stream) const;
  Status run_observed(void* const* slots, Stream stream, SessionHook& hook) const;
};

Status Callee::init(const Ref<Region>& body) {
  const Graph* g = body ? body_graph(*body) : nullptr;
  if (!g) return Status(ErrorCode::kUnsupported, "has a body that was not traced");
  // Held by the Region that the attributes hold; the plan may outlive them.
  graph = std::make_shared<const Graph>(*g);
  RUTILE_RETURN_IF_ERROR(lower_body(graph, &program));
  for (size_t i = 0; i < program.slots.size(); ++i) {
    const Pointer& p = program.slots[i];
    if (p.index == kNone) continue;
    const Patch patch{static_cast<int>(i), p.index, p.offset};
    if (p.kind == BufferKind::kInput) inputs.push_back(patch);
    if (p.kind == BufferKind::kOutput) outputs.push_back(patch);
  }
  return Status();
}

void Callee::place(void** slots, char* arena) const {
  for (size_t i = 0; i < program.slots.size(); ++i) {
    const Pointer& p = program.slots[i];
    slots[i] = nullptr;
    if (p.index == kNone) continue;
    if (p.kind == BufferKind::kArena) slots[i] = arena + p.offset;
    if (p.kind == BufferKind::kConstant) {
      slots[i] = static_cast<char*>(program.constants[p.index].impl()->data) + p.offset;
    }
  }
}

Status Callee::run(void* const* slots, Stream stream) const {
  if (SessionHook* hook = running_hook()) [[unlikely]]
    return run_observed(slots, stream, *hook);
  const RunningOpScope kept(running_op());
  for (const Step& s : program.steps) {
    if (stream) running_op() = running_step(*graph, s);
    const KernelArgs args{slots + s.first_in, slots + s.first_out,
                          s.workspace == kNone ? nullptr : slots[s.workspace], stream};
    if (Status status = s.plan->run(*s.plan, args); !status.ok()) [[unlikely]]
      return Status(status.code(), describe_failure(*graph, s, status));
  }
  return Status();
}

Status Callee::run_observed(void* const* slots, Stream stream, SessionHook& hook) const {
  for (const Step& s : program.steps) {
    if (Status status = run_hooked({*graph, s, slots, stream}, hook); !status.ok()) {
      return Status(status.code(), describe_failure(*graph, s, status));
    }
  }
  return Status();
}

struct ControlPlan : Plan {
  std::string name;  // what `kernel` points to
  int steps = 0;
  Device device;
  size_t table_bytes = 0;  // of pointers, which the host reads; other offsets are behind them

  // A number of the device that the host goes by.
  template <class T>
  Status read(const void* p, T* out) const {
    return copy_bytes(out, kCpu, p, device, sizeof(T));
  }
  Status copy(void* to, const void* from, int64_t bytes) const {
    return copy_bytes(to, device, from, device, static_cast<size_t>(bytes));
  }
  Status zero(void* p, int64_t bytes) const {
    if (!(device == kCpu)) return device_runtime(device).fill(p, 0, static_cast<size_t>(bytes));
    std::memset(p, 0, static_cast<size_t>(bytes));
    return Status();
  }
  size_t workspace_for(size_t all) const { return device == kCpu ? all : all - table_bytes; }
  void set_name(const char* what) {
    name = cat(what, " of ", steps, steps == 1 ? " kernel" : " kernels");
    kernel = name.c_str();
  }
  void count(const Program& p) {
    for (const Step& s : p.steps) steps += 1 + body_steps(*s.plan);
  }
};

// A step's pointers and the rest of its memory. On the cpu both lie in the workspace; a device's
// workspace is no place for pointers that the host reads.
struct Space {
  Space(const ControlPlan& p, const KernelArgs& args) {
    char* const workspace = static_cast<char*>(args.workspace);
    if (p.device == kCpu) {
      table = workspace;
      data = workspace + p.table_bytes;
      return;
    }
    own = std::make_unique<void*[]>(p.table_bytes / sizeof(void*));
    table = reinterpret_cast<char*>(own.get());
    data = workspace;
  }
  std::unique_ptr<void*[]> own;
  char *table = nullptr, *data = nullptr;
};

// ---- Branch

struct BranchPlan final : ControlPlan {
  Callee bodies[2];

  static Status execute(const Plan& plan, const KernelArgs& args) {
    const auto& p = static_cast<const BranchPlan&>(plan);
    bool holds = false;
    RUTILE_RETURN_IF_ERROR(p.read(args.in[0], &holds));
    const Callee& c = p.bodies[holds ? 0 : 1];
    const Space space(p, args);
    void** slots = reinterpret_cast<void**>(space.table);
    c.place(slots, space.data);
    Callee::patch(c.inputs, slots, [&](int i) { return args.in[1 + i]; });
    Callee::patch(c.outputs, slots, [&](int i) { return args.out[i]; });
    return c.run(slots, args.stream);
  }
};

Status plan_branch(const ops::CondAttrs& a, Device device, std::shared_ptr<const Plan>* plan) {
  auto p = std::make_shared<BranchPlan>();
  p->device = device;
  size_t arena = 0;
  RUTILE_RETURN_IF_ERROR(p->bodies[0].init(a.then_body));
  RUTILE_RETURN_IF_ERROR(p->bodies[1].init(a.else_body));
  for (const Callee& c : p->bodies) {
    p->table_bytes = std::max(p->table_bytes, c.slots_bytes());
    arena = std::max(arena, c.arena_bytes());
    p->count(c.program);
  }
  p->workspace_bytes = p->workspace_for(p->table_bytes + arena);
  p->run = BranchPlan::execute;
  p->set_name("branch");
  *plan = std::move(p);
  return Status();
}

// ---- Loop

struct LoopPlan final : ControlPlan {
  Callee body, condition;
  int64_t length = -1;
  int first = 0, carries = 0, scanned = 0, results = 0;
  bool reverse = false, counted = false, conditional = false;
  std::vector<int64_t> slice_bytes, result_bytes;  // of an iteration
  // Offsets among the pointers, and behind them.
  size_t condition_slots = 0, pointers = 0, arena = 0, holds = 0;
  std::vector<size_t> spare;  // the carries' second buffers

  Status init(const Graph& g, const Node& n, const ops::LoopAttrs& a);
  static Status execute(const Plan& plan, const KernelArgs& args);
  Status iterate(const KernelArgs& args, int64_t count, int64_t* done) const;
  Status check(const KernelArgs& args, const Space& space, void* const* carry, bool* go) const;
  Status finish(const KernelArgs& args, void* const* carry, int64_t done) const;
};

Status LoopPlan::init(const Graph& g, const Node& n, const ops::LoopAttrs& a) {
  RUTILE_RETURN_IF_ERROR(body.init(a.body));
  count(body.program);
  conditional = static_cast<bool>(a.condition);
  if (conditional) {
    RUTILE_RETURN_IF_ERROR(condition.init(a.condition));
    count(condition.program);
  }
  length = a.length;
  reverse = a.reverse;
  counted = a.counted;
  first = a.counted ? 1 : 0;
  carries = static_cast<int>(a.carries);
  scanned = static_cast<int>(a.scanned);
  results = static_cast<int>(body.graph->outputs.size());
  for (int i = 0; i < scanned; ++i) {
    const TensorMeta& x = g.meta(n.inputs[static_cast<size_t>(first + carries + i)]);
    slice_bytes.push_back(length > 0 ? x.nbytes() / length : 0);
  }
  for (const TensorMeta& m : body.program.outputs) result_bytes.push_back(m.nbytes());
  size_t at = body.slots_bytes();
  auto take = [&](size_t bytes) { return std::exchange(at, at + round_up(bytes)); };
  condition_slots = take(conditional ? condition.slots_bytes() : 0);
  pointers = take(2 * static_cast<size_t>(carries) * sizeof(void*));
  table_bytes = std::exchange(at, 0);
  arena = take(std::max(body.arena_bytes(), conditional ? condition.arena_bytes() : 0));
  holds = take(1);
  for (int i = 0; i < carries; ++i) spare.push_back(take(static_cast<size_t>(result_bytes[i])));
  workspace_bytes = workspace_for(table_bytes + at);
  run = execute;
  set_name("loop");
  return Status();
}

Status LoopPlan::check(const KernelArgs& args, const Space& space, void* const* carry,
                       bool* go) const {
  void** const slots = reinterpret_cast<void**>(space.table + condition_slots);
  void* const result = space.data + holds;
  Callee::patch(condition.inputs, slots,
                [&](int i) { return i < carries ? carry[i] : args.in[first + i]; });
  Callee::patch(condition.outputs, slots, [&](int) -> void* { return result; });
  RUTILE_RETURN_IF_ERROR(condition.run(slots, args.stream));
  return read(result, go);
}

// Carries go to and fro between the result's memory and a spare buffer; where the number of
// iterations is known the last one writes the result.
Status LoopPlan::iterate(const KernelArgs& args, int64_t count, int64_t* done) const {
  const Space space(*this, args);
  void** const slots = reinterpret_cast<void**>(space.table);
  void** const test_slots = reinterpret_cast<void**>(space.table + condition_slots);
  void** const carry = reinterpret_cast<void**>(space.table + pointers);
  void** const next = carry + carries;
  body.place(slots, space.data + arena);
  if (conditional) condition.place(test_slots, space.data + arena);
  for (int i = 0; i < carries; ++i) carry[i] = args.in[first + i];
  for (*done = 0; count < 0 || *done < count; ++*done) {
    if (stop_within_step()) return Status(ErrorCode::kInterrupted, "was interrupted");
    if (conditional) {
      bool go = false;
      RUTILE_RETURN_IF_ERROR(check(args, space, carry, &go));
      if (!go) break;
    }
    const int64_t i = reverse ? count - 1 - *done : *done;
    const bool into_result = ((count < 0 || conditional ? *done : count - 1 - *done) & 1) == 0;
    for (int k = 0; k < carries; ++k) next[k] = into_result ? args.out[k] : space.data + spare[k];
    Callee::patch(body.inputs, slots, [&](int k) -> void* {
      if (k < carries) return carry[k];
      char* const operand = static_cast<char*>(args.in[first + k]);
      return k < carries + scanned ? operand + i * slice_bytes[k - carries] : operand;
    });
    Callee::patch(body.outputs, slots, [&](int k) -> void* {
      return k < carries ? next[k] : static_cast<char*>(args.out[k]) + i * result_bytes[k];
    });
    RUTILE_RETURN_IF_ERROR(body.run(slots, args.stream));
    std::copy(next, next + carries, carry);
  }
  return finish(args, carry, *done);
}

Status LoopPlan::finish(const KernelArgs& args, void* const* carry, int64_t done) const {
  for (int k = 0; k < carries; ++k) {
    if (carry[k] == args.out[k] || result_bytes[k] == 0) continue;
    RUTILE_RETURN_IF_ERROR(copy(args.out[k], carry[k], result_bytes[k]));
  }
  for (int k = carries; k < results; ++k) {
    const int64_t left = (length - done) * result_bytes[k];
    if (left <= 0) continue;
    RUTILE_RETURN_IF_ERROR(zero(static_cast<char*>(args.out[k]) + done * result_bytes[k], left));
  }
  return conditional ? copy_bytes(args.out[results], device, &done, kCpu, sizeof(done)) : Status();
}

Status LoopPlan::execute(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const LoopPlan&>(plan);
  int64_t count = p.length, done = 0;
  if (p.counted) {
    int64_t wanted = 0;
    RUTILE_RETURN_IF_ERROR(p.read(args.in[0], &wanted));
    count = std::clamp<int64_t>(wanted, 0, count);
  }
  const auto in_iteration = [&](const std::string& text) {
    return cat(text, " | in iteration ", done);
  };
  try {
    const Status s = p.iterate(args, count, &done);
    return s.ok() ? Status() : Status(s.code(), in_iteration(s.message()));
  } catch (const Error& e) {  // of a hook
    throw_error(e.code(), in_iteration(e.message()));
  }
}

}  // namespace

Status plan_control(const Graph& g, const Node& n, std::shared_ptr<const Plan>* plan) {
  if (n.op == &ops::kCond) {
    return plan_branch(*static_cast<const ops::CondAttrs*>(n.attrs.get()), graph_device(g), plan);
  }
  if (n.op != &ops::kScan && n.op != &ops::kWhileLoop) {
    return Status(ErrorCode::kUnsupported, "runs bodies in a way that the executor does not know");
  }
  auto loop = std::make_shared<LoopPlan>();
  loop->device = graph_device(g);
  RUTILE_RETURN_IF_ERROR(loop->init(g, n, *static_cast<const ops::LoopAttrs*>(n.attrs.get())));
  *plan = std::move(loop);
  return Status();
}

int body_steps(const Plan& plan) {
  const auto* p = dynamic_cast<const ControlPlan*>(&plan);
  return p ? p->steps : 0;
}

}  // namespace rutile::graph
