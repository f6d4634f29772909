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
#include "rutile/ops/transfer.h"

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
  std::string why_not_captured() const;
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
  SessionHook* const names = naming_hook();
  for (const Step& s : program.steps) {
    if (stream) running_op() = running_step(*graph, s);
    const StepName named(names, {*graph, s, slots, stream});
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

// Of a body's steps: one that has no place in a graph of the device under a condition.
std::string Callee::why_not_captured() const {
  for (const Step& s : program.steps) {
    if (s.node == kNone) continue;
    const Node& n = graph->nodes[s.node];
    if (std::string inner = graph::why_not_captured(*s.plan); !inner.empty()) return inner;
    if (n.op->effects == kPure && n.op != &ops::kToDevice) continue;
    const std::string where = origin_text(*graph, n);
    return cat(n.op->name, " cannot be part of a branch or loop that the device decides",
               where.empty() ? "" : cat(" | in ", where));
  }
  return "";
}

// Queues `queue` as a part of a captured graph.
template <class Queue>
CapturePart part_of(Queue& queue) {
  return {[](void* context, Stream s) { return (*static_cast<Queue*>(context))(s); }, &queue};
}

struct ControlPlan : Plan {
  std::string name;  // what `kernel` points to
  int steps = 0;
  int64_t captured = 0;  // nodes of a captured graph, about
  std::string refused;   // why no graph can hold it
  Device device;
  size_t table_bytes = 0;  // of pointers, which the host reads; other offsets are behind them

  // A number of the device that the host goes by.
  template <class T>
  Status read(const void* p, T* out) const {
    return copy_bytes(out, kCpu, p, device, sizeof(T));
  }
  const DeviceFns& fns() const { return device_runtime(device).fns(); }
  Status copy(void* to, const void* from, int64_t bytes, Stream stream) const {
    if (bytes == 0 || to == from) return Status();
    const auto n = static_cast<size_t>(bytes);
    if (device == kCpu) return copy_bytes(to, kCpu, from, kCpu, n);
    return fns().copy(device.index, to, from, n, CopyKind::kOnDevice, stream);
  }
  Status zero(void* p, int64_t bytes, Stream stream) const {
    const auto n = static_cast<size_t>(bytes);
    if (!(device == kCpu)) return fns().fill(device.index, p, 0, n, stream);
    std::memset(p, 0, n);
    return Status();
  }
  size_t workspace_for(size_t all) const { return device == kCpu ? all : all - table_bytes; }
  void set_name(const char* what) {
    name = cat(what, " of ", steps, steps == 1 ? " kernel" : " kernels");
    kernel = name.c_str();
  }
  void count(const Callee& c) {
    for (const Step& s : c.program.steps) {
      steps += 1 + body_steps(*s.plan);
      const auto* inner = dynamic_cast<const ControlPlan*>(s.plan);
      captured += 1 + (inner ? inner->captured : 0);
    }
    if (device == kCpu || !refused.empty()) return;
    refused = c.why_not_captured();
    if (refused.empty() && !(fns().capture_branch && fns().capture_loop && fns().copy_slice)) {
      refused = "the host decides what runs next";
    }
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
    const Space space(p, args);
    const auto run_body = [&](const Callee& c, Stream stream) {
      void** slots = reinterpret_cast<void**>(space.table);
      c.place(slots, space.data);
      Callee::patch(c.inputs, slots, [&](int i) { return args.in[1 + i]; });
      Callee::patch(c.outputs, slots, [&](int i) { return args.out[i]; });
      return c.run(slots, stream);
    };
    if (capturing_steps()) {
      auto then_body = [&](Stream s) { return run_body(p.bodies[0], s); };
      auto else_body = [&](Stream s) { return run_body(p.bodies[1], s); };
      return p.fns().capture_branch(p.device.index, args.stream, args.in[0], part_of(then_body),
                                    part_of(else_body));
    }
    bool holds = false;
    RUTILE_RETURN_IF_ERROR(p.read(args.in[0], &holds));
    return run_body(p.bodies[holds ? 0 : 1], args.stream);
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
    p->count(c);
  }
  p->workspace_bytes = p->workspace_for(p->table_bytes + arena);
  p->run = BranchPlan::execute;
  p->set_name("branch");
  *plan = std::move(p);
  return Status();
}

// ---- Loop

// Iterations of a number that is known are so many copies of the body, up to this many nodes.
constexpr int64_t kMostUnrolled = 4096;

struct LoopPlan final : ControlPlan {
  Callee body, condition;
  int64_t length = -1;
  int first = 0, carries = 0, scanned = 0, results = 0;
  bool reverse = false, counted = false, conditional = false;
  std::vector<int64_t> slice_bytes, result_bytes;  // of an iteration
  // Offsets among the pointers, and behind them.
  size_t condition_slots = 0, pointers = 0, arena = 0, holds = 0;
  std::vector<size_t> spare;  // the carries' second buffers
  // Of a loop that the device steps through: where it stands, slices and results of an iteration.
  bool on_device = false;
  size_t counter = 0;
  std::vector<size_t> slices, rows;

  Status init(const Graph& g, const Node& n, const ops::LoopAttrs& a);
  static Status execute(const Plan& plan, const KernelArgs& args);
  Status iterate(const KernelArgs& args, int64_t count, int64_t* done) const;
  Status capture(const KernelArgs& args) const;
  Status capture_iteration(const KernelArgs& args, const Space& space, Stream stream) const;
  Status test(const KernelArgs& args, const Space& space, void* const* carry, Stream stream) const;
  Status finish(const KernelArgs& args, void* const* carry, int64_t done) const;
};

Status LoopPlan::init(const Graph& g, const Node& n, const ops::LoopAttrs& a) {
  RUTILE_RETURN_IF_ERROR(body.init(a.body));
  count(body);
  conditional = static_cast<bool>(a.condition);
  if (conditional) {
    RUTILE_RETURN_IF_ERROR(condition.init(a.condition));
    count(condition);
  }
  length = a.length;
  on_device = !(device == kCpu) && (conditional || a.counted || length * captured > kMostUnrolled);
  if (!on_device) captured *= std::max<int64_t>(length, 0);
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
  if (on_device) {
    counter = take(sizeof(LoopCounter));
    for (const int64_t bytes : slice_bytes) slices.push_back(take(static_cast<size_t>(bytes)));
    for (int i = carries; i < results; ++i) {
      rows.push_back(take(static_cast<size_t>(result_bytes[i])));
    }
  }
  workspace_bytes = workspace_for(table_bytes + at);
  run = execute;
  set_name("loop");
  return Status();
}

// The condition's result, in `holds`.
Status LoopPlan::test(const KernelArgs& args, const Space& space, void* const* carry,
                      Stream stream) const {
  void** const slots = reinterpret_cast<void**>(space.table + condition_slots);
  Callee::patch(condition.inputs, slots,
                [&](int i) { return i < carries ? carry[i] : args.in[first + i]; });
  Callee::patch(condition.outputs, slots, [&](int) -> void* { return space.data + holds; });
  return condition.run(slots, stream);
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
      RUTILE_RETURN_IF_ERROR(test(args, space, carry, args.stream));
      RUTILE_RETURN_IF_ERROR(read(space.data + holds, &go));
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
    RUTILE_RETURN_IF_ERROR(copy(args.out[k], carry[k], result_bytes[k], args.stream));
  }
  for (int k = carries; k < results; ++k) {
    const int64_t left = (length - done) * result_bytes[k];
    if (left <= 0) continue;
    RUTILE_RETURN_IF_ERROR(
        zero(static_cast<char*>(args.out[k]) + done * result_bytes[k], left, args.stream));
  }
  return conditional ? copy_bytes(args.out[results], device, &done, kCpu, sizeof(done)) : Status();
}

// The body once, for any iteration: it reads the carries in the results' memory, slices and rows
// where they are the same in all of them.
Status LoopPlan::capture_iteration(const KernelArgs& args, const Space& space,
                                   Stream stream) const {
  char* const data = space.data;
  const auto* const where = reinterpret_cast<const LoopCounter*>(data + counter);
  for (int i = 0; i < scanned; ++i) {
    if (slice_bytes[i] == 0) continue;
    const LoopSlice slice{where, slice_bytes[i], reverse, false};
    RUTILE_RETURN_IF_ERROR(fns().copy_slice(device.index, args.in[first + carries + i],
                                            data + slices[i], slice, stream));
  }
  void** const slots = reinterpret_cast<void**>(space.table);
  Callee::patch(body.inputs, slots, [&](int k) -> void* {
    if (k < carries) return args.out[k];
    return k < carries + scanned ? data + slices[k - carries] : args.in[first + k];
  });
  Callee::patch(body.outputs, slots, [&](int k) -> void* {
    return data + (k < carries ? spare[k] : rows[k - carries]);
  });
  RUTILE_RETURN_IF_ERROR(body.run(slots, stream));
  for (int k = 0; k < results; ++k) {
    if (result_bytes[k] == 0) continue;
    if (k < carries) {
      RUTILE_RETURN_IF_ERROR(copy(args.out[k], data + spare[k], result_bytes[k], stream));
      continue;
    }
    const LoopSlice slice{where, result_bytes[k], reverse, true};
    RUTILE_RETURN_IF_ERROR(
        fns().copy_slice(device.index, args.out[k], data + rows[k - carries], slice, stream));
  }
  return conditional ? test(args, space, args.out, stream) : Status();
}

Status LoopPlan::capture(const KernelArgs& args) const {
  const Space space(*this, args);
  body.place(reinterpret_cast<void**>(space.table), space.data + arena);
  if (conditional) {
    condition.place(reinterpret_cast<void**>(space.table + condition_slots), space.data + arena);
  }
  for (int k = 0; k < results; ++k) {
    if (k < carries) {
      RUTILE_RETURN_IF_ERROR(copy(args.out[k], args.in[first + k], result_bytes[k], args.stream));
    } else if ((conditional || counted) && length * result_bytes[k] > 0) {
      // For iterations that there may not be.
      RUTILE_RETURN_IF_ERROR(zero(args.out[k], length * result_bytes[k], args.stream));
    }
  }
  if (conditional) RUTILE_RETURN_IF_ERROR(test(args, space, args.out, args.stream));
  CaptureLoop loop;
  loop.counter = reinterpret_cast<LoopCounter*>(space.data + counter);
  loop.most = length;
  if (counted) loop.wanted = static_cast<const int64_t*>(args.in[0]);
  if (conditional) loop.holds = space.data + holds;
  auto iteration = [&](Stream s) { return capture_iteration(args, space, s); };
  RUTILE_RETURN_IF_ERROR(fns().capture_loop(device.index, args.stream, loop, part_of(iteration)));
  if (!conditional) return Status();
  return copy(args.out[results], &loop.counter->done, sizeof(int64_t), args.stream);
}

Status LoopPlan::execute(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const LoopPlan&>(plan);
  if (p.on_device && capturing_steps()) return p.capture(args);
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

bool& capturing_steps() {
  static thread_local constinit bool capturing = false;
  return capturing;
}

std::string why_not_captured(const Plan& plan) {
  const auto* p = dynamic_cast<const ControlPlan*>(&plan);
  return p ? p->refused : std::string();
}

int body_steps(const Plan& plan) {
  const auto* p = dynamic_cast<const ControlPlan*>(&plan);
  return p ? p->steps : 0;
}

}  // namespace rutile::graph
