# SPDX-License-Identifier: Apache-2.0
"""Training with Model, callbacks and metrics, by MindSpore's names."""

from rutile.train import amp, callback, loss_scale_manager, metrics, model, progress, summary
from rutile.train.amp import build_train_network
from rutile.train.callback import *  # noqa: F401,F403
from rutile.train.loss_scale_manager import *  # noqa: F401,F403
from rutile.train.metrics import *  # noqa: F401,F403
from rutile.train.model import Model
from rutile.train.serialization import *  # noqa: F401,F403
from rutile.train.progress import ProgressLine
from rutile.train.summary import *  # noqa: F401,F403
from rutile.train import serialization
from rutile.train._async import load_checkpoint_async, load_segmented_checkpoints
from rutile.train.dataset_helper import DatasetHelper, connect_network_with_dataset, data_sink

__all__ = (["DatasetHelper", "Model", "ProgressLine", "build_train_network", "connect_network_with_dataset", "data_sink",
            "load_checkpoint_async", "load_segmented_checkpoints"] + callback.__all__ + loss_scale_manager.__all__ + metrics.__all__
           + serialization.__all__ + summary.__all__)


def __getattr__(name):
    from rutile import _refused
    if name in _refused.OF_TRAIN:
        return _refused.refused(name)
    raise AttributeError(f"module 'rutile.train' has no attribute {name!r}")
