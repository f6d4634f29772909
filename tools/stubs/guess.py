# SPDX-License-Identifier: Apache-2.0
"""Types of what carries no annotation: from names, defaults and return statements. What they leave open is Any."""
import ast
import inspect
import re

INTS = set("kernel_size stride padding dilation output_size output_padding pads strides dilations ksize normalized_shape "
           "size axes dims shape repeats shifts".split())
INT = set("in_channels out_channels num_features num_channels num_groups group groups vocab_size embedding_size hidden_size input_size "
          "num_layers epoch batch_size num_epochs steps_per_epoch step_per_epoch decay_steps warmup_steps total_step".split())
ANY = set("weight_init bias_init gamma_init beta_init moving_mean_init moving_var_init embedding_table activation learning_rate "
          "weight_decay padding pad_mode init value fill_value axis dim init_value device min max start end stop step".split())
TENSOR = set("input input_x input_y x y other logits labels label target targets predict prediction weight indices index "
             "input1 input2 x1 x2 mask cond condition values updates tensor a b mat1 mat2 q k v query key src grad_output".split())
ATTRIBUTES = {"dtype": "DTypeLike | None", "bool": "bool", "int": "int", "float": "float", "number": "Number", "ints": "Ints",
              "str": "str", "region": "Any"}
DUNDER_RESULTS = {"__init__": "None", "__repr__": "str", "__str__": "str", "__len__": "int", "__iter__": "Iterator[Any]",
                  "__eq__": "bool", "__hash__": "int", "__bool__": "bool", "__contains__": "bool", "__setattr__": "None",
                  "__setitem__": "None", "__delitem__": "None", "__delattr__": "None", "__exit__": "None", "__del__": "None"}
# What users' code leans on most and what no rule finds.
RESULTS = {
    "Cell.trainable_params": "list[Parameter]", "Cell.untrainable_params": "list[Parameter]",
    "Cell.get_parameters": "Iterator[Parameter]", "Cell.parameters_dict": "dict[str, Parameter]", "Cell.cells": "Iterator[Cell]",
    "Cell.cells_and_names": "Iterator[tuple[str, Cell]]", "Cell.parameters_and_names": "Iterator[tuple[str, Parameter]]",
    "Cell.__call__": "Any", "Cell.__getattr__": "Any", "value_and_grad": "Callable[..., Any]", "grad": "Callable[..., Any]",
    "get_grad": "Callable[..., Any]", "load_checkpoint": "dict[str, Any]", "num_threads": "int", "set_num_threads": "None",
    "from_numpy": "Tensor", "from_dlpack": "Tensor", "load_op_library": "list[str]", "get_seed": "int | None",
}


def plain(kind):
    """A type with built-in names as stubs write them: methods of Tensor are called bool, float, int."""
    return re.sub(r"(?<![\w.'\"])(bool|int|float|complex|str|bytes|list|tuple|dict|set|type)\b(?!: ignore)", r"_\1", kind)


def literal(default):
    """A default as text; "..." for what has none."""
    if default is None or type(default) in (bool, int, str):
        return repr(default)
    if type(default) is float and default == default and abs(default) < 1e300:
        return repr(default)
    return "..."


def parameter_type(name, default, tensors):
    """For Python functions; `tensors`: in modules of ops, whose first arguments are what their names say."""
    empty = inspect.Parameter.empty
    if isinstance(default, bool):
        return "bool"
    if name in ("dtype", "ms_type", "dst_type", "compute_dtype", "param_init_type") and not isinstance(default, int):
        return "DTypeLike | None"
    if name in ANY:
        return "Any"
    if name in INTS:
        return "Ints | None" if default is None else "Any" if isinstance(default, str) else "Ints"
    if name in INT and (default is empty or isinstance(default, int)):
        return "int"
    if tensors and name in TENSOR:
        return "TensorLike | None" if default is None else "TensorLike"
    if default is None or default is empty:
        return "Any"
    if isinstance(default, str):
        return "str"
    if isinstance(default, (int, float)):
        return "float"
    return "Any"


def annotation_text(annotation):
    if isinstance(annotation, str):
        return annotation
    if annotation is None:
        return "None"
    return getattr(annotation, "__name__", None) if inspect.isclass(annotation) else str(annotation).replace("typing.", "")


def parameters(package, f, module):
    """The parameters of a function, as a stub writes them."""
    try:
        signature = inspect.signature(f)
    except (ValueError, TypeError):
        return ["*args: Any", "**kwargs: Any"]
    row = package.rows.get(package.of_table.get(id(f)))
    types = table_types(row) if row else {}
    text, slash, star = [], False, False
    for p in signature.parameters.values():
        if slash and p.kind != p.POSITIONAL_ONLY:
            text.append("/")
        slash = p.kind == p.POSITIONAL_ONLY
        if p.kind == p.KEYWORD_ONLY and not star:
            text.append("*")
        star = star or p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY)
        name = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name
        if p.name in ("self", "cls") and not text:
            text.append(name)
            continue
        if p.annotation is not p.empty:
            kind = annotation_text(p.annotation) or "Any"
        elif p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            kind = "Any"
        else:
            kind = types.get(p.name) or parameter_type(p.name, p.default, module.startswith("rutile.ops"))
        text.append(f"{name}: {plain(kind)}" + ("" if p.default is p.empty else f" = {literal(p.default)}"))
    return text + (["/"] if slash else [])


def table_types(row):
    """Parameter -> type of an op of the table. Attributes take None where their default is what Python writes as None."""
    types = {}
    for name, how in row["inputs"]:
        types[name] = {"one": "TensorLike", "optional": "TensorLike | None", "several": "TensorLike | Sequence[TensorLike]"}[how]
    for name, kind in row["attributes"]:
        types[name] = ATTRIBUTES[kind]
        if kind in ("float", "number", "ints"):
            types[name] += " | None"
    if "key" in types:
        types["key"] = "Tensor | None"
    return types


def table_result(row):
    if row["several_outputs"]:
        return "tuple[Tensor, ...]"
    if row["outputs"] == 1:
        return "Tensor"
    return "tuple[" + ", ".join(["Tensor"] * row["outputs"]) + "]"


def type_of_value(o, package):
    for kind in (bool, int, float, str):
        if type(o) is kind:
            return kind.__name__
    if o is None:
        return "None"
    home = package.home(type(o))
    if home == ("rutile.dtype", "DType"):
        return "DType"
    if isinstance(o, dict):
        return "dict[Any, Any]"
    if isinstance(o, (list, tuple, set)):
        return {list: "list[Any]", tuple: "tuple[Any, ...]", set: "set[Any]"}.get(type(o), "Any")
    return "Any"


def pybind_lines(f, name, indent):
    """A function of pybind11, whose documentation begins with its signature."""
    text = (getattr(f, "__doc__", None) or "").split("\n")[0]
    try:
        node = ast.parse(f"def {text.replace('rutile._rutile.', '')}: ...").body[0]
        known = {"str", "int", "float", "bool", "None", "Any", "list", "dict", "tuple"}
        arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        for a in arguments:
            names = {n.id for n in ast.walk(a.annotation) if isinstance(n, ast.Name)} if a.annotation else set()
            if a.arg in ("self", "arg0") and a is arguments[0] and indent:
                a.arg, a.annotation = "self", None
            elif not names or not names <= known or names & {"int", "float", "list", "dict", "tuple"}:
                a.annotation = ast.Name("Any")
        returns = {n.id for n in ast.walk(node.returns) if isinstance(n, ast.Name)} if node.returns else set()
        result = ast.unparse(node.returns) if node.returns and returns <= known - {"list", "dict", "tuple"} else "Any"
        return [f"{indent}def {name}({ast.unparse(node.args)}) -> {result}: ..."]
    except SyntaxError:
        self = "self, " if indent else ""
        return [f"{indent}def {name}({self}*args: Any, **kwargs: Any) -> {DUNDER_RESULTS.get(name, 'Any')}: ..."]


class Code:
    """What the source says: results of functions and attributes that methods set."""

    def __init__(self, package):
        self.package = package
        self.functions = {}   # (file, line) -> node
        self.classes = {}     # (file, qualified name) -> node
        self.read = set()
        self.known = {}

    def load(self, path):
        if path in self.read:
            return
        self.read.add(path)
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                line = node.decorator_list[0].lineno if node.decorator_list else node.lineno
                self.functions[path, line] = node
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self.classes[path, node.name] = node

    def node(self, f):
        code = getattr(inspect.unwrap(f) if callable(f) else f, "__code__", None)
        if code is None or not code.co_filename.endswith(".py"):
            return None
        try:
            self.load(code.co_filename)
        except OSError:
            return None
        return self.functions.get((code.co_filename, code.co_firstlineno))

    def result(self, f, module):
        annotation = getattr(f, "__annotations__", {}).get("return", inspect.Signature.empty)
        if annotation is not inspect.Signature.empty:
            return annotation_text(annotation)
        qualified = getattr(f, "__qualname__", "")
        qualified = qualified or getattr(f, "__name__", "")
        if qualified in RESULTS:
            return RESULTS[qualified]
        name = qualified.rpartition(".")[2]
        if name in DUNDER_RESULTS:
            return DUNDER_RESULTS[name]
        if id(f) in self.known:
            return self.known[id(f)]
        self.known[id(f)] = "Any"  # where it calls itself
        self.known[id(f)] = found = self.of_body(f, self.node(f))
        return found

    def of_body(self, f, node):
        if node is None or isinstance(node, ast.AsyncFunctionDef):
            return "Any"
        returns, raises = [], False
        stack = list(node.body)
        while stack:
            n = stack.pop()
            if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
                continue
            if isinstance(n, (ast.Yield, ast.YieldFrom)):
                return "Iterator[Any]"
            if isinstance(n, ast.Return):
                returns.append(n.value)
            raises = raises or isinstance(n, ast.Raise)
            stack.extend(ast.iter_child_nodes(n))
        if not any(r is not None for r in returns):
            only_raises = raises and isinstance(node.body[-1], ast.Raise)
            return "Any" if only_raises else "None"
        kinds = {self.of_expression(r, f) for r in returns}
        return kinds.pop() if len(kinds) == 1 else "Any"

    def of_expression(self, e, f):
        rows = self.package.rows
        if e is None or isinstance(e, ast.Constant):
            value = e.value if e is not None else None
            return {str: "str", bool: "bool"}.get(type(value), "Any")
        if isinstance(e, ast.JoinedStr):
            return "str"
        if isinstance(e, ast.IfExp):
            a, b = self.of_expression(e.body, f), self.of_expression(e.orelse, f)
            return a if a == b else "Any"
        if isinstance(e, ast.BinOp):
            return "Tensor" if "Tensor" in (self.of_expression(e.left, f), self.of_expression(e.right, f)) else "Any"
        if isinstance(e, ast.UnaryOp) and not isinstance(e.op, ast.Not):
            return self.of_expression(e.operand, f)
        if isinstance(e, ast.Tuple):
            kinds = [self.of_expression(x, f) for x in e.elts]
            return f"tuple[{', '.join(kinds)}]" if kinds and all(k == "Tensor" for k in kinds) else "Any"
        if isinstance(e, ast.Call):
            if isinstance(e.func, ast.Attribute) and isinstance(e.func.value, ast.Name) and e.func.value.id in ("_table", "table", "_ops"):
                row = rows.get(e.func.attr)
                return table_result(row) if row else "Any"
            if isinstance(e.func, ast.Name):
                called = getattr(f, "__globals__", {}).get(e.func.id)
                if e.func.id == "Tensor":
                    return "Tensor"
                if inspect.isfunction(called):
                    return self.result(called, "")
        return "Any"

    def attributes(self, c):
        """Public names that methods of the class itself set on self -> type."""
        try:
            path = inspect.getsourcefile(c)
        except TypeError:
            return {}
        if not path:
            return {}
        self.load(path)
        node = self.classes.get((path, c.__qualname__))
        found = {}
        for n in ast.walk(node) if node else ():
            targets = n.targets if isinstance(n, ast.Assign) else [n.target] if isinstance(n, ast.AnnAssign) else []
            for target in targets:
                for t in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name) and t.value.id == "self":
                        if not t.attr.startswith("_") and re.fullmatch(r"\w+", t.attr):
                            value = n.value
                            is_parameter = (isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
                                            and value.func.id == "Parameter")
                            kind = "Parameter" if is_parameter and found.get(t.attr, "Parameter") == "Parameter" else "Any"
                            found[t.attr] = kind
        return found
