# SPDX-License-Identifier: Apache-2.0
"""Writes listings.json: the Python listings of the migration documents that use MindSpore's API, as they are printed.

    python tests/python/data/make_listings.py <folder of the documents>

The documents are the texts 000_... to 004_...; a listing is found by its document and the line of its first fence.
"""

import json
import pathlib
import sys
import textwrap

# name: (document, line of the opening fence)
PLACES = {"L2": (2, 59), "L3": (2, 79), "L4": (2, 96), "L5": (2, 170), "L6": (2, 208), "L7": (2, 219), "L8": (2, 225),
          "L9": (2, 231), "L22": (4, 199), "L24": (4, 261), "L26": (4, 321), "L27": (4, 346), "L29": (4, 393),
          "L30": (4, 413), "L40": (4, 576), "L41": (4, 589), "L42": (4, 602), "L44": (4, 643)}


def read(folder):
    """The listings by name."""
    found = {}
    for name, (document, line) in PLACES.items():
        path = next(pathlib.Path(folder).glob(f"{document:03d}_*.txt"))
        lines = path.read_text(encoding="utf-8").split("\n")[line - 1:]
        if lines[0].strip() != "```python":
            raise ValueError(f"{path}:{line} opens no listing: {lines[0]!r}")
        end = next(i for i, text in enumerate(lines[1:], 1) if text.strip() == "```")
        found[name] = textwrap.dedent("\n".join(lines[1:end])) + "\n"
    return found


if __name__ == "__main__":
    file = pathlib.Path(__file__).with_name("listings.json")
    file.write_text(json.dumps(read(sys.argv[1]), indent=1) + "\n", encoding="utf-8")
