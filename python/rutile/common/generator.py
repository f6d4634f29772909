# SPDX-License-Identifier: Apache-2.0
"""Generators of random numbers of one's own, and the default one, by MindSpore's names.

>>> import rutile
>>> g = rutile.Generator().manual_seed(3)
>>> first = rutile.mint.rand(2, generator=g)
>>> again = rutile.mint.rand(2, generator=rutile.Generator().manual_seed(3))
>>> bool((first == again).all())
True
"""

from rutile import _rutile
from rutile._rutile import Tensor

__all__ = ["Generator", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]

_errors = _rutile.errors


class Generator:
    """A source of random numbers: the argument `generator` of mint's functions and of Tensor's methods."""

    def __init__(self):
        self._keys, self._seed = _rutile.Keys(0), 0

    def manual_seed(self, seed):
        """Starts again from a number; returns the generator."""
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise _errors.TypeError(f"Generator.manual_seed: the seed is an int, got {type(seed).__name__}")
        self._keys.seed(seed)
        self._seed = seed
        return self

    def seed(self):
        """Starts again from a number that the system draws, and returns it."""
        import secrets
        self.manual_seed(secrets.randbits(62))
        return self._seed

    def initial_seed(self):
        """The number it started from."""
        return self._seed

    def get_state(self):
        """Where it stands, for set_state: a uint64 Tensor."""
        return self._keys.get_state().copy()

    def set_state(self, state):
        """Goes on from where get_state() was called."""
        if not isinstance(state, Tensor) or state.shape != (2,):
            raise _errors.TypeError("Generator.set_state takes what get_state() gave")
        self._keys.set_state(state.cast("uint64"))
        self._seed = int(state.asnumpy()[0])

    def next_key(self):
        """The key of the next random op, uint64 [1]; what ops of the table take as `key`."""
        return self._keys.next_key()


class _Default(Generator):
    """The one that random ops draw from without another."""

    def __init__(self):
        self._keys = _rutile.default_keys()

    def manual_seed(self, seed):
        """Starts again from a number; returns the generator."""
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise _errors.TypeError(f"manual_seed: the seed is an int, got {type(seed).__name__}")
        from rutile.common.seed import restart
        restart(seed)
        return self

    def initial_seed(self):
        """The number it started from."""
        return int(self._keys.get_state().asnumpy()[0])

    @property
    def _seed(self):
        return self.initial_seed()

    @_seed.setter
    def _seed(self, value):
        pass


default_generator = _Default()


def manual_seed(seed):
    """default_generator.manual_seed(seed)"""
    return default_generator.manual_seed(seed)


def seed():
    """The default generator starts again from a number that the system draws, and returns it."""
    return default_generator.seed()


def initial_seed():
    """The number that the default generator started from."""
    return default_generator.initial_seed()


def get_rng_state():
    """Where the default generator stands, for set_rng_state."""
    return default_generator.get_state()


def set_rng_state(state):
    """The default generator goes on from where get_rng_state() was called."""
    default_generator.set_state(state)
