// SPDX-License-Identifier: Apache-2.0
// Traces of a Python function: it runs once on symbolic tensors, and what it changed besides
// computing its results becomes effects of each run.
#include <algorithm>
#include <utility>

#include "rutile/core/log.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/jit_function.h"

namespace py = pybind11;

namespace rutile::python {

std::vector<Tensor> JitFunction::run_python(const std::vector<Tensor>& in) {
  py::gil_scoped_acquire gil;
  std::shared_ptr<const Tree> tree;
  JitCall* call = calls_.by_id(tracing_);
  const bool rewritten = call && call->way == JitCall::kRewritten;
  if (call) tree = call->arguments;
  if (!tree) throw_error(ErrorCode::kRuntime, "too many calls of this function at a time");
  const Tensor* next = in.data();
  const py::tuple both = unflatten(*tree, &next);
  AroundFinder finder(calls_.names());
  const Around before = finder.find(fn_.ptr(), *tree, /*keep=*/true);
  const size_t names = calls_.names().size();
  py::list keys;
  for (const py::object& o : before.cells) {
    if (is_cell_version(o)) keys.append(o);
  }
  TraceWatch watch(keys, finder.holders);
  const py::object& fn = rewritten ? rewritten_ : fn_;
  const py::object result = [&] {
    AskedNames asked(calls_.names());
    return fn(*py::tuple(both[0]), **py::dict(both[1]));
  }();
  Results results;
  std::vector<Tensor> out;
  results.tree =
      flatten(result, Leaves::kPlain, cat("the result of the traced function ", name_), &out);
  const bool learnt = watch.learn() || calls_.names().size() != names;
  end_trace(&watch, *tree, in, learnt ? nullptr : &before, &results, &out);
  take_rebound(both, *tree, in, &results, &out);
  traced_ = share(std::move(results));
  return out;
}

// What the trace changed becomes effects of each run. `before`: what was around it; null: it read
// more than was known then.
void JitFunction::end_trace(TraceWatch* watch, const Tree& tree, const std::vector<Tensor>& in,
                            const Around* before, Results* results, std::vector<Tensor>* out) {
  const auto around = [&] { return AroundFinder(calls_.names()).find(fn_.ptr(), tree); };
  const Around after = around();
  const uint64_t id = tracing_;
  const TraceWatch::Done done = watch->finish(calls_.names().codes());
  if (!done.warning.empty() && !std::exchange(warned_clock_, true)) {
    log_warning(cat(name_, " ", done.warning));
  }
  Around now = around();
  const bool once = done.once || (before && !(now == *before));
  now.take_objects(after);
  const bool changed = once || done.changed || !(now == after);
  if (changed) {
    allowance_.trace_changed(once);
    last_change_ = done.change.empty()
                       ? "it reads what it changes in each call around it (RUTILE-E0109)"
                       : done.change;
  }
  if (done.refused || after.holds_symbols()) refuse(done.change);
  if (done.effects) take_effects(done, in, results, out);
  JitCall* call = calls_.by_id(id);
  if (!call) return;
  if (once) {
    now.values.push_back(py::reinterpret_steal<py::object>(
        checked(PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type)))));
  }
  call->around = share(std::move(now));
  call->found = nullptr;
  call->compiled = !once;
}

void JitFunction::take_effects(const TraceWatch::Done& done, const std::vector<Tensor>& in,
                               Results* results, std::vector<Tensor>* out) {
  std::vector<Tensor> kept;
  try {
    results->values = flatten(done.values, Leaves::kPlain, "what it sets", &kept);
  } catch (const Error& e) {
    refuse(cat(done.change, "\n  ", e.message()));
  }
  // Those of the body of a loop, a branch or recompute() mean nothing outside of it.
  const auto symbolic = [](const Tensor& t) { return t.is_symbolic(); };
  const auto known = std::find_if(in.begin(), in.end(), symbolic);
  for (const Tensor& t : kept) {
    if (!t.is_symbolic() || known == in.end()) continue;
    if (t.impl()->trace_id == known->impl()->trace_id) continue;
    refuse(
        cat("a tensor that the body of a loop, a branch, vmap() or recompute() made is kept "
            "outside of it; ",
            done.change));
  }
  out->insert(out->end(), kept.begin(), kept.end());
  results->effects = done.effects;
}

// The caller's own lists and dicts are not there in a trace, but for their contents.
void JitFunction::take_rebound(const py::tuple& both, const Tree& tree,
                               const std::vector<Tensor>& in, Results* results,
                               std::vector<Tensor>* out) {
  std::vector<Tensor> now;
  if (!(flatten(both, Leaves::kAny, name_, &now) == tree) || now.size() != in.size()) {
    refuse("it changes a list or dict that it is handed: return a new one (RUTILE-E0109)");
  }
  for (size_t i = 0; i < in.size(); ++i) {
    if (now[i].impl() == in[i].impl()) continue;
    results->rebound.push_back(i);
    out->push_back(now[i]);
  }
}

void JitFunction::refuse(const std::string& text) {
  own_change_ = text.empty() ? "it keeps a tensor where its next call reads it" : text;
  throw_error(ErrorCode::kRuntime, own_change_);
}

}  // namespace rutile::python
