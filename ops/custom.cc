// SPDX-License-Identifier: Apache-2.0
// Ops whose definition is known at run time only. OpDef holds plain function pointers; the closures
// are found from the op (a CustomDef) or, where only attributes come along, from those.
#include "rutile/ops/custom.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <new>
#include <utility>

#include "rutile/ops/custom_def.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/region.h"
#include "rutile/ops/state.h"

namespace rutile {

namespace {

constexpr size_t kMaxCustomOps = 512;

// The attributes of a custom op: values in order of definition.
struct DynamicAttrs {
  const CustomDef* def;
  std::vector<AttrValue> values;
};
const DynamicAttrs& dynamic(const void* p) { return *static_cast<const DynamicAttrs*>(p); }

// By slot. `construct` gets nothing but the memory, so each slot has a function of its own.
std::array<const CustomDef*, kMaxCustomOps> slots;

template <size_t kSlot>
void construct_attrs(void* p) {
  const CustomDef* def = slots[kSlot];
  auto* attrs = ::new (p) DynamicAttrs{def, {}};
  for (const CustomAttr& a : def->spec.attrs) attrs->values.push_back(a.value);
}
using Construct = void (*)(void*);
template <size_t... kSlots>
constexpr std::array<Construct, sizeof...(kSlots)> constructors(std::index_sequence<kSlots...>) {
  return {construct_attrs<kSlots>...};
}
constexpr auto kConstructors = constructors(std::make_index_sequence<kMaxCustomOps>());

Status set_attr(void* p, int field, const AttrValue& v) {
  AttrValue& slot = static_cast<DynamicAttrs*>(p)->values[static_cast<size_t>(field)];
  return std::visit(
      [&](auto& current) -> Status {
        using T = std::decay_t<decltype(current)>;
        if constexpr (std::is_same_v<T, std::monostate> || std::is_same_v<T, Ref<Region>>) {
          return type_error("is of a kind that custom ops do not have");
        } else {
          return detail::set_field(&current, v);
        }
      },
      slot);
}

bool same_value(const AttrValue& a, const AttrValue& b) {
  const auto *x = std::get_if<double>(&a), *y = std::get_if<double>(&b);
  return x && y ? detail::same_field(*x, *y) : a == b;
}

AttrsInfo attrs_info(const CustomDef& def, size_t slot) {
  AttrsInfo info;
  info.size = sizeof(DynamicAttrs);
  info.align = alignof(DynamicAttrs);
  info.field_names = def.field_names.c_str();
  info.num_fields = static_cast<int>(def.spec.attrs.size());
  info.construct = kConstructors[slot];
  info.copy = [](void* to, const void* from) { ::new (to) DynamicAttrs(dynamic(from)); };
  info.destroy = [](void* p) { static_cast<DynamicAttrs*>(p)->~DynamicAttrs(); };
  info.equal = [](const void* a, const void* b) {
    return std::equal(dynamic(a).values.begin(), dynamic(a).values.end(), dynamic(b).values.begin(),
                      dynamic(b).values.end(), same_value);
  };
  info.hash = [](const void* p) {
    uint64_t h = 0;
    for (const AttrValue& v : dynamic(p).values) h = detail::mix_hash(h, detail::hash_value(v));
    return h;
  };
  info.get = [](const void* p, int field) { return dynamic(p).values[static_cast<size_t>(field)]; };
  info.set = set_attr;
  return info;
}

// What f throws, as a Status.
template <class F>
Status guarded(const char* what, F&& f) {
  try {
    return f();
  } catch (const Error& e) {
    return Status(e.code(), e.message());
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::kOutOfMemory, cat("out of memory in its ", what));
  } catch (const std::exception& e) {
    return Status(ErrorCode::kRuntime, cat("its ", what, " failed: ", e.what()));
  } catch (...) {
    return Status(ErrorCode::kRuntime, cat("its ", what, " threw something that is no exception"));
  }
}

const CustomDef& def_of(const OpDef& op) { return static_cast<const CustomDef&>(op); }

CustomCall custom_call(const CallMeta& c) { return {c, CustomAttrs(*c.op, c.attrs)}; }

Status infer_elementwise(const CallMeta& c, TensorMeta* out) {
  const TensorMeta* first = nullptr;
  Shape shape;
  for (const TensorMeta* m : c.inputs) {
    if (!m) continue;
    if (!first) first = m;
    RUTILE_RETURN_IF_ERROR(broadcast_shapes(shape, m->shape, &shape));
  }
  if (!first) return value_error("expects at least one input");
  std::fill(out, out + c.op->num_outputs, TensorMeta(shape, first->dtype, first->device));
  return Status();
}

// Runs a composition on metas: nothing is computed, no State (nor generator) changes.
class OnMetas final : public TraceHook, public StateHook {
 public:
  static Tensor symbol(const TensorMeta& meta) {
    Ref<TensorImpl> impl(new TensorImpl);
    impl->meta = meta;
    impl->trace_id = UINT64_MAX;  // of no trace that a graph is made of
    return Tensor(std::move(impl));
  }
  void append(const CallMeta&, std::span<const Tensor>, std::span<const TensorMeta> metas,
              std::span<Tensor> out, std::source_location) override {
    for (size_t i = 0; i < out.size(); ++i) out[i] = symbol(metas[i]);
  }
  TracedBody trace_body(const Region::Function& fn, std::span<const TensorMeta> operands) override {
    std::vector<Tensor> in;
    for (const TensorMeta& m : operands) in.push_back(symbol(m));
    TracedBody traced;
    traced.body = make_ref<Region>(fn);
    traced.body->operands.assign(operands.begin(), operands.end());
    for (const Tensor& t : fn(in)) traced.body->results.push_back(t.meta());
    return traced;
  }
  Tensor read_state(State& s) override { return symbol(s.meta()); }
  void write_state(State&, const Tensor&) override {}
};

// The metas that the composition gives, once per set of metas, which the plan cache remembers.
Status infer_by_compose(const CustomDef& def, const CallMeta& c, TensorMeta* out) {
  OnMetas metas;
  CallModes modes;
  modes.device = call_modes().device;
  modes.trace = &metas;
  modes.states = &metas;
  ScopedValue<CallModes> scope(call_modes(), modes);
  std::vector<Tensor> in;
  for (const TensorMeta* m : c.inputs) {
    in.push_back(m ? OnMetas::symbol(TensorMeta(m->shape, m->dtype, m->device)) : Tensor());
  }
  TensorList results;
  try {
    results = def.spec.compose(CustomAttrs(def, c.attrs), in);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kRuntime && e.code() != ErrorCode::kUnsupported) throw;
    return Status(e.code(), cat("has no infer, and its compose does not run on shapes alone (give "
                                "the op an infer): ",
                                e.message()));
  }
  if (results.size() != def.num_outputs) {
    return value_error(
        cat("its compose gives ", results.size(), " outputs, ", def.num_outputs, " are defined"));
  }
  for (int i = 0; i < results.size(); ++i) {
    out[i] = TensorMeta(results[i].shape(), results[i].dtype(), results[i].device());
  }
  return Status();
}

Status infer_custom(const CallMeta& c, TensorMeta* out) {
  const CustomDef& def = def_of(*c.op);
  if (def.spec.elementwise && !def.spec.infer) return infer_elementwise(c, out);
  return guarded("infer", [&]() -> Status {
    if (!def.spec.infer) return infer_by_compose(def, c, out);
    const std::vector<TensorMeta> metas = def.spec.infer(custom_call(c));
    if (static_cast<int>(metas.size()) != def.num_outputs) {
      return value_error(
          cat("its infer gives ", metas.size(), " outputs, ", def.num_outputs, " are defined"));
    }
    for (size_t i = 0; i < metas.size(); ++i) {
      int64_t numel = 0;
      RUTILE_RETURN_IF_ERROR(checked_numel(metas[i].shape, &numel));
      out[i] = TensorMeta(metas[i].shape, metas[i].dtype, metas[i].device);
    }
    return Status();
  });
}

TensorList compose_custom(const void* attrs, std::span<const Tensor> in) {
  const CustomDef& def = *dynamic(attrs).def;
  return def.spec.compose(CustomAttrs(def, attrs), in);
}

GradResult grad_custom(GradCtx& ctx) { return def_of(ctx.op()).spec.grad(ctx); }

struct CustomPlan : Plan {
  const CustomDef* def = nullptr;
  AnyAttrs attrs;
  std::vector<TensorMeta> in, out;
  std::vector<const TensorMeta*> given;  // null for absent ones
};

Status run_custom(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const CustomPlan&>(plan);
  return guarded("kernel", [&] {
    const CallMeta call{p.def, p.attrs.get(), p.given, p.out};
    p.def->spec.kernel(custom_call(call), args);
    return Status();
  });
}

Status prepare_custom(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CustomPlan>();
  p->def = &def_of(*c.op);
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  for (const TensorMeta* m : c.inputs) p->in.push_back(m ? *m : TensorMeta());
  for (size_t i = 0; i < p->in.size(); ++i) p->given.push_back(c.inputs[i] ? &p->in[i] : nullptr);
  p->out.assign(c.outputs.begin(), c.outputs.end());
  p->run = run_custom;
  *plan = std::move(p);
  return Status();
}

bool row_major(const CallMeta& c, Reason* reason) {
  const auto plain = [](const TensorMeta& m) { return m.layout == kStrided && m.is_contiguous(); };
  const bool fits = std::all_of(c.inputs.begin(), c.inputs.end(),
                                [&](const TensorMeta* m) { return !m || plain(*m); }) &&
                    std::all_of(c.outputs.begin(), c.outputs.end(), plain);
  if (!fits) reason->text = "takes row-major tensors only";
  return fits;
}

[[noreturn]] void refuse(const CustomOp& op, std::string_view what) {
  throw_error(ErrorCode::kValue,
              cat("custom op ", op.name.empty() ? "(no name)" : op.name, ": ", what));
}

bool is_name(std::string_view s) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !s.empty() && letter(s[0]) && std::all_of(s.begin(), s.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9');
  });
}

void check_names(const CustomOp& op, const std::vector<std::string>& list, const char* what) {
  if (list.empty()) refuse(op, cat("it needs at least one ", what));
  if (list.size() > static_cast<size_t>(kMaxNamed)) {
    refuse(op, cat("it has ", list.size(), " ", what, "s, ", kMaxNamed, " are possible"));
  }
  bool optional = false;
  for (size_t i = 0; i < list.size(); ++i) {
    std::string_view name = list[i];
    const char mark = name.empty() ? 0 : name.back();
    if (mark == '?' || mark == '*') name.remove_suffix(1);
    if (!is_name(name)) refuse(op, cat("'", list[i], "' is no name for an ", what));
    if (mark == '*' && (i + 1 < list.size() || what[0] == 'o')) {
      refuse(op, cat("'", list[i], "': only the last input may stand for any number"));
    }
    if (mark == '?' && what[0] == 'o') refuse(op, cat("'", list[i], "': outputs are always there"));
    if (optional && mark != '?') refuse(op, cat("'", list[i], "' follows an optional input"));
    optional = mark == '?';
  }
}

void check(const CustomOp& op) {
  if (!is_name(op.name)) refuse(op, cat("'", op.name, "' is no name for an op"));
  check_names(op, op.inputs, "input");
  check_names(op, op.outputs, "output");
  std::vector<std::string> names;
  const auto add = [&](std::string name) {
    if (!name.empty() && (name.back() == '?' || name.back() == '*')) name.pop_back();
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      refuse(op, cat("two of its inputs, outputs and attributes are named ", name));
    }
    names.push_back(std::move(name));
  };
  for (const std::string& s : op.inputs) add(s);
  for (const std::string& s : op.outputs) add(s);
  for (const CustomAttr& a : op.attrs) {
    if (!is_name(a.name)) refuse(op, cat("'", a.name, "' is no name for an attribute"));
    add(a.name);
    if (std::holds_alternative<std::monostate>(a.value) ||
        std::holds_alternative<Ref<Region>>(a.value)) {
      refuse(op,
             cat("attribute ", a.name, " has no default, or one of a kind that is not possible"));
    }
  }
  if (op.saves.size() > static_cast<size_t>(kMaxNamed)) refuse(op, "it saves too much");
  if (!op.kernel && !op.compose) refuse(op, "it has neither a kernel nor a composition");
  if (!op.infer && !op.elementwise && !op.compose) {
    refuse(op, "it needs infer: only elementwise ops and compositions go without");
  }
}

void copy_names(const std::vector<std::string>& from, const char** to) {
  for (size_t i = 0; i < static_cast<size_t>(kMaxNamed); ++i) {
    to[i] = i < from.size() ? from[i].c_str() : nullptr;
  }
}

void fill(CustomDef* def) {
  const CustomOp& spec = def->spec;
  def->name = spec.name.c_str();
  def->doc = spec.doc.c_str();
  copy_names(spec.inputs, def->inputs);
  copy_names(spec.outputs, def->outputs);
  copy_names(spec.saves, def->saves);
  def->infer = infer_custom;
  if (spec.grad) def->grad = grad_custom;
  if (spec.compose) def->compose = compose_custom;
  if (!spec.grad && !spec.compose) def->no_grad = "it was registered without one";
  def->amp = spec.amp;
  def->elementwise = spec.elementwise;
  def->promote = spec.promote;
  // A kernel may fail for what it reads: the executor then keeps States as they were.
  def->checks_values = static_cast<bool>(spec.kernel);
  if (const char* unknown = detail::resolve_names(*def)) {
    refuse(spec, cat("it saves ", unknown, ", which is none of its inputs and outputs"));
  }
}

AttrValue attr_at(const OpDef& op, const void* attrs, std::string_view name) {
  const int field = op.attrs ? field_index(*op.attrs, name) : -1;
  if (field < 0) throw_error(ErrorCode::kValue, cat(op.name, " has no attribute ", name));
  return op.attrs->get(attrs, field);
}

template <class T>
T typed(const OpDef& op, const void* attrs, std::string_view name, const char* kind) {
  const AttrValue v = attr_at(op, attrs, name);
  if (const T* p = std::get_if<T>(&v)) return *p;
  throw_error(ErrorCode::kType, cat("attribute ", name, " of ", op.name, " is no ", kind));
}

}  // namespace

AttrValue CustomAttrs::get(std::string_view name) const { return attr_at(op_, attrs_, name); }
bool CustomAttrs::flag(std::string_view name) const {
  return typed<bool>(op_, attrs_, name, "bool");
}
int64_t CustomAttrs::integer(std::string_view name) const {
  return typed<int64_t>(op_, attrs_, name, "integer");
}
double CustomAttrs::number(std::string_view name) const {
  const AttrValue v = get(name);
  if (const auto* i = std::get_if<int64_t>(&v)) return static_cast<double>(*i);
  return typed<double>(op_, attrs_, name, "number");
}
std::string CustomAttrs::text(std::string_view name) const {
  return typed<std::string>(op_, attrs_, name, "text");
}
Dims CustomAttrs::dims(std::string_view name) const {
  return typed<Dims>(op_, attrs_, name, "list of integers");
}

std::unique_ptr<CustomDef> make_custom_def(CustomOp op) {
  check(op);
  auto def = std::make_unique<CustomDef>();
  if (op.doc.empty()) op.doc = "An op from outside.";
  def->spec = std::move(op);
  for (const CustomAttr& a : def->spec.attrs) {
    def->field_names += cat(def->field_names.empty() ? "" : ", ", a.name);
  }
  fill(def.get());
  return def;
}

namespace {

std::mutex slots_mutex;
size_t slots_used = 0;

const OpDef& add(std::unique_ptr<CustomDef> made) {
  CustomDef* def = made.get();
  slots[slots_used] = def;
  def->info = attrs_info(*def, slots_used);
  def->attrs = &def->info;
  register_op(static_cast<const OpDef&>(*def));
  ++slots_used;
  made.release();  // ops live as long as the process
  if (def->spec.kernel) {
    KernelRow row;
    row.op = def;
    row.name = "custom";
    row.supports = row_major;
    row.prepare = prepare_custom;
    row.reference = !def->spec.compose;  // where there is a composition, that is the oracle
    register_kernel(row);
  }
  return *def;
}

}  // namespace

std::vector<const OpDef*> add_custom_defs(std::vector<std::unique_ptr<CustomDef>> made) {
  std::lock_guard lock(slots_mutex);
  for (size_t i = 0; i < made.size(); ++i) {
    const CustomOp& spec = made[i]->spec;
    if (find_op(made[i]->name)) refuse(spec, "an op of this name is registered already");
    if (slots_used + i >= kMaxCustomOps) {
      refuse(spec, cat("there are ", slots_used + i, " custom ops already, ", kMaxCustomOps,
                       " are possible"));
    }
  }
  std::vector<const OpDef*> ops;
  for (std::unique_ptr<CustomDef>& m : made) ops.push_back(&add(std::move(m)));
  return ops;
}

const OpDef& register_op(CustomOp op) {
  std::vector<std::unique_ptr<CustomDef>> one;
  one.push_back(make_custom_def(std::move(op)));
  return *add_custom_defs(std::move(one))[0];
}

TensorList call_op(const OpDef& op, std::span<const Tensor> in, const std::vector<NamedAttr>& named,
                   std::source_location where) {
  AnyAttrs attrs(op.attrs, nullptr);
  for (const auto& [name, value] : named) {
    const int field = op.attrs ? field_index(*op.attrs, name) : -1;
    if (field < 0) throw_error(ErrorCode::kValue, cat("[", op.name, "] has no attribute ", name));
    const Status s = op.attrs->set(attrs.get_mutable(), field, value);
    if (!s.ok()) throw_error(s.code(), cat("[", op.name, "] ", name, " ", s.message()));
  }
  return call_n(op, attrs.get(), in, where);
}

TensorList call_op(const OpDef& op, std::initializer_list<Tensor> in,
                   const std::vector<NamedAttr>& named, std::source_location where) {
  return call_op(op, std::span<const Tensor>(in.begin(), in.size()), named, where);
}

}  // namespace rutile
