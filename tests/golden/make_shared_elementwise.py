# SPDX-License-Identifier: Apache-2.0
"""Writes shared_elementwise.json: activations and NumPy-like functions (needs torch)."""

import torch
import torch.nn.functional as F
from shared_ops import SharedOps, index, real, values

NAN, INF = float("nan"), float("inf")
EDGES = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 30.0, -30.0, 1e-8]
ops = SharedOps("elementwise")


def unary(op, function, edges=EDGES, bound=3.0, offset=0.0, **attrs):
    ops.case(op, function, [real(3, 4, bound=bound, offset=offset)], **attrs)
    if edges:
        ops.case(op, function, [values(edges)], gradient=False, **attrs)


def binary(op, function, a=2.0, b=2.0, offset=0.0, edges=True, gradient=True, **attrs):
    inputs = [real(3, 4, bound=a, offset=offset), real(4, bound=b, offset=offset)]
    ops.case(op, function, inputs, gradient=gradient, **attrs)
    if edges:
        pairs = [(x, y) for x in (NAN, INF, -INF, 0.0, 2.5, -1.5) for y in (NAN, INF, -INF, 0.0, 1.0, -2.0)]
        ops.case(op, function, [values([p[0] for p in pairs]), values([p[1] for p in pairs])], gradient=False, **attrs)


unary("selu", F.selu)
unary("celu", lambda x: F.celu(x, 1.5), alpha=1.5)
unary("mish", F.mish)
unary("softsign", F.softsign, edges=[NAN, 0.0, 1.0, -3.0])
unary("logsigmoid", F.logsigmoid)
unary("tanhshrink", F.tanhshrink)
unary("hardtanh", lambda x: F.hardtanh(x, -1.0, 2.0), min_val=-1.0, max_val=2.0)
ops.case("hardtanh", F.hardtanh, [values([-1.0, 1.0, 0.5, -2.0, 2.0])])
unary("threshold", lambda x: F.threshold(x, 0.5, -3.0), threshold=0.5, value=-3.0)
unary("softshrink", lambda x: F.softshrink(x, 0.7), lambd=0.7)
unary("hardshrink", lambda x: F.hardshrink(x, 0.7), lambd=0.7)
ops.case("softshrink", F.softshrink, [values([-0.5, 0.5, 0.0, 1.0, -1.0])])
ops.case("hardshrink", F.hardshrink, [values([-0.5, 0.5, 0.0, 1.0, -1.0])])
ops.case("prelu", F.prelu, [real(2, 3, 4), real(3)])
ops.case("prelu", F.prelu, [real(2, 3), real(1)])
ops.case("prelu", F.prelu, [real(5), real(1)])
ops.case("glu", F.glu, [real(3, 6)], axis=-1)
ops.case("glu", lambda x: F.glu(x, 1), [real(2, 4, 3)], axis=1)
ops.case("softmin", lambda x: F.softmin(x, 1), [real(2, 4, 3)], axis=1)
ops.case("elu", F.elu, [real(3, 4)])
ops.case("relu6", F.relu6, [real(3, 4, bound=9.0)])
ops.case("hsigmoid", F.hardsigmoid, [real(3, 4, bound=5.0)])
ops.case("hswish", F.hardswish, [real(3, 4, bound=5.0)])
ops.case("silu", F.silu, [real(3, 4, bound=5.0)])
for form in ("none", "tanh"):
    unary("gelu", lambda x, form=form: F.gelu(x, approximate=form), edges=[NAN, INF, 0.0, 1.0, -3.0],
          approximate=form)

unary("log10", torch.log10, offset=4.0)
unary("cbrt", lambda x: torch.sign(x) * torch.abs(x) ** (1 / 3), edges=None, bound=1.0, offset=2.0)
unary("sinc", torch.sinc, edges=[NAN, 0.0, 1.0, 0.5, -0.25])
ops.case("sinc", torch.sinc, [values([0.0, 0.3])])
unary("deg2rad", torch.deg2rad, bound=180.0)
unary("rad2deg", torch.rad2deg)
unary("erfinv", torch.erfinv, edges=[NAN, 1.0, -1.0, 0.0, 2.0, 0.999999, 1e-9], bound=0.95)
unary("lgamma", torch.lgamma, edges=[NAN, INF, -INF, 0.0, 1.0, -1.0, 0.5, -0.5, 30.0, 1e-8])
unary("digamma", torch.digamma, edges=[NAN, INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 30.0, 1e-8])
ops.case("digamma", torch.digamma, [real(8, bound=2.0, offset=3.0)])
for n in (1, 2, 5):
    ops.case("polygamma", lambda x, n=n: torch.polygamma(n, x), [real(6, bound=2.0, offset=3.0)], n=n)
unary("i0", torch.special.i0, bound=15.0, edges=[NAN, 0.0, 8.0, -8.0, 100.0])
unary("i1", torch.special.i1, bound=15.0, edges=[NAN, 0.0, 8.0, -8.0, 100.0])
unary("logit", lambda x: torch.logit(x, 0.1), bound=0.5, offset=0.5, edges=[NAN, 0.0, 1.0, 0.5], eps=0.1)
unary("logit", torch.logit, bound=0.45, offset=0.5, edges=[NAN, 0.0, 1.0, 0.5])
unary("frac", torch.frac, edges=[NAN, 0.0, 1.5, -1.5])
unary("signbit", torch.signbit)
unary("isposinf", torch.isposinf)
unary("isneginf", torch.isneginf)
unary("nan_to_num", torch.nan_to_num)
ops.case("nan_to_num", lambda x: torch.nan_to_num(x, 1.0, 2.0, -3.0), [values([NAN, INF, -INF, 4.0])],
         nan=1.0, posinf=2.0, neginf=-3.0)

binary("fmod", torch.fmod, offset=0.7)
ops.case("trunc_div", lambda x, y: torch.div(x, y, rounding_mode="trunc"), [real(3, 4, bound=9.0), real(4)])
binary("hypot", torch.hypot)
binary("copysign", torch.copysign)
binary("nextafter", torch.nextafter, gradient=False)
binary("heaviside", torch.heaviside, gradient=False, edges=False)  # of NaN, ours is NaN
binary("logaddexp", torch.logaddexp)
binary("logaddexp2", torch.logaddexp2)
binary("xlogy", torch.xlogy, b=1.0, offset=1.5)
binary("xlog1py", torch.special.xlog1py, b=0.9)
ops.case("xlogy", torch.xlogy, [values([0.0, 0.0, 1.0]), values([0.5, 2.0, 3.0])])
binary("ldexp", torch.ldexp, edges=False)
binary("float_power", torch.float_power, b=1.0, offset=2.5, edges=False)
ops.case("isclose", torch.isclose, [values(EDGES + [1.00001]), values(EDGES + [1.0])])
ops.case("isclose", lambda x, y: torch.isclose(x, y, equal_nan=True), [values(EDGES), values(EDGES)], equal_nan=True)
ops.case("lerp", torch.lerp, [real(3, 4), real(4), real(3, 1)])
ops.case("addcmul", lambda x, a, b: torch.addcmul(x, a, b, value=0.7), [real(3, 4), real(4), real(3, 1)], value=0.7)
ops.case("addcdiv", lambda x, a, b: torch.addcdiv(x, a, b, value=0.7),
         [real(3, 4), real(4), real(3, 1, offset=2.0)], value=0.7)
ops.case("clamp", lambda x, a, b: torch.clamp(x, a, b), [real(3, 4, bound=2.0), real(4, offset=-1.0), real(4, offset=1.0)])
ops.case("clamp", lambda x, a: torch.clamp(x, min=a), [real(3, 4, bound=2.0), real(4)])
ops.case("clamp", lambda x, a, b: torch.clamp(x, a, b),
         [values([0.0, 1.0, 2.0, 3.0]), values([1.0, 1.0, 2.5, 1.0]), values([2.0, 1.0, 1.5, 4.0])])
PAIRS = [index(24, modulo=60), index(24, modulo=40)]
ops.case("gcd", torch.gcd, PAIRS)
ops.case("lcm", torch.lcm, PAIRS)
ops.case("bitwise_left_shift", torch.bitwise_left_shift, [index(24, modulo=60), index(24, modulo=20)])
ops.case("bitwise_right_shift", torch.bitwise_right_shift, [index(24, modulo=60), index(24, modulo=5)])
ops.write()
