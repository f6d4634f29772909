# SPDX-License-Identifier: Apache-2.0
"""Lines of a log, as MindSpore's scripts write them: `from rutile import log as logger; logger.info("epoch %d", 1)`.

The environment's GLOG_v chooses the least level that is written: 0 debug, 1 info, 2 warning (the default), 3 error, 4 critical.
"""

import logging as _logging
import os as _os
import sys as _sys

__all__ = ["critical", "debug", "error", "get_level", "get_log_config", "info", "warning"]

_LEVELS = (_logging.DEBUG, _logging.INFO, _logging.WARNING, _logging.ERROR, _logging.CRITICAL)


def get_level():
    """The least level that is written, as a text: "0" (debug) to "4" (critical).

    >>> from rutile import log
    >>> log.get_level() in ("0", "1", "2", "3", "4")
    True
    """
    level = _os.environ.get("GLOG_v", "2")
    return level if level in ("0", "1", "2", "3", "4") else "2"


def get_log_config():
    """The settings of the log."""
    return {"GLOG_v": get_level(), "GLOG_logtostderr": "1"}


class _Handler(_logging.StreamHandler):
    """Writes to what stderr is at the time."""

    @property
    def stream(self):
        return _sys.stderr

    @stream.setter
    def stream(self, value):
        pass


def _logger():
    # Not the package's own logger, whose records are its users' to route.
    logger = _logging.getLogger("rutile.log")
    if not logger.handlers:
        handler = _Handler()
        handler.setFormatter(_logging.Formatter("[%(levelname)s] RUTILE(%(process)d):%(asctime)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(_LEVELS[int(get_level())])
    return logger


def debug(msg, *args, **kwargs):
    """A line of level 0."""
    _logger().debug(msg, *args, **kwargs)


def info(msg, *args, **kwargs):
    """A line of level 1."""
    _logger().info(msg, *args, **kwargs)


def warning(msg, *args, **kwargs):
    """A line of level 2."""
    _logger().warning(msg, *args, **kwargs)


def error(msg, *args, **kwargs):
    """A line of level 3."""
    _logger().error(msg, *args, **kwargs)


def critical(msg, *args, **kwargs):
    """A line of level 4."""
    _logger().critical(msg, *args, **kwargs)


def warning_once(msg, *args, **kwargs):
    """A line of level 2, the first time that it has this text."""
    if msg not in _written:
        _written.add(msg)
        warning(msg, *args, **kwargs)


_written = set()


class _LogActionOnce:
    """Decorates a function: what it logs as a warning is written at its first call alone."""

    is_logged = {}

    def __init__(self, logger, key, no_warning=False):
        self.logger, self.key, self.no_warning = logger, key, no_warning

    def __call__(self, function):
        def call(*args, **kwargs):
            before = self.logger.warning
            if self.no_warning or self.is_logged.setdefault(self.key, False):
                self.logger.warning = lambda *_, **__: None
            self.is_logged[self.key] = True
            try:
                return function(*args, **kwargs)
            finally:
                self.logger.warning = before

        return call
