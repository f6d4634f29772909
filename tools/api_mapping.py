#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's names and ours: writes docs/api/pytorch.json and the table of docs/coming_from_pytorch.md.

    PYTHONPATH=build/release/python .venv/bin/python tools/api_mapping.py [--check]

docs/api/torch_names.json holds PyTorch's names (tools/torch_names.py), docs/api/pytorch_notes.json what was written by hand:
{name: [our name or null, what is different]}. Other names are looked for under the same name. A row of pytorch.json is
{"torch", "rutile" (null: there is none), "status", "note", "torch_args", "rutile_args"}; status is "same" (the same
arguments, as far as their names tell), "arguments" (of other names), "differs" (see the note) or "missing". --check compares
the page with pytorch.json and needs no package.
"""
import importlib
import inspect
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA, PAGE = ROOT / "docs/api/pytorch.json", ROOT / "docs/coming_from_pytorch.md"
BEGIN, END = "<!-- table: docs/api/pytorch.json -->\n", "<!-- end of the table -->\n"
HOMES = {"torch.nn.functional.": "rutile.ops.", "torch.nn.": "rutile.nn.", "torch.Tensor.": "rutile.Tensor.",
         "torch.optim.": "rutile.nn.", "torch.": "rutile.ops."}
TITLES = {"torch": "torch", "torch.Tensor": "torch.Tensor", "torch.nn": "torch.nn", "torch.nn.functional": "torch.nn.functional",
          "torch.nn.init": "torch.nn.init", "torch.optim": "torch.optim", "torch.optim.lr_scheduler": "torch.optim.lr_scheduler",
          "torch.utils.data": "torch.utils.data", "torchvision.transforms": "torchvision.transforms",
          "torchvision.datasets": "torchvision.datasets"}
# Spellings that mean the same.
ALIKE = {"axis": "dim", "axes": "dim", "keepdims": "keepdim", "keep_dims": "keepdim", "x": "input", "y": "other", "shape": "size",
         "epsilon": "eps", "strides": "stride", "indices": "index", "equation": "subscripts"}


# PyTorch's arguments of other devices, deprecated ones, and those whose absence is an error that says so.
IGNORED = {"dtype", "requires_grad", "size_average", "reduce", "memory_format", "stable", "factory_kwargs"}


def find(name):
    """The object of a dotted name; None where there is none."""
    parts = name.split(".")
    o = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(o, part):
            try:
                o = importlib.import_module(".".join(parts[:i]))
            except ImportError:
                return None
        else:
            o = getattr(o, part)
    return o


def namesakes(name):
    """What is called as a name of PyTorch's is, where users would look for it."""
    home = next((h for h in HOMES if name.startswith(h)), None)
    last = name.rpartition(".")[2]
    return [o for o in dict.fromkeys(h + last for h in (HOMES.get(home, "rutile."), "rutile.ops.", "rutile."))
            if find(o) is not None]


def arguments(o):
    try:
        parameters = list(inspect.signature(o).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return None  # anything
    return [p.name for p in parameters if p.name != "self" and p.kind != p.VAR_KEYWORD]


def rows():
    names = json.loads((ROOT / "docs/api/torch_names.json").read_text(encoding="utf-8"))["names"]
    notes = json.loads((ROOT / "docs/api/pytorch_notes.json").read_text(encoding="utf-8"))
    unknown = sorted(set(notes) - set(names))
    if unknown:
        sys.exit(f"api_mapping: notes on names that PyTorch has not: {unknown}")
    for name, args in names.items():
        ours, note = notes.get(name, ("", ""))
        if ours == "":
            home = next((h for h in HOMES if name.startswith(h) and "." not in name[len(h):]), None)
            ours = HOMES[home] + name[len(home):] if home else None
            if ours and find(ours) is None:
                ours = None
        elif ours is not None and find(ours) is None:
            sys.exit(f"api_mapping: {name}: there is no {ours}")
        elif ours is None and (there := namesakes(name)):
            sys.exit(f"api_mapping: {name} is null in pytorch_notes.json, but there is {there[0]}")
        ours_args = arguments(find(ours)) if ours and not inspect.ismodule(find(ours)) else None
        alike = lambda some: [ALIKE.get(a, a) for a in some if a != "self"]  # noqa: E731
        if ours is None:
            status = "missing"
        elif note or ours.rpartition(".")[2] != name.rpartition(".")[2]:
            status = "differs"
        elif args is None or ours_args is None or name.startswith("torch.Tensor."):
            status = "same"
        else:
            # By name: each of PyTorch's arguments is there.
            status = "same" if not set(alike(args)) - set(alike(ours_args)) - IGNORED else "arguments"
        yield {"torch": name, "rutile": ours, "status": status, "note": note, "torch_args": args, "rutile_args": ours_args}


def remark(row):
    if row["note"]:
        return row["note"]
    if row["status"] == "arguments":
        return f"({', '.join(row['rutile_args'])})"
    return ""


def page(data):
    groups = {}
    for row in data["rows"]:
        groups.setdefault(row["torch"].rpartition(".")[0], []).append(row)
    lines = [BEGIN]
    for title, some in sorted(groups.items(), key=lambda g: (list(TITLES).index(g[0]) if g[0] in TITLES else 99, g[0])):
        there = [r for r in some if r["rutile"] is not None or r["note"]]
        missing = [r["torch"].rpartition(".")[2] for r in some if r not in there]
        lines.append(f"\n### {title}: {len(there)} of {len(some)}\n\n")
        same = [r for r in there if r["status"] == "same"]
        other = [r for r in there if r["status"] != "same"]
        if other:
            lines.append("| PyTorch | Rutile | what is different |\n|---|---|---|\n")
            for r in other:
                ours = f"`{r['rutile'].removeprefix('rutile.')}`" if r["rutile"] else ""
                lines.append(f"| `{r['torch'].rpartition('.')[2]}` | {ours} | {remark(r)} |\n")
            lines.append("\n")
        for what, found in (("The same in `" + (same[0]["rutile"].rpartition(".")[0] if same else "") + "`", [
                r["torch"].rpartition(".")[2] for r in same]), ("Missing", missing)):
            if found:
                lines.append(f"{what}: {wrapped(found)}\n\n")
    lines.append(END)
    return "".join(lines)


def wrapped(names):
    text, length = "", 0
    for n in names:
        if length + len(n) > 100:
            text, length = text.rstrip() + "\n", 0
        text += f"`{n}` "
        length += len(n) + 3
    return text.rstrip() + "."


def main():
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    if "--check" in sys.argv:
        data = json.loads(DATA.read_text(encoding="utf-8"))
        sys.exit(0 if text == head + page(data) + tail else f"{PAGE} is out of date: run tools/api_mapping.py")
    version = json.loads((ROOT / "docs/api/torch_names.json").read_text(encoding="utf-8"))["version"]
    data = {"torch": version, "rows": list(rows())}
    DATA.write_text(f'{{"torch": "{version}", "rows": [\n' + ",\n".join(json.dumps(r) for r in data["rows"]) + "\n]}\n",
                    encoding="utf-8")
    PAGE.write_text(head + page(data) + tail, encoding="utf-8")
    counts = {s: sum(r["status"] == s for r in data["rows"]) for s in ("same", "arguments", "differs", "missing")}
    print(f"api_mapping: {len(data['rows'])} names, {counts}")


if __name__ == "__main__":
    main()
