# SPDX-License-Identifier: Apache-2.0
"""rutile.nn.probability: densities, moments and divergences against sums over a fine grid, samples, bijectors, Bayesian layers."""

import numpy as np
import pytest

import rutile as ms
from rutile import Tensor, nn
from rutile.nn.probability import bijector as msb, bnn_layers, distribution as msd

# (the distribution, another one's parameters, where its values lie)
LINES = [(msd.Normal(0.5, 1.5, dtype=ms.float64), (-0.3, 0.8), (-14, 15)), (msd.LogNormal(0.1, 0.5, dtype=ms.float64), (0.4, 0.7), (1e-9, 60)),
         (msd.Uniform(-1.0, 3.0, dtype=ms.float64), (-2.0, 3.5), (-1, 3)), (msd.Exponential(0.7, dtype=ms.float64), (1.3,), (0, 60)),
         (msd.Gamma(2.5, 1.5, dtype=ms.float64), (2.0, 0.9), (0, 60)), (msd.Beta(2.5, 1.7, dtype=ms.float64), (1.5, 2.2), (0, 1)),
         (msd.Laplace(0.5, 1.2, dtype=ms.float64), (0.1, 0.9), (-40, 40)), (msd.Logistic(0.5, 0.7, dtype=ms.float64), None, (-40, 40)),
         (msd.Gumbel(0.5, 0.9, dtype=ms.float64), (0.1, 1.3), (-8, 50)), (msd.HalfNormal(0.3, 1.1, dtype=ms.float64), None, (0.3, 14)),
         (msd.StudentT(7.0, 0.4, 0.8, dtype=ms.float64), None, (-300, 300))]
COUNTS = [(msd.Bernoulli(0.3), (0.6,), 2), (msd.Geometric(0.35), (0.5,), 120), (msd.Poisson(3.4), None, 60),
          (msd.Categorical([0.2, 0.5, 0.3]), ([0.3, 0.3, 0.4],), 3)]


def name(case):
    return type(case[0]).__name__ if isinstance(case, tuple) else None


def number(x):
    return float(np.asarray(x.asnumpy()).ravel()[0])


def check(d, others, x, weight, tolerance):
    """d's functions against sums over x of a weight each."""
    at = Tensor(x)
    p = d.prob(at).asnumpy().astype(np.float64)
    total = lambda v: float((v * weight)[np.isfinite(v)].sum())  # noqa: E731
    assert abs(total(p) - 1) < tolerance
    some = p > 1e-30
    assert np.allclose(np.log(p[some]), d.log_prob(at).asnumpy()[some], atol=1e-5)
    mean = total(p * x)
    known = {"mean": mean, "var": total(p * (x - mean) ** 2), "sd": total(p * (x - mean) ** 2) ** 0.5}
    for what, want in known.items():
        assert abs(number(getattr(d, what)()) - want) < tolerance * 30, what
    if hasattr(type(d), "at_entropy"):
        with np.errstate(all="ignore"):
            assert abs(number(d.entropy()) - total(-p * np.log(p))) < tolerance * 30
    if hasattr(type(d), "at_mode") and not isinstance(d, msd.Uniform):
        at_mode = number(d.prob(d.mode().cast(d.parameter_type)))
        assert at_mode >= p[np.isfinite(p)].max() - 1e-5
    if others is not None:
        b = tuple(Tensor(np.array(v)).cast(d.parameter_type) for v in others)
        q = d.prob(at, *b).asnumpy()
        with np.errstate(all="ignore"):
            kl = total(p * np.log(p / q))
        assert abs(number(d.kl_loss(type(d).__name__, *b)) - kl) < tolerance * 30
        assert abs(number(d.cross_entropy(type(d).__name__, *b)) - kl - number(d.entropy())) < tolerance * 30
        own = d.get_dist_args()
        assert np.allclose(d.kl_loss(type(d).__name__, *own, *b).asnumpy(), type(d)(*[v.asnumpy() for v in b], dtype=d.dtype).kl_loss(
            type(d).__name__, *own).asnumpy(), rtol=1e-5)
    return p


@pytest.mark.parametrize("d, others, ends", LINES, ids=name)
def test_continuous(d, others, ends):
    n = 200001
    x = np.linspace(*ends, n)
    x = (x[1:] + x[:-1]) / 2
    h = (ends[1] - ends[0]) / (n - 1)
    p = check(d, others, x, h, 2e-4)
    if hasattr(type(d), "at_cdf") or hasattr(type(d), "at_log_cdf"):
        some = slice(10, None, 9973)
        c = np.cumsum(p * h)[some]
        at = Tensor(x[some] + h / 2)
        assert np.allclose(d.cdf(at).asnumpy(), c, atol=2e-4) and np.allclose(d.survival_function(at).asnumpy(), 1 - c, atol=2e-4)
        inside = (c > 1e-3) & (c < 0.99)
        assert np.allclose(d.log_cdf(at).asnumpy()[inside], np.log(c[inside]), atol=2e-2)
        assert np.allclose(d.log_survival(at).asnumpy()[inside], np.log(1 - c[inside]), atol=2e-2)


@pytest.mark.parametrize("d, others, n", COUNTS, ids=name)
def test_discrete(d, others, n):
    x = np.arange(n).astype(np.float32)
    p = check(d, others, x, 1.0, 1e-5) if not isinstance(d, msd.Poisson) else d.prob(Tensor(x)).asnumpy()
    assert abs(p.sum() - 1) < 1e-5
    assert np.allclose(d.cdf(Tensor(x)).asnumpy(), np.cumsum(p), atol=1e-5) and number(d.cdf(Tensor(-1.0))) == 0
    assert np.allclose(d.prob(Tensor(x + np.float32(0.4))).asnumpy(), p)


def test_cauchy_has_no_moments():
    d = msd.Cauchy(0.5, 1.2, dtype=ms.float64)
    t = (np.arange(20000) + 0.5) / 20000
    x = 0.5 + 1.2 * np.tan(np.pi * (t - 0.5))
    assert np.allclose(d.cdf(Tensor(x)).asnumpy(), t) and np.isnan(number(d.mean())) and np.isnan(number(d.sd()))
    p, q = d.prob(Tensor(x)).asnumpy(), d.prob(Tensor(x), Tensor(np.array(0.1)), Tensor(np.array(2.0))).asnumpy()
    assert abs(-np.log(p).mean() - number(d.entropy())) < 1e-3
    assert abs(np.log(p / q).mean() - number(d.kl_loss("Cauchy", Tensor(np.array(0.1)), Tensor(np.array(2.0))))) < 1e-3


@pytest.mark.parametrize("d", [c[0] for c in LINES + COUNTS] + [msd.Cauchy(0.5, 1.2)], ids=lambda d: type(d).__name__)
def test_samples_follow_the_distribution(d):
    ms.set_seed(11)
    s = d.sample((20000,)).asnumpy().astype(np.float64)
    assert s.shape == (20000,) and np.isfinite(s).all()
    if isinstance(d, (msd.HalfNormal, msd.StudentT, msd.Cauchy)):
        assert abs(np.median(s) - {"HalfNormal": 0.3 + 1.1 * 0.6745, "StudentT": 0.4, "Cauchy": 0.5}[type(d).__name__]) < 0.06
        return
    for t in np.quantile(s, [0.1, 0.5, 0.9]):
        assert abs((s <= t).mean() - number(d.cdf(Tensor(np.array(t)).cast(d.parameter_type)))) < 0.02


def test_draws_of_one_sample_are_independent():
    # A seed of its own for each draw: the normal number says nothing about the gamma number below it.
    df = 5.0
    for seed in (1, 7, 12345):
        t = msd.StudentT(df, 0.0, 1.0, seed=seed).sample((40000,)).asnumpy().astype(np.float64)
        upper, lower = np.sort(t[t > 0]), np.sort(-t[t < 0])
        assert abs(t.mean()) < 0.03 and abs(t.var() - df / (df - 2)) < 0.12
        for q, want in ((0.5, 0.7267), (0.9, 2.0150), (0.99, 4.0321)):
            assert abs(np.quantile(upper, q) / want - 1) < 0.12 and abs(np.quantile(lower, q) / want - 1) < 0.12
        b = msd.Beta(2.0, 2.0, seed=seed).sample((40000,)).asnumpy().astype(np.float64)
        assert abs(b.mean() - 0.5) < 0.01 and abs(b.var() - 0.05) < 0.003


def test_shapes_types_and_parameters():
    n = msd.Normal(Tensor([1.0, 2.0, 3.0]), [[1.0], [2.0]])
    assert n.batch_shape == (2, 3) and n.prob(Tensor([0.0, 1.0, 2.0])).shape == (2, 3) and n.sample((4, 5)).shape == (4, 5, 2, 3)
    assert not n.is_scalar_batch and n("mean").shape == (2, 3) and n.mean().dtype == ms.float32
    free = msd.Normal()
    mean, sd = Tensor([2.0]), Tensor([2.0, 3.0, 4.0])
    assert free.prob(Tensor([1.0, 2.0, 3.0]), mean, sd).shape == (3,) == free.sample((), mean, sd).shape and free.sd(mean, sd).shape == (3,)
    assert np.allclose(free.log_prob(Tensor(1.0), sd=sd, mean=mean).asnumpy(), msd.Normal(mean, sd).log_prob(Tensor(1.0)).asnumpy())
    assert msd.Bernoulli([0.1, 0.9]).sample((3,)).dtype == ms.int32 and msd.Poisson(Tensor([1.0, 9.0])).sample((7,)).shape == (7, 2)
    c = msd.Categorical(np.array([[0.2, 0.8], [0.5, 0.5]], np.float32))
    assert c.sample((3, 4)).shape == (3, 4, 2) and c.mean().shape == (2, 1) and c.mode().asnumpy().tolist() == [1, 0]
    assert msd.Categorical([0.0, 1.0]).sample((6,)).asnumpy().tolist() == [1] * 6
    assert msd.Beta([1.0, 2.0], 3.0).sample((5,)).shape == (5, 2) == msd.Gamma([1.0, 2.0], [3.0, 1.0]).sample((5,)).shape
    assert msd.Normal(0.0, 1.0, dtype=ms.float16).sample((2,)).dtype == ms.float16


def test_gradients_and_graphs():
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.n = msd.Normal(0.0, 1.0)

        def construct(self, x, mean, sd):
            return self.n.log_prob(x, mean, sd).sum() + self.n("kl_loss", "Normal", mean, sd).sum()

    x, mean, sd = Tensor([0.5, -1.0]), Tensor([0.1, 0.2]), Tensor([0.7, 1.5])
    eager = [g.asnumpy() for g in ms.grad(Net(), (0, 1, 2))(x, mean, sd)]
    assert np.allclose(eager[0], -(np.array([0.5, -1.0]) - [0.1, 0.2]) / np.array([0.7, 1.5]) ** 2, atol=1e-5)
    compiled = [g.asnumpy() for g in ms.jit(ms.grad(Net(), (0, 1, 2)))(x, mean, sd)]
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(eager, compiled))
    drawn = ms.grad(lambda m: msd.Normal().sample((200,), m, Tensor(1.0)).mean())(Tensor(0.3))
    assert abs(float(drawn) - 1) < 1e-5


@pytest.mark.parametrize("b, x", [(msb.Exp(), [-1.0, 0.5, 2.0]), (msb.ScalarAffine(-2.0, 1.0), [-1.0, 3.0]), (msb.Softplus(2.0), [-3.0, 0.2, 4.0]),
                                  (msb.PowerTransform(0.5), [-1.0, 0.2, 3.0]), (msb.PowerTransform([0.0, 2.0]), [0.3, 0.4]),
                                  (msb.GumbelCDF(0.3, 1.4), [-0.5, 0.4, 2.0]), (msb.Invert(msb.Exp()), [0.5, 2.0]),
                                  (msb.Invert(msb.ScalarAffine(3.0, 1.0)), [0.5, 2.0])], ids=lambda v: getattr(v, "name", None))
def test_bijectors(b, x):
    x = Tensor(np.array(x)).cast(ms.float64)
    y = b.forward(x)
    assert np.allclose(b.inverse(y).asnumpy(), x.asnumpy(), atol=1e-6) and np.allclose(b("forward", x).asnumpy(), y.asnumpy())
    slope = np.log(np.abs(ms.grad(lambda v: b.forward(v).sum())(x).asnumpy()))
    zero = np.zeros(x.shape)
    assert np.allclose(b.forward_log_jacobian(x).asnumpy() + zero, slope, atol=1e-6)
    assert np.allclose(b.inverse_log_jacobian(y).asnumpy() + zero, -slope, atol=1e-6)


def test_transformed_distributions():
    d = msb.Exp()(msd.Normal(0.1, 0.5))
    x, want = Tensor([0.5, 1.0, 3.0]), msd.LogNormal(0.1, 0.5)
    assert isinstance(d, msd.TransformedDistribution) and np.allclose(d.prob(x).asnumpy(), want.prob(x).asnumpy(), rtol=1e-5)
    assert np.allclose(d.cdf(x).asnumpy(), want.cdf(x).asnumpy(), rtol=1e-5) and d.sample((4,)).shape == (4,)
    line = msd.TransformedDistribution(msb.ScalarAffine(2.0, 1.0), msd.Normal(3.0, 1.0))
    assert float(line.mean()) == 7.0 and np.allclose(line.log_prob(x).asnumpy(), msd.Normal(7.0, 2.0).log_prob(x).asnumpy(), rtol=1e-5)
    with pytest.raises(NotImplementedError, match="no mean"):
        d.mean()


def test_bayesian_layers_learn():
    ms.set_seed(3)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 4)).astype(np.float32)
    y = (x @ rng.standard_normal((4, 1)) + 0.5).astype(np.float32)
    for layer in (bnn_layers.DenseReparam(4, 1), bnn_layers.DenseLocalReparam(4, 1)):
        net = nn.SequentialCell(layer)
        assert sorted(p.name.split(".")[-1] for p in net.trainable_params()) == [
            "mean", "mean", "untransformed_std", "untransformed_std"]
        step = nn.TrainOneStepCell(bnn_layers.WithBNNLossCell(net, nn.MSELoss(), 1, 1e-4), nn.Adam(net.trainable_params(), 0.05))
        losses = [float(step(Tensor(x), Tensor(y))) for _ in range(80)]
        assert losses[-1] < 0.1 * losses[0]
    conv = bnn_layers.ConvReparam(3, 4, 3, stride=2, has_bias=True)
    a, b = (conv(Tensor(np.ones((2, 3, 8, 8), np.float32))) for _ in range(2))
    assert a.shape == (2, 4, 4, 4) and not np.array_equal(a.asnumpy(), b.asnumpy()) and float(conv.compute_kl_loss()) > 0


def test_distributions_of_ones_own():
    class Triangle(msd.Distribution):
        def __init__(self):
            super().__init__(0, ms.float32, "Triangle", {})

        def _prob(self, value):
            return 2 * value

        def _cdf(self, value):
            return value * value

    t = Triangle()
    x = Tensor(0.5)
    assert abs(float(t.log_prob(x))) < 1e-6 and float(t.survival_function(x)) == 0.75 and abs(float(t.log_cdf(x)) - np.log(0.25)) < 1e-6
    with pytest.raises(NotImplementedError, match="Triangle has no mean"):
        t.mean()


@pytest.mark.parametrize("error, match, call", [
    (ValueError, "sd must be greater than zero", lambda: msd.Normal(0.0, 0.0)), (TypeError, "dtype must be one of", lambda: msd.Normal(0.0, 1.0, dtype=ms.int32)),
    (ValueError, "within 0 and 1", lambda: msd.Bernoulli(1.5)), (ValueError, "sum up to 1", lambda: msd.Categorical([0.5, 0.6])),
    (ValueError, "low must be less", lambda: msd.Uniform(2.0, 1.0)), (TypeError, "there is no mean", lambda: msd.Normal().sd()),
    (TypeError, "value must be a Tensor", lambda: msd.Normal(0.0, 1.0).prob(1.0)), (ValueError, "another Normal", lambda: msd.Normal(0.0, 1.0).kl_loss(
        "Gamma", Tensor(1.0), Tensor(1.0))), (TypeError, "shape must be a tuple", lambda: msd.Normal(0.0, 1.0).sample(3)),
    (ValueError, "seed must not be negative", lambda: msd.Normal(0.0, 1.0, seed=-1)), (TypeError, "mean_b must be a Tensor", lambda: msd.Normal(
        0.0, 1.0).kl_loss("Normal")), (ValueError, "power must not", lambda: msb.PowerTransform(-1.0)),
    (TypeError, "bijector must be", lambda: msb.Invert(1)), (TypeError, "the parameters are mean, sd", lambda: msd.Normal(0.0, 1.0).mean(*[Tensor(1.0)] * 3))])
def test_errors(error, match, call):
    with pytest.raises(error, match=match):
        call()
