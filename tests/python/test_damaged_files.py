# SPDX-License-Identifier: Apache-2.0
"""Readers against damaged files, the same ones in each run: they are read, or one error names the file."""

import pathlib
import random
import struct

import numpy as np
import pytest

import rutile as ms
from rutile import dataset as ds

CKPT = (pathlib.Path(__file__).parent.parent / "io" / "data" / "mindspore.ckpt").read_bytes()[:-17]  # without its checksum
TOKENS = [b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\xc0\x80", b"\xed\xa0\x80", b"{", b"]", b"Float32", b"str", b"1e99"]


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, how = rng.randrange(len(data)), rng.randrange(5)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at] = rng.randrange(256)
        elif how == 2:
            del data[at:at + rng.choice((1, 4, 100))]
        elif how == 3:
            data[at:at] = rng.choice(TOKENS)
        else:
            del data[at:]
        if not data:
            return b""
    return bytes(data)


def check(path, content, read, rounds):
    rng = random.Random(len(content))
    refused = 0
    for _ in range(rounds):
        path.write_bytes(damaged(rng, content))
        try:
            read()
        except (ValueError, RuntimeError) as e:
            refused += 1
            assert isinstance(e, ms.Error) and path.name in str(e) and "\n" not in str(e), repr(e)
            assert len(str(e)) < 3000
    assert refused > rounds // 8


def use(values):
    for name, value in values.items():
        assert isinstance(name, str) and name.encode() is not None
        if not isinstance(value, str):
            value.asnumpy().tobytes()


def test_ckpt(tmp_path):
    path = tmp_path / "damaged.ckpt"
    check(path, CKPT, lambda: use(ms.load_checkpoint(str(path))), 1500)


def test_safetensors(tmp_path):
    path = tmp_path / "damaged.safetensors"
    ms.save_checkpoint({"a.weight": ms.Tensor(np.ones((2, 3), np.float32)), "b": ms.Tensor([1, 2])}, str(path),
                       format="safetensors")
    check(path, path.read_bytes(), lambda: use(ms.load_checkpoint(str(path), format="safetensors")), 1000)


def test_a_name_that_is_no_text(tmp_path):
    path = tmp_path / "name.ckpt"
    tensor = b"\x08\x01\x12\x07Float32\x1a\x04" + struct.pack("<f", 1)
    value = b"\x0a\x02w\xff\x12" + bytes([len(tensor)]) + tensor
    path.write_bytes(b"\x0a" + bytes([len(value)]) + value)
    with pytest.raises(ValueError, match="name.ckpt' at offset .*: a name that is not valid UTF-8"):
        ms.load_checkpoint(str(path))


def test_mnist(tmp_path):
    labels, images = tmp_path / "train-labels-idx1-ubyte", tmp_path / "train-images-idx3-ubyte"
    sound = struct.pack(">HBBI", 0, 8, 1, 3) + bytes([1, 2, 3])
    pictures = struct.pack(">HBBIII", 0, 8, 3, 3, 28, 28) + bytes(3 * 784)

    def read():
        for row in ds.MnistDataset(str(tmp_path), shuffle=False).create_tuple_iterator(output_numpy=True):
            assert row[0].shape[-1] == 1

    labels.write_bytes(sound)
    check(images, pictures, read, 150)
    images.write_bytes(pictures)
    check(labels, sound, read, 150)


@pytest.mark.parametrize("kind, name, head", [("Cifar10Dataset", "data_batch_1.bin", 1), ("Cifar100Dataset", "train.bin", 2)])
def test_cifar(tmp_path, kind, name, head):
    content = (bytes(head) + bytes(3072)) * 2

    def read():
        list(getattr(ds, kind)(str(tmp_path), "train", shuffle=False).create_tuple_iterator(output_numpy=True))

    check(tmp_path / name, content, read, 60)
