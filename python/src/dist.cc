// SPDX-License-Identifier: Apache-2.0
// Groups of processes and what data parallelism needs of them, for rutile.communication.
#include "rutile/python/src/dist.h"

#include <pybind11/stl.h>

#include <optional>

#include "rutile/dist/backend.h"
#include "rutile/dist/group.h"
#include "rutile/dist/reducer.h"
#include "rutile/dist/replicas.h"
#include "rutile/dist/spawn.h"
#include "rutile/dist/stop.h"
#include "rutile/ops/collective.h"
#include "rutile/python/src/convert.h"
#include "rutile/python/src/py_tensor.h"
#include "rutile/python/src/shards.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

// The reducer of a list of gradients of these metas.
class PyReducer {
 public:
  PyReducer(bool mean, std::string group, double bucket_mb, std::vector<int64_t> split,
            std::optional<std::string> wire) {
    options_.reduce = mean ? Reduce::kMean : Reduce::kSum;
    options_.group = std::move(group);
    options_.bucket_mb = bucket_mb;
    options_.split = std::move(split);
    if (wire) {
      DType t;
      if (!parse_dtype(*wire, &t))
        throw_error(ErrorCode::kType, cat("there is no dtype '", *wire, "'"));
      options_.wire = t;
    }
  }
  void attach(GradScope& scope, std::span<const Tensor> watched) {
    if (call_modes().trace && scattered_.empty()) return;
    std::vector<TensorMeta> metas;
    for (const Tensor& t : watched) metas.emplace_back(t.shape(), t.dtype(), t.device());
    fit(std::move(metas));
    reducer_->attach(scope, watched);
  }
  // Of these parameters (true) reduce() gives this process's part.
  void scatter(std::vector<bool> parameters) {
    scattered_ = std::move(parameters);
    reducer_.reset();
  }
  // Parameters by message, in the order in which they are sent.
  std::vector<std::vector<size_t>> buckets() const {
    return reducer_ ? reducer_->buckets() : std::vector<std::vector<size_t>>();
  }
  // None where this process has no gradient of a parameter.
  py::list reduce(const py::sequence& items, const py::sequence& parameters) {
    std::vector<Tensor> grads;
    std::vector<TensorMeta> metas;
    for (size_t i = 0; i < items.size(); ++i) {
      const py::object item = items[i];
      grads.push_back(item.is_none() ? Tensor() : tensor_from(item.ptr()));
      const TensorMeta m = item.is_none() ? meta_of(parameters[i]) : grads.back().meta();
      metas.emplace_back(m.shape, m.dtype, m.device);
    }
    fit(std::move(metas));
    if (call_modes().trace) {
      reducer_->finish(&grads);
    } else {
      py::gil_scoped_release release;
      reducer_->finish(&grads);
    }
    py::list out;
    for (Tensor& g : grads) {
      out.append(g.defined() ? py::reinterpret_steal<py::object>(checked(wrap(std::move(g))))
                             : py::none());
    }
    return out;
  }

 private:
  static TensorMeta meta_of(const py::object& parameter) {
    if (!is_parameter(parameter.ptr())) throw_error(ErrorCode::kType, "expects Parameters");
    return as_parameter(parameter.ptr())->meta();
  }
  void fit(std::vector<TensorMeta> metas) {
    if (reducer_ && metas == metas_) return;
    reducer_ = std::make_unique<dist::GradientReducer>(metas, options_);
    if (!scattered_.empty() && scattered_.size() == metas.size()) reducer_->scatter(scattered_);
    metas_ = std::move(metas);
  }
  dist::ReducerOptions options_;
  std::unique_ptr<dist::GradientReducer> reducer_;
  std::vector<TensorMeta> metas_;
  std::vector<bool> scattered_;
};

class PyStop {
 public:
  explicit PyStop(const std::string& group)
      : agreement_(std::make_unique<dist::StopAgreement>(group)) {}
  bool next(bool stop) { return agreement_ ? agreement_->next(stop) : stop; }
  void close() { agreement_.reset(); }

 private:
  std::unique_ptr<dist::StopAgreement> agreement_;
};

dist::NamedStates states_from(const py::sequence& items) {
  dist::NamedStates states;
  for (const py::handle item : items) {
    const auto pair = py::cast<py::sequence>(item);
    const py::object value = pair[1];
    if (!is_parameter(value.ptr()))
      throw_error(ErrorCode::kType, "expects (name, Parameter) pairs");
    states.emplace_back(py::cast<std::string>(pair[0]), as_parameter(value.ptr())->state());
  }
  return states;
}

void add_groups(py::module_& m) {
  const auto free = py::call_guard<py::gil_scoped_release>();
  m.def(
      "init", [](const std::string& backend) { dist::init({.backend = backend}); }, free,
      py::arg("backend") = "gloo");
  m.def("device", [] { return to_string(dist::device()); });
  m.def("initialized", &dist::initialized, free);
  m.def("finalize", &dist::finalize, free);
  m.def("report_failure", &dist::report_failure, free, py::arg("text"));
  m.def("rank", &dist::rank, free, py::arg("group") = "world");
  m.def("size", &dist::size, free, py::arg("group") = "world");
  m.def("local_rank", [] { return dist::launch_info().local_rank; });
  m.def("local_size", [] { return dist::launch_info().local_size; });
  m.def("restart_count", &dist::restart_count);
  m.def("launcher", [] { return dist::launch_info().launcher; });
  m.def("create_group", &dist::create_group, free, py::arg("name"), py::arg("ranks"));
  m.def("destroy_group", &dist::destroy_group, free, py::arg("name"));
  m.def("world_rank", &dist::world_rank, free, py::arg("group"), py::arg("rank"));
  m.def("group_rank", &dist::group_rank, free, py::arg("group"), py::arg("rank"));
  m.def("group_ranks", &dist::group_ranks, free, py::arg("group") = "world");
  m.def("barrier", &dist::barrier, free, py::arg("group") = "world");
  m.def(
      "all_counts",
      [](const std::vector<int64_t>& mine, const std::string& group) {
        const std::shared_ptr<Communicator> ranks = communicator(group);
        const auto n = static_cast<int64_t>(mine.size());
        std::vector<int64_t> all(mine.size() * static_cast<size_t>(ranks->size()));
        throw_if_error(ranks->run({.kind = CollectiveKind::kAllGather,
                                   .dtype = DType::kI64,
                                   .shape = {n},
                                   .in = mine.data(),
                                   .out = all.data()}));
        return all;
      },
      free, py::arg("mine"), py::arg("group") = "world",
      "Numbers of all processes, as many of each, behind one another; never part of a trace.");
  m.def("plugin_paths", &dist::comm_plugin_paths, py::arg("name"));
  m.def(
      "plugin_error",
      [](const std::string& name) {
        const dist::CommPlugin* plugin = nullptr;
        return dist::load_comm_plugin(name, &plugin).message();
      },
      py::arg("name"), "Why a plugin cannot be used; empty if it can.");
  m.def(
      "stats",
      [](const std::string& group) {
        const dist::CollectiveStats s = dist::collective_stats(group);
        py::dict d;
        d["calls"] = s.calls;
        d["bytes"] = s.bytes;
        d["seconds"] = s.seconds;
        py::dict kinds;
        for (int k = 0; k < 8; ++k) {
          if (s.bytes_of[k] > 0)
            kinds[collective_name(static_cast<CollectiveKind>(k))] = s.bytes_of[k];
        }
        d["bytes_of"] = kinds;
        return d;
      },
      py::arg("group") = "world");
}

void add_messages(py::module_& m) {
  m.def(
      "send",
      [](const py::object& x, int to, const std::string& group) {
        const Tensor t = tensor_from(x.ptr());
        py::gil_scoped_release release;
        dist::send(t, to, group);
      },
      py::arg("x"), py::arg("to"), py::arg("group") = "world");
  m.def(
      "receive",
      [](const std::vector<int64_t>& shape, const py::object& dtype, int from,
         const std::string& group) {
        const DType t = dtype_from(dtype.ptr());
        Tensor x;
        {
          py::gil_scoped_release release;
          x = dist::receive(Shape(std::span<const int64_t>(shape)), t, from, group);
        }
        return py::reinterpret_steal<py::object>(checked(wrap(std::move(x))));
      },
      py::arg("shape"), py::arg("dtype"), py::arg("source"), py::arg("group") = "world");
  py::class_<dist::Message>(m, "Message")
      .def("wait", &dist::Message::wait, py::call_guard<py::gil_scoped_release>())
      .def("done", &dist::Message::done);
  m.def(
      "isend",
      [](const py::object& x, int to, const std::string& group) {
        const Tensor t = tensor_from(x.ptr());
        py::gil_scoped_release release;
        return dist::isend(t, to, group);
      },
      py::arg("x"), py::arg("to"), py::arg("group") = "world");
  m.def(
      "ireceive",
      [](const std::vector<int64_t>& shape, const py::object& dtype, int from,
         const std::string& group) {
        Tensor x;
        dist::Message message = dist::ireceive(Shape(std::span<const int64_t>(shape)),
                                               dtype_from(dtype.ptr()), from, &x, group);
        return py::make_tuple(py::reinterpret_steal<py::object>(checked(wrap(std::move(x)))),
                              std::move(message));
      },
      py::arg("shape"), py::arg("dtype"), py::arg("source"), py::arg("group") = "world");
}

}  // namespace

void add_dist(py::module_& module) {
  py::module_ m = module.def_submodule("dist", "Groups of processes.");
  const auto free = py::call_guard<py::gil_scoped_release>();
  add_groups(m);
  add_messages(m);
  m.def(
      "broadcast_states",
      [](const py::sequence& items, int root, const std::string& group) {
        const dist::NamedStates states = states_from(items);
        py::gil_scoped_release release;
        dist::broadcast_states(states, root, group);
      },
      py::arg("states"), py::arg("root") = 0, py::arg("group") = "world");
  m.def(
      "check_replicas",
      [](const py::sequence& items, const std::string& group) {
        const dist::NamedStates states = states_from(items);
        py::gil_scoped_release release;
        dist::check_replicas(states, group);
      },
      py::arg("states"), py::arg("group") = "world");
  m.def(
      "spawn",
      [](std::vector<std::string> command, int ranks, int hosts, int host, std::string address,
         int port, bool prefix, int restarts) {
        py::gil_scoped_release release;
        return dist::spawn_ranks({.ranks = ranks,
                                  .command = std::move(command),
                                  .hosts = hosts,
                                  .host = host,
                                  .address = std::move(address),
                                  .port = port,
                                  .prefix = prefix,
                                  .restarts = restarts});
      },
      py::arg("command"), py::arg("ranks"), py::arg("hosts") = 1, py::arg("host") = 0,
      py::arg("address") = "127.0.0.1", py::arg("port") = 0, py::arg("prefix") = true,
      py::arg("restarts") = 0);
  py::class_<PyStop>(m, "StopAgreement")
      .def(py::init<std::string>(), py::arg("group") = "world")
      .def("next", &PyStop::next, free, py::arg("stop"))
      .def("close", &PyStop::close, free);
  py::class_<PyReducer>(m, "Reducer")
      .def(py::init<bool, std::string, double, std::vector<int64_t>, std::optional<std::string>>(),
           py::arg("mean") = true, py::arg("group") = "world", py::arg("bucket_mb") = 25.0,
           py::arg("split") = std::vector<int64_t>(), py::arg("wire") = py::none())
      .def("reduce", &PyReducer::reduce, py::arg("grads"), py::arg("parameters") = py::tuple())
      .def("scatter", &PyReducer::scatter, py::arg("parameters"))
      .def("buckets", &PyReducer::buckets);
  add_shards(m);
}

void attach_reducer(const py::object& reducer, GradScope& scope, std::span<const Tensor> watched) {
  if (!reducer.is_none()) py::cast<PyReducer&>(reducer).attach(scope, watched);
}

}  // namespace rutile::python
