// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/guards.h"

#include <structmember.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "rutile/nn/parameter.h"
#include "rutile/python/src/errors.h"
#include "rutile/python/src/py_tensor.h"
#include "rutile/python/src/tree.h"

namespace py = pybind11;

namespace rutile::python {

namespace {

// Without the interpreter's lock others may change what is compared.
#ifdef Py_GIL_DISABLED
constexpr bool kOneThread = false;
#else
constexpr bool kOneThread = true;
#endif

// A word of a dict that becomes one that no dict ever had whenever the dict changes; null where
// Python has none: 3.12 shares it with watchers of dicts, later ones have dropped it.
const uint64_t* version_of([[maybe_unused]] PyObject* dict) {
#if PY_VERSION_HEX < 0x030C0000 && !defined(RUTILE_NO_DICT_VERSIONS)
  return &reinterpret_cast<PyDictObject*>(dict)->ma_version_tag;
#else
  return nullptr;
#endif
}

constexpr size_t kAhead = 12;  // words that are fetched while one is compared

std::atomic<uint64_t> cell_changes{0};

PyObject *module_name = nullptr, *own_name = nullptr;  // "__module__", "__name__"

struct EntriesCheck : Guards::Check {
  // A name that is kept (of kEach raw: the search follows keys, too), the value; null: any.
  struct Entry {
    py::object name;
    PyObject* value;
  };
  const NamesRead& read;
  PyObject* dict;
  Chosen how;
  std::vector<Entry> entries;

  EntriesCheck(const NamesRead& r, PyObject* d, Chosen h) : read(r), dict(d), how(h) {}
  bool holds() override {
    size_t n = 0;
    PyObject *name, *value;
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &name, &value);) {
      if (!is_chosen(read, how, name, value)) continue;
      if (n == entries.size() || entries[n].name.ptr() != name) return false;
      if (entries[n].value && entries[n].value != value) return false;
      ++n;
    }
    return n == entries.size();
  }
};

struct ItemsCheck : Guards::Check {
  PyObject* dict;
  std::vector<std::pair<PyObject*, PyObject*>> items;

  explicit ItemsCheck(PyObject* d) : dict(d) {}
  bool holds() override {
    if (PyDict_Size(dict) != static_cast<Py_ssize_t>(items.size())) return false;
    size_t n = 0;
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value); ++n) {
      if (items[n].first != key || items[n].second != value) return false;
    }
    return true;
  }
};

// In place of a tuple another one of the same items.
struct TupleCheck : Guards::Check {
  PyObject** at;
  py::object tuple;

  explicit TupleCheck(PyObject** a) : at(a), tuple(py::reinterpret_borrow<py::object>(*a)) {}
  bool holds() override {
    PyObject *now = *at, *then = tuple.ptr();
    if (!now || !PyTuple_CheckExact(now) || PyTuple_GET_SIZE(now) != PyTuple_GET_SIZE(then)) {
      return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(now); ++i) {
      if (PyTuple_GET_ITEM(now, i) != PyTuple_GET_ITEM(then, i)) return false;
    }
    tuple = py::reinterpret_borrow<py::object>(now);
    return true;
  }
};

struct AttributeCheck : Guards::Check {
  PyObject* object;
  py::object name;
  PyObject* value;

  AttributeCheck(PyObject* o, const char* n, PyObject* v)
      : object(o),
        name(py::reinterpret_steal<py::object>(PyUnicode_InternFromString(n))),
        value(v) {}
  bool holds() override {
    const auto now = py::reinterpret_steal<py::object>(PyObject_GetAttr(object, name.ptr()));
    if (!now) forget_error();
    return now.ptr() == value;
  }
};

struct SetCheck : Guards::Check {
  PyObject* set;
  std::vector<PyObject*> items;

  explicit SetCheck(PyObject* s) : set(s) {
    each([&](PyObject* o) { items.push_back(o); });
  }
  template <class F>
  void each(F f) {
    const auto iterator = py::reinterpret_steal<py::object>(checked(PyObject_GetIter(set)));
    while (PyObject* o = PyIter_Next(iterator.ptr())) {
      f(o);
      Py_DECREF(o);  // the set has it
    }
  }
  bool holds() override {
    if (PySet_GET_SIZE(set) != static_cast<Py_ssize_t>(items.size())) return false;
    size_t n = 0;
    bool same = true;
    each([&](PyObject* o) { same = same && n < items.size() && items[n++] == o; });
    return same && n == items.size();
  }
};

struct BufferCheck : Guards::Check {
  PyObject* object;
  PyObject* bytes;
  std::string format;
  std::vector<Py_ssize_t> shape;

  BufferCheck(PyObject* o, const Py_buffer& view, PyObject* b)
      : object(o),
        bytes(b),
        format(view.format ? view.format : "B"),
        shape(view.shape, view.shape + view.ndim) {}
  bool holds() override {
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) {
      PyErr_Clear();
      return false;
    }
    const bool same =
        format == (view.format ? view.format : "B") && view.len == PyBytes_GET_SIZE(bytes) &&
        std::equal(shape.begin(), shape.end(), view.shape, view.shape + view.ndim) &&
        std::memcmp(view.buf, PyBytes_AS_STRING(bytes), static_cast<size_t>(view.len)) == 0;
    PyBuffer_Release(&view);
    return same;
  }
};

}  // namespace

// dict.get() of some names.
struct Guards::Keys : Guards::Check {
  PyObject* dict;
  std::vector<std::pair<py::object, PyObject*>> names;

  explicit Keys(PyObject* d) : dict(d) {}
  bool holds() override {
    for (const auto& [name, value] : names) {
      PyObject* now = PyDict_GetItemWithError(dict, name.ptr());
      if (!now && PyErr_Occurred()) PyErr_Clear();
      if (now != value) return false;
    }
    return true;
  }
};

uint64_t cells_edition() {
  return cell_changes.load(std::memory_order_relaxed) +
         nn::Parameter::edition.load(std::memory_order_relaxed);
}

uint64_t change_cells() { return cell_changes.fetch_add(1, std::memory_order_relaxed) + 1; }

void begin_guards() {
  module_name = PyUnicode_InternFromString("__module__");
  own_name = PyUnicode_InternFromString("__name__");
}

Guards::Guards(const NamesRead& read)
    : read_(read),
      names_(read.size()),
      unnamed_(read.unnamed()),
      whole_(kOneThread),
      parameters_(nn::Parameter::edition.load(std::memory_order_relaxed)),
      cells_edition_(cells_edition()) {}

Guards::~Guards() = default;

void Guards::word(const void* at, uintptr_t value) {
  words_.push_back({static_cast<const uintptr_t*>(at), value});
}

void Guards::type_of(PyObject* o) {
  slot(reinterpret_cast<PyObject**>(&o->ob_type), reinterpret_cast<PyObject*>(Py_TYPE(o)));
}

void Guards::alive(PyObject* o) {
  auto ref = py::reinterpret_steal<py::object>(PyWeakref_NewRef(o, nullptr));
  if (!ref) {
    PyErr_Clear();
    return unknown();
  }
  slot(&reinterpret_cast<PyWeakReference*>(ref.ptr())->wr_object, o);
  kept_.push_back(std::move(ref));
}

void Guards::tensor(PyObject* o) {
  static_assert(sizeof(Tensor) == sizeof(uintptr_t));
  type_of(o);
  word(&reinterpret_cast<PyTensor*>(o)->tensor,
       reinterpret_cast<uintptr_t>(exact_tensor(o).impl()));
}

void Guards::method(PyObject* o) {
  auto* m = reinterpret_cast<PyMethodObject*>(o);
  type_of(o);
  slot(&m->im_func, m->im_func);
  slot(&m->im_self, m->im_self);
}

void Guards::weak(PyObject* o) {
  auto* ref = reinterpret_cast<PyWeakReference*>(o);
  type_of(o);
  slot(&ref->wr_object, ref->wr_object);
}

void Guards::container(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  const bool tuple = PyTuple_Check(o);
  if (PyDict_Check(o)) return PyODict_CheckExact(o) ? unknown() : all_of(o);
  if (!tuple && !PyList_Check(o)) return unknown();
  // A class may have ways of its own to list them.
  const PyTypeObject& usual = tuple ? PyTuple_Type : PyList_Type;
  if (type->tp_iter != usual.tp_iter || !type->tp_as_sequence ||
      type->tp_as_sequence->sq_length != usual.tp_as_sequence->sq_length) {
    return unknown();
  }
  items(o);
}

void Guards::member(PyObject* o, PyObject* descriptor) {
  const PyMemberDef* m = reinterpret_cast<PyMemberDescrObject*>(descriptor)->d_member;
  if (m->type != T_OBJECT_EX) return unknown();
  auto** at = reinterpret_cast<PyObject**>(reinterpret_cast<char*>(o) + m->offset);
  slot(at, *at);
}

void Guards::items(PyObject* o) {
  type_of(o);
  const Py_ssize_t size = Py_SIZE(o);
  word(&reinterpret_cast<PyVarObject*>(o)->ob_size, static_cast<uintptr_t>(size));
  PyObject** first = nullptr;
  if (PyTuple_Check(o)) {
    first = reinterpret_cast<PyTupleObject*>(o)->ob_item;
  } else {
    first = reinterpret_cast<PyListObject*>(o)->ob_item;
    word(&reinterpret_cast<PyListObject*>(o)->ob_item, reinterpret_cast<uintptr_t>(first));
  }
  for (Py_ssize_t i = 0; i < size; ++i) slot(first + i, first[i]);
}

// Where the dict has a version and it is the same the check is not made.
void Guards::check_behind(std::unique_ptr<Check> check, const uint64_t* version) {
  if (version) {
    instead_.emplace_back(words_.size(), checks_.size());
    word(version, *version);
  } else {
    word(nullptr, checks_.size());
  }
  checks_.push_back(std::move(check));
}

void Guards::key(PyObject* dict, PyObject* name, PyObject* value, bool keep) {
  if (keep && value) this->keep(value);
  if (!read_.ignores(name)) key_always(dict, name, value);
}

void Guards::key_always(PyObject* dict, PyObject* name, PyObject* value) {
  auto& known = keys_[dict];
  const uint64_t* version = version_of(dict);
  if (!known.check) {
    auto check = std::make_unique<Keys>(dict);
    known = {check.get(), version ? *version : 0};
    check_behind(std::move(check), version);
  } else if (version && *version != known.version) {
    return unknown();  // it changed since
  }
  known.check->names.emplace_back(py::reinterpret_borrow<py::object>(name), value);
}

void Guards::module_of(PyTypeObject* type) {
  if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE) || !type->tp_dict) return;
  slot(&type->tp_dict, type->tp_dict);
  text(type->tp_dict, module_name);
}

void Guards::name_of(PyObject* dict) { text(dict, own_name); }

void Guards::text(PyObject* dict, PyObject* name) {
  PyObject* value = PyDict_GetItemWithError(dict, name);
  if (value && PyUnicode_CheckExact(value)) keep(value);
  key_always(dict, name, value);
}

void Guards::entries(PyObject* dict, Chosen how, const Entries& found) {
  auto check = std::make_unique<EntriesCheck>(read_, dict, how);
  for (const auto& [name, value] : found) {
    const bool any = how == Chosen::kAll && read_.ignores(name.ptr());
    check->entries.push_back({name, any ? nullptr : value.ptr()});
  }
  check_behind(std::move(check), version_of(dict));
}

void Guards::all_of(PyObject* dict) {
  type_of(dict);
  auto check = std::make_unique<ItemsCheck>(dict);
  PyObject *key, *value;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &key, &value);) {
    check->items.emplace_back(key, value);
  }
  check_behind(std::move(check), version_of(dict));
}

void Guards::bases(PyTypeObject* type) {
  if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE) || !type->tp_mro) return;
  slot(&type->tp_mro, type->tp_mro);
  items(type->tp_mro);
}

void Guards::cell(PyObject* o, PyObject* version) {
  alive(o);
  if (whole_) cells_.emplace_back(kept_.back(), version);
}

void Guards::tuple_in(PyObject** at) {
  instead_.emplace_back(words_.size(), checks_.size());
  slot(at, *at);
  checks_.push_back(std::make_unique<TupleCheck>(at));
}

void Guards::attribute(PyObject* o, const char* name, PyObject* value) {
  check_behind(std::make_unique<AttributeCheck>(o, name, value), nullptr);
}

void Guards::code_of(PyObject* function) {
  PyObject* code = PyFunction_GET_CODE(function);
  slot(&reinterpret_cast<PyFunctionObject*>(function)->func_code, code);
  keep(code);
}

void Guards::set(PyObject* o) {
  if (!PyAnySet_CheckExact(o)) return unknown();
  type_of(o);
  check_behind(std::make_unique<SetCheck>(o), nullptr);
}

void Guards::buffer(PyObject* o, const Py_buffer& view, PyObject* bytes) {
  const unsigned long flags = Py_TYPE(o)->tp_flags;
  const bool users = (flags & Py_TPFLAGS_HEAPTYPE) && !(flags & Py_TPFLAGS_IMMUTABLETYPE);
  if (users || !PyBuffer_IsContiguous(&view, 'C')) return unknown();
  type_of(o);
  check_behind(std::make_unique<BufferCheck>(o, view, bytes), nullptr);
}

bool Guards::same_cells() {
  const uint64_t now = cells_edition();
  if (now == cells_edition_) return true;
  for (const auto& [ref, version] : cells_) {
    const auto cell = py::reinterpret_borrow<py::object>(PyWeakref_GET_OBJECT(ref.ptr()));
    if (cell.is_none() || cell_version(cell).ptr() != version) return false;
  }
  cells_edition_ = now;
  return true;
}

bool Guards::hold() {
  if (!whole_ || names_ != read_.size() || unnamed_ != read_.unnamed()) return false;
  if (parameters_ != nn::Parameter::edition.load(std::memory_order_relaxed)) return false;
  if (!same_cells()) return false;  // first: it runs Python code
  const size_t n = words_.size();
  for (size_t i = 0; i < n; ++i) {
    Word& w = words_[i];
    __builtin_prefetch(words_[std::min(i + kAhead, n - 1)].at);
    if (w.at && *w.at == w.value) [[likely]]
      continue;
    size_t check = w.value;
    if (w.at) {
      const auto at = std::lower_bound(instead_.begin(), instead_.end(), std::pair{i, size_t{0}});
      if (at == instead_.end() || at->first != i) return false;
      check = at->second;
    }
    if (!checks_[check]->holds()) return false;
    if (w.at) w.value = *w.at;
  }
  return true;
}

}  // namespace rutile::python
