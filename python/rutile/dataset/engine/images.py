# SPDX-License-Identifier: Apache-2.0
"""Images in files: CIFAR, MNIST, folders of JPEG and PNG."""

import os as _os

import numpy as _np

from rutile import _rutile
from rutile.dataset.engine.sources import MappableDataset

_errors, _files = _rutile.errors, _rutile.files


def _folder(dataset, path):
    if not isinstance(path, (str, _os.PathLike)):
        raise _errors.TypeError(f"[{dataset}] dataset_dir must be a string, got {type(path).__name__}")
    path = _os.fspath(path)
    if not _os.path.isdir(path):
        raise _errors.ValueError(f"[{dataset}] the folder {path!r} does not exist")
    return path


def _usage(dataset, usage):
    if usage is None:
        return "all"
    if usage not in ("train", "test", "all"):
        raise _errors.ValueError(f"[{dataset}] usage is 'train', 'test' or 'all', got {usage!r}")
    return usage


class _Images(MappableDataset):
    """Images and labels in memory."""

    _names = ["image", "label"]

    def __init__(self, dataset_dir, usage, num_samples, num_parallel_workers, shuffle, sampler, num_shards, shard_id):
        super().__init__(num_samples, num_parallel_workers, shuffle, sampler, num_shards, shard_id)
        name = type(self).__name__
        self._images, *self._label_columns = self._load(_folder(name, dataset_dir), _usage(name, usage))

    def _columns(self):
        return self._names

    def _total(self):
        return len(self._images)

    def _read(self, number):
        return (_np.array(self._image(number), order="C"), *(_np.asarray(c[number]) for c in self._label_columns))

    def _image(self, number):
        return self._images[number]

    def _labels(self, column):
        return self._label_columns[self._names.index(column) - 1]

    def _classes(self):
        return int(self._label_columns[-1].max()) + 1 if len(self._images) else 0


class Cifar10Dataset(_Images):
    """CIFAR-10, binary version: "image" uint8 [32, 32, 3], "label" uint32 [], shuffled unless shuffle is False.

    dataset_dir holds data_batch_1.bin to data_batch_5.bin (usage "train"), test_batch.bin ("test"), or some of them; "all",
    the default, takes what is there. A file is any number of records of 3,073 bytes. Errors: ValueError for a missing folder
    or damaged file, RuntimeError where there are no files.
    """

    _patterns = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}

    def __init__(self, dataset_dir, usage=None, num_samples=None, num_parallel_workers=None, shuffle=None, sampler=None,
                 num_shards=None, shard_id=None, cache=None):
        super().__init__(dataset_dir, usage, num_samples, num_parallel_workers, shuffle, sampler, num_shards, shard_id)

    def _load(self, folder, usage):
        wanted = sum(self._patterns.values(), []) if usage == "all" else self._patterns[usage]
        paths = [_os.path.join(folder, f) for f in wanted if _os.path.exists(_os.path.join(folder, f))]
        if not paths:
            raise _errors.RuntimeError(f"[{type(self).__name__}] the folder {folder!r} has none of {', '.join(wanted)}")
        records = _np.concatenate([self._records(p) for p in paths])
        return (records[:, self._head:], *(records[:, i].astype(_np.uint32) for i in range(self._head)))

    _head = 1  # bytes of labels before the pixels

    def _records(self, path):
        return _files.read_cifar10(path).asnumpy()

    def _image(self, number):
        return self._images[number].reshape(3, 32, 32).transpose(1, 2, 0)


class Cifar100Dataset(Cifar10Dataset):
    """CIFAR-100, binary version: "image" uint8 [32, 32, 3], "coarse_label" and "fine_label" uint32 [].

    dataset_dir holds train.bin and test.bin; otherwise as Cifar10Dataset.
    """

    _patterns = {"train": ["train.bin"], "test": ["test.bin"]}
    _names = ["image", "coarse_label", "fine_label"]
    _head = 2

    def _records(self, path):
        data = _np.fromfile(path, _np.uint8)
        if not len(data) or len(data) % 3074:
            raise _errors.ValueError(f"[Cifar100Dataset] {path!r} is no CIFAR-100 file: {len(data)} bytes are not a multiple of 3074")
        return data.reshape(-1, 3074)


class MnistDataset(_Images):
    """MNIST: "image" uint8 [28, 28, 1], "label" uint32 [], shuffled unless shuffle is False.

    dataset_dir holds train-images-idx3-ubyte and train-labels-idx1-ubyte (usage "train"), t10k-... ("test"), with .gz or
    without; "all", the default, takes what is there. Errors as Cifar10Dataset.
    """

    def __init__(self, dataset_dir, usage=None, num_samples=None, num_parallel_workers=None, shuffle=None, sampler=None,
                 num_shards=None, shard_id=None, cache=None):
        super().__init__(dataset_dir, usage, num_samples, num_parallel_workers, shuffle, sampler, num_shards, shard_id)

    def _load(self, folder, usage):
        images, labels = [], []
        for part, prefix in (("train", "train"), ("test", "t10k")):
            paths = [self._find(folder, f"{prefix}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")]
            if usage not in (part, "all") or (usage == "all" and None in paths):
                continue
            if None in paths:
                raise _errors.RuntimeError(f"[{type(self).__name__}] the folder {folder!r} has no {prefix}-images-idx3-ubyte and "
                                           f"{prefix}-labels-idx1-ubyte")
            x, y = (_files.read_idx(p).asnumpy() for p in paths)
            if x.ndim != 3 or y.ndim != 1 or len(x) != len(y):
                raise _errors.ValueError(f"[{type(self).__name__}] {paths[0]!r} and {paths[1]!r} do not fit together: images "
                                         f"{list(x.shape)}, labels {list(y.shape)}")
            images.append(x[..., None])
            labels.append(y.astype(_np.uint32))
        if not images:
            raise _errors.RuntimeError(f"[{type(self).__name__}] the folder {folder!r} has no IDX files of images and labels")
        return _np.concatenate(images), _np.concatenate(labels)

    @staticmethod
    def _find(folder, name):
        paths = (_os.path.join(folder, f) for f in (name, name + ".gz", name.replace("-idx", ".idx"), name + ".zip"))
        return next((p for p in paths if _os.path.exists(p) and not p.endswith(".zip")), None)


class FashionMnistDataset(MnistDataset):
    """Fashion-MNIST: as MnistDataset, with clothes."""


class ImageFolderDataset(MappableDataset):
    """A folder with a folder of images for each class: "image" uint8 (the bytes of the file; with decode [h, w, 3]) and
    "label" int32 [], shuffled unless shuffle is False.

    Classes are numbered by the sorted names of the folders, or by class_indexing. extensions: by default .jpg, .jpeg, .png,
    .bmp. Decoding needs Pillow. Errors: ValueError for a missing folder, RuntimeError where there are no images.
    """

    def __init__(self, dataset_dir, num_samples=None, num_parallel_workers=None, shuffle=None, sampler=None, extensions=None,
                 class_indexing=None, decode=False, num_shards=None, shard_id=None, cache=None, decrypt=None):
        super().__init__(num_samples, num_parallel_workers, shuffle, sampler, num_shards, shard_id)
        folder = _folder("ImageFolderDataset", dataset_dir)
        if decrypt is not None:
            raise _errors.UnsupportedError("[ImageFolderDataset] decrypt is not supported")
        extensions = tuple(e.lower() for e in (extensions or (".jpg", ".jpeg", ".png", ".bmp")))
        classes = sorted(d for d in _os.listdir(folder) if _os.path.isdir(_os.path.join(folder, d)))
        self.class_indexing = dict(class_indexing) if class_indexing else {c: i for i, c in enumerate(classes)}
        self._items = []
        for c in classes:
            if c not in self.class_indexing:
                continue
            for base, dirs, found in _os.walk(_os.path.join(folder, c)):
                dirs.sort()
                self._items += [(_os.path.join(base, f), self.class_indexing[c]) for f in sorted(found)
                                if f.lower().endswith(extensions)]
        if not self._items:
            raise _errors.RuntimeError(f"[ImageFolderDataset] the folder {folder!r} has no class folders with images "
                                       f"({', '.join(extensions)})")
        self._decode = decode

    def _columns(self):
        return ["image", "label"]

    def _total(self):
        return len(self._items)

    def _classes(self):
        return len(self.class_indexing)

    def _labels(self, column):
        return _np.asarray([label for _, label in self._items], _np.int32)

    def _read(self, number):
        path, label = self._items[number]
        try:
            data = _np.fromfile(path, _np.uint8)
            if self._decode:
                from rutile.dataset.vision.images import decode
                data = decode(data)
        except (OSError, ValueError) as e:
            raise _errors.RuntimeError(f"[ImageFolderDataset] {path!r} cannot be read: {e}") from e
        return data, _np.asarray(label, _np.int32)
