# SPDX-License-Identifier: Apache-2.0
"""Of all Python tests: a shell has its background jobs ignore Ctrl-C, and their children would inherit that."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
