# SPDX-License-Identifier: Apache-2.0
"""The examples in the comments of headers compile.

An example is a run of comment lines indented by three blanks. It is put into a function, after declarations of the
names it takes for granted: those of NAMES for all, those of OWN for one header.
"""
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import files  # noqa: E402

# Indented lines that are no code.
TABLES = {"core/device_plugin.h", "dist/launch.h", "kernels/cpu/isa/reduce_loops.h", "ops/conv_rules.h", "ops/random.h:uniform"}

NAMES = """
extern const Tensor a, b, x, y, w, q, k, v, e, p, s, t, weight, bias, mean, rstd, logits, labels, dy, ids, table,
    log_p, log_probs, loss, re, im, src, offsets, targets, input_lengths, target_lengths;
extern std::vector<Tensor> grads;
extern const std::vector<Tensor> parameters;
extern const int64_t n, h, c;
extern const std::shared_ptr<nn::Cell> net;
"""

OWN = {
    "core/interrupt.h": "int step = 0, steps = 1;",
    "dist/stop.h": "extern int batch(); extern void step(int); extern void save_together();",
    "dataset/pipeline.h": "extern void step(const Tensor&, const Tensor&);",
    "dataset/transform.h": "using namespace dataset;",
    "io/event_file.h": "extern const int64_t step;",
    "io/ckpt.h": "extern void use(const std::string&, const Tensor&);",
    "io/protobuf.h": "extern Ref<io::Blob> blob; extern std::vector<std::string> names;",
    "io/file.h": "extern const void* data; extern size_t bytes;",
    "core/error_topics.h": "extern void step(const Tensor&, const Tensor&);",
    "ops/record.h": "extern void step(const Tensor&, const Tensor&); extern void use(const std::string&, const Tensor&);",
    "train/summary.h": "extern train::Trainer& trainer;",
    "train/graph_def.h": "extern nn::TrainStep step; extern io::EventFile& events;",
    "kernels/dispatch.h": "using namespace kernels; extern Plan* plan; const DType dtype{};",
    "kernels/walk.h": "using namespace kernels; extern TensorMeta meta; extern float* p; extern void use(float);",
    "nn/optim/loss_scaler.h": "using namespace nn; GradScope scope; extern std::shared_ptr<optim::Optimizer> optimizer;",
    "nn/optim/optimizer.h": "using namespace nn;",
    "nn/optim/sharding.h": "extern std::shared_ptr<nn::optim::Optimizer> optimizer; extern nn::LossFn loss;",
    "kernels/cuda/codegen.h": "using namespace cuda; extern CallMeta call;",
    "kernels/cuda/kernel_cache.h": "using namespace cuda; extern std::string key; extern Compiled entry;",
    "nn/optim/schedule.h": "using namespace nn; extern std::shared_ptr<optim::Optimizer> optimizer;",
    "nn/init.h": "using namespace nn;",
    "nn/parameter.h": "using namespace nn;",
    "nn/train_step.h": "std::vector<std::pair<Tensor, Tensor>> batches;",
    "ops/activation.h": "extern const Tensor slope;",
    "ops/special.h": "extern const Tensor start, end;",
    "debug/verify.h": "extern graph::Compiled f;",
    "profile/profiler.h": "extern void step(const Tensor&, const Tensor&);",
    "ops/grid_sample.h": "extern const Tensor theta;",
    "ops/control.h": "extern Tensor block(const Tensor&);",
    "ops/fused.h": "using namespace ops;",
    "ops/cost.h": "extern const ops::MatmulAttrs attrs; extern TensorMeta z;",
    "ops/index.h": "using namespace ops; extern const Tensor messages, node;",
    "ops/layer_norm.h": "using namespace ops;",
    "ops/loss.h": "using namespace ops;",
    "ops/norm.h": "extern State running_mean, running_var; extern int64_t w;",
    "ops/resample.h": "extern const Tensor scale, translation;",
    "ops/roi_align.h": "extern const Tensor boxes, images;",
    "ops/post_ops.h": "using namespace ops; extern const Tensor residual;",
    "nn/optim/gradients.h": "using namespace nn; GradScope scope; extern void evaluate();",
    "nn/optim/plateau.h": "using namespace nn; extern std::shared_ptr<optim::Optimizer> optimizer;"
    " extern double validation_loss(int);",
    "nn/optim/rules.h": "using namespace nn;",
    "ops/update.h": "using namespace ops; extern State *p, *m, *v; extern Tensor step, grad, lr;",
    "ops/reduce.h": "using namespace ops;",
    "ops/view.h": "using namespace ops;",
    "train/checkpoint.h": "extern nn::TrainStep step;",
    "train/checksum.h": "extern const void* data; extern size_t bytes;",
    "train/evaluate.h": "extern dataset::Pipeline test_pipeline;",
    "train/metrics.h": "extern dataset::Pipeline test; extern nn::EvalStep eval;",
    "train/report.h": "extern train::RunReport report;",
    "train/trainer.h": "extern std::shared_ptr<nn::optim::Optimizer> optimizer; extern dataset::Pipeline pipeline; "
                       "extern train::Progress progress;",
}

# At namespace scope, behind the functions that it names.
BEFORE = {
    "ops/record.h": "extern void step(const Tensor&, const Tensor&); extern void use(const std::string&, const Tensor&);",
    "train/graph_def.h": "extern nn::TrainStep step; extern io::EventFile& events;",
    "kernels/dispatch.h": "template <class T> Status run(const Plan&, const KernelArgs&);",
    "ops/op_def.h": "using ops::Conv2dAttrs; Status infer_conv2d(const CallMeta&, TensorMeta*); "
                    "GradResult grad_conv2d(GradCtx&);",
}
# Types and definitions, which stand in a namespace of their own instead of a function.
DEFINITIONS = {"core/device_plugin.h", "core/error.h", "dataset/source.h", "ops/attrs.h", "ops/op_def.h"}


def examples(text):
    """(line, code) of each example."""
    found, block, start = [], [], 0
    for number, line in enumerate(text.split("\n") + [""], 1):
        match = re.match(r"\s*//   (.*)$", line)
        if match:
            start = start or number
            block.append(match[1])
        elif block and not re.match(r"\s*//$", line):
            code = "\n".join(block)
            if re.search(r"[;{]\s*(//.*)?$", code, re.M):
                found.append((start, code))
            block, start = [], 0
    return found


def is_table(path, code):
    return path in TABLES or f"{path}:{code.split()[0]}" in TABLES


def unit():
    """One source file with all of them."""
    headers, bodies = [], []
    for path in files.tree_files((".h",)):
        if path.startswith(("tests/", "python/", "benchmarks/", "apps/", "tools/")):
            continue
        for line, code in examples(files.read(path)):
            if is_table(path, code):
                continue
            headers.append(path)
            name = f"example_{len(bodies)}"
            before = BEFORE.get(path, "")
            mark = f'#line {line} "{path}"\n'
            if path in DEFINITIONS:
                bodies.append(f"namespace {name} {{\n{before}\n{mark}{code}\n}}\n")
            else:
                own = OWN.get(path, "")
                bodies.append(f"namespace {name} {{\n{before}\nvoid run() {{\n{own}\n{{\n{mark}{code}\n}}\n}}\n}}\n")
    more = ["autograd/tape.h", "dataset/images.h", "nn/models/lenet.h", "ops/kernel_table.h", "ops/tensor_ops.h",
            "train/callbacks.h"]
    includes = "".join(f'#include "rutile/{h}"\n' for h in sorted(set(headers + more)))
    start = f"#include <cstdio>\n#include <iostream>\n{includes}namespace rutile {{\n{NAMES}\n"
    return start + "".join(bodies) + "}\n", len(bodies)


@pytest.fixture(scope="module")
def source():
    return unit()


def test_examples_compile(tmp_path, source):
    text, count = source
    assert count > 40
    path = tmp_path / "examples.cc"
    path.write_text(text)
    made = subprocess.run(["c++", "-std=c++20", "-fsyntax-only", f"-I{ROOT}/build/release/include", str(path)],
                          capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr[:4000]
