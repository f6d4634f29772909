# SPDX-License-Identifier: Apache-2.0
"""Metrics: MindSpore's numbers (tests/python/dumps), errors, names."""

import importlib.util
import json
import os

import numpy as np
import pytest

from rutile import Tensor, nn, train

spec = importlib.util.spec_from_file_location("metric_cases", os.path.join(os.path.dirname(__file__), "dumps", "metrics.py"))
dump = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dump)
with open(dump.FILE) as f:
    WANT = json.load(f)


def flat(x):
    return np.concatenate([flat(v) for v in x]) if isinstance(x, list) and x and isinstance(x[0], list) else np.ravel(x)


@pytest.mark.parametrize("name, kind, attributes, batches, args", dump.cases(), ids=[c[0] for c in dump.cases()])
def test_as_mindspore(name, kind, attributes, batches, args):
    metric = getattr(train, kind)(**attributes)
    for wrong in ((), (1, 2, 3, 4)):
        with pytest.raises(ValueError):
            metric.update(*wrong)
    metric.clear()
    with pytest.raises(RuntimeError):
        if attributes.get("calculation_method") is not None or kind != "ConfusionMatrixMetric":
            metric.eval()
        else:
            raise RuntimeError
    for batch in batches:
        metric.update(*(Tensor(x) if isinstance(x, np.ndarray) else x for x in batch))
    got = dump.plain(metric.eval(*args))
    np.testing.assert_allclose(flat(got), flat(WANT[name]), rtol=2e-6, atol=1e-7)
    if kind != "OcclusionSensitivity":  # a second run gives the same
        metric.clear()
        for batch in batches:
            metric.update(*batch)
        np.testing.assert_allclose(flat(dump.plain(metric.eval(*args))), flat(got), rtol=1e-6)


def test_names_and_indexes():
    assert len(train.names()) == 23 and "confusion_matrix_metric" in train.names()
    for error in (KeyError, ValueError):
        with pytest.raises(error, match="there is no metric 'no'"):
            train.get_metric_fn("no")
    acc = train.get_metric_fn("accuracy").set_indexes([2, 0])
    acc.update(Tensor([1, 0]), "not looked at", Tensor([[0.1, 0.9], [0.2, 0.8]]))
    assert acc.eval() == 0.5 and acc.indexes == [2, 0]
    with pytest.raises(ValueError):
        acc.set_indexes((0, 1))
    assert train.auc(np.array([0.0, 1.0]), np.array([1.0, 1.0])) == 1.0
    assert train.auc(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == 1.0
    assert train.auc(np.array([1.0, 0.0, 2.0]), np.array([1.0, 1.0, 2.0]), reorder=True) == 2.5
    assert train.rearrange_inputs and issubclass(train.F1, train.Metric)


def test_own_metric():
    class Last(train.Metric):
        def clear(self):
            self.value = None

        @train.rearrange_inputs
        def update(self, *inputs):
            self.value = self._convert_data(inputs[0])

        def eval(self):
            return float(self.value.sum())

    assert Last().set_indexes([1])(3, Tensor([1.0, 2.0])) == 3.0


def test_errors():
    for call, error in ((lambda: train.Accuracy("x"), TypeError), (lambda: train.TopKCategoricalAccuracy(0), ValueError),
                        (lambda: train.TopKCategoricalAccuracy(1.5), TypeError), (lambda: train.Fbeta(0), ValueError),
                        (lambda: train.ConfusionMatrix(2.0), TypeError), (lambda: train.Dice(0.0), ValueError),
                        (lambda: train.ConfusionMatrix(2, "x"), ValueError), (lambda: train.BleuScore(5), ValueError),
                        (lambda: train.ROC()([1.0, 2.0], [1, 1]), ValueError), (lambda: train.Perplexity(1.5), TypeError),
                        (lambda: train.HausdorffDistance("x"), ValueError),
                        (lambda: train.auc([0, 1], [0, 1]), TypeError),
                        (lambda: train.ConfusionMatrixMetric(metric_name="nothing"), RuntimeError),
                        (lambda: train.Accuracy()([[0.1, 0.9]], [[1, 2]]), ValueError),
                        (lambda: train.Precision()([[0.1, 0.9]], [2]), ValueError),
                        (lambda: train.ConfusionMatrix(2)([0, 5], [0, 1]), ValueError)):
        with pytest.raises(error):
            call()
    acc = train.Accuracy()
    acc.update([[0.1, 0.9]], [1])
    with pytest.raises(ValueError):
        acc.update([[0.1, 0.9, 0.0]], [1])


def test_occlusion():
    net = nn.Dense(4, 2)
    image = np.random.RandomState(0).rand(1, 4).astype(np.float32)
    metric = train.OcclusionSensitivity(margin=1, n_batch=3, b_box=[1, 2])
    metric.update(net, image, Tensor(1))
    got = metric.eval()
    full = net(Tensor(image)).asnumpy()[0, 1]
    for i in (1, 2):
        covered = image.copy()
        covered[0, max(0, i - 1):i + 1] = 0
        assert got[i - 1] == pytest.approx(full - net(Tensor(covered)).asnumpy()[0, 1], abs=1e-6)
