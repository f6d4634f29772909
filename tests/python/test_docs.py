# SPDX-License-Identifier: Apache-2.0
"""The pages for people who come from elsewhere: their programs run, their table is that of the data, and its names exist."""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def blocks():
    for page in ("README.md", "docs/python.md", "docs/coming_from_mindspore.md", "docs/coming_from_pytorch.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for i, code in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)):
            yield pytest.param(code, id=f"{pathlib.Path(page).stem}-{i}")


@pytest.mark.parametrize("code", blocks())
def test_programs_run(code, tmp_path):
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "page.py"], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def mapping():
    spec = importlib.util.spec_from_file_location("api_mapping", ROOT / "tools/api_mapping.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_names_of_the_mapping_exist(mapping):
    data = json.loads((ROOT / "docs/api/pytorch.json").read_text(encoding="utf-8"))
    rows = data["rows"]
    assert len(rows) > 1000 and len({r["torch"] for r in rows}) == len(rows)
    gone = [r["torch"] for r in rows if r["rutile"] and mapping.find(r["rutile"]) is None]
    assert not gone, f"run tools/api_mapping.py: {gone}"
    for r in rows:
        assert r["status"] in ("same", "arguments", "differs", "missing") and (r["status"] == "missing") == (r["rutile"] is None)


def test_the_table_is_that_of_the_data(mapping):
    data = json.loads((ROOT / "docs/api/pytorch.json").read_text(encoding="utf-8"))
    assert mapping.page(data) in (ROOT / "docs/coming_from_pytorch.md").read_text(encoding="utf-8")


def test_same_means_the_same_arguments(mapping):
    """A few whose meaning is checked by numbers elsewhere, so that the rule is not empty."""
    rows = {r["torch"]: r["status"] for r in json.loads((ROOT / "docs/api/pytorch.json").read_text(encoding="utf-8"))["rows"]}
    for name in ("torch.relu", "torch.sum", "torch.matmul", "torch.where", "torch.Tensor.reshape", "torch.nn.ReLU"):
        assert rows[name] == "same", name
    for name in ("torch.nn.Conv2d", "torch.gather", "torch.nn.BatchNorm2d"):
        assert rows[name] == "differs", name
