# SPDX-License-Identifier: Apache-2.0
"""The migration documents' programs about data, training and weights, with the real datasets; as printed but for the name of
the module and of the network's class."""

import sys
import types

import numpy as np
import pytest

import rutile
import rutile as ms
import rutile.dataset
from rutile import nn


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["eager", "graph"], autouse=True)
def mode(request):
    ms.set_context(mode=request.param)
    ms.dataset.config.set_seed(11)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


class MindSporeNetwork(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.flatten = nn.Flatten()
        self.fc = nn.Dense(4 * 8 * 8, 2)

    def construct(self, x):
        return self.fc(self.flatten(ms.ops.relu(self.bn(self.conv(x)))))


def run(code, **names):
    """Runs a listing; `customized.path.to.mindspore.model` holds the network."""
    module = types.ModuleType("customized.path.to.rutile.model")
    module.MindSporeNetwork = names.pop("network", MindSporeNetwork)
    parts = module.__name__.split(".")
    added = {".".join(parts[:i]): types.ModuleType(".".join(parts[:i])) for i in range(1, len(parts))}
    sys.modules.update({**added, module.__name__: module})
    try:
        space = dict(names)
        exec(compile(code.replace("mindspore", "rutile"), "listing", "exec"), space)
        return space
    finally:
        for name in (*added, module.__name__):
            sys.modules.pop(name)


def test_cifar_pipeline(tmp_path):
    records = np.random.default_rng(0).integers(0, 256, (20, 3073)).astype(np.uint8)
    records[:, 0] = np.arange(20) % 10
    records.tofile(tmp_path / "data_batch_1.bin")
    listing = """
import mindspore.dataset.engine as de
if device_num == 1:
    ds = de.Cifar10Dataset(dataset_path, num_parallel_workers=4, shuffle=True)
else:
    ds = de.Cifar10Dataset(dataset_path, num_parallel_workers=4, shuffle=True,
                           num_shards=device_num, shard_id=rank_id)
"""
    pixels = lambda d: sorted(x.asnumpy().tobytes() for x, _ in d)  # noqa: E731
    one = run(listing, device_num=1, rank_id=0, dataset_path=str(tmp_path))["ds"]
    two = [run(listing, device_num=2, rank_id=i, dataset_path=str(tmp_path))["ds"] for i in range(2)]
    assert one.get_dataset_size() == 20 and [d.get_dataset_size() for d in two] == [10, 10]
    assert pixels(one) == sorted(pixels(two[0]) + pixels(two[1])), "the shards share nothing and leave nothing out"
    # What the labels need before a loss.
    from rutile.dataset.transforms import c_transforms as C
    from rutile.dataset.vision import c_transforms as CV
    batched = one.map(C.TypeCast(ms.int32), "label").map(
        [CV.RandomCrop((32, 32), (4, 4, 4, 4)), CV.RandomHorizontalFlip(prob=0.5), CV.Resize((16, 16)), CV.Rescale(1 / 255.0, 0.0),
         CV.Normalize([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]), CV.HWC2CHW()], "image",
        num_parallel_workers=4).batch(8, drop_remainder=True)
    x, y = next(batched.create_tuple_iterator())
    assert x.shape == (8, 3, 16, 16) and x.dtype == ms.float32 and y.dtype == ms.int32


DATASET = """
from mindspore.dataset import GeneratorDataset
from mindspore.dataset import py_transforms as transforms

class CustomGenerator:
    def __init__(self, *args, **kwargs):
        self.records = records
        self.labels = labels
        # Define data augmentation.
        self.transform = transforms.Compose([
            transforms.ToTensor(),
            transforms.Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ])
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, idx):
        # Execute data augmentation.
        data = self.transform(self.records[idx])
        return data, self.labels[idx]

generator = CustomGenerator(*args, **kwargs)
dataset = GeneratorDataset(generator, column_names=['data', 'label']).batch(BATCH_SIZE)
"""


def dataset():
    rng = np.random.default_rng(2)
    labels = (np.arange(24) % 2).astype(np.int32)
    records = (rng.integers(0, 100, (24, 8, 8, 3)) + 120 * labels.reshape(-1, 1, 1, 1)).astype(np.uint8)
    return run(DATASET, records=records, labels=labels, args=(), kwargs={}, BATCH_SIZE=8)["dataset"]


def test_generator_and_transforms():
    data, label = next(dataset().create_tuple_iterator())
    assert data.shape == (8, 3, 8, 8) and data.dtype == ms.float32 and label.dtype == ms.int32
    assert -1 <= float(data.asnumpy().min()) < float(data.asnumpy().max()) <= 1


LOW = """
from mindspore import nn

# Replace the following classpath according to the actual situation.
from customized.path.to.mindspore.model import MindSporeNetwork

# Create a instance of network model.
network = MindSporeNetwork()

# Define learning rate and optimizer.
scheduler = nn.ExponentialDecayLR(LEARNING_RATE, decay_rate=DECAY_RATE, decay_steps=1)
optimizer = nn.SGD(params=network.trainable_params(), learning_rate=scheduler)

# Launch the model training.
net_with_loss = nn.WithLossCell(network, loss_fn)
train_network = nn.TrainOneStepCell(net_with_loss, optimizer)
train_network.set_train()
data_iterator = dataset.create_tuple_iterator(num_epochs=EPOCH_SIZE)
for i in range(EPOCH_SIZE):
    for data, label in data_iterator:
        loss = train_network(data, label)
        losses.append(float(loss))
"""
HIGH = """
from mindspore import nn
from mindspore import Model

# Replace the following classpath according to the actual situation.
from customized.path.to.mindspore.model import MindSporeNetwork

# Create a instance of network model.
network = MindSporeNetwork()

# Define learning rate and optimizer.
scheduler = nn.ExponentialDecayLR(LEARNING_RATE, decay_rate=DECAY_RATE, decay_steps=1)
optimizer = nn.SGD(params=network.trainable_params(), learning_rate=scheduler)

# Launch the model training.
model = Model(network, loss_fn=loss_fn, optimizer=optimizer)
model.train(EPOCH_SIZE, dataset, callbacks=callbacks)
"""


class Losses(ms.Callback):
    def __init__(self):
        self.all = []

    def step_end(self, run_context):
        self.all.append(float(run_context.original_args().net_outputs))


def test_both_ways_to_train_are_the_same(tmp_path):
    loss_fn = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    fixed = dict(loss_fn=loss_fn, EPOCH_SIZE=4, LEARNING_RATE=0.2, DECAY_RATE=0.95)
    ms.set_seed(1)
    losses = []
    low = run(LOW, dataset=dataset(), losses=losses, **fixed)
    ms.set_seed(1)
    seen = Losses()
    high = run(HIGH, dataset=dataset(), callbacks=[seen], **fixed)
    assert len(losses) == 12 and seen.all == losses and np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
    for p, q in zip(low["network"].get_parameters(), high["network"].get_parameters()):
        assert np.array_equal(p.asnumpy(), q.asnumpy())
    with pytest.raises(RuntimeError, match="4 epochs"):
        next(low["data_iterator"])


def test_weights_are_loaded_and_evaluated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network = MindSporeNetwork()
    ms.save_checkpoint(network, "network.ckpt")
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.save("input.npy", x)
    np.save("output.npy", network(ms.Tensor(x)).asnumpy())
    run("""
import mindspore
import numpy as np

# Replace the following classpath according to the actual situation.
from customized.path.to.mindspore.model import MindSporeNetwork

network = MindSporeNetwork()
param_dict = mindspore.load_checkpoint('network.ckpt')
mindspore.load_param_into_net(network, param_dict)

input_data = np.load('input.npy')
output_benchmark = np.load('output.npy')

# Validate the equivalence of migration.
output_data = network(mindspore.Tensor(input_data))
assert np.allclose(output_data.asnumpy(), output_benchmark, 1e-4, 1e-5)
""")
    loss_fn = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    metric_fn = lambda output, label: float((output.argmax(1).asnumpy() == label.asnumpy()).mean())  # noqa: E731
    run("""
import mindspore

# Replace the following classpath according to the actual situation.
from customized.path.to.mindspore.model import MindSporeNetwork

network = MindSporeNetwork()
param_dict = mindspore.load_checkpoint('network.ckpt')
mindspore.load_param_into_net(network, param_dict)

data_iterator = dataset.create_tuple_iterator()
for data, label in data_iterator:
    output = network(data)
    loss = loss_fn(output, label)
    accuracy = metric_fn(output, label)
    print(accuracy)
""", dataset=dataset(), loss_fn=loss_fn, metric_fn=metric_fn)
    printed = [float(line) for line in capsys.readouterr().out.split()]
    space = run("""
import mindspore
from mindspore import Model

# Replace the following classpath according to the actual situation.
from customized.path.to.mindspore.model import MindSporeNetwork

network = MindSporeNetwork()
param_dict = mindspore.load_checkpoint('network.ckpt')
mindspore.load_param_into_net(network, param_dict)

model = Model(network, loss_fn=loss_fn, metrics={'accuracy'})
accuracy = model.eval(dataset)
""", dataset=dataset(), loss_fn=loss_fn)
    assert len(printed) == 3 and space["accuracy"] == {"accuracy": pytest.approx(np.mean(printed))}


def test_epochs_differ_and_a_resumed_run_goes_on():
    orders = []

    class Order(ms.Callback):
        def step_begin(self, run_context):
            orders.append(run_context.original_args().train_dataset_element[0].asnumpy().copy())

    def train(first, last):
        net = nn.Dense(1, 1)
        data = rutile.dataset.NumpySlicesDataset((np.arange(16, dtype=np.float32).reshape(16, 1),) * 2, ["x", "y"]).batch(16)
        ms.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 1e-4)).train(last, data, callbacks=[Order()], initial_epoch=first)

    train(0, 3)
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[1], orders[2])
    train(2, 3)
    assert np.array_equal(orders[2], orders[3])
