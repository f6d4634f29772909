// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/around.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "rutile/python/src/errors.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

bool same(PyObject* a, PyObject* b) {
  if (Py_TYPE(a) != Py_TYPE(b)) return false;
  if (PyFloat_CheckExact(a)) {  // 0.0 and -0.0 are two values, NaN is one
    const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
    return std::memcmp(&x, &y, sizeof(x)) == 0;
  }
  const int equal = PyObject_RichCompareBool(a, b, Py_EQ);
  if (equal < 0) forget_error();
  return equal > 0;
}

}  // namespace

bool Around::operator==(const Around& o) const {
  if (tensors.size() != o.tensors.size() || cells.size() != o.cells.size() ||
      values.size() != o.values.size() || objects.size() != o.objects.size()) {
    return false;
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].impl() != o.tensors[i].impl()) return false;
  }
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!cells[i].is(o.cells[i])) return false;
  }
  for (size_t i = 0; i < objects.size(); ++i) {
    if (!objects[i].is(o.objects[i])) return false;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i].is(o.values[i]) && !same(values[i].ptr(), o.values[i].ptr())) return false;
  }
  return true;
}

void Around::take_objects(const Around& after) {
  if (objects.size() != after.objects.size()) return;
  for (size_t i = 0; i < objects.size(); ++i) {
    if (objects[i].is(after.objects[i])) continue;
    PyObject* o = after.objects[i].ptr();
    if (PyWeakref_CheckRefExact(o)) o = PyWeakref_GET_OBJECT(o);
    if (PyType_Check(o) || Py_TYPE(Py_TYPE(o)) != &PyType_Type) continue;
    objects[i] = after.objects[i];
  }
}

bool Around::holds_symbols() const {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const Tensor& t) { return t.is_symbolic(); });
}

std::string Around::difference(const Around& before) const {
  const auto text = [](const py::object& o) {
    constexpr size_t kLongest = 60;
    std::string whole = Py_TYPE(o.ptr())->tp_name;
    try {
      whole = py::repr(o).cast<std::string>();
    } catch (py::error_already_set& e) {  // a user's own may fail
      e.restore();
      forget_error();
    }
    return whole.size() <= kLongest ? whole : whole.substr(0, kLongest) + "...";
  };
  for (size_t i = 0; i < std::min(cells.size(), before.cells.size()); ++i) {
    if (!cells[i].is(before.cells[i]))
      return is_cell_version(cells[i]) ? text(cells[i]) : "another Parameter around";
  }
  if (values.size() == before.values.size()) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].is(before.values[i]) || same(values[i].ptr(), before.values[i].ptr())) continue;
      return cat("a value around, ", text(before.values[i]), " before, ", text(values[i]), " now");
    }
  }
  return tensors.size() == before.tensors.size() && cells.size() == before.cells.size()
             ? "another tensor or value around"
             : "other tensors, Cells or values around";
}

}  // namespace rutile::python
