// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/files.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rutile/core/device_check.h"
#include "rutile/io/cifar.h"
#include "rutile/io/ckpt.h"
#include "rutile/io/event_file.h"
#include "rutile/io/idx.h"
#include "rutile/io/safetensors.h"
#include "rutile/ops/record.h"
#include "rutile/python/src/convert.h"

namespace py = pybind11;

namespace rutile::python {

namespace {

py::object object_of(Tensor t) {
  PyObject* o = wrap(std::move(t));
  if (!o) throw PythonError();
  return py::reinterpret_steal<py::object>(o);
}

// (name, Tensor or str) for each.
std::vector<io::CkptEntry> entries_from(const py::sequence& items) {
  std::vector<io::CkptEntry> entries;
  for (const py::handle item : items) {
    const auto pair = py::reinterpret_borrow<py::sequence>(item);
    const py::object name = pair[0], value = pair[1];
    if (PyUnicode_Check(value.ptr())) {
      entries.emplace_back(text_from(name.ptr()), text_from(value.ptr()));
    } else {
      entries.emplace_back(text_from(name.ptr()), tensor_from(value.ptr()));
    }
  }
  return entries;
}

void save_ckpt(const std::string& path, const py::sequence& items, bool crc, uint64_t chunk_bytes) {
  const std::vector<io::CkptEntry> entries = entries_from(items);
  py::gil_scoped_release release;
  check_devices();  // what a failed step left is not saved
  io::save_ckpt(path, entries, {.crc = crc, .chunk_bytes = chunk_bytes});
}

// What a file calls something, as Python's text.
py::str text_of(const std::string& text, const std::string& path) {
  PyObject* made = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
  if (!made) {
    PyErr_Clear();
    throw_error(ErrorCode::kValue, cat(path, " is damaged: a name or text in it is not UTF-8"));
  }
  return py::reinterpret_steal<py::str>(made);
}

py::list load_ckpt(const std::string& path) {
  std::vector<io::CkptEntry> entries;
  {
    py::gil_scoped_release release;
    entries = io::load_ckpt(path);
  }
  py::list out;
  for (io::CkptEntry& e : entries) {
    const py::object value =
        e.is_text ? py::object(text_of(e.text, path)) : object_of(std::move(e.tensor));
    out.append(py::make_tuple(text_of(e.name, path), value));
  }
  return out;
}

void save_safetensors(const std::string& path, const py::sequence& items,
                      const py::dict& metadata) {
  std::vector<io::NamedTensor> tensors;
  for (io::CkptEntry& e : entries_from(items)) {
    if (e.is_text) {
      throw_error(ErrorCode::kValue,
                  cat("'", e.name, "' is text, which safetensors files hold as metadata only"));
    }
    tensors.emplace_back(std::move(e.name), std::move(e.tensor));
  }
  std::map<std::string, std::string> texts;
  for (const auto& [key, value] : metadata) {
    texts[text_from(key.ptr())] = text_from(value.ptr());
  }
  py::gil_scoped_release release;
  check_devices();
  io::save_safetensors(path, tensors, texts);
}

// ([(name, Tensor)], metadata); copies, so that the file may change.
py::tuple load_safetensors(const std::string& path) {
  std::vector<io::NamedTensor> tensors;
  std::map<std::string, std::string> metadata;
  {
    py::gil_scoped_release release;
    const auto file = io::SafetensorsFile::open(path);
    metadata = file.metadata();
    for (const io::SafetensorsEntry& e : file.entries()) {
      const Tensor view = file.tensor(e);
      Tensor copy = Tensor::empty(view.shape(), view.dtype());
      const size_t bytes = static_cast<size_t>(view.numel()) * dtype_size(view.dtype());
      if (bytes > 0) view.copy_out(copy.mutable_data(), bytes);
      tensors.emplace_back(e.name, std::move(copy));
    }
  }
  py::list list;
  for (auto& [name, tensor] : tensors) {
    list.append(py::make_tuple(text_of(name, path), object_of(std::move(tensor))));
  }
  py::dict texts;
  for (const auto& [key, value] : metadata) texts[text_of(key, path)] = text_of(value, path);
  return py::make_tuple(list, texts);
}

template <class Read>
py::object read_array(const std::string& path, Read read) {
  Tensor t;
  {
    py::gil_scoped_release release;
    t = read(path);
  }
  return object_of(std::move(t));
}

// [(kind, tag, Tensor)]
py::list take_recorded() {
  py::list out;
  for (ops::Recorded& r : ops::take_recorded()) {
    out.append(py::make_tuple(py::str(r.kind), py::str(r.tag), object_of(std::move(r.value))));
  }
  return out;
}

void add_event_file(py::module_& files) {
  using io::EventFile;
  using Tag = const std::string&;
  using Value = const py::object&;
  py::class_<EventFile>(files, "EventFile", "A file of events for TensorBoard.")
      .def(py::init([](const std::string& folder, const std::string& prefix,
                       const std::string& suffix, uint64_t max_bytes, double flush_seconds) {
             return std::make_unique<EventFile>(
                 folder, io::EventFileOptions{prefix, suffix, max_bytes, flush_seconds});
           }),
           py::arg("folder"), py::arg("prefix") = "events", py::arg("suffix") = "",
           py::arg("max_bytes") = 0, py::arg("flush_seconds") = 5.0)
      .def("add_scalar",
           [](EventFile& f, Tag tag, int64_t step, double v) { f.add_scalar(tag, step, v); })
      .def("add_histogram", [](EventFile& f, Tag tag, int64_t step,
                               Value v) { f.add_histogram(tag, step, tensor_from(v.ptr())); })
      .def("add_image", [](EventFile& f, Tag tag, int64_t step,
                           Value v) { f.add_image(tag, step, tensor_from(v.ptr())); })
      .def("add_tensor", [](EventFile& f, Tag tag, int64_t step,
                            Value v) { f.add_tensor(tag, step, tensor_from(v.ptr())); })
      .def("add_text", [](EventFile& f, Tag tag, int64_t step,
                          const std::string& text) { f.add_text(tag, step, text); })
      .def("add_graph",
           [](EventFile& f, const py::bytes& graph) { f.add_graph(std::string(graph)); })
      .def("flush", &EventFile::flush)
      .def("close", &EventFile::close)
      .def_property_readonly("path", &EventFile::path);
  files.def("start_recording", &ops::start_recording);
  files.def("stop_recording", &ops::stop_recording);
  files.def("take_recorded", &take_recorded);
}

}  // namespace

void add_files(py::module_ m) {
  py::module_ files = m.def_submodule("files", "Weights and arrays in files.");
  files.def("save_ckpt", &save_ckpt, py::arg("path"), py::arg("items"), py::arg("crc") = false,
            py::arg("chunk_bytes") = io::CkptOptions().chunk_bytes);
  files.def("load_ckpt", &load_ckpt, py::arg("path"));
  files.def("save_safetensors", &save_safetensors, py::arg("path"), py::arg("items"),
            py::arg("metadata") = py::dict());
  files.def("load_safetensors", &load_safetensors, py::arg("path"));
  files.def("read_idx", [](const std::string& path) { return read_array(path, io::read_idx); });
  files.def("read_cifar10",
            [](const std::string& path) { return read_array(path, io::read_cifar10); });
  add_event_file(files);
}

}  // namespace rutile::python
