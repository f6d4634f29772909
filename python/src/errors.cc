// SPDX-License-Identifier: Apache-2.0
// rutile.Error and its children, which are also the built-in exceptions a Python user expects.
#include "rutile/python/src/errors.h"

#include <pybind11/pybind11.h>

#include <new>

#include "rutile/core/interrupt.h"
#include "rutile/ops/call.h"

namespace rutile::python {

namespace {

PyObject* error_base = nullptr;
PyObject* error_types[static_cast<int>(ErrorCode::kInternal) + 1] = {};
std::string* package_folder = nullptr;
// What a signal handler raised while C++ was running; only the main thread runs handlers.
PyObject* raised[3] = {};

PyObject* builtin_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::kType:
      return PyExc_TypeError;
    case ErrorCode::kValue:
      return PyExc_ValueError;
    case ErrorCode::kIndex:
      return PyExc_IndexError;
    case ErrorCode::kUnsupported:
      return PyExc_NotImplementedError;
    case ErrorCode::kOutOfMemory:
      return PyExc_MemoryError;
    case ErrorCode::kNotFound:
      return PyExc_FileNotFoundError;
    case ErrorCode::kIo:
      return PyExc_OSError;
    case ErrorCode::kInterrupted:
      return PyExc_KeyboardInterrupt;
    default:
      return PyExc_RuntimeError;
  }
}

struct Named {
  ErrorCode code;
  const char* name;
};
constexpr Named kNames[] = {
    {ErrorCode::kType, "rutile.errors.TypeError"},
    {ErrorCode::kValue, "rutile.errors.ValueError"},
    {ErrorCode::kIndex, "rutile.errors.IndexError"},
    {ErrorCode::kRuntime, "rutile.errors.RuntimeError"},
    {ErrorCode::kUnsupported, "rutile.errors.UnsupportedError"},
    {ErrorCode::kOutOfMemory, "rutile.errors.OutOfMemoryError"},
    {ErrorCode::kNotFound, "rutile.errors.NotFoundError"},
    {ErrorCode::kIo, "rutile.errors.IOError"},
    {ErrorCode::kInterrupted, "rutile.errors.Interrupted"},
    {ErrorCode::kInternal, "rutile.errors.InternalError"},
};

// Frames of the package stand between the user and the op. Holds one new reference.
bool locate(PyFrameObject* frame, std::string* file, int* line) {
  bool found = false;
  while (frame) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    Py_ssize_t size = 0;
    const char* name = PyUnicode_AsUTF8AndSize(code->co_filename, &size);
    const std::string_view text = name ? std::string_view(name, size) : std::string_view();
    if (!name) PyErr_Clear();
    const bool ours = package_folder && text.starts_with(*package_folder);
    if (name && (!found || !ours)) {
      *file = text;
      *line = PyFrame_GetLineNumber(frame);
      found = true;
    }
    Py_DECREF(code);
    PyFrameObject* back = ours ? PyFrame_GetBack(frame) : nullptr;
    Py_DECREF(frame);
    frame = back;
  }
  return found;
}

bool python_location(std::string* file, int* line) {
  // A thread that Python does not know runs no Python code.
  if (!Py_IsInitialized() || !PyGILState_GetThisThreadState()) return false;
  const PyGILState_STATE state = PyGILState_Ensure();
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  const bool found = locate(frame, file, line);
  PyErr_Restore(type, value, trace);
  PyGILState_Release(state);
  return found;
}

// No value yet, or an exception without arguments.
bool is_silent(PyObject* value) {
  if (!value || value == Py_None) return true;
  if (!PyExceptionInstance_Check(value)) return false;
  PyObject* args = PyObject_GetAttrString(value, "args");
  const bool silent = args && PyTuple_Check(args) && PyTuple_GET_SIZE(args) == 0;
  Py_XDECREF(args);
  PyErr_Clear();
  return silent;
}

bool signal_arrived() {
  if (!Py_IsInitialized() || !PyGILState_GetThisThreadState()) return false;
  const PyGILState_STATE state = PyGILState_Ensure();
  const bool arrived = PyErr_CheckSignals() != 0;
  if (arrived) PyErr_Fetch(&raised[0], &raised[1], &raised[2]);
  PyGILState_Release(state);
  return arrived;
}

// Whether it was that which ended the call. Python's own KeyboardInterrupt says nothing: it gets
// the words of the one who stopped.
bool restore_raised(const std::string& text) {
  if (!raised[0]) return false;
  if (PyErr_GivenExceptionMatches(raised[0], PyExc_KeyboardInterrupt) && is_silent(raised[1])) {
    if (PyObject* message = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()),
                                                 "backslashreplace")) {
      Py_XDECREF(raised[1]);
      raised[1] = message;
    } else {
      PyErr_Clear();
    }
  }
  PyErr_Restore(raised[0], raised[1], raised[2]);
  raised[0] = raised[1] = raised[2] = nullptr;
  return true;
}

}  // namespace

void forget_error() {
  const bool interrupt = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
  PyErr_Clear();
  if (interrupt) PyErr_SetInterrupt();
}

void watch_signals() { set_interrupt_source(signal_arrived); }

void provide_user_location(std::string folder) {
  package_folder = new std::string(std::move(folder));
  set_location_provider(python_location);
}

bool add_error_types(PyObject* module) {
  error_base = PyErr_NewExceptionWithDoc("rutile.Error", "Any error that Rutile raises.",
                                         PyExc_Exception, nullptr);
  if (!error_base || PyModule_AddObjectRef(module, "Error", error_base) < 0) return false;
  PyObject* errors = PyImport_AddModule("rutile._rutile.errors");
  if (!errors || PyModule_AddObjectRef(module, "errors", errors) < 0) return false;
  for (const Named& n : kNames) {
    // An axis out of range is a ValueError to MindSpore's users, an IndexError to PyTorch's and
    // both to NumPy's.
    PyObject* bases = n.code == ErrorCode::kIndex
                          ? PyTuple_Pack(3, error_base, PyExc_IndexError, PyExc_ValueError)
                          : PyTuple_Pack(2, error_base, builtin_for(n.code));
    if (!bases) return false;
    PyObject* type = PyErr_NewException(n.name, bases, nullptr);
    Py_DECREF(bases);
    if (!type) return false;
    error_types[static_cast<int>(n.code)] = type;
    const char* brief = n.name + std::string_view("rutile.errors.").size();
    if (PyModule_AddObjectRef(errors, brief, type) < 0) return false;
  }
  return true;
}

void throw_builtin_error() {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  ErrorCode code = ErrorCode::kValue;  // also for numbers that do not fit
  const bool known = type == PyExc_TypeError || type == PyExc_ValueError ||
                     type == PyExc_IndexError || type == PyExc_OverflowError ||
                     type == PyExc_UnicodeEncodeError;
  if (!known) {
    PyErr_Restore(type, value, trace);
    throw PythonError();
  }
  if (type == PyExc_TypeError) code = ErrorCode::kType;
  if (type == PyExc_IndexError) code = ErrorCode::kIndex;
  PyErr_NormalizeException(&type, &value, &trace);
  PyObject* text = value ? PyObject_Str(value) : nullptr;
  const char* utf8 = text ? PyUnicode_AsUTF8(text) : nullptr;
  const std::string message = utf8 ? utf8 : "a wrong argument";
  PyErr_Clear();
  Py_XDECREF(text);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  throw_error(code, message);
}

// Text of a file, or a file's name, may be no UTF-8: what is not stands escaped.
static void set_error(ErrorCode code, const std::string& text) {
  PyObject* message =
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "backslashreplace");
  if (!message) return;  // no memory: that is the error
  PyErr_SetObject(error_types[static_cast<int>(code)], message);
  Py_DECREF(message);
}

void set_error_from_exception(const OpDef* op) {
  try {
    throw;
  } catch (pybind11::error_already_set& e) {
    e.restore();
  } catch (const PythonError&) {
    // It is set.
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInterrupted && restore_raised(e.message())) return;
    std::string text = e.message();
    if (op && !text.starts_with('[')) text = cat("[", op->name, "] ", text);
    std::string file;
    int line = 0;
    bool named = false;
    for (const char* mark : {" | at ", " | traced at ", ", but this is a trace"}) {
      named = named || text.find(mark) != std::string::npos;
    }
    if (!named && user_location(&file, &line)) text += cat(" | at ", file, ":", line);
    set_error(e.code(), text);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    set_error(ErrorCode::kInternal, e.what());
  }
}

}  // namespace rutile::python
