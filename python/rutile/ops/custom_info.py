# SPDX-License-Identifier: Apache-2.0
"""What MindSpore's Custom is told about an operator: its inputs, outputs, attributes and element types."""

__all__ = ["CustomRegOp", "DataType", "custom_info_register"]

_TYPES = ("None", "BOOL", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "F16", "F32", "F64", "C64", "C128", "BF16")
_NUMPY = dict(zip(_TYPES, ("", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
                           "float32", "float64", "complex64", "complex128", "bfloat16")))
_FORMATS = ("None", "Default", "NCHW", "NHWC", "HWCN", "NDHWC", "NCDHW", "ChannelLast", "5HD", "FracZ", "FracNZ", "C1HWNCoC0")


class DataType:
    """Pairs (element type, layout) under MindSpore's names.

    >>> from rutile.ops import DataType
    >>> DataType.F32_Default, DataType.I32_NCHW
    (('float32', 'DefaultFormat'), ('int32', 'NCHW'))
    """


for _type in _TYPES:
    for _format in _FORMATS:
        setattr(DataType, f"{_type}_{_format}", (_NUMPY[_type], {"None": "", "Default": "DefaultFormat"}.get(_format, _format)))


class CustomRegOp:
    """Collects the registration of an operator, call by call; get_op_info() gives the dict.

    >>> from rutile.ops import CustomRegOp, DataType
    >>> info = (CustomRegOp("twice").input(0, "x").output(0, "y")
    ...         .dtype_format(DataType.F32_Default, DataType.F32_Default).target("CPU").get_op_info())
    >>> info["inputs"][0]["name"], info["target"]
    ('x', 'CPU')
    """

    def __init__(self, op_name="Custom"):
        if not isinstance(op_name, str):
            raise TypeError(f"CustomRegOp takes a name, got {type(op_name).__name__}")
        self._info = {"op_name": op_name, "inputs": [], "outputs": [], "attr": [], "dtype_format": [], "target": "UnKnown"}

    def _add(self, kind, index, name, param_type, **more):
        if isinstance(index, bool) or not isinstance(index, int):
            raise TypeError(f"CustomRegOp: the number of an {kind[:-1]} is an int, got {index!r}")
        self._info[kind].append({"index": index, "name": name, "paramType": param_type or "required", **more})
        return self

    def input(self, index=None, name=None, param_type="required", **kwargs):
        """One input, by its number and name."""
        return self._add("inputs", index, name, param_type, **kwargs)

    def output(self, index=None, name=None, param_type="required", **kwargs):
        """One output, by its number and name."""
        return self._add("outputs", index, name, param_type, **kwargs)

    def dtype_format(self, *args):
        """One set of element types and layouts, of all inputs and then all outputs."""
        if len(args) != len(self._info["inputs"]) + len(self._info["outputs"]):
            raise ValueError(f"CustomRegOp: dtype_format takes a DataType for each of {len(self._info['inputs'])} inputs and "
                             f"{len(self._info['outputs'])} outputs, got {len(args)}")
        self._info["dtype_format"].append(args)
        return self

    def attr(self, name=None, param_type=None, value_type=None, default_value=None, **kwargs):
        """One attribute."""
        self._info["attr"].append({"name": name, "paramType": param_type, "type": value_type, "defaultValue": default_value, **kwargs})
        return self

    def target(self, target=None):
        """The device."""
        self._info["target"] = target
        return self

    def get_op_info(self):
        """All of it as a dict."""
        return self._info


def custom_info_register(*reg_info):
    """Decorates the function of an operator with its registrations, as its attribute reg_info.

    >>> from rutile.ops import CustomRegOp, custom_info_register
    >>> @custom_info_register(CustomRegOp("one").get_op_info())
    ... def one(x):
    ...     return x
    >>> one.reg_info[0]["op_name"]
    'one'
    """
    def decorate(function):
        function.reg_info = reg_info
        return function

    return decorate
