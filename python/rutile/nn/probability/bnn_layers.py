# SPDX-License-Identifier: Apache-2.0
"""Bayesian layers: weights are drawn from normal distributions, whose means and deviations are learned.

>>> import rutile
>>> from rutile.nn.probability import bnn_layers
>>> layer = bnn_layers.DenseReparam(3, 2)
>>> layer(rutile.ops.ones((4, 3), rutile.float32)).shape, float(layer.compute_kl_loss()) > 0
((4, 2), True)
"""


from rutile import _rutile, ops
from rutile._rutile import Parameter
from rutile.nn.activation import get_activation
from rutile.nn.cell import Cell
from rutile.nn.probability.distribution import Normal

_errors = _rutile.errors

__all__ = ["ConvReparam", "DenseLocalReparam", "DenseReparam", "NormalPosterior", "NormalPrior", "WithBNNLossCell"]


def _number(what, value, positive=False):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (positive and value < 0):
        raise _errors.TypeError(f"The type of `{what}` must be `int` or `float`{' and its value must > 0' if positive else ''}, got {value!r}")


class NormalPrior(Cell):
    """A normal distribution that stays as it is."""

    def __init__(self, dtype="float32", mean=0, std=0.1):
        super().__init__()
        self.normal = Normal(mean, std, dtype=dtype)

    def construct(self, *inputs):
        """The distribution's function of a name."""
        return self.normal(*inputs)


class NormalPosterior(Cell):
    """Normal distributions of a shape with Parameters <name>_mean and <name>_untransformed_std (the deviation is
    1e-6 + log(1 + exp(it))), drawn at the beginning."""

    def __init__(self, name, shape, dtype="float32", loc_mean=0, loc_std=0.1, untransformed_scale_mean=-5, untransformed_scale_std=0.1):
        super().__init__()
        if not isinstance(name, str):
            raise _errors.TypeError("The type of `name` must be `str`")
        if not isinstance(shape, (tuple, list)):
            raise _errors.TypeError("The type of `shape` must be `tuple` or `list`")
        _number("loc_mean", loc_mean)
        _number("untransformed_scale_mean", untransformed_scale_mean)
        _number("loc_std", loc_std, True)
        _number("untransformed_scale_std", untransformed_scale_std, True)

        def drawn(mean, std):
            return (ops.standard_normal(tuple(shape)) * std + mean).cast(str(getattr(dtype, "name", dtype)))
        self.mean = Parameter(drawn(loc_mean, loc_std), name=name + "_mean")
        self.untransformed_std = Parameter(drawn(untransformed_scale_mean, untransformed_scale_std), name=name + "_untransformed_std")
        self.normal = Normal()

    def construct(self, *inputs):
        """The distribution's function of a name."""
        std = 1e-6 + ops.softplus(self.untransformed_std)
        if inputs and inputs[0] in ("kl_loss", "cross_entropy"):
            return self.normal(*inputs, self.mean, std)
        return self.normal(*inputs, mean=self.mean, sd=std)


def normal_post_fn(name, shape):
    """A NormalPosterior."""
    return NormalPosterior(name=name, shape=shape)


def _distribution(what, given, *args, **kwargs):
    made = given if isinstance(given, Cell) else given(*args, **kwargs) if callable(given) else None
    if not isinstance(made, Cell):
        raise _errors.TypeError(f"The type of `{what}` must be a Cell or a function that makes one, got {type(given).__name__}")
    return made


class _Variational(Cell):
    """A layer with drawn weights."""

    def _weights(self, shape, out, has_bias, weight_prior_fn, weight_posterior_fn, bias_prior_fn, bias_posterior_fn):
        self.has_bias = bool(has_bias)
        self.weight_prior = _distribution("weight_prior_fn", weight_prior_fn)
        self.weight_posterior = _distribution("weight_posterior_fn", weight_posterior_fn, shape=shape, name="bnn_weight")
        if self.has_bias:
            self.bias_prior = _distribution("bias_prior_fn", bias_prior_fn)
            self.bias_posterior = _distribution("bias_posterior_fn", bias_posterior_fn, shape=[out], name="bnn_bias")

    @staticmethod
    def _divergence(prior, posterior):
        normal = getattr(prior, "normal", prior)
        return posterior("kl_loss", "Normal", *normal.get_dist_args()).sum()

    def compute_kl_loss(self):
        """The divergence of the weights' distributions from what was assumed at first, one number."""
        total = self._divergence(self.weight_prior, self.weight_posterior)
        return total + self._divergence(self.bias_prior, self.bias_posterior) if self.has_bias else total


class _DenseVariational(_Variational):
    def __init__(self, in_channels, out_channels, activation=None, has_bias=True, weight_prior_fn=NormalPrior,
                 weight_posterior_fn=normal_post_fn, bias_prior_fn=NormalPrior, bias_posterior_fn=normal_post_fn):
        super().__init__()
        for what, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise _errors.TypeError(f"{type(self).__name__}: {what} must be an int, got {type(value).__name__}")
            if value < 1:
                raise _errors.ValueError(f"{type(self).__name__}: {what} must be positive, got {value}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self._weights([out_channels, in_channels], out_channels, has_bias, weight_prior_fn, weight_posterior_fn, bias_prior_fn,
                      bias_posterior_fn)
        self.activation = get_activation(activation) if isinstance(activation, str) else activation

    def extend_repr(self):
        """The arguments, for repr."""
        return f"in_channels={self.in_channels}, out_channels={self.out_channels}, has_bias={self.has_bias}"

    def _end(self, out):
        if self.has_bias:
            out = out + self.bias_posterior("sample")
        return out if self.activation is None else self.activation(out)


class DenseReparam(_DenseVariational):
    """A dense layer [n, in] -> [n, out] whose weights are drawn at each call (Kingma and Welling, 2013)."""

    def construct(self, x):
        """The layer's result."""
        return self._end(ops.matmul(x, self.weight_posterior("sample").swapaxes(0, 1)))


class DenseLocalReparam(_DenseVariational):
    """A dense layer whose results are drawn from the distributions that the weights' give (Kingma et al., 2015)."""

    def construct(self, x):
        """The layer's result."""
        mean, sd = self.weight_posterior("mean"), self.weight_posterior("sd")
        var = ops.matmul(x * x, (sd * sd).swapaxes(0, 1))
        out = ops.matmul(x, mean.swapaxes(0, 1))
        return self._end(out + ops.sqrt(var + 1e-12) * ops.standard_normal(out.shape))


def _twice(what, value):
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or min(pair) < 1:
        raise _errors.ValueError(f"ConvReparam: {what} must be a positive int or two of them, got {value!r}")
    return pair


class ConvReparam(_Variational):
    """A convolution of [n, in, h, w] whose weights are drawn at each call."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, pad_mode="same", padding=0, dilation=1, group=1, has_bias=False,
                 weight_prior_fn=NormalPrior, weight_posterior_fn=normal_post_fn, bias_prior_fn=NormalPrior,
                 bias_posterior_fn=normal_post_fn):
        super().__init__()
        from rutile.ops import operations
        kernel = _twice("kernel_size", kernel_size)
        self.in_channels, self.out_channels, self.kernel_size, self.stride = in_channels, out_channels, kernel, _twice("stride", stride)
        self.conv = operations.Conv2D(out_channel=out_channels, kernel_size=kernel, mode=1, pad_mode=pad_mode, pad=padding,
                                      stride=self.stride, dilation=_twice("dilation", dilation), group=group)
        self._weights([out_channels, in_channels // group, *kernel], out_channels, has_bias, weight_prior_fn, weight_posterior_fn,
                      bias_prior_fn, bias_posterior_fn)

    def extend_repr(self):
        """The arguments, for repr."""
        return (f"in_channels={self.in_channels}, out_channels={self.out_channels}, kernel_size={self.kernel_size}, "
                f"stride={self.stride}, has_bias={self.has_bias}")

    def construct(self, x):
        """The layer's result."""
        out = self.conv(x, self.weight_posterior("sample"))
        return out + self.bias_posterior("sample").reshape(1, -1, 1, 1) if self.has_bias else out


class WithBNNLossCell(Cell):
    """The loss of a network with Bayesian layers: dnn_factor * loss_fn(backbone(data), label) + bnn_factor * the layers'
    divergences."""

    def __init__(self, backbone, loss_fn, dnn_factor=1, bnn_factor=1):
        super().__init__(auto_prefix=False)
        for what, value in (("dnn_factor", dnn_factor), ("bnn_factor", bnn_factor)):
            _number(what, value)
            if value < 0:
                raise _errors.ValueError(f"The value of `{what}` must >= 0, got {value}")
        self._backbone, self._loss_fn, self.dnn_factor, self.bnn_factor = backbone, loss_fn, dnn_factor, bnn_factor
        self._layers = [c for _, c in backbone.cells_and_names() if isinstance(c, _Variational)]

    def construct(self, x, label):
        """The loss."""
        loss = self._loss_fn(self._backbone(x), label) * self.dnn_factor
        for layer in self._layers:
            loss = loss + layer.compute_kl_loss() * self.bnn_factor
        return loss

    @property
    def backbone_network(self):
        """The network."""
        return self._backbone
