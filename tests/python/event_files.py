# SPDX-License-Identifier: Apache-2.0
"""Reads TensorBoard's event files, by the protobuf definitions in tensorboard/compat/proto and nothing of ours."""

import struct


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The records of a file; the checksums of short ones are checked."""
    data, at = open(path, "rb").read(), 0
    while at < len(data):
        n, crc = struct.unpack_from("<QI", data, at)
        assert crc == _masked(data[at:at + 8])
        record = data[at + 12:at + 12 + n]
        assert len(record) == n
        if n < 5000:
            assert struct.unpack_from("<I", data, at + 12 + n)[0] == _masked(record)
        yield record
        at += n + 16


def _varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """{field number: [values]}; fixed numbers as their bytes."""
    found, at = {}, 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
        else:
            n = {1: 8, 5: 4}.get(key & 7)
            if n is None:
                n, at = _varint(data, at)
            value, at = data[at:at + n], at + n
        found.setdefault(key >> 3, []).append(value)
    return found


def _value(v):
    if 2 in v:
        return "scalar", struct.unpack("<f", v[2][0])[0]
    if 4 in v:
        image = fields(v[4][0])
        return "image", (image[1][0], image[2][0], image[3][0], image[4][0])
    if 5 in v:
        h = fields(v[5][0])
        doubles = lambda b: struct.unpack(f"<{len(b) // 8}d", b)  # noqa: E731
        return "histogram", {"min": doubles(h[1][0])[0], "max": doubles(h[2][0])[0], "num": doubles(h[3][0])[0],
                             "limits": doubles(h[6][0]), "counts": doubles(h[7][0])}
    tensor = fields(v[8][0])
    if tensor[1][0] == 7:
        return "text", tensor[8][0].decode()
    return "tensor", tensor[4][0]


def read(path):
    """([(kind, tag, step, value)], names of the graph's nodes)."""
    values, nodes = [], []
    for i, record in enumerate(records(path)):
        event = fields(record)
        assert abs(struct.unpack("<d", event[1][0])[0]) > 1.6e9
        if i == 0:
            assert event[3] == [b"brain.Event:2"]
        for graph in event.get(4, []):
            nodes += [fields(n)[1][0].decode() for n in fields(graph)[1]]
        for summary in event.get(5, []):
            for v in fields(summary)[1]:
                v = fields(v)
                values.append((*_value(v)[:1], v[1][0].decode(), event.get(2, [0])[0], _value(v)[1]))
    return values, nodes
