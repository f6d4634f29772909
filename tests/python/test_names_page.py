# SPDX-License-Identifier: Apache-2.0
"""docs/python_ops.md says which names are there."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import python_ops_page
    finally:
        sys.path.pop(0)
    assert (ROOT / "docs/python_ops.md").read_text() == python_ops_page.page(), "run tools/python_ops_page.py"
