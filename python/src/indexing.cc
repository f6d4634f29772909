// SPDX-License-Identifier: Apache-2.0
// x[key] and x[key] = value as NumPy has them.
#include <algorithm>
#include <vector>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/scatter.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/python/src/convert.h"

namespace rutile::python {

namespace {

// One entry of a key. Arrays of bools became arrays of integers already.
struct Item {
  // kNewArray: an array that indexes a new dimension of size 1, which a single bool stands for.
  enum class Kind { kNone, kEllipsis, kSlice, kInt, kArray, kNewArray } kind;
  PyObject* slice = nullptr;  // borrowed
  int64_t number = 0;
  Tensor array;
};

// Work on concrete tensors that leaves no mark in a trace or on a tape.
class Aside {
 public:
  Aside()
      : trace_(call_modes().trace, nullptr),
        states_(call_modes().states, nullptr),
        tape_(call_modes().tape, nullptr) {}

 private:
  ScopedValue<TraceHook*> trace_;
  ScopedValue<StateHook*> states_;
  ScopedValue<TapeHook*> tape_;
};

int64_t index_from(PyObject* o) {
  try {
    return int_from(o);
  } catch (const Error& e) {
    throw_error(e.code() == ErrorCode::kValue ? ErrorCode::kIndex : e.code(), e.message());
  }
}

[[noreturn]] void wrong_kind(PyObject* o) {
  throw_error(ErrorCode::kIndex,
              cat("a tensor is indexed by int, slice, None, ..., and tensors, arrays and lists of "
                  "integers or bools, got ",
                  Py_TYPE(o)->tp_name));
}

bool is_index_array(PyObject* o) {
  return is_tensor(o) || PyList_Check(o) || PyTuple_Check(o) ||
         (!PyType_Check(o) && !PyUnicode_Check(o) && !PyBytes_Check(o) &&
          PyObject_HasAttrString(o, "__array_interface__"));
}

// The places where a mask is true, as an array of integers for each of its dimensions.
void add_mask(const Tensor& mask, const Shape& shape, int axis, std::vector<Item>* items) {
  for (int i = 0; i < mask.rank(); ++i) {
    if (axis + i >= shape.rank() || mask.dim(i) != shape[axis + i]) {
      throw_error(ErrorCode::kIndex, cat("a mask of shape ", mask.shape(), " does not fit shape ",
                                         shape, " from dimension ", axis, " on"));
    }
  }
  if (mask.is_symbolic()) mask.data();  // refuses it: the result's shape depends on it
  const Aside aside;
  const Tensor places = ops::nonzero(mask);
  for (int i = 0; i < mask.rank(); ++i) {
    items->push_back({Item::Kind::kArray, nullptr, 0, ops::select(places, 1, i)});
  }
}

std::vector<Item> items_of(const Tensor& x, PyObject* key) {
  std::vector<PyObject*> entries;
  if (PyTuple_Check(key)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(key); ++i) {
      entries.push_back(PyTuple_GET_ITEM(key, i));
    }
  } else {
    entries.push_back(key);
  }
  // Arrays first: how many dimensions each entry takes decides where `...` ends.
  std::vector<Tensor> arrays(entries.size());
  int consumed = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    PyObject* e = entries[i];
    if (e == Py_None || e == Py_Ellipsis) continue;
    if (PyBool_Check(e)) arrays[i] = Tensor::scalar(Scalar(e == Py_True), DType::kBool);
    if (!PySlice_Check(e) && is_index_array(e)) {
      arrays[i] = tensor_from(e);
      if ((PyList_Check(e) || PyTuple_Check(e)) && arrays[i].numel() == 0) {
        arrays[i] = ops::cast(arrays[i], DType::kI64);
      }
      if (!is_integral(arrays[i].dtype()) && arrays[i].dtype() != DType::kBool) wrong_kind(e);
    }
    consumed += arrays[i].defined() && arrays[i].dtype() == DType::kBool ? arrays[i].rank() : 1;
  }
  if (consumed > x.rank()) {
    throw_error(ErrorCode::kIndex,
                cat("too many indices for a tensor of ", x.rank(), " dimensions"));
  }
  std::vector<Item> items;
  bool ellipsis = false;
  int axis = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    PyObject* e = entries[i];
    if (e == Py_None) {
      items.push_back({Item::Kind::kNone, nullptr, 0, {}});
    } else if (e == Py_Ellipsis) {
      if (ellipsis) throw_error(ErrorCode::kIndex, "an index has at most one ellipsis");
      ellipsis = true;
      items.push_back({Item::Kind::kEllipsis, nullptr, x.rank() - consumed, {}});
      axis += x.rank() - consumed;
    } else if (PySlice_Check(e)) {
      items.push_back({Item::Kind::kSlice, e, 0, {}});
      ++axis;
    } else if (arrays[i].defined() && arrays[i].dtype() == DType::kBool && arrays[i].rank() == 0) {
      const int64_t n = arrays[i].item() != 0;  // refuses a symbolic one, as masks are
      items.push_back({Item::Kind::kNewArray, nullptr, 0, Tensor::zeros(Shape{n}, DType::kI64)});
    } else if (arrays[i].defined() && arrays[i].dtype() == DType::kBool) {
      add_mask(arrays[i], x.shape(), axis, &items);
      axis += arrays[i].rank();
    } else if (arrays[i].defined() && (arrays[i].rank() > 0 || arrays[i].is_symbolic())) {
      items.push_back({Item::Kind::kArray, nullptr, 0, arrays[i]});
      ++axis;
    } else if (PyIndex_Check(e) && !PyBool_Check(e)) {
      items.push_back({Item::Kind::kInt, nullptr, index_from(e), {}});
      ++axis;
    } else {
      wrong_kind(e);
    }
  }
  return items;
}

int64_t in_range(int64_t i, int64_t n, int axis) {
  if (i < -n || i >= n) {
    throw_error(ErrorCode::kIndex,
                cat("index ", i, " is out of range for dimension ", axis, " of size ", n));
  }
  return i < 0 ? i + n : i;
}

// Integers as i64 counted from the front; known ones are checked.
Tensor counted(const Tensor& index, int64_t n, int axis) {
  Tensor i = index.dtype() == DType::kI64 ? index : ops::cast(index, DType::kI64);
  if (i.is_symbolic()) return ops::where(ops::less(i, Scalar(0)), i + Scalar(n), i);
  bool negative = false;
  for (const int64_t v : i.to_vector<int64_t>()) negative = in_range(v, n, axis) != v || negative;
  return negative ? ops::where(ops::less(i, Scalar(0)), i + Scalar(n), i) : i;
}

// The dimensions `axes` of x in one, in front.
Tensor gather_axes(const Tensor& x, const std::vector<int>& axes,
                   const std::vector<Tensor>& index) {
  Dims order, rest;
  int64_t merged = 1;
  for (const int a : axes) {
    order.push_back(a);
    merged *= x.dim(a);
  }
  for (int a = 0; a < x.rank(); ++a) {
    if (std::find(axes.begin(), axes.end(), a) != axes.end()) continue;
    order.push_back(a);
    rest.push_back(x.dim(a));
  }
  Shape flat_shape{merged};
  for (const int64_t d : rest) flat_shape.push_back(d);
  Tensor flat;
  for (size_t k = 0; k < axes.size(); ++k) {
    Tensor i = counted(index[k], x.dim(axes[k]), axes[k]);
    flat = flat.defined() ? flat * Scalar(x.dim(axes[k])) + i : i;
  }
  const Tensor front = ops::reshape(ops::permute(x, order), flat_shape);
  return ops::gather(front, flat, 0);
}

// The first `count` dimensions moved to begin at `to`.
Tensor move_front(const Tensor& x, int count, int to) {
  if (count == 0 || to == 0) return x;
  Dims order;
  for (int a = count; a < count + to; ++a) order.push_back(a);
  for (int a = 0; a < count; ++a) order.push_back(a);
  for (int a = count + to; a < x.rank(); ++a) order.push_back(a);
  return ops::permute(x, order);
}

Tensor chosen_by(const Tensor& tensor, const std::vector<Item>& items) {
  bool arrays = false;
  for (const Item& i : items) {
    arrays = arrays || i.kind == Item::Kind::kArray || i.kind == Item::Kind::kNewArray;
  }
  Tensor x = tensor;
  std::vector<int> axes;
  std::vector<Tensor> index;
  bool adjacent = true, closed = false;  // NumPy: arrays side by side stay in their place
  int axis = 0, source = 0;
  for (const Item& item : items) {
    const bool advanced = item.kind == Item::Kind::kArray || item.kind == Item::Kind::kNewArray ||
                          (item.kind == Item::Kind::kInt && arrays);
    if (!advanced && !axes.empty()) closed = true;
    if (advanced && closed) adjacent = false;
    switch (item.kind) {
      case Item::Kind::kNone:
        x = ops::expand_dims(x, axis++);
        continue;
      case Item::Kind::kNewArray:
        x = ops::expand_dims(x, axis);
        axes.push_back(axis++);
        index.push_back(item.array);
        continue;
      case Item::Kind::kEllipsis:
        axis += static_cast<int>(item.number);
        source += static_cast<int>(item.number);
        continue;
      case Item::Kind::kSlice: {
        const int64_t n = x.dim(axis);
        Py_ssize_t start, stop, step;
        if (PySlice_Unpack(item.slice, &start, &stop, &step) < 0) throw_builtin_error();
        const Py_ssize_t count = PySlice_AdjustIndices(n, &start, &stop, step);
        // For a negative step that runs past the front they may be -1, which slice() would wrap.
        if (count == 0) start = stop = 0, step = 1;
        if (step < 0 && stop < 0) stop = -n - 1;
        const bool whole = count == n && step == 1;
        if (!whole) x = ops::slice_axis(x, axis, start, stop, step);
        ++axis;
        break;
      }
      case Item::Kind::kInt: {
        const int64_t i = in_range(item.number, x.dim(axis), source);
        if (!arrays) {
          x = ops::select(x, axis, i);
          break;
        }
        axes.push_back(axis++);
        index.push_back(Tensor::scalar(i, DType::kI64));
        break;
      }
      case Item::Kind::kArray:
        axes.push_back(axis++);
        index.push_back(item.array);
        break;
    }
    ++source;
  }
  if (axes.empty()) return x;
  int rank = 0;
  for (const Tensor& i : index) rank = std::max(rank, i.rank());
  return move_front(gather_axes(x, axes, index), rank, adjacent ? axes[0] : 0);
}

}  // namespace

Tensor subscript(const Tensor& tensor, PyObject* key) {
  if (key == Py_Ellipsis) return tensor;
  return chosen_by(tensor, items_of(tensor, key));
}

namespace {

// `value` in the dtype of x, without the leading dimensions of size 1 that `chosen` has not.
Tensor fitted(const Tensor& value, const Tensor& x, const Shape& chosen) {
  Tensor v = value.dtype() == x.dtype() ? value : ops::cast(value, x.dtype());
  while (v.rank() > chosen.rank() && v.dim(0) == 1) v = ops::select(v, 0, 0);
  return v;
}

// x[mask] = one value (or one for each place of the dimensions after the mask's), where the mask is
// only known when the graph runs.
Tensor assigned_by_mask(const Tensor& x, const Tensor& mask, const Tensor& value) {
  Shape wide, rest;
  for (int i = 0; i < x.rank(); ++i) {
    if (i < mask.rank() && mask.dim(i) != x.dim(i)) {
      throw_error(ErrorCode::kIndex,
                  cat("a mask of shape ", mask.shape(), " does not fit shape ", x.shape()));
    }
    wide.push_back(i < mask.rank() ? x.dim(i) : 1);
    if (i >= mask.rank()) rest.push_back(x.dim(i));
  }
  Tensor v = fitted(value, x, rest);
  if (v.numel() == 1) v = ops::reshape(v, Shape{});
  if (v.rank() > rest.rank()) {
    throw_error(ErrorCode::kValue,
                cat("a mask known only when the compiled function runs takes one value for all its "
                    "places, got shape ",
                    value.shape(), "; ops.where or ops.masked_scatter take more"));
  }
  return ops::where(ops::reshape(mask, wide), v, x);
}

}  // namespace

Tensor with_assigned(const Tensor& x, PyObject* key, PyObject* value) {
  PyObject* only =
      PyTuple_Check(key) && PyTuple_GET_SIZE(key) == 1 ? PyTuple_GET_ITEM(key, 0) : key;
  if (is_tensor(only)) {
    const Tensor mask = as_tensor(only);
    if (mask.is_symbolic() && mask.dtype() == DType::kBool && mask.rank() <= x.rank()) {
      return assigned_by_mask(x, mask, tensor_from(value, &x));
    }
  }
  const std::vector<Item> items = items_of(x, key);
  bool symbolic = false;
  for (const Item& i : items) symbolic = symbolic || i.array.is_symbolic();
  // Which element of the value goes where, found on the numbers of the elements.
  const auto numbers = [&] {
    return ops::reshape(ops::arange(0, x.numel(), 1, OptionalDType(DType::kI64)), x.shape());
  };
  if (symbolic) {
    const Tensor found = chosen_by(numbers(), items);
    Tensor v = fitted(tensor_from(value, &x), x, found.shape());
    if (!(v.shape() == found.shape())) v = ops::broadcast_to(v, found.shape());
    const Tensor places = ops::reshape(found, Shape{found.numel()});
    const Tensor flat =
        ops::index_put(ops::reshape(x, Shape{x.numel()}), std::span<const Tensor>(&places, 1),
                       ops::reshape(v, Shape{v.numel()}));
    return ops::reshape(flat, x.shape());
  }
  std::vector<int64_t> places;
  Shape chosen;
  {
    const Aside aside;
    const Tensor found = chosen_by(numbers(), items);
    chosen = found.shape();
    places = found.to_vector<int64_t>();
  }
  Tensor v = fitted(tensor_from(value, &x), x, chosen);
  if (!(v.shape() == chosen) && v.numel() != 1) v = ops::broadcast_to(v, chosen);
  if (places.empty()) return x;
  Tensor mask = Tensor::zeros(x.shape(), DType::kBool);
  Tensor from = Tensor::zeros(x.shape(), DType::kI64);
  bool* hit = static_cast<bool*>(mask.mutable_data());
  int64_t* source = from.mutable_data_as<int64_t>();
  for (size_t k = 0; k < places.size(); ++k) {
    hit[places[k]] = true;
    source[places[k]] = static_cast<int64_t>(k);
  }
  if (v.numel() == 1) return ops::where(mask, ops::reshape(v, Shape{}), x);
  const Tensor flat = ops::reshape(v, Shape{v.numel()});
  return ops::where(mask, ops::gather(flat, from, 0), x);
}

}  // namespace rutile::python
