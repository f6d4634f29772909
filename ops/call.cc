// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/call.h"

#include <algorithm>
#include <atomic>

#include "rutile/core/device_runtime.h"
#include "rutile/core/log.h"
#include "rutile/core/running_op.h"
#include "rutile/core/thread.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/transfer.h"
#include "rutile/ops/view.h"

namespace rutile {

CallModes& call_modes() {
  static thread_local constinit CallModes modes;
  return modes;
}

DeviceScope::DeviceScope(Device device) : saved_(call_modes().device) {
  if (device.type != DeviceType::kCpu) (void)device_runtime(device);
  call_modes().device = device;
}

CallStats& call_stats() {
  static thread_local constinit CallStats stats;
  return stats;
}

std::string cell_path(const CellScope* scope) {
  if (!scope) return "";
  const std::string parent = cell_path(scope->parent);
  return parent.empty() ? std::string(scope->name) : cat(parent, ".", scope->name);
}

namespace {
std::atomic<LocationProvider> location_provider{nullptr};
}  // namespace

void set_location_provider(LocationProvider provider) { location_provider.store(provider); }

bool user_location(std::string* file, int* line) {
  const LocationProvider provider = location_provider.load();
  return provider && provider(file, line);
}

void call_location(std::source_location where, std::string* file, int* line) {
  const CallPlace* forward = call_modes().forward;
  if (forward && !forward->file.empty()) {
    *file = forward->file;
    *line = forward->line;
    return;
  }
  if (forward) where = forward->where;
  *file = where.file_name();
  *line = static_cast<int>(where.line());
  if (!forward) user_location(file, line);
}

namespace {

using MetaPointers = SmallVector<const TensorMeta*, 6>;

MetaPointers metas_of(std::span<const Tensor> tensors) {
  MetaPointers metas;
  for (const Tensor& t : tensors) metas.push_back(t.defined() ? &t.meta() : nullptr);
  return metas;
}

// "[conv2d] weight expects 64 input channels, got 32 | x f32[..]@cpu, weight f32[..]@cpu | in Cell
// a.b"
[[noreturn, gnu::cold]] void throw_call_error(const OpDef& op, std::span<const Tensor> in,
                                              const Status& status, std::source_location where) {
  if (!status.message().empty() && status.message().front() == '[') {
    throw_error(status.code(), status.message());  // composed by an inner call
  }
  std::string text = cat("[", op.name, "] ", status.message());
  for (size_t i = 0; i < in.size(); ++i) {
    text += i == 0 ? " | " : ", ";
    if (i == 8) {
      text += cat("... ", in.size() - i, " more");
      break;
    }
    const int index = static_cast<int>(i);
    const bool many = op.variadic_in && index >= op.num_inputs - 1;
    text += cat(op.input_name(index), many ? cat("[", index - op.num_inputs + 1, "]") : "", " ",
                in[i].defined() ? to_string(in[i].meta()) : "none");
  }
  const std::string path = cell_path(call_modes().cell);
  if (!path.empty()) text += cat(" | in Cell ", path);
  if (call_modes().trace) {
    std::string file;
    int line = 0;
    call_location(where, &file, &line);
    text += cat(" | traced at ", file, ":", line);
  } else if (!location_provider.load()) {  // else the provider's side names its own line
    text += cat(" | at ", where.file_name(), ":", where.line());
  }
  throw_error(status.code(), text);
}

// The dtype that mixed precision wants the float inputs in; false if they may stay.
bool amp_target(const OpDef& op, const AmpState& amp, std::span<const Tensor> in, DType* target) {
  bool low = false, f32 = false;
  for (const Tensor& t : in) {
    if (!t.defined()) continue;
    low = low || is_low_precision(t.dtype());
    f32 = f32 || t.dtype() == DType::kF32;
  }
  const AmpPolicy* policy = amp_policy().get();
  const Amp kind = policy ? policy->kind_of(op) : op.amp;
  *target = kind == Amp::kLow ? amp.low : DType::kF32;
  switch (kind) {
    case Amp::kKeep:
      return false;
    case Amp::kLow:
      return f32;
    case Amp::kHigh:
      return low;
    case Amp::kPromote:
      return low && f32;
  }
  return false;
}

// The common dtype of the inputs; false if they have one.
bool promotion_target(std::span<const Tensor> in, DType* target) {
  bool differ = false, first = true;
  for (const Tensor& t : in) {
    if (!t.defined()) continue;
    if (!first && t.dtype() != *target) differ = true;
    *target = first ? t.dtype() : promote(*target, t.dtype());
    first = false;
  }
  return differ;
}

// The ops that prepare a call's inputs run outside AMP, else a cast would ask for casts.
SmallVector<Tensor, 4> cast_inputs(std::span<const Tensor> in, DType target, bool floats_only) {
  ScopedValue<AmpState> off(call_modes().amp, AmpState{});
  SmallVector<Tensor, 4> cast;
  for (const Tensor& t : in) {
    const bool wanted = t.defined() && t.dtype() != target &&
                        (!floats_only || is_low_precision(t.dtype()) || t.dtype() == DType::kF32);
    cast.push_back(wanted ? ops::cast(t, target) : t);
  }
  return cast;
}

bool on_several_devices(std::span<const Tensor> in) {
  const TensorMeta* first = nullptr;
  for (const Tensor& t : in) {
    if (!t.defined()) continue;
    if (first && !(first->device == t.meta().device)) return true;
    first = &t.meta();
  }
  return false;
}

// Inputs on a device and on the cpu: numbers (0-d tensors) of the cpu follow the others, and all
// tensors of the cpu do where that device is in force. The tape sees the copies.
[[gnu::cold]] SmallVector<Tensor, 4> brought_over(const OpDef& op, std::span<const Tensor> in,
                                                  std::source_location where) {
  Device target = kCpu;
  for (const Tensor& t : in) {
    if (t.defined() && t.device() != kCpu && target == kCpu) target = t.device();
  }
  SmallVector<Tensor, 4> all;
  for (size_t i = 0; i < in.size(); ++i) {
    const Tensor& t = in[i];
    all.push_back(t);
    if (!t.defined() || t.device() == target) continue;
    const int named = std::min(static_cast<int>(i), op.num_inputs - 1);
    const bool mutated = named >= 0 && (op.mutate_mask >> named & 1u);
    if (t.device() != kCpu || mutated || (t.rank() > 0 && !(call_modes().device == target))) {
      throw_call_error(op, in,
                       value_error(cat("inputs are on different devices: ", target, " and ",
                                       t.device(), "; copy one of them with to()")),
                       where);
    }
    all.back() = ops::to_device(t, target);
  }
  return all;
}

void run_view(const OpDef& op, const CallMeta& call, std::span<const Tensor> in,
              std::span<Tensor> out) {
  for (int i = 0; i < static_cast<int>(out.size()); ++i) {
    const Tensor& base = in[op.alias_input(i)];
    const TensorMeta& meta = call.outputs[i];
    Ref<RefCounted> owner = base.impl()->owner;
    if (!owner) owner = base.ref();
    char* first = static_cast<char*>(base.impl()->data);
    if (first) first += op.view_offset(call, i) * static_cast<int64_t>(dtype_size(meta.dtype));
    out[i] = Tensor::view_of(std::move(owner), first, meta);
  }
}

// True for a view that the input's placement does not allow: it is then taken of a copy.
bool view_needs_copy(const OpDef& op, const Status& status, std::span<const Tensor> in) {
  if (!op.view_offset || status.code() != ErrorCode::kUnsupported) return false;
  const Tensor& base = in[op.alias[0]];
  return base.defined() && !base.meta().is_contiguous();
}

SmallVector<Tensor, 4> with_plain_base(const OpDef& op, std::span<const Tensor> in) {
  ScopedValue<TapeHook*> no_tape(call_modes().tape, nullptr);  // the tape records the view itself
  SmallVector<Tensor, 4> plain{in};
  plain[op.alias[0]] = ops::contiguous(in[op.alias[0]]);
  return plain;
}

// The output that aliases a mutated input shares its memory, or that of a fresh copy if others
// hold the elements too.
Tensor mutated_output(const Tensor& input, const TensorMeta& meta) {
  if (input.unique()) {
    Ref<RefCounted> owner = input.impl()->owner;
    if (!owner) owner = input.ref();
    return Tensor::view_of(std::move(owner), input.impl()->data, meta);
  }
  Tensor copy = Tensor::empty(meta);
  const Tensor plain = input.meta() == meta ? input : ops::contiguous(input);
  throw_if_error(copy_bytes(copy.impl()->data, meta.device, plain.impl()->data, meta.device,
                            static_cast<size_t>(meta.nbytes())));
  return copy;
}

std::string cell_place(const void* cell, const void*) {
  const std::string path = cell_path(static_cast<const CellScope*>(cell));
  return path.empty() ? path : "Cell " + path;
}

// `copies`: empty, or what stands in for an input where it is defined. The inputs themselves stay
// with the caller, so that a State's only handle is still its only one.
Status run_planned(const OpDef& op, const PlanEntry& entry, std::span<const Tensor> in,
                   std::span<const Tensor> copies, std::span<Tensor> out) {
  const Plan& plan = *entry.plan;
  auto input = [&](size_t i) -> const Tensor& {
    return i < copies.size() && copies[i].defined() ? copies[i] : in[i];
  };
  SmallVector<void*, 6> in_data;
  SmallVector<void*, 4> out_data;
  for (size_t i = 0; i < in.size(); ++i) {
    in_data.push_back(in[i].defined() ? input(i).impl()->data : nullptr);
  }
  // Kernels see every named input; optional ones that were left off at the end are null.
  while (in_data.size() < op.num_inputs) in_data.push_back(nullptr);
  for (int i = 0; i < entry.outputs.size(); ++i) {
    const int alias = op.alias_input(i);
    if (alias >= 0) {
      out[i] = mutated_output(input(static_cast<size_t>(alias)), entry.outputs[i]);
      in_data[alias] = out[i].impl()->data;
    } else {
      out[i] = Tensor::empty(entry.outputs[i]);
    }
    out_data.push_back(out[i].impl()->data);
  }
  Ref<Storage> workspace;
  KernelArgs args{in_data.data(), out_data.data(), nullptr, entry.stream};
  if (plan.workspace_bytes) {
    workspace = Storage::allocate(plan.workspace_bytes, entry.device);
    args.workspace = workspace->data();
  }
  if (!entry.stream) return plan.run(plan, args);
  const RunningOpScope running({op.name, cell_place, call_modes().cell, nullptr});
  Status s = plan.run(plan, args);
  if (s.ok() && log_enabled(LogTopic::kSync)) [[unlikely]] {
    return device_runtime(entry.device).synchronize();
  }
  return s;
}

// The composition's calls on tensors like these, to be repeated.
std::shared_ptr<const Composition> composition_of(const OpDef& op, const void* attrs,
                                                  std::span<const Tensor> in,
                                                  std::span<const TensorMeta> metas) {
  if (!may_repeat(op)) return nullptr;
  std::vector<TensorMeta> operands;
  for (const Tensor& t : in) {
    if (t.defined()) operands.push_back(t.meta());
  }
  const auto fn = [&](const std::vector<Tensor>& symbols) {
    SmallVector<Tensor, 4> all;
    size_t next = 0;
    for (const Tensor& t : in) all.push_back(t.defined() ? symbols[next++] : Tensor());
    const TensorList r = op.compose(attrs, all);
    std::vector<Tensor> results;
    for (int i = 0; i < r.size(); ++i) results.push_back(placed_like(r[i], metas[i]));
    return results;
  };
  return make_composition(fn, operands);
}

// A result that is an operand, or another result, becomes a variable of its own.
void give_own_handles(std::span<const Tensor> in, std::span<Tensor> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    if (!out[i].defined()) continue;
    const auto same = [&](const Tensor& t) { return t.impl() == out[i].impl(); };
    const auto before = out.first(i);
    if (std::any_of(in.begin(), in.end(), same) ||
        std::any_of(before.begin(), before.end(), same)) {
      out[i] = out[i].alias();
    }
  }
}

// Runs an op that has no kernel row through its definition; the tape records the op itself.
void run_composed(const OpDef& op, const void* attrs, const PlanEntry& entry,
                  std::span<const Tensor> in, std::span<Tensor> out, std::source_location where) {
  // The calls below go through the cache that holds the entry. Who watches sees each of them.
  const auto known = call_modes().run ? nullptr : entry.composition;
  const SmallVector<TensorMeta, 1> metas = known ? SmallVector<TensorMeta, 1>() : entry.outputs;
  ScopedValue<AmpState> no_amp(call_modes().amp, AmpState{});
  ScopedValue<TapeHook*> no_tape(call_modes().tape, nullptr);
  const Device device = call_device(metas_of(in));
  ScopedValue<Device> made_there(call_modes().device, device);
  TensorList result;
  try {
    if (known) {
      SmallVector<Tensor, 4> given;
      for (const Tensor& t : in) {
        if (t.defined()) given.push_back(t);
      }
      known->run(given, out);
      return give_own_handles(in, out);
    }
    result = op.compose(attrs, in);
  } catch (const Error& e) {
    if (!e.message().starts_with('[')) {
      throw_call_error(op, in, Status(e.code(), e.message()), where);
    }
    // It names an op that the user did not call.
    throw_error(e.code(), cat(e.message(), " | in ", op.name));
  }
  RUTILE_CHECK(result.size() == static_cast<int>(out.size()), "compose gives every output");
  for (int i = 0; i < result.size(); ++i) {
    const Tensor r = result[i].defined() ? ops::to_device(result[i], device) : result[i];
    out[i] = op.dynamic ? r : placed_like(r, metas[i]);
  }
  give_own_handles(in, out);
}

// False, and nothing done, where the inputs are on several devices.
bool run_eager(const OpDef& op, const void* attrs, std::span<const Tensor> in,
               std::span<Tensor> out, std::source_location where) {
  const MetaPointers metas = metas_of(in);
  const bool reference = call_modes().reference_kernels;
  const int threads = num_threads();
  for (const Tensor& t : in) {
    if (t.is_symbolic()) [[unlikely]]
      t.data();  // throws: its trace has ended
  }
  ++call_stats().calls;
  const PlanEntry* entry = find_entry(op, attrs, metas, threads, reference);
  if (!entry) {
    if (on_several_devices(in)) return false;
    PlanEntry fresh;
    fresh.stream = compute_stream(call_device(metas));
    Status s = plan_call(op, attrs, metas, reference, &fresh);
    if (view_needs_copy(op, s, in))
      return run_eager(op, attrs, with_plain_base(op, in), out, where);
    if (!s.ok()) throw_call_error(op, in, s, where);
    if (!fresh.plan && !op.view_offset && !reference) {
      fresh.composition = composition_of(op, attrs, in, fresh.outputs);
    }
    entry = remember_entry(op, std::move(fresh));
  }
  if (op.view_offset) {
    run_view(op, CallMeta{&op, attrs, metas, entry->outputs}, in, out);
    return true;
  }
  if (!entry->plan) {
    run_composed(op, attrs, *entry, in, out, where);
    return true;
  }
  Status s;
  if (entry->copy_mask == 0) [[likely]] {
    s = run_planned(op, *entry, in, {}, out);
  } else {
    const PlanEntry held = *entry;  // the copies below go through the cache too
    SmallVector<Tensor, 4> copies;
    copies.resize(static_cast<int>(in.size()));
    for (int i = 0; i < copies.size() && i < 32; ++i) {
      if (!(held.copy_mask >> i & 1u) || !in[i].defined()) continue;
      ++call_stats().inserted_copies;
      if (log_enabled(LogTopic::kDispatch)) {
        log_line(LogTopic::kDispatch,
                 cat(op.name, ": copies ", op.input_name(i), " ", in[i].meta()));
      }
      ScopedValue<TapeHook*> no_tape(call_modes().tape, nullptr);
      copies[i] = ops::contiguous(in[i]);
    }
    s = run_planned(op, held, in, copies, out);
  }
  if (!s.ok()) throw_call_error(op, in, s, where);
  return true;
}

// What running the call eagerly would give: a trace places its values alike.
Status infer_as_run(const CallMeta& c, SmallVector<TensorMeta, 1>* outputs) {
  return infer_placed(*c.op, c.attrs, c.inputs, call_modes().reference_kernels, outputs);
}

}  // namespace

void call(const OpDef& op, const void* attrs, std::span<const Tensor> in, std::span<Tensor> out,
          std::source_location where) {
  CallModes& modes = call_modes();
  SmallVector<Tensor, 4> cast;
  DType target{};
  // Mixed precision first: a bf16 activation must not be promoted to meet its f32 weight.
  if (modes.amp.on && amp_target(op, modes.amp, in, &target)) {
    cast = cast_inputs(in, target, /*floats_only=*/true);
    in = cast;
  }
  if (op.promote && promotion_target(in, &target)) {
    cast = cast_inputs(in, target, /*floats_only=*/false);
    in = cast;
  }
  if (modes.trace) [[unlikely]] {
    if (on_several_devices(in)) {
      cast = brought_over(op, in, where);
      in = cast;
    }
    MetaPointers metas = metas_of(in);
    CallMeta meta{&op, attrs, metas, {}};
    SmallVector<TensorMeta, 1> out_metas;
    SmallVector<Tensor, 4> plain;
    std::span<const Tensor> placed = in;
    Status s = infer_as_run(meta, &out_metas);
    if (view_needs_copy(op, s, in)) {
      plain = with_plain_base(op, in);
      placed = plain;
      metas = metas_of(placed);
      meta.inputs = metas;
      s = infer_as_run(meta, &out_metas);
    }
    if (s.ok() && out_metas.size() != static_cast<int>(out.size())) {
      s = value_error(cat("gives ", out_metas.size(), " outputs, ", out.size(), " expected"));
    }
    if (s.ok() && op.dynamic) {
      s = Status(
          ErrorCode::kUnsupported,
          "has an output whose shape depends on values; call it outside the traced function");
    }
    if (!s.ok()) throw_call_error(op, in, s, where);
    modes.trace->append(meta, placed, out_metas, out, where);
  } else if (modes.run) [[unlikely]] {
    RunHook* const hook = modes.run;
    if (on_several_devices(in)) {
      cast = brought_over(op, in, where);
      in = cast;
    }
    hook->before(op, in);
    try {
      (void)run_eager(op, attrs, in, out, where);
    } catch (...) {
      hook->after(op, attrs, in, {}, where);  // no outputs: it failed
      throw;
    }
    hook->after(op, attrs, in, out, where);
  } else if (!run_eager(op, attrs, in, out, where)) [[unlikely]] {
    cast = brought_over(op, in, where);
    in = cast;
    (void)run_eager(op, attrs, in, out, where);
  }
  if (modes.tape) {
    for (const Tensor& t : in) {
      if (t.defined() && modes.tape->tracked(t)) {
        modes.tape->record(op, attrs, in, out, where);
        break;
      }
    }
  }
}

Tensor call1(const OpDef& op, const void* attrs, std::initializer_list<Tensor> in,
             std::source_location where) {
  Tensor out;
  call(op, attrs, {in.begin(), in.size()}, {&out, 1}, where);
  return out;
}

TensorList call_n(const OpDef& op, const void* attrs, std::span<const Tensor> in,
                  std::source_location where) {
  int n = op.num_outputs;
  if (op.count_outputs) {
    const MetaPointers metas = metas_of(in);
    const CallMeta meta{&op, attrs, metas, {}};
    const Status s = check_inputs(meta);
    if (!s.ok()) throw_call_error(op, in, s, where);
    n = op.count_outputs(meta);
    if (n < 0) {
      throw_call_error(op, in, value_error("has attributes that give no valid number of outputs"),
                       where);
    }
  }
  TensorList out;
  out.resize(n);
  call(op, attrs, in, out, where);
  return out;
}

}  // namespace rutile
