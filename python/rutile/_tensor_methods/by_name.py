# SPDX-License-Identifier: Apache-2.0
"""Methods that are the function of ops of the same name with the tensor as its first argument."""

from rutile import ops as _ops
from rutile._rutile import Tensor
from rutile._tensor_methods._register import named
from rutile._tensor_methods.keywords import RENAMED, renamed
from rutile.ops import table as _table

_NAMES = """
acos acosh addbmm addcdiv addcmul addmm addmv addr adjoint all allclose amax amin aminmax angle any approximate_equal arccos arccosh
arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort argwhere baddbmm bernoulli bernoulli_ bincount bitwise_and
bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm broadcast_to cholesky cholesky_inverse cholesky_solve
chunk clamp clamp_ clip conj copysign count_nonzero cov cross cummax cummin cumprod deg2rad det diag diagflat diagonal_scatter diff
digamma div divide dot dsplit eig eigvals eq erfinv erfinv_ expand expand_as expand_dims exponential_ fills flip fliplr flipud
float_power floor_divide fmax fmin fmod fold frac gather_elements gather_nd gcd ge geqrf ger greater greater_equal gt hardshrink
heaviside histc hsplit hypot i0 igamma igammac imag index_add index_fill index_put index_select inner inplace_update inv inverse invert
is_complex is_floating_point isclose isneginf isposinf isreal kthvalue lcm ldexp le lerp less less_equal log_matrix_determinant
logaddexp logaddexp2 logcumsumexp logdet logical_and logical_not logical_or logical_xor logit logsumexp lstsq lt lu_solve masked_fill
masked_scatter masked_select matrix_determinant matrix_power mean median mm move_to moveaxis movedim msort multinomial multiply mv
mvlgamma nan_to_num nanmean nanmedian nanquantile nansum narrow ne negative nextafter norm normal_ not_equal orgqr ormqr outer positive
prod put_ qr quantile rad2deg random_ random_categorical ravel real renorm repeat_interleave reverse reverse_sequence roll rot90
select_scatter sgn slice_scatter slogdet soft_shrink split subtract svd swapaxes swapdims t tanh_ tensor_scatter_add tensor_split tile
top_k tril triu true_divide trunc type_as unbind unfold uniform_ unique unique_consecutive unique_with_pad unsorted_segment_max
unsorted_segment_min unsorted_segment_prod unsorted_segment_sum vsplit xdivy xlogy zero_
""".split()


def _as_method(function, name):
    older = RENAMED.get(name)
    if older is None:
        def method(self, *args, **kwargs):
            return function(self, *args, **kwargs)
    else:
        def method(self, *args, **kwargs):
            if kwargs:
                args, kwargs = renamed(older, args, kwargs)
            return function(self, *args, **kwargs)

    return named(method, name, (function.__doc__ or name).split("--\n\n")[-1])


for _name in _NAMES:
    setattr(Tensor, _name, _as_method(getattr(_ops, _name), _name))
for _name, _function in {"absolute": _table.abs, "pow": _table.pow}.items():
    setattr(Tensor, _name, _as_method(_function, _name))
