# SPDX-License-Identifier: Apache-2.0
"""Random numbers of further distributions, samples of candidates; and the functions that write into their tensor."""

import builtins as _b

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _drawn, _errors, _seeded, _tensor
from rutile.ops.function.creation import _positive, _shape

_imported = set(globals())


def _wide(shape, *tensors):
    """The common shape of a shape and tensors."""
    out = list(_shape(shape))
    for t in tensors:
        other = list(t.shape)
        n = _b.max(len(out), len(other))
        out, other = [1] * (n - len(out)) + out, [1] * (n - len(other)) + other
        for i, (a, b) in enumerate(zip(out, other)):
            if a != b and 1 not in (a, b):
                raise _errors.ValueError(f"shapes {tuple(out)} and {t.shape} do not broadcast")
            out[i] = b if a == 1 else a
    return tuple(out)


def gamma(shape, alpha, beta, seed=None):
    """Numbers of the gamma distribution with shape alpha and rate beta, neither negative, broadcast with `shape`."""
    alpha, beta = _positive(_tensor(alpha), "gamma's alpha"), _positive(_tensor(beta), "gamma's beta")
    wide = _table.broadcast_to(alpha, _wide(shape, alpha, beta))
    return _seeded(_table.random_gamma, wide, seed=seed) / beta


def poisson(shape, mean, seed=None):
    """Whole numbers of Poisson's distribution around mean, float32, broadcast with `shape`."""
    mean = _positive(_tensor(mean), "poisson's mean")
    return _seeded(_table.random_poisson, _table.broadcast_to(mean, _wide(shape, mean)), seed=seed).cast("float32")


def standard_laplace(shape, seed=None):
    """Numbers of Laplace's distribution around 0 with scale 1."""
    return _seeded(_table.random_laplace, _shape(shape), seed=seed)


def laplace(shape, mean, lambda_param, seed=None):
    """Numbers of Laplace's distribution around mean with a scale, broadcast with `shape`."""
    mean, scale = _tensor(mean), _tensor(lambda_param)
    return standard_laplace(_wide(shape, mean, scale), seed) * scale + mean


def randint_like(input, low, high, seed=None, *, dtype=None):
    """Integers in [low, high) with the shape (and dtype) of another."""
    return _seeded(_table.random_randint, input.shape, low, high, "int64", seed=seed).cast(dtype or input.dtype)


def bernoulli_ext(input, *, generator=None):
    """1 with the probability of each element, else 0."""
    return _drawn(_table.bernoulli, generator, input).cast(input.dtype)


def multinomial_with_replacement(x, seed, offset, numsamples, replacement=False):
    """Classes drawn by the weights of each row, int64; always with replacement, as its name says."""
    return _seeded(_table.multinomial, x, numsamples, True, seed=seed or None).cast("int64")


def choice_with_mask(input_x, count=256, seed=None):
    """(places of `count` true elements drawn at random, which of them are real): int32 [count, dimensions] and bool [count]."""
    import numpy as np
    if input_x.ndim < 1 or input_x.dtype.name != "bool":
        raise _errors.TypeError(f"choice_with_mask: expects bools with dimensions, got {input_x.dtype} {input_x.shape}")
    rows = np.argwhere(input_x.asnumpy())
    order = _seeded(_table.random_uniform, (len(rows),), seed=seed).asnumpy().argsort() if len(rows) else np.zeros(0, int)
    rows = rows[order][:count]
    places = np.zeros((count, input_x.ndim), np.int32)
    places[:len(rows)] = rows
    return Tensor(places), Tensor(np.arange(count) < len(rows))


def _candidates(name, true_classes, num_true, num_sampled, unique, range_max, seed, draw, chance):
    import numpy as np
    true = true_classes.asnumpy()
    if true.ndim != 2 or true.shape[1] != num_true:
        raise _errors.ValueError(f"{name}: true_classes expects [batch, {num_true}], got {list(true.shape)}")
    if unique and num_sampled > range_max:
        raise _errors.ValueError(f"{name}: {num_sampled} different numbers below {range_max} do not exist")
    picked, tries = [], 0
    seen = set()
    key = 0
    while len(picked) < num_sampled:
        u = _seeded(_table.random_uniform, (_b.max(64, 2 * num_sampled),), seed=seed * 7919 + key if seed else None).asnumpy()
        key += 1
        for v in draw(u.astype(np.float64)):
            tries += 1
            if not unique or v not in seen:
                picked.append(v)
                seen.add(v)
            if len(picked) == num_sampled:
                break

    def expected(v):
        p = chance(np.asarray(v, np.float64))
        return Tensor((-np.expm1(tries * np.log1p(-p)) if unique else p * num_sampled).astype(np.float32))

    return Tensor(np.array(picked, true.dtype)), expected(true), expected(picked)


def uniform_candidate_sampler(true_classes, num_true, num_sampled, unique, range_max, seed=0, remove_accidental_hits=False):
    """(num_sampled classes below range_max, how often each true class is expected among them, and each sampled one)"""
    import numpy as np
    return _candidates("uniform_candidate_sampler", true_classes, num_true, num_sampled, unique, range_max, seed,
                       lambda u: np.minimum((u * range_max).astype(np.int64), range_max - 1).tolist(),
                       lambda v: np.full(v.shape, 1.0 / range_max))


def log_uniform_candidate_sampler(true_classes, num_true=1, num_sampled=5, unique=True, range_max=5, seed=0):
    """As uniform_candidate_sampler with P(class) = log((class + 2) / (class + 1)) / log(range_max + 1)."""
    import numpy as np
    full = np.log(range_max + 1)
    return _candidates("log_uniform_candidate_sampler", true_classes, num_true, num_sampled, unique, range_max, seed,
                       lambda u: np.minimum(np.exp(u * full).astype(np.int64) - 1, range_max - 1).tolist(),
                       lambda v: np.log((v + 2) / (v + 1)) / full)


# ---- Written into their tensor

def _into(name, function, doc):
    def write(input, *args, **kwargs):
        y = function(input, *args, **kwargs)
        return input._rebind(y if y.dtype == input.dtype else y.cast(input.dtype))

    import inspect
    try:
        write.__signature__ = inspect.signature(function)
    except ValueError:
        pass  # of the table, which has its own way to say it
    write.__name__ = write.__qualname__ = name
    write.__doc__ = f"{doc}, written into the tensor."
    return write


def _clamp(input, min=None, max=None):
    from rutile.ops.function.arithmetic import clamp
    return clamp(input, min, max)


def _put(input, index, source, accumulate=False):
    flat = _table.index_put(input.reshape(-1), source.reshape(-1), [index.reshape(-1)], accumulate=bool(accumulate))
    return flat.reshape(input.shape)


def _whole(input, from_, to, generator):
    largest = {"float16": 2 ** 11, "bfloat16": 2 ** 8, "float32": 2 ** 24, "float64": 2 ** 53, "bool": 2, "uint8": 2 ** 8, "int8": 2 ** 7,
               "int16": 2 ** 15, "uint16": 2 ** 16, "int32": 2 ** 31, "uint32": 2 ** 32}
    to = largest.get(input.dtype.name, 2 ** 62) if to is None else to
    if from_ >= to:
        raise _errors.ValueError(f"random_: from_ {from_} must be below to {to}")
    return _drawn(_table.random_randint, generator, input.shape, from_, to, "int64")


def _float(input):
    return input.dtype if input.dtype.name.startswith("float") else "float32"


bernoulli_ = _into("bernoulli_", lambda input, p=0.5, *, generator=None: _drawn(
    _table.bernoulli, generator, p if isinstance(p, Tensor) else _table.full(input.shape, p, "float32")), "1 with probability p, else 0")
clamp_ = _into("clamp_", _clamp, "Limited to [min, max]")
erfinv_ = _into("erfinv_", _table.erfinv, "The inverse error function")
exponential_ = _into("exponential_", lambda input, lambd=1, *, generator=None: _drawn(
    _table.random_exponential, generator, input.shape, 1.0 / lambd, _float(input)), "Numbers of the exponential distribution of rate lambd")
inplace_sigmoid = _into("inplace_sigmoid", _table.sigmoid, "The sigmoid")
normal_ = _into("normal_", lambda input, mean=0, std=1, *, generator=None: _drawn(
    _table.random_normal, generator, input.shape, 0.0, 1.0, _float(input)) * std + mean, "Normally distributed numbers")
put_ = _into("put_", _put, "Elements at the places of index, counted in row-major order, replaced or added to")
random_ = _into("random_", lambda input, from_=0, to=None, *, generator=None: _whole(input, from_, to, generator), "Integers in [from_, to)")
reshape_ = _into("reshape_", lambda input, shape: _table.reshape(input, tuple(shape)), "Another shape")
stop_gradient_ = _into("stop_gradient_", _table.stop_gradient, "Without a gradient")
tanh_ = _into("tanh_", _table.tanh, "The hyperbolic tangent")
uniform_ = _into("uniform_", lambda input, from_=0, to=1, *, generator=None: _drawn(
    _table.random_uniform, generator, input.shape, 0.0, 1.0, _float(input)) * (to - from_) + from_, "Uniform numbers in [from_, to)")
zero_ = _into("zero_", lambda input: _table.full(input.shape, 0, input.dtype), "Zeros")


def _rows(indices):
    return [indices] if isinstance(indices, int) else list(indices)


def inplace_add(x, v, indices):
    """x with v added to the rows of indices."""
    return _table.index_put(x, v.reshape(len(_rows(indices)), *x.shape[1:]), [Tensor(_rows(indices), "int64")], accumulate=True)


def inplace_sub(x, v, indices):
    """x with v subtracted from the rows of indices."""
    return inplace_add(x, -v, indices)


def inplace_update(x, v, indices):
    """x with v in place of the rows of indices."""
    index = indices if isinstance(indices, Tensor) else Tensor(_rows(indices), "int64")
    return _table.index_copy(x, index, v.reshape(index.size, *x.shape[1:]), axis=0)


def inplace_index_add(var, indices, updates, axis):
    """Adds updates to the slices of indices along an axis, written into var."""
    from rutile.ops.function.exact import index_add
    return var._rebind(index_add(var[...], indices, updates, axis))


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
