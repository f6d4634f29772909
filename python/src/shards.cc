// SPDX-License-Identifier: Apache-2.0
// Optimizer states in shards and the checkpoints of several ranks, for rutile.nn and rutile.train.
#include "rutile/python/src/shards.h"

#include <pybind11/stl.h>

#include "rutile/nn/optim/sharding.h"
#include "rutile/ops/communicator.h"
#include "rutile/ops/random.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/py_tensor.h"
#include "rutile/train/checkpoint.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

using nn::optim::Shard;
using nn::optim::Sharding;
using nn::optim::ShardKind;

py::object object_of(Tensor t) {
  return py::reinterpret_steal<py::object>(checked(wrap(std::move(t))));
}

const nn::ParameterPtr& parameter_from(py::handle value) {
  if (!is_parameter(value.ptr())) {
    throw_error(ErrorCode::kType, cat("expects a Parameter, got ", Py_TYPE(value.ptr())->tp_name));
  }
  return as_parameter(value.ptr());
}

// The shards of a list of Parameters.
class PySharding {
 public:
  PySharding(const py::sequence& parameters, const std::string& group, double threshold_kb,
             bool elementwise) {
    std::vector<nn::ParameterPtr> list;
    for (const py::handle p : parameters) list.push_back(parameter_from(p));
    sharding_ = std::make_unique<Sharding>(
        list, nn::optim::ShardOptions{.group = group, .threshold_kb = threshold_kb}, elementwise);
    for (const py::handle p : parameters) objects_.push_back(py::reinterpret_borrow<py::object>(p));
  }
  const Sharding& get() const { return *sharding_; }
  const Shard& shard(size_t i) const {
    if (i >= objects_.size()) throw_error(ErrorCode::kIndex, cat("there is no parameter ", i));
    return sharding_->shard(i);
  }
  // "whole", "part", "own" or, where another rank has it, "other".
  std::string kind(size_t i) const {
    const Shard& s = shard(i);
    if (s.kind == ShardKind::kWhole) return "whole";
    if (s.kind == ShardKind::kPart) return "part";
    return s.owner == sharding_->rank() ? "own" : "other";
  }
  py::tuple slot_shape(size_t i) const {
    const Shard& s = shard(i);
    if (kind(i) == "part") return py::make_tuple(s.part);
    if (kind(i) == "other") return py::make_tuple(0);
    return py::tuple(py::cast(std::vector<int64_t>(s.shape.begin(), s.shape.end())));
  }
  py::object own(size_t i, const py::object& whole) const {
    return object_of(sharding_->own(shard(i), tensor_from(whole.ptr())));
  }
  py::object whole(size_t i, const py::object& own) const {
    const Tensor t = tensor_from(own.ptr());
    Tensor all;
    {
      py::gil_scoped_release release;
      all = sharding_->whole(shard(i), t);
    }
    return object_of(std::move(all));
  }
  // (the Parameter to update or None, its gradient)
  py::tuple begin(size_t i, const py::object& grad) {
    shard(i);
    Tensor g = tensor_from(grad.ptr());
    const nn::ParameterPtr p = sharding_->begin(i, &g);
    if (!p) return py::make_tuple(py::none(), grad);
    if (p == as_parameter(objects_[i].ptr())) return py::make_tuple(objects_[i], grad);
    if (parts_.size() < objects_.size()) parts_.resize(objects_.size());
    if (!parts_[i]) parts_[i] = py::reinterpret_steal<py::object>(checked(wrap(p)));
    return py::make_tuple(parts_[i], object_of(std::move(g)));
  }
  void finish(const std::vector<size_t>& parameters) {
    for (const size_t i : parameters) shard(i);
    if (call_modes().trace) return sharding_->finish(parameters);
    py::gil_scoped_release release;
    sharding_->finish(parameters);
  }

 private:
  std::unique_ptr<Sharding> sharding_;
  std::vector<py::object> objects_, parts_;
};

// (name, Parameter, PySharding or None, parameter's number) for each state.
struct States {
  std::vector<nn::NamedState> states;
  std::vector<nn::optim::ShardedState> sharded;
  explicit States(const py::sequence& items) {
    for (const py::handle item : items) {
      const auto row = py::reinterpret_borrow<py::sequence>(item);
      const auto name = py::cast<std::string>(row[0]);
      const Ref<State>& state = parameter_from(py::object(row[1]))->state();
      states.emplace_back(name, state);
      const py::object sharding = row[2];
      if (sharding.is_none()) continue;
      const Shard& shard =
          py::cast<const PySharding&>(sharding).shard(py::cast<size_t>(py::object(row[3])));
      if (shard.kind != ShardKind::kWhole) sharded.push_back({name, state, shard});
    }
    states.emplace_back("generator.state", default_generator().state_ref());
  }
};

std::string save(const std::string& folder, int keep, int64_t step, const py::sequence& items,
                 const train::Metadata& metadata, bool shards) {
  const States s(items);
  py::gil_scoped_release release;
  const train::CheckpointFolder f({folder, keep});
  const auto world = communicator();
  if (world->size() > 1 && (shards || !s.sharded.empty())) {
    return f.save_shards(step, s.states, s.sharded, metadata);
  }
  return world->rank() == 0 ? f.save(step, s.states, metadata) : std::string();
}

// None, or (step, {name: whole Tensor}, metadata, path).
py::object latest(const std::string& folder) {
  std::optional<train::Checkpoint> c;
  {
    py::gil_scoped_release release;
    c = train::CheckpointFolder({folder}).latest_of_ranks();
  }
  if (!c) return py::none();
  const auto generator = c->values.find("generator.state");
  if (generator != c->values.end()) {
    const Ref<State>& state = default_generator().state_ref();
    const Tensor now = state->concrete();
    if (generator->second.dtype() == now.dtype() && generator->second.shape() == now.shape()) {
      // Every rank draws numbers of its own; all have drawn equally often.
      std::vector<uint64_t> v = generator->second.to_vector<uint64_t>();
      if (communicator()->rank() > 0) v[0] = now.to_vector<uint64_t>()[0];
      state->write(Tensor::from<uint64_t>(std::span<const uint64_t>(v), now.shape()));
    }
    c->values.erase(generator);
  }
  py::dict values;
  for (auto& [name, value] : c->values) values[py::str(name)] = object_of(std::move(value));
  return py::make_tuple(c->step, values, c->metadata, c->path);
}

}  // namespace

void add_shards(py::module_& m) {
  py::class_<PySharding>(m, "Sharding")
      .def(py::init<const py::sequence&, const std::string&, double, bool>(), py::arg("parameters"),
           py::arg("group") = "world", py::arg("threshold_kb") = 64.0,
           py::arg("elementwise") = true)
      .def("kind", &PySharding::kind, py::arg("index"))
      .def("slot_shape", &PySharding::slot_shape, py::arg("index"))
      .def("own", &PySharding::own, py::arg("index"), py::arg("whole"))
      .def("whole", &PySharding::whole, py::arg("index"), py::arg("own"))
      .def("begin", &PySharding::begin, py::arg("index"), py::arg("grad"))
      .def("finish", &PySharding::finish, py::arg("indices"));
  m.def("save_states", &save, py::arg("folder"), py::arg("keep"), py::arg("step"),
        py::arg("states"), py::arg("metadata"), py::arg("shards") = false);
  m.def("latest_states", &latest, py::arg("folder"));
}

}  // namespace rutile::python
