# SPDX-License-Identifier: Apache-2.0
"""The datasets; `import rutile.dataset.engine as de` is the older way to them."""

import enum as _enum

from rutile.dataset.engine.batch import BatchInfo, CallbackInfo
from rutile.dataset.engine.core import Dataset
from rutile.dataset.engine.images import (Cifar10Dataset, Cifar100Dataset, FashionMnistDataset, ImageFolderDataset,
                                          MnistDataset)
from rutile.dataset.engine.iterators import DictIterator, TupleIterator
from rutile.dataset.engine.nodes import ConcatDataset, ZipDataset
from rutile.dataset.engine.samplers import *  # noqa: F401,F403
from rutile.dataset.engine.sources import GeneratorDataset, MappableDataset, NumpySlicesDataset
from rutile.dataset.engine import samplers


class Shuffle(str, _enum.Enum):
    """How sources of many files are shuffled: all rows, the order of the files, or files and the rows within each."""

    GLOBAL = "global"
    FILES = "files"
    INFILE = "infile"
    ADAPTIVE = "adaptive"
    PARTIAL = "partial"


ImageFolderDatasetV2 = ImageFolderDataset  # before MindSpore 1.0


def zip(datasets):  # noqa: A001 - MindSpore's name
    """The columns of several datasets side by side, as many rows as the shortest has."""
    return ZipDataset(datasets)


__all__ = ["BatchInfo", "CallbackInfo", "Cifar100Dataset", "Cifar10Dataset", "ConcatDataset", "Dataset", "DictIterator",
           "FashionMnistDataset", "GeneratorDataset", "ImageFolderDataset", "ImageFolderDatasetV2", "MappableDataset",
           "MnistDataset", "NumpySlicesDataset", "Shuffle", "TupleIterator", "ZipDataset", "zip"] + samplers.__all__
