# SPDX-License-Identifier: Apache-2.0
"""The rest of MindSpore's methods of Tensor: functions of ops by their names, what writes into its tensor, and small facts."""

import functools as _functools

from rutile import _rutile
from rutile import ops as _ops
from rutile._rutile import Parameter, Tensor
from rutile.ops import table as _table

_errors = _rutile.errors

# Methods that are the function of ops of the same name with the tensor as its first argument.
_SAME = """
aminmax argmin argsort frac acos acosh addbmm addmm addmv addr adjoint allclose angle approximate_equal arccos arccosh arcsin arcsinh arctan arctan2 arctanh argwhere baddbmm
bernoulli bincount bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor cholesky cholesky_inverse cholesky_solve
conj copysign cov cross cummax cummin cumprod deg2rad det diag diagflat diagonal_scatter diff digamma dsplit eig eigvals erfinv fills fliplr flipud
float_power fmax fmin fmod fold frac gather_nd gcd geqrf ger greater greater_equal heaviside histc hsplit hypot i0 igamma igammac imag index_fill index_put
inner inplace_update inv invert is_complex is_floating_point isneginf isposinf isreal kthvalue lcm ldexp less less_equal log_matrix_determinant logaddexp logaddexp2
logcumsumexp logdet logical_and logical_not logical_or logical_xor logit lstsq lu_solve masked_scatter masked_select matrix_determinant matrix_power
moveaxis msort multinomial mvlgamma nan_to_num nanmean nanmedian nanquantile nansum narrow nextafter not_equal orgqr ormqr positive qr quantile rad2deg
random_categorical ravel real renorm reverse reverse_sequence rot90 select_scatter sgn slice_scatter slogdet soft_shrink svd tensor_scatter_add top_k tril triu
trunc type_as unfold unique unique_consecutive unique_with_pad unsorted_segment_max unsorted_segment_min unsorted_segment_prod unsorted_segment_sum vsplit xdivy
erfinv_ tanh_ normal_ random_ uniform_ exponential_ bernoulli_ put_ zero_ clamp_ logsumexp median index_add move_to
""".split()

# name: (function of ops, order of the arguments behind the tensor as ops has them)
_WRITTEN = {"add_": "add", "sub_": "sub", "mul_": "mul", "div_": "div", "floor_divide_": "floor_divide", "remainder_": "remainder", "exp_": "exp",
            "log_": "log", "sigmoid_": "sigmoid", "floor_": "floor", "sign_": "sign", "addmm_": "addmm", "masked_fill_": "masked_fill",
            "masked_scatter_": "masked_scatter", "index_put_": "index_put", "relu_": "relu", "neg_": "neg", "abs_": "abs", "sqrt_": "sqrt",
            "reciprocal_": "reciprocal", "ceil_": "ceil", "round_": "round", "pow_": "pow", "fill_diagonal_": "_fill_diagonal",
            "index_add_": "_index_add", "index_fill_": "_index_fill", "index_copy_": "_index_copy", "scatter_": "_scatter", "scatter_add_": "_scatter_add"}


def _floating(x):
    return x.dtype.name.startswith(("float", "bfloat"))


def _given(name, other):
    if other is None:
        raise _errors.TypeError(f"{name}() needs other, a Tensor or a number")
    return other


def add(self, other=None, *, alpha=1, y=None):
    """self + alpha * other; y is an older name of other."""
    if other is None:
        other = _given("add", y)
    return _table.add(self, other if alpha == 1 else other * alpha)


def sub(self, other=None, *, alpha=1, y=None):
    """self - alpha * other; y is an older name of other."""
    if other is None:
        other = _given("sub", y)
    return _table.sub(self, other if alpha == 1 else other * alpha)


def _fill_diagonal(self, fill_value, wrap=False):
    from rutile.ops.operations import FillDiagonal
    return FillDiagonal(float(fill_value), bool(wrap))(self)


def _index_add(self, dim, index, source, *, alpha=1):
    return _ops.index_add(self[...], index, source if alpha == 1 else source * alpha, dim)


def _index_fill(self, dim, index, value):
    return _ops.index_fill(self[...], dim, index, value)


def _index_copy(self, dim, index, tensor):
    return _table.index_copy(self, index.cast("int64"), tensor, axis=dim)


def _scatter(self, dim, index, src=None, *, value=None, reduce=None):
    src = value if src is None else src
    if not isinstance(src, Tensor):
        src = _table.full(index.shape, src, self.dtype)
    how = {None: "none", "add": "add", "multiply": "mul"}.get(reduce, reduce)
    return _table.scatter(self, index.cast("int64"), _as_far_as(index, src).cast(self.dtype), axis=dim, reduce=how)


def _as_far_as(index, src):
    # src may be larger than index: what lies behind it is not used.
    if src.shape == index.shape or src.ndim != index.ndim or any(n > m for n, m in zip(index.shape, src.shape)):
        return src
    return src[tuple(slice(0, n) for n in index.shape)]


def _scatter_add(self, dim, index, src):
    return _table.scatter_add(self, index.cast("int64"), _as_far_as(index, src), axis=dim)


def fill_diagonal(self, fill_value, wrap=False):
    """A copy with one value on the diagonal."""
    return _fill_diagonal(self, fill_value, wrap)


def scatter(self, dim=None, index=None, src=None, **kwargs):
    """A copy with src put at the places of index along a dimension."""
    dim = kwargs.pop("axis", dim)
    return _scatter(self, dim, index, src, **kwargs)


def copy_(self, src, non_blocking=False):
    """Takes the values of another tensor, in this shape and dtype."""
    return self._rebind(_table.broadcast_to(src.cast(self.dtype), self.shape))


def fill_(self, value):
    """Takes one value everywhere."""
    value = value if isinstance(value, Tensor) else Tensor(value)
    return copy_(self, value)


def assign_value(self, value):
    """Takes another tensor's value, shape and dtype."""
    return self._rebind(value if isinstance(value, Tensor) else Tensor(value))


def index(self, indices):
    """self[indices], for a tuple of Tensors.

    >>> import rutile
    >>> rutile.Tensor([[1, 2], [3, 4]]).index((rutile.Tensor([1, 0]), rutile.Tensor([0, 1]))).asnumpy().tolist()
    [3, 2]
    """
    if not isinstance(indices, (tuple, list)) or not all(isinstance(i, Tensor) for i in indices):
        raise _errors.TypeError(f"index takes a tuple of Tensors, got {indices.__class__.__name__}")
    return self[tuple(indices)]


def set_dtype(self, dtype):
    """Takes another dtype."""
    return self._rebind(_table.cast(self, dtype))


def itemset(self, *args):
    """A copy with one element (by its place, or the only one) changed."""
    if not 1 <= len(args) <= 2:
        raise _errors.ValueError(f"itemset takes (value) or (place, value), got {len(args)} arguments")
    y = self[...].copy()
    if len(args) == 1:
        if self.size != 1:
            raise _errors.ValueError(f"itemset: a tensor of {self.size} elements needs a place")
        return _table.full(self.shape, args[0], self.dtype)
    place = args[0]
    if isinstance(place, int):
        if not -self.size <= place < self.size:
            raise _errors.IndexError(f"itemset: place {place} of {self.size} elements")
        y = y.reshape(-1)
        y[place] = args[1]
        return y.reshape(self.shape)
    y[tuple(place)] = args[1]
    return y


def item(self, index=None):
    """The single element, or that at a place (counted in row-major order, or a tuple), as a Python number."""
    if index is None:
        return _item(self)
    if isinstance(index, int):
        if not -self.size <= index < self.size:
            raise _errors.IndexError(f"item: place {index} of {self.size} elements")
        return _item(self.reshape(-1)[index])
    return _item(self[tuple(index)])


_item = Tensor.item


def choose(self, choices, mode="clip"):
    """Elements of choices by this tensor's integers: choices[self[i]][i]."""
    choices = [c if isinstance(c, Tensor) else Tensor(c) for c in choices]
    if not choices or mode not in ("raise", "wrap", "clip"):
        raise _rutile.errors.ValueError(f"[choose] expects choices and the mode 'raise', 'wrap' or 'clip', got {len(choices)} and {mode!r}")
    n, place = len(choices), self.cast("int64")
    if mode == "raise" and self.size and not bool(_table.all(_table.logical_and(place >= 0, place < n))):
        raise _rutile.errors.ValueError(f"[choose] an index is outside of 0 to {n - 1}; mode='wrap' and mode='clip' bring it back")
    place = _ops.clamp(place, 0, n - 1) if mode == "clip" else _table.remainder(place, Tensor(n, "int64"))
    shape = _functools.reduce(_table.add, (_table.full(c.shape, 0, "int8") for c in (*choices, place))).shape
    kind = _functools.reduce(_table.add, (_table.full((), 0, c.dtype) for c in choices)).dtype
    many = _ops.stack([_table.broadcast_to(c.cast(kind), shape) for c in choices])
    return _table.take_along_axis(many, _table.broadcast_to(place, shape).reshape(1, *shape), axis=0).reshape(shape)


def ptp(self, axis=None, keepdims=False):
    """The largest minus the smallest, over axes."""
    return _ops.amax(self, axis, keepdims) - _ops.amin(self, axis, keepdims)


def trace(self, offset=0, axis1=0, axis2=1, dtype=None):
    """The sum of a diagonal."""
    y = _table.sum(_ops.diagonal(self, offset, axis1, axis2), (-1,))
    return y if dtype is None else y.cast(dtype)


def diagonal(self, offset=0, axis1=0, axis2=1):
    """The diagonal of two dimensions, as the last."""
    return _ops.diagonal(self, offset, axis1, axis2)


def resize(self, *new_shape):
    """The elements in another shape, with zeros for those that lack."""
    shape = tuple(new_shape[0]) if len(new_shape) == 1 and isinstance(new_shape[0], (tuple, list)) else new_shape
    n = 1
    for v in shape:
        n *= v
    flat = self.reshape(-1)
    if n > self.size:
        flat = _table.concat([flat, _table.full((n - self.size,), 0, self.dtype)], axis=0)
    return flat[:n].reshape(shape)


def searchsorted(self, v, side="left", sorter=None):
    """Where the values of v belong in this sorted tensor, int32."""
    return _ops.searchsorted(self, v if isinstance(v, Tensor) else Tensor(v), side=side, sorter=sorter, out_int32=True)


def sum_to_size(self, *size):
    """Summed over the dimensions in which `size` is 1 or lacks."""
    size = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    return _table.sum_to_shape(self, size)


def select(self, dim, index=None, *rest):
    """One entry of a dimension; with a condition in its place (condition, other) as ops.select."""
    if isinstance(dim, Tensor) and dim.dtype.name == "bool":
        return _ops.select(dim, self, index)
    at = dim % self.ndim
    return self[(slice(None),) * at + (int(index),)]


def where(self, condition, y):
    """This where the condition is true, else y."""
    return _ops.where(condition, self, y)


def nonzero(self, *, as_tuple=False):
    """The places that are not zero, as rows; as_tuple: one tensor for each dimension."""
    return _ops.nonzero(self, as_tuple)


def equal(self, other):
    """Whether elements are equal."""
    return self == other


def take(self, indices, axis=None, mode="clip"):
    """Elements by their places along an axis (None: of all)."""
    return _ops.take(self, indices, axis, mode)


def unsqueeze(self, dim):
    """A new dimension of size 1."""
    return _ops.unsqueeze(self, dim)


def squeeze(self, *args, axis=None):
    """Without dimensions of size 1: all, or those named."""
    axis = args if axis is None else axis
    axis = tuple(axis[0]) if isinstance(axis, tuple) and len(axis) == 1 and isinstance(axis[0], (tuple, list)) else axis
    return _ops.squeeze(self, None if axis in ((), (None,)) else axis)


def round(self, decimals=0):
    """To the nearest integer, half to even; to `decimals` digits."""
    return _ops.round(self, decimals=decimals)


def softmax(self, axis=-1, dtype=None, **kwargs):
    """exp(x) / sum(exp(x)) along an axis."""
    x = self if dtype is None else self.cast(dtype)
    return _table.softmax(x, kwargs.get("dim", axis))


def clone(self, init="same"):
    """A Tensor of the same value; of a Parameter one of its own with this name, also with the values of an initializer."""
    if not isinstance(self, Parameter):
        return self.copy()
    from rutile.common.parameter import clone as of_parameter
    return of_parameter(self, "", init)


def cumsum(self, axis=None, dtype=None):
    """Running sums along an axis; without one of all elements."""
    return _ops.cumsum(self.reshape(-1) if axis is None else self, 0 if axis is None else axis, dtype)


def sort(self, axis=-1, descending=False, *, dim=None, stable=False):
    """(sorted values, their places)"""
    return _ops.sort(self, axis if dim is None else dim, descending)


def topk(self, k, dim=-1, largest=True, sorted=True):
    """(the k largest along a dimension, their places)"""
    return _ops.topk(self, k, dim, largest, sorted)


def new_empty(self, size, *, dtype=None, device=None):
    """A tensor of a size in this dtype; its values are zeros."""
    return _ops.zeros(size, dtype or self.dtype)


def new_full(self, size, fill_value, *, dtype=None):
    """A tensor of one value, in this dtype unless given."""
    return _table.full(tuple(size), fill_value, dtype or self.dtype)


def type(self, dtype=None):
    """The dtype's name; with a dtype the same values in it."""
    return str(self.dtype) if dtype is None else self.cast(dtype)


def uniform(self, from_=0.0, to=1.0, generator=None):
    """Uniform numbers in this shape and dtype."""
    return _table.random_uniform(self.shape, float(from_), float(to), self.dtype)


def cauchy(self, median=0.0, sigma=1.0):
    """Numbers of Cauchy's distribution in this shape, float32."""
    return _table.random_cauchy(self.shape, float(median), float(sigma))


def log_normal(self, mean=1.0, std=2.0):
    """exp of normally distributed numbers in this shape."""
    return _table.random_log_normal(self.shape, float(mean), float(std)).cast(self.dtype)


def triangular_solve(self, A, upper=True, transpose=False, unitriangular=False):
    """(X with A X = this, A)"""
    return _table.solve_triangular(A, self, upper=upper, transpose=transpose, unitriangular=unitriangular), A


def col2im(self, output_size, kernel_size, dilation, padding_value, stride):
    """Columns summed back into an image."""
    return _ops.col2im(self, output_size, kernel_size, dilation, padding_value, stride)


def argmax_with_value(self, axis=0, keep_dims=False):
    """(value, place) of the largest."""
    if axis is None:
        return _table.max(self), _ops.argmax(self)
    return _table.max(self, (axis,), bool(keep_dims)), _table.argmax(self, (axis,), bool(keep_dims))


def argmin_with_value(self, axis=0, keep_dims=False):
    """(value, place) of the smallest."""
    if axis is None:
        return _table.min(self), _ops.argmin(self)
    return _table.min(self, (axis,), bool(keep_dims)), _table.argmin(self, (axis,), bool(keep_dims))


def to(self, *args, dtype=None, device=None, non_blocking=False, copy=False):
    """The same values in another dtype (or that of a Tensor); the device is the CPU."""
    for a in args:
        if isinstance(a, str) and a.split(":")[0].upper() in ("CPU", "GPU", "ASCEND", "CUDA", "NPU"):
            device = a
        elif isinstance(a, Tensor):
            dtype = a.dtype
        elif not isinstance(a, bool):
            dtype = a
    if device is not None and str(device).split(":")[0].upper() != "CPU":
        raise _errors.ValueError(f"to: there is no device {device!r}")
    return self[...] if dtype is None else _table.cast(self, dtype)


def tolist(self):
    """The values as nested lists, or a number."""
    return self.asnumpy().tolist()


def stride(self, dim=None):
    """Elements from one to the next of each dimension, or of one."""
    steps = [s // self.itemsize for s in self.strides]
    return steps if dim is None else steps[dim]


def is_contiguous(self):
    """Whether the elements lie in row-major order without gaps."""
    want, expected = [], 1
    for n in reversed(self.shape):
        want.append(expected)
        expected *= max(n, 1)
    return self.size == 0 or all(n == 1 or s == w for n, s, w in zip(self.shape, stride(self), reversed(want)))


def data_ptr(self):
    """The address of the elements."""
    return self.asnumpy().__array_interface__["data"][0]


def get_bytes(self):
    """The elements as bytes, in row-major order."""
    import numpy as np
    return np.ascontiguousarray(self.asnumpy()).tobytes()


def value(self):
    """This tensor; of a Parameter its value now."""
    return self


def init_data(self, slice_index=None, shape=None, opt_shard_group=None):
    """This tensor: initializers have run when it was made."""
    return self


def set_const_arg(self, const_arg=True):
    """Taken for scripts' sake: what a compiled function reads by value is a constant of it."""
    return self


def nothing(self, *args, **kwargs):
    """Does nothing: there is one memory."""
    return self


def _by_name(name):
    function = getattr(_ops, name, None)
    if function is None:
        return None

    def method(self, *args, **kwargs):
        return function(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = (function.__doc__ or name).split("--\n\n")[-1]
    return method


def _written(name, function):
    def method(self, *args, **kwargs):
        y = function(self, *args, **kwargs)
        return self._rebind(y if y.dtype == self.dtype else y.cast(self.dtype))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{name[:-1]}, written into the tensor."
    return method


def transpose(self, *axes):
    """The dimensions in another order (all, or none for the reverse); two dimensions of more exchanged."""
    if len(axes) == 2 and self.ndim > 1 and all(isinstance(a, int) for a in axes):
        return _ops.swapaxes(self, *axes)
    return _table.transpose(self, tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes)


def flatten(self, start_dim=0, end_dim=-1, order="C"):
    """Dimensions start_dim to end_dim as one; order "F": columns first."""
    order, start_dim = (start_dim, 0) if isinstance(start_dim, str) else (order, start_dim)
    if order not in ("C", "F"):
        raise _errors.ValueError(f"flatten: order is 'C' or 'F', got {order!r}")
    x = _table.transpose(self) if order == "F" else self
    return _ops.flatten(x, start_dim=start_dim, end_dim=end_dim)


def gather(self, *args, dim=None, index=None, input_indices=None, axis=None, batch_dims=0):
    """gather(dim, index): one element of a dimension for each of index; gather(indices, axis): slices along it."""
    if args and isinstance(args[0], int) or dim is not None:
        return _ops.gather_elements(self, args[0] if args else dim, index if index is not None else args[-1])
    indices = input_indices if input_indices is not None else args[0]
    axis = axis if axis is not None else args[1] if len(args) > 1 else 0
    return _ops.gather(self, indices, int(axis), batch_dims)


def std(self, axis=None, ddof=0, keepdims=False, *, correction=None):
    """The standard deviation over axes, divided by n - ddof."""
    return _ops.std(self, axis, ddof if correction is None else correction, keepdims)


def var(self, axis=None, ddof=0, keepdims=False, *, correction=None):
    """The variance over axes, divided by n - ddof."""
    return _ops.var(self, axis, ddof if correction is None else correction, keepdims)


def set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Takes another tensor's value, shape and dtype."""
    return self._rebind(source if source is not None else _table.full((0,), 0, self.dtype))


def remainder(self, other=None, divisor=None):
    """The remainder, with the sign of the divisor."""
    return _table.remainder(self, other if divisor is None else divisor)


def to_coo(self):
    """What is not zero of a matrix as a COOTensor."""
    return _ops.dense_to_sparse_coo(self)


def to_csr(self):
    """What is not zero of a matrix as a CSRTensor."""
    return _ops.dense_to_sparse_csr(self)


def convert_bytes_to_tensor(data, shape, dtype):
    """A Tensor of get_bytes()' bytes."""
    import numpy as np
    return Tensor(np.frombuffer(data, np.dtype(str(getattr(dtype, "name", dtype)))).reshape(tuple(shape)))


# PyTorch's and MindSpore's names for one argument: what is given under one is looked for under the others.
_TWINS = (("dim", "axis", "dims"), ("keepdim", "keepdims", "keep_dims"), ("other", "x"))


def _either(method, names):
    def call(self, *args, **kwargs):
        for key in list(kwargs):
            if key not in names:
                for group in _TWINS:
                    twin = next((n for n in group if key in group and n in names), None)
                    if twin:
                        kwargs[twin] = kwargs.pop(key)
        return method(self, *args, **kwargs)

    call.__name__ = call.__qualname__ = method.__name__
    call.__doc__ = method.__doc__
    return call


def _accept_twins():
    import inspect
    for name in ("argmax argmin argsort chunk count_nonzero cumsum cummax cummin cumprod expand_as max min median nanmedian nansum nanmean repeat_interleave scatter "
                 "scatter_add std var mean prod all any amax amin logsumexp unbind split tensor_split narrow index_select select roll flip sum "
                 "argmax_with_value argmin_with_value quantile nanquantile diff norm renorm kthvalue unique_consecutive").split():
        method = getattr(Tensor, name, None)
        if method is None:
            continue
        function = getattr(_ops, name, None)
        own = method if hasattr(method, "__code__") and "kwargs" not in method.__code__.co_varnames else function
        try:
            names = set(inspect.signature(own).parameters)
        except (TypeError, ValueError):
            continue
        setattr(Tensor, name, _either(method, names))


def install():
    """Adds them to Tensor."""
    for name in _SAME:
        method = _by_name(name)
        if method is not None:
            setattr(Tensor, name, method)
    here = globals()
    for name in ("add sub cumsum fill_diagonal scatter copy_ fill_ assign_value set_dtype index itemset item choose ptp trace diagonal resize searchsorted sum_to_size "
                 "select where nonzero equal take unsqueeze squeeze round softmax sort topk new_empty new_full type uniform cauchy log_normal "
                 "transpose flatten gather std var set_ remainder triangular_solve col2im argmax_with_value argmin_with_value to tolist stride is_contiguous data_ptr get_bytes init_data "
                 "set_const_arg to_coo to_csr").split():
        setattr(Tensor, name, here[name])
    if "value" not in vars(Tensor):
        Tensor.value = value
    for name, function in _WRITTEN.items():
        setattr(Tensor, name, _written(name, here.get(function) or getattr(_ops, function)))
    for name, function in {"scatter_add": _scatter_add, "scatter_sub": lambda self, i, u: _ops.tensor_scatter_sub(self, i, u),
                           "scatter_mul": lambda self, i, u: _ops.tensor_scatter_mul(self, i, u), "scatter_div": lambda self, i, u: _ops.tensor_scatter_div(self, i, u),
                           "scatter_max": lambda self, i, u: _ops.tensor_scatter_max(self, i, u), "scatter_min": lambda self, i, u: _ops.tensor_scatter_min(self, i, u)}.items():
        def method(self, *args, _function=function, **kwargs):
            return _function(self, *args, **kwargs)
        method.__name__ = method.__qualname__ = name
        method.__doc__ = f"A copy with updates at places: {name}."
        setattr(Tensor, name, method)
    for name in ("pin_memory", "offload", "wait_pipeline", "flush_from_cache", "data_sync", "requires_grad_"):
        method = lambda self, *args, **kwargs: self
        method.__name__ = method.__qualname__ = name
        method.__doc__ = nothing.__doc__
        setattr(Tensor, name, method)
    Tensor.clone = clone
    Tensor.nelement = _renamed("nelement", lambda self: self.size, "The number of elements.")
    Tensor.is_signed = _renamed("is_signed", lambda self: self.dtype.name.startswith(("int", "float", "bfloat")), "Whether the dtype has negative numbers.")
    Tensor.storage_offset = _renamed("storage_offset", lambda self: 0, "0: a tensor begins at its memory's start, as far as it shows.")
    Tensor.is_pinned = _renamed("is_pinned", lambda self: False, "False: there is one memory.")
    Tensor.is_shared = _renamed("is_shared", lambda self: False, "False: memory is this process's own.")
    for name, get, doc in (("H", lambda self: _ops.adjoint(self), "A matrix transposed, conjugated."), ("mH", lambda self: _ops.adjoint(self), "The last two dimensions exchanged, conjugated."),
                           ("device", _device, 'Where it lies: "CPU", "GPU:0".'), ("has_init", lambda self: False, "False: initializers have run."),
                           ("init_finished", lambda self: True, "True: initializers have run."), ("is_meta", lambda self: False, "False: it has values.")):
        setattr(Tensor, name, property(get, doc=doc))
    Tensor.init = property(lambda self: None, doc="None: initializers have run.")
    Tensor.is_init = property(lambda self: False, doc="False: it is no Parameter that waits for an initializer.")
    Tensor.to_dlpack = _renamed("to_dlpack", lambda self: self.__dlpack__(), "A DLPack capsule of its memory.")
    Tensor.from_dlpack = staticmethod(_rutile.from_dlpack)
    Tensor.convert_bytes_to_tensor = staticmethod(convert_bytes_to_tensor)
    _accept_twins()
    _install_parameter()
    if not isinstance(getattr(Tensor, "data", None), property) and "data" not in vars(Tensor):
        Tensor.data = property(lambda self: self, doc="This tensor; of a Parameter its value now.")


_settings = {}  # id of a Parameter -> (weak reference, {name: value})

# MindSpore's settings of a Parameter for several devices: kept for scripts' sake, nothing reads them.
_PARAMETER_SETTINGS = {"layerwise_parallel": False, "parallel_optimizer": True, "parallel_optimizer_comm_recompute": False, "comm_fusion": 1,
                       "cache_enable": False, "cache_shape": [], "key": -1, "sliced": False, "param_info": None, "init_mode": None}


def _setting(name, default):
    def get(self):
        return _settings.get(id(self), (None, {}))[1].get(name, default)

    def set(self, value):
        if isinstance(default, bool) and not isinstance(value, bool):
            raise _errors.TypeError(f"Parameter.{name} is a bool, got {value!r}")
        import weakref
        at = id(self)
        if at not in _settings:
            _settings[at] = (weakref.ref(self, lambda _: _settings.pop(at, None)), {})
        _settings[at][1][name] = value

    return property(get, set, doc="A setting of MindSpore's for several devices: kept, and not used.")


def _install_parameter():
    for name, default in _PARAMETER_SETTINGS.items():
        setattr(_rutile.Parameter, name, _setting(name, default))
    _rutile.Parameter.inited_param = property(lambda self: None, doc="None: initializers have run.")
    _rutile.Parameter.is_init = property(lambda self: True, doc="True: initializers have run.")

    def set_value(self, value):
        self.set_data(value if isinstance(value, Tensor) else Tensor(value, self.dtype))

    _rutile.Parameter.default_input = property(lambda self: self.value(), set_value, doc="The value.")


def _device(self):
    from rutile import _rutile
    from rutile.context import _target_of
    return _target_of(_rutile._device_of(self))


def _renamed(name, function, doc):
    def method(self):
        return function(self)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = doc
    return method
