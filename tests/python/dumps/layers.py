# SPDX-License-Identifier: Apache-2.0
"""What layers and losses give for fixed inputs. Run with MindSpore it writes layers.npz, which the tests compare with Rutile's.

    python tests/python/dumps/layers.py [words]     (mindspore 2.10, numpy < 2; words: only cases that have one of them)

A case is a layer's expression and its inputs: f2x3 normal numbers of that shape, p2x3 numbers in (0.1, 0.9), g2x3 images of
one smooth picture and noise, i2x3<5 int32 below 5 (l: int64), b2x3 zeros and ones as floats, s2x3 minus one and one; h: as a tuple;
=name: an input made below. A leading "train" sets training.
"""

import os
import sys
import zlib

import numpy as np

FILE = os.path.join(os.path.dirname(__file__), "layers.npz")

MADE = {
    "lengths": lambda: np.array([4, 2, 1], np.int32), "labels": lambda: np.array([[1, 2, 2], [3, 1, 0]], np.int32),
    "ctc": lambda: np.log(np.random.RandomState(5).dirichlet(np.ones(4), (6, 2))).astype(np.float32),
    "six": lambda: np.array([6, 5], np.int32), "three": lambda: np.array([3, 2], np.int32),
    "causal": lambda: np.triu(np.ones((4, 4), bool), 1), "padding": lambda: np.array([[0, 0, 0, 1], [0, 0, 1, 1]], bool),
    "added": lambda: np.random.RandomState(6).randn(4, 4).astype(np.float32),
    "multilabels": lambda: np.array([[0, 2, -1, 1], [3, -1, 0, 0]], np.int32),
    "definite": lambda: (lambda a: (a @ a.T + 3 * np.eye(3)).astype(np.float32))(np.random.RandomState(7).randn(3, 3)),
    "fields": lambda: np.array([[0, 1, 1, 2], [2, 0, 0, 0]], np.int32),
    "distribution": lambda: np.random.RandomState(8).dirichlet(np.ones(4), 3).astype(np.float32),
    "where": lambda: np.array([[0, 1], [2, 0], [1, 1]], np.int64), "shape34": lambda: (3, 2),
}

CASES = """
nn.Conv1d(4, 6, 3) | f2x4x9
nn.Conv1d(4, 6, 3, 2, has_bias=True) | f2x4x9
nn.Conv1d(4, 6, 3, 2, 'pad', 1, 2, 2, has_bias=True) | f2x4x9
nn.Conv1d(4, 6, 2, 1, 'valid') | f2x4x9
nn.Conv1dTranspose(4, 6, 3, 2, has_bias=True) | f2x4x5
nn.Conv1dTranspose(4, 6, 4, 3, 'valid') | f2x4x5
nn.Conv1dTranspose(4, 6, 3, 2, 'pad', 1, group=2) | f2x4x5
nn.Conv2d(4, 6, 3, 2, has_bias=True) | f2x4x7x6
nn.Conv2d(4, 6, (3, 2), (1, 2), 'pad', (1, 0, 2, 1), group=2) | f2x4x7x6
nn.Conv2dTranspose(4, 6, 3, 2, has_bias=True) | f2x4x4x5
nn.Conv2dTranspose(4, 6, 2, 3, 'valid') | f2x4x4x5
nn.Conv2dTranspose(4, 6, 3, 2, 'pad', 1, output_padding=1) | f2x4x4x5
nn.Conv3d(4, 6, 3, 2, has_bias=True) | f2x4x5x6x4
nn.Conv3d(4, 6, (2, 3, 1), 1, 'pad', (1, 0, 1, 1, 0, 0)) | f2x4x5x6x4
nn.Conv3d(4, 6, 3, 1, 'valid', group=2) | f2x4x5x6x4
nn.Conv3dTranspose(4, 6, 3, 2, has_bias=True) | f2x4x3x2x3
nn.Conv3dTranspose(4, 6, 3, 2, 'pad', 1, output_padding=1) | f2x4x3x2x3
nn.Conv2dBnAct(4, 6, 3, has_bn=True, activation='relu') | f2x4x5x5
nn.DenseBnAct(4, 6, has_bn=True, activation='leakyrelu') | f3x4
nn.Dense(4, 6, activation='tanh') | f3x4
nn.BiDense(4, 5, 3) | f2x3x4 f2x3x5
nn.Linear(4, 6) | f3x4
nn.MaxPool1d(3, 2) | f2x3x8
nn.MaxPool1d(3, 2, 'same') | f3x8
nn.MaxPool1d(3, 2, 'pad', 1, ceil_mode=True) | f2x3x8
nn.MaxPool2d(3, 2, 'same') | f2x3x8x7
nn.MaxPool2d(3, 2, 'pad', 1, return_indices=True) | f2x3x8x7
nn.MaxPool3d(3, 2, 'same') | f2x3x5x6x7
nn.MaxPool3d(2, 1) | f3x5x6x7
nn.MaxPool3d(3, 2, 'pad', 1, return_indices=True) | f2x3x5x6x7
nn.AvgPool1d(3, 2) | f2x3x8
nn.AvgPool1d(3, 2, 'same') | f2x3x8
nn.AvgPool1d(3, 2, 'pad', 1, count_include_pad=False) | f2x3x8
nn.AvgPool2d(3, 2, 'same') | f2x3x8x7
nn.AvgPool3d(3, 2, 'same') | f2x3x5x6x7
nn.AvgPool3d(3, 2, 'pad', 1, divisor_override=5) | f2x3x5x6x7
nn.AvgPool3d(2, 2, 'valid') | f2x3x5x6x7
nn.AdaptiveAvgPool1d(3) | f2x3x9
nn.AdaptiveAvgPool2d((3, None)) | f2x3x8x7
nn.AdaptiveAvgPool3d((2, 3, 4)) | f2x3x5x6x7
nn.AdaptiveMaxPool1d(3) | f2x3x9
nn.AdaptiveMaxPool2d((3, 2)) | f2x3x8x7
nn.LPPool1d(2, 3, 2) | f2x3x8
nn.LPPool2d(2, 3, 2) | f2x3x8x7
nn.FractionalMaxPool2d(2, (3, 4), _random_samples=Tensor(np.random.RandomState(1).rand(2, 3, 2).astype(np.float32)), return_indices=True) | f2x3x8x7
nn.FractionalMaxPool3d(2, (3, 4, 3), _random_samples=Tensor(np.random.RandomState(1).rand(2, 3, 3).astype(np.float32))) | f2x3x5x6x7
nn.ConstantPad1d((1, 2), 0.5) | f2x3x4
nn.ConstantPad2d((1, -1, 2, 0), 2) | f2x3x4x5
nn.ConstantPad3d(1, 0.5) | f2x3x4x5x2
nn.ZeroPad2d((1, 0, 2, 1)) | f2x3x4x5
nn.ReflectionPad1d((1, 2)) | f2x3x4
nn.ReflectionPad2d((1, 0, 2, 1)) | f2x3x4x5
nn.ReflectionPad3d(1) | f2x3x4x5x2
nn.ReplicationPad1d((1, 2)) | f2x3x4
nn.ReplicationPad2d((1, 0, 2, 1)) | f2x3x4x5
nn.ReplicationPad3d(1) | f2x3x4x5x2
nn.Pad(((1, 2), (0, 1))) | f3x4
nn.Pad(((1, 2), (0, 1)), 'REFLECT') | f3x4
nn.Pad(((1, 2), (0, 1)), 'SYMMETRIC') | f3x4
nn.BatchNorm1d(4) | f3x4
train nn.BatchNorm1d(4) | f3x4
train nn.BatchNorm2d(4) | f3x4x5x2
train nn.BatchNorm3d(4) | f3x4x2x3x2
nn.SyncBatchNorm(4, process_groups=0) | f3x4
train nn.InstanceNorm1d(4) | f3x4x5
train nn.InstanceNorm2d(4, 1e-3) | f3x4x5x2
train nn.InstanceNorm3d(4) | f3x4x5x2x2
nn.GroupNorm(2, 4) | f3x4x5x2
nn.LayerNorm((4, 5), 1, 1) | f3x4x5
nn.LayerNormExt((4, 5)) | f3x4x5
nn.LRN(2, 1.5, 0.7, 0.6) | f3x7x2x2
nn.RNN(3, 4) | f5x3x3
nn.RNN(3, 4, 2, batch_first=True, bidirectional=True, nonlinearity='relu') | f3x5x3
nn.RNN(3, 4, 1, False) | f5x3x3 f1x3x4
nn.GRU(3, 4, 2, bidirectional=True) | f4x3x3
nn.GRU(3, 4, 2, bidirectional=True) | f4x3x3 f4x3x4 =lengths
nn.GRU(3, 4, has_bias=False) | f4x3x3
nn.LSTM(3, 4) | f4x3x3
nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True) | f3x4x3 hf4x3x4,f4x3x4
nn.LSTM(3, 4, 2, bidirectional=True) | f4x3x3 hf4x3x4,f4x3x4 =lengths
nn.LSTM(3, 4, has_bias=False) | f4x3x3
nn.RNNCell(3, 4) | f2x3 f2x4
nn.RNNCell(3, 4, False, 'relu') | f2x3 f2x4
nn.GRUCell(3, 4) | f2x3 f2x4
nn.LSTMCell(3, 4) | f2x3 hf2x4,f2x4
nn.MultiheadAttention(8, 2) | f4x2x8 f4x2x8 f4x2x8
nn.MultiheadAttention(8, 2, kdim=6, vdim=5, batch_first=True, has_bias=False) | f2x3x8 f2x4x6 f2x4x5
nn.MultiheadAttention(8, 2) | f4x2x8 f4x2x8 f4x2x8 =padding @True =causal @False
nn.TransformerEncoderLayer(8, 2, 12) | f4x2x8
nn.TransformerEncoderLayer(8, 2, 12, activation='gelu', norm_first=True, batch_first=True) | f2x4x8 =causal =padding
nn.TransformerDecoderLayer(8, 2, 12) | f4x2x8 f4x2x8 =causal
nn.TransformerDecoderLayer(8, 2, 12, norm_first=True) | f4x2x8 f4x2x8 =added
nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12), 2) | f4x2x8
nn.Transformer(8, 2, 2, 2, 12) | f4x2x8 f3x2x8
nn.Embedding(7, 3) | i2x4<7
nn.EmbeddingExt(7, 3) | i2x4<7
nn.EmbeddingLookup(7, 3) | i2x4<7
nn.MultiFieldEmbeddingLookup(7, 3, 3) | i2x4<7 p2x4 =fields
nn.MultiFieldEmbeddingLookup(7, 3, 3, operator='MEAN') | i2x4<7 p2x4 =fields
nn.MultiFieldEmbeddingLookup(7, 3, 3, operator='MAX') | i2x4<7 p2x4 =fields
nn.ReLU() | f3x4
nn.ReLU6() | f3x4
nn.Sigmoid() | f3x4
nn.Tanh() | f3x4
nn.SiLU() | f3x4
nn.HSigmoid() | f3x4
nn.HSwish() | f3x4
nn.Hardtanh() | f3x4
nn.HShrink() | f3x4
nn.SoftShrink() | f3x4
nn.LeakyReLU() | f3x4
nn.ELU() | f3x4
nn.CELU() | f3x4
nn.SeLU() | f3x4
nn.GELU() | f3x4
nn.GELU(False) | f3x4
nn.FastGelu() | f3x4
nn.GLU() | f3x4
nn.PReLU(4) | f3x4
nn.PReLUExt(4) | f3x4
nn.Softmax() | f3x4
nn.Softmax2d() | f2x3x4x2
nn.Softmin() | f3x4
nn.LogSoftmax() | f3x4
nn.LogSoftmaxExt() | f3x4
nn.LogSigmoid() | f3x4
nn.Softsign() | f3x4
nn.Mish() | f3x4
nn.Tanhshrink() | f3x4
nn.Threshold(0.1, 2.0) | f3x4
nn.Flatten() | f2x3x4
nn.Unflatten(1, (2, 3)) | f2x6x4
nn.Unfold([1, 2, 3, 1], [1, 1, 2, 1], [1, 2, 1, 1]) | f2x3x6x7
nn.PixelShuffle(2) | f2x8x3x2
nn.PixelUnshuffle(2) | f2x3x4x6
nn.ChannelShuffle(2) | f2x4x3x2
nn.Upsample(size=(8, 10)) | f2x3x4x5
nn.Upsample(scale_factor=(1.5, 2.0), mode='bilinear', recompute_scale_factor=True) | f2x3x4x5
nn.Upsample(size=(6, 7), mode='bilinear', align_corners=True) | f2x3x4x5
nn.Tril() | f3x4
nn.Triu() | f3x4
nn.Roll([1, 2], [0, 1]) | f3x4
nn.OneHot(-1, 4, 2.0, -1.0) | i3<4
nn.ClipByNorm() | f3x4 p
nn.Norm((0,), True) | f3x4
nn.Moments((0,)) | f3x4
nn.ReduceLogSumExp(1) | f3x4
nn.Range(1, 8, 3) |
nn.LGamma() | p3x4
nn.DiGamma() | p3x4
nn.LBeta() | p3x4 p3x4
nn.IGamma() | p3x4 p3x4
nn.MatMul(True) | f4x3 f4x2
nn.MatInverse() | =definite
nn.MatDet() | =definite
nn.MatrixDiag() | f2x3
nn.MatrixDiagPart() | f2x3x4
nn.MatrixSetDiag() | f2x3x4 f2x3
nn.L1Regularizer(0.3) | f3x4
nn.SparseTensorDenseMatmul() | =where f3 =shape34 f2x4
nn.ImageGradients() | f2x3x4x5
nn.SSIM() | g2x3x14x13 g2x3x14x13
nn.MSSSIM(power_factors=(0.4, 0.6), filter_size=5) | g2x3x20x18 g2x3x20x18
nn.PSNR() | p2x3x4x5 p2x3x4x5
nn.CentralCrop(0.6) | f2x3x9x8
nn.L1Loss() | f3x4 f3x4
nn.L1LossExt() | f3x4 f3x4
nn.MSELoss('sum') | f3x4 f3x4
nn.RMSELoss() | f3x4 f3x4
nn.MAELoss() | f3x4 f3x4
nn.SmoothL1Loss(0.7) | f3x4 f3x4
nn.HuberLoss(delta=0.7) | f3x4 f3x4
nn.SoftMarginLoss() | f3x4 s3x4
nn.SoftmaxCrossEntropyWithLogits(True) | f3x4 i3<4
nn.SoftmaxCrossEntropyWithLogits() | f3x4 =distribution
nn.CrossEntropyLoss(label_smoothing=0.1) | f3x4 i3<4
nn.NLLLoss() | f3x4 i3<4
nn.BCELoss() | p3x4 b3x4
nn.BCEWithLogitsLoss() | f3x4 b3x4
nn.KLDivLoss('batchmean') | f3x4 p3x4
nn.HingeEmbeddingLoss() | f3x4 s3x4
nn.MarginRankingLoss(0.2) | f3 f3 s3
nn.CosineEmbeddingLoss(0.1) | f3x4 f3x4 s3
nn.MultiMarginLoss() | f3x4 l3<4
nn.MultilabelMarginLoss() | f2x4 =multilabels
nn.MultiLabelSoftMarginLoss() | f3x4 b3x4
nn.TripletMarginLoss(swap=True, margin=1.5) | f3x4 f3x4 f3x4
nn.TripletMarginWithDistanceLoss(margin=0.5) | f3x4 f3x4 f3x4
nn.PoissonNLLLoss(full=True) | f3x4 p3x4
nn.PoissonNLLLoss(log_input=False) | p3x4 p3x4
nn.GaussianNLLLoss(full=True) | f3x4 f3x4 p3x4
nn.DiceLoss() | p3x4 b3x4
nn.MultiClassDiceLoss() | f3x4 p3x4
nn.FocalLoss(gamma=1.5) | f3x4x2 i3x1x2<4
nn.FocalLoss(Tensor([0.1, 0.2, 0.3, 0.4]), reduction='none') | f3x4 p3x4
nn.CTCLoss() | =ctc =labels =six =three
nn.CTCLoss(1, 'none') | =ctc =labels =six =three
nn.SampledSoftmaxLoss(3, 7, sampled_values=(Tensor([2, 0, 5], ms.int32), Tensor([[0.3], [0.2]], ms.float32), Tensor([0.4, 0.5, 0.6], ms.float32))) | f7x3 f7 i2x1<7 f2x3
"""

# Where MindSpore's gradient on CPU is not the derivative: of selu below zero; of ctc it is that by logits, for log_probs.
NO_GRADIENT = ("nn.SeLU", "nn.CTCLoss")


def _input(code, seed):
    r = np.random.RandomState(seed)
    if code[0] == "=":
        return MADE[code[1:]]()
    if code[0] == "@":
        return code == "@True"
    if code[0] == "h":
        return tuple(_input(c, seed + 10 * i) for i, c in enumerate(code[1:].split(",")))
    size, _, most = code[1:].partition("<")
    shape = tuple(int(n) for n in size.split("x")) if size else ()
    if code[0] in "il":
        return r.randint(0, int(most), shape).astype(np.int32 if code[0] == "i" else np.int64)
    if code[0] == "g":
        rows, columns = np.mgrid[0:shape[2], 0:shape[3]] / 5
        return (0.5 + 0.4 * np.sin(rows) * np.cos(columns) + 0.1 * r.rand(*shape)).astype(np.float32)
    x = {"f": r.randn, "p": lambda *s: 0.1 + 0.8 * r.rand(*s), "b": lambda *s: r.randint(0, 2, s),
         "s": lambda *s: 1 - 2 * r.randint(0, 2, s)}[code[0]](*shape)
    return np.asarray(x, np.float32)


def cases():
    """(name, expression, training, inputs)"""
    for line in CASES.strip().splitlines():
        expression, codes = line.rsplit("|", 1)
        train, expression = expression.startswith("train "), expression.strip().removeprefix("train ")
        yield line.strip(), expression, train, [_input(c, 100 + i) for i, c in enumerate(codes.split())]


def key(name):
    """What stands for a case in the file."""
    return format(zlib.crc32(name.encode()), "08x")


def fill(cell, tensor):
    """Gives every parameter numbers that follow from its name and shape."""
    for p in cell.get_parameters():
        r = np.random.RandomState(zlib.crc32(p.name.encode()) % 2**31)
        value = r.uniform(-0.5, 0.5, p.shape).astype(np.float32)
        p.set_data(tensor(np.abs(value) + 0.5 if "variance" in p.name else value))


def flat(out):
    """The tensors of a result, in order."""
    if isinstance(out, (tuple, list)):
        return [t for o in out for t in flat(o)]
    return [out]


def run(ms, case, with_gradient=True):
    """(names of parameters with shapes, outputs, gradient by the first input or None)"""
    _, expression, train, inputs = case
    nn, tensor = ms.nn, ms.Tensor

    def as_tensor(x):
        return tensor(x) if isinstance(x, np.ndarray) else tuple(as_tensor(v) for v in x) if (
            isinstance(x, tuple) and isinstance(x[0], np.ndarray)) else x

    cell = eval(expression, {"nn": nn, "Tensor": tensor, "np": np, "ms": ms})  # noqa: S307
    fill(cell, tensor)
    cell.set_train(train)
    args = [as_tensor(x) for x in inputs]
    names = [f"{p.name} {tuple(p.shape)}" for p in cell.get_parameters()]
    outputs = [o.asnumpy() for o in flat(cell(*args))]
    if not with_gradient or not inputs or not isinstance(inputs[0], np.ndarray) or inputs[0].dtype != np.float32:
        return names, outputs, None
    fill(cell, tensor)
    weight = tensor(np.asarray(np.random.RandomState(9).randn(*outputs[0].shape), np.float32))

    def scalar(x):
        return (flat(cell(x, *args[1:]))[0] * weight).sum()

    return names, outputs, ms.grad(scalar)(args[0]).asnumpy()


def main():
    import mindspore as ms
    ms.set_context(mode=ms.PYNATIVE_MODE, device_target="CPU")
    words = sys.argv[1:]
    found = dict(np.load(FILE)) if words else {}
    for case in cases():
        if words and not any(w in case[0] for w in words):
            continue
        try:
            names, outputs, gradient = run(ms, case)
        except Exception as e:  # no gradient on CPU
            try:
                names, outputs, gradient = run(ms, case, False)
            except Exception as f:
                print("FAILS", case[0], str(f).strip().splitlines()[0][:200], flush=True)
                continue
            print("no gradient", case[0], str(e).strip().splitlines()[0][:120], flush=True)
        found[key(case[0]) + " names"] = np.array(names)
        for i, o in enumerate(outputs):
            found[f"{key(case[0])} {i}"] = o
        if gradient is not None and not case[1].startswith(NO_GRADIENT):
            found[key(case[0]) + " gradient"] = gradient
    np.savez_compressed(FILE, **found)
    print(len(found))


if __name__ == "__main__":
    main()
