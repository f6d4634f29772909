# SPDX-License-Identifier: Apache-2.0
"""Methods and properties of Tensor and Parameter besides those that the extension has: its own, and every op of the table."""

from rutile._tensor_methods import (accepted, arithmetic, by_name, conversion, creation, elements, hooks, in_place,  # noqa: F401
                                    keywords, reductions, shapes)

keywords.install()
