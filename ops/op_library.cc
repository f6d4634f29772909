// SPDX-License-Identifier: Apache-2.0
// Ops from shared libraries in C: definitions and calls translated between ops/c_api.h and
// CustomOp.
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>

#include "rutile/core/thread.h"
#include "rutile/ops/c_api.h"
#include "rutile/ops/custom_def.h"
#include "rutile/ops/index.h"
#include "rutile/ops/plan_cache.h"

namespace rutile {

namespace {

static_assert(RUTILE_C128 == static_cast<int>(DType::kC128) && RUTILE_C_MAX_RANK == kMaxRank);

// A definition as the library gave it.
struct Foreign {
  std::string name, doc;
  std::vector<std::string> inputs, outputs;
  std::vector<CustomAttr> attrs;
  uint32_t flags = 0;
  rutile_function infer = nullptr, forward = nullptr, backward = nullptr;
  void* context = nullptr;
};
using ForeignPtr = std::shared_ptr<const Foreign>;

rutile_tensor tensor_of(const TensorMeta* meta, void* data) {
  rutile_tensor t{};
  if (!meta) return t;
  t.present = 1;
  t.data = data;
  t.rank = meta->rank();
  t.dtype = static_cast<int32_t>(meta->dtype);
  std::copy(meta->shape.begin(), meta->shape.end(), t.shape);
  return t;
}

// What a call of the library's functions needs, and the memory behind its pointers.
class ForeignCall {
 public:
  ForeignCall(const Foreign& op, const CustomAttrs& attrs) : op_(op) {
    c_.struct_size = sizeof(c_);
    c_.context = op.context;
    c_.error = error_;
    c_.error_size = sizeof(error_);
    c_.parallel_for = [](const rutile_call*, int64_t n, int64_t grain, rutile_loop_body body,
                         void* data) {
      parallel_for(0, n, grain, [&](int64_t b, int64_t e) { body(data, b, e); });
    };
    values_.reserve(op.attrs.size());  // attrs_ point into it
    for (const CustomAttr& a : op.attrs) add_attr(a.name, attrs.get(a.name));
    c_.attrs = attrs_.data();
    c_.num_attrs = static_cast<int32_t>(attrs_.size());
  }
  std::vector<rutile_tensor> inputs, outputs, output_grads, input_grads;

  void run(rutile_function f, const char* what) {
    c_.inputs = inputs.data();
    c_.num_inputs = static_cast<int32_t>(inputs.size());
    c_.outputs = outputs.data();
    c_.num_outputs = static_cast<int32_t>(outputs.size());
    c_.output_grads = output_grads.data();
    c_.input_grads = input_grads.data();
    if (f(&c_) == 0) return;
    error_[sizeof(error_) - 1] = 0;
    throw_error(ErrorCode::kValue,
                error_[0] ? std::string(error_) : cat("its ", what, " failed and gave no reason"));
  }

 private:
  void add_attr(const std::string& name, AttrValue value) {
    values_.push_back(std::move(value));
    const AttrValue& v = values_.back();
    rutile_attr a{};
    a.name = name.c_str();
    if (const auto* b = std::get_if<bool>(&v)) {
      a.type = RUTILE_ATTR_BOOL;
      a.i = *b;
    } else if (const auto* i = std::get_if<int64_t>(&v)) {
      a.type = RUTILE_ATTR_INT;
      a.i = *i;
    } else if (const auto* f = std::get_if<double>(&v)) {
      a.type = RUTILE_ATTR_FLOAT;
      a.f = *f;
    } else if (const auto* text = std::get_if<std::string>(&v)) {
      a.type = RUTILE_ATTR_TEXT;
      a.text = text->c_str();
    } else {
      const Dims& dims = std::get<Dims>(v);
      a.type = RUTILE_ATTR_INTS;
      a.ints = dims.data();
      a.count = dims.rank();
    }
    attrs_.push_back(a);
  }

  const Foreign& op_;
  rutile_call c_{};
  std::vector<AttrValue> values_;
  std::vector<rutile_attr> attrs_;
  char error_[512] = {};
};

TensorMeta meta_of(const rutile_tensor& t, size_t i) {
  if (t.rank < 0 || t.rank > kMaxRank) {
    throw_error(ErrorCode::kValue, cat("its infer gives output ", i, " rank ", t.rank));
  }
  if (t.dtype < 0 || t.dtype >= kNumDTypes) {
    throw_error(ErrorCode::kValue, cat("its infer gives output ", i, " the dtype ", t.dtype));
  }
  const Shape shape(std::span<const int64_t>(t.shape, static_cast<size_t>(t.rank)));
  int64_t numel = 0;
  throw_if_error(checked_numel(shape, &numel));
  return TensorMeta(shape, static_cast<DType>(t.dtype));
}

std::vector<TensorMeta> infer_foreign(const Foreign& op, const CustomCall& c) {
  ForeignCall call(op, c.attrs);
  for (const TensorMeta* m : c.meta.inputs) call.inputs.push_back(tensor_of(m, nullptr));
  // Where the function says nothing: the first input's meta.
  call.outputs.assign(op.outputs.size(), tensor_of(c.has(0) ? &c.in(0) : nullptr, nullptr));
  for (rutile_tensor& t : call.outputs) t.present = 1;
  call.run(op.infer, "infer");
  std::vector<TensorMeta> metas;
  for (size_t i = 0; i < call.outputs.size(); ++i) metas.push_back(meta_of(call.outputs[i], i));
  return metas;
}

void run_forward(const Foreign& op, const CustomCall& c, const KernelArgs& args) {
  ForeignCall call(op, c.attrs);
  for (int i = 0; i < c.num_inputs(); ++i) {
    call.inputs.push_back(tensor_of(c.meta.inputs[i], args.in[i]));
  }
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    call.outputs.push_back(tensor_of(&c.out(static_cast<int>(i)), args.out[i]));
  }
  call.run(op.forward, "forward");
}

// ---- The gradient: an op of its own, (dy..., y..., x...) to (dx...)
// y are there with RUTILE_BACKWARD_READS_OUTPUTS. Attribute `needs` has a bit for each dx; one that
// nobody needs has no elements.

struct GradLayout {
  size_t outputs, results;  // dy, and y if saved
  explicit GradLayout(const Foreign& op)
      : outputs(op.outputs.size()),
        results(op.flags & RUTILE_BACKWARD_READS_OUTPUTS ? outputs : 0) {}
  size_t first_input() const { return outputs + results; }
};

std::vector<TensorMeta> infer_backward(const Foreign& op, const CustomCall& c, size_t inputs) {
  const GradLayout at(op);
  const int64_t needs = c.attrs.integer("needs");
  std::vector<TensorMeta> metas;
  for (size_t i = 0; i < inputs; ++i) {
    const auto k = static_cast<int>(at.first_input() + i);
    const bool needed = (needs >> i & 1) && c.has(k);
    metas.push_back(needed ? TensorMeta(c.in(k).shape, c.in(k).dtype)
                           : TensorMeta(Shape{0}, DType::kF32));
  }
  return metas;
}

void run_backward(const Foreign& op, const CustomCall& c, const KernelArgs& args, size_t inputs) {
  const GradLayout at(op);
  ForeignCall call(op, c.attrs);
  const auto given = [&](size_t i) {
    const bool there = static_cast<int>(i) < c.num_inputs();
    return tensor_of(there ? c.meta.inputs[i] : nullptr, there ? args.in[i] : nullptr);
  };
  for (size_t i = 0; i < at.outputs; ++i) {
    call.output_grads.push_back(given(i));
    call.outputs.push_back(at.results ? given(at.outputs + i)
                                      : tensor_of(c.meta.inputs[i], nullptr));
  }
  const int64_t needs = c.attrs.integer("needs");
  for (size_t i = 0; i < inputs; ++i) {
    call.inputs.push_back(given(at.first_input() + i));
    const bool needed = needs >> i & 1;
    const TensorMeta& meta = c.out(static_cast<int>(i));
    call.input_grads.push_back(tensor_of(needed ? &meta : nullptr, needed ? args.out[i] : nullptr));
  }
  call.run(op.backward, "backward");
}

CustomOp backward_op(const ForeignPtr& op, size_t inputs, std::string name) {
  CustomOp b;
  b.name = std::move(name);
  b.doc = cat("Gradient of ", op->name, ".");
  for (size_t i = 0; i < op->outputs.size(); ++i) b.inputs.push_back(cat("d_output", i));
  if (op->flags & RUTILE_BACKWARD_READS_OUTPUTS) {
    for (size_t i = 0; i < op->outputs.size(); ++i) b.inputs.push_back(cat("output", i));
  }
  b.outputs.clear();
  for (size_t i = 0; i < inputs; ++i) {
    b.inputs.push_back(cat("input", i, "?"));
    b.outputs.push_back(cat("d_input", i));
  }
  b.attrs = op->attrs;
  b.attrs.push_back({"needs", int64_t{0}});
  b.infer = [op, inputs](const CustomCall& c) { return infer_backward(*op, c, inputs); };
  b.kernel = [op, inputs](const CustomCall& c, const KernelArgs& args) {
    run_backward(*op, c, args, inputs);
  };
  return b;
}

// The metas of the forward call's outputs, for gradients that are not there.
SmallVector<TensorMeta, 1> forward_outputs(GradCtx& ctx) {
  SmallVector<const TensorMeta*, 6> in;
  for (int i = 0; i < ctx.num_inputs(); ++i) {
    in.push_back(ctx.has_in(i) ? &ctx.in_meta(i) : nullptr);
  }
  SmallVector<TensorMeta, 1> out;
  throw_if_error(infer_call(CallMeta{&ctx.op(), ctx.raw_attrs(), in, {}}, &out));
  return out;
}

GradResult grad_foreign(const Foreign& op, const OpDef& backward, GradCtx& ctx) {
  const SmallVector<TensorMeta, 1> metas = forward_outputs(ctx);
  std::vector<Tensor> in;
  for (int i = 0; i < ctx.num_outputs(); ++i) {
    const Tensor& dy = ctx.grad(i);
    in.push_back(dy.defined() ? dy : ops::full(metas[i].shape, Scalar(0), metas[i].dtype));
  }
  if (op.flags & RUTILE_BACKWARD_READS_OUTPUTS) {
    for (int i = 0; i < ctx.num_outputs(); ++i) in.push_back(ctx.out(i));
  }
  int64_t needs = 0;
  for (int i = 0; i < ctx.num_inputs(); ++i) {
    in.push_back(ctx.has_in(i) ? ctx.in(i) : Tensor());
    const bool floating = ctx.has_in(i) && is_floating(ctx.in_meta(i).dtype);
    if (ctx.needs(i) && floating) needs |= int64_t{1} << i;
  }
  std::vector<NamedAttr> attrs = {{"needs", needs}};
  const CustomAttrs given(ctx.op(), ctx.raw_attrs());
  for (const CustomAttr& a : op.attrs) attrs.emplace_back(a.name, given.get(a.name));
  const TensorList dx = call_op(backward, in, attrs);
  GradResult result;
  for (int i = 0; i < ctx.num_inputs(); ++i) {
    result.push_back(needs >> i & 1 ? dx[i] : Tensor());
  }
  return result;
}

// ---- Definitions

CustomOp forward_op(const ForeignPtr& op, const std::shared_ptr<const OpDef*>& backward) {
  CustomOp f;
  f.name = op->name;
  f.doc = op->doc;
  f.inputs = op->inputs;
  f.outputs = op->outputs;
  f.attrs = op->attrs;
  f.elementwise = op->flags & RUTILE_ELEMENTWISE;
  f.promote = op->flags & RUTILE_PROMOTE;
  if (op->infer) f.infer = [op](const CustomCall& c) { return infer_foreign(*op, c); };
  f.kernel = [op](const CustomCall& c, const KernelArgs& args) { run_forward(*op, c, args); };
  if (!op->backward) return f;
  const auto saved = [&](const std::vector<std::string>& names) {
    for (std::string name : names) {
      if (name.back() == '?' || name.back() == '*') name.pop_back();
      f.saves.push_back(std::move(name));
    }
  };
  saved(op->inputs);
  if (op->flags & RUTILE_BACKWARD_READS_OUTPUTS) saved(op->outputs);
  f.grad = [op, backward](GradCtx& ctx) { return grad_foreign(*op, **backward, ctx); };
  return f;
}

CustomAttr attr_from(const rutile_attr& a) {
  CustomAttr out;
  out.name = a.name ? a.name : "";
  switch (a.type) {
    case RUTILE_ATTR_BOOL:
      out.value = a.i != 0;
      return out;
    case RUTILE_ATTR_INT:
      out.value = a.i;
      return out;
    case RUTILE_ATTR_FLOAT:
      out.value = a.f;
      return out;
    case RUTILE_ATTR_TEXT:
      out.value = std::string(a.text ? a.text : "");
      return out;
    case RUTILE_ATTR_INTS:
      if (a.count < 0 || a.count > kMaxRank || (a.count > 0 && !a.ints)) break;
      out.value = Dims(std::span<const int64_t>(a.ints, static_cast<size_t>(a.count)));
      return out;
    default:
      break;
  }
  throw_error(ErrorCode::kValue, cat("attribute ", out.name, " has type ", a.type, " and count ",
                                     a.count, ", which is not possible"));
}

std::vector<std::string> texts(const char* const* list, int32_t n, const char* what) {
  if (n < 0 || n > kMaxNamed || (n > 0 && !list)) {
    throw_error(ErrorCode::kValue,
                cat("it has ", n, " ", what, list ? "" : " and no list of them"));
  }
  std::vector<std::string> out;
  for (int32_t i = 0; i < n; ++i) out.emplace_back(list[i] ? list[i] : "");
  return out;
}

ForeignPtr foreign_from(const rutile_op& op) {
  if (op.struct_size < sizeof(rutile_op)) {
    throw_error(ErrorCode::kValue, cat("its rutile_op has struct_size ", op.struct_size, ", not ",
                                       sizeof(rutile_op), ": begin with RUTILE_OP_INIT"));
  }
  auto f = std::make_shared<Foreign>();
  f->doc = op.doc ? op.doc : "";
  f->name = op.name ? op.name : "";
  f->inputs = texts(op.inputs, op.num_inputs, "inputs");
  f->outputs =
      op.outputs ? texts(op.outputs, op.num_outputs, "outputs") : std::vector<std::string>{"y"};
  if (op.num_attrs < 0 || op.num_attrs > 64 || (op.num_attrs > 0 && !op.attrs)) {
    throw_error(ErrorCode::kValue, cat("it has ", op.num_attrs, " attributes"));
  }
  for (int32_t i = 0; i < op.num_attrs; ++i) f->attrs.push_back(attr_from(op.attrs[i]));
  f->flags = op.flags;
  f->infer = op.infer;
  f->forward = op.forward;
  f->backward = op.backward;
  f->context = op.context;
  if (!f->forward) throw_error(ErrorCode::kValue, "its forward function is null");
  if (!f->infer && !(f->flags & RUTILE_ELEMENTWISE)) {
    throw_error(ErrorCode::kValue, "its infer function is null: only elementwise ops go without");
  }
  const bool variadic = !f->inputs.empty() && f->inputs.back().ends_with('*');
  if (f->backward && variadic) {
    throw_error(ErrorCode::kValue,
                "it has a backward function and any number of inputs, which do "
                "not go together");
  }
  return f;
}

// What a library registered, not yet in the table: all or nothing.
struct Pending {
  struct Item {
    std::unique_ptr<CustomDef> forward, backward;
    std::shared_ptr<const OpDef*> backward_op;
  };
  std::vector<Item> items;
  std::string error;

  void add(const rutile_op& op) {
    const ForeignPtr f = foreign_from(op);
    Item item;
    item.backward_op = std::make_shared<const OpDef*>(nullptr);
    item.forward = make_custom_def(forward_op(f, item.backward_op));
    if (f->backward) {
      item.backward = make_custom_def(backward_op(f, f->inputs.size(), cat(f->name, "_grad")));
    }
    for (const std::string& name : {f->name, f->backward ? cat(f->name, "_grad") : f->name}) {
      if (taken(name))
        throw_error(ErrorCode::kValue, cat("an op named ", name, " is registered already"));
    }
    items.push_back(std::move(item));
  }
  bool taken(const std::string& name) const {
    return find_op(name) || std::any_of(items.begin(), items.end(), [&](const Item& i) {
             return i.forward->spec.name == name || (i.backward && i.backward->spec.name == name);
           });
  }
};

struct Registry : rutile_registry {
  Pending pending;
};

int32_t register_from_c(const rutile_registry* registry, const rutile_op* op) {
  auto& pending = const_cast<Registry*>(static_cast<const Registry*>(registry))->pending;
  try {
    if (!op) throw_error(ErrorCode::kValue, "the definition is null");
    pending.add(*op);
    return 0;
  } catch (const std::exception& e) {
    const char* name = op && op->name ? op->name : "(no name)";
    if (pending.error.empty()) pending.error = cat("op ", name, ": ", e.what());
    return 1;
  }
}

std::string last_dl_error() {
  const char* text = dlerror();
  return text ? text : "no reason given";
}

template <class F>
F symbol(void* library, const std::string& path, const char* name) {
  dlerror();
  if (void* p = dlsym(library, name)) return reinterpret_cast<F>(p);
  throw_error(ErrorCode::kValue,
              cat(path, " is no op library: it has no function ", name, " (", last_dl_error(),
                  "); RUTILE_OP_LIBRARY of rutile/ops/c_api.h defines it"));
}

std::vector<const OpDef*> register_library(void* library, const std::string& path) {
  using Abi = uint32_t (*)();
  using Init = int32_t (*)(const rutile_registry*);
  const uint32_t abi = symbol<Abi>(library, path, "rutile_op_library_abi")();
  if (abi != RUTILE_C_ABI_VERSION) {
    throw_error(
        ErrorCode::kUnsupported,
        cat(path, " was made for version ", abi, " of the C ABI, this Rutile has version ",
            RUTILE_C_ABI_VERSION, ": build it again with this Rutile's rutile/ops/c_api.h"));
  }
  const Init init = symbol<Init>(library, path, "rutile_op_library_init");
  Registry registry;
  static_cast<rutile_registry&>(registry) = {sizeof(rutile_registry), RUTILE_C_ABI_VERSION, 0,
                                             register_from_c};
  const int32_t code = init(&registry);
  Pending& pending = registry.pending;
  if (!pending.error.empty()) throw_error(ErrorCode::kValue, cat(path, ": ", pending.error));
  if (code != 0) throw_error(ErrorCode::kValue, cat(path, ": rutile_op_library_init gave ", code));
  // Gradients first: whoever finds an op may differentiate it at once.
  std::vector<std::unique_ptr<CustomDef>> defs;
  for (Pending::Item& item : pending.items) {
    if (!item.backward) continue;
    *item.backward_op = item.backward.get();
    defs.push_back(std::move(item.backward));
  }
  const size_t gradients = defs.size();
  for (Pending::Item& item : pending.items) defs.push_back(std::move(item.forward));
  std::vector<const OpDef*> ops = add_custom_defs(std::move(defs));
  ops.erase(ops.begin(), ops.begin() + static_cast<std::ptrdiff_t>(gradients));
  return ops;
}

}  // namespace

std::vector<const OpDef*> load_op_library(const std::string& path) {
  static std::mutex mutex;
  static std::map<void*, std::vector<const OpDef*>> loaded;
  std::lock_guard lock(mutex);
  std::error_code ignored;
  if (path.find('/') != std::string::npos && !std::filesystem::exists(path, ignored)) {
    throw_error(ErrorCode::kNotFound, cat("op library ", path, ": there is no such file"));
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    throw_error(ErrorCode::kValue,
                cat("op library ", path, " cannot be loaded: ", last_dl_error()));
  }
  if (const auto it = loaded.find(library); it != loaded.end()) {
    dlclose(library);
    return it->second;
  }
  try {
    return loaded[library] = register_library(library, path);
  } catch (...) {
    loaded.erase(library);
    dlclose(library);
    throw;
  }
}

}  // namespace rutile
