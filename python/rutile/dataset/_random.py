# SPDX-License-Identifier: Apache-2.0
"""Random numbers of a pipeline: each sample has its own, by seed, place in the pipeline, epoch and number."""

import threading as _threading

import numpy as _np

from rutile.dataset import config as _config

_local = _threading.local()
_FIXED = 5489  # where processes have to agree and nobody set a seed


def seed_of_run():
    """The seed set by the user, or one from the system."""
    seed = _config.seed_in_force()
    return _np.random.SeedSequence().entropy % 2**63 if seed is None else seed


def shared_seed():
    """The seed set by the user, or a fixed one: the same in all processes."""
    seed = _config.seed_in_force()
    return _FIXED if seed is None else seed


def generator_for(*key):
    """A numpy Generator that depends on the numbers alone."""
    return _np.random.Generator(_np.random.PCG64(_np.random.SeedSequence([int(k) for k in key])))


def use_key(key):
    """The draws of this thread depend on the key from here on; None: on the seed and what was drawn before."""
    _local.key, _local.rng = key, None


def rng():
    """The generator that a transform draws from."""
    found = getattr(_local, "rng", None)
    edition = _config.seed_edition()
    if found is None or (_local.key is None and _local.edition != edition):
        key = getattr(_local, "key", None)
        found = generator_for(*key) if key is not None else generator_for(seed_of_run())
        _local.key, _local.rng, _local.edition = key, found, edition
    return found
