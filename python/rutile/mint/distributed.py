# SPDX-License-Identifier: Apache-2.0
"""Groups of processes and their collectives under PyTorch's names: those of rutile.ops.communication."""

from rutile.ops.communication import *  # noqa: F401,F403
