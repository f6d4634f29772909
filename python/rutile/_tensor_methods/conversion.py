# SPDX-License-Identifier: Apache-2.0
"""Conversions: other dtypes, Python's and NumPy's values, bytes, sparse tensors, DLPack; and where a tensor lies."""

from rutile import _rutile, ops as _ops
from rutile._rutile import Tensor, from_numpy as _from_numpy
from rutile._tensor_methods._register import add_method, add_property, method, named
from rutile.ops import table as _table


@method
def astype(self, dtype, copy=True):
    """The same values in another dtype."""
    return _table.cast(self, dtype)


_DEVICES = ("CPU", "GPU", "CUDA", "FAKE", "ASCEND", "NPU")


@method
def to(self, *args, dtype=None, device=None, non_blocking=False, copy=False):
    """The same values in another dtype, in the memory of another device ("cpu", "cuda:1", "GPU:1"), or both; to(x): in x's dtype."""
    for a in args:
        if isinstance(a, str) and a.split(":")[0].upper() in _DEVICES:
            device = a
        elif isinstance(a, Tensor):
            dtype = a.dtype
        elif not isinstance(a, bool):
            dtype = a
    y = self[...] if dtype is None else _table.cast(self, dtype)
    if device is None:
        return y
    kind, *number = str(device).split(":")
    return _ops.move_to(y, ":".join(["GPU" if kind.upper() == "CUDA" else kind, *number]), not non_blocking)


@method
def type(self, dtype=None):
    """The dtype's name; with a dtype the same values in it."""
    return str(self.dtype) if dtype is None else self.cast(dtype)


def _cast_to(name, dtype):
    def cast(self):
        return _table.cast(self, dtype)

    setattr(Tensor, name, named(cast, name, f"The same values as {dtype}."))


for _name, _dtype in (("float", "float32"), ("double", "float64"), ("half", "float16"), ("int", "int32"), ("long", "int64"),
                      ("short", "int16"), ("byte", "uint8"), ("bool", "bool"), ("bfloat16", "bfloat16")):
    _cast_to(_name, _dtype)


@method
def tolist(self):
    """The values as nested lists, or a number."""
    return self.asnumpy().tolist()


@method
def get_bytes(self):
    """The elements as bytes, in row-major order."""
    import numpy as np
    return np.ascontiguousarray(self.asnumpy()).tobytes()


def convert_bytes_to_tensor(data, shape, dtype):
    """A Tensor of get_bytes()' bytes."""
    import numpy as np
    return Tensor(np.frombuffer(data, np.dtype(str(getattr(dtype, "name", dtype)))).reshape(tuple(shape)))


def from_numpy(array):
    """As rutile.from_numpy."""
    return _from_numpy(array)


@method
def data_ptr(self):
    """The address of the elements."""
    return self.asnumpy().__array_interface__["data"][0]


@method
def to_coo(self):
    """What is not zero of a matrix as a COOTensor."""
    return _ops.dense_to_sparse_coo(self)


@method
def to_csr(self):
    """What is not zero of a matrix as a CSRTensor."""
    return _ops.dense_to_sparse_csr(self)


def _device(self):
    from rutile.context import _target_of
    return _target_of(_rutile._device_of(self))


Tensor.convert_bytes_to_tensor = staticmethod(convert_bytes_to_tensor)
Tensor.from_numpy = staticmethod(from_numpy)
Tensor.from_dlpack = staticmethod(_rutile.from_dlpack)
add_method("to_dlpack", lambda self: self.__dlpack__(), "A DLPack capsule of its memory.")
add_method("is_signed", lambda self: self.dtype.name.startswith(("int", "float", "bfloat")), "Whether the dtype has negative numbers.")
add_property("itemsize", lambda self: self.dtype.itemsize, "Bytes of an element.")
add_property("nbytes", lambda self: self.dtype.itemsize * self.size, "Bytes of all elements.")
add_property("device", _device, 'Where it lies: "CPU", "GPU:0".')
