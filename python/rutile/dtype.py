# SPDX-License-Identifier: Apache-2.0
"""Element types: rutile.float32 and its like. They compare equal to their NumPy names."""

from rutile import _rutile


class DType:
    """An element type. str() writes it as MindSpore does ("Float32").

    >>> import rutile
    >>> rutile.Tensor([1.0]).dtype == rutile.float32 == "float32"
    True
    >>> print(rutile.bfloat16, rutile.float32.itemsize)
    BFloat16 4
    """

    __slots__ = ("name", "itemsize", "_text")

    def __init__(self, name, itemsize, text):
        self.name, self.itemsize, self._text = name, itemsize, text

    def __eq__(self, other):
        if isinstance(other, DType):
            return self.name == other.name
        return self.name == other if isinstance(other, str) else NotImplemented

    def __hash__(self):
        return hash(self.name)

    def __str__(self):
        return self._text

    def __repr__(self):
        return f"rutile.{self.name}"

    def __reduce__(self):
        return _by_name, (self.name,)


def _by_name(name):
    return _ALL[name]


_ALL = {name: DType(name, size, text) for name, size, text in [
    ("bool", 1, "Bool"), ("uint8", 1, "UInt8"), ("uint16", 2, "UInt16"), ("uint32", 4, "UInt32"),
    ("uint64", 8, "UInt64"), ("int8", 1, "Int8"), ("int16", 2, "Int16"), ("int32", 4, "Int32"),
    ("int64", 8, "Int64"), ("float16", 2, "Float16"), ("bfloat16", 2, "BFloat16"), ("float32", 4, "Float32"),
    ("float64", 8, "Float64"), ("complex64", 8, "Complex64"), ("complex128", 16, "Complex128")]}
_rutile._set_dtypes(_ALL)

bool_ = _ALL["bool"]
uint8, uint16, uint32, uint64 = (_ALL[f"uint{n}"] for n in (8, 16, 32, 64))
int8, int16, int32, int64 = (_ALL[f"int{n}"] for n in (8, 16, 32, 64))
float16, bfloat16, float32, float64 = (_ALL[n] for n in ("float16", "bfloat16", "float32", "float64"))
complex64, complex128 = _ALL["complex64"], _ALL["complex128"]
# MindSpore's short spellings.
byte, short, half, single, double, float_, int_, uint = (int8, int16, float16, float32, float64, float32, int32,
                                                         uint32)

# MindSpore's groups of them, and the classes that checks of arguments name.
int_type, uint_type = (int8, int16, int32, int64), (uint8, uint16, uint32, uint64)
float_type, complex_type = (float16, float32, float64, bfloat16), (complex64, complex128)
number_type = int_type + uint_type + float_type + complex_type
signed_type, all_types = int_type + float_type + complex_type, (bool_,) + number_type
Type, TensorType = DType, _rutile.Tensor
tensor_type = TensorType

# Names that a module does not take for itself: they are Python's.
WORDS = {"bool": bool_, "int": int64, "float": float32, "long": int64, "ubyte": uint8, "ushort": uint16, "intc": int32,
         "uintc": uint32, "intp": int64, "uintp": uint64, "cfloat": complex64, "cdouble": complex128, "string": str,
         "type_none": type(None), "tuple_": tuple, "list_": list, "Type": DType, "TensorType": TensorType,
         "tensor_type": TensorType}

__all__ = ["DType", "bfloat16", "bool_", "byte", "complex128", "complex64", "double", "dtype_to_nptype", "dtype_to_pytype", "float16",
           "float32", "float64", "float_", "get_py_obj_dtype", "half", "int16", "int32", "int64", "int8", "int_", "pytype_to_dtype",
           "short", "single", "uint", "uint16", "uint32", "uint64", "uint8"]


def dtype_to_nptype(dtype):
    """NumPy's type of an element type (bfloat16: float32, which holds its values)."""
    import numpy
    name = dtype.name if isinstance(dtype, DType) else dtype
    return numpy.dtype("float32" if name == "bfloat16" else name).type


def dtype_to_pytype(dtype):
    """The Python type of an element type: bool, int, float or complex."""
    name = dtype.name if isinstance(dtype, DType) else str(dtype)
    for start, kind in (("bool", bool), ("int", int), ("uint", int), ("float", float), ("bfloat", float), ("complex", complex)):
        if name.startswith(start):
            return kind
    raise TypeError(f"dtype_to_pytype: expects an element type, got {dtype!r}")


def get_py_obj_dtype(obj):
    """The element type of a value: a Tensor's own, or the one that a Python number is stored as."""
    own = getattr(obj, "dtype", None)
    if isinstance(own, DType):
        return own
    kind = obj if isinstance(obj, type) else type(obj)
    return {bool: bool_, int: int64, float: float64}.get(kind, kind)


def pytype_to_dtype(kind):
    """The element type that a Python type is stored as."""
    return {bool: bool_, int: int64, float: float64}.get(kind) or _ALL[getattr(kind, "__name__", kind)]
