# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments under MindSpore's names, for scripts that check their own: functions, and the older classes Validator and Rel.

>>> from rutile import _checkparam as validator
>>> validator.check_positive_int(3, "size")
3
"""

import operator as _operator
import re as _re

from rutile import _rutile

_errors = _rutile.errors

EQ, NE, LT, LE, GT, GE, INC_NEITHER, INC_LEFT, INC_RIGHT, INC_BOTH, IN, NOT_IN = range(1, 13)

_PAIRS = {EQ: (_operator.eq, "equal to"), NE: (_operator.ne, "not equal to"), LT: (_operator.lt, "less than"), LE: (_operator.le, "at most"),
          GT: (_operator.gt, "greater than"), GE: (_operator.ge, "at least"), IN: (lambda v, w: v in w, "one of"), NOT_IN: (lambda v, w: v not in w, "none of")}
_RANGES = {INC_NEITHER: ("(", ")"), INC_LEFT: ("[", ")"), INC_RIGHT: ("(", "]"), INC_BOTH: ("[", "]")}


def _who(name, prim_name):
    return (f"For {prim_name!r}, the " if prim_name else "The ") + (f"argument {name!r}" if name else "value")


def _is_number(value, kinds):
    return isinstance(value, kinds) and not isinstance(value, bool)


def check_value_type(arg_name, arg_value, valid_types, prim_name=None):
    """The value, of one of the types; TypeError for others, and for bools where they are not named."""
    types = tuple(valid_types) if isinstance(valid_types, (list, tuple)) else (valid_types,)
    if isinstance(arg_value, types) and not (isinstance(arg_value, bool) and bool not in types):
        return arg_value
    raise _errors.TypeError(f"{_who(arg_name, prim_name)} is one of {[getattr(t, '__name__', t) for t in types]}, got {type(arg_value).__name__}")


def check_isinstance(arg_name, arg_value, classes):
    """The value, of a class."""
    if not isinstance(arg_value, classes):
        raise _errors.ValueError(f"The argument {arg_name!r} is a {classes}, got {type(arg_value).__name__}")
    return arg_value


def check(arg_name, arg_value, value_name, value, rel=EQ, prim_name=None, excp_cls=ValueError):
    """The value, which stands in a relation to another."""
    function, text = _PAIRS[rel]
    if not function(arg_value, value):
        raise excp_cls(f"{_who(arg_name, prim_name)} must be {text} {value_name} {value}, got {arg_value!r}")
    return arg_value


def _compared(value, limit, rel, name, prim_name):
    function, text = _PAIRS[rel]
    if not function(value, limit):
        raise _errors.ValueError(f"{_who(name, prim_name)} must be {text} {limit}, got {value}")
    return value


def check_is_int(arg_value, arg_name=None, prim_name=None):
    """An int that is no bool."""
    if not _is_number(arg_value, int):
        raise _errors.TypeError(f"{_who(arg_name, prim_name)} is an int, got {arg_value!r} of {type(arg_value).__name__}")
    return arg_value


def check_is_float(arg_value, arg_name=None, prim_name=None):
    """A float."""
    if not isinstance(arg_value, float):
        raise _errors.TypeError(f"{_who(arg_name, prim_name)} is a float, got {arg_value!r} of {type(arg_value).__name__}")
    return arg_value


def check_is_number(arg_value, arg_type, arg_name=None, prim_name=None):
    """A finite number of a type."""
    if not _is_number(arg_value, arg_type):
        raise _errors.TypeError(f"{_who(arg_name, prim_name)} is a {arg_type.__name__}, got {type(arg_value).__name__}")
    if arg_value in (float("inf"), float("-inf")) or arg_value != arg_value:
        raise _errors.ValueError(f"{_who(arg_name, prim_name)} is finite, got {arg_value}")
    return arg_value


def check_int(arg_value, value=None, rel=None, arg_name=None, prim_name=None):
    """An int, in a relation to another."""
    check_is_int(arg_value, arg_name, prim_name)
    return arg_value if rel is None else _compared(arg_value, value, rel, arg_name, prim_name)


def check_equal_int(arg_value, value, arg_name=None, prim_name=None):
    """An int that is another."""
    return check_int(arg_value, value, EQ, arg_name, prim_name)


def check_float(arg_value, value=None, rel=None, arg_name=None, prim_name=None):
    """A float, in a relation to another."""
    check_is_float(arg_value, arg_name, prim_name)
    return arg_value if rel is None else _compared(arg_value, value, rel, arg_name, prim_name)


def check_number(arg_name, arg_value, value, rel, prim_name):
    """A number in a relation to another."""
    if not _is_number(arg_value, (int, float)):
        raise _errors.TypeError(f"{_who(arg_name, prim_name)} is a number, got {type(arg_value).__name__}")
    return _compared(arg_value, value, rel, arg_name, prim_name)


def _of_sign(kind, check_kind, rel, text):
    def check_sign(arg_value, arg_name=None, prim_name=None):
        check_kind(arg_value, arg_name, prim_name)
        return _compared(arg_value, 0, rel, arg_name, prim_name)

    check_sign.__name__ = check_sign.__qualname__ = f"check_{text}_{kind}"
    check_sign.__doc__ = f"A {text.replace('_', ' ')} {kind}."
    globals()[check_sign.__name__] = check_sign

    def check_all(sequence, arg_name=None, prim_name=None):
        for i, v in enumerate(sequence):
            check_sign(v, f"{arg_name or ''}[{i}]", prim_name)
        return sequence

    check_all.__name__ = check_all.__qualname__ = f"check_{text}_{kind}_sequence"
    check_all.__doc__ = f"Numbers that are each a {text.replace('_', ' ')} {kind}."
    globals()[check_all.__name__] = check_all


for _kind, _check in (("int", check_is_int), ("float", check_is_float)):
    for _text, _rel in (("positive", GT), ("negative", LT), ("non_positive", LE), ("non_negative", GE)):
        _of_sign(_kind, _check, _rel, _text)


def check_number_range(arg_value, lower_limit, upper_limit, rel, value_type, arg_name=None, prim_name=None):
    """A number of a type between two limits."""
    if not _is_number(arg_value, value_type) and not (value_type is float and _is_number(arg_value, int)):
        raise _errors.TypeError(f"{_who(arg_name, prim_name)} is a {getattr(value_type, '__name__', value_type)}, got {type(arg_value).__name__}")
    left, right = _RANGES[rel]
    above = arg_value >= lower_limit if left == "[" else arg_value > lower_limit
    below = arg_value <= upper_limit if right == "]" else arg_value < upper_limit
    if not (above and below):
        raise _errors.ValueError(f"{_who(arg_name, prim_name)} must be in {left}{lower_limit}, {upper_limit}{right}, got {arg_value}")
    return arg_value


def check_int_range(arg_value, lower_limit, upper_limit, rel, arg_name=None, prim_name=None):
    """An int between two limits."""
    return check_number_range(arg_value, lower_limit, upper_limit, rel, int, arg_name, prim_name)


def check_float_range(arg_value, lower_limit, upper_limit, rel, arg_name=None, prim_name=None):
    """A float between two limits."""
    return check_number_range(arg_value, lower_limit, upper_limit, rel, float, arg_name, prim_name)


def check_bool(arg_value, arg_name=None, prim_name=None):
    """A bool."""
    if not isinstance(arg_value, bool):
        raise _errors.TypeError(f"{_who(arg_name, prim_name)} is a bool, got {arg_value!r} of {type(arg_value).__name__}")
    return arg_value


def check_string(arg_value, valid_values, arg_name=None, prim_name=None):
    """A text that is one of some."""
    if not isinstance(arg_value, str) or arg_value not in valid_values:
        raise _errors.ValueError(f"{_who(arg_name, prim_name)} is one of {valid_values}, got {arg_value!r}")
    return arg_value


def check_str_by_regular(target, reg=None, flag=_re.ASCII, prim_name=None):
    """True: the text has letters, digits, _, - and . only (or fits an expression); ValueError else."""
    if _re.match(reg or r"^\w+[0-9a-zA-Z\_\.\-]*$", target, flag) is None:
        raise _errors.ValueError(f"{_who(None, prim_name)} {target!r} does not fit {reg!r}")
    return True


_check_str_by_regular = check_str_by_regular


def check_input_format(input_param):
    """ "NCHW"; ValueError for another format."""
    if input_param != "NCHW":
        raise _errors.ValueError(f"The data format is NCHW, got {input_param!r}")
    return input_param


def check_subclass(arg_name, type_, template_types, prim_name, addition_error_info=None):
    """A class below one of some; or a dtype among some."""
    types = template_types if isinstance(template_types, (list, tuple)) else (template_types,)
    if type_ not in types and not (isinstance(type_, type) and any(isinstance(t, type) and issubclass(type_, t) for t in types)):
        raise _errors.TypeError(f"{_who(arg_name, prim_name)} is one of {types}, got {type_}")
    return type_


def check_type_name(arg_name, arg_type, valid_types, prim_name):
    """A dtype that is one of some."""
    types = valid_types if isinstance(valid_types, (list, tuple)) else (valid_types,)
    if arg_type not in types:
        raise _errors.TypeError(f"{_who(arg_name, prim_name)} is one of {types}, got {arg_type}")
    return arg_type


def _expanded(n):
    def expand(value):
        if _is_number(value, int):
            return (value,) * n
        if not isinstance(value, tuple) or len(value) != n or not all(_is_number(v, int) for v in value):
            raise _errors.TypeError(f"The value is an int or a tuple of {n}, got {value!r}")
        return value

    return expand


once, twice, triple = _expanded(1), _expanded(2), _expanded(3)


def check_int_positive(input_param):
    """A positive int (the name of r0.x)."""
    return globals()["check_positive_int"](input_param)


def _check_3d_int_or_tuple(arg_name, arg_value, prim_name, allow_five=False, ret_five=False, greater_zero=True, third_one=False,
                           three_input=False, pad_value=1):
    """Three sizes of an int, of three of them, or (allow_five) of the last three of five; ret_five puts pad_value twice in front."""
    least = 1 if greater_zero else 0
    value = (arg_value,) * 3 if _is_number(arg_value, int) else arg_value
    if (not isinstance(value, tuple) or len(value) not in ((3, 5) if allow_five and not three_input else (3,))
            or not all(_is_number(v, int) and v >= least for v in value)):
        raise _errors.ValueError(f"{_who(arg_name, prim_name)} is an int or a tuple of three{' or five' if allow_five else ''} of at "
                                 f"least {least}, got {arg_value!r}")
    if third_one and value[-3] != 1:
        raise _errors.ValueError(f"{_who(arg_name, prim_name)} has a depth of 1, got {value[-3]}")
    return (value if len(value) == 5 else (pad_value, pad_value, *value)) if ret_five else value[-3:]


def check_axis_in_range(axis, ndim):
    """An axis counted from the front."""
    if not _is_number(axis, int):
        raise _errors.TypeError(f"axis is an int, got {type(axis).__name__}")
    if not -ndim <= axis < ndim:
        raise _errors.ValueError(f"axis {axis} is out of bounds for {ndim} dimensions")
    return axis % ndim


def check_and_canonicalize_axes(axes, ndim):
    """Axes counted from the front, each once, as a tuple."""
    made = tuple(check_axis_in_range(a, ndim) for a in (axes if isinstance(axes, tuple) else (axes,)))
    if len(set(made)) != len(made):
        raise _errors.ValueError(f"an axis is given twice in {axes}")
    return made


def check_axis_valid(axes, ndim):
    """As check_and_canonicalize_axes; None is all axes."""
    return tuple(range(ndim)) if axes is None else check_and_canonicalize_axes(axes, ndim)


def check_tensor_dtype_valid(arg_name, arg_type, valid_dtypes, prim_name):
    """The element type of a tensor, one of those."""
    return check_type_name(arg_name, arg_type, valid_dtypes, prim_name)


def check_types_same_and_valid(args, valid_values, prim_name):
    """Element types {name: type} that are equal and one of those."""
    for name, kind in args.items():
        check_type_name(name, kind, valid_values, prim_name)
    if len(set(args.values())) > 1:
        raise _errors.TypeError(f"For {prim_name!r}, the types of {', '.join(args)} must be equal, got {', '.join(map(str, args.values()))}")


check_tensors_dtypes_same_and_valid = check_types_same_and_valid


def check_pad_value_by_mode(pad_mode, padding, prim_name):
    """The padding, which is 0 unless pad_mode is "pad"."""
    if pad_mode != "pad" and padding != 0:
        raise _errors.ValueError(f"For {prim_name!r}, padding must be zero when pad_mode is {pad_mode!r}, got {padding}")
    return padding


def args_type_check(**types):
    """Decorates a function: the arguments of these names are None or of these types (a type or a tuple of them)."""
    def decorate(function):
        import functools
        import inspect
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args, **kwargs):
            for name, value in signature.bind(*args, **kwargs).arguments.items():
                if value is not None and name in types and not isinstance(value, types[name]):
                    raise _errors.TypeError(f"The parameter {name!r} is {types[name]}, got {type(value).__name__}")
            return function(*args, **kwargs)

        return call

    return decorate


class Rel:
    """The relations, by the names of r1.x."""

    EQ, NE, LT, LE, GT, GE, INC_NEITHER, INC_LEFT, INC_RIGHT, INC_BOTH, IN, NOT_IN = range(1, 13)


class Validator:
    """The functions of this module as r1.x has them."""


for _name, _function in list(globals().items()):
    if _name.startswith("check") and callable(_function):
        setattr(Validator, _name, staticmethod(_function))
