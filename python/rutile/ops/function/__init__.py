# SPDX-License-Identifier: Apache-2.0
"""MindSpore's functions whose name or arguments differ from the op of the table."""

from rutile.ops.function._util import _axis, _pair  # noqa: F401
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
from rutile.ops.function import arithmetic, arrange, control, creation, network, places, selection, spatial, statistics

__all__ = arithmetic.__all__ + arrange.__all__ + control.__all__ + creation.__all__ + network.__all__ + selection.__all__
__all__ += spatial.__all__ + statistics.__all__ + places.__all__
