# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/run.py compares: networks, sizes, precisions, and the sections of the page."""

from dataclasses import dataclass, replace

from report import networks_table, python_table, training_tables


@dataclass
class Work:
    """One line of the comparison: what is trained and how. seconds: a first guess for one run."""

    key: str
    title: str
    program: str
    sizes: dict
    precision: str
    steps: int
    unit: str
    seconds: int
    modes: tuple = ("graph",)
    network: str = ""  # one of benchmarks/networks: what bench_networks and torch_zoo.py call it


# Of benchmarks/networks: (name, also in bf16).
CONVOLUTIONAL = (
    ("mobilenet", True), ("resnext", True), ("unet", True), ("convnext", True), ("vgg", True),
    ("efficientnet", True), ("generator", True), ("tcn", False), ("densenet", False), ("odd", False),
    ("inception", True), ("upsampler", False),
)  # fmt: skip
OTHERS = (
    ("vit", True), ("mixer", True), ("bert", True), ("llama", True), ("swin", True), ("nerf", True),
    ("graph", True), ("lstm", False), ("gru", False), ("chain", False), ("autoencoder", False),
    ("recommender", False), ("factorisation", False),
)  # fmt: skip


def networks(listed):
    for name, low in listed:
        for precision in ("fp32", "bf16") if low else ("fp32",):
            yield Work(
                f"network-{name}-{precision}",
                f"{name}, {precision}",
                "bench/bench_networks",
                {},
                precision,
                20,
                "samples",
                8,
                network=name,
            )


def inference():
    """The compiled evaluation step."""
    for batch in (1, 16):
        for precision in ("fp32", "bf16"):
            sizes = {"batch-size": batch, "image-size": 224, "inference": 1}
            title = f"ResNet-50 inference, batch {batch}, {precision}"
            key = f"inference-resnet50-{batch}-{precision}"
            yield Work(key, title, "bench/bench_infer", sizes, precision, 15, "images", 10, network="resnet50")


def works():
    large = {"image-size": 224, "batch-size": 16}
    small = {"image-size": 32, "batch-size": 32}
    both = ("graph", "eager")
    net = "ResNet-50"
    rows = [
        (
            f"{net} 224x224, batch 16",
            "resnet50-224",
            "resnet50",
            large,
            "fp32",
            8,
            "images",
            60,
            both,
        ),
        (f"{net} 224x224, batch 16", "resnet50-224", "resnet50", large, "bf16", 8, "images", 45),
        (f"{net} 32x32, batch 32", "resnet50-32", "resnet50", small, "fp32", 20, "images", 20),
        ("LeNet 32x32, batch 32", "lenet", "lenet", {"batch-size": 32}, "fp32", 300, "images", 8),
        (
            "MLP 784-512-512-10, batch 64",
            "mlp",
            "mlp",
            {"batch-size": 64},
            "fp32",
            300,
            "samples",
            8,
        ),
        ("GPT 6x384, batch 8 x 256", "gpt", "gpt", {"batch-size": 8}, "fp32", 12, "tokens", 15),
        ("GPT 6x384, batch 8 x 256", "gpt", "gpt", {"batch-size": 8}, "bf16", 12, "tokens", 15),
    ]
    for title, key, program, sizes, precision, *rest in rows:
        yield Work(f"{key}-{precision}", f"{title}, {precision}", program, sizes, precision, *rest)


def from_python():
    """Works whose network is written again in Python: benchmarks/python."""
    twins = {"resnet50-224-fp32": 6, "resnet50-32-fp32": 20, "lenet-fp32": 300, "mlp-fp32": 300, "gpt-fp32": 12}
    for work in works():
        if work.key in twins:
            title = work.title.replace(", fp32", "")
            yield replace(work, key=f"python-{work.key}", title=title, steps=twins[work.key], modes=("graph",))


TWINS = [*from_python()]
# (title in the page, works, what makes the tables)
SECTIONS = (
    ("Training", [*works()], training_tables),
    ("Convolutional networks", [*networks(CONVOLUTIONAL)], networks_table),
    ("Transformers, recurrent and dense networks", [*networks(OTHERS)], networks_table),
    ("Inference", [*inference()], networks_table),
    ("From Python", TWINS, python_table),
)
CALLS = "Eager calls"
