// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/random.h"

#include "rutile/ops/random.h"
#include "rutile/python/src/convert.h"

namespace py = pybind11;

namespace rutile::python {

namespace {

uint64_t seed_from(py::handle seed) {
  const int64_t s = int_from(seed.ptr());
  if (s < 0) throw_error(ErrorCode::kValue, cat("a seed is not negative, got ", s));
  return static_cast<uint64_t>(s);
}

py::object wrapped(Tensor t) {
  return py::reinterpret_steal<py::object>(checked(wrap(std::move(t))));
}

}  // namespace

void add_random(py::module_& m) {
  py::class_<Generator>(m, "Keys", "A source of keys for random ops.")
      .def(py::init([](py::object seed) { return std::make_unique<Generator>(seed_from(seed)); }),
           py::arg("seed"))
      .def(
          "seed", [](Generator& g, py::object seed) { g.seed(seed_from(seed)); }, py::arg("seed"))
      .def("next_key", [](Generator& g) { return wrapped(g.next_key()); })
      .def("get_state", [](Generator& g) { return wrapped(g.state().read()); })
      .def(
          "set_state", [](Generator& g, py::object v) { g.state().write(tensor_from(v.ptr())); },
          py::arg("state"));
  m.def("default_keys", &default_generator, py::return_value_policy::reference);
}

}  // namespace rutile::python
