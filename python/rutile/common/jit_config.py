# SPDX-License-Identifier: Apache-2.0
"""Options of jit and Cell.set_jit_config, as MindSpore names them."""

from rutile import _rutile

__all__ = ["JitConfig"]


class JitConfig:
    """jit_syntax_level: "LAX" or "" runs what cannot be compiled as it is written, "STRICT" makes it an error. jit_level
    ("O0" to "O3") and exc_mode are kept and change nothing: all passes run.

    >>> import rutile
    >>> rutile.JitConfig(jit_level="O1", jit_syntax_level="STRICT").jit_config_dict["jit_syntax_level"]
    'STRICT'
    """

    def __init__(self, jit_level="O1", exc_mode="auto", jit_syntax_level="", debug_level="RELEASE", **kwargs):
        for name, value, allowed in (("jit_level", jit_level, ("", "O0", "O1", "O2", "O3")),
                                     ("exc_mode", exc_mode, ("auto", "sink", "no_sink")),
                                     ("jit_syntax_level", jit_syntax_level, ("", "STRICT", "LAX"))):
            if value not in allowed:
                raise _rutile.errors.ValueError(f"JitConfig: {name} must be one of {list(allowed)}, got {value!r}")
        self.jit_config_dict = {"jit_level": jit_level, "exc_mode": exc_mode, "jit_syntax_level": jit_syntax_level,
                                "debug_level": debug_level, **kwargs}
