# SPDX-License-Identifier: Apache-2.0
"""Libraries of ops in C, built apart from Rutile with a plain C compiler against the installed header."""
import os
import re
import subprocess
import sys
import textwrap

import pytest
from conftest import BUILD, ROOT, run

INFER = "static int32_t infer(rutile_call* c) { c->outputs[0] = c->inputs[0]; return 0; }\n"
FORWARD = "static int32_t forward(rutile_call* c) { (void)c; return 0; }\n"
FILL = """
  static const char* const inputs[] = {"x"};
  rutile_op op = RUTILE_OP_INIT;
  op.inputs = inputs; op.num_inputs = 1; op.infer = infer; op.forward = forward;
"""


def build_library(prefix, folder, source, name="lib"):
    """A shared library from C text; standard C11, warnings are errors."""
    path = folder / f"{name}.c"
    path.write_text(source)
    library = folder / f"{name}.so"
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wno-unused-function", "-Werror", "-O2", "-fPIC",
        "-shared", f"-I{prefix}/include", path, "-o", library)
    return library


def python(code):
    """Runs Python code against the build; (exit code, output)."""
    env = {**os.environ, "PYTHONPATH": str(BUILD / "python")}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=env,
                          check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cube(prefix, tmp_path_factory):
    return build_library(prefix, tmp_path_factory.mktemp("cube"), (ROOT / "examples/op_library.c").read_text())


def test_header_is_plain_c_and_cxx(prefix, tmp_path):
    source = tmp_path / "h.c"
    source.write_text("#include <rutile/ops/c_api.h>\nint unused;\n")
    for compiler in (["cc", "-std=c99"], ["c++", "-x", "c++", "-std=c++11"]):
        run(*compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{prefix}/include", source)


def test_from_python(cube):
    code, out = python(f"""
        import numpy as np, rutile
        names = rutile.ops.load_op_library({str(cube)!r})
        assert names == ["scaled_cube"] == rutile.ops.load_op_library({str(cube)!r})
        x = rutile.Tensor(np.linspace(-2, 2, 100_000, dtype=np.float32).reshape(100, 1000))
        y = rutile.ops.scaled_cube(x, scale=0.5)
        np.testing.assert_allclose(y.asnumpy(), 0.5 * x.asnumpy() ** 3, rtol=1e-5, atol=1e-6)
        def loss(v):
            return rutile.ops.sum(rutile.ops.relu(rutile.ops.scaled_cube(v, scale=2.0)))
        want = np.where(x.asnumpy() > 0, 6 * x.asnumpy() ** 2, 0)
        for f in (rutile.value_and_grad(loss), rutile.jit(rutile.value_and_grad(loss))):
            value, grad = f(x)
            np.testing.assert_allclose(grad.asnumpy(), want, rtol=1e-4, atol=1e-5)
        assert rutile.ops.scaled_cube(x.T, scale=1.0).shape == (1000, 100)
        assert "scale * x^3" in rutile.ops.scaled_cube.__doc__
        for bad, what in ((x.astype(rutile.float64), "takes f32 only"),):
            try:
                rutile.ops.scaled_cube(bad)
            except ValueError as e:
                assert what in str(e) and "[scaled_cube]" in str(e), e
            else:
                raise AssertionError("no error")
        assert rutile.ops.scaled_cube(rutile.Tensor(np.zeros((0, 3), np.float32))).shape == (0, 3)
        print("fine")
        """)
    assert code == 0 and "fine" in out, out


def test_from_cpp(examples):
    out = run(examples / "custom_op", examples / "libcube.so")
    assert "2 kernels" in out, out
    assert re.search(r"scaled_cube -3.5625 gradient Tensor\(\[6\.?0*, 0\.375", out), out


WRONG = {
    "not_a_library": ("int x;", "no function rutile_op_library_abi"),
    "no_init": ("#include <rutile/ops/c_api.h>\nuint32_t rutile_op_library_abi(void) { return 1; }",
                "no function rutile_op_library_init"),
    "old_abi": ("#include <rutile/ops/c_api.h>\nuint32_t rutile_op_library_abi(void) { return 77; }",
                "version 77 of the C ABI, this Rutile has version 1"),
}
# What stands in the body behind FILL, and the error.
BODIES = {
    "null_forward": ('op.name = "w"; op.forward = 0; return registry->register_op(registry, &op);',
                     "op w: its forward function is null"),
    "null_infer": ('op.name = "w"; op.infer = 0; return registry->register_op(registry, &op);',
                   "op w: its infer function is null"),
    "null_op": ("(void)op; return registry->register_op(registry, 0);", "the definition is null"),
    "no_name": ("return registry->register_op(registry, &op);", "no name for an op"),
    "name_in_use": ('op.name = "matmul"; return registry->register_op(registry, &op);',
                    "an op named matmul is registered already"),
    "twice": ('op.name = "twice_c"; registry->register_op(registry, &op);'
              "return registry->register_op(registry, &op);", "an op named twice_c is registered already"),
    "error_ignored": ('op.name = "two words"; registry->register_op(registry, &op); return 0;', "no name for an op"),
    "no_struct_size": ('op.name = "w"; op.struct_size = 3; return registry->register_op(registry, &op);',
                       "begin with RUTILE_OP_INIT"),
    "many_inputs": ('op.name = "w"; op.num_inputs = 99; return registry->register_op(registry, &op);', "99 inputs"),
    "bad_attr": ('static const rutile_attr a[] = {{"k", 42, 0, 0, 0, 0, 0}}; op.attrs = a; op.num_attrs = 1;'
                 'op.name = "w"; return registry->register_op(registry, &op);', "type 42"),
    "too_many": ('op.name = "w"; char name[] = "w000"; if (registry->register_op(registry, &op)) return 1;'
                 "for (int i = 0; i < 600; ++i) { name[1] = (char)('0' + i / 100);"
                 "name[2] = (char)('0' + i / 10 % 10); name[3] = (char)('0' + i % 10); op.name = name;"
                 "if (registry->register_op(registry, &op)) return 1; } return 0;", "512 are possible"),
    "init_failed": ('op.name = "w"; (void)op; (void)registry; return 5;', "rutile_op_library_init gave 5"),
}


@pytest.mark.parametrize("case", list(WRONG) + list(BODIES))
def test_wrong_libraries(prefix, tmp_path, case):
    if case in WRONG:
        source, part = WRONG[case]
    else:
        body, part = BODIES[case]
        source = ("#include <rutile/ops/c_api.h>\n" + INFER + FORWARD +
                  "RUTILE_OP_LIBRARY(registry) {" + FILL + body + "}\n")
    library = build_library(prefix, tmp_path, source)
    code, out = python(f"""
        import rutile
        for _ in range(2):
            try:
                rutile.ops.load_op_library({str(library)!r})
            except rutile.Error as e:
                print("refused:", e)
        for name in ("w", "twice_c"):
            assert not hasattr(rutile.ops, name)
        """)
    assert code == 0 and out.count("refused:") == 2 and part in out, out


def test_files_that_are_not_there(tmp_path):
    text = tmp_path / "text.so"
    text.write_text("no library")
    code, out = python(f"""
        import rutile
        for path in ({str(tmp_path / "none.so")!r}, {str(text)!r}, "libnothing_of_this_name.so"):
            try:
                rutile.ops.load_op_library(path)
            except (OSError, ValueError) as e:
                print("refused:", e)
        """)
    assert code == 0 and out.count("refused:") == 3 and "no such file" in out and "cannot be loaded" in out, out


def test_functions_that_misbehave_give_errors(prefix, tmp_path):
    source = "#include <rutile/ops/c_api.h>\n#include <string.h>\n" + FORWARD + """
static int32_t infer(rutile_call* c) {
  int64_t how = c->attrs[0].i;
  c->outputs[0] = c->inputs[0];
  if (how == 0) c->outputs[0].rank = 99;
  if (how == 1) c->outputs[0].dtype = 99;
  if (how == 2) { c->outputs[0].rank = 2; c->outputs[0].shape[0] = -4; }
  if (how == 3) { c->outputs[0].rank = 2; c->outputs[0].shape[0] = c->outputs[0].shape[1] = INT64_MAX; }
  if (how == 4) return 1;
  if (how == 5) { memset(c->error, 'a', c->error_size); return 1; }
  return 0;
}
RUTILE_OP_LIBRARY(registry) {""" + FILL + """
  static const rutile_attr attrs[] = {{.name = "how", .type = RUTILE_ATTR_INT, .i = 9}};
  op.attrs = attrs; op.num_attrs = 1; op.name = "misbehaves";
  return registry->register_op(registry, &op);
}
"""
    library = build_library(prefix, tmp_path, source)
    code, out = python(f"""
        import rutile
        rutile.ops.load_op_library({str(library)!r})
        x = rutile.Tensor([1.0, 2.0])
        for how in range(6):
            try:
                rutile.ops.misbehaves(x, how=how)
            except ValueError as e:
                print("refused:", str(e)[:100])
        assert rutile.ops.misbehaves(x).shape == (2,)
        """)
    assert code == 0 and out.count("refused:") == 6, out
