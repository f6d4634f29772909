# SPDX-License-Identifier: Apache-2.0
"""MindSpore's functions whose name or arguments differ from the op of the table."""

from rutile.ops.function._util import _axes, _axis, _pair  # noqa: F401
from rutile.ops.function.creation import *  # noqa: F401,F403
from rutile.ops.function.arithmetic import *  # noqa: F401,F403
from rutile.ops.function.network import *  # noqa: F401,F403
from rutile.ops.function.network import _padding, _reduce, _spatial_pad  # noqa: F401
from rutile.ops.function.arrange import *  # noqa: F401,F403
from rutile.ops.function.control import *  # noqa: F401,F403
from rutile.ops.function.spatial import *  # noqa: F401,F403
from rutile.ops.function.statistics import *  # noqa: F401,F403
from rutile.ops.function.places import *  # noqa: F401,F403
from rutile.ops.function.selection import *  # noqa: F401,F403
from rutile.ops.function.aliases import *  # noqa: F401,F403
from rutile.ops.function.drawn import *  # noqa: F401,F403
from rutile.ops.function.images import *  # noqa: F401,F403
from rutile.ops.function.exact import *  # noqa: F401,F403
from rutile.ops.function.linear import *  # noqa: F401,F403
from rutile.ops.function.windows import *  # noqa: F401,F403
from rutile.ops.function.spectral import *  # noqa: F401,F403
from rutile.ops.function.sparse import *  # noqa: F401,F403
from rutile.ops.function.factors import *  # noqa: F401,F403
from rutile.ops.function import aliases, drawn, exact, factors, images, linear, sparse, spectral, windows
from rutile.ops.function import arithmetic, arrange, control, creation, network, places, selection, spatial, statistics

__all__ = arithmetic.__all__ + arrange.__all__ + control.__all__ + creation.__all__ + network.__all__ + selection.__all__
__all__ += spatial.__all__ + statistics.__all__ + places.__all__
__all__ += aliases.__all__ + drawn.__all__ + exact.__all__ + images.__all__ + linear.__all__ + windows.__all__ + spectral.__all__ + sparse.__all__ + factors.__all__


def __getattr__(name):
    # Functions of the table and of transforms, and MindSpore's modules of functions, stand in rutile.ops.
    if name.startswith("__"):
        raise AttributeError(name)
    from rutile import ops
    return getattr(ops, name)
